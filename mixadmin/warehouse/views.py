from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
from mixadmin.common.forms import ActionForm, errors_to_form, posted
from mixadmin.common.pages import (
    choice,
    page,
)
from mixadmin.projects.access import EDITOR, get_project, role_in
from mixadmin.projects.models import Project

from . import actions, databricks
from .access import adoptable
from .access import get_import as _import
from .access import get_source as _source
from .forms import (
    AdoptForm,
    DatabricksForm,
    DeleteImportForm,
    DeleteSourceForm,
    FrequencyForm,
    ImportForm,
    RenameForm,
    ResumeForm,
    SourceForm,
    switch_cluster,
)
from .kinds import KINDS, WAREHOUSES
from .models import WarehouseImport, WarehouseSource

# --- Warehouses -----------------------------------------------------------------------


@page
def source_create(request: Request, project_id: int) -> HttpResponse:
    project = get_project(request.user, project_id, EDITOR)
    data = posted(request)
    slug = (
        choice(request, "type", WAREHOUSES)
        if data is None
        else data.get("warehouse_type", "")
    )
    warehouse = WAREHOUSES.get(slug)
    form = SourceForm(data, warehouse=warehouse)
    if form.is_valid():
        with errors_to_form(form):
            source, _ = actions.create_source(
                project=project,
                actor=request.user,
                name=form.cleaned_data["name"],
                warehouse_type=form.cleaned_data["warehouse_type"],
                connection=form.connection(),
                accepted_warnings=form.accepted_warnings,
            )
            messages.success(request, f"{source} is being connected.")
            return redirect(source)
    context = {
        "project": project,
        "form": form,
        "warehouse": warehouse,
        "warehouses": WAREHOUSES.values(),
        "egress": warehouse.egress.get(project.region, ()) if warehouse else (),
    }
    return render(request, "warehouse/source_form.html", context, status=form.status)


@page
def source_edit(request: Request, project_id: int, pk: int) -> HttpResponse:
    source = _source(request.user, project_id, pk, EDITOR)
    warehouse = WAREHOUSES.get(source.warehouse_type)
    form = SourceForm(posted(request), warehouse=warehouse, source=source)
    if form.is_valid():
        with errors_to_form(form):
            actions.change_source(
                source=source,
                actor=request.user,
                name=form.cleaned_data["name"],
                connection=form.connection(),
                accepted_warnings=form.accepted_warnings,
            )
            messages.success(request, f"{source} is being changed.")
            return redirect(source)
    context = {"project": source.project, "source": source, "form": form}
    return render(request, "warehouse/source_edit.html", context, status=form.status)


@page
def source_delete(request: Request, project_id: int, pk: int) -> HttpResponse:
    source = _source(request.user, project_id, pk, EDITOR)
    form = DeleteSourceForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            actions.delete_source(
                source=source, actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"{source} is being deleted.")
            return redirect(source)
    context = {"project": source.project, "source": source, "form": form}
    return render(request, "warehouse/source_delete.html", context, status=form.status)


@require_POST
@page
def source_forget(request: Request, project_id: int, pk: int) -> HttpResponse:
    source = _source(request.user, project_id, pk, EDITOR)
    actions.forget_source(source=source, actor=request.user)
    messages.success(request, f"{source} is removed from these pages.")
    return redirect("warehouse:source_list", project_id)


# --- Imports --------------------------------------------------------------------------


@page
def import_create(request: Request, project_id: int) -> HttpResponse:
    project = get_project(request.user, project_id, EDITOR)
    sources = list(WarehouseSource.objects.filter(project=project).present())
    by_key = {str(row.pk): row for row in sources}
    data, switch, problem = _switched(request)
    if data is None:
        kind = choice(request, "kind", KINDS)
        source_key = choice(request, "source", by_key)
    else:
        kind, source_key = data.get("kind", ""), data.get("source", "")
    source = by_key.get(source_key)
    form = ImportForm(data, project=project, sources=sources, kind=kind, source=source)
    if problem:
        form.add_error("databricks_json", problem)
    elif not switch and form.is_valid():
        with errors_to_form(form):
            row, _ = actions.create_import(
                project=project, actor=request.user, **form.wanted()
            )
            messages.success(request, f"{row} is being created.")
            return redirect(row)
    context = {
        "project": project,
        "form": form,
        "kinds": [entry for entry in KINDS.values() if entry.creatable],
        "kind": kind,
        "sources": sources,
        "source": source,
        "is_ready": data is not None or bool(kind and source),
    }
    return render(request, "warehouse/import_form.html", context, status=form.status)


