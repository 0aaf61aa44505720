"""Warehouse sources and imports: what the App API says about them."""

import math
from typing import Any

from mixadmin.sandbox import syncs
from mixadmin.sandbox.accounts import email, iso
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

WAREHOUSE_TYPES = ("bigquery", "snowflake", "redshift", "databricks", "postgres")
SYNC_MODES = ("time_based", "mirror_mode", "full_sync", "one_time")
RUN_EVERY = (0, 3_600_000_000_000, 86_400_000_000_000, 604_800_000_000_000)
DAILY = 86_400_000_000_000
COMMON = {
    "import_type", "warehouse_source_id", "table_params", "sync_mode", "run_every",
    "databricks_params",
}  # fmt: skip
ROWS = {"json_properties_column_name", "insert_time_column_name", "property_mappings"}
# the path's last part -> import_type, allowed fields besides COMMON, required ones
KINDS: dict[str, tuple[str, set[str], tuple[str, ...]]] = {
    "event-stream": (
        "event_stream",
        {
            "time_column_name", "event_name", "event_column_name", "user_column_name",
            "company_column_name", "device_column_name", *ROWS,
        },
        ("time_column_name",),
    ),
    "people": ("people", {"user_column_name", *ROWS}, ("user_column_name",)),
    "groups": (
        "groups",
        {"group_key", "group_id_column", *ROWS},
        ("group_key", "group_id_column"),
    ),
    "lookup-table": (
        "lookup_table",
        {"mixpanel_property", "property_key_column_name"},
        ("mixpanel_property", "property_key_column_name"),
    ),
}  # fmt: skip
ALL_FIELDS = COMMON.union(*(fields for _, fields, _ in KINDS.values()))
SHOWN = (
    "id", "import_type", "sync_mode", "created", "creator_id", "creator_name",
    "creator_email", "warehouse_source_id", "table_params", "paused", "run_every",
    "last_dispatch", "is_deleted",
)  # fmt: skip
SHOWN_IN_DETAIL = (
    *SHOWN, "event_name", "event_column_name", "time_column_name", "user_column_name",
    "insert_time_column_name", "property_mappings", "group_key", "group_id_column",
    "databricks_params",
)  # fmt: skip
SECURITY_MODES = (
    "USER_ISOLATION", "SINGLE_USER", "NONE", "LEGACY_TABLE_ACL", "LEGACY_PASSTHROUGH",
    "LEGACY_SINGLE_USER", "LEGACY_SINGLE_USER_STANDARD",
)  # fmt: skip
CLUSTER_FIELDS: dict[str, type] = {
    "spark_version": str,
    "node_type_id": str,
    "driver_node_type_id": str,
    "num_workers": int,
    "autoscale": dict,
    "spark_conf": dict,
    "spark_env_vars": dict,
    "data_security_mode": str,
    "single_user_name": str,
    "custom_tags": dict,
    "policy_id": str,
    "instance_pool_id": str,
    "driver_instance_pool_id": str,
    "enable_elastic_disk": bool,
    "runtime_engine": str,
    "aws_attributes": dict,
    "azure_attributes": dict,
    "gcp_attributes": dict,
    "init_scripts": list,
}


def wrong(field: str, reason: str) -> Refusal:
    return refuse(400, f"{field}: {reason}")


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# -- sources


def source_json(source: Json) -> Json:
    return {
        name: source[name]
        for name in (
            "id", "source_name", "warehouse_type", "created", "creator_id",
            "creator_name", "creator_email",
        )
    }  # fmt: skip


def creator(request: Request) -> Json:
    account = request.account or {"id": 1, "username": "somebody else"}
    return {
        "creator_id": account["id"],
        "creator_name": account["username"],
        "creator_email": email(account),
    }


def make_source(
    world: World,
    project_id: int,
    name: str,
    warehouse_type: str,
    connection: Json,
    by: Json,
    id: int | None = None,
) -> Json:
    source = {
        "id": id if id is not None else world.next_id("source", 101),
        "project_id": project_id,
        "source_name": name,
        "warehouse_type": warehouse_type,
        "created": iso(world.now()),
        "connection": connection,
        "is_deleted": False,
        **by,
    }
    world.put("source", source["id"], source, project_id)
    return source


