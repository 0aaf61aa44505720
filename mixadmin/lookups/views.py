import shlex
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
from mixadmin.common import charts
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
    tabs,
    total,
)
from mixadmin.common.status import many
from mixadmin.common.timeline import timeline
from mixadmin.jobs.models import Job, Poll
from mixadmin.projects import timelines
from mixadmin.projects.access import EDITOR, VIEWER, get_project, role_in
from mixadmin.projects.models import Project

from . import actions, storage
from .forms import ReplaceForm, RollBackForm
from .kinds import INDEX_OF_HEADER, REPLACEMENTS, WARNINGS
from .models import LookupTable, LookupVersion
from .sentences import STATES, table_status, version_status
from .transfers import bad_rows_of, download, require_all, rows_of, takes_files

SORTS = {
    "name": ("name", "pk"),
    "newest": ("-pk",),
    "state": ("state", "name", "pk"),
}
VERSIONS_PER_PAGE = 30


@listing
@page
def table_list(request: Request, project_id: int) -> HttpResponse:
    project = get_project(request.user, project_id)
    rows: QuerySet[Any] = LookupTable.objects.filter(project=project)
    if words := search(request):
        rows = rows.filter(name__icontains=words)
    rows = rows.with_state()  # type: ignore[attr-defined]
    counts = count_by(rows, "state")
    if state := choice(request, "state", STATES):
        rows = rows.filter(state=state)
    order = sorting(request, SORTS, "name")
    found = paged(
        request,
        rows.with_current(),  # type: ignore[attr-defined]
        order=order.order,
        total=total(counts, state),
    )
    context = {
        "project": project,
        "paged": found,
        "lines": [(row, STATES.get(row.state, row.state)) for row in found.rows],
        "sorting": order,
        "tallies": chips(request, "state", STATES.items(), counts),
        "filters": filters(request, q=("Name", None), state=("State", STATES)),
        "poll": Poll.objects.filter(project=project, name=actions.POLL).first(),
        "is_live": any(row.state in LookupVersion.GOING_ON for row in found.rows),
    }
    return show_list(
        request, context, whole="lookups/list.html", fragment="lookups/_table.html"
    )


@page
def table_detail(request: Request, project_id: int, pk: int) -> HttpResponse:
    table = _table(request.user, project_id, pk)
    context = _shell(request, table, "lookups/_overview.html")
    versions = table.versions.listed()
    found = paged(request, versions, order=("-number",), size=VERSIONS_PER_PAGE)
    for version in found.rows:
        version.table = table
    left, free_at = actions.replacements_left(table)
    current = context["current"]
    context |= {
        "paged": found,
        "limit": REPLACEMENTS,
        "left": left,
        "free_at": free_at,
        "difference": _difference(current) if current else None,
        "jobs": Job.objects.for_target(table)[:10],
    }
    if request.htmx:
        return part(request, "lookups/_live.html", context, table.state)
    return render(request, "lookups/detail.html", context)


def _shell(request: Request, table: Any, body: str = "") -> dict[str, Any]:
    """What every tab shows above itself. body: what is live of the tab, if anything."""
    current = _current(table)
    uncertain = table.versions.listed().filter(may_be_there=True).first()
    newest = table.versions.listed().first()
    for version in (uncertain, newest):
        if version:
            version.table = table
    args = [table.project_id, table.pk]
    can_edit = _can_edit(request.user, table.project)
    return {
        "project": table.project,
        "table": table,
        "current": current,
        "status": table_status(
            table, newest=newest, current=current, uncertain=uncertain
        ),
        "others": "lookups/_actions.html",
        "body": body,
        # One at most is being sent, and is the newest but for one that waits.
        "is_live": table.versions.filter(state__in=LookupVersion.GOING_ON).exists(),
        "can_edit": can_edit,
        "tabs": tabs(
            request,
            ("Overview", reverse("lookups:detail", args=args)),
            ("Timeline", reverse("lookups:timeline", args=args)),
            ("Configuration", reverse("lookups:configuration", args=args)),
        ),
    }


def _difference(current: LookupVersion) -> charts.Chart | None:
    """What the last replacement changed, if it was compared."""
    found = LookupVersion.objects.values_list("difference", flat=True)
    told = found.get(pk=current.pk)
    if not told:
        return None
    names = (
        ("Added", "added", "good"),
        ("Changed", "changed", "warn"),
        ("Removed", "removed", "bad"),
        ("The same", "same", "idle"),
    )
    parts = [charts.Part(label, told[name], tone) for label, name, tone in names]
    return charts.stacked(
        parts,
        id="difference",
        title=f"What version {current.number} changed, "
        f"against version {told['against']}",
        whole="Rows of both",
        total=sum(part.value or 0 for part in parts),
    )


@page
def table_timeline(request: Request, project_id: int, pk: int) -> HttpResponse:
    """Who did what with it, and its jobs."""
    table = _table(request.user, project_id, pk)
    context = _shell(request, table)
    if request.htmx:
        return part(request, "lookups/_live.html", context, table.state)
    sources = (timelines.changes(table), timelines.jobs(table))
    context |= {"timeline": timeline(request, sources), "here": True}
    return render(request, "lookups/timeline.html", context)


@page
def table_configuration(request: Request, project_id: int, pk: int) -> HttpResponse:
    """What Mixpanel tells of it, and the call of the API that replaces it."""
    table = _table(request.user, project_id, pk)
    context = _shell(request, table)
    if request.htmx:
        return part(request, "lookups/_live.html", context, table.state)
    context["curl"] = _curl(request, table)
    return render(request, "lookups/configuration.html", context)


