"""Packed files as streams of their contents, with memory and growth bounded."""

from __future__ import annotations

from typing import Protocol

import zstandard
from isal import isal_zlib

PIECE = 128 * 1024
# Measured with records that differ in a counter only: gzip makes them 160 times smaller,
# zstd 3000 times. What grows more than this is made to fill memory or disks; zeros grow
# 1000 and 30 000 times.
MOST_RATIO = {"gzip": 200, "zstd": 4000}
RATIO_COUNTS_FROM = 1024 * 1024
MOST_UNPACKED = 256 * 1024**3
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# The window that `zstd --long` asks for, the most that zstd itself takes unasked.
MOST_WINDOW = 2**27

# isal's types call the class an instance.
_GzipError: type[Exception] = isal_zlib.error  # type: ignore[assignment]


class Stream(Protocol):
    def read(self, n: int, /) -> bytes: ...


class Unreadable(Exception):
    """The file cannot be read on. Everything before this place was handed out.

    offset and number: of the first line that was not, in the uncompressed file.
    """

    def __init__(
        self, code: str, message: str, offset: int = 0, number: int = 1
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset
        self.number = number


def sniff(head: bytes, name: str = "") -> str:
    """How a file is packed, by its first bytes: its name may say anything."""
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    if head.startswith(ZSTD_MAGIC) or (
        # a frame that is to be skipped may come first
        len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50
    ):
        return "zstd"
    return "none"


def open_stream(
    raw: Stream, compression: str, *, most_unpacked: int = MOST_UNPACKED
) -> Stream:
    """The contents of `raw`, which may be several gzip members or zstd frames."""
    if compression == "none":
        return raw
    kind = {"gzip": _Gzip, "zstd": _Zstd}[compression]
    return kind(raw, most_unpacked, MOST_RATIO[compression])


class _Unpacked:
    """A packed file, read piece by piece. `_fill` gives at least a byte, or b""."""

    def __init__(self, raw: Stream, most: int, most_ratio: int) -> None:
        self._raw = raw
        self._most = most
        self._most_ratio = most_ratio
        self._packed = 0
        self._unpacked = 0
        self._left = b""
        self._trouble: Unreadable | None = None

    def _fill(self) -> bytes:
        raise NotImplementedError

    def _take(self, n: int) -> bytes:
        piece = self._raw.read(n)
        self._packed += len(piece)
        return piece

    def read(self, n: int, /) -> bytes:
        """Up to n bytes, b"" at the end. What comes before a trouble comes first."""
        pieces, count = [self._left[:n]], min(n, len(self._left))
        self._left = self._left[n:]
        while count < n and self._trouble is None:
            try:
                piece = self._fill()
                self._check_growth(len(piece))
            except Unreadable as trouble:
                self._trouble = trouble
                break
            if not piece:
                break
            pieces.append(piece[: n - count])
            self._left = piece[n - count :]
            count += len(pieces[-1])
        if not count and n and self._trouble is not None:
            raise self._trouble
        return b"".join(pieces)

    def _check_growth(self, more: int) -> None:
        self._unpacked += more
        if self._unpacked > self._most:
            raise Unreadable(
                "file.expands_too_much",
                f"The file unpacks to more than {self._most} bytes. Split it.",
            )
        if (
            self._unpacked > RATIO_COUNTS_FROM
            and self._unpacked > self._packed * self._most_ratio
        ):
            raise Unreadable(
                "file.bomb",
                f"The file unpacks to more than {self._most_ratio} times its size, as no "
                "real data does. If it is meant to be so, unpack it yourself.",
            )


class _Gzip(_Unpacked):
    def __init__(self, raw: Stream, most: int, most_ratio: int) -> None:
        super().__init__(raw, most, most_ratio)
        self._machine = isal_zlib.decompressobj(wbits=31)
        self._waiting = b""
        self._inside = False
        self._members = 0

    def _fill(self) -> bytes:
        while True:
            if self._machine.eof:
                self._waiting = self._machine.unused_data
                self._machine = isal_zlib.decompressobj(wbits=31)
                self._inside = False
                self._members += 1
            elif not self._waiting:
                self._waiting = self._machine.unconsumed_tail
            if not self._inside and self._members:
                # zeros after a member are padding
                self._waiting = self._waiting.lstrip(b"\0")
            if not self._waiting:
                self._waiting = self._take(PIECE)
                if not self._waiting:
                    return self._end()
                continue
            self._inside = True
            waiting, self._waiting = self._waiting, b""
            try:
                piece: bytes = self._machine.decompress(waiting, PIECE * 4)
            except _GzipError:
                raise broken() from None
            if piece:
                return piece

    def _end(self) -> bytes:
        """No more data: what the machine still holds, if it can come to an end."""
        if not self._inside:
            return b""
        piece: bytes = self._machine.decompress(b"", PIECE * 4)
        if not piece and not self._machine.eof:
            raise cut()
        return piece


class _Zstd(_Unpacked):
    """Fed block by block, because one block grows to 128 KiB and no more."""

    def __init__(self, raw: Stream, most: int, most_ratio: int) -> None:
        super().__init__(raw, most, most_ratio)
        self._context = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW)
        self._machine: zstandard.ZstdDecompressionObj | None = None
        self._ends_with_sum = False
        self._buffer = b""

    def _exactly(self, n: int) -> bytes:
        while len(self._buffer) < n:
            piece = self._take(max(PIECE, n - len(self._buffer)))
            if not piece:
                raise cut()
            self._buffer += piece
        found, self._buffer = self._buffer[:n], self._buffer[n:]
        return found

    def _fill(self) -> bytes:
        while True:
            if self._machine is None:
                if not self._buffer:
                    self._buffer = self._take(PIECE)
                    if not self._buffer:
                        return b""
                self._begin()
                continue
            if piece := self._block(self._machine):
                return piece

    def _begin(self) -> None:
        """Read the head of a frame, or pass over one that is to be skipped."""
        magic = self._exactly(4)
        if magic[1:] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50:
            left = int.from_bytes(self._exactly(4), "little")
            while left:
                left -= len(self._exactly(min(left, PIECE)))
            return
        if magic != ZSTD_MAGIC:
            raise broken()
        flags = self._exactly(1)
        single = flags[0] >> 5 & 1
        sizes = (1 if single else 0, 2, 4, 8)
        rest = (0, 1, 2, 4)[flags[0] & 3] + sizes[flags[0] >> 6] + (not single)
        self._ends_with_sum = bool(flags[0] >> 2 & 1)
        self._machine = self._context.decompressobj()
        self._feed(self._machine, magic + flags + self._exactly(rest))

    def _block(self, machine: zstandard.ZstdDecompressionObj) -> bytes:
        head = self._exactly(3)
        bits = int.from_bytes(head, "little")
        last, kind, size = bits & 1, bits >> 1 & 3, bits >> 3
        body = self._exactly(1 if kind == 1 else size)
        tail = self._exactly(4) if last and self._ends_with_sum else b""
        piece = self._feed(machine, head + body + tail)
        if last:
            self._machine = None
        return piece

    def _feed(self, machine: zstandard.ZstdDecompressionObj, data: bytes) -> bytes:
        try:
            return machine.decompress(data)
        except zstandard.ZstdError:
            raise broken() from None


def cut() -> Unreadable:
    return Unreadable(
        "file.cut", "The compressed data ends too early. Get the file again."
    )


def broken() -> Unreadable:
    return Unreadable(
        "file.broken", "The compressed data is damaged here. Get the file again."
    )


def packed_file(file: Stream, name: str = "") -> tuple[str, Stream]:
    """How a file is packed, and its contents; the file need not be seekable."""
    head = file.read(16)
    compression = sniff(head, name)
    return compression, open_stream(_Headed(head, file), compression)


class _Headed:
    """A file some of whose bytes were read already."""

    def __init__(self, head: bytes, file: Stream) -> None:
        self._head = head
        self._file = file

    def read(self, n: int, /) -> bytes:
        if self._head:
            head, self._head = self._head[:n], self._head[n:]
            return head
        return self._file.read(n)
