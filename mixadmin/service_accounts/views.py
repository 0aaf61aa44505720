from datetime import UTC, datetime

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, Value
from django.db.models.functions import Coalesce
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
from mixadmin.audit.models import Entry
from mixadmin.common.forms import errors_to_form, posted
from mixadmin.common.pages import (
    chips,
    choice,
    count_by,
    filters,
    listing,
    page,
    paged,
    part,
    search,
    show_list,
    sorting,
    total,
)
from mixadmin.common.states import PRESENT, verification_words
from mixadmin.jobs.models import Job
from mixadmin.projects.access import NotPermitted, visible_jobs
from mixadmin.projects.models import Project

from . import actions
from .forms import (
    AccountForm,
    CreateThereForm,
    MembershipForm,
    NotesForm,
    NothingForm,
    SecretForm,
)
from .models import ServiceAccount, may_change


def get_account(user: User, pk: int, *, change: bool = False) -> ServiceAccount:
    """The service account, if `user` may see it. Http404 or NotPermitted."""
    account = ServiceAccount.objects.visible_to(user).filter(pk=pk).first()
    if account is None:
        raise Http404("There is no such service account.")
    if change and not may_change(user, account):
        raise NotPermitted(
            "Only its owner, or an editor of all projects that use it, may change "
            f"the service account {account.username}."
        )
    return account


NEVER = datetime(9999, 1, 1, tzinfo=UTC)
SORTS = {
    "username": ("username", "pk"),
    "region": ("region", "username", "pk"),
    "presence": ("presence", "username", "pk"),
    "state": ("verification", "username", "pk"),
    # Those that never end come last.
    "expires": ("ends_at", "pk"),
}


@listing
@page
def account_list(request: Request) -> HttpResponse:
    visible = ServiceAccount.objects.visible_to(request.user)
    if words := search(request):
        visible = visible.filter(username__icontains=words)
    if region := choice(request, "region", Project.Region.values):
        visible = visible.filter(region=region)
    states = {(s.value or "never"): str(s.label) for s in ServiceAccount.Verification}
    state = choice(request, "state", states)
    counts = count_by(visible, "verification")
    counts["never"] = counts.pop("", 0)
    mine = Project.objects.visible_to(request.user)
    rows = visible.annotate(
        used_by=Count("projects", filter=Q(projects__in=mine.values("pk"))),
        ends_at=Coalesce("expires_at", Value(NEVER)),
    )
    if state:
        rows = rows.filter(verification="" if state == "never" else state)
    order = sorting(request, SORTS, "username")
    number = total(counts, state)
    context = {
        "paged": paged(request, rows, order=order.order, total=number),
        "sorting": order,
        "regions": Project.Region.choices,
        "tallies": chips(request, "state", states.items(), counts),
        "filters": filters(
            request,
            q=("Username", None),
            region=("Region", dict(Project.Region.choices)),
            state=("Verification", states),
        ),
        "now": timezone.now(),
    }
    return show_list(
        request,
        context,
        whole="service_accounts/list.html",
        fragment="service_accounts/_table.html",
    )


@page
def account_create(request: Request) -> HttpResponse:
    form = AccountForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            account = actions.add_service_account(
                actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"{account.username} was added.")
            return redirect(account)
    context = {"form": form}
    return render(request, "service_accounts/form.html", context, status=form.status)


@page
def account_detail(request: Request, pk: int) -> HttpResponse:
    account = get_account(request.user, pk)
    about = Q(service_account=account) | Q(
        target_type="service_accounts.serviceaccount", target_id=str(account.pk)
    )
    jobs = visible_jobs(request.user).filter(about).order_by("-created_at", "-pk")
    latest: list[Job] = list(jobs[:10])
    context = {
        "account": account,
        "may_edit": may_change(request.user, account),
        "jobs": latest,
        "is_live": any(not job.is_ended for job in latest),
        "projects": Project.objects.visible_to(request.user).filter(
            service_account=account
        ),
    }
    if request.htmx:
        return part(request, "service_accounts/_detail.html", context, account.presence)
    context["entries"] = Entry.objects.filter(
        target_type="service_accounts.serviceaccount", target_id=str(account.pk)
    )[:15]
    return render(request, "service_accounts/detail.html", context)


