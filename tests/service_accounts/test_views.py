"""The pages of service accounts and of the organization they belong to."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mixadmin.jobs.models import Job
from mixadmin.service_accounts.models import ServiceAccount
from tests import make

LIST = "/service-accounts/"
CREATE = "/service-accounts/create/"
GOOD = {
    "username": "new.mp-service-account",
    "secret": "hush-hush-hush",
    "region": "us",
    "organization_id": "1",
    "role": "a custom role",
    "expires_at": "2030-01-31T12:30",
}


def text(answer):
    return answer.content.decode()


def url_of(account, name="detail", *more):
    return reverse(f"service_accounts:{name}", args=[account.pk, *more])


@pytest.fixture
def account(project):
    return project.service_account


@pytest.fixture
def mine(account, owner):
    """The project's account, added by `owner`."""
    ServiceAccount.objects.filter(pk=account.pk).update(owner=owner)
    account.refresh_from_db()
    return account


# --- Who


PAGES = ("edit", "secret", "forget", "organization", "organization_create")


def test_a_stranger_finds_nothing(account, stranger, client):
    client.force_login(stranger)
    assert account.username not in text(client.get(LIST))
    for name in ("detail", *PAGES):
        assert client.get(url_of(account, name)).status_code == 404
        assert client.post(url_of(account, name)).status_code == 404
    assert client.post(url_of(account, "verify")).status_code == 404
    for name in ("organization_membership", "organization_delete"):
        assert client.post(url_of(account, name, account.pk)).status_code == 404


def test_a_viewer_of_its_project_sees_and_does_not_change(account, viewer, client):
    client.force_login(viewer)
    answer = client.get(url_of(account))
    assert answer.status_code == 200
    assert url_of(account, "secret") not in text(answer)
    for name in PAGES:
        assert client.get(url_of(account, name)).status_code == 403
        assert client.post(url_of(account, name)).status_code == 403
    assert client.post(url_of(account, "verify")).status_code == 403


def test_a_second_account_of_a_stranger_is_not_reached_through_my_own(
    page, mine, stranger
):
    theirs = make.make_service_account(username="theirs", owner=stranger)
    for name in ("organization_membership", "organization_delete"):
        assert page.post(url_of(mine, name, theirs.pk)).status_code == 404


@pytest.mark.parametrize("pk", [0, 2**63, 10**30])
def test_an_id_of_any_size_is_answered_404(page, pk):
    assert page.get(f"{LIST}{pk}/").status_code == 404


# --- List


def test_the_list_filters_and_says_the_next_step(page, owner):
    assert CREATE in text(page.get(LIST))
    make.make_service_account(owner=owner, username="a", verification="refused")
    make.make_service_account(owner=owner, username="b")
    rows = page.get(LIST, {"state": "refused"}).context["paged"].rows
    assert [row.username for row in rows] == ["a"]
    rows = page.get(LIST, {"q": "B", "state": "never"}).context["paged"].rows
    assert [row.username for row in rows] == ["b"]
    assert page.get(LIST, {"state": "x"}).status_code == 400


def test_the_list_needs_as_many_queries_for_forty_as_for_one(
    page, account, owner, django_assert_num_queries
):
    with CaptureQueriesContext(connection) as one:
        page.get(LIST)
    for n in range(40):
        extra = make.make_service_account(username=f"a{n}", owner=owner)
        make.make_project(
            owner=owner, service_account=extra, name=f"P{n}", mixpanel_id=n + 1
        )
    with django_assert_num_queries(len(one)):
        page.get(LIST)


def test_the_list_counts_only_projects_that_one_may_see(page, mine, stranger):
    make.make_project(owner=stranger, name="Theirs", mixpanel_id=5)
    rows = page.get(LIST).context["paged"].rows
    assert [(row.username, row.used_by) for row in rows] == [(make.USERNAME, 1)]
    assert "Theirs" not in text(page.get(url_of(mine)))


# --- Add


def test_an_account_is_added_and_its_secret_never_shown(page, owner):
    answer = page.post(CREATE, GOOD)
    added = ServiceAccount.objects.get()
    assert answer.url == added.get_absolute_url()
    assert added.secret.reveal() == "hush-hush-hush"
    assert added.role == "a custom role"
    assert added.expires_at.isoformat() == "2030-01-31T12:30:00+00:00"
    assert added.owner == owner
    for name in ("detail", "edit", "secret"):
        assert "hush" not in text(page.get(url_of(added, name)))


