from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mixadmin.accounts.drafts import drafted, sent
from mixadmin.accounts.models import User
from mixadmin.accounts.requests import Request
from mixadmin.common.causes import Cause
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
    tabs,
    total,
    url_with,
)
from mixadmin.common.remedies import explain
from mixadmin.common.states import verification_words
from mixadmin.common.timeline import timeline
from mixadmin.projects import timelines
from mixadmin.projects.access import EDITOR, VIEWER, get_project, role_in
from mixadmin.projects.models import Project

from . import actions, places
from .errors import NotPermitted, PlaceError, Unreachable
from .forms import (
    BucketEditForm,
    BucketForm,
    CredentialsForm,
    DeleteForm,
    FilesForm,
)
from .models import SourceBucket, Upload
from .sentences import bucket_status

# --- Uploads --------------------------------------------------------------------------


@listing
@page
def upload_list(request: Request, project_id: int) -> HttpResponse:
    project = get_project(request.user, project_id)
    return _show_uploads(request, project, FilesForm())


@require_POST
@page
def upload_create(request: Request, project_id: int) -> HttpResponse:
    """Takes files without JavaScript. With it they are here when the form is sent."""
    project = get_project(request.user, project_id, EDITOR)
    form = FilesForm(request.POST)
    files = request.FILES.getlist("files")
    if not files and request.POST.getlist("uploads"):
        return redirect("files:list", project.pk)
    with errors_to_form(form):
        uploads = actions.store_posted_files(
            project=project, actor=request.user, files=files
        )
        names = ", ".join(str(upload) for upload in uploads)
        messages.success(request, f"Stored: {names}.")
        return redirect("files:list", project.pk)
    return _show_uploads(request, project, form)


UPLOAD_SORTS = {
    "begun": ("-created_at", "-pk"),
    "name": ("name", "pk"),
    "size": ("-size", "pk"),
}


def _show_uploads(request: Request, project: Project, form: FilesForm) -> HttpResponse:
    rows = Upload.objects.filter(project=project)
    if words := search(request):
        rows = rows.filter(name__icontains=words)
    state = choice(request, "state", Upload.State.values)
    shown = rows.in_state(state) if state else rows.stored()
    shown = shown.select_related("owner").prefetch_related("files__ingestion")
    counts = rows.count_by_state()
    number = total(counts, state) if state else counts["receiving"] + counts["complete"]
    removed = counts.pop("removed")
    order = sorting(request, UPLOAD_SORTS, "begun")
    context = {
        "project": project,
        "form": form,
        "paged": paged(request, shown, order=order.order, total=number),
        "sorting": order,
        "state": state,
        "tallies": chips(request, "state", Upload.State.choices, counts),
        "filters": filters(
            request, q=("Name", None), state=("State", dict(Upload.State.choices))
        ),
        "removed": removed,
        "can_edit": _can_edit(request.user, project),
        "directories": sorted(settings.INGEST_DIRECTORIES),
        "buckets": SourceBucket.objects.filter(project=project)[:20],
        **upload_context(project),
    }
    if request.htmx and request.method == "GET":
        return show_list(
            request, context, whole="files/list.html", fragment="files/_table.html"
        )
    return render(request, "files/list.html", context, status=form.status)


def upload_context(project: Project) -> dict[str, Any]:
    """What `files/_upload.html` needs beside the project."""
    return {"project": project, "upload_most": settings.UPLOAD_MAX_BYTES}


@require_POST
@page
def upload_remove(request: Request, project_id: int, pk: UUID) -> HttpResponse:
    project = get_project(request.user, project_id, EDITOR)
    rows = Upload.objects.filter(project=project).select_related("project")
    upload = get_object_or_404(rows, pk=pk)
    actions.remove_upload(upload=upload, actor=request.user)
    messages.success(request, f"{upload} was removed.")
    return redirect("files:list", project.pk)


# --- Buckets --------------------------------------------------------------------------


BUCKET_SORTS = {
    "name": ("name", "pk"),
    "provider": ("provider", "name", "pk"),
    "state": ("verification", "name", "pk"),
}


@listing
@page
def bucket_list(request: Request, project_id: int) -> HttpResponse:
    project = get_project(request.user, project_id)
    rows: QuerySet[Any] = SourceBucket.objects.filter(project=project)
    if words := search(request):
        rows = rows.filter(name__icontains=words)
    states = {(s.value or "never"): str(s.label) for s in SourceBucket.Verification}
    state = choice(request, "state", states)
    counts = count_by(rows, "verification")
    counts["never"] = counts.pop("", 0)
    if state:
        rows = rows.filter(verification="" if state == "never" else state)
    order = sorting(request, BUCKET_SORTS, "name")
    number = total(counts, state)
    context = {
        "project": project,
        "paged": paged(request, rows, order=order.order, total=number),
        "sorting": order,
        "tallies": chips(request, "state", states.items(), counts),
        "filters": filters(request, q=("Name", None), state=("Verification", states)),
        "can_edit": _can_edit(request.user, project),
    }
    return show_list(
        request,
        context,
        whole="files/bucket_list.html",
        fragment="files/_buckets.html",
    )


