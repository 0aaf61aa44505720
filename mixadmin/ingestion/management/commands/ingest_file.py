import json
import os
import signal
import socket
import sys
import time
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from tqdm import tqdm

from mixadmin.common.clock import db_now
from mixadmin.common.commands import errors_to_command
from mixadmin.common.remedies import explain
from mixadmin.dataprep.mending import MENDS
from mixadmin.ingestion import actions, queries, spools, tasks  # noqa: F401
from mixadmin.ingestion.kinds import KINDS
from mixadmin.ingestion.models import Ingestion
from mixadmin.jobs import runner
from mixadmin.jobs.models import Job
from mixadmin.projects.models import Project

State = Ingestion.State
GOOD, BAD, UNUSABLE = 0, 1, 2
# What needs a person: this command ends then, and says what to do.
RESTING = (
    *Ingestion.ENDED,
    State.READY,
    State.PAUSED,
    State.GATED,
    State.NEEDS_DECISION,
)
LOOK_EVERY = 0.25


class Command(BaseCommand):
    help = (
        "Send files of events or profiles into a project, from this machine and with "
        "its processors. Exit code 0: all of it was imported. 1: some was not; "
        "--rejected writes that to a file. 2: it could not be begun. Interrupt it at "
        "any time; --resume goes on where it was."
    )

    # They load every page of the product, which takes as long as many records.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", type=int, help="Mixpanel's project id")
        parser.add_argument("file", nargs="*", help="NDJSON, plain, gzip or zstd")
        parser.add_argument("--kind", choices=KINDS, default="events")
        parser.add_argument("--name", default="", help="what it is called here")
        parser.add_argument(
            "--check",
            action="store_true",
            help="read all files before, and send only if nothing would be refused",
        )
        parser.add_argument(
            "--mend", action="append", default=[], choices=MENDS, dest="mends"
        )
        parser.add_argument(
            "--insert-id-field", action="append", default=[], dest="insert_id_fields"
        )
        parser.add_argument(
            "--credential",
            choices=Ingestion.Credential.values,
            default=Ingestion.Credential.SERVICE_ACCOUNT,
        )
        parser.add_argument("--processes", type=int, default=1)
        parser.add_argument("--concurrency", type=int, help="requests at the same time")
        parser.add_argument("--batch-records", type=int)
        parser.add_argument("--batch-bytes", type=int)
        parser.add_argument("--first-days", type=int, help="send these days first")
        parser.add_argument("--slice-days", type=int, help="then so many at a time")
        parser.add_argument(
            "--most-refused-percent",
            type=float,
            help="stop between slices when more than this was refused",
        )
        parser.add_argument("--resume", type=int, metavar="ID", help="go on with one")
        parser.add_argument("--rejected", help="write the rejected records here")
        parser.add_argument("--json", action="store_true", help="for scripts")

    def handle(self, **options: Any) -> None:
        # Its jobs are done here; nobody has to be rung for.
        settings.BROKER_IS_SILENT = True
        try:
            ingestion = self._begin(options)
        except CommandError as error:
            error.returncode = UNUSABLE
            raise
        interrupted = self._work(ingestion, options)
        ingestion.refresh_from_db()
        if options["rejected"]:
            with Path(options["rejected"]).open("wb") as file:
                file.writelines(spools.as_ndjson(spools.rejected(ingestion)))
        self._tell(ingestion, options, interrupted)
        sys.exit(GOOD if ingestion.state == State.SUCCEEDED else BAD)

    def _begin(self, options: dict[str, Any]) -> Ingestion:
        project = Project.objects.filter(mixpanel_id=options["project"]).first()
        if project is None:
            raise CommandError("No project with that Mixpanel id is registered.")
        if not 1 <= options["processes"] <= 64:
            raise CommandError("--processes must be 1 to 64.")
        if options["resume"]:
            return self._resume(project, options)
        if "-" in options["file"]:
            raise CommandError(
                "A file that is sent must be one that can be read again: save it first."
            )
        names = (
            *("concurrency", "batch_records", "batch_bytes"),
            *("first_days", "slice_days", "most_refused_percent"),
            *("mends", "insert_id_fields", "credential", "kind", "name"),
        )
        files = [
            {"place": "path", "path": str(Path(name).resolve())}
            for name in options["file"]
        ]
        with errors_to_command():
            return actions.create_ingestion(
                project=project,
                actor=None,
                files=files,
                lanes=options["processes"],
                check_first=options["check"],
                start=Ingestion.Start.CLEAN,
                **{name: options[name] for name in names},
            )[0]

    def _resume(self, project: Project, options: dict[str, Any]) -> Ingestion:
        if options["file"]:
            raise CommandError("--resume goes on with the files that it has.")
        ingestion = Ingestion.objects.filter(
            project=project, pk=options["resume"]
        ).first()
        if ingestion is None:
            raise CommandError("That project has no ingestion with that number.")
        with errors_to_command():
            if ingestion.state == State.PAUSED:
                actions.resume_ingestion(ingestion=ingestion, actor=None)
            elif ingestion.state == State.READY:
                actions.start_ingestion(ingestion=ingestion, actor=None)
            elif ingestion.state == State.GATED:
                actions.pass_gate(ingestion=ingestion, actor=None)
            elif ingestion.state not in Ingestion.GOING_ON:
                actions.retry_ingestion(ingestion=ingestion, actor=None)
        return ingestion

    def _work(self, ingestion: Ingestion, options: dict[str, Any]) -> bool:
        """Let processes do its jobs until it ends or rests. True if interrupted."""
        hands: set[int] = set()
        interrupted = False
        shown = not options["json"] and sys.stderr.isatty()
        bar = tqdm(unit="B", unit_scale=True, disable=not shown, dynamic_ncols=True)
        try:
            while True:
                ingestion.refresh_from_db()
                if ingestion.state in RESTING or _needs_a_person(ingestion):
                    break
                while len(hands) < options["processes"]:
                    hands.add(_fork(ingestion.pk))
                if shown:
                    now = queries.progress(ingestion)
                    bar.total = now.total
                    bar.set_description(ingestion.get_state_display())
                    bar.set_postfix_str(f"{now.rate:,.0f} records/s")
                    bar.update(now.done - bar.n)
                time.sleep(LOOK_EVERY)
                for pid in _ended(hands):
                    hands.discard(pid)
                    _take_back(ingestion, pid)
        except KeyboardInterrupt:
            interrupted = True
            with errors_to_command():
                actions.pause_ingestion(ingestion=ingestion, actor=None)
        finally:
            bar.close()
            for pid in hands:
                if interrupted:
                    os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)
                _take_back(ingestion, pid)
        return interrupted

    def _tell(
        self, ingestion: Ingestion, options: dict[str, Any], interrupted: bool
    ) -> None:
        books = queries.counts(ingestion)
        groups = list(ingestion.rejected_groups.all()[:20])
        if options["json"]:
            told = {
                "ingestion": ingestion.pk,
                "state": ingestion.state,
                "error": ingestion.error_message,
                "counts": books,
                "rejected": [
                    {
                        "code": group.code,
                        "field": group.field,
                        "message": group.message,
                        "count": group.count,
                    }
                    for group in groups
                ],
            }
            self.stdout.write(json.dumps(told))
            return
        words = [f"{count:,} {name}" for name, count in books.items() if count]
        counted = ", ".join(words) or "nothing was read"
        self.stdout.write(f"{ingestion}: {ingestion.get_state_display()}. {counted}.")
        if ingestion.error_message:
            self.stdout.write(ingestion.error_message)
        for job in actions.jobs_of(ingestion).filter(state=Job.State.WAITING):
            why = explain(job.error_kind, message=job.error_message)
            self.stdout.write(f"{job.error_message}\n{why.meaning} {why.remedy}")
        for group in groups:
            where = f" ({group.field})" if group.field else ""
            self.stdout.write(f"  {group.count:>10,}  {group.message}{where}")
        if interrupted or ingestion.state in (State.READY, State.PAUSED, State.GATED):
            self.stdout.write(
                f"Go on with: ingest_file {options['project']} --resume {ingestion.pk}"
            )


