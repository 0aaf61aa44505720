"""Claims, leases and rescues: a job has one worker, and never none without saying so."""

from datetime import timedelta

import pytest

from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused, Wait
from mixadmin.common.states import Presence
from mixadmin.jobs import runner, tasks
from mixadmin.jobs.actions import cancel_job, decide_job, retry_job
from mixadmin.jobs.models import Attempt, Job
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.models import WarehouseImport
from tests import make

State = Job.State


@pytest.fixture
def job(project, owner):
    """The queued creation of an import."""
    row = make.make_import(project=project, mixpanel_id=None, presence=Presence.PENDING)
    return make.make_job(
        project=project,
        actor=owner,
        service_account=project.service_account,
        target_type=row._meta.label_lower,
        target_id=str(row.pk),
    )


def held(job, state, op="non_idempotent", **changes):
    """The row as a worker that died has left it."""
    now = db_now()
    Job.objects.filter(pk=job.pk).update(
        state=state,
        op=op,
        token=3,
        worker="elsewhere:1",
        lease_until=now - timedelta(seconds=1),
        **changes,
    )
    if state != State.CLAIMED:
        Attempt.objects.create(job=job, number=1, token=3, started_at=now)
    return Job.objects.get(pk=job.pk)


def test_a_job_is_claimed_once(job):
    claimed = runner.claim(job.pk)
    assert (claimed.state, claimed.token) == (State.CLAIMED, 1)
    assert claimed.lease_until > db_now()
    assert runner.claim(job.pk) is None


def test_a_job_that_is_not_due_is_not_claimed(job):
    Job.objects.filter(pk=job.pk).update(run_after=db_now() + timedelta(hours=1))
    assert runner.claim(job.pk) is None


@pytest.mark.parametrize("state", sorted(set(State.values) - set(Job.RUNNABLE)))
def test_only_what_waits_is_claimed(job, state):
    Job.objects.filter(pk=job.pk).update(state=state)
    assert runner.claim(job.pk) is None


@pytest.mark.parametrize("before", State.values)
def test_a_job_moves_along_the_table_only(job, before):
    for state in State.values:
        Job.objects.filter(pk=job.pk).update(state=before)
        row = Job.objects.get(pk=job.pk)
        if state in runner.ALLOWED[before]:
            runner.move(row, state)
            assert Job.objects.get(pk=job.pk).state == row.state == state
        else:
            with pytest.raises(ValueError, match="does not go from"):
                runner.move(row, state)
            assert Job.objects.get(pk=job.pk).state == before


def test_a_move_that_comes_second_changes_nothing(job):
    mine, theirs = Job.objects.get(pk=job.pk), Job.objects.get(pk=job.pk)
    runner.move(mine, State.CANCELLED)
    with pytest.raises(runner.Fenced):
        runner.move(theirs, State.CLAIMED)
    assert Job.objects.get(pk=job.pk).state == State.CANCELLED


@pytest.mark.parametrize(
    ("state", "op", "then"),
    [
        (State.CLAIMED, "non_idempotent", State.QUEUED),
        (State.SENDING, "non_idempotent", State.UNKNOWN),
        (State.SENDING, "destructive", State.UNKNOWN),
        (State.SENDING, "absolute", State.QUEUED),
        (State.RECONCILING, "non_idempotent", State.UNKNOWN),
    ],
)
def test_a_lapsed_job_goes_where_nothing_is_done_twice(job, state, op, then):
    row = held(job, state, op)
    assert runner.rescue_lapsed() == 1
    after = Job.objects.get(pk=job.pk)
    assert (after.state, after.recoveries, after.token) == (then, 1, row.token + 1)
    assert after.lease_until is None
    assert runner.rescue_lapsed() == 0
    if state == State.SENDING and then == State.UNKNOWN:
        late = runner.TIMES.total + runner.TIMES.settle
        sent = row.attempts.get().started_at
        assert after.run_after == sent + timedelta(seconds=late)


def test_a_job_whose_worker_lives_is_not_rescued(job):
    row = held(job, State.SENDING)
    runner.touch(row)
    assert runner.rescue_lapsed() == 0
    assert Job.objects.get(pk=job.pk).state == State.SENDING


@pytest.mark.parametrize(
    ("state", "op", "then"),
    [
        (State.CLAIMED, "non_idempotent", State.DEAD),
        (State.SENDING, "absolute", State.DEAD),
        # What may have happened is looked after, however many workers that costs.
        (State.SENDING, "non_idempotent", State.UNKNOWN),
        (State.RECONCILING, "non_idempotent", State.NEEDS_DECISION),
    ],
)
def test_a_job_that_kills_its_workers_is_given_to_a_person(job, state, op, then):
    held(job, state, op, recoveries=runner.RECOVERIES)
    runner.rescue_lapsed()
    after = Job.objects.get(pk=job.pk)
    assert after.state == then
    assert then == State.UNKNOWN or after in Job.objects.needing_attention()


