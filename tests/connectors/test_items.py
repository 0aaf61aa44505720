"""The pages of one connector and one run: sentence, counts, charts, timeline, settings."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mixadmin.audit.actions import record
from mixadmin.common.states import Presence, RunState
from mixadmin.connectors.models import Connector, ConnectorRun
from mixadmin.connectors.sentences import connector_status
from mixadmin.jobs.models import Job
from tests import make

NOW = datetime(2026, 11, 28, 14, 41, tzinfo=UTC)
EVIL = "<script>alert('x')</script>\"&"
TABS = ("detail", "runs", "timeline", "configuration")


def url(name, row):
    return reverse(f"connectors:{name}", args=[row.project_id, row.pk])


# --- The sentence ---------------------------------------------------------------------


def standing(state=None, presence=Presence.ACTIVE, job=None, **run):
    connector = Connector(pk=7, project_id=1, label="Signups", presence=presence)
    last = None
    if state:
        fields = {
            "started_at": NOW - timedelta(minutes=38),
            "ended_at": NOW - timedelta(minutes=35),
            "at": NOW - timedelta(minutes=38),
            "num_events_imported": 30112,
            "num_events_dropped": 0,
        }
        last = ConnectorRun(
            pk=90, connector=connector, state=state, **{**fields, **run}
        )
    return connector_status(connector, last=last, job=job, now=NOW)


@pytest.mark.parametrize(
    ("state", "run", "tone", "sentence", "fix"),
    [
        (None, {}, "idle", "No run yet. It begins its run by itself.", None),
        (
            RunState.QUEUED,
            {},
            "busy",
            "Waits. Its run waits at Mixpanel.",
            "Look at the run",
        ),
        (
            RunState.RUNNING,
            {"progress": 0.42},
            "busy",
            "Running. Since 2026-11-28 14:03 UTC, 38 min 0 s now. It is at 42 %.",
            "Look at the run",
        ),
        (
            RunState.RUNNING,
            {"progress": None},
            "busy",
            "Running. Since 2026-11-28 14:03 UTC, 38 min 0 s now.",
            "Look at the run",
        ),
        (
            RunState.SUCCEEDED,
            {},
            "good",
            "Done. Its run brought 30,112 events. It ended 2026-11-28 14:06 UTC.",
            None,
        ),
        (
            RunState.SUCCEEDED_WITH_ERRORS,
            {"num_events_dropped": 1},
            "warn",
            "Succeeded with errors. Its run brought 30,112 events, but 1 record was "
            "dropped.",
            "Look at the run",
        ),
        (
            RunState.FAILED,
            {},
            "bad",
            "Failed. Its run failed 2026-11-28 14:06 UTC.",
            "Look at the failed run",
        ),
        (
            RunState.UNKNOWN,
            {},
            "warn",
            "Unknown. How its run went is not known.",
            "Look at the run",
        ),
        (
            RunState.CANCELLED,
            {},
            "idle",
            "Cancelled. Its run of 2026-11-28 14:03 UTC.",
            "Look at the run",
        ),
    ],
)
def test_each_state_has_its_sentence_and_button(state, run, tone, sentence, fix):
    found = standing(state, **run)
    assert found.sentence == sentence
    assert found.tone == tone
    assert (found.fix and found.fix.label) == fix


def test_what_is_not_there_and_what_must_be_decided():
    gone = standing(presence=Presence.MISSING)
    assert (gone.tone, gone.label, gone.fix.url) == (
        "bad",
        "Gone",
        "/projects/1/connectors/7/forget/",
    )
    job = Job(state=Job.State.NEEDS_DECISION, title="Create connector Signups")
    assert standing(presence=Presence.PENDING, job=job).fix.label == "Decide"


# --- The pages ------------------------------------------------------------------------


@pytest.mark.parametrize("few", [1, 40])
@pytest.mark.parametrize("name", TABS)
def test_each_page_has_head_status_and_tabs(
    page, project, owner, name, few, django_assert_max_num_queries
):
    connector = make.make_connector(project=project)
    for hours in range(few):
        make.make_connector_run(
            connector=connector, started_at=timezone.now() - timedelta(hours=hours + 1)
        )
        record(actor=owner, verb="looked at", target=connector)
    page.get(url(name, connector))
    with django_assert_max_num_queries(12):
        shown = page.get(url(name, connector))
    assert "<h1>Signups</h1>" in shown.text
    assert "Its run brought 13 events." in shown.text
    assert [tab.active for tab in shown.context["tabs"]] == [name == t for t in TABS]
    assert " style=" not in shown.text
    part = page.get(url(name, connector), headers={"HX-Request": "true"})
    assert part.text.startswith('<section id="connector-status"')
    again = {"HX-Request": "true", "If-None-Match": part["ETag"]}
    assert page.get(url(name, connector), headers=again).status_code == 304


def test_the_whole_page_comes_anew_when_a_run_ends(page, project):
    connector = make.make_connector(project=project)
    run = make.make_connector_run(
        connector=connector, state=RunState.RUNNING, ended_at=None
    )
    where = url("detail", connector)
    stamp = page.get(where).context["stamp"]
    asked = {"HX-Request": "true", "Stamp": stamp}
    assert 'hx-trigger="every 4s' in page.get(where, headers=asked).text
    make.change_run(run, state=RunState.SUCCEEDED, ended_at=timezone.now())
    assert page.get(where, headers=asked)["HX-Refresh"] == "true"


@pytest.mark.parametrize("name", TABS)
def test_names_are_escaped(page, project, name):
    connector = make.make_connector(
        project=project,
        label=EVIL,
        connector_properties={"gcs_bucket": EVIL, EVIL: EVIL},
        category_properties={EVIL: EVIL},
        raw={EVIL: EVIL},
    )
    run = make.make_connector_run(
        connector=connector,
        state=RunState.FAILED,
        error_message=EVIL,
        raw_state=EVIL,
        note=EVIL,
        raw={EVIL: EVIL},
    )
    for where in (url(name, connector), run.get_absolute_url()):
        shown = page.get(where)
        assert shown.status_code == 200
        assert "<script>" not in shown.text


@pytest.mark.parametrize("name", TABS)
def test_a_viewer_sees_no_button_that_changes(project, viewer, name):
    connector = make.make_connector(project=project)
    make.make_connector_run(connector=connector, state=RunState.FAILED)
    client = Client()
    client.force_login(viewer)
    shown = client.get(url(name, connector)).text
    assert "Look at the failed run" in shown
    for word in ("> Create a copy", "> Delete", 'action="/projects/'):
        assert word not in shown


def test_the_counts_add_up_in_a_bar_and_a_table(page, project):
    connector = make.make_connector(project=project)
    run = make.make_connector_run(
        connector=connector,
        state=RunState.SUCCEEDED_WITH_ERRORS,
        num_events_processed=1000,
        num_events_imported=900,
        num_events_dropped=100,
    )
    for where in (url("detail", connector), run.get_absolute_url()):
        chart = page.get(where).context["counts"]
        assert chart.label.endswith("1,000; 900 imported, 100 dropped. They add up.")
        assert [row.cells for row in chart.rows] == [
            ("Processed", "1,000", ""),
            ("Imported", "900", "90.0%"),
            ("Dropped", "100", "10.0%"),
        ]
    assert "Live View never shows" in page.get(run.get_absolute_url()).text


def test_a_run_leads_to_its_neighbours(page, project):
    connector = make.make_connector(project=project)
    older, newer = (
        make.make_connector_run(
            connector=connector, started_at=timezone.now() - timedelta(hours=hours)
        )
        for hours in (2, 1)
    )
    shown = page.get(older.get_absolute_url()).text
    assert f'rel="next" href="{newer.get_absolute_url()}"' in shown
    assert 'rel="prev"' not in shown


def test_runs_changes_and_jobs_are_one_list(page, project, owner):
    connector = make.make_connector(project=project)
    make.make_connector_run(
        connector=connector, started_at=timezone.now() - timedelta(hours=1)
    )
    record(actor=owner, verb="asked to create", target=connector)
    make.make_job(
        project=project,
        target_type="connectors.connector",
        target_id=str(connector.pk),
        created_at=timezone.now() - timedelta(hours=2),
    )
    lines = page.get(url("timeline", connector)).context["timeline"].lines
    assert [line.sort for line in lines] == ["changes", "runs", "jobs"]


def test_the_configuration_is_passed_on(page, api, project):
    connector = make.make_connector(project=project)
    shown = page.get(url("configuration", connector))
    theirs = shown.context["their_curl"]
    assert "https://mixpanel.com/api/app/projects/3000001/connectors" in theirs
    assert make.SECRET not in shown.text
    sent = json.loads(shown.context["our_curl"].partition("-d '")[2][:-1])
    answer = api.post(
        f"/api/v1/projects/{project.pk}/connectors/",
        {**sent, "label": "Copy"},
        format="json",
    )
    assert answer.status_code in (201, 202), answer.content
