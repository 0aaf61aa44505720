"""The pages for warehouse imports, as a person in a browser meets them."""

import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mixadmin.common.states import Presence, RunState
from mixadmin.jobs.models import Job
from mixadmin.warehouse.models import WarehouseImport
from tests import make

FORM = "application/x-www-form-urlencoded"


def url(name, project, *args):
    return reverse(f"warehouse:{name}", args=[project.pk, *args])


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def send(client, where, **values):
    return client.post(where, urlencode(values, doseq=True), content_type=FORM)


@pytest.fixture
def source(project, sandbox):
    found = sandbox.add_source(
        make.MIXPANEL_ID, name="Warehouse", warehouse_type="bigquery"
    )
    return make.make_source(project=project, mixpanel_id=found)


@pytest.fixture
def cluster_source(project):
    return make.make_source(
        project=project,
        name="Bricks",
        warehouse_type="databricks",
        mixpanel_id=88,
        connection={"compute_type": "jobs", "server_hostname": "dbc.example.com"},
    )


def events(source, **changes):
    return {
        "kind": "event_stream",
        "source": source.pk,
        "name": "Orders",
        "table_params.dataset": "shop",
        "table_params.table": "orders",
        "event_name": "Order",
        "time_column_name": "ordered_at",
        "user_column_name": "customer",
        "insert_time_column_name": "inserted_at",
        "property_mappings": "col_a = Amount\ncol_b = Currency",
        "sync_mode": "time_based",
        "frequency": "hourly",
        **changes,
    }


# --- Creating -------------------------------------------------------------------------


def test_kind_and_warehouse_come_first_and_bring_only_their_fields(
    page, project, source
):
    first = page.get(url("import_create", project))
    assert "What is in the table?" in first.text
    assert "Event sync" not in first.text, "cannot be created"

    where = url("import_create", project) + f"?kind=groups&source={source.pk}"
    fields = page.get(where).text
    assert 'name="group_key"' in fields
    assert 'name="event_name"' not in fields
    assert 'name="table_params.dataset"' in fields
    assert 'name="cluster_spark_version"' not in fields


def test_a_project_without_a_warehouse_is_led_to_connect_one(page, project):
    assert "First connect the warehouse" in page.get(url("import_create", project)).text


def test_a_person_creates_an_import_and_it_is_at_mixpanel(
    page, project, source, run_due_jobs
):
    answer = send(page, url("import_create", project), **events(source))
    row = WarehouseImport.objects.get()
    assert (answer.status_code, answer.url) == (302, row.get_absolute_url())
    assert row.table_params == {"dataset": "shop", "table": "orders"}
    assert row.fields["property_mappings"] == {"col_a": "Amount", "col_b": "Currency"}
    assert row.run_every == 3_600_000_000_000
    assert "Being created" in page.get(answer.url).text

    run_due_jobs(hurry=True)

    row.refresh_from_db()
    assert row.presence == Presence.ACTIVE
    assert "Insert time column" in page.get(f"{answer.url}configuration/").text
    assert "Create import Orders" in page.get(f"{answer.url}timeline/").text


def test_a_lookup_table_takes_the_parts_of_its_property(page, project, source):
    sent = {
        "kind": "lookup_table",
        "source": source.pk,
        "name": "Products",
        "table_params": '{"table": "products"}',
        "mixpanel_property.value": "sku",
        "mixpanel_property.resourceType": "event",
        "property_key_column_name": "sku",
        "sync_mode": "full_sync",
        "frequency": "daily",
    }
    answer = send(page, url("import_create", project), **sent)
    assert answer.status_code == 302
    row = WarehouseImport.objects.get()
    assert row.fields["mixpanel_property"] == {"value": "sku", "resourceType": "event"}

    bad = sent | {"name": "Again", "mixpanel_property.value": ""}
    answer = send(page, url("import_create", project), **bad)
    assert answer.status_code == 422
    assert "mixpanel_property.value" in answer.context["form"].errors


