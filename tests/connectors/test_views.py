"""The pages for cloud connectors, as a person in a browser meets them."""

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mixadmin.common.states import Presence, RunState
from mixadmin.connectors.models import Connector
from mixadmin.jobs.models import Job
from mixadmin.projects.models import Project
from tests import make

FORM = "application/x-www-form-urlencoded"
ROLE = "arn:aws:iam::123456789012:role/mixpanel-import"


def url(name, project, *args):
    return reverse(f"connectors:{name}", args=[project.pk, *args])


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def send(client, where, values):
    return client.post(where, urlencode(values, doseq=True), content_type=FORM)


def gcs(**changes):
    return {
        "connector_type": "gcsImport",
        "label": "Signups",
        "connector_properties.gcs_bucket": "acme-events",
        "connector_properties.gcs_prefix": "signup/",
        "category_properties.data_format": "mixpanel_event",
        "category_properties.compression": "gzip",
        **{name.replace("__", "."): value for name, value in changes.items()},
    }


REMAP = "category_properties.property_remap."


def test_the_type_comes_first_and_brings_its_fields(page, project):
    assert "?type=s3Import" in page.get(url("create", project)).text
    fields = page.get(url("create", project) + "?type=s3Import").text
    assert 'name="connector_properties.s3_role"' in fields
    assert "gcs_bucket" not in fields
    assert "ap-northeast-3" in fields
    assert page.get(url("create", project) + "?type=ftp").status_code == 400


def test_a_person_creates_a_connector_and_it_is_at_mixpanel(
    page, project, run_due_jobs
):
    answer = send(page, url("create", project), gcs())
    connector = Connector.objects.get()
    assert (answer.status_code, answer.url) == (302, connector.get_absolute_url())
    assert connector.category_properties == {
        "data_format": "mixpanel_event",
        "compression": "gzip",
    }
    assert "Being created" in page.get(answer.url).text

    run_due_jobs(hurry=True)

    connector.refresh_from_db()
    assert connector.presence == Presence.ACTIVE
    assert "acme-events" in page.get(f"{answer.url}configuration/").text
    assert "Create connector Signups" in page.get(f"{answer.url}timeline/").text


def test_s3_with_a_remap(page, project):
    sent = {
        "connector_type": "s3Import",
        "label": "Orders",
        "connector_properties.s3_bucket": "acme-orders",
        "connector_properties.s3_region": "eu-west-1",
        "connector_properties.s3_prefix": "2026/",
        "connector_properties.s3_role": ROLE,
        "category_properties.data_format": "remap_event",
        "category_properties.compression": "none",
        f"{REMAP}event_name": "type",
        f"{REMAP}time": "at",
        f"{REMAP}distinct_id": "customer",
        f"{REMAP}$insert_id": "id",
    }
    assert send(page, url("create", project), sent).status_code == 302
    connector = Connector.objects.get()
    assert connector.connector_properties["s3_role"] == ROLE
    assert connector.category_properties["property_remap"] == {
        "event_name": "type",
        "time": "at",
        "distinct_id": "customer",
        "$insert_id": "id",
    }


def test_mistakes_are_told_beside_their_fields_and_kept(page, project):
    sent = gcs() | {
        "connector_properties.gcs_bucket": "gs://acme/x",
        "category_properties.data_format": "remap_event",
        f"{REMAP}time": "at",
        f"{REMAP}$group_id": "g",
    }
    answer = send(page, url("create", project), sent)
    assert answer.status_code == 422
    errors = answer.context["form"].errors
    assert "bucket name only" in errors["connector_properties.gcs_bucket"][0]
    assert "required" in errors[f"{REMAP}event_name"][0]
    assert "Unknown field" in errors[f"{REMAP}$group_id"][0]
    assert f"{REMAP}time" not in errors
    assert 'value="gs://acme/x"' in answer.text
    assert not Connector.objects.exists()


@pytest.mark.parametrize(
    ("data_format", "remap", "field"),
    [
        ("remap_event", {}, f"{REMAP}event_name"),
        ("mixpanel_event", {f"{REMAP}time": "at"}, "category_properties.data_format"),
    ],
)
def test_a_remap_goes_with_its_formats_only(page, project, data_format, remap, field):
    sent = gcs() | {"category_properties.data_format": data_format} | remap
    answer = send(page, url("create", project), sent)
    assert answer.status_code == 422
    assert field in answer.context["form"].errors


def test_the_whole_bucket_is_ticked(page, project):
    sent = gcs() | {"connector_properties.gcs_prefix": ""}
    answer = send(page, url("create", project), sent)
    assert answer.status_code == 422
    assert 'value="entire_bucket"' in answer.text
    sent["accepted_warnings"] = "entire_bucket"
    assert send(page, url("create", project), sent).status_code == 302
    assert Connector.objects.get().connector_properties["gcs_prefix"] == ""


