"""The pages of one source, one import and one run. What changes them is in views.py."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from mixadmin.accounts.requests import Request
from mixadmin.common import curl
from mixadmin.common.pages import (
    chips,
    choice,
    count_by,
    csv_file,
    page,
    paged,
    part,
    tabs,
    url_with,
)
from mixadmin.common.states import STATUSES, UNFINISHED_RUN, Presence, RunState
from mixadmin.common.timeline import Source, timeline
from mixadmin.mixpanel.regions import REGIONS
from mixadmin.projects import runs, timelines
from mixadmin.projects.access import EDITOR, role_in
from mixadmin.projects.standing import (
    in_the_way,
    newest_jobs,
    unfinished,
    why_not_created,
)

from . import actions
from .access import get_import, get_source
from .kinds import KINDS, WAREHOUSES, frequency_of
from .models import ImportRun, WarehouseImport, WarehouseSource
from .sentences import import_status, source_status
from .sync_modes import SYNC_MODES

RUNS_PER_PAGE = 30
LATEST_RUNS = 5
IMPORTS_SHOWN = 50
GOING_ON = (Presence.PENDING, Presence.DELETING)


# --- One import -----------------------------------------------------------------------


@page
def import_detail(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = get_import(request.user, project_id, pk)
    context, stamp = _import_standing(request, row)
    if request.htmx:
        return part(request, "warehouse/_import_status.html", context, stamp)
    newest = _of(row, runs.newest(row.runs.all()))
    account = row.project.service_account
    return render(
        request,
        "warehouse/import_detail.html",
        context
        | {
            "charts": runs.run_charts(newest),
            "calendar": runs.run_calendar(row.runs.all()),
            "latest": newest[:LATEST_RUNS],
            "account": account,
            "kind": KINDS.get(row.kind),
            "sync_mode": SYNC_MODES.get(row.sync_mode),
        },
    )


@page
def import_runs(request: Request, project_id: int, pk: int) -> HttpResponseBase:
    row = get_import(request.user, project_id, pk)
    context, stamp = _import_standing(request, row)
    if request.htmx:
        return part(request, "warehouse/_import_status.html", context, stamp)
    known = ImportRun.objects.filter(warehouse_import=row)
    counts = count_by(known.filter(is_gap=False), "state")
    state = choice(request, "state", RunState.values)
    shown = known.filter(is_gap=False, state=state) if state else known
    shown = shown.select_related("job__actor").defer("raw")
    if "export" in request.GET:
        return csv_file("runs", runs.COLUMNS, shown.order_by("-at", "-pk"))
    found = paged(request, shown, order=("-at", "-pk"), size=RUNS_PER_PAGE)
    _of(row, found.rows)
    extra = {
        "paged": found,
        "state": state,
        "chips": chips(request, "state", RunState.choices, counts),
        "export_url": url_with(request, export="csv"),
    }
    return render(request, "warehouse/import_runs.html", context | extra)


@page
def import_timeline(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = get_import(request.user, project_id, pk)
    context, stamp = _import_standing(request, row)
    if request.htmx:
        return part(request, "warehouse/_import_status.html", context, stamp)
    known = ImportRun.objects.filter(warehouse_import=row)
    known = known.select_related("job__actor", "warehouse_import").defer("raw")
    sources = [
        Source(
            "runs",
            "Runs",
            known,
            "at",
            "warehouse/_timeline_run.html",
            pinned=known.filter(state__in=UNFINISHED_RUN).order_by("-at", "-pk"),
        ),
        timelines.changes(row),
        timelines.jobs(row),
    ]
    extra = {"timeline": timeline(request, sources)}
    return render(request, "warehouse/import_timeline.html", context | extra)


@page
def import_configuration(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = get_import(request.user, project_id, pk)
    context, stamp = _import_standing(request, row)
    if request.htmx:
        return part(request, "warehouse/_import_status.html", context, stamp)
    body = as_mixpanel_takes_it(row)
    kind = KINDS.get(row.kind)
    app = REGIONS[row.project.region].app_url
    base = f"{app}/projects/{row.project.mixpanel_id}/warehouse-sources/imports"
    return render(
        request,
        "warehouse/import_configuration.html",
        context
        | {
            "table": row.table_params.items(),
            "settings": _settings_of_kind(row),
            "kind": kind,
            "drift": row.cluster_drift,
            "has_cluster": bool(row.databricks_params)
            or (row.source is not None and row.source.warehouse_type == "databricks"),
            "whole": body,
            "our_curl": curl.to_mixadmin(
                "POST",
                f"/api/v1/projects/{row.project_id}/imports/",
                as_we_take_it(row),
            ),
            "their_curl": curl.to_mixpanel("POST", f"{base}/{kind.path}", body)
            if kind and kind.path
            else "",
        },
    )


def _import_standing(
    request: Request, row: WarehouseImport
) -> tuple[dict[str, Any], str]:
    """What stands on every page of an import, and the stamp of its live part."""
    project, last = row.project, row.last_run
    jobs = newest_jobs(row)
    going_on = unfinished(jobs)
    deadline, failures = row.mirror_deadline(), None
    if last is not None and last.state == RunState.FAILED:
        failures = _failed_in_a_row(row)
    status = import_status(
        row,
        last=last,
        deadline=deadline,
        job=in_the_way(row, jobs),
        failures=failures,
        last_success_at=row.last_success_at,
    )
    can_edit = role_in(request.user, project) == EDITOR
    left, free_at = (None, None)
    if can_edit and row.presence == Presence.ACTIVE and not row.paused:
        left, free_at = actions.runs_left(project)
    is_busy = bool(going_on) or row.presence in GOING_ON
    is_busy |= last is not None and last.state in UNFINISHED_RUN
    urls = [
        reverse(f"warehouse:{name}", args=[project.pk, row.pk])
        for name in (
            "import_detail",
            "import_runs",
            "import_timeline",
            "import_configuration",
        )
    ]
    labels = ("Overview", "Runs", "Timeline", "Configuration")
    context = {
        "project": project,
        "import": row,
        "status": status,
        "last": last,
        "deadline": deadline,
        "jobs": going_on,
        "failed": why_not_created(row, jobs),
        "runs_left": left,
        "runs_allowed": actions.MANUAL_SYNCS,
        "free_at": free_at,
        "tabs": tabs(request, *zip(labels, urls, strict=True)),
        # Somebody else, or its schedule, may start it at any moment.
        "is_live": True,
        "seconds": 4 if is_busy else 30,
        "can_edit": can_edit,
    }
    stamp = f"{row.presence} {row.paused} {row.last_run_id} {row.last_state}"
    return context | {"stamp": stamp}, stamp


def _failed_in_a_row(row: WarehouseImport) -> int:
    """How many runs have failed since the last good one."""
    failed = row.runs.filter(is_gap=False, state=RunState.FAILED)
    if row.last_success_at:
        failed = failed.filter(at__gt=row.last_success_at)
    return failed.count()


def _of(row: WarehouseImport, found: list[Any]) -> list[Any]:
    """The runs, knowing their import, so that their URLs cost no query."""
    for run in found:
        run.warehouse_import = row
    return found


def _settings_of_kind(row: WarehouseImport) -> list[tuple[str, Any]]:
    """(label, value) of the fields of its kind; others by their own name."""
    kind = KINDS.get(row.kind)
    found = []
    for name, value in row.fields.items():
        field = kind.field(name) if kind else None
        found.append((field.label if field else name, value))
    return found


def as_mixpanel_takes_it(row: WarehouseImport) -> dict[str, Any]:
    """The import as Mixpanel's API would be asked to create it."""
    if row.source is None:
        return {"import_type": row.kind, "table_params": row.table_params, **row.fields}
    return {"import_type": row.kind, **actions.request_body(row)}


