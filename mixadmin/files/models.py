import uuid
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, F, OuterRef, Q
from django.urls import reverse

from mixadmin.common.crypto import SecretJSONField
from mixadmin.common.validation import Checked, no_hidden_characters, raise_for
from mixadmin.projects.models import Project

from .kinds import KINDS, Kind, check_bucket, check_file_name

# A state of an upload, as the database sees it; `Upload.state` is the same.
STATES = {
    "receiving": Q(removed_at=None, completed_at=None),
    "complete": Q(removed_at=None, completed_at__isnull=False),
    "removed": Q(removed_at__isnull=False),
}


class UploadQuerySet(models.QuerySet["Upload"]):
    def stored(self) -> Self:
        """Those whose bytes are here, all of them or some."""
        return self.filter(removed_at=None)

    def complete(self) -> Self:
        return self.stored().filter(completed_at__isnull=False)

    def unfinished(self) -> Self:
        return self.stored().filter(completed_at=None)

    def in_state(self, state: str) -> Self:
        return self.filter(STATES[state])

    def count_by_state(self) -> dict[str, int]:
        counted: dict[str, int] = self.aggregate(
            **{state: Count("pk", filter=q) for state, q in STATES.items()}
        )
        return counted

    def not_in_use(self, since: datetime | None = None) -> Self:
        """Those that no unfinished ingestion uses, nor one that ended after `since`."""
        uses = Q(ingestion__ended_at=None)
        if since is not None:
            uses |= Q(ingestion__ended_at__gt=since)
        # The app of ingestions is above this one; it is known by what points here.
        files: Any = Upload._meta.get_field("files").related_model
        return self.exclude(
            Exists(files._default_manager.filter(uses, upload=OuterRef("pk")))
        )


class Upload(Checked, models.Model):
    """A file that a person sends to us in pieces."""

    class State(models.TextChoices):
        RECEIVING = "receiving", "Not complete"
        COMPLETE = "complete"
        REMOVED = "removed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="uploads"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    name = models.CharField(max_length=255)
    size = models.BigIntegerField()
    # How much of it is stored for certain.
    received = models.BigIntegerField(default=0)
    # Of the stored bytes; "" until it is known, which takes a while for large files.
    sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)
    # The bytes are removed some time after the last use; the row stays for its name.
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = UploadQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(
                fields=["project", "-created_at", "-id"], name="files_upload_newest"
            ),
            models.Index(fields=["removed_at", "touched_at"], name="files_upload_old"),
        ]
        constraints = [
            models.CheckConstraint(
                name="files_upload_fits", condition=Q(received__lte=F("size"))
            )
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("files:list", args=[self.project_id])

    def clean(self) -> None:
        raise_for(check_file_name(self.name))

    @property
    def state(self) -> str:
        if self.removed_at:
            return self.State.REMOVED
        return self.State.COMPLETE if self.completed_at else self.State.RECEIVING

    @property
    def tag(self) -> str:
        """Tells that content is the same. The content of a complete one never changes."""
        return self.sha256 or f"upload-{self.pk}"


class SourceBucket(Checked, models.Model):
    """A bucket that files are read from, with its own credentials."""

    class Provider(models.TextChoices):
        S3 = "s3", "Amazon S3"
        GCS = "gcs", "Google Cloud Storage"

    class Verification(models.TextChoices):
        NEVER = "", "Not verified"
        WORKS = "works"
        REFUSED = "refused"
        CANNOT_REACH = "cannot_reach", "Cannot be reached"

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="source_buckets"
    )
    name = models.CharField(max_length=120, validators=[no_hidden_characters])
    provider = models.CharField(max_length=3, choices=Provider)
    bucket = models.CharField("bucket name", max_length=222)
    prefix = models.CharField(max_length=1024, blank=True)
    region = models.CharField(max_length=40, blank=True)
    # S3: access_key_id and secret_access_key; GCS: the service account key as JSON.
    credentials = SecretJSONField(blank=True, default="")
    credentials_set_at = models.DateTimeField(null=True, blank=True)
    verification = models.CharField(
        max_length=12, choices=Verification, default=Verification.NEVER, blank=True
    )
    verification_detail = models.TextField(blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                name="files_source_bucket_name_once",
                violation_error_message="This project has a bucket with that name.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("files:bucket_detail", args=[self.project_id, self.pk])

    def clean(self) -> None:
        raise_for(
            check_bucket(
                provider=self.provider,
                bucket=self.bucket,
                prefix=self.prefix,
                region=self.region,
            )
        )

    @property
    def kind(self) -> Kind:
        return KINDS[self.provider]

    @property
    def address(self) -> str:
        return f"{self.kind.scheme}{self.bucket}/{self.prefix}"
