"""Rules of the house that no single module could hold."""

from pathlib import Path

from django.core.management import get_commands
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from mixadmin.common.states import Presence
from tests import make

ROOT = Path(__file__).resolve().parent.parent
OPEN = {"healthz", "accounts/sign-in/"}


def patterns(resolver=None, prefix=""):
    """(route, namespaced name) of every URL outside of the API."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            if not route.startswith("api/"):
                yield from patterns(entry, route)
        elif isinstance(entry, URLPattern):
            yield route


def filled(route, project):
    """A path for a route, with ids of the project's things."""
    values = {
        "project_id": project.pk,
        "pk": 1,
        "run_pk": 1,
        "number": 1,
        "batch_pk": 1,
        "member": 1,
        "other": 1,
    }
    path = route.replace("<uuid:pk>", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
    path = path.replace("<slug:digest>", "0" * 128).replace("<str:name>", "drop")
    for name, value in values.items():
        path = path.replace(f"<int:{name}>", str(value))
    assert "<" not in path, f"no example for {route}"
    return "/" + path


def test_every_page_demands_sign_in(client, project):
    seen = 0
    for route in patterns():
        if route in OPEN:
            continue
        for method in (client.get, client.post):
            answer = method(filled(route, project))
            assert answer.status_code == 302, (route, answer.status_code)
            assert answer["Location"].startswith("/accounts/sign-in/"), route
        seen += 1
    assert seen > 50


def test_another_tenants_project_does_not_exist(client, project, stranger):
    """The same answer as for a project that nobody has, byte for byte."""
    client.force_login(stranger)
    make.make_import(project=project, pk=1)
    seen = 0
    for route in patterns():
        if "<int:project_id>" not in route and not route.startswith(
            "projects/<int:pk>"
        ):
            continue
        path = filled(route.replace("<int:pk>", "1", 1), project)
        missing = path.replace(f"/projects/{project.pk}/", "/projects/987654/")
        for method in (client.get, client.post):
            theirs, nobodys = method(path), method(missing)
            assert theirs.status_code == nobodys.status_code, path
            assert theirs.status_code in (404, 405), (path, theirs.status_code)
            assert b"Shop" not in theirs.content
        seen += 1
    assert seen > 30


def base_table(project):
    """A lookup table whose versions are listed."""
    known = project.lookup_tables.filter(name="base").first()
    return known or make.make_lookup_table(
        project=project, name="base", mixpanel_id="uuid-base"
    )


def add_rows(project, owner, numbers):
    """One of everything that is listed, for each number."""
    source = project.warehouse_sources.filter(name="Base").first()
    source = source or make.make_source(project=project, name="Base", mixpanel_id=70)
    for n in numbers:
        make.make_source(project=project, name=f"s{n}", mixpanel_id=1_000 + n)
        row = make.make_import(
            project=project, source=source, name=f"i{n}", mixpanel_id=2_000 + n
        )
        make.make_run(warehouse_import=row)
        connector = make.make_connector(
            project=project, label=f"c{n}", mixpanel_id=f"id-{n}"
        )
        make.make_connector_run(connector=connector)
        upload = make.make_upload(project=project, owner=owner, name=f"u{n}")
        make.make_ingestion(project=project, upload=upload)
        make.make_bucket(project=project, name=f"b{n}")
        table = make.make_lookup_table(
            project=project, name=f"l{n}", mixpanel_id=f"uuid-{n}"
        )
        make.make_lookup_version(table=table, state="current")
        make.make_lookup_version(table=base_table(project))
        make.make_job(project=project, title=f"j{n}", target_id=str(n))
        make.make_remote_object(project=project, mixpanel_id=str(9_000 + n))
        make.make_service_account(username=f"a{n}", owner=owner)
        make.make_project(
            owner=owner,
            service_account=project.service_account,
            name=f"p{n}",
            mixpanel_id=500_000 + n,
        )


# page -> (how it is reached, the most queries that it may take)
LISTS = {
    "home": (lambda p: reverse("dashboard:home"), 36),
    "projects": (lambda p: reverse("projects:list"), 12),
    "sources": (lambda p: reverse("warehouse:source_list", args=[p.pk]), 12),
    "imports": (lambda p: reverse("warehouse:import_list", args=[p.pk]), 14),
    "connectors": (lambda p: reverse("connectors:list", args=[p.pk]), 12),
    "ingestions": (lambda p: reverse("ingestion:list", args=[p.pk]), 14),
    "files": (lambda p: reverse("files:list", args=[p.pk]), 14),
    "buckets": (lambda p: reverse("files:bucket_list", args=[p.pk]), 12),
    "lookup tables": (lambda p: reverse("lookups:list", args=[p.pk]), 12),
    "lookup table": (
        lambda p: reverse("lookups:detail", args=[p.pk, base_table(p).pk]),
        18,
    ),
    "adopt": (lambda p: reverse("warehouse:adopt", args=[p.pk]), 12),
    "jobs": (lambda p: reverse("jobs:list"), 12),
    "service accounts": (lambda p: reverse("service_accounts:list"), 12),
    "errors": (lambda p: reverse("errors:list"), 18),
    "api projects": (lambda p: "/api/v1/projects/", 8),
    "api sources": (lambda p: f"/api/v1/projects/{p.pk}/warehouse-sources/", 8),
    "api imports": (lambda p: f"/api/v1/projects/{p.pk}/imports/", 8),
    "api connectors": (lambda p: f"/api/v1/projects/{p.pk}/connectors/", 8),
    "api ingestions": (lambda p: f"/api/v1/projects/{p.pk}/ingestions/", 12),
    "api uploads": (lambda p: f"/api/v1/projects/{p.pk}/uploads/", 8),
    "api buckets": (lambda p: f"/api/v1/projects/{p.pk}/buckets/", 8),
    "api lookup tables": (lambda p: f"/api/v1/projects/{p.pk}/lookup-tables/", 8),
    "api lookup versions": (
        lambda p: f"/api/v1/projects/{p.pk}/lookup-tables/{base_table(p).pk}/versions/",
        8,
    ),
    "api remote objects": (lambda p: f"/api/v1/projects/{p.pk}/remote-objects/", 8),
    "api jobs": (lambda p: "/api/v1/jobs/", 8),
    "api service accounts": (lambda p: "/api/v1/service-accounts/", 8),
    "api audit": (lambda p: f"/api/v1/projects/{p.pk}/audit/", 8),
}


def test_a_list_takes_as_many_queries_for_sixty_rows_as_for_five(project, owner, page):
    """Pages and their live parts, all over the same rows."""

    def count():
        counts = {}
        for name, (where, _) in LISTS.items():
            for part, headers in (("page", {}), ("part", {"HX-Request": "true"})):
                with CaptureQueriesContext(connection) as queries:
                    answer = page.get(where(project), headers=headers)
                assert answer.status_code == 200, answer.content[:300]
                counts[name, part] = len(queries)
        return counts

    add_rows(project, owner, range(5))
    few = count()
    add_rows(project, owner, range(5, 60))
    many = count()
    grown = {place: (few[place], n) for place, n in many.items() if n != few[place]}
    assert not grown, "the queries grow with the rows"
    over = {place: n for place, n in many.items() if n > LISTS[place[0]][1]}
    assert not over, "more queries than are allowed"


def test_every_command_is_tested():
    ours = {name for name, app in get_commands().items() if app.startswith("mixadmin")}
    texts = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py"))
    texts += (ROOT / "Makefile").read_text()
    untested = {
        name for name in ours if f'"{name}"' not in texts and f" {name} " not in texts
    }
    assert ours and not untested


def test_no_row_is_listed_after_it_was_deleted(project, page):
    make.make_import(project=project, name="Gone", presence=Presence.DELETED)
    html = page.get(reverse("warehouse:import_list", args=[project.pk])).content
    assert b"Gone" not in html
