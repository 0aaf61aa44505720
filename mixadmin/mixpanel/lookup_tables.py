"""Lookup tables: replace one through the ingestion API, or their whole life.

The ids of the two ways differ: a uuid for ``list`` and ``replace``, and a signed
64-bit number, carried as text, for the definitions in the App API. The latter is
not documented by Mixpanel and may change.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, Any

from .building import text
from .http import Answer, Http, join
from .ingestion import read_failed
from .reading import (
    Json,
    Mismatch,
    as_list,
    as_object,
    describe,
    get_key,
    get_text,
    many,
)
from .regions import is_upload_place, origin

_DEFINITION_ID = re.compile(r"-?\d{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A table as the ingestion API lists it."""

    id: str
    name: str
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that Mixpanel refused. What ``index`` counts from is not documented."""

    index: int | None
    message: str


@dataclass(frozen=True, slots=True)
class ReplaceResult:
    """Whether the table was replaced. If not, at most 10 bad rows are named."""

    ok: bool
    error: str
    failed: tuple[FailedRow, ...]
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class UploadUrl:
    """Where to put a file, for 60 minutes. The link itself is a credential."""

    url: str = field(repr=False)
    path: str
    key: str
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Upload:
    """How far an uploaded file is.

    ``table_id`` is set when the table is ready, ``upload_id`` while it is not;
    ``status`` is Mixpanel's word.
    """

    table_id: str
    upload_id: str
    status: str
    error: str
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class LookupDefinition:
    """A table as the App API lists it; ``id`` is a signed 64-bit number as text."""

    id: str
    name: str
    raw: Json = field(repr=False)


class LookupTables:
    """``client.lookup_tables``."""

    def __init__(self, http: Http, project_id: int | None) -> None:
        self._http = http
        self._project_id = project_id

    def list(self) -> list[LookupTable]:
        """All tables of the project. Needs a service account."""
        url = join(self._http.region.ingestion_url, "lookup-tables")
        answer = self._http.checked("GET", url, params=self._query())
        # Without tables Mixpanel says null.
        return answer.results(
            lambda value: [] if value is None else many(_table, "tables")(value)
        )

    def replace(
        self, table_id: str, csv: bytes | IO[bytes], *, gzipped: bool = False
    ) -> ReplaceResult:
        """Replace the rows of a table: all or nothing, at most 100 times a day.

        ``csv`` may be a file opened for reading bytes, which is streamed; give the
        client longer timeouts for a large one.
        """
        url = join(self._http.region.ingestion_url, "lookup-tables", table_id)
        headers = {"Content-Type": "text/csv"}
        if gzipped:
            headers["Content-Encoding"] = "gzip"
        answer = self._http.send(
            "PUT", url, params=self._query(), body=_file(csv), headers=headers
        )
        if answer.status == 400:
            return answer.read(_refused, answer.json())
        if not 200 <= answer.status < 300:
            raise answer.error()
        return answer.read(_accepted, answer.envelope())

    def upload_url(self) -> UploadUrl:
        """Ask where to put a file. First step of making a table."""
        answer = self._app("GET", "upload-url", params={"content-type": "text/csv"})
        found = answer.results(_upload_url, bare=True)
        if not self._is_allowed(found.url):
            raise answer.unexpected("its upload link leads to an unknown host")
        return found

    def upload(self, place: UploadUrl, csv: bytes | IO[bytes]) -> None:
        """Put the file there, without credentials. Second step."""
        self._http.checked(
            "PUT",
            place.url,
            body=_file(csv),
            headers={"Content-Type": "text/csv"},
            upload=True,
            secrets=(place.url,),
        )

    def create_from_upload(
        self, name: str, place: UploadUrl, *, replace_id: str = ""
    ) -> Upload:
        """Make a table of the uploaded file, or replace the one with that id.

        Third step. Files below 5 MB are ready at once; for others ask
        ``upload_status``.
        """
        text("name", name)
        form = {"name": name, "path": place.path, "key": place.key}
        if replace_id:
            form["data-group-id"] = str(_definition_id(replace_id))
        return self._app("POST", form=form).results(_upload, bare=True)

    def upload_status(self, upload_id: str) -> Upload:
        """How far a large file is."""
        text("upload_id", upload_id)
        query = {"upload-id": upload_id}
        answer = self._app("GET", "upload-status", params=query)
        return answer.results(_upload, bare=True)

    def list_definitions(self, table_id: str = "") -> builtins.list[LookupDefinition]:
        """All tables of the project, or the one with that id."""
        query = {"data-group-id": _definition_id(table_id)} if table_id else None
        return self._app("GET", params=query).results(_definitions)

    def delete_definitions(self, table_ids: Iterable[str]) -> None:
        """Delete tables."""
        ids = [_definition_id(table_id) for table_id in table_ids]
        if not ids:
            raise ValueError("table_ids must not be empty")
        self._app("DELETE", json_body={"data-group-ids": ids}).ok()

    def _app(self, method: str, *path: object, **options: Any) -> Answer:
        self._query()
        base = ("projects", self._project_id, "data-definitions", "lookup-tables")
        return self._http.app(method, *base, *path, slash=True, **options)

    def _query(self) -> dict[str, str | int]:
        if self._project_id is None:
            raise ValueError("this call needs a client with a project_id")
        return {"project_id": self._project_id}

    def _is_allowed(self, url: str) -> bool:
        if is_upload_place(url):
            return True
        region = self._http.region
        try:
            return origin(url) in (origin(region.app_url), origin(region.ingestion_url))
        except ValueError:
            return False


def _file(csv: bytes | IO[bytes]) -> bytes | IO[bytes]:
    if isinstance(csv, bytes):
        if not csv:
            raise ValueError("the file is empty")
        return csv
    start = csv.tell()
    piece: object = csv.read(1)
    if not isinstance(piece, bytes):
        raise TypeError("the file must be opened for reading bytes")
    if not piece:
        raise ValueError("the file is empty")
    csv.seek(start)
    return csv


def _definition_id(value: str) -> int:
    if not isinstance(value, str) or not _DEFINITION_ID.fullmatch(value):
        raise ValueError("a table id is a whole number as text")
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError("a table id fits into 64 bits")
    return number


def _number_as_text(value: Any, what: str) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        if -(2**63) <= value < 2**63:
            return str(value)
    elif isinstance(value, str):
        return value
    raise Mismatch(f"{what} should be a 64-bit number, came {describe(value)}")


def _table(value: Any) -> LookupTable:
    data = as_object(value, "a lookup table")
    return LookupTable(id=get_key(data, "id"), name=get_text(data, "name"), raw=data)


def _refused(value: Any) -> ReplaceResult:
    data = as_object(value, "the report")
    failed = tuple(
        FailedRow(index=row.index, message=row.message)
        for row in read_failed(data.get("failed_records"))
    )
    return ReplaceResult(
        ok=False, error=get_text(data, "error"), failed=failed, raw=data
    )


def _accepted(data: Json) -> ReplaceResult:
    status = data.get("status")
    if status in (None, 0) or data.get("failed_records"):
        # Yes and no at once: whether the rows were replaced is not known.
        raise Mismatch(f"its status is {describe(status)}")
    return ReplaceResult(ok=True, error="", failed=(), raw=data)


def _upload_url(value: Any) -> UploadUrl:
    data = as_object(value, "an upload link")
    return UploadUrl(
        url=get_key(data, "url"),
        path=get_key(data, "path"),
        key=get_text(data, "key"),
        raw={name: data[name] for name in data if name != "url"},
    )


def _upload(value: Any) -> Upload:
    data = as_object(value, "an upload")
    inner = data.get("result")
    found = {**data, **inner} if isinstance(inner, dict) else data
    table_id = next(
        (
            _number_as_text(found[key], key)
            for key in ("id", "data-group-id", "dataGroupId", "data_group_id")
            if found.get(key) is not None
        ),
        "",
    )
    upload_id = next(
        (
            _number_as_text(found[key], key)
            for key in ("uploadId", "upload-id", "upload_id")
            if found.get(key) is not None
        ),
        "",
    )
    status = get_text(found, "uploadStatus", "upload_status", "status", "state")
    if not table_id and not upload_id and not status:
        raise Mismatch("it has neither an id nor an upload id")
    return Upload(
        table_id=table_id,
        upload_id=upload_id,
        status=status,
        error=get_text(found, "error"),
        raw=data,
    )


def _definitions(value: Any) -> list[LookupDefinition]:
    if value is None:
        return []
    return [_definition(item) for item in as_list(value, "tables")]


def _definition(value: Any) -> LookupDefinition:
    data = as_object(value, "a table")
    for key in ("id", "data-group-id", "dataGroupId", "data_group_id"):
        if found := _number_as_text(data.get(key), key):
            return LookupDefinition(id=found, name=get_text(data, "name"), raw=data)
    raise Mismatch("a table has no id")
