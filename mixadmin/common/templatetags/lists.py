"""Tags of lists: `{% load lists %}`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django import template
from django.template import Context
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString

from mixadmin.common import zones
from mixadmin.common.pages import Sorting, query_of, url_with
from mixadmin.common.states import RunState

from .ui import TONE_OF, icon, to_second

register = template.Library()


@register.simple_tag(takes_context=True)
def filters_of(context: Context, part: str) -> SafeString:
    """<form {% filters_of "jobs-table" %}>: a GET form that, with JavaScript, fetches
    the part of the list that changes while somebody types or chooses."""
    return format_html(
        'id="filters" method="get" class="filters" role="search" hx-get="{}" '
        'hx-trigger="input changed delay:250ms from:#q, change, submit" '
        'hx-target="#{}" hx-swap="outerHTML" hx-sync="this:replace"',
        context["request"].path,
        part,
    )


@register.simple_tag(takes_context=True)
def kept(context: Context, *names: str) -> SafeString:
    """{% kept "state" "sort" %}: what else the URL says, for the form of the filters."""
    query = context["request"].GET
    given = ((name, query.get(name, "")) for name in names)
    return format_html_join(
        "", '<input type="hidden" name="{}" value="{}">', (g for g in given if g[1])
    )


@register.simple_tag(takes_context=True)
def sort_head(context: Context, column: str, words: str, kind: str = "") -> SafeString:
    """{% sort_head "name" "Name" %}: the head of a column by which a list is sorted, as
    `sorting` in the context says. kind: classes of the cell."""
    sorting: Sorting = context["sorting"]
    descends = sorting.descends(column)
    order, picture = {
        None: ("", "chevrons-up-down"),
        True: (' aria-sort="descending"', "arrow-down"),
        False: (' aria-sort="ascending"', "arrow-up"),
    }[descends]
    return format_html(
        '<th scope="col" class="sorts {}"{}><a href="{}">{} {}</a></th>',
        kind,
        SafeString(order),
        url_with(context["request"], sort=sorting.turn(column)),
        words,
        icon(picture),
    )


@register.simple_tag
def tick(key: Any, name: Any) -> SafeString:
    """{% tick row.pk row %}: the first cell of a row that can be chosen."""
    return format_html(
        '<td class="choose"><input type="checkbox" form="bulk" name="id" value="{}" '
        'id="choose-{}" aria-label="Select {}"></td>',
        key,
        key,
        name,
    )


@register.simple_tag
def tick_all() -> SafeString:
    """The head of the column of `{% tick %}`. lists.js brings its box to life."""
    return SafeString(
        '<th scope="col" class="choose"><input type="checkbox" id="choose-page" hidden '
        'aria-label="Select all on this page">'
        '<span class="hidden-words">Selected</span></th>'
    )


# Values of `?state=` that are no states of a row.
MORE_TONES = {"never": "idle", "complete": "good", "removed": "idle"}


@register.filter
def tone(state: Any) -> str:
    """{{ chip.value|tone }}: good, bad, warn, busy or idle."""
    word = str(state or "")
    return MORE_TONES.get(word) or TONE_OF.get(word, "warn")


@register.inclusion_tag("accounts/_views.html", takes_context=True)
def saved_views(context: Context) -> Mapping[str, Any]:
    """The views of this list that the person keeps, and the form that keeps one."""
    request = context["request"]
    views = list(request.user.saved_views.filter(path=request.path))
    query = query_of(request)
    return {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "views": views,
        "query": query,
        "current": next((view for view in views if view.query == query), None),
    }


# --- The last runs as bars ------------------------------------------------------------

BARS = 14
# In units of the drawing. How wide a bar is stands in app.css.
HIGH = 22
STEP = 7
CROSS = 6


@register.simple_tag
def run_bars(runs: Sequence[Any], url: str = "") -> SafeString:
    """{% run_bars line.runs url %}: the newest runs, oldest first, each a bar as high as
    the events that it brought. The drawing says in a sentence what it shows, and leads
    to `url`.

    A state has its shape beside its colour: a failed run wears a cross, one with errors
    a notch, one that goes on or is not known is hollow, and any other is dotted.
    """
    shown = list(runs)[-BARS:]
    if not shown:
        return SafeString('<span class="quiet">none yet</span>')
    most = max((run.num_events_imported or 0 for run in shown), default=0) or 1
    left = (BARS - len(shown)) * STEP
    bars = [_bar(run, left + number * STEP, most) for number, run in enumerate(shown)]
    states = Counter(run.state for run in shown)
    told = ", ".join(
        f"{n} {LABELS[state].lower()}" for state, n in states.most_common()
    )
    one = "Last run" if len(shown) == 1 else f"Last {len(shown)} runs"
    drawing = (
        f'<svg class="bars" role="img" aria-label="{one}: {told}" '
        f'width="{BARS * STEP}" height="{HIGH + 2}">'
        f'<path class="base" d="M0 {HIGH + 1.5}h{BARS * STEP}"/>{"".join(bars)}</svg>'
    )
    if url:
        drawing = f'<a class="bars-link" href="{escape(url)}">{drawing}</a>'
    return SafeString(drawing)


LABELS = {str(state): str(label) for state, label in RunState.choices}


def _bar(run: Any, x: int, most: int) -> str:
    """Nothing in here needs escaping: the words are ours."""
    state, events = run.state, run.num_events_imported
    tone = "is-hollow" if state == "unknown" else f"is-{TONE_OF.get(state, 'warn')}"
    # Never so low that it cannot be seen or pointed at.
    high = max(4, round(HIGH * (events or 0) / most))
    sign = ""
    if tone == "is-bad":
        high = min(high, HIGH - CROSS)
        sign = (
            f'<path class="cross" d="M{x + 1} {HIGH + 2 - high - CROSS}l5 4m0-4l-5 4"/>'
        )
    elif state == "succeeded_with_errors":
        sign = f'<path class="notch" d="M{x} {HIGH + 1 - high // 2}h7"/>'
    counted = "events unknown" if events is None else f"{events:,} events"
    at = zones.local(run.at)
    told = f"{LABELS[state]}, {to_second(at)} {zones.label(at)}, {counted}"
    return (
        f'<rect class="{tone}" x="{x + 1}" y="{HIGH + 1 - high}" height="{high}">'
        f"<title>{told}</title></rect>{sign}"
    )
