"""What people do with ingestions, and how one goes from step to step."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from mixadmin.accounts.models import User
from mixadmin.audit.actions import record
from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused
from mixadmin.files import places
from mixadmin.files.actions import NO_UPLOAD, as_key, take_uploads
from mixadmin.files.errors import PlaceError
from mixadmin.files.models import SourceBucket, Upload
from mixadmin.jobs.actions import cancel_job, enqueue_job, go_on
from mixadmin.jobs.models import Job
from mixadmin.projects import access
from mixadmin.projects.models import Project

from . import rules, spools
from .kinds import KINDS
from .models import (
    Ingestion,
    IngestionFile,
    Part,
    RejectedGroup,
    Spool,
    UnsettledBatch,
)
from .opening import place_of

State = Ingestion.State
FileState = IngestionFile.State
# No more of its records are rejected in these.
RESENDABLE = (*Ingestion.ENDED, State.GATED, State.PAUSED)
FILE_ENDED = (FileState.DONE, FileState.FAILED)
# Parts that release what was held back come after all parts of the file itself.
RELEASES = 1_000_000
TASKS = ("ingestion.check", "ingestion.plan", "ingestion.send")
# What a person may say of how files are sent.
SETTINGS = (
    "name",
    "start",
    "check_first",
    "credential",
    "mends",
    "insert_id_fields",
    "batch_records",
    "batch_bytes",
    "concurrency",
    "lanes",
    "first_days",
    "slice_days",
    "most_refused_percent",
)


def create_ingestion(
    *,
    project: Project,
    actor: User | None,
    name: str = "",
    kind: str,
    files: Sequence[dict[str, Any]],
    origin: Ingestion | None = None,
    instead_of: Ingestion | None = None,
    **settings: Any,
) -> tuple[Ingestion, Job]:
    """Take files for sending. Returns the ingestion and the job that does its first step.

    files: what to send, each {"place": "upload", "upload": Upload}, {"place":
    "directory", "directory": name, "path": path}, {"place": "bucket", "bucket":
    SourceBucket, "path": key} or, for operators, {"place": "path", "path": path}. A path
    of directory or bucket that ends in "/" stands for all files below it.
    instead_of: one that was checked and is cancelled for this one.
    settings: fields of Ingestion. Raises ValidationError, NotPermitted and Refused.
    """
    access.require(actor, project)
    settings = {key: value for key, value in settings.items() if value is not None}
    ingestion = Ingestion(
        project=project,
        kind=kind,
        name=name,
        created_by=actor,
        origin=origin,
        **settings,
    )
    found, problems = _look_at(project, files)
    if not ingestion.name and found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        ingestion.name = found[0].name.rsplit("/", 1)[-1][:150] + more
    if kind in KINDS and ingestion.what.ordered:
        # Two updates of one profile must not overtake one another.
        ingestion.lanes = 1
    if not ingestion.check_first:
        ingestion.state = State.SENDING
        ingestion.started_at = db_now()
    # Without a file there is nothing that it could be called after.
    exclude = [] if ingestion.name or found else ["name"]
    try:
        ingestion.full_clean(exclude=exclude)
    except ValidationError as error:
        problems = {**error.update_error_dict({}), **problems}
    if problems:
        raise ValidationError(problems)
    with transaction.atomic():
        if instead_of is not None:
            _give_way(instead_of, actor)
        ingestion.save()
        if uploads := [file.upload_id for file in found if file.upload_id]:
            take_uploads(project=project, ids=uploads)
        for file in found:
            file.ingestion = ingestion
        IngestionFile.objects.bulk_create(found)
        record(actor=actor, verb="added", target=ingestion)
        job = _enqueue(
            ingestion,
            "ingestion.check" if ingestion.check_first else "ingestion.plan",
            actor,
        )
    return ingestion, job


def _give_way(ingestion: Ingestion, actor: User | None) -> None:
    if not move(ingestion, [State.READY], State.CANCELLED):
        raise Refused(_words(ingestion, "replaced"), code="wrong_state")
    record(actor=actor, verb="replaced", target=ingestion)


def copy_ingestion(
    *, ingestion: Ingestion, actor: User | None, **changes: Any
) -> tuple[Ingestion, Job]:
    """Check the same files anew, with other settings. One that was not sent gives way.

    changes: fields of Ingestion; the others stay as they are.
    """
    access.require(actor, ingestion.project)
    if ingestion.state not in (State.READY, *Ingestion.ENDED):
        raise Refused(_words(ingestion, "copied"), code="wrong_state")
    settings = {name: getattr(ingestion, name) for name in SETTINGS} | changes
    return create_ingestion(
        project=ingestion.project,
        actor=actor,
        kind=ingestion.kind,
        files=[
            place_of(file)
            for file in ingestion.files.select_related("upload", "bucket")
        ],
        origin=ingestion.origin,
        resent_groups=ingestion.resent_groups,
        instead_of=ingestion if ingestion.state == State.READY else None,
        **settings,
    )


def choose_files(
    *, project: Project, chosen: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What doors name by ids, as `create_ingestion` takes it. ValidationError of files.

    chosen: each {"place": "upload", "upload": id}, {"place": "bucket", "bucket": id,
    "path": key} or {"place": "directory", "directory": name, "path": path}.
    """
    problems: list[ValidationError] = []
    ids = [as_key(one.get("upload")) for one in chosen]
    uploads = project.uploads.complete().in_bulk([key for key in ids if key])
    known = project.source_buckets.in_bulk(
        [one["bucket"] for one in chosen if 0 < (one.get("bucket") or 0) < 2**63]
    )
    found: list[dict[str, Any]] = []
    for one in chosen:
        place, path = one.get("place"), one.get("path") or ""
        if place == "upload":
            upload = uploads.get(as_key(one.get("upload")))
            if upload:
                found.append({"place": place, "upload": upload})
            else:
                problems.append(ValidationError(NO_UPLOAD, code="unknown"))
        elif place == "bucket" and one.get("bucket") in known:
            bucket = known[one["bucket"]]
            found.append({"place": place, "bucket": bucket, "path": path})
        elif place == "bucket":
            problems.append(ValidationError("There is no such bucket.", code="unknown"))
        elif place == "directory":
            directory = one.get("directory") or ""
            found.append({"place": place, "directory": directory, "path": path})
        else:
            words = "The place of a file is upload, directory or bucket."
            problems.append(ValidationError(words, code="place"))
    if problems:
        # Each of them once, however many files it is true of.
        told = {problem.message: problem for problem in problems}
        raise ValidationError({"files": list(told.values())[:20]})
    return found


