"""What is wrong now, by its cause: one incident each, however much it affects."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import (
    Count,
    Exists,
    F,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    Window,
)
from django.db.models.functions import Coalesce, RowNumber
from django.urls import reverse

from mixadmin.accounts.models import User
from mixadmin.common.remedies import explain, explain_run_failure
from mixadmin.common.states import Presence, RunState
from mixadmin.connectors.models import Connector
from mixadmin.ingestion.models import Ingestion
from mixadmin.jobs.models import Beat, Job, Poll
from mixadmin.projects.access import visible_jobs
from mixadmin.projects.models import Project
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.models import ImportRun, WarehouseImport

from .queries import Survey

# So many of what an incident affects are named.
NAMED = 4
# So many of the newest rows of one sort are read to name them; counts are of all.
READ = 200
SCHEDULER_IS_LATE = timedelta(minutes=2)
# So long an ingestion that did not end well is told of.
BAD_END_SHOWN = timedelta(days=1)

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[str, Any, str]


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that an incident affects. kind: "Import", "Job" ... in words."""

    kind: str
    title: str
    url: str
    project: str = ""


@dataclass(slots=True)
class Incident:
    """One cause, and what fails of it.

    state, label: its badge. code, title, meaning, remedy: of the cause, as
        `common.remedies` words it. detail: the newest message, as it came, or "".
    about, about_url: what is at the bottom of it (a service account, a warehouse, a
        project); "" for the machinery.
    things: the first few that it affects; count: how many there are, `more` how many
        are not named, more_url: the list that holds them all, or "".
    since: when the first of it was noticed. None where that is not known.
    fix, fix_url: the words and the address of the one place that mends it.
    """

    state: str
    label: str
    code: str
    title: str
    meaning: str
    remedy: str
    about: str = ""
    about_url: str = ""
    detail: str = ""
    things: list[Thing] = field(default_factory=list)
    count: int = 0
    more_url: str = ""
    since: datetime | None = None
    fix: str = ""
    fix_url: str = ""

    @property
    def more(self) -> int:
        return self.count - len(self.things)


class _Found(dict[Key, Incident]):
    """The incidents so far. What has the same key is the same incident."""

    def __init__(self, projects: "Mapping[int, Project]") -> None:
        super().__init__()
        self.projects = projects
        self._named: dict[Key, list[tuple[str, Any]]] = {}

    def note(
        self,
        key: Key,
        cause: Any,
        *,
        state: str = "failed",
        label: str = "Failed",
        count: int = 0,
        since: datetime | None = None,
        **fields: str,
    ) -> None:
        """Add to an incident, which begins when it is not there yet. What it says of
        itself stays as it was said first."""
        known = self.get(key)
        if known is None:
            known = self[key] = Incident(
                state, label, key[2], cause.title, cause.meaning, cause.remedy
            )
        for name, value in fields.items():
            if not getattr(known, name):
                setattr(known, name, value)
        known.count += count
        if since and (known.since is None or since < known.since):
            known.since = since

    def name(self, key: Key, kind: str, row: Any, detail: str = "") -> None:
        """Name one of what an incident affects, while there is room."""
        self[key].detail = self[key].detail or detail[:300]
        self._named.setdefault(key, []).append((kind, row))

    def told(self, most: int) -> list[Incident]:
        """The first `most`, what stops the most first, with the names of things."""
        first = ("machinery", "account")
        keys = sorted(
            self,
            key=lambda key: (
                first.index(key[0]) if key[0] in first else len(first),
                -self[key].count,
            ),
        )
        for key in keys[:most]:
            for kind, row in self._named.get(key, [])[:NAMED]:
                project = self.projects.get(getattr(row, "project_id", 0))
                title = f"Polling of {row.name}" if kind == "Poll" else str(row)
                about = project if kind == "Poll" and project else row
                name, url = project.name if project else "", about.get_absolute_url()
                self[key].things.append(Thing(kind, title, url, name))
        return [self[key] for key in keys[:most]]


