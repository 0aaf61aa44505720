"""The pages of one connector and one run. What changes them is in views.py."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from mixadmin.accounts.requests import Request
from mixadmin.common import curl
from mixadmin.common.charts import Chart, Part, stacked
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
from mixadmin.common.states import UNFINISHED_RUN, Presence, RunState
from mixadmin.common.timeline import Source, timeline
from mixadmin.jobs.models import Job
from mixadmin.mixpanel.regions import REGIONS
from mixadmin.projects import runs, timelines
from mixadmin.projects.access import EDITOR, role_in
from mixadmin.projects.standing import (
    in_the_way,
    newest_jobs,
    unfinished,
    why_not_created,
)

from .access import get_connector
from .kinds import DATA_FORMATS, KINDS
from .models import Connector, ConnectorRun
from .sentences import connector_status

RUNS_PER_PAGE = 30
COLUMNS: dict[str, Callable[[Any], Any]] = {
    **runs.COLUMNS,
    "Events processed": attrgetter("num_events_processed"),
    "Events dropped": attrgetter("num_events_dropped"),
    "Error": attrgetter("error_message"),
}
LATEST_RUNS = 5
GOING_ON = (Presence.PENDING, Presence.DELETING)
STATUS = "connectors/_status.html"


@page
def connector_detail(request: Request, project_id: int, pk: int) -> HttpResponse:
    connector = get_connector(request.user, project_id, pk)
    context, stamp = _standing(request, connector)
    if request.htmx:
        return part(request, STATUS, context, stamp)
    newest = _of(connector, runs.newest(connector.runs.all()))
    last = connector.last_run
    extra = {
        # One run is the rule; a line of one point tells nothing.
        "charts": runs.run_charts(newest) if len(newest) > 1 else [],
        "counts": counts_chart(last, "Records of the newest run") if last else None,
        "missing": missing(last) if last else None,
        "latest": newest[:LATEST_RUNS],
        "bucket": next(
            (
                connector.connector_properties[name]
                for name in ("gcs_bucket", "s3_bucket")
                if connector.connector_properties.get(name)
            ),
            "",
        ),
        "account": connector.project.service_account,
        "kind": KINDS.get(connector.connector_type),
    }
    return render(request, "connectors/detail.html", context | extra)


@page
def connector_runs(request: Request, project_id: int, pk: int) -> HttpResponseBase:
    connector = get_connector(request.user, project_id, pk)
    context, stamp = _standing(request, connector)
    if request.htmx:
        return part(request, STATUS, context, stamp)
    known = ConnectorRun.objects.filter(connector=connector)
    counts = count_by(known.filter(is_gap=False), "state")
    state = choice(request, "state", RunState.values)
    shown = known.filter(is_gap=False, state=state) if state else known
    shown = shown.defer("raw")
    if "export" in request.GET:
        return csv_file("runs", COLUMNS, shown.order_by("-at", "-pk"))
    found = paged(request, shown, order=("-at", "-pk"), size=RUNS_PER_PAGE)
    _of(connector, found.rows)
    extra = {
        "paged": found,
        "state": state,
        "chips": chips(request, "state", RunState.choices, counts),
        "export_url": url_with(request, export="csv"),
    }
    return render(request, "connectors/runs.html", context | extra)


@page
def connector_timeline(request: Request, project_id: int, pk: int) -> HttpResponse:
    connector = get_connector(request.user, project_id, pk)
    context, stamp = _standing(request, connector)
    if request.htmx:
        return part(request, STATUS, context, stamp)
    known = ConnectorRun.objects.filter(connector=connector).defer("raw")
    known = known.select_related("connector")
    sources = [
        Source(
            "runs",
            "Runs",
            known,
            "at",
            "connectors/_timeline_run.html",
            pinned=known.filter(state__in=UNFINISHED_RUN).order_by("-at", "-pk"),
        ),
        timelines.changes(connector),
        timelines.jobs(connector),
    ]
    extra = {"timeline": timeline(request, sources)}
    return render(request, "connectors/timeline.html", context | extra)


@page
def connector_configuration(request: Request, project_id: int, pk: int) -> HttpResponse:
    connector = get_connector(request.user, project_id, pk)
    context, stamp = _standing(request, connector)
    if request.htmx:
        return part(request, STATUS, context, stamp)
    project = connector.project
    body = {
        "label": connector.label,
        "connector_type": connector.connector_type,
        "connector_properties": connector.connector_properties,
        "category_properties": connector.category_properties,
    }
    ticked = connector.accepted_warnings
    ours = {**body, "accepted_warnings": ticked} if ticked else body
    where = f"/api/v1/projects/{project.pk}/connectors/"
    app = REGIONS[project.region].app_url
    url = f"{app}/projects/{project.mixpanel_id}/connectors"
    known = connector.is_known_type
    extra = {
        "settings": _settings(connector),
        "whole": body,
        "our_curl": curl.to_mixadmin("POST", where, ours) if known else "",
        "their_curl": curl.to_mixpanel("POST", url, body) if known else "",
    }
    return render(request, "connectors/configuration.html", context | extra)


def _standing(request: Request, connector: Connector) -> tuple[dict[str, Any], str]:
    """What stands on every page of a connector, and the stamp of its live part."""
    project, last = connector.project, connector.last_run
    jobs = newest_jobs(connector)
    going_on = unfinished(jobs)
    failed = why_not_created(connector, jobs)
    is_busy = bool(going_on) or connector.presence in GOING_ON
    is_busy |= last is not None and last.state in UNFINISHED_RUN
    urls = [
        reverse(f"connectors:{name}", args=[project.pk, connector.pk])
        for name in ("detail", "runs", "timeline", "configuration")
    ]
    labels = ("Overview", "Runs", "Timeline", "Configuration")
    stamp = f"{connector.presence} {connector.last_run_id} {connector.last_state}"
    context = {
        "project": project,
        "connector": connector,
        "status": connector_status(
            connector, last=last, job=in_the_way(connector, jobs)
        ),
        "last": last,
        "jobs": going_on,
        "failed": failed,
        "explained": failed or _why_failed(connector),
        "tabs": tabs(request, *zip(labels, urls, strict=True)),
        "is_live": True,
        "seconds": 4 if is_busy else 30,
        "can_edit": role_in(request.user, project) == EDITOR,
        "stamp": stamp,
    }
    return context, stamp


def _why_failed(connector: Connector) -> str:
    """What Mixpanel says of the newest run that failed, else of the connector."""
    last = connector.last_run
    if last is not None and last.state == RunState.FAILED:
        return last.error_message or connector.failure_message
    return connector.failure_message


def _of(connector: Connector, found: list[Any]) -> list[Any]:
    """The runs, knowing their connector, so that their URLs cost no query."""
    for run in found:
        run.connector = connector
    return found


def _settings(connector: Connector) -> list[tuple[str, Any]]:
    """(label, value) of bucket and content; what is not known by its own name."""
    kind = KINDS.get(connector.connector_type)
    found: list[tuple[str, Any]] = []
    for name, value in connector.connector_properties.items():
        field = kind.field(name) if kind else None
        found.append((field.label if field else name, value))
    labels = {"data_format": "Data format", "compression": "Compression"}
    for name, value in connector.category_properties.items():
        known = DATA_FORMATS.get(value) if isinstance(value, str) else None
        found.append(
            (
                labels.get(name, "Remap" if name == "property_remap" else name),
                known.label if known and name == "data_format" else value,
            )
        )
    return found


# --- One run --------------------------------------------------------------------------


@page
def run_detail(request: Request, project_id: int, pk: int, run_pk: int) -> HttpResponse:
    connector = get_connector(request.user, project_id, pk)
    known = ConnectorRun.objects.filter(connector=connector)
    run = get_object_or_404(known, pk=run_pk)
    run.connector = connector
    creation = Job.objects.for_target(connector).filter(task="connectors.create")
    context = {
        "project": connector.project,
        "connector": connector,
        "run": run,
        "counts": None if run.is_gap else counts_chart(run),
        "missing": missing(run),
        "far_off": [] if run.is_gap else runs.compared(run, runs.usual(run, known)),
        "created_by": creation.select_related("actor").order_by("created_at").last(),
        "is_live": run.state in UNFINISHED_RUN and not run.is_gap,
        "can_edit": role_in(request.user, connector.project) == EDITOR,
    }
    if request.htmx:
        return part(request, "connectors/_run.html", context)
    before, after = runs.neighbours(run, known)
    _of(connector, [other for other in (before, after) if other is not None])
    extra = {"before": before, "after": after}
    return render(request, "connectors/run_detail.html", context | extra)


def counts_chart(run: ConnectorRun, title: str = "Records of the run") -> Chart:
    """Processed = imported + dropped; what is not known, or not told, is hatched."""
    return stacked(
        [
            Part("Imported", run.num_events_imported),
            Part("Dropped", run.num_events_dropped, "bad"),
        ],
        id="counts",
        title=title,
        whole="Processed",
        total=run.num_events_processed,
    )


def missing(run: ConnectorRun) -> int | None:
    """By how much the counters do not add up: processed = imported + dropped.

    None while one of them is not known or the run goes on.
    """
    counts = (
        run.num_events_processed,
        run.num_events_imported,
        run.num_events_dropped,
    )
    if run.state in UNFINISHED_RUN or None in counts:
        return None
    processed, imported, dropped = (count or 0 for count in counts)
    return processed - imported - dropped