def _look_at(
    project: Project, files: Sequence[dict[str, Any]]
) -> tuple[list[IngestionFile], dict[str, Any]]:
    """Rows for the files as they are now, and what is wrong with the choice."""
    found: dict[str, IngestionFile] = {}
    problems: list[str] = []
    for chosen in files:
        try:
            for file in _expanded(project, chosen):
                found.setdefault(_name_once(found, file), file)
        except PlaceError as error:
            problems.append(error.message)
    if len(found) > rules.MOST_FILES:
        problems = [f"These are more than {rules.MOST_FILES:,} files at once."]
    if not found and not problems:
        problems = ["Choose at least one file."]
    told = {"files": [ValidationError(p, code="files") for p in problems[:20]]}
    return list(found.values()), told if problems else {}


def _name_once(found: dict[str, IngestionFile], file: IngestionFile) -> str:
    """Its name; with a number where another file has the same one."""
    plain, number = file.name, 2
    while file.name in found and not _same_place(found[file.name], file):
        file.name = f"{plain[:1000]} ({number})"
        number += 1
    return file.name


def _same_place(one: IngestionFile, other: IngestionFile) -> bool:
    names = ("place", "upload_id", "bucket_id", "directory", "path")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _expanded(project: Project, chosen: dict[str, Any]) -> list[IngestionFile]:
    place = chosen["place"]
    upload: Upload | None = chosen.get("upload")
    bucket: SourceBucket | None = chosen.get("bucket")
    directory, path = chosen.get("directory", ""), chosen.get("path", "")
    for owned in (upload, bucket):
        # Another tenant's file does not exist; the doors look it up in the project.
        assert owned is None or owned.project_id == project.pk
    if place == IngestionFile.Place.REJECTED:
        # A job writes it when it is first opened: that may be a lot of work.
        path = f"again/{uuid4()}.ndjson"
        return [IngestionFile(name="Rejected records", place=place, path=path, size=0)]
    where: dict[str, Any] = {"place": place, "upload": upload, "bucket": bucket}
    if place in ("directory", "bucket") and (not path or path.endswith("/")):
        return [
            IngestionFile(
                name=entry.path[:1024],
                directory=directory,
                path=entry.path,
                size=entry.size or 0,
                **where,
            )
            for entry in _everything_below(directory, bucket, path)
        ]
    found = places.look(directory=directory, path=path, **where)
    return [
        IngestionFile(
            name=found.name[:1024],
            directory=directory,
            path=path,
            size=found.size,
            tag=found.tag,
            sha256=upload.sha256 if upload else "",
            **where,
        )
    ]


