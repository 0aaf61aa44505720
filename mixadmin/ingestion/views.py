import json
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
from mixadmin.audit.models import Entry
from mixadmin.common import bulk
from mixadmin.common.forms import errors_to_form, posted
from mixadmin.common.pages import (
    chips,
    choice,
    count_by,
    csv_file,
    filters,
    listing,
    page,
    paged,
    part,
    search,
    show_list,
    sorting,
    total,
    url_with,
)
from mixadmin.common.remedies import explain_record
from mixadmin.files.actions import store_posted_files
from mixadmin.files.models import SourceBucket, Upload
from mixadmin.files.views import browse, upload_context
from mixadmin.jobs.models import Job
from mixadmin.projects.access import EDITOR, VIEWER, get_project, role_in
from mixadmin.projects.models import Project

from . import actions, kinds, live, previews, queries
from .bulk import INGESTIONS
from .downloads import FORMS, chosen_groups, rejected_file
from .forms import IngestionForm, LiveForm, ResendForm, SettingsForm
from .models import Ingestion, IngestionFile, RejectedGroup, UnsettledBatch

State = Ingestion.State
FILES_SHOWN = 20
# verb of the URL -> (the action, what is said when it is done)
CHANGES: dict[str, tuple[Any, str]] = {
    "start": (actions.start_ingestion, "It is being sent."),
    "pause": (actions.pause_ingestion, "It is paused after what is under way."),
    "resume": (actions.resume_ingestion, "It goes on."),
    "cancel": (actions.cancel_ingestion, "It is cancelled after what is under way."),
    "retry": (actions.retry_ingestion, "It goes on where it ended."),
    "pass-gate": (actions.pass_gate, "The next slice is being sent."),
}


# --- Lists ----------------------------------------------------------------------------


SORTS = {
    "made": ("-pk",),
    "name": ("name", "pk"),
    "state": ("state", "-pk"),
    "kind": ("kind", "-pk"),
}


@listing
@page
def ingestion_list(request: Request, project_id: int) -> HttpResponseBase:
    project = get_project(request.user, project_id)
    every, rows = _asked(request, project)
    order = sorting(request, SORTS, "made")
    if "export" in request.GET:
        found = rows.order_by(*order.order)
        return csv_file("ingestions", COLUMNS, found, queries.with_books)
    counts = count_by(every, "state")
    number = total(counts, request.GET.get("state", ""))
    shown = paged(request, rows, order=order.order, total=number)
    queries.with_books(shown.rows)
    where = reverse("ingestion:bulk", args=[project.pk])
    context = {
        "project": project,
        "paged": shown,
        "sorting": order,
        "kinds": kinds.KINDS.values(),
        "tallies": chips(request, "state", State.choices, counts),
        "filters": filters(
            request,
            q=("Name", None),
            kind=("What", dict(kinds.CHOICES)),
            state=("State", dict(State.choices)),
        ),
        "export_url": url_with(request, export="csv"),
        "is_live": any(row.state in Ingestion.GOING_ON for row in shown.rows),
        "can_edit": _can_edit(request.user, project),
        "bulk": bulk.bar(request, INGESTIONS, where, number),
    }
    return show_list(
        request, context, whole="ingestion/list.html", fragment="ingestion/_table.html"
    )


def _asked(request: Request, project: Project) -> tuple[QuerySet[Any], QuerySet[Any]]:
    """(those with the words and of the kind, those of them in the state) that the URL
    asks for."""
    rows: QuerySet[Any] = Ingestion.objects.filter(project=project)
    if kind := choice(request, "kind", kinds.KINDS):
        rows = rows.filter(kind=kind)
    if words := search(request):
        rows = rows.filter(name__icontains=words)
    state = choice(request, "state", State.values)
    found = rows.filter(state=state) if state else rows
    return rows, found.select_related("created_by").defer("report")


@require_POST
@page
def ingestion_bulk(request: Request, project_id: int) -> HttpResponse:
    project = get_project(request.user, project_id, EDITOR)
    _, matching = _asked(request, project)
    rows = Ingestion.objects.filter(project=project).select_related("project")
    return bulk.answer(
        request,
        INGESTIONS,
        rows=rows,
        matching=matching.order_by("-pk"),
        list_url=reverse("ingestion:list", args=[project.pk]),
        context={"project": project},
    )


