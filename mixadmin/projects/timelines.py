"""What happened to a thing: its changes and its jobs, for `common.timeline`."""

from django.db.models import Model

from mixadmin.audit.models import Entry
from mixadmin.common.timeline import Source
from mixadmin.jobs.models import Job

from .models import Project


def changes(row: Model) -> Source:
    """Who changed what about it, from what to what."""
    about = {"target_type": row._meta.label_lower, "target_id": str(row.pk)}
    rows = Entry.objects.filter(**about)
    return Source("changes", "Changes", rows, "at", "_timeline_change.html")


def jobs(row: Model) -> Source:
    """What was asked of Mixpanel about it."""
    rows = Job.objects.for_target(row).select_related("actor")
    return Source("jobs", "Jobs", rows, "created_at", "_timeline_job.html")


def of_project(project: Project) -> tuple[Source, Source]:
    """What was changed and asked for in a project, whatever it was about."""
    entries = Entry.objects.filter(project=project)
    asked = Job.objects.filter(project=project).select_related("actor")
    return (
        Source("changes", "Changes", entries, "at", "_timeline_change.html"),
        Source("jobs", "Jobs", asked, "created_at", "_timeline_job.html"),
    )
