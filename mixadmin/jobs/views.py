from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db.models import Model, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from mixadmin.accounts.requests import Request
from mixadmin.common.errors import Wait
from mixadmin.common.pages import (
    Chip,
    chips,
    choice,
    count_by,
    page,
    paged,
    refusal,
    search,
    url_with,
)
from mixadmin.projects.access import (
    EDITOR,
    get_job,
    get_project,
    role_in,
    visible_jobs,
)
from mixadmin.projects.models import Project

from . import actions
from .forms import DecisionForm
from .models import Job

# What the list may be limited to besides single states.
SHOW = (("attention", "Needs attention"), ("unfinished", "Not finished"))


@page
def job_list(request: Request) -> HttpResponse:
    jobs = visible_jobs(request.user)
    project = None
    if number := request.GET.get("project", ""):
        if not (number.isdecimal() and number.isascii() and len(number) < 19):
            raise BadRequest("There is no such project.")
        project = get_project(request.user, int(number))
        jobs = jobs.filter(project=project)
    if words := search(request):
        jobs = jobs.filter(title__icontains=words)
    counts = count_by(jobs, "state")
    show = choice(request, "show", [value for value, _ in SHOW])
    state = choice(request, "state", Job.State.values)
    rows = _limited(jobs, show, state).select_related("project", "actor")
    unfinished = sum(n for s, n in counts.items() if s not in Job.ENDED)
    context = {
        "project": project,
        "projects": Project.objects.visible_to(request.user).order_by("name"),
        "paged": paged(request, rows, order=("-created_at", "-pk")),
        "chips": [
            *chips(request, "state", Job.State.choices, counts),
            *_show_chips(request, show, jobs, unfinished),
        ],
        "q": words,
        "state": state,
        "show": show,
        "is_filtered": bool(state or show or words),
        # A state that waits for a person changes only when somebody comes.
        "is_live": unfinished > counts.get(Job.State.NEEDS_DECISION, 0),
    }
    template = "jobs/_table.html" if request.htmx else "jobs/list.html"
    return render(request, template, context)


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
    context = {
        "job": job,
        "project": job.project,
        "may_edit": may_edit,
        "attempts": job.attempts.all(),
        "target": target_of(job),
        "is_live": not job.is_ended and job.state != Job.State.NEEDS_DECISION,
    }
    template = "jobs/_detail.html" if request.htmx else "jobs/detail.html"
    return render(request, template, context)


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
    sent = (
        "Nothing more is sent; look what an earlier attempt has changed."
        if job.attempt_count
        else "Nothing was sent."
    )
    messages.success(request, f"The job is cancelled. {sent}")
    return redirect(job)


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