COLUMNS: dict[str, Callable[[Any], Any]] = {
    "Name": attrgetter("name"),
    "State": lambda row: row.get_state_display(),
    "What": lambda row: row.get_kind_display(),
    "Read": lambda row: row.books["read"],
    "Imported": lambda row: row.books["imported"],
    "Refused": lambda row: row.books["refused"],
    "Invalid": lambda row: row.books["invalid"],
    "Made at (UTC)": attrgetter("created_at"),
    "Started at (UTC)": attrgetter("started_at"),
    "Ended at (UTC)": attrgetter("ended_at"),
    "Made by": lambda row: row.created_by or "command line",
    "Error": attrgetter("error_kind"),
    "Error message": attrgetter("error_message"),
    "Id": attrgetter("pk"),
}


@page
def file_list(request: Request, project_id: int, pk: int) -> HttpResponse:
    ingestion = _ingestion(request.user, project_id, pk)
    rows: QuerySet[Any] = ingestion.files.defer("report")
    counts = count_by(rows, "state")
    state = choice(request, "state", IngestionFile.State.values)
    if state:
        rows = rows.filter(state=state)
    found = paged(request, rows, order=("pk",))
    queries.with_file_books(ingestion, found.rows)
    context = {
        "project": ingestion.project,
        "ingestion": ingestion,
        "paged": found,
        "files": found.rows,
        "chips": chips(request, "state", IngestionFile.State.choices, counts),
    }
    return render(request, "ingestion/files.html", context)


# --- Making one -----------------------------------------------------------------------


@page
def ingestion_create(request: Request, project_id: int) -> HttpResponse:
    """`?place=` opens a directory or bucket to choose from, `?path=` a folder of it."""
    project = get_project(request.user, project_id, EDITOR)
    data = posted(request)
    initial = {
        "kind": choice(request, "kind", kinds.KINDS),
        "place": request.GET.get("place", ""),
    }
    form = IngestionForm(data, project=project, initial=initial)
    place = choice(request, "place", [value for value, _ in form.places])
    uploads = data.getlist("uploads")[:500] if data is not None else []
    if form.is_valid():
        with errors_to_form(form):
            stored = _stored(request, project)
            uploads += [str(upload.pk) for upload in stored]
            chosen = form.chosen(uploads=uploads, paths=request.POST.getlist("chosen"))
            ingestion, _ = actions.create_ingestion(
                project=project,
                actor=request.user,
                kind=form.cleaned_data["kind"],
                files=actions.choose_files(project=project, chosen=chosen),
                **form.settings(),
            )
            return redirect(ingestion)
    context = {
        "project": project,
        "form": form,
        "place": place,
        "place_label": dict(form.places).get(place, ""),
        "folder": _folder(request),
        "browse": _browse(request, project, place) if place else None,
        "ticked": request.POST.getlist("chosen"),
        "kept": _kept(project, uploads),
        **upload_context(project),
    }
    return render(request, "ingestion/form.html", context, status=form.status)


def _stored(request: Request, project: Project) -> list[Upload]:
    files = request.FILES.getlist("files")
    if not files:
        return []
    return store_posted_files(project=project, actor=request.user, files=files)


def _folder(request: Request) -> str:
    """The path that stands for everything below the folder that is shown."""
    return request.GET.get("path", "").rstrip("/") + "/"


def _browse(request: Request, project: Project, place: str) -> Any:
    sort, _, name = place.partition(":")
    if sort == "directory":
        return browse(request, directory=name)
    rows = SourceBucket.objects.filter(project=project).select_related("project")
    return browse(request, bucket=get_object_or_404(rows, pk=int(name)))


def _kept(project: Project, ids: Iterable[str]) -> list[Upload]:
    """What was uploaded before the form came back with something to put right."""
    keys = [key for key in ids if re.fullmatch("[0-9a-fA-F-]{32,36}", key)]
    try:
        return list(Upload.objects.complete().filter(project=project, pk__in=keys))
    except ValidationError:
        return []


