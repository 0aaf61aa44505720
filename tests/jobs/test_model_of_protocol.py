"""The create protocol as a small model, explored into every corner.

Two workers, crashes at any step, leases that lapse at any moment, processes that are
frozen and go on later, lost answers, requests that Mixpanel commits late. No reachable
state may have two objects for one job, or a job that took what is not its own. Each part
of the protocol is also taken out once: the explorer must then find how it goes wrong, or
it would prove nothing.
"""

from collections import deque
from typing import NamedTuple

import pytest

FOREIGN = -1  # who made an object that no job of ours has made

PARTS = {
    "intent": "the attempt is committed before the request leaves",
    "settle": "absence counts only when nothing sent can still be committed",
    "fence": "a sender that was frozen for long dies before it sends",
    "token": "who lost the claim cannot begin",
    "known": "what was there before is not adopted",
    "twin": "an identical request waits until this one is settled",
    "taken": "what another job has made is not adopted",
}


class Job(NamedTuple):
    """A row: queued, claimed, sending, unknown, looking, done or asks."""

    state: str = "queued"
    token: int = 0
    known: frozenset = frozenset()
    sends: int = 0
    found: int | None = None


class Worker(NamedTuple):
    """Where a process stands, with what it remembers of its claim."""

    at: str = "idle"
    job: int = 0
    token: int = 0
    memory: object = None


class World(NamedTuple):
    jobs: tuple
    workers: tuple = (Worker(), Worker())
    # Who made each object at Mixpanel; the index is its id.
    objects: tuple = ()
    # Requests that Mixpanel has and may commit at any time: (job, token of the sender).
    in_flight: frozenset = frozenset()
    # How much more may happen: deaths, lapsed leases, sends of one job.
    crashes: int = 2
    rescues: int = 2
    sends: int = 3


def steps(world, parts):
    """Every world that may come next, with words for what happened."""
    for w, worker in enumerate(world.workers):
        yield from worker_steps(world, w, worker, parts)
        if worker.at != "idle" and world.crashes:
            after = put(world, "workers", w, Worker())
            yield f"{w} dies", after._replace(crashes=after.crashes - 1)
    for j, job in enumerate(world.jobs):
        if job.state in ("claimed", "sending", "looking") and world.rescues:
            state = "queued" if job.state == "claimed" else "unknown"
            job = job._replace(state=state, token=job.token + 1)
            after = put(world, "jobs", j, job)
            yield f"the lease of {j} lapses", after._replace(rescues=world.rescues - 1)
    for request in world.in_flight:
        rest = world.in_flight - {request}
        made = (*world.objects, request[0])
        # The answer comes, if its sender still waits for it, or gets lost.
        yield (
            f"{request} is committed",
            hear(world, request, len(world.objects))._replace(
                objects=made, in_flight=rest
            ),
        )
        yield (
            f"{request} is committed, the answer lost",
            hear(world, request, None)._replace(objects=made, in_flight=rest),
        )
        yield (
            f"{request} is dropped",
            hear(world, request, None)._replace(in_flight=rest),
        )
        # The connection ends, and what becomes of the request stays open.
        lost = hear(world, request, None)
        if lost != world:
            yield f"{request} hangs", lost


def worker_steps(world, w, worker, parts):
    j = worker.job
    job = world.jobs[j]
    mine = job.token == worker.token

    def to(at, memory=None, **changes):
        after = put(world, "workers", w, worker._replace(at=at, memory=memory))
        return put(after, "jobs", j, job._replace(**changes)) if changes else after

    rest = put(world, "workers", w, Worker())
    if worker.at == "idle":
        for n, row in enumerate(world.jobs):
            if row.state in ("queued", "unknown"):
                claimed = "claimed" if row.state == "queued" else "looking"
                if claimed == "looking" and not may_look(world, n, row, parts):
                    continue
                taken = row._replace(state=claimed, token=row.token + 1)
                at = Worker(claimed, n, taken.token)
                yield (
                    f"{w} takes {n}, {claimed}",
                    put(put(world, "workers", w, at), "jobs", n, taken),
                )
    elif worker.at == "claimed":
        known = frozenset(range(len(world.objects)))
        yield f"{w} lists for {j}", to("listed", known)
    elif worker.at == "listed":
        others = (row for n, row in enumerate(world.jobs) if n != j)
        free = not any(
            o.state in ("sending", "unknown", "looking", "asks") for o in others
        )
        if (mine and job.state == "claimed") or "token" not in parts:
            if free or "twin" not in parts:
                state = "sending" if "intent" in parts else job.state
                yield (
                    f"{w} notes that {j} is sent",
                    to("armed", state=state, known=worker.memory, sends=job.sends + 1),
                )
            else:
                # The token of this claim was used for nothing: without it the number of
                # worlds stays finite.
                later = job._replace(state="queued", token=job.token - 1)
                yield f"{w} puts {j} off", put(rest, "jobs", j, later)
        else:
            yield f"{w} sees that {j} is not its own", rest
    elif worker.at == "armed":
        sent = world.in_flight | {(j, worker.token)}
        yield f"{w} sends {j}", to("waiting")._replace(in_flight=sent)
    elif worker.at == "heard":
        if not mine:
            yield f"{w} is too late for {j}", rest
        elif worker.memory is None:
            yield (
                f"{w} does not know",
                put(rest, "jobs", j, job._replace(state="unknown")),
            )
        else:
            done = job._replace(state="done", found=worker.memory)
            yield f"{w} notes {j} as done", put(rest, "jobs", j, done)
    elif worker.at == "looking":
        taken = {row.found for n, row in enumerate(world.jobs) if n != j}
        yield (
            f"{w} looks for {j}",
            to(
                "looked",
                tuple(
                    i
                    for i in range(len(world.objects))
                    if not ("known" in parts and i in job.known)
                    and not ("taken" in parts and i in taken)
                ),
            ),
        )
    elif worker.at == "looked":
        found = worker.memory
        if not mine:
            yield f"{w} is too late for {j}", rest
        elif len(found) == 1:
            after = job._replace(state="done", found=found[0])
            yield f"{w} adopts {found[0]} for {j}", put(rest, "jobs", j, after)
        elif not found and job.sends < world.sends:
            yield (
                f"{w} queues {j} again",
                put(rest, "jobs", j, job._replace(state="queued")),
            )
        else:
            yield (
                f"{w} asks about {j}",
                put(rest, "jobs", j, job._replace(state="asks")),
            )


