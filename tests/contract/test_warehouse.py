import pytest

from mixadmin.mixpanel import errors
from mixadmin.mixpanel.warehouse import RUN_EVERY
from tests.contract.conftest import PROJECT, USER

HOURLY = 3_600_000_000_000


@pytest.fixture
def source(client):
    return client.warehouse.create_source(
        warehouse_type="bigquery", name="prod", connection={"gcp_project": "p"}
    )


def bodies(source_id):
    common = {"warehouse_source_id": source_id, "table_params": {"table": "t"}}
    return {
        "event_stream": {
            **common,
            "sync_mode": "time_based",
            "event_name": "Bought",
            "time_column_name": "at",
            "user_column_name": "uid",
            "device_column_name": None,
            "insert_time_column_name": "inserted",
            "json_properties_column_name": "props",
            "property_mappings": {"sum": "Price"},
            "run_every": HOURLY,
        },
        "people": {
            **common,
            "sync_mode": "full_sync",
            "user_column_name": "uid",
            "run_every": 0,
        },
        "groups": {
            **common,
            "sync_mode": "one_time",
            "group_key": "company",
            "group_id_column": "cid",
        },
        "lookup_table": {
            **common,
            "sync_mode": "full_sync",
            "mixpanel_property": {
                "value": "sku",
                "resourceType": "event",
                "customPropertyId": None,
            },
            "property_key_column_name": "sku",
            "run_every": 86_400_000_000_000,
        },
    }


@pytest.mark.parametrize(
    "warehouse_type",
    ["bigquery", "snowflake", "redshift", "databricks", "postgres"],
    ids="on {}".format,
)
def test_a_source_lives_and_dies(client, warehouse_type):
    made = client.warehouse.create_source(
        warehouse_type=warehouse_type,
        name="prod",
        connection={"host": "db", "password": "pa55word"},
    )
    assert (made.name, made.warehouse_type) == ("prod", warehouse_type)
    assert made.creator_name == USER
    assert made.created_at is not None
    assert "pa55word" not in str(made.raw)
    assert client.warehouse.get_source(made.id) == made
    assert client.warehouse.list_sources() == [made]
    assert client.warehouse.update_source(made.id, name="new").name == "new"
    client.warehouse.update_source(
        made.id, connection={"host": "db2"}, warehouse_type=warehouse_type
    )
    assert client.warehouse.get_source(made.id).name == "new"
    client.warehouse.delete_source(made.id)
    assert client.warehouse.list_sources() == []
    with pytest.raises(errors.NotFound):
        client.warehouse.get_source(made.id)


def test_a_source_in_use_is_not_deleted(client, source):
    client.warehouse.create_import("people", bodies(source.id)["people"])
    with pytest.raises(errors.BadRequest, match="used by"):
        client.warehouse.delete_source(source.id)


@pytest.mark.parametrize("kind", ["event_stream", "people", "groups", "lookup_table"])
def test_an_import_of_each_kind_lives_and_dies(client, source, sandbox, kind):
    body = bodies(source.id)[kind]
    made = client.warehouse.create_import(kind, body)
    assert (made.kind, made.sync_mode) == (kind, body["sync_mode"])
    assert (made.source_id, made.table_params) == (source.id, {"table": "t"})
    assert (made.paused, made.is_deleted) == (False, False)
    assert made.creator_name == USER
    if "run_every" in body:
        assert made.run_every == body["run_every"]
    for name, value in body.items():
        if name in made.fields:
            assert made.fields[name] == value

    found = client.warehouse.get_import(made.id)
    assert (found.id, found.fields) == (made.id, made.fields)
    (listed,) = client.warehouse.list_imports()
    assert (listed.id, listed.kind, listed.run_every) == (made.id, kind, made.run_every)

    client.warehouse.delete_import(made.id)
    assert client.warehouse.list_imports() == []
    with pytest.raises(errors.NotFound):
        client.warehouse.get_import(made.id)


@pytest.mark.parametrize("run_every", RUN_EVERY)
@pytest.mark.parametrize("paused", [True, False])
def test_an_import_is_paused_and_its_frequency_changed(
    client, source, paused, run_every
):
    made = client.warehouse.create_import("people", bodies(source.id)["people"])
    changed = client.warehouse.patch_import(made.id, paused=paused, run_every=run_every)
    assert (changed.paused, changed.run_every) == (paused, run_every)
    found = client.warehouse.get_import(made.id)
    assert (found.paused, found.run_every) == (paused, run_every)


