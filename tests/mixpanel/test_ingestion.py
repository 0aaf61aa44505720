import base64
import gzip

import pytest

from mixadmin.mixpanel import errors
from mixadmin.mixpanel.ingestion import FailedRecord
from tests.mixpanel.wire import reply

EVENT = b'{"event":"a","properties":{"time":1,"distinct_id":"","$insert_id":"x"}}\n'
GOOD = {"code": 200, "num_records_imported": 1, "status": "OK"}
TOKEN = "0123456789abcdef0123456789abcdef"


def partial(failed, imported=23, **more):
    return {
        "code": 400,
        "error": "some data points in the request failed validation",
        "failed_records": failed,
        "num_records_imported": imported,
        "status": "Bad Request",
        **more,
    }


def user(request):
    return base64.b64decode(request.headers["authorization"].split()[1]).decode()


def test_events_go_out_as_they_are_with_strict_and_project_id(client, server):
    server.answer(reply(GOOD))
    result = client.ingestion.import_events(EVENT)
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/us/import")
    assert request.query == "strict=1&project_id=7"
    assert request.body == EVENT
    assert request.headers["content-type"] == "application/x-ndjson"
    assert "content-encoding" not in request.headers
    assert (result.num_records_imported, result.failed) == (1, ())
    assert (result.whole_batch_failed, result.status) == (False, 200)


def test_gzipped_json_is_declared_as_such(client, server):
    server.answer(reply(GOOD))
    body = gzip.compress(b"[" + EVENT + b"]")
    client.ingestion.import_events(
        body, content_type="application/json", gzipped=True, strict=False
    )
    request = server.requests[0]
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["content-type"] == "application/json"
    assert request.query == "strict=0&project_id=7"
    assert request.body == body


def test_a_project_token_goes_without_project_id(client, server):
    server.answer(reply(GOOD))
    client.ingestion.import_events(EVENT, token=TOKEN)
    assert server.requests[0].query == "strict=1"
    assert user(server.requests[0]) == TOKEN + ":"


def test_a_client_made_of_a_token_goes_without_project_id(make_client, server):
    server.answer(reply(GOOD))
    make_client(username=TOKEN, secret="").ingestion.import_events(EVENT)
    assert server.requests[0].query == "strict=1"
    assert user(server.requests[0]) == TOKEN + ":"


def test_a_400_is_a_partial_success(client, server):
    failed = [
        {"index": 0, "insert_id": "x1", "field": "properties.time", "message": "m"},
        {"index": 5, "$insert_id": "x2", "message": "n"},
        {"index": 6, "insert_id": "", "field": None},
        {"index": -1, "insert_id": 17, "message": "o"},
    ]
    server.answer(reply(partial(failed), 400))
    result = client.ingestion.import_events(EVENT)
    assert result.status == 400
    assert result.num_records_imported == 23
    assert result.whole_batch_failed is False
    assert result.error.startswith("some data points")
    assert result.failed == (
        FailedRecord(index=0, insert_id="x1", field="properties.time", message="m"),
        FailedRecord(index=5, insert_id="x2", field="", message="n"),
        FailedRecord(index=6, insert_id="", field="", message=""),
        FailedRecord(index=None, insert_id="17", field="", message="o"),
    )
    assert len(server.requests) == 1


def test_a_400_of_texts_is_the_whole_batch(client, server):
    said = "identity events are not allowed when project is using simplified identity management"
    server.answer(reply(partial([said], imported=0), 400))
    result = client.ingestion.import_events(EVENT)
    assert result.whole_batch_failed is True
    assert result.failed == (
        FailedRecord(index=None, insert_id="", field="", message=said),
    )


@pytest.mark.parametrize(
    ("report", "whole"),
    [
        ({"code": 400, "error": "Invalid JSON", "status": "Bad Request"}, True),
        ({"num_records_imported": 0, "status": 0}, True),
        ({"num_records_imported": 5, "failed_records": []}, False),
        ({"failed_records": [{"index": 0}], "num_records_imported": 0}, False),
        ({"failed_records": None, "num_records_imported": None, "error": None}, True),
    ],
)
def test_a_400_without_records_is_the_whole_batch_if_nothing_was_stored(
    client, server, report, whole
):
    server.answer(reply(report, 400))
    assert client.ingestion.import_events(EVENT).whole_batch_failed is whole


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>400</html>", b'{"code":400,"failed_rec', b"[]", b"{}", b'"no"',
     b'{"failed_records":5}', b'{"failed_records":[5]}',
     b'{"failed_records":[],"num_records_imported":"many"}'],
)  # fmt: skip
def test_a_400_that_cannot_be_read_leaves_open_what_was_stored(client, server, body):
    server.answer(reply(body, 400))
    with pytest.raises(errors.UnexpectedResponse) as caught:
        client.ingestion.import_events(EVENT)
    assert caught.value.status == 400
    assert caught.value.may_have_happened is True


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, errors.NotAuthenticated), (403, errors.NotAllowed), (404, errors.NotFound),
     (413, errors.TooLarge), (429, errors.RateLimited), (500, errors.ServerFailed),
     (502, errors.ServerFailed), (503, errors.ServerFailed), (504, errors.ServerFailed),
     (524, errors.ServerFailed), (408, errors.ServerFailed)],
)  # fmt: skip
def test_other_answers_are_errors_and_nothing_is_sent_again(
    client, server, status, kind
):
    error = "request exceeds max limit of 2097152 bytes"
    server.answer(reply({"code": status, "error": error, "status": "x"}, status))
    with pytest.raises(kind, match="2097152"):
        client.ingestion.import_events(EVENT)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"error": None, "status": 1}, None),
        ({"status": True}, None),
        (1, None),
        ({"num_records_imported": 2}, 2),
        ({"code": 200, "num_records_imported": 3, "status": "OK"}, 3),
    ],
)
def test_the_ways_to_say_yes(client, server, answer, count):
    server.answer(reply(answer))
    result = client.ingestion.import_events(EVENT, strict=False)
    assert (result.num_records_imported, result.whole_batch_failed) == (count, False)


