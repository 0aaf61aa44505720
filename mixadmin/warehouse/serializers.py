from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from mixadmin.common.remedies import explain_run_failure
from mixadmin.common.serializers import (
    FieldSerializer,
    Flag,
    Json,
    JsonObject,
    OptionalText,
    Plain,
    Reader,
    Row,
    Several,
    Shown,
    Text,
    Ticks,
    Whole,
    Word,
)
from mixadmin.common.states import STATUSES, RunState
from mixadmin.jobs.serializers import ExplainedSerializer, explained

from .kinds import frequency_of
from .models import ImportRun, WarehouseImport, WarehouseSource
from .sentences import import_status

# --- Showing --------------------------------------------------------------------------


class SourceSerializer(Row):
    """A warehouse that Mixpanel reads from. What is secret of it is never shown."""

    type_label = serializers.CharField()
    connection = Shown(help_text="What may be shown of how it connects.")

    class Meta:
        model = WarehouseSource
        fields = [
            "id",
            "project",
            "name",
            "warehouse_type",
            "type_label",
            "connection",
            "accepted_warnings",
            "mixpanel_id",
            "presence",
            "adopted",
            "observed_at",
            "absent_since",
            "created_at",
        ]


class SourceDetailSerializer(SourceSerializer):
    """A warehouse with the names of its secrets and Mixpanel's own words."""

    secrets_set = serializers.SerializerMethodField()
    raw = Shown(help_text="As Mixpanel last listed it.")

    class Meta(SourceSerializer.Meta):
        fields = [*SourceSerializer.Meta.fields, "secrets_set", "raw"]

    @extend_schema_field({"type": ["array", "null"], "items": {"type": "string"}})
    def get_secrets_set(self, source: WarehouseSource) -> list[str] | None:
        """The names of the secret fields that are set; null if no key opens them."""
        return source.secret_names


class ImportSerializer(Row):
    """A table that Mixpanel imports, once or again and again."""

    status = Word(choices=STATUSES)
    kind_label = serializers.CharField()
    sync_mode_label = serializers.CharField()
    frequency = serializers.SerializerMethodField()
    frequency_label = serializers.CharField()
    table_params = Shown()
    fields_ = Shown(help_text="The fields of its kind.")
    databricks_params = Shown(allow_null=True)

    class Meta:
        model = WarehouseImport
        fields = [
            "id",
            "project",
            "source",
            "name",
            "kind",
            "kind_label",
            "sync_mode",
            "sync_mode_label",
            "frequency",
            "frequency_label",
            "table_params",
            "fields_",
            "databricks_params",
            "accepted_warnings",
            "paused",
            "paused_elsewhere",
            "status",
            "last_run",
            "last_success_at",
            "mixpanel_id",
            "presence",
            "adopted",
            "last_dispatch_at",
            "observed_at",
            "absent_since",
            "created_at",
        ]

    def get_frequency(self, row: WarehouseImport) -> str | None:
        """api, hourly, daily or weekly; null where it is none of them."""
        return frequency_of(row.run_every)


class DriftSerializer(serializers.Serializer[Any]):
    """A key of the cluster config in which Mixpanel's is another one."""

    key = serializers.CharField()
    ours = serializers.JSONField()
    theirs = serializers.JSONField()


class DeadlineSerializer(serializers.Serializer[Any]):
    """When a Mirror import dies unless it runs."""

    dies_at = serializers.DateTimeField()
    days_left = serializers.IntegerField()
    level = Word(choices=dict.fromkeys(("ok", "warn", "alarm", "dead")))
    why = serializers.CharField()


class ImportDetailSerializer(ImportSerializer):
    """An import with what has become of it at Mixpanel."""

    sentence = serializers.SerializerMethodField()
    cluster_drift = serializers.SerializerMethodField()
    mirror_deadline = serializers.SerializerMethodField()
    raw = Shown(help_text="As Mixpanel last told of it.")

    class Meta(ImportSerializer.Meta):
        fields = [
            *ImportSerializer.Meta.fields,
            "sentence",
            "cluster_drift",
            "mirror_deadline",
            "raw",
        ]

    def get_sentence(self, row: WarehouseImport) -> str:
        """How it stands, as its page says it; times in UTC."""
        last = row.last_run
        if last is not None:
            last.warehouse_import = row
        return import_status(
            row,
            last=last,
            deadline=row.mirror_deadline(),
            last_success_at=row.last_success_at,
        ).sentence

    @extend_schema_field(DriftSerializer(many=True))
    def get_cluster_drift(self, row: WarehouseImport) -> list[dict[str, Any]]:
        drift = row.cluster_drift
        return [{"key": key, "ours": o, "theirs": t} for key, o, t in drift]

    @extend_schema_field(DeadlineSerializer(allow_null=True))
    def get_mirror_deadline(self, row: WarehouseImport) -> Any:
        deadline = row.mirror_deadline()
        return deadline and DeadlineSerializer(deadline).data


