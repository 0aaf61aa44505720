"""What people do with warehouses and imports, and the jobs that make Mixpanel follow."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from mixadmin.accounts.models import User
from mixadmin.audit.actions import record
from mixadmin.common.clock import db_now
from mixadmin.common.crypto import Secret
from mixadmin.common.errors import Refused
from mixadmin.common.rules import Finding, clean_text
from mixadmin.common.states import Presence, RunState
from mixadmin.common.validation import merged, raise_for
from mixadmin.jobs import limits
from mixadmin.jobs.actions import start_polling
from mixadmin.jobs.models import Attempt, Job, JobQuerySet
from mixadmin.jobs.operations import Op
from mixadmin.jobs.registry import Candidate, Plan, job_task
from mixadmin.jobs.times import TIMES
from mixadmin.mixpanel import warehouse as wire
from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.errors import NotFound
from mixadmin.mixpanel.rehearsal import Rehearsed
from mixadmin.projects import access
from mixadmin.projects.managed import (
    digest,
    enqueue_for,
    is_given,
    no_longer_remote,
    note_last_run,
    read_again,
    require_active,
    require_adoptable,
    require_forgettable,
    require_typed,
    start_deleting,
    unless_success,
    without_empty,
)
from mixadmin.projects.models import Project, RemoteObject
from mixadmin.service_accounts.clients import for_job, rehearsed

from . import databricks
from .kinds import WAREHOUSES, check_source, frequency_label, nanoseconds
from .models import ImportRun, WarehouseImport, WarehouseSource
from .sync_modes import check_databricks_params, check_run_every, effective_run_every

POLL = "warehouse"
# Documented by Mixpanel: manual syncs in any hour. Whether that counts per import or
# per project is not said, so the stricter reading is kept.
MANUAL_SYNCS = 5
HOUR = 3_600.0
# How far the clocks of Mixpanel and ours may differ, in a comparison of start times.
SKEW = timedelta(seconds=5)


# --- Warehouses -----------------------------------------------------------------------


def create_source(
    *, project: Project, actor: User | None, **wanted: Any
) -> tuple[WarehouseSource, Job]:
    """Save a warehouse and queue its creation at Mixpanel. wanted: see `new_source`."""
    source = new_source(project=project, actor=actor, **wanted)
    with transaction.atomic():
        source.save()
        record(actor=actor, verb="asked to create", target=source)
        job = enqueue_for(
            source, actor, "warehouse.create_source", f"Create source {source.name}"
        )
    return source, job


def new_source(
    *,
    project: Project,
    actor: User | None,
    name: str,
    warehouse_type: str,
    connection: dict[str, Any],
    accepted_warnings: Iterable[str] = (),
) -> WarehouseSource:
    """What `create_source` saves, checked and not saved."""
    access.require(actor, project)
    clear, secret = split_connection(warehouse_type, connection)
    source = WarehouseSource(
        project=project,
        name=name,
        warehouse_type=warehouse_type,
        connection=clear,
        secrets=Secret(json.dumps(secret) if secret else ""),
        accepted_warnings=list(accepted_warnings),
    )
    source.full_clean()
    return source


def split_connection(
    warehouse_type: str, connection: object
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what may be shown, what is secret). A name that is not known is a secret."""
    if not isinstance(connection, Mapping):
        raise ValidationError({"connection": "Must be a JSON object."})
    known = WAREHOUSES.get(warehouse_type) if isinstance(warehouse_type, str) else None
    given = {k: v for k, v in connection.items() if v is not None and v != ""}
    if known is None:
        return {}, given
    secret = {name: value for name, value in given.items() if known.is_secret(name)}
    clear = {name: value for name, value in given.items() if name not in secret}
    return clear, secret