def _source(world: World, project_id: int, id: int) -> Json:
    source = world.get("source", id)
    if source is None or source["is_deleted"] or source["project_id"] != project_id:
        raise refuse(404, f"Warehouse source {id} was not found")
    return source


def live_sources(world: World, project_id: int) -> list[Json]:
    found = world.find("source", project_id)
    return [one for one in found if not one["is_deleted"]]


def list_sources(world: World, request: Request, pid: int) -> Response:
    return ok([source_json(one) for one in live_sources(world, pid)])


def get_source(world: World, request: Request, pid: int, id: int) -> Response:
    return ok(source_json(_source(world, pid, id)))


def create_source(world: World, request: Request, pid: int) -> Response:
    body = request.json_object()
    kind = body.pop("warehouse_type", None)
    name = body.pop("source_name", "")
    if kind not in WAREHOUSE_TYPES:
        raise wrong("warehouse_type", f"must be one of {', '.join(WAREHOUSE_TYPES)}")
    if not isinstance(name, str) or len(name) > 255:
        raise wrong("source_name", "must be a string of at most 255 characters")
    source = make_source(world, pid, name, kind, body, creator(request))
    request.did("created", "source", source["id"])
    return ok(source_json(source))


def update_source(world: World, request: Request, pid: int, id: int) -> Response:
    source = _source(world, pid, id)
    body = request.json_object()
    kind = body.pop("warehouse_type", source["warehouse_type"])
    if kind != source["warehouse_type"]:
        raise wrong("warehouse_type", "cannot be changed")
    name = body.pop("source_name", source["source_name"])
    if not isinstance(name, str) or len(name) > 255:
        raise wrong("source_name", "must be a string of at most 255 characters")
    source["source_name"] = name
    source["connection"].update(body)
    world.put("source", id, source)
    request.did("updated", "source", id)
    return ok(source_json(source))


def delete_source(world: World, request: Request, pid: int, id: int) -> Response:
    source = _source(world, pid, id)
    users = [
        one for one in live_imports(world, pid) if one["warehouse_source_id"] == id
    ]
    if users and world.switches["delete_source_in_use"] == "refuse":
        raise refuse(400, f"Warehouse source {id} is used by {len(users)} imports")
    for one in users:
        remove_import(world, one, delete_data=False)
        request.did("deleted", "import", one["id"])
    source["is_deleted"] = True
    world.put("source", id, source)
    request.did("deleted", "source", id)
    return ok()


# -- imports


def live_imports(world: World, project_id: int) -> list[Json]:
    found = world.find("import", project_id)
    return [one for one in found if not one["is_deleted"]]


def _import(world: World, project_id: int, id: int) -> Json:
    found = world.get("import", id)
    if found is None or found["project_id"] != project_id:
        raise refuse(404, f"Warehouse import {id} was not found")
    if found["is_deleted"] and not world.switches["show_deleted_imports"]:
        raise refuse(404, f"Warehouse import {id} was not found")
    return found


def import_json(world: World, found: Json, names: tuple[str, ...]) -> Json:
    shown: Json = {name: found.get(name) for name in names}
    if found["last_dispatch"] is not None:
        shown["last_dispatch"] = in_unit(world, found["last_dispatch"])
    if shown.get("databricks_params"):
        shown["databricks_params"] = _with_server_additions(shown["databricks_params"])
    return shown


def _with_server_additions(params: Json) -> Json:
    config = params.get("export_cluster_config")
    if not config:
        return params
    config = {
        **config,
        "spark_env_vars": {
            **(config.get("spark_env_vars") or {}),
            "PYSPARK_PYTHON": "/databricks/python3/bin/python3",
        },
        "custom_tags": {**(config.get("custom_tags") or {}), "provider": "mixpanel"},
    }
    return {**params, "export_cluster_config": config}


