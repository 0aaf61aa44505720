"""What a person does on a page, told by the words that they read there."""

import re
from dataclasses import dataclass

from playwright.sync_api import expect

from mixadmin.sandbox import demo as world


def labelled(page, label):
    """The field with that label; a word behind it says that it is required."""
    return page.get_by_label(re.compile(rf"^\s*{re.escape(label)}(\s+required)?\s*$"))


def fill(page, values):
    """Type into fields, or choose in them, by their labels."""
    for label, value in values.items():
        field = labelled(page, label)
        if field.evaluate("(element) => element.tagName") == "SELECT":
            field.select_option(label=value)
        else:
            field.fill(value)


def press(page, name):
    """Press the button of that name."""
    page.get_by_role("button", name=name, exact=True).click()


def follow(page, name):
    """Follow the first link of that name on the page, not in the rail."""
    page.get_by_role("main").get_by_role("link", name=name, exact=True).first.click()


def expect_state(page, state, timeout=60_000):
    """The state on top of the page gets there by itself."""
    badge = page.locator("main .badge").first
    expect(badge).to_have_text(re.compile(rf"\b{state}\s*$"), timeout=timeout)


@dataclass(frozen=True)
class Kind:
    """A kind of import: the words of its choice, a table, and what is filled in."""

    words: str
    table: str
    fields: dict[str, str]


KINDS = {
    "event_stream": Kind(
        "Events",
        "orders",
        {
            "Event name column": "event",
            "Time column": "happened_at",
            "User column": "customer",
            "Insert time column": "inserted_at",
            "Sync mode": "Append",
        },
    ),
    "people": Kind(
        "User profiles", "users", {"User column": "id", "Sync mode": "Full"}
    ),
    "groups": Kind(
        "Group profiles",
        "companies",
        {
            "Group key": "company",
            "Group ID column": "company_id",
            "Sync mode": "Full",
        },
    ),
    "lookup_table": Kind(
        "Lookup table",
        "products",
        {
            "Property name": "sku",
            "Property of": "Events",
            "Key column": "sku",
            "Sync mode": "Full",
        },
    ),
}


def import_fields(kind, name):
    """The fields of a new import of a kind, by their labels, in their order."""
    table = {"Project": "acme-data", "Dataset": world.DATABASE}
    return {
        "Name": name,
        **table,
        "Table": KINDS[kind].table,
        **KINDS[kind].fields,
        "Frequency": "Daily",
    }


def see_plan(page):
    """From the fields of a new import to what they will do."""
    press(page, "See the plan")
    expect(page.get_by_role("heading", name="This will be sent")).to_be_visible()
