"""Run a program against a sink and tell what it took.

The driver that imports this must stay small: on Linux the peak memory of a child is never
told as less than its parent's was when it started.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Everything that is built, installed, generated or told. Not under version control.
WORK = ROOT / ".bench"


class NotPossible(Exception):
    """Something that is needed is not on this machine; the message says what."""


class Failed(Exception):
    """A measured program did not do what it was asked to; the message says what."""


# --- The sink -------------------------------------------------------------------------


def build_sink(folder: Path = WORK) -> Path:
    """Compile the sink, unless that was done after its last change."""
    source, program = ROOT / "bench" / "sink.c", folder / "sink"
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NotPossible("A C compiler is needed to build the sink: cc is not there.")
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        [compiler, "-O3", "-pthread", "-o", str(program), str(source)],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise NotPossible(f"The sink cannot be built:\n{made.stderr}")
    return program


@dataclass(slots=True)
class Sink:
    url: str
    process: subprocess.Popen[str]

    def stats(self) -> dict[str, Any]:
        """What came so far. Failed if the sink is not there any more."""
        if self.process.poll() is not None:
            raise Failed(f"the sink ended with {self.process.returncode} meanwhile")
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
        return told


@contextlib.contextmanager
def sink(program: Path, *, delay_ms: int = 0) -> Iterator[Sink]:
    """A fresh sink on a free port of the loopback address."""
    process = subprocess.Popen(
        [str(program), "--delay-ms", str(delay_ms)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.startswith("sink listening on "):
            raise NotPossible(f"The sink did not start; it said {line!r}.")
        yield Sink(f"http://127.0.0.1:{line.split()[-1]}", process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# --- Programs -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """seconds: by the clock. cpu_seconds: of the program and every process that it
    waited for. peak_mib: of the largest of these processes."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def measure(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    limit: float = 3600,
    stdout: Path | None = None,
) -> Usage:
    """Run it to its end; Failed unless that is a good one."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as files:
        errors = files.enter_context(log.open("wb"))
        output = files.enter_context(stdout.open("wb")) if stdout else errors
        begin = time.monotonic()
        process = subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        watch = threading.Timer(limit, _kill_group, [process.pid])
        watch.daemon = True
        watch.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            _kill_group(process.pid)
            raise
        finally:
            watch.cancel()
        seconds = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        words = "".join(
            path.read_text(errors="replace") for path in (stdout, log) if path
        )
        raise Failed(
            f"it ended with {process.returncode} after {seconds:.0f} s"
            f" (all of it in {log}):\n    "
            + "\n    ".join(words.strip().splitlines()[-8:])
        )
    return Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run. `arrived` is what the sink tells; {} where nothing is sent."""

    events: int
    usage: Usage
    arrived: dict[str, Any]

    @property
    def rate(self) -> float:
        return self.events / self.usage.seconds

    @property
    def cpu_per_million(self) -> float:
        return self.usage.cpu_seconds / self.events * 1e6

    def as_dict(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "events_per_second": round(self.rate),
            "cpu_seconds_per_million": round(self.cpu_per_million, 2),
            **{name: round(value, 3) for name, value in asdict(self.usage).items()},
            "sink": self.arrived,
        }


def check_arrived(arrived: Mapping[str, Any], events: int) -> None:
    """Failed unless every event came exactly once."""
    expected = {"records": events, "distinct": events, "repeated": 0}
    wrong = {
        name: arrived[name] for name in expected if arrived[name] != expected[name]
    }
    if wrong or arrived["broken"]:
        raise Failed(
            f"{events} events were to be sent once each; the sink saw {arrived}"
        )