def in_unit(world: World, moment: float) -> int:
    factor = {"s": 1, "ms": 1000, "ns": 1_000_000_000}[world.switches["time_unit"]]
    return math.floor(moment * factor)


def list_imports(world: World, request: Request, pid: int) -> Response:
    found = world.find("import", pid)
    if not world.switches["show_deleted_imports"]:
        found = [one for one in found if not one["is_deleted"]]
    return ok([import_json(world, one, SHOWN) for one in found])


def get_import(world: World, request: Request, pid: int, id: int) -> Response:
    return ok(import_json(world, _import(world, pid, id), SHOWN_IN_DETAIL))


def create_import(world: World, request: Request, pid: int, kind: str) -> Response:
    body = request.json_object()
    fields = check_create(world, request.project, kind, body)
    found = make_import(world, pid, fields, creator(request))
    request.did("created", "import", found["id"])
    return ok(import_json(world, found, SHOWN_IN_DETAIL))


def check_create(world: World, project: Json, kind: str, body: Json) -> Json:
    """The body, if a create of this kind would be accepted."""
    import_type, extra, required = KINDS[kind]
    if body.get("import_type") != import_type:
        raise wrong("import_type", f"must be {import_type}")
    _check_known(world, body, COMMON | extra)
    if not is_int(body.get("warehouse_source_id")):
        raise wrong("warehouse_source_id", "must be an integer")
    source = world.get("source", body["warehouse_source_id"])
    if source is None or source["is_deleted"] or source["project_id"] != project["id"]:
        raise wrong("warehouse_source_id", "no such warehouse source in this project")
    if not isinstance(body.get("table_params"), dict) or not body["table_params"]:
        raise wrong("table_params", "must be an object that names a table")
    _check_mode(world, body, source["warehouse_type"], import_type)
    _check_types(body, required)
    if import_type == "event_stream":
        if bool(body.get("event_name")) == bool(body.get("event_column_name")):
            raise wrong(
                "event_name", "exactly one of event_name, event_column_name is required"
            )
        if project["b2b"] and not body.get("company_column_name"):
            raise wrong("company_column_name", "required for B2B projects")
    if import_type == "groups" and body["group_key"] not in project["group_keys"]:
        raise wrong("group_key", "no such group key in the project settings")
    if import_type == "lookup_table":
        _check_property(body["mixpanel_property"])
    if "run_every" in body and body["run_every"] is not None:
        _check_run_every(body["run_every"])
    _check_databricks(world, body.get("databricks_params"), source["warehouse_type"])
    return body


def _check_known(world: World, body: Json, known: set[str]) -> None:
    unknown = sorted(set(body) - known)
    if unknown and world.switches["reject_unknown_fields"]:
        raise wrong(unknown[0], "unknown field")


def _check_mode(world: World, body: Json, warehouse: str, import_type: str) -> None:
    mode = body.get("sync_mode")
    allowed = SYNC_MODES if import_type != "lookup_table" else SYNC_MODES[2:]
    if mode not in allowed:
        raise wrong("sync_mode", f"must be one of {', '.join(allowed)}")
    if mode == "mirror_mode" and warehouse == "postgres":
        raise wrong("sync_mode", "mirror_mode is not supported for postgres")
    if mode == "time_based" and not body.get("insert_time_column_name"):
        raise wrong("insert_time_column_name", "required for time_based")
    full_events = mode == "full_sync" and import_type == "event_stream"
    if full_events and not world.switches["events_full_sync"]:
        raise wrong("sync_mode", "full_sync is not supported for events")


def _check_types(body: Json, required: tuple[str, ...]) -> None:
    for name in required:
        if body.get(name) in (None, "", {}):
            raise wrong(name, "this field is required")
    for name, value in body.items():
        texts = name.endswith(("_column_name", "_column")) or name in (
            "event_name", "group_key",
        )  # fmt: skip
        if texts and value is not None and not isinstance(value, str):
            raise wrong(name, "must be a string")
    mappings = body.get("property_mappings")
    if mappings is not None and (
        not isinstance(mappings, dict)
        or any(not isinstance(value, str) for value in mappings.values())
    ):
        raise wrong("property_mappings", "must be an object of strings")


