from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from mixadmin.common.api import ApiViewSet, find
from mixadmin.common.api_errors import ApiError
from mixadmin.common.api_filters import Filters, SearchFilter
from mixadmin.common.api_schema import ErrorsSerializer, describe
from mixadmin.common.rules import shown
from mixadmin.common.serializers import Nothing
from mixadmin.jobs.models import Job
from mixadmin.jobs.serializers import JobSerializer, accepted, accepted_schema
from mixadmin.projects.access import EDITOR, VIEWER, get_project

from . import actions
from .models import LookupTable, LookupTableQuerySet, LookupVersion
from .serializers import (
    LookupTableDetailSerializer,
    LookupTableSerializer,
    LookupVersionDetailSerializer,
    LookupVersionSerializer,
    RollBack,
)
from .transfers import (
    TOO_LARGE,
    bad_rows_of,
    count_what_comes,
    download,
    is_too_large,
    require_all,
    rows_of,
)

ACCEPTED = accepted_schema("LookupVersionAccepted", version=LookupVersionSerializer())
ACCEPTED_OR_SAME: dict[Any, Any] = ACCEPTED | {
    200: inline_serializer(
        name="LookupVersionUnchanged",
        fields={
            "job": JobSerializer(allow_null=True),
            "version": LookupVersionSerializer(),
            "detail": serializers.CharField(help_text="Why there is nothing to do."),
        },
    )
}
CSV: dict[Any, Any] = {(200, "text/csv"): OpenApiTypes.BINARY}


class CsvRenderer(JSONRenderer):
    """Lets a tool ask for text/csv. Files are streamed; only errors come by here."""

    media_type = "text/csv"


class RawParser(BaseParser):
    """The body itself is the file. It is read piece by piece later."""

    media_type = "text/csv"

    def parse(
        self, stream: Any, media_type: Any = None, parser_context: Any = None
    ) -> dict[str, Any]:
        return {"file": stream}


class GzipParser(RawParser):
    media_type = "application/gzip"


class LookupTableFilters(Filters):
    state = django_filters.ChoiceFilter(
        choices=[
            ("missing", "missing"),
            ("new", "new"),
            *LookupVersion.State.choices,
        ]
    )
    search = SearchFilter(field_name="name")


class LookupTableViewSet(ApiViewSet):
    """Lookup tables. They are made in Mixpanel; here their rows are replaced."""

    tag = "Lookup tables"
    queryset = LookupTable.objects.none()
    filterset_class = LookupTableFilters

    @describe(responses=LookupTableSerializer(many=True))
    def list(self, request: Request, project_id: int) -> Response:
        """By name."""
        tables = tables_of(self.user, project_id).with_current()
        return self.show_page(tables, LookupTableSerializer)

    @describe(responses=LookupTableDetailSerializer)
    def retrieve(self, request: Request, project_id: int, table_id: int) -> Response:
        """One table, with how often it may still be replaced."""
        table = find(
            tables_of(self.user, project_id).filter(pk=table_id).with_current()
        )
        context = {"left": actions.replacements_left(table)}
        return Response(LookupTableDetailSerializer(table, context=context).data)


class LookupFileViewSet(ApiViewSet):
    """The rows of a lookup table, as a file."""

    tag = "Lookup tables"
    parser_classes = [RawParser, GzipParser, MultiPartParser]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Not as other views do: the body is not to be in memory.
        if is_too_large(request._request):
            raise ApiError(413, "too_large", TOO_LARGE)
        count_what_comes(request._request)
        GenericViewSet.initial(self, request, *args, **kwargs)

    @describe(
        request={
            "text/csv": OpenApiTypes.BINARY,
            "application/gzip": OpenApiTypes.BINARY,
            "multipart/form-data": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}},
            },
        },
        parameters=[
            OpenApiParameter(
                "send_when_clean",
                bool,
                description="Send it at once if the check finds nothing. Otherwise the "
                "version waits to be sent.",
                default=False,
            )
        ],
        responses={
            **ACCEPTED_OR_SAME,
            413: OpenApiResponse(ErrorsSerializer, "Larger than 100 MB."),
            415: OpenApiResponse(
                ErrorsSerializer,
                "Not text/csv, application/gzip or multipart/form-data.",
            ),
        },
    )
    def update(self, request: Request, project_id: int, table_id: int) -> Response:
        """Keep a CSV as a new version and check it. The same content twice is kept once,
        so this may be repeated."""
        table = table_of(self.user, project_id, table_id, EDITOR)
        send = self.flag("send_when_clean")
        data: Any = request.data
        file = data.get("file")
        if not hasattr(file, "read"):
            file = None
        elif request.content_type.startswith("multipart/"):
            require_all(request._request)
        else:
            file = Complete(file, request._request)
        version, job = actions.upload_version(
            table=table, actor=self.user, file=file, send_when_clean=send
        )
        return answer(version, job)

    def check_query(self, request: Request) -> None:
        """Every parameter is looked at by `flag`."""

    def flag(self, known: str) -> bool:
        """The one query parameter, true or false."""
        problems = {
            shown(name): ValidationError(
                f"Unknown query parameter “{shown(name)}”.", code="unknown_parameter"
            )
            for name in self.request.query_params
            if name != known
        }
        value = self.request.query_params.get(known, "false")
        if value not in ("true", "false"):
            words = "Must be true or false."
            problems[known] = ValidationError(words, code="type")
        if problems:
            raise ValidationError(problems)
        return value == "true"


