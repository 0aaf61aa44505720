import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from mixadmin.accounts.actions import create_user
from mixadmin.common.commands import errors_to_command


class Command(BaseCommand):
    help = (
        "Add a person who can sign in. The password is asked for, or read from standard "
        "input when that is not a terminal; it is never an argument."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--email", default="")
        parser.add_argument(
            "--superuser", action="store_true", help="may see and change every project"
        )

    def handle(self, **options: Any) -> None:
        if sys.stdin.isatty():
            password = getpass.getpass("Password: ")
        else:
            password = sys.stdin.readline().rstrip("\n")
        with errors_to_command():
            user = create_user(
                username=options["username"],
                password=password,
                email=options["email"],
                superuser=options["superuser"],
            )
        self.stdout.write(f"{user.username} can sign in.")
