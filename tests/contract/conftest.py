"""Client and sandbox, which know nothing of one another, talk here."""

import pytest

from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.http import Timeouts
from mixadmin.mixpanel.watchdog import WatchedAdapter, new_session
from mixadmin.sandbox.server import Sandbox
from tests.contract.published import problems_with

ORG = 11
PROJECT = 7
TOKEN = "0123456789abcdef0123456789abcdef"
USER = "ops.1a2b3c.mp-service-account"
SECRET = "the-secret-of-ops"


class Noting(WatchedAdapter):
    """Notes the content type of each request, which the ledger does not keep."""

    def __init__(self, notes):
        super().__init__()
        self.notes = notes

    def send(self, request, *args, **kwargs):
        self.notes.append((request.method, request.headers.get("Content-Type", "")))
        return super().send(request, *args, **kwargs)


@pytest.fixture(scope="session")
def running_sandbox(tmp_path_factory):
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"))
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(running_sandbox):
    sandbox = running_sandbox
    sandbox.reset()
    sandbox.freeze()
    sandbox.switch(schemas_per_minute=1000)
    sandbox.add_organization(ORG, "Acme")
    sandbox.add_project(
        PROJECT, "Shop", organization_id=ORG, token=TOKEN, group_keys=["company"]
    )
    sandbox.add_project(8, "Laden", region="eu", organization_id=ORG)
    sandbox.add_service_account(USER, SECRET, organization_id=ORG, role="owner")
    yield sandbox
    sandbox.freeze(False)


@pytest.fixture
def make_client(sandbox):
    """Clients whose every request is held against what Mixpanel publishes."""
    notes = []
    session = new_session()
    session.mount("http://", Noting(notes))

    def make(**changes):
        options = {
            "region": "us",
            "username": USER,
            "secret": SECRET,
            "project_id": PROJECT,
            "timeouts": Timeouts(connect=5, read=10, total=20),
            "app_url": sandbox.url + "/{region}/api/app",
            "ingestion_url": sandbox.url + "/{region}",
            "session": session,
        }
        return MixpanelClient(**{**options, **changes})

    yield make
    session.close()
    calls = sandbox.calls()
    assert [call["method"] for call in calls] == [method for method, _ in notes]
    before = 200
    for call, (_, content_type) in zip(calls, notes, strict=True):
        # A slash that a redirect has added is the server's own.
        path = call["path"].rstrip("/") if 300 < before < 400 else call["path"]
        assert problems_with({**call, "path": path}, content_type) == [], call
        before = call["status"]


@pytest.fixture
def client(make_client):
    return make_client()
