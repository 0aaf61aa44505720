from typing import Any

import django_filters
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from mixadmin.common import api_bulk
from mixadmin.common.api import ApiViewSet, find, find_all, find_named
from mixadmin.common.api_filters import (
    Filters,
    FlagFilter,
    IdFilter,
    SearchFilter,
    WordFilter,
)
from mixadmin.common.api_schema import describe
from mixadmin.common.serializers import Nothing
from mixadmin.common.states import STATUSES, Presence, RunState
from mixadmin.jobs.serializers import accepted, accepted_schema
from mixadmin.projects.access import EDITOR, VIEWER, get_project
from mixadmin.projects.models import RemoteObject
from mixadmin.projects.serializers import TypedName

from . import actions
from .bulk import IMPORTS
from .databricks import CLUSTER_FIELDS
from .kinds import FREQUENCIES, KINDS, WAREHOUSES
from .models import ImportRun, WarehouseImport, WarehouseSource
from .serializers import (
    AdoptedSerializer,
    Adoption,
    DatabricksParams,
    Frequency,
    ImportDeletion,
    ImportDetailSerializer,
    ImportRunSerializer,
    ImportSerializer,
    NewImport,
    NewName,
    NewSource,
    OptionalFrequency,
    RunsLeftSerializer,
    SourceChange,
    SourceDetailSerializer,
    SourceSerializer,
    WarehouseCatalogueSerializer,
)
from .sync_modes import SYNC_MODES

NO_SOURCE = "There is no such source."
NO_REMOTE = "There is no such remote object."


class SourceFilters(Filters):
    warehouse_type = WordFilter()
    presence = django_filters.ChoiceFilter(choices=Presence.choices)
    search = SearchFilter(field_name="name")


SOURCE_ACCEPTED = accepted_schema(
    "WarehouseSourceAccepted", warehouse_source=SourceDetailSerializer()
)


class WarehouseSourceViewSet(ApiViewSet):
    """The warehouses that Mixpanel reads from."""

    tag = "Warehouses"
    queryset = WarehouseSource.objects.none()
    filterset_class = SourceFilters

    @describe(responses=SourceSerializer(many=True))
    def list(self, request: Request, project_id: int) -> Response:
        """By name. Those that were deleted are left out, unless `presence` asks."""
        return self.show_page(self.sources(project_id), SourceSerializer)

    @describe(request=NewSource, responses=SOURCE_ACCEPTED)
    def create(self, request: Request, project_id: int) -> Response:
        """Connect a warehouse."""
        project = get_project(self.user, project_id, EDITOR)
        source, job = actions.create_source(
            project=project, actor=self.user, **self.read(NewSource)
        )
        return self.accepted(source, job)

    @describe(responses=SourceDetailSerializer)
    def retrieve(self, request: Request, project_id: int, source_id: int) -> Response:
        """One warehouse."""
        source = self.source(project_id, source_id, VIEWER)
        return Response(SourceDetailSerializer(source).data)

    @describe(request=SourceChange, responses=SOURCE_ACCEPTED)
    def partial_update(
        self, request: Request, project_id: int, source_id: int
    ) -> Response:
        """Rename it, or change how it connects."""
        source = self.source(project_id, source_id)
        values = self.read(SourceChange, partial=True)
        job = actions.change_source(source=source, actor=self.user, **values)
        return self.accepted(source, job)

    @describe(request=TypedName, responses=SOURCE_ACCEPTED)
    def destroy(self, request: Request, project_id: int, source_id: int) -> Response:
        """Delete it at Mixpanel. Its imports must be deleted first."""
        source = self.source(project_id, source_id)
        job = actions.delete_source(
            source=source, actor=self.user, **self.read(TypedName)
        )
        return self.accepted(source, job)

    @describe(request=Nothing, responses={204: None})
    def forget(self, request: Request, project_id: int, source_id: int) -> Response:
        """Remove one that was not created, or is gone from Mixpanel, here only."""
        source = self.source(project_id, source_id)
        self.read(Nothing)
        actions.forget_source(source=source, actor=self.user)
        return Response(status=204)

    def sources(self, project_id: int, role: str = VIEWER) -> QuerySet[Any]:
        project = get_project(self.user, project_id, role)
        return not_deleted(WarehouseSource.objects.filter(project=project), self)

    def source(self, project_id: int, pk: int, role: str = EDITOR) -> WarehouseSource:
        rows = self.sources(project_id, role).select_related("project")
        source: WarehouseSource = find(rows.filter(pk=pk))
        return source

    def accepted(self, source: WarehouseSource, job: Any) -> Response:
        source.refresh_from_db()
        return accepted(job, warehouse_source=SourceDetailSerializer(source).data)


