import pytest

from tests.contract.conftest import ORG, PROJECT, TOKEN
from tests.contract.published import ENDPOINTS, find_endpoint, problems_with
from tests.contract.test_ingestion import CSV, event, ndjson, tracked, upload
from tests.contract.test_warehouse import bodies


def test_the_client_calls_every_endpoint(client, sandbox):
    projects, warehouse = client.projects, client.warehouse
    accounts, connectors = client.service_accounts, client.connectors
    ingestion, tables, schemas = client.ingestion, client.lookup_tables, client.schemas

    projects.me()
    projects.is_in_region()
    projects.workspaces()
    (made,) = projects.create(ORG, ["New"])
    projects.list_for_organization(ORG)
    projects.delete(ORG, [made.id])

    source = warehouse.create_source(
        warehouse_type="snowflake", name="x", connection={}
    )
    warehouse.list_sources()
    warehouse.get_source(source.id)
    warehouse.update_source(source.id, name="y")
    for kind, body in bodies(source.id).items():
        imported = warehouse.create_import(kind, body)
    warehouse.list_imports()
    warehouse.get_import(imported.id)
    warehouse.patch_import(imported.id, paused=False, run_every=0)
    sandbox.advance(60)
    warehouse.manual_sync(imported.id)
    warehouse.history(imported.id)
    for imported in warehouse.list_imports():
        warehouse.delete_import(imported.id)
    warehouse.delete_source(source.id)

    connector = connectors.create(
        label="",
        connector_type="gcsImport",
        connector_properties={"gcs_bucket": "b", "gcs_prefix": ""},
        category_properties={"data_format": "mixpanel_event"},
    )
    connectors.list()
    connectors.get(connector.id)
    connectors.history(connector.id)
    connectors.delete(connector.id)

    account, _ = accounts.create(ORG, username="x", role="admin")
    accounts.list(ORG)
    accounts.get(ORG, account.id)
    accounts.add_to_project(
        ORG, project_id=PROJECT, role="admin", service_account_ids=[account.id]
    )
    accounts.list_for_project()
    accounts.remove_from_project(
        ORG, project_id=PROJECT, service_account_ids=[account.id]
    )
    accounts.delete(ORG, account.id)

    ingestion.import_events(ndjson(event(1)))
    ingestion.track([tracked()])
    ingestion.engage([{"$token": TOKEN, "$distinct_id": "u", "$set": {}}])
    ingestion.groups(
        [{"$token": TOKEN, "$group_key": "company", "$group_id": "a", "$set": {}}]
    )

    id = sandbox.add_lookup_table(PROJECT, "skus")
    tables.list()
    tables.replace(id, CSV)
    sandbox.switch(lookup_async_bytes=1)
    large = tables.create_from_upload("large", upload(client, CSV))
    tables.upload_status(large.upload_id)
    tables.delete_definitions([t.id for t in tables.list_definitions()])

    schemas.upsert([{"entityType": "event", "name": "a", "schemaJson": {}}])
    schemas.replace("event", "a", {})
    schemas.get("event", "a")
    schemas.list()
    schemas.list("event")
    schemas.delete("event", "a")
    schemas.delete_many("event")
    schemas.delete_many()

    found = [find_endpoint(call["method"], call["path"]) for call in sandbox.calls()]
    called = {(one.method, one.path) for one in found}
    assert {(one.method, one.path) for one in ENDPOINTS} == called
    assert all(200 <= call["status"] < 300 for call in sandbox.calls())


GOOD = {
    "method": "PATCH",
    "path": "/api/app/projects/7/warehouse-sources/imports/3",
    "query": {},
    "body": {"paused": True, "run_every": 0},
}


@pytest.mark.parametrize(
    ("change", "content_type", "problem"),
    [
        ({}, "application/json", ""),
        ({}, "text/plain", "content type"),
        ({"path": "/api/app/projects/x/warehouse-sources/imports/3"}, "", "no such"),
        ({"method": "PUT"}, "", "no such"),
        ({"query": {"a": "1"}}, "application/json", "query a is unknown"),
        ({"body": {"paused": True}}, "application/json", "run_every is missing"),
        ({"body": {"paused": 1, "run_every": 0}}, "application/json", "paused"),
        ({"body": {"paused": True, "run_every": False}}, "application/json", "run_every"),
        ({"body": {**GOOD["body"], "x": 1}}, "application/json", "x is unknown"),
        ({"body": ""}, "application/json", "not an object"),
        ({"body": {**GOOD["body"], "databricks_params": {"export_cluster_config": {"a": 1}}}},
         "application/json", "export_cluster_config.a is unknown"),
        ({"method": "GET"}, "application/json", "a body where none belongs"),
    ],
)  # fmt: skip
def test_the_check_itself_sees_what_is_wrong(change, content_type, problem):
    found = problems_with({**GOOD, **change}, content_type)
    assert problem in "; ".join(found)
    assert bool(found) is bool(problem)


def test_every_endpoint_is_found_by_its_own_path():
    names = {
        "{number}": "5",
        "{uuid}": "ab32b74c-8d1c-4f08-9c2b-8f8f5b5f9d3e",
        "{entity}": "event",
        "{text}": "a%20b",
    }
    for endpoint in ENDPOINTS:
        path = endpoint.path
        for name, value in names.items():
            path = path.replace(name, value)
        assert find_endpoint(endpoint.method, path) is endpoint
