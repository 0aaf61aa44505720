"""CSV files for lookup tables: would Mixpanel take them, and what would change.

A file is read in blocks of about a megabyte, and whole blocks are proven good where that
is cheap; only where a proof fails are single rows looked at. What is remembered of a row
that is good is a hash of its key and where it stands.

What Mixpanel documents: a header with at least two columns of unique names, the join key
first; keys unique, not blank and not falsy; as many fields in each row as in the header;
RFC 4180; 100 MB uncompressed; about a million rows, five million in a project; the types
of values. Assumed: what it makes of NUL, of a lone CR, and where a number ends; that "100
MB" are 100 * 1024 * 1024 bytes at most; that rows count from the header as row 0.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, pairwise
from operator import itemgetter
from typing import Any, BinaryIO, Protocol, cast

from isal import igzip, isal_zlib

MOST_BYTES = 100 * 1024 * 1024
# Above this many bytes a strict reading of "100 MB" would refuse the file.
SURE_BYTES = 100_000_000
MANY_ROWS = 1_000_000
ROWS_OF_PROJECT = 5_000_000
LEAST_COLUMNS = 2
# The csv module's own limit; a longer field is nearly always a quote left open.
MOST_CHARACTERS = 131_072
BLOCK = 1 << 20
# How many rows are remembered at the same time where each costs about 100 bytes.
AT_ONCE = 1_000_000
SHOWN_ROWS = 100
SHOWN_COLUMNS = 1_000
SHOWN_CHARACTERS = 80
FIRST = 5

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
WIDE = (b"\xff\xfe", b"\xfe\xff")

_QUOTED = r'"(?:[^"]|"")*+"'
_FIELD = rf'(?:{_QUOTED}|[^",\r\n]*+)'
_ROW = re.compile(rf"{_FIELD}(?:,{_FIELD})*+(?:\r?\n)?")
_LONE_CR = re.compile(r"\r(?!\n)")
# Bytes that are not UTF-8 are decoded to these.
_NOT_UTF8 = re.compile("[\udc80-\udcff]")

_NUMBER = r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:\n{_NUMBER})*+")
_ONE_NUMBER = re.compile(_NUMBER)
_ZEROS = re.compile(r"[+-]?0[0-9]")
_DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_MOMENT = re.compile(rf"{_DATE}[Tt]{_CLOCK}{_ZONE}")
_TEXT_IN_LIST = r'"[^"\\\x00-\x1f]*+"'
# Types for which a whole column is tried at once, as cells with line feeds in between.
_WHOLE = {
    "number": _NUMBERS,
    "datetime": re.compile(rf"{_MOMENT.pattern}(?:\n{_MOMENT.pattern})*+"),
    "boolean": re.compile(r"(?:true|false)(?:\n(?:true|false))*+", re.IGNORECASE),
}
# Lists that need no JSON parser to be told.
_PLAIN_LIST = re.compile(rf"\[{_TEXT_IN_LIST}(?:, ?{_TEXT_IN_LIST})*+\]")
_DATE_ONLY = re.compile(rf"{_DATE}(?:[Tt ]{_CLOCK})?")
# What a cell begins with that may be something else than text.
_STARTS = frozenset("0123456789+-.tTfF[{")
_FALSY = re.compile(r"[+-]?0+(?:\.0*)?|false", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that may be found: what it means, and what to do about it.

    refused: Mixpanel would refuse the whole file. Otherwise somebody should look.
    """

    code: str
    refused: bool
    title: str
    meaning: str
    remedy: str


