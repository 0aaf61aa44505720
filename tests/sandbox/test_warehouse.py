import pytest

SOURCES = "/api/app/projects/1/warehouse-sources/sources"
IMPORTS = "/api/app/projects/1/warehouse-sources/imports"
HOURLY = 3_600_000_000_000
DAILY = 24 * HOURLY
COLUMNS = {"name": "TEXT", "at": "TEXT", "who": "TEXT", "loaded": "INTEGER", "n": "INT"}


def row(loaded=1, **changes):
    values = {"name": "Bought", "at": "2026-01-02T03:04:05Z", "who": "ann", "n": 1}
    return {**values, "loaded": loaded, **changes}


def make_source(api, warehouse_type="snowflake", name="prod"):
    body = {"warehouse_type": warehouse_type, "source_name": name, "password": "hush"}
    answer = api.post(SOURCES, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]["id"]


@pytest.fixture
def source(api):
    return make_source(api)


def event_body(source, **changes):
    return {
        "import_type": "event_stream",
        "warehouse_source_id": source,
        "table_params": {"table": "orders"},
        "sync_mode": "one_time",
        "time_column_name": "at",
        "event_column_name": "name",
        "user_column_name": "who",
        **changes,
    }


def people_body(source, **changes):
    return {
        "import_type": "people",
        "warehouse_source_id": source,
        "table_params": {"table": "people"},
        "sync_mode": "full_sync",
        "user_column_name": "who",
        **changes,
    }


