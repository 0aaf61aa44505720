"""How much runs, fails and waits for a decision: what title, icon and rail tell.

One query, whatever there is; every page asks it, and keys.js every ten seconds.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import CharField, Count, F, QuerySet, Value

from mixadmin.accounts.models import User
from mixadmin.common.states import UNFINISHED_RUN, RunState
from mixadmin.connectors.models import Connector
from mixadmin.ingestion.models import Ingestion
from mixadmin.jobs.models import Job
from mixadmin.projects.access import visible_jobs
from mixadmin.projects.models import Project
from mixadmin.warehouse.models import WarehouseImport

from .incidents import BAD_END_SHOWN

FAILING, DECIDE, RUNNING = "failing", "decide", "running"
TONES = {FAILING: "bad", DECIDE: "warn", RUNNING: "busy"}
WORDS = {FAILING: "failing", DECIDE: "to decide", RUNNING: "running"}
JOBS_RUNNING = tuple(
    {*Job.State} - {*Job.ENDED} - {Job.State.NEEDS_DECISION},
)
# place -> what a state of its rows means; rows in other states do not count.
MEANINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "imports": {FAILING: (RunState.FAILED,), RUNNING: UNFINISHED_RUN},
    "connectors": {FAILING: (RunState.FAILED,), RUNNING: UNFINISHED_RUN},
    "ingestions": {
        FAILING: (Ingestion.State.FAILED,),
        DECIDE: (Ingestion.State.NEEDS_DECISION, Ingestion.State.GATED),
        RUNNING: Ingestion.GOING_ON,
    },
    "jobs": {
        FAILING: (Job.State.FAILED, Job.State.DEAD),
        DECIDE: (Job.State.NEEDS_DECISION,),
        RUNNING: JOBS_RUNNING,
    },
}
# "jobs" counts those of all projects.
PLACES = (*MEANINGS, "project_jobs")
MEANING_OF = {
    (place, state): meaning
    for place, meanings in MEANINGS.items()
    for meaning, states in meanings.items()
    for state in states
}


@dataclass(frozen=True, slots=True)
class Pulse:
    """{meaning: number} of everything, and {place: {meaning: number}} of the rail."""

    all: Counter[str] = field(default_factory=Counter)
    places: dict[str, Counter[str]] = field(
        default_factory=lambda: {place: Counter() for place in PLACES}
    )

    @property
    def words(self) -> str:
        """For the title: "2 failing, 1 to decide, 3 running", "" when all is calm."""
        return ", ".join(
            f"{self.all[meaning]:,} {words}"
            for meaning, words in WORDS.items()
            if self.all[meaning]
        )

    @property
    def tallies(self) -> dict[str, int]:
        """{"imports.failing": 2, …}, every one of the rail, 0 too."""
        return {
            f"{place}.{meaning}": counts[meaning]
            for place, counts in {"all": self.all, **self.places}.items()
            for meaning in WORDS
        }

    @property
    def icon(self) -> str:
        """Which favicon: "failing", "running" or ""."""
        if self.all[FAILING] or self.all[DECIDE]:
            return "failing"
        return "running" if self.all[RUNNING] else ""


def take(user: User, project_id: int | None, now: datetime) -> Pulse:
    """The pulse of what a person may see; `places` of that project, and all jobs."""
    everything: Counter[str] = Counter()
    places = {place: Counter[str]() for place in PLACES}
    for place, project, state, number in _count(user, now):
        meaning = MEANING_OF[place, state]
        everything[meaning] += number
        if place == "jobs":
            places["jobs"][meaning] += number
            place = "project_jobs"
        if project is not None and project == project_id:
            places[place][meaning] += number
    return Pulse(everything, places)


def _count(user: User, now: datetime) -> Iterable[tuple[str, int | None, str, int]]:
    """(place, project, state, rows) in one query."""
    mine = Project.objects.visible_to(user).values("pk")
    ingestions = Ingestion.objects.filter(project__in=mine).exclude(
        state=Ingestion.State.FAILED, ended_at__lte=now - BAD_END_SHOWN
    )
    jobs = visible_jobs(user).filter(dismissed=False)
    first, *others = (
        _by_state(
            "imports", WarehouseImport.objects.filter(project__in=mine), "status"
        ),
        _by_state("connectors", Connector.objects.filter(project__in=mine), "state"),
        _by_state("ingestions", ingestions, "state"),
        _by_state("jobs", jobs, "state"),
    )
    return first.union(*others, all=True)


def _by_state(place: str, rows: "QuerySet[Any]", column: str) -> "QuerySet[Any]":
    states = [state for name, state in MEANING_OF if name == place]
    counted: QuerySet[Any] = (
        rows.filter(**{f"{column}__in": states})
        .order_by()
        .values_list(Value(place, CharField()), F("project_id"), F(column))
        .annotate(number=Count("*"))
    )
    return counted
