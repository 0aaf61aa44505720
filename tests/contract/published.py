"""What Mixpanel publishes about its requests, written out by hand.

A shape is a type name, a tuple of allowed values, a list of one shape, or an Object.
"?" before a shape means that null is allowed too.
"""

import json
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote


@dataclass
class Object:
    required: dict = field(default_factory=dict)
    optional: dict = field(default_factory=dict)
    closed: bool = True


@dataclass
class OneOf:
    shapes: tuple


@dataclass
class MapOf:
    shape: object


@dataclass
class Nullable:
    shape: object


@dataclass
class Endpoint:
    method: str
    path: str
    query: dict = field(default_factory=dict)
    optional_query: dict = field(default_factory=dict)
    body: object = None
    content_types: tuple = ("application/json",)
    body_may_be_missing: bool = False
    # Not in Mixpanel's published specifications, but used by other clients.
    undocumented: bool = False


ANYTHING = Object(closed=False)

RUN_EVERY = (0, 3600000000000, 86400000000000, 604800000000000)
SYNC_MODES = ("time_based", "mirror_mode", "full_sync", "one_time")

CLUSTER = Object(
    optional={
        "spark_version": "string",
        "node_type_id": "string",
        "driver_node_type_id": Nullable("string"),
        "num_workers": "integer",
        "autoscale": Nullable(
            Object(optional={"min_workers": "integer", "max_workers": "integer"})
        ),
        "spark_conf": Nullable(MapOf("string")),
        "spark_env_vars": Nullable(MapOf("string")),
        "data_security_mode": Nullable(
            (
                "USER_ISOLATION",
                "SINGLE_USER",
                "NONE",
                "LEGACY_TABLE_ACL",
                "LEGACY_PASSTHROUGH",
                "LEGACY_SINGLE_USER",
                "LEGACY_SINGLE_USER_STANDARD",
            )
        ),
        "single_user_name": Nullable("string"),
        "custom_tags": Nullable(MapOf("string")),
        "policy_id": Nullable("string"),
        "instance_pool_id": Nullable("string"),
        "driver_instance_pool_id": Nullable("string"),
        "enable_elastic_disk": Nullable("boolean"),
        "runtime_engine": Nullable(("STANDARD", "PHOTON")),
        "aws_attributes": Nullable(ANYTHING),
        "azure_attributes": Nullable(ANYTHING),
        "gcp_attributes": Nullable(ANYTHING),
        "init_scripts": Nullable([ANYTHING]),
    }
)
DATABRICKS = Nullable(Object(optional={"export_cluster_config": Nullable(CLUSTER)}))

EVENT_STREAM = Object(
    required={
        "import_type": ("event_stream",),
        "warehouse_source_id": "integer",
        "table_params": ANYTHING,
        "time_column_name": "string",
        "sync_mode": SYNC_MODES,
    },
    optional={
        "event_name": "string",
        "event_column_name": "string",
        "user_column_name": "string",
        "company_column_name": "string",
        "device_column_name": Nullable("string"),
        "json_properties_column_name": Nullable("string"),
        "run_every": RUN_EVERY,
        "insert_time_column_name": Nullable("string"),
        "property_mappings": Nullable(MapOf("string")),
        "databricks_params": DATABRICKS,
    },
)
PEOPLE = Object(
    required={
        "import_type": ("people",),
        "warehouse_source_id": "integer",
        "table_params": ANYTHING,
        "user_column_name": "string",
        "sync_mode": SYNC_MODES,
    },
    optional={
        "json_properties_column_name": Nullable("string"),
        "run_every": RUN_EVERY,
        "insert_time_column_name": Nullable("string"),
        "property_mappings": Nullable(MapOf("string")),
        "databricks_params": DATABRICKS,
    },
)
GROUPS = Object(
    required={
        "import_type": ("groups",),
        "warehouse_source_id": "integer",
        "table_params": ANYTHING,
        "group_key": "string",
        "group_id_column": "string",
        "sync_mode": SYNC_MODES,
    },
    optional={
        "run_every": RUN_EVERY,
        "insert_time_column_name": Nullable("string"),
        "json_properties_column_name": Nullable("string"),
        "property_mappings": Nullable(MapOf("string")),
        "databricks_params": DATABRICKS,
    },
)
LOOKUP_TABLE = Object(
    required={
        "import_type": ("lookup_table",),
        "warehouse_source_id": "integer",
        "table_params": ANYTHING,
        "mixpanel_property": Object(
            required={"value": "string", "resourceType": ("event", "user")},
            optional={"customPropertyId": Nullable("integer")},
        ),
        "property_key_column_name": "string",
        "sync_mode": ("full_sync", "one_time"),
    },
    optional={"run_every": RUN_EVERY, "databricks_params": DATABRICKS},
)

