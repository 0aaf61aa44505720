"""Filters of lists that a person keeps under a name."""

import pytest

from mixadmin.accounts.models import SavedView
from tests import make

SAVE = "/accounts/views/"
API = "/api/v1/saved-views/"


def save(client, **changes):
    values = {"path": "/jobs/", "name": "Mine", "query": "?state=failed&q=%C3%BC"}
    return client.post(SAVE, values | changes)


def test_a_view_is_kept_listed_and_deleted(page, owner):
    answer = save(page)
    assert answer.url == "/jobs/?state=failed&q=%C3%BC"
    shown = page.get(answer.url).text
    assert 'href="/jobs/?state=failed&amp;q=%C3%BC" aria-current="true">Mine' in shown
    assert ">Mine<" not in page.get("/projects/").text
    view = SavedView.objects.get(user=owner)
    assert page.post(f"{SAVE}{view.pk}/delete/").url == "/jobs/"
    assert not SavedView.objects.exists()


def test_where_one_is_in_the_list_is_not_kept(page):
    save(page, query="state=failed&q=&after=abc&before=x&export=csv")
    assert SavedView.objects.get().query == "state=failed"


def test_the_same_name_takes_the_place_of_the_view(page):
    save(page)
    save(page, query="state=dead")
    assert SavedView.objects.get().query == "state=dead"
    save(page, path="/projects/", query="")
    assert SavedView.objects.count() == 2


@pytest.mark.parametrize(
    "values",
    [
        {"path": "https://evil.example/"},
        {"path": "//evil.example/jobs/"},
        {"path": "/jobs/bulk/"},
        {"path": "/accounts/tokens/"},
        {"path": ""},
        {"path": "/" + "x" * 300},
        {"name": ""},
        {"name": " "},
        {"name": "x" * 81},
        {"name": "a\x07b"},
        {"query": "q=" + "ü" * 900},
        {"query": "x" * 3_000},
    ],
)
def test_what_is_no_view_of_ours_is_refused(page, values):
    answer = save(page, **values)
    assert 400 <= answer.status_code < 500
    assert not SavedView.objects.exists()


def test_another_persons_view_is_not_found(page, viewer, api):
    view = SavedView.objects.create(
        user=viewer, path="/jobs/", name="Theirs", query="state=failed"
    )
    assert "Theirs" not in page.get("/jobs/").text
    assert page.post(f"{SAVE}{view.pk}/delete/").status_code == 404
    assert api.get(API).json()["results"] == []
    assert api.get(f"{API}{view.pk}/").status_code == 404
    assert api.delete(f"{API}{view.pk}/").status_code == 404
    assert SavedView.objects.get() == view


def test_a_tool_keeps_and_forgets_views(api, owner):
    body = {"path": "/jobs/", "name": "Bad ones", "query": "state=failed"}
    answer = api.post(API, body)
    assert answer.status_code == 201
    assert answer.json() == {"id": answer.json()["id"], **body}
    assert api.get(answer["Location"]).json() == answer.json()
    wrong = api.post(API, {**body, "path": "/nowhere/"})
    assert wrong.status_code == 400
    assert wrong.json()["errors"][0]["attr"] == "path"
    assert api.delete(answer["Location"]).status_code == 204
    assert not SavedView.objects.exists()


def test_nobody_keeps_views_without_end(page, owner):
    SavedView.objects.bulk_create(
        SavedView(user=owner, path="/jobs/", name=f"V{n}", query="") for n in range(200)
    )
    assert save(page).status_code == 409
    assert make.make_user("other").saved_views.count() == 0