def may_look(world, j, job, parts):
    """Whether the settle time is over: then nothing that was sent before is still open.

    That Mixpanel commits no later than that is the one thing that is believed.
    """
    if "settle" in parts and any(request[0] == j for request in world.in_flight):
        return False
    # By then the timer of whoever was about to send has killed it.
    armed = any(w.at == "armed" and w.job == j for w in world.workers)
    return not (armed and "fence" in parts)


def hear(world, request, answer):
    """Whoever sent a request and still waits gets the answer, or None for its loss."""
    for w, worker in enumerate(world.workers):
        if worker.at == "waiting" and (worker.job, worker.token) == request:
            return put(world, "workers", w, worker._replace(at="heard", memory=answer))
    return world


def put(world, name, index, value):
    items = list(getattr(world, name))
    items[index] = value
    return world._replace(**{name: tuple(items)})


def wrong(world):
    """What must never be, in words; "" if all is well."""
    for j, job in enumerate(world.jobs):
        if world.objects.count(j) > 1:
            return f"job {j} has made {world.objects.count(j)} objects"
        if job.found is not None and world.objects[job.found] == FOREIGN:
            return f"job {j} has adopted what somebody else made"
    found = [job.found for job in world.jobs if job.found is not None]
    return "two jobs hold one object" if len(set(found)) < len(found) else ""


def explore(start, parts):
    """(number of worlds, the way to the first wrong one or [])."""
    came_from = {start: None}
    todo = deque([start])
    while todo:
        world = todo.popleft()
        if problem := wrong(world):
            way = [problem]
            while came_from[world]:
                words, world = came_from[world]
                way.append(words)
            return len(came_from), way[::-1]
        for words, after in steps(world, parts):
            # Which of two workers does it makes no difference.
            after = after._replace(workers=tuple(sorted(after.workers, key=repr)))
            if after not in came_from:
                came_from[after] = (words, world)
                todo.append(after)
    return len(came_from), []


ONE = World(jobs=(Job(),))
# The same was made by somebody else before, and nobody manages it.
AFTER_ANOTHER = World(jobs=(Job(),), objects=(FOREIGN,), crashes=1, rescues=1)
TWINS = World(jobs=(Job(), Job()), crashes=0, rescues=1, sends=2)


@pytest.mark.parametrize(
    "start", [ONE, AFTER_ANOTHER, TWINS], ids=["one", "after another", "twins"]
)
def test_no_way_leads_to_a_double(start):
    seen, way = explore(start, set(PARTS))
    assert way == []
    assert seen > 1_000


@pytest.mark.parametrize(
    ("part", "start", "problem"),
    [
        ("intent", ONE, "job 0 has made 2 objects"),
        ("settle", ONE, "job 0 has made 2 objects"),
        ("fence", ONE, "job 0 has made 2 objects"),
        ("token", ONE, "job 0 has made 2 objects"),
        ("known", AFTER_ANOTHER, "job 0 has adopted what somebody else made"),
        ("twin", TWINS, "two jobs hold one object"),
        ("taken", TWINS, "two jobs hold one object"),
    ],
)
def test_without_any_one_part_there_is_a_way(part, start, problem):
    _, way = explore(start, set(PARTS) - {part})
    assert way[-1] == problem, PARTS[part]
