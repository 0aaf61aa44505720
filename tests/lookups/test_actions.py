"""Files are checked, compared, sent once and brought back; nothing is lost on the way."""

import gzip
import io
import os
import stat
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from mixadmin.audit.models import Entry
from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused
from mixadmin.common.spreadsheets import harmless
from mixadmin.jobs import tasks
from mixadmin.jobs.actions import cancel_job, retry_job
from mixadmin.jobs.models import Beat, Bucket, Job
from mixadmin.lookups import actions, storage
from mixadmin.lookups.actions import roll_back, send_version, upload_version
from mixadmin.lookups.kinds import KEPT
from mixadmin.lookups.models import LookupVersion
from mixadmin.projects.access import NotPermitted

from .conftest import OLD

State = LookupVersion.State
NEW = b"sku,title,price\n1,Hat,5\n3,Cup,8\n4,Mug,1\n"
BAD = b"sku,title\n1,a\n1,b\n,c\n2\n"


def states(table):
    return dict(table.versions.order_by("number").values_list("number", "state"))


# --- Keeping and checking -------------------------------------------------------------


def test_a_file_is_kept_for_our_eyes_only_and_checked(upload, run_due_jobs):
    version, job = upload(OLD)
    assert (version.number, version.state, job.title) == (
        1,
        State.CHECKING,
        "Check version 1 of skus",
    )
    place = storage.path(version)
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(place.parent).st_mode) == 0o700
    assert gzip.decompress(place.read_bytes()) == OLD
    assert (version.size, len(version.sha256)) == (len(OLD), 64)

    run_due_jobs()

    version.refresh_from_db()
    assert (version.state, version.rows, version.bad_rows) == (State.READY, 3, 0)
    assert [c["kind"] for c in version.columns] == ["number", "text", "number"]
    assert version.is_clean
    assert version.difference == {}


def test_a_check_calls_nobody(upload, run_due_jobs, sandbox):
    upload(OLD)
    sandbox.clear_calls()
    run_due_jobs()
    assert sandbox.calls() == []


def test_a_bad_file_is_invalid_and_every_bad_row_is_written_down(checked, sandbox):
    version = checked(BAD, send_when_clean=True)
    assert (version.state, version.rows, version.bad_rows) == (State.INVALID, 4, 3)
    text = b"".join(storage.csv_bytes(storage.bad_rows_path(version))).decode()
    lines = text.splitlines()
    assert lines[0] == "line,row,finding,message,same key in line,content"
    assert [line.split(",")[2] for line in lines[1:]] == [
        "row.field_count",
        "key.blank",
        "key.repeated",
    ]
    assert [f["rule"].code for f in version.explained] == list(version.findings)
    assert not sandbox.calls(method="PUT")
    with pytest.raises(Refused, match="would be refused"):
        send_version(version=version, actor=None)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "file.empty"),
        (gzip.compress(b""), "file.empty"),
        (gzip.compress(OLD)[:-5], "file.broken"),
        (b"\x1f\x8bnot gzip", "file.broken"),
    ],
    ids=["empty", "empty gzip", "cut gzip", "no gzip"],
)
def test_what_is_no_file_leaves_nothing_behind(upload, table, data, code):
    with pytest.raises(ValidationError) as raised:
        upload(data)
    assert raised.value.error_dict["file"][0].code == code
    assert not table.versions.exists()
    assert list(storage.folder(table.pk).iterdir()) == []


def test_more_than_mixpanel_takes_is_not_kept(upload, table, monkeypatch):
    monkeypatch.setattr("mixadmin.dataprep.tables.MOST_BYTES", 1_000)
    for data in (OLD + b"x" * 1_000, gzip.compress(OLD + b"x" * 1_000_000)):
        with pytest.raises(ValidationError, match="at most 100 MB"):
            upload(data)
    assert list(storage.folder(table.pk).iterdir()) == []