_ALL = (
    Rule(
        "file.empty",
        True,
        "The file is empty",
        "There is not even a header.",
        "Export the file again.",
    ),
    Rule(
        "file.too_large",
        True,
        "The file is too large",
        "Mixpanel takes at most 100 MB of CSV, counted before compression.",
        "Leave out columns or rows that no report uses, or make two tables.",
    ),
    Rule(
        "file.broken",
        True,
        "The compressed file is damaged",
        "It cannot be unpacked to its end.",
        "Compress it again, or send it uncompressed.",
    ),
    Rule(
        "file.encoding",
        True,
        "The file is UTF-16",
        "Mixpanel reads UTF-8 only.",
        "Save it as “CSV UTF-8”.",
    ),
    Rule(
        "file.large",
        False,
        "The file is barely within the limit",
        "Mixpanel says 100 MB and does not say whether it counts in thousands.",
        "Send it and see, or make it smaller than 100,000,000 bytes.",
    ),
    Rule(
        "file.no_rows",
        False,
        "The file has no rows",
        "There is only a header: sending it empties the table.",
        "Send it only if the table is to be empty.",
    ),
    Rule(
        "rows.many",
        False,
        "More than a million rows",
        "Mixpanel advises at most about 1 million rows in a table (in another place: 1 to "
        "2 million), and 5 million in all tables of a project.",
        "Send it and see, or leave out rows that no report uses.",
    ),
    Rule(
        "header.unreadable",
        True,
        "The header cannot be read",
        "What is wrong with it is told below. Nothing after it was checked.",
        "Correct the first row.",
    ),
    Rule(
        "header.too_few_columns",
        True,
        "Fewer than two columns",
        "A table has its join key in the first column and at least one property beside "
        "it. A file with another separator than the comma looks like this too.",
        "Separate the columns by commas.",
    ),
    Rule(
        "header.repeated_name",
        True,
        "Two columns have the same name",
        "Each column becomes a property, so names must be unique.",
        "Rename one of them.",
    ),
    Rule(
        "header.empty_name",
        True,
        "A column has no name",
        "Each column becomes a property and needs a name.",
        "Name it, or leave the column out.",
    ),
    Rule(
        "header.key_unnamed",
        False,
        "The first column has no name",
        "Its name does not matter to Mixpanel, but a column of row numbers, as some "
        "tools add it, would now be the join key.",
        "Look whether the first column is the one to join by.",
    ),
    Rule(
        "row.field_count",
        True,
        "Too many or too few fields",
        "Each row must have as many fields as the header.",
        "Quote fields that hold a comma or a line break.",
    ),
    Rule(
        "row.quotes",
        True,
        "A quote in the wrong place",
        "A field with a quote in it must be quoted, and the quote doubled.",
        'Write "He said ""no""" for: He said "no".',
    ),
    Rule(
        "row.quote_open",
        True,
        "A quote is never closed",
        "The field begins with a quote and its end was not found. The check went on in "
        "the next line.",
        "Close the quote, or double it if it is part of the text.",
    ),
    Rule(
        "row.field_too_long",
        True,
        "A field is too long",
        f"It has more than {MOST_CHARACTERS:,} characters.",
        "Shorten it. Mixpanel shows no more than 255 characters of a text anyway.",
    ),
    Rule(
        "row.not_utf8",
        True,
        "Not UTF-8",
        "The row holds bytes that are no UTF-8 text.",
        "Export the file as UTF-8.",
    ),
    Rule(
        "row.nul",
        True,
        "A NUL character",
        "No text holds one. The file was probably damaged or is not text.",
        "Export the file again.",
    ),
    Rule(
        "row.lone_cr",
        True,
        "A carriage return without a line feed",
        "Rows end with LF or CR LF. Programs read a lone CR differently.",
        "Save the file with LF or CR LF, and quote fields that hold a CR.",
    ),
    Rule(
        "key.blank",
        True,
        "A key is blank",
        "The first column is the join key and must have a value in each row.",
        "Fill it, or leave the row out.",
    ),
    Rule(
        "key.repeated",
        True,
        "A key is there twice",
        "Each key may have one row only.",
        "Keep one of the rows.",
    ),
    Rule(
        "key.falsy",
        False,
        "A key is 0 or false",
        "Mixpanel says that a key must not be falsy. Whether it means such texts is not "
        "known; if it does, it refuses the file.",
        "Use another key if you can.",
    ),
    Rule(
        "key.spaces",
        False,
        "A key begins or ends with a space",
        "Keys are compared as they are, so that it joins with nothing but the same text.",
        "Remove the space, unless the property has it too.",
    ),
    Rule(
        "column.mixed",
        False,
        "A column holds different types",
        "Mixpanel reads each value for itself: some rows become numbers, others text, "
        "and reports keep them apart.",
        "Make all values of the column one type.",
    ),
    Rule(
        "column.objects",
        False,
        "A column holds JSON objects",
        "Mixpanel has no objects in lookup tables; they stay plain text.",
        "Give each key of the object a column of its own.",
    ),
    Rule(
        "column.leading_zeros",
        False,
        "Numbers with leading zeros",
        "They are read as numbers, so that 00501 becomes 501.",
        "Put something before them, such as “zip-00501”, if the zeros matter.",
    ),
    Rule(
        "column.dates",
        False,
        "Dates that Mixpanel takes for text",
        "Only RFC 3339 date-times such as 2026-11-22T08:00:00Z are read as times.",
        "Write them so.",
    ),
)
RULES = {rule.code: rule for rule in _ALL}


