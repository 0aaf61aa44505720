"""Work of many steps: written down as it goes, given back and taken up again."""

from datetime import timedelta

import pytest

from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused, Wait
from mixadmin.jobs import registry, runner, tasks
from mixadmin.jobs.models import Beat, Job
from mixadmin.jobs.registry import Stopped, Work
from mixadmin.jobs.times import TIMES
from mixadmin.mixpanel.errors import BadRequest, ServerFailed
from tests import make

State = Job.State


@pytest.fixture
def work(project, owner):
    """Call it with what a turn does; gives a job that does it."""
    told = []

    def begin(run):
        registry.job_task("tests.long", op="keyed", long=True)(
            lambda job: Work(run=run, follow=told.append)
        )
        job = make.make_job(project=project, actor=owner, task="tests.long", op="keyed")
        job.told = told
        return job

    yield begin
    registry.TASKS.pop("tests.long", None)


def step(turn, name="a step"):
    with turn.commit():
        Beat.objects.update_or_create(name=name, defaults={"at": db_now()})


def run(job):
    Job.objects.filter(pk=job.pk).update(run_after=db_now())
    left = runner.run(job.pk)
    job.refresh_from_db()
    return left


def test_work_goes_on_turn_after_turn_until_nothing_is_left(work):
    turns = iter([False, False, True])

    def some(turn):
        step(turn)
        return next(turns)

    job = work(some)
    states = [run(job).state for _ in range(3)]
    assert states == [State.QUEUED, State.QUEUED, State.SUCCEEDED]


def test_a_turn_ends_after_its_time_and_may_be_made_longer(work):
    seen = []

    def some(turn):
        turn.extend(TIMES.turn * 3)
        seen.append(turn.is_over)
        turn._ends -= TIMES.turn * 3
        seen.append(turn.is_over)
        return True

    run(work(some))
    assert seen == [False, True]


def test_a_worker_that_lost_its_job_writes_nothing_more(work):
    def some(turn):
        step(turn, "before")
        Job.objects.filter(pk=turn.job.pk).update(token=99)
        step(turn, "after")
        return True

    job = work(some)
    run(job)
    assert set(Beat.objects.values_list("name", flat=True)) == {"before"}
    assert (job.state, job.token) == (State.SENDING, 99)


def test_who_says_nothing_is_found_out_when_it_says_something(work):
    def some(turn):
        Job.objects.filter(pk=turn.job.pk).update(token=99)
        turn._heard -= TIMES.heartbeat
        turn.heard()
        step(turn)
        return True

    run(work(some))
    assert not Beat.objects.exists()


def test_waiting_frees_the_worker_and_says_until_when(work):
    until = db_now() + timedelta(minutes=3)

    def some(turn):
        raise Wait(Job.Wait.RATE, "Enough for this minute.", until)

    job = work(some)
    run(job)
    assert (job.state, job.wait_reason, job.run_after) == (State.WAITING, "rate", until)


def test_a_failure_of_mixpanel_is_tried_again_later_and_later(work):
    def some(turn):
        raise ServerFailed("503", status=503)

    job = work(some)
    pauses = []
    for _ in range(4):
        run(job)
        assert (job.state, job.error_kind) == (State.WAITING, "server_failed")
        pauses.append(job.run_after - db_now())
    assert job.attempt_count == 4
    assert pauses[3] > pauses[0]


def test_progress_forgives_what_went_wrong_before(work):
    failing = [True]

    def some(turn):
        if failing[0]:
            raise ServerFailed("503", status=503)
        step(turn)
        raise ServerFailed("503", status=503)

    job = work(some)
    for _ in range(3):
        run(job)
    failing[0] = False
    run(job)
    assert job.attempt_count == 1


def test_work_that_makes_progress_outlives_any_number_of_dead_workers(work):
    class Killed(BaseException):
        pass

    def some(turn):
        step(turn)
        raise Killed

    job = work(some)
    for _ in range(10):
        Job.objects.filter(pk=job.pk).update(run_after=db_now())
        with pytest.raises(Killed):
            runner.run(job.pk)
        Job.objects.filter(pk=job.pk).update(
            lease_until=db_now() - timedelta(seconds=1)
        )
        runner.rescue_lapsed()
    job.refresh_from_db()
    assert (job.state, job.recoveries) == (State.QUEUED, 1)


def test_work_that_only_kills_its_workers_is_given_up(work):
    class Killed(BaseException):
        pass

    def some(turn):
        raise Killed

    job = work(some)
    for _ in range(4):
        Job.objects.filter(pk=job.pk).update(run_after=db_now())
        with pytest.raises(Killed):
            runner.run(job.pk)
        Job.objects.filter(pk=job.pk).update(
            lease_until=db_now() - timedelta(seconds=1)
        )
        runner.rescue_lapsed()
    job.refresh_from_db()
    assert job.state == State.DEAD
    assert job.told == [State.DEAD]


@pytest.mark.parametrize(
    ("raised", "state"),
    [
        (Stopped(), State.CANCELLED),
        (Refused("Not now."), State.FAILED),
        (BadRequest("no", status=400), State.FAILED),
    ],
    ids=["stopped", "refused", "bad request"],
)
def test_what_ends_it_for_good(work, raised, state):
    def some(turn):
        raise raised

    job = work(some)
    run(job)
    assert job.state == state
    assert job.told == ([State.FAILED] if state == State.FAILED else [])


def test_long_work_is_rung_for_in_its_own_queue(work, settings, monkeypatch):
    from mixadmin.celery import app

    settings.BROKER_IS_SILENT = False
    sent = []
    monkeypatch.setattr(app, "send_task", lambda name, **_: sent.append(name))
    work(lambda turn: True)
    tasks.tick()
    assert "mixadmin.work" in sent
    assert app.conf.task_routes["mixadmin.work"]["queue"] == "mixadmin.work"
