"""What is kept of an ingestion's throughput, and when each of its files began and ended."""

from datetime import timedelta

import pytest
from django.utils import timezone

from mixadmin.ingestion import actions, samples
from mixadmin.ingestion.models import Ingestion, IngestionFile, Sample
from mixadmin.jobs import runner
from mixadmin.jobs.actions import cancel_job
from mixadmin.jobs.models import Job
from tests import make
from tests.make import run_due_jobs

from .conftest import books, event

FileState = IngestionFile.State


def test_the_samples_add_up_to_the_books(file, ingest):
    records = [event(n) for n in range(250)]
    records[7] = b"{"
    done = ingest(file(records), batch_records=50)
    sums = {
        name: sum(getattr(s, name) for s in Sample.objects.all())
        for name in samples.ADDED
    }
    assert (sums["read"], sums["imported"]) == (250, 249)
    assert books(done)["imported"] == 249
    assert sums["requests"] == 5
    assert sums["sent_bytes"] > 0


def test_a_minute_that_is_used_up_is_noted_with_its_end(
    file, create, settings, sandbox
):
    settings.INGEST_EVENTS_PER_MINUTE = 100
    ingestion = create(file([event(n) for n in range(500)]), batch_records=50)
    run_due_jobs()
    job = Job.objects.get(state="waiting")
    [held] = Sample.objects.exclude(waited_until=None)
    assert held.wait_reason == job.wait_reason == "rate"
    assert held.waited_from < held.waited_until
    assert abs(held.waited_until - job.run_after.timestamp()) < 1
    assert held.ingestion == ingestion


def test_mixpanels_429_is_noted(file, ingest, sandbox):
    sandbox.fault("POST", "/import", "status", times=1, status=429, body={})
    ingest(file([event(1)]))
    assert Sample.objects.get(wait_reason="rate").waited_until


def test_rows_last_longer_the_longer_it_lasts(project):
    began = timezone.now() - timedelta(days=2)
    row = make.make_ingestion(project=project, started_at=began)
    now = began.timestamp()
    while now < began.timestamp() + 86_400:
        samples.add(row, now=now, read=1)
        now += 15
    assert Sample.objects.count() < 850
    assert sum(Sample.objects.values_list("read", flat=True)) == 86_400 / 15
    assert samples.length(3_599) == 15
    assert samples.length(3_600) == 30
    assert samples.length(7_200) == 60


def test_two_waits_in_one_row_are_one_from_the_first_to_the_last(project):
    row = make.make_ingestion(project=project)
    at = 1_700_000_010
    samples.hold(row, now=at, until=at + 50, reason="rate")
    samples.hold(row, now=at + 2, until=at + 20, reason="retry")
    found = Sample.objects.get()
    assert (found.waited_from, found.waited_until) == (at, at + 50)
    samples.add(row, now=at, read=0)
    samples.add(row, now=at, read=3)
    assert Sample.objects.get().read == 3


# --- Files ----------------------------------------------------------------------------


def states(ingestion):
    rows = ingestion.files.values_list("name", "state", "started_at", "ended_at")
    return {name.rsplit("/")[-1][0]: tuple(rest) for name, *rest in rows}


def test_each_file_has_its_own_beginning_and_end(
    file, create, settings, sandbox, run_turns
):
    settings.INGEST_EVENTS_PER_MINUTE = 150
    first, second, third = (
        file([event(n + 1000 * k) for n in range(100)], f"{name}.ndjson")
        for k, name in enumerate("abc")
    )
    ingestion = create(first, second, third, batch_records=50, lanes=1)
    run_due_jobs()
    found = states(ingestion)
    assert [found[name][0] for name in "abc"] == ["done", "sending", "waiting"]
    assert found["a"][1] <= found["a"][2]
    assert found["b"][1] and not found["b"][2]
    assert found["c"][1:] == (None, None)
    run_turns()
    later = states(ingestion)
    assert [later[name][0] for name in "abc"] == ["done"] * 3
    assert later["a"] == found["a"], "a file that is done keeps its times"
    assert later["b"][1] == found["b"][1]


@pytest.fixture
def run_turns(settings):
    def run():
        settings.INGEST_EVENTS_PER_MINUTE = 10**9
        run_due_jobs(hurry=True)

    return run


def test_what_was_not_finished_is_told_and_can_be_taken_up_again(
    file, create, owner, settings, run_turns
):
    settings.INGEST_EVENTS_PER_MINUTE = 150
    paths = [file([event(n) for n in range(100)], f"{name}.ndjson") for name in "ab"]
    ingestion = create(*paths, batch_records=50)
    run_due_jobs()
    actions.move(ingestion, [Ingestion.State.SENDING], Ingestion.State.FAILED)
    found = states(ingestion)
    assert [found[name][0] for name in "ab"] == ["done", "cancelled"]
    assert found["b"][2]
    actions.retry_ingestion(ingestion=ingestion, actor=owner)
    assert states(ingestion)["b"][::2] == ("waiting", None)
    run_turns()
    ingestion.refresh_from_db()
    assert ingestion.state == Ingestion.State.SUCCEEDED
    assert [state[0] for state in states(ingestion).values()] == ["done", "done"]


def test_a_file_is_done_when_its_last_slice_is(file, create, run_turns):
    records = [
        event(n, time=event(n)["properties"]["time"] - 40 * 86_400 * (n % 2))
        for n in range(20)
    ]
    ingestion = create(file(records), first_days=2, slice_days=30, check_first=True)
    ingestion.refresh_from_db()
    run_turns()
    ingestion.refresh_from_db()
    assert len(ingestion.slices) > 1
    [(state, began, ended)] = states(ingestion).values()
    assert (state, began is not None, ended is not None) == ("done", True, True)


def test_a_file_that_cannot_be_read_ends(file, ingest):
    cut = file([event(n) for n in range(500)], "cut.ndjson.gz", packed=True)
    cut.write_bytes(cut.read_bytes()[:-500])
    done = ingest(cut)
    [(state, _, ended)] = states(done).values()
    assert state == "failed"
    assert ended


@pytest.mark.parametrize("state", ["claimed", "sending"])
def test_cancelling_a_job_that_sends_stops_the_whole_ingestion(
    file, create, owner, state, run_turns
):
    ingestion = create(file([event(n) for n in range(20)]), lanes=2)
    run_due_jobs(rounds=1)
    job = actions.jobs_of(ingestion).unfinished().first()
    Job.objects.filter(pk=job.pk).update(state=state, token=1)
    job.refresh_from_db()
    cancel_job(job=job, actor=owner)
    ingestion.refresh_from_db()
    assert ingestion.state == Ingestion.State.CANCELLED
    # Its worker is gone: another one finds that nothing is to be done.
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now())
    runner.rescue_lapsed()
    run_turns()
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED
    assert not actions.jobs_of(ingestion).unfinished().exists()
