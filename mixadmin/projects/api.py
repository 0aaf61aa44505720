from typing import Any

import django_filters
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from mixadmin.common.api import ApiViewSet, created, find_named
from mixadmin.common.api_filters import Filters, IdFilter, SearchFilter
from mixadmin.common.api_schema import describe
from mixadmin.common.serializers import Nothing
from mixadmin.service_accounts.models import ServiceAccount

from . import actions
from .access import EDITOR, get_project
from .models import Membership, Project, RemoteObject
from .serializers import (
    Member,
    MemberSerializer,
    NewProject,
    ProjectChange,
    ProjectSerializer,
    RemoteObjectSerializer,
    TypedName,
)


class ProjectFilters(Filters):
    region = django_filters.ChoiceFilter(choices=Project.Region.choices)
    environment = django_filters.ChoiceFilter(choices=Project.Environment.choices)
    verification = django_filters.ChoiceFilter(
        choices=[c for c in Project.Verification.choices if c[0]]
    )
    service_account = IdFilter(field_name="service_account_id")
    search = SearchFilter(field_name="name")


class ProjectViewSet(ApiViewSet):
    """Mixpanel projects."""

    tag = "Projects"
    queryset = Project.objects.none()
    filterset_class = ProjectFilters
    asks_mixpanel = ("verify",)

    @describe(responses=ProjectSerializer(many=True))
    def list(self, request: Request) -> Response:
        """The projects that you are a member of, by name."""
        return self.show_page(Project.objects.visible_to(self.user), ProjectSerializer)

    @describe(request=NewProject, responses={201: ProjectSerializer})
    def create(self, request: Request) -> Response:
        """Register a project of Mixpanel. You become its first editor."""
        values = self.with_account(self.read(NewProject))
        project = actions.add_project(actor=self.user, **values)
        location = reverse("api:project", args=[project.pk])
        return created(ProjectSerializer(project).data, location)

    @describe(responses=ProjectSerializer)
    def retrieve(self, request: Request, project_id: int) -> Response:
        """One project."""
        return Response(ProjectSerializer(get_project(self.user, project_id)).data)

    @describe(request=ProjectChange, responses=ProjectSerializer)
    def partial_update(self, request: Request, project_id: int) -> Response:
        """Change some of its fields."""
        project = get_project(self.user, project_id, EDITOR)
        values = self.with_account(self.read(ProjectChange, partial=True))
        project = actions.change_project(project=project, actor=self.user, **values)
        return Response(ProjectSerializer(project).data)

    @describe(request=TypedName, responses={204: None})
    def destroy(self, request: Request, project_id: int) -> Response:
        """Forget the project and its history here. At Mixpanel nothing changes."""
        project = get_project(self.user, project_id, EDITOR)
        actions.forget_project(project=project, actor=self.user, **self.read(TypedName))
        return Response(status=204)

    @describe(request=Nothing, responses=ProjectSerializer)
    def verify(self, request: Request, project_id: int) -> Response:
        """Ask Mixpanel now whether this project can be worked with."""
        project = get_project(self.user, project_id, EDITOR)
        self.read(Nothing)
        project = actions.verify_project(project=project, actor=self.user)
        return Response(ProjectSerializer(project).data)

    def with_account(self, values: dict[str, Any]) -> dict[str, Any]:
        """The same, with the service account's row instead of its id."""
        if "service_account" in values:
            accounts = ServiceAccount.objects.visible_to(self.user)
            values["service_account"] = find_named(
                accounts,
                values["service_account"],
                "service_account",
                "There is no such service account.",
            )
        return values


class MemberViewSet(ApiViewSet):
    """Who may see and change a project."""

    tag = "Projects"
    queryset = Membership.objects.none()

    @describe(responses=MemberSerializer(many=True))
    def list(self, request: Request, project_id: int) -> Response:
        """In the order in which they came."""
        project = get_project(self.user, project_id)
        members = Membership.objects.filter(project=project).select_related("user")
        return self.show_page(members.order_by("pk"), MemberSerializer)

    @describe(request=Member, responses=MemberSerializer)
    def set(self, request: Request, project_id: int) -> Response:
        """Make a person a member, or change what they may do."""
        project = get_project(self.user, project_id, EDITOR)
        member = actions.set_member(
            project=project, actor=self.user, **self.read(Member)
        )
        return Response(MemberSerializer(member).data)

    @describe(request=None, responses={204: None})
    def destroy(self, request: Request, project_id: int, username: str) -> Response:
        """Take a person out of the project."""
        project = get_project(self.user, project_id, EDITOR)
        actions.remove_member(project=project, actor=self.user, username=username)
        return Response(status=204)


class RemoteObjectFilters(Filters):
    kind = django_filters.ChoiceFilter(choices=RemoteObject.Kind.choices)


class RemoteObjectViewSet(ApiViewSet):
    """What exists at Mixpanel and is not managed here."""

    tag = "Remote objects"
    queryset = RemoteObject.objects.none()
    filterset_class = RemoteObjectFilters

    @describe(responses=RemoteObjectSerializer(many=True))
    def list(self, request: Request, project_id: int) -> Response:
        """By kind, in the order in which they were first seen."""
        project = get_project(self.user, project_id)
        rows = RemoteObject.objects.filter(project=project)
        return self.show_page(rows, RemoteObjectSerializer)
