"""What people come for, from their first sign-in on, in a browser.

Half of it in the light, half in the dark.
"""

import json
import re
import secrets
import time

import pytest
from playwright.sync_api import expect

from tests.browser.acting import (
    KINDS,
    expect_state,
    fill,
    follow,
    import_fields,
    labelled,
    press,
    see_plan,
)
from tests.browser.installation import PASSWORD, until
from tests.browser.looking import LAPTOP

DARK = {"color_scheme": "dark"}


def test_first_day(own, look, credentials):
    """Nothing is there; a service account is added, and the project that it sees."""
    username, secret, mixpanel_id = credentials
    name = f"new-{secrets.token_hex(4)}"
    own.create_user(name)
    watched = look(viewport=LAPTOP)
    page = watched.page
    page.goto(own.url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    fill(page, {"Username": name, "Password": PASSWORD})
    press(page, "Sign in")
    watched.is_fine()
    follow(page, "service account")
    account = {"Username": username, "Secret": secret}
    fill(page, {**account, "Data residency region": "United States"})
    press(page, "Add the service account")
    expect(page.get_by_role("heading", level=1)).to_contain_text(username)
    assert secret not in page.content()
    watched.is_fine()
    page.goto(f"{own.url}/projects/discover/")
    labelled(page, "Service account").select_option(index=1)
    press(page, "See its projects")
    page.get_by_label(f"Team {mixpanel_id}").check()
    press(page, "Add the ticked projects")
    page.get_by_role("main").get_by_role("link", name=f"Team {mixpanel_id}").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Team {mixpanel_id}")
    watched.is_fine()


@pytest.mark.parametrize("kind", KINDS)
def test_create_each_kind_of_import_and_watch_its_run(kind, team, ada):
    watched = ada(**(DARK if kind in ("people", "lookup_table") else {}))
    page = watched.page
    page.goto(f"{team.url}/imports/")
    follow(page, "Create an import")
    watched.is_fine()
    page.get_by_role("radio", name=KINDS[kind].words).check()
    press(page, "Go on")
    fill(page, import_fields(kind, f"My {kind}"))
    watched.is_fine()
    see_plan(page)
    watched.is_fine()
    press(page, "Create the import")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"My {kind}")
    # From here on nobody touches the page.
    expect_state(page, "Healthy")
    watched.is_fine()
    (made,) = team.own.sandbox.objects(team.mixpanel_id)["imports"]
    statuses = [run["status"] for run in team.own.sandbox.runs(made["id"])]
    assert statuses == ["SUCCEEDED"]


@pytest.fixture
def slow_runs(own):
    """Runs take long enough to be seen while they do."""
    own.sandbox.switch(run_seconds=12)
    yield
    own.sandbox.switch(run_seconds=3)


def run_by_hand(page, team):
    """An import that waits for us, on its page, where its run was just asked for."""
    pk = team.create_import("By hand", frequency="api")
    page.goto(f"{team.url}/imports/{pk}/")
    press(page, "Run now")
    return pk


def test_a_run_is_seen_to_start_and_to_end(team, ada, slow_runs):
    page = ada(**DARK).page
    run_by_hand(page, team)
    expect_state(page, "Running")
    expect_state(page, "Healthy")
    expect(page.get_by_role("main").get_by_text("1,200").first).to_be_visible()


def test_what_happened_while_the_machine_slept_is_seen(team, ada, slow_runs):
    watched = ada()
    page = watched.page
    pk = run_by_hand(page, team)
    expect_state(page, "Running")
    machine = page.context.new_cdp_session(page)
    machine.send("Page.setWebLifecycleState", {"state": "frozen"})
    runs = f"{team.api}/imports/{pk}/runs/"
    until(lambda: team.own.rows(runs)[0]["state"] == "succeeded", "the run's end")
    machine.send("Page.setWebLifecycleState", {"state": "active"})
    expect_state(page, "Healthy")
    watched.is_fine()


def test_a_hidden_tab_asks_nothing_and_a_still_page_costs_one_small_answer(team, ada):
    """Live parts ask once an interval, are told 304, and rest while nobody looks."""
    watched = ada()
    page = watched.page
    page.add_init_script(
        "Object.defineProperty(Document.prototype, 'hidden', {get: () => window.away})"
    )
    team.own.sandbox.freeze()
    try:
        run_by_hand(page, team)
        page.wait_for_timeout(3_000)
        polls = page.locator("[hx-trigger^=every]")
        expect(polls).to_have_count(1)
        every = float(
            re.search(r"every ([\d.]+)s", polls.get_attribute("hx-trigger"))[1]
        )
        answers = []
        page.on(
            "response",
            lambda answer: (
                answers.append(answer)
                if "hx-request" in answer.request.headers
                else None
            ),
        )
        page.wait_for_timeout(every * 3_500)
        assert 3 <= len(answers) <= 4, f"{len(answers)} in three and a half intervals"
        assert [answer.status for answer in answers[1:]] == [304] * (len(answers) - 1)
        page.evaluate("() => { window.away = true; }")
        page.wait_for_timeout(200)
        answers.clear()
        page.wait_for_timeout(every * 2_000)
        assert answers == []
        with page.expect_response(
            lambda answer: "hx-request" in answer.request.headers
        ):
            page.evaluate(
                "() => { window.away = false;"
                " document.dispatchEvent(new Event('visibilitychange')); }"
            )
    finally:
        team.own.sandbox.freeze(False)


