"""Pages of ingestions, over files that are really checked and sent."""

import json
import re
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from mixadmin.files.models import Upload
from mixadmin.ingestion import working
from mixadmin.ingestion.models import Ingestion, Part, RejectedGroup, UnsettledBatch
from mixadmin.jobs.models import Job
from tests import make
from tests.make import MIXPANEL_ID, run_due_jobs

from .conftest import books, event, ndjson, stored_ids

State = Ingestion.State
FORM = {
    "kind": "events",
    "start": "asked",
    "check_first": "on",
    "credential": "service_account",
}


def words(answer):
    """The text of a page, without tags."""
    text = re.sub(r"<[^>]+>", " ", answer.content.decode())
    return re.sub(r"\s+", " ", unescape(text))


def posted_file(records, name="events.ndjson"):
    return SimpleUploadedFile(name, ndjson(records))


@pytest.fixture
def post_new(project, page):
    """Call it with what is changed in the form for new ingestions."""

    def post(query="", **changes):
        url = reverse("ingestion:create", args=[project.pk])
        return page.post(url + query, {**FORM, **changes})

    return post


@pytest.fixture
def drop(settings, tmp_path):
    """A directory that the operator allowed."""
    folder = tmp_path / "drop"
    folder.mkdir()
    settings.INGEST_DIRECTORIES = {"drop": str(folder)}
    return folder


def url(name, row, *more):
    return reverse(f"ingestion:{name}", args=[row.project_id, row.pk, *more])


# --- Making one -----------------------------------------------------------------------


def test_a_file_of_a_form_is_checked_and_sent_when_somebody_says_so(
    post_new, page, sandbox
):
    records = [event(n) for n in range(30)]
    records[3] = event(3, time="yesterday")
    answer = post_new(files=posted_file(records))
    assert answer.status_code == 302, words(answer)
    ingestion = Ingestion.objects.get()
    assert answer["Location"] == ingestion.get_absolute_url()
    text = words(page.get(answer["Location"]))
    assert "Being checked" in text
    run_due_jobs()
    text = words(page.get(answer["Location"]))
    assert "Of 30 events 29 would be imported and 1 refused." in text
    assert "Time is not a number : 1 record" in text
    assert "Start sending 29 events" in text
    text = words(page.get(url("findings", ingestion)))
    assert "line 4" in text
    assert "Check again with this mend: convert times to seconds" in text
    assert not sandbox.events(MIXPANEL_ID)
    page.post(url("start", ingestion))
    run_due_jobs(hurry=True)
    text = words(page.get(answer["Location"]))
    assert "29 of 30 records imported; 1 invalid and not sent" in text
    assert "Resend 1 rejected record" in text
    assert "The books balance" in text
    assert len(stored_ids(sandbox)) == 29


def test_an_upload_that_came_in_pieces_is_named_by_its_id(post_new, project, owner):
    from mixadmin.files.actions import store_posted_files

    [upload] = store_posted_files(
        project=project, actor=owner, files=[posted_file([event(1)])]
    )
    assert post_new(uploads=str(upload.pk)).status_code == 302
    assert Ingestion.objects.get().files.get().upload == upload


def test_what_was_uploaded_is_kept_when_something_else_is_wrong(post_new):
    answer = post_new(files=posted_file([event(1)]), concurrency="1000")
    assert answer.status_code == 422
    upload = Upload.objects.get()
    assert f'name="uploads" value="{upload.pk}"' in answer.content.decode()
    assert not Ingestion.objects.exists()
    assert post_new(uploads=str(upload.pk)).status_code == 302


