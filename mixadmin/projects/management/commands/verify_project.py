from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mixadmin.common.states import verification_words
from mixadmin.projects.actions import verify_project
from mixadmin.projects.models import Project


def find_project(mixpanel_id: int) -> Project:
    """The project with Mixpanel's id, or an error that says so."""
    project = Project.objects.filter(mixpanel_id=mixpanel_id).first()
    if project is None:
        raise CommandError(
            f"No project with Mixpanel's id {mixpanel_id} is registered."
        )
    return project


class Command(BaseCommand):
    help = "Ask Mixpanel whether a project can be worked with; exit 1 if it cannot."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("mixpanel_id", type=int, help="Mixpanel's project id")

    def handle(self, **options: Any) -> None:
        project = verify_project(
            project=find_project(options["mixpanel_id"]), actor=None
        )
        told = verification_words(project)
        if project.verification != Project.Verification.WORKS:
            raise CommandError(told)
        self.stdout.write(told)
