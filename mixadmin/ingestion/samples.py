"""How fast an ingestion went, kept as it goes: few rows, each of some seconds.

A row lasts 15 seconds in the first hour and twice as long each time that the ingestion
has lasted twice as long, so that there are never many: a day makes about 800.
"""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Greatest

from .models import Ingestion, Sample

SHORTEST = 15
MOST_OF_ONE_LENGTH = 240
ADDED = ("read", "imported", "requests", "sent_bytes")


def length(lasted: float) -> int:
    """Seconds of a row that is begun when an ingestion has lasted so many."""
    seconds = SHORTEST
    while lasted >= seconds * MOST_OF_ONE_LENGTH:
        seconds *= 2
    return seconds


def add(ingestion: Ingestion, *, now: float, **amounts: int) -> None:
    """Count what was sent. Inside the transaction that settles it."""
    if any(amounts.values()):
        changes = {name: F(name) + amount for name, amount in amounts.items()}
        _write(ingestion, now, changes, amounts)


def hold(ingestion: Ingestion, *, now: float, until: float, reason: str) -> None:
    """Note that nothing can be sent until then."""
    told = {"wait_reason": reason, "waited_from": now, "waited_until": until}
    changes = {
        **told,
        "waited_from": Coalesce("waited_from", now),
        "waited_until": Greatest(Coalesce("waited_until", until), until),
    }
    _write(ingestion, now, changes, told)


def _write(
    ingestion: Ingestion, now: float, changes: dict[str, Any], new: dict[str, Any]
) -> None:
    began = ingestion.started_at
    seconds = length(now - began.timestamp()) if began else SHORTEST
    at = int(now) // seconds * seconds
    rows = Sample.objects.filter(ingestion=ingestion, at=at)
    if rows.update(seconds=seconds, **changes):
        return
    try:
        with transaction.atomic():
            rows.create(ingestion=ingestion, at=at, seconds=seconds, **new)
    except IntegrityError:
        # Another lane was faster.
        rows.update(**changes)