def change_source(
    *,
    source: WarehouseSource,
    actor: User | None,
    connection: dict[str, Any] | None = None,
    **wanted: Any,
) -> Job:
    """Queue another name or other connection values. What is left out stays.

    The row takes them over when Mixpanel has accepted them. wanted: see
    `changed_source`.
    """
    changed = changed_source(
        source=source, actor=actor, connection=connection, **wanted
    )
    clear, secret = split_connection(source.warehouse_type, connection or {})
    with transaction.atomic():
        pending = {"name": changed.name, "connection": clear, "secrets": secret}
        _set(
            source,
            pending=Secret(json.dumps(pending)),
            accepted_warnings=changed.accepted_warnings,
        )
        told: dict[str, Any] = {
            key: [str(source.connection.get(key, "")), str(value)]
            for key, value in clear.items()
        }
        told |= {key: ["set", "set anew"] for key in secret}
        if changed.name != source.name:
            told["name"] = [source.name, changed.name]
        record(actor=actor, verb="changed", target=changed, changes=told)
        # The job reads the values from the row, so that no secret is in its params.
        keys = sorted(clear | secret)
        return enqueue_for(
            changed,
            actor,
            "warehouse.change_source",
            f"Change source {changed.name}",
            {"rename": changed.name != source.name, "keys": keys},
        )


def changed_source(
    *,
    source: WarehouseSource,
    actor: User | None,
    name: str | None = None,
    connection: dict[str, Any] | None = None,
    accepted_warnings: Iterable[str] = (),
) -> WarehouseSource:
    """The warehouse as `change_source` would have it, checked and not saved."""
    access.require(actor, source.project)
    require_active(source)
    if _changes_of(source).unfinished().exists():
        raise Refused(
            "Another change of it is not finished. Wait for its end, or cancel it.",
            code="change_pending",
        )
    clear, secret = split_connection(source.warehouse_type, connection or {})
    changed = WarehouseSource.objects.get(pk=source.pk)
    changed.name = source.name if name is None else name
    changed.connection, changed.secrets = _with(source, clear, secret)
    changed.accepted_warnings = list(accepted_warnings)
    if not clear and not secret and changed.name == source.name:
        raise Refused("Nothing is different from what it was.", code="no_change")
    if changed.adopted and (clear or secret):
        # Nothing of its connection is known here, so only what is given is checked.
        findings = check_source(source.warehouse_type, clear | secret, partial=True)
        raise_for(findings, changed.accepted_warnings)
    changed.full_clean()
    return changed


def _with(
    source: WarehouseSource, clear: dict[str, Any], secret: dict[str, Any]
) -> tuple[dict[str, Any], Secret]:
    """(connection, secrets) of a warehouse with other values for some."""
    kept = source.whole_connection()
    hidden = {k: v for k, v in kept.items() if k not in source.connection} | secret
    connection = {**source.connection, **clear}
    return connection, Secret(json.dumps(hidden) if hidden else "")


def _changes_of(source: WarehouseSource) -> JobQuerySet:
    jobs: JobQuerySet = Job.objects.for_target(source)
    return jobs.filter(task="warehouse.change_source")


def delete_source(
    *, source: WarehouseSource, actor: User | None, typed_name: str
) -> Job:
    """Queue the deletion of a warehouse that no import uses."""
    access.require(actor, source.project)
    require_active(source)
    require_typed(source.name, typed_name)
    if used := source.imports.present().first():
        raise Refused(
            f"The import {used.name} still uses it. Delete its imports first.",
            code="in_use",
        )
    with transaction.atomic():
        start_deleting(source)
        record(actor=actor, verb="asked to delete", target=source)
        return enqueue_for(
            source, actor, "warehouse.delete_source", f"Delete source {source.name}"
        )


def forget_source(*, source: WarehouseSource, actor: User | None) -> None:
    """Remove a warehouse that is not at Mixpanel (any more)."""
    access.require(actor, source.project)
    require_forgettable(source)
    if used := source.imports.present().first():
        raise Refused(f"The import {used.name} still uses it.", code="in_use")
    with transaction.atomic():
        record(actor=actor, verb="forgot", target=source)
        # Without its id: should it be there after all, it can be adopted.
        _set(source, presence=Presence.DELETED, mixpanel_id=None)


# --- Imports --------------------------------------------------------------------------


def create_import(
    *, project: Project, actor: User | None, **wanted: Any
) -> tuple[WarehouseImport, Job]:
    """Save an import and queue its creation at Mixpanel. wanted: see `new_import`."""
    row = new_import(project=project, actor=actor, **wanted)
    with transaction.atomic():
        row.save()
        record(actor=actor, verb="asked to create", target=row)
        job = enqueue_for(
            row, actor, "warehouse.create_import", f"Create import {row.name}"
        )
    return row, job


