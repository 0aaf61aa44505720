import pytest

from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.http import Timeouts
from tests.mixpanel.wire import Server

SECRET = "s3cret/with+odd=chars"
FAST = Timeouts(connect=2, read=5, total=10)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def make_client(server):
    clients = []

    def make(**changes):
        options = {
            "region": "us",
            "username": "ops.1a2b.mp-service-account",
            "secret": SECRET,
            "project_id": 7,
            "timeouts": FAST,
            "app_url": server.app_url,
            "ingestion_url": server.url + "/{region}",
        }
        client = MixpanelClient(**{**options, **changes})
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(make_client):
    return make_client()
