"""The pages of one service account. What changes it is in views.py."""

from typing import Any

from django.db.models import Count, IntegerField, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse

from mixadmin.accounts.requests import Request
from mixadmin.common.pages import page, part, tabs
from mixadmin.common.states import PRESENT
from mixadmin.common.timeline import Source, timeline
from mixadmin.jobs.models import Job, Poll
from mixadmin.projects import timelines
from mixadmin.projects.access import visible_jobs
from mixadmin.projects.models import Project, ProjectQuerySet
from mixadmin.projects.standing import unfinished

from .access import get_account
from .models import ServiceAccount, may_change
from .sentences import account_status

PROJECTS_SHOWN = 100


@page
def account_detail(request: Request, pk: int) -> HttpResponse:
    account = get_account(request.user, pk)
    context, stamp = _standing(request, account)
    if request.htmx:
        return part(request, "service_accounts/_status.html", context, stamp)
    mine = Project.objects.visible_to(request.user).filter(service_account=account)
    answered = Poll.objects.filter(project__service_account=account)
    extra = {
        "projects": _with_counts(mine).order_by("name", "pk")[:PROJECTS_SHOWN],
        "others": max(context["used_by"] - mine.count(), 0),
        "answered_at": answered.aggregate(at=Max("succeeded_at"))["at"],
    }
    return render(request, "service_accounts/detail.html", context | extra)


def _with_counts(projects: ProjectQuerySet) -> Any:
    """With `import_count` and `connector_count`: what stands still without the account."""

    def number(name: str) -> Coalesce:
        model = Project._meta.get_field(name).related_model
        rows = model._default_manager.filter(  # type: ignore[union-attr]
            project=OuterRef("pk"), presence__in=PRESENT
        )
        counted = rows.order_by().values("project").annotate(n=Count("pk")).values("n")
        return Coalesce(Subquery(counted, output_field=IntegerField()), 0)

    return projects.annotate(
        import_count=number("warehouse_imports"), connector_count=number("connectors")
    )


@page
def account_timeline(request: Request, pk: int) -> HttpResponse:
    account = get_account(request.user, pk)
    context, stamp = _standing(request, account)
    if request.htmx:
        return part(request, "service_accounts/_status.html", context, stamp)
    about = visible_jobs(request.user) & Job.objects.for_target(account)
    about = about.select_related("actor")
    sources = [
        timelines.changes(account),
        Source("jobs", "Jobs", about, "created_at", "_timeline_job.html"),
    ]
    extra = {"timeline": timeline(request, sources)}
    return render(request, "service_accounts/timeline.html", context | extra)


def _standing(request: Request, account: ServiceAccount) -> tuple[dict[str, Any], str]:
    """What stands on every page of an account, and the stamp of its live part."""
    about = Q(service_account=account) | Q(
        target_type=account._meta.label_lower, target_id=str(account.pk)
    )
    visible = visible_jobs(request.user).filter(about).exclude(state__in=Job.ENDED)
    jobs = list(visible.order_by("-created_at", "-pk")[:10])
    going_on = unfinished(jobs)
    waiting = (
        job
        for job in jobs
        if job.state == Job.State.NEEDS_DECISION
        and job.target_type == account._meta.label_lower
    )
    used_by = account.projects.count()
    stamp = f"{account.presence} {account.verification} {account.verified_at}"
    context = {
        "account": account,
        "used_by": used_by,
        "status": account_status(account, used_by=used_by, job=next(waiting, None)),
        "can_edit": may_change(request.user, account),
        "jobs": going_on,
        "tabs": tabs(
            request,
            *(
                (label, reverse(f"service_accounts:{name}", args=[account.pk]))
                for label, name in (("Overview", "detail"), ("Timeline", "timeline"))
            ),
        ),
        "is_live": True,
        "seconds": 4 if going_on else 30,
        "stamp": stamp,
    }
    return context, stamp
