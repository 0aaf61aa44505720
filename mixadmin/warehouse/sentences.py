"""How an import or a source stands, said once for pages, tooltips and the API."""

from datetime import datetime, timedelta

from django.urls import reverse
from django.utils import timezone

from mixadmin.common.states import Presence, RunState
from mixadmin.common.status import Fix, Status, at, brought, many
from mixadmin.common.templatetags.ui import lasting, relative
from mixadmin.jobs.models import Job
from mixadmin.projects.standing import absent, held_up

from .models import ImportRun, WarehouseImport, WarehouseSource
from .sync_modes import Deadline

# So much later than expected a run may begin before it is called late.
GRACE = timedelta(minutes=30)


def next_run(row: WarehouseImport, last: ImportRun | None) -> datetime | None:
    """When Mixpanel may be expected to start it next. Mixpanel itself does not say."""
    began = row.last_dispatch_at or (last.started_at if last else None)
    if row.paused or row.presence != Presence.ACTIVE:
        return None
    if began is None or row.interval is None:
        return None
    return began + row.interval


def import_status(
    row: WarehouseImport,
    *,
    last: ImportRun | None,
    deadline: Deadline | None = None,
    job: Job | None = None,
    failures: int | None = None,
    last_success_at: datetime | None = None,
    now: datetime | None = None,
) -> Status:
    """The one sentence about an import, and the one button that mends it.

    last: its newest run. job: the one that needs a decision, or that did not create it.
    failures: how many runs have failed in a row, None where that was not counted.
    """
    now = now or timezone.now()
    if (held := held_up(job)) is not None:
        return held
    if row.presence != Presence.ACTIVE:
        forget = _url("import_forget", row)
        return absent(row, job, "create it", forget, now)
    if row.paused:
        return _paused(row, deadline, now)
    if last is not None and last.state == RunState.QUEUED:
        words = f"Asked to run {at(last.at)}; Mixpanel has not started it yet."
        return Status("busy", "Asked to run", words)
    if last is not None and last.state == RunState.RUNNING:
        return _running(last, now)
    if deadline is not None and deadline.level != "ok":
        return _mirror(row, deadline, now)
    if last is None:
        words = "No run has been seen. "
        first = next_run(row, None)
        words += _next(first, now) or "Mixpanel starts the first one by itself."
        if row.interval is None and row.sync_mode != "one_time":
            words = "No run has been seen. It runs only when it is asked to."
            return Status("idle", "No run yet", words, _run_now(row))
        return Status("idle", "No run yet", words)
    if last.state == RunState.FAILED:
        return _failing(row, last, failures, last_success_at)
    if last.state != RunState.SUCCEEDED:
        return _odd(last)
    return _healthy(row, last, now)


def _paused(row: WarehouseImport, deadline: Deadline | None, now: datetime) -> Status:
    words = "Nothing runs until it is resumed."
    if row.paused_elsewhere:
        words = (
            "Not from here: in Mixpanel, or by its guard against too many events. "
            + words
        )
    tone = "warn" if row.paused_elsewhere else "idle"
    if deadline is not None:
        tone = "warn" if deadline.level == "ok" else "bad"
        words += (
            " Mirror has lost track of the changes since."
            if deadline.level == "dead"
            else f" Mirror dies {at(deadline.dies_at)}, {relative(deadline.dies_at, now)}."
        )
    return Status(
        tone, "Paused", words, Fix("Resume", _url("import_resume", row), "play")
    )


def _running(last: ImportRun, now: datetime) -> Status:
    fix = Fix("Look at the run", last.get_absolute_url(), needs_editor=False)
    if last.started_at is None:
        return Status("busy", "Running", "When it began is not known.", fix)
    so_far = lasting(now - last.started_at)
    return Status("busy", "Running", f"Since {at(last.started_at)}, {so_far} now.", fix)


def _mirror(row: WarehouseImport, deadline: Deadline, now: datetime) -> Status:
    if deadline.level == "dead":
        words = (
            f"Mirror has lost track of the changes: {deadline.why}. Delete the import "
            "and create it again."
        )
        fix = Fix("Delete it", _url("import_delete", row), "trash-2")
        return Status("bad", "Mirror is dead", words, fix)
    words = (
        f"Mirror dies {at(deadline.dies_at)}, {relative(deadline.dies_at, now)}, "
        f"unless it runs before: {deadline.why}."
    )
    tone = "bad" if deadline.level == "alarm" else "warn"
    return Status(tone, "Must run soon", words, _run_now(row))


