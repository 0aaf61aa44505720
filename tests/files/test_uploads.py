"""Uploads in pieces: what is stored is stored, and nothing else is."""

import base64
import hashlib
import io
import json
import os
import stat
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from mixadmin.audit.models import Entry
from mixadmin.common.errors import Refused
from mixadmin.files import actions, disk
from mixadmin.files.errors import CutShort
from mixadmin.files.models import Upload
from mixadmin.jobs.models import Poll
from mixadmin.projects.access import NotPermitted
from tests import make

PIECE = "application/offset+octet-stream"
BODY = bytes(range(256)) * 100


@pytest.fixture
def address(project):
    return f"/api/v1/projects/{project.pk}/uploads/"


def announce(api, address, size=25_600, name="a.ndjson"):
    answer = api.post(address, {"name": name, "size": size})
    assert answer.status_code == 201, answer.content
    return answer["Location"]


def send(api, url, offset, body, **more):
    return api.generic(
        "PATCH", url, body, content_type=PIECE, HTTP_UPLOAD_OFFSET=str(offset), **more
    )


def code(answer):
    return answer.json()["errors"][0]["code"]


def stored(url):
    key = url.rstrip("/").split("/")[-1]
    return Upload.objects.get(pk=key), disk.upload_path(key)


# --- The way it should go -------------------------------------------------------------


def test_a_file_is_sent_in_pieces(api, address):
    url = announce(api, address)
    assert api.head(url)["Upload-Offset"] == "0"
    for start in range(0, len(BODY), 10_000):
        answer = send(api, url, start, BODY[start : start + 10_000])
        assert answer.status_code == 204, answer.content
        assert answer["Upload-Offset"] == str(min(start + 10_000, len(BODY)))
    upload, path = stored(url)
    assert path.read_bytes() == BODY
    assert upload.state == "complete"
    assert upload.sha256 == hashlib.sha256(BODY).hexdigest()
    shown = api.get(url).json()
    assert (shown["state"], shown["received"], shown["owner"]) == (
        "complete",
        len(BODY),
        "owner",
    )
    assert [e.verb for e in Entry.objects.filter(target_id=str(upload.pk))] == [
        "uploaded",
        "began to upload",
    ]


def test_only_this_user_may_read_what_is_stored(api, address, data_dir):
    url = announce(api, address)
    send(api, url, 0, BODY)
    _, path = stored(url)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.parent == data_dir / "uploads"


def test_a_client_of_tus_gets_through(api, address, settings):
    name = base64.b64encode("Ereignisse ü.ndjson".encode()).decode()
    answer = api.generic(
        "POST",
        address,
        HTTP_TUS_RESUMABLE="1.0.0",
        HTTP_UPLOAD_LENGTH="5",
        HTTP_UPLOAD_METADATA=f"filetype dGV4dA==,filename {name}",
    )
    assert answer.status_code == 201, answer.content
    assert answer["Tus-Resumable"] == "1.0.0"
    url = answer["Location"]
    head = api.head(url, HTTP_TUS_RESUMABLE="1.0.0")
    assert (head["Upload-Offset"], head["Upload-Length"]) == ("0", "5")
    assert head["Cache-Control"] == "no-store"
    assert head.content == b""
    assert send(api, url, 0, b"hello", HTTP_TUS_RESUMABLE="1.0.0").status_code == 204
    upload, path = stored(url)
    assert (upload.name, path.read_bytes()) == ("Ereignisse ü.ndjson", b"hello")
    options = api.options(address)
    assert options["Tus-Extension"] == "creation,termination"
    assert options["Tus-Max-Size"] == str(settings.UPLOAD_MAX_BYTES)
    assert api.delete(url).status_code == 204
    assert api.head(url).status_code == 404


def test_an_empty_file_is_complete_at_once(api, address):
    upload, path = stored(announce(api, address, size=0))
    assert upload.state == "complete"
    assert path.read_bytes() == b""


def test_a_body_without_a_length_is_read_where_the_server_knows_its_end(api, address):
    url = announce(api, address)
    chunked = {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
        "wsgi.input": io.BytesIO(BODY),
    }
    assert send(api, url, 0, b"", **chunked).status_code == 411
    assert stored(url)[0].received == 0
    chunked["wsgi.input_terminated"] = True
    assert send(api, url, 0, b"", **chunked).status_code == 204
    assert stored(url)[1].read_bytes() == BODY


