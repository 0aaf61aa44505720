"""Events: the rules for one, looked at with care, and for a chunk of them, fast.

The limits are documented by Mixpanel; messages are Mixpanel's own where they are
documented or were seen, and in their style elsewhere. Exactly 255 is allowed (assumed).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from . import findings, proofs
from .mending import ID_PROPERTIES, decode_raws, is_long, seconds_of_anything
from .parsing import (
    Found,
    broken_text,
    is_utf8,
    json_text,
    may_be_broken,
    not_utf8,
    readable,
)

BANNED_IDS = frozenset(
    {
        "00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none",
        "null", "n/a", "na", "undefined", "unknown", "<nil>", "0", "-1", "true",
        "false", "[]", "{}",
    }
)  # fmt: skip
IDENTITY_VERBS = frozenset({"$identify", "$create_alias", "$merge"})
PROFILE_MEMBERS = frozenset({"$distinct_id", "$group_key", "$group_id"})
YEAR_1971 = 31_536_000
HOUR = 3600
# Not published (assumed): from here on a number counts as milliseconds.
MILLISECONDS = 1e11
MICROSECONDS = 1e14
NOT_A_TIME = 1e18
TOO_LARGE = 1_000_000
MOST = 255
MOST_DEPTH = 3
LARGE_VALUE = 8 * 1024
INSERT_ID = re.compile(r"[A-Za-z0-9-]+")
INSERT_ID_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"
MOST_INSERT_ID = 36

_CONTAINERS = (dict, list)

TIME = "properties.time"
NOT_SECONDS = "'properties.time' is invalid: must be specified as seconds since epoch"
IN_THE_FUTURE = "'properties.time' is invalid: must not be in the future"


class Properties(msgspec.Struct, gc=False):
    """What the rules need of an event's properties; the rest is only skipped."""

    time: int | float
    distinct_id: str | int | float | None = None
    insert_id: str | None = msgspec.field(name="$insert_id", default=None)
    user_id: str | int | float | None = msgspec.field(name="$user_id", default=None)
    device_id: str | int | float | None = msgspec.field(name="$device_id", default=None)


class Event(msgspec.Struct, gc=False):
    event: str
    properties: Properties


skim = msgspec.json.Decoder(Event).decode


# -- with care


def find(record: Any, line: bytes, *, now: float, destination: str) -> Iterator[Found]:
    """Everything about one event, in the order in which Mixpanel would name it.

    What is wrong with the whole record comes first, and nothing after it that could
    not be told.
    """
    if not isinstance(record, dict):
        yield Found("record.not_object", "", "event must be an object")
        return
    yield from _find_name(record)
    properties = record.get("properties")
    if not isinstance(properties, dict):
        yield Found(
            "event.properties.missing",
            "properties",
            "'properties' is invalid: must be an object",
        )
        return
    yield from _find_time(properties, now, destination)
    yield from _find_insert_id(properties)
    broken = may_be_broken(line)
    yield from _find_sizes(properties, broken=broken)
    if len(line) >= TOO_LARGE:
        yield Found(
            "record.too_large", "", "event is invalid: must be smaller than 1MB"
        )
    if broken and (bad := broken_text(record, "")):
        yield not_utf8(bad)
    yield from _find_distinct_id(properties)
    yield from _find_altered(record, properties, line)


def _find_name(record: dict[str, Any]) -> Iterator[Found]:
    name = record.get("event")
    if not isinstance(name, str) or not name.strip():
        profile = not PROFILE_MEMBERS.isdisjoint(record)
        yield Found(
            "record.other_kind" if profile else "event.name.missing",
            "event",
            "'event' must not be missing or blank",
        )
    elif not is_utf8(name):
        yield Found(
            "record.not_utf8", "event", "event is invalid: string should be valid utf8"
        )
    elif name in IDENTITY_VERBS:
        yield Found(
            "event.identity_verb",
            "event",
            "identity events are not allowed when project is using simplified identity"
            " management",
        )


