"""A run and its job never stand still without saying so, whatever comes in between."""

from datetime import UTC, datetime, timedelta

import pytest

from mixadmin.common.clock import db_now
from mixadmin.common.states import Presence, RunState
from mixadmin.jobs.actions import retry_job
from mixadmin.jobs.models import Job
from mixadmin.jobs.runner import end_overdue_watching
from mixadmin.mixpanel.warehouse import ImportRun as WireRun
from mixadmin.projects import access
from mixadmin.projects.actions import forget_project
from mixadmin.projects.models import Project
from mixadmin.warehouse import actions
from mixadmin.warehouse.models import ImportRun, WarehouseImport
from mixadmin.warehouse.polling import record_history
from tests import make
from tests.make import MIXPANEL_ID
from tests.warehouse.test_polling import settle

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def wire_run(start, state="succeeded", events=1):
    done = state not in ("running", "queued")
    end = start + timedelta(minutes=1) if done else None
    return WireRun(state, state.upper(), start, end, events, {})


def watching(row, owner, sent_at):
    """A run that was asked for and accepted by Mixpanel at that time."""
    job = actions.run_import(warehouse_import=row, actor=owner)
    Job.objects.filter(pk=job.pk).update(state=Job.State.POLLING)
    job.attempts.create(number=1, token=1, started_at=sent_at, outcome="done")
    return job


def test_a_failed_run_can_be_tried_again(
    orders,
    project,
    owner,
    sandbox,
    poll,
    run_due_jobs,
):
    settle(sandbox, poll, project)
    sandbox.sql(orders.source.mixpanel_id, "ALTER TABLE orders RENAME TO gone")
    job = actions.run_import(warehouse_import=orders, actor=owner)
    run_due_jobs()
    settle(sandbox, poll, project)
    failed = ImportRun.objects.get(job=job)
    assert failed.state == RunState.FAILED

    sandbox.sql(orders.source.mixpanel_id, "ALTER TABLE gone RENAME TO orders")
    retry_job(job=Job.objects.get(pk=job.pk), actor=owner)
    run_due_jobs()
    settle(sandbox, poll, project)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED, job.error_message
    assert ImportRun.objects.get(job=job).state == RunState.SUCCEEDED
    assert ImportRun.objects.get(pk=failed.pk).state == RunState.FAILED


def test_a_run_that_ended_before_its_answer_was_found_ends_its_job(
    orders,
    project,
    owner,
    sandbox,
    poll,
    run_due_jobs,
):
    settle(sandbox, poll, project)
    sandbox.fault(method="PUT", path="manual-sync", kind="lost")
    job = actions.run_import(warehouse_import=orders, actor=owner)
    run_due_jobs()
    settle(sandbox, poll, project)
    assert ImportRun.objects.get(job=job).state == RunState.SUCCEEDED
    run_due_jobs(hurry=True)
    poll(project)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED
    assert len(sandbox.calls(method="PUT", path="manual-sync")) == 1


def test_a_right_that_was_taken_away_leaves_no_run_queued(
    orders,
    project,
    owner,
    run_due_jobs,
):
    job = actions.run_import(warehouse_import=orders, actor=owner)
    project.memberships.filter(user=owner).update(role=access.VIEWER)
    run_due_jobs()
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert not ImportRun.objects.unfinished().filter(job=job).exists()


def test_a_scheduled_run_is_not_taken_for_a_request_that_waits(project, owner):
    row = make.make_import(project=project)
    job = actions.run_import(warehouse_import=row, actor=owner)
    Job.objects.filter(pk=job.pk).update(state=Job.State.WAITING)
    now = db_now()
    record_history(row, [wire_run(now)], now)
    assert row.runs.get(started_at=now).job is None
    later = now + timedelta(hours=1)
    record_history(row, [wire_run(now)], later)
    assert ImportRun.objects.get(job=job).state == RunState.QUEUED


def test_a_request_that_never_showed_ends_its_job(project, owner):
    row = make.make_import(project=project)
    job = watching(row, owner, db_now())
    record_history(row, [], db_now() + timedelta(hours=1))
    job.refresh_from_db()
    assert (job.state, job.error_kind) == ("failed", "run_failed")
    assert "shows no such run" in job.error_message
    assert ImportRun.objects.get(job=job).state == RunState.UNKNOWN


def test_a_job_that_is_no_longer_watched_leaves_no_run_queued(project, owner):
    row = make.make_import(project=project)
    job = watching(row, owner, db_now())
    Job.objects.filter(pk=job.pk).update(deadline_at=db_now() - timedelta(hours=1))
    assert end_overdue_watching() == 1
    assert not row.runs.unfinished().exists()


def test_a_running_run_that_left_the_window_is_given_up(project, owner):
    row = make.make_import(project=project)
    job = watching(row, owner, NOON - timedelta(hours=1))
    record_history(row, [wire_run(NOON, "running")], NOON)
    hours = [NOON + timedelta(hours=n) for n in range(40, 10, -1)]
    busy = record_history(row, [wire_run(at) for at in hours], hours[0])
    lost = row.runs.get(started_at=NOON, is_gap=False)
    assert lost.state == RunState.UNKNOWN
    assert "no longer" in lost.note
    assert not busy
    job.refresh_from_db()
    assert job.state == Job.State.FAILED


@pytest.mark.parametrize("ended", [Presence.DELETED, Presence.MISSING])
def test_no_run_goes_on_of_an_import_that_is_gone(
    ended,
    orders,
    project,
    owner,
    sandbox,
    poll,
):
    job = watching(orders, owner, db_now())
    make.make_run(
        warehouse_import=orders, state=RunState.RUNNING, started_at=NOON, ended_at=None
    )
    sandbox.drop_import(MIXPANEL_ID, orders.mixpanel_id)
    WarehouseImport.objects.filter(pk=orders.pk).update(presence=ended)
    poll(project)
    assert not orders.runs.unfinished().exists()
    job.refresh_from_db()
    assert job.state == Job.State.FAILED


def test_a_project_with_imports_can_be_forgotten(project, owner):
    make.make_run(warehouse_import=make.make_import(project=project))
    forget_project(project=project, actor=owner, typed_name=project.name)
    assert not Project.objects.exists()