GCS = Object(
    required={"gcs_bucket": "string", "gcs_prefix": "string"},
    # In Mixpanel's samples, though not in its schema.
    optional={"gcs_region": "string"},
)
S3 = Object(
    required={
        "s3_role": "string",
        "s3_bucket": "string",
        "s3_region": (
            "us-east-2",
            "us-east-1",
            "us-west-1",
            "us-west-2",
            "ap-south-1",
            "ap-northeast-3",
            "ap-northeast-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-northeast-1",
            "ca-central-1",
            "cn-north-1",
            "cn-northwest-1",
            "eu-central-1",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "eu-north-1",
            "sa-east-1",
        ),
        "s3_prefix": "string",
    }
)
COMPRESSION = {"compression": Nullable(("none", "gzip"))}
CATEGORY = OneOf(
    (
        Object(
            required={
                "data_format": ("mixpanel_event", "mixpanel_group", "mixpanel_people")
            },
            optional=COMPRESSION,
        ),
        Object(
            required={
                "data_format": ("remap_event",),
                "property_remap": Object(
                    required={
                        "event_name": "string",
                        "time": "string",
                        "distinct_id": "string",
                    },
                    optional={
                        "$insert_id": Nullable("string"),
                        "ip": Nullable("string"),
                    },
                ),
            },
            optional=COMPRESSION,
        ),
        Object(
            required={
                "data_format": ("remap_people",),
                "property_remap": Object(required={"$distinct_id": "string"}),
            },
            optional=COMPRESSION,
        ),
        Object(
            required={
                "data_format": ("remap_group",),
                "property_remap": Object(
                    required={"$group_key": "string", "$group_id": "string"}
                ),
            },
            optional=COMPRESSION,
        ),
    )
)
CONNECTOR = OneOf(
    tuple(
        Object(
            required={
                "connector_type": (kind,),
                "connector_properties": properties,
                "category_properties": CATEGORY,
            },
            optional={"label": "string"},
        )
        for kind, properties in (("gcsImport", GCS), ("s3Import", S3))
    )
)

ROLES = ("owner", "admin", "analyst", "consumer")
PROJECT_ROLE = Object(required={"id": "integer", "role": ROLES})

SCHEMA = Object(
    optional={
        "description": "string",
        "properties": MapOf(
            Object(
                required={
                    "type": (
                        "array",
                        "boolean",
                        "integer",
                        "null",
                        "number",
                        "object",
                        "string",
                    )
                },
                optional={
                    "description": "string",
                    "metadata": Object(
                        optional={
                            "com.mixpanel": Object(
                                optional={
                                    "displayName": "string",
                                    "hidden": "boolean",
                                    "dropped": "boolean",
                                }
                            )
                        }
                    ),
                },
            )
        ),
        "metadata": Object(
            optional={
                "com.mixpanel": Object(
                    optional={
                        "$source": "string",
                        "displayName": "string",
                        "tags": ["string"],
                        "hidden": "boolean",
                        "dropped": "boolean",
                        "contacts": ["string"],
                        "teamContacts": ["string"],
                    }
                )
            }
        ),
    }
)
SCHEMAS = Object(
    required={
        "entries": [
            Object(
                required={
                    "entityType": ("event", "profile"),
                    "name": "string",
                    "schemaJson": SCHEMA,
                }
            )
        ]
    },
    optional={"truncate": "boolean"},
)

EVENT = Object(
    required={
        "event": "string",
        "properties": Object(
            required={
                "time": "integer",
                "$insert_id": "string",
                "distinct_id": "string",
            },
            closed=False,
        ),
    }
)
TRACKED = Object(
    required={
        "event": "string",
        "properties": Object(required={"token": "string"}, closed=False),
    }
)
PROFILE = Object(required={"$token": "string", "$distinct_id": "string"}, closed=False)
GROUP = Object(
    required={"$token": "string", "$group_key": "string", "$group_id": "string"},
    closed=False,
)
FLAG = ("0", "1")

P = "/api/app/projects/{number}"
O = "/api/app/organizations/{number}"  # noqa: E741
IMPORTS = P + "/warehouse-sources/imports"
SOURCES = P + "/warehouse-sources/sources"
TABLES = P + "/data-definitions/lookup-tables/"

