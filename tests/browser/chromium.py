"""Which browser the tests drive: `python -m tests.browser.chromium` makes sure of one,
and with --look only says whether there is one.

It is the one of the system, found by CHROMIUM or on PATH, so that nothing is downloaded
beside the locked packages.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HELP = (
    "The browser tests need Chromium: `apt-get install chromium`, your system's own "
    "package, or CHROMIUM=/path/to/it."
)
# No sandbox, because containers have none to give; nothing that calls home.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find() -> str | None:
    """The program, or None."""
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named)
    return next(filter(None, map(shutil.which, NAMES)), None)


def install() -> None:
    """Install it where that is a matter of one command, or say how."""
    apt = shutil.which("apt-get")
    if find() or os.environ.get("CHROMIUM") or apt is None or os.getuid() != 0:
        return
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("update", "install -y --no-install-recommends chromium"):
        subprocess.run([apt, "-q", *command.split()], env=environ, check=False)


if __name__ == "__main__":
    if "--look" not in sys.argv:
        install()
    sys.exit(None if find() else HELP)
