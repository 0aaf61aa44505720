"""Sync modes, what each does to rows and to the bill, and every rule of an import.

`check_import` is the one list of rules that form, API, command and worker run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mixadmin.common.rules import (
    Field,
    Finding,
    any_of,
    check_fields,
    check_int,
    check_json,
    given,
    json_type_name,
    lookup,
    prefixed,
    unknown_keys,
)
from mixadmin.warehouse.databricks import check_cluster_config
from mixadmin.warehouse.kinds import (
    DAY,
    FREQUENCIES,
    HOUR,
    KINDS,
    MIRROR_RUN_EVERY_DAYS,
    WAREHOUSES,
    Kind,
    Warehouse,
    frequency_of,
)


@dataclass(frozen=True, slots=True)
class SyncMode:
    """One sync mode, by Mixpanel's name in its pages, and what it does."""

    slug: str
    label: str
    summary: str
    new_rows: str
    changed_rows: str
    deleted_rows: str
    removes_properties: bool
    billed: str


SYNC_MODES: dict[str, SyncMode] = {
    "time_based": SyncMode(
        slug="time_based",
        label="Append",
        summary="Each run adds the rows with a later insert time than any row before.",
        new_rows="Added if their insert time is later than the latest one so far. A "
        "row that arrives with an older insert time is never read.",
        changed_rows="Not seen.",
        deleted_rows="Not seen.",
        removes_properties=False,
        billed="Each event. Profiles are free.",
    ),
    "mirror_mode": SyncMode(
        slug="mirror_mode",
        label="Mirror",
        summary="Each run makes Mixpanel equal to the table.",
        new_rows="Added.",
        changed_rows="Changed.",
        deleted_rows="Deleted.",
        removes_properties=True,
        billed="Each row that is added, changed or deleted.",
    ),
    "full_sync": SyncMode(
        slug="full_sync",
        label="Full",
        summary="Each run sends the whole table.",
        new_rows="Added.",
        changed_rows="Overwritten. A property that is gone from the table stays.",
        deleted_rows="Not seen. Their profiles stay.",
        removes_properties=False,
        billed="Profiles are free. Your warehouse reads the whole table each time.",
    ),
    "one_time": SyncMode(
        slug="one_time",
        label="One-Time",
        summary="One run sends the whole table, and there is no other.",
        new_rows="Sent once.",
        changed_rows="Not seen.",
        deleted_rows="Not seen.",
        removes_properties=False,
        billed="Each event. Profiles are free.",
    ),
}

# Columns that Mirror makes in Redshift for itself.
REDSHIFT_RESERVED = ("_mp_row_hash", "_mp_change_type")
# BigQuery's pseudo columns of tables that are partitioned by ingestion time.
BIGQUERY_PSEUDO = ("_partitiontime", "_partitiondate")
# The data set that Google Analytics 4 makes for its export.
GA4_DATASET = re.compile(r"analytics_[0-9]{4,}")

DATABRICKS_FIELDS = (Field("export_cluster_config", "Cluster config", kind="json"),)


def effective_run_every(sync_mode: object, run_every: int | None) -> int | None:
    """The frequency to send: a One-Time import has none, whatever was chosen."""
    return 0 if sync_mode == "one_time" else run_every


def consequences(
    sync_mode: object, warehouse_type: object, run_every: object
) -> list[str]:
    """What an import that is created will do, load and cost, a sentence each."""
    mode, warehouse = lookup(SYNC_MODES, sync_mode), lookup(WAREHOUSES, warehouse_type)
    if mode is None:
        return []
    found = [mode.summary]
    if run_every == 0 and mode.slug != "one_time":
        found.append(
            "Nothing runs by itself: each run is asked for, here or by a tool."
        )
    else:
        found.append(
            "The first run starts soon after it is created, and loads the whole table. "
            "How many rows that are is not known before."
        )
    found.append(f"Billed: {mode.billed[0].lower()}{mode.billed[1:]}")
    if mode.removes_properties:
        found.append("A property that is gone from the table goes in Mixpanel, too.")
    if mode.slug == "mirror_mode" and warehouse and warehouse.mirror:
        facts = warehouse.mirror
        found += [
            f"Mirror on {warehouse.label} needs: {facts.prerequisite}.",
            f"It dies {facts.dies_after_days} days after its last successful run: "
            f"{facts.dies_why}.",
        ]
    return found


