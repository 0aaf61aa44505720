"""Creates while answers are lost and workers are killed: `python -m tests.chaos.scenario`.

Runs everything as real processes on a data directory, does the work, and prints what
became of it as one line of JSON. A process of its own, because it needs the settings of
the product and not those of the tests; its children die with it.
"""

import argparse
import json
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from mixadmin.common.local import BASE_DIR
from mixadmin.common.stack import Stack
from mixadmin.common.supervisor import Child, supervise
from mixadmin.sandbox.control import Control

MIXPANEL_ID = 3_000_001
ACCOUNT = ("chaos.1a2b3c.mp-service-account", "s3cret-of-chaos-0123456789abcdef")
# Of these jobs one is killed while it is in that state, as a share of all kills.
SHARES = {"sending": 0.6, "reconciling": 0.2, "claimed": 0.2}
CREATES = r"/(imports/event-stream|connectors)/?$"
LISTS = r"/(imports|connectors)/?$"


def main():
    options = read_options()
    random.seed(options.seed)
    log = (options.data / "chaos.log").open("w", buffering=1)

    def output(line):
        log.write(f"{time.strftime('%X')} {line}\n")

    stack = Stack(options.data, workers=1, time_scale=0.02, output=output)
    with stack:
        # What the children of the stack are given, for this process and more workers.
        os.environ |= {
            "MIXADMIN_DATA_DIR": str(stack.data_dir),
            "MIXADMIN_TIME_SCALE": "0.02",
            "MIXPANEL_APP_URL": f"{stack.sandbox_url}/{{region}}/api/app",
            "MIXPANEL_INGESTION_URL": f"{stack.sandbox_url}/{{region}}",
            "LOG_LEVEL": "WARNING",
        }
        import django

        django.setup()
        workers = [worker(f"worker-{n}") for n in range(options.workers - 1)]
        with supervise(workers, output=output, backoff=(0.05, 0.05)):
            sandbox = Control(stack.sandbox_url)
            project, source, actor = seed(sandbox)
            trouble(sandbox, options.creates)
            jobs = ask(options.creates, project, source, actor)
            hits = kill_workers(options.kills, jobs, time.monotonic() + 140)
            settled = wait_until_settled(jobs, time.monotonic() + 140)
            sandbox.clear_faults()
            wait_until_polled(project, time.monotonic() + 30)
            report = {
                "settled": settled,
                "hits": hits,
                **verdict(sandbox, project, jobs),
            }
    sys.stdout.write(json.dumps(report) + "\n")


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--creates", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def worker(name):
    """One more worker, that is back at once when it is killed."""
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "mixadmin.celery"]
    argv = [
        *celery,
        "worker",
        "--pool=prefork",
        "-c1",
        "-Q",
        "mixadmin,mixadmin.poll,mixadmin.tick",
    ]
    argv += ["--without-gossip", "--without-mingle"]
    environ = dict(os.environ)
    return Child(name, argv, environ, cwd=BASE_DIR, stop_signal=signal.SIGKILL)


def seed(sandbox):
    """A person, a service account, a project and a connected warehouse."""
    from mixadmin.accounts.actions import create_user
    from mixadmin.projects.actions import add_project, verify_project
    from mixadmin.service_accounts.actions import add_service_account
    from mixadmin.warehouse.actions import create_source

    username, secret = ACCOUNT
    sandbox.add_project(MIXPANEL_ID, "Shop", region="us", organization_id=1)
    sandbox.add_service_account(username, secret, projects={MIXPANEL_ID: "admin"})
    actor = create_user(username="ada", password="correct horse battery staple")
    account = add_service_account(
        actor=actor, username=username, secret=secret, region="us"
    )
    project = add_project(
        actor=actor,
        name="Shop",
        mixpanel_id=MIXPANEL_ID,
        region="us",
        service_account=account,
    )
    verify_project(project=project, actor=actor)
    source, _ = create_source(
        project=project,
        actor=actor,
        name="Warehouse",
        warehouse_type="bigquery",
        connection={"gcp_project_id": "acme-data"},
    )
    end = time.monotonic() + 30
    while source.presence != "active" and time.monotonic() < end:
        time.sleep(0.05)
        source.refresh_from_db()
    return project, source, actor


