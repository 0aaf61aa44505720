"""Where the files of versions lie: below DATA_DIR, compressed, for our eyes only.

Paths are made of numbers that are ours, never of a name that came from elsewhere.
"""

import csv
import hashlib
import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from django.conf import settings
from django.core.exceptions import ValidationError
from isal import igzip

from mixadmin.common.spreadsheets import harmless
from mixadmin.dataprep import tables
from mixadmin.dataprep.tables import RULES, BadRow, Broken, Readable
from mixadmin.jobs.registry import Turn

from .models import LookupTable, LookupVersion

# Made, not compressed to the utmost: a file is sent about as often as it is written.
LEVEL = 2
PIECE = 256 * 1024
_gzip: Any = igzip.IGzipFile
HEADER_OF_BAD_ROWS = (
    "line",
    "row",
    "finding",
    "message",
    "same key in line",
    "content",
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that lies here and belongs to no version yet."""

    path: Path
    size: int
    sha256: str


def root() -> Path:
    return Path(settings.DATA_DIR) / "lookups"


def folder(table_id: int) -> Path:
    return root() / str(table_id)


def path(version: LookupVersion) -> Path:
    """The CSV, as gzip."""
    return folder(version.table_id) / f"{version.number}.csv.gz"


def bad_rows_path(version: LookupVersion) -> Path:
    return folder(version.table_id) / f"{version.number}.bad.csv.gz"


def opener(version: LookupVersion, turn: Turn | None = None) -> Callable[[], BinaryIO]:
    """Opens the stored CSV, still compressed. With a turn, reading it keeps the job."""
    place = path(version)
    if turn is None:
        return lambda: open(place, "rb")
    return lambda: io.BufferedReader(_Heard(place, turn), PIECE)


class _Heard(io.FileIO):
    """Says that the worker lives whenever it is read from."""

    def __init__(self, place: Path, turn: Turn) -> None:
        super().__init__(place)
        self._turn = turn

    def readinto(self, buffer: Any) -> int | None:
        self._turn.heard()
        return super().readinto(buffer)


def store(table: LookupTable, source: Readable) -> Stored:
    """Keep what comes, plain or gzip, until `adopt` gives it to a version.

    Raises ValidationError for what no version should be made of.
    """
    digest, size = hashlib.sha256(), 0
    with _new_file(table) as (place, file):
        packed = _gzip(fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0)
        try:
            blocks = tables.pieces(tables.unpacked(source), most=tables.MOST_BYTES)
            for block in blocks:
                digest.update(block)
                size += len(block)
                packed.write(block)
        except Broken as broken:
            raise refusal(broken.code) from None
        packed.close()
        if not size:
            raise refusal("file.empty")
    return Stored(place, size, digest.hexdigest())


def copy(version: LookupVersion) -> Stored:
    """The same file once more."""
    with _new_file(version.table) as (place, file), open(path(version), "rb") as old:
        shutil.copyfileobj(old, file)
    return Stored(place, version.size, version.sha256)


def adopt(stored: Stored, version: LookupVersion) -> None:
    """Make it the file of a version."""
    os.replace(stored.path, path(version))
    _sync(folder(version.table_id))


def drop(stored: Stored) -> None:
    stored.path.unlink(missing_ok=True)


def remove(version: LookupVersion) -> None:
    for place in (path(version), bad_rows_path(version)):
        place.unlink(missing_ok=True)


def refusal(code: str) -> ValidationError:
    rule = RULES[code]
    words = f"{rule.title}. {rule.meaning} {rule.remedy}"
    return ValidationError({"file": ValidationError(words, code=code)})


@contextmanager
def _new_file(table: LookupTable) -> Iterator[tuple[Path, IO[bytes]]]:
    """A file that is on the disk for certain afterwards, or not there at all."""
    where = folder(table.pk)
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = where / f"incoming-{uuid.uuid4()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with open(os.open(place, flags, 0o600), "wb") as file:
            yield place, file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def _sync(where: Path) -> None:
    """Make the names in a directory last."""
    handle = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def bad_rows(version: LookupVersion) -> Iterator[tables.Sink]:
    """A sink that writes all of them into the file beside the CSV."""
    with _new_file(version.table) as (place, file):
        packed = _gzip(fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0)
        text = io.TextIOWrapper(packed, "utf-8", newline="")
        yield bad_row_writer(csv.writer(text))
        text.close()
    os.replace(place, bad_rows_path(version))


def bad_row_writer(writer: Any) -> tables.Sink:
    """A sink that writes bad rows as CSV, with a header."""
    writer.writerow(HEADER_OF_BAD_ROWS)

    def sink(bad: BadRow) -> None:
        other = "" if bad.other_line is None else bad.other_line
        told = (bad.line, bad.row, bad.code, bad.message, other, bad.content)
        writer.writerow(map(harmless, map(str, told)))

    return sink


def csv_bytes(place: Path) -> Iterator[bytes]:
    """The unpacked file, in pieces."""
    with open(place, "rb") as raw:
        yield from tables.pieces(tables.unpacked(raw))


def csv_for_spreadsheets(version: LookupVersion) -> Iterator[bytes]:
    """The rows without formulas. What is sent to Mixpanel is not changed."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    with open(path(version), "rb") as raw:
        for row in tables.rows(raw):
            writer.writerow(map(harmless, row))
            if out.tell() > tables.BLOCK:
                yield out.getvalue().encode()
                out.seek(0)
                out.truncate()
    yield out.getvalue().encode()


def forget_strays(*, before: float) -> int:
    """Remove folders of tables that are gone, and what uploads left that were cut off
    before that time. Returns how many."""
    if not root().is_dir():
        return 0
    folders = {int(p.name): p for p in root().iterdir() if p.name.isdecimal()}
    known = LookupTable.objects.filter(pk__in=folders).values_list("pk", flat=True)
    strays = 0
    for pk in folders.keys() - set(known):
        shutil.rmtree(folders[pk], ignore_errors=True)
        strays += 1
    for place in root().glob("*/incoming-*"):
        with suppress(FileNotFoundError):
            if place.stat().st_mtime < before:
                place.unlink()
                strays += 1
    return strays
