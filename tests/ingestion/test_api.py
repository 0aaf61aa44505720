"""Ingestions through the API: made, looked at, moved on, with what was rejected."""

import json

import pytest

from mixadmin.ingestion.models import Ingestion, UnsettledBatch
from mixadmin.jobs.models import Job
from tests import make
from tests.make import run_due_jobs

from .conftest import books, event, ndjson, stored_ids

State = Ingestion.State
KEY = {"HTTP_IDEMPOTENCY_KEY": "one"}


@pytest.fixture
def address(project):
    return f"/api/v1/projects/{project.pk}/ingestions/"


@pytest.fixture
def upload(project):
    """Call it with records; gives how a body names the file."""

    def upload(records, name="events.ndjson"):
        row = make.make_upload(project=project, content=ndjson(records), name=name)
        return {"place": "upload", "upload": str(row.pk)}

    return upload


def ok(answer, status=200):
    assert answer.status_code == status, answer.content
    return answer.json()


def test_an_upload_is_checked_started_and_followed(api, address, upload, sandbox):
    records = [event(n) for n in range(20)]
    records[4] = event(4, time="bad")
    made = api.post(address, {"kind": "events", "files": [upload(records)]})
    body = ok(made, 202)
    assert made["Location"] == f"/api/v1/jobs/{body['job']['id']}/"
    assert body["job"]["target"]["type"] == "ingestion"
    one = f"{address}{body['ingestion']['id']}/"
    assert body["ingestion"]["state"] == "checking"
    run_due_jobs()
    shown = ok(api.get(one))
    assert shown["state"] == "ready"
    assert shown["report"]["would_refuse"] == 1
    assert shown["counts"]["pending"] == 20
    ok(api.post(f"{one}start/"), 202)
    run_due_jobs(hurry=True)
    shown = ok(api.get(one))
    assert shown["state"] == "succeeded_with_errors"
    assert {k: v for k, v in shown["counts"].items() if v} == {
        "read": 20,
        "imported": 19,
        "invalid": 1,
    }
    assert len(stored_ids(sandbox)) == 19
    [file] = ok(api.get(f"{one}files/"))["results"]
    assert (file["name"], file["state"]) == ("events.ndjson", "done")
    assert (file["bytes_done"], file["counts"]["imported"]) == (file["size"], 19)
    [row] = ok(api.get(address))["results"]
    assert row["counts"]["imported"] == 19


def test_the_same_key_makes_one_ingestion(api, address, upload):
    body = {"kind": "events", "files": [upload([event(1)])]}
    first, again = (api.post(address, body, **KEY) for _ in range(2))
    assert first.content == again.content
    assert again["Idempotency-Replayed"] == "true"
    assert Ingestion.objects.count() == 1


def test_files_are_named_by_directory_and_bucket(
    api, address, project, s3, settings, tmp_path
):
    settings.INGEST_DIRECTORIES = {"drop": str(tmp_path)}
    (tmp_path / "a.ndjson").write_bytes(ndjson([event(1)]))
    s3.put_object(Bucket="acme", Key="b.ndjson", Body=ndjson([event(2)]))
    bucket = make.make_bucket(project=project)
    files = [
        {"place": "directory", "directory": "drop", "path": "a.ndjson"},
        {"place": "bucket", "bucket": bucket.pk, "path": "b.ndjson"},
    ]
    body = ok(api.post(address, {"kind": "events", "files": files}), 202)
    found = ok(api.get(f"{address}{body['ingestion']['id']}/files/"))["results"]
    assert [file["path"] for file in found] == ["a.ndjson", "b.ndjson"]