def _curl(request: Request, table: LookupTable) -> str:
    address = request.build_absolute_uri(
        f"/api/v1/projects/{table.project_id}/lookup-tables/{table.pk}/file/"
    )
    return " \\\n  ".join(
        (
            f"curl -X PUT {shlex.quote(address)}",
            '-H "Authorization: Token $MIXADMIN_TOKEN"',
            "-H 'Content-Type: text/csv'",
            "--data-binary @rows.csv",
        )
    )


@takes_files
@page
def table_replace(request: Request, project_id: int, pk: int) -> HttpResponse:
    table = _table(request.user, project_id, pk, EDITOR)
    data = posted(request)
    form = ReplaceForm(data, request.FILES if data is not None else None)
    if form.is_valid():
        with errors_to_form(form):
            require_all(request)
            version, job = actions.upload_version(
                table=table, actor=request.user, **form.cleaned_data
            )
            messages.success(request, actions.said(version, job))
            return redirect(version)
    left, free_at = actions.replacements_left(table)
    context = {
        "project": table.project,
        "table": table,
        "form": form,
        "warnings": WARNINGS,
        "limit": REPLACEMENTS,
        "left": left,
        "free_at": free_at,
    }
    return render(request, "lookups/replace.html", context, status=form.status)


@page
def version_detail(
    request: Request, project_id: int, pk: int, number: int
) -> HttpResponse:
    version = _version(request.user, project_id, pk, number)
    table = version.table
    current = _current(table)
    against = version.difference.get("against")
    project_rows = actions.rows_of_project(version)
    can_bring_back = actions.can_be_brought_back(version)
    context = {
        "project": table.project,
        "table": table,
        "version": version,
        "status": version_status(version, replaced=_consequence(current, version)),
        "current": current,
        "project_rows": project_rows,
        "is_old_difference": against is not None
        and version.state == LookupVersion.State.READY
        and (current is None or current.number != against),
        "refused": _beside_ours(version),
        "warnings": WARNINGS,
        "can_edit": _can_edit(request.user, table.project),
        "can_bring_back": can_bring_back,
        "form": RollBackForm(),
        "is_live": version.state in LookupVersion.GOING_ON,
    }
    if request.htmx:
        return part(request, "lookups/_version.html", context, version.state)
    return render(request, "lookups/version.html", context)


def _consequence(current: LookupVersion | None, version: LookupVersion) -> str:
    """What the button says that sends a version."""
    rows = "all rows"
    if current is not None and current.rows is not None:
        rows = f"all {many(current.rows, 'row')}"
    return f"Replace {rows} by these {version.rows or 0:,}"


def _beside_ours(version: LookupVersion) -> list[dict[str, Any]]:
    """The rows that Mixpanel refused, with the number that they have here."""
    return [
        {
            **row,
            "row": None if row["index"] is None else row["index"] - INDEX_OF_HEADER,
        }
        for row in version.refused_rows
    ]


@require_POST
@page
def version_send(
    request: Request, project_id: int, pk: int, number: int
) -> HttpResponse:
    version = _version(request.user, project_id, pk, number, EDITOR)
    actions.send_version(version=version, actor=request.user)
    messages.success(request, f"{version} is being sent.")
    return redirect(version)


@require_POST
@page
def version_roll_back(
    request: Request, project_id: int, pk: int, number: int
) -> HttpResponse:
    version = _version(request.user, project_id, pk, number, EDITOR)
    form = RollBackForm(request.POST)
    form.is_valid()
    made, job = actions.roll_back(
        version=version, actor=request.user, **form.cleaned_data
    )
    messages.success(request, actions.said(made, job))
    return redirect(made)


@page
def version_rows(
    request: Request, project_id: int, pk: int, number: int
) -> HttpResponse:
    """`?for=spreadsheet` takes the formulas out; without it the file is as it was."""
    version = _version(request.user, project_id, pk, number)
    pieces = rows_of(version)
    if choice(request, "for", ("spreadsheet",)):
        pieces = storage.csv_for_spreadsheets(version)
    response: HttpResponse = download(version, pieces)
    return response


@page
def version_bad_rows(
    request: Request, project_id: int, pk: int, number: int
) -> HttpResponse:
    version = _version(request.user, project_id, pk, number)
    response: HttpResponse = download(version, bad_rows_of(version), "-bad-rows")
    return response


def _table(user: User, project_id: int, pk: int, role: str = VIEWER) -> Any:
    """The table, with its `state`."""
    project = get_project(user, project_id, role)
    rows = LookupTable.objects.filter(project=project).with_state()
    table = get_object_or_404(rows, pk=pk)
    table.project = project
    return table


def _version(
    user: User, project_id: int, pk: int, number: int, role: str = VIEWER
) -> LookupVersion:
    table = _table(user, project_id, pk, role)
    rows = LookupVersion.objects.select_related("created_by", "copy_of")
    version = get_object_or_404(rows, table=table, number=number)
    version.table = table
    return version


def _current(table: LookupTable) -> LookupVersion | None:
    rows = table.versions.listed().filter(state=LookupVersion.State.CURRENT)
    current = rows.first()
    if current:
        current.table = table
    return current


def _can_edit(user: User, project: Project) -> bool:
    return role_in(user, project) == EDITOR