def create(api, body, kind="event-stream"):
    answer = api.post(f"{IMPORTS}/{kind}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]["id"]


def history(api, import_id):
    return api.get(f"{IMPORTS}/{import_id}/history").json()["results"]["runs"]


def error_of(answer):
    assert answer.status_code == 400, answer.text
    assert answer.json()["status"] == "error"
    return answer.json()["error"]


# -- sources


def test_a_source_is_never_echoed_with_its_connection(sb, api):
    id = make_source(api)

    assert "hush" not in api.get(SOURCES).text
    read = api.get(f"{SOURCES}/{id}").json()["results"]
    assert read["source_name"] == "prod"
    assert read["warehouse_type"] == "snowflake"
    assert sb.objects(1)["sources"][0]["connection"] == {"password": "hush"}

    changed = api.patch(f"{SOURCES}/{id}", json={"source_name": "new", "user": "x"})
    assert changed.json()["results"]["source_name"] == "new"
    assert sb.objects(1)["sources"][0]["connection"]["user"] == "x"

    assert api.delete(f"{SOURCES}/{id}").json() == {"status": "ok"}
    assert api.get(f"{SOURCES}/{id}").status_code == 404
    assert api.get(SOURCES).json()["results"] == []


def test_a_source_in_use_is_kept_or_taken_along(sb, api, source):
    import_id = create(api, event_body(source))

    assert "is used by" in error_of(api.delete(f"{SOURCES}/{source}"))

    sb.switch(delete_source_in_use="cascade")
    assert api.delete(f"{SOURCES}/{source}").status_code == 200
    assert api.get(f"{IMPORTS}/{import_id}").status_code == 404


def test_only_five_types_of_warehouse(api):
    answer = api.post(SOURCES, json={"warehouse_type": "oracle"})
    assert error_of(answer).startswith("warehouse_type: ")


# -- creating imports


@pytest.mark.parametrize(
    ("kind", "changes", "field"),
    [
        ("event-stream", {"import_type": "people"}, "import_type"),
        ("event-stream", {"warehouse_source_id": 9}, "warehouse_source_id"),
        ("event-stream", {"warehouse_source_id": "1"}, "warehouse_source_id"),
        ("event-stream", {"table_params": {}}, "table_params"),
        ("event-stream", {"table_params": "orders"}, "table_params"),
        ("event-stream", {"sync_mode": "sometimes"}, "sync_mode"),
        ("event-stream", {"sync_mode": "time_based"}, "insert_time_column_name"),
        ("event-stream", {"time_column_name": ""}, "time_column_name"),
        ("event-stream", {"event_name": "Both"}, "event_name"),
        ("event-stream", {"event_column_name": None}, "event_name"),
        ("event-stream", {"run_every": 60}, "run_every"),
        ("event-stream", {"run_every": False}, "run_every"),
        ("event-stream", {"property_mappings": {"a": 1}}, "property_mappings"),
        ("event-stream", {"user_column_name": 5}, "user_column_name"),
        ("event-stream", {"group_key": "company"}, "group_key"),
        ("event-stream", {"databricks_params": {}}, "databricks_params"),
        ("people", {"user_column_name": None}, "user_column_name"),
        ("groups", {"group_key": "planet", "group_id_column": "id"}, "group_key"),
        ("groups", {"group_key": "company"}, "group_id_column"),
        ("lookup-table", {"sync_mode": "time_based"}, "sync_mode"),
        ("lookup-table", {"mixpanel_property": {"value": "x"}}, "mixpanel_property"),
        ("lookup-table", {"property_key_column_name": ""}, "property_key_column_name"),
    ],
)
def test_a_bad_import_names_its_field(api, source, kind, changes, field):
    bodies = {
        "event-stream": event_body(source),
        "people": people_body(source),
        "groups": people_body(source, import_type="groups"),
        "lookup-table": {
            "import_type": "lookup_table",
            "warehouse_source_id": source,
            "table_params": {"table": "t"},
            "sync_mode": "full_sync",
            "mixpanel_property": {"value": "sku", "resourceType": "event"},
            "property_key_column_name": "sku",
        },
    }
    bodies["groups"].pop("user_column_name")
    answer = api.post(f"{IMPORTS}/{kind}", json={**bodies[kind], **changes})
    assert error_of(answer).startswith(f"{field}: ")
    assert api.get(IMPORTS).json()["results"] == []


def test_b2b_projects_need_a_company_column(sb, api):
    sb.add_project(1, "Shop", b2b=True)
    source = make_source(api)
    assert error_of(api.post(f"{IMPORTS}/event-stream", json=event_body(source)))
    create(api, event_body(source, company_column_name="company"))


def test_mirror_is_refused_for_postgres_and_full_events_by_switch(sb, api):
    postgres = make_source(api, "postgres")
    body = event_body(postgres, sync_mode="mirror_mode")
    assert error_of(api.post(f"{IMPORTS}/event-stream", json=body))
    sb.switch(events_full_sync=False)
    body = event_body(postgres, sync_mode="full_sync")
    assert error_of(api.post(f"{IMPORTS}/event-stream", json=body))


@pytest.mark.parametrize(
    "config",
    [
        {"colour": "red"},
        {"num_workers": -1},
        {"num_workers": True},
        {"spark_version": None},
        {"autoscale": {"min_workers": 1, "max_workers": 0}},
        {"autoscale": {"workers": 1}},
        {"spark_conf": {"a": 1}},
        {"data_security_mode": "OPEN"},
        {"data_security_mode": "SINGLE_USER"},
        {"runtime_engine": "STEAM"},
        {"init_scripts": ["x"]},
    ],
)
def test_a_bad_cluster_config_is_refused(api, config):
    source = make_source(api, "databricks")
    body = event_body(source, databricks_params={"export_cluster_config": config})
    assert error_of(api.post(f"{IMPORTS}/event-stream", json=body)).startswith(
        "databricks_params.export_cluster_config."
    )


def test_a_cluster_config_comes_back_with_the_servers_additions(sb, api):
    source = make_source(api, "databricks")
    params = {"export_cluster_config": {"num_workers": 2, "custom_tags": {"a": "b"}}}
    import_id = create(api, event_body(source, databricks_params=params))

    shown = api.get(f"{IMPORTS}/{import_id}").json()["results"]["databricks_params"]
    config = shown["export_cluster_config"]
    assert config["custom_tags"] == {"a": "b", "provider": "mixpanel"}
    assert "PYSPARK_PYTHON" in config["spark_env_vars"]

    replaced = {
        "paused": True,
        "run_every": 0,
        "databricks_params": {"export_cluster_config": {"num_workers": 3}},
    }
    shown = api.patch(f"{IMPORTS}/{import_id}", json=replaced).json()["results"]
    config = shown["databricks_params"]["export_cluster_config"]
    assert config["num_workers"] == 3
    assert "a" not in config["custom_tags"]


def test_defaults_and_hidden_fields(sb, api, source):
    once = create(api, event_body(source, device_column_name="device"))
    daily = create(api, people_body(source), "people")

    results = api.get(f"{IMPORTS}/{once}").json()["results"]
    assert results["run_every"] == 0
    assert "device_column_name" not in results
    assert results["last_dispatch"] is None
    listed = api.get(IMPORTS).json()["results"]
    assert [one["id"] for one in listed] == [once, daily]
    assert listed[1]["run_every"] == DAILY
    assert "event_name" not in listed[0]


# -- runs


def test_a_run_starts_shortly_makes_progress_and_ends(sb, api, source):
    sb.make_table("prod", "orders", COLUMNS, [row(n=n) for n in range(10)])
    import_id = create(api, event_body(source))
    assert history(api, import_id) == []

    sb.advance(2)
    (run,) = history(api, import_id)
    assert run["status"] == "RUNNING"
    assert run["end_time"] is None
    assert 0 < run["num_events_imported"] < 10
    assert sb.events(1) == []

    sb.advance(2)
    (run,) = history(api, import_id)
    assert run["status"] == "SUCCEEDED"
    assert run["num_events_imported"] == 10
    assert run["end_time"] - run["start_time"] == 3
    shown = api.get(f"{IMPORTS}/{import_id}").json()["results"]
    assert shown["last_dispatch"] == run["start_time"]
    event = sb.events(1)[0]
    assert event["event"] == "Bought"
    assert event["properties"]["distinct_id"] == "ann"
    assert event["properties"]["$warehouse_import_id"] == import_id

    sb.advance(100_000)
    assert len(history(api, import_id)) == 1


def test_time_based_reads_only_strictly_newer_rows(sb, api, source):
    sb.make_table("prod", "orders", COLUMNS, [row(1, n=1), row(5, n=2)])
    body = event_body(
        source,
        sync_mode="time_based",
        insert_time_column_name="loaded",
        run_every=HOURLY,
    )
    import_id = create(api, body)
    sb.advance(10)
    assert history(api, import_id)[0]["num_events_imported"] == 2

    # late, equal to the watermark, newer
    for loaded, n in ((2, 3), (5, 4), (6, 5)):
        sb.sql(
            "prod",
            f"INSERT INTO orders VALUES ('Bought', '2026-01-01', 'b', {loaded}, {n})",
        )
    sb.advance(3600)
    assert history(api, import_id)[0]["num_events_imported"] == 1
    assert [one["properties"]["n"] for one in sb.events(1)] == [1, 2, 5]

    sb.advance(3600)
    assert [run["num_events_imported"] for run in history(api, import_id)] == [0, 1, 2]


def test_mirror_follows_inserts_updates_and_deletes(sb, api, source):
    rows = [row(n=1), row(n=2), row(n=3)]
    sb.make_table("prod", "orders", COLUMNS, rows)
    body = event_body(source, sync_mode="mirror_mode", run_every=HOURLY)
    import_id = create(api, body)
    sb.advance(10)

    sb.sql("prod", "UPDATE orders SET n = 20 WHERE n = 2")
    sb.sql("prod", "INSERT INTO orders VALUES ('Bought', '2026-01-01', 'b', 1, 4)")
    sb.sql("prod", "DELETE FROM orders WHERE n = 3")
    sb.advance(3600)

    assert sorted(one["properties"]["n"] for one in sb.events(1)) == [1, 4, 20]
    assert history(api, import_id)[0]["num_events_imported"] == 3
    sb.advance(3600)
    assert history(api, import_id)[0]["num_events_imported"] == 0


@pytest.mark.parametrize(("warehouse", "count"), [("bigquery", 1), ("snowflake", 2)])
def test_equal_rows_collapse_in_some_mirrors(sb, api, warehouse, count):
    source = make_source(api, warehouse)
    sb.make_table("prod", "orders", COLUMNS, [row(), row()])
    create(api, event_body(source, sync_mode="mirror_mode"))
    sb.advance(10)
    assert len(sb.events(1)) == count


def test_full_sync_overwrites_and_removes_nothing(sb, api, source):
    columns = {"who": "TEXT", "plan": "TEXT", "extra": "TEXT"}
    rows = [{"who": "ann", "plan": "free", "extra": '{"plan": "x", "age": 3}'}]
    sb.make_table("prod", "people", columns, rows)
    body = people_body(
        source,
        run_every=HOURLY,
        json_properties_column_name="extra",
        property_mappings={"plan": "Plan"},
    )
    create(api, body, "people")
    sb.advance(10)
    sb.sql("prod", "UPDATE people SET plan = 'paid', extra = NULL")
    sb.sql("prod", "INSERT INTO people VALUES ('bob', NULL, NULL)")
    sb.advance(3600)

    assert sb.profiles(1) == [
        {
            "$distinct_id": "ann",
            "properties": {"plan": "x", "age": 3, "Plan": "paid"},
        },
        {"$distinct_id": "bob", "properties": {}},
    ]


def test_groups_and_lookup_tables(sb, api, source):
    sb.make_table(
        "prod", "people", {"id": "TEXT", "size": "INT"}, [{"id": "acme", "size": 5}]
    )
    groups = people_body(
        source, import_type="groups", group_key="company", group_id_column="id"
    )
    groups.pop("user_column_name")
    create(api, groups, "groups")
    sb.make_table(
        "prod",
        "skus",
        {"sku": "TEXT", "title": "TEXT"},
        [{"sku": "1", "title": "Hat"}, {"sku": "1", "title": "Cap"}],
    )
    create(
        api,
        {
            "import_type": "lookup_table",
            "warehouse_source_id": source,
            "table_params": {"table_name": "skus"},
            "sync_mode": "full_sync",
            "mixpanel_property": {"value": "sku", "resourceType": "event"},
            "property_key_column_name": "sku",
        },
        "lookup-table",
    )
    sb.advance(10)

    assert sb.group_profiles(1) == [
        {"$group_key": "company", "$group_id": "acme", "properties": {"size": 5}}
    ]
    (table,) = sb.lookup_tables(1)
    assert table["columns"] == ["sku", "title"]
    assert table["rows"] == [["1", "Cap"]]


def test_the_database_of_a_source_may_bear_its_id(sb, api):
    source = make_source(api, name="")
    sb.make_table(source, "orders", COLUMNS, [row()])
    create(api, event_body(source))
    sb.advance(10)
    assert len(sb.events(1)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"table_params": {"table": "nothing"}},
        {"table_params": {"schema": "public"}},
        {"time_column_name": "when"},
        {"event_column_name": None, "event_name": "X", "user_column_name": "nobody"},
        {"property_mappings": {"colour": "Colour"}},
    ],
)
def test_what_is_missing_in_the_warehouse_fails_the_run(sb, api, source, changes):
    sb.make_table("prod", "orders", COLUMNS, [row()])
    import_id = create(api, event_body(source, **changes))
    sb.advance(10)
    (run,) = history(api, import_id)
    assert run["status"] == "FAILED"
    assert run["num_events_imported"] == 0
    assert "error" not in run
    assert sb.runs(import_id)[0]["error"]


