from typing import Any

from django.conf import settings
from django.db import models
from django.urls import NoReverseMatch, reverse

# Why something was changed that nobody here has asked for, by the verb of its entry.
CAUSES = {
    "changed in Mixpanel": "Mixpanel lists it otherwise than before, and no job of "
    "mixadmin asked for that: it was done in Mixpanel, or by another tool.",
    "no longer found": "Two of Mixpanel's lists, some time apart, left it out: it was "
    "deleted in Mixpanel, or by another tool.",
    "found again": "Mixpanel's list holds it again.",
}
# The page of what an entry is about, and whether it is inside a project.
PAGES = {
    "projects.project": ("projects:detail", False),
    "service_accounts.serviceaccount": ("service_accounts:detail", False),
    "jobs.job": ("jobs:detail", False),
    "warehouse.warehousesource": ("warehouse:source_detail", True),
    "warehouse.warehouseimport": ("warehouse:import_detail", True),
    "connectors.connector": ("connectors:detail", True),
    "lookups.lookuptable": ("lookups:detail", True),
    "ingestion.ingestion": ("ingestion:detail", True),
    "files.sourcebucket": ("files:bucket_detail", True),
}
# Names of fields that people call otherwise.
FIELDS = {
    "run_every": "frequency",
    "databricks_params": "Databricks cluster",
    "is_b2b": "B2B project",
}


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
            ),
            models.Index(fields=["project", "-at", "-id"], name="audit_by_project"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.target_name}"

    @property
    def cause(self) -> str:
        """Why it was done, where no person did it; "" where one did or none is known."""
        return "" if self.actor_id else CAUSES.get(self.verb, "")

    @property
    def target_url(self) -> str:
        """The page of what it is about, "" where that has none."""
        name, in_project = PAGES.get(self.target_type, ("", False))
        where = [self.project_id, self.target_id] if in_project else [self.target_id]
        try:
            return reverse(name, args=where) if name else ""
        except NoReverseMatch:
            return ""

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """(what, from what, to what) of each field that was changed, in words."""
        return [
            (FIELDS.get(name, name.replace("_", " ")), _said(old), _said(new))
            for name, (old, new) in self.changes.items()
        ]


def _said(value: Any) -> str:
    if value is True or value == "True":
        return "yes"
    if value is False or value == "False":
        return "no"
    return str(value) if value not in (None, "", "None", [], {}) else "nothing"
