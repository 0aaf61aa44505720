"""Charts as SVG, drawn on the server: plain data in, a Chart for `_chart.html` out.

No colour stands alone: each state has a shape or a hatching of its own and its word,
and the table behind every chart says the same in text. What is not known is never
drawn as 0. Columns and lines place their marks in percent of the width, so that text
and shapes keep their size on a phone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import SafeString

from . import zones
from .templatetags.ui import lasting, to_second

# The plot, in pixels: the height of the whole, where the top value and 0 lie.
HEIGHT, TOP, BASE = 176, 26, 150
# With fewer points the columns do not grow any wider than with this many.
FEWEST_SLOTS = 14
# What is drawn above a mark of this tone, beside its colour.
SIGNS = {"bad": "✕", "warn": "▲", "busy": "◔"}
HATCHED = ("bad", "warn", "idle")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is measured: its words, how a value is written, where the axis may end."""

    words: str
    write: Callable[[float], str]
    # The axis ends at one of these, times a power of ten.
    tops: tuple[float, ...] = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    # For what is not decimal: the ends themselves, while they reach.
    steps: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a moment. None: it is not known."""

    at: datetime
    value: float | None
    # good, bad, warn, busy or idle, and its word for the table.
    tone: str = "good"
    state: str = ""
    # What to read on about it; a link in the table.
    url: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time behind a line, such as one of throttling. None: until now."""

    start: datetime
    end: datetime | None
    label: str
    tone: str = "warn"


