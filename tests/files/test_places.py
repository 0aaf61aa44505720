"""Files of this server's disk: only what is allowed, and only as it was looked at."""

import os
import socket
import threading

import pytest

from mixadmin.files import disk, places
from mixadmin.files.errors import Changed, Missing, NotPermitted, Unusable
from tests import make


def look(path, name="drop"):
    return places.look("directory", directory=name, path=path)


def read(path, *, start=0, found=None):
    found = found or look(path)
    with places.open_at(
        "directory",
        directory="drop",
        path=path,
        size=found.size,
        tag=found.tag,
        start=start,
    ) as file:
        return file.read()


def test_a_file_is_looked_at_and_read(drop):
    (drop / "in").mkdir()
    (drop / "in" / "a.json").write_bytes(b"0123456789")
    found = look("in/a.json")
    assert (found.name, found.size) == ("in/a.json", 10)
    status = (drop / "in" / "a.json").stat()
    assert found.tag == f"{status.st_mtime_ns}-{status.st_ino}"
    assert read("in/a.json") == b"0123456789"
    assert read("in/a.json", start=4) == b"456789"
    assert read("in/a.json", start=10) == b""
    where = places.local_path("directory", directory="drop", path="in/a.json")
    assert where == drop / "in" / "a.json"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../secret",
        "a/../../secret",
        "a//b",
        "./a",
        "a/.",
        "a\x00b",
        "a\nb",
        "a\udcff",
        "x" * 2_000,
        "gpj\u202e.exe",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(drop, path):
    (drop.parent / "secret").write_text("s")
    for call in (places.look, places.local_path):
        with pytest.raises(Unusable):
            call("directory", directory="drop", path=path)
    if path:
        with pytest.raises(Unusable):
            places.list_directory("drop", path)


def test_links_are_not_followed(drop):
    outside = drop.parent / "outside"
    outside.mkdir()
    (outside / "a").write_text("secret")
    (drop / "file").symlink_to(outside / "a")
    (drop / "folder").symlink_to(outside)
    (drop / "real").write_text("x")
    (drop / "inside").symlink_to(drop / "real")
    for path in ("file", "folder/a", "inside"):
        with pytest.raises(Unusable, match="[Ll]ink"):
            look(path)
    with pytest.raises(Unusable):
        places.list_directory("drop", "folder")


def test_a_link_that_takes_the_place_of_a_folder_never_leads_out(drop):
    """Somebody swaps folder and link as fast as they can; no read ever comes from outside."""
    outside = drop.parent / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"secret")
    (drop / "real").mkdir()
    (drop / "real" / "a").write_bytes(b"public")
    (drop / "link").symlink_to(outside)
    (drop / "now").mkdir()
    done = threading.Event()

    def swap():
        while not done.is_set():
            os.rename(drop / "now", drop / "gone")
            os.rename(drop / "link", drop / "now")
            os.rename(drop / "now", drop / "link")
            os.rename(drop / "gone", drop / "now")

    (drop / "now" / "a").write_bytes(b"public")
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(2_000):
            try:
                descriptor = disk.open_below(drop, "now/a")
            except (Missing, Unusable):
                continue
            with os.fdopen(descriptor, "rb") as file:
                assert file.read() == b"public"
    finally:
        done.set()
        thread.join()


