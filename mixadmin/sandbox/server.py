"""The HTTP server: routing, faults, the ledger."""

import contextlib
import gzip
import http.server
import json
import re
import select
import socket
import struct
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mixadmin.sandbox import (
    accounts,
    commands,
    connectors,
    faults,
    ingestion,
    lookup,
    schemas,
    syncs,
    warehouse,
)
from mixadmin.sandbox.control import Controls
from mixadmin.sandbox.faults import Fault
from mixadmin.sandbox.state import World
from mixadmin.sandbox.wire import (
    Handler,
    Json,
    Refusal,
    Request,
    Response,
    app_error,
    reply,
    text,
)

MAX_BODY = 512 * 1024 * 1024
LEDGER_BODY = 64 * 1024
LEDGER_LENGTH = 100_000
APP = "/api/app"
PROJECT = f"{APP}/projects/(?P<pid>N)"
ORG = f"{APP}/organizations/(?P<org>N)"
IMPORTS = f"{PROJECT}/warehouse-sources/imports"
SOURCES = f"{PROJECT}/warehouse-sources/sources"
TABLES = (
    f"{APP}(?:/workspaces/W)?/projects/(?P<pid>N)(?:/workspaces/W)?"
    "/data-definitions/lookup-tables"
)
KIND = "(?P<kind>event-stream|people|groups|lookup-table)"
SCHEMAS = f"{PROJECT}/schemas"

# method, path without trailing slash (N: a number), who may call, handler
ROUTES: list[tuple[str, str, str, Handler]] = [
    ("GET", f"{APP}/me", "", accounts.me),
    ("GET", "/api/query/events/names", "", accounts.event_names),
    ("GET", SOURCES, "read", warehouse.list_sources),
    ("POST", SOURCES, "write", warehouse.create_source),
    ("GET", f"{SOURCES}/(?P<id>N)", "read", warehouse.get_source),
    ("PATCH", f"{SOURCES}/(?P<id>N)", "write", warehouse.update_source),
    ("DELETE", f"{SOURCES}/(?P<id>N)", "write", warehouse.delete_source),
    ("GET", IMPORTS, "read", warehouse.list_imports),
    ("POST", f"{IMPORTS}/{KIND}", "write", warehouse.create_import),
    ("GET", f"{IMPORTS}/(?P<id>N)", "read", warehouse.get_import),
    ("PATCH", f"{IMPORTS}/(?P<id>N)", "write", warehouse.patch_import),
    ("DELETE", f"{IMPORTS}/(?P<id>N)", "write", warehouse.delete_import),
    ("PUT", f"{IMPORTS}/(?P<id>N)/manual-sync", "write", warehouse.manual_sync),
    ("GET", f"{IMPORTS}/(?P<id>N)/history", "read", warehouse.history),
    ("GET", f"{PROJECT}/connectors", "read", connectors.list_connectors),
    ("POST", f"{PROJECT}/connectors", "write", connectors.create_connector),
    ("GET", f"{PROJECT}/connectors/(?P<id>T)", "read", connectors.get_connector),
    ("DELETE", f"{PROJECT}/connectors/(?P<id>T)", "write", connectors.delete_connector),
    ("GET", f"{PROJECT}/connectors/(?P<id>T)/history", "read", connectors.history),
    ("GET", f"{ORG}/service-accounts", "org read", accounts.list_accounts),
    ("POST", f"{ORG}/service-accounts", "org write", accounts.create_account),
    (
        "POST",
        f"{ORG}/service-accounts/add-to-project",
        "org write",
        accounts.add_to_project,
    ),
    (
        "POST",
        f"{ORG}/service-accounts/remove-from-project",
        "org write",
        accounts.remove_from_project,
    ),
    ("GET", f"{ORG}/service-accounts/(?P<id>N)", "org read", accounts.get_account),
    (
        "DELETE",
        f"{ORG}/service-accounts/(?P<id>N)",
        "org write",
        accounts.delete_account,
    ),
    ("GET", f"{PROJECT}/service-accounts", "read", accounts.list_for_project),
    ("POST", f"{ORG}/create-projects", "org write", accounts.create_projects),
    ("GET", f"{ORG}/projects", "org read", accounts.list_projects),
    ("POST", f"{ORG}/delete-projects", "org write", accounts.delete_projects),
    ("GET", f"{PROJECT}/workspaces", "read", accounts.list_workspaces),
    ("GET", SCHEMAS, "read", schemas.list_schemas),
    ("POST", SCHEMAS, "write", schemas.upsert),
    ("DELETE", SCHEMAS, "write", schemas.delete),
    ("GET", f"{SCHEMAS}/(?P<entity_type>T)", "read", schemas.list_schemas),
    ("DELETE", f"{SCHEMAS}/(?P<entity_type>T)", "write", schemas.delete),
    ("GET", f"{SCHEMAS}/(?P<entity_type>T)/(?P<name>T)", "read", schemas.get_one),
    ("POST", f"{SCHEMAS}/(?P<entity_type>T)/(?P<name>T)", "write", schemas.put_one),
    ("DELETE", f"{SCHEMAS}/(?P<entity_type>T)/(?P<name>T)", "write", schemas.delete),
    ("GET", TABLES, "read", lookup.list_definitions),
    ("POST", TABLES, "write", lookup.create),
    ("PATCH", TABLES, "write", lookup.rename),
    ("DELETE", TABLES, "write", lookup.delete),
    ("GET", f"{TABLES}/upload-url", "write", lookup.upload_url),
    ("GET", f"{TABLES}/upload-status", "read", lookup.upload_status),
    ("GET", f"{TABLES}/download", "read", lookup.download),
    ("GET", f"{TABLES}/download-url", "read", lookup.download_url),
    ("PUT", "/_uploads/(?P<key>T)", "", lookup.upload),
    ("GET", "/_uploads/(?P<key>T)", "", lookup.fetch),
    ("POST", "/import", "", ingestion.import_events),
    ("POST", "/track", "", ingestion.track),
    ("POST", "/engage", "", ingestion.engage),
    ("POST", "/groups", "", ingestion.groups),
    ("GET", "/lookup-tables", "", lookup.list_tables),
    ("PUT", "/lookup-tables/(?P<id>T)", "", lookup.replace),
]


