"""What all lists have: an order, a part that is fetched while one types, bars of runs."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone

from mixadmin.common.pages import filters, is_listing, sorting
from mixadmin.common.states import RunState
from mixadmin.connectors.lists import SORTS as CONNECTORS
from mixadmin.files.views import BUCKET_SORTS, UPLOAD_SORTS
from mixadmin.ingestion.views import SORTS as INGESTIONS
from mixadmin.jobs.views import SORTS as JOBS
from mixadmin.lookups.views import SORTS as TABLES
from mixadmin.projects.views import SORTS as PROJECTS
from mixadmin.service_accounts.views import SORTS as ACCOUNTS
from mixadmin.warehouse.lists import IMPORT_SORTS, SOURCE_SORTS
from tests.test_house import add_rows

LISTS = {
    "/projects/": PROJECTS,
    "/service-accounts/": ACCOUNTS,
    "/jobs/": JOBS,
    "/projects/{}/sources/": SOURCE_SORTS,
    "/projects/{}/imports/": IMPORT_SORTS,
    "/projects/{}/connectors/": CONNECTORS,
    "/projects/{}/ingestions/": INGESTIONS,
    "/projects/{}/files/": UPLOAD_SORTS,
    "/projects/{}/files/buckets/": BUCKET_SORTS,
    "/projects/{}/lookup-tables/": TABLES,
}


@pytest.mark.parametrize("address", LISTS)
def test_a_list_is_sorted_both_ways_and_fetched_in_part(address, project, owner, page):
    add_rows(project, owner, range(3))
    where = address.format(project.pk)
    assert is_listing(where)
    for column in LISTS[address]:
        there = page.get(f"{where}?sort={column}").context["paged"].rows
        back = page.get(f"{where}?sort=-{column}").context["paged"].rows
        assert len(there) >= 3
        assert [row.pk for row in there] == [row.pk for row in back][::-1], column
    shown = page.get(where).text
    assert "<tr data-row>" in shown
    assert 'id="filters"' in shown
    assert 'id="tallies"' in shown
    assert "style=" not in shown
    part = page.get(f"{where}?q=nothing", headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert "csrfmiddlewaretoken" not in part
    assert 'id="tallies" hx-swap-oob="true"' in part
    assert "Clear the filters" in part


def test_what_is_no_list_is_none():
    for path in ("/", "/jobs/bulk/", "/nowhere/", "//evil.example/jobs/", "", "x"):
        assert not is_listing(path)


def asked(query):
    return RequestFactory().get(f"/x/?{query}")


def test_an_order_and_its_opposite():
    sorts = {"made": ("-made", "-pk"), "name": ("name", "pk")}
    order = sorting(asked(""), sorts, "made")
    assert order.order == ("-made", "-pk")
    assert (order.descends("made"), order.descends("name")) == (True, None)
    assert (order.turn("made"), order.turn("name")) == ("-made", "name")
    turned = sorting(asked("sort=-made"), sorts, "made")
    assert turned.order == ("made", "pk")
    assert turned.descends("made") is False
    # The order that a list has anyway needs no word in its URL.
    assert turned.turn("made") == ""


def test_filters_that_are_on_lead_to_the_list_without_them():
    request = asked("q=a&state=b&sort=c&kind=")
    found = filters(
        request, q=("Name", None), state=("State", {"b": "Bad"}), kind=("What", {})
    )
    assert [(chip.label, chip.url) for chip in found.chips] == [
        ("Name: a", "/x/?state=b&sort=c"),
        ("State: Bad", "/x/?q=a&sort=c"),
    ]
    assert found.clear_url == "/x/?sort=c"
    assert not filters(asked("sort=c"), q=("Name", None))


def bars(runs, url=""):
    text = "{% load lists %}{% run_bars runs url %}"
    return Template(text).render(Context({"runs": runs, "url": url}))


def run(state, events, hours=0):
    return SimpleNamespace(
        state=state,
        get_state_display=lambda: RunState(state).label,
        num_events_imported=events,
        at=timezone.now() - timedelta(hours=hours),
    )


def test_bars_tell_the_newest_fourteen_in_a_sentence():
    text = bars([run("failed", 0)] * 3 + [run("succeeded", n) for n in range(14)])
    assert 'role="img" aria-label="Last 14 runs: 14 succeeded"' in text
    assert text.count("<title>") == 14
    assert "13 events</title>" in text
    assert 'aria-label="Last run: 1 failed"' in bars([run("failed", None)])
    assert "events unknown" in bars([run("failed", None)])
    assert "none yet" in bars([])


def test_every_state_has_a_shape_of_its_own():
    drawn = {}
    for state in RunState.values:
        [bar] = bars([run(state, 5)]).split("<rect ")[1:]
        drawn[state] = [name for name in ("cross", "notch") if f'"{name}"' in bar]
        drawn[state].insert(0, bar.split('"')[1])
    assert drawn == {
        "queued": ["is-busy"],
        "running": ["is-busy"],
        "succeeded": ["is-good"],
        "succeeded_with_errors": ["is-warn", "notch"],
        "failed": ["is-bad", "cross"],
        "cancelled": ["is-idle"],
        "paused": ["is-idle"],
        "unknown": ["is-hollow"],
    }


def test_bars_lead_somewhere_and_escape_it():
    assert '<a class="bars-link" href="/x/?a=1&amp;b=2"><svg' in bars(
        [run("succeeded", 1)], "/x/?a=1&b=2"
    )
