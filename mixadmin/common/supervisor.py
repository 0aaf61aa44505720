"""Several processes as one: started in order, restarted on death, stopped in order.

Standard library only. Run as a script it is the launcher of each child (see `launch`),
so nothing of Django is imported for that.
"""

import contextlib
import ctypes
import os
import pwd
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
# A child that lived this long has started well: its next restart is at once.
STEADY_SECONDS = 5.0
# This many deaths before a child was ready once are given up on.
FAILED_STARTS = 3


class StartFailed(Exception):
    """A child did not get ready. The message names it and shows its last lines."""


@dataclass(frozen=True)
class Child:
    """One process to keep alive.

    Children start tier by tier, lowest first: a tier starts when every child of the
    tier before is ready. They stop tier by tier, highest first, each with its
    `stop_signal`, and with SIGKILL if it still lives after `stop_seconds`.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    tier: int = 0
    # Answers soon whether it can be used; None: ready as soon as it was started.
    ready: Callable[[], bool] | None = None
    # Ready when it has ended with 0, and not restarted. Any other end fails the start.
    once: bool = False
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10.0
    cwd: Path | None = None
    # The user to run as, by number; only root can ask for it.
    user: int | None = None


@dataclass
class _State:
    """What the supervisor knows of a child. Written by its thread only."""

    child: Child
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float | None = None
    restarts: int = 0
    failures: int = 0
    ready: bool = False
    done: bool = False
    kill_at: float | None = None
    part: bytes = b""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=15))


def to_stdout(line: str) -> None:
    """Write a line. A reader that went away must not stop the supervisor."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class Supervisor:
    """Keeps children alive from `start()` to `stop()`.

    One thread starts, watches and stops them all, because the kernel ties a child's
    life to the thread that started it (see `launch`). Every method may be called from
    any thread.

    output   takes each line, already marked with the child's name, without a newline
    backoff  seconds before the second restart in a row of a child that dies early, and
             the most it ever waits; it doubles in between
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        output: Callable[[str], None] = to_stdout,
        backoff: tuple[float, float] = (0.5, 30.0),
    ) -> None:
        self._states = {child.name: _State(child) for child in children}
        if len(self._states) != len(children):
            raise ValueError("Two children have the same name.")
        self._width = max((len(name) for name in self._states), default=0)
        self._output = output
        self._backoff = backoff
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._settled = threading.Event()
        self._failure = ""
        self._tiers = sorted({child.tier for child in children})
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(
            target=self._keep, name="supervisor", daemon=True
        )

    def start(self) -> None:
        """Begin to start the children; `wait_ready` tells when they all are."""
        self._thread.start()

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return when every child is ready. Raises StartFailed."""
        if not self._settled.wait(timeout):
            late = [state for state in self._states.values() if not state.ready]
            raise StartFailed(
                f"{', '.join(state.child.name for state in late)}: not ready after "
                f"{timeout:.0f} s.{self._last_lines(late)}"
            )
        if self._failure:
            raise StartFailed(self._failure)

    def stop(self) -> None:
        """Stop all children and return when none is left. May be called again.

        A signal meanwhile (see `stopped_by_signals`) ends all of them at once.
        """
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._thread.join()
            except KeyboardInterrupt:
                self._hurry.set()

    def wait(self) -> None:
        """Return when `stop()` was asked for."""
        self._stop.wait()

    def pid(self, name: str) -> int | None:
        """The process id of a child, None while it is not running."""
        process = self._states[name].process
        return process.pid if process else None

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a child, not to its own children. Returns its process id.

        Raises ProcessLookupError while it is not running.
        """
        process = self._states[name].process
        if process is None or process.returncode is not None:
            raise ProcessLookupError(f"{name} is not running.")
        process.send_signal(number)
        return process.pid

    def restarts(self, name: str) -> int:
        """How often a child was started again."""
        return self._states[name].restarts

    @contextlib.contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt in the block.

        The next one hurries `stop()`. Elsewhere than in the main thread Python delivers
        no signals, and this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: object) -> None:
            if self._stop.is_set():
                self._hurry.set()
            else:
                self._stop.set()
                raise KeyboardInterrupt

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # Everything below runs in the supervisor's own thread.

    def _keep(self) -> None:
        try:
            for tier in self._tiers:
                if not self._start_tier(tier):
                    break
            else:
                self._settled.set()
            while not self._stop.is_set():
                self._turn(restart=not self._failure)
        finally:
            self._stop.set()
            self._failure = self._failure or "Stopped before it was ready."
            self._settled.set()
            self._stop_all()
            self._selector.close()

    def _start_tier(self, tier: int) -> bool:
        """Start a tier and wait until it is ready. False: stopped, or it failed."""
        states = [s for s in self._states.values() if s.child.tier == tier]
        for state in states:
            self._spawn(state)
        while not self._stop.is_set():
            self._turn()
            for state in states:
                self._look(state)
            if self._failure:
                self._settled.set()
                return False
            if all(state.ready for state in states):
                return True
        return False

    def _look(self, state: _State) -> None:
        """Learn whether a child is ready, or will never be."""
        child = state.child
        if state.ready:
            return
        if child.once and state.done:
            state.ready = state.process is None and not state.failures
            if state.failures:
                self._failure = f"{child.name} failed.{self._last_lines([state])}"
        elif state.failures >= FAILED_STARTS:
            self._failure = (
                f"{child.name} ended {state.failures} times before it was ready."
                f"{self._last_lines([state])}"
            )
        elif not child.once and state.process is not None:
            state.ready = child.ready is None or child.ready()

    def _turn(self, *, restart: bool = True) -> None:
        """Pass output on, notice who died, start again who is due. At most 0.1 s."""
        for key, _ in self._selector.select(timeout=0.1):
            self._read(key.data, key.fileobj)  # type: ignore[arg-type]
        now = time.monotonic()
        for state in self._states.values():
            if state.process is not None and state.process.poll() is not None:
                self._bury(state, restart=restart)
            if restart and state.restart_at is not None and state.restart_at <= now:
                state.restarts += 1
                self._spawn(state)

    def _spawn(self, state: _State) -> None:
        child = state.child
        state.restart_at = None
        state.started_at = time.monotonic()
        # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, and
        # what the child leaves behind can be ended as a group.
        try:
            state.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", __file__]
                + [str(os.getpid()), str(child.user or ""), *child.argv],
                env=dict(child.env),
                cwd=child.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._note_end(state, f"cannot start: {error}", restart=True)
            return
        assert state.process.stdout is not None
        os.set_blocking(state.process.stdout.fileno(), False)
        self._selector.register(state.process.stdout, selectors.EVENT_READ, state)

    def _read(self, state: _State, pipe: IO[bytes]) -> bool:
        """Pass on what a pipe holds now. False at its end."""
        try:
            data = os.read(pipe.fileno(), 65536)
        except BlockingIOError:
            return False
        if not data:
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)
            return False
        *lines, state.part = (state.part + data).split(b"\n")
        for line in lines:
            self._say(state, line.decode(errors="replace").rstrip())
        return True

    def _bury(self, state: _State, *, restart: bool) -> None:
        """Take note of a child that ended, and end what it left behind."""
        process = state.process
        assert process is not None and process.stdout is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # Bounded, for something that fled from the group may write for ever.
        for _ in range(64):
            if not self._read(state, process.stdout):
                break
        if state.part:
            self._say(state, state.part.decode(errors="replace"))
            state.part = b""
        if process.stdout in self._selector.get_map():
            self._selector.unregister(process.stdout)
        process.stdout.close()
        state.process = None
        why = "" if process.returncode == 0 else ending(process.returncode)
        self._note_end(state, why, restart=restart)

    def _note_end(self, state: _State, why: str, *, restart: bool) -> None:
        """Decide what follows the end of a child; `why` is empty if it ended with 0."""
        if state.child.once:
            state.done = True
            if why:
                state.failures += 1
                self._say(state, f"ended ({why})")
            return
        if not restart:
            return
        steady = time.monotonic() - state.started_at >= STEADY_SECONDS
        state.failures = 1 if steady else state.failures + 1
        first, most = self._backoff
        delay = 0.0 if state.failures == 1 else first * 2.0 ** (state.failures - 2)
        delay = min(delay, most)
        state.restart_at = time.monotonic() + delay
        self._say(state, f"ended ({why or 'exit code 0'}); again in {delay:.1f} s")

    def _stop_all(self) -> None:
        for tier in reversed(self._tiers):
            states = [s for s in self._states.values() if s.child.tier == tier]
            for state in states:
                if state.process is not None and state.process.poll() is None:
                    state.process.send_signal(state.child.stop_signal)
                    state.kill_at = time.monotonic() + state.child.stop_seconds
            while any(state.process is not None for state in states):
                for state in states:
                    late = state.kill_at is not None and (
                        self._hurry.is_set() or time.monotonic() >= state.kill_at
                    )
                    if late and state.process is not None:
                        with contextlib.suppress(ProcessLookupError, PermissionError):
                            os.killpg(state.process.pid, signal.SIGKILL)
                self._turn(restart=False)

    def _say(self, state: _State, line: str) -> None:
        state.tail.append(line)
        self._output(f"{state.child.name:<{self._width}} | {line}")

    def _last_lines(self, states: list[_State]) -> str:
        return "".join(
            f"\n  {state.child.name} | {line}"
            for state in states
            for line in state.tail
        )


@contextlib.contextmanager
def supervise(
    children: Sequence[Child],
    *,
    output: Callable[[str], None] = to_stdout,
    backoff: tuple[float, float] = (0.5, 30.0),
    timeout: float = 60.0,
) -> Iterator[Supervisor]:
    """Run a block while children run: all are ready before it, none is left after it.

    Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt in the block. Raises StartFailed.
    """
    supervisor = Supervisor(children, output=output, backoff=backoff)
    with supervisor.stopped_by_signals():
        try:
            supervisor.start()
            supervisor.wait_ready(timeout)
            yield supervisor
        finally:
            supervisor.stop()


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def launch(parent: int, user: str, argv: Sequence[str]) -> None:
    """Become the command, as the user if one is named, and die with the parent.

    On Linux the kernel sends SIGKILL when the supervisor is gone, however it went. The
    setting outlives exec, but neither a change of user nor a parent that died before
    it was made, hence the order and the look at who the parent is. Elsewhere a
    supervisor killed with -9 leaves its children.
    """
    if user:
        os.setgroups([])
        os.setgid(pwd.getpwuid(int(user)).pw_gid)
        os.setuid(int(user))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606
    except OSError as error:
        sys.exit(f"cannot run {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
