"""From kind and warehouse to the plan to the import: nothing is lost on the way, and
what the plan shows is what is sent."""

import html
import json
import re

import pytest
from django.urls import reverse

from mixadmin.accounts.models import Draft
from mixadmin.audit.models import Entry
from mixadmin.jobs.models import Job
from mixadmin.mixpanel.rehearsal import rehearse
from mixadmin.warehouse.models import WarehouseImport
from tests import make

CLUSTER = {"node_type_id": "n2", "num_workers": 2}


@pytest.fixture
def source(project, sandbox):
    source_id = sandbox.add_source(make.MIXPANEL_ID, "Lake", "databricks")
    return make.make_source(
        project=project,
        name="Lake",
        warehouse_type="databricks",
        mixpanel_id=source_id,
        connection={"compute_type": "jobs"},
    )


@pytest.fixture
def url(project):
    return reverse("warehouse:import_create", args=[project.pk])


def typed(source, **changes):
    return {
        "kind": "event_stream",
        "source": str(source.pk),
        "name": 'Orders "A" & <b>',
        "table_params.schema": "shop",
        "table_params.table": "orders",
        "event_name": "Order",
        "time_column_name": "ordered_at",
        "insert_time_column_name": "inserted_at",
        "property_mappings": "amount = Amount ü",
        "sync_mode": "time_based",
        "frequency": "hourly",
        "databricks_view": "json",
        "databricks_json": json.dumps(CLUSTER),
        **changes,
    }


