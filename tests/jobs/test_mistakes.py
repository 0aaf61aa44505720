"""What nobody foresaw ends as words on the row, not as a row that stands still."""

import signal
from datetime import timedelta

import pytest

from mixadmin.common.clock import db_now
from mixadmin.jobs import polls, registry
from mixadmin.jobs.actions import enqueue_job, retry_job
from mixadmin.jobs.models import Job, Poll
from mixadmin.jobs.operations import Op
from mixadmin.jobs.times import TIMES
from mixadmin.service_accounts.clients import for_job
from tests import make
from tests.jobs.test_create_protocol import ask


@pytest.fixture
def task(monkeypatch, project, owner):
    """Call it with what sends and what saves to get a queued job that does so."""

    def task(*, op=Op.ABSOLUTE, **plan):
        def make_plan(job):
            values = {"send": lambda client: None, "save": lambda value: None}
            return registry.Plan(**{**values, **for_job(job), **plan})

        registry.task("")
        monkeypatch.setitem(
            registry.TASKS, "test.task", registry.Task("test.task", op, make_plan)
        )
        return enqueue_job(
            task="test.task", title="Test", project_id=project.pk, actor=owner
        )

    return task


def stumble(*args):
    raise KeyError("nobody foresaw this")


@pytest.mark.parametrize("part", ["send", "save"])
def test_a_mistake_of_ours_is_tried_again_and_then_told(task, part, run_due_jobs):
    job = task(**{part: stumble})
    run_due_jobs(rounds=1)
    job.refresh_from_db()
    assert (job.state, job.recoveries) == ("queued", 1)
    assert job.run_after > db_now()
    assert "mistake in mixadmin" in job.error_message
    run_due_jobs(hurry=True)
    job.refresh_from_db()
    assert (job.state, job.error_kind) == ("dead", "internal")


def test_a_mistake_after_a_create_was_sent_is_looked_after(task, run_due_jobs):
    job = task(op=Op.NON_IDEMPOTENT, save=stumble, find=lambda client, attempt: [])
    run_due_jobs()
    job.refresh_from_db()
    assert (job.state, job.wait_reason) == ("unknown", "settle")


def test_what_stands_in_the_way_of_a_result_is_a_question(task, project, run_due_jobs):
    make.make_source(project=project)
    job = task(save=lambda value: make.make_source(project=project, name="Other"))
    run_due_jobs()
    job.refresh_from_db()
    assert job.state == Job.State.NEEDS_DECISION
    assert "in its way" in job.decision["why"]
    assert project.warehouse_sources.count() == 1


def test_a_poll_that_stumbles_says_so_and_goes_on_later(project, monkeypatch):
    registry.pollers()
    monkeypatch.setitem(registry.POLLERS, "test", stumble)
    poll = Poll.objects.create(project=project, name="test", next_at=db_now())
    polls.run_poll(poll.pk)
    poll.refresh_from_db()
    assert (poll.error_kind, poll.lease_until) == ("internal", None)
    assert poll.next_at > db_now()


def test_who_tries_again_answers_for_it(project, owner, viewer, sandbox, run_due_jobs):
    remote_id = sandbox.add_source(make.MIXPANEL_ID, "Warehouse", "bigquery")
    source = make.make_source(project=project, mixpanel_id=remote_id)
    _, job = ask(project, source, owner)
    project.memberships.filter(user=owner).update(role="viewer")
    run_due_jobs()
    project.memberships.filter(user=viewer).update(role="editor")
    retry_job(job=Job.objects.get(pk=job.pk), actor=viewer)
    run_due_jobs()
    job.refresh_from_db()
    assert (job.state, job.actor) == ("succeeded", viewer)


def test_the_fence_leaves_time_for_a_read_before_a_change(task, run_due_jobs):
    left = []

    def send(client):
        left.append(signal.getitimer(signal.ITIMER_REAL)[0])

    for op in (Op.ABSOLUTE, Op.NON_IDEMPOTENT):
        task(op=op, send=send)
        run_due_jobs()
    change, create = left
    assert 2 * TIMES.total < change <= 2 * TIMES.total + 5
    assert TIMES.total < create <= TIMES.total + 5


def test_a_long_send_keeps_its_lease_and_its_life_as_long(task, run_due_jobs):
    seen = {}

    def send(client):
        seen["lease"] = Job.objects.get().lease_until - db_now()
        seen["fence"] = signal.getitimer(signal.ITIMER_REAL)[0]

    long = 10 * TIMES.total
    task(send=send, seconds=long)
    run_due_jobs(rounds=1)
    assert seen["lease"] > timedelta(seconds=long)
    assert seen["fence"] > long
