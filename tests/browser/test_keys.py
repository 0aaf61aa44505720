"""Single keys, the palette, and what the tab tells by itself."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from mixadmin.common.templatetags.ui import relative
from tests.browser.conftest import sign_in
from tests.browser.installation import until
from tests.browser.looking import LAPTOP, PHONE

FOCUSED = "() => document.activeElement.textContent.trim()"


@pytest.fixture
def imports(team, ada):
    """The list of two imports, "Right" above "Left"."""
    team.create_import("Left")
    team.create_import("Right")
    watched = ada()
    watched.page.goto(f"{team.url}/imports/")
    return watched


def shown_palette(page):
    return page.get_by_role("combobox", name="Find")


def options_of(page, **which):
    """Of the palette; the filters of a list have options too."""
    return page.get_by_role("dialog", name="Find").get_by_role("option", **which)


def test_rows_are_gone_through_and_opened(imports):
    page = imports.page
    page.keyboard.press("j")
    assert page.evaluate(FOCUSED) == "Right"
    page.keyboard.press("k")
    assert page.evaluate(FOCUSED) == "Right"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate(FOCUSED) == "Left"
    marked = page.locator("tr:has(:focus)").evaluate(
        "(row) => getComputedStyle(row.querySelector('th')).backgroundColor !=="
        " getComputedStyle(document.querySelector('main thead th')).backgroundColor"
    )
    assert marked
    page.keyboard.press("k")
    assert page.evaluate(FOCUSED) == "Right"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Right")


def test_a_row_is_ticked(imports):
    page = imports.page
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_role("checkbox", name="Right")).to_be_checked()
    page.keyboard.press("x")
    expect(page.get_by_role("checkbox", name="Right")).not_to_be_checked()


def test_two_keys_go_to_places_also_of_the_last_project(imports, team):
    page = imports.page
    for key, address in (
        ("s", f"{team.url}/sources/"),
        ("j", f"{team.own.url}/jobs/"),
        ("i", f"{team.url}/imports/"),
        ("h", f"{team.own.url}/"),
        ("c", f"{team.url}/connectors/"),
        ("a", f"{team.own.url}/service-accounts/"),
        ("n", f"{team.url}/ingestions/"),
        ("e", f"{team.own.url}/errors/"),
    ):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(address)


def test_no_key_does_anything_while_somebody_types(imports, team):
    page = imports.page
    page.keyboard.press("/")
    field = page.get_by_role("main").get_by_role("searchbox")
    expect(field).to_be_focused()
    page.keyboard.type("?gjxk/")
    expect(field).to_have_value("?gjxk/")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.url.startswith(f"{team.url}/imports/")


def test_keys_with_a_modifier_are_the_browsers(imports):
    page = imports.page
    for held in ("Control", "Alt", "Meta"):
        page.keyboard.press(f"{held}+j")
        page.keyboard.press(f"{held}+x")
    assert page.evaluate("() => document.activeElement === document.body")


def test_a_question_mark_shows_the_keys_and_escape_closes(imports):
    page = imports.page
    page.keyboard.press("j")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Warehouse imports")
    # Behind an open dialog nothing moves.
    page.keyboard.press("j")
    assert imports.axe() == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate(FOCUSED) == "Right"
    page.get_by_role("button", name="Keys").click()
    expect(dialog).to_be_visible()


def test_single_keys_can_be_switched_off(imports, team):
    page = imports.page
    page.goto(f"{team.own.url}/accounts/preferences/")
    page.get_by_label("Single-key shortcuts").uncheck()
    page.get_by_role("button", name="Save").click()
    try:
        page.goto(f"{team.url}/imports/")
        page.keyboard.press("j")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert page.evaluate("() => document.activeElement === document.body")
        page.keyboard.press("Control+k")
        expect(shown_palette(page)).to_be_focused()
    finally:
        page.goto(f"{team.own.url}/accounts/preferences/")
        page.get_by_label("Single-key shortcuts").check()
        page.get_by_role("button", name="Save").click()


def test_the_palette_finds_and_goes(imports, team):
    page = imports.page
    page.keyboard.press("Control+k")
    field = shown_palette(page)
    expect(field).to_be_focused()
    options = options_of(page)
    expect(options.first).to_contain_text("Overview of")
    page.keyboard.type("left")
    expect(options.first).to_contain_text("Left")
    assert imports.axe() == []
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    chosen = options_of(page, selected=True)
    expect(chosen).to_have_count(1)
    expect(field).to_have_attribute("aria-activedescendant", chosen.get_attribute("id"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Left")


def test_enter_waits_for_the_answer_to_what_was_typed_last(imports):
    page = imports.page
    page.keyboard.press("Control+k")
    page.keyboard.type("pause right")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/imports/\d+/$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Right")
    expect(page.get_by_role("main")).not_to_contain_text("Paused")


def test_the_palette_closes_and_gives_the_focus_back(imports):
    page = imports.page
    page.keyboard.press("j")
    page.keyboard.press("Control+k")
    expect(shown_palette(page)).to_be_focused()
    page.keyboard.press("Escape")
    expect(shown_palette(page)).to_be_hidden()
    assert page.evaluate(FOCUSED) == "Right"


def test_the_look_is_switched_from_the_palette(imports):
    page = imports.page
    root = page.locator("html")
    page.keyboard.press("Control+k")
    page.keyboard.type("switch to dark")
    page.keyboard.press("Enter")
    expect(root).to_have_attribute("data-theme", "dark")
    page.wait_for_load_state()
    page.keyboard.press("Control+k")
    page.keyboard.type("system's colours")
    page.keyboard.press("Enter")
    expect(root).not_to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_palette_fits_a_phone(team, ada, colours):
    watched = ada(viewport=PHONE, color_scheme=colours)
    page = watched.page
    page.goto(f"{team.url}/imports/")
    page.keyboard.press("Control+k")
    expect(options_of(page).first).to_be_visible()
    assert watched.spills() == ""
    assert watched.axe() == []


def test_title_icon_and_rail_follow_what_happens(team, ada):
    watched = ada()
    page = watched.page
    page.goto(f"{team.url}/imports/")
    icon = page.locator("link[rel=icon]")
    team.create_import("Broken", table="no_such_table")
    # Its first run is told by the page that is open, without loading it again.
    tally = page.locator("[data-tally='imports.failing']")
    expect(tally).to_be_visible(timeout=90_000)
    expect(page).to_have_title(re.compile(r"^\(\d+ failing.*\) Warehouse imports"))
    assert "favicon-failing" in icon.get_attribute("href")
    assert watched.problems == []


def test_nothing_is_asked_in_a_tab_that_nobody_sees(team, ada):
    watched = ada()
    page = watched.page
    page.goto(f"{team.url}/imports/")

    def pulses():
        return sum("/pulse/" in request.url for request in watched.requests)

    page.evaluate("""() => {
      Object.defineProperty(document, "hidden", {configurable: true, value: true});
      document.dispatchEvent(new Event("visibilitychange"));
    }""")
    before = pulses()
    page.wait_for_timeout(12_000)
    assert pulses() == before
    page.evaluate("""() => {
      Object.defineProperty(document, "hidden", {configurable: true, value: false});
      document.dispatchEvent(new Event("visibilitychange"));
    }""")
    until(lambda: page.wait_for_timeout(100) or pulses() > before, "the pulse")


def test_times_are_in_the_zone_of_the_browser(own, look, team):
    team.create_import("Right")
    watched = look(viewport=LAPTOP, timezone_id="Asia/Tokyo")
    page = watched.page
    sign_in(page, own)
    page.goto(f"{own.url}/jobs/")
    time = page.locator("main time").first
    expect(time).to_contain_text("JST")
    time.hover()
    expect(time).to_have_attribute(
        "title", re.compile(r" UTC, (just now|\d+ min ago)$")
    )
    # By keyboard: UTC for the whole page.
    page.get_by_role("button", name="Show UTC").press("Enter")
    expect(page.locator("main time").first).to_contain_text("UTC")
    page.get_by_role("button", name="Show Asia/Tokyo").click()
    expect(page.locator("main time").first).to_contain_text("JST")
    assert watched.problems == []


def test_a_page_says_how_long_ago_as_the_server_does(imports):
    now = datetime.now(UTC)
    # Half a minute off each border, so that the time of the test does not matter.
    seconds = [s + 30 for s in (0, 60, 59 * 60, 80 * 60, 179 * 60, 47 * 3600, 200_000)]
    moments = [now + sign * timedelta(seconds=s) for s in seconds for sign in (1, -1)]
    told = imports.page.evaluate(
        """(moments) => moments.map((moment) => {
          const time = document.createElement("time");
          time.dateTime = moment;
          document.body.append(time);
          time.dispatchEvent(new Event("pointerover", {bubbles: true}));
          return time.title;
        })""",
        [moment.isoformat() for moment in moments],
    )
    assert told == [relative(moment, now) for moment in moments]
