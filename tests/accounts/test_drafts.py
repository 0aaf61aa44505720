"""A form is judged as its fields are left, by the rules of its action, and kept."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from mixadmin.accounts import actions
from mixadmin.accounts.models import Draft
from mixadmin.audit.models import Entry
from mixadmin.common.clock import db_now
from mixadmin.files.models import SourceBucket
from mixadmin.jobs.models import Job
from mixadmin.projects.models import Project
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.models import WarehouseSource
from tests import make

CANARY = "cAnArY-0f-a-sEcReT"


def where(name, project):
    of_project = name.partition(":")[0] in ("warehouse", "files", "connectors")
    return reverse(name, args=[project.pk] if of_project else [])


# the form -> (what is typed, the field that is left, what is said of it)
FORMS = {
    "projects:create": (
        {"name": "Shop", "mixpanel_id": "x", "token": CANARY},
        "mixpanel_id",
        "must be an integer",
    ),
    "service_accounts:create": (
        {"username": "a:b\x07", "secret": CANARY, "region": "us"},
        "username",
        "control character",
    ),
    "files:bucket_create": (
        {
            "name": "B",
            "provider": "gcs",
            "bucket": "gs://b",
            "google_key": f'{{"k": "{CANARY}"}}',
            "secret_access_key": CANARY,
        },
        "bucket",
        "name only",
    ),
    "warehouse:source_create": (
        {
            "warehouse_type": "postgres",
            "name": "App",
            "host": "https://db",
            "password": CANARY,
            "ssh_private_key": CANARY,
            "more": f'{{"x": "{CANARY}"}}',
        },
        "host",
        "host name only",
    ),
}
ROWS = (Project, ServiceAccount, SourceBucket, WarehouseSource, Job, Entry)


@pytest.mark.parametrize("name", FORMS)
def test_a_field_that_is_left_is_judged_and_nothing_else_happens(name, project, page):
    typed, field, words = FORMS[name]
    before = [model.objects.count() for model in ROWS]

    answer = page.post(where(name, project), {**typed, "check": field})

    assert answer.status_code == 200
    html = answer.text
    assert words in html
    assert re.findall(r'id="id_(\w+)_field"', html) == [field], "no other field"
    assert f'aria-describedby="id_{field}' in html
    assert f"id_{field}_error" in html
    assert 'aria-invalid="true"' in html
    assert [model.objects.count() for model in ROWS] == before
    whole = page.post(where(name, project), typed)
    assert whole.status_code == 422
    said = re.findall(r"<li>([^<]*)</li>", html)
    assert all(f"<li>{text}</li>" in whole.text for text in said), "the same words"


@pytest.mark.parametrize("name", FORMS)
def test_a_draft_survives_a_reload_and_holds_no_secret(name, project, page, owner):
    typed, field, _ = FORMS[name]
    url = where(name, project)
    page.post(url, {**typed, "check": field})

    draft = Draft.objects.get(user=owner, path=url)
    assert CANARY not in str(draft.data)
    assert field in draft.data

    if name == "warehouse:source_create":
        offered = page.get(url).text
        assert "You have a draft from" in offered
        assert '?type=postgres">Continue' in offered
        assert "You have a draft" in page.get(f"{url}?type=bigquery").text
        url += "?type=postgres"
    filled = page.get(url)
    assert filled.status_code == 200
    assert "This is your draft from" in filled.text
    assert CANARY not in filled.text
    value = filled.context["form"][field].value()
    assert value == typed[field]
    assert "Not saved" not in filled.text, "nothing is complained about yet"

    answer = page.post(url, {"step": "discard"})
    assert answer.status_code == 302
    assert answer.url == url
    assert not Draft.objects.exists()
    assert "your draft" not in page.get(url).text


def test_a_draft_with_a_control_character_is_judged_but_not_kept(project, page):
    url = where("projects:create", project)
    answer = page.post(url, {"name": "a\x00b", "check": "name"})
    assert "NUL" in answer.text
    assert not Draft.objects.exists()


def test_what_is_right_again_is_unmarked_with_the_field_that_made_it_so(project, page):
    url = where("warehouse:source_create", project)
    typed = {"warehouse_type": "postgres", "ssh_host": "b", "check": "ssh_user"}
    assert "SSH user is required" in page.post(url, typed).text
    typed |= {"ssh_host": "", "check": ["ssh_host", "ssh_user"]}
    html = page.post(url, typed).text
    assert "required for" not in html
    assert 'id="id_ssh_user_field"' in html
    assert 'id="id_ssh_host_field"' in html


def test_a_field_that_is_not_in_the_form_is_not_answered(project, page):
    url = where("projects:create", project)
    answer = page.post(url, {"check": ["<script>", "nothing", "csrfmiddlewaretoken"]})
    assert answer.status_code == 200
    assert "<" not in answer.text.strip()


def test_what_is_sent_is_no_draft_any_more(project, page, owner):
    url = where("files:bucket_create", project)
    typed = {"name": "B", "provider": "s3", "bucket": "acme"}
    page.post(url, {**typed, "check": "name"})
    assert Draft.objects.count() == 1
    assert page.post(url, {**typed, "bucket": "s3://acme"}).status_code == 422
    assert Draft.objects.count() == 1
    assert page.post(url, typed).status_code == 302
    assert not Draft.objects.exists()


def test_an_edit_that_was_taken_back_is_no_draft(project, page):
    bucket = make.make_bucket(project=project)
    url = reverse("files:bucket_edit", args=[project.pk, bucket.pk])
    same = {"name": bucket.name, "bucket": bucket.bucket, "prefix": "", "region": ""}
    page.post(url, {**same, "name": "Other", "check": "name"})
    assert page.get(url).context["form"]["name"].value() == "Other"
    bucket.refresh_from_db()
    assert bucket.name == "Exports"
    page.post(url, {**same, "check": "name"})
    assert not Draft.objects.exists()


def test_a_draft_is_its_owners_alone(project, page, client, viewer, stranger):
    url = where("projects:create", project)
    page.post(url, {"name": "Mine", "check": "name"})
    client.force_login(stranger)
    assert "Mine" not in client.get(url).text


def test_a_viewer_checks_nothing(project, client, viewer):
    client.force_login(viewer)
    url = where("warehouse:source_create", project)
    sent = {"warehouse_type": "postgres", "name": "x", "check": "name"}
    assert client.post(url, sent).status_code == 403
    assert not Draft.objects.exists()


def test_old_drafts_go_and_are_not_shown(project, page, owner):
    url = where("projects:create", project)
    page.post(url, {"name": "Old", "check": "name"})
    old = db_now() - actions.DRAFTS_KEPT - timedelta(minutes=1)
    Draft.objects.update(saved_at=old)
    assert "Old" not in page.get(url).text
    bucket_url = where("files:bucket_create", project)
    page.post(bucket_url, {"name": "New", "check": "name"})
    assert [draft.path for draft in Draft.objects.all()] == [bucket_url]


def test_a_draft_of_any_size_does_no_harm(project, page):
    url = where("projects:create", project)
    answer = page.post(url, {"name": "x" * 500_000, "check": "name"})
    assert answer.status_code == 200
    assert not Draft.objects.exists()


def test_a_question_that_names_no_field_sends_nothing(page, project, sandbox):
    """A page asks by itself; a create needs the button that was pressed."""
    values = {"username": "a.mp-service-account", "secret": "s" * 32, "region": "us"}
    url = where("service_accounts:create", project)
    before = ServiceAccount.objects.count()
    assert page.post(url, values, headers={"HX-Request": "true"}).status_code == 200
    assert ServiceAccount.objects.count() == before
    page.post(url, values)
    assert ServiceAccount.objects.count() == before + 1