@dataclass(frozen=True, slots=True)
class BadRow:
    """Why a row would be refused.

    line: of its beginning, from 1, as editors count. row: 0 is the header; the count of
    Mixpanel's reports, as far as is known. other_line and other_row: with a key that is
    there twice, its first row. content: the beginning of the row.
    """

    code: str
    line: int
    row: int
    message: str
    content: str = ""
    other_line: int | None = None
    other_row: int | None = None


Sink = Callable[[BadRow], None]


@dataclass(slots=True)
class Finding:
    """How often something was found, and where first."""

    count: int = 0
    lines: list[int] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Column:
    """What is in a column: how many values of each type Mixpanel will read."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The one type of its values; "mixed", or "empty" without any."""
        kinds = self.kinds
        return kinds[0] if len(kinds) == 1 else "mixed" if kinds else "empty"

    @property
    def kinds(self) -> list[str]:
        """Mixpanel's types in it; objects and other dates are text to Mixpanel."""
        merged = {_AS_TEXT.get(kind, kind) for kind in self.counts}
        return [kind for kind in KINDS if kind in merged]


KINDS = ("number", "datetime", "boolean", "list", "text")
_AS_TEXT = {"object": "text", "date": "text"}


@dataclass(slots=True)
class Report:
    """What a check found. `rows` are those after the header, good or bad."""

    rows: int = 0
    blank_lines: int = 0
    bytes: int = 0
    bad_rows: int = 0
    columns: list[Column] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def would_be_refused(self) -> bool:
        return any(RULES[code].refused for code in self.findings)

    @property
    def is_clean(self) -> bool:
        return not self.findings

    def find(self, code: str, *, line: int = 0, column: str = "", by: int = 1) -> None:
        found = self.findings.setdefault(code, Finding())
        found.count += by
        if line and len(found.lines) < FIRST:
            found.lines.append(line)
        if column and len(found.columns) < 20:
            found.columns.append(cut(column))

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON; of many columns only the first."""
        return {
            "rows": self.rows,
            "blank_lines": self.blank_lines,
            "bytes": self.bytes,
            "bad_rows": self.bad_rows,
            "column_count": len(self.columns),
            "columns": [
                {"name": cut(c.name), "kind": c.kind, "counts": c.counts}
                for c in self.columns[:SHOWN_COLUMNS]
            ],
            "findings": {
                code: {
                    "count": found.count,
                    "refused": RULES[code].refused,
                    "lines": found.lines,
                    "columns": found.columns,
                }
                for code, found in self.findings.items()
            },
        }


class Broken(Exception):
    """The file cannot be read to its end. `code` is that of a finding."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# --- Reading --------------------------------------------------------------------------


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


# These come without types.
_gunzipped: Callable[..., Readable] = igzip.IGzipFile
_DAMAGED: Any = (EOFError, zlib.error, isal_zlib.error)


