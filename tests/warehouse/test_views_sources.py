"""The pages for warehouses, as a person in a browser meets them."""

from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse

from mixadmin.audit.models import Entry
from mixadmin.common.crypto import Secret
from mixadmin.common.errors import Refused
from mixadmin.common.states import Presence
from mixadmin.jobs.actions import retry_job
from mixadmin.jobs.models import Job
from mixadmin.warehouse import actions
from mixadmin.warehouse.models import WarehouseSource
from tests import make

POSTGRES = {
    "warehouse_type": "postgres",
    "name": "Orders",
    "host": "db.example.com",
    "port": "5432",
    "database": "shop",
    "user": "mixpanel",
    "password": "pa55-of-the-database",
    "ssl_mode": "verify-full",
}


def url(name, project, *args):
    return reverse(f"warehouse:{name}", args=[project.pk, *args])


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def test_a_person_connects_a_warehouse_and_sees_it_at_mixpanel(
    page, project, run_due_jobs
):
    chosen = page.get(url("source_create", project))
    assert b"?type=postgres" in chosen.content
    asked = page.get(url("source_create", project) + "?type=postgres").text
    assert "GRANT SELECT ON ALL TABLES" in asked
    assert "34.170.209.182" in asked, "the addresses of the project's region"
    assert "34.6.165.244" not in asked

    answer = page.post(url("source_create", project), POSTGRES)
    source = WarehouseSource.objects.get()
    assert answer.status_code == 302
    assert answer.url == source.get_absolute_url()
    waiting = page.get(answer.url).text
    assert "Being created" in waiting
    assert 'hx-trigger="every' in waiting

    run_due_jobs(hurry=True)

    shown = page.get(answer.url)
    assert "No import reads from it yet." in shown.text
    shown = page.get(url("source_configuration", project, source.pk))
    assert "db.example.com" in shown.text
    assert "pa55-of-the-database" not in shown.text
    assert "<dt>Password</dt><dd>set, and never shown</dd>" in shown.text
    assert "$PASSWORD" in shown.text
    told = page.get(url("source_timeline", project, source.pk))
    assert "asked to create" in told.text


def test_a_bad_warehouse_is_refused_beside_its_fields_and_kept(page, project):
    answer = page.post(
        url("source_create", project),
        {**POSTGRES, "host": "https://db.example.com/x", "port": "99999"},
    )
    assert answer.status_code == 422
    form = answer.context["form"]
    assert "host name only" in form.errors["host"][0]
    assert "at most 65535" in form.errors["port"][0]
    assert 'value="https://db.example.com/x"' in answer.text
    assert 'value="99999"' in answer.text
    assert "pa55-of-the-database" not in answer.text
    assert "type them once more" in answer.text
    assert not WarehouseSource.objects.exists()
    assert not Job.objects.exists()


def test_a_field_that_nobody_knows_is_a_warning_to_tick(page, project):
    sent = {**POSTGRES, "more": '{"sslnegotiation": "direct"}'}
    answer = page.post(url("source_create", project), sent)
    assert answer.status_code == 422
    assert 'value="unknown_connection_field"' in answer.text

    sent["accepted_warnings"] = "unknown_connection_field"
    answer = page.post(url("source_create", project), sent)

    source = WarehouseSource.objects.get()
    assert answer.url == source.get_absolute_url()
    assert "sslnegotiation" not in source.connection
    shown = page.get(url("source_configuration", project, source.pk)).text
    assert "sslnegotiation" in shown
    assert "direct" not in shown


