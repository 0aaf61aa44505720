"""What all pages share: answers to refusals, lists in pieces, filters in the URL."""

import csv
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from itertools import islice
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from django.core import signing
from django.core.exceptions import BadRequest
from django.db.models import Count, Model, Q, QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    QueryDict,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, render
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme

from mixadmin.mixpanel.errors import MixpanelError

from .crypto import CannotDecrypt
from .errors import Refused
from .remedies import explain_answer
from .spreadsheets import harmless

P = ParamSpec("P")
M = TypeVar("M", bound=Model)
R = TypeVar("R", bound=HttpRequest)
PAGE_SIZE = 50


def page(
    view: Callable[Concatenate[R, P], HttpResponseBase],
) -> Callable[Concatenate[R, P], HttpResponseBase]:
    """Mark a view as a page: what it refuses, or cannot get from Mixpanel, is a page.

    A refusal is 409, one for lack of rights 403, an error of Mixpanel 502. One URL
    serves page and fragment, so caches are told to keep them apart.
    """

    @wraps(view)
    def wrapped(request: R, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            response: HttpResponseBase = view(request, *args, **kwargs)
        except Refused as refused:
            status = 403 if refused.code == "not_permitted" else 409
            response = refusal(request, refused.message, status=status)
        except CannotDecrypt as error:
            response = refusal(request, str(error))
        except MixpanelError as error:
            response = mixpanel_failed(request, error)
        patch_vary_headers(response, ["HX-Request"])
        return same_or_new(request, response)

    return wrapped


# What differs between two renderings of the same thing: CSRF masks, "5 minutes ago".
NOISE = re.compile(rb'name="csrfmiddlewaretoken" value="\w+"|<time [^>]*>')


def same_or_new(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The answer with an ETag, or 304 where a live part asks for what it has already.

    Only a fragment's: a page is always sent as a whole.
    """
    is_part = request.headers.get("HX-Request") and request.method == "GET"
    if not is_part or not isinstance(response, HttpResponse):
        return response
    is_order = "HX-Refresh" in response or "HX-Redirect" in response
    if response.status_code != 200 or is_order:
        return response
    content = NOISE.sub(b"", response.content)
    etag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
    if request.headers.get("If-None-Match") == etag:
        response = HttpResponse(status=304)
        patch_vary_headers(response, ["HX-Request"])
    response["ETag"] = etag
    return response


def refusal(
    request: HttpRequest,
    message: str,
    *,
    status: int = 409,
    until: datetime | None = None,
) -> HttpResponse:
    """A page that says why something was not done, and until when it cannot be."""
    context = {"message": message, "until": until, "back": back(request)}
    template = "403.html" if status == 403 else "409.html"
    response = render(request, template, context, status=status)
    if until is not None:
        seconds = (until - timezone.now()).total_seconds()
        response["Retry-After"] = str(max(int(seconds), 1))
    return response


def mixpanel_failed(request: HttpRequest, error: MixpanelError) -> HttpResponse:
    """A page that says why Mixpanel could not be asked."""
    context = {
        "explanation": explain_answer(error),
        "error": error,
        "back": back(request),
    }
    return render(request, "502.html", context, status=502)


@dataclass(frozen=True, slots=True)
class Tab:
    """One part of an item, at a URL of its own. count: None for none to tell."""

    label: str
    url: str
    count: int | None
    active: bool


def tabs(
    request: HttpRequest, *found: tuple[str, str] | tuple[str, str, int | None]
) -> list[Tab]:
    """tabs(request, ("Overview", url), ("Runs", url, 214)) for `_tabs.html`."""
    return [
        Tab(label, url, rest[0] if rest else None, request.path == url)
        for label, url, *rest in found
    ]


def back(request: HttpRequest) -> str:
    """The page of ours that the person came from, or ""."""
    came_from = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(came_from, {request.get_host()})
    return came_from if ours else ""


def part(
    request: HttpRequest, template: str, context: Mapping[str, Any], stamp: str = ""
) -> HttpResponse:
    """The live part of a page, or the order to load the whole page anew.

    The latter when nothing goes on any more (`is_live` in the context), or when the
    stamp is not the one of the page that asks: then what stands around the live part
    (ids, buttons, the message at the top) is out of date too.
    """
    if context["is_live"] and request.headers.get("Stamp", stamp) == stamp:
        return render(request, template, dict(context))
    return HttpResponse(headers={"HX-Refresh": "true"})


# --- Lists ----------------------------------------------------------------------------

# Where in a list somebody is, and in what form; not what they look for.
PLACES = ("after", "before", "export")


def listing(view: Any) -> Any:
    """Mark a view as a list, whose filters and order a person may keep under a name."""
    view.is_listing = True
    return view


def is_listing(path: str) -> bool:
    """Whether a path is the one of a list of ours."""
    try:
        return getattr(resolve(path).func, "is_listing", False)
    except Resolver404:
        return False


@dataclass(frozen=True, slots=True)
class Paged(Generic[M]):
    """One piece of a list. The URLs are "" where there is nothing in that direction.

    first: the place of its first row, counted from 1; total: rows of the whole list,
    None while nobody has counted them.
    """

    rows: list[M]
    next_url: str
    previous_url: str
    start_url: str
    first: int
    total: int | None

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


def paged(
    request: HttpRequest,
    queryset: "QuerySet[M]",
    *,
    order: Sequence[str],
    size: int = PAGE_SIZE,
    total: int | None = None,
) -> Paged[M]:
    """The piece of a list that `?after=` or `?before=` names, by keyset: no piece is
    slower than the first, and a row that is added meanwhile neither repeats nor hides
    another.

    order: columns or annotations, "-" for descending; the last must be unique, none may
    be NULL. Raises BadRequest for a mark that we did not make.
    """
    key = queryset.model._meta.pk.name
    ordered = [
        name.replace("pk", key) if name in ("pk", "-pk") else name for name in order
    ]
    before, after = (request.GET.get(name, "") for name in ("before", "after"))
    rows: list[M] = []
    place = 1
    if before:
        mark, at = _read_mark(queryset, ordered, before)
        found = queryset.filter(_beyond(queryset, turned(ordered), mark))
        rows = list(found.order_by(*turned(ordered))[: size + 1])
        has_previous, has_next = len(rows) > size, True
        rows = rows[:size][::-1]
        place = at - len(rows)
    if not before or not has_previous:
        # Whoever comes back to the beginning sees it whole, with what was added.
        has_previous, place = False, 1
        found = queryset
        if after and not before:
            mark, at = _read_mark(queryset, ordered, after)
            found = queryset.filter(_beyond(queryset, ordered, mark))
            has_previous, place = True, at + 1
        rows = list(found.order_by(*ordered)[: size + 1])
        has_next, rows = len(rows) > size, rows[:size]
    if total is not None and rows and not has_next:
        # At the end it is known again, whatever was added or removed on the way.
        place = max(1, total - len(rows) + 1)
    place = max(place, 2 if has_previous else 1)

    def url(name: str, row: M, at: int) -> str:
        return url_with(request, **{name: _mark(queryset, row, ordered, at)})

    return Paged(
        rows=rows,
        next_url=url("after", rows[-1], place + len(rows) - 1) if has_next else "",
        previous_url=url("before", rows[0], place) if has_previous and rows else "",
        start_url=url_with(request) if has_previous else "",
        first=place,
        total=total,
    )


def turned(order: Iterable[str]) -> list[str]:
    """The same order from its end."""
    return [n.removeprefix("-") if n.startswith("-") else f"-{n}" for n in order]


def _mark(queryset: "QuerySet[Any]", row: Model, ordered: list[str], at: int) -> str:
    """Where a piece ends, signed, so that nothing else than we said comes back."""
    values: list[Any] = []
    for name in ordered:
        value = getattr(row, name.removeprefix("-"))
        is_time = isinstance(value, datetime)
        values.append(value.isoformat() if is_time else str(value))
    return signing.dumps([*values, at], salt=_salt(queryset, ordered))


def _salt(queryset: "QuerySet[Any]", ordered: list[str]) -> str:
    """A mark is good for the list that it was made for and for no other."""
    return f"mixadmin.page {queryset.model._meta.label} {' '.join(ordered)}"


def _read_mark(
    queryset: "QuerySet[Any]", ordered: list[str], mark: str
) -> tuple[list[Any], int]:
    """(the values of the row at a mark, its place in the list)."""
    try:
        *texts, at = signing.loads(mark, salt=_salt(queryset, ordered))
    except signing.BadSignature:
        raise BadRequest("This piece of the list does not exist.") from None
    fields = [_field(queryset, name.removeprefix("-")) for name in ordered]
    return [f.to_python(text) for f, text in zip(fields, texts, strict=True)], at


def _field(queryset: "QuerySet[Any]", name: str) -> Any:
    annotation = queryset.query.annotations.get(name)
    return (
        annotation.output_field if annotation else queryset.model._meta.get_field(name)
    )


def _beyond(queryset: "QuerySet[Any]", ordered: Iterable[str], values: list[Any]) -> Q:
    """a > x or (a = x and b > y) ..., with < where the order descends."""
    beyond, equal = Q(), Q()
    for name, value in zip(ordered, values, strict=True):
        column = name.removeprefix("-")
        lookup = f"{column}__{'lt' if name.startswith('-') else 'gt'}"
        beyond |= equal & Q(**{lookup: value})
        equal &= Q(**{column: value})
    return beyond


@dataclass(frozen=True, slots=True)
class Sorting:
    """The order of a list, and how its columns say so; see `{% sort_head %}`.

    name: as in `?sort=`, with "-" the other way round. order: for `paged`.
    """

    name: str
    order: tuple[str, ...]
    sorts: Mapping[str, Sequence[str]]
    default: str

    def descends(self, column: str) -> bool | None:
        """Whether a column descends; None where the list has another order."""
        if self.name.removeprefix("-") != column:
            return None
        return self.order[0].startswith("-")

    def turn(self, column: str) -> str:
        """The value of `?sort=` that a click on a column leads to."""
        name = f"-{column}" if self.name == column else column
        return "" if name == self.default else name


def sorting(
    request: HttpRequest, sorts: Mapping[str, Sequence[str]], default: str
) -> Sorting:
    """The order that `?sort=` names. sorts: {column: order as in `paged`}, in the
    direction that a first click gives. BadRequest for a column that has none."""
    name = request.GET.get("sort", "") or default
    column = name.removeprefix("-")
    if column not in sorts:
        raise BadRequest("There is no such order.")
    order = turned(sorts[column]) if name.startswith("-") else sorts[column]
    return Sorting(name, tuple(order), sorts, default)


def count_by(queryset: "QuerySet[Any]", column: str) -> dict[str, int]:
    """{value of the column: number of rows}, in one query."""
    # Not of "pk": where that is no number, SQLite would have to read each row.
    counted = queryset.order_by().values_list(column).annotate(n=Count("*"))
    return {str(value): n for value, n in counted}


def total(counts: Mapping[str, int], chosen: str) -> int:
    """How many rows are left of those counted when one value is chosen, or "" for all."""
    return counts.get(chosen, 0) if chosen else sum(counts.values())


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter of a list, as a link."""

    value: str
    label: str
    count: int | None
    url: str
    active: bool


def chips(
    request: HttpRequest,
    name: str,
    choices: Iterable[tuple[str, str]],
    counts: Mapping[str, int],
) -> list[Chip]:
    """ "All", and each choice that has rows or is chosen, as links that set `?name=`."""
    chosen = request.GET.get(name, "")
    total = sum(counts.values())
    found = [Chip("", "All", total, url_with(request, **{name: ""}), not chosen)]
    for value, label in choices:
        if counts.get(value) or value == chosen:
            url = url_with(request, **{name: value})
            found.append(Chip(value, label, counts.get(value, 0), url, value == chosen))
    return found


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is limited to, each with the URL that takes it away."""

    chips: list[Chip]
    clear_url: str

    def __bool__(self) -> bool:
        return bool(self.chips)


def filters(
    request: HttpRequest, **named: tuple[str, Mapping[str, Any] | None]
) -> Filters:
    """The filters that are on. named: {parameter: (label, {value: its label})}, None
    where every text is a value."""
    found = []
    for name, (label, labels) in named.items():
        value = request.GET.get(name, "").strip()
        if value:
            shown = f"{label}: {labels.get(value, value) if labels else value}"
            url = url_with(request, **{name: ""})
            found.append(Chip(value, shown, None, url, True))
    return Filters(found, url_with(request, **dict.fromkeys(named, "")))


def choice(request: HttpRequest, name: str, allowed: Iterable[str]) -> str:
    """The value of `?name=`, "" when it is not given. BadRequest for one not allowed."""
    value = request.GET.get(name, "")
    if value and value not in allowed:
        raise BadRequest(f"There is no such {name}.")
    return value


def liked(request: HttpRequest, rows: "QuerySet[M]") -> M | None:
    """The row that `?like=` (or `?copy=`) names, whose values fill a form."""
    key = request.GET.get("like", "") or request.GET.get("copy", "")
    if not key or request.method == "POST":
        return None
    known = re.fullmatch("[0-9]{1,18}", key)
    return get_object_or_404(rows, pk=int(key) if known else 0)


def search(request: HttpRequest) -> str:
    """The words of `?q=`, at most 200 characters."""
    return request.GET.get("q", "").replace("\0", "").strip()[:200]


def url_with(request: HttpRequest, **changes: str) -> str:
    """This URL with other values in its query; always from the start of the list."""
    text = query_of(request, **changes)
    return f"{request.path}?{text}" if text else request.path


def query_of(request: HttpRequest, **changes: str) -> str:
    """The query of `url_with`, without the "?"."""
    return encoded(request.GET, **changes)


def encoded(query: QueryDict, **changes: str) -> str:
    """A query of a list as it is kept: filters and order, and nothing that is empty."""
    query = query.copy()
    for name in (*PLACES, *(name for name in query if not query[name])):
        query.pop(name, None)
    for name, value in changes.items():
        if value:
            query[name] = value
        else:
            query.pop(name, None)
    return query.urlencode()


def show_list(
    request: HttpRequest, context: Mapping[str, Any], *, whole: str, fragment: str
) -> HttpResponse:
    """A list as a page, or its part that changes.

    Who types into the filters gets that part, and the URL that stands for it.
    """
    htmx = getattr(request, "htmx", None)
    response = render(request, fragment if htmx else whole, dict(context))
    if htmx and htmx.trigger == "filters":
        response["HX-Replace-Url"] = url_with(request)
    return response


# --- Lists as files -------------------------------------------------------------------


CHUNK = 500


class _Echo:
    """A file that hands back what is written into it."""

    def write(self, text: str) -> str:
        return text


def csv_file(
    name: str,
    columns: Mapping[str, Callable[[Any], Any]],
    rows: "QuerySet[Any]",
    prepare: Callable[[list[Any]], Any] = lambda rows: None,
) -> StreamingHttpResponse:
    """A list as a CSV that spreadsheets may open, however long it is: it is written
    while it is read.

    columns: {heading: what of a row stands there}. Times are in UTC; what is not known
    is empty. prepare: gives some rows at once what the columns need beside them.
    """
    writer = csv.writer(_Echo())

    def lines() -> Iterator[str]:
        yield writer.writerow(columns)
        read = rows.iterator(chunk_size=CHUNK)
        while chunk := list(islice(read, CHUNK)):
            prepare(chunk)
            for row in chunk:
                cells = (_cell(column(row)) for column in columns.values())
                yield writer.writerow(cells)

    response = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    today = timezone.now().strftime("%Y-%m-%d")
    response["Content-Disposition"] = f'attachment; filename="{name}-{today}.csv"'
    return response


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    return harmless(str(value)) if not isinstance(value, int | float) else str(value)
