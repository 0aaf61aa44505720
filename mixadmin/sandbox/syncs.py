"""Runs of warehouse imports: real queries on real tables, per sync mode."""

import hashlib
import json
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from mixadmin.sandbox import records
from mixadmin.sandbox.state import World
from mixadmin.sandbox.wire import Json

Row = tuple[int | None, dict[str, Any]]  # rowid (None in a view), columns
Run = tuple[int, str, Json]
COLLAPSING = ("bigquery", "redshift")  # fully equal rows count once in Mirror


class SyncFailed(Exception):
    """The run ends as FAILED. Mixpanel tells nobody why; the ledger keeps the text."""


# -- when


def schedule(world: World, found: Json, when: float) -> None:
    wait = world.seconds(world.switches["dispatch_seconds"])
    world.at(when + wait, "import", found["id"], {"scheduled": True})


def every(world: World, found: Json) -> float:
    """Seconds between scheduled runs; not so few that a high speed drowns us."""
    return max(world.seconds(found["run_every"] / 1e9), 0.2)


def unschedule(world: World, found: Json) -> None:
    """No further runs; the one that is going on is cancelled."""
    world.cancel_due("import", found["id"])
    for n, status, body in world.runs("import", found["id"], 5):
        if status == "RUNNING":
            body["end"] = world.now()
            body["num"] = 0
            world.save_run(n, "CANCELLED", body)
            world.cancel_due("import_run", n)


def reschedule(world: World, found: Json) -> None:
    """After a resume or another frequency: when the next run is due from the last."""
    world.cancel_due("import", found["id"])
    if found["paused"] or found["is_deleted"]:
        return
    never = found["last_dispatch"] is None
    if found["run_every"]:
        next_one = 0 if never else found["last_dispatch"] + every(world, found)
        schedule(world, found, max(world.now(), next_one))
    elif found["sync_mode"] == "one_time" and never:
        schedule(world, found, world.now())


def dispatch_soon(world: World, found: Json) -> str:
    """Start a run that somebody asked for. Gives its id."""
    run_id = str(uuid.uuid4())
    wait = world.seconds(world.switches["dispatch_seconds"])
    world.at(world.now() + wait, "import", found["id"], {"run_id": run_id})
    return run_id


def is_busy(world: World, found: Json) -> bool:
    newest = world.runs("import", found["id"], 1)
    if newest and newest[0][1] == "RUNNING":
        return True
    asked = world.db.execute(
        "SELECT 1 FROM due WHERE kind = 'import' AND id = ? AND body LIKE '%run_id%'",
        (str(found["id"]),),
    )
    return asked.fetchone() is not None


def on_import_due(world: World, id: str, body: Json) -> None:
    found = world.get("import", id)
    if found is None or found["is_deleted"] or found["paused"]:
        return
    newest = world.runs("import", id, 1)
    if not (newest and newest[0][1] == "RUNNING"):
        start_run(world, found, body.get("run_id") or str(uuid.uuid4()))
    if body.get("scheduled") and found["run_every"]:
        next_one = world.now() + every(world, found)
        world.at(next_one, "import", id, {"scheduled": True})


def start_run(world: World, found: Json, run_id: str) -> None:
    now = world.now()
    found["last_dispatch"] = now
    world.put("import", found["id"], found)
    try:
        total = sum(1 for _ in select_rows(world, found))
    except SyncFailed:
        total = 0
    end_at = now + world.seconds(world.switches["run_seconds"])
    n = world.add_run(
        "import",
        found["id"],
        "RUNNING",
        {"run_id": run_id, "start": now, "end_at": end_at, "total": total},
    )
    world.at(end_at, "import_run", n, {})


def on_run_due(world: World, id: str, body: Json) -> None:
    """The end of a run: read the table and change the project, all or nothing."""
    run = world.run(int(id))
    if run is None or run[0] != "RUNNING":
        return
    details = run[1]
    owner = world.db.execute("SELECT owner_id FROM runs WHERE n = ?", (int(id),))
    found = world.get("import", owner.fetchone()[0])
    assert found is not None
    details["end"] = world.now()
    try:
        details["num"] = apply(world, found)
        status = "SUCCEEDED"
    except SyncFailed as exc:
        details.update(num=0, error=str(exc))
        status = "FAILED"
    world.save_run(int(id), status, details)


def run_json(world: World, run: Run, in_unit: Callable[[World, float], int]) -> Json:
    _, status, body = run
    end = body.get("end")
    if status == "RUNNING":
        whole = max(body["end_at"] - body["start"], 1e-9)
        done = min(max((world.now() - body["start"]) / whole, 0.0), 1.0)
        num = int(body["total"] * done)
    else:
        num = body["num"]
    return {
        "status": status,
        "start_time": in_unit(world, body["start"]),
        "end_time": None if end is None else in_unit(world, end),
        "num_events_imported": num,
    }


