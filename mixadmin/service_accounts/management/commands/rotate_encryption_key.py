from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand
from django.db import models

from mixadmin.common.crypto import CannotDecrypt, SecretField, StoredSecret, rotated


class Command(BaseCommand):
    help = (
        "Encrypt every stored secret with the first key of ENCRYPTION_KEYS. Put the new "
        "key first and keep the old one behind it until this has run; running it again, "
        "also after it was cut short, does no harm."
    )

    def handle(self, **options: Any) -> None:
        done = failed = 0
        for model in apps.get_models():
            for field in model._meta.concrete_fields:
                if isinstance(field, SecretField):
                    ok, bad = self.rotate(model, field.attname)
                    done, failed = done + ok, failed + bad
        self.stdout.write(f"{done} secrets are under the newest key.")
        if failed:
            self.stderr.write(
                f"{failed} could not be opened with any key of ENCRYPTION_KEYS and were "
                "left as they are. Set them anew."
            )
            raise SystemExit(1)

    def rotate(self, model: type[models.Model], name: str) -> tuple[int, int]:
        done = failed = 0
        rows = model._default_manager.order_by("pk")
        for pk, secret in rows.values_list("pk", name).iterator(chunk_size=100):
            if not secret:
                continue
            try:
                anew = StoredSecret(rotated(secret.token))
            except CannotDecrypt:
                self.stderr.write(f"{model._meta.label} {pk}: {name} cannot be opened")
                failed += 1
                continue
            # Only if nobody has set another secret in the meantime.
            same = model._default_manager.filter(pk=pk, **{name: secret})
            done += same.update(**{name: anew})
        return done, failed
