"""Several sorts of rows as one list by time, in pieces."""

from datetime import timedelta

import pytest
from django.core.exceptions import BadRequest
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import timezone

from mixadmin.audit.actions import record
from mixadmin.audit.models import Entry
from mixadmin.common.timeline import Source, timeline
from mixadmin.jobs.models import Job
from mixadmin.projects import timelines
from tests import make

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(microsecond=0)


def ago(**length):
    return NOW - timedelta(**length)


def entry(project, at, **changes):
    found = record(actor=None, verb="changed", target=project, **changes)
    Entry.objects.filter(pk=found.pk).update(at=at)
    return found


def ask(project, query="", size=30, sources=None):
    request = RequestFactory().get(f"/somewhere/{query}")
    found = sources or [timelines.changes(project), timelines.jobs(project)]
    return timeline(request, found, size=size)


def shown(found):
    return [(line.sort, line.at) for line in found.lines]


@pytest.fixture
def mixed(project):
    """Six lines, two of the very same moment."""
    for hours in (1, 3, 5):
        entry(project, ago(hours=hours))
    for hours in (2, 3, 6):
        make.make_job(
            project=project,
            created_at=ago(hours=hours),
            target_type="projects.project",
            target_id=str(project.pk),
        )
    return project


def test_all_sorts_are_one_list_newest_first(mixed):
    assert shown(ask(mixed)) == [
        ("changes", ago(hours=1)),
        ("jobs", ago(hours=2)),
        ("changes", ago(hours=3)),
        ("jobs", ago(hours=3)),
        ("changes", ago(hours=5)),
        ("jobs", ago(hours=6)),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_pieces_of_any_size_hold_each_line_once(mixed, size):
    whole, query = [], ""
    for _ in range(9):
        found = ask(mixed, query, size=size)
        whole += shown(found)
        if not found.next_url:
            break
        query = found.next_url.removeprefix("/somewhere/")
    assert whole == shown(ask(mixed))


def test_a_piece_costs_one_query_for_each_sort(mixed, django_assert_num_queries):
    with django_assert_num_queries(2):
        ask(mixed)


def test_a_filter_by_sort_is_kept_from_piece_to_piece(mixed):
    found = ask(mixed, "?show=jobs", size=2)
    assert {sort for sort, _ in shown(found)} == {"jobs"}
    assert "show=jobs" in found.next_url
    rest = ask(mixed, found.next_url.removeprefix("/somewhere/"), size=2)
    assert shown(rest) == [("jobs", ago(hours=6))]
    assert rest.start_url == "/somewhere/?show=jobs"
    assert [(chip.label, chip.active) for chip in rest.chips] == [
        ("All", False),
        ("Changes", False),
        ("Jobs", True),
    ]


def test_what_goes_on_is_pinned_above_and_not_said_twice(mixed):
    jobs = Job.objects.filter(project=mixed)
    old = jobs.order_by("created_at").first()
    source = Source(
        "jobs",
        "Jobs",
        jobs,
        "created_at",
        "_timeline_job.html",
        pinned=jobs.filter(pk=old.pk),
    )
    first = ask(mixed, size=2, sources=[source])
    assert [line.row.pk for line in first.lines][0] == old.pk
    assert first.lines[0].is_pinned
    assert len(first.lines) == 3
    assert not first.next_url


@pytest.mark.parametrize("query", ["?after=x", "?show=nonsense", "?after="])
def test_a_made_up_place_is_refused(mixed, query):
    if query.endswith("="):
        assert len(ask(mixed, query).lines) == 6
        return
    with pytest.raises(BadRequest):
        ask(mixed, query)


def test_a_place_of_another_page_is_refused(mixed):
    query = ask(mixed, size=2).next_url.partition("?")[2]
    elsewhere = RequestFactory().get(f"/elsewhere/?{query}")
    with pytest.raises(BadRequest):
        timeline(elsewhere, [timelines.changes(mixed)])


# --- What a line says -----------------------------------------------------------------


def page(found, **context):
    return render_to_string("_timeline.html", {"timeline": found, **context})


def test_a_change_tells_who_and_from_what_to_what(project, owner):
    record(
        actor=owner,
        verb="asked to change",
        target=project,
        changes={"run_every": ["Daily", "Hourly"], "paused": ["False", "True"]},
    )
    text = " ".join(page(ask(project)).split())
    assert "<strong>owner</strong> asked to change" in text
    assert "Frequency: from <code>Daily</code> to <code>Hourly</code>" in text
    assert "Paused: from <code>no</code> to <code>yes</code>" in text
    assert f'<a href="{project.get_absolute_url()}">Shop</a>' in text
    assert f'<a href="{project.get_absolute_url()}">Shop</a>' not in page(
        ask(project), here=True
    )


def test_what_nobody_here_asked_for_has_a_cause(project):
    record(actor=None, verb="changed in Mixpanel", target=project)
    text = page(ask(project))
    assert "<strong>mixadmin</strong> changed in Mixpanel" in text
    assert "no job of mixadmin asked for that" in text


def test_names_and_values_are_escaped(project):
    evil = "<script>alert(1)</script>"
    record(actor=None, verb=evil, target=project, changes={evil: [evil, None]})
    make.make_job(
        project=project,
        title=evil,
        target_type="projects.project",
        target_id=str(project.pk),
    )
    text = page(ask(project))
    assert "<script" not in text
    assert text.count("&lt;script") >= 4


def test_nothing_is_said(project):
    assert "Nothing has happened yet." in page(ask(project))


def test_what_a_line_is_about_may_be_of_any_sort(project):
    for target_type, target_id, url in (
        ("warehouse.warehouseimport", "7", f"/projects/{project.pk}/imports/7/"),
        ("projects.project", "3", "/projects/3/"),
        ("accounts.user", "3", ""),
        ("jobs.job", "no uuid", ""),
    ):
        line = Entry(target_type=target_type, target_id=target_id, project=project)
        assert line.target_url == url
