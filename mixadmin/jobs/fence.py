"""A process that was frozen while sending dies before it can go on.

A worker that is stopped (swap storm, SIGSTOP, cgroup freezer) between its last check and
the send would wake up long after its job was rescued, and send a second time. A timer of
the kernel with the default action kills it on the way back to user mode instead.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def send_fence(seconds: float) -> Iterator[None]:
    """Kill this process if the body takes longer than `seconds`.

    Only a main thread can arm it, which is where a prefork worker runs its jobs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)
