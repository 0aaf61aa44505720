"""What goes and what stays is told before something is lost."""

from datetime import UTC, datetime

from django.urls import reverse

from tests import make


def text_of(page, name, *args):
    answer = page.get(reverse(name, args=args))
    assert answer.status_code == 200
    return answer.text


def test_deleting_an_import_tells_its_runs_and_what_they_brought(page, project):
    row = make.make_import(project=project)
    for day, events in ((1, 30_000), (2, 112)):
        started = datetime(2026, 11, day, tzinfo=UTC)
        make.make_run(
            warehouse_import=row, started_at=started, num_events_imported=events
        )
    text = text_of(page, "warehouse:import_delete", project.pk, row.pk)
    assert "30,112 events by the runs seen here" in text
    assert "2 runs and the timeline, here" in text


def test_what_was_brought_is_unknown_and_not_0(page, project):
    row = make.make_import(project=project)
    make.make_run(warehouse_import=row, num_events_imported=None)
    text = text_of(page, "warehouse:import_delete", project.pk, row.pk)
    assert "an unknown number of events" in text
    assert "1 run and the timeline" in text


def test_deleting_a_source_names_what_still_uses_it(page, project):
    row = make.make_import(project=project)
    text = text_of(page, "warehouse:source_delete", project.pk, row.source_id)
    assert "1 import still uses it" in text
    assert f"?source={row.source_id}" in text


def test_deleting_a_connector_tells_what_stays(page, project):
    row = make.make_connector(project=project)
    make.make_connector_run(connector=row)
    text = text_of(page, "connectors:delete", project.pk, row.pk)
    assert "1 run and the timeline, here" in text


def test_forgetting_a_project_counts_what_goes(page, project):
    make.make_import(project=project)
    text = text_of(page, "projects:forget", project.pk)
    assert "1 warehouse import" in text
    assert "1 warehouse source" in text
    assert "0 cloud connectors" in text
    assert "2 memberships" in text
    assert "they go on running" in text


def test_pausing_a_mirror_tells_the_day_on_which_it_dies(page, project):
    row = make.make_import(project=project, sync_mode="mirror_mode")
    ended = datetime(2026, 11, 20, 10, tzinfo=UTC)
    make.make_run(warehouse_import=row, started_at=ended, ended_at=ended)
    row.refresh_from_db()
    dies = f"{row.mirror_deadline().dies_at:%Y-%m-%d %H:%M} UTC"
    url = reverse("warehouse:import_pause", args=[project.pk, row.pk])
    assert f"before {dies}, it dies" in page.post(url, follow=True).text
