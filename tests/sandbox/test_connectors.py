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


# -- creating


S3 = {
    "s3_role": "arn:aws:iam::1:role/x",
    "s3_bucket": "bucket",
    "s3_region": "eu-west-1",
    "s3_prefix": "",
}


def without(name):
    changed = body()
    del changed[name]
    return changed


@pytest.mark.parametrize(
    ("sent", "kind", "name"),
    [
        (without("connector_type"), "missing_required_property", "connector_type"),
        (
            without("category_properties"),
            "missing_required_property",
            "category_properties",
        ),
        (body(connector_type="ftp"), "invalid_property", "connector_type"),
        (body(connector_properties=[]), "invalid_property", "connector_properties"),
        (
            body(connector_properties={"gcs_bucket": "b"}),
            "missing_required_property",
            "gcs_prefix",
        ),
        (
            body(connector_properties={"gcs_bucket": "", "gcs_prefix": ""}),
            "invalid_property",
            "gcs_bucket",
        ),
        (
            body(
                connector_type="s3Import",
                connector_properties={**S3, "s3_region": "us"},
            ),
            "invalid_property",
            "s3_region",
        ),
        (body(label=5), "invalid_property", "label"),
        (body("mixpanel_planet"), "invalid_property", "data_format"),
        (body(compression="zip"), "invalid_property", "compression"),
        (body("remap_event"), "missing_required_property", "property_remap"),
        (
            body(category_properties={"compression": "none"}),
            "missing_required_property",
            "data_format",
        ),
        (
            body(
                category_properties={
                    "data_format": "remap_event",
                    "property_remap": {"time": "t", "event_name": "e"},
                }
            ),
            "missing_required_property",
            "distinct_id",
        ),
        (
            body(
                category_properties={
                    "data_format": "mixpanel_event",
                    "property_remap": {},
                }
            ),
            "invalid_property",
            "property_remap",
        ),
    ],
)
def test_a_bad_connector_names_its_property(api, sent, kind, name):
    answer = api.post(BASE, json=sent)
    assert answer.status_code == 400
    assert answer.json()["type"] == kind
    assert f"`{name}`" in answer.json()["message"]
    assert api.get(BASE).json()["results"]["data"] == []


def test_s3(sb, api):
    sb.put_file("bucket", "1.json", ndjson(event()))
    good = create(api, connector_type="s3Import", connector_properties=S3)
    gone = create(
        api, connector_type="s3Import", connector_properties={**S3, "s3_bucket": "no"}
    )
    sb.advance(10)
    assert run_of(api, good)["status"] == "succeeded"
    assert run_of(api, gone)["error"]["code"] == "invalid_permissions_s3"
    sb.switch(strict_s3_region=False)
    create(
        api, connector_type="s3Import", connector_properties={**S3, "s3_region": "us"}
    )


def test_people_groups_and_remaps(sb, api):
    def run(data_format, records, remap=None):
        sb.put_file("bucket", f"{data_format}/1.json", ndjson(*records))
        category = {"data_format": data_format, "compression": None}
        if remap:
            category["property_remap"] = remap
        place = {"gcs_bucket": "bucket", "gcs_prefix": f"{data_format}/"}
        connector_id = create(
            api, connector_properties=place, category_properties=category
        )
        sb.advance(10)
        counts = run_of(api, connector_id)["connector_properties"]
        return counts["num_events_imported"], counts["num_events_dropped"]

    people = [{"$distinct_id": "ann", "$set": {"a": 1}}, {"$set": {"a": 1}}, 5]
    assert run("mixpanel_people", people) == (1, 2)
    groups = [
        {"$group_key": "company", "$group_id": "acme", "$set": {"a": 1}},
        {"$group_key": "planet", "$group_id": "earth", "$set": {"a": 1}},
    ]
    assert run("mixpanel_group", groups) == (1, 1)
    remap = {"event_name": "e", "time": "t", "distinct_id": "u", "$insert_id": None}
    mine = [
        {"e": "Bought", "t": 1_700_000_000, "u": "bob", "price": 5},
        {"e": "No time"},
    ]
    assert run("remap_event", mine, remap) == (1, 1)
    assert run("remap_people", [{"id": "bob", "b": 2}], {"$distinct_id": "id"}) == (
        1,
        0,
    )
    group_remap = {"$group_key": "k", "$group_id": "i"}
    mine = [{"k": "company", "i": "beta", "size": 1}]
    assert run("remap_group", mine, group_remap) == (1, 0)

    assert sb.profiles(1) == [
        {"$distinct_id": "ann", "properties": {"a": 1}},
        {"$distinct_id": "bob", "properties": {"b": 2}},
    ]
    assert [one["$group_id"] for one in sb.group_profiles(1)] == ["acme", "beta"]
    (bought,) = sb.events(1)
    assert bought["event"] == "Bought"
    assert bought["properties"]["distinct_id"] == "bob"
    assert bought["properties"]["price"] == 5
    assert "e" not in bought["properties"]


