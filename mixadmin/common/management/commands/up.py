"""`manage.py up`: everything on this machine, in one terminal, until Ctrl-C."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mixadmin.common.stack import AlreadyRunning, OfSandbox, Stack
from mixadmin.common.supervisor import StartFailed


def number(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number within limits, for an argument."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a number") from None
        if not least <= value <= most:
            raise ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return read


class Command(BaseCommand):
    help = (
        "Run web, worker, scheduler and, where REDIS_URL is not given, a broker as "
        "separate processes under one supervisor."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--sandbox",
            action="store_true",
            help="start the sandbox and talk to it instead of Mixpanel",
        )
        parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
        parser.add_argument(
            "--port", type=number(1, 65535), default=8000, help="default: %(default)s"
        )
        parser.add_argument(
            "--sandbox-port",
            type=number(1, 65535),
            default=8900,
            help="default: %(default)s",
        )
        parser.add_argument(
            "--workers",
            type=number(1, 64),
            default=2,
            help="processes that do the background work, 1 to 64; default: %(default)s",
        )

    def handle(self, **options: Any) -> None:
        stack = Stack(
            settings.DATA_DIR,
            sandbox=options["sandbox"],
            host=options["host"],
            port=options["port"],
            sandbox_port=options["sandbox_port"],
            workers=options["workers"],
        )
        try:
            with stack:
                self.stdout.write(f"mixadmin is at {stack.url} (Ctrl-C stops it)")
                self.stdout.flush()
                stack.wait()
        except (AlreadyRunning, OfSandbox, StartFailed) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped before it was ready.", returncode=130) from None