def check_import(
    *,
    kind: object,
    sync_mode: object,
    warehouse_type: object,
    table_params: object,
    fields: object,
    run_every: object,
    databricks_params: object = None,
    b2b: bool = False,
    is_view: bool | None = None,
    compute_type: str = "",
) -> list[Finding]:
    """Every rule of a new warehouse import.

    fields: the values of the kind's own fields (`KINDS[kind].fields`), nothing else.
    run_every: nanoseconds. A One-Time import may leave it out, and any frequency is
        accepted for it because 0 is sent: see `effective_run_every`.
    b2b: the project is a B2B project. is_view: whether the table is a view, None when
        not known. compute_type: of a Databricks source, "" when not known.

    Errors would be refused or would lose data. Warnings have one of these codes:
    events_full_sync, people_mirror_needs_history, groups_mirror_needs_history,
    mirror_on_view, mirror_triggered_only, hourly_full_scan, insert_time_unused,
    ga4_daily_only, and those of the cluster config: num_workers_and_autoscale,
    single_user_name_unused, node_type_beside_pool, no_node_type.
    """
    found_kind = lookup(KINDS, kind)
    warehouse = lookup(WAREHOUSES, warehouse_type)
    mode = lookup(SYNC_MODES, sync_mode)
    findings: list[Finding] = []
    if warehouse is None:
        message = f"Unknown warehouse type. Use {any_of(WAREHOUSES)}."
        findings.append(Finding("warehouse_type", message, "choice"))
    if mode is None:
        message = f"Choose a sync mode: {any_of(SYNC_MODES)}."
        findings.append(Finding("sync_mode", message, "choice"))
    findings += check_table_params(table_params)
    findings += check_run_every(sync_mode, run_every)
    findings += check_databricks_params(
        warehouse_type, databricks_params, compute_type=compute_type
    )
    creatable = [slug for slug, entry in KINDS.items() if entry.creatable]
    if found_kind is None:
        message = f"Choose what to import: {any_of(creatable)}."
        return [Finding("kind", message, "choice"), *findings]
    if not found_kind.creatable:
        message = (
            f"Mixpanel's API cannot create “{found_kind.label}” imports. Create it in "
            f"Mixpanel and adopt it here, or use {any_of(creatable)}."
        )
        return [Finding("kind", message, "not_creatable"), *findings]
    findings += check_kind_fields(found_kind, fields, b2b=b2b)
    if mode is not None:
        if isinstance(fields, Mapping):
            findings += _check_mode_fields(mode, warehouse, found_kind, fields)
        findings += _check_matrix(found_kind, mode, warehouse, is_view)
        findings += _check_schedule(mode, warehouse, table_params, run_every)
    return findings


def check_table_params(value: object) -> list[Finding]:
    """Where the table is: a JSON object with at least one key, else free."""
    if value is None or value == "" or value == {}:
        message = "Say where the table is, for example schema and table."
        return [Finding("table_params", message, "required")]
    return check_json(value, "table_params")


def check_run_every(sync_mode: object, run_every: object) -> list[Finding]:
    """How often, in nanoseconds: one of four values. One-Time may leave it out."""
    if not given(run_every):
        if sync_mode == "one_time":
            return []
        message = "Choose how often the import runs."
        return [Finding("run_every", message, "required")]
    if findings := check_int("run_every", run_every):
        return findings
    if frequency_of(run_every) is None:
        choices = any_of(f"{f.nanoseconds} ({f.label.lower()})" for f in FREQUENCIES)
        message = f"Mixpanel accepts only {choices}, in nanoseconds."
        return [Finding("run_every", message, "choice")]
    return []


def check_databricks_params(
    warehouse_type: object, value: object, *, compute_type: str = ""
) -> list[Finding]:
    """Check {"export_cluster_config": {…}}. None and {} are none."""
    if value is None or value == {}:
        return []
    name = "databricks_params"
    if lookup(WAREHOUSES, warehouse_type) and warehouse_type != "databricks":
        message = "Only for imports from Databricks. Remove it."
        return [Finding(name, message, "not_used")]
    if compute_type == "all_purpose":
        message = (
            "Only for sources with Jobs compute; this source uses All-Purpose compute. "
            "Remove it."
        )
        return [Finding(name, message, "not_used")]
    if not isinstance(value, Mapping):
        message = f"Must be a JSON object, not {json_type_name(value)}."
        return [Finding(name, message, "type")]
    findings = prefixed(name, unknown_keys(value, ["export_cluster_config"]))
    config = check_cluster_config(value.get("export_cluster_config"))
    return findings + prefixed(f"{name}.export_cluster_config", config)


