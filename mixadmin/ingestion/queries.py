"""What pages, API and commands show of an ingestion, each in few queries."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import BigIntegerField, Case, Count, F, Q, QuerySet, Sum, When
from django.db.models.functions import Coalesce, Greatest

from .models import (
    COUNTS,
    Ingestion,
    IngestionFile,
    Part,
    UnsettledBatch,
    totals,
)
from .spools import CUT

FIGURES = ("requests", "sent_bytes", "unverified")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingestion is. Bytes are of the stored files.

    rate: records a second in the newest minute; left: seconds until the end at that
    rate, None while it is not known.
    """

    total: int
    done: int
    rate: float
    bytes_rate: float
    left: float | None

    @property
    def share(self) -> float:
        """0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 1.0


def counts(ingestion: Ingestion) -> dict[str, int]:
    """The books: read = imported + refused + invalid + dropped + held + unsettled, and
    `pending`, what is known from the check and was not read yet."""
    books = Part.objects.filter(file__ingestion=ingestion).counts()
    known = ingestion.report.get("records")
    books["pending"] = _pending(ingestion, known, books["read"])
    return books


def with_books(ingestions: Sequence[Any]) -> None:
    """Give each its `books`, and its `share` (None where nothing goes on). Reports may
    be deferred."""
    keys = [one.pk for one in ingestions]
    found = totals(keys)
    how_far = shares(ingestions)
    checked = dict(
        Ingestion.objects.filter(pk__in=keys).values_list("pk", "report__records")
    )
    for one in ingestions:
        sums = found.get(one.pk, {})
        one.books = {name: sums.get(name) or 0 for name in COUNTS}
        known = checked.get(one.pk)
        one.books["pending"] = _pending(one, known, one.books["read"])
        one.share = how_far.get(one.pk)


def _pending(ingestion: Ingestion, known: Any, read: int) -> int:
    """What the check has seen and was not read yet."""
    if known is None or ingestion.is_ended:
        return 0
    return max(0, int(known) - read)


def unknown_batches(ingestion: Ingestion) -> QuerySet[UnsettledBatch]:
    """Those that a person must decide about."""
    return UnsettledBatch.objects.filter(
        part__file__ingestion=ingestion, state=UnsettledBatch.State.UNKNOWN
    ).select_related("part__file", "decided_by")


def rejected_by_code(ingestion: Ingestion) -> dict[str, int]:
    """{code: rejected records}, most first."""
    rows = ingestion.rejected_groups.order_by().values_list("code")
    return dict(rows.annotate(n=Sum("count")).order_by("-n", "code"))


def resendable(ingestion: Ingestion) -> int:
    """Rejected records that are kept whole, so that they can be sent again."""
    kept = ingestion.rejected_groups.exclude(code=CUT)
    return kept.aggregate(n=Sum("count"))["n"] or 0


def with_file_books(ingestion: Ingestion, files: Sequence[Any]) -> None:
    """Give each file its `books`, and `done`: stored bytes that are settled; of one that
    is being sent also `rate` and `bytes_rate` of the newest minute, else None."""
    keys = [file.pk for file in files]
    sending = [file.pk for file in files if file.state == IngestionFile.State.SENDING]
    rates = _rates(Part.objects.filter(file__in=sending), "file") if sending else {}
    sums = {
        row[0]: row[1:]
        for row in Part.objects.filter(file__in=keys)
        .order_by()
        .values_list("file")
        .annotate(**{f"all_{name}": Sum(name) for name in COUNTS})
    }
    done = _done(ingestion, keys)
    nothing = (0,) * len(COUNTS)
    for file in files:
        file.books = dict(zip(COUNTS, sums.get(file.pk, nothing), strict=True))
        is_done = file.state == IngestionFile.State.DONE
        file.done = file.size if is_done else done.get(file.pk, 0)
        file.rate, file.bytes_rate = rates.get(file.pk, (None, None))


def _done(ingestion: Ingestion, files: Sequence[int] | None = None) -> dict[int, int]:
    """{file: stored bytes that are settled in the current slice}."""
    parts = Part.objects.filter(file__ingestion=ingestion, slice=ingestion.slice)
    if files is not None:
        parts = parts.filter(file__in=files)
    return _settled(parts, "file")


def _settled(parts: Any, by: str) -> dict[int, int]:
    """{column: stored bytes that are settled}, in one query."""
    upto = Case(
        When(done=True, then=Coalesce("end", "file__size")),
        default=Greatest("stored", "start"),
        output_field=BigIntegerField(),
    )
    rows = parts.filter(releases=False).order_by().values_list(by)
    found: dict[int, int] = dict(rows.annotate(upto=Sum(upto - F("start"))))
    return found


def shares(ingestions: Sequence[Ingestion]) -> dict[int, float]:
    """{ingestion: how far it is, 0 to 1} of those that go on, in two queries."""
    keys = [one.pk for one in ingestions if one.state in Ingestion.GOING_ON]
    if not keys:
        return {}
    sizes = {
        row[0]: row[1:]
        for row in IngestionFile.objects.filter(ingestion__in=keys)
        .exclude(state=IngestionFile.State.FAILED)
        .order_by()
        .values_list("ingestion")
        .annotate(size=Sum("size"), checked=Sum("checked_bytes"))
    }
    current = Part.objects.filter(
        file__ingestion__in=keys, slice=F("file__ingestion__slice")
    )
    sent = _settled(current, "file__ingestion")
    found = {}
    for one in ingestions:
        total, checked = sizes.get(one.pk, (0, 0))
        is_checked = one.state == Ingestion.State.CHECKING
        done = checked if is_checked else sent.get(one.pk, 0)
        if one.pk in keys:
            found[one.pk] = min(1.0, done / total) if total else 1.0
    return found


def notes(ingestion: Ingestion) -> Counter[str]:
    """{finding, or "mended." and a mend: records} of what was sent."""
    found: Counter[str] = Counter()
    parts = Part.objects.filter(file__ingestion=ingestion).exclude(notes={})
    for told in parts.values_list("notes", flat=True).iterator():
        found.update(told)
    return found


@dataclass(frozen=True, slots=True)
class FileTotals:
    """The files of an ingestion together. Sizes are those of files that can be read."""

    count: int
    size: int
    checked: int
    done: int
    failed: int
    unfinished: int


def file_totals(ingestion: Ingestion) -> FileTotals:
    state = IngestionFile.State
    usable = ~Q(state=state.FAILED)
    sums = ingestion.files.order_by().aggregate(
        count=Count("pk"),
        size=Sum("size", filter=usable),
        checked=Sum("checked_bytes", filter=usable),
        done=Count("pk", filter=Q(state=state.DONE)),
        failed=Count("pk", filter=Q(state=state.FAILED)),
        unfinished=Count("pk", filter=Q(state=state.CANCELLED)),
    )
    return FileTotals(**{name: value or 0 for name, value in sums.items()})


def sums(ingestion: Ingestion) -> dict[str, int]:
    """The books as `counts` has them, without `pending`, and the figures: one query."""
    names = (*COUNTS, *FIGURES)
    parts = Part.objects.filter(file__ingestion=ingestion)
    found = parts.aggregate(**{name: Sum(name) for name in names})
    return {name: found[name] or 0 for name in names}


def progress(
    ingestion: Ingestion, files: FileTotals | None = None, read: int | None = None
) -> Progress:
    """files, read: of `file_totals` and the books, where they are known already."""
    files = files or file_totals(ingestion)
    if ingestion.state == Ingestion.State.CHECKING:
        return Progress(files.size, files.checked, 0, 0, None)
    done = files.size if ingestion.is_ended else sum(_done(ingestion).values())
    rate, bytes_rate = _rate(ingestion)
    left = None
    if rate and done:
        if read is None:
            read = sums(ingestion)["read"]
        left = (files.size - done) * (read / done) / rate if read else None
    return Progress(files.size, done, rate, bytes_rate, left)


def _rate(ingestion: Ingestion) -> tuple[float, float]:
    """Records and bytes a second, from what was sent in the newest minute."""
    if ingestion.is_ended:
        return 0.0, 0.0
    return _rates(Part.objects.filter(file__ingestion=ingestion)).get(None, (0.0, 0.0))


def _rates(
    parts: QuerySet[Part], by: str | None = None
) -> dict[int | None, tuple[float, float]]:
    """{column: records and bytes a second in the newest minute}; without a column of
    all of them together."""
    now = time.time()
    columns = ("pace", by) if by else ("pace",)
    rows: dict[int | None, list[list[int]]] = {}
    paces = parts.exclude(pace=[]).order_by("-pk").values_list(*columns)
    for pace, *key in paces[:200]:
        newest = [row for row in pace if row[0] > now - 60]
        if newest:
            rows.setdefault(key[0] if key else None, []).extend(newest)
    found = {}
    for key, paced in rows.items():
        seconds = max(1.0, now - min(row[0] for row in paced))
        found[key] = (
            sum(row[1] for row in paced) / seconds,
            sum(row[2] for row in paced) / seconds,
        )
    return found