class _Whole(io.RawIOBase):
    """A stream of which the beginning was looked at, from its beginning."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._head or self._rest.read(len(buffer))
        self._head = data[len(buffer) :] if self._head else b""
        data = data[: len(buffer)]
        buffer[: len(data)] = data
        return len(data)


def unpacked(raw: Readable) -> Readable:
    """The CSV in a stream, whether it is gzip or not. Told by its first bytes."""
    head = raw.read(2)
    if len(head) == 1:
        head += raw.read(1)
    whole = cast(Readable, _Whole(head, raw))
    return _gunzipped(fileobj=whole) if head == GZIP else whole


def rows(raw: Readable) -> Iterator[list[str]]:
    """The rows of a file that are well formed, with the header."""
    with _up_to_the_break():
        for batch in _Reader(unpacked(raw), _ignore):
            yield from batch.rows


def pieces(source: Readable, *, most: int | None = None) -> Iterator[bytes]:
    """The bytes of a file in blocks. Raises Broken for damaged gzip, and as soon as there
    are more than `most` bytes."""
    total = 0
    while True:
        try:
            block = source.read(BLOCK)
        except _DAMAGED as error:
            raise Broken("file.broken") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise Broken("file.broken") from error
        if not block:
            return
        total += len(block)
        if most is not None and total > most:
            raise Broken("file.too_large")
        yield block


@dataclass(slots=True)
class Batch:
    """Rows that are well formed, the line that each begins in, and their numbers."""

    rows: list[list[str]]
    lines: Sequence[int]
    numbers: Sequence[int]


Complain = Callable[[str, int, int, str], None]


def _ignore(code: str, line: int, number: int, text: str) -> None:
    """Takes no note of rows that are not well formed."""


class _Reader:
    """Splits a file into rows, a block at a time.

    complain: told (code, line, number, text) of each row that is not well formed.
    """

    def __init__(
        self, source: Readable, complain: Complain, *, most: int | None = None
    ) -> None:
        self._blocks = _whole_lines(pieces(source, most=most), self)
        self._complain = complain
        # Physical lines that were read and not yet made to rows: a row may need more.
        self._lines: list[str] = []
        self._at = 0
        self.line = 1
        self.number = 0
        self.blank = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[Batch]:
        for block in self._blocks:
            batch = self._fast(block) or self._slow(block)
            if batch.rows:
                yield batch

    def _fast(self, block: bytes) -> Batch | None:
        """The rows of a block if all of them can be proven to be well formed at once."""
        try:
            text = block.decode()
        except UnicodeDecodeError:
            return None
        if "\0" in text:
            return None
        if "\r" in text:
            if _LONE_CR.search(text):
                return None
            text = text.replace("\r\n", "\n")
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        if max(map(len, lines), default=0) > MOST_CHARACTERS:
            return None
        if '"' not in text:
            rows = [line.split(",") for line in lines]
        else:
            try:
                rows = list(csv.reader(lines, strict=True))
            except csv.Error:
                return None
            if len(rows) != len(lines) or '"' in "".join(map("".join, rows)):
                # A row of several lines, or a quote in a value, which may be one that
                # should have been doubled.
                return None
        first_line, number = self.line, self.number
        self.line += len(lines)
        blank = lines.count("")
        if not blank:
            self.number += len(rows)
            return Batch(
                rows,
                range(first_line, first_line + len(rows)),
                range(number, number + len(rows)),
            )
        self.blank += blank
        self.number += len(rows) - blank
        there = [bool(line) for line in lines]
        places = list(compress(range(first_line, first_line + len(lines)), there))
        return Batch(
            list(compress(rows, there)), places, range(number, number + len(places))
        )

    def _slow(self, block: bytes) -> Batch:
        """The rows of a block one by one, with as much of the next ones as the last row
        needs."""
        self._lines = _physical(block)
        self._at = 0
        rows: list[list[str]] = []
        places: list[int] = []
        numbers: list[int] = []
        reader = csv.reader(self._feed(), strict=True)
        while self._at < len(self._lines):
            start, line = self._at, self.line
            row: list[str] | None = None
            try:
                row = next(reader)
            except csv.Error:
                reader = csv.reader(self._feed(), strict=True)
            if row is None:
                # Where a quote was left open, nobody knows where the row ends.
                self._at = start + 1
            self.line += self._at - start
            text = "".join(self._lines[start : self._at])
            if row == [] and not _LONE_CR.search(text):
                self.blank += 1
                continue
            number = self.number
            self.number += 1
            code = _fault(text) if row else _broken_row(text)
            if code:
                self._complain(code, line, number, text)
            elif row is not None:
                rows.append(row)
                places.append(line)
                numbers.append(number)
        return Batch(rows, places, numbers)

    def _feed(self) -> Iterator[str]:
        while True:
            if self._at == len(self._lines):
                block = next(self._blocks, None)
                if block is None:
                    return
                self._lines += _physical(block)
            self._at += 1
            yield self._lines[self._at - 1]


def _whole_lines(blocks: Iterable[bytes], reader: _Reader) -> Iterator[bytes]:
    """The same bytes, cut after line feeds, and without a byte order mark."""
    kept: list[bytes] = []
    start: bytes | None = b""
    for block in blocks:
        reader.bytes += len(block)
        if start is not None:
            start += block
            if start.startswith(WIDE):
                raise Broken("file.encoding")
            if BOM.startswith(start):
                continue
            block, start = start.removeprefix(BOM), None
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join([*kept, block[:end]])
            kept = []
        if end < len(block):
            kept.append(block[end:])
    if start and start != BOM:
        kept.append(start)
    if kept:
        yield b"".join(kept)


def _physical(block: bytes) -> list[str]:
    """Lines with their ends; bytes that are not UTF-8 as lone surrogates."""
    lines = block.decode("utf-8", "surrogateescape").split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def _fault(text: str) -> str:
    """What is wrong with a row that csv could read, or ""."""
    if "\0" in text:
        return "row.nul"
    if _NOT_UTF8.search(text):
        return "row.not_utf8"
    if not _ROW.fullmatch(text):
        return _broken_row(text)
    return ""


def _broken_row(text: str) -> str:
    """Why a row, or the first line of what may be one, is not as RFC 4180 has it."""
    at, end = 0, len(text)
    if text.endswith("\n"):
        end = len(text.removesuffix("\n").removesuffix("\r"))
    while True:
        if text[at : at + 1] == '"':
            close = at + 1
            while True:
                close = text.find('"', close)
                if close < 0:
                    return "row.quote_open"
                if text[close + 1 : close + 2] != '"':
                    break
                close += 2
            at = close + 1
            if at < end and text[at] == "\r":
                return "row.lone_cr"
            if at < end and text[at] != ",":
                return "row.quotes"
        else:
            comma = text.find(",", at, end)
            inside = text[at : comma if comma >= 0 else end]
            if '"' in inside:
                return "row.quotes"
            if "\r" in inside:
                return "row.lone_cr"
            at = comma if comma >= 0 else end
        if at >= end:
            return "row.field_too_long"
        at += 1


def cut(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """A text from a file as it may be stored and shown: short, without what no database
    holds."""
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    return text if text.isprintable() else _shown(text)


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


# --- Checking -------------------------------------------------------------------------


def check(
    open_file: Callable[[], BinaryIO], *, sink: Sink, most_bytes: int = MOST_BYTES
) -> Report:
    """Read a file through and tell `sink` every row that Mixpanel would refuse.

    open_file: opens the file anew, plain or gzip; it is called a second time where keys
    are there twice. Rows are told in about their order, those with such keys last.
    """
    checker = _Checker(sink)
    with open_file() as raw:
        checker.read(raw, most_bytes)
    if repeated := checker.repeated():
        with open_file() as raw:
            checker.name_repeated(raw, repeated)
    return checker.finished()


class _Checker:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.report = Report()
        self._keys = array("q")

    def complain(self, code: str, line: int, number: int, text: str) -> None:
        self._bad(code, line, number, RULES[code].title, text)

    def _bad(
        self,
        code: str,
        line: int,
        number: int,
        message: str,
        text: str,
        other: tuple[int, int] | None = None,
    ) -> None:
        self.report.find(code, line=line)
        self.report.bad_rows += 1
        content = cut(text.removesuffix("\n").removesuffix("\r"), 1_000)
        first = other or (None, None)
        self._sink(BadRow(code, line, number, message, content, *first))

    def read(self, raw: BinaryIO, most_bytes: int) -> None:
        reader = _Reader(unpacked(raw), self.complain, most=most_bytes)
        report = self.report
        try:
            for batch in reader:
                if report.columns:
                    self._rows(batch)
                elif not self._header(batch):
                    break
        except Broken as broken:
            report.find(broken.code)
        report.bytes = reader.bytes
        report.blank_lines = reader.blank
        report.rows = max(reader.number - 1, 0)
        if report.rows > MANY_ROWS:
            report.find("rows.many")
        if report.bytes > SURE_BYTES and "file.too_large" not in report.findings:
            report.find("file.large")
        if not reader.number and not report.findings:
            report.find("file.empty")
        elif not report.rows and not report.would_be_refused:
            report.find("file.no_rows")

    def _header(self, batch: Batch) -> bool:
        """Take the columns from the first row. False when it has none to go on with."""
        report = self.report
        if batch.numbers[0] != 0:
            report.find("header.unreadable", line=1)
            return False
        names, line = batch.rows[0], batch.lines[0]
        if len(names) < LEAST_COLUMNS:
            report.find("header.too_few_columns", line=line)
            return False
        seen: set[str] = set()
        for place, name in enumerate(names):
            if not name.strip():
                code = "header.empty_name" if place else "header.key_unnamed"
                report.find(code, line=line, column=f"column {place + 1}")
            elif name in seen:
                report.find("header.repeated_name", line=line, column=name)
            seen.add(name)
        report.columns = [Column(name) for name in names]
        rest = Batch(batch.rows[1:], batch.lines[1:], batch.numbers[1:])
        if rest.rows:
            self._rows(rest)
        return True

    def _rows(self, batch: Batch) -> None:
        width = len(self.report.columns)
        if set(map(len, batch.rows)) != {width}:
            batch = self._drop(
                batch,
                [len(row) == width for row in batch.rows],
                "row.field_count",
                lambda row: f"{_fields(row)}, but the header has {width}",
            )
        keys = [row[0] for row in batch.rows]
        stripped = list(map(str.strip, keys))
        if not all(stripped):
            there = [bool(key) for key in stripped]
            batch = self._drop(
                batch, there, "key.blank", lambda row: "The key is blank"
            )
            keys = list(compress(keys, there))
            stripped = list(compress(stripped, there))
        if not keys:
            return
        if keys != stripped:
            for key, bare, line in zip(keys, stripped, batch.lines, strict=True):
                if key != bare:
                    self.report.find("key.spaces", line=line)
        for key, line in zip(keys, batch.lines, strict=True):
            if key[0] in "+-0fF" and _FALSY.fullmatch(key):
                self.report.find("key.falsy", line=line)
        self._keys.extend(map(hash, keys))
        columns = zip(*batch.rows, strict=True)
        for column, cells in zip(self.report.columns, columns, strict=True):
            _tally(column, cells, batch.lines)

    def _drop(
        self,
        batch: Batch,
        good: list[bool],
        code: str,
        words: Callable[[list[str]], str],
    ) -> Batch:
        """Tell the rows that are not good; the others."""
        for fine, row, line, number in zip(
            good, batch.rows, batch.lines, batch.numbers, strict=True
        ):
            if not fine:
                self._bad(code, line, number, words(row), ",".join(row))
        return Batch(
            list(compress(batch.rows, good)),
            list(compress(batch.lines, good)),
            list(compress(batch.numbers, good)),
        )

    def repeated(self) -> set[int]:
        """The hashes of keys that are there more than once."""
        found: set[int] = set()
        for keys in _in_parts(self._keys):
            if len(set(keys)) != len(keys):
                found.update(a for a, b in pairwise(sorted(keys)) if a == b)
        return found

    def name_repeated(self, raw: BinaryIO, hashes: set[int]) -> None:
        """Read the file again for the rows of these keys."""
        width = len(self.report.columns)
        first: dict[str, tuple[int, int]] = {}
        with _up_to_the_break():
            for batch in _Reader(unpacked(raw), _ignore):
                for row, line, number in zip(
                    batch.rows, batch.lines, batch.numbers, strict=True
                ):
                    key = row[0]
                    if hash(key) not in hashes or not number or len(row) != width:
                        continue
                    if key not in first:
                        first[key] = (line, number)
                        continue
                    other = first[key]
                    words = f"The key is in row {other[1]} (line {other[0]}) already"
                    self._bad("key.repeated", line, number, words, ",".join(row), other)

    def finished(self) -> Report:
        report = self.report
        for column in report.columns:
            kinds = column.kinds
            if len(kinds) > 1:
                rarest = min(kinds, key=lambda kind: column.counts.get(kind, 0))
                line = column.lines.get(rarest, 0)
                report.find("column.mixed", line=line, column=column.name)
            for kind, code in _RISKY_KINDS:
                if kind in column.lines:
                    line = column.lines[kind]
                    report.find(code, line=line, column=column.name)
        return report


_RISKY_KINDS = (
    ("object", "column.objects"),
    ("zeros", "column.leading_zeros"),
    ("date", "column.dates"),
)


class _up_to_the_break:
    """What cannot be read was told the first time."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, Broken)


