"""How a row for something at Mixpanel stands, where that is alike for all of them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from mixadmin.common.pages import Tab, tabs
from mixadmin.common.states import Presence
from mixadmin.common.status import Fix, Status, at
from mixadmin.common.templatetags.ui import relative
from mixadmin.jobs.models import Job

from .models import Project


def held_up(job: Job | None) -> Status | None:
    """Why nothing goes on until a person acts: a decision, or a new secret."""
    if job is None:
        return None
    if job.state == Job.State.NEEDS_DECISION:
        why = job.decision.get("why")
        why = why or "Nobody can tell from here whether Mixpanel did it."
        fix = Fix("Decide", job.get_absolute_url(), "scale")
        return Status("warn", "Needs a decision", f"{job.title}: {why}", fix)
    if _waits_for_secret(job):
        words = (
            f"{job.title} waits: Mixpanel refused the service account. It goes on with "
            "a new secret."
        )
        secret = reverse("service_accounts:secret", args=[job.service_account_id])
        fix = Fix("Set a new secret", secret, "key-round")
        return Status("bad", "Held up", words, fix)
    return None


def _waits_for_secret(job: Job) -> bool:
    return (
        job.state == Job.State.WAITING
        and job.wait_reason == Job.Wait.CREDENTIAL
        and job.service_account_id is not None
    )


def absent(row: Any, job: Job | None, verb: str, forget: str, now: datetime) -> Status:
    """How something stands that is not at Mixpanel, or not any more.

    job: the one that did not create it. verb: what creating it is called. forget: the
    URL that takes the row off these pages.
    """
    label = row.get_presence_display()
    if row.presence == Presence.PENDING:
        asked = f", since {relative(row.created_at, now)}" if row.created_at else ""
        return Status("busy", label, f"Mixpanel is being asked to {verb}{asked}.")
    if row.presence == Presence.NOT_CREATED:
        words = f"Mixpanel did not {verb}. Nothing of it exists there."
        if job is not None:
            fix = Fix(
                "Look at the failed job", job.get_absolute_url(), needs_editor=False
            )
        else:
            fix = Fix("Remove from these pages", forget, "trash-2", post=True)
        return Status("bad", label, words, fix)
    if row.presence == Presence.DELETING:
        return Status("busy", label, "Mixpanel is being asked to delete it.")
    if row.presence == Presence.MISSING:
        since = f" since {at(row.absent_since)}" if row.absent_since else ""
        words = f"Mixpanel does not list it any more{since}: it was deleted elsewhere."
        fix = Fix("Remove from these pages", forget, "trash-2", post=True)
        return Status("bad", "Gone", words, fix)
    return Status("idle", label, "This page is kept for its history.")


# --- Its jobs -------------------------------------------------------------------------


def newest_jobs(row: Any) -> list[Job]:
    """The newest jobs of a row."""
    return list(Job.objects.for_target(row)[:10])


def unfinished(jobs: Iterable[Job]) -> list[Job]:
    """Those that move on by themselves; a decision stands in the sentence on top."""
    still = (*Job.ENDED, Job.State.NEEDS_DECISION)
    return [job for job in jobs if job.state not in still]


def in_the_way(row: Any, jobs: Iterable[Job]) -> Job | None:
    """The job that somebody must do something about, or that did not create the row."""
    jobs = list(jobs)
    held = (job for job in jobs if held_up(job) is not None)
    return next(held, None) or why_not_created(row, jobs)


def why_not_created(row: Any, jobs: Iterable[Job]) -> Job | None:
    """The job that should have created it, where it did not."""
    if row.presence != Presence.NOT_CREATED:
        return None
    return next((job for job in jobs if "create" in job.task), None)


# --- The pages of a project -----------------------------------------------------------


def project_tabs(request: HttpRequest, project: Project) -> list[Tab]:
    """The pages of a project."""
    return tabs(
        request,
        ("Overview", reverse("projects:detail", args=[project.pk])),
        ("Timeline", reverse("projects:timeline", args=[project.pk])),
        ("Members", reverse("projects:members", args=[project.pk])),
    )
