"""One rule, one sentence: form, API and command say the same words."""

import io
import json
import re

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from mixadmin.common.states import Presence
from mixadmin.jobs.models import Job
from mixadmin.warehouse.models import WarehouseImport
from tests import make
from tests.make import MIXPANEL_ID

GOOD = {
    "name": "Orders",
    "kind": "event_stream",
    "sync_mode": "time_based",
    "table_params": {"dataset": "shop", "table": "orders"},
    "fields": {
        "event_name": "Order",
        "time_column_name": "ordered_at",
        "insert_time_column_name": "inserted_at",
    },
    "frequency": "daily",
}
CLUSTER = {"spark_version": "15.4.x-scala2.12", "node_type_id": "n2", "num_workers": 2}


def change(**changes):
    fields = changes.pop("fields", {})
    return {**GOOD, **changes, "fields": {**GOOD["fields"], **fields}}


def cluster(**changes):
    return {"databricks_params": {"export_cluster_config": {**CLUSTER, **changes}}}


# name -> (warehouse, what is asked for, the field that is at fault)
BAD = {
    "no name": ("bigquery", change(name=""), "name"),
    "a NUL in the name": ("bigquery", change(name="a\x00b"), "name"),
    "a name of 300 characters": ("bigquery", change(name="n" * 300), "name"),
    "a name that is taken": ("bigquery", change(name="Taken"), "name"),
    "no table": ("bigquery", change(table_params={}), "table_params"),
    "no time column": (
        "bigquery",
        change(fields={"time_column_name": ""}),
        "time_column_name",
    ),
    "append without insert time": (
        "bigquery",
        change(fields={"insert_time_column_name": ""}),
        "insert_time_column_name",
    ),
    "neither event name nor column": (
        "bigquery",
        change(fields={"event_name": ""}),
        "event_name",
    ),
    "both event name and column": (
        "bigquery",
        change(fields={"event_column_name": "name"}),
        "event_column_name",
    ),
    "a sync mode that is none": ("bigquery", change(sync_mode="append"), "sync_mode"),
    "mirror from Postgres": ("postgres", change(sync_mode="mirror_mode"), "sync_mode"),
    "a frequency that is none": ("bigquery", change(frequency="monthly"), "frequency"),
    "no frequency": ("bigquery", change(frequency=""), "frequency"),
    "full sync of events, not ticked": (
        "bigquery",
        change(sync_mode="full_sync", fields={"insert_time_column_name": ""}),
        "sync_mode",
    ),
    "a full scan every hour, not ticked": (
        "bigquery",
        {
            **GOOD,
            "kind": "people",
            "sync_mode": "full_sync",
            "fields": {"user_column_name": "customer"},
            "frequency": "hourly",
        },
        "frequency",
    ),
    "a lone surrogate": (
        "bigquery",
        change(fields={"user_column_name": "a\ud800"}),
        "user_column_name",
    ),
    "a column name of 1 MB": (
        "bigquery",
        change(fields={"user_column_name": "c" * 1_000_000}),
        "user_column_name",
    ),
    "single user without a name": (
        "databricks",
        change(**cluster(data_security_mode="SINGLE_USER")),
        "single_user_name",
    ),
    "fewer workers than none": (
        "databricks",
        change(**cluster(num_workers=-1)),
        "num_workers",
    ),
    "autoscale upside down": (
        "databricks",
        change(
            **cluster(num_workers=None, autoscale={"min_workers": 5, "max_workers": 2})
        ),
        "autoscale",
    ),
    "a key that no cluster has": (
        "databricks",
        change(**cluster(spark_verion="x")),
        "spark_verion",
    ),
}


@pytest.fixture
def sources(project):
    make.make_import(project=project, name="Taken", mixpanel_id=9)
    return {
        kind: make.make_source(
            project=project,
            name=kind,
            warehouse_type=kind,
            mixpanel_id=100 + n,
            connection={"compute_type": "jobs"} if kind == "databricks" else {},
        )
        for n, kind in enumerate(("bigquery", "postgres", "databricks"))
    }