def check_kind_fields(kind: Kind, fields: object, *, b2b: bool) -> list[Finding]:
    """The fields of one kind: which there are, which are needed, which exclude others.

    A field of another kind is refused by name, with that kind.
    """
    owners: dict[str, list[str]] = {}
    for other in KINDS.values():
        for field in other.fields:
            owners.setdefault(field.name, []).append(f"“{other.label}”")
    elsewhere = {
        name: f"It belongs to imports of {any_of(labels)}. Remove it."
        for name, labels in owners.items()
    }
    findings = check_fields(kind.fields, fields, elsewhere=elsewhere)
    if not isinstance(fields, Mapping):
        return [Finding("fields", finding.message, "type") for finding in findings]
    if kind.slug == "event_stream":
        name, column = fields.get("event_name"), fields.get("event_column_name")
        if given(name) and given(column):
            message = "Give an event name or an event name column, not both."
            findings.append(Finding("event_column_name", message, "exclusive"))
        elif not given(name) and not given(column):
            message = "Give an event name, or the column that holds it."
            findings.append(Finding("event_name", message, "required"))
        if b2b and not given(fields.get("company_column_name")):
            message = "Company column is required in a B2B project."
            findings.append(Finding("company_column_name", message, "required"))
    return findings


def _check_mode_fields(
    mode: SyncMode, warehouse: Warehouse | None, kind: Kind, values: Mapping[str, Any]
) -> list[Finding]:
    """What the sync mode asks of the columns."""
    findings = []
    name = "insert_time_column_name"
    insert_time = values.get(name)
    if kind.field(name) and mode.slug in kind.sync_modes:
        if mode.slug == "time_based" and not given(insert_time):
            message = "Append needs the insert time column: it finds new rows by it."
            findings.append(Finding(name, message, "required"))
        elif mode.slug != "time_based" and given(insert_time):
            message = (
                f"Only Append reads the insert time column; {mode.label} ignores it, "
                "though Mixpanel's API accepts it. Leave it empty."
            )
            code = "insert_time_unused"
            findings.append(Finding(name, message, code, warning=True))
    slug = warehouse.slug if warehouse else ""
    if (
        slug == "bigquery"
        and isinstance(insert_time, str)
        and insert_time.strip().lower() in BIGQUERY_PSEUDO
    ):
        message = (
            "BigQuery's ingestion-time partition cannot be used. Choose a real column."
        )
        findings.append(Finding(name, message, "reserved"))
    if slug == "redshift" and mode.slug == "mirror_mode":
        findings += _check_reserved(kind, values)
    return findings


def _check_reserved(kind: Kind, values: Mapping[str, Any]) -> list[Finding]:
    """Columns that Mirror makes in Redshift for itself."""
    findings = []
    for field in kind.fields:
        value = values.get(field.name)
        columns = list(value) if isinstance(value, Mapping) else [value]
        for column in columns:
            if isinstance(column, str) and column.lower() in REDSHIFT_RESERVED:
                message = f"Mirror on Redshift uses “{column}” itself. Rename it."
                findings.append(Finding(field.name, message, "reserved"))
    return findings


def _check_matrix(
    kind: Kind, mode: SyncMode, warehouse: Warehouse | None, is_view: bool | None
) -> list[Finding]:
    """Which modes go with which kind, warehouse and sort of table."""
    field = "sync_mode"
    if mode.slug not in kind.sync_modes:
        labels = any_of(SYNC_MODES[slug].label for slug in kind.sync_modes)
        message = f"“{kind.label}” imports can only use {labels}."
        return [Finding(field, message, "mode_for_kind")]
    if mode.slug == "full_sync" and kind.slug == "event_stream":
        message = (
            "Mixpanel's API documentation lists Full for events; its guide says that "
            "Full is for everything but events. Mixpanel may refuse it, or import "
            "events again on each run. Use Append or Mirror."
        )
        return [Finding(field, message, "events_full_sync", warning=True)]
    if mode.slug != "mirror_mode" or warehouse is None:
        return []
    if warehouse.mirror is None:
        message = f"{warehouse.label} has no Mirror. Use Append, Full or One-Time."
        return [Finding(field, message, "mode_for_warehouse")]
    findings = []
    if kind.slug in ("people", "groups"):
        what = "user" if kind.slug == "people" else "group"
        message = (
            f"Mixpanel's API documentation lists Mirror for {what} profiles; its guide "
            "has it only for history tables of Enterprise plans, and those can be set "
            "up in Mixpanel only. Use Full."
        )
        code = f"{kind.slug}_mirror_needs_history"
        findings.append(Finding(field, message, code, warning=True))
    if is_view and not warehouse.mirror.views:
        said = (
            f"Mixpanel's guide says that Mirror on {warehouse.label} works with tables "
            "only"
            if warehouse.mirror.views is False
            else f"Mixpanel does not say whether Mirror on {warehouse.label} works "
            "with views"
        )
        message = f"{said}; its API accepts a view. Give a table, or use Append."
        findings.append(Finding(field, message, "mirror_on_view", warning=True))
    return findings