def test_a_copy_begins_with_the_values_of_the_old_one(page, project):
    old = make.make_connector(
        project=project,
        category_properties={
            "data_format": "remap_people",
            "compression": "none",
            "property_remap": {"$distinct_id": "user"},
        },
    )
    form = page.get(url("create", project) + f"?copy={old.pk}").context["form"]
    assert form["connector_properties.gcs_bucket"].value() == "acme"
    assert form[f"{REMAP}$distinct_id"].value() == "user"
    assert form["label"].value() == "Signups (copy)"
    for bad in ("x", "9" * 5000, "-1", old.pk + 1, "٣"):
        where = f"{url('create', project)}?{urlencode({'copy': bad})}"
        assert page.get(where).status_code == 404


def test_a_closed_project_says_so_and_names_what_else_there_is(page, project):
    Project.objects.filter(pk=project.pk).update(connectors_open=False)
    for name in ("list", "create"):
        shown = page.get(url(name, project)).text
        assert "Cloud connectors are closed for this project" in shown
        assert "ingestion API" in shown
        assert reverse("warehouse:import_list", args=[project.pk]) in shown
        assert 'name="connector_properties.gcs_bucket"' not in shown
    answer = send(page, url("create", project), gcs())
    assert answer.status_code == 409
    assert "closed Cloud Import" in answer.text
    assert not Connector.objects.exists()


def test_counts_and_progress_of_a_run(page, project):
    connector = make.make_connector(project=project)
    run = make.make_connector_run(
        connector=connector,
        state=RunState.RUNNING,
        ended_at=None,
        progress=0.25,
        num_events_imported=1234,
        num_events_dropped=None,
        num_events_processed=1300,
    )
    for where in (connector.get_absolute_url(), run.get_absolute_url()):
        shown = page.get(where).text
        assert 'value="0.25"' in shown
        assert "25&nbsp;%" in shown
        assert "Processed: 1,300; 1,234 imported, unknown dropped." in shown
        assert "do not add up" not in shown
        part = page.get(where, headers={"HX-Request": "true"}).text
        assert 'hx-trigger="every' in part
        assert "<html" not in part


def test_counts_that_do_not_add_up_say_so(page, project):
    connector = make.make_connector(project=project)
    fine = make.make_connector_run(connector=connector)
    assert "do not add up" not in page.get(fine.get_absolute_url()).text
    odd = make.make_connector_run(
        connector=connector,
        started_at=timezone.now() + timedelta(seconds=1),
        state=RunState.SUCCEEDED_WITH_ERRORS,
        num_events_processed=20,
        num_events_dropped=2,
    )
    for where in (odd.get_absolute_url(), connector.get_absolute_url()):
        shown = page.get(where).text
        assert "the difference is 5" in shown
        assert 'hx-trigger="every 4s' not in shown


def test_a_failed_run_tells_cause_remedy_and_raw_answer(page, project):
    connector = make.make_connector(project=project)
    run = make.make_connector_run(
        connector=connector,
        state=RunState.FAILED,
        raw_state="failed",
        error_message="no compression specified but gzip detected",
        progress=None,
        num_events_imported=None,
        raw={"odd": "\u202e"},
    )
    shown = page.get(run.get_absolute_url()).text
    assert "The files are gzip, the connector says they are not" in shown
    assert "Create a copy of the connector" in shown
    assert "no compression specified" in shown
    assert "<dt>Progress</dt>" in shown
    assert '<span class="quiet">unknown</span>' in shown


def test_deleting_needs_the_label(page, project):
    connector = make.make_connector(project=project)
    where = url("delete", project, connector.pk)
    assert "What was imported stays" in page.get(where).text
    assert send(page, where, {"typed_name": "signups"}).status_code == 422
    assert not Job.objects.exists()
    assert send(page, where, {"typed_name": "Signups"}).status_code == 302
    connector.refresh_from_db()
    assert connector.presence == Presence.DELETING


def test_a_type_that_is_not_known_is_shown_and_not_changed(page, project):
    connector = make.make_connector(
        project=project,
        connector_type="azureExport",
        adopted=True,
        connector_properties={"container": "x", "odd": ["a", {"b": "\u202e"}]},
        category_properties={"z": None},
        status="stopped",
    )
    shown = page.get(connector.get_absolute_url())
    assert shown.status_code == 200
    assert "azureExport" in shown.text
    assert "container" in page.get(url("configuration", project, connector.pk)).text
    assert url("delete", project, connector.pk) not in shown.text
    assert "read-only" in page.get(url("list", project)).text


