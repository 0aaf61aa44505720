"""The three jobs of an ingestion: check its files, cut them into parts, send the parts."""

import time
from functools import partial
from typing import Any

from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused
from mixadmin.dataprep import reading
from mixadmin.dataprep.compression import Unreadable, sniff
from mixadmin.dataprep.report import Report
from mixadmin.jobs.models import Job
from mixadmin.jobs.operations import Op
from mixadmin.jobs.registry import Stopped, Turn, Work, job_task
from mixadmin.mixpanel.errors import NotAuthenticated
from mixadmin.projects import access
from mixadmin.service_accounts.clients import note_refusal, usable_account

from . import rules
from .actions import after_check, begin_lanes, cancel_ingestion, job_ended
from .models import Ingestion, IngestionFile, Part
from .opening import FileFailed, opened
from .sending import fail_file, judge_of, run_lane, stop_if_told

FileState = IngestionFile.State
# A file is cut into parts of about so many bytes, which several workers take at once.
PART_BYTES = 64 * 1024 * 1024
# How often the check says how far it is, in chunks.
CHUNKS_PER_WORD = 50


def _ingestion_of(job: Job) -> Ingestion:
    return Ingestion.objects.select_related("project").get(pk=job.target_id)


def _work(job: Job, run: Any) -> Work:
    ingestion = _ingestion_of(job)
    if job.state == Job.State.CLAIMED:
        access.require(job.actor, ingestion.project)
    return Work(
        run=lambda turn: bool(run(turn, ingestion.pk)),
        cancel=lambda actor: cancel_ingestion(ingestion=ingestion, actor=actor),
        follow=lambda state: job_ended(job, ingestion),
    )


@job_task("ingestion.check", op=Op.SAFE, long=True)
def plan_check(job: Job) -> Work:
    return _work(job, check_files)


@job_task("ingestion.plan", op=Op.SAFE, long=True)
def plan_parts(job: Job) -> Work:
    return _work(job, make_parts)


@job_task("ingestion.send", op=Op.KEYED, long=True)
def plan_send(job: Job) -> Work:
    ingestion = _ingestion_of(job)
    if job.state != Job.State.CLAIMED:
        return _work(job, run_lane)
    access.require(job.actor, ingestion.project)
    common: dict[str, Any] = {}
    uses_account = not ingestion.what.ordered and (
        ingestion.credential == Ingestion.Credential.SERVICE_ACCOUNT
    )
    if uses_account:
        account = usable_account(ingestion.project)
        Job.objects.filter(pk=job.pk).exclude(service_account=account).update(
            service_account=account
        )
        common = {
            "refused": partial(note_refusal, account, region=ingestion.project.region),
            "credential_version": account.secret_version,
        }
    return Work(
        run=lambda turn: (
            run_lane(turn, ingestion.pk)
            if uses_account
            else _run_by_token(turn, ingestion)
        ),
        cancel=lambda actor: cancel_ingestion(ingestion=ingestion, actor=actor),
        follow=lambda state: job_ended(job, ingestion),
        **common,
    )


def _run_by_token(turn: Turn, ingestion: Ingestion) -> bool:
    """A token that is refused stays so until somebody sets another one: no waiting."""
    try:
        return run_lane(turn, ingestion.pk)
    except NotAuthenticated:
        words = (
            f"Mixpanel refuses the project token of {ingestion.project.name}. Set the "
            "right one in the project's settings, then try again."
        )
    raise Refused(words, code="token_refused")


# --- Checking -----------------------------------------------------------------------------


def check_files(turn: Turn, ingestion_id: int) -> bool:
    """Read every file once and tell what Mixpanel would do with it. Sends nothing.

    In one turn, whatever it takes: what was found so far is not kept over a kill.
    """
    ingestion = Ingestion.objects.select_related("project").get(pk=ingestion_id)
    _stop_if_not(ingestion, Ingestion.State.CHECKING)
    report = Report(ingestion.kind)
    for file in ingestion.files.select_related("upload", "bucket"):
        mine = Report(ingestion.kind, name=file.name)
        try:
            _check_file(turn, ingestion, file, mine)
        except FileFailed as failed:
            mine.add_file(name=file.name, code=failed.code, message=failed.message)
            fail_file(turn, file, failed)
        report.merge(mine)
    summary = report.as_dict()
    with turn.commit():
        Ingestion.objects.filter(pk=ingestion.pk).update(
            report=summary, slices=_slices(ingestion, summary)
        )
        after_check(ingestion, clean=report.is_clean)
    return True


