import pytest

from mixadmin.mixpanel import errors
from mixadmin.mixpanel.projects import Organization, VisibleProject
from tests.mixpanel.wire import ok, reply

ME = {
    "user_id": 5,
    "user_email": "ops.1a2b.mp-service-account@mixpanel.org",
    "user_name": "ops",
    "organizations": {"11": {"id": 11, "name": "Acme", "role": "admin", "permissions": []}},
    "projects": {
        "7": {"id": 7, "name": "Shop", "organization_id": 11, "role": {"id": 1, "name": "owner"}},
        "8": {"name": "Web", "organizationId": 11, "role": "our own role"},
        "9": {"organization": {"id": 12}},
    },
    "workspaces": {"1": {}},
}  # fmt: skip


def test_me_tells_what_the_account_can_see(client, server):
    server.answer(ok(ME))
    me = client.projects.me()
    assert server.requests[0].target == "/us/api/app/me"
    assert (me.user_name, me.user_email) == (ME["user_name"], ME["user_email"])
    assert me.organizations == (Organization(id=11, name="Acme", role="admin"),)
    assert me.projects == (
        VisibleProject(id=7, name="Shop", organization_id=11, role="owner"),
        VisibleProject(id=8, name="Web", organization_id=11, role="our own role"),
        VisibleProject(id=9, name="", organization_id=12, role=""),
    )
    assert me.raw == ME


@pytest.mark.parametrize("projects", [None, {}, []])
def test_me_without_projects_is_no_error(client, server, projects):
    server.answer(ok({**ME, "projects": projects}))
    assert client.projects.me().projects == ()


def test_projects_as_a_list_are_read_too(client, server):
    server.answer(ok({**ME, "projects": list(ME["projects"].values())[:1]}))
    assert client.projects.me().projects[0].id == 7


@pytest.mark.parametrize("projects", ["x", 5, {"7": None}, {"x": {}}, {"7": {"id": "7"}},
                                      {"9" * 30: {}}])  # fmt: skip
def test_projects_of_another_shape_are_refused(client, server, projects):
    server.answer(ok({**ME, "projects": projects}))
    with pytest.raises(errors.UnexpectedResponse):
        client.projects.me()


@pytest.mark.parametrize("status", [200, 400])
def test_the_query_api_tells_whether_the_region_is_right(client, server, status):
    server.answer(reply({"error": "invalid project id for cluster"}, status))
    assert client.projects.is_in_region() is (status == 200)
    request = server.requests[0]
    assert request.path == "/us/api/query/events/names"
    assert request.query == "project_id=7&type=general&limit=1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.NotAuthenticated),
        (403, errors.NotAllowed),
        (429, errors.RateLimited),
    ],
)
def test_another_answer_is_no_answer_about_the_region(client, server, status, kind):
    server.answer(reply({}, status))
    with pytest.raises(kind):
        client.projects.is_in_region()


def test_an_html_page_is_no_answer_about_the_region(client, server):
    server.answer(reply(b"<html>"))
    with pytest.raises(errors.UnexpectedResponse):
        client.projects.is_in_region()


PROJECT = {"id": 7, "name": "Shop", "token": "tok3n-1", "api_key": "k3y-22",
           "api_secret": "s3cr3t-333", "timezone_name": "UTC"}  # fmt: skip


@pytest.mark.parametrize(
    "results",
    [[PROJECT], {"7": PROJECT}, {"projects": [PROJECT]}, {"projects": {"7": PROJECT}}],
)
def test_an_organizations_projects_keep_their_secrets_to_themselves(
    client, server, results
):
    server.answer(ok(results))
    (project,) = client.projects.list_for_organization(11)
    assert (project.id, project.name, project.timezone) == (7, "Shop", "UTC")
    assert project.token == "tok3n-1"
    assert project.raw == {"id": 7, "name": "Shop", "timezone_name": "UTC"}
    assert "tok3n" not in repr(project)
    assert server.requests[0].target == "/us/api/app/organizations/11/projects/"


def test_projects_are_created_and_deleted_by_the_organization(client, server):
    server.answer(ok([PROJECT]), ok(None))
    assert client.projects.create(11, ["Shop"])[0].id == 7
    client.projects.delete(11, (7, 8))
    created, deleted = server.requests
    assert created.path.endswith("/organizations/11/create-projects/")
    assert created.json() == {"projectNames": ["Shop"]}
    assert deleted.path.endswith("/organizations/11/delete-projects/")
    assert deleted.json() == {"projectIds": [7, 8]}


def test_nothing_to_delete_is_refused(client, server):
    with pytest.raises(ValueError, match="must not be empty"):
        client.projects.delete(11, [])
    assert server.requests == []


def test_workspaces_are_those_of_the_clients_project(client, server):
    server.answer(ok([{"id": 70, "name": "All"}]))
    (workspace,) = client.projects.workspaces()
    assert (workspace.id, workspace.name) == (70, "All")
    assert server.requests[0].target == "/us/api/app/projects/7/workspaces"


def test_a_client_without_project_says_what_it_lacks(make_client, server):
    client = make_client(project_id=None)
    for call in (
        client.projects.is_in_region,
        client.warehouse.list_sources,
        client.warehouse.list_imports,
        client.connectors.list,
        client.service_accounts.list_for_project,
        client.lookup_tables.list,
        client.lookup_tables.list_definitions,
        client.schemas.list,
        lambda: client.ingestion.import_events(b"{}"),
    ):
        with pytest.raises(ValueError, match="project_id"):
            call()
    assert server.requests == []
