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


def told(answer):
    """What each incident says: (label, about, the affected, how many)."""
    return [
        (i.label, i.about, [thing.title for thing in i.things], i.count)
        for i in answer.context["incidents"]
    ]


def titles(lines):
    return [(item.label, item.title, item.project) for item in lines.items]


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
    assert told(answer) == []
    assert "Nothing needs you." in text(answer)
    assert "Nothing is going on." in text(answer)
    assert "every 30s" in text(answer)


def test_who_has_nothing_yet_is_told_how_to_begin(page):
    assert "/service-accounts/create/" in text(page.get("/"))


# --- Incidents ------------------------------------------------------------------------


def test_what_one_refused_account_stops_is_one_incident(page, project):
    account = project.service_account
    ServiceAccount.objects.update(verification="refused")
    for n in range(6):
        make.make_job(
            project=project,
            service_account=account,
            state="failed",
            title=f"Job {n}",
            error_kind="not_authenticated",
        )
    make.make_job(
        project=project,
        service_account=account,
        state="waiting",
        wait_reason="credential",
    )
    Poll.objects.create(
        name="warehouse",
        project=project,
        next_at=timezone.now(),
        error_kind="not_authenticated",
    )
    answer = page.get("/")
    (incident,) = answer.context["incidents"]
    assert (incident.label, incident.about) == ("Refused", make.USERNAME)
    assert incident.title == "Mixpanel does not know these credentials"
    assert (incident.count, len(incident.things), incident.more) == (8, 4, 4)
    assert incident.fix_url == f"/service-accounts/{account.pk}/secret/"
    assert "and 4 more" in text(answer)


def test_jobs_that_failed_of_different_causes_are_different_incidents(page, project):
    account = project.service_account
    for kind in ("bad_request", "bad_request", "too_large", "not_found"):
        make.make_job(
            project=project, service_account=account, state="failed", error_kind=kind
        )
    make.make_job(project=project, state="failed", dismissed=True)
    make.make_job(project=project, state="succeeded")
    found = page.get("/").context["incidents"]
    assert sorted((i.code, i.count) for i in found) == [
        ("bad_request", 2),
        ("not_found", 1),
        ("too_large", 1),
    ]


def test_failing_imports_of_one_warehouse_are_one_incident(page, project):
    now = timezone.now()
    source = make.make_source(project=project, name="Lake")
    for n in range(6):
        row = make.make_import(
            project=project, source=source, name=f"I{n}", mixpanel_id=n
        )
        for hours, state in ((30, "failed"), (20, "succeeded"), (9, "failed")):
            at = now - timedelta(hours=hours + n / 10)
            make.make_run(warehouse_import=row, state=state, started_at=at, ended_at=at)
    answer = page.get("/")
    (incident,) = answer.context["incidents"]
    assert (incident.about, incident.count, incident.more) == ("Lake", 6, 2)
    # When the first run after the last good one failed.
    assert incident.since == now - timedelta(hours=9.5)
    shown = page.get(incident.more_url).context["lines"]
    assert len(shown) == 6


def test_the_only_failing_import_leads_to_its_run(page, project):
    row = make.make_import(project=project)
    run = make.make_run(warehouse_import=row, state="failed")
    healed = make.make_import(project=project, name="Healed", mixpanel_id=2)
    for minutes, state in ((0, "failed"), (5, "succeeded")):
        at = timezone.now() + timedelta(minutes=minutes)
        make.make_run(warehouse_import=healed, state=state, started_at=at)
    # The job that asked for the failed run says nothing more.
    job = make.make_job(project=project, state="failed", error_kind="run_failed")
    make.change_run(run, job=job)
    (incident,) = page.get("/").context["incidents"]
    assert [thing.title for thing in incident.things] == ["Orders"]
    assert incident.fix_url == run.get_absolute_url()


def test_what_is_gone_or_paused_elsewhere_is_told(page, project):
    make.make_import(project=project, name="A", mixpanel_id=1, presence="missing")
    make.make_import(
        project=project, name="B", mixpanel_id=2, paused=True, paused_elsewhere=True
    )
    make.make_connector(project=project, presence="missing")
    answer = page.get("/")
    assert sorted(told(answer)) == [
        ("Gone", "Shop", ["A"], 1),
        ("Gone", "Shop", ["Signups"], 1),
        ("Paused elsewhere", "Shop", ["B"], 1),
    ]
    for incident in answer.context["incidents"]:
        assert page.get(incident.fix_url).status_code == 200
        assert len(page.get(incident.more_url).context["lines"]) == 1


def test_a_cluster_that_mixpanel_runs_otherwise_is_told(page, project):
    def params(n):
        return {"export_cluster_config": {"num_workers": n}}

    make.make_import(
        project=project,
        databricks_params=params(2),
        raw={"databricks_params": params(8)},
    )
    answer = page.get("/")
    assert told(answer) == [("Drift", "Shop", ["Orders"], 1)]
    assert "num_workers" in text(answer)


def test_connectors_that_failed_are_told_by_cause(page, project):
    for n, message in enumerate(["no such bucket", "no such bucket", "AccessDenied"]):
        connector = make.make_connector(
            project=project, label=f"C{n}", mixpanel_id=f"c{n}", failure_message=message
        )
        make.make_connector_run(connector=connector, state="failed")
    answer = page.get("/")
    assert sorted(told(answer)) == [
        ("Failed", "Shop", ["C1", "C0"], 2),
        ("Failed", "Shop", ["C2"], 1),
    ]
    assert "no such bucket" in text(answer)


