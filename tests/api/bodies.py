"""Good bodies of every operation that reads one, and what is sent instead of them."""

from tests import make

BODIES = {
    "project_create": {
        "name": "A",
        "mixpanel_id": 5,
        "region": "us",
        "environment": "test",
        "token": "t",
        "organization_id": 1,
        "is_b2b": False,
        "service_account": None,
    },
    "project_partial_update": {
        "name": "Shop",
        "environment": "test",
        "token": "t",
        "organization_id": 1,
        "is_b2b": False,
        "service_account": None,
    },
    "project_destroy": {"typed_name": "no"},
    "member_set": {"username": "stranger", "role": "viewer"},
    "service_account_create": {
        "username": "u",
        "secret": "s",
        "region": "us",
        "organization_id": 1,
        "role": "r",
        "expires_at": None,
    },
    "service_account_partial_update": {
        "organization_id": 1,
        "role": "r",
        "expires_at": "2031-01-01T00:00:00Z",
    },
    "service_account_secret": {"secret": make.SECRET},
    "service_account_add_discovered": {"mixpanel_ids": [make.MIXPANEL_ID]},
    "organization_create": {
        "username": "robot",
        "role": "admin",
        "expires_at": None,
        "projects": [{"id": 5, "role": "admin"}],
    },
    "organization_membership": {"project_id": 5, "role": "admin", "remove": False},
    "warehouse_source_create": {
        "name": "Big",
        "warehouse_type": "bigquery",
        "connection": {"gcp_project_id": "acme-data"},
        "accepted_warnings": [],
    },
    "warehouse_source_partial_update": {
        "name": "Big",
        "connection": {"gcp_project_id": "acme-data"},
        "accepted_warnings": [],
    },
    "warehouse_source_destroy": {"typed_name": "no"},
    "warehouse_import_create": {
        "name": "Visits",
        "source": 1,
        "kind": "event_stream",
        "sync_mode": "time_based",
        "table_params": {"table": "visits"},
        "fields": {"event_name": "Visit", "time_column_name": "at"},
        "frequency": "daily",
        "databricks_params": None,
        "accepted_warnings": [],
    },
    "warehouse_import_destroy": {"typed_name": "no", "delete_data": True},
    "warehouse_import_frequency": {"frequency": "daily"},
    "warehouse_import_databricks_params": {
        "databricks_params": {"export_cluster_config": {}},
        "accepted_warnings": [],
    },
    "warehouse_import_rename": {"name": "Orders"},
    "adoption_create": {"remote_objects": [1]},
    "connector_create": {
        "label": "Visits",
        "connector_type": "gcsImport",
        "connector_properties": {"gcs_bucket": "acme", "gcs_prefix": "visits/"},
        "category_properties": {"data_format": "mixpanel_event"},
        "accepted_warnings": [],
    },
    "connector_destroy": {"typed_name": "no"},
    "connector_adopt": {"remote_objects": [1]},
    "upload_create": {"name": "a.json", "size": 10},
    "bucket_create": {
        "name": "Archive",
        "provider": "s3",
        "bucket": "acme",
        "prefix": "a/",
        "region": "eu-central-1",
        "credentials": {"access_key_id": "AKIA123", "secret_access_key": "s3"},
    },
    "bucket_partial_update": {
        "name": "Archive",
        "bucket": "acme",
        "prefix": "a/",
        "region": "eu-central-1",
    },
    "bucket_credentials": {
        "credentials": {"access_key_id": "A", "secret_access_key": "s"}
    },
    "bucket_destroy": {"typed_name": "no"},
    "lookup_version_roll_back": {"send_when_clean": False},
    "job_decide": {"choice": "again", "candidate": ""},
    "token_create": {"name": "a", "days": "30"},
}

# Sent as they are to every operation; test_reading.py has all the others.
HOSTILE = [
    b"[]",
    b"nonsense",
    b'{"a": 1, "a": 2}',
    b'{"name": "\\u0000"}',
    b"[" * 100_000,
    b'{"no_such_field": 1}',
]

DEEP: object = "bottom"
for _ in range(28):
    DEEP = {"deeper": DEEP}

# Put into each field in turn.
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**31,
    2**53,
    2**63,
    10**4000,
    "",
    " ",
    "x",
    "ü🙂‮",
    "\u2028line\r\n\tbreak\x7f",
    "%s{{ x }}<b>'\"",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "x" * 1_000_000,
    [],
    [None],
    [1, "x", {}],
    [2**70],
    ["x" * 100_000],
    list(range(2_000)),
    {},
    {"": ""},
    {"x": None},
    {"export_cluster_config": {"num_workers": -1, "autoscale": []}},
    {"table": 5, "dataset": ["x"]},
    {f"key{i}": i for i in range(2_000)},
    {"ü" * 500: "x" * 10_000},
    [{"id": 1, "role": "x"}, {"id": "1"}, 5],
    DEEP,
]
