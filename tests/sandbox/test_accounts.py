import base64

import pytest

ORG = "/api/app/organizations/1/service-accounts"
SOURCES = "/api/app/projects/1/warehouse-sources/sources"
SOURCE = {"warehouse_type": "postgres"}


def test_me(sb, api, api_of):
    sb.add_project(2, "Europe", region="eu")
    sb.add_service_account("both", "s", projects={1: "admin", 2: "analyst"})
    results = api.get("/api/app/me", params={"include_workspace_users": "false"}).json()
    results = results["results"]
    assert results["organizations"]["1"]["role"] == "admin"
    assert list(results["projects"]) == ["1"]
    assert results["user_email"].endswith(".mp-service-account@mixpanel.org")
    eu = api_of("both", "s", "eu")
    assert list(eu.get("/api/app/me").json()["results"]["projects"]) == ["2"]
    sb.switch(me_lists_all_regions=True)
    assert list(eu.get("/api/app/me").json()["results"]["projects"]) == ["1", "2"]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer abc",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"ops:wrong").decode(),
        "Basic " + base64.b64encode(b"ops").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
    ],
)
def test_bad_credentials(sb, api, header):
    api.auth = None
    answer = api.get("/api/app/me", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.json()["status"] == "error"


def test_the_pair_may_come_unencoded(sb, api):
    api.auth = None
    answer = api.get("/api/app/me", headers={"Authorization": "Basic ops:s3cret"})
    assert answer.status_code == 200


def test_expiry_and_changed_secrets(sb, api):
    sb.add_service_account("short", "s", expires_at=sb.now() + 60)
    short = ("short", "s")
    assert api.get("/api/app/me", auth=short).status_code == 200
    sb.advance(61)
    assert api.get("/api/app/me", auth=short).status_code == 401
    sb.change_secret("ops", "new")
    assert api.get("/api/app/me").status_code == 401
    assert api.get("/api/app/me", auth=("ops", "new")).status_code == 200
    sb.expire_service_account("ops")
    assert api.get("/api/app/me", auth=("ops", "new")).status_code == 401


def test_roles_and_membership(sb, api):
    sb.add_project(2, "Other", organization_id=2)
    assert api.get("/api/app/projects/2/connectors").status_code == 403
    assert api.get("/api/app/projects/99/connectors").status_code == 403
    sb.set_role("ops", 1, "analyst")
    assert api.get(SOURCES).status_code == 200
    assert api.post(SOURCES, json=SOURCE).status_code == 403
    sb.set_role("ops", 1, None)
    assert api.get(SOURCES).status_code == 403
    assert api.get("/api/app/organizations/2/service-accounts").status_code == 403


def test_an_account_without_projects_named_is_in_all_of_its_organization(sb, api):
    sb.add_service_account("wide", "s")
    sb.add_project(2, "Second")
    sb.add_project(3, "Foreign", organization_id=2)
    found = api.get("/api/app/me", auth=("wide", "s")).json()["results"]["projects"]
    assert list(found) == ["1", "2"]


def test_a_project_of_another_region(sb, api, api_of):
    eu = api_of(region="eu")
    assert eu.get(SOURCES).status_code == 403
    sb.switch(wrong_region_status=404)
    assert eu.get(SOURCES).status_code == 404
    probe = {"project_id": 1, "type": "general", "limit": 1}
    answer = eu.get("/api/query/events/names", params=probe)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid project id for cluster"
    assert api.get("/api/query/events/names", params=probe).json() == []
    sb.switch(accounts_bound_to_region=True)
    assert eu.get("/api/app/me").status_code == 401


def test_life_of_a_service_account(sb, api):
    sb.add_project(2, "Second")
    body = {
        "username": "loader",
        "role": "consumer",
        "expires": "2999-01-01T00:00:00Z",
        "projects": [{"id": 1, "role": "admin"}],
    }
    answer = api.post(ORG, json=body)
    assert answer.status_code == 201
    made = answer.json()["results"]
    assert made["username"].startswith("loader.")
    assert made["username"].endswith(".mp-service-account")
    pair = (made["username"], made["token"])
    assert api.get(SOURCES, auth=pair).status_code == 200
    assert api.get(ORG, auth=pair).status_code == 200
    assert api.post(ORG, json=body, auth=pair).status_code == 403

    read = api.get(f"{ORG}/{made['id']}").json()["results"]
    assert "token" not in read
    assert read["expires"].startswith("2999")
    assert read["creator_name"] == "ops"
    sb.switch(service_account_envelope=False)
    assert api.get(f"{ORG}/{made['id']}").json()["id"] == made["id"]
    assert made["id"] in [one["id"] for one in api.get(ORG).json()["results"]]

    grant = {
        "projects": [{"id": 2, "role": "analyst"}],
        "service_account_ids": [made["id"]],
    }
    assert api.post(f"{ORG}/add-to-project", json=grant).json() == {"status": "ok"}
    sb.set_role("ops", 2, "admin")
    members = api.get("/api/app/projects/2/service-accounts").json()["results"]
    roles = {one["id"]: one["role"] for one in members}
    assert roles[made["id"]] == "analyst"
    assert members[0]["target_type"] == "individual"
    revoke = {"projects": [{"id": 2, "service_account_ids": [made["id"]]}]}
    assert api.post(f"{ORG}/remove-from-project", json=revoke).json() == {
        "status": "ok"
    }
    members = api.get("/api/app/projects/2/service-accounts").json()["results"]
    assert made["id"] not in [one["id"] for one in members]

    assert api.delete(f"{ORG}/{made['id']}").json() == {"status": "ok"}
    assert api.get(f"{ORG}/{made['id']}").status_code == 404
    assert api.get("/api/app/me", auth=pair).status_code == 401


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"username": ""}, 400),
        ({"username": 5}, 400),
        ({"role": "king"}, 400),
        ({"expires": "tomorrow"}, 400),
        ({"projects": {"id": 1}}, 400),
        ({"projects": [{"id": 1}]}, 400),
        ({"projects": [{"id": 77, "role": "admin"}]}, 403),
    ],
)
def test_bad_service_accounts_are_refused(sb, api, change, status):
    body = {"username": "loader", "role": "admin", "projects": [], **change}
    answer = api.post(ORG, json=body)
    assert answer.status_code == status
    assert answer.json()["status"] == "error"
    assert len(api.get(ORG).json()["results"]) == 1


