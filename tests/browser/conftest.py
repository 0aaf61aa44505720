"""Chromium, and the installations it looks at.

Playwright runs an event loop in the thread of the tests, in which Django refuses to use
its database. None of these tests does: they are run by themselves (`make test-browser`),
and everything they look at is another process.
"""

import os

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import chromium, installation
from tests.browser.looking import Watched


def pytest_collection_modifyitems(items):
    """One installation each for those that look and those that change, side by side."""
    here = os.path.dirname(__file__)
    for item in items:
        if not str(item.path).startswith(here):
            continue
        item.add_marker("browser")
        item.add_marker(pytest.mark.timeout(240))
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