def _first(rows: "QuerySet[Any]", *columns: str) -> "QuerySet[Any]":
    """The newest few of the rows that have the same values in these columns."""
    newest = F("created_at").desc()
    place = Window(RowNumber(), partition_by=[F(c) for c in columns], order_by=newest)
    first: QuerySet[Any] = rows.annotate(place=place).filter(place__lte=NAMED)
    return first


def incidents(
    user: User, now: datetime, seen: Survey, *, most: int = 12
) -> tuple[list[Incident], int]:
    """(the first `most`, how many) of what is wrong in what a person may see.

    What stops the most comes first; nobody reads more of them at once.

    A fixed number of queries; `seen` is what was counted already. What only waits for
    a decision, or will go wrong later, is told elsewhere.
    """
    found = _Found(seen.projects)
    projects = Project.objects.visible_to(user)
    mine = projects.values("pk")
    accounts = ServiceAccount.objects.visible_to(user).present()
    imports = WarehouseImport.objects.filter(project__in=mine)
    connectors = Connector.objects.filter(project__in=mine)
    _scheduler(found, now)
    _refused_accounts(found, accounts)
    _projects(found, projects)
    _jobs(found, user)
    _polls(found, mine)
    _failing_imports(found, imports)
    _failing_connectors(found, connectors, _with(seen.connectors, RunState.FAILED))
    gone = _with(seen.imports, Presence.MISSING)
    _gone(found, imports, gone, "Import", "warehouse:import_list")
    gone = _with(seen.connectors, Presence.MISSING)
    _gone(found, connectors, gone, "Connector", "connectors:list")
    _paused_elsewhere(found, imports)
    _drift(found, imports)
    _ingestions(found, mine, now)
    return found.told(most), len(found)


def _with(counts: Mapping[tuple[int, str], int], status: str) -> dict[int, int]:
    """{project: how many there stand so}"""
    return {project: n for (project, word), n in counts.items() if word == status}


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    meaning: str
    remedy: str


SILENT = _Words(
    "The scheduler is silent",
    "Nothing is polled or tried again until it runs.",
    "Start it, and look into its log.",
)
GONE = _Words(
    "Gone from Mixpanel",
    "Mixpanel no longer lists it, so it was deleted there or the project was changed.",
    "Look in Mixpanel. Remove it here, or create it anew.",
)
PAUSED_ELSEWHERE = _Words(
    "Paused elsewhere",
    "Paused while nobody here asked for it: in Mixpanel, or by its volume guard.",
    "Find out who paused it and why, then resume it.",
)
DRIFT = _Words(
    "Mixpanel runs another cluster config",
    "The Databricks config at Mixpanel differs from the one that is kept here.",
    "Send ours again, or take over theirs.",
)


def _scheduler(found: _Found, now: datetime) -> None:
    beat = Beat.objects.filter(name="scheduler").first()
    if beat and beat.at > now - SCHEDULER_IS_LATE:
        return
    found.note(
        ("machinery", "", "scheduler_silent"),
        SILENT,
        state="dead",
        label="Silent",
        since=beat.at if beat else None,
        detail="" if beat else "It has never been heard of.",
    )


def _refused_accounts(found: _Found, accounts: "QuerySet[ServiceAccount]") -> None:
    refused = accounts.filter(verification=ServiceAccount.Verification.REFUSED)
    for account in refused[:READ]:
        _note_account(
            found,
            account,
            "not_authenticated",
            state="refused",
            label="Refused",
            since=account.verified_at,
            detail=account.verification_detail[:300],
        )


def _note_account(
    found: _Found, account: ServiceAccount, kind: str, message: str = "", **more: Any
) -> Key:
    """Note what goes wrong with a service account; the cause has the error's kind."""
    key = ("account", account.pk, kind)
    page = account.get_absolute_url()
    needs_secret = kind in ("not_authenticated", "credential")
    found.note(
        key,
        explain(kind, message=message),
        about=account.username,
        about_url=page,
        fix="New secret" if needs_secret else "Open the service account",
        fix_url=reverse("service_accounts:secret", args=[account.pk])
        if needs_secret
        else page,
        **more,
    )
    return key