# -- what: reading the table


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def open_table(
    world: World, source: Json, params: Json
) -> tuple[sqlite3.Connection, str, bool]:
    """The first of the source's databases that has the table; (db, table, is view)."""
    name = next(
        (
            params[key]
            for key in ("table", "table_name", "table_id")
            if isinstance(params.get(key), str) and params[key]
        ),
        None,
    )
    if name is None:
        raise SyncFailed("table_params name no table")
    places = [source["id"], source["source_name"]]
    for holder in (source["connection"], params):
        places += [
            holder[key]
            for key in ("database", "catalog", "dataset", "project", "project_id")
            if isinstance(holder.get(key), str | int)
        ]
    for place in places:
        path = world.database(place)
        if not path.is_file():
            continue
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        for wanted in (name, name.rsplit(".", 1)[-1]):
            row = db.execute(
                "SELECT name, type FROM sqlite_master WHERE name = ?"
                " AND type IN ('table', 'view')",
                (wanted,),
            ).fetchone()
            if row is not None:
                return db, row[0], row[1] == "view"
        db.close()
    raise SyncFailed(f"table {name} does not exist")


def needed_columns(found: Json) -> list[str]:
    names = [
        "time_column_name", "event_column_name", "user_column_name",
        "company_column_name", "device_column_name", "json_properties_column_name",
        "group_id_column", "property_key_column_name",
    ]  # fmt: skip
    if found["sync_mode"] == "time_based":
        names.append("insert_time_column_name")
    columns = [found[name] for name in names if found.get(name)]
    return columns + list(found.get("property_mappings") or {})


def select_rows(world: World, found: Json) -> Iterable[Row]:
    """The rows that the next run in this mode reads."""
    source = world.get("source", found["warehouse_source_id"])
    if source is None or source["is_deleted"]:
        raise SyncFailed("the warehouse source is gone")
    try:
        db, table, is_view = open_table(world, source, found["table_params"])
    except sqlite3.Error as exc:
        raise SyncFailed(str(exc)) from exc
    try:
        mirror = found["sync_mode"] == "mirror_mode"
        if is_view and mirror and source["warehouse_type"] != "snowflake":
            raise SyncFailed("Mirror does not support views of this warehouse")
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({quoted(table)})")]
        for column in needed_columns(found):
            if column not in columns:
                raise SyncFailed(f"column {column} does not exist in {table}")
        rowid = "NULL" if is_view else "rowid"
        sql = f"SELECT {rowid}, * FROM {quoted(table)}"  # noqa: S608
        args: list[Any] = []
        if found["sync_mode"] == "time_based":
            column = quoted(found["insert_time_column_name"])
            sql += f" WHERE {column} IS NOT NULL"
            if found["watermark"] is not None:
                sql += f" AND {column} > ?"
                args.append(found["watermark"])
            sql += f" ORDER BY {column}"
        rows = db.execute(sql, args).fetchall()
    except sqlite3.Error as exc:
        raise SyncFailed(str(exc)) from exc
    finally:
        db.close()
    return [(row[0], dict(zip(columns, row[1:], strict=True))) for row in rows]


# -- what: changing the project


def apply(world: World, found: Json) -> int:
    """Carry out one run. Gives the number of rows that Mixpanel counts."""
    rows = list(select_rows(world, found))
    if found["import_type"] == "lookup_table":
        return _apply_lookup(world, found, rows)
    if found["sync_mode"] == "mirror_mode":
        return _apply_mirror(world, found, rows)
    if found["sync_mode"] == "time_based" and rows:
        found["watermark"] = rows[-1][1][found["insert_time_column_name"]]
        world.put("import", found["id"], found)
    return len(_add(world, found, with_hashes(found, rows, collapse=False)))


def with_hashes(found: Json, rows: list[Row], *, collapse: bool) -> dict[str, Row]:
    """Rows by a checksum of their contents; equal rows are numbered or collapse."""
    seen: Counter[str] = Counter()
    hashed: dict[str, Row] = {}
    for rowid, row in rows:
        text = json.dumps([found["id"], sorted(row.items())], default=_as_text)
        digest = hashlib.sha256(text.encode()).hexdigest()[:36]
        seen[digest] += 1
        if seen[digest] > 1:
            if collapse:
                continue
            again = f"{digest} {seen[digest]}"
            digest = hashlib.sha256(again.encode()).hexdigest()[:36]
        hashed[digest] = (rowid, row)
    return hashed


def _as_text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _add(world: World, found: Json, rows: dict[str, Row]) -> dict[str, str]:
    """Bring these rows in. Gives what each accepted one became, by checksum."""
    if found["import_type"] in ("event_stream", "event_sync"):
        return _add_events(world, found, rows)
    return _add_profiles(world, found, rows)


def properties_of(found: Json, row: dict[str, Any], used: Iterable[str]) -> Json:
    """Columns and the JSON column's keys as properties; a column wins over a key."""
    mappings = found.get("property_mappings") or {}
    json_column = found.get("json_properties_column_name")
    properties: Json = {}
    if json_column and row.get(json_column) is not None:
        try:
            inner = json.loads(row[json_column])
        except (TypeError, ValueError):
            inner = None
        if isinstance(inner, dict):
            properties.update(inner)
    hidden = {*used, json_column, found.get("insert_time_column_name")}
    for column, value in row.items():
        if value is None or (column in hidden and column not in mappings):
            continue
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        properties[mappings.get(column, column)] = value
    return properties