def _everything_below(
    directory: str, bucket: SourceBucket | None, path: str
) -> Iterator[places.Entry]:
    """Every file below a directory or prefix, as its lists tell. Those with a problem
    raise PlaceError: leaving one out would go unnoticed."""
    folders = [path]
    while folders:
        folder, after = folders.pop(), ""
        while True:
            if bucket is not None:
                listing = places.list_bucket(bucket, folder, after=after)
            else:
                at = folder.rstrip("/")
                listing = places.list_directory(directory, at, after=after)
            for entry in listing.entries:
                if entry.problem:
                    raise places.Unusable(f"{entry.name}: {entry.problem}")
                if entry.is_directory:
                    folders.append(entry.path)
                else:
                    yield entry
            after = listing.after
            if not after:
                break


def _enqueue(
    ingestion: Ingestion,
    task: str,
    actor: User | None,
    *,
    lane: int = 1,
    of: int = 1,
) -> Job:
    titles = {
        "ingestion.check": f"Check {ingestion.name}",
        "ingestion.plan": f"Prepare {ingestion.name}",
        "ingestion.send": f"Send {ingestion.name}"
        + (f" ({lane} of {of})" if of > 1 else ""),
    }
    return enqueue_job(
        task=task,
        title=titles[task],
        target=ingestion,
        project_id=ingestion.project_id,
        actor=actor,
        params={"lane": lane},
    )


def move(
    ingestion: Ingestion, before: Sequence[str], state: str, **changes: Any
) -> bool:
    """Change the state, if it is one of `before` still."""
    if state in Ingestion.ENDED:
        changes.setdefault("ended_at", db_now())
    rows = Ingestion.objects.filter(pk=ingestion.pk, state__in=before)
    if not rows.update(state=state, **changes):
        return False
    for name, value in {"state": state, **changes}.items():
        setattr(ingestion, name, value)
    if state in (State.FAILED, State.CANCELLED):
        ingestion.files.exclude(state__in=FILE_ENDED).update(
            state=FileState.CANCELLED, ended_at=db_now()
        )
    return True


def _open_files(ingestion: Ingestion, *states: str) -> None:
    """Let files that failed, or were not finished, be taken up again."""
    ingestion.files.filter(state__in=states).update(
        state=FileState.WAITING, error_kind="", error_message="", ended_at=None
    )


def jobs_of(ingestion: Ingestion) -> Any:
    return Job.objects.for_target(ingestion).filter(task__in=TASKS)


# --- What a person asks for -----------------------------------------------------------


def start_ingestion(*, ingestion: Ingestion, actor: User | None) -> Job:
    """Send what was checked."""
    access.require(actor, ingestion.project)
    with transaction.atomic():
        if not move(ingestion, [State.READY], State.SENDING):
            raise Refused(_words(ingestion, "started"), code="wrong_state")
        record(actor=actor, verb="started", target=ingestion)
        return _begin(ingestion, actor)


def _begin(ingestion: Ingestion, actor: User | None) -> Job:
    Ingestion.objects.filter(pk=ingestion.pk, started_at=None).update(
        started_at=db_now()
    )
    return _enqueue(ingestion, "ingestion.plan", actor)