@page
def ingestion_copy(request: Request, project_id: int, pk: int) -> HttpResponse:
    """The same files once more; `?mend=` is ticked."""
    ingestion = _ingestion(request.user, project_id, pk, EDITOR)
    initial = {name: getattr(ingestion, name) for name in actions.SETTINGS}
    mend = request.GET.get("mend", "")
    initial["mends"] = list(
        dict.fromkeys([*ingestion.mends, *([mend] if mend else [])])
    )
    form = SettingsForm(posted(request), kind=ingestion.kind, initial=initial)
    if form.is_valid():
        with errors_to_form(form):
            copy, _ = actions.copy_ingestion(
                ingestion=ingestion, actor=request.user, **form.settings()
            )
            return redirect(copy)
    context = {"project": ingestion.project, "ingestion": ingestion, "form": form}
    return render(request, "ingestion/copy.html", context, status=form.status)


# --- One ------------------------------------------------------------------------------


@page
def ingestion_detail(request: Request, project_id: int, pk: int) -> HttpResponse:
    ingestion = _ingestion(request.user, project_id, pk)
    files: list[Any] = list(ingestion.files.defer("report")[: FILES_SHOWN + 1])
    queries.with_file_books(ingestion, files)
    lanes = list(actions.jobs_of(ingestion).order_by("-created_at")[:20])
    progress = queries.progress(ingestion)
    context = {
        "project": ingestion.project,
        "ingestion": ingestion,
        "books": previews.books(queries.counts(ingestion)),
        "progress": progress,
        "left": None if progress.left is None else timedelta(seconds=progress.left),
        "figures": queries.figures(ingestion),
        "slices": _slices(ingestion),
        "files": files[:FILES_SHOWN],
        "more_files": len(files) > FILES_SHOWN,
        "file_count": ingestion.files.count(),
        "lanes": lanes,
        "throttled": [job for job in lanes if job.state == Job.State.WAITING],
        "unknown": list(queries.unknown_batches(ingestion)[:50]),
        "rejected_count": ingestion.rejected_groups.count(),
        "is_live": ingestion.state in Ingestion.GOING_ON,
        "can_edit": _can_edit(request.user, ingestion.project),
        "can_retry": _can_retry(ingestion),
    }
    if request.htmx:
        return part(request, "ingestion/_status.html", context, ingestion.state)
    target = {"target_type": ingestion._meta.label_lower, "target_id": str(pk)}
    context |= {
        "noted": previews.noted(queries.notes(ingestion)),
        "preview": previews.preview(ingestion.report) if ingestion.report else None,
        "resends": ingestion.resends.all()[:20],
        "configuration": previews.configuration(ingestion),
        "curl": _curl(request, ingestion),
        "entries": Entry.objects.filter(**target)[:50],
    }
    return render(request, "ingestion/detail.html", context)


def _slices(ingestion: Ingestion) -> list[dict[str, Any]]:
    """Each slice of a staged backfill, and whether it is sent, being sent or to come."""
    found = []
    for number, times in enumerate(ingestion.slices):
        state = "done" if number < ingestion.slice or ingestion.is_ended else "to come"
        if number == ingestion.slice and not ingestion.is_ended:
            state = "gate" if ingestion.state == State.GATED else "current"
        found.append(
            {
                "number": number + 1,
                "from": _moment(times["from"]),
                "to": _moment(times["to"]),
                "state": state,
            }
        )
    return found


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _can_retry(ingestion: Ingestion) -> bool:
    if ingestion.state == State.FAILED:
        return True
    failed = ingestion.files.filter(state=IngestionFile.State.FAILED)
    return ingestion.state == State.SUCCEEDED_WITH_ERRORS and failed.exists()


def _curl(request: Request, ingestion: Ingestion) -> str:
    """The call that makes the same; "" where the API cannot name the files."""
    body = previews.configuration(ingestion)
    if body is None or any(
        file["place"] not in ("upload", "directory", "bucket") for file in body["files"]
    ):
        return ""
    address = request.build_absolute_uri(
        f"/api/v1/projects/{ingestion.project_id}/ingestions/"
    )
    return " \\\n  ".join(
        (
            f"curl -X POST {shlex.quote(address)}",
            '-H "Authorization: Token $MIXADMIN_TOKEN"',
            "-H 'Content-Type: application/json'",
            f"-H 'Idempotency-Key: ingestion-{ingestion.pk}-again'",
            f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
        )
    )


@require_POST
@page
def ingestion_change(
    request: Request, project_id: int, pk: int, verb: str
) -> HttpResponse:
    ingestion = _ingestion(request.user, project_id, pk, EDITOR)
    action, words = CHANGES[verb]
    action(ingestion=ingestion, actor=request.user)
    messages.success(request, words)
    return redirect(ingestion)


