from django.conf import settings
from django.db import models
from django.urls import reverse

from mixadmin.projects.models import Project


class LookupTable(models.Model):
    """A lookup table of a project, as Mixpanel lists it."""

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="lookup_tables"
    )
    # The uuid of the ingestion API; always text.
    mixpanel_id = models.CharField(max_length=60)
    name = models.CharField(max_length=255)
    seen_at = models.DateTimeField()
    # Since when Mixpanel's list leaves it out.
    absent_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "mixpanel_id"], name="lookups_table_once"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.mixpanel_id

    def get_absolute_url(self) -> str:
        return reverse("lookups:detail", args=[self.project_id, self.pk])


class LookupVersion(models.Model):
    """A CSV for a lookup table: checked here, sent or not."""

    class State(models.TextChoices):
        CHECKING = "checking", "Being checked"
        INVALID = "invalid", "Would be refused"
        READY = "ready", "Checked, not sent"
        SENDING = "sending"
        CURRENT = "current", "In Mixpanel"
        REPLACED = "replaced", "Replaced since"
        REFUSED = "refused", "Refused by Mixpanel"
        FAILED = "failed"

    table = models.ForeignKey(
        LookupTable, on_delete=models.CASCADE, related_name="versions"
    )
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.CHECKING)
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    rows = models.BigIntegerField(null=True)
    columns = models.JSONField(default=list)
    # {finding: rows}; every bad row is in a file beside the CSV.
    findings = models.JSONField(default=dict)
    # {"added", "removed", "changed", "same", "against": version number}, or {}.
    difference = models.JSONField(default=dict)
    # Mixpanel's answer, if it refused: [{"index", "message"}].
    refused_rows = models.JSONField(default=list)
    error_message = models.TextField(blank=True)
    # The version that a rollback brought back.
    copy_of = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)
    # The file is removed once enough newer versions are kept.
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["table", "number"], name="lookups_version_once"
            )
        ]

    def __str__(self) -> str:
        return f"Version {self.number}"