ENDPOINTS = [
    Endpoint("GET", "/api/app/me", undocumented=True),
    Endpoint(
        "GET",
        "/api/query/events/names",
        query={"project_id": "integer", "type": ("general", "unique", "average")},
        optional_query={"limit": "integer"},
    ),
    # Warehouse sources
    Endpoint("GET", SOURCES, undocumented=True),
    Endpoint(
        "POST",
        SOURCES,
        body=Object(
            required={
                "warehouse_type": (
                    "bigquery",
                    "snowflake",
                    "redshift",
                    "databricks",
                    "postgres",
                )
            },
            optional={"source_name": "string"},
            closed=False,
        ),
        undocumented=True,
    ),
    Endpoint("GET", SOURCES + "/{number}", undocumented=True),
    Endpoint("PATCH", SOURCES + "/{number}", body=ANYTHING, undocumented=True),
    Endpoint("DELETE", SOURCES + "/{number}", undocumented=True),
    # Warehouse imports
    Endpoint("GET", IMPORTS),
    Endpoint("GET", IMPORTS + "/{number}"),
    Endpoint(
        "PATCH",
        IMPORTS + "/{number}",
        body=Object(
            required={"paused": "boolean", "run_every": RUN_EVERY},
            optional={"databricks_params": DATABRICKS},
        ),
    ),
    Endpoint(
        "DELETE",
        IMPORTS + "/{number}",
        body=Object(optional={"delete_data": "boolean"}),
        body_may_be_missing=True,
    ),
    Endpoint("POST", IMPORTS + "/event-stream", body=EVENT_STREAM),
    Endpoint("POST", IMPORTS + "/people", body=PEOPLE),
    Endpoint("POST", IMPORTS + "/groups", body=GROUPS),
    Endpoint("POST", IMPORTS + "/lookup-table", body=LOOKUP_TABLE),
    Endpoint("PUT", IMPORTS + "/{number}/manual-sync", body=Object()),
    Endpoint("GET", IMPORTS + "/{number}/history"),
    # Cloud connectors
    Endpoint("GET", P + "/connectors"),
    Endpoint("POST", P + "/connectors", body=CONNECTOR),
    Endpoint("GET", P + "/connectors/{uuid}"),
    Endpoint("DELETE", P + "/connectors/{uuid}"),
    Endpoint("GET", P + "/connectors/{uuid}/history"),
    # Service accounts
    Endpoint("GET", O + "/service-accounts"),
    Endpoint(
        "POST",
        O + "/service-accounts",
        body=Object(
            required={"username": "string"},
            optional={"role": ROLES, "expires": "date-time", "projects": [PROJECT_ROLE]},
        ),
    ),
    Endpoint("GET", O + "/service-accounts/{number}"),
    Endpoint("DELETE", O + "/service-accounts/{number}"),
    Endpoint("GET", P + "/service-accounts"),
    Endpoint(
        "POST",
        O + "/service-accounts/add-to-project",
        body=Object(
            required={"projects": [PROJECT_ROLE], "service_account_ids": ["integer"]}
        ),
    ),
    Endpoint(
        "POST",
        O + "/service-accounts/remove-from-project",
        body=Object(
            required={
                "projects": [
                    Object(
                        required={"id": "integer", "service_account_ids": ["integer"]}
                    )
                ]
            }
        ),
    ),
    # Projects
    Endpoint("GET", O + "/projects/", undocumented=True),
    Endpoint(
        "POST",
        O + "/create-projects/",
        body=Object(required={"projectNames": ["string"]}),
        undocumented=True,
    ),
    Endpoint(
        "POST",
        O + "/delete-projects/",
        body=Object(required={"projectIds": ["integer"]}),
        undocumented=True,
    ),
    Endpoint("GET", P + "/workspaces", undocumented=True),
    # Lexicon schemas
    Endpoint("GET", P + "/schemas"),
    Endpoint("POST", P + "/schemas", body=SCHEMAS),
    Endpoint("DELETE", P + "/schemas"),
    Endpoint(
        "GET", P + "/schemas/{entity}", optional_query={"entity_name": "string"}
    ),
    Endpoint(
        "DELETE", P + "/schemas/{entity}", optional_query={"entity_name": "string"}
    ),
    Endpoint("GET", P + "/schemas/{entity}/{text}"),
    Endpoint("POST", P + "/schemas/{entity}/{text}", body=SCHEMA),
    Endpoint("DELETE", P + "/schemas/{entity}/{text}"),
    # Ingestion
    Endpoint(
        "POST",
        "/import",
        query={"strict": FLAG},
        optional_query={"project_id": "integer"},
        body=[EVENT],
        content_types=("application/json", "application/x-ndjson"),
    ),
    Endpoint(
        "POST", "/track", optional_query={"ip": FLAG, "verbose": FLAG}, body=[TRACKED]
    ),
    Endpoint(
        "POST",
        "/engage",
        optional_query={"ip": FLAG, "strict": FLAG, "verbose": FLAG},
        body=[PROFILE],
    ),
    Endpoint(
        "POST",
        "/groups",
        optional_query={"ip": FLAG, "strict": FLAG, "verbose": FLAG},
        body=[GROUP],
    ),
    Endpoint("GET", "/lookup-tables", query={"project_id": "integer"}),
    Endpoint(
        "PUT",
        "/lookup-tables/{uuid}",
        query={"project_id": "integer"},
        body="csv",
        content_types=("text/csv",),
    ),
    # Lookup tables in the App API
    Endpoint("GET", TABLES, optional_query={"data-group-id": "int64"}, undocumented=True),
    Endpoint(
        "POST",
        TABLES,
        body=Object(
            required={"name": "string", "path": "string", "key": "string"},
            optional={"data-group-id": "string"},
        ),
        content_types=("application/x-www-form-urlencoded",),
        undocumented=True,
    ),
    Endpoint(
        "DELETE",
        TABLES,
        body=Object(required={"data-group-ids": ["integer"]}),
        undocumented=True,
    ),
    Endpoint(
        "GET", TABLES + "upload-url/", query={"content-type": ("text/csv",)},
        undocumented=True,
    ),
    Endpoint(
        "GET", TABLES + "upload-status/", query={"upload-id": "string"}, undocumented=True
    ),
    Endpoint(
        "PUT", "/_uploads/{text}", body="csv", content_types=("text/csv",),
        undocumented=True,
    ),
]  # fmt: skip

