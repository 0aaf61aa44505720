"""Cloud connectors: Cloud Import from GCS and S3."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urljoin

from .building import any_text, one_of, or_null, shaped, text
from .http import Http, join
from .reading import (
    Json,
    as_list,
    as_object,
    get_bool,
    get_float,
    get_int,
    get_key,
    get_object,
    get_person,
    get_text,
    get_time,
)
from .regions import origin
from .states import normalise_run_state

T = TypeVar("T")

MAX_PAGES = 10

# connector_type -> the properties that Mixpanel documents for it. gcs_region is in
# its samples only.
_PROPERTIES = {
    "gcsImport": shaped(
        {"gcs_bucket": text, "gcs_prefix": any_text, "gcs_region": text},
        required=("gcs_bucket", "gcs_prefix"),
    ),
    "s3Import": shaped(
        {"s3_role": text, "s3_bucket": text, "s3_region": text, "s3_prefix": any_text},
        required=("s3_role", "s3_bucket", "s3_region", "s3_prefix"),
    ),
}
CONNECTOR_TYPES = tuple(_PROPERTIES)
DATA_FORMATS = (
    "mixpanel_event",
    "mixpanel_people",
    "mixpanel_group",
    "remap_event",
    "remap_people",
    "remap_group",
)
_REMAPS = {
    "remap_event": shaped(
        {
            "event_name": text,
            "time": text,
            "distinct_id": text,
            "$insert_id": or_null(text),
            "ip": or_null(text),
        },
        required=("event_name", "time", "distinct_id"),
    ),
    "remap_people": shaped({"$distinct_id": text}, required=("$distinct_id",)),
    "remap_group": shaped(
        {"$group_key": text, "$group_id": text}, required=("$group_key", "$group_id")
    ),
}


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector. ``status`` is "" when Mixpanel does not tell, as in lists.

    ``connector_type`` may be one that is not known here; show it read-only.
    """

    id: str
    label: str
    connector_type: str
    connector_properties: Json
    category_properties: Json
    status: str
    failure_message: str
    created_at: datetime | None
    created_by: str
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConnectorRun:
    """One run. ``remote_id`` is often ""; ``progress`` is from 0 to 1.

    ``state`` is one of ours (see states.py), ``raw_state`` is Mixpanel's word.
    Counters are None when not known; ``size_imported`` is in bytes.
    """

    remote_id: str
    state: str
    raw_state: str
    started_at: datetime | None
    ended_at: datetime | None
    progress: float | None
    error_message: str
    error_code: str
    num_events_imported: int | None
    num_events_processed: int | None
    num_events_dropped: int | None
    num_files_imported: int | None
    size_imported: int | None
    raw: Json = field(repr=False)


