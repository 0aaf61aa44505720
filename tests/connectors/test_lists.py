"""The list of connectors, and its files."""

import csv
import io

from django.urls import reverse

from tests import make


def rows_of(answer):
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_the_list_shows_the_last_runs_and_leads_to_them(page, project):
    connector = make.make_connector(project=project)
    make.make_connector_run(connector=connector)
    shown = page.get(reverse("connectors:list", args=[project.pk])).text
    assert 'aria-label="Last run: 1 succeeded"' in shown
    assert reverse("connectors:runs", args=[project.pk, connector.pk]) in shown


def test_connectors_and_their_runs_are_had_as_files(page, project):
    connector = make.make_connector(project=project, label="+Signups")
    make.make_connector_run(connector=connector, num_events_dropped=2)
    make.make_connector(project=project, label="Fresh", mixpanel_id="b")
    where = reverse("connectors:list", args=[project.pk])
    fresh, signups = rows_of(page.get(f"{where}?export=csv"))
    assert (fresh["Label"], fresh["Imported"]) == ("Fresh", "")
    assert (signups["Label"], signups["Imported"]) == ("'+Signups", "13")
    assert len(rows_of(page.get(f"{where}?export=csv&state=new"))) == 1
    runs = reverse("connectors:runs", args=[project.pk, connector.pk])
    [run] = rows_of(page.get(f"{runs}?export=csv"))
    assert (run["Events processed"], run["Events dropped"]) == ("13", "2")
