"""Records arrive once each, whatever happens on the way, and every one is accounted for."""

import time

import pytest

from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused
from mixadmin.ingestion import actions, sending, spools, working
from mixadmin.ingestion.models import (
    Ingestion,
    IngestionFile,
    Part,
    RejectedGroup,
    UnsettledBatch,
)
from mixadmin.jobs import runner
from mixadmin.jobs.models import Job
from tests.make import MIXPANEL_ID, run_due_jobs

from .conftest import DAY, books, event, ndjson, rejected, stored_ids

State = Ingestion.State


def test_a_file_of_events_arrives(file, ingest, sandbox):
    records = [event(n) for n in range(4500)]
    done = ingest(file(records))
    assert done.state == State.SUCCEEDED
    assert books(done) == {"read": 4500, "imported": 4500}
    assert sandbox.events(MIXPANEL_ID) and stored_ids(sandbox) == [
        f"id-{n:08d}" for n in range(4500)
    ]
    calls = sandbox.calls("POST", "/import")
    assert len(calls) == 3


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_bad_records_come_back_with_line_and_reason(packed, file, ingest, sandbox):
    records = [event(n) for n in range(2500)]
    records[10] = b"not json"
    records[1200] = event(1200, time="yesterday")
    records[2400] = event(2400, **{"$insert_id": "no spaces allowed"})
    done = ingest(file(records, packed=packed), batch_records=500)
    assert done.state == State.SUCCEEDED_WITH_ERRORS
    assert books(done) == {"read": 2500, "imported": 2497, "invalid": 3}
    assert [line for line, _ in rejected(done)] == [11, 1201, 2401]
    groups = RejectedGroup.objects.filter(ingestion=done)
    assert sorted(groups.values_list("count", flat=True)) == [1, 1, 1]
    assert len(sandbox.events(MIXPANEL_ID)) == 2497


def test_what_mixpanel_refuses_comes_back_too(file, ingest, sandbox):
    """Two identity events are fine for us and not for this kind of project."""
    records = [event(n) for n in range(100)]
    records[40] = {**event(40), "event": "$identify"}
    done = ingest(file(records))
    assert books(done) == {"read": 100, "imported": 99, "refused": 1}
    [(line, message)] = rejected(done)
    assert (line, "identity" in message) == (41, True)


def test_records_without_an_insert_id_get_one_that_is_the_same_next_time(
    file, ingest, sandbox
):
    records = [event(n, **{"$insert_id": None}) for n in range(50)]
    first = ingest(file(records, "a.ndjson"))
    ids = stored_ids(sandbox)
    assert len(set(ids)) == 50
    assert books(first) == {"read": 50, "imported": 50}
    ingest(file(records, "b.ndjson"))
    assert stored_ids(sandbox) == ids


def test_several_files_and_lanes(file, ingest, sandbox, monkeypatch):
    monkeypatch.setattr(working, "PART_BYTES", 20_000)
    paths = [
        file([event(n) for n in range(at, at + 700)], f"{at}.ndjson")
        for at in (0, 1000, 2000)
    ]
    done = ingest(*paths, lanes=3)
    assert books(done) == {"read": 2100, "imported": 2100}
    assert Part.objects.filter(file__ingestion=done).count() > 10
    assert len(set(stored_ids(sandbox))) == 2100


def test_line_numbers_are_those_of_the_file_in_every_part(
    file, ingest, sandbox, monkeypatch
):
    monkeypatch.setattr(working, "PART_BYTES", 5_000)
    records = [event(n) for n in range(400)]
    bad = {17, 133, 250, 399}
    for n in bad:
        records[n] = b"{broken"
    done = ingest(file(records))
    assert {line - 1 for line, _ in rejected(done)} == bad


