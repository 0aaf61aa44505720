import django_filters
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from mixadmin.common.api import ApiViewSet
from mixadmin.common.api_filters import Filters, WordFilter
from mixadmin.common.api_schema import describe
from mixadmin.jobs.serializers import TARGETS
from mixadmin.projects.access import get_project

from .models import Entry
from .serializers import EntrySerializer


class EntryFilters(Filters):
    actor = WordFilter(field_name="actor_name")
    verb = WordFilter()
    target_type = django_filters.ChoiceFilter(
        choices=[*((word, word) for word in TARGETS), ("job", "job")],
        method="by_target",
    )
    target_id = WordFilter()

    def by_target(
        self, entries: QuerySet[Entry], name: str, word: str
    ) -> QuerySet[Entry]:
        return entries.filter(target_type=TARGETS.get(word, "jobs.job"))


class AuditViewSet(ApiViewSet):
    """The audit trail of a project."""

    tag = "Audit"
    queryset = Entry.objects.none()
    filterset_class = EntryFilters

    @describe(responses=EntrySerializer(many=True))
    def list(self, request: Request, project_id: int) -> Response:
        """Newest first."""
        project = get_project(self.user, project_id)
        return self.show_page(
            Entry.objects.filter(project=project).order_by("-pk"), EntrySerializer
        )
