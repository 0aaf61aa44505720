import hashlib
from dataclasses import asdict

from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_vary_headers

from mixadmin.accounts.requests import Request
from mixadmin.common.clock import db_now
from mixadmin.common.pages import page, search

from . import finding, queries
from .incidents import incidents
from .pulse import take


@page
def home(request: Request) -> HttpResponse:
    user, now = request.user, db_now()
    seen = queries.survey(user)
    going_on = queries.running(user, seen)
    wrong, number = incidents(user, now, seen)
    context = {
        "incidents": wrong,
        "incident_count": number,
        "more_incidents": number - len(wrong),
        "decisions": queries.decisions(user, seen),
        "mirrors": queries.mirrors(user, now, seen),
        "expiring": queries.expiring(user, now, seen),
        "running": going_on,
        "health": queries.health(seen),
        # Something may go wrong while nothing goes on.
        "seconds": 5 if going_on else 30,
    }
    template = "dashboard/_home.html" if request.htmx else "dashboard/home.html"
    return render(request, template, context)


def find(request: Request) -> HttpResponse:
    """What is found, as a page or, for the palette, as JSON."""
    text = search(request)
    found = finding.find(request.user, text, project_asked(request))
    if request.get_preferred_type(["text/html", "application/json"]) == "text/html":
        pages_of = [line for line in found if not line.press]
        context = {"q": text, "found": pages_of}
        answer = render(request, "dashboard/find.html", context)
    else:
        answer = JsonResponse({"found": [asdict(line) for line in found]})
    patch_vary_headers(answer, ["Accept"])
    return answer


def project_asked(request: Request) -> int | None:
    """The project whose page asks; who may not see it gets nothing of it anyway."""
    asked = request.GET.get("project", "")
    is_number = asked.isascii() and asked.isdigit() and len(asked) < 19
    return int(asked) if is_number else None


def pulse(request: Request) -> HttpResponseBase:
    """What title, icon and rail tell now, as JSON; 304 while it is the same."""
    beat = take(request.user, project_asked(request), timezone.now())
    told = {"words": beat.words, "icon": beat.icon, "tallies": beat.tallies}
    answer = JsonResponse(told)
    answer["ETag"] = f'"{hashlib.blake2b(answer.content, digest_size=16).hexdigest()}"'
    known = get_conditional_response(request, etag=answer["ETag"], response=answer)
    return known or answer