def _failing(
    row: WarehouseImport,
    last: ImportRun,
    failures: int | None,
    last_success_at: datetime | None,
) -> Status:
    words = f"The last run failed {at(last.ended_at or last.at)}"
    if failures is not None and failures > 1:
        words = f"The last {failures:,} runs failed, the newest {at(last.ended_at or last.at)}"
    words += (
        f"; the last good one ended {at(last_success_at)}."
        if last_success_at
        else "; none has succeeded yet."
        if failures is not None
        else "."
    )
    source = row.source
    if source is not None and source.presence != Presence.ACTIVE:
        words += f" Its source {source} is not in Mixpanel."
        fix = Fix("Look at the source", source.get_absolute_url(), needs_editor=False)
    else:
        fix = Fix(
            "Look at the failed run",
            last.get_absolute_url(),
            "search",
            needs_editor=False,
        )
    return Status("bad", "Failing", words, fix)


def _odd(last: ImportRun) -> Status:
    fix = Fix("Look at the run", last.get_absolute_url(), needs_editor=False)
    if last.state == RunState.UNKNOWN:
        words = f"How the last run went, of {at(last.at)}, is not known."
        return Status("warn", "Unknown", words, fix)
    if last.state == RunState.SUCCEEDED_WITH_ERRORS:
        words = f"Last run {at(last.ended_at or last.at)} {brought(last.num_events_imported)}."
        return Status("warn", last.get_state_display(), words, fix)
    words = f"Last run of {at(last.at)}."
    return Status("idle", last.get_state_display(), words, fix)


def _healthy(row: WarehouseImport, last: ImportRun, now: datetime) -> Status:
    ended = at(last.ended_at or last.at)
    words = f"Last run {ended} {brought(last.num_events_imported)}."
    due = next_run(row, last)
    if due is None:
        if row.sync_mode == "one_time":
            return Status("good", "Done", f"{words} It runs once only.")
        return Status("good", "Healthy", f"{words} It runs when it is asked to.")
    looked = row.history_at or row.observed_at
    if now - due > GRACE and looked is not None and looked - due > GRACE:
        words = f"A run was expected {at(due)} and has not been seen. {words}"
        return Status("warn", "Late", words, _run_now(row))
    return Status("good", "Healthy", f"{words} {_next(due, now)}")


def _next(due: datetime | None, now: datetime) -> str:
    if due is None:
        return ""
    return f"Next {relative(due, now)}." if due > now else "The next is due."


def _run_now(row: WarehouseImport) -> Fix:
    return Fix("Run now", _url("import_run", row), "play", post=True)


def _url(name: str, row: WarehouseImport | WarehouseSource) -> str:
    return reverse(f"warehouse:{name}", args=[row.project_id, row.pk])


# --- Sources --------------------------------------------------------------------------


def source_status(
    source: WarehouseSource,
    *,
    job: Job | None = None,
    states: dict[str, int] | None = None,
    now: datetime | None = None,
) -> Status:
    """The one sentence about a source. states: its imports, counted by their status."""
    now = now or timezone.now()
    states = states or {}
    if (held := held_up(job)) is not None:
        return held
    if source.presence != Presence.ACTIVE:
        forget = _url("source_forget", source)
        return absent(source, job, "connect it", forget, now)
    total = sum(states.values())
    create = reverse("warehouse:import_create", args=[source.project_id])
    add = Fix("Import a table", f"{create}?source={source.pk}", "plus")
    if not total:
        return Status("idle", "Connected", "No import reads from it yet.", add)
    failed = states.get(RunState.FAILED, 0)
    if failed and failed == total:
        words = (
            "The last run of its only import failed."
            if total == 1
            else f"The last runs of all its {total:,} imports failed: "
            "look at the connection first."
        )
        fix = Fix("Fix the source", _url("source_edit", source), "wrench")
        return Status("bad", "Failing", words, fix)
    if failed:
        words = f"The last run failed of {failed:,} of its {many(total, 'import')}."
        where = reverse("warehouse:import_list", args=[source.project_id])
        fix = Fix(
            "Look at what failed",
            f"{where}?source={source.pk}&state=failed",
            "search",
            needs_editor=False,
        )
        return Status("warn", "Some imports fail", words, fix)
    return Status("good", "Healthy", f"{many(total, 'import')} read from it.")
