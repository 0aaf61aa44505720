from datetime import UTC, datetime

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, Value
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from mixadmin.accounts.drafts import drafted, sent
from mixadmin.accounts.requests import Request
from mixadmin.common.forms import errors_to_form, posted
from mixadmin.common.pages import (
    chips,
    choice,
    count_by,
    filters,
    listing,
    page,
    paged,
    search,
    show_list,
    sorting,
    total,
)
from mixadmin.common.states import PRESENT, verification_words
from mixadmin.projects.models import Project

from . import actions
from .access import get_account
from .forms import (
    AccountForm,
    CreateThereForm,
    MembershipForm,
    NotesForm,
    NothingForm,
    SecretForm,
)
from .models import ServiceAccount

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

    def judge() -> None:
        actions.new_account(actor=request.user, **form.cleaned_data)

    if answer := drafted(request, form, judge):
        return answer
    if form.is_valid():
        with sent(request, form):
            account = actions.add_service_account(
                actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"{account.username} was added.")
            return redirect(account)
    context = {"form": form}
    return render(request, "service_accounts/form.html", context, status=form.status)


@page
def account_edit(request: Request, pk: int) -> HttpResponse:
    account = get_account(request.user, pk, change=True)
    names = ("organization_id", "role", "expires_at")
    initial = {name: getattr(account, name) for name in names}
    form = NotesForm(posted(request), initial=initial)

    def judge() -> None:
        actions.set_notes(account=account, actor=request.user, **form.cleaned_data)

    if answer := drafted(request, form, judge):
        return answer
    if form.is_valid():
        with sent(request, form):
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
