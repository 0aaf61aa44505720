"""Many rows, as years of use would leave them, in less than two minutes.

Rows and SQL, not actions: those would ask Mixpanel about each of them. The same numbers
give the same rows, but for their times, which end now.
"""

import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from bench.telling import say
from mixadmin.accounts.models import User
from mixadmin.audit.models import Entry
from mixadmin.common.crypto import Secret
from mixadmin.connectors.models import Connector, ConnectorRun
from mixadmin.files.models import Upload
from mixadmin.ingestion.models import Ingestion, IngestionFile, Part
from mixadmin.jobs.models import Beat, Job, Poll
from mixadmin.lookups.models import LookupTable
from mixadmin.projects.managed import note_last_run
from mixadmin.projects.models import Membership, Project
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.kinds import KINDS, WAREHOUSES
from mixadmin.warehouse.models import ImportRun, WarehouseImport, WarehouseSource

PROJECTS = 8
SOURCES = 40
# Imports of one project: the share of the first, the others have the rest.
MOST_IN_FIRST = 0.85
# So many imports have a long history, of so many runs.
LONG, LONG_RUNS = 20, 8_760
NAMES = (
    *("Orders", "Refunds", "Sign-ups", "Invoices", "Carts", "Sessions", "Companies"),
    *("Tickets", "Payments", "Trials", "Devices", "Stores", "Campaigns"),
)


