"""What the pages for cloud connectors ask for, built from the catalogues."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.forms import BoundField

from mixadmin.common.forms import (
    ActionForm,
    Choice,
    Text,
    Ticks,
    catalogue_fields,
    catalogue_values,
)
from mixadmin.projects.models import RemoteObject

from .kinds import COMPRESSIONS, DATA_FORMATS, DataFormat, Kind
from .models import Connector

# The names of the fields are the paths of the action's errors.
BUCKET = "connector_properties."
CONTENT = "category_properties."
REMAP = f"{CONTENT}property_remap."


class ConnectorForm(ActionForm):
    """A new connector of one type. Its remap fields depend on the data format."""

    connector_type = Text(widget=forms.HiddenInput())
    label = Text(label="Label", help_text="What it is called, here and at Mixpanel.")

    def __init__(
        self, *args: Any, kind: Kind | None, copied: Connector | None = None, **kw: Any
    ) -> None:
        super().__init__(*args, **kw)
        self.kind = kind
        self.fields["connector_type"].initial = kind.slug if kind else ""
        self.fields.update(catalogue_fields(kind.fields if kind else (), prefix=BUCKET))
        formats = [(slug, entry.label) for slug, entry in DATA_FORMATS.items()]
        self.fields[f"{CONTENT}data_format"] = Choice(
            label="Data format", choices=[("", "Choose…"), *formats], asked=True
        )
        self.fields[f"{CONTENT}compression"] = Choice(
            label="Compression", choices=COMPRESSIONS, initial="none"
        )
        for entry in self.remapped:
            fields: dict[str, Any] = dict(
                catalogue_fields(entry.remap_fields, prefix=REMAP)
            )
            for field in fields.values():
                field.only_if = f"{CONTENT}data_format={entry.slug}"
            self.fields.update(fields)
        self.paths = {f"{CONTENT}property_remap": self._first_remap()}
        if copied:
            self._copy(copied)

    @property
    def remapped(self) -> list[DataFormat]:
        return [entry for entry in DATA_FORMATS.values() if entry.remap_fields]

    def _first_remap(self) -> str:
        """Where it is told that the remap as a whole is missing or not wanted."""
        chosen = self.data.get(f"{CONTENT}data_format") if self.is_bound else None
        found = DATA_FORMATS.get(chosen or "")
        if found and found.remap_fields:
            return f"{REMAP}{found.remap_fields[0].name}"
        return f"{CONTENT}data_format"

    def _copy(self, old: Connector) -> None:
        remap = old.category_properties.get("property_remap")
        values = {
            "label": f"{old.label} (copy)" if old.label else "",
            **{BUCKET + k: v for k, v in old.connector_properties.items()},
            **{CONTENT + k: v for k, v in old.category_properties.items()},
            **(
                {REMAP + k: v for k, v in remap.items()}
                if isinstance(remap, dict)
                else {}
            ),
        }
        self.initial.update({k: v for k, v in values.items() if k in self.fields})

    @property
    def bucket_group(self) -> list[BoundField]:
        return [self[BUCKET + f.name] for f in (self.kind.fields if self.kind else ())]

    @property
    def content_group(self) -> list[BoundField]:
        return [self[f"{CONTENT}data_format"], self[f"{CONTENT}compression"]]

    @property
    def remap_groups(self) -> list[tuple[DataFormat, list[BoundField]]]:
        return [
            (entry, [self[REMAP + field.name] for field in entry.remap_fields])
            for entry in self.remapped
        ]

    def wanted(self) -> dict[str, Any]:
        """The arguments of `create_connector` besides project and actor."""
        values = self.cleaned_data
        entries = self.kind.fields if self.kind else ()
        bucket = catalogue_values(values, entries, prefix=BUCKET)
        for entry in entries:
            # An empty prefix is a value: the whole bucket.
            if entry.allow_empty:
                bucket[entry.name] = values[BUCKET + entry.name]
        content = {
            "data_format": values[f"{CONTENT}data_format"],
            "compression": values[f"{CONTENT}compression"],
        }
        remaps: Iterable[Any] = (f for e in self.remapped for f in e.remap_fields)
        if remap := catalogue_values(values, remaps, prefix=REMAP):
            content["property_remap"] = remap
        return {
            "label": values["label"],
            "connector_type": values["connector_type"],
            "connector_properties": bucket,
            "category_properties": content,
            "accepted_warnings": self.accepted_warnings,
        }


class DeleteForm(ActionForm):
    typed_name = Text(label="Type the label of the connector", asked=True)


class AdoptForm(ActionForm):
    """Ticks beside what exists at Mixpanel and is not managed here."""

    remote_objects = Ticks(label="At Mixpanel", what="of them", asked=True)

    def __init__(self, *args: Any, found: list[RemoteObject], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ticks: Any = self.fields["remote_objects"]
        ticks.offer(found)
