"""Events and profiles: which are valid, and what a valid one changes in a project.

Used by the ingestion endpoints, by cloud connectors and by warehouse imports.
"""

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from mixadmin.sandbox.state import World
from mixadmin.sandbox.wire import Json

BANNED_IDS = {
    "00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none",
    "null", "n/a", "na", "undefined", "unknown", "<nil>", "0", "-1", "true", "false",
    "[]", "{}",
}  # fmt: skip
INSERT_ID = re.compile(r"[A-Za-z0-9-]+")
IDENTITY_VERBS = {"$identify", "$create_alias", "$merge"}
YEAR_1971_MS = 31_536_000_000
HOUR_MS = 3_600_000
MEGABYTE = 1_000_000

Problem = tuple[str, str]


class Invalid(Exception):
    """A record that is refused: the field and the message of the API's report."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


# -- time


def milliseconds(value: Any) -> int | None:
    """Unix milliseconds of a JSON number in seconds or milliseconds, by magnitude."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value != value or abs(value) > 1e18:
        return None
    return int(value * 1000) if abs(value) < 1e11 else int(value)


def any_milliseconds(value: Any) -> int | None:
    """As `milliseconds`, for warehouse columns: also ISO 8601 text, µs and ns."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    if isinstance(value, int | float) and 1e14 <= abs(value) < 1e20:
        return int(value / (1_000_000 if abs(value) >= 1e17 else 1000))
    return milliseconds(value)


# -- events


def clean_event(
    record: Any,
    *,
    now: float,
    identity: str = "original",
    need_insert_id: bool = True,
    most_bytes: int = 0,
) -> tuple[Json, int, str]:
    """The event as it is stored, its time in ms and the distinct_id it counts for.

    Raises Invalid with the words of the API for the first thing that is wrong.
    `most_bytes`: the event is known to be no larger; 0 means that it must be measured.
    """
    if not isinstance(record, dict):
        raise Invalid("", "event must be an object")
    name = record.get("event")
    if not isinstance(name, str) or not name.strip():
        raise Invalid("event", "'event' must not be missing or blank")
    if not _is_utf8(name):
        raise Invalid("event", "event is invalid: string should be valid utf8")
    properties = record.get("properties")
    if not isinstance(properties, dict):
        raise Invalid("properties", "'properties' is invalid: must be an object")
    time_ms = _clean_time(properties, now)
    _clean_insert_id(properties, need_insert_id)
    _clean_sizes(properties)
    if not 0 < most_bytes < MEGABYTE:
        most_bytes = _size(record)
    if most_bytes >= MEGABYTE:
        raise Invalid("", "event is invalid: must be smaller than 1MB")
    for other in record.keys() - {"event", "properties"}:
        _clean_text(other, record[other])
    distinct_id = _clean_distinct_id(properties, identity)
    kept = {key[:255]: _cut(value) for key, value in properties.items()}
    if not kept.get("$insert_id"):
        # such an event never counts as a duplicate of another
        kept.pop("$insert_id", None)
    return {"event": name[:255], "properties": kept}, time_ms, distinct_id


def _size(record: Any) -> int:
    """Bytes as UTF-8, without needless blanks and escapes."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode("utf-8", "surrogatepass"))


def _clean_time(properties: Json, now: float) -> int:
    if properties.get("time") is None:
        raise Invalid(
            "properties.time", "'properties.time' is invalid: must not be missing"
        )
    time_ms = milliseconds(properties["time"])
    if time_ms is None:
        raise Invalid(
            "properties.time",
            "'properties.time' is invalid: must be specified as seconds since epoch",
        )
    if time_ms < YEAR_1971_MS:
        raise Invalid(
            "properties.time",
            "'properties.time' is invalid: must not be before 1971-01-01",
        )
    now_ms = int(now * 1000)
    if time_ms > now_ms + HOUR_MS:
        raise Invalid(
            "properties.time",
            "'properties.time' is invalid: must not be in the future",
        )
    return min(time_ms, now_ms)


def _clean_insert_id(properties: Json, needed: bool) -> None:
    insert_id = properties.get("$insert_id")
    if insert_id in (None, ""):
        if needed:
            raise Invalid("$insert_id", "'$insert_id' is invalid: must not be missing")
        return
    if not isinstance(insert_id, str) or not INSERT_ID.fullmatch(insert_id):
        raise Invalid(
            "$insert_id",
            "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-'"
            " characters",
        )
    if len(insert_id) > 36:
        raise Invalid(
            "$insert_id", "'$insert_id' is invalid: must not be longer than 36 bytes"
        )
    if insert_id.lower() in BANNED_IDS:
        raise Invalid("$insert_id", "'$insert_id' is invalid: value is not allowed")