@dataclass(frozen=True, slots=True)
class Size:
    imports: int = 20_000
    runs: int = 1_000_000
    jobs: int = 50_000
    entries: int = 100_000
    ingestions: int = 2_000
    connectors: int = 300

    @classmethod
    def of(cls, imports: int, runs: int, jobs: int) -> "Size":
        """The rest in the same proportions."""
        return cls(imports, runs, jobs, jobs * 2, imports // 10, imports // 60)


def seed(size: Size) -> None:
    """Fill an empty, migrated database. `ops` and `reader` are the people."""
    with transaction.atomic():
        ops, projects = _projects()
        imports = _imports(projects, size.imports)
        _runs(imports, size.runs)
        _connectors(projects, size.connectors)
        _jobs(projects, imports, ops, size.jobs)
        _entries(projects, imports, ops, size.entries)
        _ingestions(projects, ops, size.ingestions)
        _rest(projects, ops)
    if connection.vendor == "postgresql":
        # What autovacuum has done long since where rows came one by one.
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def _in_batches(model: Any, rows: Any, words: str) -> list[Any]:
    made: list[Any] = model.objects.bulk_create(rows, batch_size=2_000)
    say(f"  {len(made):>9,} {words}")
    return made


def _projects() -> tuple[User, list[Project]]:
    # Nobody signs in with a password here.
    ops = User.objects.create(username="ops", is_staff=True, is_superuser=True)
    reader = User.objects.create(username="reader")
    now = timezone.now()
    accounts = [
        ServiceAccount.objects.create(
            username=f"bench-{n}.mp-service-account",
            secret=Secret(secrets.token_urlsafe(20)),
            region="us",
            organization_id=1,
            owner=ops,
            expires_at=now + timedelta(days=(5, 25, 400)[n % 3]),
            verification="refused" if n == 5 else "works",
        )
        for n in range(6)
    ]
    projects = [
        Project.objects.create(
            name=f"Project {n}",
            mixpanel_id=3_000_001 + n,
            region="us",
            token=Secret(secrets.token_hex(16)),
            service_account=accounts[n % len(accounts)],
            verification="works",
            connectors_open=True,
        )
        for n in range(PROJECTS)
    ]
    for project in projects:
        Membership.objects.create(project=project, user=reader, role="editor")
    return ops, projects


def _presence(n: int) -> str:
    return {0: "deleted", 1: "missing", 2: "not_created"}.get(n % 400, "active")


def _imports(projects: list[Project], count: int) -> list[WarehouseImport]:
    types = list(WAREHOUSES)
    sources = _in_batches(
        WarehouseSource,
        [
            WarehouseSource(
                project=projects[0 if n < SOURCES / 2 else n % PROJECTS],
                name=f"Warehouse {n}",
                warehouse_type=types[n % len(types)],
                connection={"gcp_project_id": f"acme-{n}"},
                mixpanel_id=70 + n,
                presence="active",
            )
            for n in range(SOURCES)
        ],
        "sources",
    )
    by_project: dict[int, list[WarehouseSource]] = {}
    for source in sources:
        by_project.setdefault(source.project_id, []).append(source)
    kinds = [slug for slug, kind in KINDS.items() if kind.creatable]
    modes = ("time_based", "mirror_mode", "full_sync", "one_time")
    every = (3_600, 86_400, 604_800, None)
    rows = []
    for n in range(count):
        in_first = n < count * MOST_IN_FIRST
        project = projects[0 if in_first else 1 + n % (PROJECTS - 1)]
        here = by_project.get(project.pk) or sources[:1]
        name = NAMES[n % len(NAMES)]
        rows.append(
            WarehouseImport(
                project=project,
                source=here[n % len(here)],
                name=f"{name} of {chr(97 + n * 7 % 26)}{n}",
                kind=kinds[n % len(kinds)],
                sync_mode=modes[0 if n % 5 else n // 5 % 4],
                table_params={"dataset": "shop", "table": f"{name.lower()}_{n}"},
                fields={"event_name": name, "time_column_name": "at"},
                run_every=every[n % 4] and every[n % 4] * 10**9,
                mixpanel_id=1_000 + n,
                presence=_presence(n),
                paused=n % 25 == 3,
                paused_elsewhere=n % 100 == 3,
                history_at=timezone.now(),
            )
        )
    return _in_batches(WarehouseImport, rows, "imports")


def _ago(minutes: str) -> str:
    """The time `minutes` before now, in the words of the database."""
    if connection.vendor == "sqlite":
        form = "%%Y-%%m-%%d %%H:%%M:%%f000"
        return f"strftime('{form}', 'now', '-' || ({minutes}) || ' minutes')"
    return f"now() - ({minutes}) * interval '1 minute'"


def _runs(imports: list[WarehouseImport], count: int) -> None:
    """Hourly runs up to now: a few long histories, and the rest of equal length.

    Every tenth import fails now, most runs before succeeded.
    """
    first, last = imports[0].pk, imports[-1].pk
    long = min(LONG * LONG_RUNS, count // 2)
    each = max(1, (count - long) // len(imports))
    # The long ones spread over the imports.
    step = max(1, len(imports) // LONG)
    truth = "1" if connection.vendor == "sqlite" else "true"
    lie = "0" if connection.vendor == "sqlite" else "false"
    random = "((i.id * 7919 + n.x * 104729) %% 1000)"
    started = _ago("n.x * 60 + i.id %% 60 + 3")
    ended = _ago("n.x * 60 + i.id %% 60 + 1")
    sql = f"""
        INSERT INTO warehouse_importrun (warehouse_import_id, state, raw_state,
            started_at, at, seen_at, ended_at, ordinal, num_events_imported,
            mixpanel_run_id, is_gap, note, raw)
        WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < %s)
        SELECT i.id, {{state}}, '', {started}, {started}, {ended}, {ended}, 0,
            CASE WHEN {random} < 940 THEN i.id %% 97 * 1000 + {random} END,
            '', {lie}, '', '{{{{"state": "x"}}}}'
        FROM warehouse_warehouseimport i, n
        WHERE i.id BETWEEN %s AND %s AND ((i.id - %s) %% %s = 0) = {{of}}
    """  # noqa: S608
    state = f"""CASE WHEN n.x = 0 AND i.id %% 40 = 7 THEN 'failed'
        WHEN n.x = 0 AND i.id %% 200 = 9 THEN 'running'
        WHEN {random} < 940 THEN 'succeeded' WHEN {random} < 990 THEN 'failed'
        ELSE 'unknown' END"""
    with connection.cursor() as cursor:
        for of, runs in ((lie, each), (truth, each + long // LONG)):
            cursor.execute(
                sql.format(state=state, of=of), [runs - 1, first, last, first, step]
            )
    note_last_run(WarehouseImport.objects.all())
    say(f"  {ImportRun.objects.count():>9,} runs")


def _connectors(projects: list[Project], count: int) -> None:
    now = timezone.now()
    made = _in_batches(
        Connector,
        [
            Connector(
                project=projects[n % PROJECTS],
                label=f"{NAMES[n % len(NAMES)]} {n}",
                connector_type="gcsImport",
                connector_properties={"gcs_bucket": "acme", "gcs_prefix": f"{n}/"},
                category_properties={"data_format": "mixpanel_event"},
                mixpanel_id=str(uuid.uuid4()),
                presence="active",
                failure_message="no such bucket" if n % 20 == 0 else "",
            )
            for n in range(count)
        ],
        "connectors",
    )
    ConnectorRun.objects.bulk_create(
        ConnectorRun(
            connector=row,
            state="failed" if n % 20 == 0 and not run else "succeeded",
            started_at=now - timedelta(days=run, minutes=n),
            ended_at=now - timedelta(days=run),
            at=now - timedelta(days=run, minutes=n),
            seen_at=now,
            num_events_imported=n * 100,
        )
        for n, row in enumerate(made)
        for run in range(3)
    )
    note_last_run(Connector.objects.all())


def _jobs(
    projects: list[Project], imports: list[WarehouseImport], ops: User, count: int
) -> None:
    """Nearly all ended well; a few hundred ask for somebody, forty go on."""
    now = timezone.now()

    def state(n: int) -> str:
        if n < 40:
            return ("queued", "polling", "waiting", "claimed")[n % 4]
        if n < 60:
            return "needs_decision"
        return "failed" if n % 100 == 0 else "succeeded"

    rows = []
    for n in range(count):
        about = imports[n * 31 % len(imports)]
        failed = state(n) == "failed"
        rows.append(
            Job(
                project_id=about.project_id,
                service_account_id=projects[
                    about.project_id - projects[0].pk
                ].service_account_id,
                task="warehouse.run_import",
                op="non_idempotent",
                title=f"Run import {about.name}",
                target_type="warehouse.warehouseimport",
                target_id=str(about.pk),
                actor=ops,
                state=state(n),
                error_kind=("bad_request", "not_authenticated")[n % 200 // 100]
                if failed
                else "",
                error_message="Mixpanel refused it." if failed else "",
                dismissed=failed and n % 300 == 0,
                created_at=now - timedelta(minutes=10 * n),
                run_after=now,
                deadline_at=now,
                ended_at=now - timedelta(minutes=10 * n) if n >= 60 else None,
            )
        )
    _in_batches(Job, rows, "jobs")


def _entries(
    projects: list[Project], imports: list[WarehouseImport], ops: User, count: int
) -> None:
    rows = []
    for n in range(count):
        about = imports[n * 17 % len(imports)]
        rows.append(
            Entry(
                actor=ops if n % 3 else None,
                actor_name="ops" if n % 3 else "mixadmin",
                verb=("asked to run", "asked to pause", "changed in Mixpanel")[n % 3],
                target_type="warehouse.warehouseimport",
                target_id=str(about.pk),
                target_name=about.name,
                project_id=about.project_id,
                changes={"paused": ["False", "True"]} if n % 2 else {},
            )
        )
    _in_batches(Entry, rows, "audit entries")


def _ingestions(projects: list[Project], ops: User, count: int) -> None:
    now = timezone.now()
    ended = ("succeeded", "succeeded_with_errors", "failed", "cancelled")
    made = _in_batches(
        Ingestion,
        [
            Ingestion(
                project=projects[0 if n % 2 else n % PROJECTS],
                name=f"Backfill {NAMES[n % len(NAMES)]} {n}",
                kind="events",
                state="sending" if n < 3 else ended[0 if n % 10 else n // 10 % 4],
                created_by=ops,
                started_at=now - timedelta(hours=n),
                ended_at=None if n < 3 else now - timedelta(hours=n),
            )
            for n in range(count)
        ],
        "ingestions",
    )
    files = IngestionFile.objects.bulk_create(
        [
            IngestionFile(
                ingestion=row,
                name=f"events-{n}.ndjson",
                place="directory",
                directory="data",
                path=f"events-{n}.ndjson",
                size=411_000,
                tag="t",
                state="sending" if row.state == "sending" else "done",
            )
            for row in made
            for n in range(3)
        ],
        batch_size=2_000,
    )
    Part.objects.bulk_create(
        [
            Part(
                file=file,
                ordinal=0,
                stored=205_500,
                done=file.state == "done",
                read=1000,
                imported=990,
                refused=10,
            )
            for file in files
        ],
        batch_size=2_000,
    )


def _rest(projects: list[Project], ops: User) -> None:
    now = timezone.now()
    Beat.objects.create(name="scheduler", at=now + timedelta(days=1))
    LookupTable.objects.bulk_create(
        LookupTable(
            project=projects[0], name=f"table {n}", mixpanel_id=str(n), seen_at=now
        )
        for n in range(100)
    )
    Upload.objects.bulk_create(
        Upload(
            project=projects[0],
            owner=ops,
            name=f"events-{n}.ndjson",
            size=1000,
            touched_at=now,
        )
        for n in range(300)
    )
    Poll.objects.bulk_create(
        Poll(
            name=name,
            project=project,
            next_at=now,
            polled_at=now,
            error_kind="not_authenticated" if n == 5 else "",
        )
        for n, project in enumerate(projects)
        for name in ("warehouse", "connectors")
    )