def test_a_failed_run_does_not_stop_the_schedule(sb, api, source):
    import_id = create(api, event_body(source, sync_mode="full_sync", run_every=HOURLY))
    sb.advance(10)
    sb.make_table("prod", "orders", COLUMNS, [row()])
    sb.advance(3600)
    assert [run["status"] for run in history(api, import_id)] == ["SUCCEEDED", "FAILED"]


def test_rows_that_strict_validation_refuses_are_not_counted(sb, api, source):
    rows = [
        row(),
        row(at="1969-01-01"),
        row(at="2999-01-01"),
        row(at=None),
        row(name=""),
    ]
    sb.make_table("prod", "orders", COLUMNS, rows)
    import_id = create(api, event_body(source))
    sb.advance(10)
    assert history(api, import_id)[0]["num_events_imported"] == 1


def test_history_keeps_the_newest_thirty(sb, api, source):
    sb.make_table("prod", "orders", COLUMNS, [row()])
    import_id = create(api, event_body(source, sync_mode="full_sync", run_every=HOURLY))
    sb.advance(40 * 3600)
    runs = history(api, import_id)
    assert len(runs) == 30
    assert runs[0]["start_time"] - runs[-1]["start_time"] == 29 * 3600
    assert len(sb.runs(import_id)) == 40
    # the same rows again: many in the raw log, one in the read view
    assert len(sb.raw_events(1)) == 40
    assert len(sb.events(1)) == 1


