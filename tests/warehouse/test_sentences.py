"""How an import or a source stands: each state has its sentence and its one button."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from mixadmin.common.states import Presence, RunState
from mixadmin.jobs.models import Job
from mixadmin.warehouse.models import ImportRun, WarehouseImport, WarehouseSource
from mixadmin.warehouse.sentences import import_status, source_status
from mixadmin.warehouse.sync_modes import mirror_deadline

NOW = datetime(2026, 11, 28, 14, 41, tzinfo=UTC)
HOURLY = 3_600_000_000_000


def an_import(**changes):
    fields = {
        "pk": 7,
        "project_id": 1,
        "name": "Orders",
        "kind": "event_stream",
        "sync_mode": "time_based",
        "run_every": HOURLY,
        "presence": Presence.ACTIVE,
        "source": WarehouseSource(
            pk=3, project_id=1, name="Lake", presence=Presence.ACTIVE
        ),
        "history_at": NOW,
        **changes,
    }
    return WarehouseImport(**fields)


def a_run(row, state=RunState.SUCCEEDED, **changes):
    fields = {
        "pk": 90,
        "state": state,
        "started_at": NOW - timedelta(minutes=38),
        "ended_at": NOW - timedelta(minutes=35),
        "at": NOW - timedelta(minutes=38),
        "num_events_imported": 30112,
        **changes,
    }
    return ImportRun(warehouse_import=row, **fields)


def standing(row, last=None, **about):
    return import_status(row, last=last, now=NOW, **about)


def fix(status):
    return status.fix and (status.fix.label, status.fix.url)


def test_healthy():
    row = an_import()
    found = standing(row, a_run(row))
    assert found.tone == "good"
    assert found.sentence == (
        "Healthy. Last run 2026-11-28 14:06 UTC brought 30,112 events. Next in 22 min."
    )
    assert found.fix is None


def test_times_stand_in_the_zone_of_the_person():
    row = an_import()
    with timezone.override("Europe/Berlin"):
        assert "Last run 2026-11-28 15:06 CET" in standing(row, a_run(row)).sentence


def test_one_event_and_an_unknown_number():
    row = an_import()
    assert (
        "brought 1 event." in standing(row, a_run(row, num_events_imported=1)).sentence
    )
    unknown = standing(row, a_run(row, num_events_imported=None)).sentence
    assert "how many events it brought is unknown" in unknown
    assert "0 event" not in unknown


def test_one_that_runs_on_demand_or_once_has_no_next():
    row = an_import(run_every=0)
    assert standing(row, a_run(row)).sentence.endswith("It runs when it is asked to.")
    once = an_import(sync_mode="one_time")
    assert standing(once, a_run(once)).sentence.startswith("Done. Last run")


def test_due_and_late():
    row = an_import(last_dispatch_at=NOW - timedelta(minutes=65))
    assert standing(row, a_run(row)).sentence.endswith("The next is due.")
    row = an_import(last_dispatch_at=NOW - timedelta(hours=3))
    late = standing(row, a_run(row))
    assert (late.tone, late.label) == ("warn", "Late")
    assert "A run was expected 2026-11-28 12:41 UTC" in late.words
    assert fix(late) == ("Run now", "/projects/1/imports/7/run/")
    assert late.fix.post


def test_nobody_is_called_late_whose_history_was_not_looked_at_since():
    row = an_import(
        last_dispatch_at=NOW - timedelta(hours=3), history_at=NOW - timedelta(hours=3)
    )
    assert standing(row, a_run(row)).label == "Healthy"


def test_failing():
    row = an_import()
    last = a_run(row, RunState.FAILED, num_events_imported=None)
    found = standing(
        row, last, failures=3, last_success_at=NOW - timedelta(hours=4, minutes=41)
    )
    assert found.sentence == (
        "Failing. The last 3 runs failed, the newest 2026-11-28 14:06 UTC; "
        "the last good one ended 2026-11-28 10:00 UTC."
    )
    assert fix(found) == ("Look at the failed run", "/projects/1/imports/7/runs/90/")
    assert not found.fix.needs_editor
    never = standing(row, last, failures=1)
    assert never.words == (
        "The last run failed 2026-11-28 14:06 UTC; none has succeeded yet."
    )


def test_failing_because_its_source_is_gone():
    source = WarehouseSource(pk=3, project_id=1, name="Lake", presence=Presence.MISSING)
    row = an_import(source=source)
    found = standing(row, a_run(row, RunState.FAILED))
    assert "Its source Lake is not in Mixpanel." in found.words
    assert fix(found) == ("Look at the source", "/projects/1/sources/3/")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_paused(elsewhere):
    row = an_import(paused=True, paused_elsewhere=elsewhere)
    found = standing(row, a_run(row))
    assert found.label == "Paused"
    assert "Nothing runs until it is resumed." in found.words
    assert ("Not from here" in found.words) is elsewhere
    assert fix(found) == ("Resume", "/projects/1/imports/7/resume/")


def mirrored(days, **changes):
    row = an_import(sync_mode="mirror_mode", run_every=0, **changes)
    deadline = mirror_deadline("snowflake", NOW - timedelta(days=days), now=NOW)
    return standing(row, a_run(row), deadline=deadline)


def test_a_mirror_counts_down():
    assert mirrored(1).label == "Healthy"
    warned = mirrored(8)
    assert (warned.tone, warned.label) == ("warn", "Must run soon")
    assert warned.words.startswith(
        "Mirror dies 2026-12-04 14:41 UTC, in 6 days, unless"
    )
    assert fix(warned)[0] == "Run now"
    assert mirrored(13).tone == "bad"
    dead = mirrored(30)
    assert (dead.tone, dead.label) == ("bad", "Mirror is dead")
    assert fix(dead) == ("Delete it", "/projects/1/imports/7/delete/")


def test_a_paused_mirror_tells_when_it_dies():
    paused = mirrored(8, paused=True)
    assert paused.tone == "bad"
    assert "Mirror dies 2026-12-04 14:41 UTC, in 6 days." in paused.words
    assert fix(paused)[0] == "Resume"
    assert "lost track" in mirrored(30, paused=True).words


def test_asked_and_running():
    row = an_import()
    queued = a_run(row, RunState.QUEUED, started_at=None, ended_at=None, at=NOW)
    found = standing(row, queued)
    assert (found.tone, found.label) == ("busy", "Asked to run")
    assert "Mixpanel has not started it yet" in found.words
    running = a_run(row, RunState.RUNNING, ended_at=None)
    assert standing(row, running).sentence == (
        "Running. Since 2026-11-28 14:03 UTC, 38 min 0 s now."
    )


def test_new():
    assert standing(an_import()).sentence == (
        "No run yet. No run has been seen. Mixpanel starts the first one by itself."
    )
    asked = standing(an_import(run_every=0))
    assert "only when it is asked to" in asked.words
    assert fix(asked)[0] == "Run now"


@pytest.mark.parametrize(
    ("state", "tone"),
    [
        (RunState.UNKNOWN, "warn"),
        (RunState.SUCCEEDED_WITH_ERRORS, "warn"),
        (RunState.CANCELLED, "idle"),
        (RunState.PAUSED, "idle"),
    ],
)
def test_what_is_not_plainly_good_is_never_green(state, tone):
    row = an_import()
    found = standing(row, a_run(row, state))
    assert found.tone == tone
    assert fix(found)[0] == "Look at the run"


@pytest.mark.parametrize(
    ("presence", "tone", "words"),
    [
        (Presence.PENDING, "busy", "is being asked to create it"),
        (Presence.NOT_CREATED, "bad", "Nothing of it exists there"),
        (Presence.DELETING, "busy", "is being asked to delete it"),
        (Presence.MISSING, "bad", "it was deleted elsewhere"),
        (Presence.DELETED, "idle", "kept for its history"),
    ],
)
def test_what_is_not_in_mixpanel(presence, tone, words):
    row = an_import(presence=presence)
    for status in (
        standing(row, a_run(row)),
        source_status(WarehouseSource(pk=3, project_id=1, presence=presence), now=NOW),
    ):
        assert status.tone == tone
        assert words.replace("create", "c") in status.words.replace(
            "create", "c"
        ).replace("connect it", "c it")


def test_the_job_that_did_not_create_it_is_what_to_look_at():
    row = an_import(presence=Presence.NOT_CREATED)
    job = Job(state=Job.State.FAILED, title="Create import Orders")
    assert fix(standing(row, job=job)) == (
        "Look at the failed job",
        job.get_absolute_url(),
    )
    assert fix(standing(row)) == (
        "Remove from these pages",
        "/projects/1/imports/7/forget/",
    )


def test_a_decision_comes_before_everything_else():
    row = an_import(paused=True, presence=Presence.PENDING)
    job = Job(
        state=Job.State.NEEDS_DECISION,
        title="Create import Orders",
        decision={"why": "Two imports look like it."},
    )
    found = standing(row, job=job)
    assert found.sentence == (
        "Needs a decision. Create import Orders: Two imports look like it."
    )
    assert fix(found) == ("Decide", job.get_absolute_url())
    source = WarehouseSource(pk=3, project_id=1, presence=Presence.PENDING)
    assert source_status(source, job=job).label == "Needs a decision"


def test_a_refused_secret_is_said_and_leads_to_where_it_is_set():
    row = an_import()
    job = Job(
        state=Job.State.WAITING,
        wait_reason=Job.Wait.CREDENTIAL,
        service_account_id=4,
        title="Run import Orders",
    )
    found = standing(row, a_run(row, RunState.QUEUED), job=job)
    assert (found.tone, found.label) == ("bad", "Held up")
    assert "It goes on with a new secret." in found.words
    assert fix(found) == ("Set a new secret", "/service-accounts/4/secret/")
    job.wait_reason = Job.Wait.RATE
    found = standing(row, a_run(row, RunState.QUEUED), job=job)
    assert found.label == "Asked to run"


def test_a_source_is_as_its_imports_are():
    source = WarehouseSource(pk=3, project_id=1, presence=Presence.ACTIVE)

    def of(**states):
        return source_status(source, states=states)

    assert of().label == "Connected"
    assert fix(of()) == (
        "Import a table",
        "/projects/1/imports/new/?source=3",
    )
    assert of(succeeded=4).sentence == "Healthy. 4 imports read from it."
    some = of(succeeded=3, failed=1)
    assert some.words == "The last run failed of 1 of its 4 imports."
    assert fix(some)[1] == "/projects/1/imports/?source=3&state=failed"
    every = of(failed=3)
    assert "look at the connection first" in every.words
    assert fix(every) == ("Fix the source", "/projects/1/sources/3/edit/")
