"""The list of jobs: order, views, many at once, and as a file."""

import csv
import io
from datetime import timedelta

import pytest
from django.urls import reverse

from mixadmin.audit.models import Entry
from mixadmin.common.clock import db_now
from mixadmin.jobs.models import Job
from tests import make

LIST = "/jobs/"
BULK = "/jobs/bulk/"


@pytest.mark.parametrize("sort", ["asked", "title", "state", "attempts"])
@pytest.mark.parametrize("way", ["", "-"])
def test_every_order_shows_every_job_once_both_ways(page, project, sort, way):
    now = db_now()
    for n in range(120):
        make.make_job(
            project=project,
            title=f"Job {n % 7}",
            state=("failed", "queued", "succeeded")[n % 3],
            attempt_count=n % 4,
            created_at=now - timedelta(seconds=n // 10),
        )
    url, seen, pages = f"{LIST}?sort={way}{sort}", [], []
    while url:
        found = page.get(url).context["paged"]
        assert found.first == len(seen) + 1
        seen += [job.pk for job in found.rows]
        pages.append(found)
        url = found.next_url
    assert len(seen) == len(set(seen)) == 120
    order = pages[0].rows[0].__class__.objects.all()
    sorted_both = {
        "asked": ("-created_at", "-pk"),
        "title": ("title", "pk"),
        "state": ("state", "-created_at", "-pk"),
        "attempts": ("-attempt_count", "-created_at", "-pk"),
    }[sort]
    order = order.order_by(*sorted_both)
    order = order.reverse() if way else order
    assert seen == list(order.values_list("pk", flat=True))
    back = page.get(pages[-1].previous_url).context["paged"]
    assert back.rows == pages[-2].rows
    assert (back.first, back.total) == (51, 120)


def test_the_head_says_how_a_list_is_sorted_and_turns_it(page, project):
    make.make_job(project=project)
    shown = page.get(f"{LIST}?q=Create&sort=title").text
    assert 'aria-sort="ascending"' in shown
    assert 'href="/jobs/?q=Create&amp;sort=-title"' in shown
    assert 'aria-sort="descending"' in page.get(f"{LIST}?sort=-title").text
    assert page.get(f"{LIST}?sort=nonsense").status_code == 400


def test_who_types_gets_the_part_that_changes_and_its_url(page, project):
    make.make_job(project=project, state="failed", title="Other")
    make.make_job(project=project)
    asked = {"HX-Request": "true", "HX-Trigger": "filters"}
    answer = page.get(f"{LIST}?q=Oth&project=&state=", headers=asked)
    assert answer["HX-Replace-Url"] == "/jobs/?q=Oth"
    assert "<html" not in answer.text
    assert 'id="tallies" hx-swap-oob="true"' in answer.text
    assert "Remove the filter Words: Oth" in answer.text
    assert "1 failed" in answer.text
    assert "queued" not in answer.text
    assert "HX-Replace-Url" not in page.get(LIST, headers={"HX-Request": "true"})


def test_no_match_leads_back_to_the_whole_list(page, project):
    make.make_job(project=project)
    shown = page.get(f"{LIST}?q=nothing&sort=title").text
    assert "No job fits these filters." in shown
    assert '<a class="button" href="/jobs/?sort=title">Clear the filters</a>' in shown


# --- Many at once


def bulk(client, verb, jobs=(), query="", **more):
    ids = [str(getattr(job, "pk", job)) for job in jobs]
    return client.post(f"{BULK}?{query}", {"verb": verb, "id": ids, **more})


def make_failed(project, **changes):
    """A job that can be tried again."""
    row = project.warehouse_imports.first() or make.make_import(project=project)
    fields = {
        "task": "warehouse.patch_import",
        "target_type": "warehouse.warehouseimport",
        "target_id": str(row.pk),
        "state": "failed",
        "params": {"paused": True},
        **changes,
    }
    return make.make_job(project=project, **fields)


def test_a_review_tells_and_does_nothing(page, project):
    failed = [make_failed(project, title=f"F{n}") for n in range(2)]
    done = make.make_job(project=project, state="succeeded", title="S")
    answer = bulk(page, "retry", [*failed, done])
    assert answer.status_code == 200
    assert "Retry 2 jobs?" in answer.text
    assert "2 will be tried again" in answer.text
    assert "1 would be refused" in answer.text
    assert "A job that is succeeded cannot be tried again." in answer.text
    assert set(Job.objects.values_list("state", flat=True)) == {"failed", "succeeded"}
    assert not Entry.objects.exists()


def test_what_was_confirmed_is_done_one_by_one_and_told(page, project):
    failed = make_failed(project)
    moved_on = make.make_job(project=project, state="sending", title="M")
    answer = bulk(page, "retry", [failed, moved_on, failed], sure="1")
    assert "1 is tried again" in answer.text
    assert "1 was refused" in answer.text
    assert "A job that is sending cannot be tried again." in answer.text
    failed.refresh_from_db()
    moved_on.refresh_from_db()
    assert (failed.state, moved_on.state) == ("queued", "sending")
    assert Entry.objects.get().verb == "retried"


def test_put_aside_counts_what_is_aside_already(page, project):
    jobs = [make.make_job(project=project, state="failed") for _ in range(3)]
    Job.objects.filter(pk=jobs[0].pk).update(dismissed=True)
    answer = bulk(page, "dismiss", jobs)
    assert "Put aside 2 jobs?" in answer.text
    assert "1 is put aside already" in answer.text
    assert bulk(page, "dismiss", jobs, sure="1").status_code == 200
    assert Job.objects.filter(dismissed=True).count() == 3


def test_all_that_match_are_those_of_the_filters(page, project):
    for n in range(60):
        make.make_job(project=project, state="failed", title=f"Bad {n}")
    make.make_job(project=project, state="failed", title="Good")
    answer = bulk(page, "dismiss", query="q=Bad&state=failed", all="1")
    assert "Put aside 60 jobs?" in answer.text
    ids = [line.key for line in answer.context["done"]]
    make.make_job(project=project, state="failed", title="Bad, and new")
    told = bulk(page, "dismiss", ids, query="q=Bad&state=failed", all="1", sure="1")
    assert "60 are put aside" in told.text
    assert "1 job more" in told.text
    left = Job.objects.filter(dismissed=False).values_list("title", flat=True)
    assert set(left) == {"Good", "Bad, and new"}


def test_a_set_has_its_limit_and_is_not_empty(page, project):
    now = db_now()
    Job.objects.bulk_create(
        Job(
            task="x",
            op="absolute",
            title=f"J{n}",
            project=project,
            state="failed",
            created_at=now,
            run_after=now,
            deadline_at=now,
        )
        for n in range(501)
    )
    answer = bulk(page, "dismiss", all="1")
    assert answer.status_code == 409
    assert "501 jobs; at most 500" in answer.text
    assert bulk(page, "dismiss").status_code == 409
    assert bulk(page, "dismiss", ["nonsense"]).status_code == 400
    assert bulk(page, "explode", Job.objects.all()[:1]).status_code == 400
    assert page.get(BULK).status_code == 405


def test_a_viewer_is_refused_each_and_a_stranger_finds_none(
    project, viewer, stranger, client
):
    job = make.make_job(project=project, state="failed", title="Secret title")
    client.force_login(viewer)
    answer = bulk(client, "dismiss", [job], sure="1")
    assert "needs the role editor" in answer.text
    client.force_login(stranger)
    answer = bulk(client, "dismiss", [job], sure="1")
    assert "There is no such thing." in answer.text
    assert "Secret title" not in answer.text
    job.refresh_from_db()
    assert not job.dismissed


# --- As a file


def test_the_file_holds_what_the_list_shows(page, project, owner):
    for n in range(70):
        make.make_job(project=project, state="failed", title=f"=Job {n}", actor=owner)
    make.make_job(project=project, state="queued")
    answer = page.get(f"{LIST}?state=failed&sort=title&export=csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert 'filename="jobs-' in answer["Content-Disposition"]
    text = b"".join(answer.streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 70
    assert rows[0]["Job"] == "'=Job 0"
    assert {row["State"] for row in rows} == {"Failed"}
    assert rows[0]["Asked by"] == "owner"
    assert rows[0]["Asked at (UTC)"].endswith("+00:00")
    assert reverse("jobs:list") + "?state=failed&amp;sort=title&amp;export=csv" in (
        page.get(f"{LIST}?state=failed&sort=title").text
    )
