"""What people do with lookup tables, and the jobs that check and send."""

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Max, Sum

from mixadmin.accounts.models import User
from mixadmin.audit.actions import record
from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused
from mixadmin.dataprep import tables
from mixadmin.dataprep.tables import Difference, Readable, Report, Sink
from mixadmin.jobs import limits
from mixadmin.jobs.models import Beat, Job
from mixadmin.jobs.operations import Op
from mixadmin.jobs.registry import Plan, Turn, Work, job_task, on_tick
from mixadmin.jobs.times import TIMES
from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.errors import BadRequest, RateLimited
from mixadmin.mixpanel.lookup_tables import ReplaceResult
from mixadmin.projects import access
from mixadmin.projects.managed import enqueue_for
from mixadmin.service_accounts.clients import for_job

from . import storage
from .kinds import DAY, KEPT, REPLACEMENTS
from .models import LookupTable, LookupVersion
from .storage import Stored

POLL = "lookup-tables"
State = LookupVersion.State
# Reading 100 MB through, or sending it and waiting until Mixpanel has taken it in.
SECONDS = 6 * TIMES.total
# After a 429 without a time: the limit is one of a whole day.
PATIENCE = TIMES.retry_after_most / 4
# Outcomes of an attempt after which Mixpanel may hold the rows.
UNKNOWN_OUTCOMES = ("", "server_failed", "reply_lost", "unexpected_response")
STRAYS_EVERY = timedelta(hours=1)


def upload_version(
    *,
    table: LookupTable,
    actor: User | None,
    file: Readable | None,
    send_when_clean: bool = False,
) -> tuple[LookupVersion, Job | None]:
    """Keep a CSV, plain or gzip, and queue its check.

    The same content as what is in Mixpanel, or on its way, is not kept again: then that
    version is returned, and no job.
    """
    access.require(actor, table.project)
    _require_listed(table)
    if file is None:
        raise ValidationError(
            {"file": ValidationError("Choose a CSV file.", code="required")}
        )
    stored = storage.store(table, file)
    return _make_version(table, actor, stored, send_when_clean=send_when_clean)


def roll_back(
    *, version: LookupVersion, actor: User | None, send_when_clean: bool = False
) -> tuple[LookupVersion, Job | None]:
    """Make a new version of an old one's file, which goes the same way."""
    table = version.table
    access.require(actor, table.project)
    _require_listed(table)
    if not version.has_file:
        raise Refused(GONE.format(version), code="file_removed")
    if not can_be_brought_back(version):
        raise Refused(
            f"{version} is {version.get_state_display().lower()}. Only a version that "
            "was in Mixpanel and was replaced can be brought back.",
            code="not_replaced",
        )
    try:
        stored = storage.copy(version)
    except FileNotFoundError:
        raise Refused(GONE.format(version), code="file_removed") from None
    return _make_version(
        table, actor, stored, send_when_clean=send_when_clean, copy_of=version
    )


def can_be_brought_back(version: LookupVersion) -> bool:
    """Whether another version has, or may have, taken its place in Mixpanel."""
    if not version.has_file:
        return False
    if version.state == State.CURRENT:
        return version.table.versions.filter(may_be_there=True).exists()
    return version.state == State.REPLACED


GONE = "The file of {0} is no longer kept. Upload it again."


def said(version: LookupVersion, job: Job | None) -> str:
    """What became of a file, in a sentence."""
    if job is not None:
        return f"{version} is being checked."
    if version.state == LookupVersion.State.CURRENT:
        return (
            f"{version}, which is in Mixpanel, has the same content. There is nothing "
            "to send."
        )
    return (
        f"{version} has the same content and is {version.get_state_display().lower()}."
    )


def _make_version(
    table: LookupTable,
    actor: User | None,
    stored: Stored,
    *,
    send_when_clean: bool,
    copy_of: LookupVersion | None = None,
) -> tuple[LookupVersion, Job | None]:
    try:
        with transaction.atomic():
            # Numbers are given one at a time.
            LookupTable.objects.select_for_update().get(pk=table.pk)
            if same := _same_content(table, stored.sha256):
                job = None
                if send_when_clean and same.state in (State.CHECKING, State.READY):
                    job = _send_when_clean(same, actor)
                return same, job
            last = table.versions.aggregate(last=Max("number"))["last"] or 0
            version = LookupVersion(
                table=table,
                number=last + 1,
                size=stored.size,
                sha256=stored.sha256,
                send_when_clean=send_when_clean,
                copy_of=copy_of,
                created_by=actor,
            )
            version.full_clean()
            version.save()
            changes: dict[str, Any] = {"version": [None, version.number]}
            if copy_of:
                changes["copy of version"] = [None, copy_of.number]
            verb = "brought back a version of" if copy_of else "uploaded a file for"
            record(actor=actor, verb=verb, target=table, changes=changes)
            job = enqueue_for(
                table,
                actor,
                "lookups.check",
                f"Check version {version.number} of {table}",
                {"version": version.pk},
            )
            _tidy(table)
            storage.adopt(stored, version)
            return version, job
    finally:
        storage.drop(stored)