def test_a_refused_secret_is_read_and_mended(team, ada):
    """A red page tells what happened, and its one button leads to the mend."""
    pk = team.create_import("Orders", frequency="api")
    fresh = secrets.token_urlsafe(24)
    team.own.sandbox.change_secret(team.username, fresh)
    watched = ada(**DARK)
    page = watched.page
    page.goto(f"{team.url}/imports/{pk}/")
    press(page, "Run now")
    waits = page.get_by_role("main").get_by_text("with a new secret")
    expect(waits.first).to_be_visible(timeout=60_000)
    watched.is_fine()
    follow(page, "Set a new secret")
    fill(page, {"New secret": fresh})
    page.get_by_role("main").get_by_role("button").last.click()
    page.goto(f"{team.url}/imports/{pk}/")
    expect_state(page, "Healthy")
    watched.is_fine()


def test_imports_are_paused_together(team, ada):
    names = [f"Part {n}" for n in range(3)]
    for name in names:
        team.create_import(name)
    watched = ada()
    page = watched.page
    page.goto(f"{team.url}/imports/")
    for name in names[:2]:
        page.get_by_role("checkbox", name=name).check()
    page.get_by_role("button", name=re.compile("^Pause 2 imports")).click()
    expect(page.get_by_role("main")).to_contain_text("Part 0")
    expect(page.get_by_role("main")).to_contain_text("Part 1")
    watched.is_fine()
    page.get_by_role("button", name=re.compile("^Pause 2 imports")).click()

    def paused():
        objects = team.own.sandbox.objects(team.mixpanel_id)["imports"]
        return sorted(bool(one["paused"]) for one in objects) == [False, True, True]

    until(paused, "the pausing")
    page.goto(f"{team.url}/imports/?state=paused")
    expect(page.get_by_role("link", name="Part 0")).to_be_visible()
    expect(page.get_by_role("link", name="Part 2")).to_have_count(0)
    watched.is_fine()


def events(count, bad=0):
    """NDJSON of events, some with a time that nobody can read."""
    now = int(time.time())
    records = []
    for n in range(count):
        properties = {
            "time": now - 60 - n,
            "distinct_id": f"customer-{n % 17}",
            "$insert_id": f"flow-{n:05}",
        }
        if n < bad:
            properties["$insert_id"] = f"order/{n}"
        records.append({"event": "Checkout", "properties": properties})
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def send_file(page, team, name, data):
    """Choose a file, let it be checked, look, and send it."""
    page.goto(f"{team.url}/ingestions/")
    follow(page, "Send files")
    fill(page, {"What the files hold": "Events"})
    file = {"name": name, "mimeType": "application/x-ndjson", "buffer": data}
    page.get_by_label("Files", exact=True).set_input_files([file])
    expect(page.locator(".upload")).to_contain_text("complete")
    press(page, "Take these files")


def test_a_file_is_uploaded_checked_and_sent(team, ada):
    watched = ada()
    page = watched.page
    send_file(page, team, "checkouts.ndjson", events(500))
    expect(page.get_by_role("button", name="Start sending")).to_be_visible(
        timeout=60_000
    )
    assert team.own.sandbox.events(team.mixpanel_id) == []
    watched.is_fine()
    page.get_by_role("button", name="Start sending").click()
    expect_state(page, "Succeeded")
    expect(page.get_by_role("main")).to_contain_text("The books balance")
    assert len(team.own.sandbox.events(team.mixpanel_id)) == 500
    watched.is_fine()


def test_rejected_records_are_mended_and_sent_again(team, ada):
    watched = ada(**DARK)
    page = watched.page
    send_file(page, team, "mixed.ndjson", events(100, bad=7))
    expect(page.get_by_role("button", name="Start sending")).to_be_visible(
        timeout=60_000
    )
    watched.is_fine()
    page.get_by_role("button", name="Start sending").click()
    expect_state(page, "Succeeded with errors")
    expect(page.get_by_role("main")).to_contain_text("The books balance")
    assert len(team.own.sandbox.events(team.mixpanel_id)) == 93
    page.get_by_role("main").get_by_role("link", name="Rejected").first.click()
    watched.is_fine()
    page.get_by_role("checkbox", name=re.compile("^Choose")).first.check()
    page.locator("summary", has_text="Put right on the way").click()
    page.get_by_role("checkbox", name=re.compile("^Hash unfit")).check()
    fill(page, {"After the check": "Send at once, whatever is found"})
    press(page, "Resend rejected records")
    expect_state(page, "Succeeded")
    until(
        lambda: len(team.own.sandbox.events(team.mixpanel_id)) == 100,
        "the arrival of the rest",
    )
    watched.is_fine()
