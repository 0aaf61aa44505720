"""Warehouse sources and warehouse imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final

from . import building
from .building import (
    an_object,
    flag,
    id_number,
    list_of,
    number,
    one_of,
    or_null,
    shaped,
    text,
    text_map,
)
from .http import Answer, Http, check_id, secret_values
from .reading import (
    Json,
    as_list,
    as_object,
    get_bool,
    get_id,
    get_int,
    get_key,
    get_object,
    get_optional_id,
    get_text,
    get_time,
    many,
)
from .states import normalise_run_state

WAREHOUSE_TYPES = ("bigquery", "snowflake", "redshift", "databricks", "postgres")
SYNC_MODES = ("time_based", "mirror_mode", "full_sync", "one_time")

# Nanoseconds: only when triggered, hourly, daily, weekly.
RUN_EVERY = (0, 3_600_000_000_000, 86_400_000_000_000, 604_800_000_000_000)

# Every key of the Databricks cluster config; Mixpanel refuses any other.
_CLUSTER = shaped(
    {
        "spark_version": text,
        "node_type_id": text,
        "driver_node_type_id": or_null(text),
        "num_workers": number,
        "autoscale": or_null(shaped({"min_workers": number, "max_workers": number})),
        "spark_conf": or_null(text_map),
        "spark_env_vars": or_null(text_map),
        "data_security_mode": or_null(
            one_of(
                "USER_ISOLATION",
                "SINGLE_USER",
                "NONE",
                "LEGACY_TABLE_ACL",
                "LEGACY_PASSTHROUGH",
                "LEGACY_SINGLE_USER",
                "LEGACY_SINGLE_USER_STANDARD",
            )
        ),
        "single_user_name": or_null(text),
        "custom_tags": or_null(text_map),
        "policy_id": or_null(text),
        "instance_pool_id": or_null(text),
        "driver_instance_pool_id": or_null(text),
        "enable_elastic_disk": or_null(flag),
        "runtime_engine": or_null(one_of("STANDARD", "PHOTON")),
        "aws_attributes": or_null(an_object),
        "azure_attributes": or_null(an_object),
        "gcp_attributes": or_null(an_object),
        "init_scripts": or_null(list_of(an_object)),
    }
)
_DATABRICKS = or_null(shaped({"export_cluster_config": or_null(_CLUSTER)}))

_EVERY_KIND = {
    "warehouse_source_id": id_number,
    "table_params": an_object,
    "sync_mode": one_of(*SYNC_MODES),
    "run_every": one_of(*RUN_EVERY),
    "databricks_params": _DATABRICKS,
}
_EVERY_KIND_REQUIRED = ("warehouse_source_id", "table_params", "sync_mode")

_NOT_FOR_LOOKUP = {
    "json_properties_column_name": or_null(text),
    "insert_time_column_name": or_null(text),
    "property_mappings": or_null(text_map),
}

_PROPERTY = shaped(
    {
        "value": text,
        "resourceType": one_of("event", "user"),
        "customPropertyId": or_null(id_number),
    },
    required=("value", "resourceType"),
)

# kind -> (last part of the path, the body that Mixpanel documents)
_CREATE = {
    "event_stream": (
        "event-stream",
        shaped(
            {
                **_EVERY_KIND,
                **_NOT_FOR_LOOKUP,
                "event_name": text,
                "event_column_name": text,
                "time_column_name": text,
                "user_column_name": text,
                "company_column_name": text,
                "device_column_name": or_null(text),
            },
            required=(*_EVERY_KIND_REQUIRED, "time_column_name"),
        ),
    ),
    "people": (
        "people",
        shaped(
            {**_EVERY_KIND, **_NOT_FOR_LOOKUP, "user_column_name": text},
            required=(*_EVERY_KIND_REQUIRED, "user_column_name"),
        ),
    ),
    "groups": (
        "groups",
        shaped(
            {
                **_EVERY_KIND,
                **_NOT_FOR_LOOKUP,
                "group_key": text,
                "group_id_column": text,
            },
            required=(*_EVERY_KIND_REQUIRED, "group_key", "group_id_column"),
        ),
    ),
    "lookup_table": (
        "lookup-table",
        shaped(
            {
                **_EVERY_KIND,
                "sync_mode": one_of("full_sync", "one_time"),
                "mixpanel_property": _PROPERTY,
                "property_key_column_name": text,
            },
            required=(
                *_EVERY_KIND_REQUIRED,
                "mixpanel_property",
                "property_key_column_name",
            ),
        ),
    ),
}
KINDS = tuple(_CREATE)

# What an import may carry beside the fields that every import has.
_DETAIL_FIELDS = (
    "event_name",
    "event_column_name",
    "time_column_name",
    "user_column_name",
    "company_column_name",
    "device_column_name",
    "json_properties_column_name",
    "insert_time_column_name",
    "property_mappings",
    "group_key",
    "group_id_column",
    "mixpanel_property",
    "property_key_column_name",
)


class Unset(Enum):
    """The type of UNSET: leave it out of the request, unlike None."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True)
