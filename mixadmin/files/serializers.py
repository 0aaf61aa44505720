from typing import Any

from rest_framework import serializers

from mixadmin.common.serializers import (
    Json,
    Plain,
    Reader,
    Row,
    Text,
    Whole,
    Word,
)

from .models import SourceBucket, Upload


class UploadSerializer(Row):
    """A file that is sent in pieces. Its bytes are removed 30 days after their last use."""

    state = Word(choices=dict(Upload.State.choices))
    owner = serializers.SerializerMethodField()
    ingestions = serializers.SerializerMethodField()

    class Meta:
        model = Upload
        fields = [
            "id",
            "project",
            "name",
            "size",
            "received",
            "state",
            "sha256",
            "owner",
            "ingestions",
            "created_at",
            "touched_at",
            "completed_at",
            "removed_at",
        ]

    def get_owner(self, upload: Upload) -> str | None:
        """The username of the person who sent it."""
        return upload.owner.get_username() if upload.owner else None

    def get_ingestions(self, upload: Upload) -> list[int]:
        """The ids of the ingestions that use it or used it."""
        files: Any = upload.files
        return sorted({file.ingestion_id for file in files.all()})


class NewUpload(Reader):
    name = Text(required=True, help_text="Of the file, without folders.")
    size = Whole(required=True, help_text="In bytes.")


class BucketSerializer(Row):
    """A bucket that files are read from. Its credentials are never shown."""

    has_credentials = serializers.SerializerMethodField()

    class Meta:
        model = SourceBucket
        fields = [
            "id",
            "project",
            "name",
            "provider",
            "bucket",
            "prefix",
            "region",
            "has_credentials",
            "credentials_set_at",
            "verification",
            "verification_detail",
            "verified_at",
            "created_at",
        ]

    def get_has_credentials(self, bucket: SourceBucket) -> bool:
        """False: the server's own role is used."""
        return bool(bucket.credentials)


class BucketChange(Reader):
    name = Text(required=False)
    bucket = Text(required=False, help_text="Its name, without s3:// or gs://.")
    prefix = Text(required=False, help_text="Nothing outside of it is listed or read.")
    region = Text(required=False, help_text="Of S3 only.")


CREDENTIALS = (
    "S3: access_key_id and secret_access_key. GCS: the key of a service account, as "
    "Google gives it. Null or {}: the server's own role."
)


class NewBucket(BucketChange):
    name = Text(required=True)
    provider = Text(required=True, help_text="s3 or gcs.")
    bucket = Text(required=True, help_text="Its name, without s3:// or gs://.")
    credentials = Json(
        required=False, allow_null=True, write_only=True, help_text=CREDENTIALS
    )


class NewCredentials(Reader):
    credentials = Json(
        required=True, allow_null=True, write_only=True, help_text=CREDENTIALS
    )


class TypedBucket(Reader):
    typed_name = Text(required=True, help_text="The bucket's name here, to confirm.")


class DirectorySerializer(Plain):
    """A directory of the server that an operator allowed."""

    name = serializers.CharField()


class FileLineSerializer(Plain):
    """A line of a directory or bucket."""

    name = serializers.CharField(help_text="Odd characters are shown as escapes.")
    path = serializers.SerializerMethodField()
    size = serializers.IntegerField(
        allow_null=True, help_text="In bytes; null for a directory."
    )
    changed = serializers.DateTimeField(allow_null=True)
    is_directory = serializers.BooleanField()
    problem = serializers.CharField(
        help_text="Why it cannot be chosen; empty when it can."
    )

    def get_path(self, entry: Any) -> str | None:
        """What it is chosen by; null when it cannot be chosen."""
        return None if entry.problem else entry.path


class FileListingSerializer(Plain):
    """A piece of a list, by name."""

    entries = FileLineSerializer(many=True)
    after = serializers.SerializerMethodField()

    def get_after(self, listing: Any) -> str | None:
        """Send it as `after` to get the next piece; null at the end."""
        return listing.after or None
