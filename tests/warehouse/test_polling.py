"""Runs are stored once each, matched to who asked for them, and kept for ever."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixadmin.common import history
from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused
from mixadmin.common.states import Presence, RunState
from mixadmin.jobs.models import Job, Poll
from mixadmin.mixpanel.warehouse import ImportRun as WireRun
from mixadmin.warehouse import actions
from mixadmin.warehouse.models import ImportRun, WarehouseImport
from mixadmin.warehouse.polling import record_history
from tests import make
from tests.make import MIXPANEL_ID

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def settle(sandbox, poll, project):
    sandbox.advance(60)
    poll(project)


def test_a_run_that_a_person_asked_for_ends_its_job(
    orders, project, owner, sandbox, poll, run_due_jobs
):
    settle(sandbox, poll, project)
    job = actions.run_import(warehouse_import=orders, actor=owner)
    run_due_jobs()
    job.refresh_from_db()
    assert job.state == Job.State.POLLING
    settle(sandbox, poll, project)

    job.refresh_from_db()
    run = ImportRun.objects.get(job=job)
    assert job.state == Job.State.SUCCEEDED
    assert run.state == RunState.SUCCEEDED
    assert run.started_at >= run.requested_at - actions.SKEW
    assert job.result["num_events_imported"] == run.num_events_imported


def test_polling_again_adds_no_rows(orders, project, sandbox, poll):
    settle(sandbox, poll, project)
    first = list(ImportRun.objects.values_list("pk", "started_at", "state"))
    assert first
    WarehouseImport.objects.update(history_at=None)
    poll(project)
    assert list(ImportRun.objects.values_list("pk", "started_at", "state")) == first


def test_a_failed_run_fails_its_job_with_words(
    orders, project, owner, sandbox, poll, run_due_jobs
):
    settle(sandbox, poll, project)
    sandbox.sql(orders.source.mixpanel_id, "DROP TABLE orders")
    job = actions.run_import(warehouse_import=orders, actor=owner)
    run_due_jobs()
    settle(sandbox, poll, project)
    job.refresh_from_db()
    assert (job.state, job.error_kind) == ("failed", "run_failed")
    assert "failed" in job.error_message


def test_one_run_at_a_time_may_be_asked_for(orders, project, owner, sandbox, poll):
    settle(sandbox, poll, project)
    actions.run_import(warehouse_import=orders, actor=owner)
    with pytest.raises(Refused) as refused:
        actions.run_import(warehouse_import=orders, actor=owner)
    assert refused.value.code == "already_running"
    assert Job.objects.filter(task="warehouse.run_import").count() == 1


def test_the_sixth_run_of_an_hour_waits_without_asking_mixpanel(
    orders, project, owner, sandbox, poll, run_due_jobs
):
    settle(sandbox, poll, project)
    for _ in range(5):
        actions.run_import(warehouse_import=orders, actor=owner)
        run_due_jobs()
        settle(sandbox, poll, project)
    assert actions.runs_left(project)[0] == 0
    job = actions.run_import(warehouse_import=orders, actor=owner)
    run_due_jobs()
    job.refresh_from_db()
    assert (job.state, job.wait_reason) == ("waiting", Job.Wait.RATE)
    assert job.run_after > db_now() + timedelta(minutes=30)
    assert len(sandbox.calls(method="PUT", path="manual-sync")) == 5


def test_a_lost_answer_to_run_now_is_never_sent_again(
    orders, project, owner, sandbox, poll, run_due_jobs
):
    settle(sandbox, poll, project)
    sandbox.fault(method="PUT", path="manual-sync", kind="lost")
    job = actions.run_import(warehouse_import=orders, actor=owner)
    run_due_jobs()
    sandbox.advance(30)
    run_due_jobs(hurry=True)
    settle(sandbox, poll, project)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED
    assert len(sandbox.calls(method="PUT", path="manual-sync")) == 1


def test_a_run_that_nobody_can_find_is_a_question(
    orders, project, owner, sandbox, poll, run_due_jobs, settings
):
    settle(sandbox, poll, project)
    sandbox.fault(method="PUT", path="manual-sync", kind="cut")
    job = actions.run_import(warehouse_import=orders, actor=owner)
    run_due_jobs()
    attempt = job.attempts.get()
    attempt.started_at -= timedelta(hours=1)
    attempt.save()
    run_due_jobs(hurry=True, rounds=5)
    job.refresh_from_db()
    assert job.state == Job.State.NEEDS_DECISION
    assert len(sandbox.calls(method="PUT", path="manual-sync")) == 1


def test_a_pause_from_elsewhere_is_told_and_not_undone(
    orders, project, owner, sandbox, poll, run_due_jobs
):
    poll(project)
    sandbox.set_import(MIXPANEL_ID, orders.mixpanel_id, paused=True)
    poll(project)
    orders.refresh_from_db()
    assert (orders.paused, orders.paused_elsewhere) == (True, True)

    actions.resume_import(warehouse_import=orders, actor=owner)
    run_due_jobs()
    poll(project)
    orders.refresh_from_db()
    assert (orders.paused, orders.paused_elsewhere) == (False, False)


def test_a_pause_keeps_a_frequency_that_somebody_else_has_changed(
    orders, project, owner, sandbox, run_due_jobs
):
    week = 604_800_000_000_000
    sandbox.set_import(MIXPANEL_ID, orders.mixpanel_id, run_every=week)
    actions.pause_import(warehouse_import=orders, actor=owner)
    run_due_jobs()
    there = sandbox.objects(MIXPANEL_ID)["imports"][0]
    assert (there["paused"], there["run_every"]) == (True, week)


def test_an_import_that_vanished_is_missing_after_two_looks(
    orders, project, sandbox, poll
):
    poll(project)
    sandbox.drop_import(MIXPANEL_ID, orders.mixpanel_id)
    poll(project)
    orders.refresh_from_db()
    assert orders.presence == Presence.ACTIVE
    WarehouseImport.objects.update(absent_since=db_now() - timedelta(hours=1))
    poll(project)
    orders.refresh_from_db()
    assert orders.presence == Presence.MISSING
    assert orders.runs.exists()


def test_what_exists_remotely_can_be_adopted(project, owner, sandbox, poll):
    source_id = sandbox.add_source(MIXPANEL_ID, "Theirs", "snowflake")
    import_id = sandbox.add_import(
        MIXPANEL_ID,
        import_type="people",
        warehouse_source_id=source_id,
        table_params={"database": "d", "schema": "s", "table": "users"},
        sync_mode="full_sync",
        run_every=0,
        user_column_name="id",
    )
    poll(project)
    found = list(project.remote_objects.all())
    assert {(r.kind, r.mixpanel_id) for r in found} == {
        ("source", str(source_id)),
        ("import", str(import_id)),
    }
    source, row = actions.adopt(project=project, actor=owner, remote_objects=found)
    assert (source.adopted, row.source) == (True, source)
    poll(project)
    row.refresh_from_db()
    assert row.fields["user_column_name"] == "id"
    assert not project.remote_objects.exists()


def test_polling_slows_down_when_nothing_happens(orders, project, sandbox, poll):
    settle(sandbox, poll, project)
    intervals = []
    for _ in range(4):
        poll(project)
        intervals.append(Poll.objects.get(name="warehouse").interval)
    assert intervals == sorted(intervals)
    assert intervals[-1] > intervals[0]


def test_one_list_tells_which_histories_are_needed(orders, project, sandbox, poll):
    settle(sandbox, poll, project)
    poll(project)
    sandbox.clear_calls()
    poll(project)
    assert sandbox.calls(path="/history") == []
    assert len(sandbox.calls(path="/imports$")) == 1


def wire_run(start, state="succeeded", events=1):
    return WireRun(
        state=state,
        raw_state=state.upper(),
        started_at=start,
        ended_at=start and start + timedelta(seconds=5),
        num_events_imported=events,
        raw={},
    )


def test_a_gap_is_told_when_the_window_ran_over(project):
    row = make.make_import(project=project)
    record_history(row, [wire_run(NOON)], NOON)
    later = [wire_run(NOON + timedelta(hours=h)) for h in range(60, 30, -1)]
    record_history(row, later, NOON + timedelta(hours=60))
    gap = row.runs.get(is_gap=True)
    assert gap.state == RunState.UNKNOWN
    assert "At least one run between 2026-11-22 12:00:00" in gap.note
    assert row.runs.filter(is_gap=False).count() == 31
    record_history(row, later, NOON + timedelta(hours=60))
    assert row.runs.filter(is_gap=True).count() == 1


def test_a_finished_run_that_changes_later_is_changed_in_place(project):
    row = make.make_import(project=project)
    record_history(row, [wire_run(NOON, events=1)], NOON)
    record_history(row, [wire_run(NOON, state="failed", events=2)], NOON)
    run = row.runs.get()
    assert (run.state, run.num_events_imported) == ("failed", 2)


@given(
    st.lists(st.integers(0, 12), max_size=90), st.lists(st.integers(1, 29), max_size=9)
)
def test_overlapping_windows_store_every_run_once(offsets, steps):
    """Runs at any moments, ties included, polled with windows that overlap."""
    truth = sorted(NOON + timedelta(minutes=offset) for offset in offsets)
    stored: set[tuple[datetime, int]] = set()
    seen = 0
    for step in [*steps, *[29] * 9]:
        seen = min(seen + step, len(truth))
        window = truth[:seen][::-1][: history.WINDOW]
        counts: dict[datetime, int] = {}
        for start, _ in stored:
            counts[start] = counts.get(start, 0) + 1
        newest = max((start for start, _ in stored), default=None)
        assert history.gap(window, newest) is None
        stored |= {key for key in history.keys(window, counts) if key}
    assert sorted(start for start, _ in stored) == truth
