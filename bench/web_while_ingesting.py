"""How fast a page of the product is while workers send: python -m bench.ingest --web.

One web server as the product starts it, one reader who looks at the list of jobs again and
again with a short pause, first while nothing else happens, then while `ingest_file` sends
from the same database, with one process and with two.
"""

import contextlib
import http.client
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.files import generated
from bench.measure import ROOT, WORK, Failed, NotPossible, build_sink, sink
from bench.telling import columns, say
from bench.tools import TOOLS, ingest, installation, prepare

LOOKS = 300
PAUSE = 0.02
GOAL = 2.0


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


@contextlib.contextmanager
def web(env: Mapping[str, str], log: Path) -> Iterator[int]:
    """The product's web server; yields its port once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "mixadmin.wsgi:application"),
                *("--bind", f"127.0.0.1:{port}", "--workers=1", "--threads=8"),
                *("--no-control-socket", "--log-level=warning"),
            ],
            env={**os.environ, **env},
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
        try:
            _wait_for(port, process, log)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise NotPossible(f"The web server does not answer; its words are in {log}.")


def look(
    port: int, page: str, session: str, goes_on: Callable[[int], bool]
) -> list[float]:
    """Seconds that each look at the page took, as long as `goes_on(looks so far)`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    taken: list[float] = []
    while goes_on(len(taken)):
        begin = time.perf_counter()
        connection.request("GET", page, headers={"Cookie": f"sessionid={session}"})
        answer = connection.getresponse()
        answer.read()
        taken.append(time.perf_counter() - begin)
        if answer.status != 200:
            raise Failed(f"{page} answered {answer.status}")
        time.sleep(PAUSE)
    connection.close()
    return taken


def look_while_sending(
    port: int, page: str, session: str, command: list[str], env: Mapping[str, str]
) -> list[float]:
    """Looks while the command runs, from first to last; it must end well."""
    log = WORK / "logs" / "web-ingest.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **env},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            taken = look(port, page, session, lambda _: process.poll() is None)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise Failed(f"ingest_file ended with {process.returncode}; see {log}")
    return taken


def measure_both(*, events: int) -> dict[str, Any]:
    """p50 and p95 in milliseconds, idle and while one and two processes send."""
    _, missing = prepare([TOOLS["ours"]])
    if missing:
        raise NotPossible(missing["ingest_file"])
    program = build_sink()
    file = generated(round(events * TOOLS["ours"].share))
    (WORK / "logs").mkdir(exist_ok=True)
    found: dict[str, list[float]] = {}
    for processes in (1, 2):
        with sink(program) as there:
            env = installation(WORK / "run", there.url)
            known = json.loads((WORK / "run" / "known.json").read_text())
            page, session = known["list"], known["session"]
            with web(env, WORK / "logs" / "web.log") as port:
                look(port, page, session, lambda n: n < 30)
                if not found:
                    say(f"  {page}, idle")
                    found["idle"] = look(port, page, session, lambda n: n < LOOKS)
                say(f"  {page}, while {processes} of ingest_file send")
                found[f"{processes} sending"] = look_while_sending(
                    port,
                    page,
                    session,
                    ingest(processes)(file, there.url),
                    env,
                )
    return _tell(found)


def _tell(found: Mapping[str, list[float]]) -> dict[str, Any]:
    idle = percentile(found["idle"], 0.95)
    rows = [["", "looks", "p50 ms", "p95 ms", "p95 beside idle", "verdict"]]
    told: dict[str, Any] = {}
    for name, taken in found.items():
        p95 = percentile(taken, 0.95)
        ratio = p95 / idle
        verdict = (
            "met" if ratio <= GOAL else f"missed by {(ratio / GOAL - 1) * 100:.0f} %"
        )
        told[name] = {
            "looks": len(taken),
            "p50_ms": round(statistics.median(taken) * 1000, 2),
            "p95_ms": round(p95 * 1000, 2),
            "p95_beside_idle": round(ratio, 2),
        }
        rows.append(
            [
                name,
                f"{len(taken):,}",
                f"{statistics.median(taken) * 1000:.1f}",
                f"{p95 * 1000:.1f}",
                "" if name == "idle" else f"{ratio:.2f}×",
                "" if name == "idle" else verdict,
            ]
        )
    print(columns(rows))
    print(f"\nWanted: p95 within {GOAL:g}× of its idle value.")
    return told