def _switched(request: Request) -> tuple[QueryDict | None, str, ValidationError | None]:
    """(what was sent, the switch that was pressed, why it could not be done).

    A switch shows the same form in another way, and saves nothing.
    """
    data = posted(request)
    switch = data.get("switch", "") if data is not None else ""
    if data is not None and switch in ("form", "json"):
        try:
            data = switch_cluster(data, switch)
        except ValidationError as error:
            return data, switch, error
    return data, switch, None


@require_POST
@page
def import_run(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = _import(request.user, project_id, pk, EDITOR)
    actions.run_import(warehouse_import=row, actor=request.user)
    messages.success(request, f"{row} is asked to run.")
    return redirect(row)


@require_POST
@page
def import_pause(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = _import(request.user, project_id, pk, EDITOR)
    actions.pause_import(warehouse_import=row, actor=request.user)
    messages.success(request, f"{row} is being paused.")
    return redirect(row)


@page
def import_resume(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = _import(request.user, project_id, pk, EDITOR)
    form = ResumeForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            actions.resume_import(
                warehouse_import=row, actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"{row} is being resumed.")
            return redirect(row)
    return _ask(request, row, form, title="Resume", submit="Resume")


@page
def import_frequency(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = _import(request.user, project_id, pk, EDITOR)
    form = FrequencyForm(posted(request), warehouse_import=row)
    if form.is_valid():
        with errors_to_form(form):
            actions.change_frequency(
                warehouse_import=row, actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"The frequency of {row} is being changed.")
            return redirect(row)
    return _ask(request, row, form, title="Change the frequency of", submit="Change")


@page
def import_rename(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = _import(request.user, project_id, pk, EDITOR)
    form = RenameForm(posted(request), initial={"name": row.name})
    if form.is_valid():
        with errors_to_form(form):
            row = actions.rename_import(
                warehouse_import=row, actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"It is called {row} now.")
            return redirect(row)
        row.refresh_from_db(fields=["name"])
    return _ask(request, row, form, title="Rename", submit="Rename")


def _ask(
    request: Request, row: WarehouseImport, form: ActionForm, *, title: str, submit: str
) -> HttpResponse:
    """A page with one small form about an import."""
    context = {
        "project": row.project,
        "import": row,
        "form": form,
        "title": title,
        "submit": submit,
    }
    return render(request, "warehouse/ask.html", context, status=form.status)


@page
def import_databricks(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = _import(request.user, project_id, pk, EDITOR)
    old = (row.databricks_params or {}).get("export_cluster_config")
    data, switch, problem = _switched(request)
    form = DatabricksForm(data, config=old)
    vanishing: list[str] = []
    if problem:
        form.add_error("databricks_json", problem)
    elif form.is_valid():
        wanted = form.databricks_params()
        new = (wanted or {}).get("export_cluster_config")
        vanishing = databricks.vanishing_keys(old, new)
        if not switch:
            with errors_to_form(form):
                actions.change_databricks_params(
                    warehouse_import=row,
                    actor=request.user,
                    databricks_params=wanted,
                    accepted_warnings=form.accepted_warnings,
                )
                messages.success(request, f"The cluster of {row} is being changed.")
                return redirect(row)
    context = {
        "project": row.project,
        "import": row,
        "form": form,
        "old": old,
        "vanishing": vanishing,
    }
    template = "warehouse/import_databricks.html"
    return render(request, template, context, status=form.status)


@page
def import_delete(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = _import(request.user, project_id, pk, EDITOR)
    form = DeleteImportForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            actions.delete_import(
                warehouse_import=row, actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"{row} is being deleted.")
            return redirect(row)
    context = {"project": row.project, "import": row, "form": form}
    return render(request, "warehouse/import_delete.html", context, status=form.status)


@require_POST
@page
def import_forget(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = _import(request.user, project_id, pk, EDITOR)
    actions.forget_import(warehouse_import=row, actor=request.user)
    messages.success(request, f"{row} is removed from these pages.")
    return redirect("warehouse:import_list", project_id)


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
            return redirect("warehouse:import_list", project_id)
    context = {
        "project": project,
        "form": form,
        "found": found,
        "list_url": reverse("warehouse:import_list", args=[project.pk]),
    }
    return render(request, "warehouse/adopt.html", context, status=form.status)


# --- Shared ---------------------------------------------------------------------------


def _can_edit(user: User, project: Project) -> bool:
    return role_in(user, project) == EDITOR
