"""One line as JSON, read strictly and with the reason why it cannot be.

This is the careful way. The fast ways elsewhere only ever prove that this one would
find nothing; whatever they cannot prove comes here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

# Beyond this no parser on the way can be relied upon (assumed).
DEEPEST = 64
MOST_DIGITS = 4300


class Found(NamedTuple):
    """Something about a record that `findings.RULES` has words for."""

    code: str
    field: str
    message: str


class Flawed(Exception):
    """A line that is no record at all."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.found = Found(code, field, message)


def not_utf8(field: str) -> Found:
    # The words are documented.
    return Found(
        "record.not_utf8", field, f"{field} is invalid: string should be valid utf8"
    )


def parse(line: bytes) -> Any:
    """The value of a line; Flawed if it is not exactly one JSON value.

    Text that is not UTF-8 is let through as lone surrogates: `broken_text` finds them.
    """
    # Only a long line has room for a number that is too long.
    decoder = _DECODER if len(line) <= MOST_DIGITS else _COUNTING_DECODER
    try:
        return decoder.decode(line.decode("utf-8", "surrogateescape"))
    except RecursionError:
        raise _TOO_DEEP from None
    except ValueError:
        raise Flawed(
            "record.not_json",
            "",
            "record is invalid: must be a JSON object on one line",
        ) from None


def depth(value: Any) -> int:
    """How many lists and objects are inside one another."""
    level, deepest = [value], 0
    while level := [one for one in level if isinstance(one, dict | list)]:
        deepest += 1
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest


def need_shallow(value: Any, line: bytes) -> None:
    if line.count(b"{") + line.count(b"[") > DEEPEST and depth(value) > DEEPEST:
        raise _TOO_DEEP


def may_be_broken(line: bytes) -> bool:
    """False if all text in a line is certainly UTF-8."""
    if _SURROGATE_ESCAPE.search(line):
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False


def broken_text(value: Any, path: str) -> str | None:
    """The path of the first text that is not UTF-8, in names as well as in values."""
    for place, text in texts(value, path):
        if not is_utf8(text):
            return place
    return None


def texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(path, text) of every name and every string in a value."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            place = f"{path}.{name}" if path else name
            yield readable(place), name
            yield from texts(item, readable(place))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, path)


def is_utf8(text: str) -> bool:
    return text.isascii() or _SURROGATE.search(text) is None


def readable(text: str) -> str:
    """The same without what cannot be written down as UTF-8, and not without end."""
    if text.isascii():
        return text[:255]
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)[:255]


def json_text(value: Any) -> str:
    """How an id that was given as a number reads."""
    return value if isinstance(value, str) else json.dumps(value)


_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Any) -> Any:
    """What JSON can hold, with all its texts and names as a database can keep them."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_TOO_DEEP = Flawed(
    "record.too_deep",
    "",
    f"record is invalid: must not be nested deeper than {DEEPEST}",
)


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise Flawed(
            "record.number_too_long",
            "",
            f"record is invalid: a number must not have more than {MOST_DIGITS} digits",
        )
    return int(digits)


def _no_constant(word: str) -> None:
    raise ValueError(word)  # NaN and Infinity are not JSON


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_COUNTING_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_no_constant)