def test_a_file_is_asked_for(table, owner):
    with pytest.raises(ValidationError, match="Choose a CSV file"):
        upload_version(table=table, actor=owner, file=None)


def test_viewers_change_nothing(table, viewer, checked):
    version = checked(OLD)
    with pytest.raises(NotPermitted):
        upload_version(table=table, actor=viewer, file=io.BytesIO(NEW))
    with pytest.raises(NotPermitted):
        send_version(version=version, actor=viewer)
    with pytest.raises(NotPermitted):
        roll_back(version=version, actor=viewer)
    assert states(table) == {1: State.READY}


def test_a_check_that_dies_is_told_and_can_be_tried_again(
    upload, run_due_jobs, owner, monkeypatch
):
    version, job = upload(OLD)
    place = storage.path(version)
    kept = place.read_bytes()
    place.unlink()
    run_due_jobs(hurry=True)
    version.refresh_from_db()
    assert version.state == State.FAILED
    assert "mistake in mixadmin" in version.error_message
    assert not version.can_be_sent

    place.write_bytes(kept)
    job.refresh_from_db()
    retry_job(job=job, actor=owner)
    version.refresh_from_db()
    assert version.state == State.CHECKING
    run_due_jobs()
    version.refresh_from_db()
    assert (version.state, version.error_message) == (State.READY, "")


def test_a_cancelled_check_is_told(upload, owner):
    version, job = upload(OLD)
    cancel_job(job=job, actor=owner)
    version.refresh_from_db()
    assert (version.state, version.error_message) == (
        State.FAILED,
        "The check was cancelled.",
    )


# --- Sending --------------------------------------------------------------------------


def test_a_person_looks_and_then_says_go(
    checked, table, owner, run_due_jobs, sandbox, at_mixpanel
):
    version = checked(OLD)
    assert at_mixpanel() == [["9", "Before"]]
    job = send_version(version=version, actor=owner)
    assert states(table) == {1: State.SENDING}
    run_due_jobs()
    job.refresh_from_db()
    version.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED
    assert job.result == {"mixpanel_id": table.mixpanel_id, "version": 1}
    assert version.state == State.CURRENT
    assert version.sent_at
    assert at_mixpanel() == [["1", "Hat", "5"], ["2", "Cap", "6"], ["3", "Cup", "7"]]
    call = sandbox.calls(method="PUT")[0]
    assert call["path"].endswith(f"/lookup-tables/{table.mixpanel_id}")
    verbs = Entry.objects.filter(target_id=table.pk).values_list("verb", flat=True)
    assert list(reversed(verbs)) == [
        "uploaded a file for",
        "asked to replace the rows of",
        "replaced the rows of",
    ]


def test_a_clean_file_goes_by_itself_if_asked_and_the_old_one_is_replaced(
    sent, checked, table, at_mixpanel
):
    sent(OLD)
    second = checked(NEW, send_when_clean=True)
    assert states(table) == {1: State.REPLACED, 2: State.CURRENT}
    assert [row[0] for row in at_mixpanel()] == ["1", "3", "4"]
    difference = second.difference
    assert {k: difference[k] for k in ("added", "removed", "changed", "same")} == {
        "added": 1,
        "removed": 1,
        "changed": 1,
        "same": 1,
    }
    assert difference["against"] == 1


@pytest.mark.parametrize("data", [b"sku,title\n", b"sku,title\n1,a\n2,3\n"])
def test_a_warning_waits_for_a_person(checked, owner, run_due_jobs, table, data):
    version = checked(data, send_when_clean=True)
    assert version.state == State.READY
    assert version.findings
    send_version(version=version, actor=owner)
    run_due_jobs()
    assert states(table) == {1: State.CURRENT}


