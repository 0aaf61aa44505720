"""What pages, API and commands show of an ingestion, each in few queries."""

import time
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, Sum
from django.db.models.functions import Coalesce

from .models import COUNTS, Ingestion, IngestionFile, Part


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
    books["pending"] = max(0, known - books["read"]) if known is not None else 0
    return books


def files_of(ingestion: Ingestion) -> list[dict[str, Any]]:
    """Each file with its books and how far it is, in two queries."""
    sums = {
        row[0]: row[1:]
        for row in Part.objects.filter(file__ingestion=ingestion)
        .order_by()
        .values_list("file", *(Coalesce(Sum(name), 0) for name in COUNTS))
    }
    done = _done(ingestion)
    return [
        {
            "file": file,
            "counts": dict(
                zip(COUNTS, sums.get(file.pk, (0,) * len(COUNTS)), strict=True)
            ),
            "done": done.get(file.pk, 0),
        }
        for file in ingestion.files.select_related("upload", "bucket")
    ]


def _done(ingestion: Ingestion) -> dict[int, int]:
    """{file: stored bytes that are settled in the current slice}."""
    parts = Part.objects.filter(
        file__ingestion=ingestion, slice=ingestion.slice, releases=False
    )
    done: dict[int, int] = {}
    rows = parts.values_list("file", "start", "stored", "done", "end", "file__size")
    for file, start, stored, finished, end, size in rows:
        upto = (size if end is None else end) if finished else max(stored, start)
        done[file] = done.get(file, 0) + max(0, upto - start)
    return done


def progress(ingestion: Ingestion) -> Progress:
    files = ingestion.files.exclude(state=IngestionFile.State.FAILED)
    sizes = files.aggregate(size=Sum("size"), checked=Sum("checked_bytes"))
    total = sizes["size"] or 0
    if ingestion.state == Ingestion.State.CHECKING:
        return Progress(total, sizes["checked"] or 0, 0, 0, None)
    done = total if ingestion.is_ended else sum(_done(ingestion).values())
    rate, bytes_rate = _rate(ingestion)
    sent = Part.objects.filter(file__ingestion=ingestion).aggregate(
        read=Sum("read"), newest=Max("read")
    )
    left = None
    if rate and done and sent["read"]:
        left = (total - done) * (sent["read"] / done) / rate
    return Progress(total, done, rate, bytes_rate, left)


def _rate(ingestion: Ingestion) -> tuple[float, float]:
    """Records and bytes a second, from what was sent in the newest minute."""
    now = time.time()
    rows = [
        row
        for pace in Part.objects.filter(file__ingestion=ingestion)
        .exclude(pace=[])
        .order_by("-pk")
        .values_list("pace", flat=True)[:200]
        for row in pace
        if row[0] > now - 60
    ]
    if not rows or ingestion.is_ended:
        return 0.0, 0.0
    seconds = max(1.0, now - min(row[0] for row in rows))
    return (
        sum(row[1] for row in rows) / seconds,
        sum(row[2] for row in rows) / seconds,
    )
