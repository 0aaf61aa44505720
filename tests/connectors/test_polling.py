"""Connectors and their runs are kept as Mixpanel shows them, once each."""

from datetime import UTC, datetime, timedelta

import pytest

from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused
from mixadmin.common.states import Presence, RunState
from mixadmin.connectors import actions
from mixadmin.connectors.models import Connector
from mixadmin.connectors.polling import record_history
from mixadmin.jobs.models import Job
from mixadmin.mixpanel.connectors import ConnectorRun as WireRun
from mixadmin.projects.models import RemoteObject
from tests import make

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def wire_run(start, state="succeeded", run_id=""):
    ended = start and start + timedelta(minutes=1)
    end = ended if state == "succeeded" else None
    return WireRun(
        run_id, state, state, start, end, None, "", "", 1, 1, 0, 1, 10, {"s": state}
    )


@pytest.fixture
def connector(project):
    return make.make_connector(project=project)


def test_runs_that_never_started_are_stored_once_each(connector):
    window = [wire_run(None, "queued"), wire_run(None, "failed")]
    for minute in range(3):
        record_history(connector, window, NOON + timedelta(minutes=minute))
    states = connector.runs.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["failed", "queued"]

    window = [wire_run(NOON, "running"), wire_run(None, "failed")]
    for _ in range(2):
        record_history(connector, window, NOON)
    runs = connector.runs.order_by("pk").values_list("state", "started_at")
    assert list(runs) == [("failed", None), ("running", NOON)]


def test_a_started_run_is_not_a_failed_one_that_never_started(connector):
    record_history(connector, [wire_run(None, "failed")], NOON)
    record_history(connector, [wire_run(NOON)], NOON)
    states = connector.runs.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["failed", "succeeded"]


def test_a_run_that_left_the_history_is_given_up(connector):
    assert record_history(connector, [wire_run(NOON, "running")], NOON)
    later = NOON + timedelta(hours=2)
    assert not record_history(connector, [wire_run(later)], later)
    lost = connector.runs.get(started_at=NOON)
    assert (lost.state, bool(lost.note)) == (RunState.UNKNOWN, True)
    record_history(connector, [wire_run(later), wire_run(NOON)], later)
    lost.refresh_from_db()
    assert (lost.state, lost.note) == (RunState.SUCCEEDED, "")


def test_a_window_that_overflowed_leaves_a_gap(connector):
    record_history(connector, [wire_run(NOON)], NOON)
    hours = [NOON + timedelta(hours=n) for n in range(40, 10, -1)]
    record_history(connector, [wire_run(at) for at in hours], hours[0])
    gap = connector.runs.get(is_gap=True)
    assert (gap.started_at, gap.ended_at) == (NOON, hours[-1])


@pytest.mark.parametrize("presence", [Presence.DELETED, Presence.MISSING])
def test_no_run_goes_on_of_a_connector_that_is_gone(presence, connector, project, poll):
    record_history(connector, [wire_run(NOON, "running")], NOON)
    Connector.objects.update(presence=presence)
    poll(project)
    assert not connector.runs.unfinished().exists()


def test_a_deleted_connector_does_not_come_back(connector, project, sandbox, poll):
    remote_id = sandbox.add_connector(make.MIXPANEL_ID, label="Signups")
    Connector.objects.update(
        mixpanel_id=remote_id,
        presence=Presence.DELETED,
        absent_since=db_now() - timedelta(hours=1),
    )
    poll(project)
    connector.refresh_from_db()
    assert connector.presence == Presence.DELETED


def test_a_type_that_is_not_known_here_is_not_deleted_from_here(project, owner):
    row = make.make_connector(project=project, connector_type="s3Export")
    with pytest.raises(Refused) as refused:
        actions.delete_connector(connector=row, actor=owner, typed_name=row.label)
    assert refused.value.code == "unknown_type"
    assert not Job.objects.exists()


def test_an_answer_that_cannot_be_read_is_not_adopted(project, owner):
    remote = make.make_remote_object(
        project=project, kind=RemoteObject.Kind.CONNECTOR, raw={}
    )
    with pytest.raises(Refused) as refused:
        actions.adopt(project=project, actor=owner, remote_objects=[remote])
    assert refused.value.code == "unreadable"
