from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Sum
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mixadmin.accounts.drafts import draft_of, drafted, keep_draft, sent
from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
from mixadmin.common.forms import ActionForm, carried, errors_to_form, posted
from mixadmin.common.pages import (
    choice,
    liked,
    page,
)
from mixadmin.common.status import many
from mixadmin.projects.access import EDITOR, get_project, role_in
from mixadmin.projects.models import Project

from . import actions, databricks
from .access import adoptable
from .access import get_import as _import
from .access import get_source as _source
from .forms import (
    AdoptForm,
    ClusterForm,
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
from .sync_modes import consequences

STEPS = {
    "choose": "Kind and warehouse",
    "fields": "Table, columns, schedule",
    "plan": "Plan",
}


# --- Warehouses -----------------------------------------------------------------------


@page
def source_create(request: Request, project_id: int) -> HttpResponse:
    project = get_project(request.user, project_id, EDITOR)
    data, draft = posted(request), draft_of(request)
    like = liked(request, WarehouseSource.objects.filter(project=project))
    if data is not None:
        slug = data.get("warehouse_type", "")
    else:
        slug = like.warehouse_type if like else choice(request, "type", WAREHOUSES)
    warehouse = WAREHOUSES.get(slug)
    form = SourceForm(data, warehouse=warehouse, like=like)
    drawn = draft.data.get("warehouse_type", [""])[-1] if draft else ""

    def wanted() -> dict[str, Any]:
        names = ("name", "warehouse_type")
        return {
            "project": project,
            "actor": request.user,
            "connection": form.connection(),
            "accepted_warnings": form.accepted_warnings,
            **{name: form.cleaned_data[name] for name in names},
        }

    fits = bool(slug) and slug == drawn and like is None
    if answer := drafted(
        request,
        form,
        lambda: actions.new_source(**wanted()),
        draft=draft,
        fits=fits,
    ):
        return answer
    if form.is_valid():
        with sent(request, form):
            source, _ = actions.create_source(**wanted())
            messages.success(request, f"{source} is being connected.")
            return redirect(source)
    context = {
        "project": project,
        "form": form,
        "warehouse": warehouse,
        "warehouses": WAREHOUSES.values(),
        "continue_url": f"?type={drawn}" if drawn in WAREHOUSES else "",
        "egress": warehouse.egress.get(project.region, ()) if warehouse else (),
    }
    return render(request, "warehouse/source_form.html", context, status=form.status)


@page
def source_edit(request: Request, project_id: int, pk: int) -> HttpResponse:
    source = _source(request.user, project_id, pk, EDITOR)
    warehouse = WAREHOUSES.get(source.warehouse_type)
    form = SourceForm(posted(request), warehouse=warehouse, source=source)

    def wanted() -> dict[str, Any]:
        return {
            "source": source,
            "actor": request.user,
            "name": form.cleaned_data["name"],
            "connection": form.connection(),
            "accepted_warnings": form.accepted_warnings,
        }

    if answer := drafted(request, form, lambda: actions.changed_source(**wanted())):
        return answer
    if form.is_valid():
        with sent(request, form):
            actions.change_source(**wanted())
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
    users = source.imports.present().count()
    context = {
        "project": source.project,
        "source": source,
        "form": form,
        "users": users,
        "goes": ["How Mixpanel connects, with its secrets, there and here"],
        "stays": [
            "Everything that was imported from it, in Mixpanel",
            "Its timeline here, and that of its deleted imports",
        ],
    }
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
    """Kind and warehouse, then what belongs to them, then the plan, then the import.

    A page says by `step` what it wants: the other pages, or, without it, the import.
    What was typed goes along from page to page.
    """
    project = get_project(request.user, project_id, EDITOR)
    sources = list(WarehouseSource.objects.filter(project=project).present())
    by_key = {str(row.pk): row for row in sources}
    data, switch, problem = _switched(request)
    draft = draft_of(request)
    rows = WarehouseImport.objects.filter(project=project)
    like = liked(request, rows.select_related("source"))
    if data is not None:
        kind, source_key = data.get("kind", ""), data.get("source", "")
    elif like is not None:
        kind, source_key = like.kind, str(like.source_id)
    else:
        kind = choice(request, "kind", KINDS)
        source_key = choice(request, "source", by_key)
    source = by_key.get(source_key)
    form = ImportForm(
        data, project=project, sources=sources, kind=kind, source=source, like=like
    )

    def plan(ticked: Iterable[str]) -> WarehouseImport:
        wanted = {**form.wanted(), "accepted_warnings": list(ticked)}
        return actions.new_import(project=project, actor=request.user, **wanted)

    drawn = [draft.data.get(n, [""])[-1] for n in ("kind", "source")] if draft else []
    fits = bool(kind and source) and drawn == [kind, source_key] and like is None
    if answer := drafted(
        request,
        form,
        lambda: plan(form.accepted_warnings),
        draft=draft,
        fits=fits,
    ):
        return answer
    step = data.get("step", "create") if data is not None else ""
    planned = None
    if problem:
        form.add_error("databricks_json", problem)
    if switch and request.htmx:
        return _other_side(request, form)
    if not problem and (step in ("choose", "fields") or switch):
        form.unjudge()
    elif not problem and form.is_valid():
        if step == "plan":
            keep_draft(request, form)
            with errors_to_form(form):
                plan(form.accepted_warnings)
        else:
            with sent(request, form):
                row, _ = actions.create_import(
                    project=project, actor=request.user, **form.wanted()
                )
                messages.success(request, f"{row} is being created.")
                return redirect(row)
        if not form.errors:
            # Only ticks are missing, if anything.
            codes = [warning.code for warning in form.warnings]
            with errors_to_form(form):
                planned = plan([*form.accepted_warnings, *codes])
    ready = bool(kind in KINDS and source) or form.errors
    shown = "plan" if planned else "fields"
    if not planned and (step == "choose" or not ready):
        shown = "choose"
    context = {
        "project": project,
        "form": form,
        "kinds": [entry for entry in KINDS.values() if entry.creatable],
        "kind": kind,
        "sources": sources,
        "source": source,
        "steps": [(label, slug == shown) for slug, label in STEPS.items()],
        "continue_url": _continue(drawn, by_key),
    }
    status = form.status
    if data is not None:
        along = carried(data, form if shown == "fields" else None)
        own = ("kind", "source") if shown == "choose" else ()
        context["carried"] = [pair for pair in along if pair[0] not in own]
    if planned:
        status = 200 if step == "plan" else status
        context |= {
            "planned": planned,
            "sending": actions.rehearsed_import(planned),
            "consequences": consequences(
                planned.sync_mode,
                planned.source.warehouse_type if planned.source else "",
                planned.run_every,
            ),
        }
    template = f"warehouse/import_{shown}.html"
    return render(request, template, context, status=status)


def _continue(drawn: list[str], sources: Mapping[str, Any]) -> str:
    """Where the page of a draft is, "" where its kind or warehouse is gone."""
    if not drawn or drawn[0] not in KINDS or drawn[1] not in sources:
        return ""
    return f"?kind={drawn[0]}&source={drawn[1]}"


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
    if deadline := row.mirror_deadline():
        when = f"{deadline.dies_at:%Y-%m-%d %H:%M} UTC"
        messages.warning(
            request,
            f"It is a Mirror: unless it is resumed and runs before {when}, it dies: "
            f"{deadline.why}.",
        )
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


def _other_side(request: Request, form: ClusterForm) -> HttpResponse:
    """The cluster as the other one of fields and JSON, or why it cannot be."""
    return render(request, "_checked.html", {"fields": form.shown_cluster_fields})


@page
def import_databricks(request: Request, project_id: int, pk: int) -> HttpResponse:
    row = _import(request.user, project_id, pk, EDITOR)
    old = (row.databricks_params or {}).get("export_cluster_config")
    data, switch, problem = _switched(request)
    form = DatabricksForm(data, config=old)

    def wanted() -> dict[str, Any]:
        return {
            "warehouse_import": row,
            "databricks_params": form.databricks_params(),
            "accepted_warnings": form.accepted_warnings,
        }

    if answer := drafted(request, form, lambda: actions.check_new_cluster(**wanted())):
        return answer
    changes: list[tuple[str, Any, Any]] = []
    if problem:
        form.add_error("databricks_json", problem)
    if switch in ("form", "json") and request.htmx:
        return _other_side(request, form)
    if not problem and form.is_valid():
        new = (form.databricks_params() or {}).get("export_cluster_config")
        changes = databricks.differs(old, new)
        if not switch:
            with sent(request, form):
                actions.change_databricks_params(actor=request.user, **wanted())
                messages.success(request, f"The cluster of {row} is being changed.")
                return redirect(row)
    context = {
        "project": row.project,
        "import": row,
        "form": form,
        "old": old,
        "changes": changes,
        "vanishing": [key for key, _, theirs in changes if theirs is None],
        "looked": switch == "check" and not form.errors,
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
    runs = row.runs.filter(is_gap=False)
    events = runs.aggregate(events=Sum("num_events_imported"))["events"]
    told = "an unknown number of events" if events is None else many(events, "event")
    context = {
        "project": row.project,
        "import": row,
        "form": form,
        "goes": [
            "The import at Mixpanel, for good",
            f"With the tick below also what it brought: {told} by the runs seen here",
        ],
        "stays": [
            "Without the tick: everything that it brought, in Mixpanel",
            "The table in the warehouse",
            f"{many(runs.count(), 'run')} and the timeline, here",
        ],
    }
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
