from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from mixadmin.common.serializers import Row, Shown
from mixadmin.jobs.serializers import TargetSerializer, target_word

from .models import Entry


class EntrySerializer(Row):
    """Who did what to which thing."""

    actor = serializers.CharField(
        source="actor_name", help_text="A username, or mixadmin for the machinery."
    )
    target = serializers.SerializerMethodField()
    changes = Shown(help_text="{field: [old, new]}; a secret stands as “set”.")

    class Meta:
        model = Entry
        fields = ["id", "at", "actor", "verb", "target", "target_name", "changes"]

    @extend_schema_field(TargetSerializer)
    def get_target(self, entry: Entry) -> dict[str, Any]:
        return {"type": target_word(entry.target_type), "id": entry.target_id}
