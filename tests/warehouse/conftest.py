import pytest

from mixadmin.warehouse import actions
from tests import make
from tests.make import MIXPANEL_ID


@pytest.fixture
def orders(project, sandbox):
    """An import that exists on both sides, over a table with two rows."""
    sandbox.switch(dispatch_seconds=0, run_seconds=1)
    source_id = sandbox.add_source(MIXPANEL_ID, "Warehouse", "bigquery")
    sandbox.make_table(
        source_id,
        "orders",
        {"customer": "TEXT", "ordered_at": "TEXT", "inserted_at": "TEXT"},
        [
            {"customer": c, "ordered_at": "2026-11-20 10:00:00", "inserted_at": t}
            for c, t in (("ada", "2026-11-20 11:00:00"), ("bob", "2026-11-20 12:00:00"))
        ],
    )
    source = make.make_source(project=project, mixpanel_id=source_id)
    row, job = actions.create_import(
        project=project,
        actor=project.memberships.get(role="editor").user,
        name="Orders",
        source=source,
        kind="event_stream",
        sync_mode="time_based",
        table_params={"dataset": "shop", "table": "orders"},
        fields={
            "event_name": "Order",
            "time_column_name": "ordered_at",
            "insert_time_column_name": "inserted_at",
            "user_column_name": "customer",
        },
        frequency="daily",
    )
    make.run_due_jobs()
    row.refresh_from_db()
    return row
