"""Records that were not imported, kept in files: written by workers, read by people.

Each claim of a part writes files of its own. How much of a file counts is in its row,
which changes in the transaction that counts the records; so a worker that was killed,
or is no longer wanted, changes nothing that anybody reads.
"""

import base64
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
from django.conf import settings

from mixadmin.common.spreadsheets import harmless

from .models import Ingestion, Part, RejectedGroup, Spool

# The message of the group of all that have no group of their own.
OTHER = "Other messages"
# Of these only the beginning is kept.
CUT = "record.too_large"


class Entry(msgspec.Struct, omit_defaults=True):
    """A record, where it came from, and why it is here.

    `record` when the line is JSON; else `text`, or `base64` when it is not even UTF-8.
    `cut`: only the beginning of a line that is larger than any record may be.
    """

    file: str
    line: int
    code: str = ""
    field: str = ""
    message: str = ""
    record: msgspec.Raw = msgspec.Raw()
    text: str = ""
    base64: str = ""
    cut: bool = False
    # Of held records: when it may be sent, in unix seconds.
    due: float = 0.0

    @property
    def group(self) -> tuple[str, str, str]:
        return self.code, self.field[:255], self.message

    def raw(self) -> bytes:
        """The line as it stood in the file, or as it was mended."""
        if self.base64:
            return base64.b64decode(self.base64)
        return self.text.encode() if self.text else bytes(self.record)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def entry(raw: bytes, **about: Any) -> bytes:
    """A line of a spool, for a line as it stood in the file and what is to be told."""
    told = Entry(**about)
    try:
        msgspec.json.decode(raw)
        told.record = msgspec.Raw(raw.strip())
    except (ValueError, RecursionError):
        try:
            told.text = raw.decode()
        except UnicodeDecodeError:
            told.base64 = base64.b64encode(raw).decode()
    return _encoder.encode(told) + b"\n"


def folder() -> Path:
    return Path(settings.DATA_DIR) / "ingestion"


class Writer:
    """The spools of one kind that one claim of a part writes."""

    def __init__(self, part: Part, ingestion: Ingestion, kind: str, token: int) -> None:
        self._row = Spool(ingestion=ingestion, part=part, kind=kind)
        self._row.path = f"{ingestion.pk}/{kind}-{part.pk}-{token}.ndjson"
        self._file: IO[bytes] | None = None
        self._lines: list[bytes] = []
        self._due: float | None = None

    def add(self, line: bytes, *, due: float | None = None) -> None:
        self._lines.append(line)
        if due is not None:
            self._due = max(due, self._due or 0.0)

    def flush(self) -> None:
        """Put on disk what was added. Before the transaction that counts it."""
        if not self._lines:
            return
        if self._file is None:
            path = folder() / self._row.path
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = os.fdopen(handle, "wb")
        text = b"".join(self._lines)
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._row.bytes += len(text)
        self._row.records += len(self._lines)
        if self._due is not None:
            self._row.due = max(self._due, self._row.due or 0.0)
        self._lines.clear()

    def commit(self) -> None:
        """Let what was flushed count. Inside that transaction."""
        if self._row.bytes:
            self._row.save()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def entries(spools: Iterable[Spool]) -> Iterator[Entry]:
    """What counts in these spools, record by record, in bounded memory."""
    for spool in spools:
        with (folder() / spool.path).open("rb") as file:
            left = spool.bytes
            while left > 0:
                line = file.readline()
                left -= len(line)
                if not line:
                    break
                yield _decoder.decode(line)


def rejected(
    ingestion: Ingestion, groups: Sequence[RejectedGroup] | None = None
) -> Iterator[Entry]:
    """Every record of an ingestion that was rejected, or those of some groups, part by
    part."""
    spools = Spool.objects.filter(ingestion=ingestion, kind=Spool.Kind.REJECTED)
    order = ("part__slice", "part__file_id", "part__ordinal", "pk")
    found = entries(spools.order_by(*order).iterator(chunk_size=200))
    if groups is None:
        yield from found
        return
    wanted = {_key(group) for group in groups}
    # Those with a group of their own are not among the others.
    known = {_key(group) for group in ingestion.rejected_groups.defer("examples")}
    for one in found:
        other = (one.code, "", OTHER)
        if one.group in wanted or (other in wanted and one.group not in known):
            yield one


def _key(group: RejectedGroup) -> tuple[str, str, str]:
    return group.code, group.field, group.message


def write_rejected(
    path: str,
    ingestion: Ingestion,
    groups: Sequence[RejectedGroup] | None,
    heard: Callable[[], None],
) -> None:
    """Write rejected records out as a file that can be sent, all of it or nothing.

    groups: whose records; None: all. heard: called now and then.
    """
    place = folder() / path
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=place.parent, prefix="again-")
    with os.fdopen(handle, "wb") as file:
        for one in rejected(ingestion, groups):
            # Of what was cut there is not enough left to send.
            if not one.cut:
                file.write(one.raw() + b"\n")
            heard()
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, place)


def as_ndjson(found: Iterable[Entry]) -> Iterator[bytes]:
    """For a download: one JSON object a line."""
    for one in found:
        yield _encoder.encode(one) + b"\n"


def as_csv(found: Iterable[Entry]) -> Iterator[bytes]:
    """For a download into a spreadsheet, which must not run any of it."""
    columns = ("file", "line", "code", "field", "message", "record")
    yield _row(columns)
    for one in found:
        text = one.raw().decode("utf-8", "replace")
        values = (one.file, str(one.line), one.code, one.field, one.message, text)
        yield _row(harmless(value) for value in values)


def _row(values: Iterable[str]) -> bytes:
    cells = ['"' + value.replace('"', '""') + '"' for value in values]
    return (",".join(cells) + "\r\n").encode()