@pytest.mark.parametrize(
    "body",
    [b"0", b'{"status":0,"error":"no"}', b'{"status":false}', b'{"status":"error"}',
     b"{}", b"<html>", b"", b"[]", b"2", b"true"],
)  # fmt: skip
def test_a_200_that_does_not_say_yes_is_not_one(client, server, body):
    server.answer(reply(body))
    with pytest.raises(errors.UnexpectedResponse):
        client.ingestion.import_events(EVENT)


@pytest.mark.parametrize(
    ("body", "options"),
    [(b"", {}), ("text", {}), (EVENT, {"content_type": "text/plain"}),
     (bytearray(EVENT), {})],
)  # fmt: skip
def test_what_is_not_a_body_is_refused(client, server, body, options):
    with pytest.raises((TypeError, ValueError)):
        client.ingestion.import_events(body, **options)
    assert server.requests == []


TRACK = [{"event": "a", "properties": {"token": TOKEN, "time": 1}}]
ENGAGE = [{"$token": TOKEN, "$distinct_id": "u", "$set": {"a": "ü"}}]
GROUPS = [{"$token": TOKEN, "$group_key": "company", "$group_id": "x", "$set": {}}]
LEGACY = [("track", TRACK), ("engage", ENGAGE), ("groups", GROUPS)]


@pytest.mark.parametrize(("name", "records"), LEGACY)
def test_legacy_records_go_as_json_without_credentials(client, server, name, records):
    server.answer(reply({"status": 1, "error": None}))
    assert getattr(client.ingestion, name)(records).ok is True
    request = server.requests[0]
    strict = "" if name == "track" else "strict=1&"
    assert request.target == f"/us/{name}?ip=0&{strict}verbose=1"
    assert request.json() == records
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers


@pytest.mark.parametrize(("name", "records"), LEGACY)
@pytest.mark.parametrize(
    ("answer", "status", "ok", "error"),
    [
        (b"1", 200, True, ""),
        (b"1\n", 200, True, ""),
        (b"0", 200, False, ""),
        ({"status": 1, "error": None}, 200, True, ""),
        ({"status": 0, "error": "data, missing or empty"}, 200, False, "data, missing or empty"),
        ({"status": True}, 200, True, ""),
        ({"code": 200, "status": "OK", "num_good_events": 1}, 200, True, ""),
        (partial([{"index": 0, "message": "m"}]), 400, False,
         "some data points in the request failed validation"),
        ({"status": 1, "failed_records": [{"index": 0}]}, 200, False, ""),
    ],
)  # fmt: skip
def test_every_legacy_dialect_is_understood(
    client, server, name, records, answer, status, ok, error
):
    server.answer(reply(answer, status))
    result = getattr(client.ingestion, name)(records)
    assert (result.ok, result.error) == (ok, error)
    if isinstance(answer, dict):
        assert len(result.failed) == len(answer.get("failed_records", []))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"2", b"true", b"[]", b"{}", b'{"status":"maybe"}', b"null"],
)
def test_a_legacy_answer_that_says_nothing_is_refused(client, server, body):
    server.answer(reply(body))
    with pytest.raises(errors.UnexpectedResponse):
        client.ingestion.engage(ENGAGE)


def test_a_legacy_error_does_not_show_the_token(client, server):
    server.answer(reply({"status": "error", "error": f"token {TOKEN} is blocked"}, 403))
    with pytest.raises(errors.NotAllowed, match="is blocked") as caught:
        client.ingestion.track(TRACK)
    assert TOKEN not in str(caught.value) + caught.value.body


@pytest.mark.parametrize(
    "call",
    [
        lambda i: i.track([]),
        lambda i: i.track(TRACK * 2001),
        lambda i: i.track(["x"]),
        lambda i: i.track([{"event": "a", "properties": {}}]),
        lambda i: i.track([{"event": "a"}]),
        lambda i: i.engage([{"$distinct_id": "u", "$set": {}}]),
        lambda i: i.engage([{"$token": TOKEN, "$set": {}}]),
        lambda i: i.engage([{**ENGAGE[0], "$set": {"a": float("nan")}}]),
        lambda i: i.groups([{"$token": TOKEN, "$group_key": "k"}]),
        lambda i: i.groups([{**GROUPS[0], "$distinct_id": "u"}]),
    ],
)
def test_records_that_mixpanel_would_swallow_are_refused(client, server, call):
    with pytest.raises((TypeError, ValueError)):
        call(client.ingestion)
    assert server.requests == []
