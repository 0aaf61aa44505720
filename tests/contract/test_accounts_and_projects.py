from datetime import UTC, datetime, timedelta

import pytest

from mixadmin.mixpanel import errors
from tests.contract.conftest import ORG, PROJECT, TOKEN, USER


def test_me(client):
    me = client.projects.me()
    assert me.user_name == USER
    assert [(org.id, org.name, org.role) for org in me.organizations] == [
        (ORG, "Acme", "owner")
    ]
    assert [(p.id, p.name, p.organization_id, p.role) for p in me.projects] == [
        (PROJECT, "Shop", ORG, "owner")
    ]


def test_a_wrong_secret_is_told_by_type(make_client):
    with pytest.raises(errors.NotAuthenticated):
        make_client(secret="wrong").projects.me()


def test_an_expired_account_is_told_by_type(client, sandbox):
    sandbox.expire_service_account(USER)
    with pytest.raises(errors.NotAuthenticated):
        client.warehouse.list_imports()


def test_a_role_that_is_too_low_is_told_by_type(make_client, sandbox):
    sandbox.add_service_account(
        "reader", "its-secret", organization_id=ORG, projects={PROJECT: "analyst"}
    )
    client = make_client(username="reader", secret="its-secret")
    assert client.warehouse.list_sources() == []
    with pytest.raises(errors.NotAllowed, match="permissions"):
        client.warehouse.create_source(
            warehouse_type="bigquery", name="x", connection={"project": "p"}
        )


@pytest.mark.parametrize(("region", "project", "here"), [
    ("us", PROJECT, True), ("eu", PROJECT, False), ("eu", 8, True), ("in", 8, False),
])  # fmt: skip
def test_only_the_right_region_knows_a_project(make_client, region, project, here):
    client = make_client(region=region, project_id=project)
    assert client.projects.is_in_region() is here


def test_a_project_of_somebody_else_is_no_answer_about_the_region(make_client, sandbox):
    sandbox.add_project(99, "Theirs", organization_id=12)
    with pytest.raises(errors.NotAllowed):
        make_client(project_id=99).projects.is_in_region()


def test_projects_of_an_organization_live_and_die(client):
    (shop,) = client.projects.list_for_organization(ORG)
    assert (shop.id, shop.name, shop.token, shop.timezone) == (
        PROJECT,
        "Shop",
        TOKEN,
        "UTC",
    )
    assert {"token", "api_key", "api_secret"}.isdisjoint(shop.raw)
    made = client.projects.create(ORG, ["One", "Two"])
    assert [project.name for project in made] == ["One", "Two"]
    client.projects.delete(ORG, [project.id for project in made])
    assert len(client.projects.list_for_organization(ORG)) == 1


def test_workspaces(client):
    (workspace,) = client.projects.workspaces()
    assert (workspace.id, workspace.name) == (PROJECT, "All Project Data")


@pytest.mark.parametrize("enveloped", [True, False])
def test_a_service_account_lives_and_dies(client, make_client, sandbox, enveloped):
    sandbox.switch(service_account_envelope=enveloped)
    expires = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
    made, secret = client.service_accounts.create(
        ORG,
        username="loader",
        role="analyst",
        expires_at=expires,
        projects=[{"id": PROJECT, "role": "admin"}],
    )
    assert made.username.startswith("loader.")
    assert made.expires_at == expires
    assert made.created_at is not None
    assert made.last_used_at is None
    assert made.creator.startswith(USER)
    assert secret not in repr(made) + repr(made.raw)

    found = client.service_accounts.get(ORG, made.id)
    assert (found.id, found.username) == (made.id, made.username)
    assert made.id in [account.id for account in client.service_accounts.list(ORG)]

    its_own = make_client(username=made.username, secret=secret)
    assert [project.role for project in its_own.projects.me().projects] == ["admin"]

    in_project = {a.id: a.role for a in client.service_accounts.list_for_project()}
    assert in_project[made.id] == "admin"
    client.service_accounts.remove_from_project(
        ORG, project_id=PROJECT, service_account_ids=[made.id]
    )
    in_project = {a.id: a.role for a in client.service_accounts.list_for_project()}
    assert made.id not in in_project
    client.service_accounts.add_to_project(
        ORG, project_id=PROJECT, role="consumer", service_account_ids=[made.id]
    )
    in_project = {a.id: a.role for a in client.service_accounts.list_for_project()}
    assert in_project[made.id] == "consumer"

    client.service_accounts.delete(ORG, made.id)
    with pytest.raises(errors.NotFound):
        client.service_accounts.get(ORG, made.id)


def test_an_account_is_made_of_its_name_alone(client):
    made, secret = client.service_accounts.create(ORG, username="plain")
    assert made.expires_at is None
    assert len(secret) > 8
