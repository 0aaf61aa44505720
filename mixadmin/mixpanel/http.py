"""The only code that sends: credentials, timeouts, redirects, status -> error.

One call is one request, plus redirects inside the same origin. Nothing is ever
sent a second time from here; whoever calls knows what may be repeated.
"""

from __future__ import annotations

import base64
import email.utils
import http.client
import io
import json
import math
import re
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import IO, Any, TypeVar
from urllib.parse import quote, urljoin

import requests
import urllib3.exceptions

from .errors import (
    BadRequest,
    MixpanelError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RateLimited,
    Redirected,
    ReplyLost,
    ServerFailed,
    TooLarge,
    UnexpectedResponse,
    Unreachable,
)
from .reading import Json, Mismatch, describe
from .regions import Region, is_upload_place, origin
from .watchdog import (
    PIECE_BYTES,
    Call,
    DeadlinePassed,
    WatchedAdapter,
    watchdog,
)

T = TypeVar("T")
E = TypeVar("E", bound=MixpanelError)

MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_SHOWN_BYTES = 8 * 1024
MAX_REDIRECTS = 3
MAX_DEPTH = 64

USER_AGENT = "mixadmin/0.1"

# 303 is missing: it asks to turn the call into a GET, after doing the work.
_REDIRECTS = frozenset({301, 302, 307, 308})

