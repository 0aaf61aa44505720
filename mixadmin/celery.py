"""Celery, a pool of hands: the rows of `mixadmin.jobs` decide, messages only ring.

Every setting here serves one rule: a message may be lost, doubled, late or forged
without harm. So nothing is retried, stored or scheduled by Celery itself.
"""

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mixadmin.settings")
from django.conf import settings  # noqa: E402  (the settings module must be named first)

_transport = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,
    "socket_connect_timeout": 1,
}

app = Celery("mixadmin")
app.conf.update(
    broker_url=settings.REDIS_URL,
    broker_transport_options=_transport,
    visibility_timeout=300,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    result_backend=None,
    task_ignore_result=True,
    task_acks_late=True,
    # A killed child's job is rescued from its row; the message is not sent again.
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    accept_content=["json"],
    task_serializer="json",
    task_publish_retry=False,
    worker_soft_shutdown_timeout=20,
    worker_enable_soft_shutdown_on_idle=False,
    task_soft_time_limit=240,
    task_time_limit=270,
    worker_max_tasks_per_child=500,
    worker_send_task_events=False,
    task_send_sent_event=False,
    task_remote_tracebacks=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    task_default_queue="mixadmin",
    # Each in a queue of its own, so that no backlog of one holds up the others.
    task_routes={
        "mixadmin.poll": {"queue": "mixadmin.poll"},
        "mixadmin.work": {"queue": "mixadmin.work"},
        "mixadmin.tick": {"queue": "mixadmin.tick"},
    },
    beat_schedule={
        "tick": {
            "task": "mixadmin.tick",
            "schedule": max(0.2, 5 * settings.TIME_SCALE),
            "options": {"expires": 30},
        },
    },
    beat_schedule_filename=str(settings.DATA_DIR / "beat-schedule"),
    beat_max_loop_interval=5,
    timezone="UTC",
)
app.autodiscover_tasks()


@setup_logging.connect
def keep_django_logging(**kwargs: object) -> None:
    """Leave logging as settings.LOGGING made it."""
