from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from mixadmin.accounts.requests import Request
from mixadmin.common.causes import AREAS, CAUSES, Cause
from mixadmin.common.fixes import fix_anywhere
from mixadmin.common.pages import Chip, chips, choice, page, search, url_with

from . import queries

SHOWN = 50


@page
def error_list(request: Request) -> HttpResponse:
    """Every known cause. A message may be searched for too: it finds its cause."""
    words = search(request)
    area = choice(request, "area", AREAS)
    show = choice(request, "show", ("failing",))
    failing = queries.failing(request.user)
    found = [cause for cause in CAUSES.values() if not words or fits(cause, words)]
    counts = {name: sum(c.area == name for c in found) for name in AREAS}
    failing_now = [cause for cause in found if cause.code in failing]
    shown = [
        cause
        for cause in (failing_now if show else found)
        if not area or cause.area == area
    ]

    def lines(causes: list[Cause]) -> list[tuple[Cause, int]]:
        return [(cause, len(failing.get(cause.code, ()))) for cause in causes]

    groups = [
        (title, lines([cause for cause in shown if cause.area == name]))
        for name, title in AREAS.items()
    ]
    context = {
        "groups": [group for group in groups if group[1]],
        # On top while nothing else is asked for.
        "failing_now": [] if words or area or show else lines(failing_now),
        "chips": [
            *chips(request, "area", AREAS.items(), counts),
            Chip(
                "failing",
                "Failing now",
                len(failing_now),
                url_with(request, show="" if show else "failing"),
                bool(show),
            ),
        ],
        "q": words,
        "area": area,
        "show": show,
        "total": len(CAUSES),
        "failing": len(failing),
    }
    return render(request, "errors/list.html", context)


def fits(cause: Cause, words: str) -> bool:
    """Whether all the words are about the cause, or are a message that tells of it."""
    if cause.text and cause.text.search(words):
        return True
    about = f"{cause.code} {cause.title} {cause.meaning} {cause.remedy} {cause.sample}"
    text = f"{about} {cause.sign}".lower()
    return all(word in text for word in words.lower().split())


@page
def error_detail(request: Request, name: str) -> HttpResponse:
    cause = CAUSES.get(name)
    if cause is None:
        raise Http404("There is no such cause.")
    things = queries.failing(request.user).get(cause.code, [])
    context = {
        "cause": cause,
        "area": AREAS[cause.area],
        "area_url": f"{reverse('errors:list')}?area={cause.area}",
        "fix": fix_anywhere(cause),
        "things": things[:SHOWN],
        "count": len(things),
        "more": len(things) > SHOWN,
        "days": queries.RECENT.days,
    }
    return render(request, "errors/detail.html", context)
