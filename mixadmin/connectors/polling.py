"""Keeping our rows like Mixpanel's connectors, and their runs for ever."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from mixadmin.common import history
from mixadmin.common.clock import db_now
from mixadmin.common.states import GONE, UNFINISHED_RUN, Presence, RunState
from mixadmin.jobs.polls import count_call
from mixadmin.jobs.registry import poller
from mixadmin.jobs.times import TIMES
from mixadmin.mixpanel import connectors as wire
from mixadmin.mixpanel.errors import NotAllowed, NotFound
from mixadmin.projects.managed import note_last_run, note_presence, remember_unmanaged
from mixadmin.projects.models import Project, RemoteObject
from mixadmin.service_accounts.clients import client_for

from .actions import POLL
from .models import Connector, ConnectorRun

HISTORY_EVERY = timedelta(hours=24)
LEFT = "Mixpanel's history no longer holds this run, and its end was not seen."
CONNECTOR_GONE = (
    "The connector is no longer at Mixpanel, so the end of its run is not known."
)


@poller(POLL)
def poll(project_id: int) -> int:
    """Poll one project. Returns for how many connectors a run goes on or is expected."""
    project = Project.objects.get(pk=project_id)
    with client_for(project) as client:
        count_call(project_id)
        asked_at = db_now()
        try:
            found = client.connectors.list()
        except (NotFound, NotAllowed):
            # How a project looks in which Mixpanel has closed Cloud Import; a service
            # account without the right looks the same, and verifying tells them apart.
            Project.objects.filter(pk=project_id).update(connectors_open=False)
            return 0
        Project.objects.filter(pk=project_id).exclude(connectors_open=True).update(
            connectors_open=True
        )
        observe(project, found, asked_at)
        going_on = 0
        for row in _wanting_history(project):
            count_call(project_id)
            runs = client.connectors.history(row.mixpanel_id)
            going_on += record_history(row, runs, db_now())
    _end_runs_of_gone_connectors(project)
    return going_on


def _end_runs_of_gone_connectors(project: Project) -> None:
    """Nobody is asked any more about the runs of a connector that is not there."""
    with transaction.atomic():
        ConnectorRun.objects.unfinished().filter(
            connector__project=project, connector__presence__in=GONE
        ).update(state=RunState.UNKNOWN, note=CONNECTOR_GONE)
        rows = Connector.objects.filter(project=project, presence__in=GONE)
        note_last_run(rows.filter(last_state__in=UNFINISHED_RUN))


def observe(
    project: Project, found: Sequence[wire.Connector], asked_at: datetime
) -> None:
    """Take over what the list says. A status of null there says nothing."""
    rows = {
        row.mixpanel_id: row
        for row in Connector.objects.filter(project=project).exclude(mixpanel_id="")
    }
    for item in found:
        row = rows.get(item.id)
        if row is None or (row.observed_at and row.observed_at > asked_at):
            continue
        changes: dict[str, Any] = {}
        if item.status and item.status[:60] != row.status:
            changes["status"] = item.status[:60]
        if item.failure_message != row.failure_message:
            changes["failure_message"] = item.failure_message
        if item.raw != row.raw:
            changes["raw"] = item.raw
        if changes:
            Connector.objects.filter(pk=row.pk).update(observed_at=asked_at, **changes)
    note_presence(rows.values(), {item.id for item in found}, asked_at)
    remember_unmanaged(
        project,
        RemoteObject.Kind.CONNECTOR,
        {
            item.id: (f"{item.label or item.id} ({item.connector_type})", item.raw)
            for item in found
        },
        asked_at,
        managed=Connector.objects.exclude(mixpanel_id=""),
    )


def _wanting_history(project: Project) -> list[Connector]:
    now = db_now()
    going_on = ConnectorRun.objects.unfinished().filter(connector=OuterRef("pk"))
    wanted = (
        Q(watch_until__gt=now)
        | Q(history_at=None)
        | Q(history_at__lt=now - HISTORY_EVERY)
        | Exists(going_on)
    )
    rows = Connector.objects.filter(
        wanted, project=project, presence=Presence.ACTIVE
    ).exclude(mixpanel_id="")
    # Those that were asked least recently first, should the budget end in between.
    return list(rows.order_by(F("history_at").asc(nulls_first=True), "pk"))


def record_history(
    row: Connector, runs: Sequence[wire.ConnectorRun], now: datetime
) -> bool:
    """Store what a history says, once each. Returns whether more is to come soon."""
    with transaction.atomic():
        Connector.objects.filter(pk=row.pk).update(history_at=now)
        known_runs = list(row.runs.filter(is_gap=False).order_by("pk"))
        stored = {(r.started_at, r.ordinal): r for r in known_runs if r.started_at}
        counted = Counter(start for start, _ in stored if start is not None)
        starts = [run.started_at for run in runs]
        if missed := history.gap(starts, max(counted, default=None)):
            _record_gap(row, *missed, now=now)
        # Runs without a start yet: in the history they come in the same order, and one
        # that was queued becomes the next one that has a start.
        waiting = [run for run in known_runs if run.started_at is None]
        placed = list(zip(history.keys(starts, counted), runs, strict=True))
        for key, run in reversed(placed):
            known = stored.get(key) if key else None
            if known is None:
                known = _take_waiting(waiting, started=key is not None)
            _write(known or ConnectorRun(connector=row), key, run, now)
        long_ago = now - timedelta(seconds=TIMES.run_unseen)
        row.runs.unfinished().filter(seen_at__lt=long_ago).update(
            state=RunState.UNKNOWN, note=LEFT
        )
        note_last_run(Connector.objects.filter(pk=row.pk))
        still_open = row.runs.unfinished().exists()
        if runs and not still_open:
            Connector.objects.filter(pk=row.pk).update(watch_until=None)
    if runs:
        return still_open
    return bool(row.watch_until and row.watch_until > now)


def _take_waiting(waiting: list[ConnectorRun], *, started: bool) -> ConnectorRun | None:
    """The oldest run known without a start; one that ended so never gets one."""
    for run in waiting:
        if not started or run.state in UNFINISHED_RUN:
            waiting.remove(run)
            return run
    return None


def _record_gap(
    row: Connector, since: datetime, until: datetime, *, now: datetime
) -> None:
    ConnectorRun.objects.create(
        connector=row,
        state=RunState.UNKNOWN,
        is_gap=True,
        started_at=since,
        ended_at=until,
        at=until - timedelta(microseconds=1),
        seen_at=now,
        note=history.gap_note(since, until),
    )


def _write(
    known: ConnectorRun, key: history.Key | None, run: wire.ConnectorRun, now: datetime
) -> None:
    known.started_at, known.ordinal = key or (None, 0)
    known.at = known.started_at or known.at or now
    known.state = outcome(run)
    known.raw_state = run.raw_state[:60]
    known.ended_at = run.ended_at
    known.mixpanel_run_id = run.remote_id[:100]
    known.progress = run.progress
    known.error_message, known.error_code = run.error_message, run.error_code[:100]
    known.num_events_imported = run.num_events_imported
    known.num_events_processed = run.num_events_processed
    known.num_events_dropped = run.num_events_dropped
    known.num_files_imported = run.num_files_imported
    known.size_imported = run.size_imported
    known.raw = run.raw
    known.note = ""
    known.seen_at = now
    known.save()


def outcome(run: wire.ConnectorRun) -> str:
    """Our word for the run. One that dropped records is not plainly a success."""
    if run.state == RunState.SUCCEEDED and run.num_events_dropped:
        return RunState.SUCCEEDED_WITH_ERRORS
    return run.state
