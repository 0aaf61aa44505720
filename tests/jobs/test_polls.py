"""Who polls, when next, and what happens when two do, one dies or somebody asks anew."""

from datetime import timedelta

import pytest

from mixadmin.common.clock import db_now
from mixadmin.jobs import polls
from mixadmin.jobs.actions import start_polling
from mixadmin.jobs.models import Breaker, Bucket, Poll
from mixadmin.jobs.registry import POLLERS
from mixadmin.jobs.times import TIMES
from mixadmin.mixpanel.errors import RateLimited, ServerFailed
from tests import make


@pytest.fixture
def register(monkeypatch):
    """Call it to register what is polled under the name `test`."""

    def register(work):
        monkeypatch.setitem(POLLERS, "test", work)

    return register


@pytest.fixture
def poll(project):
    return Poll.objects.create(project=project, name="test", next_at=db_now())


def make_due(poll):
    Poll.objects.filter(pk=poll.pk).update(next_at=db_now() - timedelta(seconds=1))


def run(poll):
    polls.run_poll(poll.pk)
    poll.refresh_from_db()


def is_due(poll):
    return Poll.objects.due(db_now()).filter(pk=poll.pk).exists()


def test_a_poll_is_one_at_a_time(poll, register):
    calls = []

    def work(project_id):
        calls.append(project_id)
        assert not is_due(poll)
        polls.run_poll(poll.pk)  # another worker, meanwhile
        return False

    register(work)
    run(poll)
    assert calls == [poll.project_id]
    assert (poll.token, poll.lease_until) == (1, None)


def test_a_poll_that_is_not_due_is_left_alone(poll, register):
    register(lambda project_id: pytest.fail("it was not due"))
    Poll.objects.filter(pk=poll.pk).update(next_at=db_now() + timedelta(hours=1))
    run(poll)
    assert (poll.token, poll.polled_at) == (0, None)


def test_the_poll_of_a_worker_that_died_is_taken_over_when_its_lease_is_over(
    poll, register
):
    def die(project_id):
        raise KeyboardInterrupt

    register(die)
    with pytest.raises(KeyboardInterrupt):
        run(poll)
    calls = []
    register(lambda project_id: calls.append(project_id))
    run(poll)
    assert calls == []
    Poll.objects.filter(pk=poll.pk).update(lease_until=db_now() - timedelta(seconds=1))
    run(poll)
    assert calls == [poll.project_id]
    assert (poll.token, poll.lease_until) == (2, None)


def test_a_worker_that_comes_back_late_writes_nothing(poll, register):
    def quick(project_id):
        return True

    def slow(project_id):
        Poll.objects.filter(pk=poll.pk).update(
            lease_until=db_now() - timedelta(seconds=1)
        )
        register(quick)
        polls.run_poll(poll.pk)
        raise ServerFailed("too late", status=500)

    register(slow)
    run(poll)
    assert poll.token == 2
    assert (poll.error_kind, poll.interval) == ("", polls.next_interval(0, going_on=1))


def test_a_wish_for_a_poll_while_one_goes_on_is_not_lost(poll, register):
    def work(project_id):
        # A create has ended elsewhere, after this poll has read the list.
        start_polling(name="test", project_id=project_id)
        return False

    register(work)
    Poll.objects.filter(pk=poll.pk).update(interval=TIMES.poll_most)
    run(poll)
    assert is_due(poll)
    assert poll.interval == 0
    register(lambda project_id: False)
    run(poll)
    assert not is_due(poll)
    assert poll.interval == TIMES.poll_first


def test_a_wish_brings_a_far_poll_near(poll):
    Poll.objects.filter(pk=poll.pk).update(
        next_at=db_now() + timedelta(hours=1),
        interval=TIMES.poll_most,
        rung_at=db_now(),
    )
    start_polling(name="test", project_id=poll.project_id)
    poll.refresh_from_db()
    assert is_due(poll)
    assert (poll.interval, poll.rung_at) == (0, None)


def test_errors_slow_a_poll_down_and_are_told(poll, register):
    def fail(project_id):
        raise ServerFailed("Mixpanel failed", status=500)

    register(fail)
    intervals = []
    for _ in range(4):
        make_due(poll)
        run(poll)
        intervals.append(poll.interval)
    first = TIMES.poll_first
    assert intervals == [first, first * 2, first * 4, first * 8]
    assert (poll.error_kind, poll.succeeded_at) == ("server_failed", None)
    assert poll.next_at == poll.polled_at + timedelta(seconds=poll.interval)

    make_due(poll)
    register(lambda project_id: True)
    run(poll)
    assert (poll.error_kind, poll.error_message) == ("", "")
    assert poll.succeeded_at == poll.polled_at
    assert poll.interval == polls.next_interval(0, going_on=1)


def test_errors_slow_a_poll_down_to_a_bound(poll, register):
    def fail(project_id):
        raise ServerFailed("Mixpanel failed", status=500)

    register(fail)
    Poll.objects.filter(pk=poll.pk).update(interval=TIMES.poll_most)
    run(poll)
    assert poll.interval == TIMES.poll_most


def test_what_mixpanel_asks_for_is_waited_for(poll, register):
    def limited(project_id):
        raise RateLimited("slow down", status=429, retry_after=TIMES.poll_most * 2)

    register(limited)
    run(poll)
    assert poll.error_kind == "rate_limited"
    assert poll.interval >= TIMES.poll_most * 2


def test_no_more_calls_in_a_minute_than_the_budget(poll, register):
    made = []

    def greedy(project_id):
        for _ in range(polls.CALLS_PER_MINUTE + 1):
            polls.count_call(project_id)
            made.append(project_id)

    register(greedy)
    run(poll)
    assert len(made) == polls.CALLS_PER_MINUTE
    # No error of anybody's: it waits until the first call is a minute old.
    assert poll.error_kind == "waiting_rate"
    first = min(Bucket.objects.get(key=f"poll:{poll.project_id}").taken)
    assert poll.next_at.timestamp() == pytest.approx(first + 60, abs=1)


def test_after_failures_in_a_row_nobody_polls_for_a_while(poll, register):
    calls = []

    def fail(project_id):
        calls.append(project_id)
        raise ServerFailed("Mixpanel failed", status=500)

    register(fail)
    for _ in range(5):
        make_due(poll)
        run(poll)
    Breaker.objects.update(open_until=db_now() + timedelta(hours=1))
    make_due(poll)
    run(poll)
    assert len(calls) == 5
    assert poll.error_kind == "waiting_breaker"


def test_every_poller_of_the_product_is_polled_and_told(project, poll):
    poll.delete()
    make.poll_now(project)
    rows = Poll.objects.filter(project=project)
    assert {row.name for row in rows} >= {"warehouse", "connectors"}
    assert {row.error_kind for row in rows} == {""}


def test_many_things_that_go_on_are_asked_for_within_the_budget():
    for going_on in (1, 8, 50, 500):
        seconds = polls.next_interval(0, going_on=going_on)
        calls_a_minute = (1 + going_on) * 60 / seconds
        assert calls_a_minute <= polls.CALLS_PER_MINUTE


def test_wishes_that_come_close_to_one_another_are_met_together(project):
    from mixadmin.jobs.actions import start_polling

    start_polling(name="warehouse", project_id=project.pk)
    poll = Poll.objects.get(name="warehouse")
    polls.run_poll(poll.pk)
    start_polling(name="warehouse", project_id=project.pk)
    poll.refresh_from_db()
    assert poll.next_at >= poll.polled_at