def test_a_person_who_lost_the_right_sends_nothing(
    checked, project, owner, run_due_jobs, at_mixpanel, table
):
    version = checked(OLD)
    send_version(version=version, actor=owner)
    project.memberships.filter(user=owner).update(role="viewer")
    run_due_jobs()
    version.refresh_from_db()
    assert version.state == State.FAILED
    assert "needs the role editor" in version.error_message
    assert at_mixpanel() == [["9", "Before"]]


def test_one_version_is_sent_at_a_time(checked, table, owner, run_due_jobs):
    first, second = checked(OLD), checked(NEW)
    send_version(version=first, actor=owner)
    with pytest.raises(Refused, match="Another version of this table is being sent"):
        send_version(version=second, actor=owner)
    with pytest.raises(Refused, match="is sending"):
        send_version(version=first, actor=owner)
    with pytest.raises(IntegrityError), transaction.atomic():
        table.versions.filter(pk=second.pk).update(state=State.SENDING)
    run_due_jobs()
    send_version(version=second, actor=owner)
    run_due_jobs()
    assert states(table) == {1: State.REPLACED, 2: State.CURRENT}


def test_a_file_that_may_not_go_yet_says_why(checked, upload, owner, run_due_jobs):
    first = checked(OLD)
    second, _ = upload(NEW, send_when_clean=True)
    send_version(version=first, actor=owner)
    # The check ends while the other one is still being sent.
    runner_only = Job.objects.get(task="lookups.check", state="queued")
    Job.objects.exclude(pk=runner_only.pk).filter(state="queued").update(
        run_after=db_now() + timedelta(hours=1)
    )
    run_due_jobs()
    second.refresh_from_db()
    assert second.state == State.READY
    assert "not sent by itself: Another version" in second.error_message


def test_mixpanels_refusal_is_kept_beside_ours(checked, owner, run_due_jobs, sandbox):
    version = checked(OLD)
    rows = [{"index": 2, "message": "primary key is required and cannot be blank"}]
    sandbox.fault(
        method="PUT",
        path="/lookup-tables/",
        kind="status",
        status=400,
        body={
            "code": 400,
            "error": "Some data points in the request failed validation.",
            "status": "Bad Request",
            "failed_records": rows,
        },
    )
    job = send_version(version=version, actor=owner)
    run_due_jobs()
    job.refresh_from_db()
    version.refresh_from_db()
    assert (version.state, version.refused_rows) == (State.REFUSED, rows)
    assert "failed validation" in version.error_message
    assert (job.state, job.error_kind) == (Job.State.FAILED, "bad_request")
    assert "failed_records" in job.error_raw
    assert not version.may_be_there

    retry_job(job=job, actor=owner)
    version.refresh_from_db()
    assert (version.state, version.refused_rows) == (State.SENDING, [])
    run_due_jobs()
    version.refresh_from_db()
    assert version.state == State.CURRENT


def test_a_table_that_is_gone_fails_and_says_so(
    checked, owner, run_due_jobs, table, sandbox
):
    version = checked(OLD)
    table.mixpanel_id = "ab32b74c-0000-0000-0000-000000000000"
    table.save()
    send_version(version=version, actor=owner)
    run_due_jobs()
    version.refresh_from_db()
    assert version.state == State.FAILED
    assert "was not found" in version.error_message


@pytest.mark.parametrize("kind", ["lost", "cut", "html"])
def test_a_lost_answer_is_sent_again(
    checked, owner, run_due_jobs, sandbox, kind, at_mixpanel
):
    version = checked(OLD)
    options = {"status": 502} if kind == "html" else {}
    sandbox.fault(method="PUT", path="/lookup-tables/", kind=kind, **options)
    send_version(version=version, actor=owner)
    run_due_jobs(hurry=True)
    version.refresh_from_db()
    assert version.state == State.CURRENT
    assert len(at_mixpanel()) == 3


