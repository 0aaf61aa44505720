"""Every behaviour on which sources disagree, or which was invented, has one name."""

from typing import Any

# name -> the default. docs/sandbox.md tells what each value does and on what evidence.
SWITCHES: dict[str, Any] = {
    # time
    "speed": 1.0,
    "run_seconds": 3.0,
    "dispatch_seconds": 0.5,
    "purge_seconds": 5.0,
    # the App API as a whole
    "trailing_slash_301": False,
    "wrong_region_status": 403,
    "accounts_bound_to_region": False,
    "me_lists_all_regions": False,
    "reject_unknown_fields": True,
    "retry_after_on_429": 0,
    # warehouse
    "run_every_default": None,
    "time_unit": "s",
    "patch_requires_both": True,
    "events_full_sync": True,
    "manual_sync_limit": 5,
    "manual_sync_scope": "import",
    "manual_sync_when_busy": "refuse",
    "manual_sync_run_id": True,
    "delete_source_in_use": "refuse",
    "show_deleted_imports": False,
    "history_length": 30,
    # connectors
    "connector_success_word": "succeeded",
    "connector_run_id_key": "",
    "connector_id_key": "connector_id",
    "connector_created_by": "string",
    "connector_list_status": None,
    "connector_create_status": 201,
    "connector_delete_body": "results",
    "connector_times": "go",
    "connectors_closed_status": 403,
    "strict_s3_region": True,
    "max_file_bytes": 2_000_000_000,
    # service accounts
    "service_account_envelope": True,
    # ingestion
    "max_import_bytes": 10 * 1024 * 1024,
    "max_records": 2000,
    "too_many_records_status": 413,
    "failed_record_id_key": "insert_id",
    "events_per_minute": 1_800_000,
    "bytes_per_minute": 2_000_000_000,
    "ingestion_delay_ms": 0,
    "keep_events": True,
    # lookup tables
    "lookup_put_limit": 100,
    "lookup_put_scope": "table",
    "max_lookup_bytes": 100 * 1024 * 1024,
    "lookup_index_base": 0,
    "lookup_empty_list": None,
    "lookup_error_shape": "code",
    "lookup_async_bytes": 5 * 1024 * 1024,
    # schemas
    "schemas_per_minute": 5,
    "schemas_scope": "project",
    "max_schema_deletions": 3000,
    "schema_entities_per_minute": 4000,
}
