import hashlib

from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import get_conditional_response

from mixadmin.accounts.requests import Request
from mixadmin.common.clock import db_now
from mixadmin.common.pages import page

from . import queries
from .incidents import incidents
from .pulse import take


@page
def home(request: Request) -> HttpResponse:
    user, now = request.user, db_now()
    seen = queries.survey(user)
    going_on = queries.running(user, seen)
    context = {
        "incidents": incidents(user, now, seen),
        "decisions": queries.decisions(user, seen),
        "mirrors": queries.mirrors(user, now),
        "expiring": queries.expiring(user, now),
        "running": going_on,
        "health": queries.health(seen),
        # Something may go wrong while nothing goes on.
        "seconds": 5 if going_on else 30,
    }
    template = "dashboard/_home.html" if request.htmx else "dashboard/home.html"
    return render(request, template, context)


def pulse(request: Request) -> HttpResponseBase:
    """What title, icon and rail tell now, as JSON; 304 while it is the same."""
    asked = request.GET.get("project", "")
    is_number = asked.isascii() and asked.isdigit() and len(asked) < 19
    beat = take(request.user, int(asked) if is_number else None, timezone.now())
    told = {"words": beat.words, "icon": beat.icon, "tallies": beat.tallies}
    answer = JsonResponse(told)
    answer["ETag"] = f'"{hashlib.blake2b(answer.content, digest_size=16).hexdigest()}"'
    known = get_conditional_response(request, etag=answer["ETag"], response=answer)
    return known or answer
