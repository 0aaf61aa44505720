"""Files of records, and what becomes of them."""

import gzip
import json
import time

import pytest

from mixadmin.ingestion import actions, queries, spools
from mixadmin.ingestion.models import OUTCOMES, Ingestion, Part
from tests.make import MIXPANEL_ID, run_due_jobs

TOKEN = "t" * 32
DAY = 86_400


def event(n, **changes):
    properties = {
        "time": int(time.time()) - DAY - n,
        "distinct_id": f"user-{n % 97}",
        "$insert_id": f"id-{n:08d}",
        "plan": "free",
        "city": "Zürich",
        **changes,
    }
    properties = {name: v for name, v in properties.items() if v is not None}
    return {"event": "Order", "properties": properties}


def ndjson(records):
    lines = [
        record if isinstance(record, bytes) else json.dumps(record).encode()
        for record in records
    ]
    return b"\n".join(lines) + b"\n"


@pytest.fixture
def file(tmp_path):
    """Call it with records (or bytes); gives the path of a file of them."""

    def write(records, name="events.ndjson", packed=False):
        data = records if isinstance(records, bytes) else ndjson(records)
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if packed else data)
        return path

    return write


@pytest.fixture
def create(project, owner):
    """Call it with paths and settings; gives the ingestion, nothing of it done yet."""

    def create(*paths, kind="events", **settings):
        settings = {"start": "always", "check_first": False, **settings}
        return actions.create_ingestion(
            project=project,
            actor=owner,
            kind=kind,
            files=[{"place": "path", "path": str(path)} for path in paths],
            **settings,
        )[0]

    return create


@pytest.fixture
def ingest(create):
    """The same, and workers do all of it."""

    def ingest(*paths, hurry=True, **settings):
        ingestion = create(*paths, **settings)
        run_due_jobs(hurry=hurry)
        ingestion.refresh_from_db()
        return ingestion

    return ingest


@pytest.fixture
def with_token(project, sandbox):
    """The project's token, known on both sides, and a group key."""
    from mixadmin.common.crypto import Secret

    sandbox.add_project(
        MIXPANEL_ID,
        "Shop",
        region="us",
        organization_id=1,
        token=TOKEN,
        group_keys=["company"],
    )
    project.token = Secret(TOKEN)
    project.save(update_fields=["token"])
    return project


def books(ingestion):
    """The counts that are not zero; and they add up in every part."""
    for part in Part.objects.filter(file__ingestion=ingestion):
        assert part.read == sum(getattr(part, name) for name in OUTCOMES)
    found = queries.counts(Ingestion.objects.get(pk=ingestion.pk))
    return {name: count for name, count in found.items() if count}


def rejected(ingestion):
    """(line, message) of every rejected record."""
    return [(one.line, one.message) for one in spools.rejected(ingestion)]


def stored_ids(sandbox, project_id=MIXPANEL_ID):
    return sorted(one["properties"]["$insert_id"] for one in sandbox.events(project_id))
