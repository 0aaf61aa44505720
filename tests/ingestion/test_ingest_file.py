"""The command for scripts: what it prints, how it ends, and that it can be gone on with."""

import json
import os
import signal
import threading
import time

import pytest
from django.core.management import CommandError, call_command

from mixadmin.ingestion.management.commands import ingest_file
from mixadmin.ingestion.models import Ingestion
from mixadmin.jobs.models import Job
from tests.make import MIXPANEL_ID

from .conftest import books, event, stored_ids

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(project, capsys):
    """Call it with arguments; gives the exit code and what was printed."""

    def run(*arguments, project_id=MIXPANEL_ID):
        with pytest.raises(SystemExit) as ended:
            call_command("ingest_file", str(project_id), *map(str, arguments))
        return ended.value.code, capsys.readouterr().out

    return run


def test_all_imported_is_exit_code_0(run, file, sandbox):
    code, out = run(file([event(n) for n in range(3000)]), "--json")
    told = json.loads(out)
    assert (code, told["state"]) == (0, "succeeded")
    assert told["counts"]["imported"] == 3000
    assert len(stored_ids(sandbox)) == 3000


def test_rejected_records_are_exit_code_1_and_a_file(run, file, sandbox, tmp_path):
    rejected = tmp_path / "rejected.ndjson"
    records = [event(1), b"nope", event(2, time="soon")]
    code, out = run(file(records), "--rejected", rejected)
    assert code == 1
    assert "3 read, 1 imported, 2 invalid" in out
    lines = [json.loads(line) for line in rejected.read_text().splitlines()]
    assert [line["line"] for line in lines] == [2, 3]
    assert lines[0]["text"] == "nope"


def test_several_processes_share_the_work(run, file, sandbox, monkeypatch):
    from mixadmin.ingestion import working

    monkeypatch.setattr(working, "PART_BYTES", 50_000)
    code, out = run(file([event(n) for n in range(3000)]), "--processes", "2", "--json")
    assert (code, json.loads(out)["counts"]["imported"]) == (0, 3000)
    assert len(set(stored_ids(sandbox))) == 3000


def test_a_check_before_sends_nothing_that_would_be_refused(run, file, sandbox):
    code, out = run(file([event(1), b"nope"]), "--check")
    assert code == 1
    assert "Checked, not sent" in out
    assert sandbox.raw_events(MIXPANEL_ID) == []
    [ingestion] = Ingestion.objects.all()
    code, out = run("--resume", ingestion.pk)
    assert (code, books(ingestion)["imported"]) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/does/not/exist.ndjson"], "exist"),
        ([], "Choose at least one file."),
        (["-"], "save it first"),
        (["--resume", "999"], "no ingestion with that number"),
        (["x", "--processes", "0"], "1 to 64"),
        (["/etc/hosts", "--concurrency", "99"], "concurrency"),
        (["/etc/hosts", "--kind", "people"], "project token"),
        (["/etc/hosts", "--slice-days", "5"], "first slice"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_what_cannot_be_begun_is_exit_code_2(arguments, words, project):
    with pytest.raises(CommandError, match=words) as refused:
        call_command("ingest_file", str(MIXPANEL_ID), *arguments)
    assert refused.value.returncode == 2
    assert not Job.objects.exists()


def test_an_unknown_project_is_exit_code_2(project):
    with pytest.raises(CommandError, match="No project") as refused:
        call_command("ingest_file", "1", "/etc/hosts")
    assert refused.value.returncode == 2


def test_an_account_that_is_refused_ends_it_with_words(run, file, sandbox, project):
    sandbox.change_secret(project.service_account.username, "another")
    code, out = run(file([event(1)]))
    assert code == 1
    assert "service account" in out


def test_a_process_that_is_killed_is_replaced(run, file, sandbox, monkeypatch):
    """Each time with whatever it had under way."""
    sandbox.switch(ingestion_delay_ms=30)
    records = [event(n) for n in range(4000)]
    records[123] = b"nope"
    forked, real = [], ingest_file._fork

    def fork(ingestion_id):
        forked.append(real(ingestion_id))
        return forked[-1]

    monkeypatch.setattr(ingest_file, "_fork", fork)
    done = threading.Event()

    def kill():
        """Each after it has got somewhere: who never does is given up."""
        seen = kills = 0
        while not done.is_set() and kills < 5:
            time.sleep(0.05)
            calls = len(sandbox.calls("POST", "/import"))
            if calls >= seen + 30 and len(forked) > kills:
                seen, kills = calls, kills + 1
                os.kill(forked[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        code, out = run(file(records), "--json", "--batch-records", "20")
    finally:
        done.set()
        killer.join()
    told = json.loads(out)
    assert len(forked) > 4, "it was not killed as often as it should"
    assert told["counts"]["imported"] == 3999
    assert told["counts"]["invalid"] == 1
    assert len(stored_ids(sandbox)) == 3999
