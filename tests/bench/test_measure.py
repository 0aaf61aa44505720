import sys

import pytest

from bench import goals, ingest, measure, telling, tools
from bench.generate import write_events
from bench.measure import Failed, Run, Usage
from bench.project import fill
from bench.web_while_ingesting import percentile

LOOP = str(tools.COMPETITORS / "plain_loop.py")


def python(code):
    return [sys.executable, "-c", code]


def make_run(*, events=1_000_000, seconds=10.0, cpu_seconds=8.0, peak_mib=50.0):
    return Run(events, Usage(seconds, cpu_seconds, peak_mib), {})


def test_cpu_and_memory_of_children_are_counted(tmp_path):
    child = "b = bytearray(300 << 20); b[::4096] = b'x' * len(b[::4096])"
    command = python(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    )

    usage = measure.measure(command, log=tmp_path / "log")

    assert usage.peak_mib > 300
    assert usage.cpu_seconds > 0
    assert usage.seconds > 0


def test_a_program_that_fails_is_told_with_its_last_words(tmp_path):
    command = python(
        "import sys; print('no such project', file=sys.stderr); sys.exit(3)"
    )

    with pytest.raises(Failed, match="(?s)ended with 3.*no such project"):
        measure.measure(command, log=tmp_path / "log")


def test_a_program_that_does_not_end_is_ended(tmp_path):
    with pytest.raises(Failed, match="ended with -9"):
        measure.measure(
            python("import time; time.sleep(60)"),
            log=tmp_path / "log",
            limit=0.2,
        )


@pytest.mark.parametrize(
    "command",
    [
        lambda file, url: [sys.executable, "-m", "bench.floor", file, url],
        lambda file, url: [sys.executable, LOOP, file, url, "6"],
    ],
    ids=["floor", "plain loop"],
)
def test_our_own_comparisons_send_every_event_once(tmp_path, sink, command):
    write_events(tmp_path / "events", 4_500)

    measure.measure(command(str(tmp_path / "events"), sink.url), log=tmp_path / "log")

    measure.check_arrived(sink.stats(), 4_500)


@pytest.mark.parametrize(
    "change", [{"records": 9}, {"distinct": 9}, {"repeated": 1}, {"broken": 1}]
)
def test_a_run_that_lost_or_doubled_something_does_not_count(change):
    right = {"records": 10, "distinct": 10, "repeated": 0, "broken": 0}
    measure.check_arrived(right, 10)

    with pytest.raises(Failed, match="once each"):
        measure.check_arrived(right | change, 10)


def test_ratios_are_of_pairs():
    runs = {
        "ours": [make_run(seconds=1), make_run(seconds=2), make_run(seconds=4)],
        "import": [make_run(seconds=10), make_run(seconds=40), make_run(seconds=12)],
    }

    assert goals.ratio("ours", "import", goals.rate)(runs) == 10
    assert goals.ratio("ours", "floor", goals.rate)(runs) is None


@pytest.mark.parametrize(
    ("most", "value", "verdict"),
    [
        (True, 8.0, "met"),
        (True, 10.0, "missed by 25 %"),
        (False, 8.0, "met"),
        (False, 6.0, "missed by 25 %"),
        (False, None, "not measured"),
    ],
)
def test_goals_say_by_how_much_they_are_missed(most, value, verdict):
    assert goals.Goal("a", lambda runs: value, 8, most=most).verdict(value) == verdict


def test_every_goal_names_tools_that_are_measured():
    runs = {slug: [make_run()] for slug, tool in tools.TOOLS.items() if tool.by_default}

    assert all(goal.value(runs) for goal in goals.GOALS)
    rows = ingest.goal_rows(runs)
    assert len(rows) == len(goals.GOALS) + 1
    assert telling.columns(rows)
    assert ingest.goal_rows({})[1][-1] == "not measured"


def test_what_cannot_be_had_is_left_out_with_its_reason():
    absent = tools.Tool("x", "X", tools.floor, needs="x")
    tools.PREPARE["x"] = lambda: tools._run(
        [sys.executable, "-c", "raise SystemExit('no net')"]
    )
    try:
        versions, missing = tools.prepare([absent, tools.TOOLS["floor"]])
    finally:
        del tools.PREPARE["x"]

    assert list(versions) == [""]
    assert "no net" in missing["x"]


@pytest.mark.parametrize(
    "arguments",
    [["--only", "nothing"], ["--events", "0"], ["--sizes", "10XB"], ["--runs", "no"]],
)
def test_wrong_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        ingest.parse(arguments)
    assert ended.value.code == 2


def test_sizes_are_read():
    assert ingest.parse(["--sizes", "100MB,10GB"]).sizes == [10**8, 10**10]


def test_percentiles_are_values_that_were_seen():
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(list(map(float, range(1, 101))), 0.95) == 95.0


@pytest.mark.django_db
def test_the_installation_has_a_list_to_look_at(client):
    known = fill()

    client.cookies["sessionid"] = known["session"]
    answer = client.get(known["list"])
    assert answer.status_code == 200
    assert b"Create import" in answer.content
