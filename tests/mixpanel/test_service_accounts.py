from datetime import UTC, datetime

import pytest

from mixadmin.mixpanel import errors
from tests.mixpanel.wire import ok, reply

ACCOUNT = {
    "id": 31,
    "username": "ops.1a2b.mp-service-account",
    "last_used": "2026-01-02T03:04:05Z",
    "expires": None,
    "creator": 9,
    "created": "2026-01-01T00:00:00.000001+00:00",
    "user": 77,
}


def test_accounts_of_an_organization_are_listed(client, server):
    server.answer(ok([ACCOUNT, {"id": 32, "creator_name": "Ada", "role": "odd role"}]))
    first, second = client.service_accounts.list(11)
    assert server.requests[0].target == "/us/api/app/organizations/11/service-accounts"
    assert (first.id, first.username) == (31, "ops.1a2b.mp-service-account")
    assert first.last_used_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert first.created_at == datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert (first.expires_at, first.creator, first.role) == (None, "9", "")
    assert (second.creator, second.role) == ("Ada", "odd role")


def test_accounts_of_a_project_come_with_their_role(client, server):
    account = {**ACCOUNT, "role": "analyst", "role_order": 3, "target_type": "team"}
    server.answer(ok([account]))
    assert client.service_accounts.list_for_project()[0].role == "analyst"
    assert server.requests[0].target == "/us/api/app/projects/7/service-accounts"


def test_a_new_account_brings_its_secret_once(client, server):
    server.answer(
        reply({"status": "ok", "results": {**ACCOUNT, "token": "the-new-secret"}}, 201)
    )
    account, secret = client.service_accounts.create(
        11,
        username="ops",
        role="admin",
        expires_at=datetime(2027, 1, 1, tzinfo=UTC),
        projects=[{"id": 7, "role": "our own role"}],
    )
    assert secret == "the-new-secret"
    assert account.username == "ops.1a2b.mp-service-account"
    assert "the-new-secret" not in repr(account) + repr(account.raw)
    assert server.requests[0].json() == {
        "username": "ops",
        "role": "admin",
        "expires": "2027-01-01T00:00:00Z",
        "projects": [{"id": 7, "role": "our own role"}],
    }


def test_only_what_is_given_is_sent(client, server):
    server.answer(ok({**ACCOUNT, "token": "s"}))
    client.service_accounts.create(11, username="ops")
    assert server.requests[0].json() == {"username": "ops"}


def test_an_account_without_its_secret_may_have_been_created(client, server):
    server.answer(ok(ACCOUNT))
    with pytest.raises(errors.UnexpectedResponse, match="token is missing") as caught:
        client.service_accounts.create(11, username="ops")
    assert caught.value.may_have_happened is True


def test_an_unexpected_answer_to_a_create_does_not_show_the_secret(client, server):
    server.answer(ok({**ACCOUNT, "id": "31", "token": "the-new-secret"}))
    with pytest.raises(errors.UnexpectedResponse) as caught:
        client.service_accounts.create(11, username="ops")
    assert "the-new-secret" not in str(caught.value) + caught.value.body


@pytest.mark.parametrize(
    "answer", [ok(ACCOUNT), reply(ACCOUNT)], ids=["enveloped", "bare"]
)
def test_one_account_is_read_with_or_without_envelope(client, server, answer):
    server.answer(answer)
    assert client.service_accounts.get(11, 31).id == 31
    assert server.requests[0].path.endswith("/service-accounts/31")


def test_an_account_is_deleted(client, server):
    server.answer(reply({"status": "ok"}))
    client.service_accounts.delete(11, 31)
    assert server.requests[0].method == "DELETE"
    assert server.requests[0].path.endswith("/organizations/11/service-accounts/31")


def test_accounts_are_put_into_a_project_and_taken_out(client, server):
    server.answer(reply({"status": "ok"}))
    client.service_accounts.add_to_project(
        11, project_id=7, role="admin", service_account_ids=(31, 32)
    )
    client.service_accounts.remove_from_project(
        11, project_id=7, service_account_ids=[31]
    )
    added, removed = server.requests
    assert added.path.endswith("/service-accounts/add-to-project")
    assert added.json() == {
        "projects": [{"id": 7, "role": "admin"}],
        "service_account_ids": [31, 32],
    }
    assert removed.path.endswith("/service-accounts/remove-from-project")
    assert removed.json() == {"projects": [{"id": 7, "service_account_ids": [31]}]}


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.list("11"),
        lambda s: s.list(0),
        lambda s: s.get(11, "31"),
        lambda s: s.create(11, username=""),
        lambda s: s.create(11, username="a", role=5),
        lambda s: s.create(11, username="a", expires_at=datetime(2027, 1, 1)),
        lambda s: s.create(11, username="a", projects=[{"id": 7}]),
        lambda s: s.create(11, username="a", projects=[{"id": 7, "role": "x", "y": 1}]),
        lambda s: s.create(11, username="a", projects=[{"id": "7", "role": "x"}]),
        lambda s: s.add_to_project(11, project_id=7, role="", service_account_ids=[1]),
        lambda s: s.add_to_project(11, project_id=7, role="a", service_account_ids=[]),
        lambda s: s.remove_from_project(11, project_id=7, service_account_ids=["1"]),
        lambda s: s.remove_from_project(11, project_id="7", service_account_ids=[1]),
    ],
)
def test_a_bad_argument_is_refused_before_sending(client, server, call):
    with pytest.raises((TypeError, ValueError)):
        call(client.service_accounts)
    assert server.requests == []
