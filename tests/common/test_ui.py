"""The tags of the pages."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.utils.timezone import override

from mixadmin.common.states import Presence, RunState
from mixadmin.common.templatetags.ui import TONE_OF, lasting, relative
from mixadmin.ingestion.models import Ingestion, IngestionFile
from mixadmin.jobs.models import Job
from mixadmin.lookups.models import LookupVersion
from mixadmin.projects.models import Project
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.models import WarehouseImport, WarehouseSource


def shown(template, **context):
    text = "{% load ui %}" + template
    context = {"request": RequestFactory().get("/x/?a=1&b=2"), **context}
    return Template(text).render(Context(context))


@pytest.mark.parametrize(
    "states",
    [
        Job.State,
        RunState,
        Presence,
        Project.Verification,
        ServiceAccount.Verification,
        LookupVersion.State,
        Ingestion.State,
        IngestionFile.State,
    ],
)
def test_every_state_has_its_look(states):
    assert set(states.values) <= set(TONE_OF)


def test_only_success_is_green():
    assert {state for state, tone in TONE_OF.items() if tone == "good"} == {
        "succeeded",
        "active",
        "works",
        "ok",
        "current",
    }
    assert "is-warn" in shown('{% badge "a word of tomorrow" %}')


def test_a_badge_escapes_what_it_shows():
    assert "<b>" not in shown("{% badge state %}", state="<b>")


def test_a_time_names_its_zone():
    berlin = timezone(timedelta(hours=2))
    moment = datetime(2026, 7, 1, 14, 30, 5, tzinfo=berlin)
    text = shown("{% when moment %}", moment=moment)
    assert ">2026-07-01 12:30:05 UTC</time>" in text
    assert 'datetime="2026-07-01T12:30:05+00:00"' in text
    assert shown("{% when moment %}", moment=moment.isoformat()) == text
    assert shown("{% when moment %}", moment="2026-07-01T12:30:05") == text
    assert shown('{% when nothing "never" %}', nothing=None) == "never"


@pytest.mark.parametrize(
    ("zone", "utc", "words"),
    [
        ("Europe/Berlin", "2026-07-01 12:30:05", "2026-07-01 14:30:05 CEST"),
        # The hour that the clocks go through twice is told apart by the letters.
        ("Europe/Berlin", "2026-10-25 00:30:00", "2026-10-25 02:30:00 CEST"),
        ("Europe/Berlin", "2026-10-25 01:30:00", "2026-10-25 02:30:00 CET"),
        # The one that is left out.
        ("Europe/Berlin", "2026-03-29 00:59:59", "2026-03-29 01:59:59 CET"),
        ("Europe/Berlin", "2026-03-29 01:00:00", "2026-03-29 03:00:00 CEST"),
        # Another day, and zones that have no letters.
        ("Pacific/Apia", "2026-06-30 12:00:00", "2026-07-01 01:00:00 UTC+13"),
        ("America/Sao_Paulo", "2026-06-30 01:00:00", "2026-06-29 22:00:00 UTC-3"),
        ("Asia/Kathmandu", "2026-06-30 00:00:00", "2026-06-30 05:45:00 UTC+5:45"),
        ("Asia/Kolkata", "2026-06-30 00:00:00", "2026-06-30 05:30:00 IST"),
        # Years that the zone does not reach.
        ("America/New_York", "0001-01-01 00:00:00", "0001-01-01 00:00:00 UTC"),
        ("Asia/Tokyo", "9999-12-31 23:59:59", "9999-12-31 23:59:59 UTC"),
    ],
)
def test_a_time_is_shown_in_the_active_zone_with_utc_beside(zone, utc, words):
    moment = datetime.fromisoformat(f"{utc}+00:00")
    with override(zone):
        text = shown("{% when moment %}", moment=moment)
    assert f">{words}</time>" in text
    assert f'datetime="{utc.replace(" ", "T")}+00:00"' in text
    assert (f'title="{utc} UTC"' in text) == (not words.endswith(" UTC"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-59, "just now"),
        (59, "in under a minute"),
        (-60, "1 min ago"),
        (22 * 60 + 59, "in 22 min"),
        (-80 * 60, "1 h 20 min ago"),
        (-3 * 3600, "3 h ago"),
        (47 * 3600, "in 47 h"),
        (-48 * 3600, "2 days ago"),
        (400 * 86400, "in 400 days"),
    ],
)
def test_how_far_away_a_time_is(seconds, words):
    now = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert relative(now + timedelta(seconds=seconds), now) == words


def test_how_far_away_a_time_is_on_a_page():
    started = datetime.now(UTC) - timedelta(minutes=5, seconds=10)
    assert shown("{{ moment|ago }}", moment=started) == "5 min ago"
    assert shown("{{ moment|until }}", moment=started.isoformat()) == "5 min ago"
    assert shown("{{ moment|ago }}", moment=None) == "—"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (61, "1 min 1 s"),
        (3_660, "1 h 1 min"),
        (86_400, "1 day 0 h"),
        (180_000, "2 days 2 h"),
    ],
)
def test_a_duration_in_words(seconds, words):
    assert lasting(timedelta(seconds=seconds)) == words
    assert lasting(None) == "—"


def test_what_is_not_known_is_not_0():
    assert shown("{{ n|known }}", n=None) == "unknown"
    assert shown("{{ n|known }}", n=0) == "0"


def test_a_fragment_fetches_itself_only_while_something_goes_on():
    assert shown('{% live "table" False %}') == 'id="table"'
    assert shown('{% live "table" 1 7 %}') == (
        'id="table" hx-get="/x/?a=1&amp;b=2" hx-trigger="every 7s, seen" hx-swap="outerHTML"'
    )
    stamped = shown('{% live "table" 1 stamp=stamp %}', stamp="it's")
    assert stamped.endswith(""" hx-headers='{"Stamp": "it&#x27;s"}'""")


def test_an_error_tells_meaning_remedy_message_and_folds_the_raw_answer():
    text = shown(
        '{% explain_error "rate_limited" message raw %}', message="<i>", raw="{}"
    )
    assert '<a href="/errors/rate_limited/">Mixpanel asks to wait</a>' in text
    assert "What to do" in text and "<li>" in text
    before, folded = text.split("<details")
    assert "&lt;i&gt;" in before
    assert "{}" in folded
    assert "data-copy" in folded
    assert "Failed without a reason" in shown('{% explain_run "" %}')
    assert "mixadmin does not know this one" in shown(
        '{% explain_error "odd" "Odd." %}'
    )


def test_an_error_has_the_one_button_that_mends_it_where_the_place_is_known():
    project, source = Project(pk=3, service_account_id=5), WarehouseSource(pk=4)
    wrong = '{% explain_run "password authentication failed" "" "postgres" %}'
    secret = '{% explain_error "not_authenticated" %}'
    again = '{% explain_error "internal" job=job %}'
    mine = {"project": project, "source": source, "can_edit": True}

    assert 'href="/projects/3/sources/4/edit/"' in shown(wrong, **mine)
    assert 'class="button main"' not in shown(wrong, **mine | {"can_edit": False})
    assert 'class="button main"' not in shown(wrong, project=project, can_edit=True)
    assert 'href="/service-accounts/5/secret/"' in shown(secret, **mine)
    job = Job()
    assert f'action="/jobs/{job.pk}/retry/"' in shown(again, job=job, **mine)
    assert "<button" not in shown('{% explain_error "internal" %}', **mine)


def test_an_import_leads_to_its_source():
    row = WarehouseImport(pk=8, source_id=4)
    about = {"project": Project(pk=3), "import": row, "can_edit": False}

    text = shown('{% explain_run "" "" "snowflake" %}', **about)

    assert 'href="/projects/3/sources/4/"' in text


def test_a_count_is_grouped_and_what_is_not_known_is_not_zero():
    assert shown("{{ a|count }} {{ b|count }} {{ c|count }}", a=30112, b=None, c=0) == (
        "30,112 unknown 0"
    )


def test_an_icon_is_for_the_eye_only():
    drawn = shown('{% icon "pause" %}')
    assert drawn.startswith("<svg ")
    assert 'aria-hidden="true"' in drawn
    assert 'class="icon"' in drawn
    assert "style=" not in drawn


@pytest.mark.parametrize(
    ("here", "exact", "mark"),
    [
        ("/jobs/", False, 'aria-current="page"'),
        ("/jobs/7/", False, 'aria-current="true"'),
        ("/jobs/7/", True, ""),
        ("/errors/", False, ""),
    ],
)
def test_the_rail_says_where_one_is(here, exact, mark):
    request = RequestFactory().get(here)
    line = shown(
        '{% place "/jobs/" "house" "Jobs" exact=exact %}', request=request, exact=exact
    )
    assert 'href="/jobs/"' in line
    assert (mark in line) if mark else ("aria-current" not in line)
    assert shown('{% place "" "house" "Jobs" %}', request=request) == ""
