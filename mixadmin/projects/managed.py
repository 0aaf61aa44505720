"""What all rows that stand for something at Mixpanel have in common.

What may be done with them, how they follow what Mixpanel shows, and what a job came to.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import F, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from mixadmin.accounts.models import User
from mixadmin.audit.actions import record
from mixadmin.common.errors import Refused
from mixadmin.common.states import NEVER_RAN, Presence, RunState
from mixadmin.jobs.actions import enqueue_job
from mixadmin.jobs.models import Job
from mixadmin.jobs.times import TIMES
from mixadmin.mixpanel.reading import Mismatch

from .models import Project, RemoteObject

Found = TypeVar("Found")
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


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
                gone = mine.filter(presence=Presence.MISSING)
                if gone.update(presence=Presence.ACTIVE):
                    record(actor=None, verb="found again", target=row)
        elif row.presence == Presence.ACTIVE:
            here = mine.filter(presence=Presence.ACTIVE)
            if row.absent_since is None:
                here.update(absent_since=now)
                continue
            if now - row.absent_since < timedelta(seconds=TIMES.absence):
                continue
            if here.update(presence=Presence.MISSING):
                record(actor=None, verb="no longer found", target=row)


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


# --- How a row stands -----------------------------------------------------------------


def note_last_run(rows: QuerySet[Any]) -> None:
    """Keep with each row how its newest run stands (`Runnable`). One query.

    To be called in the transaction that has written the runs.
    """
    runs_of = rows.model.runs.rel
    mine = {runs_of.field.name: OuterRef("pk")}
    runs = runs_of.related_model.objects.filter(is_gap=False, **mine)
    newest = runs.order_by("-at", "-id")
    changes: dict[str, Any] = {
        "last_run": Subquery(newest.values("pk")[:1]),
        "last_state": Coalesce(Subquery(newest.values("state")[:1]), Value(NEVER_RAN)),
        "last_at": Coalesce(Subquery(newest.values("at")[:1]), F("created_at")),
        "last_events": Coalesce(
            Subquery(newest.values("num_events_imported")[:1]), Value(-1)
        ),
    }
    if hasattr(rows.model, "last_success_at"):
        good = newest.filter(state=RunState.SUCCEEDED, ended_at__isnull=False)
        changes["last_success_at"] = Subquery(good.values("ended_at")[:1])
    rows.order_by().update(**changes)


class PastRun(NamedTuple):
    """What a bar of a list shows of a run. A row costs four times as much to read."""

    pk: int
    state: str
    at: datetime
    num_events_imported: int | None


def recent_runs(rows: Iterable[Any], most: int = 14) -> dict[int, list[PastRun]]:
    """{id of the row: its newest runs, newest first}, for a page of imports or of
    connectors, in one query however long their histories are.

    At most `most` each, gaps left out; an empty list for what never ran.
    """
    page = list(rows)
    found: dict[int, list[PastRun]] = {row.pk: [] for row in page}
    if not page:
        return found
    model = type(page[0])
    runs_of = model.runs.rel
    # From the row's side: there a database seeks, in the index of the runs, where the
    # last one that is wanted stands, instead of reading the whole history.
    mine = {runs_of.field.name: OuterRef("pk"), "is_gap": False}
    newest = runs_of.related_model.objects.filter(**mine).order_by("-at", "-id")
    oldest = newest.values("at")[most - 1 : most]
    told = (
        model.objects.filter(pk__in=found)
        .annotate(since=Coalesce(Subquery(oldest), Value(LONG_AGO)))
        .filter(runs__is_gap=False, runs__at__gte=F("since"))
        .order_by("-runs__at", "-runs__id")
        .values_list("pk", *(f"runs__{name}" for name in PastRun._fields))
    )
    for pk, *values in told:
        if len(found[pk]) < most:
            found[pk].append(PastRun(*values))
    return found


# --- What may be done with a row ------------------------------------------------------


def require_active(row: Any) -> None:
    if row.presence != Presence.ACTIVE or not row.mixpanel_id:
        words = row.get_presence_display().lower()
        raise Refused(
            f"{row} is {words}. This is possible only for what is in Mixpanel.",
            code="not_active",
        )


def require_forgettable(row: Any) -> None:
    if row.presence not in (Presence.NOT_CREATED, Presence.MISSING):
        raise Refused(
            "Only what is not in Mixpanel can be removed here alone. Delete it.",
            code="not_forgettable",
        )


def require_typed(name: str, typed: str) -> None:
    """The name of what is to be deleted must be typed."""
    if typed != name:
        message = f"Type its name, {name}, to confirm."
        raise ValidationError({"typed_name": ValidationError(message, code="typed")})


def require_adoptable(
    project: Project, remote_objects: Sequence[RemoteObject], creations: Sequence[str]
) -> None:
    """Refuse while a creation is open that may have made one of them itself.

    creations: the tasks that create such things.
    """
    if not remote_objects:
        raise ValidationError({"remote_objects": "Choose at least one."})
    if project.jobs.filter(state__in=Job.UNSETTLED, task__in=creations).exists():
        raise Refused(
            "A creation in this project is not settled yet; it may be the one that "
            "made this. Adopt when it has ended.",
            code="unsettled_creation",
        )


def read_again(read: Callable[[Any], Found], remote: RemoteObject) -> Found:
    """What Mixpanel said of it when it was last listed."""
    try:
        return read(remote.raw)
    except Mismatch as error:
        raise Refused(
            f"Mixpanel's answer about {remote} cannot be read: {error}.",
            code="unreadable",
        ) from None


def start_deleting(row: Any) -> None:
    """From now on it is being deleted, unless it has changed in the meantime."""
    mine = type(row).objects.filter(pk=row.pk, presence=Presence.ACTIVE)
    if not mine.update(presence=Presence.DELETING):
        raise Refused("It has changed in the meantime.", code="moved_on")
    row.presence = Presence.DELETING


def enqueue_for(
    row: Any,
    actor: User | None,
    task: str,
    title: str,
    params: dict[str, Any] | None = None,
) -> Job:
    """Queue a job about a row, with the service account of its project."""
    return enqueue_job(
        task=task,
        title=title,
        target=row,
        project_id=row.project_id,
        service_account_id=row.project.service_account_id,
        actor=actor,
        params=params,
    )


def no_longer_remote(row: Any, kind: str, mixpanel_id: int | str) -> None:
    """It is managed here now, so nobody needs to adopt it."""
    RemoteObject.objects.filter(
        project=row.project_id, kind=kind, mixpanel_id=str(mixpanel_id)
    ).delete()


# --- What is sent ---------------------------------------------------------------------


def without_empty(values: Any) -> Any:
    """A dict without what was left out. Anything else stays for the rules to refuse."""
    if not isinstance(values, Mapping):
        return values
    return {name: value for name, value in values.items() if is_given(value)}


def is_given(value: Any) -> bool:
    return value is not None and value not in ("", {})


def digest(*parts: Any) -> str:
    """The same text for two requests that Mixpanel could not tell apart."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
