from collections.abc import Callable
from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from mixadmin.common import api_bulk
from mixadmin.common.api import ApiViewSet, find, find_all
from mixadmin.common.api_filters import Filters, SearchFilter
from mixadmin.common.api_schema import describe
from mixadmin.common.serializers import Nothing
from mixadmin.dataprep.findings import RULES
from mixadmin.dataprep.mending import MENDS
from mixadmin.jobs.models import Job
from mixadmin.jobs.serializers import accepted, accepted_schema
from mixadmin.projects.access import EDITOR, VIEWER, get_project

from . import actions, kinds, live, queries
from .bulk import INGESTIONS
from .downloads import chosen_groups, rejected_file
from .models import Ingestion, IngestionFile, RejectedGroup, UnsettledBatch
from .rules import MOST_FILES
from .serializers import (
    BatchDecision,
    IngestionCatalogueSerializer,
    IngestionDetailSerializer,
    IngestionFileSerializer,
    IngestionSerializer,
    LiveEvents,
    NewIngestion,
    RejectedGroupSerializer,
    Resending,
    SentSerializer,
    Settings,
    UnsettledBatchSerializer,
)

NO_GROUP = "There is no such group of rejected records."


class IngestionFilters(Filters):
    state = django_filters.ChoiceFilter(choices=Ingestion.State.choices)
    kind = django_filters.ChoiceFilter(choices=kinds.CHOICES)
    search = SearchFilter(field_name="name")


INGESTION_ACCEPTED = accepted_schema(
    "IngestionAccepted", ingestion=IngestionDetailSerializer()
)


