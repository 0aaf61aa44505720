"""Send events, user profiles and group profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .http import Answer, Basic, Http, dump_json
from .reading import (
    Json,
    Mismatch,
    as_list,
    as_object,
    describe,
    get_int,
    get_text,
)

CONTENT_TYPES = ("application/x-ndjson", "application/json")

# What Mixpanel documents for one request.
MAX_RECORDS = 2000


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """A record that Mixpanel refused.

    ``index`` counts from 0 in the request and is None when Mixpanel does not say;
    ``insert_id`` and ``field`` may be "".
    """

    index: int | None
    insert_id: str
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of one request of events.

    With ``status`` 400 the records not in ``failed`` *are* stored, unless
    ``whole_batch_failed``. ``num_records_imported`` is None when not told.
    """

    num_records_imported: int | None
    failed: tuple[FailedRecord, ...]
    whole_batch_failed: bool
    status: int
    error: str
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class LegacyResult:
    """What /track, /engage and /groups say.

    ``ok`` means that at least one record was well formed. It is no proof that
    anything was stored: a token that does not exist is ok too.
    """

    ok: bool
    error: str
    failed: tuple[FailedRecord, ...]
    # How many were good, where it is told: with strict=1, seen as ``num_good_events``.
    num_good: int | None
    raw: Json = field(repr=False)


class Ingestion:
    """``client.ingestion``."""

    def __init__(self, http: Http, project_id: int | None, *, is_token: bool) -> None:
        self._http = http
        self._project_id = project_id
        self._is_token = is_token

    def import_events(
        self,
        body: bytes,
        *,
        content_type: str = "application/x-ndjson",
        gzipped: bool = False,
        strict: bool = True,
        token: str = "",
    ) -> ImportResult:
        """Send events to /import and tell which of them were refused.

        ``body`` is sent as it is. With ``token`` (or a client made of a token) the
        project token is the credential and the project id is left out. A 400 with
        a report is a result, as the good records are stored; without a readable
        report it is UnexpectedResponse, as nobody knows what was stored.
        """
        if content_type not in CONTENT_TYPES:
            raise ValueError(f"content_type must be one of {', '.join(CONTENT_TYPES)}")
        if not isinstance(body, bytes):
            raise TypeError("body must be bytes")
        if not body:
            raise ValueError("body must not be empty")
        params: dict[str, str | int] = {"strict": int(bool(strict))}
        if not token and not self._is_token:
            if self._project_id is None:
                raise ValueError("a service account needs a client with a project_id")
            params["project_id"] = self._project_id
        headers = {"Content-Type": content_type}
        if gzipped:
            headers["Content-Encoding"] = "gzip"
        answer = self._http.send(
            "POST",
            f"{self._http.region.ingestion_url}/import",
            params=params,
            body=body,
            headers=headers,
            auth=Basic(token, "") if token else None,
        )
        if answer.status == 400:
            return answer.read(lambda value: _report(value, 400), answer.json())
        if not 200 <= answer.status < 300:
            raise answer.error()
        return answer.read(lambda value: _imported(value, answer), answer.json())

    def track(self, records: Sequence[Json]) -> LegacyResult:
        """Send events of the last 5 days; each has its token in ``properties``."""
        tokens = [_text_in(r.get("properties"), "token") for r in _records(records)]
        return self._legacy("track", records, tokens, {"ip": 0, "verbose": 1})

    def engage(self, records: Sequence[Json]) -> LegacyResult:
        """Send updates of user profiles; each has ``$token`` and ``$distinct_id``."""
        tokens = [_text_in(r, "$token") for r in _records(records)]
        for record in records:
            if "$distinct_id" not in record:
                raise ValueError("a record lacks $distinct_id")
        params = {"ip": 0, "strict": 1, "verbose": 1}
        return self._legacy("engage", records, tokens, params)

    def groups(self, records: Sequence[Json]) -> LegacyResult:
        """Send updates of group profiles.

        Each has ``$token``, ``$group_key`` and ``$group_id``, and no
        ``$distinct_id``, which Mixpanel refuses there.
        """
        tokens = [_text_in(r, "$token") for r in _records(records)]
        for record in records:
            if "$group_key" not in record or "$group_id" not in record:
                raise ValueError("a record lacks $group_key or $group_id")
            if "$distinct_id" in record:
                raise ValueError("a group record must not have $distinct_id")
        params = {"ip": 0, "strict": 1, "verbose": 1}
        return self._legacy("groups", records, tokens, params)

    def update_profiles(
        self, lines: Sequence[bytes], *, token: str, groups: bool = False
    ) -> LegacyResult:
        """Send updates of profiles that are JSON objects in bytes already.

        Each gets ``$token`` as its first member, and else goes out as it is. None may
        be empty, hold a ``$token``, or stand for anything but an object.
        """
        if not 0 < len(lines) <= MAX_RECORDS:
            raise ValueError(f"there must be 1 to {MAX_RECORDS} records")
        if not token:
            raise ValueError("profiles need the project token")
        start = b'{"$token":' + dump_json(token) + b","
        answer = self._http.send(
            "POST",
            f"{self._http.region.ingestion_url}/{'groups' if groups else 'engage'}",
            params={"ip": 0, "strict": 1, "verbose": 1},
            body=b"[" + b",".join([start + line[1:] for line in lines]) + b"]",
            headers={"Content-Type": "application/json"},
            anonymous=True,
            secrets={token},
        )
        return _legacy_answer(answer)

    def _legacy(
        self,
        path: str,
        records: Sequence[Json],
        tokens: list[str],
        params: Mapping[str, int],
    ) -> LegacyResult:
        answer = self._http.send(
            "POST",
            f"{self._http.region.ingestion_url}/{path}",
            params=params,
            json_body=list(records),
            anonymous=True,
            secrets=set(tokens),
        )
        return _legacy_answer(answer)


