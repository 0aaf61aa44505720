"""What is wrong now, by its cause: one incident each, however much it affects."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
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
        known = self[key]
        known.detail = known.detail or detail[:300]
        if len(known.things) < NAMED:
            project = row.project.name if row.project else ""
            url = row.get_absolute_url()
            known.things.append(Thing(kind, str(row), url, project))


def incidents(user: User, now: datetime, seen: Survey) -> list[Incident]:
    """What is wrong in what a person may see, what stops the most first.

    A fixed number of queries; `seen` is what was counted already. What only waits for
    a decision, or will go wrong later, is told elsewhere.
    """
    found = _Found()
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
    first = ("machinery", "account")
    ordered = sorted(
        found.items(),
        key=lambda pair: (
            first.index(pair[0][0]) if pair[0][0] in first else len(first),
            -pair[1].count,
        ),
    )
    return [incident for _, incident in ordered]


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
                fix="Change the project",
                fix_url=reverse("projects:edit", args=[project.pk]),
                **more,
            )
        else:
            kind = kinds[words(project.verification)]
            key = _note_account(found, project.service_account, kind, detail, **more)
        found[key].detail = found[key].detail or detail[:300]
        if len(found[key].things) < NAMED:
            url = project.get_absolute_url()
            found[key].things.append(Thing("Project", project.name, url))


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
        jobs.select_related("project", "service_account").order_by("-created_at")[:READ]
    )
    accounts = ServiceAccount.objects.in_bulk({row[0] for row in groups if row[0]})
    several = Project.objects.in_bulk({row[1] for row in groups if row[1]})
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
        elif project := several.get(project_id):
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
        if len(found[key].things) < NAMED:
            title = f"Polling of {poll.name}"
            url = project.get_absolute_url()
            found[key].things.append(Thing("Poll", title, url, project.name))


def _failing_imports(found: _Found, imports: "QuerySet[Any]") -> None:
    """By warehouse: what makes one import of it fail is what makes the others."""
    failing = imports.filter(status=RunState.FAILED)
    counted = (
        failing.order_by()
        .values_list("project", "source", "source__name", "source__warehouse_type")
        .annotate(n=Count("pk"))
    )
    keys: dict[tuple[int, int | None], Key] = {}
    for project, source, name, kind, n in counted:
        query = f"?state=failed{f'&source={source}' if source else ''}"
        key: Key = ("source", source or f"none of {project}", "run_failed")
        url = (
            reverse("warehouse:source_detail", args=[project, source]) if source else ""
        )
        found.note(
            key,
            explain_run_failure("", warehouse_type=kind or ""),
            count=n,
            about=name or "",
            about_url=url,
            more_url=reverse("warehouse:import_list", args=[project]) + query,
            fix="Open the warehouse" if url else "",
            fix_url=url,
        )
        keys[project, source] = key
    newest = list(failing.select_related("project", "last_run")[:READ])
    first = _failing_since(newest)
    alone = {key: found[key].count == 1 for key in keys.values()}
    for row in newest:
        of = (row.project_id, row.source_id)
        if of not in keys:
            continue
        key = keys[of]
        if alone[key] and row.last_run:
            row.last_run.warehouse_import = row
            found[key].fix = "See the run"
            found[key].fix_url = row.last_run.get_absolute_url()
        found.name(key, "Import", row)
        since, incident = first.get(row.pk, row.last_at), found[key]
        if incident.since is None or since < incident.since:
            incident.since = since


def _failing_since(rows: Iterable[WarehouseImport]) -> dict[int, datetime]:
    """{import: when the first run after its last good one began}, in one query."""
    runs = ImportRun.objects.filter(
        warehouse_import__in=[row.pk for row in rows], is_gap=False, state="failed"
    ).filter(
        Q(at__gt=F("warehouse_import__last_success_at"))
        | Q(warehouse_import__last_success_at=None)
    )
    return dict(
        runs.order_by().values_list("warehouse_import").annotate(first=Min("at"))
    )


def _failing_connectors(
    found: _Found, connectors: "QuerySet[Any]", counts: dict[int, int]
) -> None:
    failing = connectors.filter(state=RunState.FAILED)
    # Their causes stand in texts, so that they are read to be told apart. Of more than
    # these, the rest of a project counts with the first cause that was read there.
    rows = list(failing.select_related("project", "last_run")[: 5 * READ])
    rest = Counter(counts)
    rest.subtract(row.project_id for row in rows)
    for row in rows:
        message = row.failure_message or (row.last_run and row.last_run.error_message)
        cause = explain_run_failure(message or "", connector_type=row.connector_type)
        key = ("connectors", row.project_id, cause.title)
        url = reverse("connectors:list", args=[row.project_id]) + "?state=failed"
        found.note(
            key,
            cause,
            count=1 + rest.pop(row.project_id, 0),
            since=row.last_at,
            about=row.project.name,
            about_url=row.project.get_absolute_url(),
            more_url=url,
            fix="Create a copy" if row.is_known_type else "",
            fix_url=reverse("connectors:create", args=[row.project_id])
            + f"?copy={row.pk}"
            if row.is_known_type
            else "",
        )
        found[key].code = "run_failed"
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
    for project, n in counts.items():
        url = reverse(list_view, args=[project]) + query
        key = (kind, project, code)
        found.note(key, words, state=state, label=label, count=n, more_url=url)
        keys[project] = key
    for row in rows.select_related("project")[:READ]:
        if row.project_id in keys:
            key = keys[row.project_id]
            incident = found[key]
            incident.about = row.project.name
            incident.about_url = row.project.get_absolute_url()
            one = incident.count == 1
            incident.fix = f"Open the {kind.lower()}{'' if one else 's'}"
            incident.fix_url = row.get_absolute_url() if one else incident.more_url
            found.name(key, kind, row)


def _drift(found: _Found, imports: "QuerySet[Any]") -> None:
    here = imports.filter(presence=Presence.ACTIVE, databricks_params__isnull=False)
    for row in here.select_related("project")[:READ]:
        if not (drift := row.cluster_drift):
            continue
        key = ("drift", row.project_id, "drift")
        url = reverse("warehouse:import_databricks", args=[row.project_id, row.pk])
        found.note(
            key,
            DRIFT,
            state="warn",
            label="Drift",
            count=1,
            about=row.project.name,
            about_url=row.project.get_absolute_url(),
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
    rows = rows.select_related("project").defer("report").order_by("-ended_at")
    for row in rows[:READ]:
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
            about=row.project.name,
            about_url=row.project.get_absolute_url(),
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