_PARTS = {
    "{number}": r"[1-9]\d{0,18}",
    "{uuid}": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "{entity}": r"(event|profile)",
    "{text}": r"[^/?#]+",
}


def find_endpoint(method, path):
    """The endpoint of a request, or None if Mixpanel knows no such one."""
    for endpoint in ENDPOINTS:
        pattern = re.escape(endpoint.path).replace(r"\{", "{").replace(r"\}", "}")
        for name, expression in _PARTS.items():
            pattern = pattern.replace(name, expression)
        if endpoint.method == method and re.fullmatch(pattern, path):
            return endpoint
    return None


def problems_with(call, content_type):
    """What is wrong with a request from the sandbox's ledger, in words."""
    endpoint = find_endpoint(call["method"], call["path"])
    if endpoint is None:
        return [f"no such endpoint: {call['method']} {unquote(call['path'])}"]
    found = []
    known = {**endpoint.query, **endpoint.optional_query}
    for name, value in call["query"].items():
        if name not in known:
            found.append(f"query {name} is unknown")
        else:
            found += _mismatches(
                f"query {name}", _number(value, known[name]), known[name]
            )
    found += [
        f"query {name} is missing"
        for name in endpoint.query
        if name not in call["query"]
    ]
    body = _body(call["body"], content_type)
    if endpoint.body is None:
        if body not in ("", None) or content_type:
            found.append(f"a body where none belongs: {body!r} {content_type}")
        return found
    if body in ("", None) and endpoint.body_may_be_missing:
        return found
    if content_type not in endpoint.content_types:
        found.append(f"content type {content_type!r}")
    return found + _mismatches("body", body, endpoint.body)


def _number(text, shape):
    return int(text) if shape == "integer" and text.isdigit() else text


def _body(body, content_type):
    if content_type == "application/x-www-form-urlencoded":
        return {name: values[0] for name, values in parse_qs(body).items()}
    if content_type == "application/x-ndjson":
        # A single line is kept as JSON in the ledger, several are kept as text.
        return (
            [json.loads(line) for line in body.splitlines()]
            if isinstance(body, str)
            else [body]
        )
    return body


_TYPES = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "csv": lambda v: isinstance(v, str) and "," in v,
    "int64": lambda v: isinstance(v, str) and re.fullmatch(r"-?\d{1,19}", v),
    "date-time": lambda v: (
        isinstance(v, str)
        and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", v)
    ),
}


def _mismatches(where, value, shape):
    if isinstance(shape, Nullable):
        return [] if value is None else _mismatches(where, value, shape.shape)
    if isinstance(shape, OneOf):
        tries = [_mismatches(where, value, one) for one in shape.shapes]
        return min(tries, key=len)
    if isinstance(shape, tuple):
        same = [one for one in shape if type(one) is type(value) and one == value]
        return [] if same else [f"{where} is {value!r}, not one of {shape}"]
    if isinstance(shape, str):
        return [] if _TYPES[shape](value) else [f"{where} is {value!r}, not {shape}"]
    if isinstance(shape, list):
        if not isinstance(value, list) or not value:
            return [f"{where} is {value!r}, not a list with something in it"]
        return sum(
            (_mismatches(f"{where}[{i}]", v, shape[0]) for i, v in enumerate(value)), []
        )
    if not isinstance(value, dict):
        return [f"{where} is {value!r}, not an object"]
    if isinstance(shape, MapOf):
        return sum(
            (_mismatches(f"{where}.{k}", v, shape.shape) for k, v in value.items()), []
        )
    found = [f"{where}.{key} is missing" for key in shape.required if key not in value]
    known = {**shape.required, **shape.optional}
    for key, item in value.items():
        if key in known:
            found += _mismatches(f"{where}.{key}", item, known[key])
        elif shape.closed:
            found.append(f"{where}.{key} is unknown")
    return found
