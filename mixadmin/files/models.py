import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from mixadmin.common.crypto import SecretJSONField
from mixadmin.common.validation import Checked, no_hidden_characters
from mixadmin.projects.models import Project


class Upload(models.Model):
    """A file that a person sends to us in pieces."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="uploads"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    name = models.CharField(max_length=255)
    size = models.BigIntegerField()
    # How much of it is stored for certain.
    received = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)
    # The bytes are removed some time after the last use; the row stays for its name.
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="files_upload_fits", condition=Q(received__lte=F("size"))
            )
        ]

    def __str__(self) -> str:
        return self.name


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
    prefix = models.CharField(
        max_length=1024, blank=True, validators=[no_hidden_characters]
    )
    region = models.CharField(max_length=40, blank=True)
    # S3: access_key_id and secret_access_key; GCS: the service account key as JSON.
    credentials = SecretJSONField(blank=True, default="")
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