def test_plain_text_declared_as_gzip_and_broken_gzip_fail(sb, api):
    sb.put_file("bucket", "in/1", ndjson(event()))
    plain = create(api, compression="gzip")
    sb.advance(10)
    assert run_of(api, plain)["error"]["code"] == "invalid_compression"
    sb.put_file("bucket", "in/1", gzip.compress(ndjson(event()))[:-6])
    broken = create(api, compression="gzip")
    sb.advance(10)
    assert run_of(api, broken)["error"]["code"] == "invalid_file"
    assert sb.raw_events(1) == []


# -- the rest of the life


def test_deleting_cancels_what_is_running(sb, api):
    sb.put_file("bucket", "in/1.json", ndjson(event()))
    connector_id = create(api)
    sb.advance(0.6)
    assert api.delete(f"{BASE}/{connector_id}").status_code == 200
    sb.advance(10)
    assert sb.events(1) == []
    assert api.get(f"{BASE}/{connector_id}/history").status_code == 404
    assert api.delete(f"{BASE}/{connector_id}").json()["type"] == "not_found"


def test_a_project_for_which_the_feature_is_closed(sb, api):
    sb.add_project(2, "Late", connectors="closed")
    sb.set_role("ops", 2, "admin")
    path = "/api/app/projects/2/connectors"
    assert api.get(path).status_code == 403
    sb.switch(connectors_closed_status=404)
    assert api.post(path, json=body()).status_code == 404


def test_a_connector_of_another_sort_is_only_shown(sb, api):
    sb.add_connector(1, id="e1", connector_type="gcsExport", label="Export")
    listed = api.get(BASE).json()["results"]["data"]
    assert [one["connector_type"] for one in listed] == ["gcsExport"]
    assert api.get(f"{BASE}/e1/history").json()["results"]["data"] == []


def test_the_other_spellings(sb, api):
    sb.switch(
        connector_success_word="success",
        connector_run_id_key="run_id",
        connector_id_key="connectorId",
        connector_created_by="object",
        connector_list_status="real",
        connector_create_status=200,
        connector_delete_body="message",
        connector_times="unix",
    )
    sb.put_file("bucket", "in/1.json", ndjson(event()))
    answer = api.post(BASE, json=body())
    assert answer.status_code == 200
    made = answer.json()["results"]
    id = made["connectorId"]
    assert set(made["created_by"]) == {"id", "name", "email"}
    assert api.get(BASE).json()["results"]["data"][0]["status"] == "active"
    sb.advance(10)
    run = run_of(api, id)
    assert run["status"] == "success"
    assert run["run_id"] == ""
    assert run["start_time"].isdigit()
    assert run["end_time"].isdigit()
    sb.switch(connector_created_by="email")
    assert set(api.get(f"{BASE}/{id}").json()["results"]["created_by"]) == {"email"}
    assert api.delete(f"{BASE}/{id}").json()["status"] == "success"
