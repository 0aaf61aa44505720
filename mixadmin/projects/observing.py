"""How a row follows what Mixpanel shows, and what its job came to."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from mixadmin.common.states import Presence
from mixadmin.jobs.models import Job
from mixadmin.jobs.times import TIMES

from .models import Project, RemoteObject


def note_presence(rows: Iterable[Any], seen: Collection[Any], now: datetime) -> None:
    """Mark rows as gone when two lists, some time apart, did not hold them; and as
    there again when one does.

    One list may leave something out; a row that was created after it was asked for is
    not in it either.
    """
    for row in rows:
        if row.observed_at and row.observed_at > now:
            continue
        mine = type(row).objects.filter(pk=row.pk)
        if row.mixpanel_id in seen:
            if row.absent_since:
                mine.update(absent_since=None)
            if row.presence == Presence.MISSING:
                mine.filter(presence=Presence.MISSING).update(presence=Presence.ACTIVE)
        elif row.presence == Presence.ACTIVE:
            here = mine.filter(presence=Presence.ACTIVE)
            if row.absent_since is None:
                here.update(absent_since=now)
            elif now - row.absent_since >= timedelta(seconds=TIMES.absence):
                here.update(presence=Presence.MISSING)


def remember_unmanaged(
    project: Project,
    kind: str,
    listed: Mapping[str, tuple[str, Any]],
    now: datetime,
    *,
    managed: QuerySet[Any],
) -> None:
    """Keep the list of what exists at Mixpanel and could be adopted.

    listed: {Mixpanel's id: (words, the answer)}. managed: our rows of that kind.
    """
    rows = managed.filter(project=project)
    ours = {str(pk) for pk in rows.values_list("mixpanel_id", flat=True)}
    found = {pk: told for pk, told in listed.items() if pk not in ours}
    mine = RemoteObject.objects.filter(project=project, kind=kind)
    mine.exclude(mixpanel_id__in=found).delete()
    if not found:
        return
    RemoteObject.objects.bulk_create(
        [
            RemoteObject(
                project=project,
                kind=kind,
                mixpanel_id=mixpanel_id,
                summary=words[:300],
                raw=raw,
                first_seen_at=now,
                seen_at=now,
            )
            for mixpanel_id, (words, raw) in found.items()
        ],
        update_conflicts=True,
        unique_fields=["project", "kind", "mixpanel_id"],
        update_fields=["summary", "raw", "seen_at"],
    )
    # A creation may have been noted in between; what it made is no foundling.
    anew = rows.filter(mixpanel_id__in=found).values_list("mixpanel_id", flat=True)
    if made := [str(pk) for pk in anew]:
        mine.filter(mixpanel_id__in=made).delete()


def unless_success(row: Any, seen: str, then: str) -> Callable[[str], None]:
    """When the job ends without success, the row goes from `seen` to `then`; and back
    when the job is tried again."""

    def follow(state: str) -> None:
        before, after = (then, seen) if state == Job.State.QUEUED else (seen, then)
        type(row).objects.filter(pk=row.pk, presence=before).update(presence=after)

    return follow
