"""Budgets hold in every window, and a Mixpanel that fails is left in peace."""

import os
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixadmin.common.clock import db_now
from mixadmin.jobs import limits
from mixadmin.jobs.limits import Wait
from mixadmin.jobs.models import Breaker, Bucket, Job
from mixadmin.jobs.runner import backoff, clamp_retry_after
from mixadmin.jobs.times import TIMES, Times
from mixadmin.warehouse import actions
from tests import make
from tests.make import MIXPANEL_ID

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(
    limit=st.integers(1, 5),
    per=st.integers(1, 20),
    pauses=st.lists(st.integers(0, 12), max_size=40),
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_window_holds_more_than_the_limit(db, limit, per, pauses):
    key = str(uuid.uuid4())
    now, taken = NOON, []
    for pause in pauses:
        now += timedelta(seconds=pause)
        recent = [at for at in taken if at > now - timedelta(seconds=per)]
        try:
            limits.take(key, limit=limit, per=per, what="calls", now=now)
        except Wait as wait:
            # Only when the window is full, and no longer than until it is not.
            assert len(recent) == limit
            assert wait.reason == Job.Wait.RATE
            assert wait.until == recent[0] + timedelta(seconds=per)
        else:
            assert len(recent) < limit
            taken.append(now)
    for at in taken:
        window = [t for t in taken if at <= t < at + timedelta(seconds=per)]
        assert len(window) <= limit


@given(
    limits_=st.tuples(st.integers(1, 50), st.integers(1, 500)),
    spent=st.lists(
        st.tuples(st.floats(0, 12), st.integers(0, 60), st.integers(0, 600)),
        max_size=30,
    ),
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_window_holds_more_of_anything_than_its_limit(db, limits_, spent):
    key, now, taken = str(uuid.uuid4()), NOON, []
    for pause, *amounts in spent:
        now += timedelta(seconds=pause)
        try:
            limits.spend(key, amounts, limits=limits_, per=10, what="records", now=now)
        except Wait as wait:
            assert now < wait.until <= now + timedelta(seconds=11)
        else:
            taken.append((now, *map(min, amounts, limits_)))
    for at, *_ in taken:
        window = [row for row in taken if at <= row[0] < at + timedelta(seconds=10)]
        assert sum(row[1] for row in window) <= limits_[0]
        assert sum(row[2] for row in window) <= limits_[1]
    rows = Bucket.objects.filter(key=key).values_list("taken", flat=True)
    assert all(len(row) <= 12 for row in rows)


def test_whoever_waits_for_room_gets_it_then(db):
    limits.spend("k", (6, 1), limits=(10, 10), per=60, what="records", now=NOON)
    with pytest.raises(Wait) as refused:
        limits.spend("k", (6, 1), limits=(10, 10), per=60, what="records", now=NOON)
    until = refused.value.until
    limits.spend("k", (6, 1), limits=(10, 10), per=60, what="records", now=until)


def test_more_than_the_limit_at_once_waits_for_an_empty_window_only(db):
    limits.spend("k", (99, 1), limits=(10, 10), per=60, what="records", now=NOON)
    with pytest.raises(Wait):
        limits.spend("k", (1, 1), limits=(10, 10), per=60, what="records", now=NOON)


def test_what_is_left_is_told_and_nothing_taken(db):
    def left():
        return limits.left("key", limit=2, per=3_600)

    assert left() == (2, None)
    limits.take("key", limit=2, per=3_600, what="calls")
    assert left() == (1, None)
    limits.take("key", limit=2, per=3_600, what="calls")
    number, when = left()
    first = min(Bucket.objects.get(key="key").taken)
    assert number == 0
    assert when.timestamp() == pytest.approx(first + 3_600, abs=0.001)
    assert left() == (number, when)


def test_a_closed_bucket_gives_nothing_until_it_opens(db):
    until = db_now() + timedelta(minutes=5)
    limits.close("key", until)
    with pytest.raises(Wait) as wait:
        limits.take("key", limit=9, per=60, what="calls")
    assert wait.value.until == until
    assert limits.left("key", limit=9, per=60) == (0, until)
    limits.close("key", db_now() - timedelta(seconds=1))
    limits.take("key", limit=9, per=60, what="calls")


TAKER = """
import django, sys
django.setup()
from mixadmin.jobs import limits
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
taken = 0
for _ in range(60):
    try:
        limits.take("shared", limit=50, per=3600, what="calls")
        taken += 1
    except limits.Wait:
        pass
print(taken)
"""


def test_two_processes_share_one_budget_on_sqlite(tmp_path):
    environ = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "mixadmin.settings",
        "MIXADMIN_DATA_DIR": str(tmp_path),
        "DATABASE_URL": "",
    }
    python = {"cwd": ROOT, "env": environ}
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, check=True, **python)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    takers = [
        subprocess.Popen([sys.executable, "-c", TAKER], **pipes, **python)
        for _ in range(2)
    ]
    assert [taker.stdout.readline() for taker in takers] == ["ready\n"] * 2
    for taker in takers:
        taker.stdin.write("go\n")
        taker.stdin.flush()
    said = [taker.communicate()[0] for taker in takers]
    assert sum(map(int, said)) == 50


