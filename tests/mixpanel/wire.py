"""A tiny HTTP server for replies that no real server would send."""

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field


@dataclass
class Request:
    method: str
    target: str
    headers: dict
    body: bytes

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def query(self):
        return self.target.partition("?")[2]

    def json(self):
        return json.loads(self.body)


@dataclass
class Server:
    """Answers the n-th request with the n-th reply; the last one repeats.

    A reply is bytes, or a function of (socket, request) that does what it likes.
    A reply without Content-Length ends with the connection.
    """

    replies: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    bytes_in: int = 0

    def __post_init__(self):
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._sockets = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def app_url(self):
        return self.url + "/{region}/api/app"

    def answer(self, *replies):
        self.replies = list(replies)
        self.requests.clear()
        return self

    def stop(self):
        self.closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            thread = threading.Thread(target=self._talk, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _talk(self, sock):
        try:
            with sock, sock.makefile("rb") as reader:
                while request := self._read(reader):
                    with self._lock:
                        self.requests.append(request)
                        index = min(len(self.requests), len(self.replies)) - 1
                        reply = self.replies[index]
                    if callable(reply):
                        reply(sock, request)
                        return
                    sock.sendall(reply)
                    if b"content-length:" not in reply.lower():
                        return
        except OSError:
            return

    def _read(self, reader):
        line = reader.readline()
        self.bytes_in += len(line)
        if not line:
            return None
        method, target, _ = line.decode("latin-1").split()
        headers = {}
        while (line := reader.readline()) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", 0)))
        return Request(method, target, headers, body)


def reply(body=b"", status=200, headers=(), length=True):
    """The bytes of an answer. ``body`` is bytes, or a value sent as JSON."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever"]
    lines += [f"{name}: {value}" for name, value in dict(headers).items()]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def ok(results):
    """An App API answer."""
    return reply({"status": "ok", "results": results})


def walk(exc):
    """An exception and everything reachable through its chain and its attributes."""
    seen, todo = [], [exc]
    while todo:
        item = todo.pop()
        if item is None or any(item is other for other in seen):
            continue
        seen.append(item)
        if isinstance(item, BaseException):
            todo += [item.__cause__, item.__context__, *item.args]
            todo += list(vars(item).values())
    return seen
