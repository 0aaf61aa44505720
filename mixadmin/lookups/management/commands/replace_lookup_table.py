import csv
import json
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError

from mixadmin.common.clock import db_now
from mixadmin.common.commands import errors_to_command
from mixadmin.dataprep.tables import RULES, BadRow
from mixadmin.jobs import runner
from mixadmin.jobs.models import Job
from mixadmin.jobs.times import TIMES
from mixadmin.lookups import actions, polling, storage
from mixadmin.lookups.models import LookupTable, LookupVersion
from mixadmin.projects.models import Project

State = LookupVersion.State


class Usage(CommandError):
    """What was asked for cannot be done at all: exit 2."""

    def __init__(self, words: str) -> None:
        super().__init__(words, returncode=2)


class Command(BaseCommand):
    help = (
        "Check a CSV and replace the rows of a lookup table by it. Waits for the end. "
        "Exit 0: sent, or with --check clean; 1: not sent, or not clean; 2: the options "
        "are wrong or the file cannot be opened."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", type=int, help="Mixpanel's project id")
        parser.add_argument("table", help="the table's name, or Mixpanel's id of it")
        parser.add_argument("file", help="CSV, plain or gzip; - is standard input")
        parser.add_argument(
            "--check", action="store_true", help="only check; nothing is kept or sent"
        )
        parser.add_argument(
            "--accept-warnings",
            action="store_true",
            help="send in spite of findings that Mixpanel would not refuse",
        )
        parser.add_argument(
            "--bad-rows", metavar="CSV", help="write every bad row there"
        )
        parser.add_argument(
            "--wait",
            type=float,
            default=900.0,
            metavar="SECONDS",
            help="how long to wait for Mixpanel; a worker goes on after that",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, **options: Any) -> None:
        table = find_table(options["project"], options["table"])
        with opened(options["file"]) as open_file:
            if options["check"]:
                told = self.look(table, open_file, options["bad_rows"])
            else:
                told = self.replace(table, open_file, options)
        if options["json"]:
            self.stdout.write(json.dumps(told, ensure_ascii=False))
        else:
            self.tell(told)
        if not told["ok"]:
            raise CommandError(told["sentence"])
        if not options["json"]:
            self.stdout.write(told["sentence"])

    def look(
        self,
        table: LookupTable,
        open_file: Callable[[], BinaryIO],
        bad_rows: str | None,
    ) -> dict[str, Any]:
        with bad_row_sink(bad_rows) as sink:
            found = actions.check_table(table, open_file, sink)
        report, difference, against = found
        told = {
            **report.as_dict(),
            "difference": difference and {**difference.as_dict(), "against": against},
        }
        if report.would_be_refused:
            sentence = "Mixpanel would refuse the file."
        elif report.findings:
            sentence = "Mixpanel would take the file, but somebody should look at it."
        else:
            sentence = "Mixpanel would take the file."
        return {**told, "ok": report.is_clean, "sentence": sentence}

    def replace(
        self,
        table: LookupTable,
        open_file: Callable[[], BinaryIO],
        options: dict[str, Any],
    ) -> dict[str, Any]:
        end = time.monotonic() + options["wait"]
        with errors_to_command(), open_file() as file:
            version, job = actions.upload_version(table=table, actor=None, file=file)
        if job is None and version.state == State.CURRENT:
            return told_of(version, True, actions.said(version, job))
        wait_for(version, "lookups.check", end)
        version.refresh_from_db()
        if options["bad_rows"] and version.bad_rows:
            write_bad_rows(version, options["bad_rows"])
        if version.state == State.READY:
            if version.findings and not options["accept_warnings"]:
                sentence = (
                    f"{version} is checked and not sent, because of what was found. Send "
                    "it from its page, or use --accept-warnings."
                )
                return told_of(version, False, sentence)
            with errors_to_command():
                actions.send_version(version=version, actor=None)
            wait_for(version, "lookups.send", end)
            version.refresh_from_db()
        return told_of(version, version.state == State.CURRENT, outcome(version))

    def tell(self, told: dict[str, Any]) -> None:
        rows = "unknown" if told["rows"] is None else told["rows"]
        self.stdout.write(f"Rows: {rows}, bad rows: {told['bad_rows']}")
        for code, found in told["findings"].items():
            rule = RULES[code]
            where = ", ".join([*map(str, found["lines"]), *found["columns"]])
            word = "Refused" if found["refused"] else "Warning"
            self.stdout.write(f"{word}: {rule.title} ({found['count']}: {where})")
            self.stdout.write(f"  {rule.meaning} {rule.remedy}")
        if difference := told["difference"]:
            self.stdout.write(
                f"Against version {difference['against']}: {difference['added']} added, "
                f"{difference['removed']} removed, {difference['changed']} changed, "
                f"{difference['same']} the same"
            )


def find_table(project_id: int, name: str) -> LookupTable:
    """The table with that name or id; Mixpanel is asked once if it is not known."""
    project = Project.objects.filter(mixpanel_id=project_id).first()
    if project is None:
        raise Usage(f"No project with Mixpanel's id {project_id} is registered.")
    for ask in (False, True):
        if ask:
            with errors_to_command():
                polling.poll(project.pk)
        tables = LookupTable.objects.filter(project=project).select_related("project")
        found = tables.filter(mixpanel_id=name) or tables.filter(name=name)
        if len(found) > 1:
            raise Usage(f"{len(found)} tables are called {name}. Use Mixpanel's id.")
        if found:
            return found[0]
    raise Usage(f"That project has no lookup table {name}. Make it in Mixpanel first.")


@contextmanager
def opened(name: str) -> Iterator[Callable[[], BinaryIO]]:
    """How to open the file, which may be done twice."""
    if name != "-":
        try:
            with open(name, "rb"):
                pass
        except OSError as error:
            raise Usage(f"{name}: {error.strerror}") from None
        yield partial(open, name, "rb")  # type: ignore[misc]
        return
    with tempfile.NamedTemporaryFile() as copy:
        while block := sys.stdin.buffer.read(1 << 20):
            copy.write(block)
        copy.flush()
        yield partial(open, copy.name, "rb")  # type: ignore[misc]


@contextmanager
def bad_row_sink(name: str | None) -> Iterator[Callable[[BadRow], None]]:
    if name is None:
        yield lambda bad: None
        return
    try:
        file = open(name, "w", encoding="utf-8", newline="")  # noqa: SIM115
    except OSError as error:
        raise Usage(f"{name}: {error.strerror}") from None
    with file:
        yield storage.bad_row_writer(csv.writer(file))


def write_bad_rows(version: LookupVersion, name: str) -> None:
    try:
        with open(name, "wb") as file:
            for piece in storage.csv_bytes(storage.bad_rows_path(version)):
                file.write(piece)
    except OSError as error:
        raise Usage(f"{name}: {error.strerror}") from None


def wait_for(version: LookupVersion, task: str, end: float) -> None:
    """Do the version's job here, unless a worker is faster, and wait for its end."""
    while True:
        jobs = Job.objects.for_target(version.table).filter(
            task=task, params__version=version.pk
        )
        job = jobs.order_by("-created_at").first()
        if job is None or job.is_ended:
            return
        if job.run_after <= db_now():
            runner.run(job.pk)
            job.refresh_from_db()
        if job.is_ended or time.monotonic() >= end:
            return
        time.sleep(min(1.0, max(0.05, TIMES.backoff_first / 4)))


def outcome(version: LookupVersion) -> str:
    """How it ended, in a sentence."""
    if version.state == State.CURRENT:
        return f"{version} is in Mixpanel."
    if version.state == State.INVALID:
        return "Mixpanel would refuse the file. Nothing was sent."
    words = f"{version}: {version.get_state_display().lower()}."
    if version.state in LookupVersion.GOING_ON:
        words += " It has not ended yet; a worker goes on with it."
    for row in version.refused_rows:
        words += f" Row {row['index']}: {row['message']}."
    return f"{words} {version.error_message}".strip()


def told_of(version: LookupVersion, ok: bool, sentence: str) -> dict[str, Any]:
    return {
        "version": version.number,
        "state": version.state,
        "rows": version.rows,
        "bad_rows": version.bad_rows,
        "column_count": version.column_count,
        "columns": version.columns,
        "findings": version.findings,
        "difference": version.difference or None,
        "refused_rows": version.refused_rows,
        "ok": ok,
        "sentence": sentence,
    }
