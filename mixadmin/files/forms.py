from typing import Any

from django import forms

from mixadmin.common.forms import (
    ActionForm,
    Choice,
    Json,
    SecretTextarea,
    Text,
    catalogue_fields,
    catalogue_values,
)

from .kinds import KINDS
from .models import SourceBucket

S3_KEYS = catalogue_fields(KINDS["s3"].fields)
OWN_ROLE = "Left empty, the server's own role is used."


class FilesForm(ActionForm):
    """Stands for the files of a form, which the action takes as they come."""

    files = Text(label="Files")  # type: ignore[assignment]


class BucketEditForm(ActionForm):
    name = Text(label="Name", help_text="As people here call it.", asked=True)
    bucket = Text(
        label="Bucket", help_text="The name only, without s3:// or gs://.", asked=True
    )
    prefix = Text(  # type: ignore[assignment]
        label="Prefix",
        help_text="Nothing outside of it is listed or read. Empty: the whole bucket.",
        widget=forms.TextInput({"placeholder": "export/2026/"}),
    )
    region = Text(
        label="Region", help_text="Of S3 only, such as eu-central-1. May be empty."
    )


class CredentialsForm(ActionForm):
    """Fields for the credentials of both providers; the one that is not asked is hidden."""

    access_key_id = S3_KEYS["access_key_id"]
    secret_access_key = S3_KEYS["secret_access_key"]
    google_key = Json(
        label="Key of a service account",
        help_text=f"The JSON file that Google gave, as a whole. {OWN_ROLE} It is stored "
        "encrypted and never shown again.",
        widget=SecretTextarea({"rows": 6, "class": "code", "spellcheck": "false"}),
    )
    paths = {
        "credentials.access_key_id": "access_key_id",
        "credentials.secret_access_key": "secret_access_key",
        "credentials": "google_key",
    }

    def __init__(self, *args: Any, only: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["access_key_id"].help_text += f" {OWN_ROLE}"
        for name in ("access_key_id", "secret_access_key"):
            self._belongs(name, "s3", only)
        self._belongs("google_key", "gcs", only)

    def _belongs(self, name: str, provider: str, only: str) -> None:
        field: Any = self.fields[name]
        field.asked = False
        field.only_if = f"provider={provider}"
        if only and only != provider:
            del self.fields[name]

    def credentials(self, provider: str) -> Any:
        if provider == "gcs":
            return self.cleaned_data.get("google_key")
        return catalogue_values(self.cleaned_data, KINDS["s3"].fields)


class BucketForm(CredentialsForm, BucketEditForm):
    provider = Choice(
        label="Provider",
        choices=[("", "Choose…"), *SourceBucket.Provider.choices],
        asked=True,
    )
    sections = (
        (
            "Credentials, to read the files",
            ("access_key_id", "secret_access_key", "google_key"),
        ),
    )
    field_order = (
        "name",
        "provider",
        "bucket",
        "prefix",
        "region",
        "access_key_id",
        "secret_access_key",
        "google_key",
    )

    def wanted(self) -> dict[str, Any]:
        names = ("name", "provider", "bucket", "prefix", "region")
        values = {name: self.cleaned_data[name] for name in names}
        return {**values, "credentials": self.credentials(values["provider"])}


class DeleteForm(ActionForm):
    typed_name = Text(label="Type the bucket's name to confirm", asked=True)
