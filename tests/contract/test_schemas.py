import pytest

from mixadmin.mixpanel import errors

SCHEMA = {
    "description": "Somebody bought something",
    "properties": {
        "price": {
            "type": "number",
            "description": "in cents",
            "metadata": {"com.mixpanel": {"displayName": "Price", "hidden": False}},
        }
    },
    "metadata": {"com.mixpanel": {"tags": ["shop"], "dropped": False}},
}
ODD = "Item Bought / $x ä"


def test_schemas_live_and_die(client):
    assert client.schemas.list() == []
    result = client.schemas.upsert(
        [
            {"entityType": "event", "name": ODD, "schemaJson": SCHEMA},
            {"entityType": "event", "name": "Seen", "schemaJson": {}},
            {"entityType": "profile", "name": "$user", "schemaJson": {}},
        ]
    )
    assert (result.added, result.deleted) == (3, 0)
    assert len(client.schemas.list()) == 3
    assert [entry.name for entry in client.schemas.list("profile")] == ["$user"]
    (entry,) = client.schemas.list("event", ODD)
    assert (entry.entity_type, entry.name, entry.schema) == ("event", ODD, SCHEMA)
    assert client.schemas.get("event", ODD) == SCHEMA

    client.schemas.replace("event", ODD, {"description": "new"})
    assert client.schemas.get("event", ODD)["description"] == "new"

    assert client.schemas.delete("event", ODD) == 1
    with pytest.raises(errors.NotFound):
        client.schemas.get("event", ODD)
    assert client.schemas.delete_many("event", "Seen") == 1
    assert client.schemas.delete_many("profile") == 1
    assert client.schemas.delete_many() == 0


def test_truncating_deletes_what_was_there(client):
    entry = {"entityType": "event", "name": "a", "schemaJson": {}}
    client.schemas.upsert([entry])
    result = client.schemas.upsert([{**entry, "name": "b"}], truncate=True)
    assert (result.added, result.deleted) == (1, 1)


def test_the_sixth_call_in_a_minute_is_told_by_type(client, sandbox):
    sandbox.switch(schemas_per_minute=5)
    for _ in range(5):
        client.schemas.list()
    with pytest.raises(errors.RateLimited):
        client.schemas.list()
