"""The pages of one service account: sentence, blast radius, timeline."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from mixadmin.audit.actions import record
from mixadmin.common.states import Presence
from mixadmin.jobs.models import Job
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.service_accounts.sentences import account_status
from tests import make

NOW = datetime(2026, 11, 28, 14, 41, tzinfo=UTC)
EVIL = "<script>alert('x')</script>\"&"
TABS = ("detail", "timeline")


def url(name, account):
    return reverse(f"service_accounts:{name}", args=[account.pk])


def standing(verification="works", ends=None, job=None, used_by=2, **changes):
    account = ServiceAccount(
        pk=2,
        username="ops",
        verification=verification,
        verification_detail="As it was said.",
        verified_at=NOW if verification else None,
        expires_at=ends and NOW + timedelta(days=ends),
        **changes,
    )
    return account_status(account, used_by=used_by, job=job, now=NOW)


@pytest.mark.parametrize(
    ("given", "tone", "label", "fix"),
    [
        ({}, "good", "Works", None),
        ({"verification": ""}, "idle", "Not verified", "Verify"),
        ({"verification": "cannot_reach"}, "bad", "Cannot reach Mixpanel", "Verify"),
        ({"verification": "refused"}, "bad", "Refused by Mixpanel", "Set a new secret"),
        ({"ends": -1}, "bad", "Expired", "Make a successor"),
        ({"ends": 12}, "warn", "Ends soon", "Make a successor"),
        ({"ends": 60}, "good", "Works", None),
        ({"presence": Presence.PENDING}, "busy", "Being created", None),
        ({"presence": Presence.DELETED}, "idle", "Deleted", None),
        (
            {"job": Job(state="needs_decision", title="Create it")},
            "warn",
            "Needs a decision",
            "Decide",
        ),
    ],
)
def test_each_state_has_its_sentence_and_button(given, tone, label, fix):
    found = standing(**given)
    assert (found.tone, found.label) == (tone, label)
    assert (found.fix and found.fix.label) == fix


def test_the_sentence_tells_who_hangs_on_it_and_until_when():
    assert standing(used_by=1).words == (
        "1 project uses it. Verified 2026-11-28 14:41 UTC."
    )
    assert standing(ends=12).words.startswith(
        "It ends 2026-12-10 14:41 UTC, in 12 days."
    )
    assert "2 projects use it and cannot work." in standing(ends=-1).words


@pytest.fixture
def account(project):
    return project.service_account


@pytest.mark.parametrize("name", TABS)
def test_each_page_has_head_status_and_tabs(
    page, account, name, django_assert_max_num_queries
):
    with django_assert_max_num_queries(20):
        shown = page.get(url(name, account))
    assert f"<h1>{account.username}</h1>" in shown.text
    assert [tab.label for tab in shown.context["tabs"]] == ["Overview", "Timeline"]
    assert make.SECRET not in shown.text
    part = page.get(url(name, account), headers={"HX-Request": "true"})
    assert part.text.startswith('<section id="account-status"')
    again = {"HX-Request": "true", "If-None-Match": part["ETag"]}
    assert page.get(url(name, account), headers=again).status_code == 304


def test_what_stands_still_without_it_is_counted(page, project, account, stranger):
    make.make_import(project=project)
    make.make_import(
        project=project, name="Gone", mixpanel_id=9, presence=Presence.DELETED
    )
    make.make_connector(project=project)
    make.make_project(owner=stranger, name="Theirs", mixpanel_id=4_000_000)
    shown = page.get(url("detail", account))
    (line,) = shown.context["projects"]
    assert (line.import_count, line.connector_count) == (1, 1)
    assert "1 more project that you are no member of uses it too." in shown.text
    assert "Theirs" not in shown.text


def test_its_changes_and_jobs_are_one_list(page, project, account, owner):
    record(actor=owner, verb="set a secret", target=account)
    make.make_job(
        actor=owner,
        target_type="service_accounts.serviceaccount",
        target_id=str(account.pk),
    )
    lines = page.get(url("timeline", account)).context["timeline"].lines
    assert sorted(line.sort for line in lines) == ["changes", "jobs"]


@pytest.mark.parametrize("name", TABS)
def test_names_are_escaped_and_a_viewer_changes_nothing(account, viewer, name):
    ServiceAccount.objects.filter(pk=account.pk).update(
        username=EVIL, verification_detail=EVIL, role=EVIL, owner=None
    )
    client = Client()
    client.force_login(viewer)
    shown = client.get(url(name, account))
    assert shown.status_code == 200
    assert "<script>" not in shown.text
    for word in ("> Verify", "> Edit", "> Forget", "> Set a new secret"):
        assert word not in shown.text
