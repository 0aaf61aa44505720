import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mixadmin.mixpanel import errors
from mixadmin.mixpanel.http import Timeouts
from mixadmin.mixpanel.watchdog import DeadlinePassed, Watchdog, watchdog
from tests.mixpanel.wire import ok


class Pair:
    """Two ends of a connection."""

    def __enter__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(20)
        return self

    def __exit__(self, *exc):
        self.ours.close()
        self.theirs.close()


def test_a_socket_is_shut_when_its_time_is_over():
    mine = Watchdog()
    with Pair() as pair, mine.watch(0.1) as call:
        mine.about_to_send(pair.ours)
        assert pair.ours.recv(1) == b""
        assert call.expired is True


def test_calls_end_in_the_order_of_their_deadlines_not_of_their_start():
    mine = Watchdog()
    ended = []

    def wait(seconds):
        with Pair() as pair, mine.watch(seconds):
            mine.about_to_send(pair.ours)
            pair.ours.recv(1)
            ended.append(seconds)

    with ThreadPoolExecutor(3) as pool:
        for seconds in (0.6, 0.1, 0.35):
            pool.submit(wait, seconds)
    assert ended == [0.1, 0.35, 0.6]


def test_a_call_that_has_ended_leaves_its_socket_alone():
    mine = Watchdog()
    with Pair() as pair:
        with mine.watch(0.05):
            mine.about_to_send(pair.ours)
        with mine.watch(0.2), Pair() as other:
            mine.about_to_send(other.ours)
            assert other.ours.recv(1) == b""
        pair.theirs.sendall(b"x")
        assert pair.ours.recv(1) == b"x"


def test_nothing_is_sent_after_the_deadline():
    mine = Watchdog()
    with Pair() as pair, mine.watch(0.0) as call:
        with pytest.raises(DeadlinePassed):
            mine.about_to_send(pair.ours)
        assert (call.sent, call.expired) == (False, True)


def test_one_thread_watches_all_calls(make_client, server):
    server.answer(ok([]))
    threads = set()
    for _ in range(5):
        make_client().warehouse.list_sources()
        threads.add(watchdog._thread)
    assert [thread.daemon for thread in threads] == [True]


def test_calls_at_the_same_time_do_not_end_one_another(make_client, server):
    def slow_or_quick(sock, request):
        if request.headers["x-request-id"].startswith("slow"):
            server.closing.wait(20)
        sock.sendall(ok([]))

    server.answer(slow_or_quick)

    def call(number):
        name = "slow" if number % 2 else "quick"
        total = 1 if number % 2 else 20
        client = make_client(timeouts=Timeouts(connect=10, read=20, total=total))
        client.request_id = f"{name}-{number}"
        try:
            return client.warehouse.list_sources()
        except (errors.ReplyLost, errors.Unreachable):
            # On a busy machine the time may be over before anything was sent.
            return "ended"

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(call, range(40)))
    assert found == [[], "ended"] * 20


FORKED = """
import os, signal, sys, threading
from mixadmin.mixpanel import errors
from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.http import Timeouts
from mixadmin.mixpanel.watchdog import watchdog

client = MixpanelClient("us", "user", "secret", project_id=7,
                        app_url=sys.argv[1],
                        timeouts=Timeouts(connect=5, read=60, total=0.3))
def is_cut():
    try:
        client.warehouse.list_sources()
    except errors.ReplyLost:
        return True

assert is_cut()
holding, done = threading.Event(), threading.Event()
def hold():
    with watchdog._changed:
        holding.set()
        done.wait()
# In the child this thread, which holds the lock, is gone.
threading.Thread(target=hold).start()
holding.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)
    os._exit(0 if is_cut() else 1)
done.set()
assert os.waitpid(child, 0)[1] == 0
assert is_cut()
"""


def test_a_forked_child_has_its_own_watch(server):
    server.answer(lambda sock, request: server.closing.wait())
    done = subprocess.run(
        [sys.executable, "-c", FORKED, server.app_url],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(server.requests) == 3


def test_the_watch_costs_no_memory_for_calls_that_have_ended():
    mine = Watchdog()
    for _ in range(100):
        with mine.watch(0.01):
            pass
    with mine.watch(0.05) as last:
        while not last.expired:
            time.sleep(0.01)
    assert mine._calls == []
