"""The list of connectors."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponseBase

from mixadmin.accounts.requests import Request
from mixadmin.common.causes import CAUSES
from mixadmin.common.pages import (
    chips,
    choice,
    count_by,
    csv_file,
    filters,
    listing,
    page,
    paged,
    search,
    show_list,
    sorting,
    total,
    url_with,
)
from mixadmin.common.states import STATUSES, UNFINISHED_RUN, Presence
from mixadmin.projects.access import EDITOR, get_project, role_in
from mixadmin.projects.managed import recent_runs
from mixadmin.projects.models import Project, RemoteObject

from .kinds import KINDS
from .models import Connector

GOING_ON = (Presence.PENDING, Presence.DELETING, *UNFINISHED_RUN)
SORTS = {
    "newest": ("-pk",),
    "name": ("label", "pk"),
    "state": ("state", "-pk"),
    "last": ("-last_at", "-pk"),
    "events": ("-last_events", "-pk"),
}


def _of_last_run(name: str) -> Callable[[Any], Any]:
    return lambda row: row.last_run and getattr(row.last_run, name)


COLUMNS: dict[str, Callable[[Any], Any]] = {
    "Label": attrgetter("label"),
    "State": lambda row: STATUSES.get(row.state, row.state),
    "From": attrgetter("type_label"),
    "Run": lambda row: row.last_run and row.last_run.get_state_display(),
    "Run at (UTC)": _of_last_run("at"),
    "Processed": _of_last_run("num_events_processed"),
    "Imported": _of_last_run("num_events_imported"),
    "Dropped": _of_last_run("num_events_dropped"),
    "Files": _of_last_run("num_files_imported"),
    "Mixpanel id": attrgetter("mixpanel_id"),
    "Id": attrgetter("pk"),
}


@listing
@page
def connector_list(request: Request, project_id: int) -> HttpResponseBase:
    project = get_project(request.user, project_id)
    rows: QuerySet[Any] = Connector.objects.filter(project=project)
    if kind := choice(request, "type", KINDS):
        rows = rows.filter(connector_type=kind)
    rows = rows.defer("raw", "connector_properties", "category_properties")
    if words := search(request):
        rows = rows.filter(label__icontains=words)
    counts = count_by(rows, "state")
    deleted = counts.pop(Presence.DELETED, 0)
    state = choice(request, "state", STATUSES)
    rows = rows.filter(state=state) if state else rows.exclude(state=Presence.DELETED)
    order = sorting(request, SORTS, "newest")
    if "export" in request.GET:
        found = rows.select_related("last_run").defer("last_run__raw")
        found = found.order_by(*order.order)
        return csv_file("connectors", COLUMNS, found)
    number = deleted if state == Presence.DELETED else total(counts, state)
    rows = rows.select_related("last_run").defer("last_run__raw")
    shown = paged(request, rows, order=order.order, total=number)
    context = {
        "project": project,
        "paged": shown,
        "lines": lines_of(shown.rows),
        "sorting": order,
        "tallies": chips(request, "state", STATUSES.items(), counts),
        "filters": filters(
            request,
            q=("Label", None),
            type=("From", {slug: kind.label for slug, kind in KINDS.items()}),
            state=("State", STATUSES),
        ),
        "types": KINDS.values(),
        "deleted": deleted,
        "deleted_url": url_with(request, state=Presence.DELETED),
        "export_url": url_with(request, export="csv"),
        "is_live": any(row.state in GOING_ON for row in shown.rows),
        "can_edit": role_in(request.user, project) == EDITOR,
        "adoptable": adoptable(project).count(),
        "closed": closed(project),
    }
    return show_list(
        request,
        context,
        whole="connectors/list.html",
        fragment="connectors/_table.html",
    )


def lines_of(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Each connector with its last runs, all read in one query."""
    rows = list(rows)
    runs = recent_runs(rows)
    return [
        {
            "connector": row,
            "state": STATUSES.get(row.state, row.state),
            "runs": runs[row.pk][::-1],
            "run": row.last_run,
        }
        for row in rows
    ]


def closed(project: Project) -> Any:
    """Why there can be no connectors, where Mixpanel has closed them."""
    return CAUSES["connectors_closed"] if project.connectors_open is False else None


def adoptable(project: Project) -> "QuerySet[RemoteObject]":
    """What exists at Mixpanel and could be managed here."""
    kind = RemoteObject.Kind.CONNECTOR
    return RemoteObject.objects.filter(project=project, kind=kind)