def trouble(sandbox, creates):
    """What goes wrong with the creates, one after another, repetitions included."""
    nothing_happens = [
        {"kind": "cut"},
        {"kind": "status", "status": 503, "effect": "before"},
    ]
    weights = {
        # The work is done and the answer is not what it should be, or never comes.
        "lost": (4, {"kind": "lost"}),
        "500": (4, {"kind": "status", "status": 500, "effect": "after"}),
        "cut short": (1, {"kind": "truncate"}),
        # The work is done when the caller has long been told off.
        "late": (3, {"kind": "late", "delay": 2.0}),
        # Slow: whoever is killed meanwhile has started it all the same.
        "slow before": (5, {"kind": "delay", "effect": "before", "seconds": 0.8}),
        "slow after": (5, {"kind": "delay", "effect": "after", "seconds": 0.8}),
    }
    # First those that do nothing, so that no job is struck by all of them: a job that
    # was sent three times in vain asks a person, as it should.
    mix = [fault for share, fault in weights.values() for _ in range(share)]
    plan = random.choices(mix, k=creates + creates // 2)
    for fault in [*nothing_happens, *plan]:
        sandbox.fault(method="POST", path=CREATES, **fault)
    # Lists are a little slow, so that jobs are caught before a send and at a look.
    sandbox.fault(
        method="GET", path=LISTS, kind="delay", effect="before", seconds=0.1, times=-1
    )


def ask(creates, project, source, actor):
    """Ask for imports, some of them twins or triplets, and connectors. Gives job ids."""
    from mixadmin.connectors.actions import create_connector
    from mixadmin.warehouse.actions import create_import

    ids = []
    for n in range(creates):
        if n % 4 == 3:
            _, job = create_connector(
                project=project,
                actor=actor,
                label=f"Connector {n}",
                connector_type="gcsImport",
                connector_properties={"gcs_bucket": "acme", "gcs_prefix": f"{n // 8}/"},
                category_properties={
                    "data_format": "mixpanel_event",
                    "compression": "none",
                },
            )
        else:
            # Three out of eight read the same table in the same way.
            table = "twins" if n % 8 < 3 and n < 24 else f"table_{n}"
            _, job = create_import(
                project=project,
                actor=actor,
                name=f"Import {n}",
                source=source,
                kind="event_stream",
                sync_mode="time_based",
                table_params={
                    "dataset": f"shop_{n // 8}" if table == "twins" else "shop",
                    "table": table,
                },
                fields={
                    "event_name": "Order",
                    "time_column_name": "ordered_at",
                    "insert_time_column_name": "inserted_at",
                },
                frequency="api" if n % 2 else "daily",
            )
        ids.append(job.pk)
    return ids


def kill_workers(kills, jobs, end):
    """kill -9 whole workers in the middle of a job. Gives how many held one, by state.

    A kill counts when the row is still held under the claim of the killed worker
    afterwards: then the worker died holding it. Each job is struck once while it is
    sent and once besides, since a job that kills its workers again and again is rightly
    given to a person.
    """
    from mixadmin.jobs.models import Job

    wanted = {state: round(kills * share) for state, share in SHARES.items()}
    wanted["sending"] += kills - sum(wanted.values())
    hits = Counter()
    struck = {"sending": set(), "else": set()}
    while hits.total() < kills and time.monotonic() < end:
        states = [state for state, number in wanted.items() if hits[state] < number]
        held = Job.objects.filter(pk__in=jobs, state__in=states).exclude(
            pk__in=struck["sending"] & struck["else"]
        )
        rows = held.values_list("pk", "state", "token", "worker")
        for job_id, state, token, name in rows:
            times = struck["sending" if state == "sending" else "else"]
            if job_id in times or hits[state] >= wanted[state]:
                continue
            host, _, pid = name.rpartition(":")
            assert host == socket.gethostname()
            with suppress(ProcessLookupError):
                os.killpg(os.getpgid(int(pid)), signal.SIGKILL)
            times.add(job_id)
            still = Job.objects.filter(pk=job_id, state=state, token=token)
            hits[state] += still.exists()
        if not Job.objects.filter(pk__in=jobs).unfinished().exists():
            break
        time.sleep(0.01)
    return hits


def wait_until_settled(jobs, end):
    """Whether all jobs have ended, or ask a person, before the time is up."""
    from mixadmin.jobs.models import Job

    going_on = Job.objects.filter(pk__in=jobs).unfinished()
    going_on = going_on.exclude(state=Job.State.NEEDS_DECISION)
    while going_on.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def wait_until_polled(project, end):
    """Until two polls have looked at everything after the last job."""
    from mixadmin.common.clock import db_now
    from mixadmin.jobs.actions import start_polling
    from mixadmin.jobs.models import Poll

    for _ in range(2):
        asked = db_now()
        polls = list(Poll.objects.filter(project=project))
        for poll in polls:
            start_polling(name=poll.name, project_id=project.pk)
        late = Poll.objects.filter(project=project).exclude(polled_at__gt=asked)
        while late.exists() and time.monotonic() < end:
            time.sleep(0.05)


def verdict(sandbox, project, jobs):
    """What is there and what is here, side by side."""
    from mixadmin.connectors.models import Connector
    from mixadmin.jobs.models import Attempt, Job
    from mixadmin.projects.models import RemoteObject
    from mixadmin.warehouse.models import WarehouseImport

    there = sandbox.objects(MIXPANEL_ID)
    remote = {
        str(one["id"]): what_import(one["table_params"])
        for one in there["imports"]
        if not one["is_deleted"]
    } | {
        one["id"]: what_connector(one["label"])
        for one in there["connectors"]
        if not one["is_deleted"]
    }
    here = [
        (str(row.mixpanel_id), what_import(row.table_params), row.presence)
        for row in WarehouseImport.objects.filter(project=project)
    ] + [
        (row.mixpanel_id, what_connector(row.label), row.presence)
        for row in Connector.objects.filter(project=project)
    ]
    effects = Counter(
        made["id"]
        for call in sandbox.calls(method="POST", path=CREATES)
        for made in call["effect"].get("created", [])
    )
    asked = Counter(what for _, what, _ in here)
    rows = Job.objects.filter(pk__in=jobs)
    return {
        "states": dict(Counter(rows.values_list("state", flat=True))),
        "open": [
            [job.title, job.state, job.wait_reason, job.error_message, job.decision]
            for job in rows.exclude(state=Job.State.SUCCEEDED)
        ],
        "rows": len(here),
        "not_active": [what for _, what, presence in here if presence != "active"],
        "wrong_ids": [what for its, what, _ in here if remote.get(its) != what],
        "shared_ids": len(here) - len({its for its, _, _ in here}),
        "doubles": sum((Counter(remote.values()) - asked).values()),
        "missing": sum((asked - Counter(remote.values())).values()),
        "unadopted": len(set(remote) - {its for its, _, _ in here}),
        "created_in_the_ledger": effects.total(),
        "unmanaged": RemoteObject.objects.filter(project=project)
        .exclude(kind=RemoteObject.Kind.SOURCE)
        .count(),
        "outcomes": dict(
            Counter(
                Attempt.objects.filter(job__in=jobs).values_list("outcome", flat=True)
            )
        ),
        "sent": Attempt.objects.filter(job__in=jobs).count(),
        "looked": Attempt.objects.filter(job__in=jobs).exclude(looks=[]).count(),
        "rescued": sum(rows.values_list("recoveries", flat=True)),
    }


def what_import(table_params):
    return f"import {table_params['dataset']}.{table_params['table']}"


def what_connector(label):
    return f"connector {label}"


if __name__ == "__main__":
    main()
