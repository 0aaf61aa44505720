import json
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import F, Q, QuerySet, Sum
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
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
    tabs,
    total,
    url_with,
)
from mixadmin.common.remedies import explain_record
from mixadmin.common.timeline import timeline
from mixadmin.files.actions import store_posted_files
from mixadmin.files.models import SourceBucket, Upload
from mixadmin.files.views import browse, upload_context
from mixadmin.projects import timelines
from mixadmin.projects.access import EDITOR, VIEWER, get_project, role_in
from mixadmin.projects.models import Project

from . import actions, kinds, live, pictures, previews, queries
from .bulk import INGESTIONS
from .downloads import FORMS, chosen_groups, rejected_file
from .forms import IngestionForm, LiveForm, ResendForm, SettingsForm
from .models import Ingestion, IngestionFile, RejectedGroup, UnsettledBatch
from .sentences import Facts, ingestion_status

State = Ingestion.State
FINDINGS_SHOWN = 5
BROKEN_SHOWN = 3
# Columns of the table of files that stand there also when all of them are 0.
ALWAYS_SHOWN = ("read", "imported", "refused", "invalid", "held")
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
    "Created at (UTC)": attrgetter("created_at"),
    "Started at (UTC)": attrgetter("started_at"),
    "Ended at (UTC)": attrgetter("ended_at"),
    "Created by": lambda row: row.created_by or "command line",
    "Error": attrgetter("error_kind"),
    "Error message": attrgetter("error_message"),
    "Id": attrgetter("pk"),
}


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
    context = _shell(request, ingestion, "ingestion/_overview.html")
    facts = context["facts"]
    books = previews.books(facts.books)
    context |= {
        "books": books,
        "bar": pictures.stacked(books),
        "throughput": pictures.throughput(ingestion, timezone.now()),
        "slices": _slices(ingestion),
        "lanes": actions.jobs_of(ingestion).order_by("-created_at")[:20],
        "unknown": queries.unknown_batches(ingestion)[:50] if facts.unknown else [],
        "average": _average(ingestion, facts),
        "broken": _broken(ingestion) if facts.files.failed else [],
    }
    if request.htmx:
        return part(request, "ingestion/_live.html", context, ingestion.state)
    context |= {
        "noted": previews.noted(queries.notes(ingestion)),
        "findings": _findings(ingestion) if ingestion.state == State.READY else [],
    }
    return render(request, "ingestion/detail.html", context)


def _shell(request: Request, ingestion: Any, body: str = "") -> dict[str, Any]:
    """What every tab shows above itself. body: what is live of the tab, if anything."""
    facts = _facts(ingestion)
    can_edit = _can_edit(request.user, ingestion.project)
    args = [ingestion.project_id, ingestion.pk]
    rejected = facts.books["refused"] + facts.books["invalid"]
    findings = [("Findings", "findings")] if ingestion.records is not None else []
    return {
        "project": ingestion.project,
        "ingestion": ingestion,
        "facts": facts,
        "progress": facts.progress,
        "status": ingestion_status(ingestion, facts),
        "others": "ingestion/_actions.html",
        "body": body,
        "is_live": ingestion.state in Ingestion.GOING_ON,
        "can_edit": can_edit,
        "tabs": tabs(
            request,
            ("Overview", reverse("ingestion:detail", args=args)),
            ("Files", reverse("ingestion:files", args=args), facts.files.count),
            *((label, reverse(f"ingestion:{n}", args=args)) for label, n in findings),
            ("Rejected", reverse("ingestion:rejected", args=args), rejected),
            ("Timeline", reverse("ingestion:timeline", args=args)),
            ("Configuration", reverse("ingestion:configuration", args=args)),
        ),
    }


def _facts(ingestion: Any) -> Facts:
    sums = queries.sums(ingestion)
    known = None if ingestion.is_ended else ingestion.records
    sums["pending"] = max(0, int(known) - sums["read"]) if known is not None else 0
    files = queries.file_totals(ingestion)
    going_on = not ingestion.is_ended
    may_resend = ingestion.is_ended and sums["refused"] + sums["invalid"]
    return Facts(
        books=sums,
        files=files,
        progress=queries.progress(ingestion, files, sums["read"]),
        jobs=list(actions.jobs_of(ingestion).unfinished()) if going_on else (),
        unknown=queries.unknown_batches(ingestion).count() if sums["unsettled"] else 0,
        resendable=queries.resendable(ingestion) if may_resend else 0,
        resent=ingestion.resends.first() if may_resend else None,
        verdict=ingestion.verdict or "",
        would_import=ingestion.would_import,
    )


def _average(ingestion: Ingestion, facts: Facts) -> float | None:
    """Records a second over all of it; None while it goes on."""
    if ingestion.started_at is None or ingestion.ended_at is None:
        return None
    seconds = (ingestion.ended_at - ingestion.started_at).total_seconds()
    return facts.books["read"] / max(seconds, 1.0)


def _broken(ingestion: Ingestion) -> QuerySet[IngestionFile]:
    failed = ingestion.files.filter(state=IngestionFile.State.FAILED)
    return failed.defer("report")[:BROKEN_SHOWN]