def test_times_in_other_units(sb, api, source):
    import_id = create(api, event_body(source))
    sb.advance(10)
    seconds = history(api, import_id)[0]["start_time"]
    sb.switch(time_unit="ms")
    assert history(api, import_id)[0]["start_time"] // 1000 == seconds
    sb.switch(time_unit="ns")
    assert history(api, import_id)[0]["start_time"] // 10**9 == seconds


# -- changing and running imports


def test_patch_needs_both_fields_unless_switched(sb, api, source):
    import_id = create(api, event_body(source, sync_mode="full_sync", run_every=HOURLY))
    path = f"{IMPORTS}/{import_id}"
    assert error_of(api.patch(path, json={"paused": True})).startswith("run_every")
    assert error_of(api.patch(path, json={"run_every": 0})).startswith("paused")
    assert error_of(api.patch(path, json={"paused": 1, "run_every": 0}))
    assert error_of(api.patch(path, json={"paused": True, "run_every": 5}))
    unknown = {"paused": True, "run_every": 0, "sync_mode": "one_time"}
    assert error_of(api.patch(path, json=unknown)).startswith("sync_mode")
    sb.switch(patch_requires_both=False)
    assert api.patch(path, json={"paused": True}).json()["results"]["paused"] is True


def test_pause_stops_the_run_and_resume_goes_on(sb, api, source):
    sb.make_table("prod", "orders", COLUMNS, [row()])
    import_id = create(api, event_body(source, sync_mode="full_sync", run_every=HOURLY))
    sb.advance(2)
    path = f"{IMPORTS}/{import_id}"
    api.patch(path, json={"paused": True, "run_every": HOURLY})
    assert history(api, import_id)[0]["status"] == "CANCELLED"
    sb.advance(10_000)
    assert len(history(api, import_id)) == 1

    results = api.patch(path, json={"paused": False, "run_every": DAILY}).json()
    assert results["results"]["run_every"] == DAILY
    sb.advance(80_000)
    assert [run["status"] for run in history(api, import_id)] == [
        "SUCCEEDED",
        "CANCELLED",
    ]


