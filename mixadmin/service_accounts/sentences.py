"""How a service account stands, said once."""

from datetime import datetime, timedelta

from django.urls import reverse
from django.utils import timezone

from mixadmin.common.states import Presence
from mixadmin.common.status import Fix, Status, at, many
from mixadmin.common.templatetags.ui import relative
from mixadmin.jobs.models import Job
from mixadmin.projects.standing import held_up

from .models import ServiceAccount

# So long before its end it is told on top.
SOON = timedelta(days=30)


def account_status(
    account: ServiceAccount,
    *,
    used_by: int = 0,
    job: Job | None = None,
    now: datetime | None = None,
) -> Status:
    """The one sentence about an account, and the one button that mends it.

    used_by: how many projects use it. job: the one that needs a decision.
    """
    now = now or timezone.now()
    if (held := held_up(job)) is not None:
        return held
    if account.presence != Presence.ACTIVE:
        return _not_there(account)
    verify = Fix("Verify", _url("verify", account), "plug", post=True)
    successor = Fix("Make a successor", _url("organization", account), "key-round")
    users = many(used_by, "project")
    ends = account.expires_at
    if ends is not None and ends <= now:
        words = f"It expired {at(ends)}. {users} {_use(used_by)} it and cannot work."
        return Status("bad", "Expired", words, successor)
    if account.verification == ServiceAccount.Verification.REFUSED:
        words = (
            "Nothing is sent with it until it has a secret that Mixpanel accepts. "
            "Work that waits for it then goes on by itself."
        )
        fix = Fix("Set a new secret", _url("secret", account), "key-round")
        return Status("bad", account.get_verification_display(), words, fix)
    if ends is not None and ends - now < SOON:
        words = (
            f"It ends {at(ends)}, {relative(ends, now)}. Make a successor in time and "
            f"choose it in the {users} that {_use(used_by)} it."
        )
        return Status("warn", "Ends soon", words, successor)
    if not account.verified_at:
        return Status(
            "idle",
            account.get_verification_display(),
            account.verification_detail or "Nobody has tried it yet.",
            verify,
        )
    if account.verification != ServiceAccount.Verification.WORKS:
        label = account.get_verification_display()
        return Status("bad", label, account.verification_detail, verify)
    until = f" It ends {at(ends)}." if ends else ""
    words = f"{users} {_use(used_by)} it. Verified {at(account.verified_at)}.{until}"
    return Status("good", "Works", words)


def _not_there(account: ServiceAccount) -> Status:
    tone = {Presence.PENDING: "busy", Presence.DELETING: "busy"}
    words = {
        Presence.PENDING: "Mixpanel is being asked to create it.",
        Presence.DELETING: "Mixpanel is being asked to delete it.",
        Presence.NOT_CREATED: "Mixpanel did not create it.",
        Presence.MISSING: "Mixpanel does not list it any more.",
        Presence.DELETED: "This page is kept for its history.",
    }
    presence = Presence(account.presence)
    return Status(
        tone.get(presence, "idle"),
        account.get_presence_display(),
        words.get(presence, ""),
    )


def _use(number: int) -> str:
    return "uses" if number == 1 else "use"


def _url(name: str, account: ServiceAccount) -> str:
    return reverse(f"service_accounts:{name}", args=[account.pk])
