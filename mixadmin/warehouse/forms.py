"""What the pages for warehouses and imports ask for, built from the catalogues."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms import BoundField
from django.http import QueryDict

from mixadmin.common import rules
from mixadmin.common.forms import (
    ActionForm,
    Choice,
    Json,
    Pick,
    SecretTextarea,
    Text,
    Tick,
    Ticks,
    catalogue_fields,
    catalogue_values,
    form_field,
    read_json,
)
from mixadmin.projects.models import Project, RemoteObject

from . import databricks
from .kinds import FREQUENCIES, KINDS, WAREHOUSES, Kind, Warehouse, frequency_of
from .models import WarehouseImport, WarehouseSource
from .sync_modes import SYNC_MODES

FREQUENCY_CHOICES = [(f.slug, f.label) for f in FREQUENCIES]
KEEP = "Leave as it is"


class Lines(Json):
    """{"column": "property"}, as lines of "column = property" or as JSON."""

    def to_python(self, value: Any) -> Any:
        if value is None or not value.strip():
            return None
        if value.lstrip()[0] in "{[":
            return read_json(value)
        if len(value) > rules.MAX_JSON_BYTES:
            limit = rules.MAX_JSON_BYTES // 1024
            raise ValidationError(f"Larger than {limit} KiB.", code="too_large")
        found: dict[str, str] = {}
        for number, line in enumerate(value.splitlines(), 1):
            if not line.strip():
                continue
            column, sign, name = (part.strip() for part in line.partition("="))
            if not sign:
                message = f"Line {number}: write column = property."
                raise ValidationError(message, code="lines")
            if column in found:
                message = f"Line {number}: this column is named twice."
                raise ValidationError(message, code="lines")
            found[column] = name
        return found

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return "\n".join(f"{column} = {name}" for column, name in value.items())
        return super().prepare_value(value)


# --- Warehouses -----------------------------------------------------------------------


class SourceForm(ActionForm):
    """A new warehouse of one type, or with `source` other values for an old one.

    For an old one every field may stay empty: then its value is kept.
    """

    warehouse_type = Text(widget=forms.HiddenInput())
    name = Text(label="Name", asked=True)

    paths = {"connection": "more"}

    def __init__(
        self,
        *args: Any,
        warehouse: Warehouse | None,
        source: WarehouseSource | None = None,
        like: WarehouseSource | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.entries = warehouse.fields if warehouse else ()
        self.sections = (
            ("Connection", [entry.name for entry in self.entries]),
            ("More", ["more"]),
        )
        self.source = source
        self.fields["warehouse_type"].initial = warehouse.slug if warehouse else ""
        self.fields.update(catalogue_fields(self.entries))
        if warehouse:
            self.fields["more"] = Json(
                label="Other connection fields",
                help_text="A JSON object with fields that Mixpanel wants and this form "
                "does not have. They are kept as secrets.",
                widget=SecretTextarea({"rows": 3, "class": "code"}),
            )
        if source:
            self._keep_values(source)
        if like:
            # What is secret is not in `connection`, and is typed anew.
            self.initial = {**like.connection, "name": f"{like.name} (copy)"}

    def _keep_values(self, source: WarehouseSource) -> None:
        self.fields["name"].initial = source.name
        for entry in self.entries:
            field: Any = self.fields[entry.name]
            field.initial = source.connection.get(entry.name, "")
            field.asked = False
            if isinstance(field, Choice):
                known = [pair for pair in field.choices if pair[0]]
                field.offer([("", KEEP), *known])
            if entry.secret:
                field.help_text = f"{entry.help} Leave empty to keep it.".strip()

    def connection(self) -> Any:
        """What was given; of an old warehouse only what is another value."""
        more = self.cleaned_data.get("more")
        if more is not None and not isinstance(more, dict):
            return more
        values = catalogue_values(self.cleaned_data, self.entries)
        if self.source:
            old = self.source.connection
            values = {k: v for k, v in values.items() if k not in old or old[k] != v}
        return {**(more or {}), **values}


class DeleteSourceForm(ActionForm):
    typed_name = Text(label="Type the name of the source", asked=True)


# --- The cluster of a Databricks import -----------------------------------------------

CLUSTER = "cluster_"
CLUSTER_ENTRIES = databricks.form_fields()
CONFIG_PATH = "databricks_params.export_cluster_config"


def cluster_fields() -> dict[str, forms.Field]:
    """The cluster as fields and as JSON; `databricks_view` says which of them counts."""
    return {
        "databricks_view": Choice(
            label="Cluster config",
            choices=(("form", "Fields"), ("json", "JSON")),
            initial="form",
            widget=forms.HiddenInput(),
        ),
        **catalogue_fields(CLUSTER_ENTRIES, prefix=CLUSTER),
        "databricks_json": Json(
            label="Cluster config as JSON",
            help_text="The object that Mixpanel's API calls export_cluster_config.",
            widget=forms.Textarea({"rows": 16, "class": "code", "spellcheck": "false"}),
        ),
    }


def cluster_paths(view: str) -> dict[str, str]:
    """Where the errors of a cluster config are shown."""
    if view == "json":
        return {"databricks_params": "databricks_json", CONFIG_PATH: "databricks_json"}
    paths = {"databricks_params": "databricks_view"}
    for entry in databricks.CLUSTER_FIELDS:
        for part in (entry.name, *(f"{entry.name}.{f.name}" for f in entry.fields)):
            paths[f"{CONFIG_PATH}.{part}"] = CLUSTER + databricks.form_name(part)
    return paths


def cluster_texts(config: object) -> dict[str, str]:
    """A config as the texts of `cluster_fields`."""
    texts = {CLUSTER + k: v for k, v in databricks.to_form(config).items()}
    if config:
        texts["databricks_json"] = json.dumps(config, indent=2, ensure_ascii=False)
    return texts


def switch_cluster(sent: QueryDict, view: str) -> QueryDict:
    """The same form with its cluster config shown the other way: "form" or "json".

    Raises ValidationError for a JSON text that has no place in the fields.
    """
    if view == "json":
        texts = {e.name: sent.get(CLUSTER + e.name, "") for e in CLUSTER_ENTRIES}
        config: Any = databricks.from_form(texts)
    else:
        text = sent.get("databricks_json", "")
        config = read_json(text) if text.strip() else {}
        if not isinstance(config, dict):
            raise ValidationError("Must be a JSON object to be shown as fields.")
        known = [entry.name for entry in databricks.CLUSTER_FIELDS]
        if unknown := rules.unknown_keys(config, known):
            message = f"{unknown[0].message} The fields have no place for it."
            raise ValidationError(message)
    switched = sent.copy()
    for name in cluster_fields():
        switched.pop(name, None)
    switched["databricks_view"] = view
    for name, text in cluster_texts(config).items():
        if (name == "databricks_json") == (view == "json"):
            switched[name] = text
    return switched


class ClusterForm(ActionForm):
    """A form with a cluster config in it."""

    has_cluster = False

    def add_cluster(self, config: object = None) -> None:
        self.has_cluster = True
        self.fields.update(cluster_fields())
        self.initial.update({k: v for k, v in cluster_texts(config).items() if v})
        self.paths = {**self.paths, **cluster_paths(self.cluster_view)}

    @property
    def cluster_view(self) -> str:
        values = self.data if self.is_bound else self.initial
        return "json" if values.get("databricks_view") == "json" else "form"

    @property
    def cluster_fields(self) -> list[BoundField]:
        return [self[CLUSTER + entry.name] for entry in CLUSTER_ENTRIES]

    @property
    def shown_cluster_fields(self) -> list[BoundField]:
        as_json = self.cluster_view == "json"
        return [self["databricks_json"]] if as_json else self.cluster_fields

    def databricks_params(self) -> dict[str, Any] | None:
        """What was given, None when nothing was."""
        if not self.has_cluster:
            return None
        config: Any
        if self.cluster_view == "json":
            config = self.cleaned_data.get("databricks_json")
        else:
            config = databricks.from_form(
                {e.name: self.cleaned_data[CLUSTER + e.name] for e in CLUSTER_ENTRIES}
            )
        if config is None or config == {}:
            return None
        return {"export_cluster_config": config}


# --- Imports --------------------------------------------------------------------------


def kind_fields(kind: Kind) -> dict[str, forms.Field]:
    """The fields of one kind: maps as lines, objects with known members one by one."""
    fields: dict[str, forms.Field] = {}
    for entry in kind.fields:
        if entry.kind == "mapping":
            fields[entry.name] = Lines(
                label=entry.label,
                help_text="One per line: column = property. Columns that are not named "
                "keep their own name. A JSON object works too.",
                asked=entry.required,
            )
        elif entry.fields:
            fields.update(catalogue_fields(entry.fields, prefix=f"{entry.name}."))
        else:
            fields[entry.name] = form_field(entry)
    return fields


def kind_values(kind: Kind, values: Mapping[str, Any]) -> dict[str, Any]:
    found = catalogue_values(values, kind.fields)
    for entry in kind.fields:
        if entry.fields:
            prefix = f"{entry.name}."
            found[entry.name] = catalogue_values(values, entry.fields, prefix=prefix)
    return found


class ImportForm(ClusterForm):
    """A new import. Kind and warehouse decide which fields there are."""

    name = Text(
        label="Name",
        help_text="For the pages here; imports have no name at Mixpanel.",
        asked=True,
    )
    sync_mode = Choice(label="Sync mode", asked=True)
    frequency = Choice(
        label="Frequency",
        help_text="A One-Time import runs once, whatever is chosen here.",
        choices=[("", "Choose…"), *FREQUENCY_CHOICES],
        asked=True,
    )

    def __init__(
        self,
        *args: Any,
        project: Project,
        sources: Iterable[WarehouseSource],
        kind: str = "",
        source: WarehouseSource | None = None,
        like: WarehouseImport | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.kind = KINDS.get(kind)
        self.source = source
        self.warehouse = WAREHOUSES.get(source.warehouse_type) if source else None
        self.paths = {"run_every": "frequency", "warehouse_type": "source"}
        creatable = [(k.slug, k.label) for k in KINDS.values() if k.creatable]
        choose = {
            "kind": Choice(label="What", choices=creatable, initial=kind, asked=True),
            "source": Pick(
                WarehouseSource.objects.filter(project=project),
                what="source",
                label="Warehouse",
                initial=source.pk if source else None,
                asked=True,
            ),
        }
        choose["source"].choices = [  # type: ignore[attr-defined]
            ("", "Choose…"),
            *((row.pk, f"{row.name} ({row.type_label})") for row in sources),
        ]
        table = self.warehouse.table_fields if self.warehouse else ()
        self.table_entries = table
        schedule = {name: self.fields.pop(name) for name in ("sync_mode", "frequency")}
        self.fields = {
            **choose,
            "name": self.fields["name"],
            **catalogue_fields(table, prefix="table_params."),
            "table_params": Json(
                label="More about the table",
                help_text="A JSON object with other keys for Mixpanel's table_params.",
            ),
            **(kind_fields(self.kind) if self.kind else {}),
            **schedule,
        }
        modes: Any = self.fields["sync_mode"]
        labels = [(mode.slug, mode.label) for mode in self.modes]
        modes.offer([("", "Choose…"), *labels])
        fields: dict[str, Any] = self.fields
        # A One-Time import has no frequency, and only Append reads the insert time.
        fields["frequency"].only_if = "sync_mode=,time_based,mirror_mode,full_sync"
        if "insert_time_column_name" in fields:
            fields["insert_time_column_name"].only_if = "sync_mode=,time_based"
        if "company_column_name" in fields and project.is_b2b:
            fields["company_column_name"].asked = True
        for entry in self.kind.fields if self.kind else ():
            if entry.fields:
                self.paths[entry.name] = f"{entry.name}.{entry.fields[0].name}"
        if (
            source
            and source.warehouse_type == "databricks"
            and source.connection.get("compute_type") != "all_purpose"
        ):
            self.add_cluster()
        if like:
            self._copy(like)

    @property
    def modes(self) -> list[Any]:
        """The sync modes of this kind in this warehouse."""
        slugs = self.kind.sync_modes if self.kind else tuple(SYNC_MODES)
        without = self.warehouse is not None and self.warehouse.mirror is None
        return [
            SYNC_MODES[slug]
            for slug in slugs
            if not (without and slug == "mirror_mode")
        ]

    def _copy(self, like: WarehouseImport) -> None:
        suggested = {entry.name for entry in self.table_entries}
        table = like.table_params
        parts = like.fields.get("mixpanel_property")
        values = {
            "name": f"{like.name} (copy)",
            "sync_mode": like.sync_mode,
            "frequency": frequency_of(like.run_every) or "",
            **like.fields,
            **{f"table_params.{k}": v for k, v in table.items() if k in suggested},
            "table_params": {k: v for k, v in table.items() if k not in suggested}
            or None,
            **(
                {f"mixpanel_property.{k}": v for k, v in parts.items()}
                if isinstance(parts, dict)
                else {}
            ),
            **cluster_texts(
                (like.databricks_params or {}).get("export_cluster_config")
            ),
        }
        self.initial.update({k: v for k, v in values.items() if k in self.fields})

    def _group(self, names: Iterable[str]) -> list[BoundField]:
        return [self[name] for name in names]

    @property
    def table_group(self) -> list[BoundField]:
        suggested = [f"table_params.{entry.name}" for entry in self.table_entries]
        return self._group([*suggested, "table_params"])

    @property
    def column_group(self) -> list[BoundField]:
        return self._group(kind_fields(self.kind)) if self.kind else []

    def table_params(self) -> Any:
        """The suggested fields and the free ones together."""
        free = self.cleaned_data.get("table_params")
        if free is not None and not isinstance(free, dict):
            return free
        suggested = catalogue_values(
            self.cleaned_data, self.table_entries, prefix="table_params."
        )
        return {**suggested, **(free or {})}

    def clean(self) -> dict[str, Any] | None:
        values = super().clean()
        free = self.cleaned_data.get("table_params")
        if isinstance(free, dict):
            for entry in self.table_entries:
                given = self.cleaned_data.get(f"table_params.{entry.name}")
                if given and entry.name in free:
                    message = f"“{entry.name}” is given twice: above and here."
                    self.add_error("table_params", message)
        return values

    def wanted(self) -> dict[str, Any]:
        """The arguments of `create_import` besides project and actor."""
        values = self.cleaned_data
        kind = KINDS.get(values["kind"])
        return {
            "name": values["name"],
            "source": values["source"],
            "kind": values["kind"],
            "sync_mode": values["sync_mode"],
            "table_params": self.table_params(),
            "fields": kind_values(kind, values) if kind else {},
            "frequency": values["frequency"] or None,
            "databricks_params": self.databricks_params(),
            "accepted_warnings": self.accepted_warnings,
        }


class RenameForm(ActionForm):
    name = Text(label="Name", asked=True)


class FrequencyForm(ActionForm):
    frequency = Choice(label="Frequency", choices=FREQUENCY_CHOICES, asked=True)

    def __init__(
        self, *args: Any, warehouse_import: WarehouseImport, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        now = frequency_of(warehouse_import.run_every)
        field: Any = self.fields["frequency"]
        field.initial = now or ""
        if now is None:
            unlisted = ("", f"{warehouse_import.frequency_label} (now)")
            field.offer([unlisted, *FREQUENCY_CHOICES])


class ResumeForm(ActionForm):
    frequency = Choice(
        label="Frequency", choices=[("", "As it was"), *FREQUENCY_CHOICES]
    )


class DatabricksForm(ClusterForm):
    """Another cluster config for an import."""

    def __init__(self, *args: Any, config: object = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_cluster(config)


class DeleteImportForm(ActionForm):
    typed_name = Text(label="Type the name of the import", asked=True)
    delete_data = Tick(
        label="Also delete the data that it brought",
        help_text="Mixpanel files a request to delete the events. It cannot be taken "
        "back here, and takes days. Profiles stay.",
    )


# --- Adoption -------------------------------------------------------------------------


class AdoptForm(ActionForm):
    """Ticks beside what exists at Mixpanel and is not managed here."""

    remote_objects = Ticks(label="At Mixpanel", what="of them", asked=True)

    def __init__(self, *args: Any, found: list[RemoteObject], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ticks: Any = self.fields["remote_objects"]
        ticks.offer(found)