def test_a_bad_import_is_told_beside_its_fields_and_kept(page, project, source):
    sent = events(
        source,
        event_column_name="kind",
        time_column_name="",
        insert_time_column_name="",
        frequency="yearly",
        property_mappings="no sign",
    )
    answer = send(page, url("import_create", project), **sent)
    assert answer.status_code == 422
    assert "write column = property" in answer.text
    assert "no sign</textarea>" in answer.text

    sent["property_mappings"] = "a = b"
    answer = send(page, url("import_create", project), **sent)
    errors = answer.context["form"].errors
    assert answer.status_code == 422
    assert {"event_column_name", "time_column_name", "frequency"} <= set(errors)
    assert "insert_time_column_name" in errors
    assert 'value="kind"' in answer.text
    assert 'value="orders"' in answer.text
    assert "a = b</textarea>" in answer.text
    assert not WarehouseImport.objects.exists()


def test_where_sources_disagree_a_person_ticks(page, project, source):
    sent = events(source, sync_mode="full_sync", insert_time_column_name="")
    answer = send(page, url("import_create", project), **sent)
    assert answer.status_code == 422
    assert 'value="events_full_sync"' in answer.text
    assert 'value="hourly_full_scan"' in answer.text
    assert "its guide says" in answer.text
    assert "API documentation lists" in answer.text

    ticked = ["events_full_sync", "hourly_full_scan"]
    sent["accepted_warnings"] = ticked[:1]
    answer = send(page, url("import_create", project), **sent)
    assert answer.status_code == 422
    sent["accepted_warnings"] = ticked
    answer = send(page, url("import_create", project), **sent)
    assert answer.status_code == 302
    assert WarehouseImport.objects.get().accepted_warnings == ticked


def test_another_kind_shows_its_fields_and_keeps_what_was_typed(page, project, source):
    sent = events(source, kind="people", step="fields")
    answer = send(page, url("import_create", project), **sent)
    assert answer.status_code == 200
    assert 'id="id_event_name"' not in answer.text
    assert '<input type="hidden" name="event_name" value="Order">' in answer.text
    assert 'value="customer"' in answer.text
    assert 'value="Orders"' in answer.text
    assert not WarehouseImport.objects.exists()


def test_a_key_of_the_table_is_given_once(page, project, source):
    sent = events(source, table_params='{"table": "other"}')
    answer = send(page, url("import_create", project), **sent)
    assert answer.status_code == 422
    assert "given twice" in answer.text


# --- The cluster, as fields and as JSON -----------------------------------------------

CLUSTER = {
    "spark_version": "15.4.x-scala2.12",
    "node_type_id": "n2-standard-4",
    "autoscale": {"min_workers": 1, "max_workers": 4},
    "spark_conf": {"spark.speculation": "true"},
    "enable_elastic_disk": True,
}


def test_cluster_fields_and_json_agree_both_ways(page, project, cluster_source):
    where = url("import_create", project)
    sent = events(cluster_source, switch="form", databricks_view="json")
    sent["databricks_json"] = json.dumps(CLUSTER)
    fields = send(page, where, **sent).context["form"]
    assert fields.cluster_view == "form"
    assert fields["cluster_autoscale_max_workers"].value() == "4"
    assert fields["cluster_enable_elastic_disk"].value() == "true"
    assert fields["name"].value() == "Orders"

    back = events(cluster_source, switch="json", databricks_view="form")
    back |= {k: fields.data[k] for k in fields.data if k.startswith("cluster_")}
    as_json = send(page, where, **back).context["form"]
    assert as_json.cluster_view == "json"
    assert json.loads(as_json["databricks_json"].value()) == CLUSTER


@pytest.mark.parametrize("text", ["[1]", "{", '{"nodes": 3}', "[" * 50_000])
def test_json_that_has_no_place_in_the_fields_stays_json(
    page, project, cluster_source, text
):
    sent = events(cluster_source, switch="form", databricks_view="json")
    answer = send(page, url("import_create", project), **sent, databricks_json=text)
    assert answer.status_code == 422
    form = answer.context["form"]
    assert form.cluster_view == "json"
    assert form["databricks_json"].value() == text
    assert form.errors["databricks_json"]


@pytest.mark.parametrize("view", ["form", "json"])
def test_both_ways_make_the_same_import(page, project, cluster_source, view):
    sent = events(cluster_source, databricks_view=view)
    if view == "json":
        sent["databricks_json"] = json.dumps(CLUSTER)
    else:
        sent |= {
            "cluster_spark_version": "15.4.x-scala2.12",
            "cluster_node_type_id": "n2-standard-4",
            "cluster_autoscale_min_workers": "1",
            "cluster_autoscale_max_workers": "4",
            "cluster_spark_conf": '{"spark.speculation": "true"}',
            "cluster_enable_elastic_disk": "true",
        }
    assert send(page, url("import_create", project), **sent).status_code == 302
    row = WarehouseImport.objects.get()
    assert row.databricks_params == {"export_cluster_config": CLUSTER}


