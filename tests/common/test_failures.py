"""Pages of requests that failed: in the house, with what to do, whatever is away."""

import logging
import re

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.urls import include, path, reverse

from mixadmin.common import failures, request_ids
from mixadmin.common.errors import Refused
from mixadmin.common.pages import page as as_page
from mixadmin.urls import *  # noqa: F403
from mixadmin.urls import urlpatterns as product

ID = re.compile(r"Request <code>([0-9a-f]{32})</code>")


def fall_over(request):
    raise RuntimeError("secret-detail")


def lose_the_database(request):
    raise OperationalError("secret-detail")


@as_page
def refuse(request):
    raise Refused("Somebody was faster.")


@as_page
def forbid(request):
    raise Refused("You may look at it.", code="not_permitted")


urlpatterns = [
    path("falls/", fall_over),
    path("api/falls/", fall_over),
    path("loses/", lose_the_database),
    path("api/loses/", lose_the_database),
    path("refuses/", refuse),
    path("forbids/", forbid),
    path("", include(product)),
]


@pytest.fixture
def browser(page, settings):
    """Signed in, at a product some of whose pages fail."""
    settings.ROOT_URLCONF = __name__
    page.raise_request_exception = False
    return page


def text(answer):
    return answer.content.decode()


@pytest.mark.parametrize(
    ("address", "status", "heading"),
    [
        ("/falls/", 500, "Something broke here"),
        ("/loses/", 503, "Back in a moment"),
        ("/refuses/", 409, "Not now"),
        ("/forbids/", 403, "Not permitted"),
        ("/no/such/", 404, "There is nothing here"),
        ("/jobs/?state=odd", 400, "This request cannot be read"),
        ("/jobs/?q=%00", 400, "This request cannot be read"),
    ],
)
def test_a_page_says_what_happened_what_to_do_and_its_number(
    browser, address, status, heading
):
    answer = browser.get(address)
    html = text(answer)

    assert answer.status_code == status
    assert f"<h1>{heading}</h1>" in html and f"<title>{heading} " in html
    assert "<h2>What to do</h2>" in html
    assert "secret-detail" not in html
    assert ID.search(html).group(1) == answer["X-Request-ID"]


@pytest.mark.parametrize("template", ["400", "403_csrf", "500", "503"])
def test_what_must_always_come_asks_no_database(template):
    answer = failures._bare(f"{template}.html", 500, words="Soon.", seconds=5)
    assert "What to do" in text(answer) and "<nav" not in text(answer)


def test_a_database_that_is_away_from_the_first_moment_is_told_as_such(browser):
    """Before any view is reached: while it is looked up who asks."""
    request = RequestFactory().get("/projects/")
    try:
        raise OperationalError("away")
    except OperationalError:
        answer = failures.server_error(request)
    assert answer.status_code == 503 and answer["Retry-After"] == "5"
    assert "Back in a moment" in text(answer)


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [("/api/falls/", 500, "error"), ("/api/loses/", 503, "database_away")],
)
def test_tools_get_the_shape_of_the_api(browser, address, status, code):
    answer = browser.get(address)

    assert answer.status_code == status
    assert answer.json()["errors"][0]["code"] == code
    assert answer["X-Request-ID"]


def test_maintenance_is_told_to_everybody_but_the_probe(client, settings, tmp_path):
    settings.MAINTENANCE_FILE = tmp_path / "maintenance"
    assert client.get("/accounts/sign-in/").status_code == 200
    settings.MAINTENANCE_FILE.write_text("Back at <b>14:00 UTC</b>.")

    page = client.get("/accounts/sign-in/")
    tool = client.get("/api/v1/projects/")

    assert page.status_code == tool.status_code == 503
    assert page["Retry-After"] == tool["Retry-After"] == "60"
    assert "Back at &lt;b&gt;14:00 UTC&lt;/b&gt;." in text(page)
    assert "style-src 'self'" in page["Content-Security-Policy"]
    assert tool.json()["errors"][0]["code"] == "maintenance"
    assert client.get("/healthz").status_code == 200


def test_maintenance_without_words_has_some(client, settings, tmp_path):
    settings.MAINTENANCE_FILE = tmp_path / "maintenance"
    settings.MAINTENANCE_FILE.touch()
    assert failures.MAINTENANCE in text(client.get("/"))


def test_a_form_without_its_token_is_told_to_be_sent_again(db):
    client = Client(enforce_csrf_checks=True)
    answer = client.post(reverse("accounts:sign_in"), {})
    assert answer.status_code == 403
    assert "Send the form again" in text(answer) and ID.search(text(answer))


def test_the_id_of_a_proxy_is_kept_if_it_is_one(client):
    good, odd = "0af7651916cd43dd8448eb211c80319c", "x\ny: z" + "a" * 100

    assert (
        client.get("/healthz", headers={"X-Request-ID": good})["X-Request-ID"] == good
    )
    other = client.get("/healthz", headers={"X-Request-ID": "bad id"})["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", other)
    assert not request_ids.FROM_PROXY.fullmatch(odd)


def test_the_log_has_the_number_of_the_request(browser, caplog):
    caplog.handler.addFilter(request_ids.with_request_id)
    with caplog.at_level(logging.ERROR, "django.request"):
        answer = browser.get("/falls/")
    records = [r for r in caplog.records if r.name == "django.request"]
    assert records[-1].request_id == answer["X-Request-ID"]
    assert request_ids.current.get() == "-"
