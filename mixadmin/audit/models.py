from django.conf import settings
from django.db import models


class Entry(models.Model):
    """Who did what to which thing, written in the transaction that did it."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Kept beside the key, so that the line still reads after the user is gone.
    actor_name = models.CharField(max_length=150)
    verb = models.CharField(max_length=60)
    target_type = models.CharField(max_length=40)
    target_id = models.CharField(max_length=40)
    target_name = models.CharField(max_length=300)
    project = models.ForeignKey(
        "projects.Project", null=True, on_delete=models.SET_NULL, related_name="entries"
    )
    # {"field": [old, new]}; a secret stands as "set".
    changes = models.JSONField(default=dict)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["target_type", "target_id", "-id"], name="audit_by_target"
            )
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.target_name}"
