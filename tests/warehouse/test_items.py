"""The pages of one import, one run and one source."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mixadmin.audit.actions import record
from mixadmin.common.crypto import Secret
from mixadmin.common.states import Presence, RunState
from mixadmin.jobs.models import Job
from tests import make

EVIL = "<script>alert('x')</script>\"&"
TABS = ("import_detail", "import_runs", "import_timeline", "import_configuration")
SOURCE_TABS = ("source_detail", "source_timeline", "source_configuration")


def url(name, row):
    return reverse(f"warehouse:{name}", args=[row.project_id, row.pk])


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def several_runs(row, number, **changes):
    now = timezone.now()
    return [
        make.make_run(
            warehouse_import=row,
            **{
                "started_at": now - timedelta(hours=hours),
                "ended_at": now - timedelta(hours=hours) + timedelta(minutes=5),
                "num_events_imported": 1000,
                **changes,
            },
        )
        for hours in range(number, 0, -1)
    ]


# --- Every page of an import ----------------------------------------------------------


@pytest.mark.parametrize("name", TABS)
def test_each_page_has_head_status_and_tabs(page, project, name):
    row = make.make_import(project=project)
    several_runs(row, 3)
    shown = page.get(url(name, row))
    assert shown.status_code == 200
    assert "<h1>Orders</h1>" in shown.text
    assert "1,000 events" in shown.text
    labels = [(tab.label, tab.active) for tab in shown.context["tabs"]]
    assert [label for label, _ in labels] == [
        "Overview",
        "Runs",
        "Timeline",
        "Configuration",
    ]
    assert [active for _, active in labels] == [name == tab for tab in TABS]
    assert " style=" not in shown.text


@pytest.mark.parametrize("name", TABS)
def test_each_page_asks_for_its_status_alone(
    page, project, name, django_assert_max_num_queries
):
    row = make.make_import(project=project)
    several_runs(row, 3)
    with django_assert_max_num_queries(10):
        part = page.get(url(name, row), headers={"HX-Request": "true"})
    assert part.text.startswith('<section id="import-status"')
    assert "<table" not in part.text
    again = {"HX-Request": "true", "If-None-Match": part["ETag"]}
    assert page.get(url(name, row), headers=again).status_code == 304


@pytest.mark.parametrize("name", TABS)
def test_names_are_escaped_on_each_page(page, project, name):
    source = make.make_source(project=project, name=EVIL, connection={"x": EVIL})
    row = make.make_import(
        project=project,
        source=source,
        name=EVIL,
        table_params={EVIL: EVIL},
        fields={EVIL: [EVIL], "event_name": EVIL},
        raw={EVIL: EVIL},
    )
    make.make_run(warehouse_import=row, raw_state=EVIL, note=EVIL, raw={EVIL: EVIL})
    record(actor=None, verb=EVIL, target=row, changes={EVIL: [EVIL, EVIL]})
    for where in (
        url(name, row),
        *(url(tab, source) for tab in SOURCE_TABS),
        row.runs.get().get_absolute_url(),
    ):
        shown = page.get(where)
        assert shown.status_code == 200
        assert "<script>" not in shown.text
        assert "alert(&#x27;x&#x27;)" in shown.text or "alert('x')" not in shown.text


@pytest.mark.parametrize("few", [1, 40])
@pytest.mark.parametrize(("name", "most"), [*zip(TABS, (13, 14, 14, 10), strict=True)])
def test_more_runs_ask_no_more_often(
    page, project, owner, name, most, few, django_assert_max_num_queries
):
    row = make.make_import(project=project)
    for run in several_runs(row, few):
        run.job = make.make_job(project=project, task="x", actor=owner)
        run.save()
        record(actor=owner, verb="changed", target=row)
    page.get(url(name, row))
    with django_assert_max_num_queries(most):
        assert page.get(url(name, row)).status_code == 200


@pytest.mark.parametrize("name", (*TABS, *SOURCE_TABS))
def test_a_viewer_sees_it_without_a_button_that_changes(project, viewer, name):
    row = make.make_import(project=project)
    make.make_run(warehouse_import=row, state=RunState.FAILED)
    where = url(name, row if name in TABS else row.source)
    shown = as_(viewer).get(where).text
    for word in ("Run now", "Pause", "Rename", "Change", "Delete", "Fix the source"):
        assert f"> {word}" not in shown, word
    assert 'action="/projects/' not in shown


def test_a_viewer_may_look_at_what_failed(project, viewer):
    row = make.make_import(project=project)
    run = make.make_run(warehouse_import=row, state=RunState.FAILED)
    shown = as_(viewer).get(url("import_detail", row)).text
    assert "Look at the failed run" in shown
    assert "Fix the source" not in as_(viewer).get(run.get_absolute_url()).text


def test_there_is_one_main_button_at_most(page, project):
    row = make.make_import(project=project)
    make.make_run(warehouse_import=row, state=RunState.FAILED)
    shown = page.get(url("import_detail", row)).text
    assert shown.count('class="button main"') == 1
    assert '<button class="main"' not in shown
    row.paused = True
    row.save(update_fields=["paused"])
    shown = page.get(url("import_detail", row)).text
    assert 'href="/projects/' in shown
    assert "Resume</a>" in shown
    assert "Run now" not in shown


def test_what_must_be_decided_is_the_one_button(page, project):
    row = make.make_import(project=project, presence=Presence.PENDING, mixpanel_id=None)
    job = make.make_job(
        project=project,
        target_type="warehouse.warehouseimport",
        target_id=str(row.pk),
        state=Job.State.NEEDS_DECISION,
        decision={"why": "Two imports look like it."},
    )
    shown = page.get(url("import_detail", row)).text
    assert "Two imports look like it." in shown
    assert f'href="{job.get_absolute_url()}"' in shown
    assert "Decide</a>" in shown


# --- Overview -------------------------------------------------------------------------


def test_the_overview_draws_its_runs(page, project):
    row = make.make_import(project=project)
    several_runs(row, 40)
    make.make_run(warehouse_import=row, state=RunState.FAILED, num_events_imported=None)
    shown = page.get(url("import_detail", row))
    events, durations = shown.context["charts"]
    assert len(events.rows) == 30
    assert events.rows[0].cells[1:] == ("unknown", "Failed")
    assert events.rows[1].cells[1:] == ("1,000", "Succeeded")
    assert durations.rows[1].cells[1] == "5 min"
    assert "1 failed" in shown.context["calendar"].rows[0].cells[2]
    assert shown.text.count('role="img"') == 3
    assert shown.text.count("<summary>As a table</summary>") == 3


def test_without_a_run_there_is_nothing_to_draw(page, project):
    shown = page.get(url("import_detail", make.make_import(project=project))).text
    assert 'role="img"' not in shown
    assert "No run has been seen." in shown


def test_a_mirror_shows_its_countdown(page, project):
    row = make.make_import(project=project, sync_mode="mirror_mode")
    ended = timezone.now() - timedelta(days=2)
    make.make_run(warehouse_import=row, started_at=ended, ended_at=ended)
    assert "days left." in page.get(url("import_detail", row)).text


def test_what_it_hangs_on_is_told(page, project):
    row = make.make_import(project=project)
    shown = page.get(url("import_detail", row)).text
    assert f'href="{row.source.get_absolute_url()}"' in shown
    assert f'href="{project.service_account.get_absolute_url()}"' in shown


# --- Runs -----------------------------------------------------------------------------


def test_runs_are_filtered_by_state_in_the_address(page, project):
    row = make.make_import(project=project)
    several_runs(row, 3)
    make.make_run(warehouse_import=row, state=RunState.FAILED)
    make.make_run(
        warehouse_import=row,
        is_gap=True,
        state=RunState.UNKNOWN,
        note="At least one was not seen.",
        started_at=timezone.now() - timedelta(days=1),
    )
    whole = page.get(url("import_runs", row))
    counts = {chip.value: chip.count for chip in whole.context["chips"]}
    assert counts == {"": 4, "succeeded": 3, "failed": 1}
    assert "At least one was not seen." in whole.text
    failed = page.get(url("import_runs", row) + "?state=failed")
    assert len(failed.context["paged"].rows) == 1
    assert "At least one was not seen." not in failed.text
    assert page.get(url("import_runs", row) + "?state=x").status_code == 400
    none = page.get(url("import_runs", row) + "?state=cancelled")
    assert "No run is in this state." in none.text


def test_all_runs_are_there_piece_by_piece(page, project):
    row = make.make_import(project=project)
    several_runs(row, 70)
    seen, where = [], url("import_runs", row)
    while where:
        found = page.get(where).context["paged"]
        seen += [run.pk for run in found.rows]
        where = found.next_url
    assert len(seen) == len(set(seen)) == 70


def test_the_api_says_the_same_sentence(page, api, project):
    row = make.make_import(project=project, history_at=timezone.now())
    several_runs(row, 1)
    told = api.get(f"/api/v1/projects/{project.pk}/imports/{row.pk}/").json()
    assert told["sentence"].startswith("Healthy. Last run ")
    shown = page.get(url("import_detail", row))
    assert told["sentence"] == shown.context["status"].sentence


# --- Timeline -------------------------------------------------------------------------


def test_runs_changes_and_jobs_are_one_list(page, project, owner, run_due_jobs):
    row = make.make_import(project=project)
    several_runs(row, 2)
    assert page.post(url("import_pause", row)).status_code == 302
    shown = page.get(url("import_timeline", row))
    sorts = [line.sort for line in shown.context["timeline"].lines]
    assert sorts[2:] == ["runs", "runs"]
    assert sorted(sorts[:2]) == ["changes", "jobs"]
    text = " ".join(shown.text.split())
    assert "<strong>owner</strong> asked to pause" in text
    assert "Paused: from <code>no</code> to <code>yes</code>" in text
    only = page.get(url("import_timeline", row) + "?show=changes")
    assert {line.sort for line in only.context["timeline"].lines} == {"changes"}
    assert page.get(url("import_timeline", row) + "?after=x").status_code == 400


def test_a_running_run_stands_on_top(page, project, owner):
    row = make.make_import(project=project)
    make.make_run(
        warehouse_import=row,
        state=RunState.RUNNING,
        started_at=timezone.now() - timedelta(hours=2),
        ended_at=None,
    )
    record(actor=owner, verb="renamed", target=row)
    lines = page.get(url("import_timeline", row)).context["timeline"].lines
    assert [(line.sort, line.is_pinned) for line in lines] == [
        ("runs", True),
        ("changes", False),
    ]


def test_what_was_changed_in_mixpanel_tells_so(page, project):
    row = make.make_import(project=project)
    record(actor=None, verb="changed in Mixpanel", target=row)
    shown = page.get(url("import_timeline", row)).text
    assert "<strong>mixadmin</strong> changed in Mixpanel" in shown
    assert "it was done in Mixpanel, or by another tool" in shown


# --- Configuration --------------------------------------------------------------------


def test_the_configuration_is_passed_on_without_a_secret(page, project):
    row = make.make_import(project=project)
    shown = page.get(url("import_configuration", row))
    ours, theirs = shown.context["our_curl"], shown.context["their_curl"]
    assert '"$MIXADMIN_URL/api/v1/projects/' in ours
    assert "Token $MIXADMIN_TOKEN" in ours
    assert '"frequency": "hourly"' in ours
    assert (
        "https://mixpanel.com/api/app/projects/3000001/warehouse-sources/imports/"
        "event-stream" in theirs
    )
    assert '-u "$MIXPANEL_USERNAME:$MIXPANEL_SECRET"' in theirs
    assert make.SECRET not in shown.text
    whole = json.loads(
        shown.text.partition('id="import-json"')[2]
        .partition(">")[2]
        .partition("</pre>")[0]
        .replace("&quot;", '"')
    )
    assert whole["table_params"] == {"dataset": "shop", "table": "orders"}
    assert whole["import_type"] == "event_stream"


def test_what_our_curl_sends_is_what_the_api_takes(page, api, project):
    row = make.make_import(project=project)
    body = page.get(url("import_configuration", row)).context["our_curl"]
    sent = json.loads(body.partition("-d '")[2][:-1])
    answer = api.post(
        f"/api/v1/projects/{project.pk}/imports/",
        {**sent, "name": "Copy"},
        format="json",
    )
    assert answer.status_code in (201, 202), answer.content


def test_an_import_whose_source_is_not_known_is_shown(page, project):
    row = make.make_import(project=project)
    type(row).objects.filter(pk=row.pk).update(source=None, kind="quantum")
    shown = page.get(url("import_configuration", row))
    assert shown.status_code == 200
    assert not shown.context["their_curl"]
    for name in TABS:
        assert page.get(url(name, row)).status_code == 200


# --- One run --------------------------------------------------------------------------


def test_a_run_is_compared_with_the_ones_before_it(page, project):
    row = make.make_import(project=project)
    several_runs(row, 14)
    now = timezone.now()
    slow = make.make_run(
        warehouse_import=row,
        started_at=now - timedelta(minutes=20),
        ended_at=now,
        num_events_imported=100,
    )
    shown = page.get(slow.get_absolute_url()).text
    assert "Took 4 times as long as the 14 runs before it (median 5 min)." in shown
    assert (
        "Brought about 10 % of the events of the 14 runs before it (median 1,000)."
        in shown
    )
    plain = row.runs.order_by("-at")[1]
    assert "runs before it" not in page.get(plain.get_absolute_url()).text


def test_a_run_leads_to_its_neighbours(page, project, django_assert_max_num_queries):
    row = make.make_import(project=project)
    first, middle, last = several_runs(row, 3)
    with django_assert_max_num_queries(10):
        shown = page.get(middle.get_absolute_url()).text
    assert f'rel="prev" href="{first.get_absolute_url()}"' in shown
    assert f'rel="next" href="{last.get_absolute_url()}"' in shown
    assert 'rel="prev"' not in page.get(first.get_absolute_url()).text
    assert 'rel="next"' not in page.get(last.get_absolute_url()).text


def test_a_run_says_where_to_verify_it(page, project):
    row = make.make_import(project=project)
    run = make.make_run(warehouse_import=row)
    assert "$warehouse_import_id" in page.get(run.get_absolute_url()).text
    failed = make.make_run(
        warehouse_import=row,
        state=RunState.FAILED,
        started_at=timezone.now() - timedelta(hours=1),
    )
    assert "$warehouse_import_id" not in page.get(failed.get_absolute_url()).text
    people = make.make_import(
        project=project, name="People", kind="people", mixpanel_id=9
    )
    run = make.make_run(warehouse_import=people)
    assert "$warehouse_import_id" not in page.get(run.get_absolute_url()).text


def test_a_gap_is_a_page_too(page, project):
    row = make.make_import(project=project)
    gap = make.make_run(
        warehouse_import=row, is_gap=True, state=RunState.UNKNOWN, note="Not seen."
    )
    shown = page.get(gap.get_absolute_url())
    assert shown.status_code == 200
    assert "Not seen." in shown.text
    assert "Events imported" not in shown.text


# --- One source -----------------------------------------------------------------------


def test_a_source_counts_its_imports_by_state(
    page, project, django_assert_max_num_queries
):
    row = make.make_import(project=project)
    make.make_run(warehouse_import=row, state=RunState.FAILED)
    for n in range(60):
        make.make_import(
            project=project, source=row.source, name=f"I {n}", mixpanel_id=600 + n
        )
    with django_assert_max_num_queries(10):
        shown = page.get(row.source.get_absolute_url())
    assert "The last run failed of 1 of its 61 imports." in shown.text
    assert shown.context["states"] == [
        ("failed", "Failed", 1),
        ("new", "No run yet", 60),
    ]
    assert "All imports of it" in shown.text


def test_the_secrets_of_a_source_are_variables(page, project):
    source = make.make_source(
        project=project,
        warehouse_type="postgres",
        connection={"host": "db.example.com", "port": 5432},
        secrets=Secret('{"password": "pa55"}'),
    )
    shown = page.get(url("source_configuration", source)).text
    assert "pa55" not in shown
    assert "$PASSWORD" in shown
    assert "db.example.com" in shown


def test_one_that_mixpanel_never_described_has_nothing_to_pass_on(page, project):
    source = make.make_source(project=project, connection={}, adopted=True)
    shown = page.get(url("source_configuration", source))
    assert "this one was not made here" in shown.text
    assert "curl" not in shown.text
