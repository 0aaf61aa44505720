"""Send a handful of events at once, and show exactly what went out and came back."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from mixadmin.accounts.models import User
from mixadmin.audit.actions import record
from mixadmin.common.causes import Cause
from mixadmin.common.errors import Refused, Wait
from mixadmin.common.remedies import explain_answer
from mixadmin.common.rules import Finding, check_json, json_type_name
from mixadmin.common.validation import raise_for
from mixadmin.dataprep.findings import REFUSED, RULES
from mixadmin.dataprep.judging import Chunk
from mixadmin.dataprep.rules import judge_for
from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.errors import MixpanelError
from mixadmin.mixpanel.http import (
    Exchange,
    Timeouts,
    dump_json,
    shown,
    spellings,
)
from mixadmin.projects import access
from mixadmin.projects.models import Project
from mixadmin.service_accounts.clients import project_token, sending_clients

from .models import Ingestion

MOST_BYTES = 48 * 1024
# Somebody waits for the answer.
TIMEOUTS = Timeouts(connect=5, read=10, total=15)
# /track takes these as they are: it makes them up.
MADE_UP = ("insert_id.missing", "event.time.missing")
TRACK_DAYS = 5
ZERO = "Mixpanel took none of the events."


@dataclass(frozen=True, slots=True)
class Endpoint:
    slug: str
    label: str
    most: int
    meaning: str


ENDPOINTS = {
    endpoint.slug: endpoint
    for endpoint in (
        Endpoint(
            "import",
            "/import",
            50,
            "Checks every event and says what it refused. Needs the service account or "
            "the project token.",
        ),
        Endpoint(
            "track",
            "/track",
            1,
            "What apps and websites use. Says 1 even for a token that does not exist, "
            "and drops events older than 5 days without a word.",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Found:
    """Something about one of the events, counted from 1."""

    event: int
    code: str
    severity: str
    title: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of them: `arrived` is None where nobody can tell."""

    exchange: Exchange | None
    verdict: str
    arrived: int | None
    found: list[Found]
    error: Cause | None = None


def check_live(*, endpoint: str, events: Any, credential: str) -> list[Found]:
    """What Mixpanel would do with these events. Sends nothing. Raises ValidationError."""
    raise_for(_check(endpoint, events, credential))
    lines = [dump_json(event) for event in events]
    now = time.time()
    chunk = Chunk(lines, 0, 1, sum(len(line) + 1 for line in lines))
    judged = judge_for("events").judge(chunk, now=now)
    found = [_found(p.index, p.code, p.message) for p in judged.invalid]
    found += [_found(index, "event.time.near_future") for index, _ in judged.held]
    for code, indexes in judged.noted.items():
        found += [_found(index, code) for index in indexes]
    if endpoint == "track":
        found = [one for one in found if one.code not in MADE_UP]
        found += _too_old(events, now)
    return sorted(found, key=lambda one: (one.event, one.code))


def _found(index: int, code: str, message: str = "") -> Found:
    rule = RULES.get(code)
    if rule is None:
        return Found(index + 1, code, REFUSED, message or code, "", "")
    return Found(
        index + 1,
        code,
        rule.severity["import"],
        rule.title,
        rule.meaning,
        rule.remedy,
    )


def _too_old(events: list[Any], now: float) -> Iterable[Found]:
    for index, event in enumerate(events):
        properties = event.get("properties")
        at = properties.get("time") if isinstance(properties, dict) else None
        if isinstance(at, bool) or not isinstance(at, int | float):
            continue
        seconds = at / 1000 if at >= 1e11 else at
        if seconds < now - TRACK_DAYS * 86_400:
            yield Found(
                index + 1,
                "event.time.too_old_for_track",
                "dropped",
                f"Older than {TRACK_DAYS} days",
                "/track drops such an event and still says 1.",
                "Send it to /import.",
            )


