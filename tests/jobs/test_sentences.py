"""A job's one sentence and one button, and that asking to cancel is always answered."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.urls import reverse

from mixadmin.common.clock import db_now
from mixadmin.jobs import runner
from mixadmin.jobs.actions import cancel_job, retry_job
from mixadmin.jobs.models import Attempt, Job
from mixadmin.jobs.sentences import job_status, sentence_of
from tests import make

State, Wait = Job.State, Job.Wait
pytestmark = pytest.mark.django_db


def said(**changes):
    job = make.make_job(**changes)
    found = job_status(job)
    sentence = unescape(re.sub(r"<[^>]+>", "", str(found.words)))
    return sentence, found.fix and found.fix.label


def clock(moment):
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def test_what_it_waits_for_and_until_when(project):
    until = db_now() + timedelta(minutes=5)
    at = clock(until)

    def waits(reason, **changes):
        return said(state="waiting", wait_reason=reason, run_after=until, **changes)

    assert waits(Wait.RATE) == (f"Throttled until {at}: Mixpanel's rate limit.", None)
    assert waits(Wait.RETRY, attempt_count=2) == (
        f"Is tried again {at}; 2 attempts so far.",
        "Try again now",
    )
    assert waits(Wait.BREAKER) == (
        f"Waits until {at}: Mixpanel does not answer.",
        "Try again now",
    )
    assert waits(Wait.PAUSED)[0].endswith("It goes on when somebody resumes it.")
    assert waits(Wait.CREDENTIAL, service_account=project.service_account) == (
        "The service account was refused. It goes on with a new secret.",
        "Set a new secret",
    )
    assert waits(Wait.TWIN)[0] == (
        f"Waits until {at}: An identical request is unsettled."
    )
    assert said(state="queued", run_after=until)[0] == (
        f"Waits for a free worker since {at}."
    )
    assert at in said(state="unknown", run_after=until)[0]


def test_a_silent_worker_is_not_said_to_be_at_it():
    now = db_now()
    job = make.make_job(
        state="sending", heard_at=now, lease_until=now + timedelta(seconds=90)
    )
    assert "is at it" in sentence_of(job, now)
    later = sentence_of(job, now + timedelta(seconds=91))
    assert "has been silent since" in later
    assert "another one takes over" in later


def test_how_it_ended():
    now = db_now()

    def ended(state, **changes):
        return said(state=state, ended_at=now, **changes)

    at = clock(now)
    assert ended("succeeded") == (f"Done {at}.", None)
    assert ended("succeeded", attempt_count=3)[0] == f"Done {at}, after 3 attempts."
    assert ended("cancelled")[0] == f"Cancelled {at}. Nothing was sent."
    assert ended("cancelled", attempt_count=1)[0] == (
        f"Cancelled {at}. Before that it was sent in 1 attempt."
    )
    sentence, fix = ended("failed", error_kind="run_failed")
    assert sentence.startswith(f"Failed {at}: ")
    assert fix == "Try again now"
    sentence, fix = ended("dead", error_kind="worker_lost")
    assert sentence.startswith(f"Given up {at}: ")
    assert fix == "Try again now"


@pytest.mark.parametrize("candidates", [0, 1, 3])
def test_a_decision_names_what_is_to_be_decided_between(candidates):
    found = [{"id": str(n), "summary": "x"} for n in range(candidates)]
    fix = said(state="needs_decision", decision={"why": "", "candidates": found})[1]
    assert fix == ("Decide between 3" if candidates == 3 else "Decide")


def test_where_nothing_else_helps_the_button_opens_what_it_is_about(page, project):
    thing = make.make_import(project=project, name="<b>Orders")
    job = make.make_job(
        project=project,
        target_type="warehouse.warehouseimport",
        target_id=str(thing.pk),
    )
    shown = page.get(job.get_absolute_url()).content.decode()
    [button] = re.findall(r'<a id="fix".*?</a>', shown, re.S)
    assert "Open &lt;b&gt;Orders" in button
    assert thing.get_absolute_url() in button


def test_last_heard_counts_on_from_what_the_server_says(page, project):
    heard = db_now() - timedelta(seconds=42)
    job = make.make_job(project=project, state="sending", heard_at=heard)
    shown = page.get(job.get_absolute_url()).content.decode()
    age = re.search(r'data-age="(\d+)">(\d+) s ago', shown)
    assert 42 <= int(age[1]) == int(age[2]) < 60
    ended = make.make_job(project=project, state="succeeded", heard_at=heard)
    assert "data-age" not in page.get(ended.get_absolute_url()).content.decode()


# --- Cancelling is always answered ----------------------------------------------------


@pytest.fixture
def job(project, page, owner):
    """A job of a task that exists: delete a service account at Mixpanel."""
    account = make.make_service_account(username="old", owner=owner, mixpanel_id=9)
    via = project.service_account
    type(via).objects.filter(pk=via.pk).update(owner=owner)
    page.post(
        reverse("service_accounts:organization_delete", args=[via.pk, account.pk])
    )
    return Job.objects.get()


@pytest.mark.parametrize("state", ["claimed", "sending", "reconciling", "unknown"])
def test_while_it_is_sent_it_is_answered_that_it_is_to_be_cancelled(
    job, state, page, owner
):
    Job.objects.filter(pk=job.pk).update(state=state)
    where = reverse("jobs:cancel", args=[job.pk])
    assert where in page.get(job.get_absolute_url()).text
    answer = page.post(where, follow=True)
    assert "It is cancelled as soon as it is known what became of that" in answer.text
    assert "It is to be cancelled." in answer.text
    assert where not in answer.text
    job.refresh_from_db()
    assert (job.state, job.cancel_asked) == (state, True)
    again = page.post(where)
    assert again.status_code == 409
    assert "being cancelled already" in again.text


def test_a_worker_that_is_gone_does_not_keep_it_from_being_cancelled(job, owner):
    Job.objects.filter(pk=job.pk).update(state="claimed", token=1)
    job.refresh_from_db()
    cancel_job(job=job, actor=owner)
    Job.objects.filter(pk=job.pk).update(lease_until=db_now() - timedelta(seconds=1))
    assert runner.rescue_lapsed() == 1
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_what_did_not_happen_is_not_sent_again_once_that_was_asked(job, owner, sandbox):
    sandbox.fault(kind="status", status=429, body={}, times=5)
    Job.objects.filter(pk=job.pk).update(cancel_asked=True)
    runner.run(job.pk)
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    with pytest.raises(Exception, match="cannot be tried again"):
        retry_job(job=job, actor=owner)


def test_what_was_done_in_the_meantime_is_said_to_be_done(job, owner):
    Job.objects.filter(pk=job.pk).update(cancel_asked=True, state="succeeded")
    job.refresh_from_db()
    assert sentence_of(job).startswith("Done")


def test_the_live_part_takes_few_queries_however_many_attempts(
    page, project, django_assert_max_num_queries
):
    now = db_now()
    thing = make.make_import(project=project)
    job = make.make_job(
        project=project,
        state="sending",
        heard_at=now,
        target_type="warehouse.warehouseimport",
        target_id=str(thing.pk),
    )
    for number in range(1, 30):
        Attempt.objects.create(job=job, number=number, token=1, started_at=now)
    live = {"HX-Request": "true", "Stamp": "sending"}
    with django_assert_max_num_queries(9):
        answer = page.get(job.get_absolute_url(), headers=live)
    assert answer.text.count("<tr>") == 30


def test_the_live_part_asks_for_the_whole_page_once_its_state_is_another(page, project):
    job = make.make_job(project=project, state="waiting")
    live = {"HX-Request": "true", "Stamp": "sending"}
    answer = page.get(job.get_absolute_url(), headers=live)
    assert answer["HX-Refresh"] == "true"
