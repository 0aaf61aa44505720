"""What may be done again, and what an outcome means. Two tables and a function."""

from enum import Enum

from django.conf import settings
from django.db import models

from mixadmin.mixpanel.errors import MixpanelError


class Op(models.TextChoices):
    """The class of a call to Mixpanel. The retry policy hangs on it, not on the verb.

    manual-sync is a PUT, and starts work each time it is sent.
    """

    SAFE = "safe"  # reads
    ABSOLUTE = "absolute"  # sets a state: sending it twice changes nothing more
    KEYED = "keyed"  # Mixpanel tells repetitions apart by a key in the body
    NON_IDEMPOTENT = "non_idempotent"  # makes something new each time
    DESTRUCTIVE = "destructive"  # cannot be taken back


REPEATABLE = (Op.SAFE, Op.ABSOLUTE, Op.KEYED)


class Next(Enum):
    """What a job does after an outcome."""

    RETRY = "retry"  # it did not happen, or may happen twice: send again, later
    WAIT = "wait"  # Mixpanel asked for patience
    CREDENTIAL = "credential"  # the service account was refused
    FAIL = "fail"  # sending it again gives the same answer
    LOOK = "look"  # it may have happened: look before anything else
    DONE = "done"  # what was asked for is so


# Outcome of a call -> (what a repeatable call does, what another call does).
OUTCOMES: dict[str, tuple[Next, Next]] = {
    "unreachable": (Next.RETRY, Next.RETRY),
    "rate_limited": (Next.WAIT, Next.WAIT),
    "not_authenticated": (Next.CREDENTIAL, Next.CREDENTIAL),
    "not_allowed": (Next.FAIL, Next.FAIL),
    "bad_request": (Next.FAIL, Next.FAIL),
    "not_found": (Next.FAIL, Next.FAIL),
    "too_large": (Next.FAIL, Next.FAIL),
    "redirected": (Next.FAIL, Next.LOOK),
    "server_failed": (Next.RETRY, Next.LOOK),
    "reply_lost": (Next.RETRY, Next.LOOK),
    "unexpected_response": (Next.RETRY, Next.LOOK),
}


def after(op: str, error: MixpanelError) -> Next:
    """What to do after `error` in a call of class `op`.

    An error kind that is not in the table is treated like a lost reply: repeatable
    calls are repeated, others are looked after.
    """
    if op == Op.DESTRUCTIVE and error.kind == "not_found":
        return Next.DONE
    repeatable, other = OUTCOMES.get(error.kind, (Next.RETRY, Next.LOOK))
    return repeatable if is_repeatable(op) else other


def is_repeatable(op: str) -> bool:
    """Whether a call may be sent again although it may have happened.

    The setting takes the protection away. It exists for one test, which must then see
    doubles; otherwise that test would prove nothing.
    """
    return op in REPEATABLE or getattr(settings, "JOBS_RETRY_BLINDLY", False)
