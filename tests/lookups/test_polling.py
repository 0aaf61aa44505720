"""The list of lookup tables follows Mixpanel's, and forgets nothing."""

import pytest

from mixadmin.common.clock import db_now
from mixadmin.jobs.models import Poll
from mixadmin.lookups.actions import POLL
from mixadmin.lookups.models import LookupTable
from mixadmin.lookups.polling import observe
from mixadmin.mixpanel.lookup_tables import LookupTable as Wire

ID = "ab32b74c-8d1c-4f08-9c2b-8f8f5b5f9d3e"


def wire(id=ID, name="skus"):
    return Wire(id=id, name=name, raw={})


def test_tables_are_listed_renamed_and_kept_when_they_are_gone(project):
    first, then = db_now(), db_now()
    observe(project, [wire(), wire("other", "Other")], first)
    observe(project, [wire(name="SKUs")], then)
    here, gone = LookupTable.objects.order_by("pk")
    assert (here.mixpanel_id, here.name, here.absent_since) == (ID, "SKUs", None)
    assert (gone.name, gone.absent_since, gone.seen_at) == ("Other", then, first)

    later = db_now()
    observe(project, [], later)
    gone.refresh_from_db()
    assert gone.absent_since == then

    observe(project, [wire("other", "Other")], later)
    gone.refresh_from_db()
    assert gone.absent_since is None
    assert LookupTable.objects.count() == 2


@pytest.mark.parametrize("empty", [None, []])
def test_a_project_without_tables_has_none(project, sandbox, poll, empty):
    sandbox.switch(lookup_empty_list=empty)
    poll(project)
    assert not LookupTable.objects.exists()
    assert Poll.objects.get(name=POLL).error_message == ""


def test_a_failed_list_takes_nothing_away(table, project, sandbox, poll):
    sandbox.fault(path="/lookup-tables", kind="status", status=500)
    poll(project)
    table.refresh_from_db()
    assert table.absent_since is None
    assert Poll.objects.get(name=POLL).error_kind == "server_failed"


def test_names_from_outside_are_made_storable(project):
    observe(
        project, [wire(name="n" * 400), wire("x" * 61), wire("b", "a\0b\n")], db_now()
    )
    names = set(LookupTable.objects.values_list("name", flat=True))
    assert names == {"n" * 254 + "…", r"a\x00b\n"}
    assert str(LookupTable(mixpanel_id="1")) == "1"
