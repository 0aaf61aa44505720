"""What every answer carries, and what every request is refused for."""

from collections.abc import Callable
from datetime import UTC
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils import timezone

from . import zones

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
            return HttpResponse(
                "The address holds a NUL character.",
                status=400,
                content_type="text/plain",
            )
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


class DatabaseAway:
    """Answers 503 with Retry-After while the database cannot be reached."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        if not isinstance(exception, OperationalError):
            return None
        text = "The database is busy or away. Nothing was changed; try again shortly."
        if is_api(request):
            error = {"code": "database_away", "detail": text, "attr": None}
            body = {"type": "server_error", "errors": [error]}
            return JsonResponse(body, status=503, headers={"Retry-After": "5"})
        return HttpResponse(
            text, status=503, content_type="text/plain", headers={"Retry-After": "5"}
        )


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


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")