def test_manual_sync_five_in_a_rolling_hour(sb, api, source):
    sb.make_table("prod", "orders", COLUMNS, [row()])
    body = event_body(source, sync_mode="full_sync", run_every=0)
    import_id, other = create(api, body), create(api, body)
    path = f"{IMPORTS}/{import_id}/manual-sync"
    sb.advance(100)
    assert history(api, import_id) == []

    for times in range(5):
        answer = api.put(path, json={}) if times else api.put(path)
        assert isinstance(answer.json()["results"]["run_id"], str)
        busy = api.put(path, json={})
        assert "already running" in error_of(busy)
        sb.advance(60)
    assert len(history(api, import_id)) == 5
    refused = api.put(path, json={})
    assert refused.status_code == 429
    assert refused.json()["status"] == "error"
    assert "Retry-After" not in refused.headers
    assert api.put(f"{IMPORTS}/{other}/manual-sync", json={}).status_code == 200

    sb.advance(3600 - 299)
    assert api.put(path, json={}).status_code == 200
    sb.advance(10)
    assert api.put(path, json={}).status_code == 429


def test_manual_sync_budget_per_project_and_while_paused(sb, api, source):
    sb.switch(manual_sync_scope="project", manual_sync_limit=1, retry_after_on_429=7)
    body = event_body(source, sync_mode="full_sync", run_every=0)
    first, second = create(api, body), create(api, body)
    sb.set_import(1, second, paused=True)
    assert "paused" in error_of(api.put(f"{IMPORTS}/{second}/manual-sync"))
    sb.set_import(1, second, paused=False)
    assert api.put(f"{IMPORTS}/{first}/manual-sync").status_code == 200
    refused = api.put(f"{IMPORTS}/{second}/manual-sync")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "7"