def test_the_same_words_are_told_at_the_field_and_at_the_json(
    page, project, cluster_source
):
    bad = {**CLUSTER, "autoscale": {"min_workers": 9, "max_workers": 4}}
    sent = events(cluster_source, databricks_view="json")
    sent["databricks_json"] = json.dumps(bad)
    at_json = send(page, url("import_create", project), **sent).context["form"]
    words = at_json.errors["databricks_json"][0]
    assert words.startswith("autoscale.min_workers: ")

    sent = events(cluster_source, cluster_autoscale_min_workers="9")
    sent |= {"cluster_autoscale_max_workers": "4", "cluster_node_type_id": "n"}
    at_field = send(page, url("import_create", project), **sent).context["form"]
    assert at_field.errors["cluster_autoscale_min_workers"] == [
        words.removeprefix("autoscale.min_workers: ")
    ]


def test_keys_that_would_vanish_are_shown_before(page, project, cluster_source):
    row = make.make_import(
        project=project,
        source=cluster_source,
        databricks_params={"export_cluster_config": CLUSTER},
    )
    where = url("import_databricks", project, row.pk)
    form = page.get(where).context["form"]
    assert form["cluster_spark_version"].value() == "15.4.x-scala2.12"
    sent = {"databricks_view": "form", "cluster_node_type_id": "n2-standard-8"}

    looked = send(page, where, **sent, switch="check")
    assert looked.status_code == 200
    assert "<code>autoscale.max_workers</code>" in looked.text
    assert "<code>spark_version</code>" in looked.text
    assert not Job.objects.exists()

    asked = send(page, where, **sent)
    assert asked.status_code == 422
    assert 'value="keys_vanish"' in asked.text

    done = send(page, where, **sent, accepted_warnings="keys_vanish")
    assert done.status_code == 302
    wanted = {"export_cluster_config": {"node_type_id": "n2-standard-8"}}
    assert Job.objects.get().params == {"databricks_params": wanted}


# --- One import -----------------------------------------------------------------------


def test_runs_pause_and_frequency_are_asked_for(page, project):
    row = make.make_import(project=project)
    shown = page.get(row.get_absolute_url()).text
    assert "5 of 5 manual runs" in shown
    assert "Run now" in shown

    assert page.post(url("import_run", project, row.pk)).status_code == 302
    shown = page.get(row.get_absolute_url()).text
    assert "Mixpanel has not started it yet" in shown
    assert ">owner</a>" in page.get(url("import_runs", project, row.pk)).text
    twice = page.post(url("import_run", project, row.pk))
    assert twice.status_code == 409
    assert "running already" in twice.text

    assert page.post(url("import_pause", project, row.pk)).status_code == 302
    answer = send(page, url("import_frequency", project, row.pk), frequency="weekly")
    assert answer.status_code == 302
    bad = send(page, url("import_frequency", project, row.pk), frequency="yearly")
    assert bad.status_code == 422
    assert {job.task for job in Job.objects.all()} == {
        "warehouse.run_import",
        "warehouse.patch_import",
    }


def test_one_that_was_paused_elsewhere_says_so_and_is_resumed(page, project):
    row = make.make_import(project=project, paused=True, paused_elsewhere=True)
    shown = page.get(row.get_absolute_url()).text
    assert "Not from here: in Mixpanel" in shown
    assert "Run now" not in shown
    answer = send(page, url("import_resume", project, row.pk), frequency="daily")
    assert answer.status_code == 302
    assert Job.objects.get().params == {
        "paused": False,
        "run_every": 86_400_000_000_000,
    }


def test_a_name_is_changed_here_and_once_per_project(page, project):
    row = make.make_import(project=project)
    make.make_import(project=project, name="Taken", mixpanel_id=502)
    where = url("import_rename", project, row.pk)
    taken = send(page, where, name="Taken")
    assert taken.status_code == 422
    assert "has an import with that name" in taken.text
    assert list(taken.context["form"].errors) == ["name"]
    empty = send(page, where, name="")
    assert empty.status_code == 422
    assert empty.context["form"].errors["name"] == ["Name is required."]
    assert send(page, where, name="Sales").status_code == 302
    row.refresh_from_db()
    assert row.name == "Sales"


