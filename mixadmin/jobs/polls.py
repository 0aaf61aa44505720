"""Looking at Mixpanel again and again: often while something happens, else rarely."""

import logging
from datetime import timedelta

from django.db.models import F

from mixadmin.common.clock import db_now
from mixadmin.common.crypto import CannotDecrypt
from mixadmin.common.errors import Refused, Wait
from mixadmin.mixpanel.errors import MixpanelError

from . import limits, registry
from .models import Poll
from .runner import clamp_retry_after
from .times import TIMES

log = logging.getLogger(__name__)

# Calls that polling may make for one project in a minute. Mixpanel publishes no limit;
# two calls a second are gentle.
CALLS_PER_MINUTE = 120


def run_poll(poll_id: int) -> None:
    """Poll once if it is due and nobody else does; then set when it is due again."""
    now = db_now()
    claimed = Poll.objects.due(now).filter(pk=poll_id)
    lease = now + timedelta(seconds=TIMES.lease)
    if not claimed.update(token=F("token") + 1, lease_until=lease):
        return
    poll = Poll.objects.get(pk=poll_id)
    work = registry.pollers().get(poll.name)
    if work is None:
        return
    key = f"project:{poll.project_id}"
    kind = message = ""
    try:
        limits.check_breaker(key)
        going_on = work(poll.project_id)
    except Wait as wait:
        kind, message = f"waiting_{wait.reason}", wait.message
        left = (wait.until - db_now()).total_seconds() if wait.until else 0
        seconds = max(left, TIMES.poll_first)
    except (MixpanelError, Refused, CannotDecrypt) as error:
        kind = getattr(error, "kind", getattr(error, "code", "credential"))
        message = str(error)
        if isinstance(error, MixpanelError):
            limits.note(key, ok=error.status is not None and error.status < 500)
        slower = next_interval(poll.interval)
        asked = getattr(error, "retry_after", None)
        seconds = max(slower, clamp_retry_after(asked, 1)) if asked else slower
    except Exception as mistake:
        log.exception("the poll %s met a mistake of ours", poll)
        kind = "internal"
        message = f"A mistake in mixadmin ended it: {type(mistake).__name__}."
        seconds = next_interval(poll.interval)
    else:
        limits.note(key, ok=True)
        seconds = next_interval(poll.interval, going_on=going_on)
    now = db_now()
    changes = {"succeeded_at": now} if not kind else {}
    mine = Poll.objects.filter(pk=poll.pk, token=poll.token)
    # Somebody may have asked for a poll while this one went on: then it is due at once.
    mine.filter(next_at=poll.next_at).update(
        next_at=now + timedelta(seconds=seconds), interval=seconds
    )
    mine.update(
        lease_until=None,
        rung_at=None,
        polled_at=now,
        error_kind=kind[:40],
        error_message=message,
        **changes,
    )


def next_interval(last: float, *, going_on: int = 0) -> float:
    """Seconds to the next poll, by how many things go on.

    Short while something does, but as long as it takes to stay within two thirds of the
    budget when each of them is asked for; when nothing does, doubled up to the longest.
    """
    if going_on:
        calls = 1 + going_on
        return max(TIMES.poll_busy, calls * 60 / CALLS_PER_MINUTE * 1.5)
    return min(max(last * 2, TIMES.poll_first), TIMES.poll_most)


def count_call(project_id: int) -> None:
    """Charge one call to the polling budget of a project; raises Wait when it is used."""
    limits.take(
        f"poll:{project_id}",
        limit=CALLS_PER_MINUTE,
        per=60,
        what="polling calls a minute",
    )