def _fields(row: list[str]) -> str:
    return f"{len(row):,} field{'s' if len(row) != 1 else ''}"


def _in_parts(hashes: array[int]) -> Iterator[Sequence[int]]:
    """The same hashes in parts of about a million; equal ones are in the same part."""
    parts = max(1, len(hashes) // AT_ONCE)
    if parts == 1:
        yield hashes
        return
    for part in range(parts):
        yield [h for h in hashes if h % parts == part]


def _tally(column: Column, cells: Sequence[str], lines: Sequence[int]) -> None:
    """Count the types of some cells of a column."""
    odd = [cell for cell in cells if cell[:1] in _STARTS]
    text = len(cells) - cells.count("") - len(odd)
    counts = column.counts
    if text:
        if "text" not in column.lines:
            plain = (i for i, c in enumerate(cells) if c and c[0] not in _STARTS)
            column.lines["text"] = lines[next(plain)]
        counts["text"] = counts.get("text", 0) + text
    if not odd:
        return
    together = "\n".join(odd)
    whole = (kind for kind, cells in _WHOLE.items() if cells.fullmatch(together))
    if kind := next(whole, ""):
        kinds = {kind: len(odd)}
    else:
        kinds = {}
        for cell in odd:
            kind = kind_of(cell)
            kinds[kind] = kinds.get(kind, 0) + 1
    for kind, count in kinds.items():
        counts[kind] = counts.get(kind, 0) + count
        if kind not in column.lines:
            there = (i for i, c in enumerate(cells) if c and kind_of(c) == kind)
            column.lines[kind] = lines[next(there)]
    if "number" in kinds and "zeros" not in column.lines:
        for place, cell in enumerate(cells):
            if _ZEROS.match(cell) and kind_of(cell) == "number":
                column.lines["zeros"] = lines[place]
                break


def kind_of(cell: str) -> str:
    """How Mixpanel will read a cell that is not empty, as far as it is documented.

    "object" and "date" are text to Mixpanel, and probably not meant so.
    """
    if cell[:1] not in _STARTS:
        return "text"
    if _ONE_NUMBER.fullmatch(cell):
        return "number"
    if cell.lower() in ("true", "false"):
        return "boolean"
    if _MOMENT.fullmatch(cell):
        return "datetime"
    if _DATE_ONLY.fullmatch(cell):
        return "date"
    if cell[0] in "[{":
        if _PLAIN_LIST.fullmatch(cell):
            return "list"
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            return "text"
        if isinstance(value, dict):
            return "object"
        if all(isinstance(item, str) for item in value):
            return "list"
    return "text"


# --- Comparing ------------------------------------------------------------------------


@dataclass(slots=True)
class Difference:
    """What the rows of a new file do to those of an old one, joined by the key.

    A row is changed when a column that both files have differs in it. The samples are
    the first of each: {"key", "values": [[column, text]]}, for changed rows [[column, old,
    new]]; texts are cut, and at most five columns are shown.
    """

    added: int = 0
    removed: int = 0
    changed: int = 0
    same: int = 0
    columns_added: list[str] = field(default_factory=list)
    columns_removed: list[str] = field(default_factory=list)
    key_renamed: bool = False
    columns_moved: bool = False
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "same": self.same,
            "columns_added": [cut(c) for c in self.columns_added[:SHOWN_ROWS]],
            "columns_removed": [cut(c) for c in self.columns_removed[:SHOWN_ROWS]],
            "key_renamed": self.key_renamed,
            "columns_moved": self.columns_moved,
            "samples": self.samples,
        }