def test_a_project_that_cannot_be_worked_with_is_told(page, project):
    Project.objects.update(verification="wrong_region")
    answer = page.get("/")
    assert told(answer) == [("Wrong region", "Shop", ["Shop"], 1)]
    assert not answer.context["health"][0].is_well


def test_a_poll_that_fails_is_told_and_one_that_waits_is_not(page, project):
    for name, kind in (("imports", "unreachable"), ("connectors", "waiting_rate")):
        Poll.objects.create(
            name=name, project=project, next_at=timezone.now(), error_kind=kind
        )
    assert told(page.get("/")) == [("Failed", make.USERNAME, ["Polling of imports"], 1)]


def test_an_ingestion_that_did_not_end_well_is_told_for_a_day(page, project):
    now = timezone.now()
    for name, hours in (("Today", 2), ("Long ago", 30)):
        make.make_ingestion(
            project=project,
            name=name,
            state="failed",
            error_kind="file_missing",
            ended_at=now - timedelta(hours=hours),
        )
    assert told(page.get("/")) == [("Failed", "Shop", ["Today"], 1)]


def test_a_silent_scheduler_is_told_first(page, project, scheduler):
    ServiceAccount.objects.update(verification="refused")
    Beat.objects.update(at=timezone.now() - timedelta(minutes=10))
    assert [i.label for i in page.get("/").context["incidents"]] == [
        "Silent",
        "Refused",
    ]
    scheduler.delete()
    assert "never been heard of" in text(page.get("/"))


# --- What waits, and what will go wrong -----------------------------------------------


def test_what_waits_for_a_decision_is_told(page, project):
    decision = {"why": "Two look alike.", "candidates": []}
    make.make_job(project=project, state="needs_decision", decision=decision)
    make.make_job(project=project, state="failed")
    make.make_ingestion(project=project, name="Checked", state="ready")
    answer = page.get("/")
    labels = [item.label for item in answer.context["decisions"].items]
    assert labels == ["Needs a decision", "Checked, not sent"]
    assert "Two look alike." in text(answer)


def test_a_mirror_that_will_die_counts_down(page, project):
    source = make.make_source(project=project, warehouse_type="snowflake")
    for days, name in ((1, "Fresh"), (13, "Late"), (12, "Later")):
        mirror = make.make_import(
            project=project,
            source=source,
            name=name,
            mixpanel_id=days,
            sync_mode="mirror_mode",
        )
        at = timezone.now() - timedelta(days=days)
        make.make_run(warehouse_import=mirror, started_at=at, ended_at=at)
    found = titles(page.get("/").context["mirrors"])
    assert [title for _, title, _ in found] == ["Late", "Later"]
    assert re.fullmatch(r"-?\d+ days? left|Dead", found[0][0])


def test_accounts_that_expire_tell_what_depends_on_them(page, owner, project):
    now = timezone.now()
    for name, days in (("past", -1), ("soon", 5), ("month", 25), ("later", 90)):
        make.make_service_account(
            username=name, owner=owner, expires_at=now + timedelta(days=days, hours=1)
        )
    soon = ServiceAccount.objects.get(username="soon")
    Project.objects.update(service_account=soon)
    make.make_import(project=project)
    make.make_import(project=project, name="Gone", mixpanel_id=2, presence="deleted")
    make.make_connector(project=project)
    found = page.get("/").context["expiring"]
    assert [(e.username, e.level, e.days_left) for e in found] == [
        ("past", "dead", -1),
        ("soon", "alarm", 5),
        ("month", "warn", 25),
    ]
    assert (found[1].projects, found[1].imports, found[1].connectors) == (1, 1, 1)
    assert found[1].names == ["Shop"]
    assert (found[0].projects, found[0].imports) == (0, 0)


# --- What goes on, and how the projects are -------------------------------------------


def test_what_goes_on_is_listed_and_the_page_refreshes_itself(page, project):
    job = make.make_job(project=project)
    run = make.make_run(
        warehouse_import=make.make_import(project=project), state="running"
    )
    answer = page.get("/")
    assert job.title in text(answer)
    assert run.get_absolute_url() in text(answer)
    assert "every 5s" in text(answer)
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


def test_the_health_of_a_project_adds_up(page, project):
    states = ("succeeded", "succeeded", "failed", "running", "unknown", None)
    for n, state in enumerate(states):
        row = make.make_import(project=project, name=f"I{n}", mixpanel_id=n)
        if state:
            make.make_run(warehouse_import=row, state=state)
    make.make_import(project=project, name="P", mixpanel_id=90, paused=True)
    make.make_import(project=project, name="D", mixpanel_id=91, presence="deleted")
    connector = make.make_connector(project=project)
    make.make_connector_run(connector=connector, state="failed")
    (line,) = page.get("/").context["health"]
    assert (line.imports, line.connectors) == (7, 1)
    parts = (line.running, line.failing, line.paused, line.healthy, line.doubtful)
    assert parts == (1, 2, 1, 2, 1)
    assert sum(parts) + line.new == line.imports + line.connectors


def test_a_stranger_sees_nothing_of_it(project, stranger, client):
    fill(project, 1)
    client.force_login(stranger)
    answer = client.get("/")
    assert told(answer) == []
    assert answer.context["health"] == []
    for name in ("running", "decisions", "mirrors", "expiring"):
        assert not answer.context[name]
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
    assert re.search(r"and \d+ more", text(answer))


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
