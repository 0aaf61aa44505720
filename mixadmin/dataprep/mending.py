"""What may be mended on the way. Each mend is asked for, counted and never silent.

A mended record is written again from the bytes of its values: what is not mended stays
as it was, to the last digit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from .parsing import Found


@dataclass(frozen=True, slots=True)
class Mend:
    """cures: the codes of the findings that it is for."""

    slug: str
    label: str
    meaning: str
    cures: frozenset[str]
    kinds: frozenset[str]


_EVENTS = frozenset({"events"})
_ALL = frozenset({"events", "people", "groups"})

# In the order in which they are tried.
MENDS = {
    mend.slug: mend
    for mend in (
        Mend(
            "utf8.replace",
            "Replace broken characters",
            "Bytes that are not UTF-8 and halves of escaped pairs become U+FFFD.",
            frozenset({"record.not_utf8"}),
            _ALL,
        ),
        Mend(
            "identity.drop",
            "Leave identity events out",
            "$identify, $create_alias and $merge are not sent.",
            frozenset({"event.identity_verb"}),
            _EVENTS,
        ),
        Mend(
            "time.seconds",
            "Convert times to seconds",
            "Milliseconds, microseconds, nanoseconds, numbers in quotes and ISO 8601 "
            "dates become whole seconds. A date without a zone is UTC.",
            frozenset(
                {
                    "event.time.not_a_number",
                    "event.time.milliseconds",
                    "event.time.microseconds",
                }
            ),
            _EVENTS,
        ),
        Mend(
            "insert_id.derive",
            "Derive missing $insert_ids",
            "Where it is missing or stands for nothing, $insert_id becomes a hash of the "
            "fields you name; of the whole record if you name none. Records that are "
            "equal in these fields then count as one.",
            frozenset({"insert_id.missing", "insert_id.banned"}),
            _EVENTS,
        ),
        Mend(
            "insert_id.hash",
            "Hash unfit $insert_ids",
            "One with other characters or over 36 bytes becomes 36 hex digits of its "
            "SHA-256, always the same for the same id.",
            frozenset({"insert_id.charset", "insert_id.too_long"}),
            _EVENTS,
        ),
        Mend(
            "distinct_id.drop",
            "Leave out events of nobody",
            "Events whose distinct_id is missing or stands for nobody are not sent.",
            frozenset(
                {
                    "distinct_id.missing",
                    "distinct_id.banned",
                    "distinct_id.not_a_string",
                }
            ),
            _EVENTS,
        ),
        Mend(
            "distinct_id.empty",
            "Count events of nobody for nobody",
            'A distinct_id that is missing or stands for nobody becomes "": the event is '
            "stored without a user.",
            frozenset(
                {
                    "distinct_id.missing",
                    "distinct_id.banned",
                    "distinct_id.not_a_string",
                }
            ),
            _EVENTS,
        ),
        Mend(
            "names.truncate",
            "Cut long names",
            "Names of events and properties are cut after 255 bytes, at a character.",
            frozenset({"name.too_long"}),
            _ALL,
        ),
        Mend(
            "strings.truncate",
            "Cut long texts",
            "Texts are cut after 255 bytes, at a character.",
            frozenset({"string.too_long"}),
            _EVENTS,
        ),
        Mend(
            "profile.distinct_id.remove",
            "Remove $distinct_id from group profiles",
            "The group is named by $group_key and $group_id alone.",
            frozenset({"profile.distinct_id.not_allowed"}),
            frozenset({"groups"}),
        ),
    )
}

DROPS = frozenset({"identity.drop", "distinct_id.drop"})
_LONGEST = 255
# Cut ids would stand for somebody else.
ID_PROPERTIES = frozenset({"distinct_id", "$insert_id", "$user_id", "$device_id"})

Raws = dict[str, msgspec.Raw]
decode_raws = msgspec.json.Decoder(Raws).decode


def mend(
    slug: str, line: bytes, found: Found, *, insert_id_fields: Sequence[str]
) -> bytes | None:
    """The line without what was found; None if this mend cannot do it."""
    if slug == "utf8.replace":
        return _replace(line)
    if slug == "insert_id.derive":
        return _derive(line, insert_id_fields)
    if slug == "profile.distinct_id.remove":
        return without(line, "$distinct_id")
    if slug in ("names.truncate", "strings.truncate"):
        return _truncate(line, names=slug == "names.truncate")
    return _with_property(line, *_PROPERTIES[slug])


# -- records as the bytes of their values


def put_together(values: Raws) -> bytes:
    encode = msgspec.json.encode
    return (
        b"{"
        + b",".join(encode(name) + b":" + bytes(raw) for name, raw in values.items())
        + b"}"
    )


def with_property(line: bytes, name: str, value: bytes) -> bytes:
    """An event with one property set, whatever else it holds."""
    record = decode_raws(line)
    properties = decode_raws(record["properties"])
    properties[name] = msgspec.Raw(value)
    record["properties"] = msgspec.Raw(put_together(properties))
    return put_together(record)


def without(line: bytes, name: str) -> bytes:
    """A record without one of its members."""
    record = decode_raws(line)
    record.pop(name, None)
    return put_together(record)


_HEAD = re.compile(
    rb'\s*\{\s*(?:"event"\s*:\s*"[^"]*"\s*,\s*)?"properties"\s*:\s*\{(?=\s*")'
)


def with_insert_id(line: bytes, insert_id: str) -> bytes:
    """A valid event with an $insert_id; all its other bytes stay where they are."""
    if b"\\" not in line and b'"$insert_id"' not in line:
        # Without escapes a name can be written in one way only: this is the place, and
        # no later "properties" replaces it.
        head = _HEAD.match(line)
        if head and line.count(b'"properties"') == 1:
            at = head.end()
            return b'%b"$insert_id":"%b",%b' % (
                line[:at],
                insert_id.encode(),
                line[at:],
            )
    return with_property(line, "$insert_id", b'"%b"' % insert_id.encode())


# -- the mends


def _with_property(
    line: bytes, name: str, convert: Callable[[bytes | None], bytes | None]
) -> bytes | None:
    raw = decode_raws(decode_raws(line)["properties"]).get(name)
    value = convert(None if raw is None else bytes(raw))
    return None if value is None else with_property(line, name, value)


def _to_seconds(raw: bytes | None) -> bytes | None:
    try:
        value = msgspec.json.decode(raw or b"null")
    except msgspec.MsgspecError:
        return None
    seconds = seconds_of_anything(value)
    return None if seconds is None else b"%d" % (seconds // 1)


def seconds_of_anything(value: Any) -> float | None:
    """Unix seconds of a number in any unit, in quotes or not, or of an ISO 8601 date."""
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"[0-9]{1,25}(\.[0-9]{1,9})?", text, re.ASCII):
            value = float(text) if "." in text else int(text)
        else:
            return _seconds_of_date(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value != value or abs(value) >= 1e20:
        return None
    for least, unit in ((1e17, 1_000_000_000), (1e14, 1_000_000), (1e11, 1000)):
        if abs(value) >= least:
            return value // unit if isinstance(value, int) else value / unit
    return value


def _seconds_of_date(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.timestamp()
    except (OverflowError, ValueError):
        return None


def _hash_insert_id(raw: bytes | None) -> bytes | None:
    value = msgspec.json.decode(raw or b"null")
    text = value.encode() if isinstance(value, str) else raw or b""
    return b'"%b"' % hashlib.sha256(text).hexdigest()[:36].encode()


def _empty(raw: bytes | None) -> bytes:
    return b'""'


_PROPERTIES: dict[str, tuple[str, Callable[[bytes | None], bytes | None]]] = {
    "time.seconds": ("time", _to_seconds),
    "insert_id.hash": ("$insert_id", _hash_insert_id),
    "distinct_id.empty": ("distinct_id", _empty),
}


def _derive(line: bytes, fields: Sequence[str]) -> bytes | None:
    record = decode_raws(line)
    properties = decode_raws(record["properties"])
    digest = hashlib.sha256()
    if not fields:
        properties.pop("$insert_id", None)
        digest.update(bytes(record["event"]) + put_together(properties))
    known = {"event": record["event"], **properties}
    known.pop("$insert_id", None)
    if fields and not any(name in known for name in fields):
        return None
    for name in fields:
        # with its length, so that no two lists of values read the same
        value = bytes(known.get(name, b""))
        digest.update(b"%d:%b" % (len(value), value))
    return with_insert_id(line, digest.hexdigest()[:36])


_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\."
)


def _replace(line: bytes) -> bytes:
    text = line.decode("utf-8", "replace")
    return _ESCAPES.sub(
        lambda found: r"\ufffd" if found[1] else found[0], text
    ).encode()


def _truncate(line: bytes, *, names: bool) -> bytes:
    """Names or texts of all values, cut. Only what holds a long one is written again."""
    record = decode_raws(line)
    for name, raw in record.items():
        if name == "event":
            value = msgspec.json.decode(raw)
            if names and isinstance(value, str) and is_long(value):
                record[name] = msgspec.Raw(msgspec.json.encode(cut(value)))
        elif (name == "properties" or name[:1] == "$") and bytes(raw)[:1] == b"{":
            record[name] = msgspec.Raw(_truncate_object(bytes(raw), names=names))
    return put_together(record)


def _truncate_object(raw: bytes, *, names: bool) -> bytes:
    values = decode_raws(raw)
    changed: Raws = {}
    for name, value in values.items():
        if names:
            name = cut(name)
        elif name not in ID_PROPERTIES and bytes(value)[:1] == b'"':
            text = msgspec.json.decode(value)
            if is_long(text):
                value = msgspec.Raw(msgspec.json.encode(cut(text)))
        changed.setdefault(name, value)
    return put_together(changed)


def is_long(text: str) -> bool:
    return len(text) * 4 > _LONGEST and len(text.encode("utf-8", "replace")) > _LONGEST


def cut(text: str) -> str:
    """At most 255 bytes of UTF-8, whole characters."""
    return text.encode()[:_LONGEST].decode("utf-8", "ignore")
