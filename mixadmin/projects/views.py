from django.contrib import messages
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
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
from mixadmin.common.states import verification_words
from mixadmin.common.status import many
from mixadmin.jobs.models import Job
from mixadmin.service_accounts.models import may_change

from . import actions
from .access import EDITOR, NotPermitted, get_project, role_in
from .forms import (
    AccountForm,
    DiscoverForm,
    MemberForm,
    ProjectEditForm,
    ProjectForm,
    TypedNameForm,
)
from .models import Project, ProjectQuerySet
from .standing import project_tabs

SORTS = {
    "name": ("name", "pk"),
    "id": ("mixpanel_id", "pk"),
    "region": ("region", "name", "pk"),
    "environment": ("environment", "name", "pk"),
    "state": ("verification", "name", "pk"),
}


@listing
@page
def project_list(request: Request) -> HttpResponse:
    visible = Project.objects.visible_to(request.user)
    if words := search(request):
        number = int(words) if words.isdecimal() and len(words) < 19 else 0
        visible = visible.filter(Q(name__icontains=words) | Q(mixpanel_id=number))
    if region := choice(request, "region", Project.Region.values):
        visible = visible.filter(region=region)
    states = {(s.value or "never"): str(s.label) for s in Project.Verification}
    state = choice(request, "state", states)
    counts = count_by(visible, "verification")
    counts["never"] = counts.pop("", 0)
    rows = with_job_counts(visible).select_related("service_account")
    if state:
        rows = rows.filter(verification="" if state == "never" else state)
    order = sorting(request, SORTS, "name")
    number = total(counts, state)
    context = {
        "paged": paged(request, rows, order=order.order, total=number),
        "sorting": order,
        "regions": Project.Region.choices,
        "tallies": chips(request, "state", states.items(), counts),
        "filters": filters(
            request,
            q=("Name or id", None),
            region=("Region", dict(Project.Region.choices)),
            state=("Verification", states),
        ),
    }
    return show_list(
        request, context, whole="projects/list.html", fragment="projects/_table.html"
    )


def with_job_counts(projects: ProjectQuerySet) -> ProjectQuerySet:
    """With `unfinished` and `troubled`: how many jobs go on, and need somebody."""
    jobs = Job.objects.filter(project=OuterRef("pk")).order_by()

    def number(of: object) -> Coalesce:
        counted = of.values("project").annotate(n=Count("pk")).values("n")  # type: ignore[attr-defined]
        return Coalesce(Subquery(counted), 0)

    return projects.annotate(
        unfinished=number(jobs.unfinished()), troubled=number(jobs.needing_attention())
    )


@page
def project_create(request: Request) -> HttpResponse:
    form = ProjectForm(posted(request), user=request.user)

    def judge() -> None:
        actions.new_project(actor=request.user, **form.cleaned_data)

    if answer := drafted(request, form, judge):
        return answer
    if form.is_valid():
        with sent(request, form):
            project = actions.add_project(actor=request.user, **form.cleaned_data)
            messages.success(request, f"{project.name} was added.")
            return redirect(project)
    return render(request, "projects/form.html", {"form": form}, status=form.status)


@page
def project_edit(request: Request, pk: int) -> HttpResponse:
    project = get_project(request.user, pk, EDITOR)
    names = ("name", "environment", "service_account", "organization_id", "is_b2b")
    initial = {name: getattr(project, name) for name in names}
    form = ProjectEditForm(posted(request), user=request.user, initial=initial)
    # One that the person may not see stays chosen, for whoever chose it.
    if kept := project.service_account_id:
        pick = form.fields["service_account"]
        pick.queryset = pick.queryset | pick.queryset.model.objects.filter(pk=kept)  # type: ignore[attr-defined]

    def judge() -> None:
        actions.set_values(project=project, actor=request.user, **form.cleaned_data)

    if answer := drafted(request, form, judge):
        return answer
    if form.is_valid():
        with sent(request, form):
            actions.change_project(
                project=project, actor=request.user, **form.cleaned_data
            )
            messages.success(request, "The project was changed.")
            return redirect(project)
        project.refresh_from_db()
    context = {"form": form, "project": project}
    return render(request, "projects/form.html", context, status=form.status)


