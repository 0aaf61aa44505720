"""What every answer carries, and what every request is refused for."""

from collections.abc import Callable
from datetime import UTC
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone

from . import failures, zones
from .failures import is_api

# Pages load nothing from elsewhere and run no inline code.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# The API's documentation page styles itself inline; it still loads only our own files.
DOCS_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

Handler = Callable[[HttpRequest], HttpResponseBase]


def hardening(get_response: Handler) -> Handler:
    def middleware(request: HttpRequest) -> HttpResponseBase:
        if "\x00" in request.get_full_path() or "%00" in request.get_full_path():
            return failures.bad_request(request)
        response = get_response(request)
        docs = request.path.startswith("/api/docs")
        response.headers.setdefault(
            "Content-Security-Policy", DOCS_POLICY if docs else POLICY
        )
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), geolocation=(), microphone=()"
        )
        # Static files do not come by here; everything else is for one person, now.
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware


def in_maintenance(get_response: Handler) -> Handler:
    """503 for everybody while the file of maintenance is there (`failures`)."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.path != "/healthz" and (answer := failures.maintenance(request)):
            return answer
        return get_response(request)

    return middleware


class DatabaseAway:
    """Answers 503 with Retry-After while the database cannot be reached.

    What is asked before any view is reached comes to `failures.server_error` instead.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        if not isinstance(exception, OperationalError):
            return None
        return failures.away(request, "database_away", failures.AWAY, seconds=5)


class TimeZone:
    """Pages in the zone of who looks at them; the API stays in UTC."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_api(request):
            return self.get_response(request)
        with timezone.override(zones.own(request)):
            return self.get_response(request)

    def process_view(
        self, request: Any, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        # By now the middleware that demands a sign-in has looked up who asks.
        if not is_api(request) and request.user.is_authenticated:
            in_utc = zones.IN_UTC in request.session
            timezone.activate(UTC if in_utc else zones.own(request, request.user))
        return None
