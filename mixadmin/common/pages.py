"""What all pages share: answers to refusals, lists in pieces, filters in the URL."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from django.core import signing
from django.core.exceptions import BadRequest
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme

from mixadmin.mixpanel.errors import MixpanelError

from .crypto import CannotDecrypt
from .errors import Refused
from .remedies import explain_answer

P = ParamSpec("P")
M = TypeVar("M", bound=Model)
R = TypeVar("R", bound=HttpRequest)
PAGE_SIZE = 50


def page(
    view: Callable[Concatenate[R, P], HttpResponse],
) -> Callable[Concatenate[R, P], HttpResponse]:
    """Mark a view as a page: what it refuses, or cannot get from Mixpanel, is a page.

    A refusal is 409, one for lack of rights 403, an error of Mixpanel 502. One URL
    serves page and fragment, so caches are told to keep them apart.
    """

    @wraps(view)
    def wrapped(request: R, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            response = view(request, *args, **kwargs)
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


def same_or_new(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The answer with an ETag, or 304 where a live part asks for what it has already.

    Only a fragment's: a page is always sent as a whole.
    """
    is_part = request.headers.get("HX-Request") and request.method == "GET"
    if not is_part or response.status_code != 200 or response.streaming:
        return response
    if "HX-Refresh" in response or "HX-Redirect" in response:
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


@dataclass(frozen=True, slots=True)
class Paged(Generic[M]):
    """One piece of a list. The URLs are "" where there is nothing in that direction."""

    rows: list[M]
    next_url: str
    start_url: str


def paged(
    request: HttpRequest,
    queryset: "QuerySet[M]",
    *,
    order: Sequence[str],
    size: int = PAGE_SIZE,
) -> Paged[M]:
    """The piece of a list that `?after=` names, by keyset: no piece is slower than
    the first, and a row that is added meanwhile neither repeats nor hides another.

    order: columns of the model, "-" for descending; the last must be unique, none may
    be NULL. Raises BadRequest for an `after` that we did not make.
    """
    columns = [name.removeprefix("-") for name in order]
    columns = [queryset.model._meta.pk.name if c == "pk" else c for c in columns]
    ordered = [
        f"-{column}" if name.startswith("-") else column
        for column, name in zip(columns, order, strict=True)
    ]
    after = request.GET.get("after", "")
    if after:
        queryset = queryset.filter(_beyond(queryset, ordered, after))
    rows = list(queryset.order_by(*ordered)[: size + 1])
    more, rows = len(rows) > size, rows[:size]
    return Paged(
        rows=rows,
        next_url=url_with(request, after=_mark(rows[-1], ordered)) if more else "",
        start_url=url_with(request) if after else "",
    )


def _mark(row: Model, ordered: list[str]) -> str:
    """Where a piece ends, signed, so that nothing else than we said comes back."""
    fields = [row._meta.get_field(name.removeprefix("-")) for name in ordered]
    values = [field.value_to_string(row) for field in fields]  # type: ignore[union-attr]
    return signing.dumps(values, salt=_salt(type(row), ordered))


def _salt(model: type[Model], ordered: list[str]) -> str:
    """A mark is good for the list that it was made for and for no other."""
    return f"mixadmin.page {model._meta.label} {' '.join(ordered)}"


def _beyond(queryset: "QuerySet[Any]", ordered: list[str], after: str) -> Q:
    """a > x or (a = x and b > y) ..., with < where the order descends."""
    try:
        texts = signing.loads(after, salt=_salt(queryset.model, ordered))
    except signing.BadSignature:
        raise BadRequest("This piece of the list does not exist.") from None
    beyond, equal = Q(), Q()
    for name, text in zip(ordered, texts, strict=True):
        column = name.removeprefix("-")
        value = queryset.model._meta.get_field(column).to_python(text)
        lookup = f"{column}__{'lt' if name.startswith('-') else 'gt'}"
        beyond |= equal & Q(**{lookup: value})
        equal &= Q(**{column: value})
    return beyond


def count_by(queryset: "QuerySet[Any]", column: str) -> dict[str, int]:
    """{value of the column: number of rows}, in one query."""
    counted = queryset.order_by().values_list(column).annotate(n=Count("pk"))
    return {str(value): n for value, n in counted}


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


def choice(request: HttpRequest, name: str, allowed: Iterable[str]) -> str:
    """The value of `?name=`, "" when it is not given. BadRequest for one not allowed."""
    value = request.GET.get(name, "")
    if value and value not in allowed:
        raise BadRequest(f"There is no such {name}.")
    return value


def search(request: HttpRequest) -> str:
    """The words of `?q=`, at most 200 characters."""
    return request.GET.get("q", "").replace("\0", "").strip()[:200]


def url_with(request: HttpRequest, **changes: str) -> str:
    """This URL with other values in its query; always from the start of the list."""
    query = request.GET.copy()
    query.pop("after", None)
    for name, value in changes.items():
        if value:
            query[name] = value
        else:
            query.pop(name, None)
    text = query.urlencode()
    return f"{request.path}?{text}" if text else request.path
