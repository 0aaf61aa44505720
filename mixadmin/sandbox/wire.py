"""One call and its answer, and the dialects in which Mixpanel speaks."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(slots=True)
class Request:
    """A call as it came. Headers have lower-case names, query values are last wins."""

    method: str
    region: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    raw_query: str = ""
    account: Json | None = None
    project: Json = field(default_factory=dict)
    effect: Json = field(default_factory=dict)
    extra_headers: dict[str, str] = field(default_factory=dict)

    def did(self, verb: str, kind: str, id: int | str) -> None:
        """Note in the ledger what this call really changed."""
        self.effect.setdefault(verb, []).append({"kind": kind, "id": id})

    def count(self, what: str, number: int) -> None:
        """Note how many records of a sort this call brought in."""
        self.effect[what] = self.effect.get(what, 0) + number

    def json(self) -> Any:
        """The body as JSON, or 400 in the words of the App API."""
        try:
            data = json.loads(self.body.decode("utf-8"))
            # can it be written again? Not with half surrogates, nor when it is nested
            # so deeply that a few levels more are too many
            json.dumps([[[[[[[[data]]]]]]]], ensure_ascii=False).encode()
        except (UnicodeError, ValueError, RecursionError):
            raise refuse(400, "request body is not valid JSON") from None
        return data

    def json_object(self) -> Json:
        data = self.json()
        if not isinstance(data, dict):
            raise refuse(400, "request body must be a JSON object")
        return data

    def dump(self) -> Json:
        """Everything needed to carry this call out later."""
        return {
            "method": self.method,
            "region": self.region,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": base64.b64encode(self.body).decode(),
            "raw_query": self.raw_query,
        }

    @classmethod
    def load(cls, data: Json) -> "Request":
        return cls(**{**data, "body": base64.b64decode(data["body"])})


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[..., Response]


class Refusal(Exception):
    """Ends a call with this answer; what it did is rolled back."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def reply(data: Any, status: int = 200) -> Response:
    body = json.dumps(data, separators=(",", ":")).encode()
    return Response(status, body, {"Content-Type": "application/json"})


def ok(results: Any = None, status: int = 200) -> Response:
    """The App API's success envelope; without results only the status word."""
    if results is None:
        return reply({"status": "ok"}, status)
    return reply({"status": "ok", "results": results}, status)


def app_error(status: int, text: str) -> Response:
    return reply({"status": "error", "error": text}, status)


def refuse(status: int, text: str) -> Refusal:
    """The App API's error envelope, to be raised."""
    return Refusal(app_error(status, text))


def refuse_ingestion(status: int, text: str, word: str) -> Refusal:
    return Refusal(reply({"code": status, "error": text, "status": word}, status))


def text(body: str, status: int = 200, kind: str = "text/plain") -> Response:
    return Response(status, body.encode(), {"Content-Type": f"{kind}; charset=utf-8"})
