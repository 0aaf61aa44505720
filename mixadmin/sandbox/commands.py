"""What each control command does to the world. Arguments are plain JSON values."""

import base64
import json
import re
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixadmin.sandbox import accounts, connectors, faults, lookup, records, warehouse
from mixadmin.sandbox.state import World
from mixadmin.sandbox.syncs import quoted
from mixadmin.sandbox.wire import Json

REGIONS = ("us", "eu", "in")


def add_organization(world: World, id: int, name: str) -> None:
    world.put("organization", id, {"id": id, "name": name})


def add_project(world: World, id: int, **fields: Any) -> str:
    if fields["region"] not in REGIONS:
        raise ValueError(f"region: one of {', '.join(REGIONS)}")
    if fields["identity"] not in ("simplified", "original"):
        raise ValueError("identity: simplified or original")
    if fields["connectors"] not in ("open", "closed"):
        raise ValueError("connectors: open or closed")
    return str(accounts.make_project(world, id, **fields)["token"])


def add_service_account(
    world: World,
    username: str,
    secret: str,
    organization_id: int,
    role: str,
    projects: dict[str, str] | None,
    expires_at: Any,
    region: str,
) -> int:
    if world.get("organization", organization_id) is None:
        add_organization(world, organization_id, f"Organization {organization_id}")
    account = accounts.make_account(
        world,
        username=username,
        secret=secret,
        organization_id=organization_id,
        role=role,
        projects=None
        if projects is None
        else {str(key): value for key, value in projects.items()},
        expires_at=None if expires_at is None else accounts.parse_iso(expires_at),
        region=region,
    )
    return int(account["id"])


def _account(world: World, username: str) -> Json:
    account = world.get("account", username)
    if account is None:
        raise ValueError(f"no service account {username}")
    return account


def expire_service_account(world: World, username: str) -> None:
    world.put("account", username, {**_account(world, username), "expires_at": 1.0})


def change_secret(world: World, username: str, secret: str) -> None:
    world.put("account", username, {**_account(world, username), "secret": secret})


def set_role(world: World, username: str, project_id: int, role: str | None) -> None:
    account = _account(world, username)
    account["projects"] = accounts.spelled_out(world, account)
    if role is None:
        account["projects"].pop(str(project_id), None)
    else:
        account["projects"][str(project_id)] = role
    world.put("account", username, account)


def somebody() -> Json:
    return {
        "creator_id": 1,
        "creator_name": "Somebody Else",
        "creator_email": "somebody@example.com",
    }


def add_source(
    world: World,
    project_id: int,
    name: str,
    warehouse_type: str,
    id: int | None,
    connection: Json,
) -> int:
    by = somebody()
    made = warehouse.make_source(
        world, project_id, name, warehouse_type, connection, by, id
    )
    return int(made["id"])


def add_import(world: World, project_id: int, fields: Json) -> int:
    sources = warehouse.live_sources(world, project_id)
    defaults = {
        "import_type": "event_stream",
        "sync_mode": "full_sync",
        "table_params": {"table": "events"},
        "run_every": 3_600_000_000_000,
        "warehouse_source_id": sources[0]["id"] if sources else 0,
    }
    if fields.get("import_type", "event_stream").startswith("event"):
        defaults.update(event_name="Event", time_column_name="time")
    by = somebody()
    made = warehouse.make_import(world, project_id, {**defaults, **fields}, by)
    return int(made["id"])


def _import(world: World, project_id: int, import_id: int) -> Json:
    found = world.get("import", import_id)
    if found is None or found["project_id"] != project_id:
        raise ValueError(f"no import {import_id} in project {project_id}")
    return found


def set_import(world: World, project_id: int, import_id: int, changes: Json) -> None:
    warehouse.change_import(world, _import(world, project_id, import_id), changes)


def drop_import(
    world: World, project_id: int, import_id: int, delete_data: bool
) -> None:
    found = _import(world, project_id, import_id)
    warehouse.remove_import(world, found, delete_data=delete_data)


def add_connector(world: World, project_id: int, fields: Json) -> str:
    defaults = {
        "connector_type": "gcsImport",
        "connector_properties": {"gcs_bucket": "bucket", "gcs_prefix": ""},
        "category_properties": {"data_format": "mixpanel_event", "compression": "none"},
    }
    made = connectors.make_connector(world, project_id, {**defaults, **fields})
    return str(made["id"])


def add_lookup_table(
    world: World, project_id: int, name: str, id: str | None, csv: str
) -> str:
    made = lookup.make_table(world, project_id, name, csv, id or str(uuid.uuid4()))
    return str(made["id"])


# -- buckets and warehouses


def add_bucket(world: World, bucket: str) -> None:
    _bucket(world, bucket)


