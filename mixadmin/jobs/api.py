from uuid import UUID

import django_filters
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from mixadmin.common import api_bulk
from mixadmin.common.api import ApiViewSet
from mixadmin.common.api_filters import (
    Filters,
    FlagFilter,
    IdFilter,
    SearchFilter,
    WordFilter,
)
from mixadmin.common.api_schema import describe
from mixadmin.common.serializers import Nothing
from mixadmin.projects.access import EDITOR, get_job, visible_jobs

from . import actions
from .bulk import JOBS
from .models import Job
from .serializers import TARGETS, Decision, JobDetailSerializer, JobSerializer


class JobFilters(Filters):
    state = django_filters.ChoiceFilter(choices=Job.State.choices)
    project = IdFilter(field_name="project_id")
    service_account = IdFilter(field_name="service_account_id")
    target_type = django_filters.ChoiceFilter(
        choices=[(word, word) for word in TARGETS], method="by_target"
    )
    target_id = WordFilter()
    attention = FlagFilter(
        method="by_attention", label="Only those that a person must look at."
    )
    search = SearchFilter(field_name="title")

    def by_target(self, jobs: QuerySet[Job], name: str, word: str) -> QuerySet[Job]:
        return jobs.filter(target_type=TARGETS[word])

    def by_attention(self, jobs: QuerySet[Job], name: str, yes: bool) -> QuerySet[Job]:
        needing = Job.objects.needing_attention().values("pk")
        return jobs.filter(pk__in=needing) if yes else jobs.exclude(pk__in=needing)


class JobViewSet(ApiViewSet):
    """Every change that is to be made at Mixpanel, and how it went."""

    tag = "Jobs"
    queryset = Job.objects.none()
    filterset_class = JobFilters
    # Adopting looks once more at what Mixpanel has.
    asks_mixpanel = ("decide",)

    @describe(responses=JobSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Newest first."""
        jobs = visible_jobs(self.user).select_related("actor")
        return self.show_page(jobs, JobSerializer)

    @describe(responses=JobDetailSerializer)
    def retrieve(self, request: Request, pk: UUID) -> Response:
        """One job with its attempts."""
        return Response(JobDetailSerializer(get_job(self.user, pk)).data)

    @describe(request=Nothing, responses=JobSerializer)
    def retry(self, request: Request, pk: UUID) -> Response:
        """Do a failed job again, or a waiting one now."""
        job = get_job(self.user, pk, EDITOR)
        self.read(Nothing)
        return Response(JobSerializer(actions.retry_job(job=job, actor=self.user)).data)

    @describe(request=Nothing, responses=JobSerializer)
    def cancel(self, request: Request, pk: UUID) -> Response:
        """Stop a job that has not been sent."""
        job = get_job(self.user, pk, EDITOR)
        self.read(Nothing)
        job = actions.cancel_job(job=job, actor=self.user)
        return Response(JobSerializer(job).data)

    @describe(request=Decision, responses=JobSerializer)
    def decide(self, request: Request, pk: UUID) -> Response:
        """Answer the question of a job whose outcome could not be found out."""
        job = get_job(self.user, pk, EDITOR)
        job = actions.decide_job(job=job, actor=self.user, **self.read(Decision))
        return Response(JobSerializer(job).data)

    @describe(request=Nothing, responses=JobSerializer)
    def dismiss(self, request: Request, pk: UUID) -> Response:
        """Take an ended job off the list of what needs attention."""
        job = get_job(self.user, pk, EDITOR)
        self.read(Nothing)
        job = actions.dismiss_job(job=job, actor=self.user)
        return Response(JobSerializer(job).data)

    @describe(request=api_bulk.BulkOfKeys, responses=api_bulk.BulkSerializer)
    def bulk(self, request: Request) -> Response:
        """Do the same with many: `retry`, `dismiss` or `cancel`. Each is told of."""
        values = self.read(api_bulk.BulkOfKeys)
        jobs = visible_jobs(self.user).select_related("project", "service_account")
        return api_bulk.answer(JOBS, jobs, self.user, values, JobFilters)
