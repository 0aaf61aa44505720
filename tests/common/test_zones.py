"""In whose time zone pages are shown."""

from datetime import UTC, datetime

import pytest

from mixadmin.common import zones
from tests import make

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def shown_at(project, page):
    """How a page shows noon in UTC."""
    account = project.service_account
    type(account).objects.update(expires_at=NOON)

    def look():
        html = page.get(account.get_absolute_url()).content.decode()
        at = html.index('datetime="2026-01-15T12:00:00+00:00"')
        return html[at:].partition(">")[2].partition("<")[0]

    return look


def test_a_person_who_says_nothing_sees_utc(shown_at):
    assert shown_at() == "2026-01-15 12:00:00 UTC"


def test_the_browsers_zone_counts_until_the_person_chose_one(shown_at, page, owner):
    page.cookies[zones.COOKIE] = "America/New_York"
    assert shown_at() == "2026-01-15 07:00:00 EST"
    owner.time_zone = "Europe/Berlin"
    owner.save()
    assert shown_at() == "2026-01-15 13:00:00 CET"


@pytest.mark.parametrize(
    "cookie",
    ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "localtime", "x" * 4000, ""],
)
def test_a_cookie_that_names_no_zone_is_nothing(shown_at, page, cookie):
    page.cookies[zones.COOKIE] = cookie
    assert shown_at() == "2026-01-15 12:00:00 UTC"


def test_a_zone_that_is_no_more_does_not_break_pages(shown_at, owner):
    owner.time_zone = "Europe/Atlantis"
    owner.save()
    assert shown_at() == "2026-01-15 12:00:00 UTC"


def test_the_next_request_of_the_same_process_has_its_own_zone(shown_at, page, client):
    page.cookies[zones.COOKIE] = "Asia/Tokyo"
    assert shown_at() == "2026-01-15 21:00:00 JST"
    client.force_login(make.make_user("other", is_superuser=True))
    html = client.get("/service-accounts/").content.decode()
    assert "JST" not in html


def test_the_api_stays_in_utc(project, page, owner):
    owner.time_zone = "Europe/Berlin"
    owner.save()
    page.cookies[zones.COOKIE] = "Asia/Tokyo"
    account = project.service_account
    type(account).objects.update(expires_at=NOON)
    told = page.get(f"/api/v1/service-accounts/{account.pk}/").json()
    assert told["expires_at"] == "2026-01-15T12:00:00Z"


def test_a_time_that_is_typed_is_one_of_the_zone_that_the_form_names(page, project):
    page.cookies[zones.COOKIE] = "America/New_York"
    account = project.service_account
    url = f"/service-accounts/{account.pk}/edit/"
    assert "Time zone: America/New_York." in page.get(url).content.decode()
    answer = page.post(url, {"expires_at": "2030-01-31T07:30"})
    assert answer.status_code == 302
    account.refresh_from_db()
    assert account.expires_at.isoformat() == "2030-01-31T12:30:00+00:00"
    assert 'value="2030-01-31T07:30"' in page.get(url).content.decode()
    # Clocks went from 2 to 3 then.
    answer = page.post(url, {"expires_at": "2030-03-10T02:30"})
    assert answer.status_code == 422