BAD = [
    ({"username": ""}, "username", "Username is required."),
    ({"username": "x" * 1_000_000}, "username", "at most 200 characters"),
    ({"username": "a\0"}, "username", "Contains a NUL character. Remove it."),
    ({"secret": ""}, "secret", "Secret is required."),
    ({"secret": "x" * 401}, "secret", "Too long: 401 characters, at most 400."),
    ({"secret": "x" * 1_000_000}, "secret", "Too long"),
    ({"secret": "a\0"}, "secret", "Contains a NUL character. Remove it."),
    ({"region": ""}, "region", "Region is required."),
    ({"region": "\0"}, "region", "is not a valid choice"),
    ({"organization_id": "acme"}, "organization_id", "must be an integer"),
    ({"organization_id": "9" * 39}, "organization_id", "less than or equal"),
    ({"role": "x" * 61}, "role", "at most 60 characters"),
    ({"role": "\0"}, "role", "Contains a NUL character. Remove it."),
    ({"expires_at": "tomorrow"}, "expires_at", "Enter a valid date/time."),
    ({"expires_at": "2030-13-45T99:99"}, "expires_at", "Enter a valid date/time."),
    ({"expires_at": "\0"}, "expires_at", "Enter a valid date/time."),
    ({"expires_at": "9" * 1_000_000}, "expires_at", "Enter a valid date/time."),
    ({"username": make.USERNAME}, "username", "is registered already"),
]


@pytest.mark.parametrize(("bad", "field", "words"), BAD)
def test_a_bad_account_is_refused_beside_its_field(page, mine, bad, field, words):
    answer = page.post(CREATE, {**GOOD, **bad})
    assert answer.status_code == 422
    assert words in " ".join(answer.context["form"].errors[field])
    assert "hush" not in text(answer)
    assert ServiceAccount.objects.count() == 1


def test_an_empty_form_is_answered_422(page):
    assert page.post(CREATE, {}).status_code == 422


# --- Change


def test_what_is_noted_can_be_changed(page, mine):
    values = {"organization_id": "", "role": "analyst", "expires_at": ""}
    assert page.post(url_of(mine, "edit"), values).url == url_of(mine)
    mine.refresh_from_db()
    assert (mine.organization_id, mine.role, mine.expires_at) == (None, "analyst", None)


def test_the_noted_expiry_is_offered_again(page, mine):
    ServiceAccount.objects.update(expires_at="2031-02-03T04:05:00Z")
    assert 'value="2031-02-03T04:05"' in text(page.get(url_of(mine, "edit")))


def test_a_secret_that_mixpanel_accepts_is_stored(page, mine):
    ServiceAccount.objects.update(verification="refused")
    answer = page.post(url_of(mine, "secret"), {"secret": make.SECRET}, follow=True)
    mine.refresh_from_db()
    assert mine.secret_version == 2
    assert mine.verification == "works"
    assert "Mixpanel accepts it" in text(answer)
    assert make.SECRET not in text(answer)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("wrong-secret", "Mixpanel refuses this secret, so the old one was kept."),
        ("", "Secret is required."),
        ("a\0b", "Contains a NUL character. Remove it."),
        ("x" * 1_000_000, "Too long"),
    ],
)
def test_a_bad_secret_is_not_stored_nor_shown(page, mine, secret, words):
    answer = page.post(url_of(mine, "secret"), {"secret": secret})
    mine.refresh_from_db()
    assert answer.status_code == 422
    assert words in text(answer)
    assert mine.secret.reveal() == make.SECRET
    assert not secret or secret not in text(answer)


def test_verify_shows_mixpanels_answer(page, mine, sandbox):
    answer = page.post(url_of(mine, "verify"), follow=True)
    assert "Mixpanel accepts it; it sees 1 project." in text(answer)
    assert page.get(url_of(mine, "verify")).status_code == 405


def test_an_account_that_is_used_is_not_forgotten(page, mine, project):
    answer = page.post(url_of(mine, "forget"))
    assert answer.status_code == 409
    assert "uses this service account" in text(answer)
    type(project).objects.update(service_account=None)
    assert page.post(url_of(mine, "forget")).url == LIST
    assert not ServiceAccount.objects.exists()


def test_a_secret_that_no_key_opens_is_told(page, mine, settings):
    settings.ENCRYPTION_KEYS = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
    answer = page.get(url_of(mine, "organization"))
    assert answer.status_code == 409
    assert "cannot be opened with any key" in text(answer)


# --- The organization


def test_the_organization_lists_what_mixpanel_lists(page, mine, sandbox):
    answer = page.get(url_of(mine, "organization"))
    mine.refresh_from_db()
    assert answer.status_code == 200
    assert mine.username in text(answer)
    assert mine.mixpanel_id is not None
    assert url_of(mine, "organization_delete", mine.pk) in text(answer)


def test_an_account_of_another_region_of_the_organization_is_here(page, mine, sandbox):
    there = "eu.1a2b3c.mp-service-account"
    sandbox.add_service_account(there, "s3cret", projects={})
    shown = text(page.get(url_of(mine, "organization")))
    assert "Add it with its secret" in shown
    other = make.make_service_account(username=there, region="eu", owner=mine.owner)
    shown = text(page.get(url_of(mine, "organization")))
    assert "Add it with its secret" not in shown
    assert f'<a href="{other.get_absolute_url()}">yes</a>' in shown
    # Mixpanel's id of it is not known yet, so nothing can be done with it from here.
    assert url_of(mine, "organization_delete", other.pk) not in shown


