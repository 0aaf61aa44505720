"""The catalogue: every cause has a page, which says what fails of it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mixadmin.common.causes import CAUSES
from mixadmin.common.states import Presence, RunState
from mixadmin.errors.queries import failing
from mixadmin.jobs.models import Job
from tests import make


def path(code):
    return reverse("errors:detail", args=[code])


def test_every_cause_has_a_page(page, project):
    for code, cause in CAUSES.items():
        answer = page.get(path(code))
        assert answer.status_code == 200, code
        html = answer.content.decode()
        assert f"<code>{code}</code>" in html
        assert cause.evidence_words in html


def test_the_list_has_every_cause_by_area(page, project):
    html = page.get(reverse("errors:list")).content.decode()

    for code in CAUSES:
        assert f'href="{path(code)}"' in html
    assert "None of them holds anything" in html


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ("VPC perimeter", {"bigquery.perimeter"}),
        ("Stream MIXPANEL.S9 is stale", {"snowflake.stream_stale"}),
        ("snowflake.integration", {"snowflake.integration"}),
        ("no such words at all", set()),
    ],
)
def test_a_search_finds_words_codes_and_messages(page, project, words, codes):
    html = page.get(reverse("errors:list"), {"q": words}).content.decode()

    found = {code for code in CAUSES if f'href="{path(code)}"' in html}
    assert found >= codes and len(found) <= len(codes) + 2
    assert ("mixadmin does not know this one" in html) == (not codes)


def test_one_area_or_only_what_fails_is_shown(page, project):
    make.make_job(project=project, state="failed", error_kind="not_authenticated")
    area = page.get(reverse("errors:list"), {"area": "redshift"}).content.decode()
    fails = page.get(reverse("errors:list"), {"show": "failing"}).content.decode()

    assert path("redshift.grant") in area and path("rate_limited") not in area
    assert path("not_authenticated") in fails and path("redshift.grant") not in fails
    assert page.get(reverse("errors:list"), {"area": "mars"}).status_code == 400


def test_a_cause_that_nobody_knows_has_no_page(page, project):
    assert page.get(path("no.such")).status_code == 404


def fail_everything(project, owner, n):
    """One of each sort that can fail."""
    now = timezone.now()
    make.make_job(
        project=project,
        title=f"job {n}",
        state="failed",
        error_kind="not_found",
        error_message="Lookup table with id '1' was not found.",
    )
    source = project.warehouse_sources.first() or make.make_source(project=project)
    row = make.make_import(
        project=project, source=source, name=f"failed {n}", mixpanel_id=n
    )
    make.make_run(warehouse_import=row, state=RunState.FAILED)
    make.make_import(
        project=project,
        source=source,
        name=f"gone {n}",
        mixpanel_id=1_000 + n,
        presence=Presence.MISSING,
    )
    make.make_import(
        project=project,
        source=source,
        name=f"mirror {n}",
        mixpanel_id=2_000 + n,
        sync_mode="mirror_mode",
        paused_elsewhere=True,
    )
    mirror = project.warehouse_imports.get(name=f"mirror {n}")
    long_ago = now - timedelta(days=13)
    make.make_run(warehouse_import=mirror, started_at=long_ago, ended_at=long_ago)
    connector = make.make_connector(project=project, label=f"c{n}", mixpanel_id=f"{n}")
    make.make_connector_run(
        connector=connector,
        state=RunState.FAILED,
        error_message="No compression specified but Gzip detected.",
    )
    upload = make.make_upload(project=project, owner=owner, name=f"u{n}")
    ingestion = make.make_ingestion(
        project=project,
        upload=upload,
        name=f"load {n}",
        state="failed",
        error_kind="files_failed",
        ended_at=now,
    )
    ingestion.files.update(error_kind="file.cut", state="failed")
    make.make_rejected_group(ingestion=ingestion, code="event.time.future", count=3)
    make.make_rejected_group(
        ingestion=ingestion,
        code="refused",
        message="'properties.time' is invalid: must not be in the future",
        count=4,
    )
    table = make.make_lookup_table(
        project=project, name=f"l{n}", mixpanel_id=f"uuid-{n}"
    )
    make.make_lookup_version(
        table=table,
        state="refused",
        refused_rows=[{"index": 2, "message": "primary key is required"}],
    )
    make.make_service_account(
        username=f"a{n}", owner=owner, expires_at=now - timedelta(days=1)
    )
    make.make_project(
        owner=owner,
        service_account=project.service_account,
        name=f"p{n}",
        mixpanel_id=500_000 + n,
        verification="wrong_region",
    )


def test_what_fails_is_found_under_its_cause(page, project, owner):
    fail_everything(project, owner, 1)

    found = failing(owner)

    assert {code: [t.title for t in things] for code, things in found.items()} == {
        "lookup.not_found": ["job 1"],
        "run.no_reason": ["failed 1"],
        "missing": ["gone 1"],
        "paused_elsewhere": ["mirror 1"],
        "mirror.expired": ["mirror 1"],
        "connector.gzip_unannounced": ["c1"],
        "files_failed": ["load 1"],
        "file.cut": ["events.ndjson"],
        "event.time.future": ["load 1"],
        "lookup.key.blank": ["l1"],
        "account_expired": ["a1"],
        "wrong_region": ["p1"],
    }
    assert found["event.time.future"][0].records == 7
    html = page.get(path("event.time.future")).content.decode()
    assert "load 1" in html and "7 records" in html


def test_it_takes_as_many_queries_for_ten_as_for_one(page, project, owner):
    counts = []
    for numbers in (range(1), range(1, 10)):
        for n in numbers:
            fail_everything(project, owner, n)
        with CaptureQueriesContext(connection) as queries:
            html = page.get(reverse("errors:list")).content.decode()
        counts.append(len(queries))
    assert "10 failing" in html
    assert counts[0] == counts[1] <= 18, counts


def test_a_stranger_sees_nothing_of_it(project, owner, stranger):
    fail_everything(project, owner, 1)

    assert failing(stranger) == {}


def test_a_job_that_waits_for_its_turn_is_no_error(project, owner):
    make.make_job(project=project, state="waiting", error_message="Its turn comes.")
    make.make_job(
        project=project,
        state="waiting",
        error_message="All 5 of runs by hand in an hour are used; the next is free then.",
    )

    assert list(failing(owner)) == ["manual_runs"]


def test_an_old_end_is_not_told_any_more(project, owner):
    make.make_ingestion(
        project=project,
        state="failed",
        error_kind="books",
        ended_at=timezone.now() - timedelta(days=8),
    )

    assert failing(owner) == {}


def test_the_api_names_the_cause_and_its_page(api, project):
    job = make.make_job(project=project, state="failed", error_kind="bad_request")
    Job.objects.filter(pk=job.pk).update(error_message="s3_region is odd")
    error = api.get(f"/api/v1/jobs/{job.pk}/").json()["error"]

    assert error["code"] == "bad_request"
    assert error["url"] == path("bad_request")
    assert error["message"] == "s3_region is odd"


def test_an_unknown_error_is_told_as_unknown(api, project):
    job = make.make_job(
        project=project, state="failed", error_kind="odd", error_message="Odd."
    )
    error = api.get(f"/api/v1/jobs/{job.pk}/").json()["error"]

    assert (error["code"], error["kind"]) == ("unknown", "odd")