def hidden(text):
    """What the forms of a page carry along without showing it."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', text)
    return [(html.unescape(k), html.unescape(v)) for k, v in found]


def code(text, name):
    return html.unescape(
        re.search(rf'<pre id="{name}"[^>]*>(.*?)</pre>', text, re.S)[1]
    )


def test_the_plan_shows_what_is_then_sent(
    page, project, source, url, sandbox, run_due_jobs
):
    answer = page.post(url, {**typed(source), "step": "plan"})
    assert answer.status_code == 200
    assert "This will be sent to Mixpanel" in answer.text
    assert not WarehouseImport.objects.exists()
    assert not Job.objects.exists()
    assert not Entry.objects.exists()
    shown = json.loads(code(answer.text, "plan-body"))
    request = html.unescape(re.search(r'class="request">(.*?)<', answer.text)[1])
    assert not sandbox.calls(method="POST"), "nothing goes out for the plan"

    carried = dict(hidden(answer.text))
    done = page.post(url, {**carried, "step": "create"})

    assert done.status_code == 302, done.text
    run_due_jobs()
    (call,) = sandbox.calls(method="POST")
    assert call["body"] == shown
    method, _, address = request.partition(" ")
    assert method == "POST"
    assert address.endswith(call["path"])
    assert not Draft.objects.exists()


def test_curl_holds_no_credential_and_the_same_body(page, source, url):
    answer = page.post(url, {**typed(source), "step": "plan"})
    curl = code(answer.text, "plan-curl")
    assert '-u "$SERVICE_ACCOUNT:$SECRET"' in curl
    assert make.SECRET not in answer.text
    assert make.USERNAME not in curl


def test_what_it_brings_is_said_before(page, source, url):
    sent = typed(source, sync_mode="mirror_mode", insert_time_column_name="")
    text = page.post(url, {**sent, "step": "plan"}).text
    assert "loads the whole table" in text
    assert "Billed: each row that is added, changed or deleted." in text
    assert "days after its last successful run" in text
    sent |= {"sync_mode": "time_based", "frequency": "api"}
    sent |= {"insert_time_column_name": "inserted_at"}
    text = page.post(url, {**sent, "step": "plan"}).text
    assert "Nothing runs by itself" in text


def test_every_step_and_back_keeps_what_was_typed(page, source, url):
    first = page.post(url, {**typed(source), "step": "choose"})
    assert first.status_code == 200
    assert 'aria-current="step">Kind and warehouse' in first.text
    carried = dict(hidden(first.text))
    assert "kind" not in carried

    people = {**carried, "kind": "people", "source": source.pk, "step": "fields"}
    second = page.post(url, people)
    assert 'id="id_event_name"' not in second.text
    assert 'aria-current="step">Table' in second.text
    assert "Not saved" not in second.text
    carried = dict(hidden(second.text)) | {"kind": "event_stream", "step": "fields"}
    back = page.post(url, carried).context["form"]
    # The name and the table were shown there, so their fields were sent, not these.
    assert back["event_name"].value() == "Order"

    plan = page.post(url, {**typed(source), "step": "plan"})
    assert 'aria-current="step">Plan' in plan.text
    fields = page.post(url, {**dict(hidden(plan.text)), "step": "fields"})
    form = fields.context["form"]
    assert {name: form[name].value() for name in ("name", "event_name")} == {
        "name": 'Orders "A" & <b>',
        "event_name": "Order",
    }
    assert json.loads(form["databricks_json"].value()) == CLUSTER
    assert not WarehouseImport.objects.exists()


def test_what_is_wrong_is_told_before_the_plan(page, source, url):
    sent = typed(source, time_column_name="", frequency="yearly")
    answer = page.post(url, {**sent, "step": "plan"})
    assert answer.status_code == 422
    assert "This will be sent" not in answer.text
    assert re.search(r'id="errors"[^>]*autofocus', answer.text)
    assert '<a href="#id_time_column_name_field">' in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_a_plan_that_was_tampered_with_creates_nothing(page, source, url):
    plan = page.post(url, {**typed(source), "step": "plan"})
    carried = dict(hidden(plan.text))
    for change in (
        {"kind": "event_sync"},
        {"source": "999999"},
        {"sync_mode": "append"},
        {"databricks_json": '{"nodes": 3}'},
        {"name": ""},
    ):
        answer = page.post(url, {**carried, **change, "step": "create"})
        assert answer.status_code == 422, change
    assert not WarehouseImport.objects.exists()
    assert not Job.objects.exists()


def test_warnings_are_ticked_on_the_plan(page, source, url):
    sent = typed(source, sync_mode="full_sync", insert_time_column_name="")
    sent["frequency"] = "daily"
    plan = page.post(url, {**sent, "step": "plan"})
    assert plan.status_code == 200
    assert 'name="accepted_warnings" value="events_full_sync"' in plan.text
    assert "This will be sent to Mixpanel" in plan.text
    carried = dict(hidden(plan.text))
    unticked = page.post(url, {**carried, "step": "create"})
    assert unticked.status_code == 422
    assert 'value="events_full_sync"' in unticked.text
    ticked = {**carried, "accepted_warnings": "events_full_sync", "step": "create"}
    assert page.post(url, ticked).status_code == 302
    row = WarehouseImport.objects.get()
    assert row.accepted_warnings == ["events_full_sync"]


def test_a_draft_of_an_import_is_offered_and_filled(page, source, url):
    page.post(url, {**typed(source), "check": "name"})
    offered = page.get(url).text
    assert "You have a draft from" in offered
    where = f"?kind=event_stream&source={source.pk}"
    assert html.escape(where) in offered
    filled = page.get(url + where)
    assert "This is your draft from" in filled.text
    form = filled.context["form"]
    assert form["table_params.table"].value() == "orders"
    assert form.cluster_view == "json"
    assert (
        "This is your draft"
        not in page.get(url + where.replace("event_stream", "people")).text
    )


def test_only_modes_that_the_warehouse_has_are_offered(page, project, url):
    postgres = make.make_source(
        project=project, name="App", warehouse_type="postgres", mixpanel_id=9
    )
    form = page.get(f"{url}?kind=event_stream&source={postgres.pk}").context["form"]
    offered = [slug for slug, _ in form.fields["sync_mode"].choices]
    assert "mirror_mode" not in offered
    assert "time_based" in offered


def test_another_like_this_one_has_its_values(page, project, source, url):
    row = make.make_import(
        project=project,
        source=source,
        table_params={"table": "orders", "odd": 1},
        databricks_params={"export_cluster_config": CLUSTER},
        accepted_warnings=["events_full_sync"],
    )
    form = page.get(f"{url}?like={row.pk}").context["form"]
    assert form["name"].value() == "Orders (copy)"
    assert form["table_params.table"].value() == "orders"
    assert json.loads(form["table_params"].value()) == {"odd": 1}
    assert form["insert_time_column_name"].value() == "inserted_at"
    assert form["frequency"].value() == "hourly"
    assert form["cluster_num_workers"].value() == "2"
    assert form.accepted_warnings == []
    assert page.get(f"{url}?like=999999").status_code == 404
    assert page.get(f"{url}?like=x").status_code == 404


def test_another_source_like_this_one_has_no_secret(page, project):
    row = make.make_source(
        project=project,
        warehouse_type="postgres",
        connection={"host": "db.acme.test", "port": 5432},
    )
    create = reverse("warehouse:source_create", args=[project.pk])
    answer = page.get(f"{create}?like={row.pk}")
    form = answer.context["form"]
    assert form["host"].value() == "db.acme.test"
    assert form["name"].value() == "Warehouse (copy)"
    assert not form["password"].value()


def test_fields_and_json_of_a_cluster_renew_one_another(page, source, url):
    sent = typed(source, databricks_view="form", switch="json")
    sent |= {"databricks_json": "{}", "cluster_num_workers": "3"}
    answer = page.post(url, sent, HTTP_HX_REQUEST="true")
    assert re.findall(r'id="id_(\w+)_field"', answer.text) == ["databricks_json"]
    assert html.unescape(answer.text).count('"num_workers": 3') == 1

    sent |= {"databricks_view": "json", "switch": "form"}
    sent["databricks_json"] = '{"num_workers": 4}'
    answer = page.post(url, sent, HTTP_HX_REQUEST="true")
    assert 'id="id_databricks_json_field"' not in answer.text
    assert re.search(r'name="cluster_num_workers" value="4"', answer.text)

    sent["databricks_json"] = '{"nodes": 3}'
    answer = page.post(url, sent, HTTP_HX_REQUEST="true")
    assert answer.status_code == 200
    assert "Unknown field" in answer.text
    assert not WarehouseImport.objects.exists()


def test_a_rehearsal_of_no_request_is_a_mistake():
    with pytest.raises(ValueError, match="no request"):
        rehearse(lambda client: None, region="us", project_id=1)