def pause_ingestion(*, ingestion: Ingestion, actor: User | None) -> Ingestion:
    """Stop after what is under way. Nothing is lost or sent twice by it."""
    access.require(actor, ingestion.project)
    before = ingestion.state
    with transaction.atomic():
        if before not in Ingestion.GOING_ON or not move(
            ingestion, [before], State.PAUSED, paused_in=before
        ):
            raise Refused(_words(ingestion, "paused"), code="wrong_state")
        record(actor=actor, verb="paused", target=ingestion)
    return ingestion


def resume_ingestion(*, ingestion: Ingestion, actor: User | None) -> Ingestion:
    """Go on where it was paused."""
    access.require(actor, ingestion.project)
    with transaction.atomic():
        if not move(ingestion, [State.PAUSED], ingestion.paused_in or State.SENDING):
            raise Refused(_words(ingestion, "resumed"), code="wrong_state")
        record(actor=actor, verb="resumed", target=ingestion)
        waiting = jobs_of(ingestion).filter(state=Job.State.WAITING)
        go_on(waiting.filter(wait_reason=Job.Wait.PAUSED))
    return ingestion


def cancel_ingestion(*, ingestion: Ingestion, actor: User | None) -> Ingestion:
    """Stop for good after what is under way. What was imported stays in Mixpanel."""
    access.require(actor, ingestion.project)
    open_states = [s for s in State.values if s not in Ingestion.ENDED]
    with transaction.atomic():
        if not move(ingestion, open_states, State.CANCELLED):
            raise Refused(_words(ingestion, "cancelled"), code="wrong_state")
        record(actor=actor, verb="cancelled", target=ingestion)
        _cancel_jobs(ingestion, actor)
    return ingestion


def _cancel_jobs(ingestion: Ingestion, actor: User | None) -> None:
    for job in jobs_of(ingestion).filter(
        state__in=(Job.State.QUEUED, Job.State.WAITING)
    ):
        try:
            with transaction.atomic():
                cancel_job(job=job, actor=actor)
        except Refused:
            # It was begun in this moment; it will see that it is cancelled.
            continue


def pass_gate(*, ingestion: Ingestion, actor: User | None) -> Job:
    """Send the next slice of time although many records of the last were refused."""
    access.require(actor, ingestion.project)
    with transaction.atomic():
        at = ingestion.slice
        if not move(ingestion, [State.GATED], State.SENDING, slice=at + 1):
            raise Refused(_words(ingestion, "continued"), code="wrong_state")
        record(actor=actor, verb="continued", target=ingestion)
        return _enqueue(ingestion, "ingestion.plan", actor)


def retry_ingestion(*, ingestion: Ingestion, actor: User | None) -> Job:
    """Go on with one that failed, where it ended; files that failed are tried again."""
    access.require(actor, ingestion.project)
    unfinished = ingestion.state == State.SUCCEEDED_WITH_ERRORS and (
        ingestion.files.filter(state=FileState.FAILED).exists()
    )
    if ingestion.state != State.FAILED and not unfinished:
        raise Refused(_words(ingestion, "tried again"), code="wrong_state")
    with transaction.atomic():
        again = State.SENDING if ingestion.started_at else State.CHECKING
        if not move(
            ingestion,
            [ingestion.state],
            again,
            error_kind="",
            error_message="",
            ended_at=None,
        ):
            raise Refused(_words(ingestion, "tried again"), code="wrong_state")
        _open_files(ingestion, FileState.FAILED, FileState.CANCELLED)
        record(actor=actor, verb="retried", target=ingestion)
        for job in jobs_of(ingestion).filter(
            state__in=(Job.State.FAILED, Job.State.DEAD)
        ):
            Job.objects.filter(pk=job.pk).update(dismissed=True)
        task = "ingestion.plan" if again == State.SENDING else "ingestion.check"
        return _enqueue(ingestion, task, actor)


