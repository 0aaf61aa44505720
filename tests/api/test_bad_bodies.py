"""Anything at all is sent to every operation that writes: never a 5xx, nothing half-saved."""

import json

import pytest
from rest_framework.test import APIClient

from tests import make
from tests.api.bodies import BODIES, HOSTILE, VALUES

# These may be done with an empty body.
WITHOUT_FIELDS = {
    "project_verify",
    "service_account_verify",
    "service_account_destroy",
    "organization_destroy",
    "warehouse_import_pause",
    "warehouse_import_resume",
    "warehouse_import_run",
    "job_retry",
    "job_cancel",
    "job_dismiss",
    "token_destroy",
    "saved_view_destroy",
    "member_destroy",
    "warehouse_source_forget",
    "warehouse_import_forget",
    "connector_forget",
    "upload_destroy",
    "ingestion_start",
    "ingestion_pause",
    "ingestion_resume",
    "ingestion_cancel",
    "ingestion_retry",
    "ingestion_pass_gate",
    "bucket_verify",
    "lookup_version_send",
}
# Their body is the content of a file; tests/files and tests/lookups have what may be
# wrong with it.
STREAMS = {"upload_partial_update"}
FILES = {"lookup_file_update"}


@pytest.fixture
def browser(owner):
    """Signed in with a session, which may make tokens too."""
    client = APIClient()
    client.force_login(owner)
    return client


@pytest.fixture
def writes(operations):
    kept_out = STREAMS | FILES
    return [(m, a, n) for m, a, n in operations if m != "GET" and n not in kept_out]


def check_shape(answer):
    body = answer.json()
    assert set(body) == {"type", "errors"}
    assert body["type"] in ("validation_error", "client_error")
    assert body["errors"]
    for error in body["errors"]:
        assert set(error) >= {"code", "detail", "attr"}
        assert error["code"]
        assert error["detail"]


def test_every_operation_that_writes_is_in_the_table(writes):
    names = {name for _, _, name in writes}
    assert set(BODIES) | WITHOUT_FIELDS == names


def test_what_is_no_body_is_refused_and_saves_nothing(browser, writes, count_rows):
    before = count_rows()
    for method, address, name in writes:
        if method == "DELETE" and name in WITHOUT_FIELDS:
            continue  # It reads no body.
        for body in HOSTILE:
            answer = browser.generic(
                method, address, body, content_type="application/json"
            )
            assert answer.status_code in (400, 413), (name, body[:60], answer.content)
            check_shape(answer)
    assert count_rows() == before


def test_unknown_fields_are_refused_everywhere(browser, writes, count_rows):
    before = count_rows()
    for method, address, name in writes:
        if method == "DELETE" and name in WITHOUT_FIELDS:
            continue
        body = {**BODIES.get(name, {}), "is_superuser": True}
        answer = browser.generic(
            method, address, json.dumps(body), content_type="application/json"
        )
        assert answer.status_code == 400, (name, answer.content)
        assert "is_superuser" in [e["attr"] for e in answer.json()["errors"]], name
    assert count_rows() == before


@pytest.mark.parametrize("name", sorted(BODIES))
def test_any_value_in_any_field_is_answered(browser, writes, name, project):
    method, address = next((m, a) for m, a, n in writes if n == name)
    for field in BODIES[name]:
        for value in VALUES:
            body = json.dumps({**BODIES[name], field: value})
            answer = browser.generic(
                method, address, body, content_type="application/json"
            )
            assert answer.status_code < 500, (field, body[:80], answer.content[:300])
            if answer.status_code in (400, 409):
                check_shape(answer)


def test_no_value_poisons_a_page(api, operations, project):
    """After the worst that is accepted, every list and every row still shows."""
    worst = "x 🙂 ‮ <script>{{ 7*7 }}</script> ' \" \\ %s"
    listed = [
        ("projects/", {"name": worst, "mixpanel_id": 2**53 - 1, "region": "in"}),
        (
            "service-accounts/",
            {
                "username": worst,
                "secret": worst,
                "region": "eu",
                "role": worst[:60],
                "organization_id": 2**53 - 1,
            },
        ),
        (
            f"projects/{project.pk}/buckets/",
            {**BODIES["bucket_create"], "name": worst},
        ),
        (
            f"projects/{project.pk}/connectors/",
            {**BODIES["connector_create"], "label": worst},
        ),
        (
            f"projects/{project.pk}/warehouse-sources/",
            {**BODIES["warehouse_source_create"], "name": worst},
        ),
    ]
    for address, body in listed:
        answer = api.post(f"/api/v1/{address}", body)
        assert answer.status_code in (201, 202), answer.content
    for method, address, name in operations:
        if method == "GET":
            assert api.get(address).status_code == 200, name


def test_the_rows_of_a_project_with_odd_numbers_show(api, project):
    row = make.make_import(project=project, run_every=-5, raw={"odd": [None, 1.5]})
    shown = api.get(f"/api/v1/projects/{project.pk}/imports/{row.pk}/").json()
    assert shown["frequency"] is None