@pytest.mark.parametrize("with_data", [False, True])
def test_deleting_needs_the_name_and_may_take_the_data(page, project, with_data):
    row = make.make_import(project=project)
    where = url("import_delete", project, row.pk)
    assert "cannot be taken back" in page.get(where).text
    sent = {"typed_name": "orders"} | ({"delete_data": "on"} if with_data else {})
    assert send(page, where, **sent).status_code == 422
    assert not Job.objects.exists()
    assert send(page, where, **sent | {"typed_name": "Orders"}).status_code == 302
    assert Job.objects.get().params == {"delete_data": with_data}


def test_an_import_of_a_kind_that_cannot_be_created_is_shown_and_controlled(
    page, project
):
    row = make.make_import(
        project=project, kind="event_sync", sync_mode="hourly_magic", fields={"x": [1]}
    )
    shown = page.get(row.get_absolute_url())
    assert shown.status_code == 200
    assert "hourly_magic" in shown.text
    assert "Run now" in shown.text
    unknown = make.make_import(
        project=project,
        name="Newer",
        kind="quantum",
        mixpanel_id=9,
        adopted=True,
        table_params={"bad": "\u202e", "list": ["a"], "n": None},
        run_every=7,
    )
    shown = page.get(unknown.get_absolute_url())
    assert shown.status_code == 200
    assert "quantum" in shown.text
    assert page.get(url("import_frequency", project, unknown.pk)).status_code == 200
    assert page.post(url("import_pause", project, unknown.pk)).status_code == 302


def test_the_configuration_tells_where_mixpanel_differs(page, project, cluster_source):
    row = make.make_import(
        project=project,
        source=cluster_source,
        databricks_params={"export_cluster_config": {"num_workers": 2}},
        raw={"databricks_params": {"export_cluster_config": {"num_workers": 8}}},
    )
    shown = page.get(url("import_configuration", project, row.pk)).text
    assert "is not the one that was set here" in shown
    assert "<code>8</code>" in shown


def test_one_that_was_not_created_says_why(page, project):
    row = make.make_import(
        project=project, presence=Presence.NOT_CREATED, mixpanel_id=None
    )
    make.make_job(
        project=project,
        target_type="warehouse.warehouseimport",
        target_id=str(row.pk),
        state=Job.State.FAILED,
        error_kind="not_allowed",
        error_message="nope",
    )
    shown = page.get(row.get_absolute_url()).text
    assert "Mixpanel did not create it" in shown
    assert "The service account may not do this" in shown
    assert page.post(url("import_forget", project, row.pk)).status_code == 302
    row.refresh_from_db()
    assert row.presence == Presence.DELETED
    assert page.get(row.get_absolute_url()).status_code == 200


# --- Runs -----------------------------------------------------------------------------


def test_runs_are_listed_with_gaps_and_unknown_counts(page, project):
    row = make.make_import(project=project)
    now = timezone.now()
    make.make_run(
        warehouse_import=row,
        state=RunState.UNKNOWN,
        raw_state="EXPLODED",
        num_events_imported=None,
        started_at=now - timedelta(hours=1),
        ended_at=now,
    )
    make.make_run(
        warehouse_import=row,
        is_gap=True,
        state=RunState.UNKNOWN,
        started_at=now - timedelta(hours=3),
        note="At least one run was not seen.",
    )
    shown = page.get(url("import_runs", project, row.pk)).text
    assert "EXPLODED" in shown
    assert "At least one run was not seen." in shown
    assert "1 h 0 min" in shown
    assert '<td class="number">unknown</td>' in shown


def test_a_failed_run_tells_cause_remedy_and_raw_answer(page, project, owner):
    row = make.make_import(project=project)
    job = make.make_job(project=project, task="warehouse.run_import", actor=owner)
    run = make.make_run(
        warehouse_import=row,
        state=RunState.FAILED,
        raw_state="FAILED",
        num_events_imported=None,
        requested_at=timezone.now(),
        job=job,
        raw={"status": "FAILED", "odd": "\u202e"},
    )
    shown = page.get(run.get_absolute_url()).text
    assert "What to do:" in shown
    assert ">owner</a>" in shown
    assert "<dt>Events imported</dt><dd>unknown <" in shown
    assert "&quot;status&quot;: &quot;FAILED&quot;" in shown
    assert 'hx-trigger="every' not in shown