SHOWN_VALUES = 5


def compare(
    open_old: Callable[[], BinaryIO],
    open_new: Callable[[], BinaryIO],
    *,
    rows: int = 0,
) -> Difference:
    """What changes when the new file replaces the old one. Both must have been checked.

    rows: how many the larger one has. Above a million the files are read several times,
    so that memory stays bounded.
    """
    difference = Difference(samples={"added": [], "removed": [], "changed": []})
    old_names, new_names = _names(open_old), _names(open_new)
    pick_old, pick_new, shared = _match(difference, old_names, new_names)
    parts = max(1, -(-rows // AT_ONCE))
    for part in range(parts):
        _compare_part(
            difference, open_old, open_new, pick_old, pick_new, shared, part, parts
        )
    return difference


def _names(open_file: Callable[[], BinaryIO]) -> list[str]:
    with open_file() as raw, _up_to_the_break():
        for batch in _Reader(unpacked(raw), _ignore):
            return batch.rows[0]
    return []


def _rows_of(
    open_file: Callable[[], BinaryIO], width: int
) -> Iterator[list[list[str]]]:
    """The rows after the header, some at a time."""
    with open_file() as raw, _up_to_the_break():
        for batch in _Reader(unpacked(raw), _ignore):
            rows = batch.rows if batch.numbers[0] else batch.rows[1:]
            if set(map(len, rows)) - {width}:
                rows = [row for row in rows if len(row) == width]
            yield rows


Pick = Callable[[list[str]], Any]


def _match(
    difference: Difference, old: list[str], new: list[str]
) -> tuple[Pick, Pick, list[str]]:
    """How to take the values of the shared columns out of a row of either file."""
    old_places = {name: i for i, name in enumerate(old) if i}
    new_places = {name: i for i, name in enumerate(new) if i}
    shared = [name for name in old_places if name in new_places]
    difference.columns_added = [n for n in new_places if n not in old_places]
    difference.columns_removed = [n for n in old_places if n not in new_places]
    difference.columns_moved = shared != [n for n in new_places if n in old_places]
    difference.key_renamed = old[:1] != new[:1]
    return (
        _picker([old_places[name] for name in shared]),
        _picker([new_places[name] for name in shared]),
        shared,
    )


def _picker(places: list[int]) -> Pick:
    return itemgetter(*places) if places else lambda row: ""


def _compare_part(
    difference: Difference,
    open_old: Callable[[], BinaryIO],
    open_new: Callable[[], BinaryIO],
    pick_old: Pick,
    pick_new: Pick,
    shared: list[str],
    part: int,
    parts: int,
) -> None:
    names = _names(open_new)
    old_width = len(_names(open_old))
    old: dict[int, int] = {}
    for rows in _rows_of(open_old, old_width):
        if parts > 1:
            rows = [row for row in rows if hash(row[0]) % parts == part]
        keys = [hash(row[0]) for row in rows]
        old.update(zip(keys, map(hash, map(pick_old, rows)), strict=True))
    changed_rows: dict[int, list[str]] = {}
    samples = difference.samples
    for rows in _rows_of(open_new, len(names)):
        if parts > 1:
            rows = [row for row in rows if hash(row[0]) % parts == part]
        for row, value in zip(rows, map(hash, map(pick_new, rows)), strict=True):
            key = hash(row[0])
            before = old.pop(key, None)
            if before is None:
                difference.added += 1
                if len(samples["added"]) < SHOWN_ROWS:
                    samples["added"].append(_sample(names, row))
            elif before == value:
                difference.same += 1
            else:
                difference.changed += 1
                if len(samples["changed"]) + len(changed_rows) < SHOWN_ROWS:
                    changed_rows[key] = row
    difference.removed += len(old)
    _old_values(difference, open_old, old, changed_rows, (pick_old, pick_new, shared))


def _old_values(
    difference: Difference,
    open_old: Callable[[], BinaryIO],
    removed: dict[int, int],
    changed: dict[int, list[str]],
    how: tuple[Pick, Pick, list[str]],
) -> None:
    """Look up what the old file has of the rows that are shown."""
    samples = difference.samples
    wanted = min(len(removed), SHOWN_ROWS - len(samples["removed"]))
    if not wanted and not changed:
        return
    pick_old, pick_new, shared = how
    names = _names(open_old)
    for rows in _rows_of(open_old, len(names)):
        for row in rows:
            key = hash(row[0])
            if key in changed:
                new = changed.pop(key)
                pairs = zip(
                    shared,
                    _as_tuple(pick_old(row)),
                    _as_tuple(pick_new(new)),
                    strict=False,
                )
                differing = [
                    [cut(name), cut(a), cut(b)] for name, a, b in pairs if a != b
                ]
                values = differing[:SHOWN_VALUES]
                samples["changed"].append({"key": cut(row[0]), "values": values})
            elif wanted and key in removed:
                wanted -= 1
                samples["removed"].append(_sample(names, row))
        if not wanted and not changed:
            return


def _as_tuple(value: Any) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)


def _sample(names: list[str], row: list[str]) -> dict[str, Any]:
    pairs = list(zip(names, row, strict=True))[1 : SHOWN_VALUES + 1]
    return {"key": cut(row[0]), "values": [[cut(n), cut(v)] for n, v in pairs]}