def _compile(pattern: str) -> re.Pattern[str]:
    pattern = pattern.replace("(?P<pid>N)", r"(?P<pid>\d{1,18})")
    pattern = pattern.replace("(?P<org>N)", r"(?P<org>\d{1,18})")
    pattern = pattern.replace("(?P<id>N)", r"(?P<id>\d{1,18})")
    pattern = re.sub(r"\(\?P<(\w+)>T\)", r"(?P<\1>[^/]{1,1500})", pattern)
    return re.compile(pattern.replace("workspaces/W", r"workspaces/\d+"))


_COMPILED = [
    (method, _compile(path), "<id>N" in path, access, handler)
    for method, path, access, handler in ROUTES
]


def _handle(world: World, request: Request) -> Response:
    """Route, check access, carry out. May raise Refusal."""
    path = request.path.rstrip("/") or "/"
    allowed = []
    for method, pattern, numbered, access, handler in _COMPILED:
        match = pattern.fullmatch(path)
        if match is None:
            continue
        if method != request.method:
            allowed.append(method)
            continue
        args: dict[str, Any] = {
            name: unquote(value) for name, value in match.groupdict().items()
        }
        for name in ("pid", "org", *(("id",) if numbered else ())):
            if name in args:
                args[name] = int(args[name])
        if access in ("read", "write"):
            accounts.need_project(world, request, args["pid"], write=access == "write")
        elif access:
            write = access == "org write"
            accounts.need_organization(world, request, args["org"], write=write)
        return handler(world, request, **args)
    if allowed:
        response = app_error(405, "Method Not Allowed")
        response.headers["Allow"] = ", ".join(sorted(set(allowed)))
        return response
    return app_error(404, "Not Found")


