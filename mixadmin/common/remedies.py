"""What an error means and what to do about it: looked up in the table of causes.

The text of a message is never used to decide what the program does, only to explain it
to a person.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mixadmin.mixpanel.errors import MixpanelError

from .causes import (
    KINDS,
    NO_REASON,
    NO_REASON_CONNECTOR,
    OF_QUESTIONS,
    RECORDS,
    REFUSED_RECORD,
    REQUEST_TEXTS,
    RUN_TEXTS,
    TABLES,
    UNKNOWN,
    WAREHOUSE_LOGS,
    Cause,
)

# Kinds of errors that tell of themselves, by texts that fit whatever the kind is.
_TOLD = tuple(cause for cause in KINDS.values() if cause.text)
_RECORD_TEXTS = tuple(cause for cause in RECORDS.values() if cause.text)
_TABLE_TEXTS = tuple(cause for cause in TABLES.values() if cause.text)


def explain(
    kind: str,
    *,
    message: str = "",
    status: int | None = None,
    context: Mapping[str, Any] | None = None,
) -> Cause:
    """The cause of a failed call to Mixpanel, or of a job, in words.

    kind: the error's slug (`KINDS`); another one gets the cause that its text tells.
    message: Mixpanel's text, which may make the words more exact.
    context: optional "area" ("connectors": 403 and 404 may mean that Mixpanel closed
        the feature; "lookups"), "retry_after" (seconds), and "asked" (True: a person
        waits for the answer to a question; nothing is tried again by itself).
    """
    context = context or {}
    area = str(context.get("area", ""))
    if found := first_told(REQUEST_TEXTS, message, area):
        return found
    if kind == "bad_request" and (found := first_told(_RECORD_TEXTS, message)):
        return found
    if area == "connectors" and (
        kind == "not_allowed" or (kind == "not_found" and not context.get("remote_id"))
    ):
        return KINDS["connectors_closed"]
    cause = KINDS.get(kind) or first_told(_TOLD, message) or UNKNOWN
    if context.get("asked") and cause.code in OF_QUESTIONS:
        meaning, steps = OF_QUESTIONS[cause.code]
        cause = replace(cause, meaning=meaning, steps=steps)
    wait = context.get("retry_after")
    if kind == "rate_limited" and isinstance(wait, int | float) and wait > 0:
        meaning = f"{cause.meaning} Mixpanel asks for {wait:,.0f} seconds."
        cause = replace(cause, meaning=meaning)
    if cause is UNKNOWN and status:
        meaning = f"Mixpanel answered with status {status}. {cause.meaning}"
        cause = replace(cause, meaning=meaning)
    return cause


def explain_answer(error: MixpanelError) -> Cause:
    """The cause of a question to Mixpanel that failed while a person waited."""
    return explain(
        error.kind,
        message=error.message,
        status=error.status,
        context={"asked": True, "retry_after": error.retry_after},
    )


def explain_run_failure(
    message: str, *, warehouse_type: str = "", connector_type: str = ""
) -> Cause:
    """The cause of a run that failed. `message` is Mixpanel's text, "" without one.

    Import history never has a text; then the words say where to look.
    """
    if not message.strip():
        if connector_type:
            return NO_REASON_CONNECTOR
        log = WAREHOUSE_LOGS.get(warehouse_type)
        if log:
            return replace(NO_REASON, steps=(*NO_REASON.steps, log))
        return NO_REASON
    where = warehouse_type or connector_type
    return first_told(RUN_TEXTS, message, where) or UNKNOWN


def explain_record(code: str, message: str = "") -> Cause:
    """The cause of records that were rejected: by a check of our own, which has the
    code, or by Mixpanel, which has a text."""
    return RECORDS.get(code) or first_told(_RECORD_TEXTS, message) or REFUSED_RECORD


def explain_row(message: str) -> Cause | None:
    """The cause of a row of a lookup table that Mixpanel refused, if it is known."""
    return first_told(_TABLE_TEXTS, message)


def first_told(causes: Iterable[Cause], message: str, where: str = "") -> Cause | None:
    """The first cause whose text is found. An endless message is cut."""
    message = message[:8192]
    for cause in causes:
        if cause.where and where not in cause.where:
            continue
        if cause.text and cause.text.search(message):
            return cause
    return None