# --- Trouble on the way -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("status", {"status": 503}),
        ("status", {"status": 500, "effect": "after"}),
        ("status", {"status": 429}),
        ("lost", {}),
        ("cut", {}),
        ("html", {}),
        ("truncate", {}),
        ("empty", {}),
        ("shape", {}),
        ("gzip_bomb", {}),
        ("redirect", {}),
    ],
    ids=lambda value: str(value),
)
def test_events_arrive_once_whatever_happens_to_the_answers(
    kind, args, file, create, sandbox
):
    ingestion = create(file([event(n) for n in range(600)]), batch_records=100)
    sandbox.fault("POST", "/import", kind, times=3, after=1, **args)
    run_due_jobs(hurry=True, rounds=60)
    ingestion.refresh_from_db()
    assert ingestion.state == State.SUCCEEDED, ingestion.error_message
    assert books(ingestion) == {"read": 600, "imported": 600}
    assert stored_ids(sandbox) == [f"id-{n:08d}" for n in range(600)]


def test_a_413_teaches_the_project_its_ceiling(file, ingest, project, sandbox):
    sandbox.switch(max_import_bytes=100_000)
    done = ingest(file([event(n, text="x" * 200) for n in range(1500)]))
    assert books(done) == {"read": 1500, "imported": 1500}
    assert project.ceiling.bytes < 512_000
    sandbox.clear_calls()
    sandbox.switch(max_import_bytes=10_000_000)
    ingest(file([event(n, text="x" * 200) for n in range(1500)], "again.ndjson"))
    assert len(sandbox.calls("POST", "/import")) > 2


def test_a_refused_account_stops_everything_at_once_and_a_new_secret_goes_on(
    file, create, sandbox, project
):
    ingestion = create(file([event(n) for n in range(500)]), batch_records=50)
    sandbox.change_secret(project.service_account.username, "another")
    run_due_jobs(hurry=False)
    [job] = actions.jobs_of(ingestion).filter(task="ingestion.send")
    assert (job.state, job.wait_reason) == (Job.State.WAITING, "credential")
    assert len(sandbox.calls("POST", "/import")) <= 10
    from mixadmin.service_accounts.actions import set_secret

    set_secret(account=project.service_account, actor=None, secret="another")
    run_due_jobs(hurry=True)
    assert books(ingestion) == {"read": 500, "imported": 500}


def test_a_forbidden_project_fails_with_words(file, ingest, sandbox, project):
    sandbox.fault("POST", "/import", "status", times=-1, status=403)
    failed = ingest(file([event(1)]))
    assert failed.state == State.FAILED
    assert failed.error_kind == "not_allowed"
    assert books(failed) == {}


def test_mixpanels_limit_is_waited_for_not_broken(file, create, sandbox, settings):
    settings.INGEST_EVENTS_PER_MINUTE = 300
    ingestion = create(file([event(n) for n in range(1000)]), batch_records=100)
    run_due_jobs(hurry=False)
    [job] = actions.jobs_of(ingestion).filter(task="ingestion.send")
    assert (job.state, job.wait_reason) == (Job.State.WAITING, "rate")
    assert job.run_after > db_now()
    assert books(ingestion) == {"read": 300, "imported": 300}


def test_a_lane_that_was_killed_goes_on_from_what_it_wrote_down(
    file, create, sandbox, monkeypatch
):
    """Killed between the answer and the note of it, again and again."""

    class Killed(BaseException):
        pass

    real = sending.Lane._write
    countdown = iter([2, 1, 3, 1, 2, 1, 4])
    left = [next(countdown)]

    def write(self, **options):
        left[0] -= 1
        if left[0] == 0:
            left[0] = next(countdown, 10**9)
            raise Killed
        real(self, **options)

    monkeypatch.setattr(sending.Lane, "_write", write)
    monkeypatch.setattr(sending, "COMMIT_EVERY", 0.0)
    records = [event(n) for n in range(1000)]
    records[500] = b"nope"
    ingestion = create(file(records), batch_records=50, concurrency=3)
    for _ in range(40):
        Job.objects.filter(state__in=Job.RUNNABLE).update(run_after=db_now())
        for job in Job.objects.due(db_now()):
            try:
                runner.run(job.pk)
            except Killed:
                runner.rescue(Job.objects.get(pk=job.pk))
    ingestion.refresh_from_db()
    assert left[0] > 1000, "it was not killed as often as it should"
    assert books(ingestion) == {"read": 1000, "imported": 999, "invalid": 1}
    assert rejected(ingestion)[0][0] == 501
    assert len(sandbox.raw_events(MIXPANEL_ID)) > 999
    assert len(stored_ids(sandbox)) == 999


