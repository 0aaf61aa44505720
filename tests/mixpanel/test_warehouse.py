from datetime import UTC, datetime

import pytest

from mixadmin.mixpanel import errors
from mixadmin.mixpanel.warehouse import RUN_EVERY
from tests.mixpanel.wire import ok, reply

SOURCE = {
    "id": 3,
    "source_name": "prod",
    "warehouse_type": "postgres",
    "created": "2026-01-02T03:04:05Z",
    "creator_id": 9,
    "creator_name": "Ada",
    "creator_email": "ada@example.com",
    "something": "new",
}
IMPORT = {
    "id": 21,
    "import_type": "event_stream",
    "sync_mode": "time_based",
    "created": "2026-01-02T03:04:05Z",
    "creator_id": 9,
    "creator_name": "Ada",
    "creator_email": "ada@example.com",
    "warehouse_source_id": 3,
    "table_params": {"schema": "public", "table": "events"},
    "paused": False,
    "run_every": 3_600_000_000_000,
    "last_dispatch": 1_767_323_045,
    "is_deleted": False,
    "event_name": None,
    "time_column_name": "at",
    "databricks_params": None,
    "something": "new",
}
EVENTS = {
    "warehouse_source_id": 3,
    "table_params": {"table": "events"},
    "sync_mode": "time_based",
    "time_column_name": "at",
    "event_name": "Bought",
    "insert_time_column_name": "inserted",
}
BODIES = {
    "event_stream": EVENTS,
    "people": {
        "warehouse_source_id": 3,
        "table_params": {},
        "sync_mode": "full_sync",
        "user_column_name": "id",
        "property_mappings": {"mail": "$email"},
    },
    "groups": {
        "warehouse_source_id": 3,
        "table_params": {},
        "sync_mode": "one_time",
        "group_key": "company",
        "group_id_column": "id",
        "run_every": 0,
    },
    "lookup_table": {
        "warehouse_source_id": 3,
        "table_params": {},
        "sync_mode": "full_sync",
        "mixpanel_property": {"value": "sku", "resourceType": "event"},
        "property_key_column_name": "sku",
    },
}
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_sources_are_listed(client, server):
    server.answer(ok([SOURCE]))
    (source,) = client.warehouse.list_sources()
    assert server.requests[0].path == "/us/api/app/projects/7/warehouse-sources/sources"
    assert (source.id, source.name, source.warehouse_type) == (3, "prod", "postgres")
    assert (source.creator_name, source.creator_email) == ("Ada", "ada@example.com")
    assert source.created_at == MOMENT
    assert source.raw == SOURCE


@pytest.mark.parametrize(
    "answer", [ok(SOURCE), reply(SOURCE)], ids=["enveloped", "bare"]
)
def test_one_source_is_read_with_or_without_envelope(client, server, answer):
    server.answer(answer)
    assert client.warehouse.get_source(3).name == "prod"
    assert server.requests[0].path.endswith("/warehouse-sources/sources/3")


def test_a_source_is_created_flat(client, server):
    server.answer(ok(SOURCE))
    client.warehouse.create_source(
        warehouse_type="postgres", name="prod", connection={"host": "db", "port": 5432}
    )
    assert server.requests[0].method == "POST"
    assert server.requests[0].json() == {
        "warehouse_type": "postgres",
        "source_name": "prod",
        "host": "db",
        "port": 5432,
    }


