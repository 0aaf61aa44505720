"""What a row says of its runs, and the newest runs of a page of rows."""

from datetime import timedelta

import pytest

from mixadmin.common.clock import db_now
from mixadmin.common.states import Presence, RunState
from mixadmin.projects.managed import recent_runs
from mixadmin.warehouse.models import WarehouseImport
from tests import make


def test_the_status_follows_whatever_is_written(project):
    row = make.make_import(project=project)
    mine = WarehouseImport.objects.filter(pk=row.pk)

    def status(**changes):
        mine.update(**changes)
        return mine.get().status

    assert row.status == "new"
    run = make.make_run(warehouse_import=row, state=RunState.FAILED)
    assert status() == "failed"
    assert status(paused=True) == "paused"
    assert status(presence=Presence.MISSING) == "missing"
    assert status(presence=Presence.ACTIVE, paused=False) == "failed"
    make.change_run(run, state=RunState.SUCCEEDED)
    assert status() == "succeeded"


@pytest.mark.parametrize("owner_of_runs", ["import", "connector"])
def test_the_newest_runs_of_a_page_come_in_one_query(
    owner_of_runs, project, django_assert_num_queries
):
    now = db_now()
    if owner_of_runs == "import":
        rows = [
            make.make_import(project=project, name=name, mixpanel_id=n)
            for n, name in enumerate("abc")
        ]
        create, key = make.make_run, "warehouse_import"
    else:
        rows = [
            make.make_connector(project=project, label=name, mixpanel_id=name)
            for name in "abc"
        ]
        create, key = make.make_connector_run, "connector"
    for row, count in zip(rows, (20, 3, 0), strict=True):
        for hours in range(count):
            create(started_at=now - timedelta(hours=hours), **{key: row})
    create(is_gap=True, started_at=now + timedelta(hours=1), **{key: rows[0]})
    # Two at the very moment where the page of runs ends.
    create(started_at=now - timedelta(hours=13), ordinal=1, **{key: rows[0]})

    with django_assert_num_queries(1):
        found = recent_runs(rows)
    newest = rows[0].runs.filter(is_gap=False).order_by("-at", "-id")[:14]
    assert [(run.pk, run.state, run.at) for run in found[rows[0].pk]] == [
        (run.pk, run.state, run.at) for run in newest
    ]
    assert [len(found[row.pk]) for row in rows] == [14, 3, 0]
    assert len(recent_runs(rows, most=2)[rows[1].pk]) == 2


def test_no_rows_have_no_runs(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert recent_runs([]) == {}