def test_a_page_sends_with_its_session_and_its_csrf_token(owner, project, address):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    html = browser.get(f"/projects/{project.pk}/files/").content.decode()
    assert "csrfmiddlewaretoken" in html
    token = browser.cookies["csrftoken"].value
    body = {"content_type": "application/json", "data": {"name": "a", "size": 3}}
    assert browser.post(address, **body).status_code == 403
    answer = browser.post(address, headers={"X-CSRFToken": token}, **body)
    url = answer["Location"]
    piece = {"content_type": PIECE, "headers": {"Upload-Offset": "0"}}
    assert browser.generic("PATCH", url, b"abc", **piece).status_code == 403
    piece["headers"]["X-CSRFToken"] = token
    assert browser.generic("PATCH", url, b"abc", **piece).status_code == 204


def test_the_same_announcement_with_one_key_makes_one_upload(api, address):
    body = {"name": "a", "size": 3}
    one, two = (api.post(address, body, HTTP_IDEMPOTENCY_KEY="k") for _ in range(2))
    assert one["Location"] == two["Location"]
    assert Upload.objects.count() == 1


def test_lists_are_filtered_by_state(api, address, project):
    done = make.make_upload(project=project, name="done")
    make.make_upload(project=project, name="half", received=1, completed_at=None)
    make.make_upload(project=project, name="gone", removed_at=timezone.now())
    ingestion = make.make_ingestion(project=project, upload=done)

    def names(**query):
        return [u["name"] for u in api.get(address, query).json()["results"]]

    assert set(names()) == {"done", "half"}
    assert names(state="complete") == ["done"]
    assert names(state="receiving") == ["half"]
    assert names(state="removed") == ["gone"]
    assert names(search="hal") == ["half"]
    assert api.get(f"{address}{done.pk}/").json()["ingestions"] == [ingestion.pk]


# --- Cut, doubled, late ---------------------------------------------------------------


def test_a_piece_at_another_place_is_refused_and_changes_nothing(api, address):
    url = announce(api, address)
    send(api, url, 0, BODY[:100])
    for offset in (0, 99, 101, 10**17):
        answer = send(api, url, offset, b"XXXX")
        assert answer.status_code == 409
        assert code(answer) == "wrong_offset"
        assert "100 bytes of 25,600 are stored" in answer.json()["errors"][0]["detail"]
    upload, path = stored(url)
    assert upload.received == 100
    assert path.read_bytes() == BODY[:100]


def test_what_a_killed_request_wrote_is_written_over(api, address):
    url = announce(api, address)
    send(api, url, 0, BODY[:100])
    _, path = stored(url)
    with path.open("ab") as file:
        file.write(b"nonsense of a request that was killed" * 10)
    assert send(api, url, 100, BODY[100:200]).status_code == 204
    send(api, url, 200, BODY[200:])
    upload, path = stored(url)
    assert path.read_bytes() == BODY
    assert upload.sha256 == hashlib.sha256(BODY).hexdigest()


class Broken(io.BytesIO):
    """A connection that is cut after what it holds."""

    def read(self, size=-1):
        found = super().read(size)
        if not found:
            raise OSError("connection reset")
        return found


def test_what_arrived_before_a_cut_is_kept(api, address):
    url = announce(api, address)
    cut = {
        "wsgi.input": Broken(BODY[:1_000]),
        "CONTENT_LENGTH": str(len(BODY)),
    }
    answer = send(api, url, 0, b"", **cut)
    assert answer.status_code == 400
    assert code(answer) == "cut_short"
    assert "1,000 bytes of 25,600 are stored" in answer.json()["errors"][0]["detail"]
    assert api.head(url)["Upload-Offset"] == "1000"
    assert send(api, url, 1_000, BODY[1_000:]).status_code == 204
    assert stored(url)[1].read_bytes() == BODY


class Nonsense(io.BytesIO):
    """A body whose chunks have no size that could be read."""

    def read(self, size=-1):
        found = super().read(size)
        if not found:
            raise LookupError("Invalid chunk size")
        return found


