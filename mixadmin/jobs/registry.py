"""What a job does: tasks by name, so that nobody below needs to import anybody above."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from django.utils.module_loading import autodiscover_modules

from mixadmin.mixpanel.client import MixpanelClient

from .models import Attempt, Job


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something at Mixpanel that a call with an unknown outcome may have made."""

    id: str
    value: Any
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one job is done. Built from the database; no transaction is open in `send`.

    send    makes the call and returns its result.
    save    writes that result to our rows, inside the transaction that ends the job; it
            returns what to keep in `job.result`.

    After an outcome that is not known, a repeatable call is sent again. Another one
    needs one of these:

    known   the remote ids before the call, noted before it is sent (creates).
    find    what may be the call's work: looks like it, was not known before, and is
            nobody else's (creates).
    check   the result, if what was asked for is already so; else None (deletes).
    """

    # None: work of our own, which asks nothing of Mixpanel; `send` then gets None too.
    client: Callable[[], AbstractContextManager[MixpanelClient]] | None
    send: Callable[[Any], Any]
    save: Callable[[Any], dict[str, Any] | None]
    known: Callable[[MixpanelClient], Sequence[str]] | None = None
    find: Callable[[MixpanelClient, Attempt], Sequence[Candidate]] | None = None
    check: Callable[[MixpanelClient], Any] | None = None
    # The same for two requests that Mixpanel could not tell apart.
    fingerprint: str = ""
    # Whether proof of absence allows sending again without a person.
    resend: bool = True
    # How long `find` is asked before absence counts; None: settle time, then two looks.
    window: float | None = None
    # Calls of one kind per time: (bucket key, limit, seconds, words).
    budget: tuple[str, int, float, str] | None = None
    # Told that the credential was refused; True when it really is, after asking once.
    refused: Callable[[], bool] | None = None
    # Told when the job ends without success, and when it is taken up again (queued).
    follow: Callable[[str], None] | None = None
    credential_version: int = 0
    # How long `send` may take, where the time of a usual call is not enough.
    seconds: float | None = None
    # The state after success; POLLING when something at Mixpanel still has to end.
    after: str = Job.State.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    op: str
    plan: Callable[[Job], Plan]


TASKS: dict[str, Task] = {}
POLLERS: dict[str, Callable[[int], int]] = {}
TICKS: list[Callable[[], None]] = []


def task(name: str) -> Task | None:
    """The task of that name, or None. Loads the `tasks` module of every app first."""
    autodiscover_modules("tasks")
    return TASKS.get(name)


def pollers() -> dict[str, Callable[[int], int]]:
    """What is polled, by name. Loads the `tasks` module of every app first."""
    autodiscover_modules("tasks")
    return POLLERS


def job_task(
    name: str, *, op: str
) -> Callable[[Callable[[Job], Plan]], Callable[[Job], Plan]]:
    """Register the plan of a job: a function from the job's row to its Plan."""

    def register(plan: Callable[[Job], Plan]) -> Callable[[Job], Plan]:
        TASKS[name] = Task(name, op, plan)
        return plan

    return register


def poller(name: str) -> Callable[[Callable[[int], int]], Callable[[int], int]]:
    """Register what is polled for a project id. It returns how many things go on."""

    def register(poll: Callable[[int], int]) -> Callable[[int], int]:
        POLLERS[name] = poll
        return poll

    return register


def on_tick(work: Callable[[], None]) -> Callable[[], None]:
    """Register small work that is done at each tick of the scheduler."""
    TICKS.append(work)
    return work
