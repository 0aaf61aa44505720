"""The supervisor over real, small processes."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mixadmin.common.supervisor import Child, StartFailed, Supervisor, supervise

ROOT = Path(__file__).resolve().parents[2]
ENV = {"PATH": os.environ["PATH"]}
SERVE = "trap 'echo stopping; exit 0' TERM; echo started; while :; do sleep 0.02; done"


def shell(name, script, **options):
    return Child(name, ["sh", "-c", script], ENV, **options)


def until(true, what="it"):
    """Wait for something to become true; the test's time limit is the limit."""
    for _ in range(6000):
        if value := true():
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen")


def alive(pid):
    """Whether a process exists and is not just waiting to be reaped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_tiers_start_upwards_and_stop_downwards():
    lines = []
    children = [
        shell("web", SERVE, tier=2, ready=lambda: "web    | started" in lines),
        shell("broker", SERVE, tier=0, ready=lambda: "broker | started" in lines),
        shell("work", SERVE, tier=1),
    ]
    with supervise(children, output=lines.append):
        until(lambda: "work   | started" in lines)
    assert lines.index("broker | started") < lines.index("work   | started")
    assert [line for line in lines if "stopping" in line] == [
        "web    | stopping",
        "work   | stopping",
        "broker | stopping",
    ]


def test_a_killed_child_is_started_again_and_what_it_left_behind_is_ended():
    lines = []
    script = "sleep 300 & echo left $!; wait"
    with supervise([shell("work", script)], output=lines.append) as supervisor:
        left = int(until(lambda: [x for x in lines if "left" in x])[0].split()[-1])
        old = supervisor.kill("work", signal.SIGKILL)
        until(lambda: supervisor.pid("work") not in (None, old))
        assert supervisor.restarts("work") == 1
        until(lambda: not alive(left))
    assert "work | ended (killed by SIGKILL); again in 0.0 s" in lines


def test_a_child_that_keeps_dying_waits_longer_each_time():
    lines = []
    children = [shell("work", "exit 3")]
    with supervise(children, output=lines.append, backoff=(0.05, 0.15)) as supervisor:
        until(lambda: supervisor.restarts("work") >= 4)
    assert lines[:4] == [
        f"work | ended (exit code 3); again in {delay} s"
        for delay in ("0.0", "0.1", "0.1", "0.1")
    ]


def test_a_step_runs_once_before_the_next_tier_and_its_failure_is_told():
    lines = []
    children = [
        shell("migrate", "echo made", once=True),
        shell("web", SERVE, tier=1),
    ]
    with supervise(children, output=lines.append) as supervisor:
        assert lines[0] == "migrate | made"
        assert supervisor.restarts("migrate") == 0
        assert supervisor.pid("migrate") is None

    children[0] = shell("migrate", "echo no such table; exit 1", once=True)
    with (
        pytest.raises(
            StartFailed, match=r"migrate failed.\n  migrate \| no such table"
        ),
        supervise(children, output=lines.append),
    ):
        raise AssertionError("the block must not run")


def test_a_child_that_never_gets_ready_fails_the_start():
    dies = shell("web", "echo port taken; exit 1", ready=lambda: False)
    with (
        pytest.raises(StartFailed, match="web ended 3 times before it was ready"),
        supervise([dies], output=[].append, backoff=(0.01, 0.01)),
    ):
        pass
    hangs = shell("web", SERVE, ready=lambda: False)
    with (
        pytest.raises(StartFailed, match="web: not ready after"),
        supervise([hangs], output=[].append, timeout=0.3),
    ):
        pass


def test_a_program_that_does_not_exist_is_named():
    child = Child("web", ["/no/such/program"], ENV, ready=lambda: False)
    with (
        pytest.raises(StartFailed, match="cannot run /no/such/program"),
        supervise([child], output=[].append, backoff=(0.01, 0.01)),
    ):
        pass


def test_a_child_that_ignores_its_stop_signal_is_killed():
    lines = []
    script = "trap '' TERM; echo started; while :; do sleep 0.02; done"
    child = shell("work", script, stop_seconds=0.1)
    with supervise([child], output=lines.append) as supervisor:
        until(lambda: lines == ["work | started"])
        pid = supervisor.pid("work")
    assert not alive(pid)


def test_every_line_carries_the_name_also_an_unfinished_one_and_bytes_that_are_no_text():
    lines = []
    script = r"printf 'one\ntwo\377\nthree'"
    with supervise([shell("work", script, once=True)], output=lines.append):
        pass
    assert lines == ["work | one", "work | two\ufffd", "work | three"]


def test_stop_may_be_called_again_and_kill_tells_that_nothing_runs():
    supervisor = Supervisor([shell("work", SERVE)], output=[].append)
    supervisor.start()
    supervisor.wait_ready()
    supervisor.stop()
    supervisor.stop()
    with pytest.raises(ProcessLookupError, match="work is not running"):
        supervisor.kill("work")


OUTSIDE = """
    import os, sys
    sys.path.insert(0, {root!r})
    from mixadmin.common.supervisor import Child, supervise

    STUBBORN = "trap '' TERM; echo pid $$; sleep 300 & echo pid $!; while :; do wait; done"
    child = Child("work", ["sh", "-c", STUBBORN], dict(os.environ), stop_seconds=300)
    with supervise([child]) as supervisor:
        try:
            print("ready", flush=True)
            supervisor.wait()
        except KeyboardInterrupt:
            print("asked to stop", flush=True)
"""


@pytest.fixture
def outside():
    """A supervisor in a process of its own, and the processes under it."""
    code = textwrap.dedent(OUTSIDE.format(root=str(ROOT)))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )
    lines = [process.stdout.readline() for _ in range(3)]
    pids = [int(line.split()[-1]) for line in lines if "pid" in line]
    yield process, pids
    process.stdout.close()
    process.kill()
    process.wait()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_kill_9_of_the_supervisor_leaves_no_child(outside):
    process, (child, _) = outside
    process.kill()
    process.wait()
    until(lambda: not alive(child))


def test_a_second_signal_hurries_the_stop(outside):
    process, pids = outside
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "asked to stop\n"
    assert alive(pids[0])
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    until(lambda: not any(map(alive, pids)))
