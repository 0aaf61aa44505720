from django.db import models
from django.db.models import Case, Q, When
from django.urls import reverse

from mixadmin.common.states import Presence
from mixadmin.common.validation import raise_for
from mixadmin.projects.models import Project, Run, Runnable

from .kinds import KINDS, check_connector


class Connector(Runnable):
    """A Cloud Import from a bucket: one run over everything under a prefix.

    Mixpanel has no way to change one: a change is a deletion and a creation.
    """

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="connectors"
    )
    label = models.CharField(max_length=255)
    # Mixpanel's word; export connectors share the list and are shown, not made.
    connector_type = models.CharField(max_length=60)
    connector_properties = models.JSONField(default=dict)
    category_properties = models.JSONField(default=dict)

    mixpanel_id = models.CharField(max_length=60, blank=True)
    # active, stopped, paused, or "" where the list says null.
    status = models.CharField(max_length=60, blank=True)
    failure_message = models.TextField(blank=True)
    watch_until = models.DateTimeField(null=True, blank=True)
    history_at = models.DateTimeField(null=True, blank=True)
    last_run = models.ForeignKey(
        "ConnectorRun",
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    # How it stands in one word of ours, a key of STATUSES; the database keeps it.
    state = models.GeneratedField(
        expression=Case(
            When(presence=Presence.ACTIVE, then="last_state"), default="presence"
        ),
        output_field=models.CharField(max_length=22),
        db_persist=True,
    )

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["project", "presence", "-id"], name="connectors_newest"
            ),
            models.Index(fields=["project", "state", "-id"], name="connectors_state"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "label"],
                name="connectors_label_once",
                condition=Q(
                    presence__in=["pending", "active", "deleting", "missing"],
                    adopted=False,
                ),
                violation_error_message="This project has a connector with that label.",
            ),
            models.UniqueConstraint(
                fields=["project", "mixpanel_id"],
                name="connectors_mixpanel_id_once",
                condition=~Q(mixpanel_id=""),
                violation_error_message="This connector is managed here already.",
            ),
        ]

    def __str__(self) -> str:
        return self.label or self.mixpanel_id

    def get_absolute_url(self) -> str:
        return reverse("connectors:detail", args=[self.project_id, self.pk])

    def clean(self) -> None:
        if not self.adopted:
            findings = check_connector(
                connector_type=self.connector_type,
                connector_properties=self.connector_properties,
                category_properties=self.category_properties,
                label=self.label,
            )
            raise_for(findings, self.accepted_warnings)

    @property
    def type_label(self) -> str:
        known = KINDS.get(self.connector_type)
        return known.label if known else self.connector_type

    @property
    def is_known_type(self) -> bool:
        return self.connector_type in KINDS


class ConnectorRun(Run):
    """One run of a connector, with its counters as Mixpanel last told them."""

    connector = models.ForeignKey(
        Connector, on_delete=models.CASCADE, related_name="runs"
    )
    # 0 to 1, None when not told.
    progress = models.FloatField(null=True)
    error_message = models.TextField(blank=True)
    error_code = models.CharField(max_length=100, blank=True)
    num_events_processed = models.BigIntegerField(null=True)
    num_events_dropped = models.BigIntegerField(null=True)
    num_files_imported = models.BigIntegerField(null=True)
    size_imported = models.BigIntegerField("bytes imported", null=True)

    class Meta(Run.Meta):
        indexes = [
            models.Index(
                fields=["connector", "-at", "-id"], name="connectors_run_newest"
            ),
            models.Index(fields=["state", "-at"], name="connectors_run_state"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["connector", "started_at", "ordinal"],
                name="connectors_run_once",
                condition=Q(started_at__isnull=False, is_gap=False),
            )
        ]

    def __str__(self) -> str:
        return f"Run of {self.connector} at {self.at:%Y-%m-%d %H:%M} UTC"

    def get_absolute_url(self) -> str:
        return reverse(
            "connectors:run_detail",
            args=[self.connector.project_id, self.connector_id, self.pk],
        )
