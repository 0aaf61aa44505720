"""Everything but liveness works where scripts are switched off."""

from playwright.sync_api import expect

from tests.browser.acting import (
    KINDS,
    fill,
    follow,
    import_fields,
    press,
    see_plan,
)
from tests.browser.conftest import sign_in
from tests.browser.installation import until
from tests.browser.looking import LAPTOP


def test_list_filter_create_and_pause(own, look, team):
    team.create_import("Alpha")
    team.create_import("Beta")
    page = look(java_script_enabled=False, viewport=LAPTOP).page
    sign_in(page, own)
    page.get_by_role("link", name=f"Team {team.mixpanel_id}").first.click()
    page.get_by_role("link", name="Warehouse imports").first.click()
    expect(page.get_by_role("link", name="Beta")).to_be_visible()

    page.get_by_role("main").get_by_role("searchbox").fill("Alph")
    page.get_by_role("main").get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("link", name="Alpha", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Beta", exact=True)).to_have_count(0)

    page.get_by_role("link", name="Alpha", exact=True).click()
    press(page, "Pause")

    def paused():
        objects = own.sandbox.objects(team.mixpanel_id)["imports"]
        return any(one["paused"] for one in objects)

    until(paused, "the pausing")
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("Paused")

    page.get_by_role("link", name="Warehouse imports").first.click()
    follow(page, "Create an import")
    page.get_by_role("radio", name=KINDS["people"].words).check()
    press(page, "Go on")
    fill(page, import_fields("people", "Gamma"))
    see_plan(page)
    press(page, "Create the import")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Gamma")
    objects = own.sandbox.objects
    until(lambda: len(objects(team.mixpanel_id)["imports"]) == 3, "the import")
