"""Doing a job: claim it, send, note how it went. May be called twice for the same job.

The order is the guarantee. What Mixpanel already has is listed, the attempt is committed,
and only then the call goes out; so a row with an attempt and no outcome means "it may
have happened", whatever died in between.
"""

import logging
import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F

from mixadmin.common.causes import KINDS
from mixadmin.common.clock import db_now
from mixadmin.common.crypto import CannotDecrypt
from mixadmin.common.errors import Refused, Wait
from mixadmin.mixpanel.errors import BadRequest, MixpanelError

from . import limits, registry
from .fence import send_fence
from .models import Attempt, Job
from .operations import REPEATABLE, Next, Op, after, is_repeatable
from .registry import Candidate, Plan, Stopped, Work
from .times import TIMES

log = logging.getLogger(__name__)
State = Job.State

# A job that was rescued this often kills its workers; a person must look.
RECOVERIES = 3
GONE = "What this job is for was removed here in the meantime."
IN_THE_WAY = (
    "Mixpanel did it, but a row here is in its way: it is managed here already, or its "
    "name is taken. Give up here, and adopt it from the list of what exists there."
)
# Sends of one call that is not repeatable, each after proof that the last did nothing.
SENDS = 3
LOOKS = 5

ALLOWED: dict[str, tuple[str, ...]] = {
    State.QUEUED: (State.CLAIMED, State.CANCELLED),
    State.WAITING: (State.CLAIMED, State.CANCELLED, State.QUEUED),
    State.CLAIMED: (
        State.SENDING,
        State.CANCELLED,
        State.QUEUED,
        State.WAITING,
        State.FAILED,
        State.DEAD,
    ),
    State.SENDING: (
        State.SUCCEEDED,
        State.CANCELLED,
        State.ACCEPTED,
        State.POLLING,
        State.FAILED,
        State.WAITING,
        State.QUEUED,
        State.UNKNOWN,
        State.NEEDS_DECISION,
        State.DEAD,
    ),
    State.UNKNOWN: (State.RECONCILING, State.NEEDS_DECISION),
    State.RECONCILING: (
        State.UNKNOWN,
        State.ADOPTED,
        State.SUCCEEDED,
        State.POLLING,
        State.QUEUED,
        State.FAILED,
        State.NEEDS_DECISION,
        State.DEAD,
    ),
    State.ACCEPTED: (State.POLLING, State.SUCCEEDED),
    State.ADOPTED: (State.POLLING, State.SUCCEEDED),
    State.POLLING: (State.SUCCEEDED, State.FAILED, State.CANCELLED),
    State.NEEDS_DECISION: (
        State.ADOPTED,
        State.SUCCEEDED,
        State.POLLING,
        State.QUEUED,
        State.CANCELLED,
    ),
    State.FAILED: (State.QUEUED,),
    State.DEAD: (State.QUEUED,),
    State.SUCCEEDED: (),
    State.CANCELLED: (),
}


class Fenced(Exception):
    """Another worker has taken this job over; this one writes nothing more."""


def move(job: Job, state: str, *, held: int | None = None, **changes: Any) -> None:
    """The one way a job changes its state. Raises Fenced when it is not ours any more.

    `held` is the token of the claim that the caller holds; None for a move of a person
    or the scheduler, which must find the job in the state that they saw.
    """
    if state not in ALLOWED[job.state]:
        raise ValueError(f"A job does not go from {job.state} to {state}.")
    now = db_now()
    if state in Job.ENDED:
        changes.setdefault("ended_at", now)
    if state not in Job.HELD:
        changes.setdefault("lease_until", None)
        changes.setdefault("rung_at", None)
    if state not in (State.WAITING, State.UNKNOWN):
        changes.setdefault("wait_reason", "")
    where = {"token": held} if held is not None else {}
    changes["state"] = state
    if not Job.objects.filter(pk=job.pk, state=job.state, **where).update(**changes):
        raise Fenced(str(job.pk))
    for name, value in changes.items():
        setattr(job, name, value)


