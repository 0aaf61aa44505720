"""Send a file with bad records to a sandbox while the senders are killed, and compare.

    python -m tests.chaos.ingest FOLDER [--events N] [--bad SHARE] [--kills K]

What is at the sandbox must be the valid records, once each; what was rejected must be
the bad ones; and the books must balance. Prints what was found as JSON.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from bench import generate
from mixadmin.sandbox.control import Control

ROOT = Path(__file__).resolve().parents[2]
MIXPANEL_ID = 3_000_001
ACCOUNT = ("ops.1a2b3c.mp-service-account", "s3cret-of-the-tests-0123456789abcd")


def main():
    options = read_options()
    folder = options.folder
    events = folder / "events.ndjson"
    generate.write_events(events, options.events, seed=11, bad=options.bad)
    with start_sandbox(folder) as sandbox:
        set_up(sandbox)
        kills = send(folder, events, options)
        report = compare(folder, events)
    sys.stdout.write(json.dumps({"kills": kills, **report}) + "\n")


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--bad", type=float, default=0.01)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


class start_sandbox:
    """A sandbox of its own process; the settings of this one point to it."""

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        argv = [sys.executable, "-m", "mixadmin.sandbox", "--port", "0"]
        self.process = subprocess.Popen(
            [*argv, "--data", str(self.folder / "sandbox")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        url = self.process.stdout.readline().split()[-1]
        os.environ["MIXPANEL_APP_URL"] = f"{url}/{{region}}/api/app"
        os.environ["MIXPANEL_INGESTION_URL"] = f"{url}/{{region}}"
        return Control(url)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def set_up(sandbox):
    """A project that the sandbox knows and lets us into."""
    import django

    django.setup()
    from django.core.management import call_command

    from mixadmin.common.crypto import Secret
    from mixadmin.projects.models import Project
    from mixadmin.service_accounts.models import ServiceAccount

    call_command("migrate", verbosity=0)
    username, secret = ACCOUNT
    sandbox.add_project(MIXPANEL_ID, "Shop", region="us", organization_id=1)
    sandbox.add_service_account(username, secret, projects={MIXPANEL_ID: "admin"})
    account = ServiceAccount.objects.create(
        username=username, secret=Secret(secret), region="us"
    )
    Project.objects.create(
        name="Shop", mixpanel_id=MIXPANEL_ID, region="us", service_account=account
    )


def send(folder, events, options):
    """Run the command and kill its processes. Returns how many were killed."""
    command = [
        sys.executable,
        "manage.py",
        "ingest_file",
        str(MIXPANEL_ID),
        str(events),
    ]
    command += ["--processes", str(options.processes), "--json"]
    command += ["--rejected", str(folder / "rejected.ndjson")]
    with (folder / "told.json").open("w") as told:
        process = subprocess.Popen(command, cwd=ROOT, stdout=told)
    # Spread over the file: a sender that is killed before it gets anywhere, again and
    # again, is given up.
    between = options.events // (options.kills + 2)
    kills, seen = 0, 0
    while process.poll() is None:
        time.sleep(0.02)
        if kills == options.kills:
            continue
        calls = stored(folder)
        hands = children(process.pid)
        if hands and calls >= seen + between:
            os.kill(hands[kills % len(hands)], signal.SIGKILL)
            kills, seen = kills + 1, calls
    assert process.returncode in (0, 1), process.returncode
    return kills


def children(pid):
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(child) for child in text.split()]


def stored(folder):
    """How many events the sandbox has taken, those sent twice counted twice."""
    with database(folder) as sandbox:
        found = sandbox.execute("SELECT COALESCE(MAX(n), 0) FROM events").fetchone()
    return found[0]


def database(folder):
    path = folder / "sandbox" / "sandbox.sqlite3"
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)


def compare(folder, events):
    truth = json.loads(events.with_name(events.name + ".bad.json").read_text())
    outcomes = {kind: told["outcome"] for kind, told in truth["kinds"].items()}
    # A record without an $insert_id gets one here, and is then as good as any.
    kinds = dict(truth["lines"])
    nameless = {line for line, kind in kinds.items() if kind == "insert_id.missing"}
    bad = {line for line, kind in kinds.items() if outcomes[kind] == "refused"}
    bad -= nameless
    with database(folder) as sandbox:
        view = sandbox.execute(
            "SELECT insert_id, COUNT(*) FROM (SELECT DISTINCT event, distinct_id, time,"
            " insert_id FROM events) GROUP BY insert_id"
        ).fetchall()
        raw = sandbox.execute("SELECT COUNT(*) FROM events").fetchone()[0]
    own = {id_: count for id_, count in view if len(id_) == 36}
    given = {id_: count for id_, count in view if len(id_) == 32}
    found = {int(id_[-12:], 16) + 1 for id_ in own}
    wanted = set(range(1, truth["events"] + 1)) - bad - nameless
    with (folder / "rejected.ndjson").open() as file:
        rejected = [json.loads(line)["line"] for line in file]
    counts = json.loads((folder / "told.json").read_text())["counts"]
    return {
        "counts": counts,
        "bad": len(bad),
        "missing": sorted(wanted - found)[:20],
        "unwanted": sorted(found - wanted)[:20],
        "doubled": sum(count > 1 for count in (own | given).values()),
        "given_ids": [len(given), len(nameless)],
        "sent_again": raw - len(view),
        "rejected_is_bad": sorted(rejected) == sorted(bad),
    }


if __name__ == "__main__":
    main()