def perform(world: World, request: Request) -> Response:
    """The whole effect of a call, in one transaction, committed when this returns."""
    world.settle()
    if (
        world.switches["trailing_slash_301"]
        and request.path.startswith(APP)
        and not request.path.endswith("/")
    ):
        query = f"?{request.raw_query}" if request.raw_query else ""
        location = f"/{request.region}{request.path}/{query}"
        return Response(301, b"", {"Location": location})
    try:
        with world.transaction():
            return _handle(world, request)
    except Refusal as refusal:
        request.effect.clear()
        return refusal.response
    except Exception:
        # a mistake in the sandbox itself; loud, so that no test takes it for Mixpanel
        traceback.print_exc()
        request.effect.clear()
        return app_error(500, "the sandbox itself failed, see its output")


def perform_late(world: World, id: str, body: Json) -> None:
    request = Request.load(body)
    world.db.execute("SAVEPOINT late")
    try:
        _handle(world, request)
    except Refusal:
        request.effect.clear()
        world.db.execute("ROLLBACK TO late")
    world.db.execute("RELEASE late")
    world.db.execute(
        "UPDATE calls SET effect = ? WHERE n = ?", (json.dumps(request.effect), id)
    )


def make_world(data_dir: Path, speed: float | None) -> World:
    world = World(data_dir, speed)
    world.handlers = {
        "import": syncs.on_import_due,
        "import_run": syncs.on_run_due,
        "connector_run": connectors.on_run_due,
        "purge": warehouse.purge,
        "lookup_upload": lookup.on_upload_due,
        "late": perform_late,
    }
    return world


# -- one call with its faults


@dataclass(slots=True)
class Plan:
    """How the answer goes out. `response` None: close without one."""

    response: Response | None
    fault: Fault | None = None


def answer(world: World, request: Request, host: str) -> Plan:
    """Take the call in, note it in the ledger, decide what the caller will see."""
    request_id = f"sandbox-{uuid.uuid4().hex}"
    started = time.monotonic()
    with world.lock:
        world.settle()
        with world.transaction():
            fault = faults.take(world, request.method, request.path)
            n = _note(world, request, host, request_id, fault)
        slow = world.switches["ingestion_delay_ms"] / 1000
        resets = world.resets
    # waiting is not done under the lock: other calls go on meanwhile
    if slow and request.path in ("/import", "/track", "/engage", "/groups"):
        world.stopping.wait(slow)
    if fault is not None and fault.kind == "delay" and not fault.takes_effect:
        world.stopping.wait(float(fault.get("seconds", 1.0)))
    with world.lock:
        if world.resets != resets:
            return Plan(None)  # what was waited for belongs to a world that is gone
        response: Response | None = None
        if fault is None or fault.takes_effect or fault.kind == "delay":
            response = perform(world, request)
        if fault is not None:
            response = _spoil(world, request, host, fault, response, n)
        if response is not None:
            elapsed = int((time.monotonic() - started) * 1000)
            response.headers.update(request.extra_headers)
            response.headers.setdefault("x-mp-request-id", request_id)
            response.headers.setdefault("x-server-elapsed", str(elapsed))
        world.db.execute(
            "UPDATE calls SET status = ?, username = ?, effect = ? WHERE n = ?",
            (
                response.status if response else 0,
                request.account["username"] if request.account else _claimed(request),
                json.dumps(request.effect),
                n,
            ),
        )
    if fault is not None and fault.kind == "delay" and fault.takes_effect:
        world.stopping.wait(float(fault.get("seconds", 1.0)))
    return Plan(response, fault)


def _claimed(request: Request) -> str:
    pair = accounts.basic_credentials(request)
    return pair[0] if pair else ""


def _note(
    world: World, request: Request, host: str, request_id: str, fault: Fault | None
) -> int:
    cursor = world.db.execute(
        "INSERT INTO calls (at, method, path, query, region, host, status, request_id,"
        " mp_request_id, body, username, fault, effect)"
        " VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, '', ?, '{}')",
        (
            world.now(),
            request.method,
            request.path,
            json.dumps(request.query),
            request.region,
            host,
            request.headers.get("x-request-id", ""),
            request_id,
            json.dumps(_ledger_body(request)),
            fault.kind if fault else "",
        ),
    )
    n = int(cursor.lastrowid or 0)
    if n % 1000 == 0:
        world.db.execute("DELETE FROM calls WHERE n <= ?", (n - LEDGER_LENGTH,))
    return n


