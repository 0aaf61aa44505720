"""A large file with every kind of bad record, and senders that are killed.

INGEST_KILL_EVENTS=2600000 makes it a gigabyte.
"""

import json
import os
import subprocess
import sys

import pytest

from .test_kills import FRESH, ROOT, database  # noqa: F401  (a fixture)

EVENTS = int(os.environ.get("INGEST_KILL_EVENTS", "24000"))
KILLS = 10 if EVENTS >= 60_000 else 4


@pytest.mark.chaos
@pytest.mark.timeout(max(300, EVENTS // 200))
def test_killed_senders_lose_nothing_and_double_nothing(tmp_path, database):  # noqa: F811
    data = tmp_path / "data"
    data.mkdir()
    environ = {k: v for k, v in os.environ.items() if k not in FRESH}
    environ |= {
        "DATABASE_URL": database,
        "DJANGO_SETTINGS_MODULE": "mixadmin.settings",
        "MIXADMIN_DATA_DIR": str(data),
        "MIXADMIN_TIME_SCALE": "0.1",
        "DEBUG": "1",
        "SECRET_KEY": "k" * 60,
        "ENCRYPTION_KEYS": "tj1GDFBqfo3RyqtmWmtTRGOxcwkU5opS6h5OvdgGQPM=",
    }
    arguments = [str(tmp_path), "--events", str(EVENTS), "--kills", str(KILLS)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.ingest", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert found["kills"] == KILLS, "it was not killed as often as it should"
    assert found["missing"] == found["unwanted"] == []
    assert found["doubled"] == 0
    assert found["given_ids"][0] == found["given_ids"][1] > 0
    assert found["rejected_is_bad"]
    counts = found["counts"]
    assert counts["read"] == EVENTS
    assert counts["invalid"] + counts["refused"] == found["bad"] > 0
    assert counts["imported"] == EVENTS - found["bad"]