def claim(job_id: UUID) -> Job | None:
    """Take a due job for this worker, or None if it is not due or another was faster."""
    now = db_now()
    for before, claimed in (
        ((State.QUEUED, State.WAITING), State.CLAIMED),
        ((State.UNKNOWN,), State.RECONCILING),
    ):
        due = Job.objects.filter(pk=job_id, state__in=before, run_after__lte=now)
        if due.update(
            state=claimed,
            token=F("token") + 1,
            lease_until=now + timedelta(seconds=TIMES.lease),
            heard_at=now,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            wait_reason="",
        ):
            return Job.objects.select_related("project", "actor").get(pk=job_id)
    return None


def touch(job: Job, *, progress: bool = False) -> None:
    """Say that the worker lives, and keep the lease. Raises Fenced if it is lost.

    With `progress` whatever went wrong before is over, and the time to give up is set
    anew.
    """
    now = db_now()
    changes: dict[str, Any] = {
        "lease_until": now + timedelta(seconds=TIMES.lease),
        "heard_at": now,
    }
    if progress:
        changes |= {
            "attempt_count": 0,
            "recoveries": 0,
            "deadline_at": now + timedelta(seconds=TIMES.give_up),
        }
    mine = Job.objects.filter(pk=job.pk, token=job.token, state=job.state)
    if not mine.update(**changes):
        raise Fenced(str(job.pk))


def run(job_id: UUID) -> Job | None:
    """Do what a due job needs next. A job that is not due, or not ours, is left alone.

    Returns the job as this worker left it, None when it had nothing to do with it.
    """
    job = claim(job_id)
    if job is None:
        return None
    task = registry.task(job.task)
    if task is None:
        # Put there by a newer version; a newer worker will know it.
        move(job, State.WAITING, held=job.token, wait_reason="retry", run_after=_in(60))
        return job
    try:
        _run(job, task.plan)
    except Fenced:
        log.warning("job %s was taken over; this worker stops", job.pk)
    except Exception as mistake:
        log.exception("job %s met a mistake of ours", job.pk)
        mine = Job.objects.filter(pk=job.pk, token=job.token, state__in=Job.HELD)
        for held in mine:
            why = f"A mistake in mixadmin ended it: {type(mistake).__name__}."
            pause = backoff(held.recoveries + 1)
            rescue(held, kind="internal", why=why, pause=pause)
    else:
        _cancel_if_asked(job)
    return job


def _cancel_if_asked(job: Job) -> None:
    """Cancel a job that is known not to have been done, if a person asked for it while
    it was being sent."""
    rows = Job.objects.filter(pk=job.pk, cancel_asked=True)
    for row in rows.filter(state__in=(State.QUEUED, State.WAITING)):
        with suppress(Fenced), transaction.atomic():
            move(row, State.CANCELLED)
            tell_target(row)


def _run(job: Job, make_plan: Any) -> None:
    try:
        plan: Plan | Work = make_plan(job)
    except (Refused, ValidationError, ObjectDoesNotExist) as error:
        words = " ".join(getattr(error, "messages", [str(error)]))
        if isinstance(error, ObjectDoesNotExist):
            words = GONE
        if job.state == State.RECONCILING:
            _decide(job, [], words)
        else:
            _fail(job, None, _kind_of(error), words)
        return
    except Wait as wait:
        _wait(job, wait)
        return
    if isinstance(plan, Work):
        _work(job, plan)
        return
    try:
        if job.state == State.RECONCILING:
            _reconcile(job, plan)
        else:
            _send(job, plan)
    except Wait as wait:
        _wait(job, wait)
    except CannotDecrypt as error:
        _wait(job, Wait(Job.Wait.CREDENTIAL, str(error), None))
    except MixpanelError as error:
        # From a look before the send or after it: nothing was changed by it.
        _not_now(job, plan, error)