@require_POST
@page
def project_verify(request: Request, pk: int) -> HttpResponse:
    project = get_project(request.user, pk, EDITOR)
    actions.verify_project(project=project, actor=request.user)
    works = project.verification == Project.Verification.WORKS
    tell = messages.success if works else messages.error
    tell(request, verification_words(project))
    return redirect(project)


@page
def project_forget(request: Request, pk: int) -> HttpResponse:
    project = get_project(request.user, pk, EDITOR)
    form = TypedNameForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            actions.forget_project(
                project=project, actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"{project.name} is forgotten here.")
            return redirect("projects:list")
    context = {
        "form": form,
        "project": project,
        "goes": [
            many(getattr(project, name).count(), one, more)
            for name, one, more in (
                ("warehouse_sources", "warehouse source", ""),
                ("warehouse_imports", "warehouse import", ""),
                ("connectors", "cloud connector", ""),
                ("ingestions", "ingestion with its reports", "ingestions with reports"),
                ("uploads", "uploaded file", ""),
                (
                    "source_buckets",
                    "bucket with its credentials",
                    "buckets with theirs",
                ),
                ("lookup_tables", "lookup table with its versions", "lookup tables"),
                ("jobs", "job", ""),
                ("memberships", "membership", ""),
            )
            if hasattr(project, name)
        ],
        "stays": [
            "The project at Mixpanel, with all its data",
            "Its sources, imports and connectors there: they go on running",
            "The service account, here",
        ],
    }
    return render(request, "projects/forget.html", context, status=form.status)


@page
def project_members(request: Request, pk: int) -> HttpResponse:
    role = EDITOR if request.method == "POST" else "viewer"
    project = get_project(request.user, pk, role)
    form = MemberForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            actions.set_member(project=project, actor=request.user, **form.cleaned_data)
            messages.success(request, "The members were changed.")
            return redirect("projects:members", project.pk)
    context = {
        "form": form,
        "project": project,
        "may_edit": role_in(request.user, project) == EDITOR,
        "members": project.memberships.select_related("user").order_by(
            "user__username"
        ),
        "tabs": project_tabs(request, project),
    }
    return render(request, "projects/members.html", context, status=form.status)


@require_POST
@page
def member_remove(request: Request, pk: int, member: int) -> HttpResponse:
    project = get_project(request.user, pk, EDITOR)
    membership = get_object_or_404(
        project.memberships.select_related("user"), pk=member
    )
    username = membership.user.username
    actions.remove_member(project=project, actor=request.user, username=username)
    messages.success(request, f"{username} is no longer a member.")
    left = membership.user_id == request.user.pk and not request.user.is_superuser
    return redirect("projects:list") if left else redirect("projects:members", pk)


@page
def project_discover(request: Request) -> HttpResponse:
    """Choose a service account; tick what it sees; add it."""
    asked = AccountForm(request.GET or None, user=request.user)
    if not asked.is_valid() or asked.cleaned_data["account"] is None:
        return render(
            request, "projects/discover.html", {"asked": asked}, status=asked.status
        )
    account = asked.cleaned_data["account"]
    if not may_change(request.user, account):
        raise NotPermitted(
            "Only its owner, or an editor of all projects that use it, may look for "
            f"projects with {account.username}."
        )
    form = DiscoverForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            added = actions.add_discovered(
                account=account, actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"Added: {len(added)}.")
            return redirect("projects:list")
    found = actions.discover_projects(account=account, actor=request.user)
    ticked = set(form.cleaned_data.get("mixpanel_ids", [])) if form.is_bound else set()
    context = {
        "asked": asked,
        "account": account,
        "form": form,
        "found": found,
        "ticked": ticked,
    }
    return render(request, "projects/discover.html", context, status=form.status)