def _findings(ingestion: Ingestion) -> list[dict[str, Any]]:
    found = ingestion.report.get("findings", [])
    return [one for one in found if one["records"]][:FINDINGS_SHOWN]


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
    context = _shell(request, ingestion, "ingestion/_files.html")
    context |= {
        "paged": found,
        "files": [_file_line(ingestion, file) for file in found.rows],
        "columns": [
            column
            for column in previews.BOOKS
            if column[0] in ALWAYS_SHOWN or context["facts"].books[column[0]]
        ],
        "chips": chips(request, "state", IngestionFile.State.choices, counts),
        "average": _average(ingestion, context["facts"]),
    }
    if request.htmx:
        return part(request, "ingestion/_live.html", context, ingestion.state)
    return render(request, "ingestion/item.html", context)


def _file_line(ingestion: Ingestion, file: Any) -> dict[str, Any]:
    """A file with how far it is and how long that took. What is over stands still."""
    checking = ingestion.state == State.CHECKING or not (
        ingestion.started_at or file.started_at
    )
    done = file.checked_bytes if checking else file.done
    ended = file.ended_at
    if ended is None and ingestion.state == State.SENDING:
        ended = timezone.now()
    took = ended - file.started_at if file.started_at and ended else None
    rate = file.rate
    if file.ended_at and took:
        rate = file.books["read"] / max(took.total_seconds(), 1.0)
    return {
        "file": file,
        # One that has not begun only waits for its turn.
        "badge": "new" if file.state == IngestionFile.State.WAITING else file.state,
        "share": min(1.0, done / file.size) if file.size else None,
        "done": done,
        "rate": rate,
        "took": took,
        "is_over": file.ended_at is not None,
    }


@page
def findings(request: Request, project_id: int, pk: int) -> HttpResponse:
    """What the check found."""
    ingestion = _ingestion(request.user, project_id, pk)
    context = _shell(request, ingestion)
    if request.htmx:
        return part(request, "ingestion/_live.html", context, ingestion.state)
    report = ingestion.report
    context["preview"] = previews.preview(report) if report else None
    return render(request, "ingestion/findings.html", context)


@page
def timeline_page(request: Request, project_id: int, pk: int) -> HttpResponse:
    """Who did what with it, and its jobs."""
    ingestion = _ingestion(request.user, project_id, pk)
    context = _shell(request, ingestion)
    if request.htmx:
        return part(request, "ingestion/_live.html", context, ingestion.state)
    sources = (timelines.changes(ingestion), timelines.jobs(ingestion))
    context |= {"timeline": timeline(request, sources), "here": True}
    return render(request, "ingestion/timeline.html", context)


@page
def configuration(request: Request, project_id: int, pk: int) -> HttpResponse:
    """How it was asked for: as facts, as JSON and as a call of the API."""
    ingestion = _ingestion(request.user, project_id, pk)
    context = _shell(request, ingestion)
    if request.htmx:
        return part(request, "ingestion/_live.html", context, ingestion.state)
    context |= {
        "settings": previews.settings(ingestion),
        "configuration": previews.configuration(ingestion),
        "curl": _curl(request, ingestion),
    }
    return render(request, "ingestion/configuration.html", context)


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
    context = _shell(request, ingestion)
    if request.htmx:
        return part(request, "ingestion/_live.html", context, ingestion.state)
    rows = RejectedGroup.objects.filter(ingestion=ingestion)
    by_code = queries.rejected_by_code(ingestion)
    code = choice(request, "code", by_code)
    if code:
        rows = rows.filter(code=code)
    words = search(request)
    if words:
        rows = rows.filter(Q(message__icontains=words) | Q(field__icontains=words))
    found = paged(request, rows, order=("-count", "pk"), size=30)
    labels = [(one, explain_record(one).title) for one in by_code]
    context |= {
        "form": form,
        "words": words,
        "code": code,
        "chips": chips(request, "code", labels, by_code),
        "total": sum(by_code.values()),
        "matching": rows.aggregate(n=Sum("count"))["n"] or 0,
        "group_count": rows.count(),
        "paged": found,
        "groups": [
            {"group": group, "words": explain_record(group.code, group.message)}
            for group in found.rows
        ],
        "resends": ingestion.resends.all()[:20],
        "may_resend": can_edit and ingestion.state in actions.RESENDABLE,
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


def _ingestion(user: User, project_id: int, pk: int, role: str = VIEWER) -> Any:
    """With `records`, `verdict` and `would_import` of its check, None without one; the
    report itself may be large, and is read only where it is shown."""
    project = get_project(user, project_id, role)
    rows = Ingestion.objects.filter(project=project).defer("report", "origin__report")
    told = {name: F(f"report__{name}") for name in ("records", "verdict")}
    rows = rows.annotate(**told, would_import=F("report__would_import"))
    ingestion: Any = get_object_or_404(
        rows.select_related("origin", "created_by"), pk=pk
    )
    ingestion.project = project
    return ingestion


def _can_edit(user: User, project: Project) -> bool:
    return role_in(user, project) == EDITOR
