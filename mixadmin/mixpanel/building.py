"""Build request bodies strictly: what Mixpanel would refuse is not sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from .http import check_id

Check = Callable[[str, Any], None]


def text(name: str, value: Any) -> None:
    """Text that is not empty."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text")
    if not value:
        raise ValueError(f"{name} must not be empty")


def any_text(name: str, value: Any) -> None:
    """Text, also empty."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text")


def flag(name: str, value: Any) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false")


def number(name: str, value: Any) -> None:
    """A whole number from 0 up to 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number")
    if not 0 <= value < 2**63:
        raise ValueError(f"{name} must be a whole number from 0")


def id_number(name: str, value: Any) -> None:
    """An id: a whole number from 1 up to 64 bits."""
    check_id(value, name)


def an_object(name: str, value: Any) -> None:
    """A JSON object with any keys."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be an object")


def text_map(name: str, value: Any) -> None:
    """An object from text to text."""
    an_object(name, value)
    for key, item in value.items():
        any_text(f"a key of {name}", key)
        any_text(f"{name}.{key}", item)


def one_of(*allowed: str | int) -> Check:
    """Exactly one of these values."""

    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}")

    return check


def or_null(inner: Check) -> Check:
    """None, or what ``inner`` allows."""

    def check(name: str, value: Any) -> None:
        if value is not None:
            inner(name, value)

    return check


def list_of(inner: Check) -> Check:
    """A list of what ``inner`` allows."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{name} must be a list")
        for index, item in enumerate(value):
            inner(f"{name}[{index}]", item)

    return check


def shaped(fields: Mapping[str, Check], required: Collection[str] = ()) -> Check:
    """An object with these keys, no other, and all the required ones."""

    def check(name: str, value: Any) -> None:
        an_object(name, value)
        prefix = f"{name}." if name else ""
        for key, item in value.items():
            if key not in fields:
                raise ValueError(f"{prefix}{key} is not a field that Mixpanel knows")
            fields[key](f"{prefix}{key}", item)
        for key in required:
            if key not in value:
                raise ValueError(f"{prefix}{key} is missing")

    return check


def ids(name: str, values: Iterable[Any]) -> list[int]:
    """The values as a list of ids, at least one."""
    found = [check_id(value, f"{name}[]") for value in values]
    if not found:
        raise ValueError(f"{name} must not be empty")
    return found
