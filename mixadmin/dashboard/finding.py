"""Finding things and places by a few words: the palette (Ctrl+K) and the page /find/.

A fixed number of queries, each cut to a handful of rows, of what the person may see.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When
from django.urls import reverse

from mixadmin.accounts.models import User
from mixadmin.connectors.models import Connector
from mixadmin.files.models import SourceBucket
from mixadmin.ingestion.models import Ingestion
from mixadmin.jobs.models import Job
from mixadmin.lookups.models import LookupTable
from mixadmin.projects.access import EDITOR, project_ids, visible_jobs
from mixadmin.projects.models import Project
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.models import WarehouseImport, WarehouseSource

MOST = 20
# Of them places and deeds, when things fit too.
MOST_PLACES = 6
MOST_WORDS = 6
# Of so many projects the places are offered: of those that the words name, else of any.
MOST_NAMED, MOST_PROJECTS = 20, 5

IS_ID = re.compile("[0-9]{1,15}")
IS_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LIVE_JOBS = tuple({*Job.State} - {Job.State.SUCCEEDED, Job.State.CANCELLED})

Lines = tuple[tuple[str, str], ...]

# (words, URL name) of what there is once.
PLACES: Lines = (
    ("Home", "dashboard:home"),
    ("Projects", "projects:list"),
    ("Service accounts", "service_accounts:list"),
    ("Jobs", "jobs:list"),
    ("Errors", "errors:list"),
    ("API tokens", "accounts:tokens"),
    ("Preferences", "accounts:preferences"),
    ("REST API documentation", "api:docs"),
)
DEEDS: Lines = (
    ("Add a project", "projects:create"),
    ("Discover projects", "projects:discover"),
    ("Add a service account", "service_accounts:create"),
    ("Create an API token", "accounts:tokens"),
)
# (words, id of a button of every page): what is done at once and hurts nobody.
PRESSES: Lines = (
    ("Switch to dark", "press-dark"),
    ("Switch to light", "press-light"),
    ("Switch to the system's colours", "press-system"),
    ("Switch between dense and comfortable rows", "press-dense"),
    ("Switch between UTC and your time zone", "press-zone"),
    ("Sign out", "press-sign-out"),
)
# The same of each project; {} is its name.
PROJECT_PLACES: Lines = (
    ("Overview of {}", "projects:detail"),
    ("Warehouse sources of {}", "warehouse:source_list"),
    ("Warehouse imports of {}", "warehouse:import_list"),
    ("Cloud connectors of {}", "connectors:list"),
    ("Ingestions of {}", "ingestion:list"),
    ("Files of {}", "files:list"),
    ("Buckets of {}", "files:bucket_list"),
    ("Lookup tables of {}", "lookups:list"),
    ("Members of {}", "projects:members"),
)
PROJECT_DEEDS: Lines = (
    ("Create an import in {}", "warehouse:import_create"),
    ("Connect a warehouse to {}", "warehouse:source_create"),
    ("Create a connector in {}", "connectors:create"),
    ("Send files to {}", "ingestion:create"),
    ("Send live events to {}", "ingestion:live"),
    ("Add a bucket to {}", "files:bucket_create"),
    ("Adopt from Mixpanel into {}", "warehouse:adopt"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A line. `press`: the id of the button that does it, instead of a URL."""

    kind: str
    title: str
    url: str = ""
    project: str = ""
    press: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing: the column of its name, the URL name of its page.

    deeds: {word: (what it reads as, URL name)} of pages that it is done from.
    numbered: a number that is typed may be its id at Mixpanel.
    """

    label: str
    model: Any
    column: str
    page: str
    deeds: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    numbered: bool = False
    in_project: bool = True


KINDS = (
    Kind(
        "Project",
        Project,
        "name",
        "projects:detail",
        {"edit": ("Edit {}", "projects:edit")},
        numbered=True,
        in_project=False,
    ),
    Kind(
        "Warehouse import",
        WarehouseImport,
        "name",
        "warehouse:import_detail",
        {
            "pause": ("Pause {}", "warehouse:import_detail"),
            "resume": ("Resume {}", "warehouse:import_resume"),
            "run": ("Run {}", "warehouse:import_detail"),
            "rename": ("Rename {}", "warehouse:import_rename"),
            "frequency": ("Change the frequency of {}", "warehouse:import_frequency"),
            "delete": ("Delete {}", "warehouse:import_delete"),
        },
        numbered=True,
    ),
    Kind(
        "Cloud connector",
        Connector,
        "label",
        "connectors:detail",
        {"delete": ("Delete {}", "connectors:delete")},
    ),
    Kind(
        "Ingestion",
        Ingestion,
        "name",
        "ingestion:detail",
        {"pause": ("Pause {}", "ingestion:detail")},
    ),
    Kind(
        "Warehouse source",
        WarehouseSource,
        "name",
        "warehouse:source_detail",
        {
            "change": ("Change {}", "warehouse:source_edit"),
            "delete": ("Delete {}", "warehouse:source_delete"),
        },
        numbered=True,
    ),
    Kind(
        "Lookup table",
        LookupTable,
        "name",
        "lookups:detail",
        {"replace": ("Replace {}", "lookups:replace")},
    ),
    Kind("Bucket", SourceBucket, "name", "files:bucket_detail"),
    Kind(
        "Service account",
        ServiceAccount,
        "username",
        "service_accounts:detail",
        in_project=False,
    ),
)
DEED_WORDS = sorted({word for kind in KINDS for word in kind.deeds})


@dataclass(frozen=True, slots=True)
class Seen:
    """What a person may see: {project id: name}, and the ids of those they may change."""

    user: User
    projects: dict[int, str]
    editable: set[int]
    # The project whose page asks; what is in it comes first.
    here: int


def find(user: User, text: str, here: int | None = None) -> list[Found]:
    """What fits all the words, best first. Without words: where one can go from here.

    here: the id of the project whose page asks.
    """
    words = text.casefold().split()[:MOST_WORDS]
    projects = dict(Project.objects.visible_to(user).values_list("pk", "name"))
    seen = Seen(user, projects, set(project_ids(user, EDITOR)), here or 0)
    places = _places(seen, words)
    if not words:
        return places[:MOST]
    deeds = _deeds(seen, words)
    things = _jobs(seen, words)
    for kind in KINDS:
        things += [
            _line(seen, kind, kind.label, "{}", kind.page, row)
            for row in _rows(seen, kind, words)
        ]
    beside = sorted(deeds + places, key=lambda line: _rank(seen, line, words))
    things.sort(key=lambda line: _rank(seen, line, words))
    kept = max(MOST_PLACES, MOST - len(things))
    chosen = things[: MOST - min(len(beside), kept)] + beside[:kept]
    return sorted(chosen, key=lambda line: _rank(seen, line, words))


def _rank(seen: Seen, line: Found, words: list[str]) -> tuple[int, bool, str]:
    """How well a line fits: its whole title, its beginning, a word's, or somewhere."""
    title, whole = line.title.casefold(), " ".join(words)
    begins = [part for part in title.split() if part.startswith(words[0])]
    how = 0 if title == whole else 1 if title.startswith(whole) else 2 if begins else 3
    elsewhere = line.project != seen.projects.get(seen.here, "")
    return how, elsewhere, title