def as_we_take_it(row: WarehouseImport) -> dict[str, Any]:
    """The import as our REST API takes it."""
    body = {
        "name": row.name,
        "source": row.source_id,
        "kind": row.kind,
        "sync_mode": row.sync_mode,
        "table_params": row.table_params,
        "fields": row.fields,
        "frequency": frequency_of(row.run_every),
        "databricks_params": row.databricks_params,
        "accepted_warnings": row.accepted_warnings,
    }
    return {name: value for name, value in body.items() if value not in (None, [])}


# --- One run --------------------------------------------------------------------------


@page
def run_detail(request: Request, project_id: int, pk: int, run_pk: int) -> HttpResponse:
    row = get_import(request.user, project_id, pk)
    known = ImportRun.objects.filter(warehouse_import=row)
    run = get_object_or_404(known.select_related("job__actor"), pk=run_pk)
    run.warehouse_import = row
    context = {
        "project": row.project,
        "import": row,
        "run": run,
        "far_off": [] if run.is_gap else runs.compared(run, runs.usual(run, known)),
        "is_live": run.state in UNFINISHED_RUN and not run.is_gap,
        "warehouse_type": row.source.warehouse_type if row.source else "",
    }
    if request.htmx:
        return part(request, "warehouse/_run.html", context)
    before, after = runs.neighbours(run, known)
    extra = {"before": before, "after": after}
    _of(row, [other for other in (before, after) if other is not None])
    return render(request, "warehouse/run_detail.html", context | extra)


# --- One source -----------------------------------------------------------------------