def test_a_worker_that_was_taken_over_counts_nothing(file, create, sandbox):
    ingestion = create(file([event(n) for n in range(100)]))
    run_due_jobs(rounds=1)
    [job] = actions.jobs_of(ingestion).filter(task="ingestion.send")
    claimed = runner.claim(job.pk)
    Job.objects.filter(pk=job.pk).update(token=99)
    turn = runner._Turn(claimed)
    with pytest.raises(runner.Fenced):
        sending.run_lane(turn, ingestion.pk)
    assert books(ingestion) == {}


def test_a_file_that_is_another_one_now_is_told_and_not_mixed(file, create, sandbox):
    path = file([event(n) for n in range(100)])
    other = file([event(n) for n in range(200, 260)], "other.ndjson")
    ingestion = create(path, other)
    path.write_bytes(ndjson([event(n) for n in range(5000, 5100)]))
    run_due_jobs(hurry=True)
    ingestion.refresh_from_db()
    assert ingestion.state == State.SUCCEEDED_WITH_ERRORS
    states = dict(ingestion.files.values_list("name", "error_kind"))
    assert sorted(states.values()) == ["", "file_changed"]
    assert books(ingestion) == {"read": 60, "imported": 60}


def test_a_record_that_was_cut_is_told_and_not_sent_again(file, ingest, sandbox, owner):
    first = ingest(file([event(1), event(2, blob="x" * 1_100_000), event(3)]))
    assert books(first) == {"read": 3, "imported": 2, "invalid": 1}
    [entry] = spools.rejected(first)
    assert (entry.line, entry.cut, len(entry.raw()) < 5000) == (2, True, True)
    with pytest.raises(Refused, match="no rejected records"):
        actions.resend_rejected(ingestion=first, actor=owner)


def test_what_no_database_can_keep_is_told_all_the_same(file, ingest, sandbox):
    records = [
        b"\x00\x00 not json \x00",
        b'{"event":"a\\u0000b","properties":{"time":"x\\u0000"}}',
        b'{"event":"n","properties":{"t\\u0000\\ud800":{"a":{"b":{"c":{"d":1}}}}}}',
        b'{"event":"\\ud800","properties":{}}',
        event(1, **{"na\0me": "va\0lue"}),
    ]
    done = ingest(file(records), check_first=True)
    assert done.report["records"] == 5
    assert books(done) == {"read": 5, "imported": 1, "invalid": 4}
    groups = RejectedGroup.objects.filter(ingestion=done)
    assert "\0" not in str(list(groups.values())) + str(done.report)
    assert [entry.line for entry in spools.rejected(done)] == [1, 2, 3, 4]


