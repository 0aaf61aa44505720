"""What people do with cloud connectors, and the jobs that make Mixpanel follow."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction

from mixadmin.accounts.models import User
from mixadmin.audit.actions import record
from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused
from mixadmin.common.states import Presence
from mixadmin.jobs.actions import start_polling
from mixadmin.jobs.models import Attempt, Job
from mixadmin.jobs.operations import Op
from mixadmin.jobs.registry import Candidate, Plan, job_task
from mixadmin.jobs.times import TIMES
from mixadmin.mixpanel import connectors as wire
from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.errors import NotFound
from mixadmin.mixpanel.rehearsal import Rehearsed
from mixadmin.projects import access
from mixadmin.projects.managed import (
    digest,
    enqueue_for,
    no_longer_remote,
    read_again,
    require_active,
    require_adoptable,
    require_forgettable,
    require_typed,
    start_deleting,
    unless_success,
    without_empty,
)
from mixadmin.projects.models import Project, RemoteObject
from mixadmin.service_accounts.clients import for_job, rehearsed

from .models import Connector

POLL = "connectors"

CLOSED = (
    "Mixpanel has closed Cloud Import for this project. Send the files through the "
    "ingestion API instead, or connect the warehouse that they come from."
)


def create_connector(
    *, project: Project, actor: User | None, **wanted: Any
) -> tuple[Connector, Job]:
    """Save a connector and queue its creation at Mixpanel, which starts its run.

    wanted: see `new_connector`.
    """
    connector = new_connector(project=project, actor=actor, **wanted)
    with transaction.atomic():
        connector.save()
        record(actor=actor, verb="asked to create", target=connector)
        job = enqueue_for(
            connector,
            actor,
            "connectors.create",
            f"Create connector {connector.label}",
        )
    return connector, job


def new_connector(
    *,
    project: Project,
    actor: User | None,
    label: str,
    connector_type: str,
    connector_properties: dict[str, Any],
    category_properties: dict[str, Any],
    accepted_warnings: Iterable[str] = (),
) -> Connector:
    """What `create_connector` saves, checked and not saved."""
    access.require(actor, project)
    if project.connectors_open is False:
        raise Refused(CLOSED, code="connectors_closed")
    connector = Connector(
        project=project,
        label=label,
        connector_type=connector_type,
        connector_properties=connector_properties,
        category_properties=without_empty(category_properties),
        accepted_warnings=list(accepted_warnings),
    )
    connector.full_clean(
        exclude=["connector_type", "connector_properties", "category_properties"]
    )
    return connector


def delete_connector(
    *, connector: Connector, actor: User | None, typed_name: str
) -> Job:
    """Queue the deletion. What was imported stays in Mixpanel."""
    access.require(actor, connector.project)
    require_active(connector)
    if not connector.is_known_type:
        raise Refused(
            f"A connector of the type {connector.connector_type} is only shown here. "
            "Delete it in Mixpanel.",
            code="unknown_type",
        )
    require_typed(str(connector), typed_name)
    with transaction.atomic():
        start_deleting(connector)
        record(actor=actor, verb="asked to delete", target=connector)
        return enqueue_for(
            connector, actor, "connectors.delete", f"Delete connector {connector}"
        )


def forget_connector(*, connector: Connector, actor: User | None) -> None:
    """Remove a connector that is not at Mixpanel (any more). Its history is kept."""
    access.require(actor, connector.project)
    require_forgettable(connector)
    with transaction.atomic():
        record(actor=actor, verb="forgot", target=connector)
        # Without its id: should it be there after all, it can be adopted.
        Connector.objects.filter(pk=connector.pk).update(
            presence=Presence.DELETED, mixpanel_id=""
        )


def adopt(
    *, project: Project, actor: User | None, remote_objects: list[RemoteObject]
) -> list[Connector]:
    """Manage here the connectors that exist at Mixpanel."""
    access.require(actor, project)
    require_adoptable(project, remote_objects, ("connectors.create",))
    rows = []
    with transaction.atomic():
        for remote in remote_objects:
            found = read_again(wire.read_connector, remote)
            row = Connector(
                project=project,
                label=found.label[:255] or f"Connector {found.id[:8]}",
                connector_type=found.connector_type[:60],
                connector_properties=found.connector_properties,
                category_properties=found.category_properties,
                mixpanel_id=found.id,
                presence=Presence.ACTIVE,
                adopted=True,
                status=found.status[:60],
                failure_message=found.failure_message,
                raw=found.raw,
                observed_at=remote.seen_at,
            )
            row.full_clean(exclude=["connector_properties", "category_properties"])
            row.save()
            record(actor=actor, verb="adopted", target=row)
            rows.append(row)
            remote.delete()
        start_polling(name=POLL, project_id=project.pk)
    return rows


def _connector_of(job: Job) -> Connector:
    rows = Connector.objects.select_related("project")
    connector: Connector = rows.get(pk=job.target_id)
    return connector


def ask_to_create(client: MixpanelClient, connector: Connector) -> wire.Connector:
    return client.connectors.create(
        label=connector.label,
        connector_type=connector.connector_type,
        connector_properties=connector.connector_properties,
        category_properties=connector.category_properties,
    )


def rehearsed_connector(connector: Connector) -> Rehearsed:
    """The request that would create it."""
    return rehearsed(connector.project, lambda client: ask_to_create(client, connector))


def looks_like(found: wire.Connector, connector: Connector) -> bool:
    """Whether a connector at Mixpanel may have been made by this create request.

    Everything that was sent comes back; Mixpanel may add keys of its own.
    """
    return (
        found.label == connector.label
        and found.connector_type == connector.connector_type
        and _holds(found.connector_properties, connector.connector_properties)
        and _holds(found.category_properties, connector.category_properties)
    )


def _holds(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    wanted = without_empty(ours)
    return all(theirs.get(name) == value for name, value in wanted.items())


@job_task("connectors.create", op=Op.NON_IDEMPOTENT)
def plan_create(job: Job) -> Plan:
    connector = _connector_of(job)

    def find(client: MixpanelClient, attempt: Attempt) -> list[Candidate]:
        others = Connector.objects.filter(project=connector.project_id)
        ours = set(
            others.exclude(pk=connector.pk).values_list("mixpanel_id", flat=True)
        )
        return [
            Candidate(c.id, c, f"Connector {c.id}, made {c.created_at}")
            for c in client.connectors.list()
            if c.id not in attempt.known_before
            and c.id not in ours
            and looks_like(c, connector)
        ]

    def save(made: wire.Connector) -> dict[str, Any]:
        now = db_now()
        Connector.objects.filter(pk=connector.pk).update(
            mixpanel_id=made.id,
            presence=Presence.ACTIVE,
            status=made.status[:60],
            failure_message=made.failure_message,
            raw=made.raw,
            observed_at=now,
            watch_until=now + timedelta(seconds=TIMES.run_window),
        )
        no_longer_remote(connector, RemoteObject.Kind.CONNECTOR, made.id)
        start_polling(name=POLL, project_id=connector.project_id)
        return {"mixpanel_id": made.id}

    return Plan(
        known=lambda client: [c.id for c in client.connectors.list()],
        send=lambda client: ask_to_create(client, connector),
        find=find,
        save=save,
        fingerprint=digest(
            connector.label,
            connector.connector_type,
            connector.connector_properties,
            connector.category_properties,
        ),
        follow=unless_success(connector, Presence.PENDING, Presence.NOT_CREATED),
        **for_job(job),
    )


@job_task("connectors.delete", op=Op.DESTRUCTIVE)
def plan_delete(job: Job) -> Plan:
    connector = _connector_of(job)
    connector_id = connector.mixpanel_id

    def check(client: MixpanelClient) -> bool | None:
        try:
            client.connectors.get(connector_id)
        except NotFound:
            return True
        return None

    def save(done: Any) -> dict[str, Any]:
        Connector.objects.filter(pk=connector.pk).update(presence=Presence.DELETED)
        return {"mixpanel_id": connector_id}

    return Plan(
        send=lambda client: client.connectors.delete(connector_id),
        check=check,
        save=save,
        follow=unless_success(connector, Presence.DELETING, Presence.ACTIVE),
        **for_job(job),
    )
