"""What the front page tells besides incidents: a fixed number of queries."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet
from django.urls import reverse

from mixadmin.accounts.models import User
from mixadmin.common.states import UNFINISHED_RUN, Presence, RunState
from mixadmin.connectors.models import Connector, ConnectorRun
from mixadmin.ingestion.models import Ingestion
from mixadmin.ingestion.queries import shares
from mixadmin.jobs.models import Job
from mixadmin.projects.access import visible_jobs
from mixadmin.projects.models import Project
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.kinds import WAREHOUSES
from mixadmin.warehouse.models import ImportRun, WarehouseImport
from mixadmin.warehouse.sync_modes import WARN_AFTER, mirror_deadline

# Of one sort; the page says how many there are.
MOST = 20
BAD_VERIFICATION = (
    Project.Verification.WRONG_REGION,
    Project.Verification.NO_ACCESS,
    Project.Verification.CANNOT_REACH,
)


@dataclass(frozen=True, slots=True)
class Item:
    """One line. state and label make its badge; share: how far it is, 0 to 1."""

    state: str
    label: str
    title: str
    url: str
    text: str = ""
    project: str = ""
    at: datetime | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """The first items of one sort, how many there are, and the list of all or ""."""

    items: list[Item]
    count: int
    url: str = ""

    @property
    def more(self) -> int:
        return self.count - len(self.items)

    def __bool__(self) -> bool:
        return bool(self.count)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a person may see, counted once for all parts of the page.

    imports, connectors: {(project, status): number}; jobs, of those that go on or ended
    badly: {(project or None, state): number}; ingestions: {state: number}.
    """

    projects: "dict[int, Project]"
    imports: dict[tuple[int, str], int]
    connectors: dict[tuple[int, str], int]
    jobs: dict[tuple[int | None, str], int]
    ingestions: dict[str, int]

    def jobs_in(self, states: Iterable[str]) -> int:
        return sum(n for (_, state), n in self.jobs.items() if state in states)


def survey(user: User) -> Survey:
    """Count what a person may see, by how it stands, in a query for each sort."""
    projects = Project.objects.visible_to(user).order_by("name")
    mine = projects.order_by().values("pk")

    def count(rows: "QuerySet[Any]", *columns: str) -> dict[Any, int]:
        found = rows.order_by().values_list(*columns).annotate(n=Count("*"))
        return {row[:-1]: row[-1] for row in found}

    jobs = visible_jobs(user).filter(
        state__in={*Job.UNFINISHED, *Job.ATTENTION}, dismissed=False
    )
    by_state = count(Ingestion.objects.filter(project__in=mine), "state")
    return Survey(
        {project.pk: project for project in projects},
        count(WarehouseImport.objects.filter(project__in=mine), "project", "status"),
        count(Connector.objects.filter(project__in=mine), "project", "state"),
        count(jobs, "project", "state"),
        {state: n for (state,), n in by_state.items()},
    )


# --- What waits for a person ----------------------------------------------------------

WAITING_INGESTIONS = {
    Ingestion.State.NEEDS_DECISION: "Somebody must say whether some updates arrived.",
    Ingestion.State.GATED: "Too many records of a slice were refused; the next waits.",
    Ingestion.State.READY: "Checked. It is sent when somebody says so.",
}


def decisions(user: User, seen: Survey) -> Lines:
    """Jobs and ingestions that only a person can let go on, the oldest jobs first."""
    jobs = visible_jobs(user).filter(state=Job.State.NEEDS_DECISION, dismissed=False)
    projects = Project.objects.visible_to(user).values("pk")
    ingestions = Ingestion.objects.filter(
        project__in=projects, state__in=WAITING_INGESTIONS
    )
    items = [
        Item(
            job.state,
            job.get_state_display(),
            job.title,
            job.get_absolute_url(),
            job.decision.get("why", "") or job.error_message[:300],
            str(job.project or ""),
            job.created_at,
        )
        for job in jobs.select_related("project").order_by("created_at")[:MOST]
    ]
    rows = ingestions.select_related("project").defer("report")
    items += [
        Item(
            row.state,
            row.get_state_display(),
            row.name,
            row.get_absolute_url(),
            WAITING_INGESTIONS[Ingestion.State(row.state)],
            row.project.name,
            row.created_at,
        )
        for row in rows.order_by("state", "pk")[:MOST]
    ]
    waiting = [seen.ingestions.get(state, 0) for state in WAITING_INGESTIONS]
    count = seen.jobs_in([Job.State.NEEDS_DECISION]) + sum(waiting)
    return Lines(items[:MOST], count, f"{reverse('jobs:list')}?state=needs_decision")


