from typing import Any

import django_filters
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from mixadmin.common.api import ApiViewSet, created, find
from mixadmin.common.api_filters import Filters, IdFilter, SearchFilter
from mixadmin.common.api_schema import describe
from mixadmin.common.serializers import Nothing
from mixadmin.common.states import Presence
from mixadmin.jobs.serializers import accepted, accepted_schema
from mixadmin.projects.access import NotPermitted
from mixadmin.projects.actions import add_discovered, discover_projects
from mixadmin.projects.models import Project
from mixadmin.projects.serializers import DiscoveredSerializer, ProjectSerializer

from . import actions
from .models import ServiceAccount, may_change
from .serializers import (
    Discovered,
    MembershipAtMixpanel,
    NewAtMixpanel,
    NewSecret,
    NewServiceAccount,
    RemoteAccountSerializer,
    ServiceAccountChange,
    ServiceAccountDetailSerializer,
    ServiceAccountSerializer,
)


class ServiceAccountFilters(Filters):
    region = django_filters.ChoiceFilter(choices=Project.Region.choices)
    verification = django_filters.ChoiceFilter(
        choices=[c for c in ServiceAccount.Verification.choices if c[0]]
    )
    presence = django_filters.ChoiceFilter(choices=Presence.choices)
    organization_id = IdFilter()
    search = SearchFilter(field_name="username")


class AccountView(ApiViewSet):
    """What the two views of service accounts share."""

    tag = "Service accounts"
    queryset = ServiceAccount.objects.none()

    def account(self, pk: int, *, change: bool = False) -> ServiceAccount:
        """The account, if the person may see it and, to change it, may do that."""
        seen = ServiceAccount.objects.visible_to(self.user).select_related("owner")
        account: ServiceAccount = find(seen.filter(pk=pk))
        if change and not may_change(self.user, account):
            raise NotPermitted(
                "Only its owner, or an editor of all projects that use it, may change "
                f"the service account {account.username}."
            )
        return account


class ServiceAccountViewSet(AccountView):
    """The credentials that calls to Mixpanel are made with."""

    filterset_class = ServiceAccountFilters
    asks_mixpanel = ("secret", "verify", "discover", "add_discovered")

    @describe(responses=ServiceAccountSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Those that you added, and those that your projects use, by username."""
        accounts = ServiceAccount.objects.visible_to(self.user).select_related("owner")
        return self.show_page(accounts, ServiceAccountSerializer)

    @describe(
        request=NewServiceAccount, responses={201: ServiceAccountDetailSerializer}
    )
    def create(self, request: Request) -> Response:
        """Register a service account that exists at Mixpanel."""
        values = self.read(NewServiceAccount)
        account = actions.add_service_account(actor=self.user, **values)
        location = reverse("api:service-account", args=[account.pk])
        return created(self.shown(account), location)

    @describe(responses=ServiceAccountDetailSerializer)
    def retrieve(self, request: Request, account_id: int) -> Response:
        """One service account and which projects use it."""
        return Response(self.shown(self.account(account_id)))

    @describe(request=ServiceAccountChange, responses=ServiceAccountDetailSerializer)
    def partial_update(self, request: Request, account_id: int) -> Response:
        """Change what is noted about it."""
        account = self.account(account_id, change=True)
        values = self.read(ServiceAccountChange, partial=True)
        account = actions.change_service_account(
            account=account, actor=self.user, **values
        )
        return Response(self.shown(account))

    @describe(request=None, responses={204: None})
    def destroy(self, request: Request, account_id: int) -> Response:
        """Forget it here. At Mixpanel it stays."""
        account = self.account(account_id, change=True)
        actions.forget_service_account(account=account, actor=self.user)
        return Response(status=204)

    @describe(request=NewSecret, responses=ServiceAccountDetailSerializer)
    def secret(self, request: Request, account_id: int) -> Response:
        """Set another secret, once Mixpanel accepts it. Waiting jobs then go on."""
        account = self.account(account_id, change=True)
        account = actions.set_secret(
            account=account, actor=self.user, **self.read(NewSecret)
        )
        return Response(self.shown(account))

    @describe(request=Nothing, responses=ServiceAccountDetailSerializer)
    def verify(self, request: Request, account_id: int) -> Response:
        """Ask Mixpanel now whether it works."""
        account = self.account(account_id, change=True)
        self.read(Nothing)
        account = actions.verify_service_account(account=account, actor=self.user)
        return Response(self.shown(account))

    @describe(responses=DiscoveredSerializer(many=True))
    def discover(self, request: Request, account_id: int) -> Response:
        """The projects that it sees at Mixpanel now."""
        account = self.account(account_id, change=True)
        found: Any = discover_projects(account=account, actor=self.user)
        return Response(DiscoveredSerializer(found, many=True).data)

    @describe(request=Discovered, responses={201: ProjectSerializer(many=True)})
    def add_discovered(self, request: Request, account_id: int) -> Response:
        """Register some of them, all or none. Those that are here already are left."""
        account = self.account(account_id, change=True)
        projects = add_discovered(
            account=account, actor=self.user, **self.read(Discovered)
        )
        return Response(ProjectSerializer(projects, many=True).data, status=201)

    def shown(self, account: ServiceAccount) -> Any:
        seen = Project.objects.visible_to(self.user).filter(service_account=account)
        account.seen_projects = list(seen)  # type: ignore[attr-defined]
        return ServiceAccountDetailSerializer(account).data


class OrganizationViewSet(AccountView):
    """The service accounts of an organization at Mixpanel.

    The account in the address is the one that Mixpanel is asked with; its role must
    allow it.
    """

    asks_mixpanel = ("at_mixpanel",)

    @describe(responses=RemoteAccountSerializer(many=True))
    def at_mixpanel(self, request: Request, account_id: int) -> Response:
        """All of them, as Mixpanel lists them now."""
        via = self.account(account_id, change=True)
        found = actions.list_at_mixpanel(via=via, actor=self.user)
        return Response(RemoteAccountSerializer(found, many=True).data)

    @describe(
        request=NewAtMixpanel,
        responses=accepted_schema(
            "ServiceAccountAccepted", service_account=ServiceAccountSerializer()
        ),
    )
    def create(self, request: Request, account_id: int) -> Response:
        """Create one. Its secret is stored as it comes back, and never shown."""
        via = self.account(account_id, change=True)
        values = self.read(NewAtMixpanel)
        account, job = actions.create_at_mixpanel(via=via, actor=self.user, **values)
        data = ServiceAccountSerializer(account).data
        return accepted(job, service_account=data)

    @describe(
        request=None,
        responses=accepted_schema(
            "ServiceAccountDeletion", service_account=ServiceAccountSerializer()
        ),
    )
    def destroy(self, request: Request, account_id: int, other_id: int) -> Response:
        """Delete the other account at Mixpanel. It leaves all its projects at once."""
        via, other = self.account(account_id), self.account(other_id)
        job = actions.delete_at_mixpanel(account=other, via=via, actor=self.user)
        other.refresh_from_db()
        return accepted(job, service_account=ServiceAccountSerializer(other).data)

    @describe(
        request=MembershipAtMixpanel, responses=accepted_schema("MembershipAccepted")
    )
    def membership(self, request: Request, account_id: int, other_id: int) -> Response:
        """Add the other account to a project at Mixpanel, or remove it."""
        via, other = self.account(account_id), self.account(other_id)
        values = self.read(MembershipAtMixpanel)
        job = actions.change_membership(
            account=other, via=via, actor=self.user, **values
        )
        return accepted(job)
