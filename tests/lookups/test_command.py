"""`replace_lookup_table` tells by its exit code what became of the file."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from mixadmin.jobs.models import Bucket
from mixadmin.lookups import actions
from mixadmin.lookups.models import LookupTable, LookupVersion
from tests import make

from .conftest import OLD

State = LookupVersion.State


@pytest.fixture
def run(tmp_path):
    """Call it with the table, the content and options; (exit code, what it said)."""

    def run(table, data, *options, project=make.MIXPANEL_ID):
        file = tmp_path / "rows.csv"
        if isinstance(data, bytes):
            file.write_bytes(data)
            data = str(file)
        out = io.StringIO()
        try:
            call_command(
                "replace_lookup_table", str(project), table, data, *options, stdout=out
            )
        except CommandError as error:
            return error.returncode, out.getvalue() + str(error)
        return 0, out.getvalue()

    return run


def test_a_clean_file_is_sent(run, table, at_mixpanel):
    code, said = run("skus", OLD)
    assert (code, "Version 1 is in Mixpanel." in said) == (0, True)
    assert len(at_mixpanel()) == 3
    code, said = run(table.mixpanel_id, OLD)
    assert (code, "There is nothing to send" in said) == (0, True)
    assert LookupVersion.objects.get().created_by is None


def test_a_table_that_is_not_known_yet_is_looked_up(run, project, sandbox):
    sandbox.add_lookup_table(make.MIXPANEL_ID, "skus")
    assert run("skus", OLD)[0] == 0


def test_a_bad_file_is_not_sent_and_its_rows_are_written(run, table, tmp_path, sandbox):
    there = tmp_path / "bad.csv"
    code, said = run("skus", b"sku,title\n1\n2\n", "--bad-rows", str(there))
    assert code == 1
    assert "Refused: Too many or too few fields (2: 2, 3)" in said
    assert "Nothing was sent" in said
    assert len(there.read_text().splitlines()) == 3
    assert not sandbox.calls(method="PUT")


def test_warnings_stop_it_unless_they_are_accepted(run, table, at_mixpanel):
    code, said = run("skus", b"sku,title\n")
    assert (code, "--accept-warnings" in said) == (1, True)
    assert at_mixpanel() == [["9", "Before"]]
    assert run("skus", b"sku,title\n", "--accept-warnings")[0] == 0
    assert at_mixpanel() == []


def test_a_check_keeps_and_sends_nothing(run, table, sandbox, tmp_path):
    run("skus", OLD)
    sandbox.clear_calls()
    new = b"sku,title,price\n1,Hat,5\n9,New,1\n"
    code, said = run("skus", new, "--check")
    assert code == 0
    assert "Against version 1: 1 added, 2 removed, 0 changed, 1 the same" in said
    there = tmp_path / "bad.csv"
    code, _ = run("skus", b"sku,title\n,x\n", "--check", "--bad-rows", str(there))
    assert code == 1
    assert "key.blank" in there.read_text()
    code, said = run("skus", b"sku,title\n", "--check")
    assert (code, "somebody should look" in said) == (1, True)
    assert LookupVersion.objects.count() == 1
    assert sandbox.calls() == []


def test_json_tells_the_same(run, table):
    code, said = run("skus", OLD, "--json")
    told = json.loads(said)
    assert (code, told["state"], told["ok"], told["rows"]) == (0, "current", True, 3)
    _, said = run("skus", OLD + b"8\n", "--json", "--check")
    told = json.loads(said[: said.rindex("}") + 1])
    assert (told["ok"], told["bad_rows"]) == (False, 1)
    assert told["findings"]["row.field_count"]["lines"] == [5]


def test_mixpanels_refusal_is_told(run, table, sandbox):
    sandbox.fault(
        method="PUT",
        path="/lookup-tables/",
        kind="status",
        status=400,
        body={
            "error": "Some failed",
            "status": 0,
            "failed_records": [{"index": 2, "message": "no"}],
        },
    )
    code, said = run("skus", OLD)
    assert code == 1
    assert "Refused by Mixpanel".lower() in said.lower()
    assert "Row 2: no." in said
    assert LookupVersion.objects.get().state == State.REFUSED


def test_what_has_to_wait_is_left_to_a_worker(run, table):
    from mixadmin.common.clock import db_now

    taken = [db_now().timestamp()] * 100
    Bucket.objects.create(key=actions.budget_key(table), taken=taken)
    code, said = run("skus", OLD, "--wait", "0")
    assert code == 1
    assert "a worker goes on with it" in said
    assert LookupVersion.objects.get().state == State.SENDING


@pytest.mark.parametrize(
    ("table_name", "data", "options", "said"),
    [
        ("skus", "/no/such/file", {}, "No such file"),
        ("nothing", OLD, {}, "no lookup table nothing"),
        ("skus", OLD, {"project": 5}, "No project with Mixpanel's id 5"),
        ("twice", OLD, {}, "2 tables are called twice"),
    ],
)
def test_what_cannot_be_done_at_all_is_exit_two(
    run, table, table_name, data, options, said
):
    for n in "ab":
        make.make_lookup_table(project=table.project, name="twice", mixpanel_id=n)
    code, text = run(table_name, data, **options)
    assert (code, said in text) == (2, True), text
    assert not LookupVersion.objects.exists()


def test_a_table_that_is_gone_says_so(run, table):
    LookupTable.objects.update(absent_since="2026-01-01T00:00:00Z")
    code, said = run("skus", OLD)
    assert (code, "does not list skus" in said) == (1, True)


def test_standard_input_is_read(run, table, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(OLD)

    monkeypatch.setattr("sys.stdin", Stdin)
    assert run("skus", "-")[0] == 0
