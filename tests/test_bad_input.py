"""Nonsense at every page: a clear 4xx, nothing half-saved, and pages that still work."""

import json

import pytest
from django.apps import apps

from mixadmin.audit.models import Entry
from mixadmin.jobs.models import Job
from tests import make
from tests.test_house import OPEN, filled, patterns

NUL = "a\x00b"
LONG = "x" * 1_000_000
DEEP = "[" * 2_000 + "]" * 2_000
WORDS = (
    "name username secret password region organization_id role expires_at mixpanel_id "
    "environment token is_b2b service_account typed_name project project_id remove via "
    "warehouse_type connection more host port database user ssl_mode gcp_project_id kind "
    "source sync_mode frequency table_params databricks_json databricks_view event_name "
    "time_column_name user_column_name insert_time_column_name property_mappings "
    "group_key group_id_column connector_type label gcs_bucket gcs_prefix s3_role "
    "s3_bucket s3_region s3_prefix data_format compression accepted_warnings switch "
    "provider bucket prefix region access_key_id secret_access_key google_key files uploads "
    "start check_first credential mends insert_id_fields batch_records batch_bytes lanes "
    "concurrency first_days slice_days most_refused_percent place manifest chosen groups "
    "endpoint events send "
    "remote_objects mixpanel_ids choice candidate delete_data days next"
)
NAMES = WORDS.split()
BODIES = {
    "nothing": {},
    "empty texts": dict.fromkeys(NAMES, ""),
    "NUL": dict.fromkeys(NAMES, NUL),
    "a megabyte": {**dict.fromkeys(NAMES, "x"), "name": LONG, "label": LONG},
    "deep JSON": dict.fromkeys(NAMES, DEEP),
    "markup and emoji": dict.fromkeys(
        NAMES, "<script>alert(1)</script>🦄{{ 7|add:7 }}"
    ),
    "huge numbers": dict.fromkeys(NAMES, "9" * 400),
    "negative numbers": dict.fromkeys(NAMES, "-1"),
    "not a number": dict.fromkeys(NAMES, "NaN"),
    "JSON of other types": dict.fromkeys(NAMES, json.dumps([None, {"a": [1]}, "x"])),
    "lists": {name: ["1", "2", NUL] for name in NAMES},
}


@pytest.fixture
def things(project, sandbox, s3):
    """One of each, with the ids that the paths name."""
    make.make_import(project=project, pk=1)
    make.make_connector(project=project, pk=1)
    make.make_bucket(project=project, pk=1)
    make.make_upload(project=project, pk="6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
    make.make_ingestion(
        project=project, pk=1, upload=make.make_upload(project=project), state="ready"
    )
    make.make_job(
        project=project, pk="6f9619ff-8b86-4d01-b42d-00cf4fc964ff", target_id="1"
    )
    return project


def saved():
    """How many rows there are of everything, beside sessions."""
    models = [m for m in apps.get_models() if m._meta.app_label != "sessions"]
    return {m._meta.label: m.objects.count() for m in models}


@pytest.mark.parametrize("kind", BODIES)
def test_nonsense_in_any_form_is_no_server_error(kind, things, page):
    seen = 0
    for route in patterns():
        if route in OPEN or route.startswith("accounts/sign-out"):
            continue
        path = filled(route, things)
        before = saved()
        jobs, entries = Job.objects.count(), Entry.objects.count()
        answer = page.post(path, BODIES[kind])
        assert answer.status_code < 500 or answer.status_code == 502, path
        if answer.status_code >= 400:
            assert saved() == before, path
            assert (Job.objects.count(), Entry.objects.count()) == (jobs, entries)
        seen += 1
    assert seen > 50


@pytest.mark.parametrize("text", [NUL, "x" * 5_000, "💥", "-1", "NaN", "'\"<>", "%00"])
def test_nonsense_in_any_query_is_no_server_error(text, things, page):
    names = [
        "q",
        "state",
        "kind",
        "sync_mode",
        "source",
        "project",
        "after",
        "order",
        "path",
        "from",
    ]
    for route in patterns():
        if route in OPEN or route.startswith("accounts/sign-out"):
            continue
        path = filled(route, things)
        answer = page.get(path, dict.fromkeys(names, text))
        assert answer.status_code < 500, path


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"a=%ff%fe", b"&" * 10_000, b"=" * 100], ids=repr
)
def test_a_body_that_is_no_form_is_no_server_error(body, things, page):
    for route in patterns():
        if route in OPEN or route.startswith("accounts/sign-out"):
            continue
        for content_type in ("application/x-www-form-urlencoded", "text/weird"):
            path = filled(route, things)
            answer = page.generic("POST", path, body, content_type=content_type)
            assert answer.status_code < 500, path


def test_every_page_still_answers_after_odd_names_were_saved(
    project, page, owner, sandbox, s3
):
    """What was saved comes out as text, whatever it looks like."""
    odd = "<img src=x onerror=alert(1)> {{ 7|add:7 }} ‮ 🦄"
    make.make_import(project=project, pk=1, name=odd, raw={"x": odd})
    make.make_connector(project=project, pk=1, label=odd, failure_message=odd)
    ingestion = make.make_ingestion(
        project=project,
        pk=1,
        name=odd,
        state="needs_decision",
        upload=make.make_upload(project=project),
        error_kind="files_failed",
        error_message=odd,
    )
    ingestion.files.update(name=odd, path=odd, error_kind=odd[:40], error_message=odd)
    make.make_unsettled_batch(ingestion=ingestion, error_message=odd)
    make.make_rejected_group(
        ingestion=ingestion,
        code=odd[:60],
        field=odd,
        message=odd,
        examples=[{"file": odd, "line": 1, "record": odd}],
    )
    make.make_bucket(project=project, pk=1, name=odd, verification_detail=odd)
    s3.put_object(Bucket="acme", Key="odd", Body=b"x")
    s3.put_object(Bucket="acme", Key=odd, Body=b"x")
    upload = make.make_upload(project=project, name=odd)
    make.make_ingestion(project=project, upload=upload, name=odd)
    make.make_job(
        project=project,
        pk="6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        title=odd,
        state="failed",
        error_kind="bad_request",
        error_message=odd,
        error_raw=odd,
    )
    seen = 0
    for route in patterns():
        if route in OPEN or "sign-out" in route:
            continue
        answer = page.get(filled(route, project))
        assert answer.status_code in (200, 302, 404, 405, 409), route
        html = getattr(answer, "content", b"").decode()
        assert "<img src=x" not in html, route
        seen += answer.status_code == 200
    assert seen > 20
