"""Mixpanel's many words for the state of a run -> ours."""

from __future__ import annotations

_SPELLINGS = {
    "queued": ("queued", "pending", "scheduled"),
    "running": ("running", "in_progress", "started", "staging"),
    "succeeded": ("success", "succeeded", "ok", "completed"),
    "failed": ("failed", "failure", "error"),
    "cancelled": ("cancelled", "canceled", "revoked", "stopped"),
    "paused": ("paused",),
}

_STATES = {word: state for state, words in _SPELLINGS.items() for word in words}


def normalise_run_state(raw: object) -> str:
    """One of queued, running, succeeded, failed, cancelled, paused, unknown.

    Case and spaces around do not matter. Anything not known is ``unknown``,
    never an error and never success.
    """
    if not isinstance(raw, str):
        return "unknown"
    return _STATES.get(raw.strip().lower(), "unknown")