@pytest.mark.parametrize(
    "one",
    [
        {"place": "path", "path": "/etc/passwd"},
        {"place": "rejected", "path": "1/again.ndjson"},
        {"place": "directory", "directory": "drop", "path": "../../etc/passwd"},
        {"place": "directory", "directory": "/etc", "path": "passwd"},
        {"place": "bucket", "bucket": 999, "path": "x"},
        {"place": "bucket", "path": "x"},
        {"place": "upload", "upload": "nonsense"},
        {"place": "upload"},
        {"place": ""},
        {},
        {"place": "upload", "upload": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"},
    ],
    ids=str,
)
def test_what_is_not_there_for_this_project_is_refused(
    one, api, address, settings, tmp_path
):
    settings.INGEST_DIRECTORIES = {"drop": str(tmp_path)}
    answer = api.post(address, {"kind": "events", "files": [one]})
    errors = ok(answer, 400)["errors"]
    assert {error["attr"].split(".")[0] for error in errors} == {"files"}
    assert not Ingestion.objects.exists()


def test_what_is_refused_in_this_moment_is_409(api, address, upload):
    body = {"kind": "events", "files": [upload([event(1)])]}
    one = f"{address}{ok(api.post(address, body), 202)['ingestion']['id']}/"
    assert ok(api.post(f"{one}pause/"))["state"] == "paused"
    for verb in ("pause", "start", "retry", "pass-gate", "copy"):
        error = ok(api.post(f"{one}{verb}/"), 409)["errors"][0]
        assert error["code"] == "wrong_state"
        assert error["detail"]
    assert ok(api.post(f"{one}resume/"))["state"] == "checking"
    assert ok(api.post(f"{one}cancel/"))["state"] == "cancelled"
    assert not Job.objects.unfinished().exists()


def test_rejected_records_are_listed_downloaded_and_sent_again(
    api, address, upload, sandbox
):
    records = [event(1), event(2, time="2026-11-20T10:00:00Z"), b"nonsense"]
    body = {"kind": "events", "files": [upload(records)], "start": "always"}
    one = f"{address}{ok(api.post(address, body), 202)['ingestion']['id']}/"
    run_due_jobs(hurry=True)
    groups = ok(api.get(f"{one}rejected/"))["results"]
    by_code = {group["code"]: group for group in groups}
    curable = by_code["event.time.not_a_number"]
    assert curable["mend"] == "time.seconds"
    assert curable["examples"][0]["line"] == 2
    whole = b"".join(api.get(f"{one}rejected/download/").streaming_content)
    assert [json.loads(line)["line"] for line in whole.splitlines()] == [2, 3]
    some = api.get(
        f"{one}rejected/download/", {"groups": str(curable["id"]), "form": "csv"}
    )
    assert len(b"".join(some.streaming_content).splitlines()) == 2
    assert some["Content-Type"] == "text/csv; charset=utf-8"
    for odd in ({"form": "xls"}, {"groups": "7777"}, {"groups": "x"}, {"nope": "1"}):
        assert api.get(f"{one}rejected/download/", odd).status_code == 400
    wanted = {"groups": [curable["id"]], "mends": ["time.seconds"], "start": "always"}
    again = ok(api.post(f"{one}resend/", wanted), 202)["ingestion"]
    run_due_jobs(hurry=True)
    assert books(Ingestion.objects.get(pk=again["id"])) == {"read": 1, "imported": 1}
    assert ok(api.post(f"{one}resend/", {"groups": [99]}), 400)


def test_an_unknown_batch_is_decided(api, address, upload, with_token, sandbox):
    update = {"$distinct_id": "u1", "$add": {"visits": 1}}
    body = {"kind": "people", "files": [upload([update])], "start": "always"}
    one = f"{address}{ok(api.post(address, body), 202)['ingestion']['id']}/"
    sandbox.fault("POST", "/engage", "lost", times=1)
    run_due_jobs(hurry=True)
    shown = ok(api.get(one))
    assert (shown["state"], shown["open_decisions"]) == ("needs_decision", 1)
    [batch] = ok(api.get(f"{one}batches/"))["results"]
    assert (batch["first_line"], batch["records"]) == (1, 1)
    decide = f"{one}batches/{batch['id']}/decide/"
    assert ok(api.post(decide, {"choice": "maybe"}), 409)
    decided = ok(api.post(decide, {"choice": "again"}))
    assert (decided["state"], decided["decided_by"]) == ("again", "owner")
    run_due_jobs(hurry=True)
    assert ok(api.get(one))["state"] == "succeeded"
    assert not UnsettledBatch.objects.exists()


def test_the_catalogue_tells_mends_findings_and_limits(api):
    told = ok(api.get("/api/v1/catalogue/ingestion/"))
    assert "time.seconds" in [mend["slug"] for mend in told["mends"]]
    assert "record.not_json" in [rule["code"] for rule in told["findings"]]
    assert told["limits"]["batch_records"] == 2000


def test_nothing_of_another_project_is_reached(api, owner, address, upload, project):
    other = make.make_project(owner=owner, name="Other", mixpanel_id=5)
    theirs = make.make_ingestion(
        project=other, upload=make.make_upload(project=other), state="needs_decision"
    )
    batch = make.make_unsettled_batch(ingestion=theirs)
    mine = ok(api.post(address, {"kind": "events", "files": [upload([event(1)])]}), 202)
    for path in (
        f"{address}{theirs.pk}/",
        f"{address}{theirs.pk}/files/",
        f"{address}{theirs.pk}/rejected/download/",
    ):
        assert api.get(path).status_code == 404
    for path in (
        f"{address}{theirs.pk}/cancel/",
        f"{address}{theirs.pk}/batches/{batch.pk}/decide/",
        f"{address}{mine['ingestion']['id']}/batches/{batch.pk}/decide/",
    ):
        assert api.post(path, {"choice": "arrived"}).status_code == 404
    batch.refresh_from_db()
    assert batch.state == "unknown"