_STATUS_ERRORS: dict[int, type[MixpanelError]] = {
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    408: ServerFailed,
    413: TooLarge,
    429: RateLimited,
}
_CLASS_ERRORS: dict[int, type[MixpanelError]] = {
    3: Redirected,
    4: BadRequest,
    5: ServerFailed,
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SECRET_NAMES = re.compile(r"secret|passw|token|private|credential|key$", re.IGNORECASE)

# A member of a JSON object whose value must not be shown; may be cut off.
_SECRET_MEMBER = re.compile(
    r"""("[^"]*(?:secret|passw|token|private|api_?key)[^"]*"\s*:\s*")"""
    r"""(?:[^"\\]|\\.)+""",
    re.IGNORECASE,
)

# Everything that requests, urllib3 and the sockets below them raise. Not Exception:
# a worker's own signals travel as exceptions too and must pass.
_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, between two reads, and for a call in total.

    ``total`` covers all but looking up a name, which the system's resolver bounds.
    """

    connect: float = 5.0
    read: float = 15.0
    total: float = 30.0

    def __post_init__(self) -> None:
        for name in ("connect", "read", "total"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"the {name} timeout must be above zero")


class Basic(requests.auth.AuthBase):
    """Basic credentials that do not show themselves."""

    def __init__(self, username: str, secret: str) -> None:
        if ":" in username:
            raise ValueError("a username must not hold a colon")
        pair = f"{username}:{secret}".encode()
        self._header = "Basic " + base64.b64encode(pair).decode("ascii")
        # With a token alone the token is the user, and it is what must not show.
        self.secrets = Secrets(
            _ways_to_write(secret or username) | {self._header.removeprefix("Basic ")}
        )

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request

    def __repr__(self) -> str:
        return "Basic(...)"


class Secrets(frozenset[str]):
    """Texts to keep out of everything that is shown. Does not show them."""

    def __repr__(self) -> str:
        return f"Secrets({len(self)})"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as it went out and what came back, without any secret in it.

    status: None while nothing came; then `error` says why.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: str
    status: int | None = None
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer: str = ""
    error: str = ""


class Answer:
    """A whole answer: ``status``, lower-case ``headers`` and ``body`` in bytes."""

    def __init__(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes,
        secrets: Iterable[str] = (),
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._secrets = Secrets(secrets)

    def json(self) -> Any:
        """The body as JSON with storable text. Raises UnexpectedResponse."""
        try:
            return parse_json(self.body)
        except Mismatch as exc:
            problem = str(exc)
        raise self.unexpected(problem)

    def read(self, reader: Callable[[Any], T], value: Any) -> T:
        """``reader(value)``, with a Mismatch turned into UnexpectedResponse."""
        try:
            return reader(value)
        except Mismatch as exc:
            problem = str(exc)
        raise self.unexpected(problem)

    def results(self, reader: Callable[[Any], T], *, bare: bool = False) -> T:
        """What ``reader`` makes of ``results`` in the App API's envelope.

        With ``bare`` an object without envelope is read as it is: for some reads
        the published specification shows no envelope, and the wire has one.
        """
        data = self.envelope()
        if "results" in data or bare:
            return self.read(reader, data.get("results", data))
        raise self.unexpected("it has no results")

    def ok(self) -> None:
        """Make sure that the App API says yes, whatever else it says."""
        if self.status != 204:
            self.envelope()

    def envelope(self) -> Json:
        """The whole App API answer, once it is known not to tell of an error."""
        data = self.json()
        if not isinstance(data, dict):
            raise self.unexpected(f"with {describe(data)} where an object should be")
        if data.get("status") == "error":
            code, said = _words_of(data)
            raise self._exception(
                UnexpectedResponse,
                f"Mixpanel answered {self.status}, but with an error: {said}",
                code,
            )
        return data

    def text(self) -> str:
        """The body as text to show: no control characters, no secret, <= 8 KiB."""
        body = self.body[:MAX_ERROR_BYTES].decode("utf-8", "replace")
        return shown(_SECRET_MEMBER.sub(r"\1[removed]", body), self._secrets)

    def error(self) -> MixpanelError:
        """The exception for an answer that is not 2xx."""
        kind = _STATUS_ERRORS.get(self.status) or _CLASS_ERRORS.get(self.status // 100)
        code, said = _error_words(self.body)
        said = said[:2000]
        message = f"Mixpanel answered {self.status}" + (f": {said}" if said else "")
        return self._exception(kind or UnexpectedResponse, message, code)

    def unexpected(self, problem: str) -> UnexpectedResponse:
        """The exception for an answer that is not what Mixpanel documents."""
        message = f"Mixpanel answered {self.status}, but {problem}"
        return self._exception(UnexpectedResponse, message)

    def _exception(self, kind: type[E], message: str, code: str = "") -> E:
        return kind(
            shown(message, self._secrets)[:500],
            status=self.status,
            code=shown(code, self._secrets)[:100],
            body=self.text(),
            request_id=shown(self.headers.get("x-mp-request-id", ""), ())[:200],
            retry_after=parse_retry_after(self.headers.get("retry-after")),
        )


class Http:
    """Sends requests for one pair of credentials to the hosts of one region."""

    def __init__(
        self,
        region: Region,
        auth: Basic,
        timeouts: Timeouts,
        session: requests.Session,
    ) -> None:
        for prefix in ("http://", "https://"):
            if not isinstance(session.get_adapter(prefix), WatchedAdapter):
                raise TypeError("the session must come from new_session()")
        self.region = region
        self.request_id = ""
        # Filled with what goes over the wire while it is a list.
        self.exchanges: list[Exchange] | None = None
        # What stays out of them besides the credentials.
        self.never_shown = Secrets()
        self._auth = auth
        self._timeouts = timeouts
        self._session = session
        self._origins = {
            origin(url)
            for url in (region.app_url, region.ingestion_url, region.query_url)
        }

    def __repr__(self) -> str:
        return f"Http({self.region.code!r})"

    def app(
        self, method: str, *path: object, slash: bool = False, **options: Any
    ) -> Answer:
        """Call the App API. ``path`` holds the segments after its base URL."""
        url = join(self.region.app_url, *path, slash=slash)
        return self.checked(method, url, **options)

    def checked(self, method: str, url: str, **options: Any) -> Answer:
        """Send, and raise for every answer that is not 2xx."""
        answer = self.send(method, url, **options)
        if not 200 <= answer.status < 300:
            raise answer.error()
        return answer

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json_body: Any = None,
        form: Mapping[str, str] | None = None,
        body: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Basic | None = None,
        anonymous: bool = False,
        upload: bool = False,
        secrets: Iterable[str] = (),
    ) -> Answer:
        """Send one request and give back the answer, whatever its status.

        ``secrets`` are texts to keep out of errors beside the credentials.
        ``upload`` allows the place of signed links, and nothing but it.
        """
        auth = auth or self._auth
        hidden = Secrets(auth.secrets.union(*map(_ways_to_write, secrets)))
        sent_headers = {
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        if not upload:
            sent_headers["X-Request-ID"] = self._next_request_id()
        data: Any = None
        if json_body is not None:
            data = dump_json(json_body)
            sent_headers["Content-Type"] = "application/json"
        elif form is not None:
            data = dict(form)
        elif body is not None:
            data = body
        if isinstance(data, bytes) and len(data) > PIECE_BYTES:
            # Goes out in pieces: a timeout holds for sending one piece.
            data = io.BytesIO(data)
        sent_headers.update(headers or {})
        start = data.tell() if hasattr(data, "tell") else 0

        with watchdog.watch(self._timeouts.total) as call:
            hops = 0
            while True:
                self._refuse_elsewhere(url, upload)
                if hasattr(data, "seek"):
                    data.seek(start)
                outcome = self._exchange(
                    call,
                    requests.Request(
                        method,
                        url,
                        params=params,
                        data=data,
                        headers=sent_headers,
                        auth=None if anonymous or upload else auth,
                    ),
                    hidden,
                )
                if isinstance(outcome, MixpanelError):
                    raise outcome
                if not 300 <= outcome.status < 400:
                    return outcome
                target = _next_url(url, outcome)
                if target is None or hops == MAX_REDIRECTS:
                    raise _redirected(outcome, method, hops)
                # The Location holds the query already.
                hops, url, params = hops + 1, target, None

    def close(self) -> None:
        self._session.close()

    def _exchange(
        self, call: Call, request: requests.Request, hidden: Secrets
    ) -> Answer | MixpanelError:
        # Gives errors back instead of raising them, so that no exception and no
        # frame of a traceback leads to the request and its Authorization header.
        prepared = request.prepare()
        outcome = self._sent(call, prepared, hidden)
        if self.exchanges is not None:
            secrets = Secrets(hidden | self.never_shown)
            self.exchanges.append(_recorded(prepared, outcome, secrets))
        return outcome

    def _sent(
        self, call: Call, prepared: requests.PreparedRequest, hidden: Secrets
    ) -> Answer | MixpanelError:
        watchdog.start_over(call)
        response = None
        status, headers, body = 0, {}, bytearray()
        try:
            response = self._session.get_adapter(prepared.url or "").send(
                prepared,
                stream=True,
                timeout=(self._timeouts.connect, self._timeouts.read),
                verify=True,
                proxies={},
            )
            status = response.status_code
            headers = {name.lower(): v for name, v in response.headers.items()}
            limit = MAX_ANSWER_BYTES if 200 <= status < 300 else MAX_ERROR_BYTES
            while len(body) <= limit:
                piece = response.raw.read(64 * 1024, decode_content=True)
                if not piece:
                    break
                body += piece
            if call.expired:
                raise DeadlinePassed("the total time was over")
        except _FAILURES as exc:
            if status < 300 or status >= 600:
                if isinstance(exc, urllib3.exceptions.DecodeError):
                    answer = Answer(status, headers, b"", hidden)
                    return answer.unexpected("its body is not the gzip it says it is")
                return self._failure(call, exc, status, headers)
            # Otherwise the status has decided already; the rest was only words.
        finally:
            if response is not None:
                response.close()
        answer = Answer(status, headers, bytes(body[:limit]), hidden)
        if sum(len(name) + len(v) for name, v in headers.items()) > MAX_HEADER_BYTES:
            return answer.unexpected("its headers are larger than 64 KiB")
        if len(body) > MAX_ANSWER_BYTES:
            return answer.unexpected("its body is larger than 8 MiB")
        return answer

    def _failure(
        self, call: Call, exc: BaseException, status: int, headers: dict[str, str]
    ) -> MixpanelError:
        if call.expired:
            why = f"no complete answer within {self._timeouts.total:g} s"
        else:
            why = _reason(exc, self._timeouts)
        kind = ReplyLost if call.sent else Unreachable
        start = "Lost Mixpanel's answer" if call.sent else "Cannot reach Mixpanel"
        return kind(
            f"{start}: {why}",
            status=status or None,
            request_id=shown(headers.get("x-mp-request-id", ""), ())[:200],
        )

    def _next_request_id(self) -> str:
        if not self.request_id:
            return str(uuid.uuid4())
        if not _REQUEST_ID.fullmatch(self.request_id):
            raise ValueError("a request id holds only letters, digits and . _ -")
        return self.request_id

    def _refuse_elsewhere(self, url: str, upload: bool) -> None:
        if upload and is_upload_place(url):
            return
        if origin(url) not in self._origins:
            raise ValueError("refusing to send to a host that is not Mixpanel's")


def _recorded(
    prepared: requests.PreparedRequest, outcome: Answer | MixpanelError, hidden: Secrets
) -> Exchange:
    raw: Any = prepared.body or b""
    body = raw.getvalue() if isinstance(raw, io.BytesIO) else raw
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    sent: dict[str, Any] = {
        "method": prepared.method or "",
        "url": shown(prepared.url or "", hidden),
        "headers": _shown_headers(prepared.headers, hidden),
        "body": shown(text, hidden, most=MAX_ERROR_BYTES),
    }
    if isinstance(outcome, MixpanelError):
        words = shown(outcome.message, hidden)
        return Exchange(**sent, status=outcome.status, error=words)
    return Exchange(
        **sent,
        status=outcome.status,
        answer_headers=_shown_headers(outcome.headers, hidden),
        answer=shown(outcome.text(), hidden),
    )


def _shown_headers(headers: Mapping[str, Any], hidden: Secrets) -> dict[str, str]:
    return {
        name: "[removed]"
        if name.lower() in ("authorization", "set-cookie")
        else shown(str(value), hidden)
        for name, value in headers.items()
    }


def join(base: str, *segments: object, slash: bool = False) -> str:
    """A URL from a base and segments: checked numbers, quoted text.

    ``slash`` puts one at the end. Raises ValueError or TypeError for what cannot
    be one segment, so that an empty id never names the whole collection.
    """
    return "/".join([base, *map(_segment, segments)]) + ("/" if slash else "")


def _segment(value: object) -> str:
    if isinstance(value, bool):
        raise TypeError("a path segment must be a number or text, not a bool")
    if isinstance(value, int):
        return str(check_id(value, "an id in a path"))
    if isinstance(value, uuid.UUID):
        return str(value)
    if not isinstance(value, str):
        raise TypeError("a path segment must be a number or text")
    # "." and ".." cannot be quoted: every layer below would unquote and obey them.
    if value in ("", ".", "..") or _CONTROLS.search(value):
        raise ValueError(f"not usable in a path: {value!r}")
    return quote(value, safe="")


def check_id(value: object, what: str = "an id") -> int:
    """The value if it is a whole number from 1 up to 64 bits, not a bool."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be a whole number")
    if not 0 < value < 2**63:
        raise ValueError(f"{what} must be above zero and fit into 64 bits")
    return value


