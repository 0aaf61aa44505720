import pytest

from mixadmin.mixpanel import errors
from tests.mixpanel.wire import ok, reply

SCHEMA = {
    "description": "Somebody bought something",
    "properties": {
        "price": {
            "type": "number",
            "description": "",
            "metadata": {"com.mixpanel": {"displayName": "Price", "hidden": None}},
        }
    },
    "metadata": {"com.mixpanel": {"tags": ["shop"], "dropped": False}},
}
ENTRY = {"entityType": "event", "name": "Bought", "schemaJson": SCHEMA}


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ((), "schemas"),
        (("event",), "schemas/event"),
        (("profile", "$user"), "schemas/profile?entity_name=%24user"),
    ],
)
def test_schemas_are_listed(client, server, arguments, target):
    extra = {**SCHEMA, "$schema": "x", "required": [], "additionalProperties": True}
    server.answer(ok([{**ENTRY, "schemaJson": extra}]))
    (found,) = client.schemas.list(*arguments)
    assert server.requests[0].target == "/us/api/app/projects/7/" + target
    assert (found.entity_type, found.name) == ("event", "Bought")
    assert found.schema == extra


@pytest.mark.parametrize(
    "answer",
    [reply(SCHEMA), ok(SCHEMA), ok(ENTRY), ok([ENTRY])],
    ids=["bare", "enveloped", "entry", "list"],
)
def test_one_schema_is_read_in_every_form(client, server, answer):
    server.answer(answer)
    assert client.schemas.get("event", "Item Bought / $x") == SCHEMA
    assert server.requests[0].target.endswith(
        "/schemas/event/Item%20Bought%20%2F%20%24x"
    )


def test_many_schemas_are_written(client, server):
    server.answer(ok({"added": 1, "deleted": 0}))
    result = client.schemas.upsert([ENTRY])
    assert (result.added, result.deleted) == (1, 0)
    assert server.requests[0].method == "POST"
    assert server.requests[0].path.endswith("/projects/7/schemas")
    assert server.requests[0].json() == {"entries": [ENTRY], "truncate": False}


def test_truncating_is_asked_for_in_so_many_words(client, server):
    server.answer(ok({"added": 1, "deleted": 9}))
    client.schemas.upsert([ENTRY], truncate=True)
    assert server.requests[0].json()["truncate"] is True


def test_one_schema_is_written(client, server):
    server.answer(reply({"status": "ok"}))
    client.schemas.replace("event", "Bought", SCHEMA)
    assert server.requests[0].method == "POST"
    assert server.requests[0].path.endswith("/schemas/event/Bought")
    assert server.requests[0].json() == SCHEMA


@pytest.mark.parametrize(
    ("call", "target"),
    [
        (lambda s: s.delete("event", "Bought"), "schemas/event/Bought"),
        (lambda s: s.delete_many(), "schemas"),
        (lambda s: s.delete_many("event"), "schemas/event"),
        (lambda s: s.delete_many("event", "a b"), "schemas/event?entity_name=a+b"),
    ],
)
def test_schemas_are_deleted(client, server, call, target):
    server.answer(ok({"delete_count": 3}))
    assert call(client.schemas) == 3
    assert server.requests[0].method == "DELETE"
    assert server.requests[0].target == "/us/api/app/projects/7/" + target


def _with_property(value):
    return {**ENTRY, "schemaJson": {"properties": {"price": value}}}


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.list("group"),
        lambda s: s.list("", "name"),
        lambda s: s.get("event", ""),
        lambda s: s.get("event", ".."),
        lambda s: s.delete("event", ""),
        lambda s: s.replace("event", "", {}),
        lambda s: s.upsert([]),
        lambda s: s.upsert([{**ENTRY, "x": 1}]),
        lambda s: s.upsert([{"entityType": "event", "name": "a"}]),
        lambda s: s.upsert([{**ENTRY, "entityType": "user"}]),
        lambda s: s.upsert([{**ENTRY, "schemaJson": {"$schema": "x"}}]),
        lambda s: s.upsert([_with_property({})]),
        lambda s: s.upsert([_with_property({"type": "date"})]),
        lambda s: s.upsert([_with_property({"type": "string", "format": "uri"})]),
        lambda s: s.upsert(
            [
                _with_property(
                    {"type": "string", "metadata": {"com.mixpanel": {"tags": []}}}
                )
            ]
        ),
        lambda s: s.upsert([ENTRY], truncate=1),
        lambda s: s.replace("event", "a", {"metadata": {"com.mixpanel": {"x": 1}}}),
        lambda s: s.replace(
            "event", "a", {"metadata": {"com.mixpanel": {"tags": "x"}}}
        ),
    ],
)
def test_what_mixpanel_does_not_document_is_not_sent(client, server, call):
    with pytest.raises((TypeError, ValueError)):
        call(client.schemas)
    assert server.requests == []


@pytest.mark.parametrize(
    "results", [None, {}, [{"name": "x"}], [{**ENTRY, "schemaJson": []}], [5]]
)
def test_a_list_of_another_shape_is_refused(client, server, results):
    server.answer(ok(results))
    with pytest.raises(errors.UnexpectedResponse):
        client.schemas.list()