class ImportRunSerializer(Row):
    """One run, kept after Mixpanel has forgotten it."""

    duration = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    raw = Shown()

    class Meta:
        model = ImportRun
        fields = [
            "id",
            "state",
            "raw_state",
            "at",
            "started_at",
            "ended_at",
            "duration",
            "num_events_imported",
            "job",
            "requested_at",
            "mixpanel_run_id",
            "is_gap",
            "note",
            "error",
            "raw",
            "seen_at",
        ]

    def get_duration(self, run: ImportRun) -> float | None:
        """In seconds, null while it is not known."""
        return run.duration.total_seconds() if run.duration is not None else None

    @extend_schema_field(ExplainedSerializer(allow_null=True))
    def get_error(self, run: ImportRun) -> dict[str, str] | None:
        if run.state != RunState.FAILED:
            return None
        source = run.warehouse_import.source
        cause = explain_run_failure(
            "", warehouse_type=source.warehouse_type if source else ""
        )
        return explained(cause, kind="run_failed")


class AdoptedSerializer(serializers.Serializer[Any]):
    """What is managed here from now on."""

    warehouse_sources = SourceSerializer(many=True)
    imports = ImportSerializer(many=True)


class RunsLeftSerializer(serializers.Serializer[Any]):
    """How often imports of a project may still be started by hand in this hour."""

    left = serializers.IntegerField()
    next_at = serializers.DateTimeField(
        allow_null=True, help_text="When the next one is free, if none is left."
    )


# --- Reading --------------------------------------------------------------------------


class NewSource(Reader):
    name = Text(required=True)
    warehouse_type = Text(required=True, help_text="See the catalogue.")
    connection = JsonObject(
        required=True, help_text="The fields of its type; see the catalogue."
    )
    accepted_warnings = Ticks()


class SourceChange(Reader):
    name = OptionalText(required=False)
    connection = Json(
        required=False,
        allow_null=True,
        help_text="Only the fields that change. Secrets that are left out are kept.",
    )
    accepted_warnings = Ticks()


class NewImport(Reader):
    name = Text(required=True, help_text="The name here; Mixpanel has none.")
    source = Whole(required=True, help_text="The id of a warehouse of this project.")  # type: ignore[assignment]
    kind = Text(required=True, help_text="See the catalogue.")
    sync_mode = Text(required=True, help_text="See the catalogue.")
    table_params = JsonObject(required=True)
    fields_ = JsonObject(required=True, help_text="The fields of its kind.")
    frequency = OptionalText(required=True, help_text="api, hourly, daily or weekly.")
    databricks_params = Json(
        required=False,
        allow_null=True,
        help_text="{“export_cluster_config”: ...}, only with Databricks.",
    )
    accepted_warnings = Ticks()


class NewName(Reader):
    name = Text(required=True)


class Frequency(Reader):
    frequency = Text(required=True, help_text="api, hourly, daily or weekly.")


class OptionalFrequency(Reader):
    frequency = OptionalText(required=False, help_text="Another frequency from now on.")


class DatabricksParams(Reader):
    databricks_params = Json(
        required=True, allow_null=True, help_text="The whole config; null for none."
    )
    accepted_warnings = Ticks()

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        # Elsewhere what is left out is empty. Here that would take the config away.
        if isinstance(data, Mapping) and "databricks_params" not in data:
            message = "Send the whole config, or null for none."
            raise serializers.ValidationError(
                {"databricks_params": [message]}, "required"
            )
        return super().to_internal_value(data)


class ImportDeletion(Reader):
    typed_name = Text(required=True, help_text="The import's name, to confirm.")
    delete_data = Flag(
        required=False, help_text="Also delete the events that it brought."
    )


class Adoption(Reader):
    remote_objects = Several(
        child=Whole(), required=True, help_text="Ids from the list of remote objects."
    )


# --- Catalogue ------------------------------------------------------------------------


class FrequencySerializer(Plain):
    slug = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    nanoseconds = serializers.IntegerField(help_text="What Mixpanel is sent.")


class KindSerializer(Plain):
    """What an import can be."""

    slug = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    row_becomes = serializers.CharField()
    sync_modes = serializers.ListField(child=serializers.CharField())
    creatable = serializers.BooleanField()
    fields_ = FieldSerializer(many=True)


class SyncModeSerializer(Plain):
    """What a run does to rows and to the bill."""

    slug = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    summary = serializers.CharField()
    new_rows = serializers.CharField()
    changed_rows = serializers.CharField()
    deleted_rows = serializers.CharField()
    removes_properties = serializers.BooleanField()
    billed = serializers.CharField()


class StepSerializer(Plain):
    """One step of setting a warehouse up."""

    title = serializers.CharField()
    detail = serializers.CharField()
    sql = serializers.CharField()


class WarehouseTypeSerializer(Plain):
    """A type of warehouse, and how to connect one."""

    slug = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    note = serializers.CharField()
    fields_ = FieldSerializer(many=True)
    table_fields = FieldSerializer(many=True)
    checklist = StepSerializer(many=True)
    egress = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Region: the addresses to let in.",
    )
    has_mirror = serializers.SerializerMethodField()

    def get_has_mirror(self, warehouse: Any) -> bool:
        return warehouse.mirror is not None


class WarehouseCatalogueSerializer(Plain):
    """Everything that a form for warehouses and imports asks for."""

    warehouses = WarehouseTypeSerializer(many=True)
    kinds = KindSerializer(many=True)
    sync_modes = SyncModeSerializer(many=True)
    frequencies = FrequencySerializer(many=True)
    cluster_config = FieldSerializer(
        many=True, help_text="The keys of export_cluster_config, for Databricks."
    )