def test_only_what_goes_on_is_fetched_again(page, project):
    row = make.make_import(project=project)
    run = make.make_run(
        warehouse_import=row, state=RunState.RUNNING, ended_at=None, raw_state="RUNNING"
    )
    htmx = {"HX-Request": "true"}
    for where in (
        run.get_absolute_url(),
        row.get_absolute_url(),
        url("import_list", project),
    ):
        part = page.get(where, headers=htmx).text
        assert 'hx-trigger="every' in part
        assert "<html" not in part
    make.change_run(run, state=RunState.SUCCEEDED, ended_at=timezone.now())
    assert page.get(run.get_absolute_url(), headers=htmx)["HX-Refresh"] == "true"
    assert 'hx-trigger="every' not in page.get(run.get_absolute_url()).text
    # Its schedule may start the import at any moment: that is looked for less often.
    assert 'hx-trigger="every 30s' in page.get(row.get_absolute_url()).text


def test_the_whole_page_comes_anew_when_more_than_its_live_part_changed(page, project):
    row = make.make_import(project=project, presence=Presence.PENDING, mixpanel_id=None)
    where = row.get_absolute_url()

    def asked():
        stamp = page.get(where).context["stamp"]
        return {"HX-Request": "true", "Stamp": stamp}

    before = asked()
    assert "HX-Refresh" not in page.get(where, headers=before)
    # It was created and runs: the tabs below tell of it.
    row.presence, row.mixpanel_id = Presence.ACTIVE, 777
    row.save()
    run = make.make_run(
        warehouse_import=row, state=RunState.RUNNING, ended_at=None, raw_state="RUNNING"
    )
    assert page.get(where, headers=before)["HX-Refresh"] == "true"
    before = asked()
    assert "HX-Refresh" not in page.get(where, headers=before)
    make.change_run(run, state=RunState.SUCCEEDED, ended_at=timezone.now())
    ended = page.get(where, headers=before)
    assert (ended["HX-Refresh"], ended.text) == ("true", "")


# --- The list -------------------------------------------------------------------------


def test_the_list_counts_by_state_and_filters_in_the_address(page, project):
    failed = make.make_import(project=project, name="Broken")
    make.make_run(warehouse_import=failed, state=RunState.FAILED)
    make.make_import(project=project, name="Fresh", mixpanel_id=502, kind="people")
    make.make_import(project=project, name="Asleep", mixpanel_id=503, paused=True)
    make.make_import(
        project=project, name="Gone", mixpanel_id=504, presence=Presence.DELETED
    )

    def names(query):
        lines = page.get(url("import_list", project) + query).context["lines"]
        return {line["import"].name for line in lines}

    whole = page.get(url("import_list", project))
    chips = {chip.value: chip.count for chip in whole.context["tallies"]}
    assert chips == {"": 3, "failed": 1, "new": 1, "paused": 1}
    assert "1 deleted" in whole.text
    assert names("") == {"Broken", "Fresh", "Asleep"}
    assert names("?state=failed") == {"Broken"}
    assert names("?kind=people") == {"Fresh"}
    assert names("?q=sleep") == {"Asleep"}
    assert names("?state=deleted") == {"Gone"}
    assert names(f"?source={failed.source_id}&sync_mode=mirror_mode") == set()
    for bad in (
        "state=x",
        "kind=x",
        "source=99999999999999999999",
        "after=x",
        "sort=x",
    ):
        assert page.get(url("import_list", project) + f"?{bad}").status_code == 400


def test_the_list_goes_on_where_it_stopped(page, project):
    source = make.make_source(project=project)
    for number in range(60):
        make.make_import(
            project=project, source=source, name=f"I {number}", mixpanel_id=1 + number
        )
    first = page.get(url("import_list", project) + "?sort=name")
    second = page.get(first.context["paged"].next_url)
    names = [
        line["import"].name
        for part in (first, second)
        for line in part.context["lines"]
    ]
    assert len(names) == 60
    assert names == sorted(names)


