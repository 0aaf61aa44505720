from collections.abc import Iterable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mixadmin.accounts.drafts import draft_of, drafted, keep_draft, sent
from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
from mixadmin.common.forms import carried, errors_to_form, posted
from mixadmin.common.pages import choice, liked, page
from mixadmin.common.status import many
from mixadmin.projects.access import EDITOR, get_project, role_in
from mixadmin.projects.models import Project

from . import actions
from .access import get_connector as _connector
from .forms import AdoptForm, ConnectorForm, DeleteForm
from .kinds import CONSEQUENCES, DATA_FORMATS, FILE_ADVICE, KINDS
from .lists import adoptable, closed
from .models import Connector

STEPS = {"choose": "Type", "fields": "Bucket and files", "plan": "Plan"}


@page
def connector_create(request: Request, project_id: int) -> HttpResponse:
    """Type, then what belongs to it, then the plan, then the connector.

    `?like=` fills the form from a connector, because none can be changed.
    """
    project = get_project(request.user, project_id, EDITOR)
    data, draft = posted(request), draft_of(request)
    rows = Connector.objects.filter(project=project, connector_type__in=list(KINDS))
    like = liked(request, rows)
    if data is not None:
        slug = data.get("connector_type", "")
    else:
        slug = like.connector_type if like else choice(request, "type", KINDS)
    kind = KINDS.get(slug)
    form = ConnectorForm(data, kind=kind, copied=like)

    def plan(ticked: Iterable[str]) -> Connector:
        wanted = {**form.wanted(), "accepted_warnings": list(ticked)}
        return actions.new_connector(project=project, actor=request.user, **wanted)

    drawn = draft.data.get("connector_type", [""])[-1] if draft else ""
    if answer := drafted(
        request,
        form,
        lambda: plan(form.accepted_warnings),
        draft=draft,
        fits=bool(slug) and drawn == slug and like is None,
    ):
        return answer
    step = data.get("step", "create") if data is not None else ""
    planned = None
    if step == "fields":
        form.unjudge()
    elif form.is_valid():
        if step == "plan":
            keep_draft(request, form)
            with errors_to_form(form):
                plan(form.accepted_warnings)
        else:
            with sent(request, form):
                connector, _ = actions.create_connector(
                    project=project, actor=request.user, **form.wanted()
                )
                messages.success(request, f"{connector} is being created.")
                return redirect(connector)
        if not form.errors:
            # Only ticks are missing, if anything.
            codes = [warning.code for warning in form.warnings]
            with errors_to_form(form):
                planned = plan([*form.accepted_warnings, *codes])
    shown = "plan" if planned else "fields" if kind else "choose"
    context = {
        "project": project,
        "form": form,
        "kind": kind,
        "kinds": KINDS.values(),
        "formats": DATA_FORMATS.values(),
        "advice": FILE_ADVICE,
        "closed": closed(project),
        "steps": [(label, slug == shown) for slug, label in STEPS.items()],
        "continue_url": f"?type={drawn}" if drawn in KINDS else "",
    }
    status = form.status
    if planned and data is not None:
        status = 200 if step == "plan" else status
        context |= {
            "planned": planned,
            "carried": carried(data, None),
            "sending": actions.rehearsed_connector(planned),
            "consequences": CONSEQUENCES,
        }
    template = "connectors/plan.html" if planned else "connectors/form.html"
    return render(request, template, context, status=status)


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
    runs = connector.runs.filter(is_gap=False).count()
    context = {
        "project": connector.project,
        "connector": connector,
        "form": form,
        "goes": ["The connector at Mixpanel, for good, with a run that is under way"],
        "stays": [
            "Everything that it imported, in Mixpanel",
            "The files in the bucket",
            f"{many(runs, 'run')} and the timeline, here",
        ],
    }
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
