"""A sender that was frozen for too long dies before it can go on."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mixadmin.jobs.fence import send_fence
from tests.common.test_supervisor import until

ROOT = Path(__file__).resolve().parents[2]

SENDER = """
import os, signal, sys
from contextlib import nullcontext
from mixadmin.jobs.fence import send_fence

with send_fence(0.2) if sys.argv[1] == "fenced" else nullcontext():
    os.kill(os.getpid(), signal.SIGSTOP)
    os.write(1, b"sent")
"""


def status(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise KeyError(name)


def alarm_is_pending(pid):
    return int(status(pid, "ShdPnd"), 16) >> (signal.SIGALRM - 1) & 1


def frozen_sender(*arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", SENDER, *arguments], cwd=ROOT, stdout=subprocess.PIPE
    )
    until(lambda: status(process.pid, "State").startswith("T"), "the freeze")
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_frozen_sender_dies_before_its_next_statement():
    process = frozen_sender("fenced")
    until(lambda: alarm_is_pending(process.pid), "the alarm")
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate()
    assert process.returncode == -signal.SIGALRM
    assert said == b""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_without_the_fence_it_goes_on():
    process = frozen_sender("bare")
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate()
    assert process.returncode == 0
    assert said == b"sent"


def test_the_fence_leaves_timer_and_handler_as_they_were():
    def handler(number, frame):
        raise AssertionError("nobody rang")

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        with send_fence(50):
            assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
            assert signal.getitimer(signal.ITIMER_REAL)[0] <= 50
        assert signal.getsignal(signal.SIGALRM) is handler
        assert 900 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
        with pytest.raises(RuntimeError), send_fence(50):
            raise RuntimeError("a send that fails")
        assert signal.getsignal(signal.SIGALRM) is handler
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_thread_has_no_fence_and_can_work():
    done = []

    def work():
        with send_fence(0.001):
            done.append(signal.getitimer(signal.ITIMER_REAL)[0])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [0.0]
