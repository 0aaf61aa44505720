from rest_framework import serializers

from mixadmin.common.serializers import Flag, Reader, Row, Text

from .actions import LIFETIMES
from .models import ApiToken, SavedView, User


class TokenSerializer(Row):
    """An API token. Only its first characters are known after it was made."""

    id = serializers.CharField(
        source="token_key", help_text="The first characters of the token."
    )
    expires_at = serializers.DateTimeField(source="expiry", allow_null=True)
    created_at = serializers.DateTimeField(source="created")

    class Meta:
        model = ApiToken
        fields = ["id", "name", "created_at", "expires_at"]


class NewTokenSerializer(TokenSerializer):
    """A token that was made just now."""

    token = serializers.CharField(help_text="The token itself, shown this once.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]


class NewToken(Reader):
    name = Text(required=True, help_text="What it is for.")
    days = Text(required=True, help_text=f"One of {', '.join(LIFETIMES)}.")
    # Read by SignInHere, which looks at them before anything else.
    username = Text(required=False, help_text="Not needed when you are signed in.")
    password = Text(required=False, help_text="Goes with username.", write_only=True)


class MeSerializer(Row):
    """A person who signed in, and how they like the pages."""

    class Meta:
        model = User
        fields = ["username", "email", "theme", "density", "time_zone", "shortcuts"]


class Preferences(Reader):
    theme = Text(required=False, help_text="light, dark or empty: as the system.")
    density = Text(required=False, help_text="dense or empty: comfortable.")
    time_zone = Text(
        required=False,
        help_text="An IANA name such as Europe/Berlin, or empty: as the browser tells. "
        "Times in this API are UTC whatever it is.",
    )
    shortcuts = Flag(required=False, help_text="Whether single keys do things.")


class ViewSerializer(Row):
    """The filters and the order of a list, kept under a name."""

    class Meta:
        model = SavedView
        fields = ["id", "path", "name", "query"]


class NewView(Reader):
    path = Text(required=True, help_text="Of the page of the list.")
    name = Text(required=True)
    query = Text(required=False, default="", help_text="Its filters, as in its URL.")
