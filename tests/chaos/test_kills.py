"""Answers get lost, creates are committed late, workers are killed: one of each."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

ROOT = Path(__file__).resolve().parents[2]
# What the environment of the tests would else hand on to the product.
FRESH = dict.fromkeys(
    [
        "DEBUG",
        "SECRET_KEY",
        "ENCRYPTION_KEYS",
        "DATABASE_URL",
        "REDIS_URL",
        "MIXADMIN_TIME_SCALE",
    ]
)


@pytest.fixture
def database():
    """The address of an empty database on the server of the tests; "" is SQLite."""
    server = os.environ.get("DATABASE_URL", "")
    if not server.startswith("postgres"):
        yield ""
        return
    name = f"mixadmin_chaos_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def scenario(folder, database, *arguments, settings="mixadmin.settings"):
    environ = {k: v for k, v in os.environ.items() if k not in FRESH}
    environ |= {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": settings}
    with (folder / "said").open("w") as said:
        done = subprocess.run(
            [sys.executable, "-m", "tests.chaos.scenario", str(folder), *arguments],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    assert done.returncode == 0, (folder / "said").read_text()[-4000:]
    return json.loads(done.stdout)


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_fifty_creates_and_twenty_kills_end_with_one_of_each_on_both_sides(
    tmp_path, database
):
    report = scenario(tmp_path, database, "--creates", "50", "--kills", "20")

    assert sum(report["hits"].values()) == 20, report
    assert report["hits"]["sending"] >= 12, report
    assert report["settled"], report
    assert report["states"] == {"succeeded": 50}, report["open"]
    assert report["rows"] == report["created_in_the_ledger"] == 50, report
    nothing = ("not_active", "wrong_ids")
    assert {name: report[name] for name in nothing} == dict.fromkeys(nothing, [])
    none = ("shared_ids", "doubles", "missing", "unadopted", "unmanaged")
    assert {name: report[name] for name in none} == dict.fromkeys(none, 0)
    # It was a bad day: kills were noticed, and half of the outcomes had to be looked up.
    assert report["rescued"] >= 20
    assert report["looked"] >= 25, report


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_without_looking_first_the_same_makes_doubles(tmp_path, database):
    report = scenario(
        tmp_path,
        database,
        *("--creates", "10", "--kills", "2", "--workers", "2"),
        settings="tests.chaos.blind_settings",
    )
    assert report["doubles"] > 0, report
