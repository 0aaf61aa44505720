import pytest
import requests

from mixadmin.sandbox.control import Control
from mixadmin.sandbox.server import Sandbox

SECRET = "s3cret"


class Api(requests.Session):
    """requests with a base URL and the credentials of one service account."""

    def __init__(self, url, username="ops", secret=SECRET, region="us"):
        super().__init__()
        self.trust_env = False
        self.base = f"{url}/{region}"
        self.auth = (username, secret)

    def request(self, method, path, **kwargs):
        kwargs.setdefault("allow_redirects", False)
        kwargs.setdefault("timeout", 10)
        url = path if path.startswith("http") else self.base + path
        return super().request(method, url, **kwargs)


@pytest.fixture(scope="session")
def _server(tmp_path_factory):
    server = Sandbox(tmp_path_factory.mktemp("sandbox")).start()
    yield server
    server.stop()


@pytest.fixture
def sb(_server):
    """An empty sandbox with project 1 and the account `ops`, an admin there.

    Its clock stands still; tests advance it.
    """
    _server.reset()
    _server.freeze()
    _server.add_organization(1, "Acme")
    _server.add_project(1, "Shop", token="t" * 32, group_keys=["company"])
    _server.add_service_account("ops", SECRET, projects={1: "admin"})
    return _server


@pytest.fixture
def control(sb):
    """The same sandbox, controlled over HTTP."""
    return Control(sb.url)


@pytest.fixture
def api(sb):
    with Api(sb.url) as session:
        yield session


@pytest.fixture
def api_of(sb):
    """Sessions of other accounts or regions."""
    made = []

    def make(username="ops", secret=SECRET, region="us"):
        made.append(Api(sb.url, username, secret, region))
        return made[-1]

    yield make
    for session in made:
        session.close()
