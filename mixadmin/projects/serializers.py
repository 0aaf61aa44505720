from rest_framework import serializers

from mixadmin.common.serializers import (
    Flag,
    Reader,
    Row,
    Shown,
    Text,
    Whole,
    Word,
)

from .models import Membership, Project, RemoteObject


class ProjectSerializer(Row):
    """A Mixpanel project that mixadmin looks after. Its token is never shown."""

    has_token = serializers.SerializerMethodField()

    class Meta:
        model = Project
        fields = [
            "id",
            "name",
            "mixpanel_id",
            "region",
            "environment",
            "organization_id",
            "is_b2b",
            "has_token",
            "service_account",
            "verification",
            "verification_detail",
            "verified_at",
            "connectors_open",
            "inventory_at",
            "created_at",
        ]

    def get_has_token(self, project: Project) -> bool:
        return bool(project.token)


class MemberSerializer(Row):
    """What a person may do in a project."""

    username = serializers.CharField(source="user.username")

    class Meta:
        model = Membership
        fields = ["username", "role"]


class RemoteObjectSerializer(Row):
    """Something at Mixpanel that is not managed here, as it was last seen."""

    raw = Shown(help_text="Mixpanel's own words.")

    class Meta:
        model = RemoteObject
        fields = [
            "id",
            "kind",
            "mixpanel_id",
            "summary",
            "raw",
            "first_seen_at",
            "seen_at",
        ]


class ProjectChange(Reader):
    name = Text(required=True)
    environment = Text(required=False, help_text="test or production.")
    token = Text(
        required=False, help_text="The project token, a secret; empty to keep it."
    )
    organization_id = Whole(required=False)
    is_b2b = Flag(required=False)
    service_account = Whole(required=False, help_text="Its id here.")


class NewProject(ProjectChange):
    mixpanel_id = Whole(required=True, help_text="Mixpanel's project id.")
    region = Text(required=True, help_text="us, eu or in.")


class TypedName(Reader):
    typed_name = Text(required=True, help_text="The name, typed to confirm.")


class Member(Reader):
    username = Text(required=True)
    role = Text(required=True, help_text="viewer or editor.")


class DiscoveredSerializer(serializers.Serializer[dict[str, object]]):
    """A project that a service account sees at Mixpanel."""

    id = serializers.IntegerField(help_text="Mixpanel's project id.")
    name = serializers.CharField()
    organization_id = serializers.IntegerField(allow_null=True)
    role = Word()
    added = serializers.BooleanField(help_text="Whether it is registered here.")