def _clean_distinct_id(properties: Json, identity: str) -> str:
    given = properties.get("distinct_id")
    if given is not None and not isinstance(given, str | int | float):
        raise Invalid(
            "properties.distinct_id",
            "'properties.distinct_id' is invalid: must be a string",
        )
    given_text = "" if given is None else json_text(given)
    # nothing can be stored under half a surrogate, whichever id wins below
    for id_name in ("distinct_id", "$user_id", "$device_id"):
        if not _is_utf8(json_text(properties.get(id_name, ""))):
            raise Invalid(
                f"properties.{id_name}",
                f"properties.{id_name} is invalid: string should be valid utf8",
            )
    if given_text.lower() in BANNED_IDS:
        raise Invalid(
            "properties.distinct_id",
            "'properties.distinct_id' is invalid: value is not allowed",
        )
    if identity == "original":
        if given is None:
            raise Invalid(
                "properties.distinct_id",
                "'properties.distinct_id' is invalid: must not be missing",
            )
        return given_text
    if user := properties.get("$user_id"):
        return json_text(user)
    if device := properties.get("$device_id"):
        return f"$device:{json_text(device)}"
    return given_text


def _clean_sizes(properties: Json) -> None:
    if len(properties) > 255:
        raise Invalid(
            "properties", "'properties' is invalid: must not have more than 255 keys"
        )
    for key, value in properties.items():
        _clean_text("properties", key)
        if isinstance(value, dict | list):
            _clean_nested(f"properties.{key}", value, 1)
        else:
            _clean_text(f"properties.{key}", value)


def _clean_nested(path: str, value: Any, depth: int) -> None:
    if not isinstance(value, dict | list):
        _clean_text(path, value)
        return
    if depth > 3:
        raise Invalid(path, f"'{path}' is invalid: must not be nested deeper than 3")
    if len(value) > 255:
        raise Invalid(path, f"'{path}' is invalid: must not have more than 255 items")
    for item in value.values() if isinstance(value, dict) else value:
        _clean_nested(path, item, depth + 1)
    if isinstance(value, dict):
        _clean_text(path, list(value))


def _clean_text(path: str, value: Any) -> None:
    """Refuse what is not UTF-8, in names as well as in values."""
    if isinstance(value, dict):
        for name, item in value.items():
            _clean_text(path, name)
            _clean_text(path, item)
    elif isinstance(value, list):
        for item in value:
            _clean_text(path, item)
    elif isinstance(value, str) and not _is_utf8(value):
        path = path.encode("utf-8", "replace").decode()
        raise Invalid(path, f"{path} is invalid: string should be valid utf8")


def _is_utf8(value: str) -> bool:
    # a lone surrogate is what is left of a broken \\u escape
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _cut(value: Any) -> Any:
    return value[:255] if isinstance(value, str) and len(value) > 255 else value


