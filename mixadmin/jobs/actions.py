"""What a person or an action asks of the jobs."""

import logging
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, models, transaction

from mixadmin.accounts.models import User
from mixadmin.audit.actions import record
from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused

from . import registry
from .models import Attempt, Job, Poll
from .runner import GONE, Fenced, move, tell_target
from .times import TIMES

log = logging.getLogger(__name__)


def enqueue_job(
    *,
    task: str,
    title: str,
    target: models.Model | None = None,
    project_id: int | None = None,
    service_account_id: int | None = None,
    actor: User | None = None,
    params: dict[str, Any] | None = None,
) -> Job:
    """Write down that `task` must be done, in the caller's transaction.

    The doorbell rings after the commit and may get lost; the scheduler rings again.
    `params` must hold no secret.
    """
    now = db_now()
    known = registry.task(task)
    assert known is not None, f"no task is called {task}"
    job = Job.objects.create(
        task=task,
        op=known.op,
        title=title[:300],
        params=params or {},
        project_id=project_id,
        service_account_id=service_account_id,
        target_type=target._meta.label_lower if target else "",
        target_id=str(target.pk) if target else "",
        actor=actor,
        created_at=now,
        run_after=now,
        deadline_at=now + timedelta(seconds=TIMES.give_up),
    )
    transaction.on_commit(lambda: ring(job.pk, long=is_long(job.task)), robust=True)
    return job


def ring(job_id: UUID, *, long: bool = False) -> None:
    """Tell a worker to look at a job. If nobody hears it, the scheduler rings again."""
    _publish("mixadmin.work" if long else "mixadmin.run", str(job_id))


def is_long(task: str) -> bool:
    """Whether a job of this task belongs to the workers for long work."""
    known = registry.task(task)
    return known is not None and known.long


def ring_poll(poll_id: int) -> None:
    _publish("mixadmin.poll", poll_id)


def _publish(name: str, *args: Any) -> None:
    if getattr(settings, "BROKER_IS_SILENT", False):
        return
    from mixadmin.celery import app

    try:
        app.send_task(name, args=args, retry=False)
    except Exception as error:  # the broker may be away in any way it likes
        log.warning("the broker did not take %s: %s", name, type(error).__name__)


def retry_job(*, job: Job, actor: User | None) -> Job:
    """Do a failed job again, or a waiting one now.

    Whoever has a failed one done again answers for it: it goes on with their rights.
    """
    if job.state == Job.State.WAITING:
        changed = Job.objects.filter(pk=job.pk, state=job.state).update(
            run_after=db_now(), rung_at=None
        )
        if not changed:
            raise Refused("This job has moved on in the meantime.", code="moved_on")
    elif job.state in (Job.State.FAILED, Job.State.DEAD):
        now = db_now()
        try:
            with transaction.atomic():
                _move(
                    job,
                    Job.State.QUEUED,
                    run_after=now,
                    deadline_at=now + timedelta(seconds=TIMES.give_up),
                    recoveries=0,
                    ended_at=None,
                    dismissed=False,
                    cancel_asked=False,
                    actor=actor or job.actor,
                )
                tell_target(job)
        except IntegrityError:
            raise Refused(
                "Its name was taken by another one in the meantime.", code="taken"
            ) from None
    else:
        raise Refused(
            f"A job that is {job.get_state_display().lower()} cannot be tried again.",
            code="wrong_state",
        )
    record(actor=actor, verb="retried", target=job, project_id=job.project_id)
    transaction.on_commit(lambda: ring(job.pk, long=is_long(job.task)), robust=True)
    return job


def cancel_job(*, job: Job, actor: User | None) -> Job:
    """Stop a job. One that is being sent, or may have happened, is not sent again and
    is cancelled as soon as it is known what became of it.
    """
    if not job.may_be_cancelled:
        raise Refused(_not_cancelled(job), code="wrong_state")
    if job.can_cancel:
        with transaction.atomic():
            _move(job, Job.State.CANCELLED)
            tell_target(job)
            record(actor=actor, verb="cancelled", target=job, project_id=job.project_id)
        return job
    plan = _plan(job) if is_long(job.task) else None
    if isinstance(plan, registry.Work) and plan.cancel is not None:
        plan.cancel(actor)
    with transaction.atomic():
        rows = Job.objects.filter(pk=job.pk, state=job.state, cancel_asked=False)
        if not rows.update(cancel_asked=True):
            raise Refused("This job has moved on in the meantime.", code="moved_on")
        job.cancel_asked = True
        verb = "asked to cancel"
        record(actor=actor, verb=verb, target=job, project_id=job.project_id)
    return job


def _not_cancelled(job: Job) -> str:
    if job.cancel_asked and not job.is_ended:
        return (
            "It is being cancelled already, as soon as it is known what became of it."
        )
    why = "It is over."
    if job.state == Job.State.NEEDS_DECISION:
        why = "Decide what became of it instead."
    elif not job.is_ended:
        why = "Mixpanel has accepted it; what runs there cannot be stopped from here."
    words = job.get_state_display().lower()
    return f"A job that is {words} cannot be cancelled. {why}"