def _check_property(value: Any) -> None:
    if not isinstance(value, dict) or not isinstance(value.get("value"), str):
        raise wrong("mixpanel_property", "value is required")
    if value.get("resourceType") not in ("event", "user"):
        raise wrong("mixpanel_property", "resourceType must be event or user")
    custom = value.get("customPropertyId")
    if custom is not None and not is_int(custom):
        raise wrong("mixpanel_property", "customPropertyId must be an integer")


def _check_run_every(value: Any) -> None:
    if not is_int(value) or value not in RUN_EVERY:
        raise wrong("run_every", f"must be one of {', '.join(map(str, RUN_EVERY))}")


def _check_databricks(world: World, params: Any, warehouse: str) -> None:
    if params is None:
        return
    field = "databricks_params"
    if warehouse != "databricks":
        raise wrong(field, "only for databricks sources")
    if not isinstance(params, dict) or set(params) - {"export_cluster_config"}:
        raise wrong(field, "must be an object with export_cluster_config")
    config = params.get("export_cluster_config")
    if config is None:
        return
    field = "databricks_params.export_cluster_config"
    if not isinstance(config, dict):
        raise wrong(field, "must be an object")
    for name, value in config.items():
        kind = CLUSTER_FIELDS.get(name)
        if kind is None:
            raise wrong(f"{field}.{name}", "unknown field")
        if value is None:
            if name in ("spark_version", "node_type_id", "num_workers"):
                raise wrong(f"{field}.{name}", "must not be null")
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise wrong(f"{field}.{name}", f"must be of type {kind.__name__}")
    _check_cluster(field, config)


def _check_cluster(field: str, config: Json) -> None:
    if (config.get("num_workers") or 0) < 0:
        raise wrong(f"{field}.num_workers", "must be at least 0")
    autoscale = config.get("autoscale")
    if autoscale is not None:
        if set(autoscale) - {"min_workers", "max_workers"}:
            raise wrong(f"{field}.autoscale", "unknown field")
        for name, least in (("min_workers", 0), ("max_workers", 1)):
            if name in autoscale and (
                not is_int(autoscale[name]) or autoscale[name] < least
            ):
                raise wrong(f"{field}.autoscale.{name}", f"must be at least {least}")
    for name in ("spark_conf", "spark_env_vars", "custom_tags"):
        values = (config.get(name) or {}).values()
        if any(not isinstance(value, str) for value in values):
            raise wrong(f"{field}.{name}", "values must be strings")
    mode = config.get("data_security_mode")
    if mode is not None and mode not in SECURITY_MODES:
        raise wrong(f"{field}.data_security_mode", "unknown value")
    if mode == "SINGLE_USER" and not config.get("single_user_name"):
        raise wrong(f"{field}.single_user_name", "required with SINGLE_USER")
    if config.get("runtime_engine") not in (None, "STANDARD", "PHOTON"):
        raise wrong(f"{field}.runtime_engine", "unknown value")
    if any(not isinstance(one, dict) for one in config.get("init_scripts") or []):
        raise wrong(f"{field}.init_scripts", "must be a list of objects")


def make_import(world: World, project_id: int, fields: Json, by: Json) -> Json:
    run_every = fields.get("run_every")
    if fields["sync_mode"] == "one_time":
        run_every = 0
    elif run_every is None:
        default = world.switches["run_every_default"]
        run_every = DAILY if default is None else default
    found = {
        "paused": False,
        "last_dispatch": None,
        **fields,
        "id": fields.get("id") or world.next_id("import", 1001),
        "project_id": project_id,
        "run_every": run_every,
        "created": iso(world.now()),
        "is_deleted": False,
        "watermark": None,
        **by,
    }
    world.put("import", found["id"], found, project_id)
    if not found["paused"] and (run_every or found["sync_mode"] == "one_time"):
        syncs.schedule(world, found, world.now())
    return found


