"""How a connector stands, said once for all its pages."""

from datetime import datetime

from django.urls import reverse
from django.utils import timezone

from mixadmin.common.states import Presence, RunState
from mixadmin.common.status import Fix, Status, at, brought, many
from mixadmin.common.templatetags.ui import lasting
from mixadmin.jobs.models import Job
from mixadmin.projects.standing import absent, held_up

from .models import Connector, ConnectorRun


def connector_status(
    connector: Connector,
    *,
    last: ConnectorRun | None,
    job: Job | None = None,
    now: datetime | None = None,
) -> Status:
    """The one sentence about a connector, and the one button that mends it.

    last: its newest run. job: the one that needs a decision, or that did not create it.
    """
    now = now or timezone.now()
    if (held := held_up(job)) is not None:
        return held
    if connector.presence != Presence.ACTIVE:
        forget = reverse("connectors:forget", args=[connector.project_id, connector.pk])
        return absent(connector, job, "create it", forget, now)
    if last is None:
        return Status("idle", "No run yet", "It begins its run by itself.")
    look = Fix("Look at the run", last.get_absolute_url(), needs_editor=False)
    ended = at(last.ended_at or last.at)
    if last.state == RunState.QUEUED:
        return Status("busy", "Waits", "Its run waits at Mixpanel.", look)
    if last.state == RunState.RUNNING:
        return _running(last, look, now)
    if last.state == RunState.FAILED:
        words = f"Its run failed {ended}."
        fix = Fix(
            "Look at the failed run",
            last.get_absolute_url(),
            "search",
            needs_editor=False,
        )
        return Status("bad", "Failed", words, fix)
    if last.state == RunState.SUCCEEDED_WITH_ERRORS:
        dropped = (
            "some of its records were"
            if last.num_events_dropped is None
            else f"{many(last.num_events_dropped, 'record')} "
            f"{'was' if last.num_events_dropped == 1 else 'were'}"
        )
        words = f"Its run {brought(last.num_events_imported)}, but {dropped} dropped."
        return Status("warn", last.get_state_display(), words, look)
    if last.state == RunState.SUCCEEDED:
        words = f"Its run {brought(last.num_events_imported)}. It ended {ended}."
        return Status("good", "Done", words)
    if last.state == RunState.UNKNOWN:
        return Status("warn", "Unknown", "How its run went is not known.", look)
    return Status("idle", last.get_state_display(), f"Its run of {at(last.at)}.", look)


def _running(last: ConnectorRun, look: Fix, now: datetime) -> Status:
    far = "" if last.progress is None else f" It is at {100 * last.progress:.0f} %."
    if last.started_at is None:
        return Status("busy", "Running", f"When it began is not known.{far}", look)
    so_far = lasting(now - last.started_at)
    words = f"Since {at(last.started_at)}, {so_far} now.{far}"
    return Status("busy", "Running", words, look)
