"""The pages of requests that failed as a whole.

They are shown when the database, the session or the person may be what is missing, so
they ask for none of them.
"""

import sys
from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from .request_ids import current

AWAY = "The database is busy or away. Nothing was changed; try again shortly."
MAINTENANCE = "mixadmin is being worked on, and will be back soon."
# Longer than this nobody reads on a page that says "soon".
MOST_WORDS = 500


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def server_error(request: HttpRequest) -> HttpResponse:
    """500; 503 where it is the database that failed before any view was reached."""
    if isinstance(sys.exc_info()[1], OperationalError):
        return away(request, "database_away", AWAY, seconds=5)
    if is_api(request):
        words = "Something broke here. It is in the log of mixadmin."
        return _json("server_error", "error", words, 500)
    return _bare("500.html", 500)


def bad_request(
    request: HttpRequest, exception: Exception | None = None
) -> HttpResponse:
    """400 for what is no request of ours: a wrong host, too many fields, a bad filter."""
    if is_api(request):
        words = "The request could not be read."
        return _json("client_error", "parse_error", words, 400)
    if not hasattr(request, "user"):
        return _bare("400.html", 400)
    return HttpResponse(render_to_string("400.html", request=request), status=400)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _bare("403_csrf.html", 403)


def away(request: HttpRequest, code: str, words: str, *, seconds: int) -> HttpResponse:
    """503: a page that needs no database, or the same in the shape of the API."""
    if is_api(request):
        answer: HttpResponse = _json("server_error", code, words, 503)
    else:
        answer = _bare("503.html", 503, words=words, code=code, seconds=seconds)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def maintenance(request: HttpRequest) -> HttpResponse | None:
    """503 while the file of maintenance is there; what it says is shown."""
    try:
        words = settings.MAINTENANCE_FILE.read_text("utf-8", "replace").strip()
    except OSError:
        return None
    words = words[:MOST_WORDS] or MAINTENANCE
    return away(request, "maintenance", words, seconds=60)


def _bare(template: str, status: int, **context: Any) -> HttpResponse:
    """Without the request: its context processors would ask for person and session."""
    context |= {"frame": "bare.html", "request_id": current.get()}
    return HttpResponse(render_to_string(template, context), status=status)


def _json(kind: str, code: str, words: str, status: int) -> JsonResponse:
    error = {"code": code, "detail": words, "attr": None}
    return JsonResponse({"type": kind, "errors": [error]}, status=status)
