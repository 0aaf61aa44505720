"""`make screenshots`: the pictures of docs/screenshots, from a new demo."""

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import chromium, installation
from tests.browser.conftest import session_of
from tests.browser.looking import LAPTOP, PHONE

FOLDER = installation.ROOT / "docs" / "screenshots"
SHOP = "/projects/{us}"
# name: (address, what else is different)
PICTURES = {
    "home": ("/", {}),
    "home-dark": ("/", {"color_scheme": "dark"}),
    "home-phone": ("/", {"viewport": PHONE}),
    "imports": (f"{SHOP}/imports/", {}),
    "import": (f"{SHOP}/imports/{{import}}/", {}),
    "import-dark": (f"{SHOP}/imports/{{import}}/", {"color_scheme": "dark"}),
    "failed-connector": (f"{SHOP}/connectors/{{packed}}/runs/{{packed_run}}/", {}),
    "file-check": (f"{SHOP}/ingestions/{{looked_at}}/", {}),
    "rejected-records": (f"{SHOP}/ingestions/{{mistakes}}/rejected/", {}),
    "styleguide": ("/styleguide/", {}),
}


def main():
    program = chromium.find()
    if program is None:
        sys.exit(chromium.HELP)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        static = Path(folder, "static")
        installation.collect_static(static)
        env = {"STATIC_ROOT": str(static)}
        with installation.demo(Path(folder, "demo"), **env) as demo:
            browser = playwright.chromium.launch(
                executable_path=program, args=chromium.OPTIONS
            )
            take_all(browser, demo)
            browser.close()


def take_all(browser, demo):
    session = session_of(browser, demo)
    ids = things(demo)
    for name, (address, different) in PICTURES.items():
        options = {"viewport": LAPTOP, "reduced_motion": "reduce", **different}
        context = browser.new_context(storage_state=session, **options)
        page = context.new_page()
        page.goto(demo.url + address.format(**ids))
        take(page, name)
        context.close()
    context = browser.new_context(storage_state=session, viewport=LAPTOP)
    page = context.new_page()
    page.goto(demo.url + f"{SHOP}/imports/".format(**ids))
    for box in page.locator("tbody input[type=checkbox]").all()[:3]:
        box.check()
    page.get_by_role("button", name=re.compile("^Pause 3 imports")).click()
    take(page, "bulk-review")
    context.close()


def things(demo):
    """The ids of what the addresses above name."""
    us = next(row["id"] for row in demo.rows("projects/") if row["region"] == "us")

    def pk(path, **wanted):
        return demo.row(f"projects/{us}/{path}/", **wanted)["id"]

    packed = pk("connectors", label="Packed files declared as plain")
    runs = demo.rows(f"projects/{us}/connectors/{packed}/runs/")
    return {
        "us": us,
        "import": pk("imports", name="Orders"),
        "packed": packed,
        "packed_run": runs[0]["id"],
        "looked_at": pk("ingestions", name="to-be-looked-at.ndjson"),
        "mistakes": pk("ingestions", name="checkouts-with-mistakes.ndjson"),
    }


def take(page, name):
    page.wait_for_load_state("networkidle")
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    sys.stdout.write(f"{path} {path.stat().st_size // 1024} KB\n")


if __name__ == "__main__":
    main()
