"""What a job does: tasks by name, so that nobody below needs to import anybody above."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from django.utils.module_loading import autodiscover_modules

from mixadmin.accounts.models import User
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

    client: Callable[[], AbstractContextManager[MixpanelClient]]
    send: Callable[[MixpanelClient], Any]
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


class Turn(Protocol):
    """A worker's hold on a job of many steps, for a minute or so. See `runner`."""

    job: Job

    @property
    def is_over(self) -> bool:
        """Whether it is time to let others have the worker."""
        ...

    def extend(self, seconds: float) -> None:
        """Let the turn last at least so much longer from now."""
        ...

    def commit(self, *, progress: bool = True) -> AbstractContextManager[None]:
        """A transaction that is kept only while the job is still ours."""
        ...

    def heard(self) -> None:
        """Say now and then that the worker lives. Raises when the job is not ours."""
        ...


class Stopped(Exception):
    """Somebody cancelled what a job of many steps works at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job of many steps, each written down by itself, done a turn at a time.

    run     goes on where the last turn ended. True: nothing is left; False: again soon.
            It raises `Wait`, MixpanelError, Refused or Stopped to end the turn
            otherwise; what was committed stays.
    cancel  stops what the job works at, for this person; the turn then ends by itself.
    refused, follow, credential_version: as in Plan.
    """

    run: Callable[[Turn], bool]
    cancel: Callable[[User | None], Any] | None = None
    refused: Callable[[], bool] | None = None
    follow: Callable[[str], None] | None = None
    credential_version: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    op: str
    plan: Callable[[Job], Plan | Work]
    # Long work has workers of its own, so that a click never waits behind it.
    long: bool = False


P = TypeVar("P", bound=Plan | Work)

TASKS: dict[str, Task] = {}
POLLERS: dict[str, Callable[[int], int]] = {}
TICKS: list[Callable[[], None]] = []


def task(name: str) -> Task | None:
    """The task of that name, or None. Loads the `tasks` module of every app if need be."""
    if name not in TASKS:
        autodiscover_modules("tasks")
    return TASKS.get(name)


def pollers() -> dict[str, Callable[[int], int]]:
    """What is polled, by name. Loads the `tasks` module of every app first."""
    autodiscover_modules("tasks")
    return POLLERS


def job_task(
    name: str, *, op: str, long: bool = False
) -> Callable[[Callable[[Job], P]], Callable[[Job], P]]:
    """Register the plan of a job: a function from the job's row to Plan or Work."""

    def register(plan: Callable[[Job], P]) -> Callable[[Job], P]:
        TASKS[name] = Task(name, op, plan, long)
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
