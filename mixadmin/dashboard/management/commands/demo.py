"""`manage.py demo`: a whole installation that talks to the sandbox, filled by doing."""

import gzip
import json
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from mixadmin.accounts.actions import create_user
from mixadmin.accounts.models import User
from mixadmin.common.commands import lines
from mixadmin.common.stack import AlreadyRunning, OfSandbox, Stack
from mixadmin.common.states import Presence
from mixadmin.common.supervisor import StartFailed
from mixadmin.connectors.actions import create_connector
from mixadmin.connectors.models import Connector
from mixadmin.ingestion.actions import create_ingestion
from mixadmin.ingestion.models import Ingestion
from mixadmin.ingestion.queries import counts
from mixadmin.jobs.models import Job
from mixadmin.projects.actions import add_project, verify_project
from mixadmin.projects.models import Project
from mixadmin.service_accounts.actions import add_service_account
from mixadmin.warehouse.actions import create_import, create_source, run_import
from mixadmin.warehouse.models import WarehouseImport, WarehouseSource

USERNAME = "demo"
# The sandbox answers at once, so waiting times may be shorter than with Mixpanel.
TIME_SCALE = 0.25
PATIENCE = 240.0

DEMO = {"dataset": "demo"}
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "Events in BigQuery": ("bigquery", {"gcp_project_id": "acme-data"}),
    "Web in Snowflake": (
        "snowflake",
        {
            "account_identifier": "acme-eu1",
            "user": "MIXPANEL",
            "role": "MIXPANEL_ROLE",
            "auth_method": "key_pair",
            "warehouse": "LOADING",
            "storage_integration": "MIXPANEL_INTEGRATION",
            "database": "demo",
        },
    ),
    "CRM in Redshift": (
        "redshift",
        {
            "aws_account_id": "123456789012",
            "cluster_id": "acme",
            "region": "us-east-1",
            "s3_bucket": "acme-mixpanel-staging",
            "database": "demo",
            "role_name": "mixpanel",
        },
    ),
    "Lake in Databricks": (
        "databricks",
        {
            "server_hostname": "adb-1234567890.1.azuredatabricks.net",
            "auth_method": "token",
            "access_token": "made-up-for-the-demo",
            "compute_type": "jobs",
        },
    ),
    "App in Postgres": (
        "postgres",
        {
            "host": "db.acme.test",
            "port": 5432,
            "database": "demo",
            "user": "mixpanel",
            "password": "made-up-for-the-demo",
            "ssl_mode": "verify-full",
        },
    ),
}
EVENT_COLUMNS = {"time_column_name": "happened_at", "user_column_name": "customer"}
APPEND = {**EVENT_COLUMNS, "insert_time_column_name": "inserted_at"}

# name: (source, kind, sync mode, table_params, fields, frequency, how its run ends)
IMPORTS: dict[str, tuple[str, str, str, dict[str, Any], dict[str, Any], str, str]] = {
    "Orders": (
        "Events in BigQuery",
        "event_stream",
        "time_based",
        {"project": "acme-data", **DEMO, "table": "orders"},
        {**APPEND, "event_column_name": "event"},
        "daily",
        "succeeded",
    ),
    "Page views": (
        "Web in Snowflake",
        "event_stream",
        "mirror_mode",
        {"database": "demo", "schema": "public", "table": "page_views"},
        {**EVENT_COLUMNS, "event_name": "Page view"},
        "hourly",
        "succeeded",
    ),
    "Archive": (
        "Lake in Databricks",
        "event_stream",
        "one_time",
        {"catalog": "demo", "schema": "public", "table": "archive"},
        {**EVENT_COLUMNS, "event_name": "Archived"},
        "",
        "succeeded",
    ),
    "Customers": (
        "App in Postgres",
        "people",
        "full_sync",
        {"schema": "public", "table": "users"},
        {"user_column_name": "id"},
        "daily",
        "succeeded",
    ),
    "Companies": (
        "CRM in Redshift",
        "groups",
        "full_sync",
        {"schema": "public", "table": "companies"},
        {"group_key": "company", "group_id_column": "company_id"},
        "weekly",
        "succeeded",
    ),
    "Products": (
        "Events in BigQuery",
        "lookup_table",
        "full_sync",
        {"project": "acme-data", **DEMO, "table": "products"},
        {
            "property_key_column_name": "sku",
            "mixpanel_property": {"value": "sku", "resourceType": "event"},
        },
        "daily",
        "succeeded",
    ),
    "Orders on demand": (
        "Events in BigQuery",
        "event_stream",
        "time_based",
        {"project": "acme-data", **DEMO, "table": "orders"},
        {**APPEND, "event_name": "Order on demand"},
        "api",
        "succeeded",
    ),
    "Clicks, whose table is gone": (
        "Events in BigQuery",
        "event_stream",
        "time_based",
        {"project": "acme-data", **DEMO, "table": "clicks"},
        {**APPEND, "event_name": "Click"},
        "daily",
        "failed",
    ),
}
CLUSTER = {
    "export_cluster_config": {
        "spark_version": "15.4.x-scala2.12",
        "node_type_id": "Standard_DS3_v2",
        "autoscale": {"min_workers": 1, "max_workers": 4},
        "custom_tags": {"team": "growth"},
    }
}
ROLE = "arn:aws:iam::123456789012:role/mixpanel-import"