@page
def account_edit(request: Request, pk: int) -> HttpResponse:
    account = get_account(request.user, pk, change=True)
    names = ("organization_id", "role", "expires_at")
    initial = {name: getattr(account, name) for name in names}
    form = NotesForm(posted(request), initial=initial)
    if form.is_valid():
        with errors_to_form(form):
            actions.change_service_account(
                account=account, actor=request.user, **form.cleaned_data
            )
            messages.success(request, "The service account was changed.")
            return redirect(account)
    context = {"form": form, "account": account, "title": f"Edit {account.username}"}
    return render(request, "service_accounts/form.html", context, status=form.status)


@page
def account_secret(request: Request, pk: int) -> HttpResponse:
    account = get_account(request.user, pk, change=True)
    form = SecretForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            actions.set_secret(account=account, actor=request.user, **form.cleaned_data)
            messages.success(request, f"Stored. {account.verification_detail}")
            return redirect(account)
    title = f"Set a new secret for {account.username}"
    context = {"form": form, "account": account, "title": title}
    return render(request, "service_accounts/form.html", context, status=form.status)


@require_POST
@page
def account_verify(request: Request, pk: int) -> HttpResponse:
    account = get_account(request.user, pk, change=True)
    actions.verify_service_account(account=account, actor=request.user)
    works = account.verification == ServiceAccount.Verification.WORKS
    tell = messages.success if works else messages.error
    tell(request, verification_words(account))
    return redirect(account)


@page
def account_forget(request: Request, pk: int) -> HttpResponse:
    account = get_account(request.user, pk, change=True)
    form = NothingForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            actions.forget_service_account(account=account, actor=request.user)
            messages.success(request, f"{account.username} is forgotten here.")
            return redirect("service_accounts:list")
    context = {"form": form, "account": account}
    return render(request, "service_accounts/forget.html", context, status=form.status)


# --- Through the organization API -----------------------------------------------------


@page
def organization(request: Request, pk: int) -> HttpResponse:
    """The organization's service accounts, as Mixpanel lists them at this moment."""
    via = get_account(request.user, pk, change=True)
    try:
        found = actions.list_at_mixpanel(via=via, actor=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return redirect("service_accounts:edit", via.pk)
    # An organization has projects in all regions, and one account may serve them all.
    of_organization = Q(region=via.region) | Q(organization_id=via.organization_id)
    registered = ServiceAccount.objects.visible_to(request.user).filter(
        of_organization,
        presence__in=PRESENT,
        username__in=[remote.username for remote in found],
    )
    here: dict[str, ServiceAccount] = {}
    for account in registered:
        if account.region == via.region or account.username not in here:
            here[account.username] = account
    context = {
        "account": via,
        "rows": [(remote, here.get(remote.username)) for remote in found],
    }
    return render(request, "service_accounts/organization.html", context)


@page
def organization_create(request: Request, pk: int) -> HttpResponse:
    via = get_account(request.user, pk, change=True)
    form = CreateThereForm(posted(request))
    if form.is_valid():
        values = dict(form.cleaned_data)
        project = {"id": values.pop("project_id"), "role": values.pop("project_role")}
        with errors_to_form(form):
            _, job = actions.create_at_mixpanel(
                via=via,
                actor=request.user,
                projects=[project] if project["id"] else [],
                **values,
            )
            return redirect(job)
    title = "Create a service account at Mixpanel"
    context = {"form": form, "account": via, "title": title}
    return render(request, "service_accounts/form.html", context, status=form.status)


@page
def organization_membership(request: Request, pk: int, member: int) -> HttpResponse:
    via = get_account(request.user, pk, change=True)
    account = get_account(request.user, member, change=True)
    form = MembershipForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            job = actions.change_membership(
                account=account, via=via, actor=request.user, **form.cleaned_data
            )
            return redirect(job)
    title = f"Projects of {account.username}"
    context = {"form": form, "account": via, "title": title}
    return render(request, "service_accounts/form.html", context, status=form.status)


@page
def organization_delete(request: Request, pk: int, member: int) -> HttpResponse:
    via = get_account(request.user, pk, change=True)
    account = get_account(request.user, member, change=True)
    form = NothingForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            job = actions.delete_at_mixpanel(
                account=account, via=via, actor=request.user
            )
            return redirect(job)
    context = {"form": form, "account": account, "via": via}
    return render(request, "service_accounts/delete.html", context, status=form.status)