def _bucket(world: World, bucket: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,221}", bucket):
        raise ValueError(f"not a bucket name: {bucket}")
    folder = world.buckets / bucket
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def put_file(world: World, bucket: str, path: str, data: str) -> None:
    folder = _bucket(world, bucket).resolve()
    target = (folder / path).resolve()
    if not target.is_relative_to(folder) or target == folder:
        raise ValueError(f"path leads out of the bucket: {path}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(base64.b64decode(data))


def make_table(
    world: World,
    source: int | str,
    table: str,
    columns: dict[str, str],
    rows: list[Json],
) -> None:
    names = list(columns)
    layout = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    with _database(world, source) as db:
        db.execute(f"DROP TABLE IF EXISTS {quoted(table)}")
        db.execute(f"CREATE TABLE {quoted(table)} ({layout})")
        marks = ", ".join("?" for _ in names)
        db.executemany(
            f"INSERT INTO {quoted(table)} VALUES ({marks})",  # noqa: S608
            [[_cell(row.get(name)) for name in names] for row in rows],
        )


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def sql(world: World, database: int | str, statement: str) -> list[Json]:
    with _database(world, database) as db:
        cursor = db.execute(statement)
        if cursor.description is None:
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _refuse_attach(action: int, *_: Any) -> int:
    # a statement must not reach other files of the machine
    forbidden = action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
    return sqlite3.SQLITE_DENY if forbidden else sqlite3.SQLITE_OK


class _database:
    """Opens a warehouse database for one command, commits and closes it."""

    def __init__(self, world: World, name: int | str) -> None:
        self.db = sqlite3.connect(world.database(name))
        self.db.set_authorizer(_refuse_attach)

    def __enter__(self) -> sqlite3.Connection:
        return self.db

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.db.commit()
        self.db.close()


# -- faults, switches, time


def fault(
    world: World, method: str, path: str, kind: str, times: int, after: int, args: Json
) -> None:
    faults.add(world, method, path, kind, times, after, args)


def clear_faults(world: World) -> None:
    world.db.execute("DELETE FROM faults")


def switch(world: World, switches: Json) -> Json:
    return world.switch(switches)


def freeze(world: World, frozen: bool) -> None:
    world.freeze(frozen)


def now(world: World) -> float:
    return world.now()


# -- the truth


def calls(world: World, method: str, path: str) -> list[Json]:
    names = (
        "n", "at", "method", "path", "query", "region", "host", "status", "request_id",
        "mp_request_id", "body", "username", "fault", "effect",
    )  # fmt: skip
    found = []
    for row in world.db.execute(f"SELECT {', '.join(names)} FROM calls ORDER BY n"):  # noqa: S608
        call = dict(zip(names, row, strict=True))
        if method and call["method"] != method.upper():
            continue
        if path and not re.search(path, call["path"]):
            continue
        for name in ("query", "body", "effect"):
            call[name] = json.loads(call[name])
        found.append(call)
    return found


def clear_calls(world: World) -> None:
    world.db.execute("DELETE FROM calls")


def objects(world: World, project_id: int) -> dict[str, list[Json]]:
    return {
        "sources": world.find("source", project_id),
        "imports": world.find("import", project_id),
        "connectors": world.find("connector", project_id),
    }


def runs(world: World, owner_id: int | str) -> list[Json]:
    owner = "import" if str(owner_id).isdigit() else "connector"
    return [
        {"n": n, "status": status, **body}
        for n, status, body in world.runs(owner, owner_id)
    ]


def events(world: World, project_id: int) -> list[Json]:
    return records.read_events(world, project_id)


def raw_events(world: World, project_id: int) -> list[Json]:
    return records.raw_events(world, project_id)


def profiles(world: World, project_id: int) -> list[Json]:
    return records.profiles(world, project_id, groups=False)


def group_profiles(world: World, project_id: int) -> list[Json]:
    return records.profiles(world, project_id, groups=True)


def lookup_tables(world: World, project_id: int) -> list[Json]:
    return world.find("lookup", project_id)


COMMANDS: dict[str, Callable[..., Any]] = {
    command.__name__: command
    for command in (
        add_organization, add_project, add_service_account, expire_service_account,
        change_secret, set_role, add_source, add_import, set_import, drop_import,
        add_connector, add_lookup_table, add_bucket, put_file, make_table, sql, fault,
        clear_faults, switch, freeze, now, calls, clear_calls, objects, runs, events,
        raw_events, profiles, group_profiles, lookup_tables,
    )
}  # fmt: skip
COMMANDS["faults"] = faults.pending


def run(world: World, name: str, args: Json) -> Any:
    """Carry out one command. ValueError or TypeError: it makes no sense."""
    if name == "reset":
        world.reset()
        return None
    world.settle()
    if name == "advance":
        world.advance(float(args["seconds"]))
        return None
    if name not in COMMANDS:
        raise ValueError(f"no such command: {name}")
    try:
        with world.transaction():
            return COMMANDS[name](world, **args)
    except sqlite3.Error as exc:
        raise ValueError(str(exc)) from exc