# --- What will go wrong ---------------------------------------------------------------


def mirrors(user: User, now: datetime, seen: Survey) -> Lines:
    """Mirror imports that die unless they run, the soonest first; `at` is when.

    state: "warn", "alarm" or "dead"; label: the days that are left.
    """
    have_mirror = [slug for slug, w in WAREHOUSES.items() if w.mirror is not None]
    rows = WarehouseImport.objects.filter(
        project__in=Project.objects.visible_to(user).values("pk"),
        presence=Presence.ACTIVE,
        sync_mode="mirror_mode",
        source__warehouse_type__in=have_mirror,
        last_success_at__lte=now - WARN_AFTER,
    )
    found = []
    # What dies first depends on the warehouse too, so that all are looked at; only
    # those that have not run for a week are read.
    for row in (
        rows.select_related("source")
        .only("name", "project_id", "last_success_at", "source__warehouse_type")
        .order_by("last_success_at")
    ):
        assert row.source is not None
        last = row.last_success_at
        deadline = mirror_deadline(row.source.warehouse_type, last, now=now)
        if deadline is None or deadline.level == "ok":
            continue
        days = deadline.days_left
        label = f"{days} day{'' if days == 1 else 's'} left"
        if deadline.level == "dead":
            label = "Dead"
        text = f"Unless it runs before: {deadline.why}."
        found.append(
            Item(
                deadline.level,
                label,
                row.name,
                row.get_absolute_url(),
                text,
                seen.projects[row.project_id].name,
                deadline.dies_at,
            )
        )
    found.sort(key=lambda item: item.at or now)
    return Lines(found[:MOST], len(found))


@dataclass(frozen=True, slots=True)
class Expiry:
    """A service account that expires, and what stops working with it.

    level: "dead" (expired), "alarm" (7 days or less), "warn" (30 or less).
    days_left: whole days, negative when it is past.
    projects, imports, connectors: how many depend on it. names: a few of the projects.
    fix_url: where another account is made; fix: the words for it.
    """

    username: str
    url: str
    at: datetime
    days_left: int
    level: str
    projects: int
    imports: int
    connectors: int
    names: list[str]
    fix: str
    fix_url: str


def expiring(user: User, now: datetime, seen: Survey) -> list[Expiry]:
    """Service accounts that expire within 30 days or have, the soonest first.

    What depends on them is counted in the projects that the person may see.
    """
    accounts = list(ServiceAccount.objects.visible_to(user).expiring(now)[:MOST])
    names: dict[int | None, list[str]] = defaultdict(list)
    for project in seen.projects.values():
        names[project.service_account_id].append(project.name)

    def depend(counts: dict[tuple[int, str], int]) -> Counter[int | None]:
        found: Counter[int | None] = Counter()
        for (project, status), n in counts.items():
            if project in seen.projects and status != Presence.DELETED:
                found[seen.projects[project].service_account_id] += n
        return found

    imports, connectors = depend(seen.imports), depend(seen.connectors)
    found = []
    for account in accounts:
        assert account.expires_at is not None
        left = (account.expires_at - now).days
        level = "dead" if left < 0 else "alarm" if left <= 7 else "warn"
        found.append(
            Expiry(
                account.username,
                account.get_absolute_url(),
                account.expires_at,
                left,
                level,
                len(names[account.pk]),
                imports[account.pk],
                connectors[account.pk],
                names[account.pk][:3],
                "Make another one",
                reverse("service_accounts:organization_create", args=[account.pk])
                if account.organization_id
                else reverse("service_accounts:create"),
            )
        )
    return found


# --- What goes on ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Running:
    """What goes on now: the newest of it as items, and how many there are of each."""

    items: list[Item]
    jobs: int
    runs: int
    ingestions: int

    def __bool__(self) -> bool:
        return bool(self.jobs or self.runs or self.ingestions)