def _send(job: Job, plan: Plan) -> None:
    key = breaker_key(job)
    probe = limits.check_breaker(key)
    with plan.client() as client:
        if probe:
            client.projects.me()
            limits.note(key, ok=True)
        known = list(plan.known(client)) if plan.known else []
        touch(job)
        attempt = Attempt(
            job=job,
            number=job.attempt_count + 1,
            token=job.token,
            known_before=known,
            credential_version=plan.credential_version,
        )
        client.request_id = str(attempt.request_id)
        # A change may read just before it is sent; what makes something new is one call.
        calls = 2 if job.op in REPEATABLE else 1
        with send_fence((plan.seconds or calls * TIMES.total) + 5):
            _begin(job, plan, attempt)
            problem: MixpanelError | None = None
            value = None
            try:
                value = plan.send(client)
            except MixpanelError as error:
                problem = error
            except (TypeError, ValueError) as error:
                # The client refuses to send what Mixpanel documents otherwise.
                problem = BadRequest(f"This was not sent: {error}")
        if problem is None:
            limits.note(key, ok=True)
            _succeed(job, plan, attempt, value)
        else:
            _settle(job, plan, attempt, problem)


class _Turn:
    """See `registry.Turn`."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._ends = time.monotonic() + TIMES.turn
        self._heard = time.monotonic()

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends

    def extend(self, seconds: float) -> None:
        self._ends = max(self._ends, time.monotonic() + seconds)

    @contextmanager
    def commit(self, *, progress: bool = True) -> Iterator[None]:
        with transaction.atomic():
            touch(self.job, progress=progress)
            yield
        self._heard = time.monotonic()

    def heard(self) -> None:
        if time.monotonic() - self._heard >= TIMES.heartbeat:
            touch(self.job)
            self._heard = time.monotonic()


def _work(job: Job, work: Work) -> None:
    """Do one turn of a job of many steps, and note what follows."""
    now = db_now()
    move(
        job,
        State.SENDING,
        held=job.token,
        started_at=job.started_at or now,
        heard_at=now,
    )
    told: dict[str, Any] = {"error_kind": "", "error_message": "", "error_raw": ""}
    try:
        if work.run(_Turn(job)):
            move(job, State.SUCCEEDED, held=job.token, **told)
        else:
            move(job, State.QUEUED, held=job.token, run_after=db_now(), **told)
    except Stopped:
        move(job, State.CANCELLED, held=job.token)
    except Wait as wait:
        _wait(job, wait)
    except CannotDecrypt as error:
        _wait(job, Wait(Job.Wait.CREDENTIAL, str(error), None))
    except (Refused, ValidationError) as error:
        words = " ".join(getattr(error, "messages", [str(error)]))
        _fail(job, work, _kind_of(error), words)
    except MixpanelError as error:
        _pause(job, work, error)


def _kind_of(error: Exception) -> str:
    """What a refusal is called on the job: by its own code where that has a remedy."""
    code = getattr(error, "code", "")
    return code if isinstance(error, Refused) and code in KINDS else "refused"


def _pause(job: Job, work: Work, error: MixpanelError) -> None:
    """End a turn that met an error. Turns without progress in between are counted."""
    counted = Job.objects.filter(pk=job.pk, token=job.token)
    counted.update(attempt_count=F("attempt_count") + 1)
    job.refresh_from_db(fields=["attempt_count", "deadline_at"])
    follow = after(job.op, error)
    if follow is Next.FAIL:
        _fail(job, work, error.kind, str(error), error.body)
    else:
        _again(job, work, follow, error)


def _begin(job: Job, plan: Plan, attempt: Attempt) -> None:
    """Commit that this attempt is about to be sent, and charge its budget."""
    attempt.started_at = db_now()
    try:
        with transaction.atomic():
            if plan.budget:
                bucket, limit, per, what = plan.budget
                limits.take(bucket, limit=limit, per=per, what=what)
            move(
                job,
                State.SENDING,
                held=job.token,
                fingerprint=plan.fingerprint,
                attempt_count=attempt.number,
                started_at=job.started_at or attempt.started_at,
                heard_at=attempt.started_at,
                lease_until=attempt.started_at
                + timedelta(seconds=TIMES.lease + (plan.seconds or 0)),
            )
            attempt.save()
    except IntegrityError:
        job.state = State.CLAIMED
        message = (
            "An identical request is not settled yet; two could not be told apart."
        )
        raise Wait(Job.Wait.TWIN, message, _in(TIMES.look_again)) from None
    except Wait:
        job.state = State.CLAIMED
        raise


def _succeed(
    job: Job, plan: Plan, attempt: Attempt, value: Any, *, adopted: bool = False
) -> None:
    try:
        with transaction.atomic():
            result = plan.save(value) or {}
            if adopted:
                move(job, State.ADOPTED, held=job.token)
            move(
                job,
                plan.after,
                held=job.token,
                result=result,
                error_kind="",
                error_message="",
                error_raw="",
                decision={},
                heard_at=db_now(),
            )
            attempt.outcome = "done"
            attempt.ended_at = db_now()
            attempt.remote_id = str(result.get("mixpanel_id", ""))
            attempt.save()
    except IntegrityError:
        _decide(job, [], IN_THE_WAY)


def _settle(job: Job, plan: Plan, attempt: Attempt, error: MixpanelError) -> None:
    """Note a failed call and decide what follows, by the table of outcomes."""
    attempt.outcome = error.kind
    attempt.ended_at = db_now()
    attempt.http_status = error.status
    attempt.mixpanel_request_id = error.mixpanel_request_id[:100]
    attempt.error = str(error)[:2000]
    attempt.save()
    limits.note(breaker_key(job), ok=error.status is not None and error.status < 500)
    follow = after(job.op, error)
    if follow is Next.DONE:
        _succeed(job, plan, attempt, None)
    elif follow is Next.FAIL:
        _fail(job, plan, error.kind, str(error), error.body)
    elif follow is Next.LOOK:
        _unknown(job, attempt, error)
    else:
        _again(job, plan, follow, error)


def _again(job: Job, plan: Plan | Work, follow: Next, error: MixpanelError) -> None:
    """Send later: the call did not happen, or may happen twice."""
    # A look whose answer was lost leaves nothing unknown: nothing was sent after it.
    only_looked = job.state == State.CLAIMED and error.may_have_happened
    told = {
        "error_kind": "look_failed" if only_looked else error.kind,
        "error_message": str(error),
        "error_raw": error.body,
    }
    if follow is Next.CREDENTIAL and (plan.refused is None or plan.refused()):
        message = "The service account was refused; the job goes on with a new secret."
        _wait(job, Wait(Job.Wait.CREDENTIAL, message, None), **told)
    elif job.deadline_at < db_now():
        words = f"Gave up after {job.attempt_count} attempts. Last: {error}"
        _fail(job, plan, error.kind, words, error.body)
    elif follow is Next.WAIT:
        until = _in(clamp_retry_after(error.retry_after, job.attempt_count))
        if isinstance(plan, Plan) and plan.budget:
            limits.close(plan.budget[0], until)
        _wait(job, Wait(Job.Wait.RATE, str(error), until), **told)
    else:
        until = _in(backoff(job.attempt_count))
        _wait(job, Wait(Job.Wait.RETRY, str(error), until), **told)


def _not_now(job: Job, plan: Plan, error: MixpanelError) -> None:
    """A read before a send, or a look after one, failed: nothing was changed by it."""
    limits.note(breaker_key(job), ok=error.status is not None and error.status < 500)
    follow = after(Op.SAFE, error)
    if job.state == State.RECONCILING:
        # What was sent is still unknown, whatever stops us from looking.
        seconds = backoff(job.recoveries + 1)
        if job.deadline_at < db_now():
            _decide(
                job, [], f"Mixpanel could not be asked what became of this: {error}"
            )
        else:
            move(
                job,
                State.UNKNOWN,
                held=job.token,
                run_after=_in(seconds),
                wait_reason=Job.Wait.RETRY,
                error_kind=error.kind,
                error_message=str(error),
                error_raw=error.body,
            )
            if follow is Next.CREDENTIAL and plan.refused:
                plan.refused()
    elif follow is Next.FAIL:
        _fail(job, plan, error.kind, str(error), error.body)
    else:
        _again(job, plan, follow, error)


def _unknown(job: Job, attempt: Attempt, error: MixpanelError) -> None:
    """Nobody knows whether it happened. Look when Mixpanel had time to show it."""
    look_at = attempt.started_at + timedelta(seconds=TIMES.total + TIMES.settle)
    if job.op == Op.DESTRUCTIVE:
        look_at = attempt.started_at + timedelta(seconds=TIMES.look_again)
    move(
        job,
        State.UNKNOWN,
        held=job.token,
        run_after=look_at,
        wait_reason=Job.Wait.SETTLE,
        error_kind=error.kind,
        error_message=str(error),
        error_raw=error.body,
    )


def _reconcile(job: Job, plan: Plan) -> None:
    """Find out what became of a call whose outcome is unknown."""
    attempt = job.attempts.last()
    assert attempt is not None, "an unknown outcome without an attempt"
    with plan.client() as client:
        if plan.check is not None:
            _reconcile_absence(job, plan, attempt, plan.check(client))
            return
        assert plan.find is not None, f"{job.task} has no way to look"
        found = list(plan.find(client, attempt))
    touch(job)
    now = db_now()
    ids = sorted(candidate.id for candidate in found)
    attempt.looks = [*attempt.looks, {"at": now.isoformat(), "found": ids}]
    attempt.save(update_fields=["looks"])
    agree = len(attempt.looks) > 1 and attempt.looks[-2]["found"] == ids
    if plan.window is not None:
        over = now >= attempt.started_at + timedelta(seconds=plan.window)
        agree = over or len(ids) == 1
    if not agree:
        if len(attempt.looks) >= LOOKS and plan.window is None:
            _decide(job, found, "Mixpanel's lists keep changing.")
            return
        again = _in(TIMES.look_again)
        move(
            job,
            State.UNKNOWN,
            held=job.token,
            run_after=again,
            wait_reason=Job.Wait.SETTLE,
        )
    elif len(ids) == 1:
        _succeed(job, plan, attempt, found[0].value, adopted=True)
    elif found:
        _decide(job, found, f"{len(found)} things at Mixpanel look like this request.")
    elif not plan.resend:
        _decide(job, [], "Mixpanel shows no sign of it, which does not prove absence.")
    elif job.attempt_count >= SENDS:
        _decide(job, [], f"Sent {job.attempt_count} times, and never seen at Mixpanel.")
    else:
        # Two looks, apart and after the settle time, saw nothing: it did not happen.
        attempt.outcome = "did_not_happen"
        attempt.ended_at = attempt.ended_at or now
        attempt.save(update_fields=["outcome", "ended_at"])
        move(job, State.QUEUED, held=job.token, run_after=now)


def _reconcile_absence(job: Job, plan: Plan, attempt: Attempt, value: Any) -> None:
    if value is not None:
        _succeed(job, plan, attempt, value, adopted=True)
    elif plan.resend and job.attempt_count < SENDS:
        move(job, State.QUEUED, held=job.token, run_after=db_now())
    elif plan.resend:
        _decide(job, [], f"Sent {job.attempt_count} times, and it is still there.")
    else:
        _decide(
            job, [], "It is still there, and sending it again cannot be taken back."
        )


def _decide(job: Job, found: list[Candidate], why: str) -> None:
    """Ask a person. Nothing is sent until they answer."""
    options = [{"id": c.id, "summary": c.summary} for c in found]
    move(
        job,
        State.NEEDS_DECISION,
        held=job.token,
        decision={"why": why, "candidates": options},
    )


def _fail(
    job: Job, plan: Plan | Work | None, kind: str, message: str, raw: str = ""
) -> None:
    with transaction.atomic():
        move(
            job,
            State.FAILED,
            held=job.token,
            error_kind=kind,
            error_message=message,
            error_raw=raw,
        )
        if plan is None:
            tell_target(job)
        elif plan.follow:
            plan.follow(State.FAILED)


def tell_target(job: Job) -> None:
    """Let the row that a job is for know that it ended, or goes on again."""
    task = registry.task(job.task)
    try:
        plan = task.plan(job) if task else None
    except (Refused, ValidationError, ObjectDoesNotExist):
        # The row is gone, so there is nobody to tell.
        return
    if plan and plan.follow:
        plan.follow(job.state)


def _wait(job: Job, wait: Wait, **told: str) -> None:
    told = told or {"error_message": wait.message}
    state = State.UNKNOWN if job.state == State.RECONCILING else State.WAITING
    # Without an end of its own a wait is looked at again now and then, and at once
    # when somebody changes what it waits for.
    until = wait.until or _in(TIMES.give_up)
    move(
        job,
        state,
        held=job.token,
        run_after=until,
        wait_reason=wait.reason,
        **told,
    )


def rescue_lapsed() -> int:
    """Give jobs back whose worker has gone silent. Returns how many."""
    rescued = 0
    for job in Job.objects.lapsed(db_now())[:500]:
        if rescue(job):
            rescued += 1
    return rescued


def rescue(
    job: Job,
    *,
    kind: str = "worker_lost",
    why: str = "Its worker fell silent.",
    pause: float = 0,
) -> bool:
    """Give a held job back, `pause` seconds from now. False if it has moved on."""
    recoveries = job.recoveries + 1
    again_at = _in(pause)
    changes: dict[str, Any] = {
        "recoveries": recoveries,
        "token": job.token + 1,
        "error_kind": kind,
        "error_message": why,
    }
    if job.state == State.SENDING and not is_repeatable(job.op):
        # It may have happened. This must be looked at even when workers keep dying.
        attempt = job.attempts.last()
        assert attempt is not None
        seconds = TIMES.total + TIMES.settle
        state, changes["run_after"] = (
            State.UNKNOWN,
            attempt.started_at + timedelta(seconds=seconds),
        )
        changes |= {
            "wait_reason": Job.Wait.SETTLE,
            "error_message": f"{why} It was being sent, so it may have happened.",
        }
    elif recoveries > RECOVERIES:
        state = State.DEAD
        words = f"{why} That was the {recoveries}th time, while {job.state}."
        changes["error_message"] = words
        if job.state == State.RECONCILING:
            state = State.NEEDS_DECISION
            words = f"{why} What became of it could not be looked up."
            changes["decision"] = {"why": words, "candidates": []}
    elif job.state == State.RECONCILING:
        state, changes["run_after"] = State.UNKNOWN, again_at
    else:
        state, changes["run_after"] = State.QUEUED, again_at
    try:
        move(job, state, held=job.token, **changes)
    except Fenced:
        return False
    log.warning("job %s was taken from %s: %s", job.pk, job.worker, kind)
    _cancel_if_asked(job)
    if state == State.DEAD:
        try:
            tell_target(job)
        except Exception:
            # Making the plan may be what the workers died of; the others are still
            # rescued.
            log.exception("the row of job %s was not told", job.pk)
    return True


def end_overdue_watching() -> int:
    """Fail jobs that watch a run whose end nobody has seen for a day. Returns how many."""
    overdue = Job.objects.filter(state=State.POLLING, deadline_at__lt=db_now())
    ended = 0
    for job in overdue[:500]:
        message = "The run was accepted, but its end was not seen within a day."
        with suppress(Fenced), transaction.atomic():
            move(job, State.FAILED, error_kind="run_unseen", error_message=message)
            tell_target(job)
            ended += 1
    return ended


def breaker_key(job: Job) -> str:
    return f"project:{job.project_id}" if job.project_id else "host"


def backoff(attempts: int) -> float:
    """2 s, doubled up to a minute, and some seconds of chance, as Mixpanel advises."""
    doubled = TIMES.backoff_first * 2.0 ** max(0, min(attempts, 20) - 1)
    pause = min(doubled, TIMES.backoff_most)
    return pause + random.uniform(0.2, 1) * TIMES.backoff_jitter  # noqa: S311


def clamp_retry_after(seconds: float | None, attempts: int) -> float:
    """Mixpanel's own wish first, within reason; without one the usual backoff."""
    if seconds is None:
        return backoff(attempts)
    shortest = min(1.0, TIMES.backoff_first)
    return min(max(seconds, shortest), TIMES.retry_after_most) + random.uniform(  # noqa: S311
        0, TIMES.backoff_jitter
    )


def _in(seconds: float) -> datetime:
    return db_now() + timedelta(seconds=seconds)
