"""A POST that is sent twice with one key has one effect and one answer."""

import threading
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connections
from rest_framework.test import APIClient

from mixadmin.accounts.models import ApiToken
from mixadmin.common.clock import db_now
from mixadmin.jobs.idempotency import KEEP_DAYS, digest, forget_old_intents
from mixadmin.jobs.models import Intent, Job
from mixadmin.jobs.times import TIMES
from mixadmin.projects.models import Project
from mixadmin.warehouse.models import WarehouseSource
from tests import make

KEY = {"HTTP_IDEMPOTENCY_KEY": "one"}
PROJECT = {"name": "Blog", "mixpanel_id": 12, "region": "us"}
SOURCE = {
    "name": "Big",
    "warehouse_type": "bigquery",
    "connection": {"gcp_project_id": "acme-data"},
}


def sources(project):
    return f"/api/v1/projects/{project.pk}/warehouse-sources/"


def test_the_second_answer_is_the_first(api, project):
    first = api.post(sources(project), SOURCE, **KEY)
    again = api.post(sources(project), SOURCE, **KEY)
    assert first.status_code == again.status_code == 202
    assert again.content == first.content
    assert again["Location"] == first["Location"]
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert WarehouseSource.objects.count() == 1
    assert Job.objects.count() == 1


def test_another_key_is_another_wish(api, project):
    api.post(sources(project), SOURCE, **KEY)
    answer = api.post(sources(project), SOURCE, HTTP_IDEMPOTENCY_KEY="two")
    assert answer.status_code == 400  # the name is taken
    assert WarehouseSource.objects.count() == 1


def test_a_key_with_another_body_is_refused(api, project):
    api.post(sources(project), SOURCE, **KEY)
    answer = api.post(sources(project), {**SOURCE, "name": "Bigger"}, **KEY)
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "idempotency_key_reused"
    assert WarehouseSource.objects.count() == 1


def test_a_key_is_of_one_person_and_one_address(api, project, client_of, stranger):
    assert api.post("/api/v1/projects/", PROJECT, **KEY).status_code == 201
    other = {**PROJECT, "mixpanel_id": 13}
    assert (
        client_of(stranger).post("/api/v1/projects/", other, **KEY).status_code == 201
    )
    assert api.post(sources(project), SOURCE, **KEY).status_code == 202
    assert Intent.objects.count() == 3


def test_an_error_of_the_request_is_repeated_too(api, project):
    wrong = {**PROJECT, "region": "mars"}
    first = api.post("/api/v1/projects/", wrong, **KEY)
    again = api.post("/api/v1/projects/", wrong, **KEY)
    assert first.status_code == again.status_code == 400
    assert first.content == again.content
    assert again["Idempotency-Replayed"] == "true"


def test_what_was_not_allowed_may_be_allowed_later(client_of, project, viewer):
    tool = client_of(viewer)
    assert tool.post(sources(project), SOURCE, **KEY).status_code == 403
    assert not Intent.objects.exists()
    project.memberships.filter(user=viewer).update(role="editor")
    assert tool.post(sources(project), SOURCE, **KEY).status_code == 202


def test_a_failure_of_mixpanel_is_not_kept(api, project, sandbox):
    address = f"/api/v1/service-accounts/{project.service_account_id}/discover/"
    sandbox.fault(path="/me", kind="status", status=500, times=-1)
    body = {"mixpanel_ids": [make.MIXPANEL_ID]}
    assert api.post(address, body, **KEY).status_code == 502
    assert not Intent.objects.exists()
    sandbox.clear_faults()
    assert api.post(address, body, **KEY).status_code == 201


def test_what_asks_mixpanel_is_answered_once(api, project, sandbox):
    address = f"/api/v1/projects/{project.pk}/verify/"
    first = api.post(address, **KEY)
    sandbox.clear_calls()
    again = api.post(address, **KEY)
    assert first.status_code == 200
    assert again.content == first.content
    assert again["Idempotency-Replayed"] == "true"
    assert sandbox.calls() == []


def test_a_key_that_is_being_answered_waits_its_turn(api, project, owner):
    address = f"/api/v1/projects/{project.pk}/verify/"
    intent = Intent.objects.create(
        user=owner, key="one", route=address, body_hash=digest(b"")
    )
    later = db_now() + timedelta(hours=1)
    Intent.objects.update(created_at=later)
    answer = api.post(address, **KEY)
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "idempotency_key_in_use"
    assert answer["Retry-After"] == "1"
    # Whoever had it died: after the longest call it is free.
    Intent.objects.update(created_at=db_now() - timedelta(seconds=2 * TIMES.total + 1))
    assert api.post(address, **KEY).status_code == 200
    intent.refresh_from_db()
    assert intent.status == 200


def test_a_secret_is_not_kept_for_a_repetition(client_of, owner):
    body = {"name": "ci", "days": "30", "username": "owner", "password": make.PASSWORD}
    first = client_of().post("/api/v1/tokens/", body, **KEY)
    again = client_of().post("/api/v1/tokens/", body, **KEY)
    assert first.status_code == 201
    assert again.status_code == 409
    assert again.json()["errors"][0]["code"] == "idempotency_secret_shown"
    assert ApiToken.objects.count() == 1
    stored = str(list(Intent.objects.values()))
    assert first.json()["token"] not in stored
    assert make.PASSWORD not in stored


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there", "ümlaut"])
def test_odd_keys_are_refused(api, project, key):
    answer = api.post(sources(project), SOURCE, HTTP_IDEMPOTENCY_KEY=key)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "invalid_idempotency_key"
    assert not WarehouseSource.objects.exists()


def test_a_body_that_cannot_be_read_does_not_spend_the_key_for_a_good_one(api):
    answer = api.post("/api/v1/projects/", b"{", content_type="application/json", **KEY)
    assert answer.status_code == 400
    answer = api.post("/api/v1/projects/", PROJECT, **KEY)
    assert answer.json()["errors"][0]["code"] == "idempotency_key_reused"
    assert not Project.objects.exists()


def test_old_keys_are_forgotten(api):
    api.post("/api/v1/projects/", PROJECT, **KEY)
    assert forget_old_intents() == 0
    Intent.objects.update(created_at=db_now() - timedelta(days=KEEP_DAYS, minutes=1))
    assert forget_old_intents() == 1


# Naming the apps lets PostgreSQL empty tables that others refer to.
@pytest.mark.django_db(transaction=True, available_apps=settings.INSTALLED_APPS)
def test_two_at_the_same_moment_have_one_effect(project, owner):
    token = ApiToken.objects.create(user=owner, name="tool")[1]
    start = threading.Barrier(2)
    answers = []

    def post():
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
        start.wait(10)
        try:
            answers.append(client.post(sources(project), SOURCE, **KEY))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=post) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [a.status_code for a in answers] == [202, 202], [a.content for a in answers]
    assert answers[0].content == answers[1].content
    assert sorted("Idempotency-Replayed" in a for a in answers) == [False, True]
    assert WarehouseSource.objects.count() == 1
    assert Job.objects.count() == 1
