"""The pages of one project: sentence, counts, health, what waits, timeline."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mixadmin.audit.actions import record
from mixadmin.audit.models import Entry
from mixadmin.common.states import Presence, RunState
from mixadmin.jobs.models import Job
from mixadmin.projects.managed import note_presence
from mixadmin.projects.models import Project
from mixadmin.projects.sentences import project_status
from mixadmin.service_accounts.models import ServiceAccount
from tests import make

EVIL = "<script>alert('x')</script>\"&"
TABS = ("detail", "timeline")
WHEN = datetime(2026, 11, 28, 14, 3, tzinfo=UTC)


def url(name, project):
    return reverse(f"projects:{name}", args=[project.pk])


def standing(verification=Project.Verification.WORKS, account=True, **about):
    project = Project(
        pk=1,
        name="Shop",
        verification=verification,
        verification_detail="As it was said.",
        verified_at=WHEN if verification else None,
        service_account=ServiceAccount(pk=2) if account else None,
    )
    return project_status(project, **about)


@pytest.mark.parametrize(
    ("given", "tone", "label", "fix"),
    [
        ({"account": False}, "bad", "No service account", "Choose one"),
        ({"verification": ""}, "idle", "Not verified", "Verify"),
        ({"verification": "wrong_region"}, "bad", "Wrong region", "Change the project"),
        (
            {"verification": "no_access"},
            "bad",
            "No access",
            "Change the service account",
        ),
        ({"verification": "cannot_reach"}, "bad", "Cannot reach Mixpanel", "Verify"),
        ({"undecided": 2}, "warn", "Needs a decision", "Decide"),
        ({"states": {"import": {"failed": 1}}}, "bad", "Failing", "Look at it"),
        ({}, "good", "Works", None),
    ],
)
def test_each_state_has_its_sentence_and_button(given, tone, label, fix):
    found = standing(**given)
    assert (found.tone, found.label) == (tone, label)
    assert (found.fix and found.fix.label) == fix


def test_the_sentence_counts():
    some = {"import": {"succeeded": 3, "failed": 2}, "connector": {"failed": 1}}
    assert standing(states=some).words == (
        "The last run of 2 imports and 1 connector failed."
    )
    fine = {"import": {"succeeded": 3}, "connector": {}}
    assert standing(states=fine).sentence == (
        "Works. 3 imports, none failing. Verified 2026-11-28 14:03 UTC."
    )
    assert "1 job waits for a decision." in standing(undecided=1).words


@pytest.mark.parametrize("name", TABS)
def test_each_page_has_head_status_and_tabs(page, project, name):
    shown = page.get(url(name, project))
    assert "<h1>Shop</h1>" in shown.text
    labels = [tab.label for tab in shown.context["tabs"]]
    assert labels == ["Overview", "Timeline", "Members"]
    assert " style=" not in shown.text
    part = page.get(url(name, project), headers={"HX-Request": "true"})
    assert part.text.startswith('<section id="project-status"')
    again = {"HX-Request": "true", "If-None-Match": part["ETag"]}
    assert page.get(url(name, project), headers=again).status_code == 304


@pytest.mark.parametrize("few", [1, 40])
@pytest.mark.parametrize(("name", "most"), [("detail", 20), ("timeline", 15)])
def test_more_of_everything_asks_no_more_often(
    page, project, owner, name, most, few, django_assert_max_num_queries
):
    source = make.make_source(project=project)
    for n in range(few):
        row = make.make_import(
            project=project, source=source, name=f"I {n}", mixpanel_id=600 + n
        )
        record(actor=owner, verb="changed", target=row)
        make.make_job(project=project, actor=owner)
    page.get(url(name, project))
    with django_assert_max_num_queries(most):
        assert page.get(url(name, project)).status_code == 200


def test_health_and_what_waits_lead_to_their_lists(page, project):
    row = make.make_import(project=project)
    make.make_run(warehouse_import=row, state=RunState.FAILED)
    make.make_job(project=project, state=Job.State.NEEDS_DECISION)
    shown = page.get(url("detail", project)).text
    imports = reverse("warehouse:import_list", args=[project.pk])
    assert f'href="{imports}?state=failed"' in shown
    assert f"?project={project.pk}&amp;state=needs_decision" in shown


def test_the_timeline_names_what_was_changed(page, project, owner):
    row = make.make_import(project=project)
    record(actor=owner, verb="renamed", target=row, changes={"name": ["A", "Orders"]})
    shown = page.get(url("timeline", project)).text
    assert f'<a href="{row.get_absolute_url()}">Orders</a>' in shown
    assert "Name: from <code>A</code> to <code>Orders</code>" in shown


@pytest.mark.parametrize("name", TABS)
def test_names_are_escaped_and_a_viewer_changes_nothing(project, viewer, name):
    Project.objects.filter(pk=project.pk).update(name=EVIL, verification_detail=EVIL)
    client = Client()
    client.force_login(viewer)
    shown = client.get(url(name, project)).text
    assert "<script>" not in shown
    for word in ("> Verify", "> Edit", "> Forget", 'action="/projects/'):
        assert word not in shown


def test_what_disappears_at_mixpanel_and_comes_back_is_written_down(page, project):
    row = make.make_import(project=project)
    now = timezone.now()
    for minutes in (0, 60):
        row.refresh_from_db()
        note_presence([row], set(), now + timedelta(minutes=minutes))
    row.refresh_from_db()
    assert row.presence == Presence.MISSING
    note_presence([row], {row.mixpanel_id}, now + timedelta(minutes=90))
    entries = Entry.objects.filter(target_id=str(row.pk)).order_by("pk")
    assert [entry.verb for entry in entries] == ["no longer found", "found again"]
    assert [entry.actor_name for entry in entries] == ["mixadmin", "mixadmin"]
    assert all(entry.cause for entry in entries)