def new_import(
    *,
    project: Project,
    actor: User | None,
    name: str,
    source: WarehouseSource | None,
    kind: str,
    sync_mode: str,
    table_params: dict[str, Any],
    fields: dict[str, Any],
    frequency: str | None = None,
    databricks_params: dict[str, Any] | None = None,
    accepted_warnings: Iterable[str] = (),
) -> WarehouseImport:
    """What `create_import` saves, checked and not saved.

    fields: the fields of its kind, by the names of Mixpanel's API. frequency: a slug of
    kinds.FREQUENCIES; a One-Time import needs none.
    """
    access.require(actor, project)
    run_every, problem = _read_frequency(sync_mode, frequency)
    row = WarehouseImport(
        project=project,
        source=source,
        name=name,
        kind=kind,
        sync_mode=sync_mode,
        table_params=table_params,
        fields=without_empty(fields),
        run_every=effective_run_every(sync_mode, run_every),
        databricks_params=databricks_params or None,
        accepted_warnings=list(accepted_warnings),
    )
    problems = [ValidationError(problem)] if problem else []
    if source is None:
        problems.append(ValidationError({"source": "Choose a source."}))
    elif source.project_id != project.pk:
        problems.append(ValidationError({"source": "There is no such source."}))
    elif source.presence != Presence.ACTIVE:
        message = f"The warehouse {source.name} is not connected at Mixpanel yet."
        problems.append(ValidationError({"source": message}))
    try:
        row.full_clean(exclude=["table_params", "fields", "kind", "sync_mode"])
    except ValidationError as error:
        told = error.update_error_dict({})
        # Told in people's words: the frequency, not its nanoseconds.
        about_frequency = told.pop("run_every", [])
        if about_frequency and not problem:
            told["frequency"] = about_frequency
        if source is None:
            told.pop("warehouse_type", None)
        problems.append(ValidationError(told))
    problems = [p for p in problems if p.update_error_dict({})]
    if problems:
        raise merged(*problems)
    return row


def _read_frequency(
    sync_mode: object, frequency: object
) -> tuple[int | None, dict[str, Any]]:
    """(nanoseconds or None, the problem by field)."""
    if frequency is None or frequency == "":
        findings = check_run_every(sync_mode, None)
        return None, {"frequency": findings[0].message} if findings else {}
    try:
        return nanoseconds(frequency if isinstance(frequency, str) else ""), {}
    except ValueError:
        message = "Choose how often: api, hourly, daily or weekly."
        return None, {"frequency": ValidationError(message, code="choice")}


def rename_import(
    *, warehouse_import: WarehouseImport, actor: User | None, name: str
) -> WarehouseImport:
    """Change the name shown here. Mixpanel has no names for imports."""
    access.require(actor, warehouse_import.project)
    raise_for(clean_text("name", name, label="Name", required=True))
    old, warehouse_import.name = warehouse_import.name, name
    warehouse_import.validate_constraints()
    with transaction.atomic():
        warehouse_import.save(update_fields=["name"])
        changes = {"name": [old, name]}
        record(actor=actor, verb="renamed", target=warehouse_import, changes=changes)
    return warehouse_import


def pause_import(*, warehouse_import: WarehouseImport, actor: User | None) -> Job:
    """Queue a pause: the running sync stops, and no new one starts."""
    return _patch(warehouse_import, actor, "Pause", {"paused": True})


def resume_import(
    *,
    warehouse_import: WarehouseImport,
    actor: User | None,
    frequency: str | None = None,
) -> Job:
    """Queue the end of a pause, if wanted with another frequency."""
    wanted: dict[str, Any] = {"paused": False}
    if frequency:
        wanted["run_every"] = _frequency(warehouse_import, frequency)
    return _patch(warehouse_import, actor, "Resume", wanted)


def change_frequency(
    *, warehouse_import: WarehouseImport, actor: User | None, frequency: str
) -> Job:
    """Queue another frequency."""
    wanted = {"run_every": _frequency(warehouse_import, frequency)}
    return _patch(warehouse_import, actor, "Change the frequency of", wanted)


