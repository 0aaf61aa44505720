"""The list of imports: order, the last runs, many at once, and as a file."""

import csv
import io
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mixadmin.audit.models import Entry
from mixadmin.common.states import Presence, RunState
from mixadmin.jobs.models import Job
from mixadmin.warehouse.models import WarehouseImport
from tests import make


def where(project, query=""):
    return reverse("warehouse:import_list", args=[project.pk]) + query


def bulk(client, project, verb, rows=(), query="", **more):
    url = reverse("warehouse:import_bulk", args=[project.pk]) + query
    ids = [getattr(row, "pk", row) for row in rows]
    return client.post(url, {"verb": verb, "id": ids, **more})


def imports(project, number, **changes):
    source = project.warehouse_sources.first() or make.make_source(project=project)
    at = project.warehouse_imports.count()
    return [
        make.make_import(
            project=project,
            source=source,
            name=f"Table {n}",
            mixpanel_id=1_000 + n,
            **changes,
        )
        for n in range(at, at + number)
    ]


@pytest.mark.parametrize("sort", ["newest", "name", "state", "last", "events"])
@pytest.mark.parametrize("way", ["", "-"])
def test_every_order_shows_every_import_once_both_ways(page, project, sort, way):
    rows = imports(project, 110)
    now = timezone.now()
    for n, row in enumerate(rows[:60]):
        make.make_run(
            warehouse_import=row,
            state=("succeeded", "failed")[n % 2],
            started_at=now - timedelta(hours=n // 20),
            num_events_imported=n % 5,
        )
    url, seen, last = where(project, f"?sort={way}{sort}"), [], None
    while url:
        last = page.get(url).context["paged"]
        assert (last.first, last.total) == (len(seen) + 1, 110)
        seen += [row.pk for row in last.rows]
        url = last.next_url
    assert len(seen) == len(set(seen)) == 110
    back, url = list(last.rows), last.previous_url
    while url:
        before = page.get(url).context["paged"]
        back, url = before.rows + back, before.previous_url
    assert [row.pk for row in back] == seen


def test_the_last_runs_are_bars_that_say_what_they_are(page, project):
    [row] = imports(project, 1)
    now = timezone.now()
    states = [RunState.SUCCEEDED] * 15 + [RunState.FAILED, RunState.RUNNING]
    for n, state in enumerate(states):
        make.make_run(
            warehouse_import=row,
            state=state,
            started_at=now - timedelta(hours=len(states) - n),
            num_events_imported=None if state == RunState.RUNNING else 1_000 * n,
        )
    shown = page.get(where(project)).text
    assert 'aria-label="Last 14 runs: 12 succeeded, 1 failed, 1 running"' in shown
    assert "Failed, " in shown and "15,000 events</title>" in shown
    assert "UTC, events unknown</title>" in shown
    assert reverse("warehouse:import_runs", args=[project.pk, row.pk]) in shown
    assert "style=" not in shown


def test_a_list_without_runs_draws_none(page, project):
    imports(project, 1)
    assert 'class="bars"' not in page.get(where(project)).text


# --- Many at once


def test_a_review_counts_what_would_be_done_and_changes_nothing(page, project):
    rows = imports(project, 3) + imports(project, 2, paused=True)
    gone = imports(project, 1, presence=Presence.MISSING)
    answer = bulk(page, project, "pause", rows + gone)
    assert "Pause 3 imports?" in answer.text
    assert "3 will be paused" in answer.text
    assert "2 are paused already" in answer.text
    assert "1 would be refused" in answer.text
    assert "is gone from mixpanel. This is possible only" in answer.text
    assert answer.text.count('name="id"') == 3
    assert not Job.objects.exists()
    assert not Entry.objects.exists()


def test_what_is_confirmed_is_done_one_by_one(page, project, owner):
    rows = imports(project, 2)
    missing = imports(project, 1, presence=Presence.MISSING)
    answer = bulk(page, project, "pause", rows + missing, sure="1")
    assert "2 are being paused" in answer.text
    assert "1 was refused" in answer.text
    jobs = Job.objects.all()
    assert {job.params["paused"] for job in jobs} == {True}
    assert {job.actor for job in jobs} == {owner}
    assert Entry.objects.filter(verb="asked to pause").count() == 2
    for job in jobs:
        assert job.get_absolute_url() in answer.text


def test_resume_and_run_tell_who_is_refused(page, project):
    paused, going = imports(project, 1, paused=True), imports(project, 1)
    assert "1 is not paused" in bulk(page, project, "resume", paused + going).text
    make.make_run(warehouse_import=going[0], state=RunState.RUNNING, ended_at=None)
    answer = bulk(page, project, "run", paused + going)
    assert "There is nothing to do." in answer.text
    assert "This import is paused. Resume it first." in answer.text
    assert "running already, or was asked to" in answer.text


def test_a_run_of_many_tells_how_many_mixpanel_starts(page, project):
    answer = bulk(page, project, "run", imports(project, 7))
    assert "Run 7 imports now?" in answer.text
    assert "2 of these wait for their turn" in answer.text


def test_a_pause_of_mirror_imports_tells_when_the_snapshot_is_lost(page, project):
    [row] = imports(project, 1, sync_mode="mirror_mode")
    assert "no run has succeeded yet" in bulk(page, project, "pause", [row]).text
    ended = timezone.now() - timedelta(days=2)
    run = make.make_run(warehouse_import=row, started_at=ended, ended_at=ended)
    lost = (ended + timedelta(days=21)).strftime("%Y-%m-%d %H:%M")
    text = bulk(page, project, "pause", [row]).text
    assert "Mirror dies" in text
    assert f">{lost}" in text
    ended = timezone.now() - timedelta(days=30)
    make.change_run(run, at=ended, started_at=ended, ended_at=ended)
    assert "lost track of the changes" in bulk(page, project, "pause", [row]).text


def test_all_that_match_is_the_set_of_the_filters(page, project):
    rows = imports(project, 60)
    WarehouseImport.objects.filter(pk=rows[0].pk).update(name="Other")
    shown = page.get(where(project, "?q=Table")).text
    assert "All 59 that match" in shown
    answer = bulk(page, project, "pause", query="?q=Table", all="1")
    assert "Pause 59 imports?" in answer.text
    ids = [line.key for line in answer.context["done"]]
    imports(project, 1)
    told = bulk(page, project, "pause", ids, query="?q=Table", all="1", sure="1")
    assert "59 are being paused" in told.text
    assert "1 import more came to match" in told.text
    assert Job.objects.count() == 59
    assert bulk(page, project, "pause", query="?q=x&state=no").status_code == 400


def test_who_may_only_look_changes_nothing(project, viewer, stranger):
    rows = imports(project, 1)
    looks = Client()
    looks.force_login(viewer)
    assert bulk(looks, project, "pause", rows, sure="1").status_code == 403
    assert 'name="verb"' not in looks.get(where(project)).text
    looks.force_login(stranger)
    assert bulk(looks, project, "pause", rows, sure="1").status_code == 404
    assert not Job.objects.exists()


def test_another_projects_imports_are_not_found(page, project, owner):
    other = make.make_project(owner=owner, name="Other", mixpanel_id=9)
    [theirs] = imports(other, 1)
    WarehouseImport.objects.filter(pk=theirs.pk).update(name="Secret plan")
    answer = bulk(page, project, "pause", [theirs, 2**62], sure="1")
    assert answer.text.count("There is no such thing.") == 2
    assert "Secret plan" not in answer.text
    assert not Job.objects.exists()
    assert bulk(page, project, "pause", [2**70]).status_code == 400


# --- Through the API


def address(project):
    return f"/api/v1/projects/{project.pk}/imports/bulk/"


def test_a_tool_tries_and_does_and_is_told_of_each(api, project):
    rows, paused = imports(project, 2), imports(project, 1, paused=True)
    body = {"action": "pause", "filter": {"kind": "event_stream"}, "dry_run": True}
    told = api.post(address(project), body).json()
    assert (told["done"], told["nothing"], told["refused"]) == (2, 1, 0)
    assert not Job.objects.exists()

    body = {"action": "pause", "ids": [row.pk for row in rows + paused] + [999_999]}
    told = api.post(address(project), body, HTTP_IDEMPOTENCY_KEY="one").json()
    assert (told["done"], told["nothing"], told["refused"]) == (2, 1, 1)
    assert [r["outcome"] for r in told["results"]] == [
        "done",
        "done",
        "nothing",
        "refused",
    ]
    assert told["results"][0]["job"] in {str(job.pk) for job in Job.objects.all()}
    assert told["results"][3]["code"] == "not_found"
    again = api.post(address(project), body, HTTP_IDEMPOTENCY_KEY="one")
    assert again.json() == told
    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"action": "explode", "ids": [1]}, "action"),
        ({"action": "pause"}, "ids"),
        ({"action": "pause", "ids": [1], "filter": {}}, "ids"),
        ({"action": "pause", "filter": {"kynd": "people"}}, "filter.kynd"),
        ({"action": "pause", "filter": {"paused": "maybe"}}, "filter.paused"),
        ({"action": "pause", "filter": {"source": [1]}}, "filter.source"),
        ({"action": "pause", "ids": [-1]}, "ids"),
    ],
)
def test_a_set_that_cannot_be_is_told_by_its_field(api, project, body, attr):
    imports(project, 1)
    answer = api.post(address(project), body)
    assert answer.status_code == 400, answer.content
    assert [e["attr"] for e in answer.json()["errors"]] == [attr]
    assert not Job.objects.exists()