def decide_batch(
    *, batch: UnsettledBatch, actor: User | None, choice: str
) -> UnsettledBatch:
    """Say what became of updates with an unknown outcome.

    choice: "arrived" counts them as imported, "again" sends them once more.
    """
    ingestion = batch.part.file.ingestion
    access.require(actor, ingestion.project)
    if choice not in ("arrived", "again"):
        raise Refused("Choose arrived or again.", code="unknown_choice")
    if choice == "again" and ingestion.is_ended:
        raise Refused(_words(ingestion, "gone on with"), code="wrong_state")
    unknown = UnsettledBatch.objects.filter(
        pk=batch.pk, state=UnsettledBatch.State.UNKNOWN
    )
    with transaction.atomic():
        if not unknown.update(state=choice, decided_by=actor):
            raise Refused("This was decided already.", code="moved_on")
        record(
            actor=actor,
            verb="decided",
            target=ingestion,
            changes={f"lines {batch.first_line} to {batch.last_line}": ["", choice]},
        )
        if choice == "arrived":
            Part.objects.filter(pk=batch.part_id).update(
                unsettled=F("unsettled") - batch.records,
                imported=F("imported") + batch.records,
            )
            go_on_after_slice(ingestion.pk)
        elif move(ingestion, [State.NEEDS_DECISION], State.SENDING):
            _enqueue(ingestion, "ingestion.send", actor)
    batch.refresh_from_db()
    return batch


def resend_rejected(
    *,
    ingestion: Ingestion,
    actor: User | None,
    groups: Sequence[RejectedGroup] | None = None,
    **settings: Any,
) -> tuple[Ingestion, Job]:
    """Send the rejected records once more, with mends, and nothing else.

    groups: only the records of these; None: all. They keep the $insert_id that they had.
    """
    access.require(actor, ingestion.project)
    if ingestion.state not in RESENDABLE:
        raise Refused(
            "Its records may still be rejected: wait until it has ended, or pause it.",
            code="wrong_state",
        )
    chosen = ingestion.rejected_groups.all() if groups is None else groups
    if all(group.code == spools.CUT for group in chosen):
        raise Refused("It has no rejected records of that kind.", code="nothing_found")
    return create_ingestion(
        project=ingestion.project,
        actor=actor,
        name=settings.pop("name", "") or f"Rejected records of {ingestion.name}"[:200],
        kind=ingestion.kind,
        files=[{"place": "rejected"}],
        origin=ingestion,
        resent_groups=None if groups is None else [group.pk for group in groups],
        **settings,
    )


def _words(ingestion: Ingestion, verb: str) -> str:
    ingestion.refresh_from_db(fields=["state"])
    return f"It is {ingestion.get_state_display().lower()} and cannot be {verb}."


# --- From step to step ------------------------------------------------------------------


def after_check(ingestion: Ingestion, *, clean: bool) -> None:
    """The check is over: send at once, or wait for a person."""
    at_once = ingestion.start == Ingestion.Start.ALWAYS or (
        ingestion.start == Ingestion.Start.CLEAN and clean
    )
    if at_once:
        if move(ingestion, [State.CHECKING], State.SENDING):
            _begin(ingestion, ingestion.created_by)
    else:
        move(ingestion, [State.CHECKING], State.READY)


def begin_lanes(ingestion: Ingestion, actor: User | None) -> None:
    """The parts are made: let lanes send them. Lanes that are there already go on."""
    parts = Part.objects.filter(
        file__ingestion=ingestion, slice=ingestion.slice, done=False
    )
    wanted = max(1, min(ingestion.lanes, parts.count()))
    there = jobs_of(ingestion).filter(task="ingestion.send").unfinished().count()
    for lane in range(there + 1, wanted + 1):
        _enqueue(ingestion, "ingestion.send", actor, lane=lane, of=wanted)


def go_on_after_slice(ingestion_id: int) -> None:
    """Do what follows once every part of the current slice is done: send what was held
    back, begin the next slice, or end. May be called at any time, by several."""
    ingestion = Ingestion.objects.get(pk=ingestion_id)
    parts = Part.objects.filter(file__ingestion=ingestion)
    open_parts = parts.filter(done=False).exclude(file__state=FileState.FAILED)
    if ingestion.state not in (State.SENDING, State.NEEDS_DECISION):
        return
    if open_parts.exists():
        return
    with transaction.atomic():
        # Another lane may have made parts for what was held a moment ago: look again.
        if _release_held(ingestion) or open_parts.exists():
            return
        last = ingestion.slice + 1 >= len(ingestion.slices)
        batches = UnsettledBatch.objects.filter(part__file__ingestion=ingestion)
        if batches.filter(state=UnsettledBatch.State.UNKNOWN).exists():
            move(ingestion, [State.SENDING], State.NEEDS_DECISION)
        elif batches.filter(state=UnsettledBatch.State.AGAIN).exists():
            move(ingestion, [State.NEEDS_DECISION], State.SENDING)
            _enqueue(ingestion, "ingestion.send", ingestion.created_by)
        elif last:
            _end(ingestion, parts.counts())
        else:
            _next_slice(ingestion, parts.filter(slice=ingestion.slice).counts())