def _check(endpoint: Any, events: Any, credential: str) -> Iterable[Finding]:
    known = ENDPOINTS.get(endpoint) if isinstance(endpoint, str) else None
    if known is None:
        yield Finding("endpoint", "Choose import or track.", "invalid_choice")
    if credential not in Ingestion.Credential.values:
        yield Finding(
            "credential", "Choose service_account or token.", "invalid_choice"
        )
    if not isinstance(events, list):
        name = json_type_name(events)
        yield Finding("events", f"Must be a list of events, not {name}.", "type")
        return
    if not events:
        yield Finding("events", "Give at least one event.", "required")
    elif known and len(events) > known.most:
        more = "one event" if known.most == 1 else f"{known.most} events"
        yield Finding(
            "events",
            f"At most {more} at once go to {known.label} from here. Send more as a "
            "file.",
            "too_many",
        )
    elif not all(isinstance(event, dict) for event in events):
        yield Finding("events", "Every event must be a JSON object.", "type")
    else:
        yield from check_json(events, "events", json_type=list, max_bytes=MOST_BYTES)


def send_live(
    *,
    project: Project,
    actor: User | None,
    endpoint: str,
    events: Any,
    credential: str = Ingestion.Credential.SERVICE_ACCOUNT,
) -> Sent:
    """Send events now, while a person waits. Raises ValidationError and Refused.

    An error of Mixpanel is a result as well: it is what the person wants to see.
    """
    access.require(actor, project)
    found = check_live(endpoint=endpoint, events=events, credential=credential)
    by_token = endpoint == "track" or credential == Ingestion.Credential.TOKEN
    token = project_token(project) if by_token or project.token else ""
    # Somebody may have written it into an event, and Mixpanel may repeat it.
    secrets = spellings([token])
    with _client(project, with_token=by_token) as client:
        exchanges = client.record(secrets)
        # Before it goes out: a line too many is better than one that is missing.
        record(
            actor=actor,
            verb="sent live events",
            target=project,
            changes={"events": ["", f"{len(events)} to /{endpoint}"]},
        )
        error: MixpanelError | None = None
        arrived: int | None = None
        try:
            if endpoint == "track":
                verdict = _track(client, events, token)
            else:
                verdict, arrived = _import(client, events, token if by_token else "")
        except MixpanelError as failed:
            error, verdict = failed, failed.message
    return Sent(
        exchange=exchanges[-1] if exchanges else None,
        verdict=shown(verdict, secrets),
        arrived=arrived,
        found=found,
        error=explain_answer(error) if error else None,
    )


@contextmanager
def _client(project: Project, *, with_token: bool) -> Iterator[MixpanelClient]:
    """A client that does not wait: a person does."""
    with ExitStack() as stack:
        clients = sending_clients(project, 1, with_token=with_token, timeouts=TIMEOUTS)
        try:
            [client] = stack.enter_context(clients)
        except Wait as wait:
            raise Refused(wait.message, code=wait.reason) from None
        yield client


def _track(client: MixpanelClient, events: list[Any], token: str) -> str:
    records = []
    for event in events:
        properties = event.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        records.append({**event, "properties": {**properties, "token": token}})
    result = client.ingestion.track(records)
    if not result.ok:
        return f"{ZERO} {result.error}".strip()
    return (
        "Mixpanel says that the event is well formed. That is no proof that it was "
        "stored: it says the same for a token that does not exist, and for an event "
        f"older than {TRACK_DAYS} days, which it drops. Look for the event in Mixpanel."
    )


def _import(
    client: MixpanelClient, events: list[Any], token: str
) -> tuple[str, int | None]:
    result = client.ingestion.import_events(
        dump_json(events), content_type="application/json", token=token
    )
    stored = result.num_records_imported
    if stored is None:
        return "Mixpanel does not say how many events it stored.", None
    words = f"Mixpanel stored {stored} of {len(events)}."
    for failed in result.failed[:10]:
        which = "" if failed.index is None else f"Event {failed.index + 1}: "
        words += f" {which}{failed.message}."
    return words, stored