def test_what_is_no_file_is_refused_at_once(drop):
    os.mkfifo(drop / "pipe")
    (drop / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(drop)
        try:
            sock.bind("sock")
        finally:
            os.chdir(here)
        for path, words in (
            ("pipe", "pipe"),
            ("sock", "socket"),
            ("folder", "directory"),
        ):
            with pytest.raises(Unusable, match=words):
                look(path)
    with pytest.raises(Unusable):
        places.look("path", path="/dev/zero")


def test_what_is_not_there_is_told(drop):
    for path in ("nothing", "no/thing"):
        with pytest.raises(Missing, match="not there"):
            look(path)
    with pytest.raises(Missing, match="no directory called “other”"):
        look("a", name="other")
    with pytest.raises(Missing):
        places.list_directory("other")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_told(drop):
    (drop / "a").write_text("x")
    (drop / "a").chmod(0)
    with pytest.raises(NotPermitted, match="may not read a"):
        look("a")


def test_a_file_that_was_written_since_is_told(drop):
    file = drop / "a"
    file.write_bytes(b"one")
    found = look("a")
    os.utime(file, ns=(1, 1))
    with pytest.raises(Changed, match="Choose it anew"):
        read("a", found=found)
    found = look("a")
    with places.open_at(
        "directory", directory="drop", path="a", size=found.size, tag=found.tag
    ) as opened:
        assert places.still_same("directory", opened, size=found.size, tag=found.tag)
        with file.open("ab") as more:
            more.write(b"more")
        assert not places.still_same(
            "directory", opened, size=found.size, tag=found.tag
        )


def test_a_file_that_was_replaced_is_told_and_what_was_opened_stays(drop):
    file = drop / "a"
    file.write_bytes(b"one")
    found = look("a")
    with places.open_at(
        "directory", directory="drop", path="a", size=found.size, tag=found.tag
    ) as opened:
        (drop / "b").write_bytes(b"two")
        os.replace(drop / "b", file)
        assert opened.read() == b"one"
    with pytest.raises(Changed):
        read("a", found=found)


def test_a_directory_is_listed_with_what_cannot_be_chosen(drop):
    (drop / "b.json").write_bytes(b"12345")
    (drop / "a").mkdir()
    (drop / "link").symlink_to("/etc/passwd")
    os.mkfifo(drop / "pipe")
    (drop / "line\nbreak").write_bytes(b"x")
    with open(os.fsencode(drop) + b"/caf\xe9", "wb"):
        pass
    found = {e.name: e for e in places.list_directory("drop").entries}
    assert list(found) == ["a", "b.json", "caf\\udce9", "line\\nbreak", "link", "pipe"]
    assert (found["b.json"].size, found["b.json"].problem) == (5, "")
    assert found["b.json"].changed
    assert found["a"].is_directory
    assert found["a"].size is None
    assert "surrogate" in found["caf\\udce9"].problem
    assert "line break" in found["line\\nbreak"].problem
    assert "links are not followed" in found["link"].problem
    assert "pipe" in found["pipe"].problem


def test_a_long_directory_comes_in_pieces(drop, monkeypatch):
    monkeypatch.setattr(places, "LINES", 3)
    (drop / "in").mkdir()
    for n in range(7):
        (drop / "in" / f"f{n}").write_bytes(b"")
    seen, after = [], ""
    for _ in range(10):
        piece = places.list_directory("drop", "in", after=after)
        seen += [e.path for e in piece.entries]
        after = piece.after
        if not after:
            break
    assert seen == [f"in/f{n}" for n in range(7)]


def test_a_path_of_the_command_line_is_any_file(tmp_path):
    file = tmp_path / "x.json"
    file.write_bytes(b"abc")
    (tmp_path / "link").symlink_to(file)
    for path in (file, tmp_path / "link"):
        found = places.look("path", path=str(path))
        with places.open_at(
            "path", path=str(path), size=3, tag=found.tag, start=1
        ) as f:
            assert f.read() == b"bc"
    for path in ("x.json", "a\x00b"):
        with pytest.raises(Unusable):
            places.look("path", path=path)


def test_rejected_records_lie_below_the_data_directory(data_dir):
    (data_dir / "ingestion" / "7").mkdir(parents=True)
    (data_dir / "ingestion" / "7" / "r.ndjson").write_bytes(b"{}")
    (data_dir / "secret").write_text("s")
    found = places.look("rejected", path="7/r.ndjson")
    assert found.size == 2
    with pytest.raises(Unusable):
        places.look("rejected", path="../secret")


def test_an_upload_is_read(project):
    upload = make.make_upload(project=project, content=b"0123456789")
    found = places.look("upload", upload=upload)
    assert (found.name, found.size, found.tag) == ("events.ndjson", 10, upload.sha256)
    with places.open_at("upload", upload=upload, size=10, tag=found.tag, start=3) as f:
        assert f.read() == b"3456789"
        assert places.still_same("upload", f, size=10, tag=found.tag)
    assert places.local_path("upload", upload=upload).read_bytes() == b"0123456789"


def test_a_large_upload_may_be_read_before_its_hash_is_known(project):
    upload = make.make_upload(project=project, sha256="")
    found = places.look("upload", upload=upload)
    upload.sha256 = "f" * 64
    upload.save()
    with places.open_at("upload", upload=upload, size=found.size, tag=found.tag) as f:
        assert f.read() == b"{}\n"


def test_uploads_that_cannot_be_read_say_why(project):
    partial = make.make_upload(project=project, received=1, completed_at=None)
    with pytest.raises(Unusable, match="1 of 3 bytes are here"):
        places.look("upload", upload=partial)
    gone = make.make_upload(project=project)
    disk.erase(gone.pk)
    with pytest.raises(Missing, match="share the data directory"):
        places.look("upload", upload=gone)
    gone.removed_at = gone.completed_at
    gone.save()
    with pytest.raises(Missing, match="was removed"):
        places.look("upload", upload=gone)
    cut = make.make_upload(project=project)
    disk.upload_path(cut.pk).write_bytes(b"x")
    with (
        pytest.raises(Changed),
        places.open_at("upload", upload=cut, size=3, tag=cut.tag),
    ):
        pass


def test_nothing_of_this_loads_the_libraries_of_buckets():
    """A page that has nothing to do with buckets does not wait for them."""
    import subprocess
    import sys

    code = (
        "import django, sys; django.setup(); import mixadmin.urls\n"
        "import mixadmin.files.tasks, mixadmin.files.places\n"
        "print([m for m in ('boto3', 'botocore', 'google.cloud.storage') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    assert done.stdout.strip() == "[]"