def test_delete_keeps_or_takes_the_events(sb, api, source):
    sb.make_table("prod", "orders", COLUMNS, [row()])
    kept, purged = create(api, event_body(source)), create(api, event_body(source))
    sb.advance(10)
    assert len(sb.raw_events(1)) == 2

    assert api.delete(f"{IMPORTS}/{kept}").json() == {"status": "ok"}
    answer = api.delete(f"{IMPORTS}/{purged}", json={"delete_data": True})
    assert answer.json() == {"status": "ok"}
    assert len(sb.raw_events(1)) == 2  # a deletion request takes its time
    sb.advance(10)
    (left,) = sb.raw_events(1)
    assert left["properties"]["$warehouse_import_id"] == kept

    for id in (kept, purged):
        assert api.get(f"{IMPORTS}/{id}").status_code == 404
        assert api.delete(f"{IMPORTS}/{id}").status_code == 404
        assert api.get(f"{IMPORTS}/{id}/history").status_code == 404
        assert api.put(f"{IMPORTS}/{id}/manual-sync").status_code == 404
    assert [one["is_deleted"] for one in sb.objects(1)["imports"]] == [True, True]
    sb.switch(show_deleted_imports=True)
    assert [one["is_deleted"] for one in api.get(IMPORTS).json()["results"]] == [
        True,
        True,
    ]


def test_delete_while_running_cancels(sb, api, source):
    sb.make_table("prod", "orders", COLUMNS, [row()])
    import_id = create(api, event_body(source))
    sb.advance(2)
    api.delete(f"{IMPORTS}/{import_id}")
    sb.advance(10)
    assert sb.runs(import_id)[0]["status"] == "CANCELLED"
    assert sb.events(1) == []


def test_what_somebody_else_does(sb, api, source):
    sb.make_table("prod", "events", {"time": "TEXT"}, [{"time": "2026-01-01"}])
    import_id = sb.add_import(1, import_type="event_sync", run_every=HOURLY)
    sb.advance(10)
    assert api.get(f"{IMPORTS}/{import_id}").json()["results"]["import_type"] == (
        "event_sync"
    )
    assert history(api, import_id)[0]["status"] == "SUCCEEDED"
    sb.set_import(1, import_id, paused=True)
    assert api.get(f"{IMPORTS}/{import_id}").json()["results"]["paused"] is True
    sb.drop_import(1, import_id)
    assert api.get(f"{IMPORTS}/{import_id}").status_code == 404


def test_speed_makes_schedules_and_runs_faster(sb, api, source):
    sb.switch(speed=60)
    sb.make_table("prod", "orders", COLUMNS, [row()])
    import_id = create(api, event_body(source, sync_mode="full_sync", run_every=HOURLY))
    sb.advance(121)
    assert len(history(api, import_id)) == 3
    sb.switch(speed=1)


def test_there_is_no_sync_of_the_whole_collection(api):
    answer = api.put(f"{IMPORTS}/")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
