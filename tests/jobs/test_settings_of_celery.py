"""Celery is a doorbell: nothing that it loses, doubles, delays or is sent by a stranger
changes what is done."""

import pickle
import uuid

import pytest
from kombu import Connection
from kombu.exceptions import ContentDisallowed

from mixadmin.celery import app
from mixadmin.jobs import tasks  # noqa: F401  (registers them)
from mixadmin.jobs.models import Job, Poll
from mixadmin.jobs.times import Times
from tests import make

WANTED = {
    "accept_content": ["json"],
    "broker_connection_max_retries": None,
    "broker_connection_retry_on_startup": True,
    "result_backend": None,
    "task_acks_late": True,
    "task_ignore_result": True,
    "task_publish_retry": False,
    "task_reject_on_worker_lost": False,
    "task_remote_tracebacks": False,
    "task_send_sent_event": False,
    "task_serializer": "json",
    "visibility_timeout": 300,
    "worker_enable_remote_control": False,
    "worker_hijack_root_logger": False,
    "worker_max_tasks_per_child": 500,
    "worker_prefetch_multiplier": 1,
    "worker_send_task_events": False,
    "worker_soft_shutdown_timeout": 20,
}


@pytest.mark.parametrize(("name", "value"), WANTED.items(), ids=WANTED)
def test_celery_keeps_to_ringing(name, value):
    assert app.conf[name] == value


def test_a_task_ends_before_its_message_is_given_out_again():
    transport = app.conf.broker_transport_options
    assert transport["visibility_timeout"] == app.conf.visibility_timeout
    assert app.conf.task_soft_time_limit < app.conf.task_time_limit
    assert app.conf.task_time_limit < transport["visibility_timeout"]
    # One call and what belongs to it fits in easily, or a live worker would be killed.
    assert Times().total * 4 < app.conf.task_soft_time_limit


def test_no_task_retries_or_keeps_a_result():
    ours = {name: t for name, t in app.tasks.items() if name.startswith("mixadmin.")}
    assert set(ours) == {
        *("mixadmin.run", "mixadmin.work", "mixadmin.poll", "mixadmin.tick")
    }
    for task in ours.values():
        assert task.ignore_result
        assert task.acks_late
        assert not hasattr(task, "autoretry_for")


@pytest.fixture
def rows(db):
    project = make.make_project(owner=make.make_user())
    job = make.make_job(project=project)
    poll = Poll.objects.create(project=project, name="warehouse", next_at=job.run_after)
    return {Job: job.pk, Poll: poll.pk}


def contents():
    return [list(model.objects.order_by("pk").values()) for model in (Job, Poll)]


@pytest.mark.parametrize(
    "argument",
    [
        str(uuid.UUID(int=7)), "not-a-uuid", "", 777, -1, 10**30, None, True, 1.5, ["x"],
        {"a": 1}, "1" * 100_000, "\x00", "'; DROP TABLE jobs_job; --",
    ],
    ids=lambda argument: repr(argument)[:20],
)  # fmt: skip
@pytest.mark.parametrize("name", ["mixadmin.run", "mixadmin.poll"])
def test_a_message_about_nothing_has_no_effect(rows, name, argument):
    before = contents()
    done = app.tasks[name].apply(args=[argument])
    assert done.successful(), done.traceback
    assert contents() == before


@pytest.mark.parametrize("arguments", [[], ["a", "b"]], ids=["none", "two"])
def test_a_message_with_other_arguments_fails_and_has_no_effect(rows, arguments):
    before = contents()
    for name in ("mixadmin.run", "mixadmin.poll"):
        assert isinstance(app.tasks[name].apply(args=arguments).result, TypeError)
    assert contents() == before


@pytest.mark.parametrize("content_type", ["pickle", "yaml"])
def test_what_is_not_json_is_refused_unread(tmp_path, content_type):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    refused = []
    with Connection("memory://") as connection:
        channel = connection.channel()
        queue = app.amqp.queues.new_missing("stranger")
        consumer = app.amqp.TaskConsumer(channel, [queue])
        consumer.on_decode_error = lambda message, error: refused.append(error)
        consumer.register_callback(lambda body, message: refused.append(body))
        consumer.consume()
        connection.Producer().publish(
            pickle.dumps(Trap()),
            routing_key="stranger",
            exchange=queue.exchange,
            declare=[queue],
            content_type={"pickle": "application/x-python-serialize"}.get(
                content_type, "application/x-yaml"
            ),
            content_encoding="binary",
        )
        connection.drain_events(timeout=5)
    assert [type(error) for error in refused] == [ContentDisallowed]
    assert not (tmp_path / "sprung").exists()
