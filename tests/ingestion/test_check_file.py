"""The command that checks a file: no database, no sandbox, nothing is sent."""

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

ROOT = Path(__file__).parents[2]
GOOD = (
    b'{"event":"Sign up","properties":{"time":1700000000,"distinct_id":"ada",'
    b'"$insert_id":"i-%d","plan":"pro"}}\n'
)
BAD = b'{"event":"Sign up","properties":{"time":"2023-11-14","distinct_id":"ada"}}\n'


def good(count):
    return b"".join(GOOD % n for n in range(count))


@pytest.fixture
def file(tmp_path):
    def write(data, name="events.ndjson"):
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return write


def run(*args):
    """The exit code and what was printed."""
    out = io.StringIO()
    try:
        call_command("check_file", *args, stdout=out, stderr=out)
    except SystemExit as exit:
        return exit.code, out.getvalue()
    except CommandError as error:
        return error.returncode, str(error)
    return 0, out.getvalue()


def test_a_clean_file_is_zero(file):
    code, out = run(file(good(3)))
    assert code == 0
    assert out.startswith("All 3 events would be imported.\n")
    assert "Sign up 3" in out
    assert "2023-11-14T22:13:20Z" in out


def test_a_file_that_would_lose_something_is_one(file):
    code, out = run(file(good(3) + BAD))
    assert code == 1
    assert "Of 4 events 3 would be imported and 1 refused." in out
    assert "REFUSED  1  Time is not a number  [event.time.not_a_number]" in out
    assert "--mend time.seconds" in out
    assert "line 4:  'properties.time' is invalid" in out


def test_what_is_mended_is_not_lost(file):
    code, out = run(file(BAD), "--mend", "time.seconds")
    assert code == 0
    assert "mended  1 Convert times to seconds (time.seconds)" in out


def test_a_packed_file_is_checked(file):
    code, out = run(file(gzip.compress(good(5)), "data"))
    assert (code, out.splitlines()[0]) == (0, "All 5 events would be imported.")


def test_a_file_that_cannot_be_read_is_two(file, tmp_path):
    cut = gzip.compress(good(5_000))[:-20]
    code, out = run(file(cut))
    assert code == 2
    assert "cannot be read to its end" in out
    code, out = run(str(tmp_path / "nothing"))
    assert (code, "No such file" in out) == (2, True)
    assert run(str(tmp_path))[0] == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--most-findings", "-1"],
        ["--insert-id-field", "order"],
        ["--kind", "people", "--mend", "time.seconds"],
    ],
)
def test_options_that_make_no_sense_are_two(file, options):
    assert run(file(good(1)), *options)[0] == 2


def test_the_report_can_be_read_by_tools(file):
    path = file(good(2) + BAD)
    code, out = run(path, "--json")
    found = json.loads(out)
    assert code == 1
    assert found["would_import"] == 2
    assert found["files"][0]["name"] == path


def test_only_so_many_findings_are_printed(file):
    path = file(BAD + b"{\n" + BAD.replace(b'"ada"', b'"null"') + b"[]\n")
    code, out = run(path, "--most-findings", "1")
    assert out.count("REFUSED") == 1
    assert "2 more findings" in out
    assert run(path, "--most-findings", "0")[1].count("REFUSED") == 0


def test_nothing_moves_the_cursor_of_a_terminal(file):
    line = BAD.replace(b"Sign up", b"\xc2\x9b31m\\u001b[31m")
    _, out = run(file(line + GOOD.replace(b"Sign up", b"\\u001b[31m\\u202e") % 1))
    assert not any(char in out for char in "\x1b\x9b\u202e")


def test_profiles_and_destinations(file):
    path = file(b'{"$distinct_id":"a","$set":{"x":1}}\n')
    assert run(path, "--kind", "people")[0] == 0
    assert run(path, "--kind", "groups")[0] == 1
    milliseconds = file(GOOD.replace(b"1700000000", b"1700000000000") % 1)
    assert run(milliseconds)[0] == 0
    assert run(milliseconds, "--destination", "cloud_import")[0] == 1


@pytest.mark.parametrize(
    ("args", "code"), [(["-"], 1), (["-", "--kind", "nonsense"], 2), ([], 2)]
)
def test_as_a_process_it_reads_standard_input_and_exits(args, code):
    command = [sys.executable, "manage.py", "check_file", *args]
    done = subprocess.run(
        [*command, "--settings", "tests.settings"],
        input=good(1) + BAD,
        capture_output=True,
        cwd=ROOT,
    )
    assert done.returncode == code
    if code == 1:
        assert done.stdout.startswith(b"Of 2 events 1 would be imported and 1 refused.")
        assert done.stderr == b""
