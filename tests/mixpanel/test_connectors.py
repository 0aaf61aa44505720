from datetime import UTC, datetime

import pytest

from mixadmin.mixpanel import errors
from tests.mixpanel.wire import ok, reply

ID = "ab32b74c-8d1c-4f08-9c2b-8f8f5b5f9d3e"
CONNECTOR = {
    "connector_id": ID,
    "label": "nightly",
    "connector_type": "gcsImport",
    "connector_properties": {"gcs_bucket": "b", "gcs_prefix": "p/", "gcs_region": "us"},
    "category_properties": {"data_format": "mixpanel_event", "compression": None},
    "status": "active",
    "created_at": "2020-09-16T07:00:00.123456Z",
    "created_by": "ada@example.com",
}
NEW = {
    "label": "nightly",
    "connector_type": "gcsImport",
    "connector_properties": {"gcs_bucket": "b", "gcs_prefix": ""},
    "category_properties": {"data_format": "mixpanel_event"},
}
S3 = {
    "s3_role": "arn:aws:iam::485438090326:role/x",
    "s3_bucket": "b",
    "s3_region": "us-east-1",
    "s3_prefix": "",
}


def page(items, **more):
    return {
        "url": "/api/app/projects/7/connectors",
        "has_more": False,
        "data": items,
        **more,
    }


def test_connectors_are_listed_at_the_path_without_slash(client, server):
    server.answer(ok(page([CONNECTOR])))
    (found,) = client.connectors.list()
    assert server.requests[0].target == "/us/api/app/projects/7/connectors"
    assert (found.id, found.label, found.status) == (ID, "nightly", "active")
    assert found.created_at == datetime(2020, 9, 16, 7, 0, 0, 123456, tzinfo=UTC)
    assert found.connector_properties == CONNECTOR["connector_properties"]
    assert found.raw == CONNECTOR


@pytest.mark.parametrize(
    "answer",
    [page([CONNECTOR]), {"status": "ok", "results": [CONNECTOR]}],
    ids=["no envelope", "no page"],
)
def test_a_list_without_its_wrappers_is_read(client, server, answer):
    server.answer(reply(answer))
    assert [connector.id for connector in client.connectors.list()] == [ID]


def test_the_id_has_two_spellings(client, server):
    other = {**CONNECTOR, "connectorId": "x"}
    del other["connector_id"]
    server.answer(ok(other))
    assert client.connectors.get(ID).id == "x"


@pytest.mark.parametrize(
    ("by", "shown"),
    [
        ("ada@example.com", "ada@example.com"),
        ({"email": "ada@example.com"}, "ada@example.com"),
        ({"id": 5, "name": "Ada", "email": "a@b"}, "a@b"),
        ({"id": 5, "name": "Ada"}, "Ada"),
        ({"id": 5}, "5"),
        (5, "5"),
        (None, ""),
        ([], ""),
    ],
)
def test_the_creator_is_text_or_an_object(client, server, by, shown):
    server.answer(ok({**CONNECTOR, "created_by": by}))
    assert client.connectors.get(ID).created_by == shown


def test_a_status_that_is_not_told_is_empty(client, server):
    server.answer(ok(page([{**CONNECTOR, "status": None}])))
    assert client.connectors.list()[0].status == ""


def test_a_paused_connector_says_why(client, server):
    server.answer(ok({**CONNECTOR, "status": "paused", "failure_message": "no access"}))
    found = client.connectors.get(ID)
    assert (found.status, found.failure_message) == ("paused", "no access")


def test_connectors_of_other_types_are_shown(client, server):
    export = {
        "connector_id": "e",
        "connector_type": "bigqueryExport",
        "connector_properties": {"events": ["a"]},
    }
    server.answer(ok(page([export])))
    (found,) = client.connectors.list()
    assert found.connector_type == "bigqueryExport"
    assert (found.label, found.category_properties) == ("", {})


@pytest.mark.parametrize(
    ("status", "kind"), [(403, errors.NotAllowed), (404, errors.NotFound)]
)
def test_a_project_where_the_feature_is_closed_is_told_by_type(
    client, server, status, kind
):
    server.answer(reply({"status": "error", "error": "not available"}, status))
    with pytest.raises(kind, match="not available"):
        client.connectors.list()