# label: (region of the project, type, properties, category, how its run ends)
CONNECTORS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], str]] = {
    "Signups from GCS": (
        "us",
        "gcsImport",
        {"gcs_bucket": "acme-exports", "gcs_prefix": "signups/"},
        {"data_format": "mixpanel_event", "compression": "none"},
        "succeeded",
    ),
    "Profiles from S3": (
        "us",
        "s3Import",
        {
            "s3_bucket": "acme-exports",
            "s3_prefix": "profiles/",
            "s3_region": "us-east-1",
            "s3_role": ROLE,
        },
        {"data_format": "mixpanel_people", "compression": "gzip"},
        "succeeded",
    ),
    "Packed files declared as plain": (
        "us",
        "gcsImport",
        {"gcs_bucket": "acme-exports", "gcs_prefix": "packed/"},
        {"data_format": "mixpanel_event", "compression": "none"},
        "failed",
    ),
    "A file with bad lines": (
        "eu",
        "gcsImport",
        {"gcs_bucket": "acme-exports", "gcs_prefix": "mixed/"},
        {"data_format": "mixpanel_event", "compression": "none"},
        "succeeded_with_errors",
    ),
}

NOW = int(time.time())
PLANS = ("free", "team", "business")


def _event(n: int, **changes: Any) -> dict[str, Any]:
    properties = {
        "time": NOW - 600 - n * 37,
        "distinct_id": f"customer-{n % 211}",
        "$insert_id": f"demo-{n:07d}",
        "plan": PLANS[n % 3],
        "amount": round(n * 1.37 % 250, 2),
        "city": ("Zürich", "Porto", "Pune")[n % 3],
        **changes,
    }
    return {"event": ("Checkout", "Refund")[n % 7 == 0], "properties": properties}


