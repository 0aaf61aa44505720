"""Uploads (tus 1.0 and JSON), buckets and directories."""

import base64
import binascii
import logging
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import django_filters
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from mixadmin.common.api import ApiViewSet, created, find
from mixadmin.common.api_errors import CONVERT, ApiError
from mixadmin.common.api_filters import Filters, SearchFilter, WordFilter
from mixadmin.common.api_schema import describe
from mixadmin.common.errors import Refused
from mixadmin.common.rules import shown
from mixadmin.common.serializers import Nothing
from mixadmin.projects.access import EDITOR, VIEWER, get_project

from . import actions, places
from .errors import CutShort, Missing, PlaceError, Unreachable, Unusable
from .models import SourceBucket, Upload
from .serializers import (
    BucketChange,
    BucketSerializer,
    DirectorySerializer,
    FileListingSerializer,
    NewBucket,
    NewCredentials,
    NewUpload,
    TypedBucket,
    UploadSerializer,
)

log = logging.getLogger(__name__)

# --- Uploads --------------------------------------------------------------------------

TUS = "1.0.0"
# A number of the tus headers: more digits are no number of bytes.
NUMBER = re.compile("[0-9]{1,18}", re.ASCII)
PIECE = "application/offset+octet-stream"
BLOCK = 256 * 1024
# What tus clients look at, where the rest of the API would say 409.
STATUSES = {
    "cut_short": 400,
    "removed": 410,
    "too_large": 413,
    "busy": 423,
    "disk_full": 507,
}


class UploadFilters(Filters):
    state = django_filters.ChoiceFilter(choices=Upload.State.choices, method="in_state")
    search = SearchFilter(field_name="name")

    def in_state(self, uploads: Any, name: str, state: str) -> Any:
        return uploads.in_state(state)


def header(name: str, words: str, *, required: bool = False) -> OpenApiParameter:
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, required=required, description=words
    )


class UploadViewSet(ApiViewSet):
    """Files that are sent in pieces, as any client of tus 1.0 does."""

    tag = "Files"
    queryset = Upload.objects.none()
    filterset_class = UploadFilters
    streams = ("partial_update",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.headers.get("Tus-Resumable", TUS) != TUS:
            raise ApiError(412, "tus_version", f"Only version {TUS} of tus is spoken.")

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Tus-Resumable"] = response["Tus-Version"] = TUS
        return response

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, Refused) and exc.code in STATUSES:
            exc = ApiError(STATUSES[exc.code], exc.code, exc.message)
        return super().handle_exception(exc)

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        headers = {
            "Tus-Extension": "creation,termination",
            "Tus-Max-Size": str(settings.UPLOAD_MAX_BYTES),
        }
        return Response(status=204, headers=headers)

    @describe(responses=UploadSerializer(many=True))
    def list(self, request: Request, project_id: int) -> Response:
        """Newest first. Those that were removed are left out, unless `state` asks."""
        uploads = self.uploads(project_id)
        if "state" not in request.query_params:
            uploads = uploads.filter(removed_at=None)
        return self.show_page(uploads, UploadSerializer)

    @describe(
        request=NewUpload,
        responses={201: UploadSerializer},
        parameters=[
            header("Upload-Length", "With tus: the size in bytes; no body then."),
            header("Upload-Metadata", "With tus: `filename` and its name in base64."),
        ],
    )
    def create(self, request: Request, project_id: int) -> Response:
        """Announce a file, as JSON or with the headers of tus. `Location` takes it."""
        project = get_project(self.user, project_id, EDITOR)
        by_tus = "Upload-Length" in request.headers
        values = announced(request) if by_tus else self.read(NewUpload)
        upload = actions.create_upload(project=project, actor=self.user, **values)
        address = reverse("api:upload", args=[project_id, upload.pk])
        response = created(UploadSerializer(upload).data, address)
        return with_offset(response, upload)

    @describe(responses=UploadSerializer)
    def retrieve(self, request: Request, project_id: int, upload: UUID) -> Response:
        """One upload. HEAD tells in `Upload-Offset` how much of it is stored."""
        found = self.upload(project_id, upload, VIEWER)
        if request.method != "HEAD":
            return with_offset(Response(UploadSerializer(found).data), found)
        return with_offset(Response(status=410 if found.removed_at else 200), found)

    @describe(
        request={PIECE: OpenApiTypes.BINARY},
        responses={204: OpenApiResponse(description="Stored; see `Upload-Offset`.")},
        parameters=[
            header("Upload-Offset", "Where the piece begins, in bytes.", required=True)
        ],
    )
    def partial_update(
        self, request: Request, project_id: int, upload: UUID
    ) -> Response:
        """Send a piece. It must begin where the upload stands, else 409.

        What is stored when the connection is cut stays: ask with HEAD and go on there.
        """
        found = self.upload(project_id, upload)
        if request.content_type != PIECE:
            raise exceptions.UnsupportedMediaType(shown(request.content_type or ""))
        offset = number_in(request, "Upload-Offset")
        length, pieces = body_of(request)
        found = actions.receive(
            upload=found, actor=self.user, offset=offset, length=length, pieces=pieces
        )
        return with_offset(Response(status=204), found)

    @describe(request=None, responses={204: None})
    def destroy(self, request: Request, project_id: int, upload: UUID) -> Response:
        """Remove it, complete or not, unless an ingestion that has not ended uses it."""
        found = self.upload(project_id, upload)
        actions.remove_upload(upload=found, actor=self.user)
        return Response(status=204)

    def uploads(self, project_id: int, role: str = VIEWER) -> QuerySet[Upload]:
        project = get_project(self.user, project_id, role)
        uploads = Upload.objects.filter(project=project)
        return uploads.select_related("owner").prefetch_related("files")

    def upload(self, project_id: int, key: UUID, role: str = EDITOR) -> Upload:
        uploads = self.uploads(project_id, role).select_related("project", "owner")
        upload: Upload = find(uploads.filter(pk=key))
        return upload


