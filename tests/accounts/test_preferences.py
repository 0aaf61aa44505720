"""How a person likes the pages, through every door."""

import pytest

from mixadmin.audit.models import Entry
from mixadmin.common import zones

PAGE = "/accounts/preferences/"
SWITCH = "/accounts/switch/"
ME = "/api/v1/me/"
LIKED = {
    "theme": "dark",
    "density": "dense",
    "time_zone": "Asia/Kathmandu",
    "shortcuts": False,
}
BAD = [
    ("theme", "neon", "“neon” is not a choice. Use light or dark, or leave it empty."),
    ("density", "x", "“x” is not a choice. Use dense, or leave it empty."),
    ("time_zone", "Mars/Olympus", "“Mars/Olympus” is no time zone."),
    ("time_zone", "../../etc/passwd", "is no time zone."),
    ("time_zone", "localtime", "is no time zone."),
    ("time_zone", "x" * 1_000_000, "is no time zone."),
]


def of(user):
    user.refresh_from_db()
    return {name: getattr(user, name) for name in LIKED}


def test_preferences_are_kept_and_shown(page, owner):
    sent = {**LIKED, "shortcuts": ""}
    assert page.post(PAGE, sent).url == PAGE
    assert of(owner) == LIKED
    html = page.get(PAGE).content.decode()
    assert '<option value="dark" selected>' in html
    assert '<option value="Asia/Kathmandu" selected>' in html
    assert page.post(PAGE, {"shortcuts": "on"}).status_code == 302
    assert of(owner) == {"theme": "", "density": "", "time_zone": "", "shortcuts": True}


def test_preferences_are_kept_through_the_api_one_by_one(api, owner):
    assert api.get(ME).json()["username"] == "owner"
    for name, value in LIKED.items():
        answer = api.patch(ME, {name: value})
        assert answer.status_code == 200
        assert answer.json()[name] == value
    assert of(owner) == LIKED
    assert not Entry.objects.exists()


@pytest.mark.parametrize(("field", "value", "words"), BAD)
def test_a_bad_preference_is_refused_in_the_same_words(
    page, api, owner, field, value, words
):
    before = of(owner)
    answer = page.post(PAGE, {field: value})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    answer = api.patch(ME, {field: value})
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert error["attr"] == field
    assert words in error["detail"]
    assert of(owner) == before


def test_every_zone_that_is_offered_is_taken(owner):
    offered = [
        name
        for entry, inner in zones.choices()
        for name in ([entry] if isinstance(inner, str) else [n for n, _ in inner])
    ]
    assert len(offered) > 300
    assert set(offered) == zones.known() | {""}


def test_a_switch_changes_one_preference_and_leads_back(page, owner):
    owner.time_zone = "Europe/Berlin"
    owner.save()
    answer = page.post(
        SWITCH, {"theme": "dark"}, headers={"Referer": "http://testserver/jobs/"}
    )
    assert answer.url == "http://testserver/jobs/"
    page.post(SWITCH, {"density": "dense"})
    assert of(owner) == {
        "theme": "dark",
        "density": "dense",
        "time_zone": "Europe/Berlin",
        "shortcuts": True,
    }


def test_a_switch_leads_to_no_other_site(page):
    headers = {"Referer": "https://evil.example/"}
    assert page.post(SWITCH, {"theme": "dark"}, headers=headers).url == "/"


def test_a_switch_takes_only_what_there_is(page, owner):
    assert page.get(SWITCH).status_code == 405
    assert page.post(SWITCH, {"theme": "neon"}).status_code == 400
    assert of(owner)["theme"] == ""


def test_times_of_one_session_are_shown_in_utc_and_back_again(page, project):
    page.cookies[zones.COOKIE] = "Asia/Tokyo"
    account = project.service_account

    def shown():
        return page.get(account.get_absolute_url()).content.decode()

    assert " JST</time>" in shown()
    page.post(SWITCH, {"times": "utc"})
    assert " JST</time>" not in shown()
    assert " UTC</time>" in shown()
    page.post(SWITCH, {"times": "own"})
    assert " JST</time>" in shown()


def test_a_page_is_told_how_it_is_liked(page, owner):
    assert '<html lang="en">' in page.get(PAGE).content.decode()
    for name, value in LIKED.items():
        setattr(owner, name, value)
    owner.save()
    html = page.get(PAGE).content.decode()
    first = html.partition("<html ")[2].partition(">")[0]
    assert first == (
        'lang="en" data-theme="dark" data-density="dense" data-shortcuts="off"'
    )