# --- As a file


def test_the_file_holds_what_the_list_shows(page, project):
    rows = imports(project, 3)
    make.make_run(warehouse_import=rows[0], num_events_imported=30_112)
    WarehouseImport.objects.filter(pk=rows[1].pk).update(name="@SUM(1)")
    answer = page.get(where(project, "?sort=name&export=csv"))
    text = b"".join(answer.streaming_content).decode()
    found = {row["Name"]: row for row in csv.DictReader(io.StringIO(text))}
    assert list(found) == ["'@SUM(1)", "Table 0", "Table 2"]
    assert found["Table 0"]["Events of the last run"] == "30112"
    assert found["Table 0"]["State"] == "Succeeded"
    assert found["Table 2"]["Events of the last run"] == ""
    assert found["Table 2"]["Warehouse"] == "Warehouse"


def test_the_runs_of_an_import_are_had_as_a_file(page, project):
    [row] = imports(project, 1)
    make.make_run(warehouse_import=row, num_events_imported=7)
    make.make_run(
        warehouse_import=row,
        state=RunState.FAILED,
        num_events_imported=None,
        started_at=timezone.now() - timedelta(hours=1),
        note="=HYPERLINK(1)",
    )
    runs = reverse("warehouse:import_runs", args=[project.pk, row.pk])
    assert f'href="{runs}?export=csv"' in page.get(runs).text
    answer = page.get(f"{runs}?export=csv")
    text = b"".join(answer.streaming_content).decode()
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["State"], first["Events imported"]) == ("Succeeded", "7")
    assert (second["State"], second["Events imported"]) == ("Failed", "")
    assert second["Note"] == "'=HYPERLINK(1)"
    failed = page.get(f"{runs}?export=csv&state=failed")
    assert b"".join(failed.streaming_content).count(b"\r\n") == 2