def patch_import(world: World, request: Request, pid: int, id: int) -> Response:
    found = _import(world, pid, id)
    body = request.json_object()
    _check_known(world, body, {"paused", "run_every", "databricks_params"})
    needed = ["paused"]
    if world.switches["patch_requires_both"]:
        needed.append("run_every")
    for name in needed:
        if name not in body:
            raise wrong(name, "this field is required")
    if not isinstance(body["paused"], bool):
        raise wrong("paused", "must be true or false")
    if "run_every" in body:
        _check_run_every(body["run_every"])
    if "databricks_params" in body:
        source = world.get("source", found["warehouse_source_id"]) or {}
        _check_databricks(
            world, body["databricks_params"], source.get("warehouse_type", "")
        )
    change_import(world, found, body)
    request.did("updated", "import", id)
    return ok(import_json(world, found, SHOWN_IN_DETAIL))


def change_import(world: World, found: Json, changes: Json) -> None:
    """Set fields and do what they entail: stop the job, or schedule it anew."""
    paused_before, every_before = found["paused"], found["run_every"]
    found.update(changes)
    if found["sync_mode"] == "one_time":
        found["run_every"] = 0
    world.put("import", found["id"], found)
    if found["paused"] and not paused_before:
        syncs.unschedule(world, found)
    elif (paused_before and not found["paused"]) or found["run_every"] != every_before:
        syncs.reschedule(world, found)


def delete_import(world: World, request: Request, pid: int, id: int) -> Response:
    found = _import(world, pid, id)
    if found["is_deleted"]:
        raise refuse(404, f"Warehouse import {id} was not found")
    body = request.json_object() if request.body.strip() else {}
    delete_data = body.get("delete_data", False)
    if not isinstance(delete_data, bool):
        raise wrong("delete_data", "must be true or false")
    remove_import(world, found, delete_data=delete_data)
    request.did("deleted", "import", id)
    if delete_data:
        request.did("deleting_data_of", "import", id)
    return ok()


def remove_import(world: World, found: Json, *, delete_data: bool) -> None:
    syncs.unschedule(world, found)
    found["is_deleted"] = True
    found["delete_data"] = delete_data
    world.put("import", found["id"], found)
    if delete_data:
        wait = world.seconds(world.switches["purge_seconds"])
        world.at(world.now() + wait, "purge", found["id"], {})


def purge(world: World, id: str, body: Json) -> None:
    """The deletion request that a delete with data files; profiles stay."""
    world.db.execute("DELETE FROM events WHERE import_id = ?", (int(id),))


def manual_sync(world: World, request: Request, pid: int, id: int) -> Response:
    found = _import(world, pid, id)
    if found["is_deleted"]:
        raise refuse(404, f"Warehouse import {id} was not found")
    if world.switches["manual_sync_when_busy"] == "refuse":
        if found["paused"]:
            raise refuse(400, f"Warehouse import {id} is paused")
        if syncs.is_busy(world, found):
            raise refuse(400, f"Warehouse import {id} is already running")
    per_project = world.switches["manual_sync_scope"] == "project"
    key = f"manual project {pid}" if per_project else f"manual import {id}"
    if not world.spend(key, 3600, int(world.switches["manual_sync_limit"])):
        response = app_error(429, "Manual sync limit exceeded, please try again later")
        if world.switches["retry_after_on_429"]:
            response.headers["Retry-After"] = str(world.switches["retry_after_on_429"])
        raise Refusal(response)
    run_id = syncs.dispatch_soon(world, found)
    request.did("created", "import_run", run_id)
    return ok({"run_id": run_id} if world.switches["manual_sync_run_id"] else None)


def history(world: World, request: Request, pid: int, id: int) -> Response:
    _import(world, pid, id)
    runs = world.runs("import", id, int(world.switches["history_length"]))
    return ok({"runs": [syncs.run_json(world, run, in_unit) for run in runs]})