def _ledger_body(request: Request) -> Any:
    body = request.body
    if request.headers.get("content-encoding") == "gzip" and len(body) <= LEDGER_BODY:
        with contextlib.suppress(ValueError):
            body = ingestion.gunzip(body, LEDGER_BODY * 64)
    if len(body) <= LEDGER_BODY:
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            pass
    return body[:LEDGER_BODY].decode("utf-8", "replace")


def _spoil(
    world: World,
    request: Request,
    host: str,
    fault: Fault,
    real: Response | None,
    n: int,
) -> Response | None:
    """What the caller sees instead of the real answer; None: nothing."""
    kind = fault.kind
    if kind in ("cut", "lost", "silence"):
        return None
    if kind == "late":
        wait = float(fault.get("delay", 1.0))
        with world.transaction():
            world.at(world.now() + wait, "late", n, request.dump())
        return None
    if kind == "redirect":
        return Response(
            int(fault.get("status", 301)),
            b"",
            {"Location": _place(request, host, fault)},
        )
    if kind == "status":
        return _status(fault)
    if kind == "html":
        page = fault.get("body", "<html><body><h1>502 Bad Gateway</h1></body></html>")
        return text(page, int(fault.get("status", 502)), "text/html")
    real = real or Response(200, b"{}", {"Content-Type": "application/json"})
    if kind == "truncate":
        if fault.get("announce_full", False):
            fault.args["announced_bytes"] = len(real.body)
        real.body = real.body[: len(real.body) // 2]
    elif kind == "empty":
        real.body = b""
    elif kind == "shape":
        return reply(fault.args.get("body"), int(fault.get("status", real.status)))
    elif kind == "huge":
        size = int(fault.get("bytes", 16 * 1024 * 1024))
        real.body = b'{"status":"ok","results":"' + b"x" * size + b'"}'
    elif kind == "gzip_bomb":
        size = int(fault.get("bytes", 64 * 1024 * 1024))
        real.body = gzip.compress(b'{"status":"ok","results":"' + b" " * size + b'"}')
        real.headers["Content-Encoding"] = "gzip"
    return real


def _status(fault: Fault) -> Response:
    status = int(fault.get("status", 500))
    body = fault.get("body", {"status": "error", "error": "Internal Server Error"})
    response = text(body, status) if isinstance(body, str) else reply(body, status)
    if (retry_after := fault.args.get("retry_after")) is not None:
        response.headers["Retry-After"] = str(retry_after)
    response.headers.update(
        {str(name): str(value) for name, value in fault.get("headers", {}).items()}
    )
    return response


def _place(request: Request, host: str, fault: Fault) -> str:
    location = str(fault.get("location", "slash"))
    query = f"?{request.raw_query}" if request.raw_query else ""
    path = f"/{request.region}{request.path}"
    if location == "slash":
        return f"{path.rstrip('/')}/{query}"
    if location == "elsewhere":
        # the same server under another name: whoever follows shows up in the ledger
        name, _, port = host.partition(":")
        other = "localhost" if name != "localhost" else "127.0.0.1"
        return f"http://{other}:{port}{path}{query}"
    return location


# -- HTTP


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    timeout = 300
    server: "_Server"

    def version_string(self) -> str:
        return "nginx"

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()  # the caller waits for this line
        return going_on

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._call
        raise AttributeError(name)

    def _call(self) -> None:
        body = self._body()
        if body is None:
            return
        parts = urlsplit(self.path)
        if parts.path.startswith("/_sandbox"):
            self._control(parts.path.removeprefix("/_sandbox").strip("/"), body)
            return
        region, slash, rest = parts.path.lstrip("/").partition("/")
        if region not in commands.REGIONS or not slash:
            self._send(app_error(404, "no region in the path"))
            return
        request = Request(
            method=self.command,
            region=region,
            path=f"/{rest}",
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            raw_query=parts.query,
        )
        plan = answer(self.server.world, request, self.headers.get("Host", ""))
        self._deliver(plan)

    def _body(self) -> bytes | None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunked()
        length = self.headers.get("Content-Length", "0")
        plausible = re.fullmatch(r"[0-9]{1,12}", length)
        if plausible is None or int(length) > MAX_BODY:
            self.close_connection = True
            self._send(app_error(413 if plausible else 400, "bad body length"))
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True  # the caller went away in the middle
            return None
        return body

    def _chunked(self) -> bytes | None:
        whole = bytearray()
        while True:
            line = self.rfile.readline(100).split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", line):
                self.close_connection = True
                self._send(app_error(400, "bad chunk"))
                return None
            size = int(line, 16)
            if size == 0:
                while self.rfile.readline(1000).strip():
                    pass
                return bytes(whole)
            whole += self.rfile.read(size)
            self.rfile.readline(10)
            if len(whole) > MAX_BODY:
                self.close_connection = True
                self._send(app_error(413, "body too large"))
                return None

    def _control(self, name: str, body: bytes) -> None:
        if name == "" and self.command == "GET":
            self._send(reply({"result": sorted(commands.COMMANDS)}))
            return
        if "Origin" in self.headers:
            # a page in somebody's browser is not a person at the controls
            self._send(reply({"error": "not from a browser"}, 403))
            return
        try:
            args = json.loads(body or b"{}")
            if not isinstance(args, dict):
                raise ValueError("arguments must be a JSON object")
            result = commands.run(self.server.world, name, args)
            self._send(reply({"result": result}))
        except (ValueError, TypeError, KeyError) as exc:
            self._send(reply({"error": f"{name}: {exc}"}, 400))

    def _deliver(self, plan: Plan) -> None:
        fault = plan.fault
        if plan.response is None:
            if fault is not None and fault.kind == "silence":
                self._keep_silent(float(fault.get("seconds", 600)))
            self._hang_up(reset=bool(fault and fault.get("reset", False)))
        elif fault is not None and fault.kind == "dribble":
            self._dribble(plan.response, float(fault.get("interval", 0.5)))
        elif fault is not None and fault.kind == "truncate":
            self._send(plan.response, int(fault.args.get("announced_bytes") or 0))
        else:
            self._send(plan.response)

    def _head(self, response: Response, announced: int = 0) -> bytes:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(announced or len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        return b"" if self.command == "HEAD" else response.body

    def _send(self, response: Response, announced: int = 0) -> None:
        """With `announced`, promise that many bytes and hang up after fewer."""
        if announced:
            self.close_connection = True
        try:
            self.wfile.write(self._head(response, announced))
            self.wfile.flush()
        except OSError:
            self.close_connection = True
        if announced:
            self._hang_up(reset=False)

    def _dribble(self, response: Response, interval: float) -> None:
        self.close_connection = True  # said in the head, so that nobody goes on with it
        try:
            body = self._head(response)
            self.wfile.flush()
            for at in range(len(body)):
                if self.server.stopping.wait(interval):
                    break
                self.wfile.write(body[at : at + 1])
                self.wfile.flush()
        except OSError:
            pass

    def _keep_silent(self, seconds: float) -> None:
        """Until the caller gives up, the server stops, or the time is over."""
        stop = time.monotonic() + seconds
        while time.monotonic() < stop and not self.server.stopping.is_set():
            ready, _, _ = select.select([self.connection], [], [], 0.1)
            if ready and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def _hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], world: World) -> None:
        self.world = world
        self.stopping = world.stopping
        self.connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # the standard one asks the name service for the host's name, which can hang
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        host, port = self.socket.getsockname()[:2]
        self.server_address = (host, port)
        self.server_name, self.server_port = host, port

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End connections that are kept open, and with them their threads."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not (isinstance(sys.exception(), OSError) or self.stopping.is_set()):
            super().handle_error(request, client_address)


class Sandbox(Controls):
    """A sandbox in this process, in its own threads, with all controls at hand."""

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        speed: float | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.world = make_world(Path(data_dir), speed)
        self._server = _Server((host, port), self.world)
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> "Sandbox":
        for target in (self._serve, self._tick):
            thread = threading.Thread(target=target, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        for thread in self._threads:
            thread.join(5)
        self.world.close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.02)

    def _tick(self) -> None:
        while not self._server.stopping.wait(0.05):
            self.world.settle()

    def _command(self, name: str, /, **args: Any) -> Any:
        # through JSON, so that both ways of control take and give the same values
        plain = json.loads(json.dumps(args))
        return json.loads(json.dumps(commands.run(self.world, name, plain)))
