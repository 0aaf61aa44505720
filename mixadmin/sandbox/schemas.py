"""Lexicon schemas: the data dictionary of a project."""

import json
from typing import Any

from mixadmin.sandbox.state import World
from mixadmin.sandbox.wire import (
    Json,
    Refusal,
    Request,
    Response,
    app_error,
    ok,
    refuse,
)

ENTITY_TYPES = ("event", "profile")
PROPERTY_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def _pace(world: World, request: Request, pid: int) -> None:
    scope = pid
    if world.switches["schemas_scope"] == "organization":
        scope = request.project["organization_id"]
    limit = int(world.switches["schemas_per_minute"])
    if not world.spend(f"schemas {scope}", 60, limit):
        raise Refusal(app_error(429, "Rate limit exceeded"))


def _check_type(entity_type: Any) -> None:
    if entity_type not in ENTITY_TYPES:
        raise refuse(400, "entityType: must be event or profile")


def _check_schema(schema: Any) -> None:
    if not isinstance(schema, dict):
        raise refuse(400, "schemaJson: must be an object")
    properties = schema.get("properties")
    properties = {} if properties is None else properties
    if not isinstance(properties, dict):
        raise refuse(400, "schemaJson.properties: must be an object")
    for name, value in properties.items():
        if not isinstance(value, dict) or value.get("type") not in PROPERTY_TYPES:
            raise refuse(400, f"schemaJson.properties.{name}: type is not valid")


def _rows(
    world: World, pid: int, entity_type: str = "", name: str = ""
) -> list[tuple[str, str, Json]]:
    rows = world.db.execute(
        "SELECT entity_type, name, body FROM schemas WHERE project_id = ?"
        " AND (? = '' OR entity_type = ?) AND (? = '' OR name = ?)"
        " ORDER BY entity_type, name",
        (pid, entity_type, entity_type, name, name),
    )
    return [(kind, name, json.loads(body)) for kind, name, body in rows]


def list_schemas(
    world: World, request: Request, pid: int, entity_type: str = ""
) -> Response:
    _pace(world, request, pid)
    if entity_type:
        _check_type(entity_type)
    name = request.query.get("entity_name", "")
    return ok(
        [
            {"entityType": kind, "name": name, "schemaJson": body}
            for kind, name, body in _rows(world, pid, entity_type, name)
        ]
    )


def get_one(
    world: World, request: Request, pid: int, entity_type: str, name: str
) -> Response:
    _pace(world, request, pid)
    _check_type(entity_type)
    found = _rows(world, pid, entity_type, name)
    if not found:
        raise refuse(404, f"Schema {entity_type} {name} was not found")
    return ok(found[0][2])


def _merged(old: Json, new: Json) -> Json:
    """Metadata keys that are left out stay, null removes one; the rest is replaced."""
    result = dict(new)
    if "metadata" in old or "metadata" in new:
        mine, given = old.get("metadata") or {}, new.get("metadata") or {}
        metadata = {}
        for vendor in {**mine, **given}:
            before, after = mine.get(vendor) or {}, given.get(vendor) or {}
            if isinstance(before, dict) and isinstance(after, dict):
                both = {**before, **after}
                metadata[vendor] = {k: v for k, v in both.items() if v is not None}
            else:
                metadata[vendor] = after or before
        result["metadata"] = metadata
    if isinstance(new.get("properties"), dict):
        before = old.get("properties") or {}
        result["properties"] = {
            name: _merged(before.get(name) or {}, value)
            for name, value in new["properties"].items()
        }
    return result


def _store(world: World, pid: int, entity_type: str, name: str, schema: Json) -> None:
    found = _rows(world, pid, entity_type, name)
    body = _merged(found[0][2] if found else {}, schema)
    world.db.execute(
        "INSERT OR REPLACE INTO schemas VALUES (?, ?, ?, ?)",
        (pid, entity_type, name, json.dumps(body)),
    )


def put_one(
    world: World, request: Request, pid: int, entity_type: str, name: str
) -> Response:
    _pace(world, request, pid)
    _check_type(entity_type)
    schema = request.json_object()
    _check_schema(schema)
    _store(world, pid, entity_type, name, schema)
    request.did("updated", "schema", f"{entity_type} {name}")
    return ok()


def upsert(world: World, request: Request, pid: int) -> Response:
    _pace(world, request, pid)
    body = request.json_object()
    unknown = sorted(set(body) - {"entries", "truncate"})
    if unknown:
        raise refuse(400, f"{unknown[0]}: unknown field")
    entries, truncate = body.get("entries"), body.get("truncate", False)
    if not isinstance(entries, list):
        raise refuse(400, "entries: must be a list")
    if not isinstance(truncate, bool):
        raise refuse(400, "truncate: must be true or false")
    size = 0
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {
            "entityType",
            "name",
            "schemaJson",
        }:
            raise refuse(400, "entries: each needs entityType, name and schemaJson")
        _check_type(entry["entityType"])
        if not isinstance(entry["name"], str) or not entry["name"]:
            raise refuse(400, "entries: name must be a string")
        _check_schema(entry["schemaJson"])
        size += 1 + len(entry["schemaJson"].get("properties") or {})
    limit = int(world.switches["schema_entities_per_minute"])
    if size and not world.spend(f"entities {pid}", 60, limit, size):
        raise Refusal(app_error(429, "Rate limit exceeded"))
    deleted = _delete(world, pid, "", "") if truncate else 0
    for entry in entries:
        _store(world, pid, entry["entityType"], entry["name"], entry["schemaJson"])
    request.did("updated", "schemas", len(entries))
    return ok({"added": len(entries), "deleted": deleted})


def _delete(world: World, pid: int, entity_type: str, name: str) -> int:
    found = _rows(world, pid, entity_type, name)
    if len(found) >= int(world.switches["max_schema_deletions"]):
        raise refuse(400, "too many deletions in one request")
    for kind, name, _ in found:
        world.db.execute(
            "DELETE FROM schemas WHERE project_id = ? AND entity_type = ? AND name = ?",
            (pid, kind, name),
        )
    return len(found)


def delete(
    world: World, request: Request, pid: int, entity_type: str = "", name: str = ""
) -> Response:
    _pace(world, request, pid)
    if entity_type:
        _check_type(entity_type)
    count = _delete(
        world, pid, entity_type, name or request.query.get("entity_name", "")
    )
    request.did("deleted", "schemas", count)
    return ok({"delete_count": count})
