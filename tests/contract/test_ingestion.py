import gzip
import io
import json
import time

import pytest

from mixadmin.mixpanel import errors
from tests.contract.conftest import ORG, PROJECT, TOKEN


def event(n, **changes):
    properties = {
        "time": int(time.time()) - 3600,
        "distinct_id": f"u{n}",
        "$insert_id": f"i-{n}",
        **changes,
    }
    return {"event": "Bought", "properties": properties}


def ndjson(*events):
    return "\n".join(map(json.dumps, events)).encode()


def test_events_arrive_in_every_packing(client, sandbox):
    result = client.ingestion.import_events(ndjson(event(1), event(2)))
    assert (result.num_records_imported, result.failed) == (2, ())
    array = json.dumps([event(3)]).encode()
    client.ingestion.import_events(array, content_type="application/json")
    client.ingestion.import_events(
        gzip.compress(array), content_type="application/json", gzipped=True
    )
    client.ingestion.import_events(gzip.compress(ndjson(event(4))), gzipped=True)
    assert len(sandbox.events(PROJECT)) == 4


@pytest.mark.parametrize("key", ["insert_id", "$insert_id"])
def test_the_good_events_of_a_refused_request_are_stored(client, sandbox, key):
    sandbox.switch(failed_record_id_key=key)
    result = client.ingestion.import_events(
        ndjson(event(1), event(2, time=4102444800), event(3))
    )
    assert (result.status, result.num_records_imported) == (400, 2)
    (failed,) = result.failed
    assert (failed.index, failed.insert_id, failed.field) == (
        1,
        "i-2",
        "properties.time",
    )
    assert "future" in failed.message
    assert result.whole_batch_failed is False
    assert len(sandbox.events(PROJECT)) == 2


def test_identity_verbs_fail_the_whole_batch(client, sandbox):
    verb = {**event(1), "event": "$identify"}
    result = client.ingestion.import_events(ndjson(event(2), verb))
    assert result.whole_batch_failed is True
    assert result.failed[0].index is None
    assert sandbox.events(PROJECT) == []


def test_events_go_with_a_project_token(client, make_client, sandbox):
    client.ingestion.import_events(ndjson(event(1)), token=TOKEN)
    make_client(username=TOKEN, secret="").ingestion.import_events(ndjson(event(2)))
    assert len(sandbox.events(PROJECT)) == 2
    assert all("project_id" not in call["query"] for call in sandbox.calls())


def test_without_strict_bad_events_vanish_silently(client, sandbox):
    result = client.ingestion.import_events(
        ndjson(event(1), event(2, time=4102444800)), strict=False
    )
    assert (result.status, result.failed) == (200, ())


def test_a_request_that_is_too_large_is_told_by_type(client, sandbox):
    sandbox.switch(max_import_bytes=50)
    with pytest.raises(errors.TooLarge, match="50 bytes"):
        client.ingestion.import_events(ndjson(event(1)))


def test_a_project_that_sends_too_fast_is_told_by_type(client, sandbox):
    sandbox.switch(events_per_minute=1, retry_after_on_429=5)
    client.ingestion.import_events(ndjson(event(1)))
    with pytest.raises(errors.RateLimited, match="backoff") as caught:
        client.ingestion.import_events(ndjson(event(2)))
    assert caught.value.retry_after == 5


def test_a_viewer_may_not_import(make_client, sandbox):
    sandbox.add_service_account(
        "reader", "its-secret", organization_id=ORG, projects={PROJECT: "analyst"}
    )
    client = make_client(username="reader", secret="its-secret")
    with pytest.raises(errors.NotAuthenticated):
        client.ingestion.import_events(ndjson(event(1)))


def tracked(token=TOKEN):
    return {"event": "a", "properties": {"token": token, "distinct_id": "u"}}


def test_track_says_yes_even_to_a_token_that_does_not_exist(client, sandbox):
    assert client.ingestion.track([tracked()]).ok is True
    assert client.ingestion.track([tracked("f" * 32)]).ok is True
    assert len(sandbox.events(PROJECT)) == 1


def test_profiles_are_updated(client, sandbox):
    base = {"$token": TOKEN, "$distinct_id": "u1"}
    result = client.ingestion.engage(
        [{**base, "$set": {"name": "Ada"}}, {**base, "$union": {"tags": ["a"]}}]
    )
    assert (result.ok, result.error) == (True, "")
    (profile,) = sandbox.profiles(PROJECT)
    assert profile["properties"] == {"name": "Ada", "tags": ["a"]}