def _require_listed(table: LookupTable) -> None:
    if table.absent_since:
        raise Refused(
            f"Mixpanel does not list {table} any more. Its rows cannot be replaced "
            "unless it is there again.",
            code="not_listed",
        )


def _same_content(table: LookupTable, sha256: str) -> LookupVersion | None:
    """The version that makes another one with this content superfluous."""
    if not table.versions.filter(may_be_there=True).exists():
        current = table.versions.filter(sha256=sha256, state=State.CURRENT).first()
        if current and not table.versions.filter(state=State.SENDING).exists():
            return current
    open_ones = LookupVersion.objects.same_content(sha256)
    return open_ones.filter(table=table).select_related("table__project").first()


def _send_when_clean(version: LookupVersion, actor: User | None) -> Job | None:
    """What is asked of a version that is here already: to go on by itself."""
    LookupVersion.objects.filter(pk=version.pk).update(send_when_clean=True)
    # Its check may have ended at this moment; one of the two sees what the other wrote.
    version.refresh_from_db(fields=["state", "rows", "findings"])
    if version.state == State.READY and version.is_clean:
        return send_version(version=version, actor=actor)
    return None


def _tidy(table: LookupTable) -> None:
    """Let go of the files that are no longer kept, once this is committed."""
    keep = LookupVersion.GOING_ON + (State.CURRENT,)
    idle = table.versions.listed().filter(removed_at=None).exclude(state__in=keep)
    for version in idle.order_by("-number")[KEPT:]:
        mine = LookupVersion.objects.filter(pk=version.pk, state=version.state)
        if mine.update(removed_at=db_now()):
            transaction.on_commit(lambda v=version: storage.remove(v), robust=True)  # type: ignore[misc]


def send_version(*, version: LookupVersion, actor: User | None) -> Job:
    """Queue the replacement of the table's rows by this version."""
    table = version.table
    access.require(actor, table.project)
    _require_listed(table)
    if not version.has_file:
        raise Refused(GONE.format(version), code="file_removed")
    if version.would_be_refused:
        raise Refused(
            f"{version} would be refused by Mixpanel. Correct the file and upload it "
            "again.",
            code="would_be_refused",
        )
    with transaction.atomic():
        _start_sending(version, LookupVersion.SENDABLE)
        record(
            actor=actor,
            verb="asked to replace the rows of",
            target=table,
            changes={"version": [None, version.number]},
        )
        return enqueue_for(
            table,
            actor,
            "lookups.send",
            f"Replace the rows of {table} by version {version.number}",
            {"version": version.pk},
        )


def _start_sending(version: LookupVersion, before: tuple[str, ...]) -> None:
    mine = LookupVersion.objects.filter(
        pk=version.pk, state__in=before, rows__isnull=False, removed_at=None
    )
    try:
        with transaction.atomic():
            moved = mine.update(state=State.SENDING, error_message="", refused_rows=[])
    except IntegrityError:
        raise Refused(
            "Another version of this table is being sent. Wait until that has ended.",
            code="being_sent",
        ) from None
    if not moved:
        version.refresh_from_db()
        raise Refused(
            f"{version} is {version.get_state_display().lower()}. Only one that was "
            "checked and is not in Mixpanel can be sent.",
            code="wrong_state",
        )
    version.state = State.SENDING


# --- The check ------------------------------------------------------------------------


# What a check tells: what was found, what changes, and against which version.
Checked = tuple[Report, Difference | None, int | None]


def check_table(
    table: LookupTable, open_file: Callable[[], BinaryIO], sink: Sink
) -> Checked:
    """Read a file through, telling `sink` each bad row, and compare it with what is in
    Mixpanel if that is known. Changes nothing."""
    report = tables.check(open_file, sink=sink)
    current = table.versions.listed().filter(state=State.CURRENT).first()
    if report.would_be_refused or current is None:
        return report, None, None
    difference = tables.compare(
        storage.opener(current), open_file, rows=max(current.rows or 0, report.rows)
    )
    return report, difference, current.number


def _version_of(job: Job) -> LookupVersion:
    rows = LookupVersion.objects.select_related("table__project")
    version: LookupVersion = rows.get(pk=job.params["version"])
    return version


@job_task("lookups.check", op=Op.SAFE, long=True)
def plan_check(job: Job) -> Work:
    version = _version_of(job)
    mine = LookupVersion.objects.filter(pk=version.pk)

    def run(turn: Turn) -> bool:
        with storage.bad_rows(version) as sink:
            found = check_table(version.table, storage.opener(version, turn), sink)
        with turn.commit():
            save(found)
        return True

    def save(found: Checked) -> None:
        report, difference, against = found
        told = report.as_dict()
        state = State.INVALID if report.would_be_refused else State.READY
        changed = difference.as_dict() | {"against": against} if difference else {}
        moved = mine.filter(state=State.CHECKING).update(
            state=state,
            rows=report.rows,
            bad_rows=report.bad_rows,
            column_count=told["column_count"],
            columns=told["columns"],
            findings=told["findings"],
            difference=changed,
            error_message="",
        )
        if moved:
            _send_if_asked(version, job.actor)

    def follow(state: str) -> None:
        if state == Job.State.QUEUED:
            mine.filter(state=State.FAILED, rows=None).update(
                state=State.CHECKING, error_message=""
            )
        else:
            words = job.error_message or "The check was cancelled."
            mine.filter(state=State.CHECKING).update(
                state=State.FAILED, error_message=words
            )

    return Work(run=run, follow=follow)


