from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from mixadmin.common.remedies import explain_run_failure
from mixadmin.common.serializers import (
    FieldSerializer,
    JsonObject,
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

from .models import Connector, ConnectorRun


class ConnectorSerializer(Row):
    """A Cloud Import from a bucket: one run over everything under a prefix."""

    type_label = serializers.CharField()
    is_known_type = serializers.BooleanField(
        help_text="False for types that are shown and not made here."
    )
    state = Word(choices=STATUSES)
    status = serializers.CharField(help_text="Mixpanel's word.")
    connector_properties = Shown()
    category_properties = Shown()

    class Meta:
        model = Connector
        fields = [
            "id",
            "project",
            "label",
            "connector_type",
            "type_label",
            "is_known_type",
            "connector_properties",
            "category_properties",
            "accepted_warnings",
            "mixpanel_id",
            "presence",
            "adopted",
            "state",
            "last_run",
            "status",
            "failure_message",
            "observed_at",
            "absent_since",
            "created_at",
        ]


class ConnectorDetailSerializer(ConnectorSerializer):
    """A connector with Mixpanel's own words."""

    raw = Shown(help_text="As Mixpanel last told of it.")

    class Meta(ConnectorSerializer.Meta):
        fields = [*ConnectorSerializer.Meta.fields, "raw"]


class ConnectorRunSerializer(Row):
    """One run, with its counters as Mixpanel last told them; null is not known."""

    duration = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    raw = Shown()

    class Meta:
        model = ConnectorRun
        fields = [
            "id",
            "state",
            "raw_state",
            "at",
            "started_at",
            "ended_at",
            "duration",
            "progress",
            "num_events_imported",
            "num_events_processed",
            "num_events_dropped",
            "num_files_imported",
            "size_imported",
            "mixpanel_run_id",
            "is_gap",
            "note",
            "error",
            "raw",
            "seen_at",
        ]

    def get_duration(self, run: ConnectorRun) -> float | None:
        """In seconds, null while it is not known."""
        return run.duration.total_seconds() if run.duration is not None else None

    @extend_schema_field(ExplainedSerializer(allow_null=True))
    def get_error(self, run: ConnectorRun) -> dict[str, str] | None:
        if run.state != RunState.FAILED and not run.error_message:
            return None
        cause = explain_run_failure(
            run.error_message, connector_type=run.connector.connector_type
        )
        return explained(
            cause,
            kind=run.error_code or "run_failed",
            message=run.error_message,
            raw=run.error_message,
        )


class NewConnector(Reader):
    label = Text(required=True)  # type: ignore[assignment]
    connector_type = Text(required=True, help_text="gcsImport or s3Import.")
    connector_properties = JsonObject(required=True, help_text="See the catalogue.")
    category_properties = JsonObject(
        required=True, help_text="data_format, compression and property_remap."
    )
    accepted_warnings = Ticks()


class TypedLabel(Reader):
    typed_name = Text(required=True, help_text="The connector's label, to confirm.")


class ConnectorAdoption(Reader):
    remote_objects = Several(
        child=Whole(), required=True, help_text="Ids from the list of remote objects."
    )


class ConnectorKindSerializer(Plain):
    """A type of connector, and the fields of its connector_properties."""

    slug = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    permissions = serializers.CharField()
    fields_ = FieldSerializer(many=True)


class DataFormatSerializer(Plain):
    """What a line of a file is; remap_fields are the keys of property_remap."""

    slug = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    line = serializers.CharField()
    remap_fields = FieldSerializer(many=True)


class CompressionSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]


class ConnectorCatalogueSerializer(Plain):
    """Everything that a form for connectors asks for."""

    kinds = ConnectorKindSerializer(many=True)
    data_formats = DataFormatSerializer(many=True)
    compressions = CompressionSerializer(many=True)