def test_an_empty_secret_is_kept_and_only_other_values_are_sent(
    page, project, sandbox, run_due_jobs
):
    source = make.make_source(
        project=project,
        mixpanel_id=sandbox.add_source(make.MIXPANEL_ID, "Warehouse", "postgres"),
        warehouse_type="postgres",
        connection={
            "host": "db.example.com",
            "port": 5432,
            "database": "shop",
            "user": "mixpanel",
            "ssl_mode": "verify-full",
        },
        secrets=Secret('{"password": "old-pa55"}'),
    )
    form = page.get(url("source_edit", project, source.pk)).text
    assert 'value="db.example.com"' in form
    assert "old-pa55" not in form

    sent = {"warehouse_type": "postgres", "name": "Warehouse", "user": "reader"}
    answer = page.post(url("source_edit", project, source.pk), sent)

    assert answer.status_code == 302
    source.refresh_from_db()
    assert source.connection["user"] == "mixpanel"
    run_due_jobs()
    source.refresh_from_db()
    assert source.connection["user"] == "reader"
    assert source.connection["host"] == "db.example.com"
    assert source.secrets.reveal() == '{"password": "old-pa55"}'
    assert Job.objects.get().params["keys"] == ["user"]


def test_what_mixpanel_refuses_leaves_the_warehouse_as_it_was(
    page, project, owner, sandbox, poll, run_due_jobs
):
    remote_id = sandbox.add_source(make.MIXPANEL_ID, "Warehouse", "bigquery")
    source = make.make_source(project=project, mixpanel_id=remote_id)
    sandbox.fault(method="PATCH", kind="status", status=400, body={"error": "no"})
    source.refresh_from_db()
    first = actions.change_source(source=source, actor=owner, name="Lake")
    with pytest.raises(Refused) as refused:
        actions.change_source(source=source, actor=owner, name="Sea")
    assert refused.value.code == "change_pending"
    run_due_jobs()
    source.refresh_from_db()
    assert source.name == "Warehouse"

    actions.change_source(source=source, actor=owner, name="Sea")
    poll(project)
    run_due_jobs()
    source.refresh_from_db()
    assert (source.name, bool(source.pending)) == ("Sea", False)
    there = sandbox.objects(make.MIXPANEL_ID)["sources"][0]
    assert there["source_name"] == "Sea"

    retry_job(job=Job.objects.get(pk=first.pk), actor=owner)
    run_due_jobs()
    first.refresh_from_db()
    assert (first.state, first.error_kind) == ("failed", "refused")
    assert "later change" in first.error_message


def test_a_change_of_nothing_is_told_so(page, project):
    source = make.make_source(project=project)
    answer = page.post(
        url("source_edit", project, source.pk),
        {"name": source.name, "gcp_project_id": "acme-data"},
    )
    assert answer.status_code == 409
    assert "Nothing is different" in answer.text


def test_an_adopted_warehouse_is_renamed_without_its_connection(page, project):
    source = make.make_source(project=project, adopted=True, connection={})
    answer = page.post(url("source_edit", project, source.pk), {"name": "Lake"})
    assert answer.status_code == 302
    assert Job.objects.get().params == {"rename": True, "keys": []}


def test_a_warehouse_is_deleted_only_by_its_typed_name(page, project):
    source = make.make_source(project=project)
    wrong = page.post(
        url("source_delete", project, source.pk), {"typed_name": "warehouse"}
    )
    assert wrong.status_code == 422
    assert "Type its name, Warehouse" in wrong.text
    source.refresh_from_db()
    assert source.presence == Presence.ACTIVE

    right = page.post(
        url("source_delete", project, source.pk), {"typed_name": "Warehouse"}
    )
    assert right.status_code == 302
    source.refresh_from_db()
    assert source.presence == Presence.DELETING


def test_a_warehouse_with_imports_is_not_deleted(page, project):
    row = make.make_import(project=project)
    answer = page.post(
        url("source_delete", project, row.source.pk), {"typed_name": row.source.name}
    )
    assert answer.status_code == 409
    assert "still uses it" in answer.text


def test_one_that_was_not_created_says_why_and_can_be_removed(page, project):
    source = make.make_source(
        project=project, presence=Presence.NOT_CREATED, mixpanel_id=None
    )
    make.make_job(
        project=project,
        task="warehouse.create_source",
        target_type="warehouse.warehousesource",
        target_id=str(source.pk),
        state=Job.State.FAILED,
        error_kind="bad_request",
        error_message="no such account",
    )
    shown = page.get(source.get_absolute_url()).text
    assert "Mixpanel refused the values" in shown
    assert "no such account" in shown

    answer = page.post(url("source_forget", project, source.pk))
    assert answer.status_code == 302
    assert page.get(url("source_list", project)).context["paged"].rows == []


