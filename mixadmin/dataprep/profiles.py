"""Updates of user and group profiles: the rules for one, and for a chunk of them, fast.

Operations and limits are documented by Mixpanel; the messages are in the style of those
that are known for events.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from . import proofs
from .events import BANNED_IDS, LARGE_VALUE, TOO_LARGE, large_value
from .mending import is_long
from .parsing import (
    DEEPEST,
    Found,
    broken_text,
    is_utf8,
    json_text,
    may_be_broken,
    not_utf8,
)

USER_OPERATIONS = (
    "$set", "$set_once", "$add", "$union", "$append", "$remove", "$unset", "$delete",
)  # fmt: skip
# $append is not documented for groups.
GROUP_OPERATIONS = tuple(one for one in USER_OPERATIONS if one != "$append")
OPERATIONS = {"people": USER_OPERATIONS, "groups": GROUP_OPERATIONS}
IDS = {"people": ("$distinct_id",), "groups": ("$group_key", "$group_id")}
# Members that are no operations and that Mixpanel or its libraries know.
OPTIONS = frozenset({"$token", "$ip", "$time", "$ignore_time", "$ignore_alias"})
DELTAS = ("$add", "$append", "$remove")
MOST_PROPERTIES = 2000
LARGE_PROFILE_VALUE = 256 * 1024
# A project token is put in before it is sent.
ROOM_FOR_TOKEN = 64
MOST_BYTES = TOO_LARGE - ROOM_FOR_TOKEN
assert LARGE_VALUE < LARGE_PROFILE_VALUE


class Nothing(msgspec.Struct, gc=False):
    """An object whose members are only skipped."""


Number = int | float
Filled = Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]
FilledObject = Annotated[dict[str, Filled], msgspec.Meta(min_length=1)]


class _Update(msgspec.Struct, gc=False, forbid_unknown_fields=True, kw_only=True):
    set: Nothing | UnsetType = msgspec.field(name="$set", default=UNSET)
    set_once: Nothing | UnsetType = msgspec.field(name="$set_once", default=UNSET)
    add: dict[str, Number] | UnsetType = msgspec.field(name="$add", default=UNSET)
    union: FilledObject | UnsetType = msgspec.field(name="$union", default=UNSET)
    remove: Nothing | UnsetType = msgspec.field(name="$remove", default=UNSET)
    unset: list[str] | UnsetType = msgspec.field(name="$unset", default=UNSET)
    delete: msgspec.Raw | UnsetType = msgspec.field(name="$delete", default=UNSET)
    ip: msgspec.Raw | UnsetType = msgspec.field(name="$ip", default=UNSET)
    time: msgspec.Raw | UnsetType = msgspec.field(name="$time", default=UNSET)
    ignore_time: msgspec.Raw | UnsetType = msgspec.field(
        name="$ignore_time", default=UNSET
    )
    ignore_alias: msgspec.Raw | UnsetType = msgspec.field(
        name="$ignore_alias", default=UNSET
    )


class UserUpdate(_Update, gc=False, kw_only=True):
    id: str | int | float = msgspec.field(name="$distinct_id")
    append: Nothing | UnsetType = msgspec.field(name="$append", default=UNSET)

    def key(self) -> str:
        return self.id if isinstance(self.id, str) else json_text(self.id)

    def has_operation(self) -> bool:
        return _has_operation(self) or self.append is not UNSET

    def has_delta(self) -> bool:
        return (
            self.append is not UNSET
            or self.add is not UNSET
            or self.remove is not UNSET
        )


class GroupUpdate(_Update, gc=False, kw_only=True):
    group_key: str | int | float = msgspec.field(name="$group_key")
    id: str | int | float = msgspec.field(name="$group_id")

    def key(self) -> str:
        return f"{json_text(self.group_key)}\0{json_text(self.id)}"

    def has_operation(self) -> bool:
        return _has_operation(self)

    def has_delta(self) -> bool:
        return self.add is not UNSET or self.remove is not UNSET


Update = UserUpdate | GroupUpdate


def _has_operation(update: _Update) -> bool:
    return (
        update.set is not UNSET
        or update.set_once is not UNSET
        or update.add is not UNSET
        or update.union is not UNSET
        or update.remove is not UNSET
        or update.unset is not UNSET
        or update.delete is not UNSET
    )


SKIM = {
    "people": msgspec.json.Decoder(UserUpdate).decode,
    "groups": msgspec.json.Decoder(GroupUpdate).decode,
}


# -- with care


def find(record: Any, line: bytes, *, kind: str) -> Iterator[Found]:
    """Everything about one update, in the order in which Mixpanel would name it."""
    if not isinstance(record, dict):
        yield Found("record.not_object", "", "record must be an object")
        return
    if kind == "groups" and "$distinct_id" in record:
        other = "$group_key" not in record and "$group_id" not in record
        yield Found(
            "record.other_kind" if other else "profile.distinct_id.not_allowed",
            "$distinct_id",
            "'$distinct_id' is not allowed for groups",
        )
    for name in IDS[kind]:
        yield from _find_id(record, name, kind)
    known = OPERATIONS[kind]
    operations = {name: value for name, value in record.items() if name in known}
    if not operations:
        yield Found("profile.operation.missing", "", "record has no known operation")
    if len(line) > MOST_BYTES:
        yield Found(
            "record.too_large", "", "record is invalid: must not be larger than 1MB"
        )
    for name, value in operations.items():
        yield from _find_operation(name, value)
    if may_be_broken(line) and (bad := broken_text(record, "")):
        yield not_utf8(bad)
    yield from _find_altered(record, operations, line, kind)


def _find_id(record: dict[str, Any], name: str, kind: str) -> Iterator[Found]:
    value = record.get(name)
    if value is None or value == "" or isinstance(value, dict | list | bool):
        other = not (set(IDS["people"] + IDS["groups"]) & set(record)) and (
            "event" in record
        )
        swapped = kind == "people" and not set(IDS["groups"]).isdisjoint(record)
        yield Found(
            "record.other_kind" if other or swapped else "profile.id.missing",
            name,
            f"'{name}' is invalid: must not be missing or blank",
        )
        return
    text = json_text(value)
    if not is_utf8(text):
        yield not_utf8(name)
    elif name != "$group_key" and text.lower() in BANNED_IDS:
        yield Found("profile.id.placeholder", name, "")


def _find_operation(name: str, value: Any) -> Iterator[Found]:
    if name == "$delete":
        return
    if name == "$unset":
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            yield Found(
                "profile.unset.not_names",
                name,
                f"'{name}' is invalid: must be a list of names",
            )
        return
    if not isinstance(value, dict):
        yield Found(
            "profile.operation.invalid", name, f"'{name}' is invalid: must be an object"
        )
        return
    if name == "$add" and not all(_is_number(one) for one in value.values()):
        yield Found(
            "profile.add.not_a_number",
            name,
            f"'{name}' is invalid: values must be numbers",
        )
    if name == "$union" and not (
        value and all(isinstance(one, list) and one for one in value.values())
    ):
        yield Found(
            "profile.union.not_lists",
            name,
            f"'{name}' is invalid: values must be lists",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _find_altered(
    record: dict[str, Any], operations: dict[str, Any], line: bytes, kind: str
) -> Iterator[Found]:
    names = {
        name
        for value in operations.values()
        if isinstance(value, dict)
        for name in value
    }
    if len(names) > MOST_PROPERTIES:
        yield Found(
            "profile.properties.too_many", "", "profile has more than 2000 properties"
        )
    if any(is_long(name) for name in names):
        yield Found("name.too_long", "", "")
    allowed = {*OPERATIONS[kind], *IDS[kind], *OPTIONS}
    if kind == "groups":
        allowed.add("$distinct_id")  # has a finding of its own
    if not allowed.issuperset(record):
        yield Found("profile.operation.unknown", "", "")
    if "$token" in record:
        yield Found("profile.token.removed", "$token", "")
    for name, value in operations.items():
        if isinstance(value, dict) and (
            large := large_value(line, name, LARGE_PROFILE_VALUE)
        ):
            yield Found("profile.value.too_large", f"{name}.{large}", "")
            break


def key_of(record: dict[str, Any], kind: str) -> str:
    """Whose profile a valid update changes."""
    return "\0".join(json_text(record[name]) for name in IDS[kind])


def has_delta(record: dict[str, Any]) -> bool:
    return any(name in record for name in DELTAS)


# -- fast


def suspects(lines: list[bytes], read: list[Update]) -> set[int]:
    """Indexes of the lines in which `find` might find something."""
    if not lines:
        return set()
    found: set[int] = set()
    block = b"\n".join(lines)
    longest = max(map(len, lines))
    found.update(proofs.not_utf8(lines, block))
    found.update(proofs.deep(lines, block, most=DEEPEST))
    found.update(proofs.crowded(lines, longest, most=MOST_PROPERTIES))
    found.update(proofs.long_numbers(lines, longest))
    found.update(proofs.long_texts(lines, block))
    found.update(proofs.large_values(lines, longest, usual=2, most=LARGE_PROFILE_VALUE))
    if longest > MOST_BYTES:
        found.update(i for i, line in enumerate(lines) if len(line) > MOST_BYTES)
    found.update(i for i, line in enumerate(lines) if line[0] != 0x7B)
    for i, update in enumerate(read):
        user = update.id
        if not isinstance(user, str):
            user = json_text(user)
        if (
            not user
            or user.lower() in BANNED_IDS
            or not update.has_operation()
            or (isinstance(update, GroupUpdate) and update.group_key == "")
        ):
            found.add(i)
    return found
