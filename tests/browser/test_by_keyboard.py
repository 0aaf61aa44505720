"""Without a mouse: everything is reached with Tab, and one sees where one is."""

import re

from playwright.sync_api import expect

from tests.browser.acting import KINDS, import_fields, labelled
from tests.browser.installation import until

# Where the focus is, and whether that can be seen.
SEEN = """(element) => {
  const focused = document.activeElement;
  if (focused !== element) return "elsewhere";
  const shown = getComputedStyle(focused);
  const box = focused.getBoundingClientRect();
  if (box.bottom < 0 || box.top > innerHeight) return "out of sight";
  return (shown.outlineStyle !== "none" && parseFloat(shown.outlineWidth) > 0) ||
    shown.boxShadow !== "none" ? "seen" : "not marked";
}"""


def tab_to(page, target):
    """Press Tab until the target has the focus."""
    expect(target).to_be_visible()
    for _ in range(150):
        if (state := target.evaluate(SEEN)) != "elsewhere":
            assert state == "seen", f"{target}: {state}"
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {target}")


def enter(page, target):
    tab_to(page, target)
    page.keyboard.press("Enter")


def link(page, name):
    return page.get_by_role("main").get_by_role("link", name=name, exact=True).first


def test_create_an_import(team, ada):
    page = ada().page
    page.goto(f"{team.url}/imports/")
    page.keyboard.press("Tab")
    enter(page, page.get_by_role("link", name="Skip to the content"))
    enter(page, link(page, "Create an import"))
    # The arrows go from one choice of a group to the next.
    tab_to(page, page.get_by_role("radio", name=KINDS["event_stream"].words))
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name=KINDS["people"].words)).to_be_checked()
    enter(page, page.get_by_role("button", name="Go on"))
    for label, value in import_fields("people", "By keyboard").items():
        field = labelled(page, label)
        tab_to(page, field)
        # A list goes to the choice that begins with what is typed.
        page.keyboard.type(value)
    enter(page, page.get_by_role("button", name="See the plan"))
    enter(page, page.get_by_role("button", name="Create the import"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("By keyboard")
    objects = team.own.sandbox.objects
    until(lambda: objects(team.mixpanel_id)["imports"], "the import")


def test_pause_together(team, ada):
    team.create_import("Left")
    team.create_import("Right")
    page = ada(color_scheme="dark").page
    page.goto(f"{team.url}/imports/")
    for name in ("Right", "Left"):
        tab_to(page, page.get_by_role("checkbox", name=name))
        page.keyboard.press("Space")
    enter(page, page.get_by_role("button", name=re.compile("^Pause 2 imports")))
    expect(page.get_by_role("main")).to_contain_text("Right")
    enter(page, page.get_by_role("button", name=re.compile("^Pause 2 imports")))

    def paused():
        objects = team.own.sandbox.objects(team.mixpanel_id)["imports"]
        return all(one["paused"] for one in objects)

    until(paused, "the pausing")
