from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q, Sum
from django.urls import reverse

from mixadmin.common.validation import Checked, no_hidden_characters, raise_for
from mixadmin.files.models import SourceBucket, Upload
from mixadmin.projects.models import Project

from . import kinds
from .rules import check_ingestion

# What becomes of a record that was read. They add up to `read`, in every row, always.
OUTCOMES = ("imported", "refused", "invalid", "dropped", "held", "unsettled")
COUNTS = ("read", *OUTCOMES, "blank")


class IngestionQuerySet(models.QuerySet["Ingestion"]):
    def going_on(self) -> Self:
        return self.filter(state__in=Ingestion.GOING_ON)


class Ingestion(Checked, models.Model):
    """Files of records of one kind on their way into a project."""

    class State(models.TextChoices):
        CHECKING = "checking", "Being checked"
        READY = "ready", "Checked, not sent"
        SENDING = "sending"
        PAUSED = "paused"
        # A slice of time ended with too many refusals; a person says whether to go on.
        GATED = "gated", "Stopped at the gate"
        # Updates that must not be sent twice have an unknown outcome.
        NEEDS_DECISION = "needs_decision", "Needs a decision"
        SUCCEEDED = "succeeded"
        SUCCEEDED_WITH_ERRORS = "succeeded_with_errors", "Succeeded with errors"
        FAILED = "failed"
        CANCELLED = "cancelled"

    ENDED = (
        State.SUCCEEDED,
        State.SUCCEEDED_WITH_ERRORS,
        State.FAILED,
        State.CANCELLED,
    )
    GOING_ON = (State.CHECKING, State.SENDING)

    class Start(models.TextChoices):
        ASKED = "asked", "When somebody says so"
        CLEAN = "clean", "At once if nothing would be refused"
        ALWAYS = "always", "At once"

    class Credential(models.TextChoices):
        SERVICE_ACCOUNT = "service_account", "Service account"
        TOKEN = "token", "Project token"  # noqa: S105  (a word)

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="ingestions"
    )
    name = models.CharField(max_length=200, validators=[no_hidden_characters])
    kind = models.CharField(max_length=10, choices=kinds.CHOICES)
    state = models.CharField(
        max_length=22, choices=State, default=State.CHECKING, editable=False
    )
    # What it was paused from.
    paused_in = models.CharField(max_length=22, blank=True, editable=False)

    start = models.CharField(max_length=10, choices=Start, default=Start.ASKED)
    # False: the records are judged only while they are sent.
    check_first = models.BooleanField(default=True)
    # Profiles always go with the project token; Mixpanel knows no other way.
    credential = models.CharField(
        max_length=16, choices=Credential, default=Credential.SERVICE_ACCOUNT
    )
    mends = models.JSONField(default=list, blank=True)
    # With the mend insert_id.derive: the fields that a new $insert_id is a hash of.
    insert_id_fields = models.JSONField(default=list, blank=True)
    batch_records = models.PositiveIntegerField(
        "records per request",
        default=kinds.MOST_RECORDS,
        validators=[MinValueValidator(1), MaxValueValidator(kinds.MOST_RECORDS)],
    )
    batch_bytes = models.PositiveIntegerField(
        "bytes per request",
        default=kinds.BYTES,
        validators=[
            MinValueValidator(kinds.LEAST_BYTES),
            MaxValueValidator(kinds.MOST_BYTES),
        ],
    )
    concurrency = models.PositiveSmallIntegerField(
        "requests at the same time",
        default=kinds.CONCURRENCY,
        validators=[MinValueValidator(1), MaxValueValidator(kinds.MOST_CONCURRENCY)],
    )
    lanes = models.PositiveSmallIntegerField(
        "workers at the same time",
        default=kinds.LANES,
        validators=[MinValueValidator(1), MaxValueValidator(kinds.MOST_LANES)],
    )

    # A staged backfill: days in the first slice, in each further one, and the share of
    # refused records (percent) above which the next slice waits for a person.
    first_days = models.PositiveIntegerField(null=True, blank=True)
    slice_days = models.PositiveIntegerField(null=True, blank=True)
    most_refused_percent = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )
    # [{"from": unix or null, "to": unix or null}], newest first; the one being sent.
    slices = models.JSONField(default=list, editable=False)
    slice = models.PositiveSmallIntegerField(default=0, editable=False)

    # What the check found, as `dataprep.report` tells it.
    report = models.JSONField(default=dict, editable=False)
    # Whose rejected records it sends again.
    origin = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="resends"
    )
    # The ids of the groups that it sends again; null: all.
    resent_groups = models.JSONField(null=True, blank=True, editable=False)
    error_kind = models.CharField(max_length=40, blank=True, editable=False)
    error_message = models.TextField(blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    objects = IngestionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["project", "-id"], name="ingestion_newest"),
            models.Index(fields=["state", "-id"], name="ingestion_by_state"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("ingestion:detail", args=[self.project_id, self.pk])

    def clean(self) -> None:
        findings = check_ingestion(
            kind=self.kind,
            mends=self.mends,
            insert_id_fields=self.insert_id_fields,
            first_days=self.first_days,
            slice_days=self.slice_days,
            most_refused_percent=self.most_refused_percent,
            has_token=bool(self.project.token),
            credential=self.credential,
        )
        raise_for(findings)

    @property
    def is_ended(self) -> bool:
        return self.state in self.ENDED

    @property
    def what(self) -> kinds.Kind:
        return kinds.KINDS[self.kind]


class IngestionFile(models.Model):
    """One file of an ingestion, where it lies, and how far it is."""

    class Place(models.TextChoices):
        UPLOAD = "upload", "Uploaded"
        DIRECTORY = "directory", "Directory of the server"
        BUCKET = "bucket", "Bucket"
        # Named by an operator on the command line.
        PATH = "path", "Path of the server"
        # Rejected records of another ingestion, written out again.
        REJECTED = "rejected", "Rejected records"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        CHECKED = "checked"
        SENDING = "sending"
        DONE = "done"
        FAILED = "failed"
        # The ingestion failed or was cancelled before this file was done.
        CANCELLED = "cancelled", "Not finished"

    class Compression(models.TextChoices):
        NONE = "none"
        GZIP = "gzip"
        ZSTD = "zstd"

    ingestion = models.ForeignKey(
        Ingestion, on_delete=models.CASCADE, related_name="files"
    )
    # What people call it: the name of the upload, the path in the directory, the key.
    name = models.CharField(max_length=1024)
    place = models.CharField(max_length=10, choices=Place)
    upload = models.ForeignKey(
        Upload, null=True, on_delete=models.RESTRICT, related_name="files"
    )
    bucket = models.ForeignKey(
        SourceBucket, null=True, on_delete=models.RESTRICT, related_name="files"
    )
    # The name of the allowed directory; "" for the other places.
    directory = models.CharField(max_length=60, blank=True)
    # The path in the directory, the key in the bucket, the path of the server.
    path = models.CharField(max_length=1024, blank=True)

    # What it was when the ingestion was made. A file that is another one now is told.
    # Without a tag it was chosen from a list, and is looked at when it is first opened.
    size = models.BigIntegerField()
    tag = models.CharField(max_length=200, blank=True)
    compression = models.CharField(
        max_length=5, choices=Compression, blank=True, default=""
    )
    # Of the stored bytes; for an object of a bucket the hash of its tag and size.
    sha256 = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    # What the check found in this file, and how far it is, in stored bytes.
    report = models.JSONField(default=dict)
    checked_bytes = models.BigIntegerField(default=0)
    error_kind = models.CharField(max_length=40, blank=True)
    error_message = models.TextField(blank=True)
    # When the first of its records was sent, and when it was done or given up.
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["ingestion", "name"], name="ingestion_file_once"
            )
        ]

    def __str__(self) -> str:
        return self.name


