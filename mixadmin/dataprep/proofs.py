"""Cheap proofs, for all lines of a chunk at once, that the careful way finds nothing.

Each gives the indexes of lines for which there is no proof; these are looked at one by
one. A proof may fail for a line that is fine, and never holds for one that is not.
Every line is known to be valid JSON, save for its text perhaps not being UTF-8.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from .parsing import MOST_DIGITS

# A text that is longer in UTF-8 than this has more bytes than this between its quotes.
MOST_TEXT = 255

_DIGITS = re.compile(rb"[0-9]{%d}" % (MOST_DIGITS + 1))
_BRACKETS = bytes.maketrans(b"[]{}", b"()()")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NO_BRACKETS_OR_ENDS = bytes(set(range(256)) - set(b"[]{}\n"))


def not_utf8(lines: list[bytes], block: bytes) -> Iterable[int]:
    """`block`: the same lines, joined with \\n."""
    if block.isascii():
        return ()
    try:
        # Line by line is faster than all at once, which needs fresh memory each time.
        deque(map(bytes.decode, [one for one in lines if not one.isascii()]), maxlen=0)
    except UnicodeDecodeError:
        return [i for i, line in enumerate(lines) if not _is_utf8(line)]
    return ()


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def deep(lines: list[bytes], block: bytes, *, most: int) -> Iterable[int]:
    """Lines that may be nested deeper than `most`."""
    # Each level has a bracket that opens and one that closes.
    brackets = block.translate(None, _NO_BRACKETS_OR_ENDS).split(b"\n")
    if max(map(len, brackets)) <= most * 2:
        return ()
    return [
        i
        for i, line in enumerate(brackets)
        if len(line) > most * 2 and _depth(lines[i]) > most
    ]


def _depth(line: bytes) -> int:
    """How deep a line is nested, brackets in texts left aside."""
    structure = b"".join(unescaped(line).split(b'"')[::2])
    brackets = structure.translate(_BRACKETS, _NO_BRACKETS)
    depth = 0
    while brackets:
        brackets, before = brackets.replace(b"()", b""), len(brackets)
        if len(brackets) == before:
            return len(line)
        depth += 1
    return depth


def crowded(lines: list[bytes], longest: int, *, most: int) -> Iterable[int]:
    """Lines with so many commas that something may have more than `most` parts."""
    if longest <= most * 2:
        return ()
    return [
        i
        for i, line in enumerate(lines)
        if len(line) > most * 2 and line.count(b",") >= most
    ]


def long_numbers(lines: list[bytes], longest: int) -> Iterable[int]:
    if longest <= MOST_DIGITS:
        return ()
    return [
        i
        for i, line in enumerate(lines)
        if len(line) > MOST_DIGITS and _DIGITS.search(line)
    ]


def long_texts(lines: list[bytes], block: bytes) -> Iterable[int]:
    """Lines that may hold a name or a text over 255 bytes.

    Going from each quote to the last one within reach touches few of the bytes; where
    none is within reach, the line is looked at.
    """
    block = unescaped(block)
    found = []
    find, count = block.rfind, block.count
    reach, end = MOST_TEXT + 1, len(block)
    at, line, counted = -1, 0, 0
    while at + reach < end:
        quote = find(b'"', at + 1, at + 1 + reach)
        if quote >= 0:
            at = quote
            continue
        # No quote within reach: a long text, or much else than texts.
        at += 1
        line += count(b"\n", counted, at)
        counted = at
        if has_long_text(lines[line]):
            found.append(line)
        at = block.find(b"\n", at)
        if at < 0:
            break
    return found


def has_long_text(line: bytes) -> bool:
    """Whether a name or a text takes up more than 255 bytes, escapes counted in full."""
    return max(map(len, unescaped(line).split(b'"')[1::2]), default=0) > MOST_TEXT


def unescaped(line: bytes) -> bytes:
    """The same length, and every quote that is left begins or ends a text."""
    if b"\\" not in line:
        return line
    return line.replace(rb"\\", b"__").replace(rb"\"", b"__")


def large_values(
    lines: list[bytes], longest: int, *, usual: int, most: int
) -> Iterable[int]:
    """Lines that may hold a list or an object of more than `most` bytes."""
    if longest <= most:
        return ()
    return [
        i
        for i, line in enumerate(lines)
        if len(line) > most and line.count(b"{") + line.count(b"[") > usual
    ]