@pytest.mark.postgres
def test_threads_share_one_budget_on_postgresql(django_db_setup, django_db_blocker):
    key = str(uuid.uuid4())
    taken, barrier = [], threading.Barrier(4)

    def work():
        barrier.wait()
        for _ in range(20):
            with suppress(Wait):
                limits.take(key, limit=50, per=3_600, what="calls")
                taken.append(1)
        connection.close()

    # Each thread commits for itself, so this test cannot be rolled back at its end.
    with django_db_blocker.unblock():
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        Bucket.objects.filter(key=key).delete()
        connection.close()
    assert len(taken) == 50


@pytest.fixture
def orders(project, sandbox):
    source_id = sandbox.add_source(MIXPANEL_ID, "Warehouse", "bigquery")
    source = make.make_source(project=project, mixpanel_id=source_id)
    import_id = sandbox.add_import(MIXPANEL_ID, warehouse_source_id=source_id)
    return make.make_import(project=project, source=source, mixpanel_id=import_id)


def pause(orders, owner):
    return actions.pause_import(warehouse_import=orders, actor=owner)


@pytest.fixture
def broken(orders, owner, sandbox, run_due_jobs):
    """A project whose breaker is open after five failures; gives the waiting job."""
    sandbox.fault(path="/app/", kind="status", status=500, times=-1)
    job = pause(orders, owner)
    run_due_jobs(hurry=True, rounds=limits.BREAKER_OPENS_AFTER)
    assert Breaker.objects.get().failures == limits.BREAKER_OPENS_AFTER
    Breaker.objects.update(open_until=db_now() + timedelta(hours=1))
    sandbox.clear_calls()
    return job


def half_open():
    Breaker.objects.update(open_until=db_now() - timedelta(seconds=1))


def test_an_open_breaker_holds_calls_back(broken, sandbox, run_due_jobs):
    run_due_jobs(hurry=True, rounds=1)
    broken.refresh_from_db()
    assert (broken.state, broken.wait_reason) == ("waiting", Job.Wait.BREAKER)
    assert broken.run_after == Breaker.objects.get().open_until
    assert sandbox.calls() == []


def test_a_half_open_breaker_tries_with_a_read_and_closes(
    broken, orders, sandbox, run_due_jobs
):
    sandbox.clear_faults()
    half_open()
    run_due_jobs(hurry=True)
    broken.refresh_from_db()
    assert broken.state == Job.State.SUCCEEDED
    calls = [(call["method"], call["path"]) for call in sandbox.calls()]
    assert calls[0] == ("GET", "/api/app/me")
    breaker = Breaker.objects.get()
    assert (breaker.failures, breaker.opened, breaker.open_until) == (0, 0, None)


def test_a_failed_try_opens_it_again_for_longer(broken, sandbox, run_due_jobs):
    half_open()
    before = db_now()
    opened = Breaker.objects.get().opened
    run_due_jobs(hurry=True, rounds=1)
    breaker = Breaker.objects.get()
    assert [call["method"] for call in sandbox.calls()] == ["GET"]
    assert breaker.opened == opened + 1
    pause = timedelta(seconds=TIMES.breaker_first * 2**opened)
    assert breaker.open_until >= before + pause