def _add_events(world: World, found: Json, rows: dict[str, Row]) -> dict[str, str]:
    project = world.get("project", found["project_id"]) or {}
    source = world.get("source", found["warehouse_source_id"]) or {}
    names = {
        name: found.get(f"{name}_column_name")
        for name in ("time", "event", "user", "device", "company")
    }
    used = [column for column in names.values() if column]
    events, hashes = [], []
    for digest, (_, row) in rows.items():
        properties = properties_of(found, row, used)
        properties["time"] = records.any_milliseconds(row.get(names["time"] or ""))
        user = row.get(names["user"] or "")
        device = row.get(names["device"] or "")
        if device is not None:
            properties["$device_id"] = str(device)
        if user is not None:
            if project.get("identity") == "simplified":
                properties["$user_id"] = str(user)
            properties["distinct_id"] = str(user)
        properties.setdefault("distinct_id", "")
        if names["company"]:
            properties["$company_id"] = row.get(names["company"])
        properties.setdefault("$insert_id", digest)
        properties["$warehouse_import_id"] = found["id"]
        properties["$warehouse_type"] = source.get("warehouse_type")
        name = found.get("event_name") or row.get(names["event"] or "")
        try:
            events.append(
                records.clean_event(
                    {"event": name, "properties": properties},
                    now=world.now(),
                    identity=project.get("identity", "simplified"),
                )
            )
        except records.Invalid:
            continue
        hashes.append(digest)
    numbers = records.store_events(world, found["project_id"], events, found["id"])
    if not numbers:
        return dict.fromkeys(hashes, "")
    return {
        digest: json.dumps(["event", number])
        for digest, number in zip(hashes, numbers, strict=True)
    }


def _add_profiles(world: World, found: Json, rows: dict[str, Row]) -> dict[str, str]:
    groups = found["import_type"] == "groups"
    column = found["group_id_column"] if groups else found["user_column_name"]
    group_key = found["group_key"] if groups else ""
    project = world.get("project", found["project_id"]) or {}
    if groups and group_key not in project.get("group_keys", []):
        raise SyncFailed(f"no group key {group_key} in the project")
    made: dict[str, str] = {}
    for digest, (_, row) in rows.items():
        if row.get(column) in (None, ""):
            continue
        id = str(row[column])
        properties = properties_of(found, row, [column])
        try:
            records.update_profile(
                world, found["project_id"], group_key, id, {"$set": properties}
            )
        except records.Invalid:
            continue
        made[digest] = json.dumps(["profile", group_key, id, list(properties)])
    return made


def _apply_mirror(world: World, found: Json, rows: list[Row]) -> int:
    """Compare with the last run row by row; inserts, updates and deletes all count."""
    source = world.get("source", found["warehouse_source_id"]) or {}
    collapse = source["warehouse_type"] in COLLAPSING
    now = with_hashes(found, rows, collapse=collapse)
    before = {
        digest: (rowid, target)
        for digest, rowid, target in world.db.execute(
            "SELECT hash, row_number, target FROM mirror_rows WHERE import_id = ?",
            (found["id"],),
        )
    }
    gone = {digest: one for digest, one in before.items() if digest not in now}
    fresh = {digest: row for digest, row in now.items() if digest not in before}
    for digest, (_, target) in gone.items():
        _remove(world, found, target)
        world.db.execute(
            "DELETE FROM mirror_rows WHERE import_id = ? AND hash = ?",
            (found["id"], digest),
        )
    made = _add(world, found, fresh)
    world.db.executemany(
        "INSERT INTO mirror_rows VALUES (?, ?, ?, ?)",
        [
            (found["id"], digest, fresh[digest][0], target)
            for digest, target in made.items()
        ],
    )
    changed = {rowid for rowid, _ in gone.values() if rowid is not None}
    updates = sum(1 for digest in made if fresh[digest][0] in changed)
    return len(made) + len(gone) - updates


def _remove(world: World, found: Json, target: str) -> None:
    """Undo what a row of a mirrored table had brought."""
    if not target:
        return
    kind, *rest = json.loads(target)
    if kind == "event":
        world.db.execute("DELETE FROM events WHERE n = ?", (rest[0],))
    else:
        group_key, id, names = rest
        records.update_profile(
            world, found["project_id"], group_key, id, {"$unset": names}
        )


def _apply_lookup(world: World, found: Json, rows: list[Row]) -> int:
    key = found["property_key_column_name"]
    table = {str(row[key]): row for _, row in rows if row[key] not in (None, "")}
    columns = [key] + [name for name in (rows[0][1] if rows else {}) if name != key]
    id = f"import-{found['id']}"
    world.put(
        "lookup",
        id,
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, id)),
            "key": id,
            "data_group_id": -(found["id"] + 10**17),
            "name": found["mixpanel_property"]["value"],
            "project_id": found["project_id"],
            "columns": columns,
            "rows": [[row.get(name) for name in columns] for row in table.values()],
        },
        found["project_id"],
    )
    return len(table)
