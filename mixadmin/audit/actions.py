from typing import Any

from django.db import models

from mixadmin.accounts.models import User

from .models import Entry


def record(
    *,
    actor: User | None,
    verb: str,
    target: models.Model,
    changes: dict[str, Any] | None = None,
    project_id: int | None = None,
) -> Entry:
    """Write one line of the audit trail, inside the caller's transaction.

    `changes` is {field: [old, new]} and must hold no secret.
    """
    if project_id is None:
        is_project = target._meta.label == "projects.Project"
        project_id = target.pk if is_project else getattr(target, "project_id", None)
    return Entry.objects.create(
        actor=actor,
        actor_name=actor.get_username() if actor else "mixadmin",
        verb=verb,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        target_name=str(target)[:300],
        project_id=project_id,
        changes=changes or {},
    )