def test_the_pause_of_a_breaker_is_bounded(db):
    Breaker.objects.create(key="project:1", failures=9, opened=40)
    limits.note("project:1", ok=False)
    most = timedelta(seconds=TIMES.breaker_most)
    assert Breaker.objects.get().open_until <= db_now() + most


def test_a_refusal_is_an_answer_and_opens_nothing(orders, owner, sandbox, run_due_jobs):
    sandbox.fault(method="PATCH", kind="status", status=400, times=-1)
    for _ in range(limits.BREAKER_OPENS_AFTER + 1):
        pause(orders, owner)
        run_due_jobs()
    assert len(sandbox.calls(method="PATCH")) == limits.BREAKER_OPENS_AFTER + 1
    assert not Breaker.objects.exclude(open_until=None).exists()


def in_an_hour():
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


def an_hour_ago():
    return format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)


MOST, LEAST = TIMES.retry_after_most, min(1.0, TIMES.backoff_first)


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        # The scaled bounds of the tests: LEAST and MOST.
        ("7", 7), ("12.5", 12.5), (" 9 ", 9),
        ("0", LEAST), ("0.001", LEAST), (an_hour_ago, LEAST),
        ("3600", MOST), ("99999999999", MOST), (in_an_hour, MOST),
        ("-5", None), ("soon", None), (None, None),
    ],
    ids=[
        "seconds", "fraction", "spaces", "zero", "tiny", "date over", "an hour", "years",
        "date", "negative", "words", "nothing",
    ],
)  # fmt: skip
def test_a_429_is_waited_for_within_reason(
    sent, seconds, orders, owner, sandbox, run_due_jobs
):
    sent = sent() if callable(sent) else sent
    sandbox.fault(method="PATCH", kind="status", status=429, retry_after=sent)
    job = pause(orders, owner)
    run_due_jobs(rounds=1)
    job.refresh_from_db()
    assert (job.state, job.wait_reason) == ("waiting", Job.Wait.RATE)
    waits = (job.run_after - job.attempts.get().ended_at).total_seconds()
    low = seconds if seconds is not None else TIMES.backoff_first
    # Besides the chance there is what the machine needed between two looks at a clock.
    assert low <= waits < low + TIMES.backoff_jitter + 5

    run_due_jobs(hurry=True)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED
    assert job.attempts.count() == 2


@given(st.floats(0, 1e12) | st.none(), st.integers(0, 10_000))
def test_any_wish_gives_a_wait_within_bounds(seconds, attempts):
    wait = clamp_retry_after(seconds, attempts)
    assert LEAST <= wait <= MOST + TIMES.backoff_jitter
    assert TIMES.backoff_first <= backoff(attempts)
    assert backoff(attempts) <= TIMES.backoff_most + TIMES.backoff_jitter


def test_a_429_closes_the_budget_for_the_other_runs_of_the_project(
    orders, project, owner, sandbox, run_due_jobs
):
    other_id = sandbox.add_import(MIXPANEL_ID)
    other = make.make_import(project=project, mixpanel_id=other_id, name="Other")
    sandbox.fault(method="PUT", kind="status", status=429, retry_after=20)
    first = actions.run_import(warehouse_import=orders, actor=owner)
    run_due_jobs(rounds=1)
    second = actions.run_import(warehouse_import=other, actor=owner)
    run_due_jobs(rounds=1)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.wait_reason, second.wait_reason) == (Job.Wait.RATE, Job.Wait.RATE)
    assert second.run_after == first.run_after
    assert len(sandbox.calls(method="PUT", path="manual-sync")) == 1
    assert actions.runs_left(project) == (0, first.run_after)


def test_the_times_scale_but_a_lease_outlasts_a_call():
    for factor in (1, 0.25, 0.02, 0.000_1):
        times = Times().scaled(factor)
        assert times.lease >= 2 * times.total
        assert times.settle == 120 * factor