@page
def source_detail(request: Request, project_id: int, pk: int) -> HttpResponse:
    source = get_source(request.user, project_id, pk)
    context, stamp = _source_standing(request, source)
    if request.htmx:
        return part(request, "warehouse/_source_status.html", context, stamp)
    shown = source.imports.present().select_related("last_run").order_by("name", "pk")
    imports = list(shown[: IMPORTS_SHOWN + 1])
    warehouse = WAREHOUSES.get(source.warehouse_type)
    extra = {
        "imports": [
            {"import": row, "status": STATUSES.get(row.status, row.status)}
            for row in imports[:IMPORTS_SHOWN]
        ],
        "more": len(imports) > IMPORTS_SHOWN,
        "secrets_lost": source.secret_names is None,
        "account": source.project.service_account,
        "warehouse": warehouse,
        "egress": warehouse.egress.get(source.project.region, ()) if warehouse else (),
    }
    return render(request, "warehouse/source_detail.html", context | extra)


@page
def source_timeline(request: Request, project_id: int, pk: int) -> HttpResponse:
    source = get_source(request.user, project_id, pk)
    context, stamp = _source_standing(request, source)
    if request.htmx:
        return part(request, "warehouse/_source_status.html", context, stamp)
    sources = [timelines.changes(source), timelines.jobs(source)]
    extra = {"timeline": timeline(request, sources)}
    return render(request, "warehouse/source_timeline.html", context | extra)


@page
def source_configuration(request: Request, project_id: int, pk: int) -> HttpResponse:
    source = get_source(request.user, project_id, pk)
    context, stamp = _source_standing(request, source)
    if request.htmx:
        return part(request, "warehouse/_source_status.html", context, stamp)
    names = source.secret_names
    shown = {**source.connection, **{n: curl.Variable(n) for n in names or ()}}
    app = REGIONS[source.project.region].app_url
    url = f"{app}/projects/{source.project.mixpanel_id}/warehouse-sources/sources"
    ours = {
        "name": source.name,
        "warehouse_type": source.warehouse_type,
        "connection": shown,
    }
    theirs = {
        **shown,
        "warehouse_type": source.warehouse_type,
        "source_name": source.name,
    }
    where = f"/api/v1/projects/{source.project_id}/warehouse-sources/"
    extra = {
        "settings": _connection(source),
        "secrets": _names_of_secrets(source),
        # Nothing to pass on of one whose connection was never told here.
        "our_curl": curl.to_mixadmin("POST", where, ours) if shown else "",
        "their_curl": curl.to_mixpanel("POST", url, theirs) if shown else "",
        "whole": {**ours, "connection": _masked(shown)},
    }
    return render(request, "warehouse/source_configuration.html", context | extra)


def _masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON: secrets as the variables that curl would take them from."""
    return {
        name: f"${name.upper()}" if isinstance(value, curl.Variable) else value
        for name, value in values.items()
    }


def _source_standing(
    request: Request, source: WarehouseSource
) -> tuple[dict[str, Any], str]:
    """What stands on every page of a source, and the stamp of its live part."""
    project = source.project
    jobs = newest_jobs(source)
    going_on = unfinished(jobs)
    states = count_by(source.imports.present(), "status")
    status = source_status(source, job=in_the_way(source, jobs), states=states)
    urls = [
        reverse(f"warehouse:{name}", args=[project.pk, source.pk])
        for name in ("source_detail", "source_timeline", "source_configuration")
    ]
    labels = ("Overview", "Timeline", "Configuration")
    is_busy = bool(going_on) or source.presence in GOING_ON
    context = {
        "project": project,
        "source": source,
        "status": status,
        "states": _worded(states),
        "jobs": going_on,
        "failed": why_not_created(source, jobs),
        "tabs": tabs(request, *zip(labels, urls, strict=True)),
        "is_live": True,
        "seconds": 4 if is_busy else 30,
        "can_edit": role_in(request.user, project) == EDITOR,
    }
    return context | {"stamp": source.presence}, source.presence


def _worded(states: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """(status, its word, how many), in the order in which states are always told."""
    order = [*STATUSES]
    known = sorted(states, key=lambda s: order.index(s) if s in order else len(order))
    return [(state, STATUSES.get(state, state), states[state]) for state in known]


def _connection(source: WarehouseSource) -> list[tuple[str, Any]]:
    """(label, value) of what may be shown of a connection."""
    warehouse = WAREHOUSES.get(source.warehouse_type)
    found = []
    for name, value in source.connection.items():
        field = warehouse.field(name) if warehouse else None
        label = field.label if field else name
        found.append((label, dict(field.choices).get(value, value) if field else value))
    return found


def _names_of_secrets(source: WarehouseSource) -> list[str] | None:
    """Which secrets are set. None when no key opens them."""
    names = source.secret_names
    if names is None:
        return None
    warehouse = WAREHOUSES.get(source.warehouse_type)
    fields = [warehouse.field(name) if warehouse else None for name in names]
    return [f.label if f else name for name, f in zip(names, fields, strict=True)]
