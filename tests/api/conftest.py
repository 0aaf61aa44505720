"""One of everything, and every operation that the API describes of itself."""

import pytest
from django.apps import apps
from rest_framework.test import APIClient

from mixadmin.accounts.models import ApiToken
from mixadmin.audit.actions import record
from tests import make


@pytest.fixture
def client_of():
    """A tool that somebody signed in for; without a person it is anonymous."""

    def client(user=None):
        client = APIClient()
        if user:
            _, token = ApiToken.objects.create(user=user, name="tool")
            client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
        return client

    return client


def make_view(owner):
    return owner.saved_views.create(path="/jobs/", name="Bad ones", query="q=x")


@pytest.fixture
def rows(project, owner, sandbox, s3, settings, tmp_path):
    """One of everything, and the parts of addresses that lead there."""
    remote_id = sandbox.add_source(make.MIXPANEL_ID, "Warehouse", "bigquery")
    source = make.make_source(project=project, mixpanel_id=remote_id)
    warehouse_import = make.make_import(project=project, source=source)
    connector = make.make_connector(project=project)
    other = make.make_service_account(
        username="other.mp-service-account", owner=owner, mixpanel_id=77
    )
    token, _ = ApiToken.objects.create(user=owner, name="old")
    record(actor=owner, verb="looked at", target=project)
    settings.INGEST_DIRECTORIES = {"drop": str(tmp_path)}
    table = make.make_lookup_table(project=project)
    version = make.make_lookup_version(table=table)
    upload = make.make_upload(project=project)
    ingestion = make.make_ingestion(project=project, upload=upload, state="gated")
    return {
        "project_id": project.pk,
        "account_id": project.service_account_id,
        "other_id": other.pk,
        "source_id": source.pk,
        "import_id": warehouse_import.pk,
        "run_id": make.make_run(warehouse_import=warehouse_import).pk,
        "connector_id": connector.pk,
        "connector_run_id": make.make_connector_run(connector=connector).pk,
        "table_id": table.pk,
        "number": version.number,
        "id": make.make_job(project=project).pk,
        "token_key": token.token_key,
        "view_id": make_view(owner).pk,
        "username": "viewer",
        "upload": upload.pk,
        "ingestion_id": ingestion.pk,
        "batch_id": make.make_unsettled_batch(ingestion=ingestion).pk,
        "bucket_id": make.make_bucket(project=project).pk,
        "name": "drop",
        "remote_import_id": make.make_remote_object(project=project).pk,
        "remote_connector_id": make.make_remote_object(
            project=project, kind="connector", mixpanel_id="c-1"
        ).pk,
    }


@pytest.fixture(scope="session")
def schema():
    from drf_spectacular.generators import SchemaGenerator

    return SchemaGenerator().get_schema(request=None, public=True)


@pytest.fixture
def operations(schema, rows):
    """[(method, address with the ids of `rows`, operation id)] of the whole API."""
    found = []
    for template, methods in schema["paths"].items():
        parts = dict(rows)
        if "/connectors/" in template:
            parts["run_id"] = rows["connector_run_id"]
        address = template.format(**parts)
        found += [
            (method.upper(), address, operation["operationId"])
            for method, operation in methods.items()
        ]
    return found


@pytest.fixture
def count_rows():
    """Counts every row of the product, to see that nothing was half-saved."""

    def count():
        return {
            model._meta.label: model.objects.count()
            for model in apps.get_models()
            if model.__module__.startswith("mixadmin")
        }

    return count
