"""The whole product as separate processes, started and stopped by one command."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from mixadmin.common.local import SANDBOX_ENV, make_local_env, read_env_file
from mixadmin.common.stack import Stack, broker_answers
from tests.common.test_supervisor import alive, until

ROOT = Path(__file__).resolve().parents[2]
# What the environment of the tests, or of `make test-postgres`, would else hand on.
FRESH = dict.fromkeys(
    ["DATABASE_URL", "REDIS_URL", "DEBUG", "SECRET_KEY", "ENCRYPTION_KEYS"], ""
)


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, answer.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def up(folder, *arguments):
    """`manage.py up`, and the lines it has printed so far."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "MIXADMIN_DATA_DIR": str(folder),
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []

    def follow():
        with process.stdout:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    return process, lines, thread


def processes_on(folder):
    """Process ids whose environment names a data directory."""
    found = []
    mark = f"MIXADMIN_DATA_DIR={folder}\0".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes() and alive(entry.name):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture
def folder(tmp_path):
    make_local_env(tmp_path)
    yield tmp_path
    for pid in processes_on(tmp_path):
        os.kill(pid, signal.SIGKILL)


def serving(lines, process):
    until(lambda: any("mixadmin is at" in line for line in lines) or process.poll())


def test_up_goes_on_after_kill_9_refuses_a_second_one_and_leaves_nothing(folder):
    port, sandbox_port = free_port(), free_port()
    arguments = ["--port", str(port), "--sandbox", "--sandbox-port", str(sandbox_port)]
    process, lines, reader = up(folder, *arguments)
    serving(lines, process)
    assert len(processes_on(folder)) >= 6, lines
    process.kill()
    process.wait()
    reader.join()
    until(lambda: not processes_on(folder))

    process, lines, reader = up(folder, *arguments)
    serving(lines, process)
    address = f"http://127.0.0.1:{port}"
    assert f"mixadmin is at {address} (Ctrl-C stops it)" in lines, lines
    assert get(f"{address}/healthz")[0] == 200

    second, said, second_reader = up(folder, "--port", str(free_port()))
    assert second.wait(timeout=60) == 1
    second_reader.join()
    assert f"mixadmin already runs on {folder} (process {process.pid})." in said[-1]

    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    reader.join()
    assert processes_on(folder) == []
    names = {line.split(" | ")[0].strip() for line in lines if " | " in line}
    workers = {"worker", "sender"}
    assert names <= {"broker", "migrate", "sandbox", "scheduler", "web", *workers}

    # What is stored is the sandbox's: Mixpanel must not be asked about it.
    refused, said, refused_reader = up(folder, "--port", str(free_port()))
    assert refused.wait(timeout=60) == 1
    refused_reader.join()
    assert "holds the projects of a sandbox" in said[-1]
    assert read_env_file(folder / SANDBOX_ENV) == {
        "MIXPANEL_APP_URL": f"http://127.0.0.1:{sandbox_port}/{{region}}/api/app",
        "MIXPANEL_INGESTION_URL": f"http://127.0.0.1:{sandbox_port}/{{region}}",
    }


def test_a_stack_replaces_what_is_killed(tmp_path):
    lines = []
    stack = Stack(tmp_path, time_scale=0.05, env=FRESH, output=lines.append)
    with stack:
        assert get(f"{stack.url}/healthz")[0] == 200
        for name in ("web", "worker", "sender", "scheduler", "broker", "sandbox"):
            stack.wait_restarted(name, stack.kill(name, signal.SIGKILL))
        until(lambda: broker_answers(tmp_path / "broker" / "broker.sock"))
        until(lambda: any(re.match(r"worker +\| .* ready\.$", line) for line in lines))
    assert processes_on(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "0"], "argument --port: 0 is not between 1 and 65535"),
        (["--port", "x"], "argument --port: 'x' is not a number"),
        (["--workers", "65"], "argument --workers: 65 is not between 1 and 64"),
        (["--host", "no.such.host.invalid"], "Cannot listen on no.such.host.invalid"),
    ],
)
def test_up_says_which_argument_is_wrong(folder, arguments, said):
    process, lines, reader = up(folder, *arguments)
    assert process.wait(timeout=60) != 0
    reader.join()
    assert any(said in line for line in lines), lines
    assert not any("Traceback" in line for line in lines)