def test_further_pages_of_the_same_host_are_followed(client, server):
    server.answer(
        ok(page([CONNECTOR], has_more=True, url="/us/api/app/next?page=2")),
        ok(page([{**CONNECTOR, "connector_id": "second"}])),
    )
    assert [found.id for found in client.connectors.list()] == [ID, "second"]
    assert server.requests[1].target == "/us/api/app/next?page=2"


@pytest.mark.parametrize(
    "url",
    ["http://evil.example/x", "//evil.example/x", "http://127.0.0.1:1/x", "ftp://x",
     "http://[bad"],
)  # fmt: skip
def test_a_next_page_elsewhere_is_not_asked_for(client, server, url):
    server.answer(ok(page([CONNECTOR], has_more=True, url=url)))
    with pytest.raises(errors.UnexpectedResponse, match="another host"):
        client.connectors.list()
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["", "/us/api/app/projects/7/connectors"])
def test_more_pages_without_a_way_to_them_is_an_error(client, server, url):
    server.answer(ok(page([CONNECTOR], has_more=True, url=url)))
    with pytest.raises(errors.UnexpectedResponse, match="more pages"):
        client.connectors.list()


def test_pages_without_end_are_an_error_and_not_a_short_list(client, server):
    server.answer(
        *(ok(page([CONNECTOR], has_more=True, url=f"/us/p{n}")) for n in range(11))
    )
    with pytest.raises(errors.UnexpectedResponse, match="more than 10 pages"):
        client.connectors.list()
    assert len(server.requests) == 10


@pytest.mark.parametrize(
    "answer", [{}, page(None), {"data": {}}, page([], has_more="no")]
)
def test_a_list_without_items_is_not_an_empty_list(client, server, answer):
    server.answer(ok(answer))
    with pytest.raises(errors.UnexpectedResponse):
        client.connectors.list()


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("envelope", [True, False])
def test_a_connector_is_created(client, server, status, envelope):
    answer = {"status": "ok", "results": CONNECTOR} if envelope else CONNECTOR
    server.answer(reply(answer, status))
    assert client.connectors.create(**NEW).id == ID
    assert server.requests[0].method == "POST"
    assert server.requests[0].json() == NEW


@pytest.mark.parametrize(
    ("kind", "properties", "category"),
    [
        ("s3Import", S3, {"data_format": "mixpanel_people", "compression": "gzip"}),
        ("gcsImport", {**NEW["connector_properties"], "gcs_region": "us"},
         {"data_format": "mixpanel_group", "compression": "none"}),
        ("s3Import", S3, {"data_format": "remap_event", "compression": None,
                          "property_remap": {"event_name": "e", "time": "t",
                                             "distinct_id": "u", "$insert_id": None,
                                             "ip": "addr"}}),
        ("s3Import", S3, {"data_format": "remap_people",
                          "property_remap": {"$distinct_id": "u"}}),
        ("s3Import", S3, {"data_format": "remap_group",
                          "property_remap": {"$group_key": "k", "$group_id": "g"}}),
    ],
)  # fmt: skip
def test_every_documented_form_is_sent_as_given(
    client, server, kind, properties, category
):
    server.answer(ok(CONNECTOR))
    client.connectors.create(
        label="",
        connector_type=kind,
        connector_properties=properties,
        category_properties=category,
    )
    sent = server.requests[0].json()
    assert sent["connector_properties"] == properties
    assert sent["category_properties"] == category


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"label": None}, "label"),
        ({"connector_type": "azureImport"}, "connector_type"),
        ({"connector_properties": {"gcs_bucket": "b"}}, "gcs_prefix is missing"),
        ({"connector_properties": {**NEW["connector_properties"], "x": 1}}, "x is not a"),
        ({"connector_type": "s3Import"}, "gcs_bucket is not a field"),
        ({"connector_properties": {"gcs_bucket": "", "gcs_prefix": ""}}, "gcs_bucket"),
        ({"category_properties": {}}, "data_format"),
        ({"category_properties": {"data_format": "csv"}}, "data_format"),
        ({"category_properties": {"data_format": "mixpanel_event", "compression": "zip"}},
         "compression"),
        ({"category_properties": {"data_format": "remap_event"}}, "property_remap is miss"),
        ({"category_properties": {"data_format": "mixpanel_event", "property_remap": {}}},
         "property_remap is not"),
        ({"category_properties": {"data_format": "remap_people",
                                  "property_remap": {"distinct_id": "x"}}}, "distinct_id"),
        ({"category_properties": {"data_format": "mixpanel_event", "frequency": 60}},
         "frequency"),
    ],
)  # fmt: skip
def test_what_mixpanel_does_not_document_is_refused_by_name(
    client, server, change, named
):
    with pytest.raises((TypeError, ValueError), match=named):
        client.connectors.create(**{**NEW, **change})
    assert server.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "ok", "results": f"Successfully deleted Connector with ID:{ID}"},
        {"status": "success", "message": "The connector was successfully deleted"},
    ],
)
def test_both_answers_to_a_delete_are_fine(client, server, answer):
    server.answer(reply(answer))
    client.connectors.delete(ID)
    assert server.requests[0].method == "DELETE"
    assert server.requests[0].path.endswith(f"/connectors/{ID}")