def test_secrets_that_no_key_opens_break_no_page(page, project, settings):
    from cryptography.fernet import Fernet

    source = make.make_source(project=project, secrets=Secret('{"password": "x"}'))
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    shown = page.get(source.get_absolute_url())
    assert shown.status_code == 200
    assert "cannot be opened" in shown.text


def test_the_list_finds_by_name_and_type(page, project):
    make.make_source(project=project, name="Lake")
    make.make_source(
        project=project, name="Ledger", warehouse_type="postgres", mixpanel_id=72
    )
    everything = page.get(url("source_list", project)).text
    assert "Lake" in everything
    assert "Ledger" in everything
    found = page.get(url("source_list", project) + "?type=postgres").text
    assert "Lake" not in found
    assert "Ledger" in found
    none = page.get(url("source_list", project) + "?q=nothing").text
    assert "No warehouse fits" in none
    assert page.get(url("source_list", project) + "?type=oracle").status_code == 400


@pytest.mark.parametrize("rows", [1, 30])
def test_the_list_asks_the_database_no_more_often_for_more_rows(
    page, project, rows, django_assert_max_num_queries
):
    for number in range(rows):
        source = make.make_source(
            project=project, name=f"Source {number}", mixpanel_id=1000 + number
        )
        make.make_import(
            project=project,
            source=source,
            name=f"Import {number}",
            mixpanel_id=2000 + number,
        )
    with django_assert_max_num_queries(12):
        assert page.get(url("source_list", project)).status_code == 200


def test_htmx_gets_the_table_alone_from_the_same_address(page, project):
    make.make_source(project=project, presence=Presence.PENDING, mixpanel_id=None)
    part = page.get(url("source_list", project), headers={"HX-Request": "true"})
    assert part.text.lstrip().startswith('<section id="sources-table" hx-get=')
    assert "<html" not in part.text
    assert "HX-Request" in part["Vary"]


PAGES = ("source_detail", "source_edit", "source_delete")


def test_a_viewer_looks_and_changes_nothing(project, viewer):
    source = make.make_source(project=project)
    client = as_(viewer)
    shown = client.get(url("source_detail", project, source.pk))
    assert shown.status_code == 200
    assert "Delete" not in shown.text
    assert "Connect a warehouse" not in client.get(url("source_list", project)).text
    for name in ("source_edit", "source_delete"):
        assert client.get(url(name, project, source.pk)).status_code == 403
        assert client.post(url(name, project, source.pk)).status_code == 403
    assert client.post(url("source_create", project), POSTGRES).status_code == 403
    assert client.post(url("source_forget", project, source.pk)).status_code == 403
    assert not Job.objects.exists()
    assert not Entry.objects.exists()


def test_somebody_elses_warehouse_does_not_exist(page, project, stranger):
    source = make.make_source(project=project)
    other = make.make_project(owner=stranger, mixpanel_id=3_000_002, name="Other")
    theirs = make.make_source(project=other)
    for name in PAGES:
        assert as_(stranger).get(url(name, project, source.pk)).status_code == 404
        assert page.get(url(name, project, theirs.pk)).status_code == 404
        assert page.get(url(name, project, 10**30)).status_code == 404
    assert page.get(url("source_list", other)).status_code == 404
    assert Client().get(url("source_list", project)).status_code == 302


BAD = {
    "nul": "a\0b",
    "long": "x" * 1_000_000,
    "deep": "[" * 100_000,
    "number": "9" * 5000,
}


@pytest.mark.parametrize("field", [*POSTGRES, "more", "accepted_warnings"])
def test_bad_input_is_answered_in_words_and_saves_nothing(page, project, field):
    for bad in BAD.values():
        sent = {**POSTGRES, field: bad}
        if field == "accepted_warnings":
            sent["port"] = "0"
        answer = page.post(
            url("source_create", project),
            urlencode(sent),
            content_type="application/x-www-form-urlencoded",
        )
        assert answer.status_code == 422
    assert not WarehouseSource.objects.exists()
