"""Signing in and out, and API tokens."""

import pytest
from django.test import Client
from django.urls import reverse

from mixadmin.accounts.models import ApiToken
from tests import make

SIGN_IN = "/accounts/sign-in/"
TOKENS = "/accounts/tokens/"


def test_sign_in_leads_to_where_one_wanted_to_go(owner, client):
    answer = client.get(TOKENS)
    assert answer.status_code == 302
    assert answer.url == f"{SIGN_IN}?next={TOKENS}"

    values = {"username": "owner", "password": make.PASSWORD, "next": TOKENS}
    answer = client.post(SIGN_IN, values)

    assert answer.status_code == 302
    assert answer.url == TOKENS
    assert client.get(TOKENS).status_code == 200


def test_sign_in_never_leads_to_another_site(owner, client):
    values = {
        "username": "owner",
        "password": make.PASSWORD,
        "next": "https://evil.example/",
    }
    assert client.post(SIGN_IN, values).url == "/"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"username": "owner", "password": "wrong"},
        {"username": "own\0er", "password": "a\0b"},
        {"username": "x" * 1_000_000, "password": "y"},
        {"username": "owner", "password": "y" * 1_000_000},
        {"username": "😀", "password": "😀"},
    ],
)
def test_a_bad_sign_in_is_answered_beside_the_form(owner, client, values):
    answer = client.post(SIGN_IN, values)
    assert answer.status_code == 422
    assert 'class="errors' in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_the_password_is_never_filled_again(owner, client):
    answer = client.post(SIGN_IN, {"username": "owner", "password": "almost right"})
    assert "almost right" not in answer.content.decode()


def test_a_page_that_refreshes_itself_reloads_when_the_session_ended(db, client):
    answer = client.get(SIGN_IN, headers={"HX-Request": "true"})
    assert answer["HX-Refresh"] == "true"


def test_sign_out_needs_a_post(page):
    assert page.get("/accounts/sign-out/").status_code == 405
    assert page.post("/accounts/sign-out/").url == SIGN_IN
    assert page.get(TOKENS).status_code == 302


def test_a_form_without_its_csrf_token_is_refused_in_words(owner):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    answer = browser.post(TOKENS, {"name": "x", "days": "30"})
    assert answer.status_code == 403
    assert "Send the form again" in answer.content.decode()


def test_a_token_is_shown_once_and_works(page, owner, client):
    answer = page.post(TOKENS, {"name": "nightly", "days": "30"})
    token = ApiToken.objects.get(user=owner)
    clear = answer.context["clear"]
    assert answer.status_code == 200
    assert clear in answer.content.decode()
    assert clear not in page.get(TOKENS).content.decode()
    assert (token.expiry - token.created).days in (29, 30)


def test_a_token_may_be_good_for_ever(page, owner):
    page.post(TOKENS, {"name": "nightly", "days": "never"})
    assert ApiToken.objects.get(user=owner).expiry is None


def test_a_revoked_token_is_gone(page, owner):
    token, _ = ApiToken.objects.create(user=owner, name="old")
    url = reverse("accounts:token_revoke", args=[token.digest])
    assert page.get(url).status_code == 405
    assert page.post(url).url == TOKENS
    assert not ApiToken.objects.exists()


def test_nobody_revokes_the_token_of_somebody_else(page, stranger):
    token, _ = ApiToken.objects.create(user=stranger, name="theirs")
    url = reverse("accounts:token_revoke", args=[token.digest])
    assert page.post(url).status_code == 404
    assert page.post("/accounts/tokens/nonsense/revoke/").status_code == 404
    assert ApiToken.objects.exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "", "days": "30"}, "Name is required."),
        ({"name": "x" * 81, "days": "30"}, "Too long: 81 characters, at most 80."),
        ({"name": "x" * 1_000_000, "days": "30"}, "Too long"),
        ({"name": "a\0b", "days": "30"}, "Contains a NUL character. Remove it."),
        ({"name": "taken", "days": "30"}, "You have a token with that name."),
        ({"name": "x", "days": "31"}, "“31” is not a choice."),
        ({"name": "x"}, "is not a choice"),
        ({}, "Name is required."),
    ],
)
def test_a_bad_token_form_is_answered_422_in_words(page, owner, values, words):
    ApiToken.objects.create(user=owner, name="taken")
    answer = page.post(TOKENS, values)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert ApiToken.objects.count() == 1