def usable_time(record: Any, *, any_unit: bool = False) -> float | None:
    """Unix seconds of an event's time, if it has one that can be compared."""
    properties = record.get("properties") if isinstance(record, dict) else None
    value = properties.get("time") if isinstance(properties, dict) else None
    if any_unit:
        return seconds_of_anything(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value != value or abs(value) > NOT_A_TIME:
        return None
    return value if abs(value) < MILLISECONDS else value / 1000


def _find_time(
    properties: dict[str, Any], now: float, destination: str
) -> Iterator[Found]:
    value = properties.get("time")
    if value is None:
        yield Found(
            "event.time.missing",
            TIME,
            "'properties.time' is invalid: must not be missing",
        )
        return
    if destination == "warehouse":
        # A column of dates or of numbers in any unit (assumed, as in the sandbox).
        seconds = seconds_of_anything(value)
        if seconds is None:
            yield Found("event.time.not_a_number", TIME, NOT_SECONDS)
        else:
            yield from _find_bounds(int(seconds * 1000), now)
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield Found("event.time.not_a_number", TIME, NOT_SECONDS)
        return
    if value != value or abs(value) > NOT_A_TIME:
        micro = value == value and MICROSECONDS <= value < 1e20
        code = "event.time.microseconds" if micro else "event.time.not_a_number"
        yield Found(code, TIME, NOT_SECONDS)
        return
    if value >= MICROSECONDS:
        yield Found("event.time.microseconds", TIME, IN_THE_FUTURE)
        return
    if value >= MILLISECONDS:
        yield Found("event.time.milliseconds", TIME, NOT_SECONDS)
    seconds = abs(value) < MILLISECONDS
    yield from _find_bounds(int(value * 1000) if seconds else int(value), now)


def _find_bounds(milliseconds: int, now: float) -> Iterator[Found]:
    if milliseconds < YEAR_1971 * 1000:
        yield Found(
            "event.time.before_1971",
            TIME,
            "'properties.time' is invalid: must not be before 1971-01-01",
        )
    elif milliseconds > int(now * 1000) + HOUR * 1000:
        yield Found("event.time.future", TIME, IN_THE_FUTURE)
    elif milliseconds > int(now * 1000):
        yield Found("event.time.near_future", TIME, IN_THE_FUTURE)


def _find_insert_id(properties: dict[str, Any]) -> Iterator[Found]:
    field = "$insert_id"
    value = properties.get(field)
    if value is None or value == "":
        yield Found(
            "insert_id.missing", field, "'$insert_id' is invalid: must not be missing"
        )
    elif not isinstance(value, str) or not INSERT_ID.fullmatch(value):
        # seen
        yield Found(
            "insert_id.charset",
            field,
            "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-'"
            " characters",
        )
    elif len(value) > MOST_INSERT_ID:
        yield Found(
            "insert_id.too_long",
            field,
            "'$insert_id' is invalid: must not be longer than 36 bytes",
        )
    elif value.lower() in BANNED_IDS:
        yield Found(
            "insert_id.banned", field, "'$insert_id' is invalid: value is not allowed"
        )


def _find_sizes(properties: dict[str, Any], *, broken: bool) -> Iterator[Found]:
    if len(properties) > MOST:
        yield Found(
            "properties.too_many",
            "properties",
            "'properties' is invalid: must not have more than 255 keys",
        )
    for name, value in properties.items():
        if type(value) in _CONTAINERS:
            path = f"properties.{readable(name)}"
            if found := _find_nested(path, value, 1):
                yield found
                continue
        if broken and (bad := broken_text({name: value}, "properties")):
            yield not_utf8(bad)


def _find_nested(path: str, value: Any, depth: int) -> Found | None:
    """The first finding in a value, so that a huge one does not give a huge answer."""
    if depth > MOST_DEPTH:
        return Found(
            "properties.nesting",
            path,
            f"'{path}' is invalid: must not be nested deeper than 3",
        )
    if len(value) > MOST:
        return Found(
            "array.too_long" if isinstance(value, list) else "object.too_many_keys",
            path,
            f"'{path}' is invalid: must not have more than 255 items",
        )
    for item in value.values() if isinstance(value, dict) else value:
        if type(item) in _CONTAINERS and (found := _find_nested(path, item, depth + 1)):
            return found
    return None


def _find_distinct_id(properties: dict[str, Any]) -> Iterator[Found]:
    field = "properties.distinct_id"
    value = properties.get("distinct_id")
    if value is None:
        if not (properties.get("$user_id") or properties.get("$device_id")):
            yield Found(
                "distinct_id.missing",
                field,
                "'properties.distinct_id' is invalid: must not be missing",
            )
        return
    if not isinstance(value, str | int | float):
        yield Found(
            "distinct_id.not_a_string",
            field,
            "'properties.distinct_id' is invalid: must be a string",
        )
        return
    text = json_text(value)
    if text.lower() in BANNED_IDS:
        yield Found(
            "distinct_id.banned",
            field,
            "'properties.distinct_id' is invalid: value is not allowed",
        )
    elif text == "":
        yield Found("distinct_id.nobody", field, "")
    elif not isinstance(value, str):
        yield Found("distinct_id.number", field, "")
    if len(text) > MOST:
        yield Found("distinct_id.too_long", field, "")


def _find_altered(
    record: dict[str, Any], properties: dict[str, Any], line: bytes
) -> Iterator[Found]:
    if len(line) > MOST and proofs.has_long_text(line):
        yield from _find_long(record, properties)
    if large := large_value(line, "properties", LARGE_VALUE):
        yield Found("value.too_large", f"properties.{large}", "")


def _find_long(record: dict[str, Any], properties: dict[str, Any]) -> Iterator[Found]:
    name = record.get("event")
    if isinstance(name, str) and is_long(name):
        yield Found("name.too_long", "event", "")
    elif any(is_long(name) for name in properties):
        yield Found("name.too_long", "properties", "")
    for name, value in properties.items():
        if isinstance(value, str) and name not in ID_PROPERTIES and is_long(value):
            yield Found("string.too_long", f"properties.{readable(name)}", "")
            break


def large_value(line: bytes, member: str, most: int) -> str | None:
    """The name of a list or an object over `most` bytes inside of a member."""
    if len(line) <= most:
        return None
    try:
        values = decode_raws(decode_raws(line)[member])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    for name, raw in values.items():
        if len(bytes(raw)) > most and bytes(raw)[:1] in b"[{":
            return readable(name)
    return None


# -- fast


def suspects(
    lines: list[bytes], read: list[Event], *, now: float, destination: str
) -> set[int]:
    """Indexes of the lines in which `find` might find something.

    Apart from what `plain_notes` and `long_notes` tell, nothing is to be found in the
    others. `read` is
    what was skimmed of each line.
    """
    if not lines:
        return set()
    found: set[int] = set()
    block = b"\n".join(lines)
    longest = max(map(len, lines))
    found.update(proofs.not_utf8(lines, block))
    # The record and its properties, and three more.
    found.update(proofs.deep(lines, block, most=2 + MOST_DEPTH))
    found.update(proofs.crowded(lines, longest, most=MOST))
    found.update(proofs.long_numbers(lines, longest))
    found.update(proofs.large_values(lines, longest, usual=2, most=LARGE_VALUE))
    if longest >= TOO_LARGE:
        found.update(i for i, line in enumerate(lines) if len(line) >= TOO_LARGE)
    properties = [event.properties for event in read]
    found.update(_odd_names(read))
    found.update(_odd_times(properties, now, destination))
    found.update(_odd_insert_ids([one.insert_id for one in properties]))
    found.update(_odd_distinct_ids(properties))
    return found


def _odd_names(read: list[Event]) -> Sequence[int]:
    names = {event.event for event in read}
    odd = {name for name in names if not name.strip()} | (names & IDENTITY_VERBS)
    return [i for i, event in enumerate(read) if event.event in odd] if odd else ()


def _odd_times(
    properties: list[Properties], now: float, destination: str
) -> Sequence[int]:
    times = [one.time for one in properties]
    low, high = min(times), max(times)
    if low >= YEAR_1971 and high <= now:
        return ()
    milliseconds = destination != "cloud_import"
    if milliseconds and low >= MILLISECONDS and high <= now * 1000:
        return ()
    return [
        i
        for i, time in enumerate(times)
        if not YEAR_1971 <= time <= now
        and not (milliseconds and MILLISECONDS <= time <= now * 1000)
    ]


def _odd_insert_ids(insert_ids: list[str | None]) -> Sequence[int]:
    """Those that are not fit. Missing ones are the business of `plain_notes`."""
    given = [one or "" for one in insert_ids]
    if (
        not "".join(given).encode("utf-8").translate(None, INSERT_ID_BYTES)
        and max(map(len, given)) <= MOST_INSERT_ID
        and BANNED_IDS.isdisjoint(map(str.lower, given))
    ):
        return ()
    return [
        i
        for i, one in enumerate(given)
        if one
        and (
            len(one) > MOST_INSERT_ID
            or not INSERT_ID.fullmatch(one)
            or one.lower() in BANNED_IDS
        )
    ]


def _odd_distinct_ids(properties: list[Properties]) -> Sequence[int]:
    given = [one.distinct_id for one in properties]
    try:
        # Only texts can be put into lower case.
        if BANNED_IDS.isdisjoint(map(str.lower, given)) and (  # type: ignore[arg-type]
            max(map(len, given)) <= MOST  # type: ignore[arg-type]
        ):
            return ()
    except TypeError:
        pass
    return [i for i, one in enumerate(properties) if _is_odd_user(one)]


def _is_odd_user(one: Properties) -> bool:
    if one.distinct_id is None:
        return not (one.user_id or one.device_id)
    text = json_text(one.distinct_id)
    return text.lower() in BANNED_IDS or len(text) > MOST


def plain_notes(read: list[Event], destination: str) -> dict[str, list[int]]:
    """What may be said about lines that are no suspects: {code: positions}."""
    notes: dict[str, list[int]] = {}
    if destination == "import":
        _note(
            notes,
            "event.time.milliseconds",
            [event.properties.time >= MILLISECONDS for event in read],
        )
    users = [event.properties.distinct_id for event in read]
    if "" in users:
        _note(notes, "distinct_id.nobody", [user == "" for user in users])
    if set(map(type, users)) - {str}:
        _note(
            notes,
            "distinct_id.number",
            [isinstance(user, int | float) for user in users],
        )
    return notes


def long_notes(lines: list[bytes]) -> dict[int, list[str] | None]:
    """What may be said about names and texts over 255 bytes in lines that are no
    suspects: {position: codes}; None where it takes a careful look."""
    notes: dict[int, list[str] | None] = {}
    if not lines:
        return notes
    for i in proofs.long_texts(lines, b"\n".join(lines)):
        try:
            record = msgspec.json.decode(lines[i])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            notes[i] = None  # a number that is too large, or a suspect anyway
        else:
            notes[i] = [one.code for one in _find_long(record, record["properties"])]
    return notes


def _note(notes: dict[str, list[int]], code: str, flags: list[bool]) -> None:
    if True in flags:
        notes[code] = [i for i, flag in enumerate(flags) if flag]


def missing_insert_ids(read: list[Event]) -> list[int]:
    given = [event.properties.insert_id for event in read]
    if None in given or "" in given:
        return [i for i, one in enumerate(given) if not one]
    return []


def is_lost(code: str, destination: str) -> bool:
    return findings.is_lost(code, destination)
