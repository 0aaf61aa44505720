"""Read values out of Mixpanel's answers, and say what came when they do not fit.

Every function takes a JSON value and gives back a Python value or raises Mismatch.
Keys that are not asked for are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from .times import parse_time

T = TypeVar("T")
Json = dict[str, Any]

_INT_LIMIT = 2**63


class Mismatch(ValueError):
    """A part of an answer has not the shape that Mixpanel documents."""


def describe(value: object) -> str:
    """What came, short and without its secrets: 'a list', 'the text "abc"'."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value!r}" if abs(value) < 10**20 else "a huge number"
    if isinstance(value, str):
        return f'the text "{value[:40]}"' if value else "an empty text"
    return {"dict": "an object", "list": "a list"}.get(type(value).__name__, "nothing")


def as_object(value: object, what: str) -> Json:
    """A JSON object."""
    if not isinstance(value, dict):
        raise Mismatch(f"{what} should be an object, came {describe(value)}")
    return value


def as_list(value: object, what: str) -> list[Any]:
    """A JSON array."""
    if not isinstance(value, list):
        raise Mismatch(f"{what} should be a list, came {describe(value)}")
    return value


def many(reader: Callable[[Any], T], what: str) -> Callable[[Any], list[T]]:
    """A reader for a list of what ``reader`` reads."""
    return lambda value: [reader(item) for item in as_list(value, what)]


def as_id(value: object, what: str) -> int:
    """A whole number above zero that fits into 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Mismatch(f"{what} should be a whole number, came {describe(value)}")
    if not 0 < value < _INT_LIMIT:
        raise Mismatch(f"{what} should be an id, came {describe(value)}")
    return value


def get_id(data: Json, key: str) -> int:
    """A required id."""
    return as_id(data.get(key), key)


def get_optional_id(data: Json, key: str) -> int | None:
    """An id that may be missing or null."""
    return None if data.get(key) is None else as_id(data[key], key)


def get_int(data: Json, key: str) -> int | None:
    """A whole number of at most 64 bits, or None when missing or null."""
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Mismatch(f"{key} should be a whole number, came {describe(value)}")
    if not -_INT_LIMIT <= value < _INT_LIMIT:
        raise Mismatch(f"{key} does not fit into 64 bits")
    return value


def get_float(data: Json, key: str) -> float | None:
    """A number, or None when missing or null."""
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Mismatch(f"{key} should be a number, came {describe(value)}")
    if abs(value) >= _INT_LIMIT:
        raise Mismatch(f"{key} should be a number, came {describe(value)}")
    return float(value)


def get_text(data: Json, *keys: str) -> str:
    """The first of these keys that holds text; "" when all are missing or null."""
    for key in keys:
        value = data.get(key)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise Mismatch(f"{key} should be text, came {describe(value)}")
        return value
    return ""


def get_key(data: Json, *keys: str) -> str:
    """Required text that is not empty, under the first of these keys that has it."""
    text = get_text(data, *keys)
    if not text:
        raise Mismatch(f"{' or '.join(keys)} is missing")
    return text


def get_bool(data: Json, key: str) -> bool:
    """True or false; missing or null is false."""
    value = data.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise Mismatch(f"{key} should be true or false, came {describe(value)}")
    return value


def get_object(data: Json, key: str) -> Json:
    """A JSON object; missing or null is an empty one."""
    value = data.get(key)
    return {} if value is None else as_object(value, key)


def get_time(data: Json, *keys: str) -> datetime | None:
    """A time under the first of these keys that is there; None for "not yet"."""
    for key in keys:
        if data.get(key) is not None:
            try:
                return parse_time(data[key])
            except ValueError:
                came = describe(data[key])
                raise Mismatch(f"{key} should be a time, came {came}") from None
    return None


def get_person(value: object) -> str:
    """Who, for showing: Mixpanel writes an e-mail, an id, or an object of both."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        for key in ("email", "name", "id"):
            if found := get_person(value.get(key)):
                return found
    return ""