def test_without_an_organization_id_the_page_asks_for_it(page, mine):
    ServiceAccount.objects.update(organization_id=None)
    answer = page.get(url_of(mine, "organization"), follow=True)
    assert answer.redirect_chain[-1][0] == url_of(mine, "edit")
    assert "Note the organization id" in text(answer)
    answer = page.post(url_of(mine, "organization_create"), {"username": "x"})
    assert answer.status_code == 422
    assert "Note the organization id" in text(answer)


def test_the_organization_page_says_when_mixpanel_is_away(page, mine, settings):
    settings.MIXPANEL_APP_URL = "http://127.0.0.1:9/{region}/api/app"
    answer = page.get(url_of(mine, "organization"))
    assert answer.status_code == 502
    assert "Mixpanel could not be reached" in text(answer)


def test_an_account_is_created_there_and_its_secret_kept(page, mine, run_due_jobs):
    values = {
        "username": "nightly",
        "role": "admin",
        "project_id": str(make.MIXPANEL_ID),
        "project_role": "analyst",
    }
    answer = page.post(url_of(mine, "organization_create"), values)
    job = Job.objects.get()
    assert answer.url == job.get_absolute_url()

    run_due_jobs(hurry=True)

    job.refresh_from_db()
    made = ServiceAccount.objects.get(pk=job.target_id)
    assert job.state == "succeeded"
    assert made.username.startswith("nightly")
    assert made.secret
    assert made.secret.reveal() not in text(page.get(job.get_absolute_url()))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "Username is required."),
        ({"username": "a\0"}, "Contains a NUL character"),
        ({"username": "x" * 1_000_000}, "at most 200 characters"),
        ({"username": "a", "project_id": "x"}, "Must be a whole number."),
        ({"username": "a", "project_id": "0"}, "Must be at least 1."),
        ({"username": "a", "project_id": "9" * 39}, "Must be at most"),
        ({"username": "a", "project_role": "\0"}, "Contains a NUL character"),
        ({"username": "a", "project_role": "x" * 1_000_000}, "Too long"),
    ],
)
def test_a_bad_creation_there_is_refused_in_words(page, mine, values, words):
    answer = page.post(url_of(mine, "organization_create"), values)
    assert answer.status_code == 422
    assert words in text(answer)
    assert not Job.objects.exists()


def test_an_account_joins_and_leaves_a_project(page, mine, run_due_jobs, sandbox):
    sandbox.add_project(11, "Alpha", region="us", organization_id=1)
    page.get(url_of(mine, "organization"))
    url = url_of(mine, "organization_membership", mine.pk)
    for values in ({"role": "admin"}, {"remove": "on"}):
        answer = page.post(url, {"project_id": "11", **values})
        assert answer.status_code == 302
        run_due_jobs(hurry=True)
        job = Job.objects.first()
        assert answer.url == job.get_absolute_url()
        assert job.state == "succeeded"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"project_id": "11"}, "Role is required."),
        ({"project_id": "x", "role": "admin"}, "Must be a whole number."),
        ({"project_id": "11", "role": "a\0"}, "Contains a NUL character"),
        ({"project_id": "11", "role": "x" * 1_000_000}, "Too long"),
    ],
)
def test_a_bad_membership_is_refused_in_words(page, mine, values, words):
    page.get(url_of(mine, "organization"))
    answer = page.post(url_of(mine, "organization_membership", mine.pk), values)
    assert answer.status_code == 422
    assert words in text(answer)
    assert not Job.objects.exists()


def test_a_deletion_there_is_told_first_and_then_queued(page, mine, owner, sandbox):
    other = make.make_service_account(username="old", owner=owner, mixpanel_id=9)
    url = url_of(mine, "organization_delete", other.pk)
    assert "cannot be brought back" in text(page.get(url))
    answer = page.post(url)
    other.refresh_from_db()
    assert answer.url == Job.objects.get().get_absolute_url()
    assert other.presence == "deleting"


def test_an_account_of_unknown_id_is_not_deleted_there(page, mine, owner):
    other = make.make_service_account(username="old", owner=owner)
    answer = page.post(url_of(mine, "organization_delete", other.pk))
    assert answer.status_code == 409
    assert "is not known" in text(answer)


# --- State


def test_an_expiry_that_comes_near_is_told(page, mine):
    ServiceAccount.objects.update(expires_at=timezone.now())
    assert "It expired" in text(page.get(url_of(mine)))


def test_the_detail_refreshes_itself_more_often_while_something_goes_on(page, mine):
    assert 'hx-trigger="every 30s' in text(page.get(url_of(mine)))
    make.make_job(service_account=mine)
    often = f'hx-get="{url_of(mine)}" hx-trigger="every 4s'
    assert often in text(page.get(url_of(mine)))
    fragment = page.get(url_of(mine), headers={"HX-Request": "true"})
    assert text(fragment).lstrip().startswith('<section id="account-status"')
