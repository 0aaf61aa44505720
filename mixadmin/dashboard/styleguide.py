"""One page that shows every piece that pages are made of, as it is used."""

from datetime import timedelta

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from mixadmin.accounts.requests import Request
from mixadmin.common.forms import ActionForm, Choice, Line, SecretText, YesNo
from mixadmin.common.pages import Chip, Paged, page, tabs
from mixadmin.common.states import RunState

COLOURS = (
    "ground",
    "sheet",
    "sunken",
    "ink",
    "quiet",
    "line",
    "field",
    "accent",
    "accent-ground",
    "good-ground",
    "bad-ground",
    "warn-ground",
    "busy-ground",
    "idle-ground",
    "rail",
    "mark",
)
ICONS = (
    "house",
    "folder",
    "key-round",
    "database",
    "table-2",
    "cloud-download",
    "send",
    "files",
    "book-open",
    "list-checks",
    "users",
    "play",
    "pause",
    "rotate-cw",
    "trash-2",
    "pencil",
    "search",
    "copy",
    "plus",
    "download",
)


class Example(ActionForm):
    """Fields of each sort, one of them wrong."""

    name = Line(label="Name", asked=True, help_text="As people will see it.")
    region = Choice(label="Region", choices=(("us", "US"), ("eu", "EU"), ("in", "IN")))
    secret = SecretText(
        label="Secret", help_text="Write-only: it is never shown again."
    )
    b2b = YesNo(label="Group analytics")


@page
def styleguide(request: Request) -> HttpResponse:
    form = Example({"name": "", "region": "us"})
    form.add_error("name", "This field is needed.")
    now = timezone.now()
    return render(
        request,
        "styleguide.html",
        {
            "colours": COLOURS,
            "icons": ICONS,
            "states": RunState.choices,
            "tones": ("good", "bad", "warn", "busy", "idle"),
            "form": form,
            "tabs": tabs(
                request,
                ("Overview", request.path),
                ("Runs", f"{request.path}?tab=runs", 214),
                ("Timeline", f"{request.path}?tab=timeline"),
            ),
            "chips": [
                Chip("", "All", 41, request.path, True),
                Chip("failed", "Failed", 2, f"{request.path}?state=failed", False),
            ],
            "paged": Paged(
                rows=[now] * 50,
                next_url=f"{request.path}?after=x",
                previous_url="",
                start_url="",
                first=1,
                total=20_000,
            ),
            "moment": now - timedelta(minutes=5),
            "explanation": {
                "title": "Mixpanel refused the service account",
                "meaning": "The username or the secret is wrong, or it was deleted.",
                "remedy": "Make a new secret in Mixpanel and store it here.",
            },
            "sample": '{\n  "event": "Sign up",\n  "properties": {"time": 1700000000}\n}',
        },
    )
