"""How an ingestion stands, in one sentence, and the one button that mends it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils.html import format_html

from mixadmin.common.remedies import explain
from mixadmin.common.status import Fix, Status, many
from mixadmin.common.templatetags.ui import TONE_OF, lasting, when
from mixadmin.jobs.models import Job

from .models import Ingestion
from .queries import FileTotals, Progress

State = Ingestion.State


@dataclass(frozen=True, slots=True)
class Facts:
    """What the sentence is made of.

    books: with `pending`. jobs: those that have not ended. unknown: batches that a
    person must decide about. resendable: rejected records that can be sent again, and
    resent: the newest ingestion that does so. The last two are of the check: its
    verdict, and how many records would be imported, None if there was none.
    """

    books: dict[str, int]
    files: FileTotals
    progress: Progress
    jobs: Sequence[Job] = ()
    unknown: int = 0
    resendable: int = 0
    resent: Ingestion | None = None
    verdict: str = ""
    would_import: int | None = None

    @property
    def waiting(self) -> Job | None:
        """The job that goes on first, if all that is left to do waits."""
        if all(job.state == Job.State.WAITING for job in self.jobs):
            return min(self.jobs, key=lambda job: job.run_after, default=None)
        return None


def ingestion_status(ingestion: Ingestion, facts: Facts) -> Status:
    sentence, fix = SENTENCES[State(ingestion.state)](ingestion, facts)
    if facts.unknown and not ingestion.is_ended:
        fix = _decide(ingestion, facts)
    state, label = _badge(ingestion, facts)
    return Status(TONE_OF.get(state, "warn"), label, sentence, fix)


def _badge(ingestion: Ingestion, facts: Facts) -> tuple[str, str]:
    """What the badge says: while it goes on, also that nothing moves, and how bad
    that is."""
    job = facts.waiting if ingestion.state in Ingestion.GOING_ON else None
    if job is None:
        return ingestion.state, ingestion.get_state_display()
    if job.wait_reason == Job.Wait.CREDENTIAL:
        return "refused", "Stopped"
    return "waiting", "Throttled" if job.wait_reason == Job.Wait.RATE else "Held back"


def url(ingestion: Ingestion, name: str) -> str:
    return reverse(f"ingestion:{name}", args=[ingestion.project_id, ingestion.pk])


Said = tuple[str, Fix | None]


def _checking(ingestion: Ingestion, facts: Facts) -> Said:
    if job := facts.waiting:
        return _held_back(ingestion, facts, job)
    share = f"{facts.progress.share:.0%}"
    return (
        f"Its files are being read and judged, {share} so far. Nothing is sent.",
        None,
    )


def _ready(ingestion: Ingestion, facts: Facts) -> Said:
    sentence = f"Checked, and nothing was sent yet. {facts.verdict}"
    if not facts.would_import:
        again = "Check again with other settings"
        return sentence, Fix(again, url(ingestion, "copy"), icon="rotate-ccw")
    what = "event" if ingestion.kind == "events" else "update"
    label = f"Start sending {many(facts.would_import, what)}"
    return sentence, Fix(label, url(ingestion, "start"), icon="send", post=True)


def _sending(ingestion: Ingestion, facts: Facts) -> Said:
    if job := facts.waiting:
        return _held_back(ingestion, facts, job)
    states = {job.state for job in facts.jobs}
    if states and not states & set(Job.HELD):
        # Between two turns that is so for a moment; it is told all the same.
        since = min(job.run_after for job in facts.jobs)
        words = "{}Waits for a free worker since {}."
        return format_html(words, _slice(ingestion), when(since)), None
    progress = facts.progress
    pace = f", {progress.rate:,.0f} records a second" if progress.rate else ""
    left = (
        f", about {lasting(timedelta(seconds=progress.left))} left"
        if progress.left is not None
        else ""
    )
    return (
        f"{_slice(ingestion)}Being sent, {progress.share:.0%} so far{pace}{left}.",
        None,
    )


def _held_back(ingestion: Ingestion, facts: Facts, job: Job) -> Said:
    """All of its workers wait, and until when."""
    until = when(job.run_after)
    why = job.error_message[:300]
    if job.wait_reason == Job.Wait.CREDENTIAL:
        account = job.service_account_id
        fix = None
        if account:
            secret = reverse("service_accounts:secret", args=[account])
            fix = Fix("Set a new secret", secret, icon="key-round")
        words = (
            "Stopped: the service account was refused. It goes on with a new secret."
        )
        return words, fix
    if job.wait_reason == Job.Wait.RATE:
        return format_html(
            "{}Throttled until {}: {}", _slice(ingestion), until, why
        ), None
    if job.wait_reason == Job.Wait.FUTURE:
        held = many(facts.books["held"], "record")
        return format_html(
            "All else is sent. Waits until {} for {} dated in the future.", until, held
        ), None
    return format_html("{}Held back until {}: {}", _slice(ingestion), until, why), None


def _paused(ingestion: Ingestion, facts: Facts) -> Said:
    share = f"{facts.progress.share:.0%}"
    verb = "checked" if ingestion.paused_in == State.CHECKING else "sent"
    return (
        f"Paused with {share} {verb}. What was under way has been written down; it goes "
        "on where it was.",
        Fix("Resume", url(ingestion, "resume"), icon="play", post=True),
    )


def _gated(ingestion: Ingestion, facts: Facts) -> Said:
    at, of = ingestion.slice + 1, len(ingestion.slices)
    return (
        f"Slice {at} of {of} ended with more than {ingestion.most_refused_percent:g} % "
        "refused. The next one waits for you.",
        Fix(
            f"Send the next slice, {at + 1} of {of}",
            url(ingestion, "pass-gate"),
            icon="send",
            post=True,
        ),
    )


def _needs_decision(ingestion: Ingestion, facts: Facts) -> Said:
    updates = many(facts.books["unsettled"], "update")
    return (
        f"All else is sent. Whether {updates} arrived, nobody can tell from here: "
        f"{many(facts.unknown, 'batch', 'batches')} must be decided about.",
        _decide(ingestion, facts),
    )


def _decide(ingestion: Ingestion, facts: Facts) -> Fix:
    label = f"Decide {many(facts.unknown, 'batch', 'batches')}"
    return Fix(
        label, url(ingestion, "detail") + "#decisions", icon="circle-question-mark"
    )


def _succeeded(ingestion: Ingestion, facts: Facts) -> Said:
    books = facts.books
    left_out = f", {books['dropped']:,} left out as asked" if books["dropped"] else ""
    took = _took(ingestion)
    return format_html(
        "{} imported{}, {}{}.",
        many(books["imported"], "record"),
        left_out,
        when(ingestion.ended_at),
        f" after {took}" if took else "",
    ), None


def _with_errors(ingestion: Ingestion, facts: Facts) -> Said:
    books, files = facts.books, facts.files
    missing = {
        "refused by Mixpanel": books["refused"],
        "invalid and not sent": books["invalid"],
        "held and not sent": books["held"],
        "of unknown outcome": books["unsettled"],
    }
    told = [f"{count:,} {words}" for words, count in missing.items() if count]
    if files.failed:
        told.insert(0, f"{files.failed:,} of {many(files.count, 'file')} not readable")
    sentence = format_html(
        "Ended {}: {} of {} imported{}.",
        when(ingestion.ended_at),
        f"{books['imported']:,}",
        many(books["read"], "record"),
        f"; {', '.join(told)}" if told else "",
    )
    if facts.resent is not None:
        sentence = format_html(
            '{} Rejected records were sent again as <a href="{}">{}</a>.',
            sentence,
            facts.resent.get_absolute_url(),
            facts.resent.name[:80],
        )
    return sentence, _mend(ingestion, facts)


def _mend(ingestion: Ingestion, facts: Facts) -> Fix | None:
    """Files that can be tried again come first: they may hold most of the records."""
    files = facts.files
    again = files.failed + files.unfinished
    if again:
        label = f"Retry {again:,} of {many(files.count, 'file')}"
        return Fix(label, url(ingestion, "retry"), icon="rotate-ccw", post=True)
    if facts.resendable and facts.resent is None:
        label = f"Resend {many(facts.resendable, 'rejected record')}"
        return Fix(label, url(ingestion, "rejected"), icon="send")
    return None


def _failed(ingestion: Ingestion, facts: Facts) -> Said:
    title = explain(ingestion.error_kind, message=ingestion.error_message).title
    sentence = format_html(
        "Failed {}: {}. {}",
        when(ingestion.ended_at),
        title,
        f"{many(facts.books['imported'], 'record')} imported before."
        if facts.books["imported"]
        else "Nothing was imported.",
    )
    fix = _mend(ingestion, facts)
    if fix is None and facts.resent is None:
        label = f"Retry {many(facts.files.count, 'file')}"
        fix = Fix(label, url(ingestion, "retry"), icon="rotate-ccw", post=True)
    return sentence, fix


def _cancelled(ingestion: Ingestion, facts: Facts) -> Said:
    imported = facts.books["imported"]
    stays = (
        f"{many(imported, 'record')} imported before stay in Mixpanel."
        if imported
        else "Nothing was imported."
    )
    return format_html("Cancelled {}. {}", when(ingestion.ended_at), stays), None


def _slice(ingestion: Ingestion) -> str:
    if not ingestion.slices:
        return ""
    return f"Slice {ingestion.slice + 1} of {len(ingestion.slices)}. "


def _took(ingestion: Ingestion) -> str:
    ended: datetime | None = ingestion.ended_at
    if ingestion.started_at is None or ended is None:
        return ""
    return lasting(ended - ingestion.started_at)


SENTENCES = {
    State.CHECKING: _checking,
    State.READY: _ready,
    State.SENDING: _sending,
    State.PAUSED: _paused,
    State.GATED: _gated,
    State.NEEDS_DECISION: _needs_decision,
    State.SUCCEEDED: _succeeded,
    State.SUCCEEDED_WITH_ERRORS: _with_errors,
    State.FAILED: _failed,
    State.CANCELLED: _cancelled,
}
