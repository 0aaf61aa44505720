"""What people do with uploads and buckets."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.deletion import RestrictedError

from mixadmin.accounts.models import User
from mixadmin.audit.actions import record
from mixadmin.common.clock import db_now
from mixadmin.common.crypto import Secret
from mixadmin.common.errors import Refused
from mixadmin.common.rules import check_int, prefixed, shown
from mixadmin.common.validation import merged, raise_for
from mixadmin.jobs.actions import start_polling
from mixadmin.jobs.models import Beat
from mixadmin.projects import access
from mixadmin.projects.managed import require_typed
from mixadmin.projects.models import Project

from . import buckets, disk
from .errors import CutShort
from .kinds import MOST_UNFINISHED, check_credentials
from .models import SourceBucket, Upload

POLL = "files"
# The hash of a file up to this size is made while the last piece is answered.
HASH_AT_ONCE = 256 * 1024**2
# A worker's time for the hash of a larger one; beyond it the hash stays unknown.
HASH_SECONDS = 200.0
# So much of a piece is lost at most when the server dies while it comes in.
SETTLE_EVERY = 64 * 1024**2

UNFINISHED_FOR = timedelta(hours=24)
UNUSED_FOR = timedelta(days=30)
SWEEP_EVERY = timedelta(hours=1)
NO_UPLOAD = "One of the uploads is not here (any more)."


# --- Uploads --------------------------------------------------------------------------


def create_upload(
    *, project: Project, actor: User | None, name: str, size: int | None
) -> Upload:
    """Make room for a file that is sent in pieces."""
    access.require(actor, project)
    upload = _new_upload(project, actor, name, size)
    assert size is not None, "a missing size was refused"
    if project.uploads.unfinished().count() >= MOST_UNFINISHED:
        raise Refused(
            f"{MOST_UNFINISHED} uploads of this project are not complete. Finish or "
            "remove some of them first.",
            code="too_many_uploads",
        )
    disk.require_room(size)
    if size == 0:
        disk.store(upload.pk, [])
        _complete(upload, hashlib.sha256().hexdigest())
    with transaction.atomic():
        upload.save(force_insert=True)
        record(actor=actor, verb="began to upload", target=upload)
    return upload


def receive(
    *,
    upload: Upload,
    actor: User | None,
    offset: int,
    length: int | None,
    pieces: Iterable[bytes],
) -> Upload:
    """Store what comes in at `offset`, which must be where the upload stands.

    length: how much was announced, None if nothing was. What has arrived when the
    pieces end early (or raise CutShort) is kept, and the upload goes on behind it.
    """
    access.require(actor, upload.project)
    _require_offset(upload, offset)
    if length is not None and offset + length > upload.size:
        raise _too_much(upload)
    if upload.completed_at:
        return upload
    disk.require_room(length or 0)
    with disk.turn(upload.pk) as turn:
        # Whoever had the turn before may have settled something in the meantime.
        upload.refresh_from_db()
        _require_offset(upload, offset)
        at, was_cut = offset, False
        try:
            for piece in pieces:
                if at + len(piece) > upload.size:
                    raise _too_much(upload)
                disk.require_room(len(piece))
                turn.write(at, piece)
                at += len(piece)
                if at - upload.received >= SETTLE_EVERY and at < upload.size:
                    _settle(turn, upload, at, actor)
        except CutShort:
            was_cut = True
        if at > upload.received or at == upload.size:
            _settle(turn, upload, at, actor)
    if was_cut or (length is not None and at < offset + length):
        raise Refused(
            f"The request ended early. {at:,} bytes of {upload.size:,} are stored; go "
            "on from there.",
            code="cut_short",
        )
    return upload


def remove_upload(*, upload: Upload, actor: User | None) -> None:
    """Remove the stored bytes, and the row too unless an ingestion shows its name."""
    access.require(actor, upload.project)
    if upload.removed_at:
        return
    if not _remove(Upload.objects.filter(pk=upload.pk), upload, actor, "removed"):
        raise Refused(
            f"An ingestion that has not ended uses {upload}. Cancel it or wait for its "
            "end.",
            code="in_use",
        )


def store_posted_files(
    *, project: Project, actor: User | None, files: "Sequence[UploadedFile[Any]]"
) -> list[Upload]:
    """Uploads of the files of a form, all or none: how it works without JavaScript."""
    access.require(actor, project)
    if not files:
        raise ValidationError({"files": "Choose at least one file."})
    rows = []
    problems = []
    for file in files:
        try:
            rows.append(_new_upload(project, actor, file.name or "", file.size))
        except ValidationError as error:
            words = " ".join(error.messages)
            problems.append(ValidationError(f"{shown(file.name)}: {words}"))
    if problems:
        raise ValidationError({"files": problems})
    stored: list[UUID] = []
    try:
        for upload, file in zip(rows, files, strict=True):
            found = disk.store(upload.pk, file.chunks(disk.BLOCK))
            stored.append(upload.pk)
            _complete(upload, found)
        with transaction.atomic():
            for upload in rows:
                upload.save(force_insert=True)
                record(actor=actor, verb="uploaded", target=upload)
    except BaseException:
        for key in stored:
            disk.erase(key)
        raise
    return rows


def take_uploads(*, project: Project, ids: Iterable[Any]) -> list[Upload]:
    """The complete uploads that a form or body names, kept from being removed as unused.

    Call it in the transaction that makes what uses them. ValidationError of `uploads`.
    """
    keys = list(dict.fromkeys(map(as_key, ids)))
    found = project.uploads.complete().in_bulk([key for key in keys if key])
    unknown = ValidationError(NO_UPLOAD, code="unknown")
    if len(found) < len(keys):
        raise ValidationError({"uploads": unknown})
    kept = Upload.objects.complete().filter(pk__in=found)
    if kept.update(touched_at=db_now()) < len(found):
        raise ValidationError({"uploads": unknown})
    return [found[key] for key in keys if key]


def as_key(value: object) -> UUID | None:
    """The id of an upload as a door took it, None for what is none."""
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        return None


def hash_uploads(project_id: int) -> int:
    """Find the hash of one complete upload that has none. Returns how many are left."""
    waiting = Upload.objects.complete().filter(project=project_id, sha256="")
    upload = waiting.order_by("completed_at").first()
    if upload is None:
        return 0
    try:
        found = disk.sha256_of(disk.upload_path(upload.pk), seconds=HASH_SECONDS)
    except FileNotFoundError:
        found = ""
    if not found:
        # Too slow a disk, or gone: nothing but the comparison of contents needs it.
        return 0
    Upload.objects.filter(pk=upload.pk, sha256="").update(sha256=found)
    return waiting.count()


def remove_old() -> int:
    """Remove unfinished uploads after a day and unused ones after 30. Returns how many."""
    now = db_now()
    removed = 0
    old = Upload.objects.filter(touched_at__lt=now - UNFINISHED_FOR)
    for upload in old.unfinished()[:50]:
        removed += _remove(old.unfinished(), upload, None, "removed, never completed,")
    limit = now - UNUSED_FOR
    old = Upload.objects.filter(touched_at__lt=limit).complete().not_in_use(limit)
    for upload in old[:50]:
        removed += _remove(old, upload, None, "removed, not used for 30 days,")
    beat, made = Beat.objects.get_or_create(name="files-sweep", defaults={"at": now})
    last = Beat.objects.filter(pk=beat.pk, at__lt=now - SWEEP_EVERY)
    if made or last.update(at=now):
        removed += _sweep((now - SWEEP_EVERY).timestamp())
    return removed


def _sweep(moment: float) -> int:
    """Remove what is stored for no row: of a forgotten project, or of a killed process."""
    keys = set(disk.stored_before(moment))
    known: set[UUID] = set()
    for some in _chunks(sorted(keys), 500):
        found = Upload.objects.stored().filter(pk__in=some)
        known.update(found.values_list("pk", flat=True))
    for key in keys - known:
        disk.erase(key)
    return len(keys - known)


def _chunks(keys: list[UUID], size: int) -> Iterator[list[UUID]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _remove(
    rows: "QuerySet[Upload]", upload: Upload, actor: User | None, verb: str
) -> bool:
    """Remove one of the rows, if it still is one of them and nothing uses it."""
    with transaction.atomic():
        mine = rows.filter(pk=upload.pk, removed_at=None)
        if not mine.not_in_use().update(removed_at=db_now()):  # type: ignore[attr-defined]
            return False
        record(actor=actor, verb=verb, target=upload)
    disk.erase(upload.pk)
    try:
        Upload.objects.filter(pk=upload.pk).delete()
    except RestrictedError:
        # An ingestion that has ended still shows its name.
        upload.refresh_from_db()
    return True


def _new_upload(
    project: Project, actor: User | None, name: str, size: int | None
) -> Upload:
    """A row that is not saved yet. ValidationError, or Refused if it is too large."""
    upload = Upload(
        project=project,
        owner=actor,
        name=name,
        size=size,  # type: ignore[misc]
        touched_at=db_now(),
    )
    problems = []
    try:
        raise_for(check_int("size", size, minimum=0) if size is not None else [])
    except ValidationError as error:
        problems.append(error)
    try:
        # The row itself only asks whether there is a size; the name is looked at whole.
        exclude = ["project", "owner", "name", *(["size"] if size is not None else [])]
        upload.full_clean(exclude=exclude, validate_constraints=False)
    except ValidationError as error:
        problems.append(error)
    if problems:
        raise merged(*problems)
    if upload.size > settings.UPLOAD_MAX_BYTES:
        raise Refused(
            f"{upload.size:,} bytes are more than the {settings.UPLOAD_MAX_BYTES:,} that "
            "one file may have here. Split or compress it, or send it from a bucket or "
            "a directory of the server.",
            code="too_large",
        )
    return upload


def _require_offset(upload: Upload, offset: int) -> None:
    if upload.removed_at:
        raise Refused(f"{upload} was removed. Upload it anew.", code="removed")
    if offset != upload.received:
        raise Refused(
            f"{upload.received:,} bytes of {upload.size:,} are stored. Go on from there, "
            f"not from {offset:,}.",
            code="wrong_offset",
        )


def _too_much(upload: Upload) -> Refused:
    return Refused(
        f"That is more than the {upload.size:,} bytes that were announced for {upload}. "
        "Nothing of it is kept.",
        code="too_large",
    )


def _settle(turn: disk.Turn, upload: Upload, at: int, actor: User | None) -> None:
    """Note that everything up to `at` is on disk, and that it is all if it is."""
    complete = at == upload.size

    def note() -> None:
        now = db_now()
        changes: dict[str, Any] = {"received": at, "touched_at": now}
        if complete:
            at_once = upload.size <= HASH_AT_ONCE
            found = disk.sha256_of(disk.upload_path(upload.pk)) if at_once else ""
            changes |= {"completed_at": now, "sha256": found}
        with transaction.atomic():
            mine = Upload.objects.unfinished().filter(pk=upload.pk)
            if not mine.filter(received=upload.received).update(**changes):
                raise Refused("This upload has moved on meanwhile.", code="moved_on")
            for name, value in changes.items():
                setattr(upload, name, value)
            if complete:
                record(actor=actor, verb="uploaded", target=upload)
            if complete and not upload.sha256:
                start_polling(name=POLL, project_id=upload.project_id)

    turn.settle(note)


def _complete(upload: Upload, sha256: str) -> None:
    upload.received = upload.size
    upload.completed_at = upload.touched_at
    upload.sha256 = sha256


# --- Buckets --------------------------------------------------------------------------

CHANGEABLE = ("name", "bucket", "prefix", "region")
# Looked at as a whole by the rules of the provider, which would only be repeated.
LOOKED_AT = ["prefix", "region"]


def add_bucket(*, project: Project, actor: User | None, **wanted: Any) -> SourceBucket:
    """Note a bucket that files may be read from. It is not asked yet.

    wanted: see `new_bucket`.
    """
    row = new_bucket(project=project, actor=actor, **wanted)
    with transaction.atomic():
        row.save()
        record(actor=actor, verb="added", target=row)
    return row


def new_bucket(
    *,
    project: Project,
    actor: User | None,
    name: str,
    provider: str,
    bucket: str,
    prefix: str = "",
    region: str = "",
    credentials: Any = None,
) -> SourceBucket:
    """What `add_bucket` saves, checked and not saved."""
    access.require(actor, project)
    row = SourceBucket(
        project=project,
        name=name,
        provider=provider,
        bucket=bucket,
        prefix=prefix,
        region=region,
    )
    problems = []
    try:
        row.full_clean(exclude=LOOKED_AT)
    except ValidationError as error:
        problems.append(error)
    if provider in SourceBucket.Provider.values:
        try:
            _set(row, credentials)
        except ValidationError as error:
            problems.append(error)
    if problems:
        raise merged(*problems)
    return row


def change_bucket(
    *, source: SourceBucket, actor: User | None, **changes: Any
) -> SourceBucket:
    """Change name, bucket, prefix or region. The provider stays."""
    before = {name: getattr(source, name) for name in CHANGEABLE}
    set_values(source=source, actor=actor, **changes)
    told = {
        name: [before[name], value]
        for name, value in changes.items()
        if before[name] != value
    }
    if not told:
        return source
    if set(told) - {"name"}:
        # It may be another bucket now: what is being read would be something else.
        _require_unused(source)
        _forget_verification(source)
    with transaction.atomic():
        source.save(update_fields=[*told, *VERIFICATION])
        record(actor=actor, verb="changed", target=source, changes=told)
    return source


def set_values(*, source: SourceBucket, actor: User | None, **changes: Any) -> None:
    """Give a bucket other values, checked and not saved."""
    access.require(actor, source.project)
    for name, value in changes.items():
        assert name in CHANGEABLE, f"{name} cannot be changed"
        setattr(source, name, value)
    source.full_clean(exclude=LOOKED_AT)


def set_credentials(
    *, source: SourceBucket, actor: User | None, credentials: Any
) -> SourceBucket:
    """Store other credentials; {} or None: the server's own role is used."""
    access.require(actor, source.project)
    had = "set" if source.credentials else "none"
    _set(source, credentials)
    _forget_verification(source)
    with transaction.atomic():
        source.save(update_fields=["credentials", "credentials_set_at", *VERIFICATION])
        now = "set anew" if source.credentials else "none"
        changes = {"credentials": [had, now]}
        record(actor=actor, verb="set credentials", target=source, changes=changes)
    return source


