"""Lexicon schemas: what a project's events and profiles are documented to be.

5 requests a minute are allowed. In an upsert metadata is merged (null removes a
key), everything else is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .building import an_object, any_text, flag, list_of, one_of, or_null, shaped, text
from .http import Answer, Http
from .reading import Json, Mismatch, as_object, get_int, get_key, get_object, many

ENTITY_TYPES = ("event", "profile")

_ENTITY_METADATA = shaped(
    {
        "$source": or_null(any_text),
        "displayName": or_null(any_text),
        "tags": or_null(list_of(any_text)),
        "hidden": or_null(flag),
        "dropped": or_null(flag),
        "contacts": or_null(list_of(any_text)),
        "teamContacts": or_null(list_of(any_text)),
    }
)
_PROPERTY_METADATA = shaped(
    {
        "displayName": or_null(any_text),
        "hidden": or_null(flag),
        "dropped": or_null(flag),
    }
)


def _metadata(inner: Any) -> Any:
    # Other vendors' names may stand beside Mixpanel's own.
    def check(name: str, value: Any) -> None:
        an_object(name, value)
        if value.get("com.mixpanel") is not None:
            inner(f"{name}.com.mixpanel", value["com.mixpanel"])

    return check


_PROPERTY = shaped(
    {
        "type": one_of(
            "array", "boolean", "integer", "null", "number", "object", "string"
        ),
        "description": or_null(any_text),
        "metadata": _metadata(_PROPERTY_METADATA),
    },
    required=("type",),
)


def _properties(name: str, value: Any) -> None:
    an_object(name, value)
    for key, item in value.items():
        text(f"a key of {name}", key)
        _PROPERTY(f"{name}.{key}", item)


_SCHEMA = shaped(
    {
        "description": or_null(any_text),
        "properties": _properties,
        "metadata": _metadata(_ENTITY_METADATA),
    }
)
_ENTRY = shaped(
    {"entityType": one_of(*ENTITY_TYPES), "name": text, "schemaJson": _SCHEMA},
    required=("entityType", "name", "schemaJson"),
)


@dataclass(frozen=True, slots=True)
class SchemaEntry:
    """The schema of one event, or of a profile (user profiles are ``$user``)."""

    entity_type: str
    name: str
    schema: Json
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """How many entries an upsert added and deleted; None when not told."""

    added: int | None
    deleted: int | None


class Schemas:
    """``client.schemas``."""

    def __init__(self, http: Http, project_id: int | None) -> None:
        self._http = http
        self._project_id = project_id

    def list(self, entity_type: str = "", entity_name: str = "") -> list[SchemaEntry]:
        """All schemas, those of one type, or of one name within a type."""
        path, query = _selection(entity_type, entity_name)
        answer = self._call("GET", *path, params=query)
        return answer.results(many(_entry, "schemas"))

    def get(self, entity_type: str, name: str) -> Json:
        """The schema of one entity."""
        one_of(*ENTITY_TYPES)("entity_type", entity_type)
        return self._call("GET", entity_type, name).results(_schema, bare=True)

    def upsert(
        self, entries: Iterable[Mapping[str, Any]], *, truncate: bool = False
    ) -> UpsertResult:
        """Write many schemas: objects of ``entityType``, ``name``, ``schemaJson``.

        ``truncate`` deletes the whole dictionary first.
        """
        found = [dict(entry) for entry in entries]
        if not found:
            raise ValueError("entries must not be empty")
        list_of(_ENTRY)("entries", found)
        flag("truncate", truncate)
        body = {"entries": found, "truncate": truncate}
        return self._call("POST", json_body=body).results(_upserted)

    def replace(self, entity_type: str, name: str, schema: Mapping[str, Any]) -> None:
        """Write one schema."""
        one_of(*ENTITY_TYPES)("entity_type", entity_type)
        _SCHEMA("schema", dict(schema))
        self._call("POST", entity_type, name, json_body=dict(schema)).ok()

    def delete(self, entity_type: str, name: str) -> int | None:
        """Delete one schema; gives the number deleted, None when not told."""
        one_of(*ENTITY_TYPES)("entity_type", entity_type)
        return self._call("DELETE", entity_type, name).results(_deleted)

    def delete_many(self, entity_type: str = "", entity_name: str = "") -> int | None:
        """Delete all schemas, those of one type, or of one name within a type."""
        path, query = _selection(entity_type, entity_name)
        return self._call("DELETE", *path, params=query).results(_deleted)

    def _call(self, method: str, *path: object, **options: Any) -> Answer:
        if self._project_id is None:
            raise ValueError("this call needs a client with a project_id")
        base = ("projects", self._project_id, "schemas")
        return self._http.app(method, *base, *path, **options)


def _selection(
    entity_type: str, entity_name: str
) -> tuple[tuple[str, ...], dict[str, str] | None]:
    if not entity_type:
        if entity_name:
            raise ValueError("entity_name needs an entity_type")
        return (), None
    one_of(*ENTITY_TYPES)("entity_type", entity_type)
    any_text("entity_name", entity_name)
    return (entity_type,), {"entity_name": entity_name} if entity_name else None


def _entry(value: Any) -> SchemaEntry:
    data = as_object(value, "a schema entry")
    return SchemaEntry(
        entity_type=get_key(data, "entityType"),
        name=get_key(data, "name"),
        schema=get_object(data, "schemaJson"),
        raw=data,
    )


def _schema(value: Any) -> Json:
    # Bare in the published specification, in an envelope or an entry elsewhere.
    if isinstance(value, list):
        if len(value) != 1:
            raise Mismatch(f"it holds {len(value)} schemas instead of one")
        value = value[0]
    data = as_object(value, "a schema")
    return get_object(data, "schemaJson") if "schemaJson" in data else data


def _upserted(value: Any) -> UpsertResult:
    data = as_object(value, "the counts")
    return UpsertResult(added=get_int(data, "added"), deleted=get_int(data, "deleted"))


def _deleted(value: Any) -> int | None:
    return get_int(as_object(value, "the counts"), "delete_count")