def _check_file(
    turn: Turn, ingestion: Ingestion, file: IngestionFile, report: Report
) -> None:
    _find_compression(file, turn)
    with opened(file, turn=turn) as source:
        judge = judge_of(ingestion, file, turn, unsliced=True)
        try:
            for number, chunk in enumerate(reading.chunks(source.stream), start=1):
                now = time.time()
                report.add(chunk, judge.judge(chunk, now=now), now=now)
                if number % CHUNKS_PER_WORD == 0:
                    _say_how_far(turn, ingestion, file, source.stored(chunk.end))
        except Unreadable as broken:
            raise FileFailed(broken.code, broken.message) from None
        source.check()
    with turn.commit():
        IngestionFile.objects.filter(pk=file.pk).update(
            state=FileState.CHECKED,
            report=report.as_dict(),
            checked_bytes=file.size,
            error_kind="",
            error_message="",
        )


def _say_how_far(
    turn: Turn, ingestion: Ingestion, file: IngestionFile, done: int
) -> None:
    with turn.commit():
        IngestionFile.objects.filter(pk=file.pk).update(checked_bytes=done)
    state = Ingestion.objects.values_list("state", flat=True).get(pk=ingestion.pk)
    stop_if_told(state)


def _stop_if_not(ingestion: Ingestion, state: str) -> None:
    stop_if_told(ingestion.state)
    if ingestion.state != state:
        raise Stopped


def _slices(
    ingestion: Ingestion, report: dict[str, Any]
) -> list[dict[str, float | None]]:
    times = report.get("times") or {}
    return rules.slices(
        now=db_now().timestamp(),
        first_days=ingestion.first_days,
        slice_days=ingestion.slice_days,
        oldest=times.get("first"),
    )


# --- Parts ----------------------------------------------------------------------------------


def make_parts(turn: Turn, ingestion_id: int) -> bool:
    """Cut what is to be sent now into parts, and let lanes send them."""
    ingestion = Ingestion.objects.select_related("project").get(pk=ingestion_id)
    _stop_if_not(ingestion, Ingestion.State.SENDING)
    if ingestion.first_days and not ingestion.slices:
        ingestion.slices = _slices(ingestion, ingestion.report)
        Ingestion.objects.filter(pk=ingestion.pk).update(slices=ingestion.slices)
    done = Part.objects.filter(file__ingestion=ingestion, slice=ingestion.slice)
    files = ingestion.files.exclude(state=FileState.FAILED)
    for file in files.exclude(pk__in=done.values("file")):
        try:
            _cut(turn, ingestion, file)
        except FileFailed as failed:
            fail_file(turn, file, failed)
    with turn.commit():
        begin_lanes(ingestion, turn.job.actor)
    return True


def _cut(turn: Turn, ingestion: Ingestion, file: IngestionFile) -> None:
    """Make the parts of a file for the current slice."""
    _find_compression(file, turn)
    cuts: list[tuple[int, int | None, int]]
    earlier = list(Part.objects.filter(file=file, slice=0, releases=False))
    if earlier and ingestion.slice:
        cuts = [(part.start, part.end, part.first_line) for part in earlier]
    elif (
        ingestion.what.ordered
        or file.compression != IngestionFile.Compression.NONE
        or file.place == IngestionFile.Place.BUCKET
        or file.size <= PART_BYTES
    ):
        cuts = [(0, None, 1)]
    else:
        with opened(file, turn=turn) as source:
            found = reading.boundaries(source.stream, step=PART_BYTES, hashed=False)
            source.check()
        cuts = list(found.ranges) or [(0, None, 1)]
    with turn.commit():
        IngestionFile.objects.filter(pk=file.pk).update(
            # Of a further slice it is begun already; of the first a lane begins it.
            state=FileState.SENDING if file.started_at else FileState.WAITING,
            compression=file.compression,
        )
        Part.objects.bulk_create(
            Part(
                file=file,
                slice=ingestion.slice,
                ordinal=ordinal,
                start=start,
                end=end,
                first_line=line,
                position=start,
                next_line=line,
            )
            for ordinal, (start, end, line) in enumerate(cuts)
        )


def _find_compression(file: IngestionFile, turn: Turn) -> None:
    """By what the file begins with, whatever it is called."""
    if file.compression:
        return
    file.compression = IngestionFile.Compression.NONE
    with opened(file, turn=turn) as source:
        head = source.stream.read(16)
    file.compression = sniff(head, file.name)
    IngestionFile.objects.filter(pk=file.pk).update(compression=file.compression)
