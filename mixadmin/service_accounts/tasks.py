"""Loads the jobs of this app, and looks for credentials that end."""

from django.db.models import Q
from django.utils import timezone

from mixadmin.audit.actions import record
from mixadmin.jobs.registry import on_tick

from . import actions  # noqa: F401
from .models import ServiceAccount

WARN_DAYS = (0, 1, 7, 30)


@on_tick
def warn_of_expiry() -> None:
    """Note in the audit trail, once each, that an account ends in 30, 7, 1, 0 days."""
    for account in ServiceAccount.objects.expiring(timezone.now()):
        left = account.expires_in_days
        if left is None:
            continue
        reached = next(days for days in WARN_DAYS if left <= days)
        if account.warned_days is not None and account.warned_days <= reached:
            continue
        further = Q(warned_days=None) | Q(warned_days__gt=reached)
        mine = ServiceAccount.objects.filter(further, pk=account.pk)
        if mine.update(warned_days=reached):
            words = (
                "has expired" if left < 0 else f"expires within {max(reached, 1)} days"
            )
            record(actor=None, verb=words, target=account)