@require_POST
@page
def batch_decide(
    request: Request, project_id: int, pk: int, batch_pk: int
) -> HttpResponse:
    ingestion = _ingestion(request.user, project_id, pk, EDITOR)
    batches = UnsettledBatch.objects.filter(part__file__ingestion=ingestion)
    rows = batches.select_related("part__file__ingestion__project")
    batch = get_object_or_404(rows, pk=batch_pk)
    actions.decide_batch(
        batch=batch, actor=request.user, choice=request.POST.get("choice", "")
    )
    messages.success(request, "Decided.")
    return redirect(ingestion)


# --- Rejected records -----------------------------------------------------------------


@page
def rejected(request: Request, project_id: int, pk: int) -> HttpResponse:
    """The groups of rejected records, and the form that sends them again."""
    ingestion = _ingestion(request.user, project_id, pk)
    can_edit = _can_edit(request.user, ingestion.project)
    data = posted(request)
    initial = {name: getattr(ingestion, name) for name in actions.SETTINGS}
    initial |= {"name": "", "first_days": None, "slice_days": None}
    form = ResendForm(data, kind=ingestion.kind, initial=initial)
    if form.is_valid():
        with errors_to_form(form):
            ids = request.POST.getlist("groups")
            copy, _ = actions.resend_rejected(
                ingestion=ingestion,
                actor=request.user,
                groups=chosen_groups(ingestion, ids),
                **form.settings(),
            )
            return redirect(copy)
    rows = RejectedGroup.objects.filter(ingestion=ingestion)
    found = paged(request, rows, order=("-count", "pk"), size=30)
    context = {
        "project": ingestion.project,
        "ingestion": ingestion,
        "form": form,
        "paged": found,
        "groups": [
            {"group": group, "words": explain_record(group.code, group.message)}
            for group in found.rows
        ],
        "resends": ingestion.resends.all()[:20],
        "can_edit": can_edit,
        "forms": FORMS,
    }
    return render(request, "ingestion/rejected.html", context, status=form.status)


@page
def rejected_download(request: Request, project_id: int, pk: int) -> Any:
    """Also posted to, by the form of the page before: its CSRF token belongs into no URL."""
    ingestion = _ingestion(request.user, project_id, pk)
    asked = request.POST if request.method == "POST" else request.GET
    form = asked.get("form", "ndjson")
    if form not in FORMS:
        raise BadRequest("Choose ndjson or csv.")
    try:
        groups = chosen_groups(ingestion, asked.getlist("groups"))
    except ValidationError as error:
        raise Http404(" ".join(error.messages)) from None
    answer: HttpResponseBase = rejected_file(ingestion, groups, form)
    return answer


# --- Live events ----------------------------------------------------------------------


@page
def live_events(request: Request, project_id: int) -> HttpResponse:
    """Looks at events, and with the button “Send” sends them."""
    project = get_project(request.user, project_id, EDITOR)
    data = posted(request)
    form = LiveForm(data, initial={"events": _example()})
    found: Sequence[live.Found] | None = None
    sent = None
    if form.is_valid():
        wanted = form.wanted()
        with errors_to_form(form):
            if "send" in request.POST:
                sent = live.send_live(project=project, actor=request.user, **wanted)
                found = sent.found
            else:
                found = live.check_live(**wanted)
    context = {
        "project": project,
        "form": form,
        "endpoints": live.ENDPOINTS.values(),
        "found": found,
        "sent": sent,
    }
    return render(request, "ingestion/live.html", context, status=form.status)


def _example() -> list[dict[str, Any]]:
    now = int(timezone.now().timestamp())
    properties = {
        "time": now,
        "distinct_id": "test-user",
        "$insert_id": f"test-{now}",
        "source": "mixadmin",
    }
    return [{"event": "Test", "properties": properties}]


# --- What they share ------------------------------------------------------------------


def _ingestion(user: User, project_id: int, pk: int, role: str = VIEWER) -> Ingestion:
    project = get_project(user, project_id, role)
    rows = Ingestion.objects.filter(project=project)
    ingestion: Ingestion = get_object_or_404(
        rows.select_related("origin", "created_by"), pk=pk
    )
    ingestion.project = project
    return ingestion


def _can_edit(user: User, project: Project) -> bool:
    return role_in(user, project) == EDITOR