def test_a_bad_profile_update_is_named(client):
    base = {"$token": TOKEN, "$distinct_id": "u1"}
    result = client.ingestion.engage(
        [{**base, "$set": {"a": 1}}, {**base, "$add": {"a": "x"}}]
    )
    assert result.ok is False
    assert [failed.index for failed in result.failed] == [1]


def test_groups_are_updated(client, sandbox):
    record = {"$token": TOKEN, "$group_key": "company", "$group_id": "acme"}
    assert client.ingestion.groups([{**record, "$set": {"plan": "pro"}}]).ok is True
    (profile,) = sandbox.group_profiles(PROJECT)
    assert profile["properties"] == {"plan": "pro"}


CSV = b"sku,name\n1,Shoe\n2,Hat\n"


def test_a_lookup_table_is_replaced(client, sandbox):
    assert client.lookup_tables.list() == []
    id = sandbox.add_lookup_table(PROJECT, "skus")
    (table,) = client.lookup_tables.list()
    assert (table.id, table.name) == (id, "skus")
    assert client.lookup_tables.replace(id, CSV).ok is True
    assert sandbox.lookup_tables(PROJECT)[0]["rows"] == [["1", "Shoe"], ["2", "Hat"]]
    assert client.lookup_tables.replace(id, io.BytesIO(CSV + b"3,Bag\n")).ok is True
    assert len(sandbox.lookup_tables(PROJECT)[0]["rows"]) == 3


@pytest.mark.parametrize("shape", ["code", "status"])
def test_a_bad_row_keeps_the_old_table(client, sandbox, shape):
    sandbox.switch(lookup_error_shape=shape)
    id = sandbox.add_lookup_table(PROJECT, "skus", csv=CSV.decode())
    result = client.lookup_tables.replace(id, CSV + b"1,Again\n,Blank\n3\n")
    assert result.ok is False
    assert len(result.failed) == 3
    assert "primary key" in result.failed[0].message
    assert len(sandbox.lookup_tables(PROJECT)[0]["rows"]) == 2


def test_a_missing_lookup_table_is_told_by_type(client):
    with pytest.raises(errors.NotFound, match="was not found"):
        client.lookup_tables.replace("00000000-0000-4000-8000-000000000000", CSV)


def test_replacements_are_limited(client, sandbox):
    sandbox.switch(lookup_put_limit=1)
    id = sandbox.add_lookup_table(PROJECT, "skus")
    client.lookup_tables.replace(id, CSV)
    with pytest.raises(errors.RateLimited):
        client.lookup_tables.replace(id, CSV)


def upload(client, csv):
    place = client.lookup_tables.upload_url()
    client.lookup_tables.upload(place, csv)
    return place


def test_a_small_lookup_table_is_made_and_deleted(client, sandbox):
    made = client.lookup_tables.create_from_upload("skus", upload(client, CSV))
    assert made.table_id.startswith("-")
    (found,) = client.lookup_tables.list_definitions()
    assert (found.id, found.name) == (made.table_id, "skus")
    again = client.lookup_tables.create_from_upload(
        "renamed", upload(client, CSV), replace_id=made.table_id
    )
    assert again.table_id == made.table_id
    (found,) = client.lookup_tables.list_definitions(made.table_id)
    assert found.name == "renamed"
    client.lookup_tables.delete_definitions([made.table_id])
    assert client.lookup_tables.list_definitions() == []


def test_a_large_lookup_table_takes_its_time(client, sandbox):
    sandbox.switch(lookup_async_bytes=10)
    made = client.lookup_tables.create_from_upload("skus", upload(client, CSV))
    assert (made.table_id, bool(made.upload_id)) == ("", True)
    waiting = client.lookup_tables.upload_status(made.upload_id)
    assert (waiting.table_id, waiting.status) == ("", "PENDING")
    sandbox.advance(60)
    done = client.lookup_tables.upload_status(made.upload_id)
    assert done.status == "SUCCESS"
    assert [t.id for t in client.lookup_tables.list_definitions()] == [done.table_id]


def test_a_large_table_that_is_bad_tells_why(client, sandbox):
    sandbox.switch(lookup_async_bytes=10)
    made = client.lookup_tables.create_from_upload("x", upload(client, CSV + b"1,b\n"))
    sandbox.advance(60)
    done = client.lookup_tables.upload_status(made.upload_id)
    assert (done.table_id, done.status) == ("", "FAILURE")
    assert "primary key" in done.error
