"""Sources and imports as a person may reach them."""

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404

from mixadmin.accounts.models import User
from mixadmin.projects.access import VIEWER, get_project
from mixadmin.projects.models import Project, RemoteObject

from .models import WarehouseImport, WarehouseSource


def get_source(
    user: User, project_id: int, pk: int, role: str = VIEWER
) -> WarehouseSource:
    """The source, with its project. Http404 or NotPermitted."""
    project = get_project(user, project_id, role)
    source = get_object_or_404(WarehouseSource, project=project, pk=pk)
    source.project = project
    return source


def get_import(
    user: User, project_id: int, pk: int, role: str = VIEWER
) -> WarehouseImport:
    """The import, with its project, source and last run. Http404 or NotPermitted."""
    project = get_project(user, project_id, role)
    rows = WarehouseImport.objects.select_related("source", "last_run")
    row: WarehouseImport = get_object_or_404(rows, project=project, pk=pk)
    row.project = project
    if row.last_run:
        row.last_run.warehouse_import = row
    return row


def adoptable(project: Project) -> "QuerySet[RemoteObject]":
    """What exists at Mixpanel and could be managed here."""
    kinds = (RemoteObject.Kind.SOURCE, RemoteObject.Kind.IMPORT)
    return RemoteObject.objects.filter(project=project, kind__in=kinds)