def test_a_source_is_renamed_and_changed(client, server):
    server.answer(ok(SOURCE))
    client.warehouse.update_source(3, name="new")
    client.warehouse.update_source(
        3, connection={"host": "db2"}, warehouse_type="postgres"
    )
    assert [r.method for r in server.requests] == ["PATCH", "PATCH"]
    assert [r.json() for r in server.requests] == [
        {"source_name": "new"},
        {"host": "db2", "warehouse_type": "postgres"},
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda w: w.create_source(warehouse_type="mysql", name="x", connection={}),
        lambda w: w.create_source(warehouse_type="postgres", name="", connection={}),
        lambda w: w.create_source(
            warehouse_type="postgres", name="x", connection={"source_name": "y"}
        ),
        lambda w: w.create_source(
            warehouse_type="postgres", name="x", connection={"a": float("nan")}
        ),
        lambda w: w.create_source(
            warehouse_type="postgres", name="x", connection={"a": "\ud800"}
        ),
        lambda w: w.update_source(3),
        lambda w: w.update_source(3, name=""),
        lambda w: w.update_source(3, connection={"a": 1}, warehouse_type="mysql"),
        lambda w: w.update_source("3", name="x"),
        lambda w: w.get_source(True),
        lambda w: w.get_source("../imports"),
        lambda w: w.delete_source(0),
        lambda w: w.patch_import(1, paused=1, run_every=0),
        lambda w: w.patch_import(1, paused=True, run_every=1),
        lambda w: w.patch_import(1, paused=True, run_every=False),
        lambda w: w.patch_import(1, paused=True, run_every=None),
        lambda w: w.patch_import(1, paused=True, run_every=0, databricks_params=[]),
        lambda w: w.patch_import(
            1, paused=True, run_every=0, databricks_params={"x": 1}
        ),
        lambda w: w.delete_import(1, delete_data="yes"),
        lambda w: w.create_import("event_sync", EVENTS),
        lambda w: w.create_import("event-stream", EVENTS),
    ],
)
def test_a_bad_argument_is_refused_before_sending(client, server, call):
    with pytest.raises((TypeError, ValueError)):
        call(client.warehouse)
    assert server.requests == []


def test_imports_are_listed_with_their_state(client, server):
    server.answer(ok([IMPORT, {"id": 22, "import_type": "event_sync"}]))
    full, bare = client.warehouse.list_imports()
    assert server.requests[0].path == "/us/api/app/projects/7/warehouse-sources/imports"
    assert (full.id, full.kind, full.sync_mode) == (21, "event_stream", "time_based")
    assert (full.source_id, full.paused, full.run_every) == (
        3,
        False,
        3_600_000_000_000,
    )
    assert full.last_dispatch_at == full.created_at == MOMENT
    assert full.table_params == {"schema": "public", "table": "events"}
    assert full.fields == {"event_name": None, "time_column_name": "at"}
    assert full.databricks_params is None
    assert full.raw == IMPORT
    assert (bare.kind, bare.source_id, bare.run_every) == ("event_sync", None, None)
    assert (bare.fields, bare.table_params, bare.last_dispatch_at) == ({}, {}, None)


def test_words_that_are_not_known_are_kept(client, server):
    server.answer(ok([{**IMPORT, "import_type": "newer", "sync_mode": "other"}]))
    (found,) = client.warehouse.list_imports()
    assert (found.kind, found.sync_mode) == ("newer", "other")


@pytest.mark.parametrize("last", [1767323045, 1767323045000, 1767323045 * 10**9])
def test_the_unit_of_a_time_is_seen_from_its_size(client, server, last):
    server.answer(ok({**IMPORT, "last_dispatch": last}))
    assert client.warehouse.get_import(21).last_dispatch_at == MOMENT


@pytest.mark.parametrize(
    "change",
    [{"paused": "no"}, {"run_every": "hourly"}, {"run_every": 2**70}, {"created": "now"},
     {"table_params": []}, {"databricks_params": "x"}, {"import_type": None},
     {"warehouse_source_id": "3"}, {"creator_name": 5}, {"last_dispatch": {}}],
)  # fmt: skip
def test_an_import_of_wrong_types_is_named(client, server, change):
    server.answer(ok({**IMPORT, **change}))
    with pytest.raises(errors.UnexpectedResponse) as caught:
        client.warehouse.get_import(21)
    assert next(iter(change)) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "path"),
    [("event_stream", "event-stream"), ("people", "people"), ("groups", "groups"),
     ("lookup_table", "lookup-table")],
)  # fmt: skip
def test_each_kind_is_created_at_its_own_path(client, server, kind, path):
    server.answer(ok({**IMPORT, "import_type": kind}))
    assert client.warehouse.create_import(kind, BODIES[kind]).kind == kind
    assert server.requests[0].method == "POST"
    assert server.requests[0].path.endswith(f"/warehouse-sources/imports/{path}")
    assert server.requests[0].json() == {**BODIES[kind], "import_type": kind}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(
    "field", ["nonsense", "import_type", "paused", "start_time_ms"]
)
def test_an_unknown_field_is_refused_by_name(client, server, kind, field):
    with pytest.raises(ValueError, match=f"{field} is not a field"):
        client.warehouse.create_import(kind, {**BODIES[kind], field: 1})
    assert server.requests == []


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (kind, field)
        for kind, extra in {
            "event_stream": ["time_column_name"],
            "people": ["user_column_name"],
            "groups": ["group_key", "group_id_column"],
            "lookup_table": ["mixpanel_property", "property_key_column_name"],
        }.items()
        for field in ["warehouse_source_id", "table_params", "sync_mode", *extra]
    ],
)
def test_a_missing_or_empty_required_field_is_refused(client, server, kind, field):
    without = {key: v for key, v in BODIES[kind].items() if key != field}
    with pytest.raises(ValueError, match=f"{field} is missing"):
        client.warehouse.create_import(kind, without)
    with pytest.raises((TypeError, ValueError), match=field):
        client.warehouse.create_import(kind, {**without, field: None})
    assert server.requests == []