def test_what_mixpanel_may_have_is_not_taken_for_known(
    sent, checked, table, owner, run_due_jobs, sandbox, upload
):
    """After an answer that was lost for good, the same file is sent again, not skipped."""
    first = sent(OLD)
    second = checked(NEW)
    job = send_version(version=second, actor=owner)
    sandbox.fault(method="PUT", path="/lookup-tables/", kind="lost")
    run_due_jobs(rounds=1)
    job.refresh_from_db()
    cancel_job(job=job, actor=owner)
    second.refresh_from_db()
    assert (second.state, second.may_be_there) == (State.FAILED, True)
    first.refresh_from_db()
    assert first.state == State.CURRENT
    assert actions.can_be_brought_back(first)

    third, job = upload(OLD, send_when_clean=True)
    assert (third.number, bool(job)) == (3, True)
    run_due_jobs()
    second.refresh_from_db()
    assert not second.may_be_there
    assert states(table)[3] == State.CURRENT


def test_a_cancelled_sending_leaves_the_version_ready(checked, owner, run_due_jobs):
    version = checked(OLD)
    job = send_version(version=version, actor=owner)
    cancel_job(job=job, actor=owner)
    version.refresh_from_db()
    assert (version.state, version.error_message) == (State.READY, "")


def test_a_table_that_is_not_listed_takes_nothing(checked, table, owner, upload):
    version = checked(OLD)
    table.absent_since = db_now()
    table.save()
    with pytest.raises(Refused, match="does not list skus"):
        upload(NEW)
    version.table.refresh_from_db()
    with pytest.raises(Refused, match="does not list skus"):
        send_version(version=version, actor=owner)


# --- The day's budget -----------------------------------------------------------------


def test_the_meter_counts_what_was_sent(sent, table):
    assert actions.replacements_left(table) == (100, None)
    sent(OLD)
    assert actions.replacements_left(table) == (99, None)


def test_a_used_up_day_waits_and_then_goes_on(
    checked, owner, table, run_due_jobs, sandbox
):
    version = checked(OLD)
    now = db_now().timestamp()
    taken = [now - 80_000 + n for n in range(100)]
    Bucket.objects.create(key=actions.budget_key(table), taken=taken)
    left, free_at = actions.replacements_left(table)
    assert (left, free_at > db_now()) == (0, True)
    job = send_version(version=version, actor=owner)
    run_due_jobs()
    job.refresh_from_db()
    assert (job.state, job.wait_reason) == (Job.State.WAITING, "rate")
    assert abs((job.run_after - free_at).total_seconds()) < 1
    assert "All 100 of the replacements" in job.error_message
    assert not sandbox.calls(method="PUT")

    Bucket.objects.update(taken=[at - 7_000 for at in taken])
    run_due_jobs(hurry=True)
    version.refresh_from_db()
    assert version.state == State.CURRENT


def test_mixpanels_own_limit_holds_the_table_back_for_a_while(
    checked, owner, table, run_due_jobs, sandbox
):
    version = checked(OLD)
    sandbox.switch(lookup_put_limit=0)
    job = send_version(version=version, actor=owner)
    run_due_jobs(rounds=1)
    job.refresh_from_db()
    assert (job.state, job.wait_reason) == (Job.State.WAITING, "rate")
    pause = (job.run_after - db_now()).total_seconds()
    assert pause > actions.PATIENCE / 2
    assert actions.replacements_left(table)[0] == 0


# --- The same again, and the old again ------------------------------------------------


def test_the_same_content_is_not_sent_again(sent, upload, table, sandbox):
    first = sent(OLD)
    sandbox.clear_calls()
    again, job = upload(gzip.compress(OLD))
    assert (again, job) == (first, None)
    assert "has the same content" in actions.said(again, job)
    assert states(table) == {1: State.CURRENT}
    assert len(list(storage.folder(table.pk).glob("*.csv.gz"))) == 2


def test_the_same_content_twice_is_one_version(upload, table, run_due_jobs):
    first, _ = upload(OLD)
    again, job = upload(OLD, send_when_clean=True)
    assert (again, job) == (first, None)
    run_due_jobs()
    assert states(table) == {1: State.CURRENT}


