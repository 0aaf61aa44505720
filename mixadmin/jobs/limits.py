"""Budgets and breakers, in the database, shared by all workers.

Nothing here sleeps. Whoever may not call now gets `Wait` with the time when it may, and
frees its worker.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from mixadmin.common.clock import db_now
from mixadmin.common.errors import Wait

from .models import Breaker, Bucket, Job
from .times import TIMES

BREAKER_OPENS_AFTER = 5


def take(
    key: str, *, limit: int, per: float, what: str, now: datetime | None = None
) -> None:
    """Count one call against `limit` calls in any `per` seconds, or raise Wait.

    A strict sliding window: the times of the calls are kept, so that no two windows
    side by side let twice the limit through. A crash never gives a call back.
    """
    while True:
        now = now or db_now()
        bucket = _bucket(key)
        if bucket.closed_until and bucket.closed_until > now:
            raise Wait(
                Job.Wait.RATE, f"Mixpanel asked to wait: {what}.", bucket.closed_until
            )
        start = now.timestamp() - per
        taken = [at for at in bucket.taken if at > start]
        if len(taken) >= limit:
            until = datetime.fromtimestamp(taken[-limit] + per, tz=now.tzinfo)
            message = f"All {limit} of {what} are used; the next is free then."
            raise Wait(Job.Wait.RATE, message, until)
        changed = Bucket.objects.filter(key=key, version=bucket.version).update(
            taken=[*taken, now.timestamp()], version=bucket.version + 1
        )
        if changed:
            return


def spend(
    key: str,
    amounts: Sequence[int],
    *,
    limits: Sequence[int],
    per: float,
    what: str,
    now: datetime | None = None,
) -> None:
    """Count amounts of several things against their limits in any `per` seconds, or
    raise Wait with the time when there is room for all of them.

    As strict as `take`; kept in seconds, so that a row stays small however much is sent.
    More than a limit at once is as much as the limit: it waits for an empty window.
    """
    amounts = [min(n, limit) for n, limit in zip(amounts, limits, strict=True)]
    per_row = len(amounts)
    while True:
        now = now or db_now()
        bucket = _bucket(key)
        if bucket.closed_until and bucket.closed_until > now:
            raise Wait(
                Job.Wait.RATE, f"Mixpanel asked to wait: {what}.", bucket.closed_until
            )
        second = int(now.timestamp())
        # What was spent in a second counts until that second is over for certain.
        spent = [row for row in bucket.taken if row[0] > second - per - 1]
        if free_at := _full_until(spent, amounts, limits, per):
            until = datetime.fromtimestamp(free_at, tz=now.tzinfo)
            message = f"As many {what} as Mixpanel takes were sent; it goes on then."
            raise Wait(Job.Wait.RATE, message, until)
        before = spent.pop()[1:] if spent and spent[-1][0] == second else [0] * per_row
        row = [second, *(n + more for n, more in zip(before, amounts, strict=True))]
        changed = Bucket.objects.filter(key=key, version=bucket.version).update(
            taken=[*spent, row], version=bucket.version + 1
        )
        if changed:
            return


def _full_until(
    spent: Sequence[Sequence[int]],
    amounts: Sequence[int],
    limits: Sequence[int],
    per: float,
) -> float | None:
    """When enough of what was spent is over; None when there is room now."""
    until = None
    for first in range(len(spent) + 1):
        rest = spent[first:]
        if all(
            sum(row[column] for row in rest) + amount <= limit
            for column, (amount, limit) in enumerate(
                zip(amounts, limits, strict=True), start=1
            )
        ):
            break
        until = spent[first][0] + per + 1
    return until


def left(key: str, *, limit: int, per: float) -> tuple[int, datetime | None]:
    """(calls left, when the next one is free if none is), changing nothing."""
    now = db_now()
    bucket = Bucket.objects.filter(key=key).first()
    taken = [at for at in bucket.taken if at > now.timestamp() - per] if bucket else []
    if bucket and bucket.closed_until and bucket.closed_until > now:
        return 0, bucket.closed_until
    if len(taken) < limit:
        return limit - len(taken), None
    return 0, datetime.fromtimestamp(taken[-limit] + per, tz=now.tzinfo)


def close(key: str, until: datetime) -> None:
    """Hold back all calls of a bucket: Mixpanel itself said 429."""
    _bucket(key)
    Bucket.objects.filter(key=key).update(closed_until=until)


def _bucket(key: str) -> Bucket:
    try:
        with transaction.atomic():
            return Bucket.objects.get_or_create(key=key)[0]
    except IntegrityError:
        return Bucket.objects.get(key=key)


def check_breaker(key: str) -> bool:
    """Raise Wait while the breaker is open; True when it wants a probe first."""
    breaker = Breaker.objects.filter(key=key).first()
    if breaker is None or breaker.open_until is None:
        return False
    if breaker.open_until > db_now():
        message = "Mixpanel failed several times in a row; calls pause for a while."
        raise Wait(Job.Wait.BREAKER, message, breaker.open_until)
    return True


def note(key: str, *, ok: bool) -> None:
    """Tell the breaker how a call went: whether Mixpanel answered at all."""
    if ok:
        Breaker.objects.filter(key=key).exclude(failures=0, open_until=None).update(
            failures=0, opened=0, open_until=None
        )
        return
    try:
        with transaction.atomic():
            breaker, _ = Breaker.objects.get_or_create(key=key)
    except IntegrityError:
        breaker = Breaker.objects.get(key=key)
    breaker.failures += 1
    if breaker.failures >= BREAKER_OPENS_AFTER:
        pause = min(TIMES.breaker_first * 2**breaker.opened, TIMES.breaker_most)
        breaker.opened += 1
        breaker.open_until = db_now() + timedelta(seconds=pause)
    breaker.save()
