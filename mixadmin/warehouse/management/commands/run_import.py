from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mixadmin.common.commands import errors_to_command
from mixadmin.warehouse.actions import run_import
from mixadmin.warehouse.models import WarehouseImport


class Command(BaseCommand):
    help = "Start a run of an import now. A worker does it; its job is printed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", type=int, help="Mixpanel's project id")
        parser.add_argument("warehouse_import", help="the name of the import here")

    def handle(self, **options: Any) -> None:
        row = (
            WarehouseImport.objects.present()
            .filter(
                project__mixpanel_id=options["project"],
                name=options["warehouse_import"],
            )
            .select_related("project")
            .first()
        )
        if row is None:
            raise CommandError("That project has no import with that name.")
        with errors_to_command():
            job = run_import(warehouse_import=row, actor=None)
        self.stdout.write(f"{job.title}: job {job.pk}")
