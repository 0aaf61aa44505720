from collections.abc import Callable
from datetime import timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db.models import Model, QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mixadmin.accounts.requests import Request
from mixadmin.audit.models import Entry
from mixadmin.common import bulk
from mixadmin.common.clock import db_now
from mixadmin.common.errors import Wait
from mixadmin.common.pages import (
    Chip,
    chips,
    choice,
    count_by,
    csv_file,
    filters,
    listing,
    page,
    paged,
    part,
    refusal,
    search,
    show_list,
    sorting,
    total,
    url_with,
)
from mixadmin.common.status import Fix
from mixadmin.projects.access import (
    EDITOR,
    get_job,
    get_project,
    role_in,
    visible_jobs,
)
from mixadmin.projects.models import Project

from . import actions
from .bulk import JOBS
from .forms import DecisionForm
from .models import Job
from .sentences import job_status

# What the list may be limited to besides single states.
SHOW = (("attention", "Needs attention"), ("unfinished", "Not finished"))
SORTS = {
    "asked": ("-created_at", "-pk"),
    "title": ("title", "pk"),
    "state": ("state", "-created_at", "-pk"),
    "attempts": ("-attempt_count", "-created_at", "-pk"),
}
COLUMNS: dict[str, Callable[[Any], Any]] = {
    "Job": attrgetter("title"),
    "State": lambda job: job.get_state_display(),
    "Project": attrgetter("project"),
    "Asked by": lambda job: job.actor or "mixadmin",
    "Asked at (UTC)": attrgetter("created_at"),
    "Ended at (UTC)": attrgetter("ended_at"),
    "Attempts": attrgetter("attempt_count"),
    "Error": attrgetter("error_kind"),
    "Error message": attrgetter("error_message"),
    "Id": attrgetter("pk"),
}


@listing
@page
def job_list(request: Request) -> HttpResponseBase:
    project, jobs, rows = _asked(request)
    order = sorting(request, SORTS, "asked")
    if "export" in request.GET:
        return csv_file("jobs", COLUMNS, rows.order_by(*order.order))
    counts = count_by(jobs, "state")
    show, state = request.GET.get("show", ""), request.GET.get("state", "")
    number = rows.count() if show else total(counts, state)
    unfinished = sum(n for s, n in counts.items() if s not in Job.ENDED)
    visible = Project.objects.visible_to(request.user).order_by("name")
    context = {
        "project": project,
        "projects": visible,
        "paged": paged(request, rows, order=order.order, total=number),
        "sorting": order,
        "tallies": chips(request, "state", Job.State.choices, counts),
        "chips": _show_chips(request, show, jobs, unfinished),
        "filters": filters(
            request,
            q=("Words", None),
            project=("Project", {str(project.pk): project.name} if project else {}),
            state=("State", dict(Job.State.choices)),
            show=("Show", dict(SHOW)),
        ),
        "export_url": url_with(request, export="csv"),
        "bulk": bulk.bar(request, JOBS, reverse("jobs:bulk"), number),
        # A state that waits for a person changes only when somebody comes.
        "is_live": unfinished > counts.get(Job.State.NEEDS_DECISION, 0),
    }
    return show_list(
        request, context, whole="jobs/list.html", fragment="jobs/_table.html"
    )


def _asked(request: Request) -> tuple[Project | None, QuerySet[Job], QuerySet[Job]]:
    """(the project, its jobs with the words, those of them in the states) that the URL
    asks for; all that the person may see, without a project."""
    jobs = visible_jobs(request.user)
    project = None
    if number := request.GET.get("project", ""):
        if not (number.isdecimal() and number.isascii() and len(number) < 19):
            raise BadRequest("There is no such project.")
        project = get_project(request.user, int(number))
        jobs = Job.objects.filter(project=project)
    if words := search(request):
        jobs = jobs.filter(title__icontains=words)
    show = choice(request, "show", [value for value, _ in SHOW])
    state = choice(request, "state", Job.State.values)
    rows = _limited(jobs, show, state).select_related("project", "actor")
    return project, jobs, rows


@require_POST
@page
def job_bulk(request: Request) -> HttpResponse:
    project, _, rows = _asked(request)
    return bulk.answer(
        request,
        JOBS,
        rows=visible_jobs(request.user).select_related("project", "service_account"),
        matching=rows.order_by(*SORTS["asked"]),
        list_url=reverse("jobs:list"),
        context={"project": project},
    )