def test_a_dead_job_can_be_tried_again(job, owner, run_due_jobs):
    held(job, State.CLAIMED, recoveries=runner.RECOVERIES)
    runner.rescue_lapsed()
    retry_job(job=Job.objects.get(pk=job.pk), actor=owner)
    after = Job.objects.get(pk=job.pk)
    assert (after.state, after.recoveries, after.ended_at) == (State.QUEUED, 0, None)


def test_a_job_of_a_newer_version_waits_for_a_newer_worker(job):
    Job.objects.filter(pk=job.pk).update(task="warehouse.paint_green")
    runner.run(job.pk)
    after = Job.objects.get(pk=job.pk)
    assert (after.state, after.wait_reason) == (State.WAITING, Job.Wait.RETRY)
    assert after.run_after > db_now() + timedelta(seconds=30)


def test_a_tick_rescues_and_counts_as_a_sign_of_life(job):
    from mixadmin.jobs.models import Beat

    before = db_now()
    held(job, State.CLAIMED)
    tasks.tick()
    assert Job.objects.get(pk=job.pk).state == State.QUEUED
    tasks.tick()
    assert Job.objects.get(pk=job.pk).rung_at >= before
    assert Beat.objects.get(name="scheduler").at >= before


def test_a_tick_rings_again_only_when_nobody_came_for_a_while(job):
    tasks.tick()
    first = Job.objects.get(pk=job.pk).rung_at
    tasks.tick()
    assert Job.objects.get(pk=job.pk).rung_at == first
    long_ago = first - timedelta(seconds=runner.TIMES.ring_again + 1)
    Job.objects.filter(pk=job.pk).update(rung_at=long_ago)
    tasks.tick()
    assert Job.objects.get(pk=job.pk).rung_at > first


@pytest.fixture
def refused(project):
    """The project's service account is refused by Mixpanel."""
    ServiceAccount.objects.update(verification=ServiceAccount.Verification.REFUSED)


@pytest.fixture
def without_account(project):
    project.service_account = None
    project.save()


@pytest.mark.parametrize("trouble", ["refused", "without_account"])
@pytest.mark.parametrize("state", [State.QUEUED, State.WAITING])
def test_a_job_that_cannot_be_sent_can_be_cancelled(
    job, owner, request, trouble, state
):
    request.getfixturevalue(trouble)
    Job.objects.filter(pk=job.pk).update(state=state)
    cancel_job(job=Job.objects.get(pk=job.pk), actor=owner)
    assert Job.objects.get(pk=job.pk).state == State.CANCELLED
    assert WarehouseImport.objects.get().presence == Presence.NOT_CREATED


@pytest.mark.parametrize("trouble", ["refused", "without_account"])
def test_a_question_that_cannot_be_looked_into_can_be_given_up(
    job, owner, request, trouble
):
    request.getfixturevalue(trouble)
    Job.objects.filter(pk=job.pk).update(state=State.NEEDS_DECISION)
    row = Job.objects.get(pk=job.pk)
    Attempt.objects.create(job=row, number=1, token=1, started_at=db_now())
    with pytest.raises((Refused, Wait)):
        decide_job(job=row, actor=owner, choice="adopt", candidate="1")
    decide_job(job=row, actor=owner, choice="give_up")
    assert Job.objects.get(pk=job.pk).state == State.CANCELLED
    assert WarehouseImport.objects.get().presence == Presence.NOT_CREATED


def test_a_dead_job_tells_its_row_and_so_does_its_return(job, owner):
    held(job, State.CLAIMED, recoveries=runner.RECOVERIES)
    runner.rescue_lapsed()
    assert WarehouseImport.objects.get().presence == Presence.NOT_CREATED
    retry_job(job=Job.objects.get(pk=job.pk), actor=owner)
    assert WarehouseImport.objects.get().presence == Presence.PENDING


def test_a_dead_job_whose_row_is_gone_does_not_keep_others_from_rescue(
    job, project, owner
):
    held(job, State.CLAIMED, recoveries=runner.RECOVERIES, target_id="777")
    other = held(make.make_job(project=project, actor=owner), State.CLAIMED)
    assert runner.rescue_lapsed() == 2
    assert Job.objects.get(pk=job.pk).state == State.DEAD
    assert Job.objects.get(pk=other.pk).state == State.QUEUED
