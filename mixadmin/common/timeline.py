"""Several sorts of rows as one list, newest first, in pieces that go on by time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import Any

from django.core import signing
from django.core.exceptions import BadRequest
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime

from .pages import Chip, choice, url_with

LINES_PER_PAGE = 30


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of one sort, each with the moment at which it belongs into the list.

    at: the column of the moment, never NULL. template: shows one `row`. pinned: the
    rows that stand above all others of the first piece while they go on.
    """

    sort: str
    label: str
    rows: "QuerySet[Any]"
    at: str
    template: str
    pinned: "QuerySet[Any] | None" = None


@dataclass(frozen=True, slots=True)
class Line:
    """One row in the list."""

    at: datetime
    sort: str
    template: str
    row: Any
    is_pinned: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """One piece. The URLs are "" where there is nothing in that direction."""

    lines: list[Line]
    chips: list[Chip]
    next_url: str
    start_url: str


def timeline(
    request: HttpRequest, sources: Sequence[Source], *, size: int = LINES_PER_PAGE
) -> Timeline:
    """The piece that `?after=` names, of the sort that `?show=` names, or of all.

    Each source is asked once, for one piece, by keyset: no piece is slower than the
    first. Raises BadRequest for an `after` that we did not make, or another sort.
    """
    show = choice(request, "show", [source.sort for source in sources])
    after = request.GET.get("after", "")
    mark = _read(request, after, sources) if after else None
    pieces: list[list[tuple[int, Line]]] = []
    pinned: list[Line] = []
    for rank, source in enumerate(sources):
        if show and show != source.sort:
            continue
        rows = source.rows
        if source.pinned is not None:
            held = list(source.pinned[:size])
            if held:
                rows = rows.exclude(pk__in=[row.pk for row in held])
            pinned += [_line(source, row, is_pinned=True) for row in held]
        if mark is not None:
            rows = rows.filter(_beyond(source, rank, *mark))
        rows = rows.order_by(f"-{source.at}", "-pk")[: size + 1]
        pieces.append([(rank, _line(source, row)) for row in rows])
    # Each piece is in order already; those of one moment follow the order of the sorts.
    merged = merge(*pieces, key=lambda pair: (pair[1].at, -pair[0]), reverse=True)
    found = list(islice(merged, size + 1))
    more, found = len(found) > size, found[:size]
    first = [] if after else pinned
    end = _mark(request, sources, *found[-1]) if more else ""
    return Timeline(
        lines=[*first, *(line for _, line in found)],
        chips=_chips(request, sources, show),
        next_url=url_with(request, after=end) if more else "",
        start_url=url_with(request) if after else "",
    )


def _line(source: Source, row: Any, *, is_pinned: bool = False) -> Line:
    at = getattr(row, source.at)
    return Line(at, source.sort, source.template, row, is_pinned)


def _chips(request: HttpRequest, sources: Sequence[Source], show: str) -> list[Chip]:
    """ "All", and each sort, without counts: they would cost more than the list."""
    named = [("", "All"), *((source.sort, source.label) for source in sources)]
    return [
        Chip(sort, label, None, url_with(request, show=sort), show == sort)
        for sort, label in named
    ]


def _salt(request: HttpRequest) -> str:
    """A mark is good for the page that it was made for and for no other."""
    return f"mixadmin.timeline {request.path}"


def _mark(
    request: HttpRequest, sources: Sequence[Source], rank: int, line: Line
) -> str:
    """Where a piece ends, signed, so that nothing else than we said comes back."""
    place = [line.at.isoformat(), sources[rank].sort, str(line.row.pk)]
    return signing.dumps(place, salt=_salt(request))


def _read(
    request: HttpRequest, after: str, sources: Sequence[Source]
) -> tuple[datetime, int, str]:
    try:
        at, sort, pk = signing.loads(after, salt=_salt(request))
    except signing.BadSignature:
        raise BadRequest("This piece of the list does not exist.") from None
    ranks = {source.sort: rank for rank, source in enumerate(sources)}
    moment = parse_datetime(at)
    if sort not in ranks or moment is None:
        raise BadRequest("This piece of the list does not exist.")
    return moment, ranks[sort], pk


def _beyond(source: Source, rank: int, at: datetime, last: int, pk: str) -> Q:
    """What comes after the line that the mark names, in the order of the list."""
    older = Q(**{f"{source.at}__lt": at})
    same = Q(**{source.at: at})
    if rank < last:
        return older
    if rank > last:
        return older | same
    return older | (same & Q(pk__lt=pk))
