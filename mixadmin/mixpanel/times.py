"""Times in all the ways Mixpanel writes them -> aware UTC datetimes."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

# Go prints a time as "2020-09-16 07:00:00.25 +0000 UTC" unless told otherwise.
_GO = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)? ([+-]\d{4})(?: [A-Za-z0-9+-]+)?"
    r"(?: m=\S+)?",
    re.ASCII,
)
_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,9})?", re.ASCII)

# From which size on a count since 1970 is read as milli-, micro-, nanoseconds.
# In seconds 1e11 is the year 5138; in milliseconds it is 1973.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))

# What Go's zero time, the year 1, is as unix seconds.
_GO_ZERO = -62135596800


def parse_time(value: object) -> datetime | None:
    """An aware UTC datetime, or None for the ways to say "not yet".

    Reads ISO 8601 (without a zone: UTC), Go's default format, and unix time as
    number or digits in s, ms, us or ns, told apart by size. None, "", 0 and the
    year 1 are None. Anything else raises ValueError.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise ValueError(f"not a time: {value!r}")
    if isinstance(value, int | float):
        return _from_number(value)
    if isinstance(value, str):
        return _from_text(value.strip())
    raise ValueError(f"not a time: a {type(value).__name__}")


def format_time(value: datetime) -> str:
    """ISO 8601 in UTC with a Z. Raises ValueError for a time without a zone."""
    if value.tzinfo is None:
        raise ValueError("a time without a zone")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _from_text(text: str) -> datetime | None:
    if not text or text.startswith("0001-01-01"):
        return None
    if _NUMBER.fullmatch(text):
        return _from_number(float(text) if "." in text else int(text))
    if go := _GO.fullmatch(text):
        date, clock, fraction, zone = go.groups()
        text = f"{date}T{clock}{fraction or ''}{zone[:3]}:{zone[3:]}"
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"not a time: {text[:80]!r}") from None


def _from_number(number: float) -> datetime | None:
    if number in (0, _GO_ZERO):
        return None
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"not a time: {number!r}")
    for least, divisor in _UNITS:
        if number >= least:
            number = number / divisor
            break
    try:
        return datetime.fromtimestamp(number, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"not a time: {number!r}") from None