def _limited(jobs: QuerySet[Job], show: str, state: str) -> QuerySet[Job]:
    if show == "attention":
        jobs = jobs & Job.objects.needing_attention()
    elif show == "unfinished":
        jobs = jobs & Job.objects.unfinished()
    return jobs.filter(state=state) if state else jobs


def _show_chips(
    request: Request, show: str, jobs: QuerySet[Job], unfinished: int
) -> list[Chip]:
    attention = (jobs & Job.objects.needing_attention()).count()
    numbers = {"attention": attention, "unfinished": unfinished}
    return [
        Chip(
            value,
            label,
            numbers[value],
            url_with(request, show="" if value == show else value),
            value == show,
        )
        for value, label in SHOW
    ]


@page
def job_detail(request: Request, pk: UUID) -> HttpResponse:
    job = get_job(request.user, pk)
    may_edit = job.project is None or role_in(request.user, job.project) == EDITOR
    target = target_of(job)
    where = getattr(target, "get_absolute_url", None)
    fix = None
    if where is not None:
        fix = Fix(f"Open {str(target)[:60]}", where(), needs_editor=False)
    context: dict[str, Any] = {
        "job": job,
        "project": job.project,
        "may_edit": may_edit,
        "status": job_status(job, fix),
        "target_fix": fix,
        "attempts": job.attempts.all(),
        "target": target,
        "is_long": actions.is_long(job.task),
        "heard_ago": _heard_ago(job),
        "is_live": not job.is_ended and job.state != Job.State.NEEDS_DECISION,
    }
    if request.htmx:
        return part(request, "jobs/_detail.html", context, job.state)
    about = {"target_type": job._meta.label_lower, "target_id": str(pk)}
    context |= {"entries": Entry.objects.filter(**about)[:30], "here": True}
    return render(request, "jobs/detail.html", context)


def _heard_ago(job: Job) -> timedelta | None:
    """How long its worker has been silent; None where no worker has it."""
    if job.state not in Job.HELD or job.heard_at is None:
        return None
    seconds = (db_now() - job.heard_at).total_seconds()
    return timedelta(seconds=max(0, int(seconds)))


def target_of(job: Job) -> Model | None:
    """The row that the job is about, if it is still here."""
    try:
        model: Any = apps.get_model(job.target_type)
    except (LookupError, ValueError):
        return None
    found: Model | None = model.objects.filter(pk=job.target_id).first()
    return found


@require_POST
@page
def job_retry(request: Request, pk: UUID) -> HttpResponse:
    job = get_job(request.user, pk, EDITOR)
    actions.retry_job(job=job, actor=request.user)
    messages.success(request, "It is tried again now.")
    return redirect(job)


@require_POST
@page
def job_cancel(request: Request, pk: UUID) -> HttpResponse:
    job = get_job(request.user, pk, EDITOR)
    actions.cancel_job(job=job, actor=request.user)
    messages.success(request, _cancelled(job))
    return redirect(job)


def _cancelled(job: Job) -> str:
    if job.state != Job.State.CANCELLED:
        return (
            "It is being sent at this moment. It is cancelled as soon as it is known "
            "what became of that, and is not sent again."
        )
    if job.attempt_count:
        sent = "Nothing more is sent; look what an earlier attempt has changed."
        return f"The job is cancelled. {sent}"
    return "The job is cancelled. Nothing was sent."


@require_POST
@page
def job_decide(request: Request, pk: UUID) -> HttpResponse:
    job = get_job(request.user, pk, EDITOR)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        raise BadRequest("A decision names a choice and perhaps a candidate.")
    try:
        actions.decide_job(job=job, actor=request.user, **form.cleaned_data)
    except Wait as wait:
        return refusal(request, wait.message, status=503, until=wait.until)
    messages.success(request, "Decided.")
    return redirect(job)


@require_POST
@page
def job_dismiss(request: Request, pk: UUID) -> HttpResponse:
    job = get_job(request.user, pk, EDITOR)
    actions.dismiss_job(job=job, actor=request.user)
    messages.success(request, "It no longer shows under what needs attention.")
    return redirect(job)