def test_a_ready_version_goes_when_its_content_comes_again(
    checked, upload, run_due_jobs, table
):
    checked(OLD)
    version, job = upload(OLD, send_when_clean=True)
    assert (version.number, job.task) == (1, "lookups.send")
    run_due_jobs()
    assert states(table) == {1: State.CURRENT}


def test_a_rollback_is_a_new_version_that_goes_the_same_way(
    sent, table, owner, run_due_jobs, at_mixpanel
):
    first = sent(OLD)
    sent(NEW)
    first.refresh_from_db()
    version, _ = roll_back(version=first, actor=owner, send_when_clean=True)
    assert (version.number, version.copy_of, version.state) == (
        3,
        first,
        State.CHECKING,
    )
    run_due_jobs()
    version.refresh_from_db()
    assert states(table) == {1: State.REPLACED, 2: State.REPLACED, 3: State.CURRENT}
    assert version.difference["against"] == 2
    assert len(at_mixpanel()) == 3
    with pytest.raises(Refused, match="Version 3 is in mixpanel"):
        roll_back(version=version, actor=owner)


def test_the_last_files_are_kept_and_the_one_in_mixpanel(
    sent, table, upload, run_due_jobs, owner, django_capture_on_commit_callbacks
):
    first = sent(OLD)
    with django_capture_on_commit_callbacks(execute=True):
        for n in range(KEPT + 3):
            upload(OLD + b"7,New,%d\n" % n)
            run_due_jobs()
    kept = list(table.versions.filter(removed_at=None).values_list("number", flat=True))
    # The newest was made after the last look at what is kept.
    assert kept == [*range(KEPT + 4, 3, -1), 1]
    names = {p.name for p in storage.folder(table.pk).glob("*[0-9].csv.gz")}
    assert names == {f"{n}.csv.gz" for n in kept}
    gone = table.versions.get(number=2)
    with pytest.raises(Refused, match="no longer kept"):
        send_version(version=gone, actor=owner)
    with pytest.raises(Refused, match="no longer kept"):
        roll_back(version=gone, actor=owner)
    first.refresh_from_db()
    assert first.has_file


def test_a_file_that_vanished_is_told(checked, owner, run_due_jobs):
    version = checked(OLD)
    storage.path(version).unlink()
    send_version(version=version, actor=owner)
    run_due_jobs()
    version.refresh_from_db()
    assert version.state == State.FAILED
    assert "no longer kept. Upload it again" in version.error_message


def test_files_of_nothing_are_removed_once_an_hour(checked, table):
    version = checked(OLD)
    stray = storage.folder(987_654)
    stray.mkdir(parents=True)
    stray.joinpath("1.csv.gz").write_bytes(b"x")
    cut_off = storage.folder(table.pk) / "incoming-1"
    cut_off.write_bytes(b"x")
    os.utime(cut_off, (0, 0))
    young = storage.folder(table.pk) / "incoming-2"
    young.write_bytes(b"x")

    tasks.tick()
    assert not stray.exists()
    assert not cut_off.exists()
    assert young.exists()
    assert storage.path(version).exists()

    stray.mkdir()
    tasks.tick()
    assert stray.exists()
    Beat.objects.filter(name="lookup-files").update(at=db_now() - timedelta(hours=2))
    tasks.tick()
    assert not stray.exists()
    young.unlink()


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        (" =1", "' =1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a=1", "a=1"),
        ("", ""),
        ("1", "1"),
    ],
)
def test_no_cell_is_a_formula(cell, shown):
    assert harmless(cell) == shown


def test_ids_are_text_everywhere(table, sent):
    sent(OLD)
    assert isinstance(table.mixpanel_id, str)
    job = Job.objects.get(task="lookups.send")
    assert job.result["mixpanel_id"] == table.mixpanel_id
    assert job.attempts.get().remote_id == table.mixpanel_id