class Connectors:
    """``client.connectors``. There is no update: delete and create anew."""

    def __init__(self, http: Http, project_id: int | None) -> None:
        self._http = http
        self._project_id = project_id

    def list(self) -> list[Connector]:
        """All connectors, also those of other types.

        NotAllowed or NotFound here means that Mixpanel has closed Cloud Import
        for the project.
        """
        return self._pages(read_connector)

    def get(self, connector_id: str) -> Connector:
        """One connector."""
        answer = self._http.app("GET", *self._path(connector_id))
        return answer.results(read_connector, bare=True)

    def create(
        self,
        *,
        label: str,
        connector_type: str,
        connector_properties: Mapping[str, Any],
        category_properties: Mapping[str, Any],
    ) -> Connector:
        """Create a connector, which starts its run.

        Unknown, missing and wrongly typed fields raise ValueError or TypeError
        before anything is sent.
        """
        any_text("label", label)
        one_of(*CONNECTOR_TYPES)("connector_type", connector_type)
        _PROPERTIES[connector_type]("connector_properties", dict(connector_properties))
        _check_category(dict(category_properties))
        body = {
            "label": label,
            "connector_type": connector_type,
            "connector_properties": dict(connector_properties),
            "category_properties": dict(category_properties),
        }
        answer = self._http.app("POST", *self._path(), json_body=body)
        return answer.results(read_connector, bare=True)

    def delete(self, connector_id: str) -> None:
        """Delete a connector. What it imported stays."""
        self._http.app("DELETE", *self._path(connector_id)).ok()

    def history(self, connector_id: str) -> builtins.list[ConnectorRun]:
        """The runs of a connector, in the order in which they came."""
        return self._pages(_run, connector_id, "history")

    def _path(self, *path: object) -> tuple[object, ...]:
        if self._project_id is None:
            raise ValueError("this call needs a client with a project_id")
        return ("projects", self._project_id, "connectors", *path)

    def _pages(self, reader: Callable[[Any], T], *path: object) -> builtins.list[T]:
        url = join(self._http.region.app_url, *self._path(*path))
        found: list[T] = []
        for _ in range(MAX_PAGES):
            answer = self._http.checked("GET", url)
            page = answer.results(_page, bare=True)
            found += answer.read(lambda items: [reader(i) for i in items], page["data"])
            if not page["has_more"]:
                return found
            target = _next_page(url, page["url"])
            if target is None:
                raise answer.unexpected("its next page is on another host")
            if target == url:
                raise answer.unexpected("it has more pages and does not say where")
            url = target
        raise answer.unexpected(f"it has more than {MAX_PAGES} pages")


def _check_category(category: Json) -> None:
    data_format = category.get("data_format")
    one_of(*DATA_FORMATS)("category_properties.data_format", data_format)
    fields = {
        "data_format": one_of(*DATA_FORMATS),
        "compression": or_null(one_of("none", "gzip")),
    }
    required = ["data_format"]
    if data_format in _REMAPS:
        fields["property_remap"] = _REMAPS[data_format]
        required.append("property_remap")
    shaped(fields, required)("category_properties", category)


def _page(value: Any) -> Json:
    if isinstance(value, list):
        return {"data": value, "has_more": False, "url": ""}
    data = as_object(value, "a page")
    return {
        "data": as_list(data.get("data"), "data"),
        "has_more": get_bool(data, "has_more"),
        "url": get_text(data, "url"),
    }


def _next_page(url: str, said: str) -> str | None:
    try:
        target = urljoin(url, said)
        return target if origin(target) == origin(url) else None
    except ValueError:
        return None


def read_connector(value: Any) -> Connector:
    """A connector out of its JSON, fresh or stored. Raises Mismatch."""
    data = as_object(value, "a connector")
    return Connector(
        id=get_key(data, "connector_id", "connectorId"),
        label=get_text(data, "label"),
        connector_type=get_key(data, "connector_type"),
        connector_properties=get_object(data, "connector_properties"),
        category_properties=get_object(data, "category_properties"),
        status=get_text(data, "status"),
        failure_message=get_text(data, "failure_message"),
        created_at=get_time(data, "created_at"),
        created_by=get_person(data.get("created_by")),
        raw=data,
    )


def _run(value: Any) -> ConnectorRun:
    data = as_object(value, "a run")
    status = data.get("status")
    counters = get_object(data, "connector_properties")
    error = data.get("error")
    error = {"message": error} if isinstance(error, str) else get_object(data, "error")
    return ConnectorRun(
        remote_id=get_text(data, "id", "run_id"),
        state=normalise_run_state(status),
        raw_state="" if status is None else str(status)[:100],
        started_at=get_time(data, "start_time"),
        ended_at=get_time(data, "end_time"),
        progress=get_float(data, "progress"),
        error_message=get_text(error, "message"),
        error_code=get_text(error, "code", "type"),
        num_events_imported=get_int(counters, "num_events_imported"),
        num_events_processed=get_int(counters, "num_events_processed"),
        num_events_dropped=get_int(counters, "num_events_dropped"),
        num_files_imported=get_int(counters, "num_files_imported"),
        size_imported=get_int(counters, "size_imported"),
        raw=data,
    )