def decide_job(
    *, job: Job, actor: User | None, choice: str, candidate: str = ""
) -> Job:
    """Answer the question of a job whose outcome could not be found out.

    choice: "adopt" (with a candidate's id), "again" (send it once more), or "give_up".
    """
    if job.state != Job.State.NEEDS_DECISION:
        raise Refused("This job asks for no decision.", code="wrong_state")
    if choice == "adopt":
        _adopt(job, candidate)
    elif choice == "again":
        now = db_now()
        _move(
            job,
            Job.State.QUEUED,
            run_after=now,
            recoveries=0,
            decision={},
            cancel_asked=False,
            deadline_at=now + timedelta(seconds=TIMES.give_up),
            actor=actor or job.actor,
        )
        transaction.on_commit(lambda: ring(job.pk, long=is_long(job.task)), robust=True)
    elif choice == "give_up":
        with transaction.atomic():
            _move(job, Job.State.CANCELLED, decision={})
            tell_target(job)
    else:
        raise Refused("Choose adopt, again or give_up.", code="unknown_choice")
    record(
        actor=actor,
        verb="decided",
        target=job,
        project_id=job.project_id,
        changes={"choice": ["", f"{choice} {candidate}".strip()]},
    )
    return job


def _adopt(job: Job, candidate: str) -> None:
    plan = _plan(job)
    attempt = job.attempts.last()
    if isinstance(plan, registry.Work) or plan.find is None or attempt is None:
        raise Refused("There is nothing to adopt for this job.", code="nothing_found")
    with plan.client() as client:
        found = {c.id: c for c in plan.find(client, attempt)}
    if candidate not in found:
        raise Refused(
            "That candidate is no longer at Mixpanel, or belongs to something else.",
            code="nothing_found",
        )
    try:
        with transaction.atomic():
            result = plan.save(found[candidate].value) or {}
            _move(job, Job.State.ADOPTED)
            _move(
                job,
                plan.after,
                result=result,
                decision={},
                error_kind="",
                error_message="",
                error_raw="",
                deadline_at=db_now() + timedelta(seconds=TIMES.give_up),
            )
            Attempt.objects.filter(pk=attempt.pk).update(outcome="done")
    except IntegrityError:
        raise Refused("Something else adopted it first.", code="taken") from None


def dismiss_job(*, job: Job, actor: User | None) -> Job:
    """Take a failed job off the list of what needs attention."""
    if not job.is_ended:
        raise Refused("Only an ended job can be put aside.", code="wrong_state")
    Job.objects.filter(pk=job.pk).update(dismissed=True)
    job.dismissed = True
    record(actor=actor, verb="dismissed", target=job, project_id=job.project_id)
    return job


def _plan(job: Job) -> registry.Plan | registry.Work:
    known = registry.task(job.task)
    if known is None:
        raise Refused("This version does not know this kind of job.", code="unknown")
    try:
        return known.plan(job)
    except ObjectDoesNotExist:
        raise Refused(GONE, code="gone") from None


def _move(job: Job, state: str, **changes: Any) -> None:
    try:
        move(job, state, **changes)
    except Fenced:
        raise Refused(
            "This job has moved on in the meantime.", code="moved_on"
        ) from None


def finish_polling(*, job_id: UUID, succeeded: bool, result: dict[str, Any]) -> None:
    """End a job that watched a run, when the run has ended."""
    job = Job.objects.filter(pk=job_id, state=Job.State.POLLING).first()
    if job is None:
        return
    end = Job.State.SUCCEEDED if succeeded else Job.State.FAILED
    told: dict[str, Any] = (
        {}
        if succeeded
        else {
            "error_kind": "run_failed",
            "error_message": str(result.get("message", "The run did not succeed.")),
        }
    )
    move(job, end, result={**job.result, **result}, **told)


def release_credential(**of: models.Model) -> int:
    """`service_account` has a new secret, or `project` another service account: the
    jobs that wait for it may go on. Returns how many."""
    waiting = Job.objects.filter(
        **of,
        state__in=(Job.State.WAITING, Job.State.UNKNOWN),
        wait_reason=Job.Wait.CREDENTIAL,
    )
    return go_on(waiting)


def go_on(waiting: "models.QuerySet[Job]") -> int:
    """Let jobs that wait go on now. Returns how many."""
    found = list(waiting.values_list("pk", "task"))
    waiting.update(run_after=db_now(), rung_at=None)
    for job_id, task in found:
        call = partial(ring, job_id, long=is_long(task))
        transaction.on_commit(call, robust=True)
    return len(found)


def start_polling(*, name: str, project_id: int) -> None:
    """Poll `name` of a project from now on, soon; also after something was changed."""
    now = db_now()
    poll, created = Poll.objects.get_or_create(
        name=name, project_id=project_id, defaults={"next_at": now}
    )
    if not created:
        # Also while one goes on: it may have read before the change, and sees by the
        # other time that it must be done again. Wishes that come close to one another
        # are met together, so that many changes do not use up the budget of the minute.
        pause = timedelta(seconds=TIMES.poll_busy)
        soon = max(now, poll.polled_at + pause) if poll.polled_at else now
        Poll.objects.filter(pk=poll.pk).update(next_at=soon, interval=0, rung_at=None)
    transaction.on_commit(lambda: ring_poll(poll.pk), robust=True)
