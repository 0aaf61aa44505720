import io

import pytest

from mixadmin.mixpanel import errors
from mixadmin.mixpanel.lookup_tables import FailedRow
from tests.mixpanel.wire import ok, reply

ID = "ab32b74c-8d1c-4f08-9c2b-8f8f5b5f9d3e"
CSV = b"id,name\n1,a\n"
BIG = "-8123456789012345678"


@pytest.mark.parametrize(
    ("results", "count"), [([{"id": ID, "name": "skus"}], 1), ([], 0), (None, 0)]
)
def test_tables_are_listed_also_when_there_are_none(client, server, results, count):
    server.answer(reply({"code": 200, "status": "OK", "results": results}))
    found = client.lookup_tables.list()
    assert server.requests[0].target == "/us/lookup-tables?project_id=7"
    assert len(found) == count
    assert [(table.id, table.name) for table in found] == [(ID, "skus")] * count


def test_a_list_without_results_is_not_an_empty_list(client, server):
    server.answer(reply({"code": 200, "status": "OK"}))
    with pytest.raises(errors.UnexpectedResponse):
        client.lookup_tables.list()


@pytest.mark.parametrize("csv", [CSV, io.BytesIO(CSV)], ids=["bytes", "file"])
@pytest.mark.parametrize("gzipped", [False, True])
def test_a_table_is_replaced(client, server, csv, gzipped):
    server.answer(reply({"code": 200, "status": "OK"}))
    if not isinstance(csv, bytes):
        csv.seek(0)
    result = client.lookup_tables.replace(ID, csv, gzipped=gzipped)
    request = server.requests[0]
    assert result.ok is True
    assert request.method == "PUT"
    assert request.target == f"/us/lookup-tables/{ID}?project_id=7"
    assert request.headers["content-type"] == "text/csv"
    assert request.headers.get("content-encoding") == ("gzip" if gzipped else None)
    assert request.body == CSV


@pytest.mark.parametrize(
    "more", [{"code": 400, "status": "Bad Request"}, {"status": 0}], ids=["new", "old"]
)
def test_both_forms_of_a_refusal_name_the_rows(client, server, more):
    rows = [{"index": 2, "message": "primary key is required"}, {"index": 3}]
    server.answer(reply({"error": "Some failed", "failed_records": rows, **more}, 400))
    result = client.lookup_tables.replace(ID, CSV)
    assert (result.ok, result.error) == (False, "Some failed")
    assert result.failed == (
        FailedRow(index=2, message="primary key is required"),
        FailedRow(index=3, message=""),
    )


def test_a_missing_table_is_told_by_the_http_status(client, server):
    server.answer(
        reply(
            {
                "code": 200,
                "error": "Lookup table was not found.",
                "status": "Not Found",
            },
            404,
        )
    )
    with pytest.raises(errors.NotFound, match="was not found"):
        client.lookup_tables.replace(ID, CSV)


@pytest.mark.parametrize(
    ("status", "kind"), [(413, errors.TooLarge), (429, errors.RateLimited)]
)
def test_limits_are_told_by_type(client, server, status, kind):
    server.answer(reply({"code": status}, status))
    with pytest.raises(kind):
        client.lookup_tables.replace(ID, CSV)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"status": 0}, {"status": "error"}, [], {"status": "OK", "failed_records": [{}]},
     b"<html>", b""],
)  # fmt: skip
def test_a_200_that_is_no_yes_leaves_it_open(client, server, body):
    server.answer(reply(body))
    with pytest.raises(errors.UnexpectedResponse):
        client.lookup_tables.replace(ID, CSV)


@pytest.mark.parametrize("csv", [b"", io.BytesIO(), io.StringIO("id\n1\n")])
def test_what_is_not_a_file_is_refused(client, server, csv):
    with pytest.raises((TypeError, ValueError)):
        client.lookup_tables.replace(ID, csv)
    assert server.requests == []


BASE = "/us/api/app/projects/7/data-definitions/lookup-tables/"


def test_the_whole_life_of_a_table(client, server):
    link = server.url + "/us/upload/x?signature=verysecret"
    place = {"url": link, "path": "gs/x.csv", "key": "k1"}
    server.answer(ok(place))
    found = client.lookup_tables.upload_url()
    assert server.requests[0].target == BASE + "upload-url/?content-type=text/csv" or (
        server.requests[0].target == BASE + "upload-url/?content-type=text%2Fcsv"
    )
    assert "verysecret" not in repr(found) + repr(found.raw)

    server.answer(reply(b"", 200))
    client.lookup_tables.upload(found, CSV)
    request = server.requests[0]
    assert (request.method, request.target) == (
        "PUT",
        "/us/upload/x?signature=verysecret",
    )
    assert request.body == CSV
    assert request.headers["content-type"] == "text/csv"
    assert "authorization" not in request.headers
    assert "x-request-id" not in request.headers

    server.answer(ok({"uploadId": 99}))
    upload = client.lookup_tables.create_from_upload("skus", found)
    request = server.requests[0]
    assert (request.method, request.target) == ("POST", BASE)
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.body == b"name=skus&path=gs%2Fx.csv&key=k1"
    assert (upload.table_id, upload.upload_id) == ("", "99")

    server.answer(ok({"uploadStatus": "SUCCESS", "result": {"id": int(BIG)}}))
    upload = client.lookup_tables.upload_status("99")
    assert server.requests[0].target == BASE + "upload-status/?upload-id=99"
    assert (upload.table_id, upload.status) == (BIG, "SUCCESS")

    server.answer(ok([{"data-group-id": int(BIG), "name": "skus"}, {"id": "5"}]))
    found = client.lookup_tables.list_definitions()
    assert server.requests[0].target == BASE
    assert [(table.id, table.name) for table in found] == [(BIG, "skus"), ("5", "")]

    server.answer(reply(b"", 204))
    client.lookup_tables.delete_definitions([BIG])
    assert server.requests[0].method == "DELETE"
    assert server.requests[0].json() == {"data-group-ids": [int(BIG)]}


def test_a_table_can_be_replaced_by_an_upload(client, server):
    server.answer(ok({"url": server.url + "/x", "path": "p", "key": "k"}))
    place = client.lookup_tables.upload_url()
    server.answer(ok({"id": int(BIG)}))
    made = client.lookup_tables.create_from_upload("skus", place, replace_id=BIG)
    assert server.requests[0].body.endswith(f"data-group-id={BIG}".encode())
    assert made.table_id == BIG


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "https://evil.example/x", "file:///etc/passwd",
     "http://storage.googleapis.com/x", "https://storage.googleapis.com.evil.example/"],
)  # fmt: skip
def test_a_link_to_an_unknown_place_is_refused(client, server, url):
    server.answer(ok({"url": url, "path": "p", "key": "k"}))
    with pytest.raises(errors.UnexpectedResponse, match="unknown host"):
        client.lookup_tables.upload_url()


@pytest.mark.parametrize("value", ["", "x", "1.5", "9" * 20, str(2**63), 5, None])
def test_a_table_id_is_a_64_bit_number_as_text(client, server, value):
    with pytest.raises(ValueError, match="id"):
        client.lookup_tables.delete_definitions([value])
    assert server.requests == []


@pytest.mark.parametrize("table", [{}, {"id": True}, {"id": 2**64}, {"id": 1.5}, "x"])
def test_a_definition_without_a_good_id_is_refused(client, server, table):
    server.answer(ok([table]))
    with pytest.raises(errors.UnexpectedResponse):
        client.lookup_tables.list_definitions()