class IngestionViewSet(ApiViewSet):
    """Files of events and profiles on their way into a project."""

    tag = "Ingestions"
    queryset = Ingestion.objects.none()
    filterset_class = IngestionFilters

    @describe(responses=IngestionSerializer(many=True))
    def list(self, request: Request, project_id: int) -> Response:
        """Newest first."""
        rows = self.ingestions(project_id, VIEWER).defer("report")
        page = self.paginate_queryset(self.filter_queryset(rows))
        assert page is not None
        queries.with_books(page)
        return self.get_paginated_response(IngestionSerializer(page, many=True).data)

    @describe(request=NewIngestion, responses=INGESTION_ACCEPTED)
    def create(self, request: Request, project_id: int) -> Response:
        """Take files for sending. They are checked first, unless you say otherwise."""
        project = get_project(self.user, project_id, EDITOR)
        wanted = self.read(NewIngestion)
        files = actions.choose_files(project=project, chosen=wanted.pop("files"))
        made = actions.create_ingestion(
            project=project, actor=self.user, files=files, **wanted
        )
        return self.accepted(*made)

    @describe(responses=IngestionDetailSerializer)
    def retrieve(
        self, request: Request, project_id: int, ingestion_id: int
    ) -> Response:
        """One ingestion, with what its check found."""
        return self.shown(self.ingestion(project_id, ingestion_id, VIEWER))

    @describe(request=Nothing, responses=INGESTION_ACCEPTED)
    def start(self, request: Request, project_id: int, ingestion_id: int) -> Response:
        """Send what was checked."""
        return self.work(project_id, ingestion_id, actions.start_ingestion)

    @describe(request=Nothing, responses=IngestionDetailSerializer)
    def pause(self, request: Request, project_id: int, ingestion_id: int) -> Response:
        """Stop after what is under way; nothing is lost or sent twice by it."""
        return self.change(project_id, ingestion_id, actions.pause_ingestion)

    @describe(request=Nothing, responses=IngestionDetailSerializer)
    def resume(self, request: Request, project_id: int, ingestion_id: int) -> Response:
        """Go on where it was paused."""
        return self.change(project_id, ingestion_id, actions.resume_ingestion)

    @describe(request=Nothing, responses=IngestionDetailSerializer)
    def cancel(self, request: Request, project_id: int, ingestion_id: int) -> Response:
        """Stop for good. What was imported stays in Mixpanel."""
        return self.change(project_id, ingestion_id, actions.cancel_ingestion)

    @describe(request=Nothing, responses=INGESTION_ACCEPTED)
    def retry(self, request: Request, project_id: int, ingestion_id: int) -> Response:
        """Go on with one that failed, where it ended."""
        return self.work(project_id, ingestion_id, actions.retry_ingestion)

    @describe(request=Nothing, responses=INGESTION_ACCEPTED)
    def pass_gate(
        self, request: Request, project_id: int, ingestion_id: int
    ) -> Response:
        """Send the next slice although many records of the last were refused."""
        return self.work(project_id, ingestion_id, actions.pass_gate)

    @describe(request=api_bulk.BulkOfNumbers, responses=api_bulk.BulkSerializer)
    def bulk(self, request: Request, project_id: int) -> Response:
        """Do the same with many: `pause`, `resume`, `retry` or `cancel`. Each is told of."""
        values = self.read(api_bulk.BulkOfNumbers)
        rows = self.ingestions(project_id, EDITOR)
        return api_bulk.answer(INGESTIONS, rows, self.user, values, IngestionFilters)

    @describe(request=Settings, responses=INGESTION_ACCEPTED)
    def copy(self, request: Request, project_id: int, ingestion_id: int) -> Response:
        """Check the same files anew with other settings. One that was not sent yet is
        cancelled for it."""
        ingestion = self.ingestion(project_id, ingestion_id)
        made = actions.copy_ingestion(
            ingestion=ingestion, actor=self.user, **self.read(Settings)
        )
        return self.accepted(*made)

    @describe(request=Resending, responses=INGESTION_ACCEPTED)
    def resend(self, request: Request, project_id: int, ingestion_id: int) -> Response:
        """Send rejected records once more, with mends, and nothing else."""
        ingestion = self.ingestion(project_id, ingestion_id)
        wanted = self.read(Resending)
        ids = wanted.pop("groups", None)
        groups = None
        if ids:
            rows = RejectedGroup.objects.filter(ingestion=ingestion)
            groups = find_all(rows, ids, "groups", NO_GROUP)
        made = actions.resend_rejected(
            ingestion=ingestion, actor=self.user, groups=groups, **wanted
        )
        return self.accepted(*made)

    # --- What they share --------------------------------------------------------------

    def work(
        self, project_id: int, ingestion_id: int, action: Callable[..., Job]
    ) -> Response:
        ingestion = self.ingestion(project_id, ingestion_id)
        self.read(Nothing)
        return self.accepted(ingestion, action(ingestion=ingestion, actor=self.user))

    def change(
        self, project_id: int, ingestion_id: int, action: Callable[..., Ingestion]
    ) -> Response:
        ingestion = self.ingestion(project_id, ingestion_id)
        self.read(Nothing)
        return self.shown(action(ingestion=ingestion, actor=self.user))

    def ingestions(self, project_id: int, role: str = EDITOR) -> QuerySet[Ingestion]:
        project = get_project(self.user, project_id, role)
        rows = Ingestion.objects.filter(project=project)
        return rows.select_related("project", "created_by")

    def ingestion(self, project_id: int, pk: int, role: str = EDITOR) -> Ingestion:
        ingestion: Ingestion = find(self.ingestions(project_id, role).filter(pk=pk))
        return ingestion

    def shown(self, ingestion: Ingestion) -> Response:
        return Response(_detail(ingestion))

    def accepted(self, ingestion: Ingestion, job: Job) -> Response:
        ingestion.refresh_from_db()
        return accepted(job, ingestion=_detail(ingestion))


def _detail(ingestion: Ingestion) -> Any:
    queries.with_books([ingestion])
    return IngestionDetailSerializer(ingestion).data


class PartOfIngestionViewSet(ApiViewSet):
    """What hangs on one ingestion."""

    tag = "Ingestions"

    def ingestion(self, project_id: int, pk: int, role: str = VIEWER) -> Ingestion:
        project = get_project(self.user, project_id, role)
        ingestion: Ingestion = find(Ingestion.objects.filter(project=project, pk=pk))
        ingestion.project = project
        return ingestion


class IngestionFileViewSet(PartOfIngestionViewSet):
    """The files of an ingestion."""

    queryset = IngestionFile.objects.none()

    @describe(responses=IngestionFileSerializer(many=True))
    def list(self, request: Request, project_id: int, ingestion_id: int) -> Response:
        """In the order in which they are sent."""
        ingestion = self.ingestion(project_id, ingestion_id)
        page = self.paginate_queryset(ingestion.files.defer("report").order_by("pk"))
        assert page is not None
        queries.with_file_books(ingestion, page)
        data = IngestionFileSerializer(page, many=True).data
        return self.get_paginated_response(data)