class WarehouseSource:
    """A connected warehouse. Mixpanel never echoes how it is connected."""

    id: int
    name: str
    warehouse_type: str
    created_at: datetime | None
    creator_name: str
    creator_email: str
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class WarehouseImport:
    """An import of one table.

    ``kind`` and ``sync_mode`` are Mixpanel's words, also ones not known here;
    ``run_every`` is in nanoseconds; ``fields`` holds the column fields that came.
    """

    id: int
    kind: str
    sync_mode: str
    source_id: int | None
    table_params: Json
    paused: bool
    run_every: int | None
    last_dispatch_at: datetime | None
    is_deleted: bool
    created_at: datetime | None
    creator_name: str
    creator_email: str
    fields: Json
    databricks_params: Json | None
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImportRun:
    """One run out of the 30 newest. Mixpanel gives no id and no reason.

    ``state`` is one of ours (see states.py), ``raw_state`` is Mixpanel's word.
    ``num_events_imported`` is None when not known.
    """

    state: str
    raw_state: str
    started_at: datetime | None
    ended_at: datetime | None
    num_events_imported: int | None
    raw: Json = field(repr=False)


class Warehouse:
    """``client.warehouse``."""

    def __init__(self, http: Http, project_id: int | None) -> None:
        self._http = http
        self._project_id = project_id

    def list_sources(self) -> list[WarehouseSource]:
        """All sources of the project."""
        return self._sources("GET").results(many(read_source, "sources"))

    def get_source(self, source_id: int) -> WarehouseSource:
        """One source."""
        return self._sources("GET", check_id(source_id, "source_id")).results(
            read_source, bare=True
        )

    def create_source(
        self, *, warehouse_type: str, name: str, connection: Mapping[str, Any]
    ) -> WarehouseSource:
        """Connect a warehouse.

        The keys of ``connection`` are not documented; all are sent as they are,
        beside ``warehouse_type`` and ``source_name``.
        """
        one_of(*WAREHOUSE_TYPES)("warehouse_type", warehouse_type)
        text("name", name)
        body = {
            **_connection(connection),
            "warehouse_type": warehouse_type,
            "source_name": name,
        }
        answer = self._sources("POST", json_body=body, secrets=secret_values(body))
        return answer.results(read_source)

    def update_source(
        self,
        source_id: int,
        *,
        name: str | None = None,
        connection: Mapping[str, Any] | None = None,
        warehouse_type: str = "",
    ) -> WarehouseSource:
        """Rename a source or change its connection fields, those given only.

        Changing connection fields needs the ``warehouse_type`` that the source
        has, as it tells Mixpanel which fields to expect.
        """
        body = _connection(connection or {})
        if name is not None:
            text("name", name)
            body["source_name"] = name
        if not body:
            raise ValueError("nothing to change")
        if warehouse_type:
            one_of(*WAREHOUSE_TYPES)("warehouse_type", warehouse_type)
            body["warehouse_type"] = warehouse_type
        answer = self._sources(
            "PATCH",
            check_id(source_id, "source_id"),
            json_body=body,
            secrets=secret_values(body),
        )
        return answer.results(read_source, bare=True)

    def delete_source(self, source_id: int) -> None:
        """Delete a source."""
        self._sources("DELETE", check_id(source_id, "source_id")).ok()

    def list_imports(self) -> list[WarehouseImport]:
        """All imports of the project, also of kinds that cannot be created."""
        return self._imports("GET").results(many(read_import, "imports"))

    def get_import(self, import_id: int) -> WarehouseImport:
        """One import with its column fields."""
        return self._imports("GET", check_id(import_id, "import_id")).results(
            read_import, bare=True
        )

    def create_import(self, kind: str, body: Mapping[str, Any]) -> WarehouseImport:
        """Create an import of one of KINDS.

        ``body`` holds the published fields of that kind without ``import_type``.
        Unknown, missing and wrongly typed fields raise ValueError or TypeError
        before anything is sent.
        """
        one_of(*KINDS)("kind", kind)
        path, check = _CREATE[kind]
        check("", dict(body))
        return self._imports(
            "POST", path, json_body={**body, "import_type": kind}
        ).results(read_import)

    def patch_import(
        self,
        import_id: int,
        *,
        paused: bool,
        run_every: int,
        databricks_params: Json | Unset | None = UNSET,
    ) -> WarehouseImport:
        """Set what can be changed. Mixpanel wants both of the first two, always.

        ``databricks_params`` replaces the old config as a whole.
        """
        flag("paused", paused)
        one_of(*RUN_EVERY)("run_every", run_every)
        body: Json = {"paused": paused, "run_every": run_every}
        if not isinstance(databricks_params, Unset):
            _DATABRICKS("databricks_params", databricks_params)
            body["databricks_params"] = databricks_params
        answer = self._imports(
            "PATCH", check_id(import_id, "import_id"), json_body=body
        )
        return answer.results(read_import, bare=True)

    def delete_import(self, import_id: int, *, delete_data: bool = False) -> None:
        """Stop and delete an import; with ``delete_data`` also what it brought.

        Deleting the data cannot be undone from here.
        """
        flag("delete_data", delete_data)
        body = {"delete_data": delete_data}
        self._imports("DELETE", check_id(import_id, "import_id"), json_body=body).ok()

    def manual_sync(self, import_id: int) -> str:
        """Start a run now and give its run id ("" when Mixpanel tells none).

        At most 5 an hour. History does not carry the run id.
        """
        answer = self._imports(
            "PUT", check_id(import_id, "import_id"), "manual-sync", json_body={}
        )
        results = answer.envelope().get("results") or {}
        return answer.read(
            lambda value: get_text(as_object(value, "results"), "run_id"), results
        )

    def history(self, import_id: int) -> list[ImportRun]:
        """The newest runs, at most 30, in the order in which they came."""
        return self._imports(
            "GET", check_id(import_id, "import_id"), "history"
        ).results(_runs)

    def _sources(self, method: str, *path: object, **options: Any) -> Answer:
        return self._call(method, "sources", *path, **options)

    def _imports(self, method: str, *path: object, **options: Any) -> Answer:
        return self._call(method, "imports", *path, **options)

    def _call(self, method: str, *path: object, **options: Any) -> Answer:
        if self._project_id is None:
            raise ValueError("this call needs a client with a project_id")
        base = ("projects", self._project_id, "warehouse-sources")
        return self._http.app(method, *base, *path, **options)