@page
def bucket_create(request: Request, project_id: int) -> HttpResponse:
    project = get_project(request.user, project_id, EDITOR)
    form = BucketForm(posted(request))

    def judge() -> None:
        actions.new_bucket(project=project, actor=request.user, **form.wanted())

    if answer := drafted(request, form, judge):
        return answer
    if form.is_valid():
        with sent(request, form):
            bucket = actions.add_bucket(
                project=project, actor=request.user, **form.wanted()
            )
            messages.success(request, f"{bucket} was added. Verify it now.")
            return redirect(bucket)
    context = {"project": project, "form": form, "title": "Add a bucket"}
    return render(request, "files/bucket_form.html", context, status=form.status)


@page
def bucket_detail(request: Request, project_id: int, pk: int) -> HttpResponse:
    bucket = _bucket(request.user, project_id, pk, VIEWER)
    context = _bucket_shell(request, bucket)
    # The app of ingestions is above this one; it is known by what points here.
    uses: Any = bucket._meta.get_field("files").related_model
    found = uses.objects.filter(bucket=bucket).values_list("ingestion", flat=True)
    ingestions: Any = uses._meta.get_field("ingestion").related_model
    rows = ingestions.objects.filter(pk__in=found).defer("report")
    context["ingestions"] = rows.order_by("-pk")[:10]
    return render(request, "files/bucket_detail.html", context)


@page
def bucket_timeline(request: Request, project_id: int, pk: int) -> HttpResponse:
    """Who changed what about it."""
    bucket = _bucket(request.user, project_id, pk, VIEWER)
    context = _bucket_shell(request, bucket)
    found = timeline(request, [timelines.changes(bucket)])
    context |= {"timeline": found, "here": True}
    return render(request, "files/bucket_timeline.html", context)


def _bucket_shell(request: Request, bucket: SourceBucket) -> dict[str, Any]:
    """What every tab of a bucket shows above itself."""
    can_edit = _can_edit(request.user, bucket.project)
    args = [bucket.project_id, bucket.pk]
    browse_url = reverse("files:bucket_browse", args=args)
    return {
        "project": bucket.project,
        "bucket": bucket,
        "status": bucket_status(bucket),
        "others": "files/_bucket_actions.html",
        "can_edit": can_edit,
        "tabs": tabs(
            request,
            ("Overview", reverse("files:bucket_detail", args=args)),
            *([("Browse", browse_url)] if can_edit else []),
            ("Timeline", reverse("files:bucket_timeline", args=args)),
        ),
    }


@page
def bucket_edit(request: Request, project_id: int, pk: int) -> HttpResponse:
    bucket = _bucket(request.user, project_id, pk)
    initial = {name: getattr(bucket, name) for name in actions.CHANGEABLE}
    form = BucketEditForm(posted(request), initial=initial)

    def judge() -> None:
        actions.set_values(source=bucket, actor=request.user, **form.cleaned_data)

    if answer := drafted(request, form, judge):
        return answer
    if form.is_valid():
        with sent(request, form):
            actions.change_bucket(
                source=bucket, actor=request.user, **form.cleaned_data
            )
            messages.success(request, "The bucket was changed.")
            return redirect(bucket)
    title = f"Edit {initial['name']}"
    return _bucket_form(request, bucket, form, title)


@page
def bucket_credentials(request: Request, project_id: int, pk: int) -> HttpResponse:
    bucket = _bucket(request.user, project_id, pk)
    form = CredentialsForm(posted(request), only=bucket.provider)
    if form.is_valid():
        with errors_to_form(form):
            actions.set_credentials(
                source=bucket,
                actor=request.user,
                credentials=form.credentials(bucket.provider),
            )
            messages.success(request, "The credentials were stored. Verify them now.")
            return redirect(bucket)
    title = f"Credentials of {bucket}"
    return _bucket_form(request, bucket, form, title)


def _bucket_form(
    request: Request, bucket: SourceBucket, form: Any, title: str
) -> HttpResponse:
    context = {
        "project": bucket.project,
        "bucket": bucket,
        "form": form,
        "title": title,
    }
    return render(request, "files/bucket_form.html", context, status=form.status)