def test_a_body_that_makes_no_sense_is_told(api, address):
    url = announce(api, address)
    chunked = {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
        "wsgi.input": Nonsense(BODY[:9]),
        "wsgi.input_terminated": True,
    }
    assert code(send(api, url, 0, b"", **chunked)) == "cut_short"
    assert api.head(url)["Upload-Offset"] == "9"


def test_a_body_shorter_than_its_length_is_told_and_kept(api, address):
    url = announce(api, address)
    short = {"wsgi.input": io.BytesIO(BODY[:7]), "CONTENT_LENGTH": "500"}
    assert code(send(api, url, 0, b"", **short)) == "cut_short"
    assert stored(url)[0].received == 7


def test_a_newer_request_takes_over_from_one_that_hangs(project, owner):
    """A laptop that slept: the first request still waits for its client."""
    upload = actions.create_upload(project=project, actor=owner, name="a", size=20)
    first = Upload.objects.get(pk=upload.pk)
    news = []

    def hanging():
        yield b"old-1"
        second = Upload.objects.get(pk=upload.pk)
        news.append(
            actions.receive(
                upload=second, actor=owner, offset=0, length=10, pieces=[b"new-123456"]
            ).received
        )
        yield b"old-2"

    with pytest.raises(Refused) as caught:
        actions.receive(
            upload=first, actor=owner, offset=0, length=None, pieces=hanging()
        )
    assert caught.value.code == "taken_over"
    assert news == [10]
    assert disk.upload_path(upload.pk).read_bytes()[:10] == b"new-123456"
    upload.refresh_from_db()
    assert upload.received == 10