def _check_schedule(
    mode: SyncMode, warehouse: Warehouse | None, table_params: object, run_every: object
) -> list[Finding]:
    """Frequencies that are allowed but cost or break something."""
    field = "run_every"
    frequency = frequency_of(run_every)
    if mode.slug == "one_time" or frequency is None:
        return []
    findings = []
    if mode.slug == "mirror_mode" and run_every == 0:
        days = warehouse.mirror.dies_after_days if warehouse and warehouse.mirror else 0
        limit = f" and on {warehouse.label} dies after {days}" if warehouse else ""
        message = (
            f"Mirror must run at least every {MIRROR_RUN_EVERY_DAYS} days"
            f"{limit if days else ''}. Nothing runs by itself with this choice. Choose "
            "weekly or more often, or make sure that something triggers it."
        )
        code = "mirror_triggered_only"
        findings.append(Finding(field, message, code, warning=True))
    if mode.slug == "full_sync" and run_every == HOUR:
        message = (
            "Mixpanel accepts it, but your warehouse reads, and bills, the whole table "
            "24 times a day. Choose daily unless the table is small."
        )
        findings.append(Finding(field, message, "hourly_full_scan", warning=True))
    ga4 = warehouse is not None and warehouse.slug == "bigquery" and run_every != DAY
    if ga4 and _is_ga4(table_params):
        message = (
            "This looks like a Google Analytics 4 export. Mixpanel's guide has daily "
            "only for it; its API accepts the others. Choose daily."
        )
        findings.append(Finding(field, message, "ga4_daily_only", warning=True))
    return findings


def _is_ga4(table_params: object) -> bool:
    """Whether a part of the table's place is the dataset of a GA4 export."""
    if not isinstance(table_params, Mapping):
        return False
    parts = (
        part
        for value in table_params.values()
        if isinstance(value, str) and len(value) <= 1024
        for part in value.split(".")
    )
    return any(GA4_DATASET.fullmatch(part) for part in parts)


# --- How long a Mirror import lives ---------------------------------------------------

WARN_AFTER = timedelta(days=7)
ALARM_AFTER = timedelta(days=12)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a Mirror import dies unless it runs.

    days_left: whole days until then, 0 on the last day, negative after.
    level: "ok", "warn" (7 days without a run), "alarm" (12 days), "dead".
    """

    dies_at: datetime
    days_left: int
    level: str
    why: str


def mirror_deadline(
    warehouse_type: object,
    last_run_at: datetime | None,
    *,
    now: datetime | None = None,
) -> Deadline | None:
    """When a Mirror import dies after its last successful run, both times aware.

    None when it never ran, or when the warehouse has no Mirror. Warning and alarm
    follow Mixpanel's rule for all warehouses, one run in 14 days; the end follows the
    warehouse.
    """
    warehouse = lookup(WAREHOUSES, warehouse_type)
    if last_run_at is None or warehouse is None or warehouse.mirror is None:
        return None
    now = now or datetime.now(UTC)
    dies_at = last_run_at + timedelta(days=warehouse.mirror.dies_after_days)
    age = now - last_run_at
    if now >= dies_at:
        level = "dead"
    elif age >= ALARM_AFTER:
        level = "alarm"
    elif age >= WARN_AFTER:
        level = "warn"
    else:
        level = "ok"
    return Deadline(dies_at, (dies_at - now).days, level, warehouse.mirror.dies_why)