def by_api(api, project, source, asked):
    url = f"/api/v1/projects/{project.pk}/imports/"
    body = json.dumps({**asked, "source": source.pk})
    answer = api.post(url, body, content_type="application/json")
    assert answer.status_code == 400, answer.content[:500]
    return {(e["attr"] or "__all__", e["detail"]) for e in answer.json()["errors"]}


def by_command(source, asked, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(asked).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(CommandError) as error:
        call_command("create_import", str(MIXPANEL_ID), source.name)
    return str(error.value)


def by_form(page, project, source, asked):
    data = {**asked, **asked["fields"], "source": source.pk}
    data["table_params"] = json.dumps(asked["table_params"])
    params = data.pop("databricks_params", None)
    if params:
        data["databricks_json"] = json.dumps(params["export_cluster_config"])
        data["databricks_view"] = "json"
    del data["fields"]
    body = {k: v for k, v in data.items() if v is not None}
    answer = page.post(reverse("warehouse:import_create", args=[project.pk]), body)
    assert answer.status_code == 422, answer.content[:500]
    html = re.sub(r"\s+", " ", answer.content.decode())
    return (
        html.replace("&#x27;", "'")
        .replace("&quot;", '"')
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
    )


@pytest.mark.parametrize("case", BAD)
def test_a_bad_import_gets_the_same_words_at_every_door(
    case, project, sources, page, api, monkeypatch
):
    kind, asked, field = BAD[case]
    told = by_api(api, project, sources[kind], asked)
    words = {detail for attr, detail in told if field in attr}
    assert words, f"nothing about {field} in {told}"
    command = by_command(sources[kind], asked, monkeypatch)
    html = by_form(page, project, sources[kind], sendable(asked))
    for word in words:
        assert word in command
        if not broken(asked):
            assert word in html
    assert WarehouseImport.objects.count() == 1
    assert not Job.objects.exists()


def broken(asked):
    """Characters that no browser sends in a form the way JSON can carry them."""
    return "ud800" in json.dumps(asked)


def sendable(asked):
    if not broken(asked):
        return asked
    return change(fields={"user_column_name": "a\x00"})


def test_what_is_refused_in_this_moment_gets_the_same_words(project, page, api):
    row = make.make_import(project=project, paused=True)
    answer = api.post(f"/api/v1/projects/{project.pk}/imports/{row.pk}/run/", {})
    assert answer.status_code == 409
    word = answer.json()["errors"][0]["detail"]
    with pytest.raises(CommandError) as error:
        call_command("run_import", str(MIXPANEL_ID), row.name)
    assert str(error.value) == word
    url = reverse("warehouse:import_run", args=[project.pk, row.pk])
    html = page.post(url, follow=True).content.decode()
    assert word in html


def test_a_good_import_passes_at_every_door(
    project, sources, page, api, monkeypatch, sandbox
):
    source = sources["bigquery"]
    url = f"/api/v1/projects/{project.pk}/imports/"
    answer = api.post(url, {**GOOD, "name": "One", "source": source.pk})
    assert answer.status_code == 202, answer.content
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps({**GOOD, "name": "Two"}).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    call_command("create_import", str(MIXPANEL_ID), source.name, stdout=io.StringIO())
    data = {**GOOD, **GOOD["fields"], "name": "Three", "source": source.pk}
    data["table_params"] = json.dumps(GOOD["table_params"])
    del data["fields"]
    answer = page.post(reverse("warehouse:import_create", args=[project.pk]), data)
    assert answer.status_code == 302
    rows = WarehouseImport.objects.filter(presence=Presence.PENDING)
    made = {row.name: (row.fields, row.table_params, row.run_every) for row in rows}
    assert set(made) == {"One", "Two", "Three"}
    assert made["One"] == made["Two"] == made["Three"]
