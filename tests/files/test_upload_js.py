"""static/js/upload.js itself, in Node, against a served product."""

import hashlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from django.test import Client

from mixadmin.files import actions, disk
from mixadmin.files.models import Upload

ROOT = Path(__file__).resolve().parents[2]
NODE = shutil.which("node")
pytestmark = [
    pytest.mark.skipif(NODE is None, reason="needs Node"),
    pytest.mark.django_db(transaction=True),
]


def content(size, fill):
    cycle = bytes((n * 7 + fill) % 251 for n in range(251))
    return (cycle * (size // 251 + 1))[:size]


class Browser:
    def __init__(self, server, project, owner, most=10**12):
        client = Client()
        client.force_login(owner)
        client.get(f"/projects/{project.pk}/files/")
        cookies = {name: morsel.value for name, morsel in client.cookies.items()}
        self.process = subprocess.Popen(
            [
                NODE,
                str(ROOT / "tests/files/browser.mjs"),
                str(ROOT / "static/js/upload.js"),
                server.url,
                "; ".join(f"{name}={value}" for name, value in cookies.items()),
                cookies["csrftoken"],
                f"/api/v1/projects/{project.pk}/uploads/",
                str(most),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def until(self, holds, seconds=30):
        end = time.monotonic() + seconds
        while True:
            seen = self.do(wait=20)
            if holds(seen):
                return seen
            assert time.monotonic() < end, seen

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def open_browser(live_server, project, owner):
    opened = []

    def open_one(**more):
        opened.append(Browser(live_server, project, owner, **more))
        return opened[-1]

    yield open_one
    for browser in opened:
        browser.close()


def all_done(seen):
    return seen["shown"] and all(line["ids"] for line in seen["shown"])


def test_files_are_sent_one_after_the_other_and_their_ids_join_the_form(open_browser):
    browser = open_browser()
    size = 20 * 1024 * 1024
    picked = [
        {"name": "big.ndjson", "size": size, "fill": 1},
        {"name": "small ü.json", "size": 10, "fill": 2},
        {"name": "empty", "size": 0, "fill": 0},
    ]
    assert browser.do(pick=picked)["name"] is None, "the form would post the files too"
    assert browser.do(submit=True)["prevented"]
    seen = browser.until(all_done)
    assert not browser.do(submit=True)["prevented"]
    assert seen["stored"] == 0
    for line, file in zip(seen["shown"], picked, strict=True):
        upload = Upload.objects.get(pk=line["ids"][0])
        assert (upload.name, upload.state) == (file["name"], "complete")
        wanted = hashlib.sha256(content(file["size"], file["fill"])).hexdigest()
        assert upload.sha256 == wanted
    assert "20.0 MB, complete" in seen["shown"][0]["words"]
    assert seen["news"] == "empty is uploaded."
    assert seen["total"] == "3 of 3 files are uploaded, 100 % of their bytes."
    assert seen["shown"][0]["labels"] == ["Remove big.ndjson"]


def test_a_cut_connection_is_tried_again_from_where_the_server_is(open_browser):
    browser = open_browser()
    browser.do(cut=3, pick=[{"name": "a", "size": 9_000_000, "fill": 3}])
    seen = browser.until(all_done)
    assert seen["calls"].count("HEAD") == 3
    upload = Upload.objects.get()
    assert upload.sha256 == hashlib.sha256(content(9_000_000, 3)).hexdigest()


def test_a_reload_goes_on_with_what_is_stored(open_browser, project, owner):
    body = content(1_000, 4)
    upload = actions.create_upload(project=project, actor=owner, name="a", size=1_000)
    actions.receive(
        upload=upload, actor=owner, offset=0, length=400, pieces=[body[:400]]
    )
    address = f"/api/v1/projects/{project.pk}/uploads/"
    kept = {"url": f"{address}{upload.pk}/", "at": time.time() * 1000}
    browser = open_browser()
    browser.do(keep=[f"upload {address} a 1000 1", json.dumps(kept)])
    browser.do(pick=[{"name": "a", "size": 1_000, "fill": 4}])
    seen = browser.until(all_done)
    assert seen["calls"] == ["HEAD", "PATCH 400"]
    assert disk.upload_path(upload.pk).read_bytes() == body


def test_an_upload_that_is_gone_begins_anew(open_browser, project):
    address = f"/api/v1/projects/{project.pk}/uploads/"
    gone = f"{address}6f9619ff-8b86-4d01-b42d-00cf4fc964ff/"
    browser = open_browser()
    kept = json.dumps({"url": gone, "at": time.time() * 1000})
    browser.do(keep=[f"upload {address} a 10 1", kept])
    browser.do(pick=[{"name": "a", "size": 10, "fill": 4}])
    assert browser.until(all_done)["calls"] == ["HEAD", "POST", "PATCH 0"]


def test_a_paused_file_goes_on(open_browser):
    browser = open_browser()
    picked = [{"name": "a", "size": 40_000_000, "fill": 5}]
    browser.do(pick=picked)
    browser.until(lambda seen: re.match(r"[1-9]\d* %", seen["shown"][0]["words"]))
    browser.do(press=[0, "Pause"])
    seen = browser.do(wait=100)
    assert re.match("Paused at [1-9]", seen["shown"][0]["words"])
    assert seen["shown"][0]["labels"] == ["Resume a", "Remove a"]
    browser.do(press=[0, "Resume"])
    browser.until(all_done)
    upload = Upload.objects.get(completed_at__isnull=False)
    assert upload.sha256 == hashlib.sha256(content(40_000_000, 5)).hexdigest()


def test_a_removed_file_is_removed_at_the_server(open_browser):
    browser = open_browser()
    browser.do(pick=[{"name": "a", "size": 10, "fill": 5}])
    browser.until(all_done)
    browser.do(press=[0, "Remove"])
    seen = browser.until(lambda seen: seen["calls"][-1] == "DELETE")
    assert seen["shown"] == []
    end = time.monotonic() + 30
    while Upload.objects.exists() and time.monotonic() < end:
        browser.do(wait=20)
    assert not Upload.objects.exists()


def test_what_the_server_refuses_is_told_and_the_next_one_is_sent(open_browser):
    browser = open_browser(most=100)
    browser.do(
        pick=[
            {"name": "turned\u202egpj", "size": 5, "fill": 1},
            {"name": "too large", "size": 101, "fill": 1},
            {"name": "good", "size": 5, "fill": 1},
        ]
    )
    seen = browser.until(lambda seen: seen["shown"][2]["ids"])
    assert "direction of text" in seen["shown"][0]["words"]
    assert "it is larger than 100 bytes" in seen["shown"][1]["words"]
    assert [line["state"] for line in seen["shown"]] == ["failed", "failed", "done"]
    # Trying again cannot make a file smaller.
    assert seen["shown"][1]["labels"] == ["Remove too large"]
    assert "Try again turned\u202egpj" in seen["shown"][0]["labels"]
    assert seen["news"] == "good is uploaded."
    browser.do(press=[1, "Remove"])
    assert browser.do(wait=20)["focused"] == "Remove good"
    browser.do(press=[1, "Remove"])
    browser.do(press=[0, "Remove"])
    assert browser.do(wait=20)["focused"] == "input"
    browser.do(pick=[{"name": "larger", "size": 101, "fill": 1}])
    assert browser.do(submit=True)["prevented"]
