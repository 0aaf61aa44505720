"""The places that mend a cause: a small set of names, and the addresses behind them.

A cause names places; whoever shows it knows the objects, and so the address. Nothing of
the apps is imported: an address is known by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from .causes import Cause
from .status import Fix


@dataclass(frozen=True, slots=True)
class Place:
    """Where something can be mended.

    view: the name of its URL; args: the objects that the URL names, by these words:
    project, source, import, connector, account, job, bucket, ingestion, table.
    query: name -> object, for the rest of the address; left out where it is not known.
    post: the address does it at once, and is a button of a form.
    looks: nothing is changed there, so that everybody may go.
    """

    label: str
    view: str
    args: tuple[str, ...] = ()
    query: Mapping[str, str] | None = None
    post: bool = False
    looks: bool = False


_PROJECT = ("project",)
_SOURCE = ("project", "source")
_IMPORT = ("project", "import")
_INGESTION = ("project", "ingestion")
_TABLE = ("project", "table")

PLACES = {
    "accounts.open": Place(
        "Open the service accounts", "service_accounts:list", looks=True
    ),
    "account.open": Place(
        "Open the service account", "service_accounts:detail", ("account",), looks=True
    ),
    "account.secret": Place(
        "Set a new secret", "service_accounts:secret", ("account",)
    ),
    "project.open": Place("Open the project", "projects:detail", _PROJECT, looks=True),
    "project.edit": Place("Edit the project", "projects:edit", _PROJECT),
    "source.edit": Place("Edit the source", "warehouse:source_edit", _SOURCE),
    "source.checklist": Place(
        "Open the setup checklist", "warehouse:source_detail", _SOURCE, looks=True
    ),
    "import.create": Place(
        "Create an import", "warehouse:import_create", _PROJECT, {"source": "source"}
    ),
    "import.run": Place("Run now", "warehouse:import_run", _IMPORT, post=True),
    "import.pause": Place("Pause", "warehouse:import_pause", _IMPORT, post=True),
    "import.resume": Place("Resume", "warehouse:import_resume", _IMPORT, post=True),
    "import.databricks": Place(
        "Change the Databricks config", "warehouse:import_databricks", _IMPORT
    ),
    "import.delete": Place("Delete the import", "warehouse:import_delete", _IMPORT),
    "connector.copy": Place(
        "Create a copy", "connectors:create", _PROJECT, {"copy": "connector"}
    ),
    "files.open": Place("Open the files", "files:list", _PROJECT, looks=True),
    "buckets.open": Place(
        "Open the buckets", "files:bucket_list", _PROJECT, looks=True
    ),
    "bucket.credentials": Place(
        "Set new credentials", "files:bucket_credentials", ("project", "bucket")
    ),
    "ingestion.create": Place("Send files", "ingestion:create", _PROJECT),
    "ingestion.copy": Place("Choose the files anew", "ingestion:copy", _INGESTION),
    "ingestion.files": Place(
        "Look at the files", "ingestion:files", _INGESTION, looks=True
    ),
    "ingestion.rejected": Place(
        "Look at the rejected records", "ingestion:rejected", _INGESTION, looks=True
    ),
    "ingestion.retry": Place("Try again", "ingestion:retry", _INGESTION, post=True),
    "ingestion.live": Place("Send a live event", "ingestion:live", _PROJECT),
    "lookups.open": Place(
        "Open the lookup tables", "lookups:list", _PROJECT, looks=True
    ),
    "lookup.open": Place("Open the lookup table", "lookups:detail", _TABLE, looks=True),
    "lookup.replace": Place("Replace the lookup table", "lookups:replace", _TABLE),
    "job.open": Place("Open the job", "jobs:detail", ("job",), looks=True),
    "job.retry": Place("Try again now", "jobs:retry", ("job",), post=True),
}


def fix_for(
    cause: Cause, about: Mapping[str, Any], *, here: str = "", may_edit: bool = True
) -> Fix | None:
    """The best place of a cause whose objects are known, or None.

    about: the objects or their keys by the words of `Place.args`, None where there is
        none. here: the address of the page that asks; it does not lead to itself.
    may_edit: whether who looks may change the project; else places to look at are left.
    """
    known = {name: getattr(row, "pk", row) for name, row in about.items()}
    for name in cause.fix:
        place = PLACES[name]
        if any(known.get(arg) is None for arg in place.args):
            continue
        if not (may_edit or place.looks):
            continue
        url = reverse(place.view, args=[known[arg] for arg in place.args])
        if url != here:
            query = {
                key: known[arg]
                for key, arg in (place.query or {}).items()
                if known.get(arg) is not None
            }
            url += "".join(f"?{key}={value}" for key, value in query.items())
            return Fix(place.label, url, post=place.post)
    return None


def fix_anywhere(cause: Cause) -> Fix | None:
    """Where one can begin to mend a cause when no object is at hand."""
    if not cause.fix:
        return None
    first = (*PLACES[cause.fix[0]].args, "")[0]
    if first == "job":
        return Fix("Jobs that need attention", f"{reverse('jobs:list')}?show=attention")
    if first == "project":
        return Fix("Choose the project", reverse("projects:list"))
    return Fix("Open the service accounts", reverse("service_accounts:list"))