def _with_bad_ones(count: int) -> list[Any]:
    """Each of the mistakes that people make, among records that are fine."""
    found: list[Any] = [_event(n) for n in range(900_000, 900_000 + count)]
    found[count // 9] = _event(1, distinct_id="undefined")
    found[count // 7] = _event(2, time="2026-11-02T10:00:00Z")
    found[count // 5] = _event(3, **{"$insert_id": "order/4711"})
    found[count // 4] = "not JSON at all"
    found[count // 3] = _event(4, distinct_id="null")
    found[count // 2] = _event(5, time=NOW + 9_000_000)
    return found


def _profile(n: int) -> dict[str, Any]:
    return {"$distinct_id": f"customer-{n}", "$set": {"plan": PLANS[n % 3], "n": n}}


# file: (kind, its records, settings, how it ends)
FILES: dict[str, tuple[str, list[Any], dict[str, Any], str]] = {
    "checkouts.ndjson.gz": (
        "events",
        [_event(n) for n in range(12_000)],
        {"start": "clean"},
        "succeeded",
    ),
    "checkouts-with-mistakes.ndjson": (
        "events",
        _with_bad_ones(3_000),
        {"start": "always"},
        "succeeded_with_errors",
    ),
    "customers.ndjson": (
        "people",
        [_profile(n) for n in range(800)],
        {"start": "clean"},
        "succeeded",
    ),
    "to-be-looked-at.ndjson": ("events", _with_bad_ones(500), {}, "ready"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table that is printed at the end."""

    project: str
    what: str
    name: str
    expected: str
    found: str
    detail: str = ""

    @property
    def is_right(self) -> bool:
        return self.expected == self.found


class Command(BaseCommand):
    help = "Start everything with a sandbox, fill it by doing, and go on serving."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--check",
            action="store_true",
            help="do not serve; exit 1 unless every run ended as expected",
        )

    def handle(self, **options: Any) -> None:
        check = options["check"]
        files = Path(settings.DATA_DIR) / "files"
        settings.INGEST_DIRECTORIES = {"demo": str(files)}
        stack = Stack(
            settings.DATA_DIR,
            sandbox=True,
            port=0 if check else options["port"],
            time_scale=TIME_SCALE,
            env={"INGEST_DIRECTORIES": f"demo={files}"},
            output=self.tell,
        )
        try:
            with stack:
                # This process makes a few calls of its own (verify); they too go to
                # the sandbox that was just started.
                settings.MIXPANEL_APP_URL = f"{stack.sandbox_url}/{{region}}/api/app"
                settings.MIXPANEL_INGESTION_URL = f"{stack.sandbox_url}/{{region}}"
                right = self.fill(stack)
                if check:
                    if not right:
                        raise CommandError("Not everything ended as expected.")
                    return
                self.welcome(stack)
                stack.wait()
        except (AlreadyRunning, OfSandbox, StartFailed) as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError("\n".join(lines(error))) from None

    def tell(self, line: str) -> None:
        """Only what went wrong in the processes; their chatter would hide the table."""
        if any(word in line for word in ("ERROR", "CRITICAL", "Traceback", "exited")):
            self.stderr.write(line)

    def welcome(self, stack: Stack) -> None:
        password = settings.LOCAL_ENV["DEMO_PASSWORD"]
        self.stdout.write(
            f"\n  mixadmin  {stack.url}\n  sign in   {USERNAME} / {password}\n"
            f"  sandbox   {stack.sandbox_url}\n  Ctrl-C stops everything.\n"
        )

    # --- Filling ----------------------------------------------------------------------

    def fill(self, stack: Stack) -> bool:
        """Do what a new team would do, unless it was done already; wait; print."""
        if not Project.objects.exists():
            self.progress("Filling a new installation: projects, service accounts …")
            user = self.user()
            world = self.world(stack)
            self.register(user, world)
            self.create(user)
            self.progress("Waiting for the runs to end …")
        else:
            self.progress("Going on with what is there …")
        self.wait(lambda: all(line.found != "…" for line in self.report()))
        report = self.report()
        self.show(report)
        return all(line.is_right for line in report)

    def progress(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def user(self) -> User:
        user = User.objects.filter(username=USERNAME).first()
        return user or create_user(
            username=USERNAME,
            password=settings.LOCAL_ENV["DEMO_PASSWORD"],
            superuser=True,
        )

    def world(self, stack: Stack) -> dict[str, Any]:
        """What exists at Mixpanel and in the warehouse before mixadmin comes."""
        command = [sys.executable, "-m", "mixadmin.sandbox.demo", stack.sandbox_url]
        made = subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        world: dict[str, Any] = json.loads(made.stdout)
        return world

    def register(self, user: User, world: dict[str, Any]) -> None:
        for known in world["accounts"]:
            account = add_service_account(
                actor=user,
                username=known["username"],
                secret=known["secret"],
                region=known["region"],
                organization_id=world["organization"],
                role="admin",
            )
            project = add_project(
                actor=user,
                name=known["name"],
                mixpanel_id=known["project"],
                region=known["region"],
                environment="test" if known["region"] == "in" else "production",
                token=known["token"],
                organization_id=world["organization"],
                service_account=account,
            )
            verify_project(project=project, actor=user)

    def create(self, user: User) -> None:
        shop = Project.objects.get(region="us")
        self.progress("Connecting warehouses and buckets …")
        for name, (warehouse_type, connection) in SOURCES.items():
            create_source(
                project=shop,
                actor=user,
                name=name,
                warehouse_type=warehouse_type,
                connection=connection,
            )
        for label, (region, kind, properties, category, _) in CONNECTORS.items():
            create_connector(
                project=Project.objects.get(region=region),
                actor=user,
                label=label,
                connector_type=kind,
                connector_properties=properties,
                category_properties=category,
            )
        self.progress("Sending files …")
        self.send_files(shop, user)
        connected = WarehouseSource.objects.filter(presence=Presence.ACTIVE)
        self.wait(lambda: connected.count() == len(SOURCES))
        self.progress("Creating imports …")
        for name, entry in IMPORTS.items():
            source, kind, mode, table, fields, frequency, _ = entry
            create_import(
                project=shop,
                actor=user,
                name=name,
                source=WarehouseSource.objects.get(name=source),
                kind=kind,
                sync_mode=mode,
                table_params=table,
                fields=fields,
                frequency=frequency,
                databricks_params=CLUSTER if name == "Archive" else None,
            )
        on_demand = WarehouseImport.objects.filter(
            name="Orders on demand", presence=Presence.ACTIVE
        )
        self.wait(on_demand.exists)
        run_import(warehouse_import=on_demand.get(), actor=user)

    def send_files(self, project: Project, user: User) -> None:
        folder = Path(settings.INGEST_DIRECTORIES["demo"])
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, (kind, records, options, _) in FILES.items():
            texts = [r if isinstance(r, str) else json.dumps(r) for r in records]
            data = "\n".join(texts).encode() + b"\n"
            packed = gzip.compress(data) if name.endswith(".gz") else data
            (folder / name).write_bytes(packed)
            create_ingestion(
                project=project,
                actor=user,
                kind=kind,
                files=[{"place": "directory", "directory": "demo", "path": name}],
                **options,
            )

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait for workers and sandbox, but not for ever."""
        end = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > end:
                self.show(self.report())
                raise CommandError(f"Not done after {PATIENCE:.0f} seconds.")
            time.sleep(0.3)

    # --- Reporting --------------------------------------------------------------------

    def report(self) -> list[Line]:
        """What there is, beside what is expected of it. "…" is not known yet."""
        works = Project.Verification.WORKS
        report = [
            Line(p.name, "project", p.get_region_display(), works, p.verification)
            for p in Project.objects.all()
        ]
        report += [
            Line(s.project.name, s.type_label, s.name, "active", self.presence(s))
            for s in WarehouseSource.objects.select_related("project").order_by("pk")
            if s.name in SOURCES
        ]
        rows = WarehouseImport.objects.select_related("project").order_by("pk")
        for row in rows.filter(name__in=IMPORTS):
            what = f"{row.kind_label}, {row.sync_mode_label}"
            run = row.runs.order_by("at").first()
            events = "" if run is None else self.number(run.num_events_imported)
            report.append(
                Line(
                    row.project.name,
                    what,
                    row.name,
                    IMPORTS[row.name][-1],
                    self.state(run),
                    events,
                )
            )
        connectors = Connector.objects.select_related("project").order_by("pk")
        for connector in connectors.filter(label__in=CONNECTORS):
            load = connector.runs.order_by("at").first()
            told = "" if load is None else load.error_message
            told = told or self.number(load.num_events_imported if load else None)
            report.append(
                Line(
                    connector.project.name,
                    connector.type_label,
                    connector.label,
                    CONNECTORS[connector.label][-1],
                    self.state(load),
                    told,
                )
            )
        for ingestion in Ingestion.objects.select_related("project").order_by("pk"):
            if ingestion.name not in FILES:
                continue
            going_on = ingestion.state in Ingestion.GOING_ON
            report.append(
                Line(
                    ingestion.project.name,
                    ingestion.get_kind_display(),
                    ingestion.name,
                    FILES[ingestion.name][-1],
                    "…" if going_on else ingestion.state,
                    self.number(counts(ingestion)["imported"]),
                )
            )
        jobs = Job.objects.exclude(task="warehouse.run_import")
        report += [
            Line(str(job.project or ""), "job", job.title, "succeeded", job.state)
            for job in jobs.exclude(state__in=Job.RUNNABLE + Job.HELD)
            if job.state != Job.State.SUCCEEDED
        ]
        return report

    def presence(self, source: WarehouseSource) -> str:
        return "…" if source.presence == Presence.PENDING else str(source.presence)

    def state(self, run: Any) -> str:
        return "…" if run is None or run.state in ("queued", "running") else run.state

    def number(self, count: int | None) -> str:
        return "" if count is None else f"{count:,} imported"

    def show(self, report: list[Line]) -> None:
        heads = ("project", "what", "name", "ended", "", "")
        rows = [heads] + [
            (
                line.project,
                line.what,
                line.name,
                line.found,
                "ok" if line.is_right else f"expected {line.expected}",
                line.detail,
            )
            for line in report
        ]
        wide = [max(len(row[n]) for row in rows) for n in range(len(heads) - 1)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, wide, strict=False)]
            self.stdout.write("  ".join([*cells, row[-1]]).rstrip())
