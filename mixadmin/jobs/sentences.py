"""How a job stands, in one sentence, and the one button that mends it."""

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from mixadmin.common.fixes import fix_for
from mixadmin.common.remedies import explain
from mixadmin.common.status import Fix, Status, many
from mixadmin.common.templatetags.ui import TONE_OF, when

from .models import Job

State = Job.State
# What a job is about, by the words of `common.fixes`.
WORDS = {
    "warehouse.warehousesource": "source",
    "warehouse.warehouseimport": "import",
    "connectors.connector": "connector",
    "files.sourcebucket": "bucket",
    "ingestion.ingestion": "ingestion",
    "lookups.lookuptable": "table",
}


def job_status(job: Job, target: Fix | None = None) -> Status:
    """target: leads to what the job is about; the button where nothing else helps."""
    sentence = sentence_of(job)
    fix = _fix(job, bool(target)) or (None if job.state == State.SUCCEEDED else target)
    return Status(
        TONE_OF.get(job.state, "warn"), job.get_state_display(), sentence, fix
    )


def _fix(job: Job, target_is_here: bool) -> Fix | None:
    retry = reverse("jobs:retry", args=[job.pk])
    if job.state == State.NEEDS_DECISION:
        candidates = len(job.decision.get("candidates", ()))
        label = f"Decide between {candidates}" if candidates > 1 else "Decide"
        return Fix(label, "#decide", icon="circle-question-mark")
    if job.state in (State.FAILED, State.DEAD):
        cause = explain(job.error_kind, message=job.error_message)
        about: dict[str, Any] = {
            "project": job.project_id,
            "account": job.service_account_id,
            "job": job.pk,
        }
        if target_is_here and job.target_type in WORDS:
            about[WORDS[job.target_type]] = job.target_id
        again = Fix("Try again", retry, icon="rotate-ccw", post=True)
        return fix_for(cause, about, here=job.get_absolute_url()) or again
    if job.wait_reason == Job.Wait.CREDENTIAL and job.service_account_id:
        secret = reverse("service_accounts:secret", args=[job.service_account_id])
        return Fix("Set a new secret", secret, icon="key-round")
    if job.wait_reason in (Job.Wait.RETRY, Job.Wait.BREAKER):
        return Fix("Try again now", retry, icon="rotate-ccw", post=True)
    return None


def sentence_of(job: Job, now: datetime | None = None) -> str:
    if job.cancel_asked and not job.is_ended:
        return (
            "It is to be cancelled. It was being sent when that was asked; once it is "
            "known what became of it, nothing more is sent."
        )
    if job.state == State.QUEUED:
        return format_html("Waits for a free worker since {}.", when(job.run_after))
    if job.state == State.WAITING:
        return _waits(job)
    if job.state in Job.HELD:
        return _at_work(job, now or timezone.now())
    if job.state == State.UNKNOWN:
        return format_html(
            "Whether Mixpanel did it is not known yet; it is looked up {}.",
            when(job.run_after),
        )
    if job.state == State.NEEDS_DECISION:
        return (
            "Nobody can tell from here whether Mixpanel did it. A person must decide."
        )
    if job.is_ended:
        return _ended(job)
    return format_html(
        "Mixpanel accepted it; its run is being watched, until {} at the latest.",
        when(job.deadline_at),
    )


def _waits(job: Job) -> str:
    until, why = when(job.run_after), job.get_wait_reason_display()
    if job.wait_reason == Job.Wait.CREDENTIAL:
        return f"{why}. It goes on with a new secret."
    if job.wait_reason == Job.Wait.PAUSED:
        return f"{why}. It goes on when somebody resumes it."
    if job.wait_reason == Job.Wait.RATE:
        return format_html("Throttled until {}: {}.", until, why)
    if job.wait_reason == Job.Wait.RETRY:
        tries = many(job.attempt_count, "attempt")
        return format_html("Is tried again {}; {} so far.", until, tries)
    return format_html("Waits until {}: {}.", until, why or "it asked to")


def _at_work(job: Job, now: datetime) -> str:
    if job.lease_until and job.lease_until < now:
        return format_html(
            "Its worker has been silent since {}; another one takes over.",
            when(job.heard_at),
        )
    doing = "looks what became of it" if job.state == State.RECONCILING else "is at it"
    return format_html("A worker {}, last heard {}.", doing, when(job.heard_at))


def _ended(job: Job) -> str:
    at = when(job.ended_at)
    attempts = many(job.attempt_count, "attempt")
    if job.state == State.SUCCEEDED:
        after = f", after {attempts}" if job.attempt_count > 1 else ""
        return format_html("Done {}{}.", at, after)
    if job.state == State.CANCELLED:
        sent = (
            f"Before that it was sent in {attempts}"
            if job.attempt_count
            else "Nothing was sent"
        )
        return format_html("Cancelled {}. {}.", at, sent)
    title = explain(job.error_kind, message=job.error_message).title
    if job.state == State.DEAD:
        return format_html("Given up {}: {}.", at, title)
    return format_html("Failed {}: {}.", at, title)
