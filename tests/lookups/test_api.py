"""The REST API for lookup tables has the same powers as the pages."""

import gzip
import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from mixadmin.lookups.models import LookupTable, LookupVersion

from .conftest import OLD

State = LookupVersion.State


@pytest.fixture
def address(table):
    return f"/api/v1/projects/{table.project_id}/lookup-tables/{table.pk}/"


def put(api, address, data, query="", **options):
    options = {"content_type": "text/csv", **options}
    return api.generic("PUT", f"{address}file/{query}", data, **options)


def test_a_table_is_replaced_looked_at_and_brought_back(
    api, address, run_due_jobs, at_mixpanel
):
    answer = put(api, address, OLD)
    assert answer.status_code == 202
    body = answer.json()
    assert answer["Location"].endswith(f"/jobs/{body['job']['id']}/")
    assert body["job"]["target"]["type"] == "lookup_table"
    assert (body["version"]["number"], body["version"]["state"]) == (1, "checking")
    run_due_jobs()
    one = api.get(f"{address}versions/1/").json()
    assert (one["state"], one["findings"], one["can_be_sent"]) == ("ready", [], True)
    assert one["created_by"] == "owner"
    assert api.post(f"{address}versions/1/send/").status_code == 202
    run_due_jobs()
    assert len(at_mixpanel()) == 3

    answer = put(api, address, b"sku,title\n7,Sock\n", "?send_when_clean=true")
    assert answer.status_code == 202
    run_due_jobs()
    table = api.get(address).json()
    assert table["budget"] == {"limit": 100, "left": 98, "free_at": None}
    assert (table["current"]["number"], table["state"]) == (2, "current")
    difference = api.get(f"{address}versions/2/").json()["difference"]
    assert (difference["added"], difference["removed"]) == (1, 3)
    assert difference["columns_removed"] == ["price"]

    answer = api.post(f"{address}versions/1/roll-back/", {"send_when_clean": True})
    assert answer.json()["version"]["copy_of"] == 1
    run_due_jobs()
    listed = api.get(f"{address}versions/").json()["results"]
    assert [(v["number"], v["state"]) for v in listed] == [
        (3, "current"),
        (2, "replaced"),
        (1, "replaced"),
    ]
    filtered = api.get(f"{address}versions/", {"state": "current"}).json()["results"]
    assert [v["number"] for v in filtered] == [3]
    assert len(at_mixpanel()) == 3


def test_the_same_file_may_be_put_twice(api, address, run_due_jobs):
    first = put(api, address, OLD, "?send_when_clean=true")
    again = put(api, address, OLD, "?send_when_clean=true")
    assert (first.status_code, again.status_code) == (202, 200)
    assert (
        again.json()["detail"] == "Version 1 has the same content and is being checked."
    )
    run_due_jobs()
    answer = put(api, address, OLD)
    assert (answer.status_code, answer.json()["job"]) == (200, None)
    assert answer.json()["version"]["state"] == "current"
    assert LookupVersion.objects.count() == 1


@pytest.mark.parametrize("way", ["gzip", "encoded", "multipart"])
def test_a_file_comes_in_several_ways(api, address, way):
    if way == "gzip":
        answer = put(api, address, gzip.compress(OLD), content_type="application/gzip")
    elif way == "encoded":
        answer = put(api, address, gzip.compress(OLD), HTTP_CONTENT_ENCODING="gzip")
    else:
        file = SimpleUploadedFile("a.csv", OLD, "text/csv")
        answer = api.put(f"{address}file/", {"file": file}, format="multipart")
    assert answer.status_code == 202, answer.content
    assert LookupVersion.objects.get().size == len(OLD)


@pytest.mark.parametrize(
    ("data", "options", "status", "code"),
    [
        (b"", {}, 400, "required"),
        (b"\x1f\x8bxx", {}, 400, "file.broken"),
        (b"{}", {"content_type": "application/json"}, 415, "unsupported_media_type"),
        (b"a=b", {"content_type": "application/x-www-form-urlencoded"}, 415, None),
        (b"x", {"content_type": "multipart/form-data"}, 400, None),
        (b"x", {"content_type": "multipart/form-data; boundary=y"}, 400, None),
        (b"x", {"content_type": "nonsense"}, 415, None),
        (OLD, {"CONTENT_LENGTH": "200000000"}, 413, "too_large"),
    ],
)
def test_what_is_no_file_is_refused_and_nothing_kept(
    api, address, data, options, status, code
):
    answer = put(api, address, data, **options)
    assert answer.status_code == status, answer.content
    error = answer.json()["errors"][0]
    assert error["detail"]
    if code:
        assert error["code"] == code
    assert not LookupVersion.objects.exists()


@pytest.mark.parametrize("body", [OLD, gzip.compress(OLD)], ids=["plain", "gzip"])
@pytest.mark.parametrize("missing", [1, 12])
def test_a_connection_that_was_cut_is_not_a_shorter_file(api, address, body, missing):
    options = {
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body[:-missing]),
    }
    answer = put(api, address, body, **options)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "incomplete"
    assert not LookupVersion.objects.exists()


@pytest.mark.parametrize("query", ["?send_when_clean=yes", "?send=true", "?x=1"])
def test_query_parameters_are_read_strictly(api, address, query):
    answer = put(api, address, OLD, query)
    assert answer.status_code == 400
    assert not LookupVersion.objects.exists()


def test_a_multipart_body_without_a_file_says_what_is_missing(api, address):
    answer = api.put(f"{address}file/", {"file": "text"}, format="multipart")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["detail"] == "Choose a CSV file."


def test_bad_rows_and_files_are_streamed(api, address, run_due_jobs):
    put(api, address, b"sku,title\n1\n@x,y,z\n")
    run_due_jobs()
    one = api.get(f"{address}versions/1/").json()
    assert one["state"] == "invalid"
    assert one["findings"][0]["code"] == "row.field_count"
    assert one["findings"][0]["refused"] is True
    assert one["findings"][0]["remedy"]
    rows = api.get(f"{address}versions/1/rows/", HTTP_ACCEPT="text/csv")
    assert rows.getvalue() == b"sku,title\n1\n@x,y,z\n"
    bad = api.get(f"{address}versions/1/bad-rows/").getvalue().decode()
    assert bad.splitlines()[2].endswith('"\'@x,y,z"')
    answer = api.post(f"{address}versions/1/send/")
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "would_be_refused"
    LookupVersion.objects.update(removed_at="2026-01-01T00:00:00Z")
    gone = api.get(f"{address}versions/1/rows/", HTTP_ACCEPT="text/csv")
    assert (gone.status_code, gone["Content-Type"]) == (404, "application/json")


def test_tables_are_filtered(api, address, table, run_due_jobs):
    where = address.removesuffix(f"{table.pk}/")
    assert [t["name"] for t in api.get(where).json()["results"]] == ["skus"]
    assert api.get(where, {"search": "SK"}).json()["results"]
    assert api.get(where, {"state": "missing"}).json()["results"] == []
    assert api.get(where, {"state": "new"}).json()["results"][0]["current"] is None
    assert api.get(where, {"state": "odd"}).status_code == 400
    LookupTable.objects.update(absent_since="2026-01-01T00:00:00Z")
    assert api.get(where, {"state": "missing"}).json()["results"]
    answer = put(api, address, OLD)
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "not_listed"