def _frequency(warehouse_import: WarehouseImport, frequency: object) -> int:
    run_every, problem = _read_frequency(warehouse_import.sync_mode, frequency)
    if run_every is None:
        raise ValidationError(problem or {"frequency": "Choose how often."})
    return run_every


def change_databricks_params(
    *,
    warehouse_import: WarehouseImport,
    actor: User | None,
    databricks_params: dict[str, Any] | None,
    accepted_warnings: Iterable[str] = (),
) -> Job:
    """Queue another cluster config. It replaces the old one as a whole."""
    check_new_cluster(
        warehouse_import=warehouse_import,
        databricks_params=databricks_params,
        accepted_warnings=accepted_warnings,
    )
    wanted = {"databricks_params": databricks_params or None}
    return _patch(warehouse_import, actor, "Change the Databricks config of", wanted)


def check_new_cluster(
    *,
    warehouse_import: WarehouseImport,
    databricks_params: dict[str, Any] | None,
    accepted_warnings: Iterable[str] = (),
) -> None:
    """Raise for what `change_databricks_params` does not queue."""
    source = warehouse_import.source
    if source is None or source.warehouse_type != "databricks":
        raise Refused(
            "Only an import from Databricks has a cluster config.", code="no_cluster"
        )
    findings = check_databricks_params(source.warehouse_type, databricks_params)
    new = databricks_params if isinstance(databricks_params, dict) else {}
    vanishing = databricks.vanishing_keys(
        (warehouse_import.databricks_params or {}).get("export_cluster_config"),
        new.get("export_cluster_config"),
    )
    if vanishing:
        message = (
            "This replaces the whole config: these keys are in the old one and not in "
            f"the new one, and would vanish: {', '.join(vanishing)}."
        )
        field = "databricks_params"
        findings.append(Finding(field, message, "keys_vanish", warning=True))
    raise_for(findings, accepted_warnings)


def _patch(
    warehouse_import: WarehouseImport,
    actor: User | None,
    words: str,
    wanted: dict[str, Any],
) -> Job:
    access.require(actor, warehouse_import.project)
    require_active(warehouse_import)
    changes = {
        name: [_shown(name, getattr(warehouse_import, name)), _shown(name, value)]
        for name, value in wanted.items()
    }
    title = f"{words} import {warehouse_import.name}"
    with transaction.atomic():
        verb = f"asked to {words.lower()}"
        record(actor=actor, verb=verb, target=warehouse_import, changes=changes)
        return enqueue_for(
            warehouse_import, actor, "warehouse.patch_import", title, wanted
        )


def _shown(name: str, value: Any) -> str:
    return frequency_label(value) if name == "run_every" else str(value)


def run_import(*, warehouse_import: WarehouseImport, actor: User | None) -> Job:
    """Queue a run now. Its job ends when the run does."""
    access.require(actor, warehouse_import.project)
    require_active(warehouse_import)
    if warehouse_import.paused:
        raise Refused("This import is paused. Resume it first.", code="paused")
    now = db_now()
    with transaction.atomic():
        # One writer at a time decides whether it may start, on every database.
        WarehouseImport.objects.filter(pk=warehouse_import.pk).update(
            watch_until=now + timedelta(seconds=TIMES.run_window)
        )
        if warehouse_import.runs.unfinished().exists():
            raise Refused(
                "This import is running already, or was asked to.",
                code="already_running",
            )
        record(actor=actor, verb="asked to run", target=warehouse_import)
        job = enqueue_for(
            warehouse_import,
            actor,
            "warehouse.run_import",
            f"Run import {warehouse_import.name}",
        )
        ImportRun.objects.create(
            warehouse_import=warehouse_import,
            state=RunState.QUEUED,
            job=job,
            requested_at=now,
            at=now,
            seen_at=now,
        )
        note_last_run(WarehouseImport.objects.filter(pk=warehouse_import.pk))
    return job


def runs_left(project: Project) -> tuple[int, datetime | None]:
    """(runs that may be started now, when the next one may be if none)."""
    return limits.left(_sync_bucket(project.pk), limit=MANUAL_SYNCS, per=HOUR)


def _sync_bucket(project_id: int) -> str:
    return f"manual-sync:{project_id}"


