import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from mixadmin.dataprep.checking import check
from mixadmin.dataprep.findings import DESTINATIONS, KINDS
from mixadmin.dataprep.mending import MENDS
from mixadmin.dataprep.report import Report

CLEAN, LOSES, CANNOT = 0, 1, 2


class Command(BaseCommand):
    help = (
        "Check a file of events or profile updates, without sending anything. Exit code "
        "0: everything would be stored; 1: something would be refused or dropped; 2: the "
        "file cannot be read, or the options are wrong."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "path", help="NDJSON, also packed with gzip or zstd; - is standard input"
        )
        parser.add_argument("--kind", choices=KINDS, default="events")
        parser.add_argument("--destination", choices=DESTINATIONS, default="import")
        parser.add_argument(
            "--mend",
            action="append",
            default=[],
            choices=list(MENDS),
            help="what to mend on the way; may be given several times",
        )
        parser.add_argument(
            "--insert-id-field",
            action="append",
            default=[],
            metavar="FIELD",
            help="what --mend insert_id.derive makes an $insert_id of",
        )
        parser.add_argument("--json", action="store_true", help="the report as JSON")
        parser.add_argument(
            "--most-findings",
            type=int,
            default=20,
            metavar="N",
            help="how many findings to print",
        )

    def handle(self, **options: Any) -> None:
        need_sense(options)
        report = self.read(options)
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(), indent=2))
        else:
            for line in lines(report, options["most_findings"]):
                self.stdout.write(printable(line))
        if report.unreadable:
            sys.exit(CANNOT)
        if not report.is_clean:
            sys.exit(LOSES)

    def read(self, options: dict[str, Any]) -> Report:
        path = options["path"]
        try:
            with opened(path) as file, progress(file, self.stderr.isatty()) as bar:
                return check(
                    file,
                    kind=options["kind"],
                    now=time.time(),
                    name=path,
                    destination=options["destination"],
                    mends=options["mend"],
                    insert_id_fields=options["insert_id_field"],
                    on_progress=bar,
                )
        except OSError as error:
            reason = error.strerror or str(error)
            raise CommandError(f"{path}: {reason}", returncode=CANNOT) from None


def need_sense(options: dict[str, Any]) -> None:
    """Refuse options that would silently do nothing."""
    problem = ""
    if options["most_findings"] < 0:
        problem = "--most-findings must not be negative."
    if options["insert_id_field"] and "insert_id.derive" not in options["mend"]:
        problem = "--insert-id-field needs --mend insert_id.derive."
    for slug in options["mend"]:
        if options["kind"] not in MENDS[slug].kinds:
            problem = f"--mend {slug} is not for {options['kind']}."
    if problem:
        raise CommandError(problem, returncode=CANNOT)


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    with open(path, "rb") as file:
        yield file


@contextmanager
def progress(file: IO[bytes], shown: bool) -> Iterator[Any]:
    """What to tell the bytes and records read so far; a bar if somebody watches."""
    if not shown:
        yield None
        return
    try:
        size = os.fstat(file.fileno()).st_size or None
    except OSError:
        size = None
    with tqdm(total=size, unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def on_progress(read: int, records: int) -> None:
            bar.set_postfix_str(f"{records:,} records", refresh=False)
            bar.update(read - bar.n)

        yield on_progress


def lines(report: Report, most_findings: int) -> Iterator[str]:
    """The report for people."""
    told = report.as_dict()
    yield told["verdict"]
    yield ""
    yield (
        f"records {told['records']:,}  would be imported {told['would_import']:,}"
        f" (held for a while {told['held']:,})  refused or dropped"
        f" {told['would_refuse']:,}  left out {told['dropped']:,}"
        f"  blank lines {told['blank']:,}"
    )
    if told["times"]["first_at"]:
        yield f"times   {told['times']['first_at']} to {told['times']['last_at']}"
    if told["events"]["top"]:
        names = ", ".join(f"{name} {n:,}" for name, n in told["events"]["top"][:10])
        yield f"events  {told['events']['distinct']:,} names: {names}"
    if told["operations"]:
        yield "updates " + ", ".join(told["operations"])
    if told["properties"]["top"]:
        yield "properties " + ", ".join(
            f"{one['name']} {one['share']:.0%}"
            for one in told["properties"]["top"][:15]
        )
    if told["properties"]["estimated"]:
        yield f"        (estimated from {told['properties']['read']:,} records)"
    for mend in told["mends"]:
        yield f"mended  {mend['records']:,} {mend['label']} ({mend['slug']})"
    for finding in told["findings"][:most_findings]:
        yield ""
        yield (
            f"{finding['severity'].upper()}  {finding['records']:,}  {finding['title']}"
            f"  [{finding['code']}]"
        )
        yield f"  {finding['meaning']}"
        yield f"  {finding['remedy']}"
        if finding["mend"]:
            yield f"  Can be mended: --mend {finding['mend']}"
        for example in finding["examples"]:
            message = f"  {example['message']}" if example["message"] else ""
            yield f"  line {example['line']}:{message}"
            yield f"    {example['sample'][:120]}"
    left = len(told["findings"]) - most_findings
    if left > 0:
        yield ""
        yield f"{left} more findings; see --most-findings or --json."


def printable(text: str) -> str:
    """Without what could move the cursor of a terminal."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )
