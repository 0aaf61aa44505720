"""Rows with good defaults, and what the machinery would do, without a broker."""

import hashlib
import io
from datetime import timedelta

from django.utils import timezone

from mixadmin.accounts.models import User
from mixadmin.common.clock import db_now
from mixadmin.common.crypto import Secret
from mixadmin.common.states import Presence, RunState
from mixadmin.connectors.models import Connector, ConnectorRun
from mixadmin.files import disk
from mixadmin.files.models import SourceBucket, Upload
from mixadmin.ingestion.models import (
    Ingestion,
    IngestionFile,
    Part,
    RejectedGroup,
    UnsettledBatch,
)
from mixadmin.jobs import polls, runner
from mixadmin.jobs.models import Job, Poll
from mixadmin.jobs.registry import pollers
from mixadmin.lookups import storage
from mixadmin.lookups.models import LookupTable, LookupVersion
from mixadmin.projects.managed import note_last_run
from mixadmin.projects.models import Membership, Project, RemoteObject
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.models import ImportRun, WarehouseImport, WarehouseSource

MIXPANEL_ID = 3_000_001
USERNAME = "ops.1a2b3c.mp-service-account"
SECRET = "s3cret-of-the-tests-0123456789abcd"
PASSWORD = "correct horse battery staple"


def make_user(username="ada", **changes):
    return User.objects.create_user(username=username, password=PASSWORD, **changes)


def make_service_account(**changes):
    fields = {
        "username": USERNAME,
        "secret": Secret(SECRET),
        "region": "us",
        "organization_id": 1,
        **changes,
    }
    return ServiceAccount.objects.create(**fields)


def make_project(*, owner=None, viewer=None, **changes):
    if "service_account" not in changes:
        account = ServiceAccount.objects.filter(username=USERNAME).first()
        changes["service_account"] = account or make_service_account(owner=owner)
    fields = {"name": "Shop", "mixpanel_id": MIXPANEL_ID, "region": "us", **changes}
    project = Project.objects.create(**fields)
    for user, role in ((owner, "editor"), (viewer, "viewer")):
        if user:
            Membership.objects.create(project=project, user=user, role=role)
    return project


def make_source(*, project, **changes):
    fields = {
        "name": "Warehouse",
        "warehouse_type": "bigquery",
        "connection": {"gcp_project_id": "acme-data"},
        "mixpanel_id": 71,
        "presence": Presence.ACTIVE,
        **changes,
    }
    return WarehouseSource.objects.create(project=project, **fields)


def make_import(*, project, source=None, **changes):
    fields = {
        "name": "Orders",
        "kind": "event_stream",
        "sync_mode": "time_based",
        "table_params": {"dataset": "shop", "table": "orders"},
        "fields": {
            "event_name": "Order",
            "time_column_name": "ordered_at",
            "insert_time_column_name": "inserted_at",
            "user_column_name": "customer",
        },
        "run_every": 3_600_000_000_000,
        "mixpanel_id": 501,
        "presence": Presence.ACTIVE,
        **changes,
    }
    source = source or WarehouseSource.objects.filter(project=project).first()
    source = source or make_source(project=project)
    return WarehouseImport.objects.create(project=project, source=source, **fields)


def make_run(*, warehouse_import, **changes):
    now = timezone.now()
    fields = {
        "state": RunState.SUCCEEDED,
        "raw_state": "SUCCEEDED",
        "started_at": now,
        "ended_at": now,
        "num_events_imported": 10,
        "at": changes.get("started_at", now),
        "seen_at": now,
        **changes,
    }
    run = ImportRun.objects.create(warehouse_import=warehouse_import, **fields)
    note_last_run(WarehouseImport.objects.filter(pk=warehouse_import.pk))
    return run


def change_run(run, **changes):
    """The run as the next poll would find it."""
    for name, value in changes.items():
        setattr(run, name, value)
    run.save()
    row = run.warehouse_import if isinstance(run, ImportRun) else run.connector
    note_last_run(type(row).objects.filter(pk=row.pk))


def make_connector(*, project, **changes):
    fields = {
        "label": "Signups",
        "connector_type": "gcsImport",
        "connector_properties": {"gcs_bucket": "acme", "gcs_prefix": "signup/"},
        "category_properties": {"data_format": "mixpanel_event", "compression": "none"},
        "mixpanel_id": "232f40cc-7ccc-4da3-b9c3-d8c1d14142c6",
        "presence": Presence.ACTIVE,
        **changes,
    }
    return Connector.objects.create(project=project, **fields)


def make_connector_run(*, connector, **changes):
    now = timezone.now()
    fields = {
        "state": RunState.SUCCEEDED,
        "raw_state": "succeeded",
        "started_at": now,
        "ended_at": now,
        "progress": 1.0,
        "num_events_imported": 13,
        "num_events_processed": 13,
        "num_events_dropped": 0,
        "num_files_imported": 4,
        "size_imported": 1610,
        "at": changes.get("started_at", now),
        "seen_at": now,
        **changes,
    }
    run = ConnectorRun.objects.create(connector=connector, **fields)
    note_last_run(Connector.objects.filter(pk=connector.pk))
    return run


def rows_that_belie_their_runs():
    """Imports and connectors that say other things of their newest run than it says.

    The runs are asked one by one. Who writes runs calls `managed.note_last_run`.
    """
    wrong = []
    for row in (*WarehouseImport.objects.all(), *Connector.objects.all()):
        runs = row.runs.filter(is_gap=False).order_by("-at", "-id")
        last = runs.first()
        state = last.state if last else "new"
        status = row.presence if row.presence != Presence.ACTIVE else state
        told = [row.last_run, row.last_state, row.last_at]
        meant = [last, state, last.at if last else row.last_at]
        told += [row.last_events]
        known = last and last.num_events_imported is not None
        meant += [last.num_events_imported if known else -1]
        if isinstance(row, WarehouseImport):
            good = runs.filter(state=RunState.SUCCEEDED, ended_at__isnull=False)
            good = good.first()
            if row.paused and row.presence == Presence.ACTIVE:
                status = "paused"
            told += [row.status, row.last_success_at]
            meant += [status, good and good.ended_at]
        else:
            told += [row.state]
            meant += [status]
        if told != meant:
            wrong.append((row, told, meant))
    return wrong


def make_lookup_table(*, project, **changes):
    fields = {
        "name": "skus",
        "mixpanel_id": "ab32b74c-8d1c-4f08-9c2b-8f8f5b5f9d3e",
        "seen_at": timezone.now(),
        **changes,
    }
    return LookupTable.objects.create(project=project, **fields)


def make_lookup_version(*, table, csv=b"sku,title\n1,Hat\n", **changes):
    """A checked version with its file."""
    fields = {
        "number": table.versions.count() + 1,
        "state": LookupVersion.State.READY,
        "size": len(csv),
        "rows": 1,
        "column_count": 2,
        "columns": [{"name": "sku", "kind": "number", "counts": {"number": 1}}],
        **changes,
    }
    stored = storage.store(table, io.BytesIO(csv))
    fields.setdefault("sha256", stored.sha256)
    version = LookupVersion.objects.create(table=table, **fields)
    storage.adopt(stored, version)
    with storage.bad_rows(version):
        pass
    return version


def make_remote_object(*, project, **changes):
    now = timezone.now()
    fields = {
        "kind": RemoteObject.Kind.IMPORT,
        "mixpanel_id": "900",
        "summary": "Events, Append",
        "raw": {},
        "first_seen_at": now,
        "seen_at": now,
        **changes,
    }
    return RemoteObject.objects.create(project=project, **fields)


def make_bucket(*, project, **changes):
    fields = {
        "name": "Exports",
        "provider": "s3",
        "bucket": "acme",
        "credentials": Secret(""),
        **changes,
    }
    return SourceBucket.objects.create(project=project, **fields)


def make_upload(*, project, content=b"{}\n", **changes):
    """A complete upload whose bytes are on the disk."""
    now = timezone.now()
    fields = {
        "name": "events.ndjson",
        "size": len(content),
        "received": len(content),
        "touched_at": now,
        "completed_at": now,
        "sha256": hashlib.sha256(content).hexdigest(),
        **changes,
    }
    upload = Upload.objects.create(project=project, **fields)
    disk.erase(upload.pk)
    disk.store(upload.pk, [content[: upload.received]])
    return upload


def make_ingestion(*, project, upload=None, bucket=None, **changes):
    """An ingestion, with a file if there is an upload or a bucket for it."""
    fields = {"name": "Backfill", "kind": "events", **changes}
    row = Ingestion.objects.create(project=project, **fields)
    if upload or bucket:
        IngestionFile.objects.create(
            ingestion=row,
            name="events.ndjson",
            place="upload" if upload else "bucket",
            upload=upload,
            bucket=bucket,
            size=3,
            tag="t",
        )
    return row


def make_unsettled_batch(*, ingestion, **changes):
    """Updates that nobody knows of, in the first file of an ingestion."""
    file = ingestion.files.first()
    part = Part.objects.create(
        file=file, ordinal=file.parts.count(), read=3, imported=1, unsettled=2
    )
    fields = {
        "start": 0,
        "end": 3,
        "number": 1,
        "first_line": 1,
        "last_line": 2,
        "records": 2,
        "state": UnsettledBatch.State.UNKNOWN,
        "sent_at": timezone.now(),
        **changes,
    }
    return UnsettledBatch.objects.create(part=part, **fields)


def make_rejected_group(*, ingestion, **changes):
    fields = {
        "code": "record.not_json",
        "message": "event is invalid: must be an object",
        "count": 1,
        **changes,
    }
    return RejectedGroup.objects.create(ingestion=ingestion, **fields)


def make_job(*, project=None, **changes):
    now = db_now()
    fields = {
        "task": "warehouse.create_import",
        "op": "non_idempotent",
        "title": "Create import Orders",
        "created_at": now,
        "run_after": now,
        "deadline_at": now + timedelta(days=1),
        **changes,
    }
    return Job.objects.create(project=project, **fields)


def run_due_jobs(*, hurry=False, rounds=20):
    """Run every due job, again and again until nothing is due. Returns how many ran.

    With `hurry` the waiting ones are due as well, so that no test has to sleep.
    """
    ran = 0
    for _ in range(rounds):
        if hurry:
            Job.objects.filter(state__in=Job.RUNNABLE).update(run_after=db_now())
        due = Job.objects.due(db_now()).order_by("run_after", "created_at")
        due = list(due.values_list("pk", flat=True))
        if not due:
            break
        for job_id in due:
            runner.run(job_id)
            ran += 1
    return ran


def poll_now(project):
    """Poll everything of a project once, whether it is due or not."""
    for name in pollers():
        poll, _ = Poll.objects.get_or_create(
            project=project, name=name, defaults={"next_at": db_now()}
        )
        Poll.objects.filter(pk=poll.pk).update(next_at=db_now(), lease_until=None)
        polls.run_poll(poll.pk)