# --- Things ---------------------------------------------------------------------------


# A row as it is found: its id, its name, its project's id if it is in one.
Row = tuple[Any, str, int | None]


def _rows(seen: Seen, kind: Kind, words: list[str]) -> list[Row]:
    """At most MOST rows of a kind whose name, together with their project's, has the
    words, and whose name alone has one; names that begin with the first of them first."""
    column = kind.column
    named = [Q(**{f"{column}__icontains": word}) for word in words]
    found = reduce(or_, named)
    for word, has in zip(words, named, strict=True):
        inside = [pk for pk, name in seen.projects.items() if word in name.casefold()]
        if kind.in_project and inside:
            has |= Q(project__in=inside)
        found &= has
    if kind.numbered and len(words) == 1 and IS_ID.fullmatch(words[0]):
        found |= Q(mixpanel_id=int(words[0]))
    begins = When(**{f"{column}__istartswith": words[0]}, then=0)
    rows = (
        _visible(seen, kind)
        .filter(found)
        .order_by(Case(begins, default=1, output_field=IntegerField()), column)
    )
    project = F("project_id") if kind.in_project else Value(None, IntegerField())
    return list(rows.values_list("pk", column, project)[:MOST])


def _visible(seen: Seen, kind: Kind) -> "QuerySet[Any]":
    rows: QuerySet[Any] = kind.model.objects.all()
    if not kind.in_project:
        rows = kind.model.objects.visible_to(seen.user)
    elif not seen.user.is_superuser:
        rows = rows.filter(project__in=[*seen.projects])
    if hasattr(rows, "present"):
        rows = rows.present()
    return rows


