from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from mixadmin.common.commands import errors_to_command
from mixadmin.jobs import registry
from mixadmin.projects.models import Project

from .verify_project import find_project


class Command(BaseCommand):
    help = "Ask Mixpanel now what exists in a project, and take it over."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("mixpanel_id", type=int, help="Mixpanel's project id")

    def handle(self, **options: Any) -> None:
        project = find_project(options["mixpanel_id"])
        Project.objects.filter(pk=project.pk).update(inventory_at=None)
        with errors_to_command():
            for poll in registry.pollers().values():
                poll(project.pk)
        found = project.remote_objects.count()
        self.stdout.write(
            f"{project} is up to date. {found} things exist at Mixpanel that are not "
            "managed here."
        )
