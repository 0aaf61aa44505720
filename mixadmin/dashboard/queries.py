"""What needs attention, and how the projects are: a fixed number of queries."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from mixadmin.accounts.models import User
from mixadmin.common.states import UNFINISHED_RUN, Presence, RunState
from mixadmin.connectors.models import Connector, ConnectorRun
from mixadmin.ingestion.models import Ingestion
from mixadmin.ingestion.queries import shares
from mixadmin.jobs.models import Beat, Job, Poll
from mixadmin.projects.access import visible_jobs
from mixadmin.projects.models import Project
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.models import ImportRun, WarehouseImport
from mixadmin.warehouse.sync_modes import mirror_deadline

# Of one sort; the page says when there are more.
MOST = 20
SCHEDULER_IS_LATE = timedelta(minutes=2)
# So long the home page tells of an ingestion that did not end well.
BAD_END_SHOWN = timedelta(days=1)
BAD_VERIFICATION = (
    Project.Verification.WRONG_REGION,
    Project.Verification.NO_ACCESS,
    Project.Verification.CANNOT_REACH,
)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that somebody should look at. state and label make its badge."""

    state: str
    label: str
    title: str
    url: str
    text: str = ""
    project: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Items of one sort. `more`: there are others that are not shown."""

    title: str
    items: list[Item]
    more: bool = False


def attention(user: User) -> list[Group]:
    """What needs somebody, most pressing first; groups with nothing are left out."""
    now = timezone.now()
    projects = Project.objects.visible_to(user)
    mine = projects.values("pk")
    imports = WarehouseImport.objects.present().filter(project__in=mine)
    connectors = Connector.objects.present().filter(project__in=mine)
    groups = (
        ("The machinery", _machinery(now)),
        ("Jobs", _jobs(user)),
        ("Ingestions", _ingestions(projects, now)),
        ("Warehouse imports", _imports(imports)),
        ("Mirror countdowns", _mirrors(imports)),
        ("Databricks clusters that Mixpanel runs otherwise", _drift(imports)),
        ("Cloud connectors", _connectors(connectors)),
        ("Service accounts", _accounts(user, now)),
        ("Projects", _projects(projects)),
        ("What cannot be looked at", _polls(projects)),
    )
    return [
        Group(title, items[:MOST], len(items) > MOST)
        for title, items in groups
        if items
    ]


def _machinery(now: datetime) -> list[Item]:
    beat = Beat.objects.filter(name="scheduler").first()
    if beat and beat.at > now - SCHEDULER_IS_LATE:
        return []
    text = (
        "It has never been heard of. Nothing is polled or tried again: start it."
        if beat is None
        else "Nothing is polled or tried again until it runs. Last heard of"
    )
    at = beat.at if beat else None
    return [Item("dead", "Silent", "The scheduler", "", text, at=at)]


def _jobs(user: User) -> list[Item]:
    jobs = visible_jobs(user) & Job.objects.needing_attention()
    first = {Job.State.NEEDS_DECISION: 0, Job.State.DEAD: 1}
    found = jobs.select_related("project").order_by("-created_at")[: MOST + 1]
    return [
        Item(
            job.state,
            job.get_state_display(),
            job.title,
            job.get_absolute_url(),
            job.decision.get("why", "") or job.error_message[:300],
            str(job.project or ""),
            job.ended_at or job.created_at,
        )
        for job in sorted(found, key=lambda job: first.get(Job.State(job.state), 2))
    ]


WAITING_INGESTIONS = {
    Ingestion.State.NEEDS_DECISION: "Somebody must say whether some updates arrived.",
    Ingestion.State.GATED: "Too many records of a slice were refused; the next waits.",
    Ingestion.State.READY: "Checked. It is sent when somebody says so.",
}


def _ingestions(projects: "QuerySet[Project]", now: datetime) -> list[Item]:
    """Those that wait for a person, and those that did not end well since yesterday."""
    states = Ingestion.State
    ended = Q(
        state__in=(states.FAILED, states.SUCCEEDED_WITH_ERRORS),
        ended_at__gt=now - BAD_END_SHOWN,
    )
    rows = Ingestion.objects.filter(project__in=projects.values("pk"))
    rows = rows.filter(ended | Q(state__in=WAITING_INGESTIONS)).defer("report")
    first = [*WAITING_INGESTIONS][:2]
    return [
        Item(
            row.state,
            row.get_state_display(),
            *_about(
                row,
                WAITING_INGESTIONS.get(row.state)
                or row.error_message
                or "Not everything was imported.",
            ),
            row.ended_at or row.created_at,
        )
        for row in sorted(_some(rows), key=lambda row: row.state not in first)
    ]


def _imports(imports: "QuerySet[Any]") -> list[Item]:
    items = [
        Item("failed", "Failed", *_about(row, "Its last run failed."))
        for row in _some(imports.filter(last_state=RunState.FAILED))
    ]
    items += [
        Item("missing", "Gone", *_about(row, "Mixpanel no longer lists it."))
        for row in _some(imports.filter(presence=Presence.MISSING))
    ]
    paused = (
        "Paused while nobody here asked for it: in Mixpanel, or by its volume guard."
    )
    items += [
        Item("warn", "Paused elsewhere", *_about(row, paused))
        for row in _some(imports.filter(paused_elsewhere=True))
    ]
    return items


def _mirrors(imports: "QuerySet[Any]") -> list[Item]:
    found = []
    mirrors = imports.filter(sync_mode="mirror_mode", presence=Presence.ACTIVE)
    for row in mirrors.select_related("project", "source"):
        kind = row.source.warehouse_type if row.source else ""
        deadline = mirror_deadline(kind, row.last_success_at)
        if deadline is not None and deadline.level != "ok":
            item = Item(
                deadline.level,
                "Dead"
                if deadline.level == "dead"
                else f"{deadline.days_left} days left",
                *_about(row, f"Unless it runs before: {deadline.why}."),
                deadline.dies_at,
            )
            found.append((deadline.dies_at, item))
    return [item for _, item in sorted(found, key=lambda pair: pair[0])]


def _drift(imports: "QuerySet[Any]") -> list[Item]:
    rows = imports.filter(databricks_params__isnull=False)
    return [
        Item(
            "warn",
            "Drift",
            *_about(row, "Other at Mixpanel: " + ", ".join(k for k, _, _ in drift)),
        )
        for row in rows.select_related("project")
        if (drift := row.cluster_drift)
    ]


def _connectors(connectors: "QuerySet[Any]") -> list[Item]:
    items = [
        Item("failed", "Failed", *_about(row, row.failure_message or "Its run failed."))
        for row in _some(connectors.filter(last_state=RunState.FAILED))
    ]
    return items + [
        Item("missing", "Gone", *_about(row, "Mixpanel no longer lists it."))
        for row in _some(connectors.filter(presence=Presence.MISSING))
    ]


def _some(rows: "QuerySet[Any]") -> "QuerySet[Any]":
    return rows.select_related("project")[: MOST + 1]


def _about(row: Any, text: str) -> tuple[str, str, str, str]:
    return str(row), row.get_absolute_url(), text[:300], row.project.name


def _accounts(user: User, now: datetime) -> list[Item]:
    accounts = ServiceAccount.objects.visible_to(user).present()
    refused = accounts.filter(verification=ServiceAccount.Verification.REFUSED)
    items = [
        Item(
            "refused",
            "Refused",
            account.username,
            account.get_absolute_url(),
            "Mixpanel refuses it; work that needs it waits for a new secret.",
            at=account.verified_at,
        )
        for account in refused[: MOST + 1]
    ]
    for account in ServiceAccount.objects.visible_to(user).expiring(now)[: MOST + 1]:
        assert account.expires_at is not None
        past = account.expires_at <= now
        text = "Make another one and choose it in its projects."
        url = account.get_absolute_url()
        state, label = ("alarm", "Expired") if past else ("warn", "Expires")
        items.append(
            Item(state, label, account.username, url, text, at=account.expires_at)
        )
    return items


def _projects(projects: "QuerySet[Project]") -> list[Item]:
    return [
        Item(
            project.verification,
            project.get_verification_display(),
            project.name,
            project.get_absolute_url(),
            project.verification_detail[:300],
            at=project.verified_at,
        )
        for project in projects.filter(verification__in=BAD_VERIFICATION)[: MOST + 1]
    ]


def _polls(projects: "QuerySet[Project]") -> list[Item]:
    failing = Poll.objects.filter(project__in=projects.values("pk"))
    # To wait for a budget is no failure.
    failing = failing.exclude(error_kind="").exclude(error_kind__startswith="waiting_")
    return [
        Item(
            "failed",
            "Fails",
            poll.name.capitalize(),
            poll.project.get_absolute_url(),
            poll.error_message[:300],
            poll.project.name,
            poll.polled_at,
        )
        for poll in failing.select_related("project")[: MOST + 1]
    ]


# --- What goes on ---------------------------------------------------------------------


def running(user: User) -> dict[str, Any]:
    """The newest unfinished jobs and runs, and how many there are."""
    jobs = visible_jobs(user) & Job.objects.unfinished()
    jobs = jobs.exclude(state=Job.State.NEEDS_DECISION)
    projects = Project.objects.visible_to(user).values("pk")
    import_runs = ImportRun.objects.filter(
        state__in=UNFINISHED_RUN, warehouse_import__project__in=projects
    ).select_related("warehouse_import__project")
    connector_runs = ConnectorRun.objects.filter(
        state__in=UNFINISHED_RUN, connector__project__in=projects
    ).select_related("connector__project")
    newest = sorted(
        [*import_runs[:MOST], *connector_runs[:MOST]],
        key=lambda run: run.at,
        reverse=True,
    )
    ingestions = Ingestion.objects.going_on().filter(project__in=projects)
    newest_ingestions = list(
        ingestions.select_related("project").defer("report")[:MOST]
    )
    how_far = shares(newest_ingestions)
    return {
        "ingestions": [
            {"ingestion": row, "share": how_far[row.pk]} for row in newest_ingestions
        ],
        "ingestion_count": ingestions.count(),
        "jobs": list(jobs.order_by("-created_at")[:MOST]),
        "job_count": jobs.count(),
        "runs": newest[:MOST],
        "run_count": import_runs.count() + connector_runs.count(),
    }


@dataclass(slots=True)
class Health:
    """One line about a project."""

    project: Project
    imports: int = 0
    imports_failing: int = 0
    connectors: int = 0
    connectors_failing: int = 0
    jobs_going_on: int = 0
    jobs_troubled: int = 0

    @property
    def is_well(self) -> bool:
        troubles = self.imports_failing + self.connectors_failing + self.jobs_troubled
        return not troubles and self.project.verification not in BAD_VERIFICATION


def health(user: User, *, most: int = 50) -> list[Health]:
    """How each project is, those with troubles first; at most `most` of them."""
    projects = Project.objects.visible_to(user)
    mine = projects.values("pk")
    imports = WarehouseImport.objects.present().filter(project__in=mine)
    connectors = Connector.objects.present().filter(project__in=mine)
    jobs = Job.objects.filter(project__in=mine)
    imports_failing = per_project(imports.filter(last_state=RunState.FAILED))
    connectors_failing = per_project(connectors.filter(last_state=RunState.FAILED))
    troubled = per_project(jobs.needing_attention())
    all_imports, all_connectors = per_project(imports), per_project(connectors)
    going_on = per_project(jobs.unfinished())
    bad = projects.filter(verification__in=BAD_VERIFICATION).values_list(
        "pk", flat=True
    )
    troubles = Counter(bad) + imports_failing + connectors_failing + troubled
    first = [pk for pk, _ in troubles.most_common(most)]
    shown = [
        *projects.filter(pk__in=first),
        *projects.exclude(pk__in=first)[: most - len(first)],
    ]
    return [
        Health(
            project,
            all_imports[project.pk],
            imports_failing[project.pk],
            all_connectors[project.pk],
            connectors_failing[project.pk],
            going_on[project.pk],
            troubled[project.pk],
        )
        for project in shown
    ]


def per_project(rows: "QuerySet[Any]") -> Counter[int]:
    """{project id: number of rows}, in one query."""
    counted: Iterable[tuple[int, int]] = (
        rows.order_by().values_list(F("project_id")).annotate(n=Count("pk"))
    )
    return Counter(dict(counted))
