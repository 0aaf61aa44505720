"""Files as chunks of lines.

Lines end with \\n and nothing else: other line ends of Unicode may stand inside of a
text. Numbers agree with `sed -n Np`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from .compression import Stream, Unreadable, open_stream, packed_file, sniff
from .judging import Chunk

__all__ = [
    "Boundaries",
    "Stream",
    "Unreadable",
    "boundaries",
    "chunks",
    "open_stream",
    "packed_file",
    "skip",
    "sniff",
]

# Smaller than a line may be, so that most pieces hold no line that is too long.
PIECE = 512 * 1024
# Documented: an event is smaller than 1 MB, a profile update not larger.
LONGEST_LINE = 1_000_000
KEPT_OF_A_LONG_LINE = 2048
BOM = b"\xef\xbb\xbf"


def skip(stream: Stream, n: int) -> None:
    """Pass over n bytes, to go on where another reader stopped."""
    left = n
    while left:
        piece = stream.read(min(left, PIECE))
        if not piece:
            raise Unreadable(
                "file.too_short",
                f"The file ends {left} bytes before the place from which to go on.",
                n - left,
            )
        left -= len(piece)


def chunks(
    stream: Stream,
    *,
    offset: int = 0,
    number: int = 1,
    end: int | None = None,
    most_lines: int = 2000,
    most_bytes: int = 2 * 1024 * 1024 - 16 * 1024,
) -> Iterator[Chunk]:
    """The lines from `offset`, which begins line `number`, up to `end` or to the last.

    Both are places where a line begins; the stream stands at `offset`. The lines of a
    chunk with one \\n each have at most `most_bytes`, unless it is a single line. Of a
    line over 1 MB only the beginning is kept. Raises Unreadable after the last whole
    line that could be read.
    """
    lines = _Lines(stream, offset, end)
    trouble: Unreadable | None = None
    while trouble is None:
        try:
            more = lines.fill()
        except Unreadable as error:
            more, trouble = False, error
        if trouble is None and not more:
            lines.finish()
        # Whole chunks only, so that the cuts do not depend on how the stream gives.
        while len(lines.ready) >= most_lines or (
            lines.ready and (not more or lines.ready_bytes > most_bytes)
        ):
            chunk = lines.cut(number, most_lines, most_bytes)
            number += len(chunk.lines)
            offset = chunk.end
            yield chunk
        if not more:
            break
    if trouble is not None:
        raise Unreadable(trouble.code, trouble.message, offset, number) from None


@dataclass(slots=True)
class _Long:
    """A line over the limit that is being passed over."""

    kept: bytes
    size: int


class _Lines:
    """Whole lines that were read and not yet handed out.

    `sizes` runs beside `ready` once a line took up something else than its length and
    a line end.
    """

    def __init__(self, stream: Stream, offset: int, end: int | None) -> None:
        self._stream = stream
        self._left = None if end is None else end - offset
        self._offset = offset
        self._rest = b""
        self._long: _Long | None = None
        self.ready: list[bytes] = []
        self.ready_bytes = 0
        self._sizes: list[int] | None = None
        self._unfit: set[int] = set()

    def fill(self) -> bool:
        """Read a piece; False at the end."""
        want = PIECE if self._left is None else min(PIECE, self._left)
        piece = self._stream.read(want) if want else b""
        if not piece:
            return False
        if self._left is not None:
            self._left -= len(piece)
        if self._long is not None:
            at = piece.find(b"\n")
            if at < 0:
                self._long.size += len(piece)
                return True
            self._add_long(at + 1)
            piece = piece[at + 1 :]
        lines = piece.split(b"\n")
        lines[0] = self._rest + lines[0]
        # JSON has no carriage return but at the end of a line, so one look will do.
        plain = b"\r" not in piece and not self._rest.endswith(b"\r")
        self._rest = lines.pop()
        self._add(lines, plain=plain)
        if len(self._rest) > LONGEST_LINE + len(BOM) + len(b"\r"):
            kept = self._rest[: KEPT_OF_A_LONG_LINE + len(BOM)]
            self._long = _Long(kept, len(self._rest))
            self._rest = b""
        return True

    def finish(self) -> None:
        """Take the last line, which has no line end."""
        if self._long is not None:
            self._add_long(0)
        elif self._rest:
            self._track_sizes()
            self._add_odd(self._rest, 0)
            self._rest = b""

    def _add_long(self, more: int) -> None:
        assert self._long is not None
        kept, size = self._long.kept, self._long.size + more
        self._long = None
        self._track_sizes()
        assert self._sizes is not None
        kept = self._without_bom(kept)[:KEPT_OF_A_LONG_LINE]
        self._unfit.add(len(self.ready))
        self.ready.append(kept)
        self._sizes.append(size)
        self.ready_bytes += len(kept) + 1

    def _track_sizes(self) -> None:
        if self._sizes is None:
            self._sizes = [len(line) + 1 for line in self.ready]

    def _add(self, lines: list[bytes], *, plain: bool) -> None:
        if not lines:
            return
        total = sum(map(len, lines)) + len(lines)
        if self._without_bom(lines[0]) is not lines[0]:
            plain = False
        if total > LONGEST_LINE and max(map(len, lines)) > LONGEST_LINE:
            plain = False
        if plain and self._sizes is None:
            self.ready += lines
            self.ready_bytes += total
            return
        self._track_sizes()
        for line in lines:
            self._add_odd(line, 1)

    def _without_bom(self, line: bytes) -> bytes:
        if not self.ready and self._offset == 0 and line.startswith(BOM):
            return line[len(BOM) :]
        return line

    def _add_odd(self, line: bytes, line_end: int) -> None:
        assert self._sizes is not None
        size = len(line) + line_end
        line = self._without_bom(line)
        if line.endswith(b"\r"):
            line = line[:-1]
        if len(line) > LONGEST_LINE:
            line = line[:KEPT_OF_A_LONG_LINE]
            self._unfit.add(len(self.ready))
        self.ready.append(line)
        self._sizes.append(size)
        self.ready_bytes += len(line) + 1

    def cut(self, number: int, most_lines: int, most_bytes: int) -> Chunk:
        """Hand out the first lines that go into one chunk."""
        lines = self.ready[:most_lines]
        total = sum(map(len, lines)) + len(lines)
        if total > most_bytes:
            count = total = 0
            for line in lines:
                if count and total + len(line) + 1 > most_bytes:
                    break
                count, total = count + 1, total + len(line) + 1
            del lines[count:]
        count = len(lines)
        del self.ready[:count]
        self.ready_bytes -= total
        sizes = None
        if self._sizes is not None:
            sizes = list(islice(self._sizes, count))
            del self._sizes[:count]
            total = sum(sizes)
            if not self.ready:
                self._sizes = None
            if sizes == [len(line) + 1 for line in lines]:
                sizes = None
        unfit = sorted(index for index in self._unfit if index < count)
        self._unfit = {index - count for index in self._unfit if index >= count}
        begin, self._offset = self._offset, self._offset + total
        return Chunk(
            lines=lines,
            offset=begin,
            number=number,
            end=self._offset,
            unfit=[(index, "record.too_large") for index in unfit],
            sizes=sizes,
        )


@dataclass(slots=True)
class Boundaries:
    """ranges: (start, end, number of the first line), cut where lines begin.

    sha256: of the bytes, in hex; "" if it was not asked for.
    """

    ranges: list[tuple[int, int, int]] = field(default_factory=list)
    lines: int = 0
    size: int = 0
    sha256: str = ""


def boundaries(stream: Stream, *, step: int, hashed: bool = True) -> Boundaries:
    """Cut a file into ranges of about `step` bytes, in one pass over it."""
    found = Boundaries()
    digest = hashlib.sha256()
    start, first_line, newlines, last = 0, 1, 0, b"\n"
    while piece := stream.read(PIECE):
        if hashed:
            digest.update(piece)
        at = 0
        while True:
            # the first line that begins `step` or more after the start
            wanted = max(start + step - found.size - 1, at)
            cut = piece.find(b"\n", wanted) + 1 if wanted < len(piece) else 0
            if not cut:
                break
            newlines += piece.count(b"\n", at, cut)
            found.ranges.append((start, found.size + cut, first_line))
            start, first_line, at = found.size + cut, newlines + 1, cut
        newlines += piece.count(b"\n", at)
        found.size += len(piece)
        last = piece[-1:]
    if found.size > start:
        found.ranges.append((start, found.size, first_line))
    found.lines = newlines + (last != b"\n")
    found.sha256 = digest.hexdigest() if hashed else ""
    return found
