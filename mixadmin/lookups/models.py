from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import CharField, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.urls import reverse

from mixadmin.dataprep.tables import RULES
from mixadmin.projects.models import Project


class LookupTableQuerySet(models.QuerySet["LookupTable"]):
    def with_state(self) -> Self:
        """The tables with `state`: "missing", that of the newest version, or "new"."""
        newest = LookupVersion.objects.filter(table=OuterRef("pk")).order_by("-number")
        return self.annotate(
            state=models.Case(
                When(absent_since__isnull=False, then=Value("missing")),
                default=Coalesce(Subquery(newest.values("state")[:1]), Value("new")),
                output_field=CharField(),
            )
        )

    def with_current(self) -> Self:
        """The tables with `currents`: the version in Mixpanel, or nothing."""
        current = LookupVersion.objects.listed().filter(
            state=LookupVersion.State.CURRENT
        )
        return self.prefetch_related(
            models.Prefetch("versions", queryset=current, to_attr="currents")
        )


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

    objects = LookupTableQuerySet.as_manager()

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


class LookupVersionQuerySet(models.QuerySet["LookupVersion"]):
    def listed(self) -> Self:
        """With who made them and of what, but without what may be large."""
        large = ("columns", "findings", "difference", "refused_rows")
        return self.select_related("created_by", "copy_of").defer(
            *large, *(f"copy_of__{name}" for name in large)
        )

    def same_content(self, sha256: str) -> Self:
        """Those on their way, or ready for it, that hold the same."""
        return self.filter(sha256=sha256, state__in=LookupVersion.OPEN, removed_at=None)


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

    GOING_ON = (State.CHECKING, State.SENDING)
    OPEN = (State.CHECKING, State.READY, State.SENDING)
    # From these a version is sent, if its check found nothing that would be refused.
    SENDABLE = (State.READY, State.REFUSED, State.FAILED)

    table = models.ForeignKey(
        LookupTable, on_delete=models.CASCADE, related_name="versions"
    )
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.CHECKING)
    # Without anybody's further word, if the check finds nothing at all.
    send_when_clean = models.BooleanField(default=False)
    # Of the CSV, uncompressed.
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    # None until it was checked.
    rows = models.BigIntegerField(null=True, blank=True)
    bad_rows = models.BigIntegerField(default=0)
    column_count = models.PositiveIntegerField(null=True, blank=True)
    # [{"name", "kind", "counts": {kind: values}}], at most 1000.
    columns = models.JSONField(default=list, blank=True)
    # {finding: {"count", "refused", "lines", "columns"}}; every bad row is in a file
    # beside the CSV.
    findings = models.JSONField(default=dict, blank=True)
    # {"added", "removed", "changed", "same", "against": version number, …}, or {}.
    difference = models.JSONField(default=dict, blank=True)
    # Mixpanel's answer, if it refused: [{"index", "message"}].
    refused_rows = models.JSONField(default=list, blank=True)
    error_message = models.TextField(blank=True)
    # It was sent, and whether Mixpanel took it was never known.
    may_be_there = models.BooleanField(default=False)
    # The version that a rollback brought back.
    copy_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    # The file is removed once enough newer versions are kept.
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = LookupVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["table", "number"], name="lookups_version_once"
            ),
            models.UniqueConstraint(
                fields=["table"],
                name="lookups_one_sending",
                condition=Q(state="sending"),
            ),
            models.UniqueConstraint(
                fields=["table"],
                name="lookups_one_current",
                condition=Q(state="current"),
            ),
            models.CheckConstraint(
                name="lookups_busy_has_file",
                condition=Q(removed_at=None)
                | ~Q(state__in=["checking", "sending", "current"]),
            ),
        ]

    def __str__(self) -> str:
        return f"Version {self.number}"

    def get_absolute_url(self) -> str:
        return reverse(
            "lookups:version",
            args=[self.table.project_id, self.table_id, self.number],
        )

    @property
    def was_checked(self) -> bool:
        return self.rows is not None

    @property
    def explained(self) -> list[dict[str, Any]]:
        """The findings with their rules, what would be refused first."""
        known = [
            {"rule": RULES[code], **found}
            for code, found in self.findings.items()
            if code in RULES
        ]
        return sorted(known, key=lambda found: not found["refused"])

    @property
    def would_be_refused(self) -> bool:
        return any(found["refused"] for found in self.findings.values())

    @property
    def is_clean(self) -> bool:
        return self.was_checked and not self.findings

    @property
    def has_file(self) -> bool:
        return self.removed_at is None

    @property
    def can_be_sent(self) -> bool:
        return (
            self.state in self.SENDABLE
            and self.was_checked
            and not self.would_be_refused
            and self.has_file
        )
