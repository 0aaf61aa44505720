"""Connectors as a person may reach them."""

from django.shortcuts import get_object_or_404

from mixadmin.accounts.models import User
from mixadmin.projects.access import VIEWER, get_project

from .models import Connector


def get_connector(
    user: User, project_id: int, pk: int, role: str = VIEWER
) -> Connector:
    """The connector, with its project and last run. Http404 or NotPermitted."""
    project = get_project(user, project_id, role)
    rows = Connector.objects.select_related("last_run")
    connector: Connector = get_object_or_404(rows, project=project, pk=pk)
    connector.project = project
    if connector.last_run:
        connector.last_run.connector = connector
    return connector
