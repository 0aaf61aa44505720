"""`python -m mixadmin.sandbox --port 8900 --data DIR`"""

import argparse
import signal
import threading
from pathlib import Path

from mixadmin.sandbox.server import Sandbox


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mixadmin.sandbox",
        description="A Mixpanel that runs on this machine.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900, help="0 picks a free one")
    parser.add_argument("--data", type=Path, required=True, help="where all is kept")
    parser.add_argument(
        "--speed",
        type=float,
        default=None,
        help="simulated time per time, for schedules and the length of runs",
    )
    options = parser.parse_args()
    sandbox = Sandbox(options.data, options.port, options.speed, options.host)
    over = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: over.set())
    sandbox.start()
    print(f"sandbox listening on {sandbox.url}", flush=True)
    over.wait()
    sandbox.stop()


if __name__ == "__main__":
    main()
