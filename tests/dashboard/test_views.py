"""The front page: what needs attention, what goes on, how each project is."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mixadmin.jobs.models import Beat, Job, Poll
from mixadmin.projects.models import Project
from mixadmin.service_accounts.models import ServiceAccount
from tests import make


def text(answer):
    return answer.content.decode()


def groups(answer):
    """{title of a group: its items as (label, title, project)}"""
    return {
        group.title: [(i.label, i.title, i.project) for i in group.items]
        for group in answer.context["groups"]
    }


@pytest.fixture(autouse=True)
def scheduler(db):
    """A scheduler that was just heard of."""
    return Beat.objects.create(name="scheduler", at=timezone.now())


def test_the_home_is_private(client):
    answer = client.get("/")
    assert answer.status_code == 302
    assert answer.url.startswith("/accounts/sign-in/")


def test_with_nothing_to_do_the_page_says_so(page, project):
    answer = page.get("/")
    assert groups(answer) == {}
    assert "Nothing needs you." in text(answer)
    assert "Nothing is going on." in text(answer)
    assert "hx-get" not in text(answer)


def test_who_has_nothing_yet_is_told_how_to_begin(page):
    assert "/service-accounts/create/" in text(page.get("/"))


def test_jobs_that_need_somebody_come_decisions_first(page, project):
    decision = {"why": "Two look alike.", "candidates": []}
    for state in ("failed", "dead", "needs_decision", "succeeded", "queued"):
        make.make_job(project=project, state=state, title=state, decision=decision)
    make.make_job(project=project, state="failed", title="aside", dismissed=True)
    answer = page.get("/")
    assert [title for _, title, _ in groups(answer)["Jobs"]] == [
        "needs_decision",
        "dead",
        "failed",
    ]
    assert "Two look alike." in text(answer)


def test_an_import_whose_last_run_failed_is_named(page, project):
    failing = make.make_import(project=project, name="Failing", mixpanel_id=1)
    healed = make.make_import(project=project, name="Healed", mixpanel_id=2)
    now = timezone.now()
    for thing, states in (
        (failing, ("succeeded", "failed")),
        (healed, ("failed", "succeeded")),
    ):
        for n, state in enumerate(states):
            at = now + timedelta(minutes=n)
            make.make_run(warehouse_import=thing, state=state, started_at=at)
    make.make_run(
        warehouse_import=failing,
        state="unknown",
        is_gap=True,
        started_at=now + timedelta(hours=1),
    )
    assert groups(page.get("/")) == {
        "Warehouse imports": [("Failed", "Failing", "Shop")]
    }


def test_imports_that_are_gone_or_paused_elsewhere_are_named(page, project):
    make.make_import(project=project, name="A", mixpanel_id=1, presence="missing")
    make.make_import(project=project, name="B", mixpanel_id=2, paused_elsewhere=True)
    assert groups(page.get("/"))["Warehouse imports"] == [
        ("Gone", "A", "Shop"),
        ("Paused elsewhere", "B", "Shop"),
    ]


def test_a_mirror_that_will_die_counts_down(page, project):
    source = make.make_source(project=project, warehouse_type="snowflake")
    for days, name in ((1, "Fresh"), (13, "Late")):
        mirror = make.make_import(
            project=project,
            source=source,
            name=name,
            mixpanel_id=days,
            sync_mode="mirror_mode",
        )
        at = timezone.now() - timedelta(days=days)
        make.make_run(warehouse_import=mirror, started_at=at, ended_at=at)
    found = groups(page.get("/"))["Mirror countdowns"]
    assert [title for _, title, _ in found] == ["Late"]
    assert re.fullmatch(r"-?\d+ days left|Dead", found[0][0])


def test_a_cluster_that_mixpanel_runs_otherwise_is_named(page, project):
    def params(n):
        return {"export_cluster_config": {"num_workers": n}}

    make.make_import(
        project=project,
        databricks_params=params(2),
        raw={"databricks_params": params(8)},
    )
    answer = page.get("/")
    assert "num_workers" in text(answer)
    assert groups(answer) == {
        "Databricks clusters that Mixpanel runs otherwise": [
            ("Drift", "Orders", "Shop")
        ]
    }


def test_a_connector_that_failed_is_named(page, project):
    connector = make.make_connector(project=project, failure_message="no bucket")
    make.make_connector_run(connector=connector, state="failed")
    answer = page.get("/")
    assert groups(answer) == {"Cloud connectors": [("Failed", "Signups", "Shop")]}
    assert "no bucket" in text(answer)


def test_accounts_that_are_refused_or_expire_are_named(page, owner, project):
    now = timezone.now()
    ServiceAccount.objects.update(verification="refused")
    for name, days in (("past", -1), ("soon", 5), ("later", 90)):
        make.make_service_account(
            username=name, owner=owner, expires_at=now + timedelta(days=days)
        )
    assert groups(page.get("/"))["Service accounts"] == [
        ("Refused", make.USERNAME, ""),
        ("Expired", "past", ""),
        ("Expires", "soon", ""),
    ]


def test_a_project_that_cannot_be_worked_with_is_named(page, project):
    Project.objects.update(verification="wrong_region")
    answer = page.get("/")
    assert groups(answer) == {"Projects": [("Wrong region", "Shop", "")]}
    assert not answer.context["health"][0].is_well


def test_a_poll_that_fails_is_named_and_one_that_waits_is_not(page, project):
    for name, kind in (("imports", "unreachable"), ("connectors", "waiting_rate")):
        Poll.objects.create(
            name=name, project=project, next_at=timezone.now(), error_kind=kind
        )
    assert groups(page.get("/")) == {
        "What cannot be looked at": [("Fails", "Imports", "Shop")]
    }


def test_a_silent_scheduler_is_told(page, project, scheduler):
    Beat.objects.update(at=timezone.now() - timedelta(minutes=10))
    assert list(groups(page.get("/"))) == ["The machinery"]
    scheduler.delete()
    assert "never been heard of" in text(page.get("/"))


def test_what_goes_on_is_listed_and_the_page_refreshes_itself(page, project):
    job = make.make_job(project=project)
    run = make.make_run(
        warehouse_import=make.make_import(project=project), state="running"
    )
    answer = page.get("/")
    assert job.title in text(answer)
    assert run.get_absolute_url() in text(answer)
    assert 'hx-get="/"' in text(answer)
    fragment = page.get("/", headers={"HX-Request": "true"})
    assert text(fragment).lstrip().startswith('<div id="home"')


def test_troubled_projects_come_first(page, project, owner):
    other = make.make_project(owner=owner, name="Zoo", mixpanel_id=5)
    make.make_job(project=other, state="failed")
    make.make_connector(project=project)
    health = page.get("/").context["health"]
    assert [(h.project.name, h.is_well) for h in health] == [
        ("Zoo", False),
        ("Shop", True),
    ]
    assert (health[0].jobs_troubled, health[1].connectors) == (1, 1)


def test_a_stranger_sees_nothing_of_it(project, stranger, client):
    fill(project, 1)
    client.force_login(stranger)
    answer = client.get("/")
    assert groups(answer) == {}
    assert answer.context["health"] == []
    assert answer.context["running"]["job_count"] == 0
    assert answer.context["running"]["run_count"] == 0
    assert "Shop" not in text(answer)


def fill(project, number):
    """`number` of everything that the page can show."""
    now = timezone.now()
    for n in range(number):
        base = project.pk * 1000 + n * 10
        make.make_job(project=project, state="failed")
        make.make_job(project=project)
        thing = make.make_import(project=project, name=f"I{n}", mixpanel_id=base)
        make.make_run(warehouse_import=thing, state="failed")
        running = make.make_import(project=project, name=f"R{n}", mixpanel_id=base + 1)
        make.make_run(warehouse_import=running, state="running")
        mirror = make.make_import(
            project=project,
            name=f"M{n}",
            mixpanel_id=base + 2,
            sync_mode="mirror_mode",
            databricks_params={"export_cluster_config": {"num_workers": 1}},
            raw={"databricks_params": {}},
        )
        old = now - timedelta(days=13)
        make.make_run(warehouse_import=mirror, started_at=old, ended_at=old)
        connector = make.make_connector(
            project=project, label=f"C{n}", mixpanel_id=f"c{base}"
        )
        make.make_connector_run(connector=connector, state="failed")
        Poll.objects.create(
            name=f"p{n}", project=project, next_at=now, error_kind="unreachable"
        )


def test_the_page_needs_as_many_queries_for_much_as_for_little(
    page, project, owner, django_assert_num_queries
):
    fill(project, 1)
    with CaptureQueriesContext(connection) as one:
        page.get("/")
    for n in range(10):
        fill(make.make_project(owner=owner, name=f"P{n}", mixpanel_id=n + 1), 3)
    assert Job.objects.count() > 50
    with django_assert_num_queries(len(one)):
        answer = page.get("/")
    assert "And more." in text(answer)


def test_no_page_holds_inline_code_or_loads_from_elsewhere(page, project, owner):
    fill(project, 1)
    job = Job.objects.first()
    urls = [
        "/",
        "/projects/",
        "/projects/create/",
        f"/projects/{project.pk}/",
        f"/projects/{project.pk}/members/",
        f"/projects/discover/?account={project.service_account_id}",
        "/service-accounts/",
        "/service-accounts/create/",
        f"/service-accounts/{project.service_account_id}/",
        "/jobs/",
        job.get_absolute_url(),
        "/accounts/tokens/",
    ]
    for url in urls:
        answer = page.get(url)
        shown = text(answer)
        assert answer.status_code == 200, url
        assert "default-src 'none'" in answer["Content-Security-Policy"]
        assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", shown), url
        assert re.findall(r"<script(?! src=\"/static/)", shown) == [], url
        assert re.findall(r'(?:src|href)="(?:https?:)?//', shown) == [], url


def test_every_input_has_a_label_and_every_id_is_there_once(page, project):
    for url in (
        "/projects/create/",
        "/service-accounts/create/",
        f"/projects/{project.pk}/members/",
        f"/projects/{project.pk}/forget/",
        "/accounts/tokens/",
        "/jobs/",
    ):
        shown = text(page.get(url))
        ids = re.findall(r'\sid="([^"]+)"', shown)
        assert len(ids) == len(set(ids)), url
        labels = set(re.findall(r'<label[^>]* for="([^"]+)"', shown))
        fields = re.findall(r"<(?:input|select|textarea)\b[^>]*>", shown)
        for field in fields:
            if 'type="hidden"' not in field:
                assert re.search(r'\sid="([^"]+)"', field)[1] in labels, (url, field)
        for named in re.findall(r'aria-describedby="([^"]+)"', shown):
            assert set(named.split()) <= set(ids), (url, named)


def test_an_unknown_address_is_answered_in_our_words(page):
    answer = page.get("/nothing/here/")
    assert answer.status_code == 404
    assert "There is nothing here" in text(answer)