def not_deleted(rows: QuerySet[Any], view: ApiViewSet) -> QuerySet[Any]:
    """Lists show what was deleted only to who asks for it; its page stays."""
    asked = view.action != "list" or "presence" in view.request.query_params
    return rows if asked else rows.exclude(presence=Presence.DELETED)


class ImportFilters(Filters):
    source = IdFilter(field_name="source_id")
    kind = WordFilter()
    sync_mode = WordFilter()
    presence = django_filters.ChoiceFilter(choices=Presence.choices)
    status = django_filters.ChoiceFilter(choices=list(STATUSES.items()))
    paused = FlagFilter()
    search = SearchFilter(field_name="name")


# The field is called as in the address; `import` is no name for an argument.
IMPORT_ACCEPTED = accepted_schema(
    "WarehouseImportAccepted", **{"import": ImportDetailSerializer()}
)


class WarehouseImportViewSet(ApiViewSet):
    """The tables that Mixpanel imports."""

    tag = "Imports"
    queryset = WarehouseImport.objects.none()
    filterset_class = ImportFilters

    @describe(responses=ImportSerializer(many=True))
    def list(self, request: Request, project_id: int) -> Response:
        """Newest first. Those that were deleted are left out, unless `presence` asks."""
        return self.show_page(self.imports(project_id), ImportSerializer)

    @describe(request=NewImport, responses=IMPORT_ACCEPTED)
    def create(self, request: Request, project_id: int) -> Response:
        """Create an import. The catalogue names the fields of each kind."""
        project = get_project(self.user, project_id, EDITOR)
        values = self.read(NewImport)
        sources = WarehouseSource.objects.filter(project=project)
        values["source"] = find_named(sources, values["source"], "source", NO_SOURCE)
        row, job = actions.create_import(project=project, actor=self.user, **values)
        return self.accepted(row, job)

    @describe(responses=ImportDetailSerializer)
    def retrieve(self, request: Request, project_id: int, import_id: int) -> Response:
        """One import."""
        row = self.row(project_id, import_id, VIEWER)
        return Response(ImportDetailSerializer(row).data)

    @describe(request=ImportDeletion, responses=IMPORT_ACCEPTED)
    def destroy(self, request: Request, project_id: int, import_id: int) -> Response:
        """Delete it at Mixpanel, on demand with the events that it brought."""
        row = self.row(project_id, import_id)
        job = actions.delete_import(
            warehouse_import=row, actor=self.user, **self.read(ImportDeletion)
        )
        return self.accepted(row, job)

    @describe(request=Nothing, responses=IMPORT_ACCEPTED)
    def pause(self, request: Request, project_id: int, import_id: int) -> Response:
        """Stop it: the running sync ends, and no new one starts."""
        row = self.row(project_id, import_id)
        self.read(Nothing)
        job = actions.pause_import(warehouse_import=row, actor=self.user)
        return self.accepted(row, job)

    @describe(request=OptionalFrequency, responses=IMPORT_ACCEPTED)
    def resume(self, request: Request, project_id: int, import_id: int) -> Response:
        """End the pause."""
        row = self.row(project_id, import_id)
        job = actions.resume_import(
            warehouse_import=row, actor=self.user, **self.read(OptionalFrequency)
        )
        return self.accepted(row, job)

    @describe(request=Frequency, responses=IMPORT_ACCEPTED)
    def frequency(self, request: Request, project_id: int, import_id: int) -> Response:
        """Change how often it runs."""
        row = self.row(project_id, import_id)
        job = actions.change_frequency(
            warehouse_import=row, actor=self.user, **self.read(Frequency)
        )
        return self.accepted(row, job)

    @describe(request=DatabricksParams, responses=IMPORT_ACCEPTED)
    def databricks_params(
        self, request: Request, project_id: int, import_id: int
    ) -> Response:
        """Replace the cluster config as a whole."""
        row = self.row(project_id, import_id)
        job = actions.change_databricks_params(
            warehouse_import=row, actor=self.user, **self.read(DatabricksParams)
        )
        return self.accepted(row, job)

    @describe(request=Nothing, responses=IMPORT_ACCEPTED)
    def run(self, request: Request, project_id: int, import_id: int) -> Response:
        """Run it now. The job ends when the run does."""
        row = self.row(project_id, import_id)
        self.read(Nothing)
        job = actions.run_import(warehouse_import=row, actor=self.user)
        return self.accepted(row, job)

    @describe(request=NewName, responses=ImportDetailSerializer)
    def rename(self, request: Request, project_id: int, import_id: int) -> Response:
        """Change the name that it has here; Mixpanel has none."""
        row = self.row(project_id, import_id)
        row = actions.rename_import(
            warehouse_import=row, actor=self.user, **self.read(NewName)
        )
        return Response(ImportDetailSerializer(row).data)

    @describe(request=Nothing, responses={204: None})
    def forget(self, request: Request, project_id: int, import_id: int) -> Response:
        """Remove one that was not created, or is gone from Mixpanel, here only."""
        row = self.row(project_id, import_id)
        self.read(Nothing)
        actions.forget_import(warehouse_import=row, actor=self.user)
        return Response(status=204)

    @describe(request=api_bulk.BulkOfNumbers, responses=api_bulk.BulkSerializer)
    def bulk(self, request: Request, project_id: int) -> Response:
        """Do the same with many: `pause`, `resume` or `run`. Each is told of."""
        project = get_project(self.user, project_id, EDITOR)
        values = self.read(api_bulk.BulkOfNumbers)
        rows = WarehouseImport.objects.filter(project=project)
        rows = rows.select_related("project", "source")
        return api_bulk.answer(IMPORTS, rows, self.user, values, ImportFilters)

    @describe(responses=RunsLeftSerializer)
    def runs_left(self, request: Request, project_id: int) -> Response:
        """How many runs may be started by hand now."""
        left, next_at = actions.runs_left(get_project(self.user, project_id))
        return Response(RunsLeftSerializer({"left": left, "next_at": next_at}).data)

    def imports(self, project_id: int, role: str = VIEWER) -> QuerySet[Any]:
        project = get_project(self.user, project_id, role)
        return not_deleted(WarehouseImport.objects.filter(project=project), self)

    def row(self, project_id: int, pk: int, role: str = EDITOR) -> WarehouseImport:
        rows = self.imports(project_id, role).select_related("project", "source")
        row: WarehouseImport = find(rows.filter(pk=pk))
        return row

    def accepted(self, row: WarehouseImport, job: Any) -> Response:
        row.refresh_from_db()
        return accepted(job, **{"import": ImportDetailSerializer(row).data})


