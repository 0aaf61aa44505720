"""End calls that take too long in total, by shutting their socket.

The timeouts of requests are per read, so a server that sends one byte now and then
holds a worker for ever. One daemon thread watches the deadlines of all calls.
"""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# A body goes out in pieces of this size, and a timeout holds for each of them.
PIECE_BYTES = 128 * 1024


class DeadlinePassed(OSError):
    """The total time of a call was over before anything was sent."""


class Call:
    """One call under watch: when it must end, and how far it came."""

    __slots__ = ("deadline", "expired", "over", "sent", "sock")

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.sock: socket.socket | None = None
        self.sent = False
        self.expired = False
        self.over = False


class Watchdog:
    """Shuts the socket of each call whose deadline passes."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew, as a forked child must: threads do not survive a fork."""
        self._changed = threading.Condition()
        self._calls: list[tuple[float, int, Call]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, seconds: float) -> Iterator[Call]:
        """Watch what this thread sends inside the block."""
        call = Call(seconds)
        with self._changed:
            heapq.heappush(self._calls, (call.deadline, next(self._numbers), call))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="mixpanel-watchdog", daemon=True
                )
                self._thread.start()
            self._changed.notify()
        _here.call = call
        try:
            yield call
        finally:
            _here.call = None
            with self._changed:
                # From here on the socket may serve another call.
                call.over = True
                call.sock = None

    def start_over(self, call: Call) -> None:
        """Note that nothing of the next request of this call has left yet."""
        with self._changed:
            # The socket of the one before may serve another call by now.
            call.sock = None
            call.sent = False

    def about_to_send(self, sock: socket.socket) -> None:
        """Note that bytes leave through this socket; raises when it is too late."""
        call: Call | None = getattr(_here, "call", None)
        if call is None:
            return
        with self._changed:
            if call.expired or time.monotonic() >= call.deadline:
                call.expired = True
                raise DeadlinePassed("the total time was over before sending")
            call.sock = sock
            call.sent = True

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._calls and self._calls[0][2].over:
                    heapq.heappop(self._calls)
                if not self._calls:
                    self._changed.wait()
                    continue
                wait = self._calls[0][0] - time.monotonic()
                if wait > 0:
                    self._changed.wait(wait)
                    continue
                call = heapq.heappop(self._calls)[2]
                call.expired = True
                if call.sock is not None:
                    # The plain shutdown, also for TLS: the wrapped one changes
                    # state that the reading thread is using.
                    with suppress(OSError):
                        socket.socket.shutdown(call.sock, socket.SHUT_RDWR)


_here = threading.local()
watchdog = Watchdog()
os.register_at_fork(after_in_child=watchdog.forget)


class _WatchedHTTP(HTTPConnection):
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        watchdog.about_to_send(self.sock)
        super().send(data)


class _WatchedHTTPS(HTTPSConnection):
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        watchdog.about_to_send(self.sock)
        super().send(data)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


class WatchedAdapter(HTTPAdapter):
    """An adapter whose connections tell the watchdog when they send."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, blocksize=PIECE_BYTES, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _HTTPPool,
            "https": _HTTPSPool,
        }


def new_session() -> requests.Session:
    """A session whose calls can be ended; takes nothing from the environment."""
    session = requests.Session()
    session.trust_env = False
    session.verify = True
    session.mount("https://", WatchedAdapter(pool_maxsize=20))
    session.mount("http://", WatchedAdapter(pool_maxsize=20))
    return session