def json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def store_events(
    world: World,
    project_id: int,
    events: list[tuple[Json, int, str]],
    import_id: int | None = None,
) -> list[int]:
    """Append to the raw log. Gives the numbers under which they are kept."""
    if not events or not world.switches["keep_events"]:
        return []
    rows = [
        (
            project_id,
            event["event"],
            distinct_id,
            time_ms,
            event["properties"].get("$insert_id") or f"auto {uuid.uuid4()}",
            import_id,
            json.dumps(event, separators=(",", ":")),
        )
        for event, time_ms, distinct_id in events
    ]
    last = world.db.execute("SELECT COALESCE(MAX(n), 0) FROM events").fetchone()[0]
    # AUTOINCREMENT never reuses a number, also after deletions
    row = world.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
    first = max(last, (row.fetchone() or (0,))[0]) + 1
    world.db.executemany(
        "INSERT INTO events (project_id, event, distinct_id, time, insert_id,"
        " import_id, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    return list(range(first, first + len(rows)))


def raw_events(world: World, project_id: int) -> list[Json]:
    rows = world.db.execute(
        "SELECT body FROM events WHERE project_id = ? ORDER BY n", (project_id,)
    )
    return [json.loads(row[0]) for row in rows]


def read_events(world: World, project_id: int) -> list[Json]:
    """What reports see: one event per name, distinct_id, time and $insert_id.

    The latest wins.
    """
    rows = world.db.execute(
        "SELECT body FROM events WHERE n IN (SELECT MAX(n) FROM events"
        " WHERE project_id = ? GROUP BY event, distinct_id, time, insert_id)"
        " ORDER BY n",
        (project_id,),
    )
    return [json.loads(row[0]) for row in rows]


# -- profiles of users (group_key "") and of groups

OPERATIONS = {
    "$set", "$set_once", "$add", "$union", "$append", "$remove", "$unset", "$delete",
}  # fmt: skip
GROUP_OPERATIONS = OPERATIONS - {"$append"}


def profile_id(record: Any, group_keys: list[str] | None) -> tuple[str, str]:
    """The group key ("" for a user) and the id that this update is for."""
    if not isinstance(record, dict):
        raise Invalid("", "record must be an object")
    if group_keys is None:
        return "", _named_id(record, "$distinct_id")
    if "$distinct_id" in record:
        raise Invalid("$distinct_id", "'$distinct_id' is not allowed for groups")
    return _named_id(record, "$group_key"), _named_id(record, "$group_id")


def _named_id(record: Json, name: str) -> str:
    value = record.get(name)
    if value is None or value == "" or isinstance(value, dict | list | bool):
        raise Invalid(name, f"'{name}' is invalid: must not be missing or blank")
    if not _is_utf8(json_text(value)):
        raise Invalid(name, f"{name} is invalid: string should be valid utf8")
    return json_text(value)


def clean_update(record: Json, *, group: bool) -> dict[str, Any]:
    """The operations of a profile update; Invalid when there are none or bad ones."""
    known = GROUP_OPERATIONS if group else OPERATIONS
    verbs = {key: value for key, value in record.items() if key in known}
    if not verbs:
        raise Invalid("", "record has no known operation")
    if _size(record) > MEGABYTE:
        raise Invalid("", "record is invalid: must not be larger than 1MB")
    for name, value in record.items():
        _clean_text(name, name)
        _clean_text(name, value)
    for verb, value in verbs.items():
        if verb == "$delete":
            continue
        if verb == "$unset":
            if not isinstance(value, list) or any(
                not isinstance(name, str) for name in value
            ):
                raise Invalid(verb, f"'{verb}' is invalid: must be a list of names")
            continue
        if not isinstance(value, dict):
            raise Invalid(verb, f"'{verb}' is invalid: must be an object")
        if verb == "$add" and any(
            isinstance(item, bool) or not isinstance(item, int | float)
            for item in value.values()
        ):
            raise Invalid(verb, f"'{verb}' is invalid: values must be numbers")
        if verb == "$union" and (
            not value or any(not isinstance(v, list) or not v for v in value.values())
        ):
            raise Invalid(verb, f"'{verb}' is invalid: values must be lists")
    return verbs


def update_profile(
    world: World, project_id: int, group_key: str, id: str, verbs: dict[str, Any]
) -> None:
    key = (project_id, group_key, id)
    where = "WHERE project_id = ? AND group_key = ? AND id = ?"
    if "$delete" in verbs:
        world.db.execute(f"DELETE FROM profiles {where}", key)  # noqa: S608
        return
    row = world.db.execute(f"SELECT body FROM profiles {where}", key).fetchone()  # noqa: S608
    properties = {} if row is None else json.loads(row[0])
    for verb, value in verbs.items():
        _apply(properties, verb, value)
    if len(properties) > 2000:
        raise Invalid("", "profile has more than 2000 properties")
    world.db.execute(
        "INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?)",
        (*key, json.dumps(properties)),
    )


def _apply(properties: Json, verb: str, value: Any) -> None:
    if verb == "$unset":
        for name in value:
            properties.pop(name, None)
        return
    for name, item in value.items():
        name = name[:255]
        now = properties.get(name)
        if verb == "$set":
            properties[name] = item
        elif verb == "$set_once":
            properties.setdefault(name, item)
        elif verb == "$add":
            number = now if isinstance(now, int | float) else 0
            properties[name] = number + item
        elif verb == "$union":
            old = now if isinstance(now, list) else []
            properties[name] = old + [one for one in item if one not in old]
        elif verb == "$append":
            properties[name] = (now if isinstance(now, list) else []) + [item]
        elif verb == "$remove" and isinstance(now, list):
            properties[name] = [one for one in now if one != item]


def profiles(world: World, project_id: int, *, groups: bool) -> list[Json]:
    rows = world.db.execute(
        "SELECT group_key, id, body FROM profiles WHERE project_id = ?"  # noqa: S608
        f" AND group_key {'!=' if groups else '='} '' ORDER BY group_key, id",
        (project_id,),
    )
    return [
        {"$group_key": key, "$group_id": id, "properties": json.loads(body)}
        if groups
        else {"$distinct_id": id, "properties": json.loads(body)}
        for key, id, body in rows
    ]
