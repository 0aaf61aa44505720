"""Finding things and places by a few words."""

import pytest
from django.urls import resolve

from mixadmin.dashboard import finding
from mixadmin.jobs.models import Job
from mixadmin.projects.models import Membership
from tests import make

JSON = {"Accept": "application/json"}


def found(client, q, **params):
    answer = client.get("/find/", {"q": q, **params}, headers=JSON)
    assert answer.status_code == 200
    return answer.json()["found"]


def titles(client, q, **params):
    return [line["title"] for line in found(client, q, **params)]


@pytest.fixture
def shop(project, owner):
    """One of everything, each with "zebra" in its name."""
    source = make.make_source(project=project, name="Zebra warehouse")
    make.make_import(project=project, source=source, name="Zebra orders")
    make.make_connector(project=project, label="Zebra signups")
    upload = make.make_upload(project=project)
    make.make_ingestion(project=project, upload=upload, name="zebra.ndjson")
    make.make_lookup_table(project=project, name="Zebra skus")
    make.make_bucket(project=project, name="Zebra bucket")
    make.make_service_account(username="zebra.mp-service-account", owner=owner)
    make.make_job(project=project, title="Create import Zebra", state="queued")
    make.make_project(
        owner=owner,
        service_account=None,
        name="Zebra project",
        mixpanel_id=77,
    )
    return project


def test_every_kind_of_thing_is_found_by_a_piece_of_its_name(page, shop):
    lines = [
        line for line in found(page, "ebra") if line["kind"] not in ("Do", "Go to")
    ]
    assert {line["kind"] for line in lines} == {
        "Project",
        "Warehouse import",
        "Warehouse source",
        "Cloud connector",
        "Ingestion",
        "Lookup table",
        "Bucket",
        "Service account",
        "Job",
    }
    for line in lines:
        assert page.get(line["url"]).status_code == 200, line


def test_nothing_of_others_is_ever_found(shop, stranger, client):
    client.force_login(stranger)
    for q in (
        "zebra",
        "shop",
        "pause zebra",
        "create",
        "77",
        str(make.MIXPANEL_ID),
        "",
    ):
        for line in found(client, q, project=shop.pk):
            text = " ".join(line.values()).casefold()
            assert "zebra" not in text, (q, line)
            assert "shop" not in text, (q, line)
            assert f"/projects/{shop.pk}/" not in line["url"], (q, line)
    job = Job.objects.get()
    assert found(client, str(job.pk)) == []


def test_a_project_that_one_left_is_found_no_more(page, shop, owner):
    assert titles(page, "zebra orders") == ["Zebra orders"]
    Membership.objects.filter(user=owner, project=shop).delete()
    assert titles(page, "zebra orders") == []


def test_a_better_fit_comes_first(page, project):
    source = make.make_source(project=project)
    for n, name in enumerate(("Reorders", "New orders", "Orders", "Orders of Asia")):
        make.make_import(project=project, source=source, name=name, mixpanel_id=n + 1)
    assert titles(page, "orders") == [
        "Orders",
        "Orders of Asia",
        "New orders",
        "Reorders",
    ]


def test_words_may_be_of_the_name_and_of_its_project(page, shop, owner):
    blog = make.make_project(
        owner=owner, service_account=None, name="Blog", mixpanel_id=78
    )
    make.make_import(project=blog, source=make.make_source(project=blog), name="Zebra")
    assert titles(page, "zebra blog") == ["Zebra"]
    assert titles(page, "blog zebra") == ["Zebra"]
    lines = found(page, "blog")
    assert "Zebra" not in [line["title"] for line in lines]
    assert lines[0]["title"] == "Blog"


def test_a_thing_is_found_by_its_id_at_mixpanel(page, shop):
    assert "Zebra orders" in titles(page, "501")
    assert "Shop" in titles(page, str(make.MIXPANEL_ID))
    job = Job.objects.get()
    assert titles(page, str(job.pk)) == [job.title]