QUEUED = {
    "id": "", "start_time": "0001-01-01 00:00:00 +0000 UTC", "end_time": "",
    "status": "queued", "progress": 0, "error": {"message": "", "code": ""},
    "connector_properties": {"num_events_imported": 0},
}  # fmt: skip
DONE = {
    "id": "r1", "start_time": "2020-09-16 07:00:00 +0000 UTC",
    "end_time": "2020-09-16 07:01:00.5 +0000 UTC", "status": "success", "progress": 1,
    "error": {"message": "", "code": ""},
    "connector_properties": {"num_events_imported": 13, "num_events_processed": 14,
                             "num_events_dropped": 1, "num_files_imported": 2,
                             "size_imported": 2048},
}  # fmt: skip
FAILED = {
    "run_id": "r2", "start_time": "1588056062", "end_time": "", "status": "failed",
    "progress": 0.25, "error": {"message": "no access", "type": "invalid_permissions_gcs"},
}  # fmt: skip


def test_runs_are_read_in_all_their_forms(client, server):
    server.answer(ok(page([QUEUED, DONE, FAILED, {**DONE, "status": "succeeded"}])))
    queued, done, failed, again = client.connectors.history(ID)
    assert server.requests[0].path.endswith(f"/connectors/{ID}/history")
    assert (queued.state, queued.started_at, queued.ended_at) == ("queued", None, None)
    assert (queued.remote_id, queued.progress) == ("", 0.0)
    assert (done.remote_id, done.state, done.raw_state) == (
        "r1",
        "succeeded",
        "success",
    )
    assert (again.state, again.raw_state) == ("succeeded", "succeeded")
    assert (done.ended_at - done.started_at).total_seconds() == 60.5
    assert (done.num_events_imported, done.num_events_processed) == (13, 14)
    assert (done.num_events_dropped, done.num_files_imported) == (1, 2)
    assert done.size_imported == 2048
    assert (failed.remote_id, failed.state, failed.progress) == ("r2", "failed", 0.25)
    assert (failed.error_message, failed.error_code) == (
        "no access",
        "invalid_permissions_gcs",
    )
    assert failed.started_at == datetime(2020, 4, 28, 6, 41, 2, tzinfo=UTC)
    assert failed.num_events_imported is None


def test_an_error_may_be_text_or_null(client, server):
    runs = [{"status": "failed", "error": "gone"}, {"status": "failed", "error": None}]
    server.answer(ok(page(runs)))
    found = client.connectors.history(ID)
    assert [run.error_message for run in found] == ["gone", ""]


@pytest.mark.parametrize(
    "change",
    [{"progress": "half"}, {"progress": True}, {"start_time": "noon"}, {"error": []},
     {"connector_properties": {"size_imported": "2 kB"}}, {"id": 5}],
)  # fmt: skip
def test_a_run_of_wrong_types_is_refused(client, server, change):
    server.answer(ok(page([{**DONE, **change}])))
    with pytest.raises(errors.UnexpectedResponse):
        client.connectors.history(ID)


@pytest.mark.parametrize("connector_id", ["", ".", "..", None, True])
@pytest.mark.parametrize("method", ["get", "delete", "history"])
def test_an_empty_id_never_names_the_whole_collection(
    client, server, method, connector_id
):
    with pytest.raises((TypeError, ValueError)):
        getattr(client.connectors, method)(connector_id)
    assert server.requests == []