def test_two_requests_at_the_same_time_leave_one_content(project, owner):
    upload = actions.create_upload(project=project, actor=owner, name="a", size=40_000)
    start = threading.Barrier(2)
    turns = []

    def writer(letter):
        start.wait()
        try:
            with disk.turn(upload.pk) as turn:
                for place in range(0, 40_000, 100):
                    turn.write(place, letter * 100)
                turn.settle(lambda: turns.append(letter))
        except Refused as refused:
            turns.append(refused.code)

    threads = [threading.Thread(target=writer, args=(x,)) for x in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = disk.upload_path(upload.pk).read_bytes()
    settled = [turn for turn in turns if isinstance(turn, bytes)]
    assert settled
    assert content == settled[-1] * 40_000


def test_a_request_that_cannot_get_the_lock_is_told_to_try_again(
    api, address, monkeypatch
):
    import fcntl

    url = announce(api, address)
    send(api, url, 0, BODY[:5])
    monkeypatch.setattr(disk, "PATIENCE", 0.05)
    _, path = stored(url)
    with open(f"{path}.turn", "rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = send(api, url, 5, b"x")
    assert answer.status_code == 423
    assert code(answer) == "busy"
    assert stored(url)[0].received == 5


def test_a_long_request_is_settled_on_its_way(project, owner, monkeypatch):
    monkeypatch.setattr(actions, "SETTLE_EVERY", 1_000)
    upload = actions.create_upload(project=project, actor=owner, name="a", size=10_000)
    seen = []

    def pieces():
        for _ in range(9):
            yield b"x" * 1_000
            seen.append(Upload.objects.get(pk=upload.pk).received)
        raise CutShort

    with pytest.raises(Refused):
        actions.receive(
            upload=upload, actor=owner, offset=0, length=None, pieces=pieces()
        )
    assert seen[0] < seen[-1] == 8_000 or seen[-1] == 9_000
    assert Upload.objects.get(pk=upload.pk).received == 9_000


# --- What is refused ------------------------------------------------------------------


def test_more_than_was_announced_is_refused_before_it_is_read(api, address):
    url = announce(api, address, size=10)
    send(api, url, 0, b"12345")
    answer = send(api, url, 5, b"678901")
    assert answer.status_code == 413
    assert code(answer) == "too_large"
    endless = {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
        "wsgi.input": io.BytesIO(b"x" * 1_000_000),
        "wsgi.input_terminated": True,
    }
    assert send(api, url, 5, b"", **endless).status_code == 413
    upload, path = stored(url)
    assert upload.received == 5
    assert path.read_bytes() == b"12345"
    assert send(api, url, 5, b"67890").status_code == 204


def test_a_file_over_the_limit_is_refused_at_once(api, address, settings):
    settings.UPLOAD_MAX_BYTES = 1_000
    answer = api.post(address, {"name": "a", "size": 1_001})
    assert answer.status_code == 413
    assert "1,001 bytes are more than the 1,000" in answer.json()["errors"][0]["detail"]
    assert not Upload.objects.exists()


def test_a_disk_that_runs_low_takes_nothing_more(
    api, address, monkeypatch, page, project
):
    url = announce(api, address)
    monkeypatch.setattr(disk, "RESERVE_MOST", 2**62)
    monkeypatch.setattr(disk, "RESERVE_SHARE", 1.0)
    for answer in (
        send(api, url, 0, BODY),
        api.post(address, {"name": "a", "size": 3}),
    ):
        assert answer.status_code == 507
        assert code(answer) == "disk_full"
        assert "Remove files" in answer.json()["errors"][0]["detail"]
    assert stored(url)[0].received == 0
    files = {"files": SimpleUploadedFile("a", b"x")}
    answer = page.post(f"/projects/{project.pk}/files/upload/", files)
    assert answer.status_code == 409
    assert b"disk is nearly full" in answer.content
    assert [u.name for u in Upload.objects.all()] == ["a.ndjson"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "../../etc/passwd",
        "..",
        "a/b",
        "a\\b",
        "a\x00b",
        "a\nb",
        "gpj\u202e.exe",
        "x" * 256,
        "x" * 5_000,
        "a\ud800",
    ],
)
def test_names_that_mislead_are_refused_at_every_door(
    api, address, project, owner, name
):
    body = json.dumps({"name": name, "size": 3})
    answer = api.post(address, body, content_type="application/json")
    assert answer.status_code == 400, answer.content
    assert [e["attr"] for e in answer.json()["errors"]] == ["name"]
    metadata = base64.b64encode(name.encode(errors="surrogatepass")).decode()
    answer = api.generic(
        "POST",
        address,
        HTTP_UPLOAD_LENGTH="3",
        HTTP_UPLOAD_METADATA=f"filename {metadata}",
    )
    assert answer.status_code == 400, answer.content
    with pytest.raises(ValidationError):
        actions.create_upload(project=project, actor=owner, name=name, size=3)
    assert not Upload.objects.exists()


@pytest.mark.parametrize("offset", ["", "-1", "x", "1.5", "9" * 30, "١"])
def test_an_offset_that_is_no_number_is_refused(api, address, offset):
    url = announce(api, address)
    answer = send(api, url, offset.encode().decode("latin-1"), b"x")
    assert answer.status_code == 400
    assert code(answer) == "invalid_header"


@pytest.mark.parametrize("length", ["", "-1", "x", "9" * 30])
def test_a_length_that_is_no_number_is_refused(api, address, length):
    answer = api.generic(
        "POST", address, HTTP_UPLOAD_LENGTH=length, HTTP_UPLOAD_METADATA="filename YQ=="
    )
    assert answer.status_code == 400
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    "metadata", ["", "filename", "filename !!", "filename /w==", ",,,"]
)
def test_metadata_without_a_name_is_refused(api, address, metadata):
    answer = api.generic(
        "POST", address, HTTP_UPLOAD_LENGTH="3", HTTP_UPLOAD_METADATA=metadata
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == "name"


def test_another_content_type_is_refused(api, address):
    url = announce(api, address)
    answer = api.generic(
        "PATCH", url, b"x", content_type="application/json", HTTP_UPLOAD_OFFSET="0"
    )
    assert answer.status_code == 415


def test_another_version_of_tus_is_refused(api, address):
    answer = api.post(address, {"name": "a", "size": 1}, HTTP_TUS_RESUMABLE="0.2.2")
    assert answer.status_code == 412
    assert answer["Tus-Version"] == "1.0.0"
    assert not Upload.objects.exists()


def test_bytes_do_not_come_with_the_announcement(api, address):
    answer = api.generic(
        "POST", address, b"x", content_type=PIECE, HTTP_UPLOAD_LENGTH="1"
    )
    assert answer.status_code == 400
    assert "PATCH" in answer.json()["errors"][0]["detail"]


def test_a_viewer_sends_nothing(api, address, viewer, project, owner):
    url = announce(api, address)
    upload, _ = stored(url)
    for act in (
        lambda: actions.create_upload(project=project, actor=viewer, name="a", size=1),
        lambda: actions.receive(
            upload=upload, actor=viewer, offset=0, length=1, pieces=[b"x"]
        ),
        lambda: actions.remove_upload(upload=upload, actor=viewer),
        lambda: actions.store_posted_files(project=project, actor=viewer, files=[]),
    ):
        with pytest.raises(NotPermitted):
            act()


def test_a_project_has_only_so_many_unfinished_ones(api, address, monkeypatch):
    monkeypatch.setattr(actions, "MOST_UNFINISHED", 2)
    announce(api, address)
    announce(api, address)
    answer = api.post(address, {"name": "a", "size": 1})
    assert answer.status_code == 409
    assert code(answer) == "too_many_uploads"


# --- Hash, use and removal ------------------------------------------------------------


def test_the_hash_of_a_large_file_is_found_in_the_background(
    api, address, project, monkeypatch
):
    monkeypatch.setattr(actions, "HASH_AT_ONCE", 10)
    url = announce(api, address)
    send(api, url, 0, BODY)
    upload, _ = stored(url)
    assert (upload.state, upload.sha256) == ("complete", "")
    assert Poll.objects.filter(project=project, name="files").exists()
    make.poll_now(project)
    assert stored(url)[0].sha256 == hashlib.sha256(BODY).hexdigest()


def test_a_disk_that_is_too_slow_for_a_hash_holds_nothing_up(project, monkeypatch):
    monkeypatch.setattr(actions, "HASH_SECONDS", -1.0)
    upload = make.make_upload(project=project, sha256="")
    assert actions.hash_uploads(project.pk) == 0
    upload.refresh_from_db()
    assert upload.sha256 == ""


def test_uploads_are_taken_for_use_by_their_ids(project, stranger):
    one, two = (make.make_upload(project=project, name=n) for n in "ab")
    half = make.make_upload(project=project, received=1, completed_at=None)
    gone = make.make_upload(project=project, removed_at=timezone.now())
    other = make.make_upload(project=make.make_project(owner=stranger, mixpanel_id=9))
    old = timezone.now() - timedelta(days=50)
    Upload.objects.filter(pk=one.pk).update(touched_at=old)
    taken = actions.take_uploads(
        project=project, ids=[str(two.pk), one.pk, str(two.pk)]
    )
    assert taken == [two, one]
    one.refresh_from_db()
    assert one.touched_at > old
    assert actions.take_uploads(project=project, ids=[]) == []
    for bad in (half.pk, gone.pk, other.pk, uuid4(), "x", "", None, 5, "\x00", [1]):
        with pytest.raises(ValidationError) as caught:
            actions.take_uploads(project=project, ids=[one.pk, bad])
        assert list(caught.value.error_dict) == ["uploads"]


def aged(upload, days):
    Upload.objects.filter(pk=upload.pk).update(
        touched_at=timezone.now() - timedelta(days=days)
    )
    return upload


def is_stored(upload):
    return disk.upload_path(upload.pk).exists()


def test_what_nobody_needs_is_removed_in_time(project):
    now = timezone.now()
    fresh_half = make.make_upload(project=project, received=1, completed_at=None)
    old_half = make.make_upload(project=project, received=1, completed_at=None)
    aged(old_half, 2)
    fresh = make.make_upload(project=project)
    unused = aged(make.make_upload(project=project), 31)
    ended_long_ago = aged(make.make_upload(project=project), 90)
    make.make_ingestion(
        project=project, upload=ended_long_ago, ended_at=now - timedelta(days=31)
    )
    ended_lately = aged(make.make_upload(project=project), 90)
    make.make_ingestion(
        project=project, upload=ended_lately, ended_at=now - timedelta(days=29)
    )
    in_use = aged(make.make_upload(project=project), 90)
    make.make_ingestion(project=project, upload=in_use)

    assert actions.remove_old() == 3

    kept = {fresh_half, fresh, ended_lately, in_use}
    assert all(is_stored(upload) for upload in kept)
    for upload in (old_half, unused, ended_long_ago):
        assert not is_stored(upload)
    rows = {u.pk: u for u in Upload.objects.all()}
    assert set(rows) == {u.pk for u in kept} | {ended_long_ago.pk}
    assert rows[ended_long_ago.pk].state == "removed"
    assert actions.remove_old() == 0


def test_what_belongs_to_no_row_is_swept(project, data_dir):
    upload = make.make_upload(project=project)
    folder = disk.upload_folder()
    old = timezone.now().timestamp() - 7_200
    keep = folder / "README"
    lost, young = (folder / str(uuid4()) for _ in range(2))
    for path in (keep, lost, young, folder / f"{lost.name}.turn"):
        path.write_bytes(b"x")
    for path in (keep, lost, disk.upload_path(upload.pk)):
        os.utime(path, (old, old))
    actions.remove_old()
    assert not lost.exists()
    assert not (folder / f"{lost.name}.turn").exists()
    assert keep.exists()
    assert young.exists()
    assert is_stored(upload)


def test_a_tick_removes_what_is_old(project):
    from mixadmin.jobs.registry import TICKS, pollers

    pollers()
    upload = aged(make.make_upload(project=project), 31)
    for work in TICKS:
        work()
    assert not is_stored(upload)


def test_an_upload_in_use_is_not_removed(api, address, project, page):
    upload = make.make_upload(project=project)
    ingestion = make.make_ingestion(project=project, upload=upload)
    answer = api.delete(f"{address}{upload.pk}/")
    assert answer.status_code == 409
    assert code(answer) == "in_use"
    where = f"/projects/{project.pk}/files/uploads/{upload.pk}/remove/"
    assert page.post(where).status_code == 409
    assert is_stored(upload)
    ingestion.ended_at = timezone.now()
    ingestion.save()
    assert page.post(where).status_code == 302
    assert not is_stored(upload)
    assert Upload.objects.get(pk=upload.pk).state == "removed"
    assert api.head(f"{address}{upload.pk}/").status_code == 410
    assert api.delete(f"{address}{upload.pk}/").status_code == 204
    assert send(api, f"{address}{upload.pk}/", 3, b"").status_code == 410


# --- Without JavaScript ---------------------------------------------------------------


def test_a_form_stores_its_files(page, project):
    where = f"/projects/{project.pk}/files/upload/"
    files = [SimpleUploadedFile("a.json", b"one"), SimpleUploadedFile("b.gz", b"two")]
    answer = page.post(where, {"files": files}, follow=True)
    assert b"Stored: a.json, b.gz." in answer.content
    found = {u.name: u for u in Upload.objects.all()}
    assert set(found) == {"a.json", "b.gz"}
    assert disk.upload_path(found["a.json"].pk).read_bytes() == b"one"
    assert found["a.json"].sha256 == hashlib.sha256(b"one").hexdigest()


def test_one_bad_name_stores_none_of_them(page, project, data_dir):
    where = f"/projects/{project.pk}/files/upload/"
    files = [SimpleUploadedFile("a", b"x"), SimpleUploadedFile(" b", b"y")]
    answer = page.post(where, {"files": files})
    assert answer.status_code == 422
    assert b"Remove the space" in answer.content
    assert not Upload.objects.exists()
    assert not any(disk.upload_folder().iterdir())


def test_no_files_are_told(page, project):
    answer = page.post(f"/projects/{project.pk}/files/upload/", {})
    assert answer.status_code == 422
    assert b"Choose at least one file." in answer.content


def test_a_disk_that_fills_in_the_middle_leaves_nothing(project, owner, monkeypatch):
    files = [SimpleUploadedFile("a", b"x" * 10), SimpleUploadedFile("b", b"y" * 20)]
    real = os.statvfs(disk.upload_folder())
    free = real.f_bavail * real.f_frsize
    monkeypatch.setattr(disk, "RESERVE_SHARE", 1.0)
    monkeypatch.setattr(disk, "RESERVE_MOST", free // 2)
    files[1].chunks = lambda size: iter([b"y" * 20, _Huge()])
    with pytest.raises(Refused) as caught:
        actions.store_posted_files(project=project, actor=owner, files=files)
    assert caught.value.code == "disk_full"
    assert not Upload.objects.exists()
    assert not any(disk.upload_folder().iterdir())


class _Huge(bytes):
    """A piece that says it is larger than any disk."""

    def __len__(self):
        return 2**62