def test_projects_of_an_organization(sb, api):
    names = {"projectNames": ["New"]}
    (made,) = api.post("/api/app/organizations/1/create-projects/", json=names).json()[
        "results"
    ]
    assert len(made["token"]) == 32
    found = api.get("/api/app/organizations/1/projects/").json()["results"]
    assert [one["name"] for one in found] == ["Shop", "New"]
    ids = {"projectIds": [made["id"]]}
    answer = api.post("/api/app/organizations/1/delete-projects/", json=ids)
    assert answer.json() == {"status": "ok"}
    found = api.get("/api/app/organizations/1/projects/").json()["results"]
    assert [one["name"] for one in found] == ["Shop"]
    workspaces = api.get("/api/app/projects/1/workspaces").json()["results"]
    assert workspaces[0]["is_global"] is True


BAD_BODIES = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b"\xff\xfe",
    "a list": b"[]",
    "half a surrogate": b'{"username": "\\ud800"}',
    "very deep": b"[" * 100_000,
    "endless number": b'{"username": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("name", BAD_BODIES)
@pytest.mark.parametrize(
    "path",
    [
        ORG,
        SOURCES,
        "/api/app/projects/1/connectors",
        "/api/app/projects/1/warehouse-sources/imports/people",
        "/api/app/projects/1/schemas",
        "/api/app/projects/1/schemas/event/x",
        "/api/app/projects/1/data-definitions/lookup-tables",
    ],
)
def test_bad_bodies_are_400(sb, api, path, name):
    sb.switch(schemas_per_minute=1000)
    answer = api.post(path, data=BAD_BODIES[name])
    assert answer.status_code == 400, answer.text
    assert answer.json()["status"] == "error"


@pytest.mark.parametrize("depth", range(880, 1000, 7))
def test_no_depth_of_nesting_is_too_much_for_the_sandbox(sb, api, depth):
    body = b'{"warehouse_type": "postgres", "a": ' + b"[" * depth + b"]" * depth + b"}"
    assert api.post(SOURCES, data=body).status_code in (200, 400)
    assert api.get(SOURCES).status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/app/nothing", "/api/app/projects/x/connectors", "/"]
)
def test_unknown_paths(api, path):
    assert api.get(path).status_code == 404


def test_headers_of_every_answer(api):
    answer = api.get("/api/app/me")
    assert answer.headers["Server"] == "nginx"
    assert answer.headers["x-mp-request-id"]
    assert answer.headers["x-server-elapsed"].isdigit()