def test_a_databricks_config_is_replaced_as_a_whole(client):
    source = client.warehouse.create_source(
        warehouse_type="databricks", name="lake", connection={}
    )
    config = {
        "spark_version": "15.4.x-scala2.12",
        "node_type_id": "i3.xlarge",
        "num_workers": 2,
        "autoscale": {"min_workers": 1, "max_workers": 4},
        "spark_conf": {"a": "b"},
        "spark_env_vars": {"A": "1"},
        "data_security_mode": "SINGLE_USER",
        "single_user_name": "me",
        "custom_tags": {"team": "data"},
        "policy_id": None,
        "enable_elastic_disk": True,
        "runtime_engine": "PHOTON",
        "aws_attributes": {"zone_id": "auto"},
        "init_scripts": [{"dbfs": {"destination": "x"}}],
    }
    body = {
        **bodies(source.id)["people"],
        "databricks_params": {"export_cluster_config": config},
    }
    made = client.warehouse.create_import("people", body)
    shown = made.databricks_params["export_cluster_config"]
    assert shown["custom_tags"] == {"team": "data", "provider": "mixpanel"}
    assert shown["spark_conf"] == {"a": "b"}

    smaller = {"export_cluster_config": {"num_workers": 1}}
    changed = client.warehouse.patch_import(
        made.id, paused=False, run_every=0, databricks_params=smaller
    )
    assert "spark_conf" not in changed.databricks_params["export_cluster_config"]
    kept = client.warehouse.patch_import(made.id, paused=True, run_every=0)
    assert kept.databricks_params == changed.databricks_params
    dropped = client.warehouse.patch_import(
        made.id, paused=True, run_every=0, databricks_params=None
    )
    assert dropped.databricks_params is None


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_a_manual_sync_is_seen_in_history(client, source, sandbox, unit):
    sandbox.switch(time_unit=unit)
    sandbox.make_table(source.id, "t", {"uid": "TEXT"}, [{"uid": "a"}, {"uid": "b"}])
    made = client.warehouse.create_import("people", bodies(source.id)["people"])
    sandbox.advance(60)
    before = len(client.warehouse.history(made.id))
    run_id = client.warehouse.manual_sync(made.id)
    assert run_id
    sandbox.advance(60)
    runs = client.warehouse.history(made.id)
    assert len(runs) == before + 1
    assert (runs[0].state, runs[0].raw_state) == ("succeeded", "SUCCEEDED")
    assert runs[0].num_events_imported == 2
    assert runs[0].started_at <= runs[0].ended_at
    last = client.warehouse.get_import(made.id).last_dispatch_at
    assert abs((last - runs[0].started_at).total_seconds()) < 30


def test_a_run_that_fails_gives_no_reason(client, source, sandbox):
    made = client.warehouse.create_import("people", bodies(source.id)["people"])
    client.warehouse.manual_sync(made.id)
    sandbox.advance(60)
    (run,) = client.warehouse.history(made.id)
    assert (run.state, run.num_events_imported) == ("failed", 0)
    assert set(run.raw) == {"status", "start_time", "end_time", "num_events_imported"}


def test_manual_syncs_are_limited(client, source, sandbox):
    sandbox.switch(manual_sync_limit=1, manual_sync_when_busy="start")
    made = client.warehouse.create_import("people", bodies(source.id)["people"])
    sandbox.advance(60)
    client.warehouse.manual_sync(made.id)
    sandbox.advance(60)
    with pytest.raises(errors.RateLimited):
        client.warehouse.manual_sync(made.id)


def test_an_import_is_deleted_with_its_data(client, source, sandbox):
    made = client.warehouse.create_import("people", bodies(source.id)["people"])
    client.warehouse.delete_import(made.id, delete_data=True)
    (call,) = sandbox.calls(method="DELETE")
    assert call["body"] == {"delete_data": True}


def test_imports_made_by_somebody_else_are_seen(client, source, sandbox):
    id = sandbox.add_import(
        PROJECT, import_type="event_sync", warehouse_source_id=source.id
    )
    (found,) = client.warehouse.list_imports()
    assert (found.id, found.kind) == (id, "event_sync")


def test_what_mixpanel_refuses_is_told_in_its_words(client, source):
    body = {**bodies(source.id)["event_stream"], "insert_time_column_name": None}
    with pytest.raises(errors.BadRequest, match="insert_time_column_name"):
        client.warehouse.create_import("event_stream", body)


@pytest.mark.parametrize(
    ("kind", "effect", "error"),
    [
        ("lost", True, errors.ReplyLost),
        ("cut", False, errors.ReplyLost),
        ("truncate", True, errors.UnexpectedResponse),
        ("empty", True, errors.UnexpectedResponse),
        ("gzip_bomb", True, errors.UnexpectedResponse),
        ("huge", True, errors.UnexpectedResponse),
    ],
)
def test_an_answer_lost_after_a_create_is_told_as_unknown(
    client, source, sandbox, kind, effect, error
):
    sandbox.fault("POST", "/imports/people", kind)
    with pytest.raises(error) as caught:
        client.warehouse.create_import("people", bodies(source.id)["people"])
    assert caught.value.may_have_happened is True
    assert len(sandbox.calls(method="POST", path="/imports/people")) == 1
    assert len(client.warehouse.list_imports()) == int(effect)


@pytest.mark.parametrize("effect", ["before", "after"])
def test_a_500_after_a_create_is_told_as_unknown(client, source, sandbox, effect):
    sandbox.fault("POST", "/imports/people", "status", status=500, effect=effect)
    with pytest.raises(errors.ServerFailed) as caught:
        client.warehouse.create_import("people", bodies(source.id)["people"])
    assert caught.value.may_have_happened is True


def test_an_html_page_is_told_as_what_it_is(client, sandbox):
    sandbox.fault("GET", "/sources", "html", status=200)
    with pytest.raises(errors.UnexpectedResponse, match="HTML"):
        client.warehouse.list_sources()


def test_a_429_tells_how_long_to_wait(client, sandbox):
    sandbox.fault("GET", "/sources", "status", status=429, retry_after=17)
    with pytest.raises(errors.RateLimited) as caught:
        client.warehouse.list_sources()
    assert caught.value.retry_after == 17
    assert caught.value.mixpanel_request_id


def test_the_request_id_reaches_the_ledger(client, sandbox):
    client.request_id = "attempt-42"
    client.warehouse.list_sources()
    assert sandbox.calls()[-1]["request_id"] == "attempt-42"