class ImportRunFilters(Filters):
    state = django_filters.ChoiceFilter(choices=RunState.choices)
    is_gap = FlagFilter()


class ImportRunViewSet(ApiViewSet):
    """The runs of an import, as far back as they were ever seen."""

    tag = "Imports"
    queryset = ImportRun.objects.none()
    filterset_class = ImportRunFilters

    @describe(responses=ImportRunSerializer(many=True))
    def list(self, request: Request, project_id: int, import_id: int) -> Response:
        """Newest first."""
        return self.show_page(self.runs(project_id, import_id), ImportRunSerializer)

    @describe(responses=ImportRunSerializer)
    def retrieve(
        self, request: Request, project_id: int, import_id: int, run_id: int
    ) -> Response:
        """One run."""
        run = find(self.runs(project_id, import_id).filter(pk=run_id))
        return Response(ImportRunSerializer(run).data)

    def runs(self, project_id: int, import_id: int) -> QuerySet[ImportRun]:
        project = get_project(self.user, project_id)
        row = find(WarehouseImport.objects.filter(project=project, pk=import_id))
        runs = ImportRun.objects.filter(warehouse_import=row)
        return runs.select_related("warehouse_import__source")


class AdoptionViewSet(ApiViewSet):
    """Managing here what exists at Mixpanel."""

    tag = "Remote objects"
    queryset = RemoteObject.objects.none()

    @describe(request=Adoption, responses={201: AdoptedSerializer})
    def create(self, request: Request, project_id: int) -> Response:
        """Adopt warehouses and imports: sources first, then the imports of them."""
        project = get_project(self.user, project_id, EDITOR)
        ids = self.read(Adoption)["remote_objects"]
        remote = RemoteObject.objects.filter(
            project=project, kind__in=["source", "import"]
        )
        rows = actions.adopt(
            project=project,
            actor=self.user,
            remote_objects=find_all(remote, ids, "remote_objects", NO_REMOTE),
        )
        sources = [row for row in rows if isinstance(row, WarehouseSource)]
        imports = [row for row in rows if isinstance(row, WarehouseImport)]
        data = AdoptedSerializer(
            {"warehouse_sources": sources, "imports": imports}
        ).data
        return Response(data, status=201)


class WarehouseCatalogueViewSet(ApiViewSet):
    """What the fields of warehouses and imports may be."""

    tag = "Catalogue"

    @describe(responses=WarehouseCatalogueSerializer)
    def retrieve(self, request: Request) -> Response:
        """Warehouses, kinds, sync modes, frequencies and the cluster config."""
        catalogue = {
            "warehouses": WAREHOUSES.values(),
            "kinds": KINDS.values(),
            "sync_modes": SYNC_MODES.values(),
            "frequencies": FREQUENCIES,
            "cluster_config": CLUSTER_FIELDS,
        }
        return Response(WarehouseCatalogueSerializer(catalogue).data)
