import re

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
from mixadmin.common.forms import errors_to_form, posted
from mixadmin.common.pages import choice, page
from mixadmin.projects.access import EDITOR, get_project, role_in
from mixadmin.projects.models import Project

from . import actions
from .access import get_connector as _connector
from .forms import AdoptForm, ConnectorForm, DeleteForm
from .kinds import DATA_FORMATS, FILE_ADVICE, KINDS
from .lists import adoptable, closed
from .models import Connector


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


def _can_edit(user: User, project: Project) -> bool:
    return role_in(user, project) == EDITOR