@dataclass(frozen=True, slots=True)
class Part:
    """One of the counts that add up to a whole. None: it is not known."""

    label: str
    value: int | None
    tone: str = "good"


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a calendar. No tone: nothing happened on it."""

    on: date
    tone: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A line of the legend."""

    label: str
    swatch: SafeString


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table behind a chart. The first cell is a link where there is one."""

    cells: tuple[str, ...]
    url: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """What `_chart.html` shows. Without a body there was nothing to draw."""

    id: str
    title: str
    label: str
    body: SafeString
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    legend: tuple[Key, ...] = ()
    kind: str = "plot"
    height: int = HEIGHT
    view_box: str = ""
    empty: str = "There is nothing to draw yet."

    @property
    def table(self) -> SafeString:
        """The lines of the table: joined here, a template takes ten times as long."""
        return SafeString("\n".join(_table_row(row) for row in self.rows))


def _table_row(row: Row) -> str:
    first, *others = map(escape, row.cells)
    link = f'<a href="{escape(row.url)}">{first}</a>' if row.url else first
    cells = "".join(
        f"<td>{cell}</td>" if place else f'<td class="number">{cell}</td>'
        for place, cell in enumerate(others)
    )
    return f'<tr><th scope="row">{link}</th>{cells}</tr>'


def grouped(value: float) -> str:
    """1234567 as 1,234,567; small fractions keep one decimal."""
    if isinstance(value, int) or value == int(value) or abs(value) >= 100:
        return f"{round(value):,}"
    return f"{value:,.1f}"


def seconds(value: float) -> str:
    """90 as 1 min 30 s, 120 as 2 min; fractions only where they matter."""
    if 0 < value < 10 and value != int(value):
        return f"{value:.1f} s"
    told = lasting(timedelta(seconds=value))
    for nothing in (" 0 s", " 0 min", " 0 h"):
        told = told.removesuffix(nothing)
    return told


EVENTS = Unit("events", grouped)
RECORDS_PER_SECOND = Unit("records per second", grouped)
DURATION = Unit(
    "duration",
    seconds,
    steps=(
        *(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800),
        *(3600, 7200, 14400, 21600, 43200, 86400),
    ),
)


def top_of(largest: float, unit: Unit) -> float:
    """Where the axis ends: the first round value that is not below the largest."""
    if largest <= 0:
        return unit.steps[0] if unit.steps else 1
    for step in unit.steps:
        if largest <= step:
            return step
    if unit.steps:
        return unit.steps[-1] * math.ceil(largest / unit.steps[-1])
    power: float = 10 ** math.floor(math.log10(largest))
    if largest <= 1:
        return 1
    return next((t * power for t in unit.tops if largest <= t * power), 10 * power)


# --- Columns and lines ----------------------------------------------------------------


def columns(
    points: Sequence[Point],
    *,
    id: str,
    title: str,
    unit: Unit = EVENTS,
    when: str = "Started",
) -> Chart:
    """One column for each point, oldest first, side by side whatever lies between."""
    points = [_sane(point) for point in points]
    top = _top(points, unit)
    slots = max(len(points), FEWEST_SLOTS)
    slot = 100 / slots
    grid, ticks = _grid(top, unit)
    marks = [grid]
    written = _written(points, unit)
    for place, (point, (_, _, said)) in enumerate(zip(points, written, strict=True)):
        left, middle = (place + 0.14) * slot, (place + 0.5) * slot
        high = BASE if point.value is None else _y(point.value, top)
        title_of = f"<title>{said}</title>"
        if point.value is None:
            marks.append(
                f'<g class="mark is-{point.tone}">{title_of}'
                f'<rect class="hit" x="{middle - slot / 2:.2f}%" y="{TOP}" '
                f'width="{slot:.2f}%" height="{BASE - TOP}"/>'
                f'<text class="sign" x="{middle:.2f}%" y="{BASE - 4}">'
                f"{SIGNS.get(point.tone, '?')}</text></g>"
            )
            continue
        sign = SIGNS.get(point.tone)
        above = (
            f'<text class="sign" x="{middle:.2f}%" y="{high - 4:.1f}">{sign}</text>'
            if sign
            else ""
        )
        fill = f' fill="url(#{id}-{point.tone})"' if point.tone in HATCHED else ""
        marks.append(
            f'<g class="mark is-{point.tone}">{title_of}'
            f'<rect x="{left:.2f}%" y="{high:.1f}" width="{slot * 0.72:.2f}%" '
            f'height="{BASE - high:.1f}"{fill}/>{above}</g>'
        )
    marks.append(ticks)
    marks.append(_ends(points, [(place + 0.5) * slot for place in range(len(points))]))
    return _chart(points, written, marks, id=id, title=title, unit=unit, when=when)


def line(
    points: Sequence[Point],
    *,
    id: str,
    title: str,
    unit: Unit = DURATION,
    bands: Sequence[Band] = (),
    even: bool = False,
    when: str = "At",
) -> Chart:
    """A line through the points, oldest first, broken where a value is not known.

    even: side by side, as the columns of `columns` are; otherwise by their time.
    bands: stretches of time behind the line.
    """
    points = [_sane(point) for point in points]
    top = _top(points, unit)
    if even:
        slot = 100 / max(len(points), FEWEST_SLOTS)
        places = [(place + 0.5) * slot for place in range(len(points))]
    else:
        places = _by_time([point.at for point in points], bands)
    marks = [_band(band, points, bands, id) for band in bands]
    grid, ticks = _grid(top, unit)
    marks.append(grid)
    before: tuple[float, float] | None = None
    dots = []
    written = _written(points, unit)
    for x, point, (_, _, said) in zip(places, points, written, strict=True):
        title_of = f"<title>{said}</title>"
        if point.value is None:
            dots.append(
                f'<g class="mark is-{point.tone}">{title_of}<text class="sign" '
                f'x="{x:.2f}%" y="{BASE - 4}">{SIGNS.get(point.tone, "?")}</text></g>'
            )
            before = None
            continue
        y = _y(point.value, top)
        if before is not None:
            marks.append(
                f'<line class="stroke" x1="{before[0]:.2f}%" y1="{before[1]:.1f}" '
                f'x2="{x:.2f}%" y2="{y:.1f}"/>'
            )
        before = (x, y)
        sign = SIGNS.get(point.tone)
        shape = (
            f'<text class="sign" x="{x:.2f}%" y="{y + 4:.1f}">{sign}</text>'
            if sign
            else f'<circle cx="{x:.2f}%" cy="{y:.1f}" r="3"/>'
        )
        dots.append(f'<g class="mark is-{point.tone}">{title_of}{shape}</g>')
    marks += [*dots, ticks]
    marks.append(_ends(points, places))
    return _chart(
        points, written, marks, id=id, title=title, unit=unit, when=when, bands=bands
    )


def _sane(point: Point) -> Point:
    """Numbers that no axis can show are not known; nothing is less than nothing."""
    value = point.value
    if value is not None and not math.isfinite(value):
        value = None
    if value is not None and value < 0:
        value = 0
    if value is point.value:
        return point
    return Point(point.at, value, point.tone, point.state, point.url)


def _top(points: Sequence[Point], unit: Unit) -> float:
    known = [point.value for point in points if point.value is not None]
    return top_of(max(known, default=0), unit)


def _y(value: float, top: float) -> float:
    """Where a value lies. Zero keeps a sliver, so that it can be seen to be there."""
    return min(BASE - value / top * (BASE - TOP), BASE - 1.5)


def _by_time(moments: Sequence[datetime], bands: Sequence[Band]) -> list[float]:
    start, end = _span(moments, bands)
    length = (end - start).total_seconds()
    if not length:
        return [50.0 for _ in moments]
    return [1 + 98 * (m - start).total_seconds() / length for m in moments]


def _span(
    moments: Sequence[datetime], bands: Sequence[Band]
) -> tuple[datetime, datetime]:
    known = [*moments, *(b.start for b in bands), *(b.end for b in bands if b.end)]
    if not known:
        now = timezone.now()
        return now, now
    return min(known), max(known)


def _band(band: Band, points: Sequence[Point], bands: Sequence[Band], id: str) -> str:
    start, end = _span([point.at for point in points], bands)
    left, right = _by_time([start, band.start, band.end or end, end], bands)[1:3]
    told = escape(f"{band.label}: {moment(band.start)} to {_end(band)}")
    return (
        f'<g class="band is-{band.tone}"><title>{told}</title><rect '
        f'x="{left:.2f}%" y="{TOP}" width="{max(right - left, 0.4):.2f}%" '
        f'height="{BASE - TOP}" fill="url(#{id}-band-{band.tone})"/></g>'
    )


def _grid(top: float, unit: Unit) -> tuple[str, str]:
    """Lines across, to lie behind the marks, and what they stand for, to lie before."""
    lines, words = "", ""
    for share in (1, 0.5):
        if not unit.steps and top * share != int(top * share):
            continue
        y = BASE - share * (BASE - TOP)
        lines += f'<line class="grid" x1="0%" y1="{y:.0f}" x2="100%" y2="{y:.0f}"/>'
        told = escape(unit.write(top * share))
        words += f'<text class="tick" x="0" y="{y - 4:.0f}">{told}</text>'
    lines += f'<line class="ground" x1="0%" y1="{BASE}" x2="100%" y2="{BASE}"/>'
    return lines, words


def _ends(points: Sequence[Point], places: Sequence[float]) -> str:
    """The times of the first, the middle and the last point, below the ground."""
    if not points:
        return ""
    times = _times([point.at for point in points])
    last, y = len(points) - 1, BASE + 17
    first = f'<text class="tick" x="0" y="{y}">{times[0]}</text>'
    if not last:
        return first
    # A few points leave the right side free: their last time belongs below the last.
    anchor = ("100%", "end") if places[-1] > 80 else (f"{places[-1]:.1f}%", "middle")
    if places[-1] < 45:
        return first
    ended = (
        f'<text class="tick" x="{anchor[0]}" y="{y}" text-anchor="{anchor[1]}">'
        f"{times[last]}</text>"
    )
    if last < 4 or places[-1] <= 80:
        return first + ended
    middle = last // 2
    return (
        first
        + ended
        + (
            f'<text class="tick wide" x="{places[middle]:.1f}%" y="{y}" '
            f'text-anchor="middle">{times[middle]}</text>'
        )
    )


def _times(moments: Sequence[datetime]) -> list[str]:
    """As short as the stretch allows, always with the zone."""
    near = max(moments) - min(moments) < timedelta(hours=20)
    shape = "%H:%M" if near else "%Y-%m-%d"
    return [f"{m:{shape}} {zones.label(m)}" for m in map(zones.local, moments)]


def moment(at: datetime) -> str:
    """A time as the tables write it, in the zone of the person."""
    local = zones.local(at)
    return f"{to_second(local)} {zones.label(local)}"


def _end(band: Band) -> str:
    return moment(band.end) if band.end else "now"


def _written(points: Sequence[Point], unit: Unit) -> list[tuple[str, str, str]]:
    """(time, value, both and the state in one sentence, escaped) of each point."""
    words = "" if unit is DURATION else f" {unit.words}"
    found: list[tuple[str, str, str]] = []
    for point in points:
        at = moment(point.at)
        if point.value is None:
            value, said = "unknown", f"{unit.words} unknown"
        else:
            value = unit.write(point.value)
            said = value + words
        state = f", {point.state.lower()}" if point.state else ""
        found.append((at, value, escape(f"{at}: {said}{state}")))
    return found


def _chart(
    points: Sequence[Point],
    written: Sequence[tuple[str, str, str]],
    marks: Sequence[str],
    *,
    id: str,
    title: str,
    unit: Unit,
    when: str,
    bands: Sequence[Band] = (),
) -> Chart:
    states = any(point.state for point in points)
    lines = [
        (
            point.at,
            Row((at, value, *([point.state] if states else [])), point.url),
        )
        for point, (at, value, _) in zip(points, written, strict=True)
    ]
    filler = ("",) if states else ()
    lines += [
        (b.start, Row((moment(b.start), f"{b.label}, until {_end(b)}", *filler)))
        for b in bands
    ]
    body = _patterns(id) + "".join(marks) if points or bands else ""
    seen = {point.tone: point.state for point in points if point.state}
    legend = [Key(word, _swatch(id, tone)) for tone, word in seen.items()]
    legend += [
        Key(label, _swatch(id, f"band-{tone}"))
        for label, tone in {band.label: band.tone for band in bands}.items()
    ]
    return Chart(
        id=id,
        title=title,
        label=_sentence(title, points, unit, bands),
        body=SafeString(body),
        heads=(when, unit.words.capitalize(), *(("State",) if states else ())),
        rows=tuple(row for _, row in sorted(lines, key=lambda pair: pair[0])[::-1]),
        legend=tuple(legend) if len(legend) > 1 or bands else (),
    )


def _sentence(
    title: str, points: Sequence[Point], unit: Unit, bands: Sequence[Band]
) -> str:
    """The chart in words, for those who do not see it."""
    if not points:
        return f"{title}. Nothing yet."
    known = [point.value for point in points if point.value is not None]
    words = [
        f"{title}, {_many(len(points), 'value')} from {moment(points[0].at)} "
        f"to {moment(points[-1].at)}."
    ]
    if known:
        low, high = unit.write(min(known)), unit.write(max(known))
        words.append(f"Lowest {low}, highest {high}.")
    if unknown := len(points) - len(known):
        words.append(f"{unknown} not known.")
    counts: dict[str, int] = {}
    for point in points:
        if point.state:
            counts[point.state] = counts.get(point.state, 0) + 1
    if counts:
        told = ", ".join(f"{n:,} {state.lower()}" for state, n in counts.items())
        words.append(f"{told[:1].upper()}{told[1:]}.")
    labels: dict[str, int] = {}
    for band in bands:
        labels[band.label] = labels.get(band.label, 0) + 1
    words += [f"{label}: {_many(n, 'time')}." for label, n in labels.items()]
    return " ".join(words)


def _many(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


# --- Counts that add up ---------------------------------------------------------------


def stacked(
    parts: Sequence[Part],
    *,
    id: str,
    title: str,
    whole: str,
    total: int | None,
) -> Chart:
    """One bar: the parts side by side as shares of the whole.

    What the whole holds beyond the known parts is hatched: unknown where a part is not
    known, otherwise not accounted for. Where the whole is not known either, the known
    parts are drawn, and a hatched piece of no particular length after them.
    """
    known = sum(part.value for part in parts if part.value)
    unknown = [part.label for part in parts if part.value is None]
    rest = None if total is None else max(total - known, 0)
    shares = [(part, part.value) for part in parts if part.value]
    if rest:
        label = "Unknown" if unknown else "Not accounted for"
        shares.append((Part(label, rest, "idle"), rest))
    elif rest is None and (unknown or not shares):
        length = max(known // 4, 1)
        shares.append((Part("Unknown", None, "idle"), length))
    sum_of = sum(length for _, length in shares)
    marks, left = [_patterns(id)], 0.0
    for part, length in shares:
        width = 100 * length / sum_of
        told = escape(f"{part.label}: {_count(part.value)}")
        fill = f' fill="url(#{id}-{part.tone})"' if part.tone in HATCHED else ""
        marks.append(
            f'<g class="mark is-{part.tone}"><title>{told}</title><rect '
            f'x="{left:.3f}%" y="1" width="{max(width, 0.3):.3f}%" height="26"{fill}/>'
            "</g>"
        )
        left += width
    counts = ", ".join(f"{_count(p.value)} {p.label.lower()}" for p in parts)
    balance = "" if total is None or unknown else _balance(total - known)
    return Chart(
        id=id,
        title=title,
        label=f"{title}. {whole}: {_count(total)}; {counts}.{balance}",
        body=SafeString("".join(marks) if shares else ""),
        heads=("What", "Count", f"Share of {whole.lower()}"),
        rows=(
            Row((whole, _count(total), "")),
            *(
                Row((part.label, _count(part.value), _share(part.value, total)))
                for part in parts
            ),
            *(
                (Row(("Not accounted for", grouped(rest), _share(rest, total))),)
                if rest and not unknown
                else ()
            ),
        ),
        legend=tuple(
            Key(
                part.label
                if part.value is None
                else f"{part.label} {grouped(part.value)}",
                _swatch(id, part.tone),
            )
            for part, _ in shares
        ),
        kind="bar",
        height=28,
        empty="Nothing was counted." if total == 0 else "No count is known yet.",
    )


def _balance(missing: int) -> str:
    if missing > 0:
        return f" {grouped(missing)} not accounted for."
    if missing < 0:
        return f" {grouped(-missing)} more than the whole."
    return " They add up."


def _count(value: int | None) -> str:
    return "unknown" if value is None else grouped(value)


def _share(value: int | None, total: int | None) -> str:
    if value is None or not total:
        return "—"
    share = 100 * value / total
    # What is not nothing is not written as nothing, and what is not all not as all.
    if 0 < share < 0.1:
        return "under 0.1%"
    if 99.9 < share < 100:
        return "over 99.9%"
    return f"{share:.1f}%"


# --- Days -----------------------------------------------------------------------------


def calendar(
    days: Sequence[Day], *, id: str, title: str, words: Mapping[str, str]
) -> Chart:
    """A column of squares for each week, Monday on top. days: oldest first, no gaps.

    words: what each tone stands for, in the order of the legend.
    """
    cell, left, top = 17, 34, 20
    marks = []
    if days:
        first = days[0].on - timedelta(days=days[0].on.weekday())
        weeks = (days[-1].on - first).days // 7 + 1
        for row, name in ((0, "Mon"), (2, "Wed"), (4, "Fri")):
            y = top + row * cell + 12
            marks.append(f'<text class="tick" x="0" y="{y}">{name}</text>')
        month = 0
        for day in days:
            week, row = divmod((day.on - first).days, 7)
            x, y = left + week * cell, top + row * cell
            if day.on.month != month and (row == 0 or day is days[0]):
                # Two names would run into one another at the turn of a month.
                if week == 0 or week > 2 or not month:
                    name = day.on.strftime("%b")
                    marks.append(f'<text class="tick" x="{x}" y="12">{name}</text>')
                month = day.on.month
            marks.append(_square(day, x, y))
    else:
        weeks = 0
    counts = {tone: sum(day.tone == tone for day in days) for tone in words}
    told = ", ".join(
        f"{_many(n, 'day')} {words[tone].lower()}" for tone, n in counts.items() if n
    )
    stretch = f", {days[0].on} to {days[-1].on}" if days else ""
    return Chart(
        id=id,
        title=title,
        label=f"{title}{stretch}: {told or 'nothing yet'}.",
        body=SafeString("".join(marks) if days else ""),
        heads=("Day", "State", "Runs"),
        rows=tuple(
            Row((f"{day.on}", words.get(day.tone, "Unknown"), day.words))
            for day in reversed(days)
            if day.tone
        ),
        legend=tuple(
            Key(word, _day_swatch(tone)) for tone, word in words.items() if counts[tone]
        ),
        kind="calendar",
        height=0,
        view_box=f"0 0 {left + max(weeks, 1) * cell} {top + 7 * cell}",
    )


def _square(day: Day, x: int, y: int) -> str:
    told = escape(f"{day.on:%a} {day.on}: {day.words or 'no run'}")
    return (
        f'<g class="mark is-{day.tone or "none"}"><title>{told}</title>'
        f"{_box(day.tone, x, y)}</g>"
    )


def _box(tone: str, x: int, y: int) -> str:
    sign = SIGNS.get(tone, "?" if tone == "idle" else "")
    mark = f'<text class="sign" x="{x + 7}" y="{y + 11}">{sign}</text>' if sign else ""
    return f'<rect x="{x}" y="{y}" width="14" height="14" rx="2"/>{mark}'


def _day_swatch(tone: str) -> SafeString:
    return SafeString(
        '<svg class="swatch" width="14" height="14" aria-hidden="true">'
        f'<g class="mark is-{tone}">{_box(tone, 0, 0)}</g></svg>'
    )


# --- Hatchings ------------------------------------------------------------------------


def _patterns(id: str) -> str:
    """The hatching of each tone: stripes down, dots, stripes up, and bands."""
    lines = {
        "bad": '<path d="M-1 1l2-2M0 6l6-6M5 7l2-2"/>',
        "warn": '<circle cx="3" cy="3" r="1.4"/>',
        "idle": '<path d="M-1 5l2 2M0 0l6 6M5-1l2 2"/>',
    }
    found = [
        f'<pattern id="{id}-{tone}" class="hatch is-{tone}" width="6" height="6" '
        f'patternUnits="userSpaceOnUse"><rect width="6" height="6"/>{shape}</pattern>'
        for tone, shape in lines.items()
    ]
    found += [
        f'<pattern id="{id}-band-{tone}" class="hatch is-{tone}" width="6" height="6" '
        'patternUnits="userSpaceOnUse"><rect width="6" height="6"/>'
        f"{lines.get(tone, '')}</pattern>"
        for tone in ("warn", "bad", "idle", "busy")
    ]
    return f"<defs>{''.join(found)}</defs>"


def _swatch(id: str, tone: str) -> SafeString:
    plain = tone.removeprefix("band-")
    fill = f' fill="url(#{id}-{tone})"' if tone != plain or tone in HATCHED else ""
    return SafeString(
        '<svg class="swatch" width="14" height="14" aria-hidden="true">'
        f'<g class="mark is-{plain}"><rect x="0.5" y="0.5" width="13" height="13" '
        f'rx="2"{fill}/></g></svg>'
    )