def _note_project(
    found: _Found, project: Project, kind: str, message: str = "", **more: Any
) -> Key:
    key = ("project", project.pk, kind)
    page = project.get_absolute_url()
    found.note(
        key,
        explain(kind, message=message),
        about=project.name,
        about_url=page,
        fix="Open the project",
        fix_url=page,
        **more,
    )
    return key


def _projects(found: _Found, projects: "QuerySet[Project]") -> None:
    """Those that do not work, each with what Mixpanel says."""
    words = Project.Verification
    kinds = {words.NO_ACCESS: "not_allowed", words.CANNOT_REACH: "unreachable"}
    bad = projects.filter(verification__in=[*kinds, words.WRONG_REGION])
    for project in bad.select_related("service_account")[:READ]:
        more: dict[str, Any] = {
            "state": project.verification,
            "label": project.get_verification_display(),
            "since": project.verified_at,
            "count": 1,
        }
        detail = project.verification_detail
        if project.verification == words.WRONG_REGION or not project.service_account:
            key: Key = ("project", project.pk, "wrong_region")
            found.note(
                key,
                explain("bad_request", message="invalid project id for cluster"),
                about=project.name,
                about_url=project.get_absolute_url(),
                fix="Edit the project",
                fix_url=reverse("projects:edit", args=[project.pk]),
                **more,
            )
        else:
            kind = kinds[words(project.verification)]
            key = _note_account(found, project.service_account, kind, detail, **more)
        found.name(key, "Project", project, detail)


def _jobs(found: _Found, user: User) -> None:
    """Jobs that failed, and those that are held up by the account or by Mixpanel."""
    held = {Job.Wait.CREDENTIAL: "not_authenticated", Job.Wait.BREAKER: "unreachable"}
    # The import whose run failed is told of itself.
    told = WarehouseImport.objects.filter(
        last_run__job=OuterRef("pk"), last_state=RunState.FAILED
    )
    failed = Q(state__in=(Job.State.FAILED, Job.State.DEAD), dismissed=False)
    waiting = Q(state=Job.State.WAITING, wait_reason__in=held)
    jobs = visible_jobs(user).filter(failed | waiting)
    jobs = jobs.exclude(Exists(told), error_kind="run_failed")

    def kind_of(error_kind: str, wait_reason: str) -> str:
        return held.get(Job.Wait(wait_reason)) or error_kind or "internal"

    counted = (
        jobs.order_by()
        .values_list("service_account", "project", "error_kind", "wait_reason")
        .annotate(n=Count("pk"), since=Min(Coalesce("ended_at", "created_at")))
    )
    groups = list(counted)
    newest = list(
        _first(jobs, "service_account", "project", "error_kind", "wait_reason")
        .order_by("-created_at")
        .only(
            "title",
            "project_id",
            "service_account_id",
            "error_kind",
            "wait_reason",
            "error_message",
        )
    )
    accounts = ServiceAccount.objects.in_bulk({row[0] for row in groups if row[0]})
    messages: dict[Key, str] = {}
    keys: dict[tuple[Any, ...], Key] = {}
    for job in newest:
        kind = kind_of(job.error_kind, job.wait_reason)
        messages.setdefault(_key_of_job(job, kind), job.error_message)
    for account_id, project_id, error_kind, wait, n, since in groups:
        kind = kind_of(error_kind, wait)
        more: dict[str, Any] = {"count": n, "since": since}
        more["more_url"] = f"{reverse('jobs:list')}?show=attention"
        if wait:
            more |= {"state": "waiting", "label": "Waiting"}
        if account := accounts.get(account_id):
            message = messages.get(("account", account_id, kind), "")
            key = _note_account(found, account, kind, message, **more)
        elif project := found.projects.get(project_id):
            message = messages.get(("project", project_id, kind), "")
            key = _note_project(found, project, kind, message, **more)
        else:
            key = ("nothing", None, kind)
            found.note(key, explain(kind), **more)
        keys[account_id, project_id, error_kind, wait] = key
    for job in newest:
        group = (
            job.service_account_id,
            job.project_id,
            job.error_kind,
            job.wait_reason,
        )
        if group in keys:
            found.name(keys[group], "Job", job, job.error_message)


