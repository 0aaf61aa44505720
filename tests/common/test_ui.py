"""The tags of the pages."""

from datetime import datetime, timedelta, timezone

import pytest
from django.template import Context, Template
from django.test import RequestFactory

from mixadmin.common.states import Presence, RunState
from mixadmin.common.templatetags.ui import TONE_OF, lasting
from mixadmin.ingestion.models import Ingestion, IngestionFile
from mixadmin.jobs.models import Job
from mixadmin.lookups.models import LookupVersion
from mixadmin.projects.models import Project
from mixadmin.service_accounts.models import ServiceAccount


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
    assert shown('{% when nothing "never" %}', nothing=None) == "never"


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
        'id="table" hx-get="/x/?a=1&amp;b=2" hx-trigger="every 7s" hx-swap="outerHTML"'
    )
    stamped = shown('{% live "table" 1 stamp=stamp %}', stamp="it's")
    assert stamped.endswith(""" hx-headers='{"Stamp": "it&#x27;s"}'""")


def test_an_error_tells_meaning_remedy_message_and_folds_the_raw_answer():
    text = shown(
        '{% explain_error "rate_limited" message raw %}', message="<i>", raw="{}"
    )
    assert "Mixpanel asks to wait" in text
    assert "What to do:" in text
    before, folded = text.split("<details>")
    assert "&lt;i&gt;" in before
    assert "{}" in folded
    assert "Failed without a reason" in shown('{% explain_run "" %}')
