"""Live events: what goes out and comes back is shown, and no secret with it."""

import json
import time

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from mixadmin.audit.models import Entry
from mixadmin.common.errors import Refused
from mixadmin.ingestion.live import check_live, send_live
from tests.make import MIXPANEL_ID, SECRET
from tests.test_secrets import assert_nowhere, everything_stored

from .conftest import DAY, TOKEN, event
from .test_views import words


@pytest.fixture
def send(project, owner, sandbox):
    def send(*events, endpoint="import", **options):
        return send_live(
            project=project,
            actor=owner,
            endpoint=endpoint,
            events=list(events),
            **options,
        )

    return send


def test_an_event_is_imported_and_the_exchange_is_shown(send, sandbox):
    sent = send(event(1))
    assert (sent.arrived, sent.error, sent.found) == (1, None, [])
    assert sent.verdict == "Mixpanel stored 1 of 1."
    assert len(sandbox.events(MIXPANEL_ID)) == 1
    exchange = sent.exchange
    assert exchange.method == "POST"
    assert "/import?strict=1&project_id=" in exchange.url
    assert json.loads(exchange.body)[0]["event"] == "Order"
    assert exchange.headers["Authorization"] == "[removed]"
    assert (exchange.status, json.loads(exchange.answer)["code"]) == (200, 200)
    entry = Entry.objects.get(verb="sent live events")
    assert entry.changes == {"events": ["", "1 to /import"]}


def test_what_mixpanel_refuses_is_told_event_by_event(send):
    sent = send(event(1), event(2, time="yesterday"))
    assert sent.arrived == 1
    assert sent.exchange.status == 400
    assert "Mixpanel stored 1 of 2. Event 2: " in sent.verdict
    assert [(one.event, one.code) for one in sent.found] == [
        (2, "event.time.not_a_number")
    ]


@pytest.mark.parametrize("endpoint", ["track", "import"])
def test_the_token_goes_out_and_is_not_shown(endpoint, send, with_token, sandbox):
    sent = send(event(1), endpoint=endpoint, credential="token")
    assert len(sandbox.events(MIXPANEL_ID)) == 1
    assert_nowhere(repr(sent) + everything_stored(), TOKEN)
    if endpoint == "track":
        assert json.loads(sent.exchange.body)[0]["properties"]["token"] == "[removed]"
        assert "no proof" in sent.verdict
        assert sent.arrived is None


def test_the_secret_of_the_account_is_in_no_exchange(send):
    assert_nowhere(repr(send(event(1))), SECRET)


def test_track_is_known_to_drop_what_is_old(send, with_token):
    old = event(1, time=int(time.time()) - 6 * DAY, **{"$insert_id": None})
    sent = send(old, endpoint="track")
    assert [one.code for one in sent.found] == ["event.time.too_old_for_track"]
    assert "no proof" in sent.verdict


def test_an_error_of_mixpanel_is_a_result(send, sandbox, project):
    sandbox.change_secret(project.service_account.username, "another")
    sent = send(event(1))
    assert sent.exchange.status == 401
    assert sent.error.title == "Mixpanel does not know these credentials"
    sandbox.fault("POST", "/import", "lost", times=1)
    sent = send(event(1))
    assert sent.exchange.status is None
    assert "Lost Mixpanel's answer" in sent.exchange.error


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"events": []}, "events"),
        ({"events": {}}, "events"),
        ({"events": [1]}, "events"),
        ({"events": [event(1)] * 51}, "events"),
        ({"events": [{"event": "\ud800"}]}, "events"),
        ({"events": [{"event": "x" * 60_000}]}, "events"),
        ({"events": [{"event": float("nan")}]}, "events"),
        ({"events": [{"n": 10**400}]}, "events"),
        ({"events": [event(1)] * 2, "endpoint": "track"}, "events"),
        ({"endpoint": "engage"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"credential": "password"}, "credential"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_nonsense_is_refused_and_sends_nothing(wrong, field, project, owner, sandbox):
    asked = {"endpoint": "import", "events": [event(1)], **wrong}
    with pytest.raises(ValidationError) as caught:
        send_live(project=project, actor=owner, **asked)
    assert set(caught.value.error_dict) == {field}
    assert not sandbox.calls("POST", "/import")
    assert not Entry.objects.exists()


def test_without_a_token_track_says_where_it_is_set(send, sandbox):
    with pytest.raises(Refused) as caught:
        send(event(1), endpoint="track")
    assert caught.value.code == "no_token"
    assert not sandbox.calls("POST", "/track")


def test_checking_sends_nothing(sandbox, project):
    found = check_live(
        endpoint="import",
        credential="service_account",
        events=[event(1, **{"$insert_id": None}), {"event": ""}],
    )
    assert [one.event for one in found] == [1, 2]
    assert not sandbox.calls()


# --- Page and API ---------------------------------------------------------------------


def test_the_page_looks_first_and_sends_when_it_is_told(page, project, sandbox):
    where = reverse("ingestion:live", args=[project.pk])
    assert "drops events older than 5 days" in words(page.get(where))
    form = {"endpoint": "import", "credential": "service_account"}
    form["events"] = json.dumps(event(1))
    assert "nothing was sent yet" in words(page.post(where, {**form, "look": "1"}))
    assert not sandbox.calls("POST", "/import")
    answer = page.post(where, {**form, "send": "1"})
    assert answer.status_code == 200
    assert "Mixpanel stored 1 of 1." in words(answer)
    assert "Authorization: [removed]" in words(answer)
    for bad in ("", "nonsense", "[]", "[1]", '{"a": NaN}', "[" * 5000):
        answer = page.post(where, {**form, "events": bad, "send": "1"})
        assert answer.status_code == 422, bad[:20]
    assert len(sandbox.calls("POST", "/import")) == 1


def test_the_api_answers_with_the_exchange(api, project, sandbox):
    where = f"/api/v1/projects/{project.pk}/live-events/"
    answer = api.post(where, {"endpoint": "import", "events": [event(1)]})
    told = answer.json()
    assert answer.status_code == 200, told
    assert (told["arrived"], told["error"]) == (1, None)
    assert told["exchange"]["headers"]["Authorization"] == "[removed]"
    refused = api.post(where, {"endpoint": "track", "events": [event(1)]})
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["code"] == "no_token"
