"""What somebody sees who has sent too many wrong passwords."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

WORDS = "Too many wrong passwords for this name from your address. Try again later."


def answer(
    request: HttpRequest, response: HttpResponse, credentials: Any = None
) -> HttpResponse:
    """429, as a page or in the shape of the API. The right password gets it too."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    if request.path.startswith("/api/"):
        error = {"code": "too_many_attempts", "detail": WORDS, "attr": None}
        told = {"type": "client_error", "errors": [error]}
        locked: HttpResponse = JsonResponse(told, status=429)
    else:
        context = {"message": WORDS, "minutes": -(-seconds // 60)}
        locked = render(request, "429.html", context, status=429)
    locked.headers["Retry-After"] = str(seconds)
    return locked
