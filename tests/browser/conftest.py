"""Chromium, and the installations it looks at.

Playwright runs an event loop in the thread of the tests, in which Django refuses to use
its database. None of these tests does: they are run by themselves (`make test-browser`),
and everything they look at is another process.
"""

import contextlib
import os
import secrets
from dataclasses import dataclass

import pytest
from playwright.sync_api import sync_playwright

from mixadmin.sandbox import demo as world
from tests.browser import chromium, installation
from tests.browser.installation import PASSWORD, Installation, until
from tests.browser.looking import LAPTOP, Watched


def pytest_collection_modifyitems(items):
    """One installation each for those that look and those that change, side by side."""
    here = os.path.dirname(__file__)
    for item in items:
        if not str(item.path).startswith(here):
            continue
        item.add_marker("browser")
        item.add_marker(pytest.mark.timeout(240, func_only=True))
        own = "demo" if "demo" in item.fixturenames else "own"
        item.add_marker(pytest.mark.xdist_group(own))


@pytest.fixture(scope="session")
def static_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("static")
    installation.collect_static(folder)
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory, static_root, s3_server):
    """The demo, which tests look at and do not change."""
    folder = tmp_path_factory.mktemp("demo")
    env = {"STATIC_ROOT": str(static_root), "S3_ENDPOINT_URL": s3_server}
    with installation.demo(folder, **env) as found:
        yield found


@pytest.fixture(scope="session")
def own(tmp_path_factory, static_root):
    """An installation that tests change; each takes a project of its own in it.

    What waits, waits a quarter of its time.
    """
    folder = tmp_path_factory.mktemp("own")
    env = {"STATIC_ROOT": str(static_root), "MIXADMIN_TIME_SCALE": "0.25"}
    with installation.empty(folder, **env) as found:
        world.tables(found.sandbox)
        world.files(found.sandbox)
        found.create_user("ada")
        found.sign_in("ada", PASSWORD)
        yield found


@dataclass
class Team:
    """A project of Ada's that is new at Mixpanel and here, with a warehouse."""

    own: Installation
    mixpanel_id: int
    project: int
    source: int
    account: int
    # Of the account, at Mixpanel.
    username: str

    @property
    def url(self):
        return f"{self.own.url}/projects/{self.project}"

    @property
    def api(self):
        return f"projects/{self.project}"

    def create_import(self, name, *, table="orders", **more):
        """An import that is there already, by the API; its id."""
        body = {
            "name": name,
            "source": self.source,
            "kind": "event_stream",
            "sync_mode": "time_based",
            "table_params": {
                "project": "acme-data",
                "dataset": world.DATABASE,
                "table": table,
            },
            "fields": {
                "event_name": name,
                "time_column_name": "happened_at",
                "user_column_name": "customer",
                "insert_time_column_name": "inserted_at",
            },
            "frequency": "daily",
            **more,
        }
        made = self.own.post(f"{self.api}/imports/", body)["import"]["id"]
        at = f"{self.api}/imports/{made}/"
        until(lambda: self.own.get(at)["presence"] == "active", "the import")
        return made


@pytest.fixture
def credentials(own):
    """A service account at Mixpanel that sees one project: (username, secret, id)."""
    mixpanel_id = 4_000_000 + secrets.randbelow(5_000_000)
    username = f"team-{mixpanel_id}.1a2b3c.mp-service-account"
    secret = secrets.token_urlsafe(24)
    own.sandbox.add_project(
        mixpanel_id,
        f"Team {mixpanel_id}",
        organization_id=mixpanel_id,
        group_keys=["company"],
    )
    own.sandbox.add_service_account(
        username,
        secret,
        organization_id=mixpanel_id,
        projects={mixpanel_id: "admin"},
    )
    return username, secret, mixpanel_id


@pytest.fixture
def team(own, credentials):
    username, secret, mixpanel_id = credentials
    body = {"username": username, "secret": secret, "region": "us"}
    account = own.post("service-accounts/", body)["id"]
    project = own.post(
        "projects/",
        {
            "name": f"Team {mixpanel_id}",
            "mixpanel_id": mixpanel_id,
            "region": "us",
            "environment": "test",
            "service_account": account,
        },
    )["id"]
    own.post(f"projects/{project}/verify/")
    source = own.post(
        f"projects/{project}/warehouse-sources/",
        {
            "name": "Lake",
            "warehouse_type": "bigquery",
            "connection": {"gcp_project_id": "acme-data"},
        },
    )
    source = source["warehouse_source"]["id"]
    at = f"projects/{project}/warehouse-sources/{source}/"
    until(lambda: own.get(at)["presence"] == "active", "the warehouse")
    yield Team(own, mixpanel_id, project, source, account, username)
    forget(own, project, f"Team {mixpanel_id}")


def forget(own, project, name):
    """So that the workers have no more to look after for each test that was."""
    at = f"projects/{project}/"
    for job in own.rows(f"jobs/?project={project}"):
        if not job["is_ended"]:
            with contextlib.suppress(AssertionError):  # it has just ended by itself
                own.post(f"jobs/{job['id']}/cancel/")

    def ended():
        return all(job["is_ended"] for job in own.rows(f"jobs/?project={project}"))

    until(ended, "the end of its jobs")
    own.call("DELETE", at, json={"typed_name": name})


@pytest.fixture(scope="session")
def chrome():
    program = chromium.find()
    if program is None:
        pytest.fail(chromium.HELP)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=chromium.OPTIONS
        )
        yield browser
        browser.close()


def session_of(chrome, installation):
    """The cookies of somebody who has signed in."""
    context = chrome.new_context()
    sign_in(context.new_page(), installation)
    state = context.storage_state()
    context.close()
    return state


def sign_in(page, installation):
    page.goto(f"{installation.url}/accounts/sign-in/")
    page.get_by_label("Username").fill(installation.username)
    page.get_by_label("Password").fill(installation.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{installation.url}/")


@pytest.fixture(scope="session")
def session_of_ada(chrome, own):
    return session_of(chrome, own)


@pytest.fixture
def ada(look, session_of_ada, team):
    """Call it for a browser in which Ada is signed in: (page, what is wrong on it)."""

    def open_one(**options):
        options = {"viewport": LAPTOP, "reduced_motion": "reduce", **options}
        return look(storage_state=session_of_ada, **options)

    return open_one


@pytest.fixture
def look(chrome):
    """Call it to open a page of one's own; it fails the test on what a person would
    find broken: an error in the console, a refused script, a failed request."""
    opened = []

    def open_one(**options):
        context = chrome.new_context(**options)
        opened.append(context)
        return Watched(context)

    yield open_one
    for context in opened:
        context.close()