class Complete:
    """A stream whose end is believed only when all that was announced has come."""

    def __init__(self, stream: Any, request: HttpRequest) -> None:
        self._stream = stream
        self._request = request

    def read(self, size: int) -> bytes:
        piece: bytes = self._stream.read(size)
        if not piece and size:
            require_all(self._request)
        return piece


class LookupVersionFilters(Filters):
    state = django_filters.ChoiceFilter(choices=LookupVersion.State.choices)


class LookupVersionViewSet(ApiViewSet):
    """The files that were uploaded for a lookup table, and what became of them."""

    tag = "Lookup tables"
    queryset = LookupVersion.objects.none()
    filterset_class = LookupVersionFilters
    renderer_classes = [JSONRenderer, CsvRenderer]

    def finalize_response(self, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(*args, **kwargs)
        if isinstance(response, Response):
            response.content_type = JSONRenderer.media_type
        return response

    @describe(responses=LookupVersionSerializer(many=True))
    def list(self, request: Request, project_id: int, table_id: int) -> Response:
        """Newest first."""
        versions = self.versions(project_id, table_id).defer("columns", "difference")
        return self.show_page(versions, LookupVersionSerializer)

    @describe(responses=LookupVersionDetailSerializer)
    def retrieve(
        self, request: Request, project_id: int, table_id: int, number: int
    ) -> Response:
        """One version, with what its check found and what it changes."""
        version = self.version(project_id, table_id, number)
        return Response(LookupVersionDetailSerializer(version).data)

    @describe(request=Nothing, responses=ACCEPTED)
    def send(
        self, request: Request, project_id: int, table_id: int, number: int
    ) -> Response:
        """Replace all rows of the table by these."""
        version = self.version(project_id, table_id, number, EDITOR)
        self.read(Nothing)
        job = actions.send_version(version=version, actor=self.user)
        return answer(version, job)

    @describe(request=RollBack, responses=ACCEPTED_OR_SAME)
    def roll_back(
        self, request: Request, project_id: int, table_id: int, number: int
    ) -> Response:
        """Make a new version of the file of an old one, and check it."""
        version = self.version(project_id, table_id, number, EDITOR)
        made, job = actions.roll_back(
            version=version, actor=self.user, **self.read(RollBack)
        )
        return answer(made, job)

    @describe(responses=CSV)
    def rows(
        self, request: Request, project_id: int, table_id: int, number: int
    ) -> Any:
        """The file as it was uploaded, uncompressed."""
        version = self.version(project_id, table_id, number)
        return download(version, rows_of(version))

    @describe(responses=CSV)
    def bad_rows(
        self, request: Request, project_id: int, table_id: int, number: int
    ) -> Any:
        """Every row that Mixpanel would refuse, as CSV that no spreadsheet runs."""
        version = self.version(project_id, table_id, number)
        return download(version, bad_rows_of(version), "-bad-rows")

    def versions(
        self, project_id: int, table_id: int, role: str = VIEWER
    ) -> QuerySet[LookupVersion]:
        table = table_of(self.user, project_id, table_id, role)
        versions = LookupVersion.objects.filter(table=table)
        return versions.select_related("table__project", "copy_of", "created_by")

    def version(
        self, project_id: int, table_id: int, number: int, role: str = VIEWER
    ) -> LookupVersion:
        versions = self.versions(project_id, table_id, role)
        version: LookupVersion = find(versions.filter(number=number))
        return version


def tables_of(user: Any, project_id: int, role: str = VIEWER) -> LookupTableQuerySet:
    project = get_project(user, project_id, role)
    return LookupTable.objects.filter(project=project).with_state()


def table_of(
    user: Any, project_id: int, table_id: int, role: str = VIEWER
) -> LookupTable:
    tables = tables_of(user, project_id, role).select_related("project")
    table: LookupTable = find(tables.filter(pk=table_id))
    return table


def answer(version: LookupVersion, job: Job | None) -> Response:
    """202 with the job, or 200 where there is nothing to do."""
    version = LookupVersion.objects.select_related("copy_of", "created_by").get(
        pk=version.pk
    )
    data = LookupVersionSerializer(version).data
    if job is not None:
        return accepted(job, version=data)
    told = {"job": None, "version": data, "detail": actions.said(version, job)}
    return Response(told)
