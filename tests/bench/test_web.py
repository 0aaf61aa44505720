import pytest
from django.urls import reverse

from bench import seed, web
from mixadmin.projects.models import Project
from mixadmin.warehouse.models import ImportRun, WarehouseImport
from tests import make


def make_figures(name="imports", *, part=False, p50=10.0, beside=None):
    return web.Figures(name, part, p50, p50 * 2, p50 / 2, 9, 2048, beside)


@pytest.mark.django_db
def test_what_is_seeded_holds_together():
    seed.seed(seed.Size(120, 3_000, 300, 300, 20, 8))

    assert WarehouseImport.objects.count() == 120
    assert 2_500 < ImportRun.objects.count() <= 3_000
    states = set(WarehouseImport.objects.values_list("status", flat=True))
    assert {"succeeded", "failed", "running", "paused", "deleted"} <= states
    assert make.rows_that_belie_their_runs() == []


def test_the_rest_is_seeded_in_proportion():
    assert seed.Size.of(20_000, 1_000_000, 50_000) == seed.Size(connectors=333)


def test_the_table_tells_how_many_times_as_fast_as_the_admin():
    told = web.table([make_figures(beside=45.0), make_figures("pulse", part=True)])

    head, page, part = told.splitlines()
    assert head.split("  ")[0] == "page"
    assert page.split() == ["imports", "10.0", "20.0", "5.0", "9", "2", "45.0", "4.5"]
    assert part.startswith("pulse (part)")


def test_parts_that_miss_the_goal_are_named():
    fast, slow = (make_figures(f"p{n}", part=True, p50=n) for n in (29.0, 31.0))
    page = make_figures("a page may take longer", p50=100.0)

    assert web.verdict([fast, page]).startswith("All 1 parts")
    assert web.verdict([fast, slow, page]).endswith("more than 30 ms: p31.0")


@pytest.mark.django_db
def test_pages_are_looked_at_beside_the_admin(settings):
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.admin"]
    settings.ROOT_URLCONF = "bench.web_urls"
    seed.seed(seed.Size(120, 400, 60, 60, 5, 4))
    reader = web.signed_in("reader")
    first = Project.objects.earliest("pk")
    imports = reverse("warehouse:import_list", args=[first.pk])
    beside = "/django-admin/warehouse/warehouseimport/"

    offered = web.offered(reader, imports)
    page, part = web.measure(
        [
            web.Page("imports", imports, beside=beside),
            web.Page("imports, failed", f"{imports}?state=failed", part=True),
            web.Page("jobs", "/jobs/"),
        ],
        looks=1,
        only="^imports",
    )

    assert {"state=failed", "state=paused"} <= set(offered)
    assert not any(query.startswith("after=") for query in offered)
    assert page.beside > 0 < page.p50
    assert (page.ratio > 0, part.ratio) == (True, None)
    assert page.size > part.size
    assert page.queries >= part.queries > 3
