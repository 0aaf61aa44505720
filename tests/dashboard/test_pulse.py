"""What title, icon and rail tell: the same by the page and by the pulse."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from mixadmin.common.states import RunState
from mixadmin.dashboard.pulse import Pulse
from mixadmin.jobs.models import Job
from tests import make

CALM = {"words": "", "icon": "", "tallies": dict.fromkeys(Pulse().tallies, 0)}


@pytest.fixture
def busy(project):
    """Two that fail, two that need a decision, three that run."""
    make.make_run(
        warehouse_import=make.make_import(project=project, name="a", mixpanel_id=1),
        state=RunState.FAILED,
    )
    make.make_run(
        warehouse_import=make.make_import(project=project, name="b", mixpanel_id=2),
        state=RunState.RUNNING,
    )
    connector = make.make_connector(project=project)
    make.make_connector_run(connector=connector, state=RunState.QUEUED)
    upload = make.make_upload(project=project)
    make.make_ingestion(project=project, upload=upload, state="gated")
    make.make_job(project=project, state=Job.State.DEAD)
    make.make_job(project=project, state=Job.State.NEEDS_DECISION)
    make.make_job(project=project, state=Job.State.QUEUED)
    # None of these counts.
    make.make_job(project=project, state=Job.State.FAILED, dismissed=True)
    make.make_job(project=project, state=Job.State.SUCCEEDED)
    old = timezone.now() - timedelta(days=2)
    make.make_ingestion(project=project, upload=upload, state="failed", ended_at=old)
    make.make_import(project=project, name="c", mixpanel_id=3, presence="missing")
    return project


def nonzero(told):
    return {name: number for name, number in told["tallies"].items() if number}


def test_nothing_is_told_of_nothing(page, db):
    assert page.get("/pulse/").json() == CALM
    html = page.get("/jobs/").content.decode()
    assert "<title>Jobs · mixadmin</title>" in html
    assert "favicon.svg" in html.partition('rel="icon"')[2].partition(">")[0]


def test_what_fails_waits_and_runs_is_counted(page, busy):
    told = page.get(f"/pulse/?project={busy.pk}").json()
    assert told["words"] == "2 failing, 2 to decide, 3 running"
    assert told["icon"] == "failing"
    assert nonzero(told) == {
        "all.failing": 2,
        "all.decide": 2,
        "all.running": 3,
        "imports.failing": 1,
        "imports.running": 1,
        "connectors.running": 1,
        "ingestions.decide": 1,
        "jobs.failing": 1,
        "jobs.decide": 1,
        "jobs.running": 1,
        "project_jobs.failing": 1,
        "project_jobs.decide": 1,
        "project_jobs.running": 1,
    }
    assert set(told["tallies"]) == set(CALM["tallies"])


def test_a_page_tells_the_same_without_javascript(page, busy):
    html = page.get(f"/projects/{busy.pk}/imports/").content.decode()
    assert "<title>(2 failing, 2 to decide, 3 running) " in html
    link = html.partition('rel="icon"')[2].partition(">")[0]
    assert "favicon-failing.svg" in link.partition("data-")[0]
    assert f'data-pulse="/pulse/?project={busy.pk}"' in link
    told = page.get(f"/pulse/?project={busy.pk}").json()["tallies"]
    for name in ("all.failing", "imports.failing", "jobs.running", "connectors.decide"):
        tally = html.partition(f'data-tally="{name}"')[2]
        assert tally.startswith(" hidden>" if not told[name] else ">")
        assert tally.partition("<b>")[2].startswith(f"{told[name]}</b>")


def test_running_work_alone_has_an_icon_of_its_own(page, project):
    make.make_job(project=project, state=Job.State.POLLING)
    assert page.get("/pulse/").json()["icon"] == "running"


def test_what_others_have_is_not_counted(busy, stranger, client, owner):
    make.make_job(project=None, actor=owner, state=Job.State.DEAD)
    client.force_login(stranger)
    assert client.get(f"/pulse/?project={busy.pk}").json() == CALM
    own = make.make_job(project=None, actor=stranger, state=Job.State.DEAD)
    told = client.get(f"/pulse/?project={busy.pk}").json()
    assert nonzero(told) == {"all.failing": 1, "jobs.failing": 1}
    own.delete()
    make.make_project(owner=stranger, name="Blog", mixpanel_id=9, service_account=None)
    assert client.get(f"/pulse/?project={busy.pk}").json() == CALM


def test_a_superuser_counts_everything(busy, client):
    client.force_login(make.make_user("root", is_superuser=True))
    assert client.get("/pulse/").json()["words"] == "2 failing, 2 to decide, 3 running"


@pytest.mark.parametrize("project", ["", "x", "-1", "9" * 400, "１", "0", "%00x"])
def test_any_project_may_be_asked_for(page, db, project):
    assert page.get("/pulse/", {"project": project}).json() == CALM


def test_nothing_is_sent_while_it_is_the_same(page, project):
    first = page.get("/pulse/")
    again = page.get("/pulse/", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 304
    assert not again.content
    make.make_job(project=project, state=Job.State.DEAD)
    third = page.get("/pulse/", headers={"If-None-Match": first["ETag"]})
    assert third.status_code == 200
    assert json.loads(third.content)["words"] == "1 failing"


def test_a_pulse_is_one_query_beside_the_sign_in(
    page, busy, django_assert_max_num_queries
):
    with django_assert_max_num_queries(3):
        page.get(f"/pulse/?project={busy.pk}")