def _key_of_job(job: Job, kind: str) -> Key:
    if job.service_account_id:
        return ("account", job.service_account_id, kind)
    return ("project", job.project_id, kind)


def _polls(found: _Found, mine: Any) -> None:
    failing = Poll.objects.filter(project__in=mine)
    # To wait for a budget is no failure.
    failing = failing.exclude(error_kind="").exclude(error_kind__startswith="waiting_")
    for poll in failing.select_related("project__service_account"):
        project, message = poll.project, poll.error_message
        more: dict[str, Any] = {
            "count": 1,
            "since": poll.succeeded_at or poll.polled_at,
            "detail": message[:300],
        }
        if account := project.service_account:
            key = _note_account(found, account, poll.error_kind, message, **more)
        else:
            key = _note_project(found, project, poll.error_kind, message, **more)
        found.name(key, "Poll", poll)


def _failing_imports(found: _Found, imports: "QuerySet[Any]") -> None:
    """By warehouse: what makes one import of it fail is what makes the others."""
    failing = imports.filter(status=RunState.FAILED)
    # When the first run after the last good one began: a seek in the index of the runs.
    later = ImportRun.objects.filter(
        warehouse_import=OuterRef("pk"),
        is_gap=False,
        at__gt=Coalesce(OuterRef("last_success_at"), Value(LONG_AGO)),
    )
    counted = (
        failing.order_by()
        .annotate(since=Subquery(later.order_by("at").values("at")[:1]))
        .values_list("project", "source", "source__name", "source__warehouse_type")
        .annotate(n=Count("pk"), first=Min("since"))
    )
    keys: dict[tuple[int, int | None], Key] = {}
    for project, source, name, kind, n, since in counted:
        query = f"?state=failed{f'&source={source}' if source else ''}"
        key: Key = ("source", source or f"none of {project}", "run_failed")
        url = (
            reverse("warehouse:source_detail", args=[project, source]) if source else ""
        )
        found.note(
            key,
            explain_run_failure("", warehouse_type=kind or ""),
            count=n,
            since=since,
            about=name or "",
            about_url=url,
            more_url=reverse("warehouse:import_list", args=[project]) + query,
            fix="Open the source" if url else "",
            fix_url=url,
        )
        keys[project, source] = key
    named = _first(failing, "project", "source").only(
        "name", "project_id", "source_id", "last_run_id"
    )
    for row in named:
        of = (row.project_id, row.source_id)
        if of not in keys:
            continue
        incident = found[keys[of]]
        if incident.count == 1 and row.last_run_id:
            run = [row.project_id, row.pk, row.last_run_id]
            incident.fix = "See the run"
            incident.fix_url = reverse("warehouse:run_detail", args=run)
        found.name(keys[of], "Import", row)


def _failing_connectors(
    found: _Found, connectors: "QuerySet[Any]", counts: dict[int, int]
) -> None:
    failing = connectors.filter(state=RunState.FAILED)
    # Their causes stand in texts, so that they are read to be told apart. Of more than
    # these, the rest of a project counts with the first cause that was read there.
    rows = list(
        failing.select_related("last_run").only(
            "label",
            "mixpanel_id",
            "project_id",
            "connector_type",
            "failure_message",
            "last_at",
            "last_run__error_message",
        )[: 5 * READ]
    )
    rest = Counter(counts)
    rest.subtract(row.project_id for row in rows)
    for row in rows:
        message = row.failure_message or (row.last_run and row.last_run.error_message)
        cause = explain_run_failure(message or "", connector_type=row.connector_type)
        key = ("connectors", row.project_id, cause.code)
        project = found.projects[row.project_id]
        url = reverse("connectors:list", args=[row.project_id]) + "?state=failed"
        found.note(
            key,
            cause,
            count=1 + rest.pop(row.project_id, 0),
            since=row.last_at,
            about=project.name,
            about_url=project.get_absolute_url(),
            more_url=url,
            fix="Create a copy" if row.is_known_type else "",
            fix_url=reverse("connectors:create", args=[row.project_id])
            + f"?copy={row.pk}"
            if row.is_known_type
            else "",
        )
        found.name(key, "Connector", row, message or "")