@pytest.mark.parametrize(
    ("kind", "change", "named"),
    [
        ("event_stream", {"sync_mode": "append"}, "sync_mode"),
        ("lookup_table", {"sync_mode": "time_based"}, "sync_mode"),
        ("lookup_table", {"sync_mode": "mirror_mode"}, "sync_mode"),
        ("people", {"run_every": 3600}, "run_every"),
        ("people", {"run_every": "0"}, "run_every"),
        ("people", {"warehouse_source_id": "3"}, "warehouse_source_id"),
        ("people", {"table_params": []}, "table_params"),
        ("people", {"property_mappings": {"a": 1}}, "property_mappings.a"),
        ("people", {"event_name": "x"}, "event_name"),
        ("event_stream", {"device_column_name": ""}, "device_column_name"),
        ("lookup_table", {"mixpanel_property": {"value": "a"}}, "resourceType"),
        ("lookup_table", {"mixpanel_property": {"value": "a", "resourceType": "group"}},
         "resourceType"),
        ("lookup_table", {"insert_time_column_name": "x"}, "insert_time_column_name"),
        ("groups", {"databricks_params": {"run_queries_cluster_config": {}}},
         "run_queries_cluster_config"),
        ("groups", {"databricks_params": {"export_cluster_config": {"workers": 1}}},
         "export_cluster_config.workers"),
        ("groups", {"databricks_params": {"export_cluster_config": {"num_workers": -1}}},
         "num_workers"),
        ("groups", {"databricks_params": {"export_cluster_config": {"autoscale": {"min": 1}}}},
         "autoscale.min"),
        ("groups", {"databricks_params": {"export_cluster_config":
                                          {"runtime_engine": "photon"}}}, "runtime_engine"),
        ("groups", {"databricks_params": {"export_cluster_config":
                                          {"data_security_mode": "ANY"}}},
         "data_security_mode"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(client, server, kind, change, named):
    with pytest.raises((TypeError, ValueError), match=named.replace(".", r"\.")):
        client.warehouse.create_import(kind, {**BODIES[kind], **change})
    assert server.requests == []


def test_every_key_of_the_cluster_config_is_sent_as_given(client, server):
    config = {
        "spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge",
        "driver_node_type_id": None, "num_workers": 2,
        "autoscale": {"min_workers": 1, "max_workers": 4},
        "spark_conf": {"a": "b"}, "spark_env_vars": {"A": ""},
        "data_security_mode": "SINGLE_USER", "single_user_name": "me",
        "custom_tags": {"team": "data"}, "policy_id": "p", "instance_pool_id": None,
        "driver_instance_pool_id": "d", "enable_elastic_disk": True,
        "runtime_engine": "PHOTON", "aws_attributes": {"zone_id": "auto"},
        "azure_attributes": None, "gcp_attributes": {}, "init_scripts": [{"dbfs": {}}],
    }  # fmt: skip
    params = {"export_cluster_config": config}
    server.answer(ok({**IMPORT, "databricks_params": params}))
    made = client.warehouse.create_import(
        "event_stream", {**EVENTS, "databricks_params": params}
    )
    assert server.requests[0].json()["databricks_params"] == params
    assert made.databricks_params == params


@pytest.mark.parametrize("run_every", RUN_EVERY)
def test_a_patch_always_sends_both_fields(client, server, run_every):
    server.answer(ok(IMPORT))
    client.warehouse.patch_import(21, paused=True, run_every=run_every)
    assert server.requests[0].method == "PATCH"
    assert server.requests[0].json() == {"paused": True, "run_every": run_every}


@pytest.mark.parametrize("params", [None, {"export_cluster_config": None}])
def test_a_databricks_config_is_replaced_only_when_given(client, server, params):
    server.answer(ok(IMPORT))
    client.warehouse.patch_import(
        21, paused=False, run_every=0, databricks_params=params
    )
    assert server.requests[0].json()["databricks_params"] == params


@pytest.mark.parametrize("answer", [reply({"status": "ok"}), reply(b"", 204)])
@pytest.mark.parametrize("delete_data", [False, True])
def test_an_import_is_deleted_with_its_data_only_when_asked(
    client, server, answer, delete_data
):
    server.answer(answer)
    client.warehouse.delete_import(21, delete_data=delete_data)
    assert server.requests[0].method == "DELETE"
    assert server.requests[0].json() == {"delete_data": delete_data}


def test_a_source_is_deleted(client, server):
    server.answer(reply({"status": "ok"}))
    client.warehouse.delete_source(3)
    assert server.requests[0].method == "DELETE"
    assert server.requests[0].path.endswith("/sources/3")


def test_a_delete_answered_with_an_error_inside_is_not_done(client, server):
    server.answer(reply({"status": "error", "error": "in use"}))
    with pytest.raises(errors.UnexpectedResponse, match="in use"):
        client.warehouse.delete_source(3)


@pytest.mark.parametrize(
    ("answer", "run_id"),
    [
        ({"status": "ok", "results": {"run_id": "r-1"}}, "r-1"),
        ({"status": "ok", "results": {}}, ""),
        ({"status": "ok", "results": None}, ""),
        ({"status": "ok"}, ""),
    ],
)
def test_a_manual_sync_is_a_put_with_an_empty_object(client, server, answer, run_id):
    server.answer(reply(answer))
    assert client.warehouse.manual_sync(21) == run_id
    assert server.requests[0].method == "PUT"
    assert server.requests[0].path.endswith("/imports/21/manual-sync")
    assert server.requests[0].json() == {}


def test_a_manual_sync_that_was_turned_into_a_list_is_refused(client, server):
    server.answer(ok([IMPORT]))
    with pytest.raises(errors.UnexpectedResponse):
        client.warehouse.manual_sync(21)


def test_a_create_that_was_turned_into_a_list_is_refused(client, server):
    server.answer(ok([IMPORT]))
    with pytest.raises(errors.UnexpectedResponse, match="a list"):
        client.warehouse.create_import("event_stream", EVENTS)


def test_history_is_read_in_its_order(client, server):
    runs = [
        {"status": "RUNNING", "start_time": 1767323045, "end_time": None,
         "num_events_imported": None},
        {"status": "SUCCEEDED", "start_time": 1767323045, "end_time": 1767323045000,
         "num_events_imported": 0},
        {"status": "CANCELLED"},
        {"status": "ASLEEP", "num_events_imported": 5.0},
        {"status": None},
        {"status": ["x"]},
    ]  # fmt: skip
    server.answer(ok({"runs": runs}))
    found = client.warehouse.history(21)
    assert server.requests[0].path.endswith("/imports/21/history")
    assert [run.state for run in found] == [
        "running", "succeeded", "cancelled", "unknown", "unknown", "unknown"
    ]  # fmt: skip
    assert [run.raw_state for run in found[:5]] == [
        "RUNNING", "SUCCEEDED", "CANCELLED", "ASLEEP", ""
    ]  # fmt: skip
    assert [run.num_events_imported for run in found[:4]] == [None, 0, None, 5]
    assert (found[0].started_at, found[0].ended_at) == (MOMENT, None)
    assert found[1].ended_at == MOMENT


@pytest.mark.parametrize("results", [{}, {"runs": None}, "x", {"runs": {}}])
def test_a_history_without_runs_is_not_an_empty_history(client, server, results):
    server.answer(ok(results))
    with pytest.raises(errors.UnexpectedResponse):
        client.warehouse.history(21)
