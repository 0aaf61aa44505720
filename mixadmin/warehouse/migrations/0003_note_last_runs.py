from django.db import migrations
from django.db.models import F, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce


def note_last_runs(apps, schema_editor):
    runs = apps.get_model("warehouse", "ImportRun").objects
    newest = runs.filter(warehouse_import=OuterRef("pk"), is_gap=False)
    newest = newest.order_by("-at", "-id")
    good = newest.filter(state="succeeded", ended_at__isnull=False)
    apps.get_model("warehouse", "WarehouseImport").objects.update(
        last_run=Subquery(newest.values("pk")[:1]),
        last_state=Coalesce(Subquery(newest.values("state")[:1]), Value("new")),
        last_at=Coalesce(Subquery(newest.values("at")[:1]), F("created_at")),
        last_events=Coalesce(
            Subquery(newest.values("num_events_imported")[:1]), Value(-1)
        ),
        last_success_at=Subquery(good.values("ended_at")[:1]),
    )


class Migration(migrations.Migration):
    dependencies = [("warehouse", "0002_how_a_row_stands")]
    operations = [
        migrations.RunPython(note_last_runs, migrations.RunPython.noop, elidable=True)
    ]