class PartQuerySet(models.QuerySet["Part"]):
    def counts(self) -> dict[str, int]:
        """The books of all of them together."""
        sums = self.aggregate(**{name: Sum(name) for name in COUNTS})
        return {name: sums[name] or 0 for name in COUNTS}


class Part(models.Model):
    """Some whole lines of a file that one worker sends, and how far it has come.

    Everything up to `position` is settled and counted; what was sent beyond it may be
    sent again. Counts and position change in one transaction.
    """

    file = models.ForeignKey(
        IngestionFile, on_delete=models.CASCADE, related_name="parts"
    )
    slice = models.PositiveSmallIntegerField(default=0)
    ordinal = models.PositiveIntegerField()
    # Offsets in the uncompressed bytes; no end: up to the end of the file.
    start = models.BigIntegerField(default=0)
    end = models.BigIntegerField(null=True)
    first_line = models.BigIntegerField(default=1)
    position = models.BigIntegerField(default=0)
    # How many bytes of the stored, maybe compressed, file that is.
    stored = models.BigIntegerField(default=0)
    next_line = models.BigIntegerField(default=1)
    # The job that sends it, from the first record to the last.
    job = models.ForeignKey(
        "jobs.Job", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    done = models.BooleanField(default=False)
    # A part that sends what others held back takes it off their books: its `held` is
    # below zero.
    releases = models.BooleanField(default=False)

    read = models.BigIntegerField(default=0)
    imported = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0)
    invalid = models.BigIntegerField(default=0)
    dropped = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    unsettled = models.BigIntegerField(default=0)
    blank = models.BigIntegerField(default=0)
    # Records that Mixpanel counted as stored differently from what it was sent.
    unverified = models.BigIntegerField(default=0)
    # Requests that were answered, and bytes of records in them before compression.
    requests = models.BigIntegerField(default=0)
    sent_bytes = models.BigIntegerField(default=0)
    # {finding: records} of what was altered, mended or risky.
    notes = models.JSONField(default=dict)
    # The newest minute: [[unix second, records, bytes], …].
    pace = models.JSONField(default=list)

    objects = PartQuerySet.as_manager()

    class Meta:
        ordering = ["slice", "file_id", "ordinal"]
        constraints = [
            models.UniqueConstraint(
                fields=["file", "slice", "ordinal"], name="ingestion_part_once"
            ),
            models.CheckConstraint(
                name="ingestion_part_books_balance",
                condition=Q(
                    read=F("imported")
                    + F("refused")
                    + F("invalid")
                    + F("dropped")
                    + F("held")
                    + F("unsettled")
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"Part {self.ordinal} of {self.file_id}"


class Sample(models.Model):
    """What was sent of an ingestion in some seconds, and whether it was held back then.

    For showing its throughput over time; the books are kept in the parts.
    """

    ingestion = models.ForeignKey(
        Ingestion, on_delete=models.CASCADE, related_name="samples"
    )
    # The unix second at which it begins, and how long it lasts.
    at = models.BigIntegerField()
    seconds = models.PositiveIntegerField()
    read = models.BigIntegerField(default=0)
    imported = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    sent_bytes = models.BigIntegerField(default=0)
    # Why nothing could be sent from some moment in it on, and until when, in unix
    # seconds; that may be long after its end.
    wait_reason = models.CharField(max_length=12, blank=True)
    waited_from = models.FloatField(null=True)
    waited_until = models.FloatField(null=True)

    class Meta:
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(
                fields=["ingestion", "at"], name="ingestion_sample_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.read} records from {self.at} on"


class UnsettledBatch(models.Model):
    """Profile updates that must not be sent twice: noted before they are sent."""

    class State(models.TextChoices):
        SENDING = "sending"
        UNKNOWN = "unknown", "Outcome unknown"
        # What a person said.
        ARRIVED = "arrived", "Taken as imported"
        AGAIN = "again", "To be sent again"

    part = models.ForeignKey(Part, on_delete=models.CASCADE, related_name="batches")
    start = models.BigIntegerField()
    end = models.BigIntegerField()
    # The line at `start`; the updates themselves may be some of the lines up to `end`.
    number = models.BigIntegerField()
    first_line = models.BigIntegerField()
    last_line = models.BigIntegerField()
    records = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.SENDING)
    error_kind = models.CharField(max_length=40, blank=True)
    error_message = models.TextField(blank=True)
    sent_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"Lines {self.first_line} to {self.last_line}"


class Spool(models.Model):
    """A file of records that were not imported, written by one claim of one part.

    Only its first `bytes` count: what a killed worker wrote beyond them is not read.
    """

    class Kind(models.TextChoices):
        REJECTED = "rejected"
        HELD = "held"

    ingestion = models.ForeignKey(
        Ingestion, on_delete=models.CASCADE, related_name="spools"
    )
    part = models.ForeignKey(Part, on_delete=models.CASCADE, related_name="spools")
    kind = models.CharField(max_length=10, choices=Kind)
    # Relative to the directory of ingestions.
    path = models.CharField(max_length=200, unique=True)
    bytes = models.BigIntegerField(default=0)
    records = models.BigIntegerField(default=0)
    # Of held records: when the last of them may be sent, in unix seconds.
    due = models.FloatField(null=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.path


class RejectedGroup(models.Model):
    """The rejected records of one ingestion that share field and message."""

    ingestion = models.ForeignKey(
        Ingestion, on_delete=models.CASCADE, related_name="rejected_groups"
    )
    # A finding of ours, or "mixpanel" for what Mixpanel itself refused.
    code = models.CharField(max_length=60)
    field = models.CharField(max_length=255, blank=True)
    message = models.CharField(max_length=500)
    count = models.BigIntegerField(default=0)
    # [{"file", "line", "record"}], the first few; a record is cut to 2000 characters.
    examples = models.JSONField(default=list)

    class Meta:
        ordering = ["-count", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["ingestion", "code", "field", "message"],
                name="ingestion_rejected_group_once",
            )
        ]

    def __str__(self) -> str:
        return self.message


class Ceiling(models.Model):
    """The most bytes of one request that Mixpanel took for a project, once it said 413."""

    project = models.OneToOneField(
        Project, on_delete=models.CASCADE, related_name="ceiling"
    )
    bytes = models.PositiveIntegerField()
    learned_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.bytes} bytes"


def totals(ingestion_ids: list[int]) -> dict[int, dict[str, int]]:
    """{ingestion: its books}, in one query, for a page of a list."""
    names = (*COUNTS, "sent_bytes")
    rows = (
        Part.objects.filter(file__ingestion__in=ingestion_ids)
        .order_by()
        .values_list("file__ingestion")
        .annotate(**{f"all_{name}": Sum(name) for name in names})
    )
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
