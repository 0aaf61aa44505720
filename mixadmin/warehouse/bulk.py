"""What can be done with many imports at once."""

from collections.abc import Callable, Sequence
from typing import Any

from django.utils.html import format_html

from mixadmin.accounts.models import User
from mixadmin.common.bulk import Kind, Verb
from mixadmin.common.templatetags.ui import when

from . import actions
from .models import WarehouseImport


def _by(action: Callable[..., Any]) -> Callable[[WarehouseImport, User], Any]:
    return lambda row, actor: action(warehouse_import=row, actor=actor)


def _stops(row: WarehouseImport) -> str:
    """What a pause takes away."""
    if row.sync_mode != "mirror_mode":
        return "The running sync stops, and no new one starts."
    deadline = row.mirror_deadline()
    if deadline is None:
        return "Mirror: no run has succeeded yet, so there is no snapshot to lose."
    if deadline.level == "dead":
        return _lost(row)
    words = "Mirror dies {} unless it runs before: {}."
    return format_html(words, when(deadline.dies_at), deadline.why)


def _lost(row: WarehouseImport) -> str:
    """What a run cannot bring back."""
    deadline = row.mirror_deadline()
    if deadline is None or deadline.level != "dead":
        return ""
    return (
        f"Mirror has lost track of the changes: {deadline.why}. A run does not bring "
        "it back: delete the import and create it again."
    )


def _most_runs(rows: Sequence[WarehouseImport]) -> str:
    """How many of them Mixpanel starts at once."""
    if not rows:
        return ""
    left, _ = actions.runs_left(rows[0].project)
    later = len(rows) - left
    if later <= 0:
        return ""
    return (
        f"Mixpanel starts {actions.MANUAL_SYNCS} runs by hand in an hour, and {left} are "
        f"left in this one: {later} of these wait for their turn."
    )


IMPORTS = Kind(
    one="import",
    many="imports",
    verbs={
        "pause": Verb(
            words="Pause {}",
            will=("will be paused", "will be paused"),
            did=("is being paused", "are being paused"),
            act=_by(actions.pause_import),
            already=lambda row: row.paused,
            already_words=("is paused already", "are paused already"),
            consequence=_stops,
            picture="pause",
        ),
        "resume": Verb(
            words="Resume {}",
            will=("will be resumed", "will be resumed"),
            did=("is being resumed", "are being resumed"),
            act=_by(actions.resume_import),
            already=lambda row: not row.paused,
            already_words=("is not paused", "are not paused"),
            consequence=_lost,
            picture="play",
        ),
        "run": Verb(
            words="Run {} now",
            will=("will be asked to run", "will be asked to run"),
            did=("is asked to run", "are asked to run"),
            act=_by(actions.run_import),
            consequence=_lost,
            note=_most_runs,
            picture="refresh-cw",
        ),
    },
)
