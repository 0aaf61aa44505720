"""One file from its first byte to its last, judged and reported on, without sending."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import IO

from .compression import Unreadable, packed_file
from .reading import chunks
from .report import Report
from .rules import judge_for

# From here on one file cancels the whole job of Cloud Import.
CLOUD_IMPORT_FILE = 2_000_000_000
# Enough for an id to be the same the next time; what is sent has the file's own.
SEED = b"check"

Progress = Callable[[int, int], None]


def check(
    raw: IO[bytes],
    *,
    kind: str,
    now: float,
    name: str = "",
    destination: str = "import",
    mends: Iterable[str] = (),
    insert_id_fields: Sequence[str] = (),
    report: Report | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Read a file, packed or not, and report what would become of its records.

    report: to be filled further, so that several files make one report.
    on_progress: called now and then with the stored bytes and the records read so far.
    A file that cannot be read on is part of the report.
    """
    if report is None:
        report = Report(kind, destination)
    report.name = name
    # With us, an event without an $insert_id gets one; elsewhere it stays as it is.
    seed = (lambda: SEED) if destination == "import" else None
    judge = judge_for(
        kind,
        destination=destination,
        mends=mends,
        insert_id_fields=insert_id_fields,
        seed=seed,
    )
    counted = _Counted(raw)
    before = report.records
    trouble: Unreadable | None = None
    compression = ""
    lines = 0
    try:
        compression, stream = packed_file(counted, name)
        for chunk in chunks(stream):
            report.add(chunk, judge.judge(chunk, now=now), now)
            lines = chunk.number + len(chunk.lines) - 1
            if on_progress is not None:
                on_progress(counted.bytes, report.records - before)
    except Unreadable as error:
        trouble = error
    if destination == "cloud_import" and counted.bytes >= CLOUD_IMPORT_FILE:
        report.file_finding("file.too_large")
    facts = {
        "name": name,
        "bytes": counted.bytes,
        "compression": compression,
        "lines": lines,
        "records": report.records - before,
    }
    if trouble is not None:
        facts |= {
            "code": trouble.code,
            "message": trouble.message,
            "line": trouble.number,
            "offset": trouble.offset,
        }
    report.add_file(**facts)
    return report


class _Counted:
    """A file that counts the bytes that were read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.bytes = 0

    def read(self, n: int, /) -> bytes:
        piece = self._file.read(n)
        self.bytes += len(piece)
        return piece
