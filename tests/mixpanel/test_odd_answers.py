"""Every answer, with each of its values in turn replaced by something odd."""

import copy

import pytest

from mixadmin.mixpanel import errors
from mixadmin.mixpanel.lookup_tables import UploadUrl
from tests.mixpanel import test_connectors as connectors
from tests.mixpanel import test_projects as projects
from tests.mixpanel import test_schemas as schemas
from tests.mixpanel import test_service_accounts as accounts
from tests.mixpanel import test_warehouse as warehouse
from tests.mixpanel.wire import reply

ODD = [None, True, -1, 2**63, 1.5, "", "x", [], {}, [[None]], {"id": {}}]

PLACE = UploadUrl(url="http://127.0.0.1/", path="p", key="k", raw={})


def enveloped(results):
    return {"status": "ok", "results": results}


CALLS = {
    "me": (lambda c: c.projects.me(), enveloped(projects.ME)),
    "projects": (
        lambda c: c.projects.list_for_organization(11),
        enveloped([projects.PROJECT]),
    ),
    "workspaces": (lambda c: c.projects.workspaces(), enveloped([{"id": 1, "name": "a"}])),
    "sources": (lambda c: c.warehouse.list_sources(), enveloped([warehouse.SOURCE])),
    "import": (lambda c: c.warehouse.get_import(21), enveloped(warehouse.IMPORT)),
    "sync": (lambda c: c.warehouse.manual_sync(21), enveloped({"run_id": "r"})),
    "runs": (
        lambda c: c.warehouse.history(21),
        enveloped({"runs": [{"status": "RUNNING", "start_time": 1767323045,
                             "end_time": None, "num_events_imported": 1}]}),
    ),
    "connectors": (
        lambda c: c.connectors.list(),
        enveloped({"data": [connectors.CONNECTOR]}),
    ),
    "connector runs": (
        lambda c: c.connectors.history("x"),
        enveloped({"data": [connectors.DONE]}),
    ),
    "account": (
        lambda c: c.service_accounts.create(11, username="x"),
        enveloped({**accounts.ACCOUNT, "token": "abc"}),
    ),
    "delete": (lambda c: c.warehouse.delete_source(3), {"status": "ok"}),
    "import events": (
        lambda c: c.ingestion.import_events(b"{}"),
        {"code": 200, "num_records_imported": 1, "status": "OK", "failed_records":
         [{"index": 1, "insert_id": "x", "field": "f", "message": "m"}], "error": "e"},
    ),
    "track": (
        lambda c: c.ingestion.track([{"event": "a", "properties": {"token": "abcd"}}]),
        {"status": 1, "error": None},
    ),
    "tables": (lambda c: c.lookup_tables.list(), enveloped([{"id": "x", "name": "y"}])),
    "replace": (lambda c: c.lookup_tables.replace("x", b"a,b"), {"code": 200, "status": "OK"}),
    "upload url": (
        lambda c: c.lookup_tables.upload_url(),
        enveloped({"url": "https://storage.googleapis.com/x", "path": "p", "key": "k"}),
    ),
    "upload": (
        lambda c: c.lookup_tables.create_from_upload("x", PLACE),
        enveloped({"uploadStatus": "SUCCESS", "result": {"id": -5}, "error": ""}),
    ),
    "definitions": (
        lambda c: c.lookup_tables.list_definitions(),
        enveloped([{"data-group-id": -5, "name": "x"}]),
    ),
    "schemas": (lambda c: c.schemas.list(), enveloped([schemas.ENTRY])),
    "schema": (lambda c: c.schemas.get("event", "x"), enveloped(schemas.ENTRY)),
    "upsert": (
        lambda c: c.schemas.upsert([schemas.ENTRY]),
        enveloped({"added": 1, "deleted": 0}),
    ),
    "schema delete": (
        lambda c: c.schemas.delete("event", "x"),
        enveloped({"delete_count": 1}),
    ),
}  # fmt: skip


def variants(value):
    """The value with each of its parts replaced by each odd thing, and left out."""
    yield from ODD
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            for part in variants(value[key]):
                changed = copy.copy(value)
                changed[key] = part
                yield changed
            without = copy.copy(value)
            del without[key]
            yield without


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("call", "answer"), CALLS.values(), ids=CALLS)
def test_an_odd_answer_is_read_or_refused_and_never_escapes(
    client, server, call, answer, status
):
    answers = list(variants(answer)) if status == 200 else [answer, *ODD]
    server.answer(*(reply(one, status) for one in answers))
    for _ in answers:
        try:
            call(client)
        except errors.MixpanelError as exc:
            assert exc.status == status
            if status == 200:
                assert type(exc) is errors.UnexpectedResponse
    assert len(server.requests) == len(answers)