def delete_import(
    *,
    warehouse_import: WarehouseImport,
    actor: User | None,
    typed_name: str,
    delete_data: bool = False,
) -> Job:
    """Queue the deletion of an import, and on demand of the events that it brought."""
    access.require(actor, warehouse_import.project)
    require_active(warehouse_import)
    require_typed(warehouse_import.name, typed_name)
    words = "Delete import {} and its data" if delete_data else "Delete import {}"
    with transaction.atomic():
        start_deleting(warehouse_import)
        verb = "asked to delete with its data" if delete_data else "asked to delete"
        record(actor=actor, verb=verb, target=warehouse_import)
        return enqueue_for(
            warehouse_import,
            actor,
            "warehouse.delete_import",
            words.format(warehouse_import.name),
            {"delete_data": delete_data},
        )


def forget_import(*, warehouse_import: WarehouseImport, actor: User | None) -> None:
    """Remove an import that is not at Mixpanel (any more). Its history is kept."""
    access.require(actor, warehouse_import.project)
    require_forgettable(warehouse_import)
    with transaction.atomic():
        record(actor=actor, verb="forgot", target=warehouse_import)
        _set(warehouse_import, presence=Presence.DELETED, mixpanel_id=None)


FROM_MIXPANEL = ("warehouse_type", "kind", "sync_mode", "table_params")


def adopt(
    *, project: Project, actor: User | None, remote_objects: list[RemoteObject]
) -> list[WarehouseSource | WarehouseImport]:
    """Manage here what exists at Mixpanel: sources first, then the imports of them."""
    access.require(actor, project)
    require_adoptable(
        project,
        remote_objects,
        ("warehouse.create_import", "warehouse.create_source"),
    )
    kinds = RemoteObject.Kind
    makers: tuple[tuple[str, Callable[[RemoteObject], Any]], ...] = (
        (kinds.SOURCE, _adopted_source),
        (kinds.IMPORT, _adopted_import),
    )
    rows: list[WarehouseSource | WarehouseImport] = []
    with transaction.atomic():
        for kind, make in makers:
            for remote in (r for r in remote_objects if r.kind == kind):
                row = make(remote)
                # What Mixpanel says is taken as it is, also where it says nothing.
                row.full_clean(exclude=FROM_MIXPANEL)
                row.save()
                record(actor=actor, verb="adopted", target=row)
                rows.append(row)
                remote.delete()
        start_polling(name=POLL, project_id=project.pk)
    return rows


def _adopted_source(remote: RemoteObject) -> WarehouseSource:
    found = read_again(wire.read_source, remote)
    return WarehouseSource(
        project=remote.project,
        name=found.name or f"Warehouse {found.id}",
        warehouse_type=found.warehouse_type[:40],
        mixpanel_id=found.id,
        presence=Presence.ACTIVE,
        adopted=True,
        raw=found.raw,
        observed_at=remote.seen_at,
    )


def _adopted_import(remote: RemoteObject) -> WarehouseImport:
    found = read_again(wire.read_import, remote)
    return WarehouseImport(
        project=remote.project,
        source=WarehouseSource.objects.filter(
            project=remote.project, mixpanel_id=found.source_id
        ).first(),
        name=f"{table_name(found.table_params) or found.kind} #{found.id}"[:255],
        mixpanel_id=found.id,
        presence=Presence.ACTIVE,
        adopted=True,
        observed_at=remote.seen_at,
        **observed_fields(found),
    )


def table_name(table_params: Mapping[str, Any]) -> str:
    """The part of table_params that people call the table; its keys are not fixed."""
    for key in ("table", "table_name", "table_id"):
        if isinstance(table_params.get(key), str):
            return str(table_params[key])
    return ""


def observed_fields(found: wire.WarehouseImport) -> dict[str, Any]:
    """What our row takes over from Mixpanel's answer, whoever asked for it."""
    fields = {
        "kind": found.kind[:20],
        "sync_mode": found.sync_mode[:20],
        "table_params": found.table_params,
        "paused": found.paused,
        "run_every": found.run_every,
        "last_dispatch_at": found.last_dispatch_at,
        "raw": found.raw,
    }
    if found.databricks_params is not None:
        fields["databricks_params"] = found.databricks_params
    return fields


