"""What every test may use: people, a working Mixpanel, and what a worker would do now."""

import pytest
from django.conf import settings as django_settings
from django.test import Client
from rest_framework.test import APIClient

from tests import make


def pytest_collection_modifyitems(items):
    if "postgresql" in django_settings.DATABASES["default"]["ENGINE"]:
        return
    skip = pytest.mark.skip(reason="needs PostgreSQL: make test-postgres")
    for item in items:
        if item.get_closest_marker("postgres"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def sandbox_server(tmp_path_factory):
    """One sandbox for the whole run; its runs take a twentieth of their time."""
    from mixadmin.sandbox.server import Sandbox

    server = Sandbox(tmp_path_factory.mktemp("sandbox"), port=0, speed=20.0)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def sandbox(sandbox_server, settings):
    """An empty Mixpanel on loopback that the product's settings point to."""
    sandbox_server.reset()
    settings.MIXPANEL_APP_URL = f"{sandbox_server.url}/{{region}}/api/app"
    settings.MIXPANEL_INGESTION_URL = f"{sandbox_server.url}/{{region}}"
    return sandbox_server


@pytest.fixture
def owner(db):
    """An editor of `project`."""
    return make.make_user("owner")


@pytest.fixture
def viewer(db):
    return make.make_user("viewer")


@pytest.fixture
def stranger(db):
    return make.make_user("stranger")


@pytest.fixture
def project(owner, viewer, sandbox):
    """A project of `owner` and `viewer` that the sandbox knows and lets us into."""
    sandbox.add_organization(1, "Acme")
    sandbox.add_project(make.MIXPANEL_ID, "Shop", region="us", organization_id=1)
    sandbox.add_service_account(
        make.USERNAME,
        make.SECRET,
        organization_id=1,
        role="admin",
        projects={make.MIXPANEL_ID: "admin"},
        region="us",
    )
    yield make.make_project(owner=owner, viewer=viewer)
    # Whatever a test did: what rows say of their runs is what the runs say.
    assert make.rows_that_belie_their_runs() == []


@pytest.fixture
def run_due_jobs(db):
    """Call it to do what workers would do now; `hurry` makes what waits due as well."""

    def run(*, hurry=False, rounds=20):
        return make.run_due_jobs(hurry=hurry, rounds=rounds)

    return run


@pytest.fixture
def poll(db):
    """Call it to poll everything of a project once, now."""
    return make.poll_now


@pytest.fixture
def page(owner):
    """A browser in which `owner` is signed in."""
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def api(owner):
    """A tool that calls the REST API with a token of `owner`."""
    return api_as(owner)


def api_as(user):
    from mixadmin.accounts.models import ApiToken

    _, token = ApiToken.objects.create(user=user, name=f"test of {user}")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


@pytest.fixture(scope="session")
def s3_server():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def role(monkeypatch):
    """What a server with a role of its own at Amazon has."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture
def s3(s3_server, role, settings):
    """An empty S3 that the product reads from, as a client that may do everything."""
    import boto3
    import requests

    requests.post(f"{s3_server}/moto-api/reset", timeout=5)
    settings.S3_ENDPOINT_URL = s3_server
    client = boto3.client(
        "s3",
        endpoint_url=s3_server,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="acme")
    yield client
    client.close()
