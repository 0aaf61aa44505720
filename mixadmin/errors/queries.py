"""What fails at this moment, by cause: a fixed number of queries."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.utils import timezone

from mixadmin.accounts.models import User
from mixadmin.common.causes import CAUSES, Cause
from mixadmin.common.remedies import (
    explain,
    explain_record,
    explain_row,
    explain_run_failure,
)
from mixadmin.common.states import Presence, RunState
from mixadmin.connectors.models import Connector
from mixadmin.ingestion.models import Ingestion, IngestionFile, RejectedGroup
from mixadmin.jobs.models import Job, Poll
from mixadmin.lookups.models import LookupTable, LookupVersion
from mixadmin.projects.access import visible_jobs
from mixadmin.projects.models import Project
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.models import WarehouseImport
from mixadmin.warehouse.sync_modes import mirror_deadline

# Of one sort; whoever shows them says "at least" when a sort has more.
MOST = 500
# Ingestions end once; so long theirs count as failing.
RECENT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Failing:
    """One thing that fails. records: how many of its records, where it is about them."""

    sort: str
    title: str
    url: str
    project: str = ""
    at: datetime | None = None
    records: int | None = None


Found = Iterable[tuple[Cause, Failing]]


def failing(user: User) -> dict[str, list[Failing]]:
    """{code of a cause: what a person may see that fails of it}."""
    now = timezone.now()
    projects = Project.objects.visible_to(user)
    mine = projects.values("pk")
    ended = Ingestion.objects.filter(
        project__in=mine,
        state__in=(Ingestion.State.FAILED, Ingestion.State.SUCCEEDED_WITH_ERRORS),
        ended_at__gt=now - RECENT,
    )
    sorts: tuple[Found, ...] = (
        _jobs(user),
        _imports(WarehouseImport.objects.present().filter(project__in=mine)),
        _mirrors(WarehouseImport.objects.present().filter(project__in=mine), now),
        _connectors(Connector.objects.present().filter(project__in=mine)),
        _ingestions(ended),
        _files(ended),
        _records(ended),
        _tables(LookupTable.objects.filter(project__in=mine)),
        _accounts(ServiceAccount.objects.visible_to(user).present(), now),
        _projects(projects),
        _polls(Poll.objects.filter(project__in=mine)),
    )
    found: dict[str, list[Failing]] = defaultdict(list)
    for sort in sorts:
        for cause, thing in sort:
            found[cause.code].append(thing)
    return dict(found)


def _of(sort: str, row: Any, at: datetime | None = None) -> Failing:
    return Failing(sort, str(row), row.get_absolute_url(), row.project.name, at)


def _jobs(user: User) -> Iterator[tuple[Cause, Failing]]:
    held_up = Q(state__in=(Job.State.WAITING, Job.State.UNKNOWN))
    jobs = visible_jobs(user)
    jobs = (jobs & Job.objects.needing_attention()) | jobs.filter(held_up)
    jobs = jobs.exclude(error_kind="", error_message="")
    rows = jobs.select_related("project").defer("params", "error_raw", "result")
    for job in rows.order_by("-created_at")[:MOST]:
        area = job.target_type.partition(".")[0]
        cause = explain(
            job.error_kind, message=job.error_message, context={"area": area}
        )
        # A job that waits for its turn and says so in its own words is no error.
        if job.error_kind or cause.code != "unknown":
            at = job.ended_at or job.created_at
            name = job.project.name if job.project else ""
            yield cause, Failing("Job", job.title, job.get_absolute_url(), name, at)


def _imports(rows: "QuerySet[Any]") -> Iterator[tuple[Cause, Failing]]:
    troubled = Q(last_state__in=(RunState.FAILED, RunState.UNKNOWN))
    troubled |= Q(presence=Presence.MISSING) | Q(paused_elsewhere=True)
    troubled |= Q(databricks_params__isnull=False)
    for row in rows.filter(troubled).select_related("project")[:MOST]:
        thing = _of("Warehouse import", row, row.last_at)
        if row.presence == Presence.MISSING:
            yield CAUSES["missing"], thing
        elif row.last_state == RunState.FAILED:
            yield explain_run_failure(""), thing
        elif row.last_state == RunState.UNKNOWN:
            yield CAUSES["run.state_unknown"], thing
        if row.paused_elsewhere:
            yield CAUSES["paused_elsewhere"], thing
        if row.cluster_drift:
            yield CAUSES["databricks.config_differs"], thing


def _mirrors(rows: "QuerySet[Any]", now: datetime) -> Iterator[tuple[Cause, Failing]]:
    mirrors = rows.filter(sync_mode="mirror_mode", presence=Presence.ACTIVE)
    for row in mirrors.select_related("project", "source")[:MOST]:
        kind = row.source.warehouse_type if row.source else ""
        deadline = mirror_deadline(kind, row.last_success_at, now=now)
        if deadline is not None and deadline.level != "ok":
            thing = _of("Warehouse import", row, deadline.dies_at)
            yield CAUSES["mirror.expired"], thing


def _connectors(rows: "QuerySet[Any]") -> Iterator[tuple[Cause, Failing]]:
    states = (RunState.FAILED, RunState.SUCCEEDED_WITH_ERRORS, RunState.UNKNOWN)
    troubled = Q(last_state__in=states) | Q(presence=Presence.MISSING)
    troubled |= ~Q(failure_message="")
    rows = rows.filter(troubled).select_related("project", "last_run")
    for row in rows[:MOST]:
        thing = _of("Cloud connector", row, row.last_at)
        words = row.last_run.error_message if row.last_run else ""
        if row.presence == Presence.MISSING:
            yield CAUSES["missing"], thing
        elif row.last_state == RunState.FAILED:
            kind = row.connector_type
            yield explain_run_failure(words, connector_type=kind), thing
        elif row.last_state == RunState.SUCCEEDED_WITH_ERRORS:
            yield CAUSES["connector.dropped"], thing
        elif row.last_state == RunState.UNKNOWN:
            yield CAUSES["run.state_unknown"], thing
        if row.failure_message:
            yield CAUSES["connector.paused"], thing


def _ingestions(ended: "QuerySet[Ingestion]") -> Iterator[tuple[Cause, Failing]]:
    rows = ended.exclude(error_kind="").select_related("project").defer("report")
    for row in rows[:MOST]:
        cause = explain(row.error_kind, message=row.error_message)
        yield cause, _of("Ingestion", row, row.ended_at)


def _files(ended: "QuerySet[Ingestion]") -> Iterator[tuple[Cause, Failing]]:
    rows = IngestionFile.objects.filter(ingestion__in=ended.values("pk"))
    rows = rows.exclude(error_kind="").select_related("ingestion__project")
    for row in rows.defer("ingestion__report")[:MOST]:
        cause = explain(row.error_kind, message=row.error_message)
        about = row.ingestion
        url, name = about.get_absolute_url(), about.project.name
        yield cause, Failing("File", row.name, url, name, about.ended_at)


def _records(ended: "QuerySet[Ingestion]") -> Iterator[tuple[Cause, Failing]]:
    groups = RejectedGroup.objects.filter(ingestion__in=ended.values("pk"))
    counted = groups.order_by().values("ingestion", "code", "message")
    counted = counted.annotate(records=Sum("count"))[:MOST]
    sums: dict[tuple[int, str], int] = defaultdict(int)
    for row in counted:
        cause = explain_record(row["code"], row["message"])
        sums[row["ingestion"], cause.code] += row["records"]
    keys = {key for key, _ in sums}
    about = ended.select_related("project").defer("report").in_bulk(keys)
    for (key, code), records in sums.items():
        one = about[key]
        thing = Failing(
            "Ingestion",
            str(one),
            one.get_absolute_url(),
            one.project.name,
            one.ended_at,
            records,
        )
        yield CAUSES[code], thing


def _tables(tables: "QuerySet[LookupTable]") -> Iterator[tuple[Cause, Failing]]:
    """By the newest version of each."""
    newest = LookupVersion.objects.filter(table=OuterRef("pk")).order_by("-number")
    states = LookupVersion.State
    rows = LookupVersion.objects.filter(
        pk__in=tables.values(newest=Subquery(newest.values("pk")[:1])),
        state__in=(states.INVALID, states.REFUSED),
    )
    for row in rows.select_related("table__project")[:MOST]:
        title, name = str(row.table), row.table.project.name
        url, at = row.get_absolute_url(), row.sent_at or row.created_at
        thing = Failing("Lookup table", title, url, name, at)
        told = {
            f"lookup.{code}"
            for code, found in row.findings.items()
            if found.get("refused")
        }
        for refused in row.refused_rows:
            known = explain_row(str(refused.get("message", "")))
            told.add(known.code if known else "lookup.rows_refused")
        for code in sorted(told & CAUSES.keys()):
            yield CAUSES[code], thing


def _accounts(
    rows: "QuerySet[ServiceAccount]", now: datetime
) -> Iterator[tuple[Cause, Failing]]:
    refused = Q(verification=ServiceAccount.Verification.REFUSED)
    for row in rows.filter(refused | Q(expires_at__lte=now))[:MOST]:
        expired = row.expires_at is not None and row.expires_at <= now
        code = "account_expired" if expired else "not_authenticated"
        at = row.expires_at if expired else row.verified_at
        url = row.get_absolute_url()
        yield CAUSES[code], Failing("Service account", row.username, url, at=at)


VERIFICATIONS = {
    Project.Verification.WRONG_REGION: "wrong_region",
    Project.Verification.NO_ACCESS: "not_allowed",
    Project.Verification.CANNOT_REACH: "unreachable",
}


def _projects(rows: "QuerySet[Project]") -> Iterator[tuple[Cause, Failing]]:
    for row in rows.filter(verification__in=VERIFICATIONS)[:MOST]:
        cause = CAUSES[VERIFICATIONS[Project.Verification(row.verification)]]
        url = row.get_absolute_url()
        yield cause, Failing("Project", row.name, url, row.name, row.verified_at)


def _polls(rows: "QuerySet[Poll]") -> Iterator[tuple[Cause, Failing]]:
    # To wait for a budget is no failure.
    rows = rows.exclude(error_kind="").exclude(error_kind__startswith="waiting_")
    for row in rows.select_related("project")[:MOST]:
        cause = explain(row.error_kind, message=row.error_message)
        title, url = f"Looking at {row.name}", row.project.get_absolute_url()
        yield cause, Failing("Poll", title, url, row.project.name, row.polled_at)