def test_one_that_was_not_created_says_why_and_can_be_removed(page, project):
    connector = make.make_connector(
        project=project, presence=Presence.NOT_CREATED, mixpanel_id=""
    )
    make.make_job(
        project=project,
        task="connectors.create",
        target_type="connectors.connector",
        target_id=str(connector.pk),
        state=Job.State.FAILED,
        error_kind="not_allowed",
    )
    shown = page.get(connector.get_absolute_url()).text
    assert "Cloud connectors are closed for this project" in shown
    assert page.post(url("forget", project, connector.pk)).status_code == 302
    assert page.get(url("list", project)).context["lines"] == []
    assert page.get(url("list", project) + "?state=deleted").context["lines"]


def test_the_list_counts_by_state_and_filters_in_the_address(page, project):
    make.make_connector_run(connector=make.make_connector(project=project))
    make.make_connector(project=project, label="Fresh", mixpanel_id="b")
    shown = page.get(url("list", project))
    chips = {chip.value: chip.count for chip in shown.context["tallies"]}
    assert chips == {"": 2, "succeeded": 1, "new": 1}
    for query, count in (("?state=new", 1), ("?q=sign", 1), ("?type=s3Import", 0)):
        found = page.get(url("list", project) + query)
        assert len(found.context["lines"]) == count
    for bad in ("state=x", "type=x", "after=x", "sort=x"):
        assert page.get(url("list", project) + f"?{bad}").status_code == 400


@pytest.mark.parametrize("rows", [1, 30])
def test_the_list_asks_the_database_no_more_often_for_more_rows(
    page, project, rows, django_assert_max_num_queries
):
    for number in range(rows):
        connector = make.make_connector(
            project=project, label=f"C {number}", mixpanel_id=f"id-{number}"
        )
        make.make_connector_run(connector=connector)
    with django_assert_max_num_queries(11):
        assert page.get(url("list", project)).status_code == 200
    with django_assert_max_num_queries(14):
        assert page.get(connector.get_absolute_url()).status_code == 200


def test_what_exists_at_mixpanel_is_ticked_and_adopted(page, project, sandbox):
    made = sandbox.add_connector(
        make.MIXPANEL_ID,
        label="Old",
        connector_type="gcsImport",
        connector_properties={"gcs_bucket": "acme", "gcs_prefix": "x/"},
        category_properties={"data_format": "mixpanel_event"},
    )
    make.poll_now(project)
    remote = project.remote_objects.get(kind="connector")
    source = make.make_remote_object(project=project, kind="source", mixpanel_id="5")
    where = url("adopt", project)
    assert "Old" in page.get(where).text
    for bad in ("", "x", "9" * 5000, source.pk):
        assert send(page, where, {"remote_objects": bad}).status_code == 422
    assert not Connector.objects.exists()
    assert send(page, where, {"remote_objects": remote.pk}).status_code == 302
    assert Connector.objects.get(adopted=True).mixpanel_id == made


CHANGES = ("delete", "forget")


def test_a_viewer_looks_and_changes_nothing(project, viewer):
    connector = make.make_connector(project=project)
    client = as_(viewer)
    shown = client.get(connector.get_absolute_url())
    assert shown.status_code == 200
    assert "Delete" not in shown.text
    for name in CHANGES:
        assert client.post(url(name, project, connector.pk)).status_code == 403
    assert send(client, url("create", project), gcs()).status_code == 403
    assert client.post(url("adopt", project)).status_code == 403
    assert not Job.objects.exists()


def test_somebody_elses_connector_does_not_exist(page, project, stranger):
    other = make.make_project(owner=stranger, mixpanel_id=3_000_002, name="Other")
    theirs = make.make_connector(project=other)
    mine = make.make_connector(project=project, label="Mine", mixpanel_id="m")
    run = make.make_connector_run(connector=theirs)
    for name in ("detail", *CHANGES):
        for pk in (theirs.pk, 10**30):
            assert page.post(url(name, project, pk)).status_code == 404
    for pk in (run.pk, 10**30):
        assert page.get(url("run_detail", project, mine.pk, pk)).status_code == 404
    assert page.get(theirs.get_absolute_url()).status_code == 404
    assert page.get(run.get_absolute_url()).status_code == 404
    where = url("create", project) + f"?copy={theirs.pk}"
    assert page.get(where).status_code == 404
    remote = make.make_remote_object(project=other, kind="connector")
    answer = send(page, url("adopt", project), {"remote_objects": remote.pk})
    assert answer.status_code == 422


BAD = ("a\0b", "x" * 1_000_000, "[" * 100_000, "9" * 5000)


@pytest.mark.parametrize("field", [*gcs(), f"{REMAP}time", "accepted_warnings"])
def test_bad_input_is_answered_in_words_and_saves_nothing(page, project, field):
    for bad in BAD:
        # One other mistake, because some of these fields may hold any text.
        other = "connector_properties.gcs_bucket"
        sent = gcs() | {other: "", field: bad}
        assert send(page, url("create", project), sent).status_code == 422
    assert not Connector.objects.exists()