def dump_json(value: Any) -> bytes:
    """Strict JSON in UTF-8. Raises ValueError for NaN and for lone surrogates."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8")


def parse_json(body: bytes) -> Any:
    """Strict JSON, not deeper than 64, with text that any database can store.

    A byte order mark is passed over; NUL and lone surrogates become U+FFFD.
    Raises Mismatch.
    """
    if not body.strip():
        raise Mismatch("its body is empty")
    try:
        value = json.loads(
            body.decode("utf-8-sig"),
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        return _storable(value, MAX_DEPTH)
    except RecursionError:
        raise Mismatch("its JSON is nested too deep") from None
    except Mismatch:
        raise
    except ValueError:
        kind = "an HTML page" if _is_html(body) else "not JSON"
        raise Mismatch(f"its body is {kind}") from None


def parse_retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds to wait from a Retry-After header, in either of its two forms.

    None for nothing and for garbage; a date that is over gives 0. Not clamped.
    """
    text = (value or "").strip()
    if re.fullmatch(r"\d{1,300}(\.\d{1,9})?", text, re.ASCII):
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - (time.time() if now is None else now))
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def shown(text: str, secrets: Iterable[str], *, most: int = MAX_SHOWN_BYTES) -> str:
    """Text from outside made fit to be shown: at most 8 KiB, no secret in it."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "[removed]")
    text = _CONTROLS.sub("", text).strip()
    return text.encode("utf-8")[:most].decode("utf-8", "ignore")


def spellings(secrets: Iterable[str]) -> Secrets:
    """Secrets in all the ways in which they may be written, for `shown`."""
    return Secrets(frozenset().union(*map(_ways_to_write, secrets)))


def secret_values(value: object, name: str = "") -> set[str]:
    """The texts in a JSON value whose key says that they are secret."""
    if isinstance(value, dict):
        return set().union(*(secret_values(v, str(k)) for k, v in value.items()))
    if isinstance(value, list):
        return set().union(*(secret_values(item, name) for item in value))
    if isinstance(value, str) and _SECRET_NAMES.search(name):
        return {value}
    return set()


def _ways_to_write(secret: str) -> set[str]:
    # Shorter ones would riddle every text with holes and protect nothing.
    if len(secret) < 4:
        return set()
    return {
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        base64.b64encode(secret.encode("utf-8", "replace")).decode("ascii"),
    }


def _next_url(url: str, answer: Answer) -> str | None:
    location = answer.headers.get("location", "")
    if answer.status not in _REDIRECTS or not location:
        return None
    try:
        target = urljoin(url, location)
        return target if origin(target) == origin(url) else None
    except ValueError:
        return None


def _redirected(answer: Answer, method: str, hops: int) -> MixpanelError:
    error = answer.error()
    error.message = f"Mixpanel answered {answer.status} and points elsewhere"
    if hops == MAX_REDIRECTS:
        error.message = f"Mixpanel answered more than {MAX_REDIRECTS} redirects"
    error.args = (error.message,)
    if answer.status == 303 and method != "GET":
        # "See other" is what a server says after it has done the work.
        error.may_have_happened = True
    return error


def _reason(exc: BaseException, timeouts: Timeouts) -> str:
    seen: list[BaseException] = []
    todo: list[Any] = [exc]
    while todo:
        item = todo.pop()
        if isinstance(item, BaseException) and item not in seen:
            seen.append(item)
            inner = getattr(item, "reason", None)
            todo += [*item.args, inner, item.__cause__, item.__context__]
    for kind, words in (
        (ssl.SSLCertVerificationError, "its TLS certificate is not trusted"),
        (ssl.SSLError, "the TLS connection failed"),
        (socket.gaierror, "its name cannot be resolved"),
        (urllib3.exceptions.NameResolutionError, "its name cannot be resolved"),
        (ConnectionRefusedError, "the connection was refused"),
        (
            urllib3.exceptions.ConnectTimeoutError,
            f"no connection within {timeouts.connect:g} s",
        ),
        (
            urllib3.exceptions.ReadTimeoutError,
            f"nothing came for {timeouts.read:g} s",
        ),
        (TimeoutError, "the connection stood still"),
        (ConnectionResetError, "the connection was reset"),
        (BrokenPipeError, "the connection was closed"),
        (http.client.RemoteDisconnected, "the connection was closed without answer"),
        (http.client.IncompleteRead, "the answer ended too early"),
        (urllib3.exceptions.IncompleteRead, "the answer ended too early"),
        (http.client.HTTPException, "what came is not HTTP"),
    ):
        if any(isinstance(item, kind) for item in seen):
            return words
    return "the connection failed"


def _error_words(body: bytes) -> tuple[str, str]:
    try:
        data = parse_json(body)
    except Mismatch:
        return "", "an HTML page" if _is_html(body) else ""
    return _words_of(data) if isinstance(data, dict) else ("", "")


def _words_of(data: Json) -> tuple[str, str]:
    code = data.get("type") or data.get("code") or ""
    said = [
        data[key]
        for key in ("error", "message", "details")
        if isinstance(data.get(key), str) and data[key]
    ]
    return str(code) if isinstance(code, str | int) else "", " - ".join(said)


def _is_html(body: bytes) -> bool:
    return body[:512].lstrip().lower().startswith((b"<!doctype", b"<html", b"<head"))


def _no_constant(name: str) -> float:
    raise Mismatch(f"its JSON holds {name}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Mismatch("its JSON holds a number that is too large")
    return number


def _storable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if depth == 0 and isinstance(value, dict | list):
        raise Mismatch("its JSON is nested too deep")
    if isinstance(value, list):
        return [_storable(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {
            _UNSTORABLE.sub("\ufffd", key): _storable(item, depth - 1)
            for key, item in value.items()
        }
    return value
