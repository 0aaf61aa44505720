import gzip
import json
import uuid

import pytest

BASE = "/api/app/projects/1/connectors"
GZIP_MESSAGE = (
    "No compression specified but Gzip detected. Please submit a new request with"
    " correct compression as param"
)


def body(data_format="mixpanel_event", compression="none", **changes):
    return {
        "label": "Daily",
        "connector_type": "gcsImport",
        "connector_properties": {"gcs_bucket": "bucket", "gcs_prefix": "in/"},
        "category_properties": {
            "data_format": data_format,
            "compression": compression,
        },
        **changes,
    }


def ndjson(*records):
    return "\n".join(json.dumps(record) for record in records).encode()


def event(insert_id="a1", **properties):
    properties = {"time": 1_700_000_000, "distinct_id": "ann", **properties}
    return {"event": "Bought", "properties": {"$insert_id": insert_id, **properties}}


def create(api, **kwargs):
    answer = api.post(BASE, json=body(**kwargs))
    assert answer.status_code == 201, answer.text
    return answer.json()["results"]["connector_id"]


def run_of(api, connector_id):
    results = api.get(f"{BASE}/{connector_id}/history").json()["results"]
    assert results["has_more"] is False
    return results["data"][0]


def test_life_of_a_connector(sb, api):
    sb.put_file("bucket", "in/1.json", ndjson(event("a1"), {"event": ""}, event("a2")))
    sb.put_file("bucket", "elsewhere/2.json", ndjson(event("b1")))

    made = api.post(BASE, json=body()).json()["results"]

    uuid.UUID(made["connector_id"])
    assert made["status"] == "active"
    assert isinstance(made["created_by"], str)
    listed = api.get(BASE).json()["results"]
    assert [one["connector_id"] for one in listed["data"]] == [made["connector_id"]]
    assert listed["data"][0]["status"] is None

    run = run_of(api, made["connector_id"])
    assert run["status"] == "queued"
    assert run["start_time"] == "0001-01-01 00:00:00 +0000 UTC"
    assert run["end_time"] == ""

    sb.advance(2)
    run = run_of(api, made["connector_id"])
    assert run["status"] == "running"
    assert 0 < run["progress"] < 1
    assert run["start_time"].endswith("+0000 UTC")
    assert run["end_time"] == ""

    sb.advance(3)
    run = run_of(api, made["connector_id"])
    assert run["status"] == "succeeded"
    assert run["progress"] == 1
    assert run["id"] == ""
    assert run["error"] == {"message": "", "code": ""}
    counts = run["connector_properties"]
    assert counts["num_events_imported"] == 2
    assert counts["num_events_processed"] == 3
    assert counts["num_events_dropped"] == 1
    assert counts["num_files_imported"] == 1
    assert counts["size_imported"] > 100
    assert api.get(f"{BASE}/{made['connector_id']}").json()["results"]["status"] == (
        "stopped"
    )
    assert len(sb.events(1)) == 2

    deleted = api.delete(f"{BASE}/{made['connector_id']}")
    assert deleted.json()["results"] == (
        f"Successfully deleted Connector with ID:{made['connector_id']}"
    )
    assert api.get(f"{BASE}/{made['connector_id']}").status_code == 404
    assert sb.objects(1)["connectors"][0]["is_deleted"]
    assert len(sb.events(1)) == 2


def test_gzip_is_read_and_a_mismatch_fails_with_the_documented_message(sb, api):
    sb.put_file("bucket", "in/1.json.gz", gzip.compress(ndjson(event())))
    good = create(api, compression="gzip")
    bad = create(api, compression="none")

    sb.advance(10)

    assert run_of(api, good)["connector_properties"]["num_events_imported"] == 1
    run = run_of(api, bad)
    assert run["status"] == "failed"
    assert run["run_id"] == ""
    assert "id" not in run
    assert run["end_time"] == ""
    assert run["error"]["message"] == GZIP_MESSAGE
    connector = api.get(f"{BASE}/{bad}").json()["results"]
    assert connector["status"] == "paused"
    assert connector["failure_message"] == GZIP_MESSAGE


@pytest.mark.parametrize("bucket", ["nowhere", "../warehouse", "/etc", ".", ".."])
def test_a_bucket_that_does_not_exist_fails(sb, api, bucket):
    place = {"gcs_bucket": bucket, "gcs_prefix": ""}
    connector_id = create(api, connector_properties=place)

    sb.advance(10)

    run = run_of(api, connector_id)
    assert run["status"] == "failed"
    assert run["error"]["code"] == "invalid_permissions_gcs"


def test_a_prefix_cannot_lead_out_of_the_bucket(sb, api):
    sb.put_file("bucket", "in/1.json", ndjson(event("a1")))
    sb.put_file("other", "1.json", ndjson(event("b1")))
    place = {"gcs_bucket": "bucket", "gcs_prefix": "../other/"}
    connector_id = create(api, connector_properties=place)

    sb.advance(10)

    assert run_of(api, connector_id)["connector_properties"]["num_files_imported"] == 0
    assert sb.raw_events(1) == []


def test_a_file_over_the_limit_cancels_the_whole_job(sb, api):
    sb.switch(max_file_bytes=200)
    sb.put_file("bucket", "in/1.json", ndjson(event("a1")))
    sb.put_file("bucket", "in/2.json", ndjson(event("a2"), event("a3"), event("a4")))
    connector_id = create(api)

    sb.advance(10)

    assert run_of(api, connector_id)["status"] == "failed"
    assert sb.events(1) == []
