import json
from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import Case, Q, Value, When
from django.urls import reverse

from mixadmin.common.crypto import CannotDecrypt, SecretJSONField
from mixadmin.common.rules import clean_text
from mixadmin.common.states import Presence
from mixadmin.common.validation import raise_for
from mixadmin.projects.models import Managed, Project, Run, Runnable

from .databricks import differs
from .kinds import KINDS, WAREHOUSES, check_source, frequency_label
from .sync_modes import SYNC_MODES, Deadline, check_import, mirror_deadline


class WarehouseSource(Managed):
    """A warehouse that Mixpanel reads from. Mixpanel never echoes how it connects."""

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="warehouse_sources"
    )
    name = models.CharField(max_length=255)
    # Mixpanel's word; one that is not known here is shown as it came.
    warehouse_type = models.CharField(max_length=40)
    # What may be shown of the connection; the rest is in `secrets`. Empty when adopted.
    connection = models.JSONField(default=dict, blank=True)
    secrets = SecretJSONField(default="", blank=True)
    # The change that a job asks Mixpanel for: {name, connection, secrets}. It becomes
    # the row's when Mixpanel has accepted it.
    pending = SecretJSONField(default="", blank=True)
    mixpanel_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                name="warehouse_source_name_once",
                condition=Q(
                    presence__in=["pending", "active", "deleting", "missing"],
                    adopted=False,
                ),
                violation_error_message="This project has a warehouse with that name.",
            ),
            models.UniqueConstraint(
                fields=["project", "mixpanel_id"],
                name="warehouse_source_mixpanel_id_once",
                condition=Q(mixpanel_id__isnull=False),
                violation_error_message="This warehouse is managed here already.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("warehouse:source_detail", args=[self.project_id, self.pk])

    @property
    def type_label(self) -> str:
        known = WAREHOUSES.get(self.warehouse_type)
        return known.label if known else self.warehouse_type

    def whole_connection(self) -> dict[str, Any]:
        """What is shown and what is secret, together. Raises CannotDecrypt."""
        return {**self.connection, **json.loads(self.secrets.reveal() or "{}")}

    def wanted_change(self) -> dict[str, Any]:
        """What `pending` holds. Raises CannotDecrypt."""
        change: dict[str, Any] = json.loads(self.pending.reveal())
        return change

    @property
    def secret_names(self) -> list[str] | None:
        """Which secrets are set, by name; None when no key opens them."""
        try:
            return sorted(set(self.whole_connection()) - set(self.connection))
        except CannotDecrypt:
            return None

    def clean(self) -> None:
        findings = clean_text("name", self.name, label="Name", required=True)
        if not self.adopted:
            findings += check_source(self.warehouse_type, self.whole_connection())
        raise_for(findings, self.accepted_warnings)


class WarehouseImport(Runnable):
    """A table that Mixpanel imports, once or again and again."""

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="warehouse_imports"
    )
    source = models.ForeignKey(
        WarehouseSource,
        null=True,
        blank=True,
        # Not while an import is left, but together with it when the project goes.
        on_delete=models.RESTRICT,
        related_name="imports",
    )
    # Ours: imports have no name at Mixpanel.
    name = models.CharField(max_length=255)
    kind = models.CharField(max_length=20)
    sync_mode = models.CharField(max_length=20)
    table_params = models.JSONField(default=dict)
    # The fields of its kind, by the names of Mixpanel's API; see kinds.KINDS.
    fields = models.JSONField(default=dict, blank=True)
    # Nanoseconds, as on the wire.
    run_every = models.BigIntegerField(null=True, blank=True)
    databricks_params = models.JSONField(null=True, blank=True)

    paused = models.BooleanField(default=False)
    # Paused while nobody here asked for it: by the volume guard, or in Mixpanel.
    paused_elsewhere = models.BooleanField(default=False)
    mixpanel_id = models.BigIntegerField(null=True, blank=True)
    last_dispatch_at = models.DateTimeField(null=True, blank=True)
    # When an adopted import itself was asked for what the list leaves out.
    details_at = models.DateTimeField(null=True, blank=True)
    # The history is asked for until then even when the list shows nothing new.
    watch_until = models.DateTimeField(null=True, blank=True)
    # None also when it is to be asked for anew.
    history_at = models.DateTimeField(null=True, blank=True)
    last_run = models.ForeignKey(
        "ImportRun",
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    # When the newest run that succeeded ended; a Mirror import lives on from there.
    last_success_at = models.DateTimeField(null=True, editable=False)
    # How it stands in one word, a key of STATUSES; the database keeps it.
    status = models.GeneratedField(
        expression=Case(
            When(~Q(presence=Presence.ACTIVE), then="presence"),
            When(paused=True, then=Value("paused")),
            default="last_state",
        ),
        output_field=models.CharField(max_length=22),
        db_persist=True,
    )

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["project", "presence", "-id"], name="warehouse_newest"
            ),
            # With all that the list filters by, so that it counts without reading rows.
            models.Index(
                fields=[
                    *("project", "status", "-id"),
                    *("name", "kind", "sync_mode", "source"),
                ],
                name="warehouse_status",
            ),
            models.Index(fields=["source", "presence"], name="warehouse_by_source"),
            models.Index(fields=["project", "name", "id"], name="warehouse_name"),
            models.Index(fields=["project", "last_at", "id"], name="warehouse_last_at"),
            models.Index(
                fields=["project", "last_events", "id"], name="warehouse_last_events"
            ),
            # For Mirror countdowns, and for what may drift.
            models.Index(
                fields=["project", "sync_mode", "last_success_at"],
                name="warehouse_mirrors",
            ),
            models.Index(
                fields=["project", "presence"],
                name="warehouse_clusters",
                condition=Q(databricks_params__isnull=False),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                name="warehouse_import_name_once",
                condition=Q(presence__in=["pending", "active", "deleting", "missing"]),
                violation_error_message="This project has an import with that name.",
            ),
            models.UniqueConstraint(
                fields=["project", "mixpanel_id"],
                name="warehouse_import_mixpanel_id_once",
                condition=Q(mixpanel_id__isnull=False),
                violation_error_message="This import is managed here already.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("warehouse:import_detail", args=[self.project_id, self.pk])

    def clean(self) -> None:
        findings = clean_text("name", self.name, label="Name", required=True)
        if not self.adopted:
            source = self.source
            findings += check_import(
                kind=self.kind,
                sync_mode=self.sync_mode,
                warehouse_type=source.warehouse_type if source else "",
                table_params=self.table_params,
                fields=self.fields,
                run_every=self.run_every,
                databricks_params=self.databricks_params,
                b2b=self.project.is_b2b,
                compute_type=str(
                    (source.connection if source else {}).get("compute_type", "")
                ),
            )
        raise_for(findings, self.accepted_warnings)

    @property
    def kind_label(self) -> str:
        return KINDS[self.kind].label if self.kind in KINDS else self.kind

    @property
    def sync_mode_label(self) -> str:
        known = SYNC_MODES.get(self.sync_mode)
        return known.label if known else self.sync_mode

    @property
    def frequency_label(self) -> str:
        return frequency_label(self.run_every)

    @property
    def interval(self) -> timedelta | None:
        """The time between two scheduled runs, None when only triggered or once."""
        if not self.run_every or self.sync_mode == "one_time":
            return None
        return timedelta(microseconds=self.run_every / 1000)

    @property
    def cluster_drift(self) -> list[tuple[str, Any, Any]]:
        """Where Mixpanel's Databricks config is another one: (key, ours, theirs)."""
        theirs = self.raw.get("databricks_params")
        if self.databricks_params is None or theirs is None:
            return []
        return differs(
            self.databricks_params.get("export_cluster_config"),
            theirs.get("export_cluster_config") if isinstance(theirs, dict) else None,
        )

    def mirror_deadline(self) -> Deadline | None:
        """When it dies unless it runs; None for other sync modes."""
        if self.sync_mode != "mirror_mode" or self.source is None:
            return None
        return mirror_deadline(self.source.warehouse_type, self.last_success_at)


class ImportRun(Run):
    """One run of an import, or the request for one that has not started yet."""

    warehouse_import = models.ForeignKey(
        WarehouseImport, on_delete=models.CASCADE, related_name="runs"
    )
    # Who asked for it, when it was a person or a tool: their job.
    job = models.OneToOneField(
        "jobs.Job", null=True, on_delete=models.SET_NULL, related_name="import_run"
    )
    requested_at = models.DateTimeField(null=True)

    class Meta(Run.Meta):
        indexes = [
            models.Index(
                fields=["warehouse_import", "-at", "-id"], name="warehouse_run_newest"
            ),
            models.Index(fields=["state", "-at"], name="warehouse_run_state"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["warehouse_import", "started_at", "ordinal"],
                name="warehouse_run_once",
                condition=Q(started_at__isnull=False, is_gap=False),
            )
        ]

    def __str__(self) -> str:
        return f"Run of {self.warehouse_import} at {self.at:%Y-%m-%d %H:%M} UTC"

    def get_absolute_url(self) -> str:
        run_of = self.warehouse_import
        return reverse(
            "warehouse:run_detail", args=[run_of.project_id, run_of.pk, self.pk]
        )
