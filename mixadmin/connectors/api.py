from typing import Any

import django_filters
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from mixadmin.common.api import ApiViewSet, find, find_all
from mixadmin.common.api_filters import Filters, FlagFilter, SearchFilter, WordFilter
from mixadmin.common.api_schema import describe
from mixadmin.common.serializers import Nothing
from mixadmin.common.states import STATUSES, Presence, RunState
from mixadmin.jobs.serializers import accepted, accepted_schema
from mixadmin.projects.access import EDITOR, VIEWER, get_project
from mixadmin.projects.models import RemoteObject

from . import actions
from .kinds import COMPRESSIONS, DATA_FORMATS, KINDS
from .models import Connector, ConnectorRun
from .serializers import (
    ConnectorAdoption,
    ConnectorCatalogueSerializer,
    ConnectorDetailSerializer,
    ConnectorRunSerializer,
    ConnectorSerializer,
    NewConnector,
    TypedLabel,
)

NO_REMOTE = "There is no such remote object."


class ConnectorFilters(Filters):
    connector_type = WordFilter()
    presence = django_filters.ChoiceFilter(choices=Presence.choices)
    status = WordFilter()
    state = django_filters.ChoiceFilter(choices=list(STATUSES.items()))
    search = SearchFilter(field_name="label")


CONNECTOR_ACCEPTED = accepted_schema(
    "ConnectorAccepted", connector=ConnectorDetailSerializer()
)


class ConnectorViewSet(ApiViewSet):
    """Cloud imports from GCS and S3."""

    tag = "Connectors"
    queryset = Connector.objects.none()
    filterset_class = ConnectorFilters

    @describe(responses=ConnectorSerializer(many=True))
    def list(self, request: Request, project_id: int) -> Response:
        """Newest first. Those that were deleted are left out, unless `presence` asks."""
        connectors = self.connectors(project_id)
        if "presence" not in request.query_params:
            connectors = connectors.exclude(presence=Presence.DELETED)
        return self.show_page(connectors, ConnectorSerializer)

    @describe(request=NewConnector, responses=CONNECTOR_ACCEPTED)
    def create(self, request: Request, project_id: int) -> Response:
        """Create a connector, which starts its one run."""
        project = get_project(self.user, project_id, EDITOR)
        connector, job = actions.create_connector(
            project=project, actor=self.user, **self.read(NewConnector)
        )
        return self.accepted(connector, job)

    @describe(responses=ConnectorDetailSerializer)
    def retrieve(
        self, request: Request, project_id: int, connector_id: int
    ) -> Response:
        """One connector."""
        connector = self.connector(project_id, connector_id, VIEWER)
        return Response(ConnectorDetailSerializer(connector).data)

    @describe(request=TypedLabel, responses=CONNECTOR_ACCEPTED)
    def destroy(self, request: Request, project_id: int, connector_id: int) -> Response:
        """Delete it at Mixpanel. What was imported stays there."""
        connector = self.connector(project_id, connector_id)
        job = actions.delete_connector(
            connector=connector, actor=self.user, **self.read(TypedLabel)
        )
        return self.accepted(connector, job)

    @describe(request=Nothing, responses={204: None})
    def forget(self, request: Request, project_id: int, connector_id: int) -> Response:
        """Remove one that was not created, or is gone from Mixpanel, here only."""
        connector = self.connector(project_id, connector_id)
        self.read(Nothing)
        actions.forget_connector(connector=connector, actor=self.user)
        return Response(status=204)

    @describe(
        request=ConnectorAdoption, responses={201: ConnectorSerializer(many=True)}
    )
    def adopt(self, request: Request, project_id: int) -> Response:
        """Manage here some of the connectors that exist at Mixpanel."""
        project = get_project(self.user, project_id, EDITOR)
        ids = self.read(ConnectorAdoption)["remote_objects"]
        remote = RemoteObject.objects.filter(project=project, kind="connector")
        connectors = actions.adopt(
            project=project,
            actor=self.user,
            remote_objects=find_all(remote, ids, "remote_objects", NO_REMOTE),
        )
        data = ConnectorSerializer(connectors, many=True).data
        return Response(data, status=201)

    def connectors(self, project_id: int, role: str = VIEWER) -> QuerySet[Any]:
        project = get_project(self.user, project_id, role)
        return Connector.objects.filter(project=project)

    def connector(self, project_id: int, pk: int, role: str = EDITOR) -> Connector:
        rows = self.connectors(project_id, role).select_related("project")
        connector: Connector = find(rows.filter(pk=pk))
        return connector

    def accepted(self, connector: Connector, job: Any) -> Response:
        connector.refresh_from_db()
        return accepted(job, connector=ConnectorDetailSerializer(connector).data)


class ConnectorRunFilters(Filters):
    state = django_filters.ChoiceFilter(choices=RunState.choices)
    is_gap = FlagFilter()


class ConnectorRunViewSet(ApiViewSet):
    """The runs of a connector, as far back as they were ever seen."""

    tag = "Connectors"
    queryset = ConnectorRun.objects.none()
    filterset_class = ConnectorRunFilters

    @describe(responses=ConnectorRunSerializer(many=True))
    def list(self, request: Request, project_id: int, connector_id: int) -> Response:
        """Newest first."""
        runs = self.runs(project_id, connector_id)
        return self.show_page(runs, ConnectorRunSerializer)

    @describe(responses=ConnectorRunSerializer)
    def retrieve(
        self, request: Request, project_id: int, connector_id: int, run_id: int
    ) -> Response:
        """One run."""
        run = find(self.runs(project_id, connector_id).filter(pk=run_id))
        return Response(ConnectorRunSerializer(run).data)

    def runs(self, project_id: int, connector_id: int) -> QuerySet[ConnectorRun]:
        project = get_project(self.user, project_id)
        connector = find(Connector.objects.filter(project=project, pk=connector_id))
        runs = ConnectorRun.objects.filter(connector=connector)
        return runs.select_related("connector")


class ConnectorCatalogueViewSet(ApiViewSet):
    """What the fields of connectors may be."""

    tag = "Catalogue"

    @describe(responses=ConnectorCatalogueSerializer)
    def retrieve(self, request: Request) -> Response:
        """Types, data formats and compressions."""
        catalogue = {
            "kinds": KINDS.values(),
            "data_formats": DATA_FORMATS.values(),
            "compressions": [{"slug": s, "label": words} for s, words in COMPRESSIONS],
        }
        return Response(ConnectorCatalogueSerializer(catalogue).data)
