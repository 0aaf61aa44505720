"""What is drawn of an ingestion: where its records are, and how fast it went."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mixadmin.common import charts

from .models import Ingestion, Sample
from .previews import Books
from .samples import SHORTEST

TONES = {
    "imported": "good",
    "refused": "bad",
    "invalid": "warn",
    "unsettled": "bad",
    "held": "busy",
    "dropped": "idle",
}
FEWEST_SAMPLES = 2
MOST_POINTS = 100
MOST_BANDS = 60
HELD_BACK = {"rate": "Throttled", "": "Waited for Mixpanel"}


def stacked(books: Books) -> charts.Chart:
    """The books as one bar. Its table is the one of the books, so it has none."""
    read, *others = books.lines
    parts = [
        charts.Part(line.label, line.count, TONES[line.name])
        for line in others
        if line.count
    ]
    if books.pending:
        parts.append(charts.Part("Not read yet", books.pending, "idle"))
    chart = charts.stacked(
        parts,
        id="records",
        title="What became of the records",
        whole="Known" if books.pending else "Read",
        total=read.count + books.pending,
    )
    return replace(chart, rows=())


def throughput(ingestion: Ingestion, now: datetime) -> charts.Chart | None:
    """Records a second over time, and when it was held back; None while there is not
    enough to draw."""
    rows = list(ingestion.samples.all())
    if len(rows) < FEWEST_SAMPLES or ingestion.started_at is None:
        return None
    end = (ingestion.ended_at or now).timestamp()
    start = ingestion.started_at.timestamp()
    bands = _bands(rows, end)
    points: list[charts.Point] = []
    last = 0.0
    for at, seconds, read in _merged(rows):
        first, until = max(at, start), min(at + seconds, end)
        if points and at > last:
            # Nothing was sent in between.
            points += [charts.Point(_moment(edge), 0) for edge in (last, at)]
        rate = read / max(1.0, until - first)
        points.append(charts.Point(_moment((first + until) / 2), round(rate, 1)))
        last = at + seconds
    if last < end:
        points += [charts.Point(_moment(edge), 0) for edge in (last, end)]
    return charts.line(
        points,
        id="throughput",
        title="Records read a second",
        unit=charts.RECORDS_PER_SECOND,
        bands=bands,
    )


def _merged(rows: Sequence[Sample]) -> list[tuple[int, int, int]]:
    """(begin, seconds, records read) of at most MOST_POINTS stretches."""
    whole = rows[-1].at + rows[-1].seconds - rows[0].at
    width = SHORTEST
    while whole > width * MOST_POINTS:
        width *= 2
    found: dict[int, int] = {}
    for row in rows:
        at = row.at // width * width
        found[at] = found.get(at, 0) + row.read
    return [(at, width, read) for at, read in found.items()]


def _bands(rows: Sequence[Sample], end: float) -> list[charts.Band]:
    """When it was held back: until the end that was set, or until it went on earlier."""
    found: list[charts.Band] = []
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        if row.waited_from is None or row.waited_until is None:
            continue
        until = min(row.waited_until, end)
        if after is not None and after.read:
            until = min(until, max(after.at, row.waited_from))
        label = HELD_BACK.get(row.wait_reason, HELD_BACK[""])
        begin = _moment(row.waited_from)
        if found and found[-1].label == label and found[-1].end:
            close = begin - found[-1].end < timedelta(seconds=row.seconds)
            if close:
                begin = found.pop().start
        found.append(charts.Band(begin, _moment(max(until, row.waited_from)), label))
    return found[-MOST_BANDS:]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
