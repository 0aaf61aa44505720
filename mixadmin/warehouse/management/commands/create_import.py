import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import APIException

from mixadmin.common.api import read_body
from mixadmin.common.commands import errors_to_command
from mixadmin.projects.models import Project
from mixadmin.warehouse.actions import create_import
from mixadmin.warehouse.models import WarehouseSource
from mixadmin.warehouse.serializers import NewImport


class Command(BaseCommand):
    help = (
        "Create an import from a JSON object, with the fields of the REST API. A worker "
        "does it; its job is printed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", type=int, help="Mixpanel's project id")
        parser.add_argument("source", help="the name of the source here")
        parser.add_argument("file", nargs="?", default="-", help="- is standard input")

    def handle(self, **options: Any) -> None:
        project = Project.objects.filter(mixpanel_id=options["project"]).first()
        if project is None:
            raise CommandError("No project with that Mixpanel id is registered.")
        sources = WarehouseSource.objects.filter(project=project).present()
        source = sources.filter(name=options["source"]).first()
        if source is None:
            raise CommandError("That project has no source with that name.")
        values = self.read(options["file"])
        values["source"] = source
        with errors_to_command():
            row, job = create_import(project=project, actor=None, **values)
        self.stdout.write(f"{job.title}: job {job.pk}")

    def read(self, name: str) -> dict[str, Any]:
        """The object in a file, read as the REST API reads a body."""
        try:
            if name == "-":
                raw = sys.stdin.buffer.read()
            else:
                with open(name, "rb") as file:
                    raw = file.read()
            reader = NewImport(data=read_body(raw))
            reader.is_valid(raise_exception=True)
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror}") from None
        except APIException as error:
            raise CommandError(_words(error.detail)) from None
        values: dict[str, Any] = reader.validated_data
        return values


def _words(detail: Any) -> str:
    """ "field: message" lines of what a reader says."""
    if not isinstance(detail, dict):
        return json.dumps(detail) if isinstance(detail, list) else str(detail)
    return "\n".join(
        f"{field}: {message}"
        for field, messages in detail.items()
        for message in messages
    )