def _fork(ingestion_id: int) -> int:
    """A process that does the jobs of an ingestion. Returns its number."""
    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _do_jobs(ingestion_id)
        code = 0
    finally:
        os._exit(code)


def _do_jobs(ingestion_id: int) -> None:
    ingestion = Ingestion.objects.get(pk=ingestion_id)
    while True:
        runner.rescue_lapsed()
        jobs = actions.jobs_of(ingestion).unfinished()
        due = jobs.due(db_now()).order_by("run_after", "created_at")
        if job := due.first():
            runner.run(job.pk)
            continue
        ingestion.refresh_from_db(fields=["state"])
        if ingestion.state in RESTING or _needs_a_person(ingestion):
            return
        soon = jobs.order_by("run_after").values_list("run_after", flat=True).first()
        pause = (soon - db_now() if soon else timedelta(seconds=1)).total_seconds()
        time.sleep(min(max(pause, 0.05), 1.0))


def _needs_a_person(ingestion: Ingestion) -> bool:
    """Whether all that is left to do waits for a secret that works."""
    left = actions.jobs_of(ingestion).unfinished()
    waits = set(left.values_list("state", "wait_reason"))
    return waits == {(Job.State.WAITING, Job.Wait.CREDENTIAL)}


def _ended(hands: set[int]) -> list[int]:
    return [pid for pid in hands if os.waitpid(pid, os.WNOHANG)[0]]


def _take_back(ingestion: Ingestion, pid: int) -> None:
    """Give the jobs of a process that ended to others now, not when its lease ends."""
    worker = f"{socket.gethostname()}:{pid}"
    for job in actions.jobs_of(ingestion).filter(state__in=Job.HELD, worker=worker):
        runner.rescue(job)