def _line(seen: Seen, kind: Kind, label: str, words: str, page: str, row: Row) -> Found:
    pk, name, project = row
    url = reverse(page, args=[project, pk] if kind.in_project else [pk])
    where = seen.projects.get(project, "") if project else ""
    return Found(label, words.format(name), url, where)


def _deeds(seen: Seen, words: list[str]) -> list[Found]:
    """ "pause orders": the deed of the first word, for what the others name."""
    first, *rest = words
    deed = next((word for word in DEED_WORDS if word.startswith(first)), "")
    if not deed or not rest or len(first) < 3:
        return []
    return [
        _line(seen, kind, "Do", *kind.deeds[deed], row)
        for kind in KINDS
        if deed in kind.deeds
        for row in _rows(seen, kind, rest)
        if (row[2] if kind.in_project else row[0]) in seen.editable
    ]


def _jobs(seen: Seen, words: list[str]) -> list[Found]:
    """Those that go on or need somebody; any by its id. Ended ones are too many."""
    visible = visible_jobs(seen.user)
    fits = Q()
    for word in words:
        fits &= Q(title__icontains=word)
    jobs = visible.filter(fits).filter(Q(state__in=LIVE_JOBS, dismissed=False))
    if IS_UUID.fullmatch(words[0]):
        jobs = visible.filter(pk=UUID(words[0]))
    rows = jobs.order_by("-created_at").values_list("pk", "title", "project_id")
    return [
        Found(
            "Job",
            title,
            reverse("jobs:detail", args=[pk]),
            seen.projects.get(project or 0, ""),
        )
        for pk, title, project in rows[:MOST]
    ]


# --- Places and deeds -----------------------------------------------------------------


def _places(seen: Seen, words: list[str]) -> list[Found]:
    """The places and deeds that fit the words: of the projects that these name, of the
    one whose page asks, else of the first few."""
    found = []
    for pk in _meant(seen, words):
        name = seen.projects[pk]
        for kind, lines in (("Go to", PROJECT_PLACES), ("Do", PROJECT_DEEDS)):
            if kind == "Do" and pk not in seen.editable:
                continue
            for told, page in lines:
                if _fits(title := told.format(name), words):
                    found.append(Found(kind, title, reverse(page, args=[pk]), name))
    for kind, lines in (("Go to", PLACES), ("Do", DEEDS)):
        for title, page in lines:
            if _fits(title, words):
                found.append(Found(kind, title, reverse(page)))
    found += [
        Found("Do", title, press=press)
        for title, press in PRESSES
        if _fits(title, words)
    ]
    return found


def _meant(seen: Seen, words: list[str]) -> list[int]:
    """The projects whose places are offered."""
    here = [seen.here] if seen.here in seen.projects else []
    if not words:
        return here
    named = [
        pk
        for pk, name in seen.projects.items()
        if any(word in name.casefold() for word in words if len(word) > 1)
    ]
    offered = named[:MOST_NAMED] or list(seen.projects)[:MOST_PROJECTS]
    return list(dict.fromkeys(here + offered))


def _fits(title: str, words: list[str]) -> bool:
    return all(word in title.casefold() for word in words)