def announced(request: Request) -> dict[str, Any]:
    """The name and size in the headers of tus."""
    if request.body:
        raise ApiError(
            400,
            "body_not_used",
            "Upload-Length goes with an empty body. Send the bytes with PATCH.",
        )
    size = number_in(request, "Upload-Length")
    return {"name": file_name(request.headers.get("Upload-Metadata", "")), "size": size}


def file_name(metadata: str) -> str:
    """The `filename` of the header Upload-Metadata, "" if it has none."""
    for pair in metadata.split(","):
        key, _, value = pair.strip().partition(" ")
        if key == "filename":
            try:
                return base64.b64decode(value.strip(), validate=True).decode()
            except (binascii.Error, ValueError):
                message = "The filename in Upload-Metadata must be UTF-8 in base64."
                error = ValidationError(message, code="metadata")
                raise ValidationError({"name": error}) from None
    return ""


def number_in(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not NUMBER.fullmatch(text):
        message = f"The header {name} must be a whole number of bytes."
        raise ApiError(400, "invalid_header", message)
    return int(text)


def body_of(request: Request) -> tuple[int | None, Iterator[bytes]]:
    """(the announced length or None, the pieces as they come in) of a body."""
    if "chunked" not in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        text = request.META.get("CONTENT_LENGTH") or "0"
        return (int(text) if NUMBER.fullmatch(text) else 0), read_pieces(request)
    if not request.META.get("wsgi.input_terminated"):
        message = "Send Content-Length: this server cannot tell where the body ends."
        raise ApiError(411, "length_required", message)
    # Django reads nothing without a length; this server tells the end by itself.
    return None, read_pieces(request.META["wsgi.input"])


def read_pieces(stream: Any) -> Iterator[bytes]:
    while True:
        try:
            piece = stream.read(BLOCK)
        except Exception as error:
            # Each server has errors of its own for a body that is cut or makes no sense.
            log.info("a body could not be read to its end: %s", type(error).__name__)
            raise CutShort from None
        if not piece:
            return
        yield piece


def with_offset(response: Response, upload: Upload) -> Response:
    response["Upload-Offset"] = str(upload.received)
    response["Upload-Length"] = str(upload.size)
    response["Cache-Control"] = "no-store"
    return response


# --- Buckets and directories ----------------------------------------------------------


def _no_file(error: PlaceError) -> ApiError:
    """What went wrong with a bucket or directory while somebody waits for the answer."""
    if isinstance(error, Unreachable):
        return ApiError(503, error.kind, error.message, retry_after=10)
    status = 404 if isinstance(error, Missing | Unusable) else 409
    return ApiError(status, error.kind, error.message)


CONVERT[PlaceError] = _no_file


def query(name: str, words: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.QUERY, description=words)


AFTER = query("after", "Where the piece begins; `after` of the piece before.")


def asked(request: Request, name: str) -> str:
    text = request.query_params.get(name, "")
    if "\0" in text or len(text) > 4_096:
        message = "Must be at most 4,096 characters, and no NUL."
        raise ValidationError({name: ValidationError(message, code="characters")})
    return text


class BucketFilters(Filters):
    provider = django_filters.ChoiceFilter(choices=SourceBucket.Provider.choices)
    verification = WordFilter()
    search = SearchFilter(field_name="name")


class BucketViewSet(ApiViewSet):
    """Buckets that files are read from, each with its own credentials."""

    tag = "Files"
    queryset = SourceBucket.objects.none()
    filterset_class = BucketFilters
    asks_mixpanel = ("verify",)
    queries = {"objects": ("prefix", "after")}

    @describe(responses=BucketSerializer(many=True))
    def list(self, request: Request, project_id: int) -> Response:
        """By name."""
        return self.show_page(self.buckets(project_id, VIEWER), BucketSerializer)

    @describe(request=NewBucket, responses={201: BucketSerializer})
    def create(self, request: Request, project_id: int) -> Response:
        """Add a bucket. It is not asked yet: verify it."""
        project = get_project(self.user, project_id, EDITOR)
        bucket = actions.add_bucket(
            project=project, actor=self.user, **self.read(NewBucket)
        )
        address = reverse("api:bucket", args=[project_id, bucket.pk])
        return created(BucketSerializer(bucket).data, address)

    @describe(responses=BucketSerializer)
    def retrieve(self, request: Request, project_id: int, bucket_id: int) -> Response:
        """One bucket."""
        return shown_bucket(self.bucket(project_id, bucket_id, VIEWER))

    @describe(request=BucketChange, responses=BucketSerializer)
    def partial_update(
        self, request: Request, project_id: int, bucket_id: int
    ) -> Response:
        """Change its name, or where it points while nothing reads from it."""
        bucket = self.bucket(project_id, bucket_id)
        changes = self.read(BucketChange, partial=True)
        return shown_bucket(
            actions.change_bucket(source=bucket, actor=self.user, **changes)
        )

    @describe(request=TypedBucket, responses={204: None})
    def destroy(self, request: Request, project_id: int, bucket_id: int) -> Response:
        """Forget it and its credentials, unless an ingestion shows its name."""
        bucket = self.bucket(project_id, bucket_id)
        actions.delete_bucket(source=bucket, actor=self.user, **self.read(TypedBucket))
        return Response(status=204)

    @describe(request=NewCredentials, responses=BucketSerializer)
    def credentials(
        self, request: Request, project_id: int, bucket_id: int
    ) -> Response:
        """Store other credentials, or none. They are not tried yet: verify it."""
        bucket = self.bucket(project_id, bucket_id)
        return shown_bucket(
            actions.set_credentials(
                source=bucket, actor=self.user, **self.read(NewCredentials)
            )
        )

    @describe(request=Nothing, responses=BucketSerializer)
    def verify(self, request: Request, project_id: int, bucket_id: int) -> Response:
        """Ask the provider now whether it can be listed and read, and what is missing."""
        bucket = self.bucket(project_id, bucket_id)
        self.read(Nothing)
        return shown_bucket(actions.verify_bucket(source=bucket, actor=self.user))

    @describe(
        responses=FileListingSerializer,
        parameters=[query("prefix", "What the keys begin with."), AFTER],
    )
    def objects(self, request: Request, project_id: int, bucket_id: int) -> Response:
        """What is in the bucket now, folder by folder."""
        bucket = self.bucket(project_id, bucket_id)
        found = places.list_bucket(
            bucket, asked(request, "prefix"), after=asked(request, "after")
        )
        return Response(FileListingSerializer(found).data)

    def buckets(self, project_id: int, role: str = EDITOR) -> QuerySet[SourceBucket]:
        project = get_project(self.user, project_id, role)
        return SourceBucket.objects.filter(project=project)

    def bucket(self, project_id: int, pk: int, role: str = EDITOR) -> SourceBucket:
        rows = self.buckets(project_id, role).select_related("project")
        bucket: SourceBucket = find(rows.filter(pk=pk))
        return bucket


def shown_bucket(bucket: SourceBucket) -> Response:
    return Response(BucketSerializer(bucket).data)


class DirectoryViewSet(ApiViewSet):
    """Directories of the server that an operator allowed."""

    tag = "Files"
    queryset = SourceBucket.objects.none()
    queries = {"entries": ("path", "after")}

    @describe(responses=DirectorySerializer(many=True))
    def names(self, request: Request, project_id: int) -> Response:
        """Their names; where they are is the operator's."""
        get_project(self.user, project_id, EDITOR)
        found = [{"name": name} for name in sorted(settings.INGEST_DIRECTORIES)]
        return Response(found)

    @describe(
        responses=FileListingSerializer,
        parameters=[query("path", "Of a directory below it."), AFTER],
    )
    def entries(self, request: Request, project_id: int, name: str) -> Response:
        """What is in one of them now."""
        get_project(self.user, project_id, EDITOR)
        found = places.list_directory(
            name, asked(request, "path"), after=asked(request, "after")
        )
        return Response(FileListingSerializer(found).data)
