"""A whole installation as processes of its own, for tests that look from outside.

Nothing here touches the database: what a test needs is made through the REST API and
the sandbox's control URL, as another program would.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import requests

from mixadmin.common import supervisor
from mixadmin.common.local import SANDBOX_ENV, make_local_env, read_env_file
from mixadmin.sandbox.control import Control

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery staple"
# A busy machine with two cores starts a dozen processes in this.
PATIENCE = 300.0


@dataclass
class Installation:
    """What a test knows of a running mixadmin: where it is, and how to get in."""

    url: str
    folder: Path
    username: str = ""
    password: str = ""
    token: str = ""
    # What the processes said last, for a test that failed.
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=200))

    @property
    def sandbox(self):
        where = read_env_file(self.folder / SANDBOX_ENV)["MIXPANEL_INGESTION_URL"]
        return Control(where.removesuffix("/{region}"))

    def call(self, method, path, **options):
        """The JSON answer of the REST API; an AssertionError unless it is a good one."""
        headers = {"Authorization": f"Token {self.token}"} if self.token else {}
        headers |= options.pop("headers", {})
        answer = requests.request(
            method,
            f"{self.url}/api/v1/{path}",
            headers=headers,
            timeout=30,
            **options,
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json() if answer.content else None

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body=None):
        return self.call("POST", path, json=body or {})

    def rows(self, path):
        """The first page of a list."""
        return self.get(path)["results"]

    def row(self, path, **wanted):
        """The one row of a list in which these fields have these values."""
        fit = [r for r in self.rows(path) if wanted.items() <= r.items()]
        assert len(fit) == 1, f"{path} has {len(fit)} rows with {wanted}"
        return fit[0]

    def sign_in(self, username, password):
        """Get a token for the REST API."""
        self.username, self.password = username, password
        body = {"name": "browser tests", "days": "30"}
        body |= {"username": username, "password": password}
        self.token = self.post("tokens/", body)["token"]

    def create_user(self, username, *options):
        """Add a person with PASSWORD, as an operator does."""
        subprocess.run(
            [sys.executable, "manage.py", "create_user", username, *options],
            input=PASSWORD,
            text=True,
            cwd=ROOT,
            env=environment(self.folder),
            check=True,
            capture_output=True,
        )


def until(holds, what, seconds=60.0):
    """The first true answer of a function that is asked again and again."""
    end = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < end, f"{what} did not happen in {seconds:.0f} s"
        time.sleep(0.1)
    return answer


def environment(folder, **more):
    """Nothing of the environment of the tests, whose settings are not the product's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "PYTHONUNBUFFERED": "1",
        "MIXADMIN_DATA_DIR": str(folder),
        **more,
    }


@contextlib.contextmanager
def demo(folder, **env):
    """What `make demo` makes, filled and settled."""
    with running(folder, r"mixadmin  (http\S+)", "demo", "--port", "0", **env) as found:
        found.sign_in("demo", read_env_file(folder / "local.env")["DEMO_PASSWORD"])
        yield found


@contextlib.contextmanager
def empty(folder, **env):
    """A new installation beside an empty Mixpanel: nobody has been here yet."""
    arguments = ["up", "--sandbox", "--port", free_port(), "--sandbox-port"]
    arguments += [free_port()]
    with running(folder, r"mixadmin is at (http\S+)", *arguments, **env) as found:
        yield found


@contextlib.contextmanager
def running(folder, ready, *arguments, **env):
    """A command of manage.py that serves, from the line that says so to its end."""
    make_local_env(folder)
    process = subprocess.Popen(
        # The launcher lets it end with this process, however that ends.
        [sys.executable, supervisor.__file__, str(os.getpid()), ""]
        + [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(folder, **env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found = Installation("", folder)
    said = threading.Event()

    def follow():
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                found.lines.append(line.rstrip("\n"))
                if match := re.search(ready, line):
                    found.url = match[1]
                    said.set()
        said.set()

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    try:
        assert said.wait(PATIENCE) and found.url, "\n".join(found.lines)
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        reader.join()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def collect_static(folder):
    """Static files with a hash in their name and compressed, as a server has them."""
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"],
        cwd=ROOT,
        env=environment(folder / "none", DEBUG="1", STATIC_ROOT=str(folder)),
        check=True,
        capture_output=True,
    )
