from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from mixadmin.common.serializers import Flag, Plain, Reader, Row, Shown

from .kinds import REPLACEMENTS
from .models import LookupTable, LookupVersion


class BudgetSerializer(serializers.Serializer[Any]):
    """How often the table may still be replaced; others who do so are not counted."""

    limit = serializers.IntegerField(help_text="In any 24 hours.")
    left = serializers.IntegerField()
    free_at = serializers.DateTimeField(
        allow_null=True, help_text="When the next one is free, where none is left."
    )


class LookupVersionSerializer(Row):
    """A CSV for a lookup table: checked here, sent or not."""

    table = serializers.IntegerField(source="table_id")
    copy_of = serializers.SerializerMethodField()
    created_by = serializers.SerializerMethodField()
    can_be_sent = serializers.SerializerMethodField()
    has_file = serializers.BooleanField(
        help_text="Whether the file is still kept. The last ten are."
    )

    class Meta:
        model = LookupVersion
        fields = [
            "id",
            "table",
            "number",
            "state",
            "send_when_clean",
            "size",
            "sha256",
            "rows",
            "bad_rows",
            "column_count",
            "error_message",
            "may_be_there",
            "can_be_sent",
            "has_file",
            "copy_of",
            "created_by",
            "created_at",
            "sent_at",
        ]

    def get_copy_of(self, version: LookupVersion) -> int | None:
        """The number of the version that it brought back."""
        return version.copy_of.number if version.copy_of else None

    def get_created_by(self, version: LookupVersion) -> str | None:
        """The username of who uploaded it, null for the machinery."""
        return version.created_by.get_username() if version.created_by else None

    def get_can_be_sent(self, version: LookupVersion) -> bool:
        return version.can_be_sent


class LookupFindingSerializer(Plain):
    """Something that the check found."""

    code = serializers.CharField()
    refused = serializers.BooleanField(
        help_text="Whether Mixpanel would refuse the whole file for it."
    )
    count = serializers.IntegerField()
    lines = serializers.ListField(
        child=serializers.IntegerField(), help_text="The first of them."
    )
    columns = serializers.ListField(child=serializers.CharField())
    title = serializers.CharField()
    meaning = serializers.CharField()
    remedy = serializers.CharField()


class LookupVersionDetailSerializer(LookupVersionSerializer):
    """A version with what its check found and what it changes."""

    columns = Shown(help_text="name, kind and counts of each; at most 1000.")
    findings = serializers.SerializerMethodField()
    difference = Shown(
        help_text="added, removed, changed and same rows against the version that was in "
        "Mixpanel, with the first hundred of each; empty where that is not known."
    )
    refused_rows = Shown(help_text="index and message, as Mixpanel answered.")

    class Meta(LookupVersionSerializer.Meta):
        fields = [
            *LookupVersionSerializer.Meta.fields,
            "columns",
            "findings",
            "difference",
            "refused_rows",
        ]

    @extend_schema_field(LookupFindingSerializer(many=True))
    def get_findings(self, version: LookupVersion) -> list[dict[str, Any]]:
        """What Mixpanel would refuse comes first."""
        return [
            {
                "code": found["rule"].code,
                "refused": found["refused"],
                "count": found["count"],
                "lines": found["lines"],
                "columns": found["columns"],
                "title": found["rule"].title,
                "meaning": found["rule"].meaning,
                "remedy": found["rule"].remedy,
            }
            for found in version.explained
        ]


class LookupTableSerializer(Row):
    """A lookup table, as Mixpanel lists it."""

    state = serializers.CharField(
        help_text="missing from Mixpanel's list, new (no file yet), or the state of the "
        "newest version."
    )
    current = serializers.SerializerMethodField()

    class Meta:
        model = LookupTable
        fields = [
            "id",
            "project",
            "mixpanel_id",
            "name",
            "state",
            "current",
            "seen_at",
            "absent_since",
        ]

    @extend_schema_field(LookupVersionSerializer(allow_null=True))
    def get_current(self, table: Any) -> Any:
        """The version in Mixpanel; null if it was not sent from here."""
        current = next(iter(table.currents), None)
        return LookupVersionSerializer(current).data if current else None


class LookupTableDetailSerializer(LookupTableSerializer):
    """A lookup table with what may still be done today."""

    budget = serializers.SerializerMethodField()

    class Meta(LookupTableSerializer.Meta):
        fields = [*LookupTableSerializer.Meta.fields, "budget"]

    @extend_schema_field(BudgetSerializer)
    def get_budget(self, table: LookupTable) -> dict[str, Any]:
        left, free_at = self.context["left"]
        told: dict[str, Any] = BudgetSerializer(
            {"limit": REPLACEMENTS, "left": left, "free_at": free_at}
        ).data
        return told


class RollBack(Reader):
    send_when_clean = Flag(
        required=False,
        default=False,
        help_text="Send it at once if the check finds nothing.",
    )
