"""The four Celery tasks. Each may be lost, doubled or late without harm."""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from mixadmin.celery import app
from mixadmin.common.clock import db_now

from . import polls, runner
from .actions import is_long, ring, ring_poll
from .idempotency import forget_old_intents
from .models import Beat, Job, Poll
from .registry import TICKS
from .times import TIMES

log = logging.getLogger(__name__)


@app.task(name="mixadmin.run")
def run(job_id: str) -> None:
    # A message may come from anybody who reaches the broker.
    try:
        known = UUID(job_id)
    except (AttributeError, TypeError, ValueError):
        log.warning("a message without a job id was dropped")
        return
    job = runner.run(known)
    if job is not None and job.state == Job.State.QUEUED and is_long(job.task):
        # Its turn is over and there is more to do.
        ring(job.pk, long=True)


@app.task(name="mixadmin.work", soft_time_limit=86_400, time_limit=90_000)
def work(job_id: str) -> None:
    """The same for long work: its turns end by themselves, and have their own queue."""
    run(job_id)


@app.task(name="mixadmin.poll")
def poll(poll_id: int) -> None:
    if type(poll_id) is not int:
        log.warning("a message without the number of a poll was dropped")
        return
    polls.run_poll(poll_id)


@app.task(name="mixadmin.tick")
def tick() -> None:
    """Find what is due and ring for it; find who went silent and take their work back."""
    now = db_now()
    runner.rescue_lapsed()
    runner.end_overdue_watching()
    unheard = Q(rung_at=None) | Q(rung_at__lt=now - timedelta(seconds=TIMES.ring_again))
    due = Job.objects.due(now).filter(unheard)
    jobs = dict(due.order_by("run_after").values_list("pk", "task")[:500])
    Job.objects.filter(pk__in=jobs).update(rung_at=now)
    for job_id, task in jobs.items():
        ring(job_id, long=is_long(task))
    due_polls = Poll.objects.due(now).filter(unheard)
    ids = list(due_polls.order_by("next_at").values_list("pk", flat=True)[:200])
    Poll.objects.filter(pk__in=ids).update(rung_at=now)
    for poll_id in ids:
        ring_poll(poll_id)
    for work in TICKS:
        try:
            work()
        except Exception:
            log.exception("%s failed at this tick", work.__name__)
    Beat.objects.update_or_create(name="scheduler", defaults={"at": now})
    clean_up(now)


def clean_up(now: datetime) -> None:
    """Once an hour: remove what nobody asks for any more."""
    beat, created = Beat.objects.get_or_create(name="clean-up", defaults={"at": now})
    last = Beat.objects.filter(pk=beat.pk, at__lt=now - timedelta(hours=1))
    if created or last.update(at=now):
        forget_old_intents()