# --- The jobs -------------------------------------------------------------------------


def _source_of(job: Job) -> WarehouseSource:
    rows = WarehouseSource.objects.select_related("project")
    source: WarehouseSource = rows.get(pk=job.target_id)
    return source


def _import_of(job: Job) -> WarehouseImport:
    rows = WarehouseImport.objects.select_related("project", "source")
    row: WarehouseImport = rows.get(pk=job.target_id)
    return row


def _set(row: Any, **changes: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(**changes)


@job_task("warehouse.create_source", op=Op.NON_IDEMPOTENT)
def plan_create_source(job: Job) -> Plan:
    source = _source_of(job)

    def send(client: MixpanelClient) -> wire.WarehouseSource:
        return client.warehouse.create_source(
            warehouse_type=source.warehouse_type,
            name=source.name,
            connection=source.whole_connection(),
        )

    def find(client: MixpanelClient, attempt: Attempt) -> list[Candidate]:
        return [
            Candidate(str(s.id), s, f"{s.name} ({s.warehouse_type}), {s.created_at}")
            for s in client.warehouse.list_sources()
            if str(s.id) not in attempt.known_before
            and (s.name, s.warehouse_type) == (source.name, source.warehouse_type)
            and not _managed(WarehouseSource, source, s.id)
        ]

    def save(made: wire.WarehouseSource) -> dict[str, Any]:
        _set(
            source,
            mixpanel_id=made.id,
            presence=Presence.ACTIVE,
            raw=made.raw,
            observed_at=db_now(),
        )
        no_longer_remote(source, RemoteObject.Kind.SOURCE, made.id)
        return {"mixpanel_id": made.id}

    return Plan(
        known=lambda client: [str(s.id) for s in client.warehouse.list_sources()],
        send=send,
        find=find,
        save=save,
        fingerprint=digest("source", source.name, source.warehouse_type),
        follow=unless_success(source, Presence.PENDING, Presence.NOT_CREATED),
        **for_job(job),
    )


@job_task("warehouse.change_source", op=Op.ABSOLUTE)
def plan_change_source(job: Job) -> Plan:
    source = _source_of(job)
    source_id = source.mixpanel_id
    assert source_id is not None
    if _changes_of(source).filter(created_at__gt=job.created_at).exists():
        raise Refused("A later change of this source took its place.")

    def send(client: MixpanelClient) -> wire.WarehouseSource:
        wanted = source.wanted_change()
        return client.warehouse.update_source(
            source_id,
            name=wanted["name"] if job.params["rename"] else None,
            connection=wanted["connection"] | wanted["secrets"],
            warehouse_type=source.warehouse_type if job.params["keys"] else "",
        )

    def save(changed: wire.WarehouseSource) -> dict[str, Any]:
        wanted = source.wanted_change()
        clear, secret = _with(source, wanted["connection"], wanted["secrets"])
        _set(
            source,
            name=wanted["name"] if job.params["rename"] else source.name,
            connection=clear,
            secrets=secret,
            pending="",
            raw=changed.raw,
            observed_at=db_now(),
        )
        return {"mixpanel_id": changed.id}

    return Plan(send=send, save=save, **for_job(job))


@job_task("warehouse.delete_source", op=Op.DESTRUCTIVE)
def plan_delete_source(job: Job) -> Plan:
    source = _source_of(job)
    source_id = source.mixpanel_id
    assert source_id is not None

    def check(client: MixpanelClient) -> bool | None:
        ids = [s.id for s in client.warehouse.list_sources()]
        return True if source_id not in ids else None

    def save(done: Any) -> dict[str, Any]:
        _set(source, presence=Presence.DELETED)
        return {"mixpanel_id": source_id}

    return Plan(
        send=lambda client: client.warehouse.delete_source(source_id),
        check=check,
        save=save,
        follow=unless_success(source, Presence.DELETING, Presence.ACTIVE),
        **for_job(job),
    )


def ask_to_create(client: MixpanelClient, row: WarehouseImport) -> wire.WarehouseImport:
    return client.warehouse.create_import(row.kind, request_body(row))


def rehearsed_import(row: WarehouseImport) -> Rehearsed:
    """The request that would create it."""
    return rehearsed(row.project, lambda client: ask_to_create(client, row))


def request_body(row: WarehouseImport) -> dict[str, Any]:
    """The body of the create request: what is set, and nothing else."""
    assert row.source is not None
    body = {
        "warehouse_source_id": row.source.mixpanel_id,
        "table_params": row.table_params,
        "sync_mode": row.sync_mode,
        "run_every": row.run_every,
        **row.fields,
        "databricks_params": row.databricks_params,
    }
    return {name: value for name, value in body.items() if is_given(value)}


def looks_like(found: wire.WarehouseImport, body: Mapping[str, Any]) -> bool:
    """Whether an import at Mixpanel may have been made by this create request.

    Only what both sides tell is compared: the list leaves out the columns, and some
    fields never come back. What Mixpanel adds to a cluster config by itself is no
    difference.
    """
    theirs = {
        "warehouse_source_id": found.source_id,
        "table_params": found.table_params,
        "sync_mode": found.sync_mode,
        "run_every": found.run_every,
        **found.fields,
    }
    for name, value in theirs.items():
        ours = body.get(name)
        if name == "run_every" and (ours is None or value is None):
            continue
        if (ours or None) != (value or None):
            return False
    config = (body.get("databricks_params") or {}).get("export_cluster_config")
    if found.databricks_params is None or config is None:
        return True
    returned = found.databricks_params.get("export_cluster_config")
    return not databricks.differs(config, returned)


@job_task("warehouse.create_import", op=Op.NON_IDEMPOTENT)
def plan_create_import(job: Job) -> Plan:
    row = _import_of(job)
    body = request_body(row)

    def find(client: MixpanelClient, attempt: Attempt) -> list[Candidate]:
        found = []
        for listed in client.warehouse.list_imports():
            if (
                str(listed.id) in attempt.known_before
                or listed.is_deleted
                or listed.kind != row.kind
                or _managed(WarehouseImport, row, listed.id)
                or not looks_like(listed, body)
            ):
                continue
            # The list does not tell the columns; the import itself does.
            whole = client.warehouse.get_import(listed.id)
            if looks_like(whole, body):
                who = whole.creator_email or whole.creator_name or "somebody"
                words = f"Import {whole.id}, made {whole.created_at} by {who}"
                found.append(Candidate(str(whole.id), whole, words))
        return found

    def save(made: wire.WarehouseImport) -> dict[str, Any]:
        now = db_now()
        _set(
            row,
            mixpanel_id=made.id,
            presence=Presence.ACTIVE,
            paused=made.paused,
            run_every=made.run_every,
            last_dispatch_at=made.last_dispatch_at,
            raw=made.raw,
            observed_at=now,
            # Its first run starts shortly, unless it only runs when triggered.
            watch_until=now + timedelta(seconds=TIMES.run_window / 3)
            if made.run_every or made.sync_mode == "one_time"
            else None,
        )
        no_longer_remote(row, RemoteObject.Kind.IMPORT, made.id)
        start_polling(name=POLL, project_id=row.project_id)
        return {"mixpanel_id": made.id}

    return Plan(
        known=lambda client: [str(i.id) for i in client.warehouse.list_imports()],
        send=lambda client: ask_to_create(client, row),
        find=find,
        save=save,
        fingerprint=digest("import", row.kind, body),
        follow=unless_success(row, Presence.PENDING, Presence.NOT_CREATED),
        **for_job(job),
    )


@job_task("warehouse.patch_import", op=Op.ABSOLUTE)
def plan_patch_import(job: Job) -> Plan:
    row = _import_of(job)
    import_id = row.mixpanel_id
    assert import_id is not None
    wanted = job.params

    def send(client: MixpanelClient) -> wire.WarehouseImport:
        # Mixpanel wants both fields each time. The one that nobody asked to change is
        # read just before, so that a change made elsewhere is not undone.
        fresh = client.warehouse.get_import(import_id)
        if fresh.is_deleted:
            raise NotFound("This import was deleted at Mixpanel.")
        more = {k: v for k, v in wanted.items() if k == "databricks_params"}
        return client.warehouse.patch_import(
            import_id,
            paused=wanted.get("paused", fresh.paused),
            run_every=wanted.get("run_every", fresh.run_every or 0),
            **more,
        )

    def save(changed: wire.WarehouseImport) -> dict[str, Any]:
        ours = {k: v for k, v in wanted.items() if k == "databricks_params"}
        if "paused" in wanted or not changed.paused:
            ours["paused_elsewhere"] = False
        elif not row.paused:
            ours["paused_elsewhere"] = True
        # What was dispatched is left to the poll, which then asks for the history.
        _set(
            row,
            paused=changed.paused,
            run_every=changed.run_every,
            raw=changed.raw,
            observed_at=db_now(),
            **ours,
        )
        start_polling(name=POLL, project_id=row.project_id)
        return {"paused": changed.paused, "run_every": changed.run_every}

    return Plan(send=send, save=save, **for_job(job))


@job_task("warehouse.run_import", op=Op.NON_IDEMPOTENT)
def plan_run_import(job: Job) -> Plan:
    row = _import_of(job)
    import_id = row.mixpanel_id
    assert import_id is not None

    def starts(client: MixpanelClient) -> list[datetime]:
        runs = client.warehouse.history(import_id)
        return [run.started_at for run in runs if run.started_at is not None]

    def find(client: MixpanelClient, attempt: Attempt) -> list[Candidate]:
        since = attempt.started_at - SKEW
        return [
            Candidate(start.isoformat(), "", f"A run that started at {start}")
            for start in starts(client)
            if start >= since and start.isoformat() not in attempt.known_before
        ]

    def save(run_id: str) -> dict[str, Any]:
        now = db_now()
        ImportRun.objects.filter(job=job).update(mixpanel_run_id=run_id[:100])
        _set(row, watch_until=now + timedelta(seconds=TIMES.run_window))
        start_polling(name=POLL, project_id=row.project_id)
        return {"mixpanel_run_id": run_id}

    return Plan(
        known=lambda client: [start.isoformat() for start in starts(client)],
        send=lambda client: client.warehouse.manual_sync(import_id),
        find=find,
        save=save,
        # Nothing proves that a run did not start, so a person decides.
        resend=False,
        window=TIMES.run_window,
        budget=(
            _sync_bucket(row.project_id),
            MANUAL_SYNCS,
            HOUR,
            "runs by hand in an hour",
        ),
        follow=lambda state: _follow_run(job, row, state),
        after=Job.State.POLLING,
        **for_job(job),
    )


def _follow_run(job: Job, row: WarehouseImport, state: str) -> None:
    """The run that was asked for is there as long as its job may bring it about."""
    runs = ImportRun.objects.filter(job=job)
    runs.filter(started_at=None).delete()
    if state == Job.State.QUEUED:
        # A run that it brought about before stays as it is; the job is for another now.
        runs.update(job=None)
        now = db_now()
        ImportRun.objects.create(
            warehouse_import=row,
            state=RunState.QUEUED,
            job=job,
            requested_at=now,
            at=now,
            seen_at=now,
        )
    note_last_run(WarehouseImport.objects.filter(pk=row.pk))


@job_task("warehouse.delete_import", op=Op.DESTRUCTIVE)
def plan_delete_import(job: Job) -> Plan:
    row = _import_of(job)
    import_id, with_data = row.mixpanel_id, job.params["delete_data"]
    assert import_id is not None

    def check(client: MixpanelClient) -> bool | None:
        try:
            return True if client.warehouse.get_import(import_id).is_deleted else None
        except NotFound:
            return True

    def save(done: Any) -> dict[str, Any]:
        _set(row, presence=Presence.DELETED)
        return {"mixpanel_id": import_id, "delete_data": with_data}

    return Plan(
        send=lambda client: client.warehouse.delete_import(
            import_id, delete_data=with_data
        ),
        check=check,
        save=save,
        resend=not with_data,
        follow=unless_success(row, Presence.DELETING, Presence.ACTIVE),
        **for_job(job),
    )


# --- Shared ---------------------------------------------------------------------------


def _managed(model: Any, row: Any, mixpanel_id: int) -> bool:
    """Whether another row of the project is that object already."""
    others = model.objects.filter(project=row.project_id, mixpanel_id=mixpanel_id)
    return bool(others.exclude(pk=row.pk).exists())
