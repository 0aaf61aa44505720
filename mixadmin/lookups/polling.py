"""Keeping our list of lookup tables like Mixpanel's."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from mixadmin.common.clock import db_now
from mixadmin.dataprep.tables import cut
from mixadmin.jobs.polls import count_call
from mixadmin.jobs.registry import poller
from mixadmin.mixpanel import lookup_tables as wire
from mixadmin.projects.models import Project
from mixadmin.service_accounts.clients import client_for

from .actions import POLL
from .models import LookupTable


@poller(POLL)
def poll(project_id: int) -> int:
    """List the tables of a project. Nothing goes on in it that must be watched."""
    project = Project.objects.get(pk=project_id)
    with client_for(project) as client:
        count_call(project_id)
        asked_at = db_now()
        found = client.lookup_tables.list()
    observe(project, found, asked_at)
    return 0


def observe(
    project: Project, found: Sequence[wire.LookupTable], asked_at: datetime
) -> None:
    """Take over what the list says. A table that it leaves out keeps its history."""
    listed = {item.id: item for item in found if len(item.id) <= 60}
    rows = LookupTable.objects.filter(project=project)
    with transaction.atomic():
        LookupTable.objects.bulk_create(
            [
                LookupTable(
                    project=project,
                    mixpanel_id=item.id,
                    name=cut(item.name, 255),
                    seen_at=asked_at,
                )
                for item in listed.values()
            ],
            update_conflicts=True,
            unique_fields=["project", "mixpanel_id"],
            update_fields=["name", "seen_at"],
        )
        rows.filter(mixpanel_id__in=listed).exclude(absent_since=None).update(
            absent_since=None
        )
        gone = rows.exclude(mixpanel_id__in=listed)
        gone.filter(absent_since=None).update(absent_since=asked_at)