def _release_held(ingestion: Ingestion) -> bool:
    """Make parts that send what was held back in this slice. False if there is none."""
    spools_ = Spool.objects.filter(
        ingestion=ingestion, kind=Spool.Kind.HELD, part__slice=ingestion.slice
    )
    files = set(spools_.values_list("part__file", flat=True))
    released = Part.objects.filter(
        file__ingestion=ingestion, slice=ingestion.slice, releases=True
    )
    files -= set(released.values_list("file", flat=True))
    if not files:
        return False
    try:
        with transaction.atomic():
            for file in files:
                Part.objects.create(
                    file_id=file, slice=ingestion.slice, ordinal=RELEASES, releases=True
                )
    except IntegrityError:
        return True
    _enqueue(ingestion, "ingestion.send", ingestion.created_by)
    return True


def _next_slice(ingestion: Ingestion, counts: dict[str, int]) -> None:
    most = ingestion.most_refused_percent
    if most is not None and rules.refused_percent(counts) > most:
        move(ingestion, [State.SENDING], State.GATED)
        return
    at = ingestion.slice
    rows = Ingestion.objects.filter(pk=ingestion.pk, state=State.SENDING, slice=at)
    if rows.update(slice=at + 1):
        ingestion.slice = at + 1
        _enqueue(ingestion, "ingestion.plan", ingestion.created_by)


def _end(ingestion: Ingestion, counts: dict[str, int]) -> None:
    files = ingestion.files.all()
    failed = files.filter(state=FileState.FAILED).count()
    unverified = Part.objects.filter(
        file__ingestion=ingestion, unverified__gt=0
    ).exists()
    bad = counts["refused"] + counts["invalid"] + counts["unsettled"] + counts["held"]
    told = {"error_kind": "", "error_message": ""}
    state: str = State.SUCCEEDED
    if failed:
        told = {
            "error_kind": "files_failed",
            "error_message": f"{failed} of {files.count()} files could not be read.",
        }
    checked = ingestion.report.get("records")
    if ingestion.check_first and not failed and checked not in (None, counts["read"]):
        told = {
            "error_kind": "books",
            "error_message": (
                f"{checked} records were checked and {counts['read']} were read while "
                "sending. Compare the files with what was imported."
            ),
        }
    if bad or unverified or told["error_kind"]:
        state = State.SUCCEEDED_WITH_ERRORS if counts["imported"] else State.FAILED
    if state == State.FAILED and not told["error_kind"]:
        told = {
            "error_kind": "nothing_imported",
            "error_message": f"None of {counts['read']} records was imported.",
        }
    files.exclude(state=FileState.FAILED).update(
        state=FileState.DONE, ended_at=Coalesce("ended_at", db_now())
    )
    move(ingestion, [State.SENDING, State.NEEDS_DECISION], state, **told)


def job_ended(job: Job, ingestion: Ingestion) -> None:
    """A job of an ingestion ended without success, or is taken up again."""
    if job.state in (Job.State.FAILED, Job.State.DEAD):
        move(
            ingestion,
            [State.CHECKING, State.SENDING, State.PAUSED],
            State.FAILED,
            error_kind=job.error_kind or "failed",
            error_message=job.error_message,
        )
        _cancel_jobs(ingestion, None)
    elif job.state == Job.State.CANCELLED:
        open_states = [s for s in State.values if s not in Ingestion.ENDED]
        if move(ingestion, open_states, State.CANCELLED):
            _cancel_jobs(ingestion, None)
    elif job.state == Job.State.QUEUED:
        again = State.CHECKING if job.task == "ingestion.check" else State.SENDING
        if move(
            ingestion,
            [State.FAILED, State.CANCELLED],
            again,
            error_kind="",
            error_message="",
            ended_at=None,
        ):
            _open_files(ingestion, FileState.CANCELLED)
