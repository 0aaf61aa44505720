"""The generated files that are sent.

Made in processes of their own, so that the driver stays small: see `measure`.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ROOT, WORK

DATA = WORK / "data"


def generated(events: int, suffix: str = ".ndjson") -> Path:
    """A file of that many events, made once."""
    # Its name follows the generator: another one makes other events.
    changed = (ROOT / "bench" / "generate.py").stat().st_mtime_ns
    path = DATA / f"events-{events}-{changed:x}{suffix}"
    if not path.exists():
        part = DATA / f"part{suffix}"
        _generate(part, "--events", str(events))
        part.rename(path)
    return path


@contextlib.contextmanager
def generated_bytes(size: int) -> Iterator[tuple[Path, int]]:
    """A file of at least that many bytes and the number of its events; removed after."""
    path = DATA / f"size-{size}.ndjson"
    try:
        yield path, int(json.loads(_generate(path, "--bytes", str(size)))["events"])
    finally:
        path.unlink(missing_ok=True)


def _generate(path: Path, *options: str) -> str:
    DATA.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "bench.generate", str(path), *options],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
