import json

import pytest

from mixadmin.mixpanel import errors
from tests.contract.conftest import ORG, USER

GCS = {"gcs_bucket": "b", "gcs_prefix": "", "gcs_region": "us"}
S3 = {
    "s3_role": "arn:aws:iam::485438090326:role/mixpanel",
    "s3_bucket": "b",
    "s3_region": "eu-central-1",
    "s3_prefix": "in/",
}
REMAPS = {
    "remap_event": {
        "event_name": "e",
        "time": "t",
        "distinct_id": "u",
        "$insert_id": None,
        "ip": "ip",
    },
    "remap_people": {"$distinct_id": "u"},
    "remap_group": {"$group_key": "k", "$group_id": "g"},
}


def create(client, kind="gcsImport", data_format="mixpanel_event", **more):
    category = {"data_format": data_format, **more}
    if data_format in REMAPS:
        category["property_remap"] = REMAPS[data_format]
    return client.connectors.create(
        label="nightly",
        connector_type=kind,
        connector_properties=GCS if kind == "gcsImport" else S3,
        category_properties=category,
    )


@pytest.mark.parametrize("kind", ["gcsImport", "s3Import"])
@pytest.mark.parametrize(
    "data_format", ["mixpanel_event", "mixpanel_people", "mixpanel_group", *REMAPS]
)
@pytest.mark.parametrize("compression", [None, "none", "gzip"])
def test_a_connector_of_every_form_lives_and_dies(
    client, sandbox, kind, data_format, compression
):
    sandbox.add_bucket("b")
    made = create(client, kind, data_format, compression=compression)
    assert (made.label, made.connector_type) == ("nightly", kind)
    assert made.connector_properties == (GCS if kind == "gcsImport" else S3)
    assert made.category_properties["data_format"] == data_format
    assert made.status == "active"
    assert made.created_by.startswith(USER)
    assert made.created_at is not None
    assert client.connectors.get(made.id).id == made.id
    (listed,) = client.connectors.list()
    assert (listed.id, listed.status) == (made.id, "")
    client.connectors.delete(made.id)
    assert client.connectors.list() == []
    with pytest.raises(errors.NotFound, match="was not found") as caught:
        client.connectors.get(made.id)
    assert caught.value.code == "not_found"


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"connector_success_word": "success"},
        {"connector_id_key": "connectorId"},
        {"connector_created_by": "email"},
        {"connector_created_by": "object"},
        {"connector_list_status": "real"},
        {"connector_create_status": 200},
        {"connector_delete_body": "message"},
        {"connector_times": "unix"},
        {"connector_run_id_key": "run_id"},
        {"trailing_slash_301": True},
    ],
    ids=str,
)
def test_a_run_is_followed_in_every_dialect(client, sandbox, switches):
    sandbox.switch(**switches)
    lines = [
        {
            "event": "a",
            "properties": {
                "time": 1600000000,
                "distinct_id": "u",
                "$insert_id": f"i{n}",
            },
        }
        for n in range(3)
    ]
    sandbox.put_file("b", "x.json", "\n".join(map(json.dumps, lines)).encode())
    made = create(client)
    assert made.created_by.startswith(USER)
    (queued,) = client.connectors.history(made.id)
    assert queued.state in ("queued", "running")
    assert queued.ended_at is None
    sandbox.advance(120)
    (done,) = client.connectors.history(made.id)
    assert done.state == "succeeded"
    assert done.raw_state == switches.get("connector_success_word", "succeeded")
    assert done.progress == 1
    assert (done.num_events_imported, done.num_events_dropped) == (3, 0)
    assert done.num_events_processed == 3
    assert done.num_files_imported == 1
    assert done.size_imported > 0
    assert done.started_at <= done.ended_at
    assert (done.error_message, done.error_code) == ("", "")
    client.connectors.delete(made.id)


def test_a_failed_run_tells_why(client, sandbox):
    sandbox.put_file("b", "x.json", b"\x1f\x8b" + b"0" * 100)
    made = create(client, compression="none")
    sandbox.advance(120)
    (run,) = client.connectors.history(made.id)
    assert run.state == "failed"
    assert "Gzip detected" in run.error_message


@pytest.mark.parametrize(
    ("status", "error"), [(403, errors.NotAllowed), (404, errors.NotFound)]
)
def test_a_project_without_cloud_import_is_told_by_type(
    make_client, sandbox, status, error
):
    sandbox.add_project(9, "Closed", organization_id=ORG, connectors="closed")
    sandbox.switch(connectors_closed_status=status)
    with pytest.raises(error, match="not available"):
        make_client(project_id=9).connectors.list()


def test_a_redirect_elsewhere_gets_nothing(client, sandbox):
    sandbox.fault("POST", "/connectors", "redirect", location="elsewhere", status=307)
    with pytest.raises(errors.Redirected):
        create(client)
    assert len(sandbox.calls()) == 1
    assert client.connectors.list() == []


def test_a_redirect_to_the_slash_form_creates_once(client, sandbox):
    sandbox.add_bucket("b")
    sandbox.fault("POST", "/connectors$", "redirect", location="slash", status=301)
    made = create(client)
    assert [found.id for found in client.connectors.list()] == [made.id]
