"""The pages of jobs: what goes on, why it waits, and what a person may do."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mixadmin.common.clock import db_now
from mixadmin.jobs.models import Attempt, Job
from tests import make

LIST = "/jobs/"
VERBS = ("retry", "cancel", "decide", "dismiss")


def text(answer):
    return answer.content.decode()


def url_of(job, name="detail"):
    return reverse(f"jobs:{name}", args=[job.pk])


# --- Who


def test_a_stranger_finds_nothing(project, stranger, client):
    job = make.make_job(project=project)
    client.force_login(stranger)
    assert job.title not in text(client.get(LIST))
    assert client.get(f"{LIST}?project={project.pk}").status_code == 404
    assert client.get(url_of(job)).status_code == 404
    for verb in VERBS:
        assert client.post(url_of(job, verb)).status_code == 404


def test_a_viewer_sees_and_does_not_decide(project, viewer, client):
    decision = {"why": "Two look alike.", "candidates": [{"id": "7", "summary": "A"}]}
    job = make.make_job(project=project, state="needs_decision", decision=decision)
    client.force_login(viewer)
    answer = client.get(url_of(job))
    assert answer.status_code == 200
    assert "Two look alike." in text(answer)
    assert url_of(job, "decide") not in text(answer)
    for verb in VERBS:
        assert client.post(url_of(job, verb), {"choice": "again"}).status_code == 403


def test_a_job_without_a_project_is_its_accounts_owners(page, owner, stranger, client):
    account = make.make_service_account(owner=owner)
    job = make.make_job(service_account=account, state="failed", ended_at=db_now())
    assert page.get(url_of(job)).status_code == 200
    assert page.post(url_of(job, "dismiss")).status_code == 302
    client.force_login(stranger)
    assert client.get(url_of(job)).status_code == 404


def test_unknown_ids_are_answered_404(page):
    assert page.get(f"{LIST}{uuid4()}/").status_code == 404
    assert page.get(f"{LIST}7/").status_code == 404
    assert page.post(f"{LIST}{uuid4()}/retry/").status_code == 404


def test_changes_need_a_post(page, project):
    job = make.make_job(project=project)
    for verb in VERBS:
        assert page.get(url_of(job, verb)).status_code == 405


# --- List


def test_the_list_counts_by_state_and_filters(page, project):
    states = ("queued", "waiting", "succeeded", "failed", "dead", "needs_decision")
    for state in states:
        make.make_job(project=project, state=state, title=f"Job {state}")
    make.make_job(project=project, state="failed", title="Old", dismissed=True)

    def titles(**query):
        rows = page.get(LIST, query).context["paged"].rows
        return {job.title.removeprefix("Job ") for job in rows}

    assert titles() == {*states, "Old"}
    assert titles(state="failed") == {"failed", "Old"}
    assert titles(show="attention") == {"failed", "dead", "needs_decision"}
    assert titles(show="unfinished") == {"queued", "waiting", "needs_decision"}
    assert titles(q="queu") == {"queued"}
    assert titles(show="attention", state="dead") == {"dead"}
    shown = page.get(LIST).context
    counts = {c.value: c.count for c in [*shown["tallies"], *shown["chips"]]}
    assert counts == {
        "": 7,
        "queued": 1,
        "waiting": 1,
        "succeeded": 1,
        "failed": 2,
        "needs_decision": 1,
        "dead": 1,
        "attention": 3,
        "unfinished": 3,
    }


@pytest.mark.parametrize(
    "query",
    [
        {"state": "nonsense"},
        {"show": "\0"},
        {"project": "x"},
        {"project": "²"},
        {"project": "9" * 40},
        {"after": "nonsense"},
    ],
)
def test_filters_that_do_not_exist_are_answered_400(page, project, query):
    answer = page.get(LIST, query)
    assert answer.status_code == 400


def test_the_list_by_project_stays_inside_it(page, project, owner):
    other = make.make_project(owner=owner, name="Other", mixpanel_id=9)
    mine, _ = make.make_job(project=project), make.make_job(project=other)
    answer = page.get(LIST, {"project": project.pk})
    assert answer.context["paged"].rows == [mine]
    assert "Jobs of Shop" in text(answer)


def test_pages_follow_one_another_without_a_gap(page, project):
    now = db_now()
    for n in range(130):
        make.make_job(project=project, created_at=now - timedelta(seconds=n // 10))
    seen, url = [], LIST
    while url:
        paged = page.get(url).context["paged"]
        seen += [job.pk for job in paged.rows]
        url = paged.next_url
    assert len(seen) == 130
    assert seen == list(Job.objects.values_list("pk", flat=True))


def test_the_list_needs_as_many_queries_for_forty_as_for_one(
    page, project, owner, django_assert_num_queries
):
    make.make_job(project=project, actor=owner)
    with CaptureQueriesContext(connection) as one:
        page.get(LIST)
    for n in range(40):
        other = make.make_project(owner=owner, name=f"P{n}", mixpanel_id=n + 1)
        make.make_job(project=other, actor=make.make_user(f"u{n}"))
    with django_assert_num_queries(len(one)):
        page.get(LIST)


def test_the_list_refreshes_itself_only_while_something_goes_on(page, project):
    make.make_job(project=project, state="succeeded", ended_at=db_now())
    make.make_job(project=project, state="needs_decision")
    assert 'hx-trigger="every' not in text(page.get(LIST))
    make.make_job(project=project)
    assert 'hx-get="/jobs/?q=Create"' in text(page.get(LIST, {"q": "Create"}))
    fragment = page.get(LIST, headers={"HX-Request": "true"})
    assert text(fragment).lstrip().startswith('<section id="jobs-table"')


# --- One job


def test_the_page_tells_everything_about_a_job(page, project, owner):
    thing = make.make_import(project=project)
    now = db_now()
    job = make.make_job(
        project=project,
        actor=owner,
        state="waiting",
        wait_reason="rate",
        run_after=now + timedelta(minutes=5),
        heard_at=now,
        worker="worker-3",
        target_type="warehouse.warehouseimport",
        target_id=str(thing.pk),
        error_kind="rate_limited",
        error_message="slow down <b>now</b>",
        error_raw='{"error": "rate"}',
        params={"import": 7},
    )
    Attempt.objects.create(
        job=job,
        number=1,
        token=1,
        started_at=now,
        outcome="rate_limited",
        http_status=429,
        mixpanel_request_id="req-9",
        looks=[{"at": "2026-01-01T00:00:00Z", "found": ["12"]}],
    )
    shown = text(page.get(url_of(job)))
    for words in (
        "Create import Orders",
        "Mixpanel&#x27;s rate limit",
        "owner",
        "worker-3",
        "Orders",
        "429",
        "req-9",
        "found 12",
        "Mixpanel asks to wait",
        "What to do:",
        "slow down &lt;b&gt;now&lt;/b&gt;",
        "UTC</time>",
        "Worker last heard",
        "Throttled until",
    ):
        assert words in shown, words
    assert "<details" in shown


@pytest.mark.parametrize("state", Job.State.values)
def test_every_state_has_its_page_its_sentence_and_its_line(page, project, state):
    job = make.make_job(project=project, state=state)
    answer = page.get(url_of(job))
    assert answer.status_code == 200
    assert job.get_state_display() in text(answer)
    assert ("hx-get" in text(answer)) == (
        state not in (*Job.ENDED, Job.State.NEEDS_DECISION)
    )
    assert ('<div class="status is-good"' in text(answer)) == (state == "succeeded")


@pytest.mark.parametrize("target", ["", "nonsense", "a.b.c", "jobs.job"])
def test_a_job_whose_target_is_gone_has_a_page(page, project, target):
    job = make.make_job(project=project, target_type=target, target_id="")
    Job.objects.update(target_id="" if target != "jobs.job" else str(uuid4()))
    assert page.get(url_of(job)).status_code == 200


def test_the_fragment_is_the_page_without_its_frame(page, project):
    job = make.make_job(project=project)
    answer = page.get(url_of(job), headers={"HX-Request": "true"})
    assert text(answer).lstrip().startswith('<section id="job"')
    assert "<html" not in text(answer)
    assert url_of(job, "cancel") in text(answer)


# --- What a person may do


def make_real_job(project, page, owner):
    """A job of a task that exists: delete a service account at Mixpanel."""
    account = make.make_service_account(username="old", owner=owner, mixpanel_id=9)
    via = project.service_account
    type(via).objects.filter(pk=via.pk).update(owner=owner)
    url = reverse("service_accounts:organization_delete", args=[via.pk, account.pk])
    page.post(url)
    return Job.objects.get(), account


def test_a_queued_job_is_cancelled_and_its_target_told(page, project, owner):
    job, account = make_real_job(project, page, owner)
    assert page.post(url_of(job, "cancel")).url == url_of(job)
    job.refresh_from_db()
    account.refresh_from_db()
    assert job.state == "cancelled"
    assert account.presence == "active"


def test_who_cancels_after_an_attempt_is_not_told_that_nothing_was_sent(page, project):
    job = make.make_job(
        project=project,
        task="warehouse.patch_import",
        state="waiting",
        attempt_count=1,
        target_type="warehouse.warehouseimport",
        target_id=str(make.make_import(project=project).pk),
    )
    answer = page.post(reverse("jobs:cancel", args=[job.pk]), follow=True)
    assert "Nothing was sent." not in answer.text
    assert "earlier attempt" in answer.text


def test_a_failed_job_is_retried(page, project, owner):
    job, _ = make_real_job(project, page, owner)
    Job.objects.update(state="failed")
    assert url_of(job, "retry") in text(page.get(url_of(job)))
    assert page.post(url_of(job, "retry")).url == url_of(job)
    job.refresh_from_db()
    assert job.state == "queued"


def test_a_failed_job_is_put_aside(page, project):
    job = make.make_job(project=project, state="failed", ended_at=db_now())
    page.post(url_of(job, "dismiss"))
    job.refresh_from_db()
    assert job.dismissed


@pytest.mark.parametrize(
    ("state", "verb", "words"),
    [
        ("succeeded", "retry", "cannot be tried again"),
        ("polling", "cancel", "what runs there cannot be stopped from here"),
        ("needs_decision", "cancel", "Decide what became of it instead"),
        ("dead", "cancel", "It is over"),
        ("queued", "dismiss", "Only an ended job"),
        ("queued", "decide", "asks for no decision"),
    ],
)
def test_what_a_state_does_not_allow_is_refused_in_words(
    page, project, state, verb, words
):
    job = make.make_job(project=project, state=state)
    answer = page.post(url_of(job, verb), {"choice": "again"})
    assert answer.status_code == 409
    assert words in text(answer)
    job.refresh_from_db()
    assert job.state == state


def test_a_decision_is_offered_and_taken(page, project, owner):
    job, _ = make_real_job(project, page, owner)
    decision = {
        "why": "Nobody knows.",
        "candidates": [{"id": "7", "summary": "Like it"}],
    }
    Job.objects.update(state="needs_decision", decision=decision)
    shown = text(page.get(url_of(job)))
    assert "Nobody knows." in shown
    assert "Like it" in shown
    assert 'name="candidate" value="7"' in shown
    assert page.post(url_of(job, "decide"), {"choice": "again"}).url == url_of(job)
    job.refresh_from_db()
    assert job.state == "queued"


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({}, 409),
        ({"choice": "nonsense"}, 409),
        ({"choice": "adopt"}, 409),
        ({"choice": "adopt", "candidate": "999"}, 409),
        ({"choice": "a\0"}, 400),
        ({"choice": "x" * 1_000_000}, 400),
        ({"choice": "adopt", "candidate": "\0"}, 400),
        ({"choice": "adopt", "candidate": "x" * 1_000_000}, 400),
    ],
)
def test_a_bad_decision_changes_nothing(page, project, owner, values, status):
    job, _ = make_real_job(project, page, owner)
    Job.objects.update(state="needs_decision")
    answer = page.post(url_of(job, "decide"), values)
    assert answer.status_code == status
    job.refresh_from_db()
    assert job.state == "needs_decision"
