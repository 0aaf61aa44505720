"""One rule, one sentence: form, API and command say the same words of an ingestion."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from mixadmin.ingestion.models import Ingestion
from mixadmin.jobs.models import Job
from tests.make import MIXPANEL_ID

from .conftest import event, ndjson, stored_ids
from .test_views import FORM, words

# name -> (what is asked for, the field that is at fault)
BAD = {
    "profiles without a token": ({"kind": "people"}, "kind"),
    "a token that is not there": ({"credential": "token"}, "credential"),
    "a name of 300 characters": ({"name": "n" * 300}, "name"),
    "fields for nothing": ({"insert_id_fields": ["order"]}, "insert_id_fields"),
    "a slice without the first": ({"slice_days": 7}, "first_days"),
    "no days": ({"first_days": 0}, "first_days"),
    "a century": ({"first_days": 36_500}, "first_days"),
    "too many requests": ({"concurrency": 1_000}, "concurrency"),
    "no requests": ({"concurrency": 0}, "concurrency"),
    "too many records": ({"batch_records": 3_000}, "batch_records"),
    "too few bytes": ({"batch_bytes": 1}, "batch_bytes"),
    "more than all refused": ({"most_refused_percent": 101}, "most_refused_percent"),
    "less than none refused": ({"most_refused_percent": -1}, "most_refused_percent"),
    "a number beyond the database": ({"batch_bytes": 2**70}, "batch_bytes"),
}


@pytest.fixture
def path(tmp_path, settings):
    settings.INGEST_DIRECTORIES = {"drop": str(tmp_path)}
    path = tmp_path / "a.ndjson"
    path.write_bytes(ndjson([event(1)]))
    return path


def by_api(api, project, asked):
    files = [{"place": "directory", "directory": "drop", "path": "a.ndjson"}]
    body = {"kind": "events", "files": files, **asked}
    answer = api.post(f"/api/v1/projects/{project.pk}/ingestions/", body)
    assert answer.status_code == 400, answer.content
    return [(error["attr"], error["detail"]) for error in answer.json()["errors"]]


def by_form(page, project, asked):
    body = {**FORM, "place": "directory:drop", "manifest": "a.ndjson", **asked}
    if isinstance(body.get("insert_id_fields"), list):
        body["insert_id_fields"] = "\n".join(body["insert_id_fields"])
    answer = page.post(reverse("ingestion:create", args=[project.pk]), body)
    assert answer.status_code == 422
    return words(answer)


def by_command(path, asked):
    options = {**asked}
    if options.get("mends"):
        options["mends"] = list(options["mends"])
    with pytest.raises(CommandError) as error:
        call_command("ingest_file", str(MIXPANEL_ID), str(path), **options)
    return str(error.value)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_ingestion_gets_the_same_words_at_every_door(
    case, project, page, api, path
):
    asked, field = BAD[case]
    told = by_api(api, project, asked)
    said = [detail for attr, detail in told if attr.split(".")[0] == field]
    assert said, told
    html, command = by_form(page, project, asked), by_command(path, asked)
    for detail in said:
        assert detail in command
        assert detail in html
    assert not Ingestion.objects.exists()
    assert not Job.objects.exists()


def test_a_good_ingestion_is_the_same_at_every_door(project, page, api, path):
    asked = {"first_days": 3, "slice_days": 7, "concurrency": 4}
    files = [{"place": "directory", "directory": "drop", "path": "a.ndjson"}]
    answer = api.post(
        f"/api/v1/projects/{project.pk}/ingestions/",
        {"kind": "events", "files": files, **asked},
    )
    assert answer.status_code == 202
    form = {**FORM, "place": "directory:drop", "chosen": "a.ndjson", **asked}
    answer = page.post(reverse("ingestion:create", args=[project.pk]), form)
    assert answer.status_code == 302
    one, other = (
        {
            field.attname: getattr(row, field.attname)
            for field in Ingestion._meta.concrete_fields
            if field.attname not in ("id", "created_at")
        }
        for row in Ingestion.objects.all()
    )
    assert one == other


@pytest.mark.django_db(transaction=True)
def test_the_command_sends_a_file_to_its_end(project, path, sandbox):
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("ingest_file", str(MIXPANEL_ID), str(path), json=True, stdout=out)
    assert end.value.code == 0
    assert json.loads(out.getvalue())["counts"]["imported"] == 1
    assert len(stored_ids(sandbox)) == 1