@pytest.mark.parametrize("rows", [1, 30])
def test_the_list_asks_the_database_no_more_often_for_more_rows(
    page, project, rows, django_assert_max_num_queries
):
    source = make.make_source(project=project)
    for number in range(rows):
        row = make.make_import(
            project=project, source=source, name=f"I {number}", mixpanel_id=1 + number
        )
        make.make_run(warehouse_import=row)
        make.make_run(warehouse_import=row, started_at=timezone.now() - timedelta(1))
    with django_assert_max_num_queries(12):
        assert page.get(url("import_list", project)).status_code == 200
    with django_assert_max_num_queries(17):
        assert page.get(row.get_absolute_url()).status_code == 200


# --- Adoption -------------------------------------------------------------------------


def test_what_exists_at_mixpanel_is_ticked_and_adopted(page, project, sandbox):
    found = sandbox.add_source(make.MIXPANEL_ID, name="Lake", warehouse_type="bigquery")
    make.poll_now(project)
    shown = page.get(url("adopt", project))
    assert "Lake" in shown.text
    remote = project.remote_objects.get()

    nothing = page.post(url("adopt", project))
    assert nothing.status_code == 422
    assert "Choose at least one" in nothing.text
    for bad in ("x", "0", "9" * 6000, "a\0", remote.pk + 1):
        assert send(page, url("adopt", project), remote_objects=bad).status_code == 422

    answer = send(page, url("adopt", project), remote_objects=remote.pk)
    assert answer.status_code == 302
    assert project.warehouse_sources.get().mixpanel_id == found


# --- Rights and bad input -------------------------------------------------------------

CHANGES = (
    "import_run",
    "import_pause",
    "import_resume",
    "import_frequency",
    "import_databricks",
    "import_rename",
    "import_delete",
    "import_forget",
)


def test_a_viewer_looks_and_changes_nothing(project, viewer, source):
    row = make.make_import(project=project, source=source)
    client = as_(viewer)
    shown = client.get(row.get_absolute_url())
    assert shown.status_code == 200
    assert "Run now" not in shown.text
    for name in CHANGES:
        assert client.post(url(name, project, row.pk)).status_code == 403
    answer = send(client, url("import_create", project), **events(source))
    assert answer.status_code == 403
    assert client.post(url("adopt", project)).status_code == 403
    assert not Job.objects.exists()


def test_somebody_elses_import_does_not_exist(page, project, stranger, source):
    other = make.make_project(owner=stranger, mixpanel_id=3_000_002, name="Other")
    row = make.make_import(project=other)
    mine = make.make_import(project=project, source=source)
    run = make.make_run(warehouse_import=row)
    for name in ("import_detail", *CHANGES):
        for pk in (row.pk, 10**30):
            assert page.post(url(name, project, pk)).status_code == 404
    assert page.get(row.get_absolute_url()).status_code == 404
    for pk in (run.pk, 10**30):
        assert page.get(url("run_detail", project, mine.pk, pk)).status_code == 404
    answer = send(page, url("import_create", project), **events(row.source))
    assert answer.status_code == 422
    assert "There is no such source" in answer.text
    assert not WarehouseImport.objects.exclude(pk__in=[row.pk, mine.pk]).exists()
    remote = make.make_remote_object(project=other)
    assert (
        send(page, url("adopt", project), remote_objects=remote.pk).status_code == 422
    )


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_what_changes_something_is_posted(page, project, method):
    row = make.make_import(project=project)
    for name in ("import_run", "import_pause", "import_forget"):
        answer = getattr(page, method)(url(name, project, row.pk))
        assert answer.status_code == 405


BAD = ("a\0b", "x" * 1_000_000, "[" * 100_000, "9" * 5000, '{"a": NaN}')


@pytest.mark.parametrize(
    "field",
    [
        "kind",
        "source",
        "name",
        "table_params",
        "table_params.table",
        "event_name",
        "time_column_name",
        "property_mappings",
        "sync_mode",
        "frequency",
        "databricks_view",
        "databricks_json",
        "cluster_num_workers",
        "cluster_spark_conf",
        "switch",
        "accepted_warnings",
    ],
)
def test_bad_input_is_answered_in_words_and_saves_nothing(
    page, project, cluster_source, field
):
    for bad in BAD:
        # One other mistake, because some of these fields may hold any text.
        other = "sync_mode" if field == "name" else "name"
        sent = events(cluster_source) | {other: "", field: bad}
        if field == "databricks_json":
            sent["databricks_view"] = "json"
        answer = send(page, url("import_create", project), **sent)
        assert answer.status_code in ((200, 422) if field == "switch" else (422,))
    assert not WarehouseImport.objects.exists()