def test_files_of_a_directory_are_ticked_named_or_taken_as_a_whole(
    post_new, drop, page, project
):
    (drop / "a").mkdir()
    for name in ("one.ndjson", "two.ndjson", "a/three.ndjson"):
        (drop / name).write_bytes(ndjson([event(1)]))
    where = reverse("ingestion:create", args=[project.pk]) + "?place=directory:drop"
    html = page.get(where).content.decode()
    assert 'name="chosen" value="one.ndjson"' in html
    place = {"place": "directory:drop"}
    post_new(chosen=["one.ndjson", "two.ndjson"], **place)
    post_new(manifest="two.ndjson\n\n  a/three.ndjson\n", **place)
    post_new(chosen="/", **place)
    post_new(chosen="a/", **place)
    found = [
        sorted(row.files.values_list("path", flat=True))
        for row in Ingestion.objects.order_by("pk")
    ]
    assert found == [
        ["one.ndjson", "two.ndjson"],
        ["a/three.ndjson", "two.ndjson"],
        ["a/three.ndjson", "one.ndjson", "two.ndjson"],
        ["a/three.ndjson"],
    ]


def test_an_object_of_a_bucket_is_sent(post_new, project, s3, page, sandbox):
    s3.put_object(Bucket="acme", Key="in/e.ndjson", Body=ndjson([event(1)]))
    bucket = make.make_bucket(project=project)
    where = f"?place=bucket:{bucket.pk}&path=in/"
    html = page.get(reverse("ingestion:create", args=[project.pk]) + where)
    assert b'value="in/e.ndjson"' in html.content
    answer = post_new(
        where, chosen="in/e.ndjson", place=f"bucket:{bucket.pk}", start="always"
    )
    assert answer.status_code == 302, words(answer)
    run_due_jobs(hurry=True)
    assert books(Ingestion.objects.get()) == {"read": 1, "imported": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": ""}, "is required"),
        ({"kind": "people"}, "Profiles are sent with the project token"),
        ({"credential": "token"}, "This project has no project token"),
        ({"mends": "magic"}, "There is no mend 'magic'"),
        ({"insert_id_fields": "order"}, "This is used only with the mend"),
        ({"slice_days": "7"}, "Say how many days the first slice has."),
        ({"first_days": "abc"}, "must be an integer"),
        ({"first_days": "99999"}, "Give 1 to 3650 days."),
        ({"most_refused_percent": "101"}, "less than or equal to 100"),
        ({"most_refused_percent": "nan"}, "Give 0 to 100 percent."),
        ({"batch_bytes": "1"}, "greater than or equal to 65536"),
        ({"uploads": "nonsense"}, "One of the uploads is not here (any more)."),
        (
            {"manifest": "a.ndjson"},
            "The place of a file is upload, directory or bucket.",
        ),
        ({"manifest": "a", "place": "bucket:99"}, "There is no such bucket."),
        ({"manifest": "../etc/passwd", "place": "directory:drop"}, "“..”"),
        ({"manifest": "gone.ndjson", "place": "directory:drop"}, "gone.ndjson"),
        ({}, "Choose at least one file."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_said_beside_the_field_and_nothing_is_made(
    changes, said, post_new, drop
):
    answer = post_new(**changes)
    assert answer.status_code == 422
    assert said in words(answer)
    assert 'class="errors' in answer.content.decode()
    assert not Ingestion.objects.exists()
    assert not Job.objects.exists()


def test_an_upload_of_another_project_does_not_exist(post_new, owner, project):
    other = make.make_project(owner=owner, name="Other", mixpanel_id=5)
    theirs = make.make_upload(project=other)
    answer = post_new(uploads=str(theirs.pk))
    assert answer.status_code == 422
    assert "One of the uploads is not here" in words(answer)


# --- One ------------------------------------------------------------------------------


def test_the_same_files_are_checked_again_with_a_mend(file, create, page, sandbox):
    ingestion = create(
        file([event(1, time="2026-11-20T10:00:00Z")]), check_first=True, start="asked"
    )
    run_due_jobs()
    where = url("copy", ingestion)
    html = page.get(f"{where}?mend=time.seconds").content.decode()
    assert re.search(r'value="time.seconds" checked', html)
    page.post(where, {**FORM, "mends": "time.seconds", "start": "always"})
    run_due_jobs(hurry=True)
    ingestion.refresh_from_db()
    copy = Ingestion.objects.exclude(pk=ingestion.pk).get()
    assert (ingestion.state, copy.state) == (State.CANCELLED, State.SUCCEEDED)
    assert books(copy) == {"read": 1, "imported": 1}
    assert "Put right: convert times to seconds 1 record" in words(
        page.get(url("detail", copy))
    )


def test_one_that_was_started_meanwhile_does_not_give_way(file, create, page):
    ingestion = create(file([event(1)]), check_first=True, start="asked")
    run_due_jobs()
    page.post(url("start", ingestion))
    answer = page.post(url("copy", ingestion), FORM)
    assert answer.status_code == 409
    assert "cannot be copied" in words(answer)
    assert Ingestion.objects.count() == 1


def test_pause_resume_and_cancel(file, create, page):
    ingestion = create(file([event(n) for n in range(50)]))
    page.post(url("pause", ingestion))
    text = words(page.get(url("detail", ingestion)))
    assert "What was under way has been written down" in text and "Resume" in text
    page.post(url("resume", ingestion))
    page.post(url("cancel", ingestion))
    text = words(page.get(url("detail", ingestion)))
    assert "Cancelled 20" in text and "Nothing was imported." in text
    assert "Not finished" in words(page.get(url("files", ingestion)))
    again = page.post(url("resume", ingestion))
    assert again.status_code == 409
    assert "It is cancelled and cannot be resumed." in words(again)


def test_a_gate_waits_for_a_person(file, create, page, sandbox):
    records = [event(n, time="bad") for n in range(10)] + [event(n) for n in range(10)]
    ingestion = create(
        file(records), first_days=2, slice_days=30, most_refused_percent=10
    )
    run_due_jobs(hurry=True)
    ingestion.refresh_from_db()
    assert ingestion.state == State.GATED
    text = words(page.get(url("detail", ingestion)))
    assert "more than 10 % refused" in text
    assert "At the gate" in text
    assert "Send the next slice, 2 of" in text
    page.post(url("pass-gate", ingestion))
    run_due_jobs(hurry=True)
    ingestion.refresh_from_db()
    assert ingestion.is_ended


def test_progress_and_throttle_are_shown_while_it_is_sent(
    file, create, page, settings, sandbox
):
    settings.INGEST_EVENTS_PER_MINUTE = 300
    ingestion = create(file([event(n) for n in range(1000)]), batch_records=100)
    run_due_jobs(hurry=False)
    answer = page.get(url("detail", ingestion))
    text = words(answer)
    assert "Throttled until 20" in text
    assert "As many records a minute as Mixpanel takes were sent" in text
    assert 'hx-trigger="every 3s, seen"' in answer.content.decode()
    assert re.search(r"3\d %", text)


def test_the_live_part_asks_for_the_whole_page_when_the_state_has_changed(
    file, create, page
):
    ingestion = create(file([event(1)]))
    where = url("detail", ingestion)
    live = {"HX-Request": "true", "Stamp": "sending"}
    answer = page.get(where, headers=live)
    assert 'id="ingestion"' in answer.content.decode()
    assert "<html" not in answer.content.decode()
    run_due_jobs(hurry=True)
    assert page.get(where, headers=live)["HX-Refresh"] == "true"


def test_an_unknown_batch_is_decided_on_its_page(
    file, create, page, with_token, sandbox
):
    update = {"$distinct_id": "u1", "$add": {"visits": 1}}
    ingestion = create(file([update]), kind="people")
    sandbox.fault("POST", "/engage", "lost", times=1)
    run_due_jobs(hurry=True)
    ingestion.refresh_from_db()
    assert ingestion.state == State.NEEDS_DECISION
    batch = UnsettledBatch.objects.get()
    text = words(page.get(url("detail", ingestion)))
    assert "Lines 1 to 1" in text
    assert "if they did arrive, they are done twice" in text
    odd = page.post(url("decide", ingestion, batch.pk), {"choice": "maybe"})
    assert odd.status_code == 409
    page.post(url("decide", ingestion, batch.pk), {"choice": "arrived"})
    ingestion.refresh_from_db()
    assert ingestion.state == State.SUCCEEDED
    again = page.post(url("decide", ingestion, batch.pk), {"choice": "again"})
    assert again.status_code == 409


def test_a_broken_file_is_told_with_what_to_do(file, ingest, page):
    good = file([event(1)], "good.ndjson")
    cut = file([event(n) for n in range(500)], "cut.ndjson.gz", packed=True)
    cut.write_bytes(cut.read_bytes()[:-500])
    done = ingest(good, cut)
    text = words(page.get(url("detail", done)))
    assert "The file ends too early" in text
    assert "Files that could not be read" in text
    assert "1 of 2 files not readable" in text
    assert "Retry 1 of 2 files" in text
    assert "Failed" in words(page.get(url("files", done) + "?state=failed"))


def test_a_token_that_mixpanel_refuses_is_said_so_and_tried_again(
    file, create, page, with_token, sandbox
):
    update = {"$distinct_id": "u1", "$set": {"plan": "pro"}}
    ingestion = create(file([update]), kind="people")
    sandbox.fault("POST", "/engage", "status", times=1, status=401, body={})
    run_due_jobs(hurry=True)
    text = words(page.get(url("detail", ingestion)))
    assert "Mixpanel refuses the project token" in text
    assert "Set the right token in the project's settings" in text
    page.post(url("retry", ingestion))
    run_due_jobs(hurry=True)
    ingestion.refresh_from_db()
    assert ingestion.state == State.SUCCEEDED


def test_the_configuration_is_a_call_that_makes_the_same(
    post_new, page, api, sandbox, drop
):
    (drop / "it's.ndjson").write_bytes(ndjson([event(1)]))
    post_new(chosen="it's.ndjson", place="directory:drop", concurrency="3")
    ingestion = Ingestion.objects.get()
    html = page.get(url("configuration", ingestion)).content.decode()
    curl = unescape(re.search(r'<pre id="curl"[^>]*>(.*?)</pre>', html, re.S)[1])
    import shlex

    parts = shlex.split(curl.replace("\\\n", ""))
    body = json.loads(parts[parts.index("-d") + 1])
    assert body["concurrency"] == 3
    address = parts[parts.index("POST") + 1].removeprefix("http://testserver")
    answer = api.post(address, body)
    assert answer.status_code == 202, answer.content
    assert Ingestion.objects.count() == 2


# --- Rejected records -----------------------------------------------------------------


@pytest.fixture
def rejected(file, ingest, sandbox):
    """An ingestion with two groups of rejected records, of 2 and 1."""
    records = [event(n) for n in range(10)]
    records[2] = event(2, time="2026-11-20T10:00:00Z")
    records[5] = event(5, time="2026-11-21T10:00:00Z", note="=cmd|' /C calc'!A1")
    records[7] = b"=1+1"
    return ingest(file(records))


def download(page, row, **query):
    answer = page.get(url("download", row), query)
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def test_rejected_records_are_downloaded_whole_or_by_group(rejected, page):
    lines = [json.loads(line) for line in download(page, rejected).splitlines()]
    assert [line["line"] for line in lines] == [3, 6, 8]
    group = RejectedGroup.objects.get(ingestion=rejected, code="record.not_json")
    [line] = download(page, rejected, groups=group.pk).splitlines()
    assert json.loads(line)["text"] == "=1+1"
    asked = {"groups": [group.pk], "form": "ndjson", "csrfmiddlewaretoken": "x"}
    posted = page.post(url("download", rejected), asked)
    assert b"".join(posted.streaming_content) == line + b"\n"
    assert page.get(url("download", rejected), {"form": "xls"}).status_code == 400
    table = download(page, rejected, form="csv").decode()
    assert table.splitlines()[0] == '"file","line","code","field","message","record"'
    assert '"\'=1+1"' in table


def test_a_group_that_is_not_there_is_not_found(rejected, page):
    for groups in ("999", "x", "9" * 40):
        answer = page.get(url("download", rejected), {"groups": groups})
        assert answer.status_code == 404


def test_rejected_records_are_sent_again_with_a_mend(rejected, page, sandbox):
    text = words(page.get(url("rejected", rejected)))
    assert "Time is not a number" in text
    assert "with the mend time.seconds" in text
    group = RejectedGroup.objects.get(ingestion=rejected, count=2)
    body = {**FORM, "groups": group.pk, "mends": "time.seconds", "start": "always"}
    answer = page.post(url("rejected", rejected), body)
    assert answer.status_code == 302, words(answer)
    run_due_jobs(hurry=True)
    again = Ingestion.objects.exclude(pk=rejected.pk).get()
    assert again.origin == rejected
    assert books(again) == {"read": 2, "imported": 2}
    assert len(stored_ids(sandbox)) == 9
    html = page.get(url("rejected", rejected)).content.decode()
    assert again.get_absolute_url() in html
    assert (
        rejected.get_absolute_url() in page.get(url("detail", again)).content.decode()
    )


def test_what_comes_out_of_files_is_text_on_every_page(file, ingest, page):
    odd = "<script>alert(1)</script>\x1b[31m‮{{ 7|add:7 }}"
    records = [
        {**event(1), "event": odd},
        event(2, time=odd),
        event(3, **{odd: 1, "distinct_id": odd}),
    ]
    done = ingest(file(records), check_first=True)
    for name in ("detail", "rejected", "files"):
        html = page.get(url(name, done)).content.decode()
        assert "<script>alert" not in html
        assert "\x1b" not in html
        assert "‮" not in html


# --- Lists and people -----------------------------------------------------------------


def test_the_list_counts_states_and_searches(file, ingest, create, page, project):
    ingest(file([event(1)]), name="Backfill of May")
    create(file([event(2)], "b.ndjson"), name="Backfill of June")
    where = reverse("ingestion:list", args=[project.pk])
    text = words(page.get(where))
    assert "1 succeeded" in text and "1 sending" in text
    text = words(page.get(where + "?q=June"))
    assert "of June" in text and "of May" not in text
    assert "of May" in words(page.get(where + "?state=succeeded"))
    assert "No ingestion fits" in words(page.get(where + "?kind=groups"))
    assert page.get(where + "?kind=nonsense").status_code == 400


def test_counts_are_those_of_all_parts_of_all_files(
    file, ingest, page, api, project, monkeypatch, sandbox
):
    monkeypatch.setattr(working, "PART_BYTES", 5_000)
    first, second = ([event(n) for n in range(at, at + 150)] for at in (0, 500))
    ingest(file(first, "a.ndjson"), file(second, "b.ndjson"))
    assert Part.objects.count() > 4
    where = f"/api/v1/projects/{project.pk}/ingestions/"
    [row] = api.get(where).json()["results"]
    assert row["counts"]["imported"] == 300
    files = api.get(f"{where}{row['id']}/files/").json()["results"]
    assert [one["counts"]["imported"] for one in files] == [150, 150]
    assert (
        words(page.get(reverse("ingestion:list", args=[project.pk]))).count("300") == 2
    )


def test_a_viewer_looks_and_does_not_touch(file, ingest, create, viewer, project):
    done = ingest(file([event(1), b"bad"]))
    going_on = create(file([event(1)], "b.ndjson"))
    client = Client()
    client.force_login(viewer)
    for row in (done, going_on):
        for name in ("detail", "files", "rejected", "download"):
            assert client.get(url(name, row)).status_code == 200
        html = client.get(url("detail", row)).content.decode()
        assert '<form method="post" action="/projects' not in html
        for verb in ("pause", "cancel", "retry", "start"):
            assert client.post(url(verb, row)).status_code == 403
        assert client.post(url("rejected", row), FORM).status_code == 403
        assert client.get(url("copy", row)).status_code == 403
    for name in ("create", "live"):
        assert (
            client.get(reverse(f"ingestion:{name}", args=[project.pk])).status_code
            == 403
        )
    assert Ingestion.objects.count() == 2


def test_home_tells_of_ingestions_that_need_somebody(
    file, ingest, create, page, sandbox
):
    ingest(file([b"bad"], "bad.ndjson"), name="All bad")
    create(file([event(1)]), name="On its way")
    ready = create(file([event(1)], "c.ndjson"), name="Look at me", check_first=True)
    Ingestion.objects.filter(pk=ready.pk).update(state=State.READY)
    text = words(page.get(reverse("dashboard:home")))
    assert "All bad" in text and "None of 1 records was imported." in text
    assert "Look at me" in text
    assert "On its way" in text