def running(user: User, seen: Survey) -> Running:
    """Unfinished ingestions (with how far they are), runs and jobs.

    A job that only watches a run is told by the run.
    """
    projects = Project.objects.visible_to(user).values("pk")
    waiting = (Job.State.NEEDS_DECISION, Job.State.POLLING)
    states = [state for state in Job.UNFINISHED if state not in waiting]
    jobs = visible_jobs(user).filter(state__in=states, dismissed=False)
    import_runs = ImportRun.objects.unfinished().filter(
        warehouse_import__project__in=projects
    )
    connector_runs = ConnectorRun.objects.unfinished().filter(
        connector__project__in=projects
    )
    newest = sorted(
        [
            *import_runs.select_related("warehouse_import__project")[:MOST],
            *connector_runs.select_related("connector__project")[:MOST],
        ],
        key=lambda run: run.at,
        reverse=True,
    )
    ingestions = Ingestion.objects.going_on().filter(project__in=projects)
    sent = list(ingestions.select_related("project").defer("report")[:MOST])
    how_far = shares(sent)
    items = [_line(row, row.name, row.project, how_far[row.pk]) for row in sent]
    for run in newest[:MOST]:
        row = run.warehouse_import if isinstance(run, ImportRun) else run.connector
        share = getattr(run, "progress", None)
        items.append(_line(run, str(row), row.project, share, at=run.at))
    told = jobs.select_related("project").order_by("-created_at")[:MOST]
    items += [_line(job, job.title, job.project, None) for job in told]
    return Running(
        items[:MOST],
        seen.jobs_in(states),
        import_runs.count() + connector_runs.count(),
        sum(seen.ingestions.get(state, 0) for state in Ingestion.GOING_ON),
    )


def _line(
    row: Any,
    title: str,
    project: Project | None,
    share: float | None,
    at: datetime | None = None,
) -> Item:
    return Item(
        row.state,
        row.get_state_display(),
        title,
        row.get_absolute_url(),
        project=project.name if project else "",
        at=at or row.started_at or row.created_at,
        share=share,
    )


# --- How the projects are -------------------------------------------------------------

# Where each status of an import or connector counts.
COUNTS_AS: dict[str, str] = {
    **dict.fromkeys((*UNFINISHED_RUN, Presence.PENDING, Presence.DELETING), "running"),
    **dict.fromkeys((RunState.FAILED, Presence.MISSING), "failing"),
    Presence.NOT_CREATED: "failing",
    RunState.PAUSED: "paused",
    RunState.SUCCEEDED: "healthy",
    # Neither well nor failing: somebody should look when there is time.
    **dict.fromkeys((RunState.SUCCEEDED_WITH_ERRORS, RunState.UNKNOWN), "doubtful"),
    RunState.CANCELLED: "doubtful",
    "new": "new",
}


@dataclass(slots=True)
class Health:
    """How a project is: its imports and connectors by how they stand, and its jobs.

    doubtful: succeeded with errors, cancelled, or not known; new: none has run yet.
    """

    project: Project
    imports: int = 0
    connectors: int = 0
    running: int = 0
    failing: int = 0
    paused: int = 0
    healthy: int = 0
    doubtful: int = 0
    new: int = 0
    jobs_going_on: int = 0
    jobs_troubled: int = 0

    @property
    def is_well(self) -> bool:
        bad = self.project.verification in BAD_VERIFICATION
        return not (self.failing or self.jobs_troubled or bad)


def health(seen: Survey, *, most: int = 50) -> list[Health]:
    """How each project is, those with troubles first; at most `most` of them."""
    lines = {pk: Health(project) for pk, project in seen.projects.items()}
    for total, counts in (("imports", seen.imports), ("connectors", seen.connectors)):
        for (project, status), n in counts.items():
            line, as_what = lines.get(project), COUNTS_AS.get(status, "doubtful")
            if line is None or status == Presence.DELETED:
                continue
            setattr(line, total, getattr(line, total) + n)
            setattr(line, as_what, getattr(line, as_what) + n)
    for (pk, state), n in seen.jobs.items():
        if pk in lines and state in Job.ATTENTION:
            lines[pk].jobs_troubled += n
        if pk in lines and state in Job.UNFINISHED:
            lines[pk].jobs_going_on += n
    ordered = sorted(
        lines.values(),
        key=lambda line: (line.is_well, -line.failing - line.jobs_troubled),
    )
    return ordered[:most]
