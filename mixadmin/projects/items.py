"""The pages of one project. What changes it is in views.py."""

import json
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from mixadmin.accounts.requests import Request
from mixadmin.common.pages import count_by, csv_file, page, part, url_with
from mixadmin.common.states import STATUSES, Presence
from mixadmin.common.timeline import timeline
from mixadmin.jobs.models import Job

from . import timelines
from .access import EDITOR, get_project, role_in
from .models import Project
from .sentences import project_status
from .standing import project_tabs, unfinished

# The audit trail of a project as lines of a CSV.
CHANGES: dict[str, Callable[[Any], Any]] = {
    "At (UTC)": attrgetter("at"),
    "Who": attrgetter("actor_name"),
    "Did": attrgetter("verb"),
    "What": attrgetter("target_name"),
    "Type": attrgetter("target_type"),
    "Id": attrgetter("target_id"),
    "Changes": lambda entry: json.dumps(entry.changes) if entry.changes else "",
}


@page
def project_detail(request: Request, pk: int) -> HttpResponse:
    project = get_project(request.user, pk)
    context, stamp = _standing(request, project)
    if request.htmx:
        return part(request, "projects/_status.html", context, stamp)
    counts = [
        ("Warehouse sources", "warehouse:source_list", project.warehouse_sources),
        ("Ingestions", "ingestion:list", project.ingestions),
        ("Lookup tables", "lookups:list", project.lookup_tables),
        ("Buckets", "files:bucket_list", project.source_buckets),
    ]
    extra = {
        "counts": [
            (label, reverse(name, args=[project.pk]), _present(rows).count())
            for label, name, rows in counts
        ],
        "polls": project.polls.order_by("name"),
        "to_adopt": project.remote_objects.count(),
        "account": project.service_account,
    }
    return render(request, "projects/detail.html", context | extra)


def _present(rows: Any) -> Any:
    """Those that a person still works with, where there are others."""
    return rows.present() if hasattr(rows, "present") else rows.all()


@page
def project_timeline(request: Request, pk: int) -> HttpResponseBase:
    project = get_project(request.user, pk)
    if "export" in request.GET:
        return csv_file("changes", CHANGES, project.entries.order_by("-pk"))
    context, stamp = _standing(request, project)
    if request.htmx:
        return part(request, "projects/_status.html", context, stamp)
    extra = {
        "timeline": timeline(request, timelines.of_project(project)),
        "export_url": url_with(request, export="csv"),
    }
    return render(request, "projects/timeline.html", context | extra)


def _standing(request: Request, project: Project) -> tuple[dict[str, Any], str]:
    """What stands on every page of a project, and the stamp of its live part."""
    # What is not in Mixpanel has its presence for a status: the index alone is read.
    absent = (Presence.NOT_CREATED, Presence.DELETED)
    states = {
        "import": count_by(
            project.warehouse_imports.exclude(status__in=absent), "status"
        ),
        "connector": count_by(project.connectors.exclude(state__in=absent), "state"),
    }
    waiting = count_by(project.jobs.needing_attention(), "state")
    jobs = list(project.jobs.unfinished().order_by("-created_at", "-pk")[:10])
    going_on = unfinished(jobs)
    order = [*STATUSES]
    stamp = f"{project.verification} {project.verified_at}"
    context = {
        "project": project,
        "status": project_status(
            project,
            undecided=waiting.get(Job.State.NEEDS_DECISION, 0),
            states=states,
        ),
        "health": [
            (
                label,
                reverse(name, args=[project.pk]),
                [
                    (state, STATUSES.get(state, state), states[word][state])
                    for state in sorted(
                        states[word],
                        key=lambda s: order.index(s) if s in order else len(order),
                    )
                ],
            )
            for label, name, word in (
                ("Warehouse imports", "warehouse:import_list", "import"),
                ("Cloud connectors", "connectors:list", "connector"),
            )
        ],
        "waiting": [
            (state, Job.State(state).label, n) for state, n in sorted(waiting.items())
        ],
        "jobs": going_on,
        "tabs": project_tabs(request, project),
        "is_live": True,
        "seconds": 4 if going_on else 30,
        "can_edit": role_in(request.user, project) == EDITOR,
        "stamp": stamp,
    }
    return context, stamp