def test_ended_jobs_are_found_by_their_id_alone(page, project):
    job = make.make_job(project=project, title="Xylophone", state="succeeded")
    assert titles(page, "xylophone") == []
    assert titles(page, str(job.pk)) == ["Xylophone"]


def test_what_is_deleted_is_not_found(page, project):
    make.make_import(project=project, name="Gone", presence="deleted")
    assert titles(page, "gone") == []


def test_a_deed_leads_to_a_page_and_does_nothing(page, shop):
    lines = found(page, "pause zebra")
    assert [line["title"] for line in lines] == [
        "Pause Zebra orders",
        "Pause zebra.ndjson",
    ]
    assert [line["title"] for line in found(page, "del zebra")] == [
        "Delete Zebra orders",
        "Delete Zebra signups",
        "Delete Zebra warehouse",
    ]
    before = Job.objects.count()
    for line in found(page, "pause zebra") + found(page, "del zebra"):
        assert page.get(line["url"]).status_code == 200
    assert Job.objects.count() == before


def test_deeds_are_for_editors(shop, viewer, client):
    client.force_login(viewer)
    assert titles(client, "pause zebra") == []
    assert "Create an import in Shop" not in titles(client, "create shop")
    assert "Warehouse imports of Shop" in titles(client, "imports shop")


def test_places_and_deeds_are_found_by_their_words(page, shop):
    assert "Create an import in Shop" in titles(page, "create import shop")
    assert "Create an import in Shop" in titles(page, "create import")
    assert titles(page, "dark") == ["Switch to dark"]
    assert found(page, "sign out")[0]["press"] == "press-sign-out"


def test_without_words_the_places_from_here_are_told(page, shop):
    assert titles(page, "", project=shop.pk)[0] == "Overview of Shop"
    assert titles(page, "")[0] == "Home"


def test_every_place_and_deed_has_a_page(page, shop):
    html = page.get(f"/projects/{shop.pk}/imports/").content.decode()
    for q in (
        "",
        "shop",
        "add",
        "switch",
        "make",
        "send",
        "go",
        "s",
        "e",
        "documentation",
    ):
        for line in found(page, q, project=shop.pk):
            if line["press"] == "press-zone":
                continue
            if line["press"]:
                assert f'id="{line["press"]}"' in html
            else:
                resolve(line["url"])


def test_the_page_shows_the_same_as_links(page, shop):
    html = page.get("/find/", {"q": "zebra"}).content.decode()
    for line in found(page, "zebra"):
        assert f'<a href="{line["url"]}">' in html
    html = page.get("/find/", {"q": "no such thing"}).content.decode()
    assert "Nothing that you may see is called that." in html
    html = page.get("/find/", {"q": "switch"}).content.decode()
    assert "Switch to dark" not in html


def test_every_page_has_the_box_that_leads_there(page, db):
    html = page.get("/jobs/").content.decode()
    assert 'action="/find/"' in html


@pytest.mark.parametrize(
    "q",
    ["%", "_", "\\", '"', "<b>", "x" * 100_000, "qz " * 5_000, "９", "🦓"],
)
def test_anything_may_be_looked_for(page, shop, q):
    assert titles(page, q) == []
    assert b"<b>" not in page.get("/find/", {"q": "<b>" + q}).content.split(b"<main")[1]


def test_no_more_is_found_than_fits(page, project):
    source = make.make_source(project=project)
    for n in range(40):
        make.make_import(
            project=project, source=source, name=f"Shop {n}", mixpanel_id=n + 1
        )
    lines = found(page, "shop")
    assert len(lines) == finding.MOST
    assert sum(line["kind"] in ("Do", "Go to") for line in lines) == finding.MOST_PLACES


def test_the_queries_are_as_many_whatever_there_is(
    page, shop, django_assert_max_num_queries
):
    with django_assert_max_num_queries(13):
        found(page, "zebra", project=shop.pk)
    with django_assert_max_num_queries(15):
        found(page, "pause zebra", project=shop.pk)
