"""Each page of the demo, as it looks and as what it weighs."""

import boto3
import pytest
import requests

from tests.browser import walk
from tests.browser.conftest import session_of
from tests.browser.looking import LAPTOP, PHONE

MOST = 150_000
# Where rows are, they are looked at when packed too.
DENSE = {"dashboard:home", "warehouse:import_list", "jobs:list", "ingestion:list"}


@pytest.fixture(scope="session")
def s3_of_demo(s3_server):
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


@pytest.fixture(scope="session")
def things(demo, s3_of_demo):
    return walk.things(demo, s3_of_demo)


@pytest.fixture(scope="session")
def session(demo, chrome):
    return session_of(chrome, demo)


def test_every_address_is_known():
    names = {name for name, _ in walk.routes()}
    walked = {name.partition(" / ")[0] for name in walk.PAGES}
    listed = [walked, walk.POST_ONLY, set(walk.NO_PAGE)]
    assert sum(map(len, listed)) == len(set.union(*listed)), "listed twice"
    assert names - set.union(*listed) == set(), "name them in tests/browser/walk.py"
    assert set.union(*listed) - names == set(), "are gone"


def test_what_only_changes_is_no_page(demo, session):
    cookies = {cookie["name"]: cookie["value"] for cookie in session["cookies"]}
    for name, route in walk.routes():
        if name in walk.POST_ONLY:
            url = demo.url + walk.filled(route)
            answer = requests.get(url, cookies=cookies, timeout=30)
            assert answer.status_code == 405, name


@pytest.mark.parametrize("name", walk.PAGES)
def test_page(name, demo, things, session, look):
    watched = look(storage_state=session, viewport=LAPTOP, reduced_motion="reduce")
    wrong = faults_of(watched, demo.url + walk.PAGES[name].format(**things), name)
    assert not wrong, report(name, wrong)


def test_sign_in_page(demo, look):
    watched = look(viewport=LAPTOP, reduced_motion="reduce")
    wrong = faults_of(watched, f"{demo.url}/accounts/sign-in/", "accounts:sign_in")
    assert not wrong, report("accounts:sign_in", wrong)


def test_missing_page(demo, session, look):
    watched = look(storage_state=session, viewport=LAPTOP, reduced_motion="reduce")
    wrong = faults_of(watched, f"{demo.url}/projects/987654/", "404", status=404)
    assert not wrong, report("404", wrong)


def faults_of(watched, url, name, status=200):
    """Everything that is wrong with a page, a sentence each."""
    page = watched.page
    watched.allowed = (status,)
    wrong = []
    answer = watched.goto(url)
    if answer.status != status:
        return [f"answered {answer.status}"]
    if (headings := page.locator("h1").count()) != 1:
        wrong.append(f"{headings} h1")
    if page.title().strip(" ·") in ("", "mixadmin"):
        wrong.append(f"title: {page.title()!r}")
    if watched.weight > MOST:
        wrong.append(f"{watched.weight:,} bytes of scripts and styles")
    if shifted := always_moves(watched, url):
        wrong.append(f"moved: {shifted}")
    found = {"light": watched.axe()}
    page.emulate_media(color_scheme="dark")
    watched.settle()
    found["dark"] = watched.axe()
    if name in DENSE:
        page.evaluate("() => document.documentElement.dataset.density = 'dense'")
        found["dense"] = watched.axe()
    page.set_viewport_size(PHONE)
    watched.settle()
    if spilled := watched.spills():
        wrong.append(f"phone: {spilled}")
    found["phone"] = watched.axe()
    for line in dict.fromkeys(line for lines in found.values() for line in lines):
        where = [look for look, lines in found.items() if line in lines]
        wrong.append(f"{', '.join(where)}: {line}")
    return wrong + watched.problems + watched.refused()


def always_moves(watched, url, looks=3):
    """What moves by itself each time; a busy machine may paint half a page once."""
    for _ in range(looks):
        refresh(watched)
        shifted = watched.shifts()
        if not shifted:
            return ""
        watched.goto(url)
    return shifted


def refresh(watched):
    """Let what refreshes itself do so, as when its tab is seen again."""
    page = watched.page
    if page.locator("[hx-trigger^=every]").count():
        with page.expect_response(
            lambda answer: "hx-request" in answer.request.headers
        ):
            page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
        watched.settle()


def report(name, wrong):
    return "\n".join([f"{name}:", *(f"  {line}" for line in dict.fromkeys(wrong))])
