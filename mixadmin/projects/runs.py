"""What the pages of runs show, alike for imports and connectors."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from statistics import median
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from mixadmin.common import charts
from mixadmin.common.charts import Chart, Day, Point, seconds
from mixadmin.common.states import UNFINISHED_RUN, RunState
from mixadmin.common.templatetags.ui import TONE_OF

# How many runs a chart shows, with how many earlier ones a run is compared.
CHARTED, BEFORE = 30, 14
WEEKS = 12
# With fewer earlier runs nothing is usual yet.
FEWEST = 3
DAY_WORDS = {
    "good": "All succeeded",
    "warn": "Some did not",
    "bad": "None succeeded",
    "idle": "Not known",
}


# A run as a line of a CSV; a gap is a line with its note.
COLUMNS: dict[str, Callable[[Any], Any]] = {
    "Started at (UTC)": attrgetter("started_at"),
    "Ended at (UTC)": attrgetter("ended_at"),
    "Known since (UTC)": attrgetter("at"),
    "State": lambda run: "Gap" if run.is_gap else run.get_state_display(),
    "Mixpanel's word": attrgetter("raw_state"),
    "Duration in seconds": lambda run: run.duration and run.duration.total_seconds(),
    "Events imported": attrgetter("num_events_imported"),
    "Note": attrgetter("note"),
    "Id": attrgetter("pk"),
}


def newest(runs: "QuerySet[Any]", most: int = CHARTED) -> list[Any]:
    """The newest runs, newest first, without gaps and without Mixpanel's words."""
    shown = runs.filter(is_gap=False).defer("raw").order_by("-at", "-pk")
    return list(shown[:most])


def run_charts(runs: Sequence[Any]) -> list[Chart]:
    """Events and duration of each run. runs: newest first."""
    ended = list(reversed(runs))
    return [
        charts.columns(
            [_point(run, run.num_events_imported) for run in ended],
            id="events",
            title="Events imported by each run",
        ),
        charts.line(
            [_point(run, _lasted(run)) for run in ended],
            id="durations",
            title="Duration of each run",
            even=True,
            when="Started",
        ),
    ]


def _point(run: Any, value: float | None) -> Point:
    return Point(
        run.at,
        value,
        TONE_OF.get(run.state, "warn"),
        run.get_state_display(),
        run.get_absolute_url(),
    )


def _lasted(run: Any) -> float | None:
    return run.duration.total_seconds() if run.duration is not None else None


def run_calendar(runs: "QuerySet[Any]", now: datetime | None = None) -> Chart:
    """How the runs of each of the last twelve weeks' days went. One query."""
    zone = timezone.get_current_timezone()
    today = (now or timezone.now()).astimezone(zone).date()
    first = today - timedelta(days=today.weekday(), weeks=WEEKS - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=zone)
    counted = (
        runs.filter(is_gap=False, at__gte=since)
        .order_by()
        .annotate(on=TruncDate("at", tzinfo=zone))
        .values_list("on", "state")
        .annotate(n=Count("pk"))
    )
    by_day: dict[Any, dict[str, int]] = {}
    for on, state, n in counted:
        by_day.setdefault(on, {})[state] = n
    days = [first + timedelta(days=n) for n in range((today - first).days + 1)]
    return charts.calendar(
        [Day(on, *_day(by_day.get(on, {}))) for on in days],
        id="days",
        title=f"The last {WEEKS} weeks",
        words=DAY_WORDS,
    )


def _day(states: dict[str, int]) -> tuple[str, str]:
    """(tone, words) of a day by the states of its runs."""
    ended = {s: n for s, n in states.items() if s not in UNFINISHED_RUN}
    total = sum(ended.values())
    if not total:
        return "", "no run ended" if states else ""
    good = ended.get(RunState.SUCCEEDED, 0)
    other = [
        f"{n} {RunState(s).label.lower()}" if s in RunState.values else f"{n} {s}"
        for s, n in sorted(ended.items())
        if s != RunState.SUCCEEDED
    ]
    words = f"{total:,} run{'' if total == 1 else 's'}"
    words += f", {', '.join(other)}" if other else ", all succeeded"
    if good == total:
        return "good", words
    if set(ended) <= {RunState.UNKNOWN}:
        return "idle", words
    partly = good or ended.get(RunState.SUCCEEDED_WITH_ERRORS)
    return ("warn" if partly else "bad"), words


def neighbours(run: Any, runs: "QuerySet[Any]") -> tuple[Any, Any]:
    """(the run before, the run after), None where there is none."""
    others = runs.filter(is_gap=False).exclude(pk=run.pk).defer("raw")
    same = Q(at=run.at)
    before = others.filter(Q(at__lt=run.at) | (same & Q(pk__lt=run.pk)))
    after = others.filter(Q(at__gt=run.at) | (same & Q(pk__gt=run.pk)))
    return (
        before.order_by("-at", "-pk").first(),
        after.order_by("at", "pk").first(),
    )


def usual(run: Any, runs: "QuerySet[Any]") -> list[Any]:
    """The runs before it that ended well, to compare it with. One query."""
    good = (RunState.SUCCEEDED, RunState.SUCCEEDED_WITH_ERRORS)
    before = runs.filter(is_gap=False, state__in=good, at__lt=run.at).defer("raw")
    return list(before.order_by("-at", "-pk")[:BEFORE])


def compared(
    run: Any, before: Sequence[Any], *, now: datetime | None = None
) -> list[str]:
    """What is far from usual about a run, in plain words; nothing where it is not.

    Far is twice or half. A run that goes on is compared by the time it has taken.
    """
    found = []
    took = _lasted(run)
    if took is None and run.state == RunState.RUNNING and run.started_at:
        took = ((now or timezone.now()) - run.started_at).total_seconds()
    lasted = [s for s in map(_lasted, before) if s is not None]
    if took is not None and len(lasted) >= FEWEST and (mid := median(lasted)) > 0:
        basis = f"the {len(lasted)} runs before it (median {seconds(round(mid))})"
        verb = "Has taken" if run.state in UNFINISHED_RUN else "Took"
        if took >= 2 * mid and took - mid >= 30:
            found.append(f"{verb} {_times(took / mid)} as long as {basis}.")
        elif 2 * took <= mid and mid - took >= 30 and run.state not in UNFINISHED_RUN:
            found.append(f"{verb} {_part(took / mid)} of the time of {basis}.")
    counts = [
        r.num_events_imported for r in before if r.num_events_imported is not None
    ]
    events = run.num_events_imported
    ended = run.state not in UNFINISHED_RUN
    if events is None or len(counts) < FEWEST or not ended:
        return found
    mid = median(counts)
    basis = f"the {len(counts)} runs before it (median {round(mid):,})"
    if not events and mid:
        found.append(f"Brought no events, unlike {basis}.")
    elif mid and events >= 2 * mid:
        found.append(f"Brought {_times(events / mid)} as many events as {basis}.")
    elif mid and 2 * events <= mid:
        found.append(f"Brought {_part(events / mid)} of the events of {basis}.")
    return found


def _times(ratio: float) -> str:
    shown = f"{ratio:,.0f}" if ratio >= 3 else f"{ratio:.1f}".removesuffix(".0")
    return f"{shown} times"


def _part(ratio: float) -> str:
    if ratio < 0.01:
        return "less than a hundredth"
    if ratio < 0.1:
        return "less than a tenth"
    return f"about {100 * ratio:.0f} %"
