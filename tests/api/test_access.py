"""Who may call what. Every operation of the schema is in here; a new one comes by itself."""

import pytest
from django.test import Client

# Operations on things that are nobody's yet: any person may try.
OF_NOBODY = {
    "project_list",
    "project_create",
    "service_account_list",
    "service_account_create",
    "job_list",
    "token_list",
    "token_create",
    "me_retrieve",
    "me_partial_update",
    "job_bulk",
    "saved_view_list",
    "saved_view_create",
    "warehouse_catalogue_retrieve",
    "connector_catalogue_retrieve",
    "ingestion_catalogue_retrieve",
}
# Reads that ask Mixpanel with the account's own rights, so only who may change it may.
# What is on the server's disk and in buckets is for those who may send it.
READS_OF_EDITORS = {
    "service_account_discover",
    "organization_at_mixpanel",
    "bucket_objects",
    "directory_names",
    "directory_entries",
}
OWN_ONLY = {
    "token_retrieve",
    "token_destroy",
    "saved_view_retrieve",
    "saved_view_destroy",
}
# They name a service account of the owner that no project uses.
NOT_FOR_VIEWERS = OWN_ONLY | {"organization_destroy", "organization_membership"}


def call(client, method, address, body=None):
    return client.generic(
        method, address, body or "{}", content_type="application/json"
    )


def test_nobody_is_answered_without_signing_in(operations, client_of):
    client = client_of()
    assert len(operations) > 50
    for method, address, name in operations:
        answer = call(client, method, address)
        assert answer.status_code == 401, (name, answer.content)
        assert answer["WWW-Authenticate"] == "Token"
        assert answer.json()["errors"][0]["code"] == "not_authenticated"


def test_for_a_stranger_nothing_exists(operations, client_of, stranger):
    client = client_of(stranger)
    for method, address, name in operations:
        answer = call(client, method, address)
        if name in OF_NOBODY:
            assert answer.status_code in (200, 400, 403), (name, answer.content)
            if method == "GET" and name.endswith("_list") and name != "token_list":
                assert answer.json()["results"] == [], name
        else:
            assert answer.status_code == 404, (name, answer.content)


def test_a_viewer_looks_and_does_not_touch(operations, client_of, viewer, count_rows):
    client = client_of(viewer)
    before = count_rows()
    for method, address, name in operations:
        answer = call(client, method, address)
        if name in OF_NOBODY:
            continue
        if name in NOT_FOR_VIEWERS:
            assert answer.status_code == 404, name
        elif method == "GET" and name not in READS_OF_EDITORS:
            assert answer.status_code == 200, (name, answer.content)
        else:
            assert answer.status_code == 403, (name, answer.content)
            assert answer.json()["errors"][0]["code"] == "not_permitted"
    assert count_rows() == before


def test_an_editor_gets_everywhere(operations, client_of, owner):
    client = client_of(owner)
    for method, address, name in operations:
        if method == "GET":
            answer = call(client, method, address, "")
            assert answer.status_code == 200, (name, answer.content)


def test_missing_and_foreign_things_answer_alike(
    operations, client_of, owner, stranger, rows
):
    mine, theirs = client_of(owner), client_of(stranger)
    missing = {str(v): "999999" for k, v in rows.items() if k.endswith("_id")}
    for method, address, name in operations:
        if (
            name in OF_NOBODY
            or name in OWN_ONLY
            or name.startswith(("job_", "organization"))
        ):
            continue
        parts = address.split("/")
        gone = "/".join([*parts[:4], missing[parts[4]], *parts[5:]])
        one, other = call(mine, method, gone), call(theirs, method, address)
        assert one.status_code == other.status_code == 404, name
        assert one.content == other.content


def test_the_404_says_nothing_of_what_was_asked_for(api):
    for address in (
        "projects/999999/",
        "jobs/00000000-0000-0000-0000-000000000000/",
        "x",
        "",
    ):
        answer = api.get(f"/api/v1/{address}")
        assert answer.status_code == 404
        assert answer.json() == {
            "type": "client_error",
            "errors": [{"code": "not_found", "detail": "Not found.", "attr": None}],
        }


@pytest.mark.parametrize(
    "part",
    [
        "0",
        "-1",
        "9223372036854775808",
        "9" * 400,
        "abc",
        "1.5",
        "%F0%9F%99%82",
        "1%20",
        "01",
    ],
)
def test_ids_that_no_database_holds_are_not_found(api, part):
    for address in (
        f"projects/{part}/",
        f"service-accounts/{part}/verify/",
        f"jobs/{part}/",
    ):
        for method in ("GET", "POST", "PATCH", "DELETE"):
            answer = call(api, method, f"/api/v1/{address}")
            assert answer.status_code in (404, 405)
            assert answer["Content-Type"] == "application/json"


def test_an_address_without_its_slash_is_no_redirect(api):
    answer = api.post("/api/v1/projects", {})
    assert answer.status_code == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
def test_methods_that_an_address_has_not_are_told(api, method):
    answer = call(api, method, "/api/v1/projects/")
    assert answer.status_code == 405
    assert answer.json()["errors"][0]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "header",
    [
        "Token",
        "Token x",
        "Token mxa_" + "a" * 64,
        "Token a b",
        "Token " + "x" * 5000,
        "Token \xff\xfe",
        "Bearer abc",
        "Basic YTpi",
        "nonsense",
    ],
)
def test_bad_tokens_are_refused(client_of, project, header):
    client = client_of()
    answer = client.get("/api/v1/projects/", HTTP_AUTHORIZATION=header)
    assert answer.status_code == 401
    assert answer.json()["type"] == "client_error"


def test_a_disabled_person_has_no_way_in(client_of, owner, project):
    client = client_of(owner)
    assert client.get("/api/v1/projects/").status_code == 200
    owner.is_active = False
    owner.save()
    assert client.get("/api/v1/projects/").status_code == 401


def test_a_token_in_the_address_is_no_sign_in(client_of, owner, project):
    assert client_of().get("/api/v1/projects/?token=mxa_1").status_code == 401


def test_a_browser_session_reads_and_needs_its_csrf_token_to_write(owner, project):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    address = f"/api/v1/projects/{project.pk}/"
    assert browser.get(address).status_code == 200
    body = {"content_type": "application/json", "data": {"name": "Other"}}
    answer = browser.patch(address, **body)
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["errors"][0]["detail"]
    browser.get("/accounts/tokens/")
    token = browser.cookies["csrftoken"].value
    answer = browser.patch(address, headers={"X-CSRFToken": token}, **body)
    assert answer.status_code == 200
    assert answer.json()["name"] == "Other"


def test_a_superuser_sees_all(client_of, project, django_user_model):
    boss = django_user_model.objects.create_superuser("boss", password="x")
    found = client_of(boss).get("/api/v1/projects/").json()["results"]
    assert [p["id"] for p in found] == [project.pk]
