"""Keeping our rows like Mixpanel's, and its run history for ever."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet

from mixadmin.audit.actions import record
from mixadmin.common import history
from mixadmin.common.clock import db_now
from mixadmin.common.states import GONE, UNFINISHED_RUN, Presence, RunState
from mixadmin.jobs.actions import finish_polling
from mixadmin.jobs.models import Job
from mixadmin.jobs.polls import count_call
from mixadmin.jobs.registry import poller
from mixadmin.jobs.times import TIMES
from mixadmin.mixpanel import warehouse as wire
from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.projects.managed import note_last_run, note_presence, remember_unmanaged
from mixadmin.projects.models import Project, RemoteObject
from mixadmin.service_accounts.clients import client_for

from .actions import POLL, SKEW, observed_fields, table_name
from .kinds import KINDS, frequency_label
from .models import ImportRun, WarehouseImport, WarehouseSource
from .sync_modes import SYNC_MODES

# Sources change rarely; they are listed with every so many seconds only.
SOURCES_EVERY = 600.0
# Even without a sign of news a history is read this often: 30 hourly runs are kept.
HISTORY_EVERY = timedelta(hours=6)

# The states of a job in which the run that it asks for may be going on.
MAY_HAVE_STARTED = (*Job.UNSETTLED, Job.State.POLLING)
NEVER_SHOWN = "Mixpanel accepted the request, but its history shows no such run."
LEFT = "Mixpanel's history no longer holds this run, and its end was not seen."
IMPORT_GONE = "The import is no longer at Mixpanel, so the end of its run is not known."


@poller(POLL)
def poll(project_id: int) -> int:
    """Poll one project. Returns for how many imports a run goes on or is expected."""
    project = Project.objects.get(pk=project_id)
    with client_for(project) as client:
        now = db_now()
        age = (
            (now - project.inventory_at).total_seconds() if project.inventory_at else 0
        )
        if not project.inventory_at or age > min(SOURCES_EVERY, TIMES.poll_most):
            count_call(project_id)
            observe_sources(project, client.warehouse.list_sources(), now)
            Project.objects.filter(pk=project_id).update(inventory_at=now)
        count_call(project_id)
        asked_at = db_now()
        observe_imports(project, client.warehouse.list_imports(), asked_at)
        going_on = sum(_poll_history(client, row) for row in _wanting_history(project))
    _end_runs_of_gone_imports(project)
    return going_on


def observe_sources(
    project: Project, found: Sequence[wire.WarehouseSource], now: datetime
) -> None:
    """Take over what the list of sources says."""
    rows = {
        row.mixpanel_id: row
        for row in WarehouseSource.objects.filter(
            project=project, presence__in=(Presence.ACTIVE, Presence.MISSING)
        )
    }
    seen = {source.id for source in found}
    for source in found:
        row = rows.get(source.id)
        if row is None or (row.observed_at and row.observed_at > now):
            continue
        changes: dict[str, Any] = {}
        if row.raw != source.raw:
            changes["raw"] = source.raw
        if changes:
            WarehouseSource.objects.filter(pk=row.pk).update(observed_at=now, **changes)
        if source.name and source.name != row.name:
            _take_name(row, source.name[:255])
    note_presence(rows.values(), seen, now)
    remember_unmanaged(
        project,
        RemoteObject.Kind.SOURCE,
        {str(s.id): (f"{s.name} ({s.warehouse_type})", s.raw) for s in found},
        now,
        managed=WarehouseSource.objects.all(),
    )


def _take_name(row: WarehouseSource, name: str) -> None:
    """Call it as Mixpanel does, unless another one is called so here."""
    with suppress(IntegrityError), transaction.atomic():
        WarehouseSource.objects.filter(pk=row.pk).update(name=name)


def observe_imports(
    project: Project, found: Sequence[wire.WarehouseImport], asked_at: datetime
) -> None:
    """Take over what the list of imports says.

    Answers that were asked for before our own last change are not believed about it.
    """
    rows = {
        row.mixpanel_id: row
        for row in WarehouseImport.objects.filter(
            project=project,
            presence__in=(Presence.ACTIVE, Presence.MISSING, Presence.DELETING),
            mixpanel_id__isnull=False,
        )
    }
    listed = [item for item in found if not item.is_deleted]
    for item in listed:
        row = rows.get(item.id)
        if row is None or (row.observed_at and row.observed_at > asked_at):
            continue
        if row.source_id is None and item.source_id is not None:
            _find_source(row, item.source_id)
        if changes := _news(row, item, asked_at):
            _take_over(row, changes, asked_at)
    note_presence(rows.values(), {item.id for item in listed}, asked_at)
    remember_unmanaged(
        project,
        RemoteObject.Kind.IMPORT,
        {str(i.id): (_summary(i), i.raw) for i in listed},
        asked_at,
        managed=WarehouseImport.objects.all(),
    )


def _find_source(row: WarehouseImport, source_id: int) -> None:
    """An import may have been adopted before its warehouse was."""
    here = WarehouseSource.objects.filter(project=row.project_id, mixpanel_id=source_id)
    WarehouseImport.objects.filter(pk=row.pk, source=None).update(
        source=here.values("pk")[:1]
    )


def _news(
    row: WarehouseImport, item: wire.WarehouseImport, asked_at: datetime
) -> dict[str, Any]:
    theirs = observed_fields(item)
    if not row.adopted:
        # Ours is what was sent; how Mixpanel's differs is told from `raw`.
        theirs.pop("databricks_params", None)
    # The list leaves out the columns; what the import itself told is kept.
    theirs["raw"] = {**row.raw, **item.raw}
    changes = {k: v for k, v in theirs.items() if getattr(row, k) != v}
    if "last_dispatch_at" in changes:
        # A run was sent off. Its history shows it a little later, and is asked until
        # it does.
        watch = asked_at + timedelta(seconds=TIMES.run_window / 3)
        changes["watch_until"] = max(watch, row.watch_until or watch)
        changes["history_at"] = None
    return changes


def _take_over(
    row: WarehouseImport, changes: dict[str, Any], asked_at: datetime
) -> None:
    """Write what is new, and who caused it: a job of ours, or somebody elsewhere."""
    words: dict[str, Callable[[Any], str]] = {
        "paused": str,
        "run_every": frequency_label,
    }
    told = {
        name: [word(getattr(row, name)), word(changes[name])]
        for name, word in words.items()
        if name in changes
    }
    patches = Job.objects.for_target(row).filter(task="warehouse.patch_import")
    elsewhere = bool(told) and not patches.unfinished().exists()
    if elsewhere and "paused" in changes:
        changes["paused_elsewhere"] = changes["paused"]
    with transaction.atomic():
        taken = WarehouseImport.objects.filter(
            Q(observed_at=None) | Q(observed_at__lte=asked_at), pk=row.pk
        ).update(observed_at=asked_at, **changes)
        if taken and elsewhere:
            verb = "changed in Mixpanel"
            record(actor=None, verb=verb, target=row, changes=told)


def _summary(item: wire.WarehouseImport) -> str:
    kind = KINDS[item.kind].label if item.kind in KINDS else item.kind
    mode = SYNC_MODES[item.sync_mode].label if item.sync_mode in SYNC_MODES else ""
    table = table_name(item.table_params)
    return ", ".join(part for part in (kind, mode or item.sync_mode, table) if part)


def _wanting_history(project: Project) -> list[WarehouseImport]:
    now = db_now()
    going_on = ImportRun.objects.unfinished().filter(warehouse_import=OuterRef("pk"))
    wanted = (
        Q(watch_until__gt=now)
        | Q(history_at=None)
        | Q(history_at__lt=now - HISTORY_EVERY)
        | Exists(going_on)
    )
    rows = WarehouseImport.objects.filter(
        wanted,
        project=project,
        presence=Presence.ACTIVE,
        mixpanel_id__isnull=False,
    )
    # Those that were asked least recently first, should the budget end in between.
    return list(rows.order_by(F("history_at").asc(nulls_first=True), "pk"))


def _poll_history(client: MixpanelClient, row: WarehouseImport) -> bool:
    assert row.mixpanel_id is not None
    if row.adopted and row.details_at is None:
        count_call(row.project_id)
        whole = client.warehouse.get_import(row.mixpanel_id)
        WarehouseImport.objects.filter(pk=row.pk).update(
            fields={k: v for k, v in whole.fields.items() if v is not None},
            raw=whole.raw,
            details_at=db_now(),
        )
    count_call(row.project_id)
    runs = client.warehouse.history(row.mixpanel_id)
    return record_history(row, runs, db_now())


def record_history(
    row: WarehouseImport, runs: Sequence[wire.ImportRun], now: datetime
) -> bool:
    """Store what a history says, once each. Returns whether more is to come soon."""
    starts = [run.started_at for run in runs]
    oldest = min((s for s in starts if s is not None), default=None)
    with transaction.atomic():
        # One poll at a time writes the runs of an import, on every database.
        WarehouseImport.objects.filter(pk=row.pk).update(history_at=now)
        stored = {
            (run.started_at, run.ordinal): run
            for run in row.runs.filter(is_gap=False, started_at__gte=oldest or now)
        }
        newest = (
            row.runs.filter(is_gap=False, started_at__isnull=False)
            .order_by("-started_at")
            .values_list("started_at", flat=True)
            .first()
        )
        if missed := history.gap(starts, newest):
            _record_gap(row, *missed, now=now)
        asked = list(_asked(row))
        counted = Counter(start for start, _ in stored if start is not None)
        placed = zip(history.keys(starts, counted), runs, strict=True)
        news = False
        for key, run in sorted(
            (pair for pair in placed if pair[0] is not None),
            key=lambda pair: pair[0] or (now, 0),
        ):
            assert key is not None
            known = stored.get(key)
            if known is None:
                known = _take_asked(asked, key[0]) or ImportRun(warehouse_import=row)
            was_open = known.pk is None or known.state in UNFINISHED_RUN
            _write(known, key, run, now)
            news = news or (was_open and known.state not in UNFINISHED_RUN)
        news = bool(_give_up_unseen(row, now)) or news
        note_last_run(WarehouseImport.objects.filter(pk=row.pk))
        open_runs = row.runs.unfinished().exists()
        if news and not open_runs:
            WarehouseImport.objects.filter(pk=row.pk).update(watch_until=None)
    _tell_jobs(row.runs.all())
    if news and not open_runs:
        return False
    return open_runs or bool(row.watch_until and row.watch_until > now)


def _asked(row: WarehouseImport) -> QuerySet[ImportRun]:
    """Requests whose run is not seen yet, in the order in which they were sent.

    One whose job still waits to be sent is not among them: it started nothing.
    """
    sent: QuerySet[ImportRun] = (
        row.runs.filter(started_at=None, job__state__in=MAY_HAVE_STARTED)
        .annotate(sent_at=Max("job__attempts__started_at"))
        .exclude(sent_at=None)
        .order_by("sent_at", "pk")
    )
    return sent


def _take_asked(asked: list[ImportRun], start: datetime) -> ImportRun | None:
    """The request that this run answers: the oldest one sent before it started."""
    for run in asked:
        if start >= run.sent_at - SKEW:  # type: ignore[attr-defined]
            asked.remove(run)
            return run
    return None


def _write(
    known: ImportRun, key: history.Key, run: wire.ImportRun, now: datetime
) -> None:
    known.started_at, known.ordinal = key
    known.at = key[0]
    known.state, known.raw_state = run.state, run.raw_state[:60]
    known.ended_at = run.ended_at
    known.num_events_imported = run.num_events_imported
    known.raw = run.raw
    known.note = ""
    known.seen_at = now
    known.save()


def _record_gap(
    row: WarehouseImport, since: datetime, until: datetime, *, now: datetime
) -> None:
    ImportRun.objects.create(
        warehouse_import=row,
        state=RunState.UNKNOWN,
        is_gap=True,
        started_at=since,
        ended_at=until,
        at=until - timedelta(microseconds=1),
        seen_at=now,
        note=history.gap_note(since, until),
    )


def _give_up_unseen(row: WarehouseImport, now: datetime) -> int:
    """End what Mixpanel's history should show and does not. Returns how many.

    A run that left it before its end was seen, and a request that Mixpanel accepted
    long ago.
    """
    long_ago = now - timedelta(seconds=TIMES.run_unseen)
    started = row.runs.unfinished().filter(started_at__isnull=False)
    accepted = row.runs.unfinished().filter(
        started_at=None, job__state=Job.State.POLLING
    )
    left = started.filter(seen_at__lt=long_ago)
    never = accepted.exclude(job__attempts__started_at__gte=long_ago)
    given_up = left.update(state=RunState.UNKNOWN, note=LEFT)
    return given_up + never.update(state=RunState.UNKNOWN, note=NEVER_SHOWN)


def _end_runs_of_gone_imports(project: Project) -> None:
    """Nobody is asked any more about the runs of an import that is not there."""
    gone = ImportRun.objects.filter(
        warehouse_import__project=project,
        warehouse_import__presence__in=GONE,
    )
    with transaction.atomic():
        gone.unfinished().exclude(job__state__in=Job.RUNNABLE).update(
            state=RunState.UNKNOWN, note=IMPORT_GONE
        )
        rows = WarehouseImport.objects.filter(project=project, presence__in=GONE)
        note_last_run(rows.filter(last_state__in=UNFINISHED_RUN))
    _tell_jobs(gone)


def _tell_jobs(runs: QuerySet[ImportRun]) -> None:
    """End the jobs that watch a run which has ended.

    Asked of the rows and not of what was just changed: a run may end before its job
    knows that it was started, and a poll may die before it tells.
    """
    ended = runs.filter(job__state=Job.State.POLLING).exclude(state__in=UNFINISHED_RUN)
    for run in ended:
        assert run.job_id is not None
        _tell_job(run, run.job_id)


def _tell_job(run: ImportRun, job_id: UUID) -> None:
    succeeded = run.state == RunState.SUCCEEDED
    word = run.get_state_display().lower()
    finish_polling(
        job_id=job_id,
        succeeded=succeeded,
        result={
            "run": run.pk,
            "state": run.state,
            "num_events_imported": run.num_events_imported,
            **(
                {}
                if succeeded
                else {"message": run.note or f"The run ended as {word}."}
            ),
        },
    )
