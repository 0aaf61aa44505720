"""The API describes itself, without a warning, and its pages load nothing from elsewhere."""

import re
from io import StringIO

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command


def test_the_schema_is_made_without_a_warning():
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=StringIO())


def test_the_schema_is_openapi_3_1(client):
    answer = client.get("/api/schema/", HTTP_ACCEPT="application/vnd.oai.openapi+json")
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")


def test_every_operation_says_how_it_fails(schema):
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            statuses = set(operation["responses"])
            assert {"400", "401", "403"} <= statuses, (method, path)
            assert ("404" in statuses) == ("{" in path)
            assert operation["description"], (method, path)
            answer = operation["responses"]["400"]["content"]["application/json"]
            assert answer["schema"]["$ref"].endswith("/Errors")
            names = (
                [p["name"] for p in operation["parameters"]]
                if "parameters" in operation
                else []
            )
            assert ("Idempotency-Key" in names) == (method == "post")


def test_operation_ids_are_unique(schema):
    ids = [o["operationId"] for m in schema["paths"].values() for o in m.values()]
    assert len(ids) == len(set(ids))


def test_a_deletion_that_wants_a_name_describes_its_body(schema):
    operation = schema["paths"]["/api/v1/projects/{project_id}/"]["delete"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body["$ref"].endswith("/TypedNameRequest")
    fields = schema["components"]["schemas"]["TypedNameRequest"]
    assert fields["required"] == ["typed_name"]


def test_secrets_are_in_no_answer(schema):
    for name, component in schema["components"]["schemas"].items():
        if not name.endswith("Request") and name != "NewToken":
            assert (
                not {"secret", "secrets", "password"} & set(component["properties"])
                or name == "Field"
            ), name


@pytest.mark.parametrize("address", ["/api/docs/", "/api/docs/?script="])
def test_the_documentation_loads_only_our_own_files(client, address):
    answer = client.get(address)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert not re.findall(r"(?:https?:)?//[a-z]", text)
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    for found in re.findall(r"/static/([^\"'?]+)", text):
        assert finders.find(found), found
    if "script" not in address:
        assert not re.findall(r"<script(?![^>]*src=)[^>]*>\s*\S", text)
        assert len(re.findall(r"/static/drf_spectacular_sidecar/", text)) >= 3
