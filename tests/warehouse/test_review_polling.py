"""What a poll takes over from Mixpanel, and what it must not take over."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from mixadmin.audit.models import Entry
from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused
from mixadmin.common.states import Presence, RunState
from mixadmin.jobs.actions import retry_job
from mixadmin.jobs.models import Job, Poll
from mixadmin.projects.models import RemoteObject
from mixadmin.service_accounts.clients import client_for
from mixadmin.warehouse import actions
from mixadmin.warehouse.models import WarehouseImport, WarehouseSource
from tests import make
from tests.make import MIXPANEL_ID
from tests.warehouse.test_polling import settle

WEEK = 604_800_000_000_000
HOUR = timedelta(hours=1)


def test_another_frequency_does_not_hide_who_paused(
    orders, project, owner, sandbox, poll, run_due_jobs
):
    sandbox.set_import(MIXPANEL_ID, orders.mixpanel_id, paused=True)
    poll(project)
    orders.refresh_from_db()
    actions.change_frequency(warehouse_import=orders, actor=owner, frequency="weekly")
    run_due_jobs()
    orders.refresh_from_db()
    assert (orders.paused, orders.paused_elsewhere) == (True, True)


def test_our_own_pause_is_ours_while_its_answer_is_lost(
    orders, project, owner, sandbox, poll, run_due_jobs
):
    poll(project)
    sandbox.fault(method="PATCH", kind="lost")
    actions.pause_import(warehouse_import=orders, actor=owner)
    run_due_jobs(rounds=1)
    poll(project)
    orders.refresh_from_db()
    assert (orders.paused, orders.paused_elsewhere) == (True, False)


def test_what_was_changed_elsewhere_is_told_with_old_and_new(
    orders, project, owner, sandbox, poll, run_due_jobs
):
    poll(project)
    Entry.objects.all().delete()
    sandbox.set_import(MIXPANEL_ID, orders.mixpanel_id, run_every=WEEK)
    poll(project)
    poll(project)
    told = Entry.objects.get(target_id=str(orders.pk))
    assert told.verb == "changed in Mixpanel"
    assert told.changes == {"run_every": ["Daily", "Weekly"]}

    actions.change_frequency(warehouse_import=orders, actor=owner, frequency="daily")
    run_due_jobs()
    poll(project)
    assert Entry.objects.filter(verb="changed in Mixpanel").count() == 1


def test_a_dispatch_is_looked_into_even_if_the_first_look_fails(
    orders, project, sandbox, poll
):
    settle(sandbox, poll, project)
    WarehouseImport.objects.update(watch_until=None)
    known = orders.runs.count()
    with client_for(project) as client:
        client.warehouse.manual_sync(orders.mixpanel_id)
    sandbox.fault(method="GET", path="history", kind="status", status=500, body={})
    settle(sandbox, poll, project)
    assert orders.runs.count() == known
    settle(sandbox, poll, project)
    assert orders.runs.count() == known + 1


def test_a_row_that_is_being_deleted_stays_so_when_it_is_seen_again(
    orders, project, owner, sandbox, poll
):
    poll(project)
    WarehouseImport.objects.update(
        presence=Presence.DELETING, absent_since=db_now() - timedelta(hours=1)
    )
    poll(project)
    orders.refresh_from_db()
    assert orders.presence == Presence.DELETING


def test_what_comes_back_is_there_again(orders, project, poll):
    WarehouseImport.objects.update(
        presence=Presence.MISSING, absent_since=db_now() - timedelta(hours=1)
    )
    WarehouseSource.objects.update(
        presence=Presence.MISSING, absent_since=db_now() - timedelta(hours=1)
    )
    project.inventory_at = None
    project.save()
    poll(project)
    for row in (orders, orders.source):
        row.refresh_from_db()
        assert (row.presence, row.absent_since) == (Presence.ACTIVE, None)


def test_what_was_forgotten_too_early_can_be_adopted(orders, project, owner, poll):
    WarehouseImport.objects.update(presence=Presence.MISSING)
    orders.refresh_from_db()
    remote_id = orders.mixpanel_id
    actions.forget_import(warehouse_import=orders, actor=owner)
    poll(project)
    found = project.remote_objects.get()
    (row,) = actions.adopt(project=project, actor=owner, remote_objects=[found])
    assert row.mixpanel_id == remote_id


def test_a_name_that_is_taken_here_does_not_stop_a_poll(project, sandbox, poll):
    for local, there in (("One", "Uno"), ("Two", "One")):
        remote_id = sandbox.add_source(MIXPANEL_ID, there, "bigquery")
        make.make_source(project=project, name=local, mixpanel_id=remote_id)
    WarehouseSource.objects.filter(name="One").update(observed_at=db_now() + HOUR)
    poll(project)
    assert Poll.objects.get(name="warehouse").error_kind == ""
    WarehouseSource.objects.update(observed_at=None)
    type(project).objects.update(inventory_at=None)
    poll(project)
    type(project).objects.update(inventory_at=None)
    poll(project)
    names = WarehouseSource.objects.order_by("pk").values_list("name", flat=True)
    assert list(names) == ["Uno", "One"]


@pytest.mark.parametrize("presence", [Presence.DELETING, Presence.MISSING])
def test_the_name_of_what_may_come_back_is_not_given_away(project, presence):
    make.make_source(project=project, presence=presence)
    with pytest.raises(IntegrityError), transaction.atomic():
        make.make_source(project=project, mixpanel_id=72)


def test_a_creation_is_not_taken_up_again_when_its_name_is_gone(project, owner):
    row = make.make_import(
        project=project, mixpanel_id=None, presence=Presence.NOT_CREATED
    )
    make.make_import(project=project, source=row.source)
    job = make.make_job(
        project=project,
        state="failed",
        target_type=row._meta.label_lower,
        target_id=str(row.pk),
    )
    with pytest.raises(Refused) as refused:
        retry_job(job=job, actor=owner)
    assert refused.value.code == "taken"
    assert Job.objects.get(pk=job.pk).state == "failed"


def test_an_import_adopted_before_its_warehouse_finds_it(project, owner, sandbox, poll):
    source_id = sandbox.add_source(MIXPANEL_ID, "Theirs", "snowflake")
    sandbox.add_import(
        MIXPANEL_ID,
        import_type="people",
        warehouse_source_id=source_id,
        table_params={"database": "d", "schema": "s", "table": "users"},
        sync_mode="full_sync",
        run_every=0,
        user_column_name="id",
    )
    poll(project)
    kinds = RemoteObject.Kind
    by_kind = {r.kind: r for r in project.remote_objects.all()}
    (row,) = actions.adopt(
        project=project, actor=owner, remote_objects=[by_kind[kinds.IMPORT]]
    )
    assert row.source is None
    (source,) = actions.adopt(
        project=project, actor=owner, remote_objects=[by_kind[kinds.SOURCE]]
    )
    poll(project)
    row.refresh_from_db()
    assert row.source == source


def test_an_import_without_a_table_can_be_adopted(project, owner):
    remote = make.make_remote_object(
        project=project, raw={"id": 900, "import_type": "event_sync"}
    )
    (row,) = actions.adopt(project=project, actor=owner, remote_objects=[remote])
    assert (row.kind, row.table_params, row.sync_mode) == ("event_sync", {}, "")


def test_an_answer_that_cannot_be_read_is_not_adopted(project, owner):
    remote = make.make_remote_object(project=project, raw={})
    with pytest.raises(Refused) as refused:
        actions.adopt(project=project, actor=owner, remote_objects=[remote])
    assert refused.value.code == "unreadable"


def test_the_details_of_an_adopted_import_are_asked_for_once(
    project, owner, sandbox, poll
):
    sandbox.add_import(
        MIXPANEL_ID,
        import_type="event_sync",
        warehouse_source_id=sandbox.add_source(MIXPANEL_ID, "T", "bigquery"),
        table_params={"table": "t"},
        sync_mode="time_based",
        run_every=0,
    )
    poll(project)
    remote = list(project.remote_objects.all())
    actions.adopt(project=project, actor=owner, remote_objects=remote)
    for _ in range(3):
        WarehouseImport.objects.update(watch_until=db_now() + timedelta(hours=1))
        poll(project)
    asked = sandbox.calls(method="GET", path=r"/imports/\d+$")
    assert len(asked) == 1


def test_a_mirror_deadline_counts_from_the_last_end_that_is_known(project):
    row = make.make_import(project=project, sync_mode="mirror_mode")
    now = db_now()
    make.make_run(warehouse_import=row, started_at=now - timedelta(days=2))
    make.make_run(warehouse_import=row, started_at=now, ended_at=None)
    assert row.runs.filter(state=RunState.SUCCEEDED).count() == 2
    row.refresh_from_db()
    assert row.mirror_deadline() is not None