@require_POST
@page
def bucket_verify(request: Request, project_id: int, pk: int) -> HttpResponse:
    bucket = _bucket(request.user, project_id, pk)
    actions.verify_bucket(source=bucket, actor=request.user)
    works = bucket.verification == SourceBucket.Verification.WORKS
    tell = messages.success if works else messages.error
    tell(request, verification_words(bucket))
    return redirect(bucket)


@page
def bucket_delete(request: Request, project_id: int, pk: int) -> HttpResponse:
    bucket = _bucket(request.user, project_id, pk)
    form = DeleteForm(posted(request))
    if form.is_valid():
        with errors_to_form(form):
            actions.delete_bucket(
                source=bucket, actor=request.user, **form.cleaned_data
            )
            messages.success(request, f"{bucket} was deleted here.")
            return redirect("files:bucket_list", project_id)
    context = {"project": bucket.project, "bucket": bucket, "form": form}
    return render(request, "files/bucket_delete.html", context, status=form.status)


def _bucket(user: User, project_id: int, pk: int, role: str = EDITOR) -> SourceBucket:
    project = get_project(user, project_id, role)
    rows = SourceBucket.objects.filter(project=project).select_related("project")
    bucket: SourceBucket = get_object_or_404(rows, pk=pk)
    return bucket


def _can_edit(user: User, project: Project) -> bool:
    return role_in(user, project) == EDITOR


# --- Browsing -------------------------------------------------------------------------


@page
def bucket_browse(request: Request, project_id: int, pk: int) -> HttpResponse:
    bucket = _bucket(request.user, project_id, pk)
    context = _bucket_shell(request, bucket)
    context["browse"] = browse(request, bucket=bucket)
    return _show_browse(request, context, "files/bucket_browse.html")


@page
def directory_browse(request: Request, project_id: int, name: str) -> HttpResponse:
    project = get_project(request.user, project_id, EDITOR)
    context = {
        "project": project,
        "browse": browse(request, directory=name),
        "directory": name,
    }
    return _show_browse(request, context)


def _show_browse(
    request: Request, context: dict[str, Any], whole: str = "files/browse.html"
) -> HttpResponse:
    context |= {"looking": True, "path": request.GET.get("path", "")}
    template = "files/_entries.html" if request.htmx else whole
    return render(request, template, context, status=context["browse"].status)


@dataclass(frozen=True, slots=True)
class Browse:
    """A directory or bucket at one of its paths, for `files/_entries.html`.

    lines: (entry, the URL of a directory or "").  crumbs: (name, URL) from the top.
    problem: why there is nothing, with `message` in its own words.
    """

    title: str
    lines: list[tuple[places.Entry, str]]
    crumbs: list[tuple[str, str]]
    next_url: str = ""
    start_url: str = ""
    problem: Cause | None = None
    message: str = ""
    status: int = 200


def browse(
    request: HttpRequest, *, directory: str = "", bucket: SourceBucket | None = None
) -> Browse:
    """What is there at `?path=`, from `?from=` on. Its links lead to this same page.

    For pages of editors only: the caller has asked `get_project` for that role.
    """
    path, start = request.GET.get("path", ""), request.GET.get("from", "")
    title = directory or str(bucket)
    try:
        if bucket is not None:
            found = places.list_bucket(bucket, path, after=start)
        else:
            found = places.list_directory(directory, path, after=start)
    except PlaceError as error:
        return Browse(
            title=title,
            lines=[],
            crumbs=[(title, _url(request, ""))],
            problem=explain(error.kind),
            message=error.message,
            status=_status(error),
        )
    return Browse(
        title=title,
        lines=[(entry, _url_of(request, entry)) for entry in found.entries],
        crumbs=[(title, _url(request, "")), *_crumbs(request, path, bucket)],
        next_url=url_with(request, **{"from": found.after}) if found.after else "",
        start_url=url_with(request, **{"from": ""}) if start else "",
    )


def _status(error: PlaceError) -> int:
    if isinstance(error, Unreachable):
        return 502
    return 409 if isinstance(error, NotPermitted) else 404


def _url(request: HttpRequest, path: str) -> str:
    return url_with(request, **{"path": path, "from": ""})


def _url_of(request: HttpRequest, entry: places.Entry) -> str:
    return _url(request, entry.path) if entry.is_directory and not entry.problem else ""


def _crumbs(
    request: HttpRequest, path: str, bucket: SourceBucket | None
) -> list[tuple[str, str]]:
    """The folders that lead to a path. In a bucket they begin below its prefix."""
    top = bucket.prefix if bucket else ""
    found, at = [], top
    for part in path.removeprefix(top).rstrip("/").split("/"):
        if part:
            at = f"{at}{part}/"
            found.append((part, _url(request, at if bucket else at.rstrip("/"))))
    return found
