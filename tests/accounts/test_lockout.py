"""Guessing passwords ends soon, at every door, and locks nobody else out."""

import pytest
from axes.models import AccessAttempt
from django.urls import reverse

from tests.make import PASSWORD

TOKENS = "/api/v1/tokens/"


def by_page(client, password, **extra):
    values = {"username": "owner", "password": password}
    return client.post(reverse("accounts:sign_in"), values, **extra)


def by_api(client, password, **extra):
    values = {"username": "owner", "password": password, "name": "t", "days": "30"}
    return client.post(TOKENS, values, content_type="application/json", **extra)


@pytest.mark.parametrize("knock", [by_page, by_api])
def test_the_eleventh_guess_is_not_even_looked_at(knock, client, owner):
    for _ in range(10):
        answer = knock(client, "wrong")
    assert answer.status_code == 429
    right = knock(client, PASSWORD)
    assert right.status_code == 429
    assert int(right["Retry-After"]) == 15 * 60
    assert "Too many wrong passwords" in right.content.decode()
    elsewhere = knock(client, PASSWORD, REMOTE_ADDR="10.1.2.3")
    assert elsewhere.status_code in (201, 302)


def test_guesses_at_one_door_count_at_the_other(client, owner):
    for _ in range(10):
        by_page(client, "wrong")
    assert by_api(client, PASSWORD).status_code == 429


def test_a_right_password_forgets_the_wrong_ones(client, owner):
    for _ in range(9):
        by_page(client, "wrong")
    assert by_page(client, PASSWORD).status_code == 302
    client.logout()
    for _ in range(9):
        assert by_page(client, "wrong").status_code == 422


def test_no_password_is_kept(client, owner):
    by_page(client, "kAnArY-password")
    by_api(client, "kAnArY-password")
    kept = str(list(AccessAttempt.objects.values()))
    assert "owner" in kept
    assert "kAnArY" not in kept
