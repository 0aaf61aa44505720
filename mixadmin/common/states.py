"""Two vocabularies that people see, each defined once."""

from typing import Any

from django.db import models


class RunState(models.TextChoices):
    """How a run at Mixpanel stands. The raw word is kept beside it."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    SUCCEEDED_WITH_ERRORS = "succeeded_with_errors", "Succeeded with errors"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    UNKNOWN = "unknown"


UNFINISHED_RUN = (RunState.QUEUED, RunState.RUNNING)


class Presence(models.TextChoices):
    """How our row and the object at Mixpanel stand to one another."""

    PENDING = "pending", "Being created"
    ACTIVE = "active", "In Mixpanel"
    NOT_CREATED = "not_created", "Not created"
    DELETING = "deleting", "Being deleted"
    DELETED = "deleted"
    MISSING = "missing", "Gone from Mixpanel"


# Nobody is asked about these any more.
GONE = (Presence.MISSING, Presence.DELETED)

# How something that runs stands, in one word: whether it is there, else its newest run.
NEVER_RAN = "new"
STATUSES = {
    **dict(Presence.choices),
    **dict(RunState.choices),
    NEVER_RAN: "No run yet",
}

# Rows that a person still works with; a deleted row is kept for its history.
PRESENT = (Presence.PENDING, Presence.ACTIVE, Presence.DELETING, Presence.MISSING)


def verification_words(row: Any) -> str:
    """How a verification ended, and the detail, which may begin with the same words."""
    label, detail = row.get_verification_display(), row.verification_detail
    return detail if detail.startswith(label) else f"{label}: {detail}"
