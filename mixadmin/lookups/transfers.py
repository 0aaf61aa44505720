"""Files that come in requests, which may be larger than others, and go out in answers.

A connection that is cut in the middle must not look like a shorter file: what arrived is
compared with what was announced.
"""

from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.text import slugify
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from mixadmin.accounts.requests import Request
from mixadmin.common.pages import refusal
from mixadmin.dataprep.tables import MOST_BYTES

from . import storage
from .models import LookupVersion

P = ParamSpec("P")
RECEIVED = "mixadmin.received"
# With room for what a form sends around the file.
MOST_BODY = MOST_BYTES + 1024 * 1024
TOO_LARGE = (
    "The request is larger than 100 MB, the most that Mixpanel takes. Leave out columns "
    "or rows that no report uses."
)


def announced(request: HttpRequest) -> int:
    """How long the body is to be."""
    text = request.META.get("CONTENT_LENGTH") or "0"
    return int(text) if text.isdecimal() else 0


def is_too_large(request: HttpRequest) -> bool:
    return announced(request) > MOST_BODY


def count_what_comes(request: HttpRequest) -> None:
    """Count what is read of the body from now on, for `require_all`."""
    read = request.read

    def counting(*size: Any) -> bytes:
        piece: bytes = read(*size)
        request.META[RECEIVED] += len(piece)
        return piece

    request.META[RECEIVED] = 0
    request.read = counting  # type: ignore[method-assign]


def require_all(request: HttpRequest) -> None:
    """Raise ValidationError unless the whole body has been read."""
    count, wanted = request.META[RECEIVED], announced(request)
    if count < wanted:
        words = (
            f"Only {count:,} of {wanted:,} bytes arrived: the connection was cut. "
            "Nothing was kept; send the file again."
        )
        raise ValidationError({"file": ValidationError(words, code="incomplete")})


def takes_files(
    view: Callable[Concatenate[Request, P], HttpResponseBase],
) -> Callable[Concatenate[Request, P], HttpResponseBase]:
    """Mark a page whose form holds a file: its length is looked at before anything else
    reads it, also before the form's token is looked for in it."""
    protected = csrf_protect(view)

    @csrf_exempt
    @wraps(view)
    def wrapped(
        request: Request, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        if is_too_large(request):
            return refusal(request, TOO_LARGE, status=413)
        count_what_comes(request)
        return protected(request, *args, **kwargs)

    return wrapped


def rows_of(version: LookupVersion) -> Iterator[bytes]:
    """The version's file. Http404 when it is no longer kept."""
    return _pieces(storage.path(version), version)


def bad_rows_of(version: LookupVersion) -> Iterator[bytes]:
    """All bad rows as CSV. Http404 when there is no such file."""
    return _pieces(storage.bad_rows_path(version), version)


def _pieces(place: Path, version: LookupVersion) -> Iterator[bytes]:
    if not version.has_file or not place.exists():
        raise Http404("This file is not kept.")
    return storage.csv_bytes(place)


def download(version: LookupVersion, pieces: Iterator[bytes], what: str = "") -> Any:
    """The answer that a browser saves as a file."""
    name = slugify(version.table.name) or "lookup-table"
    return StreamingHttpResponse(
        pieces,
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}-{version.number}'
            f'{what}.csv"',
            "X-Content-Type-Options": "nosniff",
        },
    )
