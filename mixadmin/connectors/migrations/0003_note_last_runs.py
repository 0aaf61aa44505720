from django.db import migrations
from django.db.models import F, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce


def note_last_runs(apps, schema_editor):
    runs = apps.get_model("connectors", "ConnectorRun").objects
    newest = runs.filter(connector=OuterRef("pk"), is_gap=False)
    newest = newest.order_by("-at", "-id")
    apps.get_model("connectors", "Connector").objects.update(
        last_run=Subquery(newest.values("pk")[:1]),
        last_state=Coalesce(Subquery(newest.values("state")[:1]), Value("new")),
        last_at=Coalesce(Subquery(newest.values("at")[:1]), F("created_at")),
        last_events=Coalesce(
            Subquery(newest.values("num_events_imported")[:1]), Value(-1)
        ),
    )


class Migration(migrations.Migration):
    dependencies = [("connectors", "0002_how_a_row_stands")]
    operations = [
        migrations.RunPython(note_last_runs, migrations.RunPython.noop, elidable=True)
    ]