def test_a_broken_gzip_gives_what_is_before_the_break(file, ingest, sandbox):
    whole = file([event(n) for n in range(3000)], "whole.gz", packed=True)
    data = whole.read_bytes()
    cut = file(data[: len(data) // 2], "cut.gz")
    done = ingest(cut)
    assert done.state == State.SUCCEEDED_WITH_ERRORS
    assert 0 < books(done)["imported"] < 3000
    assert done.files.get().state == IngestionFile.State.FAILED


# --- What people do ---------------------------------------------------------------------


def test_pause_and_resume_lose_and_double_nothing(file, create, sandbox, owner):
    ingestion = create(file([event(n) for n in range(300)]), batch_records=50)
    actions.pause_ingestion(ingestion=ingestion, actor=owner)
    run_due_jobs()
    assert books(ingestion) == {}
    waiting = actions.jobs_of(ingestion).filter(wait_reason="paused")
    assert waiting.count() == 1
    actions.resume_ingestion(ingestion=ingestion, actor=owner)
    run_due_jobs(hurry=True)
    assert books(ingestion) == {"read": 300, "imported": 300}


def test_cancel_stops_and_keeps_exact_counts(file, create, sandbox, owner):
    ingestion = create(file([event(n) for n in range(300)]))
    actions.cancel_ingestion(ingestion=ingestion, actor=owner)
    run_due_jobs(hurry=True)
    ingestion.refresh_from_db()
    assert ingestion.state == State.CANCELLED
    assert not Job.objects.unfinished().exists()
    assert sandbox.raw_events(MIXPANEL_ID) == []


def test_what_was_checked_waits_for_a_person(file, ingest, sandbox, owner):
    records = [event(n) for n in range(20)]
    records[3] = b"nope"
    ready = ingest(file(records), check_first=True, start="clean")
    assert ready.state == State.READY
    assert ready.report["records"] == 20
    assert ready.report["would_refuse"] == 1
    assert sandbox.raw_events(MIXPANEL_ID) == []
    actions.start_ingestion(ingestion=ready, actor=owner)
    run_due_jobs(hurry=True)
    ready.refresh_from_db()
    assert ready.state == State.SUCCEEDED_WITH_ERRORS
    assert books(ready) == {"read": 20, "imported": 19, "invalid": 1}


def test_a_clean_file_goes_on_by_itself(file, ingest, sandbox):
    done = ingest(file([event(n) for n in range(20)]), check_first=True, start="clean")
    assert done.state == State.SUCCEEDED


def test_rejected_records_are_mended_and_sent_alone(file, ingest, sandbox, owner):
    records = [event(n) for n in range(30)]
    records[5] = event(5, time=None, at="x")
    records[7] = event(7, distinct_id="undefined")
    records[9] = event(9, distinct_id="null")
    first = ingest(file(records))
    assert books(first)["invalid"] == 3
    groups = [
        group
        for group in first.rejected_groups.all()
        if group.code == "distinct_id.banned"
    ]
    again, _ = actions.resend_rejected(
        ingestion=first,
        actor=owner,
        groups=groups,
        mends=["distinct_id.empty"],
        start="always",
        check_first=False,
    )
    run_due_jobs(hurry=True)
    again.refresh_from_db()
    assert again.origin == first
    assert books(again) == {"read": 2, "imported": 2}
    assert "id-00000007" in stored_ids(sandbox)
    assert len(stored_ids(sandbox)) == 29
    copy, _ = actions.copy_ingestion(ingestion=again, actor=owner)
    run_due_jobs(hurry=True)
    assert books(copy) == {"read": 2, "imported": 2}


# --- Times --------------------------------------------------------------------------------


def test_events_dated_in_the_near_future_wait_until_they_are_past(
    file, create, sandbox
):
    soon = int(time.time()) + 4
    records = [event(1), event(2, time=soon), event(3, time=soon + 10**6)]
    ingestion = create(file(records))
    run_due_jobs()
    assert books(ingestion) == {"read": 3, "imported": 1, "held": 1, "invalid": 1}
    [job] = actions.jobs_of(ingestion).filter(wait_reason="future")
    assert job.run_after.timestamp() >= soon
    while time.time() < soon + 1.2:
        time.sleep(0.1)
    run_due_jobs(hurry=True)
    ingestion.refresh_from_db()
    assert books(ingestion) == {"read": 3, "imported": 2, "invalid": 1}
    assert ingestion.state == State.SUCCEEDED_WITH_ERRORS
    [late] = [
        e
        for e in sandbox.events(MIXPANEL_ID)
        if e["properties"]["$insert_id"] == "id-00000002"
    ]
    assert late["properties"]["time"] == soon


def test_what_is_held_back_has_the_insert_id_of_its_place_in_the_file(
    file, create, sandbox
):
    soon = int(time.time()) + 1
    records = [event(n, **{"$insert_id": None}, time=soon) for n in range(3)]
    for name in ("a.ndjson", "b.ndjson"):
        ingestion = create(file(records, name))
        run_due_jobs()
        while time.time() < soon + 1.1:
            time.sleep(0.1)
        run_due_jobs(hurry=True)
        assert books(ingestion) == {"read": 3, "imported": 3}
    # The second time none was held back, and they are the same events.
    assert len(sandbox.raw_events(MIXPANEL_ID)) == 6
    assert len(set(stored_ids(sandbox))) == len(stored_ids(sandbox)) == 3


def aged(days, n, **changes):
    return event(n, time=int(time.time()) - days * DAY, **changes)


def test_a_backfill_goes_backwards_slice_by_slice(file, ingest, sandbox):
    days = [1, 3, 9, 20, 33, 2, 15]
    done = ingest(
        file([aged(day, n) for n, day in enumerate(days)]),
        check_first=True,
        first_days=7,
        slice_days=10,
    )
    assert done.state == State.SUCCEEDED
    assert books(done) == {"read": 7, "imported": 7}
    order = [e["properties"]["$insert_id"][-1] for e in sandbox.raw_events(MIXPANEL_ID)]
    assert sorted(order[:3]) == ["0", "1", "5"]
    assert sorted(order[3:5]) == ["2", "6"]
    assert order[5:] == ["3", "4"]


def test_the_gate_holds_when_too_many_were_refused(file, ingest, sandbox, owner):
    records = [aged(1, 0), b"nope", aged(60, 2)]
    gated = ingest(
        file(records), first_days=7, most_refused_percent=10, check_first=True
    )
    assert gated.state == State.GATED
    assert books(gated) == {"read": 2, "imported": 1, "invalid": 1, "pending": 1}
    actions.pass_gate(ingestion=gated, actor=owner)
    run_due_jobs(hurry=True)
    gated.refresh_from_db()
    assert gated.state == State.SUCCEEDED_WITH_ERRORS
    assert books(gated) == {"read": 3, "imported": 2, "invalid": 1}


# --- Profiles -----------------------------------------------------------------------------


def test_profiles_arrive_in_their_order(file, ingest, sandbox, with_token):
    records = [{"$distinct_id": f"u{n % 5}", "$set": {"n": n}} for n in range(1000)]
    done = ingest(file(records), kind="people", batch_records=40)
    assert done.state == State.SUCCEEDED
    assert books(done) == {"read": 1000, "imported": 1000}
    found = {
        p["$distinct_id"]: p["properties"]["n"] for p in sandbox.profiles(MIXPANEL_ID)
    }
    assert found == {f"u{n % 5}": n for n in range(995, 1000)}


def test_groups_arrive(file, ingest, sandbox, with_token):
    records = [
        {"$group_key": "company", "$group_id": f"c{n}", "$set": {"n": n}}
        for n in range(10)
    ]
    done = ingest(file(records), kind="groups")
    assert books(done) == {"read": 10, "imported": 10}
    assert len(sandbox.group_profiles(MIXPANEL_ID)) == 10


def additions(count):
    return [{"$distinct_id": f"u{n}", "$add": {"n": 1}} for n in range(count)]


def test_updates_that_add_up_arrive_once(file, ingest, sandbox, with_token):
    done = ingest(file(additions(100)), kind="people", batch_records=10)
    assert done.state == State.SUCCEEDED
    assert {p["properties"]["n"] for p in sandbox.profiles(MIXPANEL_ID)} == {1}


def lost_batch(file, create, sandbox, **fault):
    ingestion = create(file(additions(30)), kind="people", batch_records=10)
    sandbox.fault(
        "POST", "/engage", fault.pop("kind", "lost"), times=1, after=1, **fault
    )
    run_due_jobs(hurry=True)
    ingestion.refresh_from_db()
    return ingestion


def test_updates_that_add_up_are_never_sent_twice_without_a_person(
    file, create, sandbox, with_token, owner
):
    ingestion = lost_batch(file, create, sandbox)
    assert ingestion.state == State.NEEDS_DECISION
    assert books(ingestion) == {"read": 30, "imported": 20, "unsettled": 10}
    [batch] = UnsettledBatch.objects.all()
    assert (batch.first_line, batch.last_line, batch.records) == (11, 20, 10)
    actions.decide_batch(batch=batch, actor=owner, choice="arrived")
    ingestion.refresh_from_db()
    assert ingestion.state == State.SUCCEEDED
    assert books(ingestion) == {"read": 30, "imported": 30}
    assert {p["properties"]["n"] for p in sandbox.profiles(MIXPANEL_ID)} == {1}


def test_a_person_may_have_them_sent_again(file, create, sandbox, with_token, owner):
    ingestion = lost_batch(
        file, create, sandbox, kind="status", status=500, effect="before"
    )
    [batch] = UnsettledBatch.objects.all()
    actions.decide_batch(batch=batch, actor=owner, choice="again")
    run_due_jobs(hurry=True)
    ingestion.refresh_from_db()
    assert ingestion.state == State.SUCCEEDED
    assert books(ingestion) == {"read": 30, "imported": 30}
    found = sandbox.profiles(MIXPANEL_ID)
    assert len(found) == 30
    assert {p["properties"]["n"] for p in found} == {1}


def test_updates_that_were_certainly_not_sent_go_on_by_themselves(
    file, create, sandbox, with_token
):
    ingestion = lost_batch(file, create, sandbox, kind="status", status=429)
    assert ingestion.state == State.SUCCEEDED
    assert {p["properties"]["n"] for p in sandbox.profiles(MIXPANEL_ID)} == {1}


def test_a_killed_worker_leaves_updates_that_add_up_to_a_person(
    file, create, sandbox, with_token, owner, monkeypatch
):
    class Killed(BaseException):
        pass

    real = sending.Lane._sent_alone
    calls = []

    def once(self, air):
        calls.append(air)
        error = real(self, air)
        if len(calls) == 2:
            raise Killed
        return error

    monkeypatch.setattr(sending.Lane, "_sent_alone", once)
    ingestion = create(file([*additions(30), b"nope"]), kind="people", batch_records=10)
    for _ in range(4):
        Job.objects.filter(state__in=Job.RUNNABLE).update(run_after=db_now())
        for job in Job.objects.due(db_now()):
            try:
                runner.run(job.pk)
            except Killed:
                runner.rescue(Job.objects.get(pk=job.pk))
    ingestion.refresh_from_db()
    assert ingestion.state == State.NEEDS_DECISION
    assert books(ingestion) == {
        "read": 31,
        "imported": 20,
        "unsettled": 10,
        "invalid": 1,
    }
    assert {p["properties"]["n"] for p in sandbox.profiles(MIXPANEL_ID)} == {1}


def test_a_refusal_of_profiles_without_reasons_is_narrowed_down(
    file, create, sandbox, with_token
):
    """Legacy words: 0 and nothing else."""
    records = [{"$distinct_id": f"u{n}", "$set": {"n": n}} for n in range(20)]
    ingestion = create(file(records), kind="people")
    sandbox.fault(
        "POST",
        "/engage",
        "status",
        times=1,
        status=200,
        body='{"status":0,"error":"no"}',
    )
    run_due_jobs(hurry=True)
    assert books(ingestion) == {"read": 20, "imported": 20}


def test_the_token_of_the_project_is_in_no_row_and_no_spool(
    file, ingest, sandbox, with_token
):
    from .conftest import TOKEN

    records = [{"$distinct_id": "null", "$set": {"n": 1}}, {"$set": {}}]
    done = ingest(file(records), kind="people")
    texts = b"".join(spools.as_ndjson(spools.rejected(done))).decode()
    rows = [list(m.objects.values()) for m in (Job, RejectedGroup, Part, Ingestion)]
    assert TOKEN not in texts + str(rows)
