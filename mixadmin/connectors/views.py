import re
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
from mixadmin.audit.models import Entry
from mixadmin.common.forms import errors_to_form, posted
from mixadmin.common.pages import choice, page, paged, part
from mixadmin.common.states import STATUSES, UNFINISHED_RUN, Presence
from mixadmin.jobs.models import Job
from mixadmin.projects.access import EDITOR, VIEWER, get_project, role_in
from mixadmin.projects.models import Project

from . import actions
from .forms import AdoptForm, ConnectorForm, DeleteForm
from .kinds import DATA_FORMATS, FILE_ADVICE, KINDS
from .lists import adoptable, closed
from .models import Connector, ConnectorRun

GOING_ON = (Presence.PENDING, Presence.DELETING, *UNFINISHED_RUN)
RUNS_PER_PAGE = 30


@page
def connector_create(request: Request, project_id: int) -> HttpResponse:
    """`?copy=` fills the form from a connector, because none can be changed."""
    project = get_project(request.user, project_id, EDITOR)
    data = posted(request)
    copied = None
    if data is not None:
        slug = data.get("connector_type", "")
    elif request.GET.get("copy"):
        copied = _copied(project, request.GET["copy"])
        slug = copied.connector_type
    else:
        slug = choice(request, "type", KINDS)
    kind = KINDS.get(slug)
    form = ConnectorForm(data, kind=kind, copied=copied)
    if form.is_valid():
        with errors_to_form(form):
            connector, _ = actions.create_connector(
                project=project, actor=request.user, **form.wanted()
            )
            messages.success(request, f"{connector} is being created.")
            return redirect(connector)
    context = {
        "project": project,
        "form": form,
        "kind": kind,
        "kinds": KINDS.values(),
        "formats": DATA_FORMATS.values(),
        "advice": FILE_ADVICE,
        "closed": closed(project),
    }
    return render(request, "connectors/form.html", context, status=form.status)


def _copied(project: Project, key: str) -> Connector:
    rows = Connector.objects.filter(project=project, connector_type__in=list(KINDS))
    known = re.fullmatch(r"[0-9]{1,18}", key)
    connector: Connector = get_object_or_404(rows, pk=int(key) if known else 0)
    return connector


@page
def connector_detail(request: Request, project_id: int, pk: int) -> HttpResponse:
    connector = _connector(request.user, project_id, pk)
    runs = ConnectorRun.objects.filter(connector=connector)
    found = paged(request, runs, order=("-at", "-pk"), size=RUNS_PER_PAGE)
    for run in found.rows:
        run.connector = connector
    last = connector.last_run
    jobs = list(Job.objects.for_target(connector)[:10])
    context = {
        "project": connector.project,
        "connector": connector,
        "state": STATUSES.get(connector.state, connector.state),
        "last": last,
        "books": books(last) if last else None,
        "paged": found,
        "jobs": jobs,
        "failed": _why_not_created(connector, jobs),
        "is_live": connector.state in GOING_ON or _is_busy(jobs),
        "can_edit": _can_edit(request.user, connector.project),
    }
    if request.htmx:
        return part(request, "connectors/_status.html", context, connector.presence)
    target = {"target_type": connector._meta.label_lower, "target_id": str(pk)}
    context |= {
        "settings": _settings(connector),
        "entries": Entry.objects.filter(**target)[:30],
    }
    return render(request, "connectors/detail.html", context)


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


def books(run: ConnectorRun) -> dict[str, Any]:
    """Whether the counters of a run add up: processed = imported + dropped.

    `missing` is None while one of them is not known or the run goes on.
    """
    counts = (
        run.num_events_processed,
        run.num_events_imported,
        run.num_events_dropped,
    )
    missing = None
    if run.state not in UNFINISHED_RUN and None not in counts:
        processed, imported, dropped = (count or 0 for count in counts)
        missing = processed - imported - dropped
    return {"missing": missing}


@page
def connector_delete(request: Request, project_id: int, pk: int) -> HttpResponse:
    connector = _connector(request.user, project_id, pk, EDITOR)
    form = DeleteForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            actions.delete_connector(
                connector=connector, actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"{connector} is being deleted.")
            return redirect(connector)
    context = {"project": connector.project, "connector": connector, "form": form}
    return render(request, "connectors/delete.html", context, status=form.status)


@require_POST
@page
def connector_forget(request: Request, project_id: int, pk: int) -> HttpResponse:
    connector = _connector(request.user, project_id, pk, EDITOR)
    actions.forget_connector(connector=connector, actor=request.user)
    messages.success(request, f"{connector} is removed from these pages.")
    return redirect("connectors:list", project_id)


@page
def run_detail(request: Request, project_id: int, pk: int, run_pk: int) -> HttpResponse:
    connector = _connector(request.user, project_id, pk)
    runs = ConnectorRun.objects.filter(connector=connector)
    run = get_object_or_404(runs, pk=run_pk)
    creation = Job.objects.for_target(connector).filter(task="connectors.create")
    context = {
        "project": connector.project,
        "connector": connector,
        "run": run,
        "books": books(run),
        "created_by": creation.select_related("actor").order_by("created_at").last(),
        "is_live": run.state in UNFINISHED_RUN,
    }
    template = "_run.html" if request.htmx else "run_detail.html"
    return render(request, f"connectors/{template}", context)


@page
def adopt_remote(request: Request, project_id: int) -> HttpResponse:
    project = get_project(request.user, project_id, EDITOR)
    found = list(adoptable(project))
    form = AdoptForm(posted(request), found=found)
    if form.is_valid():
        with errors_to_form(form):
            rows = actions.adopt(
                project=project, actor=request.user, **form.cleaned_data
            )
            names = ", ".join(str(row) for row in rows[:5])
            more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
            messages.success(request, f"Now managed here: {names}{more}.")
            return redirect("connectors:list", project_id)
    context = {
        "project": project,
        "form": form,
        "found": found,
        "list_url": reverse("connectors:list", args=[project.pk]),
    }
    return render(request, "connectors/adopt.html", context, status=form.status)


def _connector(user: User, project_id: int, pk: int, role: str = VIEWER) -> Connector:
    """The connector, with its last run."""
    project = get_project(user, project_id, role)
    rows = Connector.objects.select_related("last_run")
    connector: Connector = get_object_or_404(rows, project=project, pk=pk)
    connector.project = project
    if connector.last_run:
        connector.last_run.connector = connector
    return connector


def _can_edit(user: User, project: Project) -> bool:
    return role_in(user, project) == EDITOR


def _is_busy(jobs: Iterable[Job]) -> bool:
    """Whether something moves on by itself; a decision waits for a person."""
    still = (*Job.ENDED, Job.State.NEEDS_DECISION)
    return any(job.state not in still for job in jobs)


def _why_not_created(connector: Connector, jobs: Iterable[Job]) -> Job | None:
    """The job that should have created it, where it did not."""
    if connector.presence != Presence.NOT_CREATED:
        return None
    return next((job for job in jobs if job.task == "connectors.create"), None)