def _gone(
    found: _Found,
    rows: "QuerySet[Any]",
    counts: dict[int, int],
    kind: str,
    list_view: str,
) -> None:
    _by_project(
        found,
        rows.filter(presence=Presence.MISSING),
        counts,
        ("missing", GONE),
        kind,
        list_view,
        query="?state=missing",
        state="missing",
        label="Gone",
    )


def _paused_elsewhere(found: _Found, imports: "QuerySet[Any]") -> None:
    paused = imports.filter(status="paused", paused_elsewhere=True)
    counted = paused.order_by().values_list("project").annotate(n=Count("pk"))
    _by_project(
        found,
        paused,
        dict(counted),
        ("paused_elsewhere", PAUSED_ELSEWHERE),
        "Import",
        "warehouse:import_list",
        query="?state=paused",
        state="warn",
        label="Paused elsewhere",
    )


def _by_project(
    found: _Found,
    rows: "QuerySet[Any]",
    counts: dict[int, int],
    cause: tuple[str, _Words],
    kind: str,
    list_view: str,
    *,
    query: str,
    state: str,
    label: str,
) -> None:
    """Rows with the same trouble, one incident a project."""
    code, words = cause
    keys: dict[int, Key] = {}
    for pk, n in counts.items():
        url = reverse(list_view, args=[pk]) + query
        key = (kind, pk, code)
        found.note(key, words, state=state, label=label, count=n, more_url=url)
        keys[pk] = key
    name = "name" if kind == "Import" else "label"
    for row in _first(rows, "project").only(name, "mixpanel_id", "project_id"):
        if row.project_id in keys:
            key, project = keys[row.project_id], found.projects[row.project_id]
            incident = found[key]
            incident.about = project.name
            incident.about_url = project.get_absolute_url()
            one = incident.count == 1
            incident.fix = f"Open the {kind.lower()}{'' if one else 's'}"
            incident.fix_url = row.get_absolute_url() if one else incident.more_url
            found.name(key, kind, row)


def _drift(found: _Found, imports: "QuerySet[Any]") -> None:
    here = imports.filter(presence=Presence.ACTIVE, databricks_params__isnull=False)
    for row in here.only("name", "project_id", "databricks_params", "raw")[: 5 * READ]:
        if not (drift := row.cluster_drift):
            continue
        key = ("drift", row.project_id, "drift")
        url = reverse("warehouse:import_databricks", args=[row.project_id, row.pk])
        project = found.projects[row.project_id]
        found.note(
            key,
            DRIFT,
            state="warn",
            label="Drift",
            count=1,
            about=project.name,
            about_url=project.get_absolute_url(),
            fix="Change the Databricks config",
            fix_url=url,
        )
        names = ", ".join(name for name, _, _ in drift)
        found.name(key, "Import", row, f"Other at Mixpanel: {names}")


def _ingestions(found: _Found, mine: Any, now: datetime) -> None:
    """Those that did not end well since yesterday, by project and error."""
    states = Ingestion.State
    rows = Ingestion.objects.filter(
        project__in=mine,
        state__in=(states.FAILED, states.SUCCEEDED_WITH_ERRORS),
        ended_at__gt=now - BAD_END_SHOWN,
    )
    for row in rows.defer("report").order_by("-ended_at")[:READ]:
        project = found.projects[row.project_id]
        failed = row.state == states.FAILED
        kind = row.error_kind if failed else "some_refused"
        key = ("ingestions", row.project_id, kind)
        url = reverse("ingestion:list", args=[row.project_id]) + f"?state={row.state}"
        found.note(
            key,
            explain(kind, message=row.error_message) if failed else SOME_REFUSED,
            state=row.state,
            label=row.get_state_display(),
            count=1,
            since=row.ended_at,
            about=project.name,
            about_url=project.get_absolute_url(),
            more_url=url,
            fix="Open the ingestion",
            fix_url=row.get_absolute_url(),
        )
        found.name(key, "Ingestion", row, row.error_message)


SOME_REFUSED = _Words(
    "Not everything was imported",
    "Mixpanel or our own checks refused some of the records; the others are there.",
    "Look at the rejected records: they say why, and which mend cures it.",
)