def verify_bucket(*, source: SourceBucket, actor: User | None) -> SourceBucket:
    """Ask the bucket for a list and a file, and store what came of it."""
    access.require(actor, source.project)
    source.verification, source.verification_detail = buckets.verify(source)
    source.verified_at = db_now()
    with transaction.atomic():
        source.save(update_fields=VERIFICATION)
        record(actor=actor, verb=f"verified ({source.verification})", target=source)
    return source


def delete_bucket(*, source: SourceBucket, actor: User | None, typed_name: str) -> None:
    """Forget the bucket and its credentials. At the provider nothing changes."""
    access.require(actor, source.project)
    require_typed(source.name, typed_name)
    try:
        with transaction.atomic():
            record(actor=actor, verb="deleted", target=source)
            source.delete()
    except RestrictedError:
        raise Refused(
            f"Ingestions read from {source}, and still tell where their files came "
            "from. To make it useless, remove its credentials.",
            code="in_use",
        ) from None


VERIFICATION = ["verification", "verification_detail", "verified_at"]


def _forget_verification(bucket: SourceBucket) -> None:
    bucket.verification = SourceBucket.Verification.NEVER
    bucket.verification_detail = ""
    bucket.verified_at = None


def _set(bucket: SourceBucket, credentials: Any) -> None:
    given = credentials if credentials is not None else {}
    found = check_credentials(bucket.provider, given)
    raise_for(prefixed("credentials", found))
    bucket.credentials = Secret(json.dumps(given) if given else "")
    bucket.credentials_set_at = db_now() if given else None


def _require_unused(bucket: SourceBucket) -> None:
    files: Any = SourceBucket._meta.get_field("files").related_model
    if files._default_manager.filter(
        bucket=bucket.pk, ingestion__ended_at=None
    ).exists():
        raise Refused(
            f"An ingestion that has not ended reads from {bucket}. Only its name can be "
            "changed until then.",
            code="in_use",
        )