def _send_if_asked(version: LookupVersion, actor: User | None) -> bool:
    version.refresh_from_db()
    if not version.send_when_clean or not version.is_clean:
        return False
    try:
        send_version(version=version, actor=actor)
    except Refused as refused:
        # It stays ready; a person sees why and says when.
        LookupVersion.objects.filter(pk=version.pk).update(
            error_message=f"It was not sent by itself: {refused.message}"
        )
        return False
    return True


# --- Sending --------------------------------------------------------------------------


def budget_key(table: LookupTable) -> str:
    return f"lookup:{table.pk}"


def replacements_left(table: LookupTable) -> tuple[int, datetime | None]:
    """(how many of the day's replacements are left, when the next one is if none is).

    Other tools that replace the table are not counted; nobody tells of them.
    """
    return limits.left(budget_key(table), limit=REPLACEMENTS, per=DAY)


@job_task("lookups.send", op=Op.ABSOLUTE)
def plan_send(job: Job) -> Plan:
    version = _version_of(job)
    table = version.table
    mine = LookupVersion.objects.filter(pk=version.pk)
    answers: list[ReplaceResult] = []

    def send(client: MixpanelClient) -> ReplaceResult:
        try:
            with open(storage.path(version), "rb") as file:
                answer = client.lookup_tables.replace(
                    table.mixpanel_id, file, gzipped=True
                )
        except FileNotFoundError:
            raise BadRequest(GONE.format(version)) from None
        except RateLimited as error:
            if error.retry_after is None:
                error.retry_after = PATIENCE
            raise
        if not answer.ok:
            answers.append(answer)
            words = answer.error or "Mixpanel refused the file and did not say why."
            body = json.dumps(answer.raw, ensure_ascii=False)[:8_000]
            raise BadRequest(words, status=400, body=body)
        return answer

    def save(answer: ReplaceResult) -> dict[str, Any]:
        before = table.versions.filter(state=State.CURRENT)
        old = before.values_list("number", flat=True).first()
        before.exclude(pk=version.pk).update(state=State.REPLACED)
        table.versions.filter(may_be_there=True).update(may_be_there=False)
        mine.update(
            state=State.CURRENT, sent_at=db_now(), error_message="", refused_rows=[]
        )
        record(
            actor=job.actor,
            verb="replaced the rows of",
            target=table,
            changes={"version": [old, version.number]},
        )
        return {"mixpanel_id": table.mixpanel_id, "version": version.number}

    def follow(state: str) -> None:
        if state == Job.State.QUEUED:
            _start_sending(version, LookupVersion.SENDABLE)
            return
        unknown = job.attempts.filter(outcome__in=UNKNOWN_OUTCOMES).exists()
        cancelled = state == Job.State.CANCELLED
        changes: dict[str, Any] = {
            "state": State.FAILED,
            "may_be_there": unknown,
            "error_message": "Cancelled." if cancelled else job.error_message,
        }
        if answers:
            changes["state"] = State.REFUSED
            changes["refused_rows"] = [
                {"index": row.index, "message": row.message[:500]}
                for row in answers[-1].failed[:100]
            ]
        elif cancelled and not unknown:
            changes |= {"state": State.READY, "error_message": ""}
        mine.filter(state=State.SENDING).update(**changes)

    return Plan(
        send=send,
        save=save,
        follow=follow,
        budget=(
            budget_key(table),
            REPLACEMENTS,
            DAY,
            "the replacements of this lookup table in 24 hours",
        ),
        **for_job(job, seconds=SECONDS),
    )


def rows_of_project(version: LookupVersion) -> int | None:
    """How many rows the project's tables would have with this version, if that is more
    than Mixpanel advises and as far as it is known here."""
    others = LookupVersion.objects.filter(
        table__project=version.table.project_id, state=State.CURRENT
    ).exclude(table=version.table_id)
    total = (others.aggregate(n=Sum("rows"))["n"] or 0) + (version.rows or 0)
    return total if total > tables.ROWS_OF_PROJECT else None


@on_tick
def forget_strays() -> None:
    """Once an hour: remove files that belong to nothing any more."""
    now = db_now()
    beat, created = Beat.objects.get_or_create(
        name="lookup-files", defaults={"at": now}
    )
    due = Beat.objects.filter(pk=beat.pk, at__lt=now - STRAYS_EVERY)
    if created or due.update(at=now):
        storage.forget_strays(before=time.time() - DAY)
