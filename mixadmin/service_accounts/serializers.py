from typing import Any

from rest_framework import serializers

from mixadmin.common.serializers import (
    Flag,
    Moment,
    Reader,
    Row,
    Several,
    Text,
    Whole,
    Word,
)

from .models import ServiceAccount


class ServiceAccountSerializer(Row):
    """The credential that calls to Mixpanel are made with. Its secret is never shown."""

    has_secret = serializers.SerializerMethodField()
    owner = serializers.SerializerMethodField()

    class Meta:
        model = ServiceAccount
        fields = [
            "id",
            "username",
            "has_secret",
            "secret_version",
            "secret_set_at",
            "region",
            "organization_id",
            "mixpanel_id",
            "role",
            "expires_at",
            "expires_in_days",
            "verification",
            "verification_detail",
            "verified_at",
            "presence",
            "owner",
            "created_at",
        ]

    def get_has_secret(self, account: ServiceAccount) -> bool:
        return bool(account.secret)

    def get_owner(self, account: ServiceAccount) -> str | None:
        """The username of the person who added it."""
        return account.owner.get_username() if account.owner else None


class UsingProjectSerializer(serializers.Serializer[Any]):
    """A project that works with the account, of those that you may see."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    mixpanel_id = serializers.IntegerField()


class ServiceAccountDetailSerializer(ServiceAccountSerializer):
    """A service account with the projects that use it."""

    projects = UsingProjectSerializer(many=True, source="seen_projects")

    class Meta(ServiceAccountSerializer.Meta):
        fields = [*ServiceAccountSerializer.Meta.fields, "projects"]


class ServiceAccountChange(Reader):
    organization_id = Whole(required=False)
    role = Text(required=False, help_text="Any word, as Mixpanel calls it.")
    expires_at = Moment(required=False)


class NewServiceAccount(ServiceAccountChange):
    username = Text(required=True)
    secret = Text(required=True, write_only=True)
    region = Text(required=True, help_text="us, eu or in.")


class NewSecret(Reader):
    secret = Text(required=True, write_only=True)


class Discovered(Reader):
    mixpanel_ids = Several(
        child=Whole(), required=True, help_text="Mixpanel's ids of the projects to add."
    )


class ProjectRole(Reader):
    id = Whole(required=True, help_text="Mixpanel's project id.")
    role = Text(required=True)


class NewAtMixpanel(Reader):
    username = Text(required=True)
    role = Text(required=False)
    expires_at = Moment(required=False)
    projects = Several(
        child=ProjectRole(), required=False, help_text="Projects that it joins at once."
    )


class MembershipAtMixpanel(Reader):
    project_id = Whole(required=True, help_text="Mixpanel's project id.")
    role = Text(required=False, help_text="Needed unless it is removed.")
    remove = Flag(required=False)


class RemoteAccountSerializer(serializers.Serializer[Any]):
    """A service account as Mixpanel lists it now."""

    id = serializers.IntegerField()
    username = serializers.CharField()
    role = Word()
    expires_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    creator = serializers.CharField()