def _connection(connection: Mapping[str, Any]) -> Json:
    an_object("connection", dict(connection))
    for key in connection:
        building.text("a key of connection", key)
        if key in ("source_name", "warehouse_type"):
            raise ValueError(f"{key} is an argument of its own")
    return dict(connection)


def read_source(value: Any) -> WarehouseSource:
    """A source out of its JSON, fresh or stored. Raises Mismatch."""
    data = as_object(value, "a source")
    return WarehouseSource(
        id=get_id(data, "id"),
        name=get_text(data, "source_name", "name"),
        warehouse_type=get_text(data, "warehouse_type"),
        created_at=get_time(data, "created"),
        creator_name=get_text(data, "creator_name"),
        creator_email=get_text(data, "creator_email"),
        raw=data,
    )


def read_import(value: Any) -> WarehouseImport:
    """An import out of its JSON, fresh or stored. Raises Mismatch."""
    data = as_object(value, "an import")
    databricks = data.get("databricks_params")
    return WarehouseImport(
        id=get_id(data, "id"),
        kind=get_key(data, "import_type"),
        sync_mode=get_text(data, "sync_mode"),
        source_id=get_optional_id(data, "warehouse_source_id"),
        table_params=get_object(data, "table_params"),
        paused=get_bool(data, "paused"),
        run_every=get_int(data, "run_every"),
        last_dispatch_at=get_time(data, "last_dispatch"),
        is_deleted=get_bool(data, "is_deleted"),
        created_at=get_time(data, "created"),
        creator_name=get_text(data, "creator_name"),
        creator_email=get_text(data, "creator_email"),
        fields={key: data[key] for key in _DETAIL_FIELDS if key in data},
        databricks_params=None
        if databricks is None
        else as_object(databricks, "databricks_params"),
        raw=data,
    )


def _runs(value: Any) -> list[ImportRun]:
    if isinstance(value, dict):
        value = value.get("runs")
    return [_run(item) for item in as_list(value, "runs")]


def _run(value: Any) -> ImportRun:
    data = as_object(value, "a run")
    status = data.get("status")
    return ImportRun(
        state=normalise_run_state(status),
        raw_state="" if status is None else str(status)[:100],
        started_at=get_time(data, "start_time"),
        ended_at=get_time(data, "end_time"),
        num_events_imported=get_int(data, "num_events_imported"),
        raw=data,
    )