class RejectedViewSet(PartOfIngestionViewSet):
    """The records of an ingestion that were not imported, and why."""

    queryset = RejectedGroup.objects.none()
    queries = {"download": ("form", "groups")}

    @describe(responses=RejectedGroupSerializer(many=True))
    def list(self, request: Request, project_id: int, ingestion_id: int) -> Response:
        """In groups that share code, field and message, the largest first."""
        ingestion = self.ingestion(project_id, ingestion_id)
        groups = RejectedGroup.objects.filter(ingestion=ingestion)
        return self.show_page(groups.order_by("-count", "pk"), RejectedGroupSerializer)

    @describe(
        responses={(200, "application/x-ndjson"): OpenApiTypes.BINARY},
        parameters=[
            OpenApiParameter("form", str, description="ndjson (default) or csv."),
            OpenApiParameter(
                "groups", str, description="Ids of groups, with commas between them."
            ),
        ],
    )
    def download(
        self, request: Request, project_id: int, ingestion_id: int
    ) -> StreamingHttpResponse:
        """Every rejected record with its file, line and reason, as one file."""
        ingestion = self.ingestion(project_id, ingestion_id)
        asked = request.query_params
        ids = [text for text in asked.get("groups", "").split(",") if text]
        form = asked.get("form", "ndjson")
        if form not in ("ndjson", "csv"):
            problem = ValidationError("Choose ndjson or csv.", code="invalid_choice")
            raise ValidationError({"form": problem})
        return rejected_file(ingestion, chosen_groups(ingestion, ids), form)


class UnsettledBatchViewSet(PartOfIngestionViewSet):
    """Updates with an unknown outcome, that a person must decide about."""

    queryset = UnsettledBatch.objects.none()

    @describe(responses=UnsettledBatchSerializer(many=True))
    def list(self, request: Request, project_id: int, ingestion_id: int) -> Response:
        """In the order in which they were sent."""
        ingestion = self.ingestion(project_id, ingestion_id)
        return self.show_page(self.batches(ingestion), UnsettledBatchSerializer)

    @describe(request=BatchDecision, responses=UnsettledBatchSerializer)
    def decide(
        self, request: Request, project_id: int, ingestion_id: int, batch_id: int
    ) -> Response:
        """Say what became of them: arrived, or to be sent again."""
        ingestion = self.ingestion(project_id, ingestion_id, EDITOR)
        batch = find(self.batches(ingestion).filter(pk=batch_id))
        wanted = self.read(BatchDecision)
        actions.decide_batch(batch=batch, actor=self.user, **wanted)
        return Response(UnsettledBatchSerializer(batch).data)

    def batches(self, ingestion: Ingestion) -> QuerySet[UnsettledBatch]:
        rows = UnsettledBatch.objects.filter(part__file__ingestion=ingestion)
        rows = rows.exclude(state=UnsettledBatch.State.SENDING).order_by("pk")
        return rows.select_related("part__file__ingestion__project", "decided_by")


class LiveEventViewSet(ApiViewSet):
    """A handful of events, to see what goes out and comes back."""

    tag = "Ingestions"
    asks_mixpanel = ("send",)

    @describe(request=LiveEvents, responses=SentSerializer)
    def send(self, request: Request, project_id: int) -> Response:
        """Send events now. An error of Mixpanel is part of a normal answer here."""
        project = get_project(self.user, project_id, EDITOR)
        sent = live.send_live(project=project, actor=self.user, **self.read(LiveEvents))
        return Response(SentSerializer(sent).data)


class IngestionCatalogueViewSet(ApiViewSet):
    """What the fields of ingestions may be."""

    tag = "Catalogue"

    @describe(responses=IngestionCatalogueSerializer)
    def retrieve(self, request: Request) -> Response:
        """Kinds, mends, everything that can be found in a file, and limits."""
        catalogue = {
            "kinds": kinds.KINDS.values(),
            "mends": MENDS.values(),
            "findings": RULES.values(),
            "limits": {
                "batch_records": kinds.MOST_RECORDS,
                "batch_bytes": kinds.MOST_BYTES,
                "concurrency": kinds.MOST_CONCURRENCY,
                "lanes": kinds.MOST_LANES,
                "files": MOST_FILES,
            },
        }
        return Response(IngestionCatalogueSerializer(catalogue).data)
