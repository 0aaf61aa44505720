"""Lists: pages that hold together, and a number of queries that does not grow."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mixadmin.accounts.models import ApiToken
from mixadmin.audit.actions import record
from mixadmin.ingestion.models import IngestionFile, UnsettledBatch
from mixadmin.projects.models import Membership
from tests import make


def walk(api, address, size, **query):
    """The pages of a list, followed by their `next`."""
    answer = api.get(address, {"page_size": size, **query}).json()
    yield answer["results"]
    while answer["next"]:
        answer = api.get(answer["next"]).json()
        yield answer["results"]


def test_pages_hold_every_row_once_in_order(api, project):
    now = timezone.now()
    jobs = [
        # Many at the same moment, so that the time alone orders nothing.
        make.make_job(project=project, created_at=now - timedelta(seconds=i // 3))
        for i in range(11)
    ]
    pages = list(walk(api, "/api/v1/jobs/", 4))
    assert [len(page) for page in pages] == [4, 4, 3]
    found = [row["id"] for page in pages for row in page]
    wanted = sorted(jobs, key=lambda job: (job.created_at, job.pk.hex), reverse=True)
    assert found == [str(job.pk) for job in wanted]


def test_pages_go_up_by_name_too(api, owner, project):
    for i, name in enumerate(["b", "a", "a", "Ü", "ü 🙂", "c"]):
        make.make_project(owner=owner, name=name, mixpanel_id=100 + i)
    rows = [row["id"] for page in walk(api, "/api/v1/projects/", 2) for row in page]
    whole = [row["id"] for row in api.get("/api/v1/projects/").json()["results"]]
    assert rows == whole
    assert len(set(rows)) == 7


def test_new_rows_do_not_shift_the_next_page(api, project):
    for _ in range(3):
        make.make_job(project=project)
    first = api.get("/api/v1/jobs/", {"page_size": 2}).json()
    make.make_job(project=project, title="newer")
    rest = api.get(first["next"]).json()
    assert len(rest["results"]) == 1
    assert rest["next"] is None
    assert rest["results"][0]["id"] not in [row["id"] for row in first["results"]]


def test_the_next_page_keeps_the_filters(api, project):
    for i in range(4):
        make.make_job(project=project, state="failed" if i % 2 else "queued")
    pages = list(walk(api, "/api/v1/jobs/", 1, state="failed"))
    assert [row["state"] for page in pages for row in page] == ["failed", "failed"]


def test_a_cursor_shows_nothing_of_somebody_else(api, project, client_of, stranger):
    for _ in range(3):
        make.make_job(project=project)
    cursor = api.get("/api/v1/jobs/", {"page_size": 1}).json()["next"]
    assert client_of(stranger).get(cursor).json()["results"] == []


def add_everything(project, owner, n):
    """One more row in every list, each with its own neighbours."""
    user = make.make_user(f"user{n}")
    Membership.objects.create(project=project, user=user)
    account = make.make_service_account(username=f"account{n}", owner=owner)
    make.make_project(
        owner=owner, name=f"P{n}", mixpanel_id=500 + n, service_account=account
    )
    source = make.make_source(project=project, name=f"S{n}", mixpanel_id=600 + n)
    row = make.make_import(
        project=project, source=source, name=f"I{n}", mixpanel_id=700 + n
    )
    first = project.warehouse_imports.order_by("pk").first()
    job = make.make_job(
        project=project,
        actor=user,
        service_account=account,
        target_type="warehouse.warehouseimport",
        target_id=str(row.pk),
        state="failed",
        error_kind="bad_request",
    )
    at = timezone.now() - timedelta(hours=n)
    make.make_run(warehouse_import=first, started_at=at, job=job, state="failed")
    make.make_connector(project=project, label=f"C{n}", mixpanel_id=f"c{n}")
    connector = project.connectors.order_by("pk").first()
    make.make_connector_run(connector=connector, started_at=at, state="failed")
    table = make.make_lookup_table(
        project=project, name=f"L{n}", mixpanel_id=f"uuid-{n}"
    )
    old = make.make_lookup_version(table=table, created_by=user)
    for lookup in {table, project.lookup_tables.order_by("pk").first()}:
        lookup.versions.filter(state="current").update(state="replaced")
        make.make_lookup_version(
            table=lookup, created_by=user, copy_of=old, state="current"
        )
    make.make_remote_object(project=project, mixpanel_id=f"r{n}")
    upload = make.make_upload(project=project, owner=user)
    make.make_ingestion(project=project, upload=upload, created_by=user)
    ingestion = project.ingestions.order_by("pk").first()
    if n:
        IngestionFile.objects.create(
            ingestion=ingestion, name=f"f{n}", place="upload", upload=upload, size=3
        )
    make.make_unsettled_batch(ingestion=project.ingestions.first(), decided_by=user)
    file = project.ingestions.first().files.get()
    UnsettledBatch.objects.filter(part__file=file).update(
        part=ingestion.files.first().parts.first()
    )
    make.make_rejected_group(ingestion=ingestion, message=f"m{n}")
    make.make_bucket(project=project, name=f"b{n}")
    ApiToken.objects.create(user=owner, name=f"t{n}")
    owner.saved_views.create(path="/jobs/", name=f"v{n}", query="")
    record(actor=user, verb="did", target=row)


LISTS = [
    "projects/",
    "projects/{p}/members/",
    "projects/{p}/audit/",
    "projects/{p}/remote-objects/",
    "projects/{p}/warehouse-sources/",
    "projects/{p}/imports/",
    "projects/{p}/imports/{i}/runs/",
    "projects/{p}/connectors/",
    "projects/{p}/connectors/{c}/runs/",
    "projects/{p}/uploads/",
    "projects/{p}/buckets/",
    "projects/{p}/lookup-tables/",
    "projects/{p}/lookup-tables/{t}/versions/",
    "projects/{p}/ingestions/",
    "projects/{p}/ingestions/{g}/files/",
    "projects/{p}/ingestions/{g}/rejected/",
    "projects/{p}/ingestions/{g}/batches/",
    "service-accounts/",
    "jobs/",
    "tokens/",
    "saved-views/",
]
# Sign-in takes two, the project and the role two, what is above the rows one.
BUDGET = 7
# The counts of parts are added up, and how far each is.
BUDGET_OF_INGESTIONS = 10


def test_every_list_is_in_the_table(schema):
    lists = [
        path
        for path, methods in schema["paths"].items()
        if methods.get("get", {}).get("operationId", "").endswith("_list")
    ]
    assert len(lists) == len(LISTS)


@pytest.mark.parametrize("address", LISTS)
def test_queries_do_not_grow_with_the_rows(api, project, owner, address):
    add_everything(project, owner, 0)
    address = "/api/v1/" + address.format(
        p=project.pk,
        i=project.warehouse_imports.order_by("pk").first().pk,
        c=project.connectors.order_by("pk").first().pk,
        t=project.lookup_tables.order_by("pk").first().pk,
        g=project.ingestions.order_by("pk").first().pk,
    )

    def count():
        with CaptureQueriesContext(connection) as queries:
            answer = api.get(address, {"page_size": 200})
        assert answer.status_code == 200
        return len(answer.json()["results"]), len(queries)

    few, queries_of_few = count()
    for n in range(1, 30):
        add_everything(project, owner, n)
    many, queries_of_many = count()
    assert many >= few + 29
    assert queries_of_many == queries_of_few
    counts_up = "/ingestions/" in address
    assert queries_of_many <= (BUDGET_OF_INGESTIONS if counts_up else BUDGET)