def _legacy_answer(answer: Answer) -> LegacyResult:
    if answer.status != 400 and not 200 <= answer.status < 300:
        raise answer.error()
    return answer.read(lambda value: _legacy(value, answer), answer.json())


def read_failed(value: Any) -> tuple[FailedRecord, ...]:
    """``failed_records``: objects, or only texts when the whole batch failed."""
    if value is None:
        return ()
    return tuple(_failed(item) for item in as_list(value, "failed_records"))


def _failed(value: Any) -> FailedRecord:
    if isinstance(value, str):
        return FailedRecord(index=None, insert_id="", field="", message=value)
    data = as_object(value, "a failed record")
    index = get_int(data, "index")
    return FailedRecord(
        index=index if index is None or index >= 0 else None,
        insert_id=_id_text(data.get("insert_id")) or _id_text(data.get("$insert_id")),
        field=get_text(data, "field"),
        message=get_text(data, "message"),
    )


def _id_text(value: Any) -> str:
    # The id comes from the sender's own data, so it may be anything.
    return "" if value is None else value if isinstance(value, str) else str(value)


def _report(value: Any, status: int) -> ImportResult:
    data = as_object(value, "the report")
    if not {"failed_records", "num_records_imported", "error"} & data.keys():
        raise Mismatch("it does not tell what was stored")
    failed = read_failed(data.get("failed_records"))
    imported = get_int(data, "num_records_imported")
    only_texts = all(record.index is None for record in failed)
    return ImportResult(
        num_records_imported=imported,
        failed=failed,
        whole_batch_failed=not imported and only_texts,
        status=status,
        error=get_text(data, "error"),
        raw=data,
    )


def _imported(value: Any, answer: Answer) -> ImportResult:
    # With strict=0 the answer was seen in the words of the older endpoints.
    data = {"status": value} if _is_digit(value) else as_object(value, "the report")
    if data.get("status") in (0, False, "error"):
        raise Mismatch(f"it says that it failed: {get_text(data, 'error')}")
    if not {"status", "num_records_imported"} & data.keys():
        raise Mismatch("it does not tell what was stored")
    result = _report({"failed_records": None, **data}, answer.status)
    return ImportResult(
        num_records_imported=result.num_records_imported,
        failed=result.failed,
        whole_batch_failed=False,
        status=answer.status,
        error=result.error,
        raw=data,
    )


def _legacy(value: Any, answer: Answer) -> LegacyResult:
    data = {"status": value} if _is_digit(value) else as_object(value, "the answer")
    failed = read_failed(data.get("failed_records"))
    status = data.get("status")
    if answer.status == 400 or status in (0, "error", "Bad Request"):
        ok = False
    elif status in (1, "ok", "OK"):
        ok = not failed
    else:
        raise Mismatch(f"its status is {describe(status)}")
    good = get_int(data, "num_good_events")
    return LegacyResult(
        ok=ok,
        error=get_text(data, "error"),
        failed=failed,
        num_good=get_int(data, "num_records_imported") if good is None else good,
        raw=data,
    )


def _is_digit(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int) and value in (0, 1)


def _records(records: Sequence[Json]) -> Sequence[Json]:
    if not 0 < len(records) <= MAX_RECORDS:
        raise ValueError(f"there must be 1 to {MAX_RECORDS} records")
    for record in records:
        if not isinstance(record, dict):
            raise TypeError("a record must be an object")
    return records


def _text_in(value: Any, key: str) -> str:
    token = value.get(key) if isinstance(value, dict) else None
    if not isinstance(token, str) or not token:
        raise ValueError(f"a record lacks its {key}")
    return token
