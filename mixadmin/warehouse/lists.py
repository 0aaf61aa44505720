"""The lists of warehouses and of imports."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_POST

from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
from mixadmin.common import bulk
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
from mixadmin.common.states import PRESENT, STATUSES, UNFINISHED_RUN, Presence
from mixadmin.projects.access import EDITOR, get_project, role_in
from mixadmin.projects.managed import recent_runs
from mixadmin.projects.models import Project

from .access import adoptable
from .bulk import IMPORTS
from .kinds import KINDS, WAREHOUSES
from .models import WarehouseImport, WarehouseSource
from .sentences import next_run
from .sync_modes import SYNC_MODES

GOING_ON = (Presence.PENDING, Presence.DELETING, *UNFINISHED_RUN)
SOURCE_SORTS = {
    "name": ("name", "pk"),
    "type": ("warehouse_type", "name", "pk"),
    "state": ("presence", "name", "pk"),
}
IMPORT_SORTS = {
    "newest": ("-pk",),
    "name": ("name", "pk"),
    "state": ("status", "-pk"),
    "last": ("-last_at", "-pk"),
    "events": ("-last_events", "-pk"),
}
# What no list shows.
LARGE = (
    *("raw", "table_params", "fields", "databricks_params"),
    *(f"source__{name}" for name in ("raw", "connection", "secrets", "pending")),
)
IMPORT_COLUMNS: dict[str, Callable[[Any], Any]] = {
    "Name": attrgetter("name"),
    "State": lambda row: STATUSES.get(row.status, row.status),
    "What": attrgetter("kind_label"),
    "Sync mode": attrgetter("sync_mode_label"),
    "Warehouse": attrgetter("source"),
    "Frequency": attrgetter("frequency_label"),
    "Last run": lambda row: row.last_run and row.last_run.get_state_display(),
    "Last run at (UTC)": lambda row: row.last_run and row.last_run.at,
    "Events of the last run": lambda row: (
        row.last_run and row.last_run.num_events_imported
    ),
    "Last success at (UTC)": attrgetter("last_success_at"),
    "Next run expected (UTC)": lambda row: next_run(row, row.last_run),
    "Mixpanel id": attrgetter("mixpanel_id"),
    "Id": attrgetter("pk"),
}


@listing
@page
def source_list(request: Request, project_id: int) -> HttpResponseBase:
    project = get_project(request.user, project_id)
    rows = WarehouseSource.objects.filter(project=project).present()
    if words := search(request):
        rows = rows.filter(name__icontains=words)
    types = count_by(rows, "warehouse_type")
    kinds = {slug: warehouse.label for slug, warehouse in WAREHOUSES.items()}
    # Mixpanel may know more of them than are known here.
    kinds |= {slug: slug for slug in types if slug not in kinds}
    if kind := choice(request, "type", kinds):
        rows = rows.filter(warehouse_type=kind)
    counts = count_by(rows, "presence")
    state = choice(request, "state", Presence.values)
    number = total(counts, state)
    if state:
        rows = rows.filter(presence=state)
    order = sorting(request, SOURCE_SORTS, "name")
    found = paged(request, rows, order=order.order, total=number)
    imports = WarehouseImport.objects.filter(source__in=found.rows)
    counted = count_by(imports.filter(presence__in=PRESENT), "source")
    for row in found.rows:
        row.import_count = counted.get(str(row.pk), 0)
    context = {
        "project": project,
        "paged": found,
        "sorting": order,
        "types": kinds.items(),
        "tallies": chips(request, "state", Presence.choices, counts),
        "filters": filters(
            request,
            q=("Name", None),
            type=("Type", kinds),
            state=("State", dict(Presence.choices)),
        ),
        "is_live": any(row.presence in GOING_ON for row in found.rows),
        "can_edit": _can_edit(request.user, project),
        "adoptable": adoptable(project).count(),
    }
    return show_list(
        request,
        context,
        whole="warehouse/source_list.html",
        fragment="warehouse/_sources.html",
    )


# --- Imports --------------------------------------------------------------------------


@listing
@page
def import_list(request: Request, project_id: int) -> HttpResponseBase:
    project = get_project(request.user, project_id)
    sources = _sources_of(project)
    every, rows = _asked(request, project, sources)
    order = sorting(request, IMPORT_SORTS, "newest")
    if "export" in request.GET:
        found = rows.select_related("source", "last_run").order_by(*order.order)
        found = found.defer(*LARGE, "last_run__raw")
        return csv_file("imports", IMPORT_COLUMNS, found)
    counts = count_by(every, "status")
    deleted = counts.pop(Presence.DELETED, 0)
    state = request.GET.get("state", "")
    number = deleted if state == Presence.DELETED else total(counts, state)
    rows = rows.select_related("source", "last_run").defer(*LARGE, "last_run__raw")
    shown = paged(request, rows, order=order.order, total=number)
    where = reverse("warehouse:import_bulk", args=[project.pk])
    context = {
        "project": project,
        "paged": shown,
        "lines": lines_of(shown.rows),
        "sorting": order,
        "tallies": chips(request, "state", STATUSES.items(), counts),
        "filters": filters(
            request,
            q=("Name", None),
            kind=("What", {slug: kind.label for slug, kind in KINDS.items()}),
            sync_mode=("Sync mode", {s: mode.label for s, mode in SYNC_MODES.items()}),
            source=("Warehouse", sources),
            state=("State", STATUSES),
        ),
        "deleted": deleted,
        "kinds": KINDS.values(),
        "sync_modes": SYNC_MODES.values(),
        "sources": sources.items(),
        "export_url": url_with(request, export="csv"),
        "deleted_url": url_with(request, state=Presence.DELETED),
        "bulk": bulk.bar(request, IMPORTS, where, number),
        "is_live": any(row.status in GOING_ON for row in shown.rows),
        "can_edit": _can_edit(request.user, project),
        "adoptable": adoptable(project).count(),
    }
    return show_list(
        request,
        context,
        whole="warehouse/import_list.html",
        fragment="warehouse/_imports.html",
    )


@require_POST
@page
def import_bulk(request: Request, project_id: int) -> HttpResponse:
    project = get_project(request.user, project_id, EDITOR)
    _, matching = _asked(request, project, _sources_of(project))
    rows = WarehouseImport.objects.filter(project=project)
    return bulk.answer(
        request,
        IMPORTS,
        rows=rows.select_related("project", "source"),
        matching=matching.order_by("-pk"),
        list_url=reverse("warehouse:import_list", args=[project.pk]),
        context={"project": project},
    )


def _sources_of(project: Project) -> dict[str, str]:
    """{key: name} of the warehouses that a list can be limited to."""
    rows = WarehouseSource.objects.filter(project=project).present()
    return {str(pk): name for pk, name in rows.values_list("pk", "name")}


def _asked(
    request: Request, project: Project, sources: dict[str, str]
) -> tuple[QuerySet[Any], QuerySet[Any]]:
    """(those that fit the other filters, those of them in the state) that the URL asks
    for. Deleted ones are among the latter only when asked for."""
    chosen = {
        "kind": choice(request, "kind", KINDS),
        "sync_mode": choice(request, "sync_mode", SYNC_MODES),
        "source": choice(request, "source", sources),
    }
    rows: QuerySet[Any] = WarehouseImport.objects.filter(
        project=project, **{name: value for name, value in chosen.items() if value}
    )
    if words := search(request):
        rows = rows.filter(name__icontains=words)
    if state := choice(request, "state", STATUSES):
        return rows, rows.filter(status=state)
    return rows, rows.exclude(presence=Presence.DELETED)


def lines_of(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Each import with its last runs, all read in one query."""
    rows = list(rows)
    runs = recent_runs(rows)
    return [
        {
            "import": row,
            "status": STATUSES.get(row.status, row.status),
            "runs": runs[row.pk][::-1],
            "run": row.last_run,
            "next": next_run(row, row.last_run),
        }
        for row in rows
    ]


def _can_edit(user: User, project: Project) -> bool:
    return role_in(user, project) == EDITOR
