"""What can be done with many ingestions at once."""

from collections.abc import Callable
from typing import Any

from mixadmin.accounts.models import User
from mixadmin.common.bulk import Kind, Verb

from . import actions
from .models import Ingestion

State = Ingestion.State


def _by(action: Callable[..., Any]) -> Callable[[Ingestion, User], Any]:
    return lambda row, actor: action(ingestion=row, actor=actor)


INGESTIONS = Kind(
    one="ingestion",
    many="ingestions",
    verbs={
        "pause": Verb(
            words="Pause {}",
            will=("will be paused", "will be paused"),
            did=("is paused", "are paused"),
            act=_by(actions.pause_ingestion),
            already=lambda row: row.state == State.PAUSED,
            already_words=("is paused already", "are paused already"),
            consequence=lambda row: "What is under way is finished first.",
            picture="pause",
        ),
        "resume": Verb(
            words="Resume {}",
            will=("will go on", "will go on"),
            did=("goes on", "go on"),
            act=_by(actions.resume_ingestion),
            already=lambda row: row.state in Ingestion.GOING_ON,
            already_words=("goes on already", "go on already"),
            picture="play",
        ),
        "retry": Verb(
            words="Retry {}",
            will=("will be tried again", "will be tried again"),
            did=("goes on where it ended", "go on where they ended"),
            act=_by(actions.retry_ingestion),
            picture="rotate-cw",
        ),
        "cancel": Verb(
            words="Cancel {}",
            will=("will be cancelled", "will be cancelled"),
            did=("is cancelled", "are cancelled"),
            act=_by(actions.cancel_ingestion),
            already=lambda row: row.state == State.CANCELLED,
            already_words=("is cancelled already", "are cancelled already"),
            consequence=lambda row: "What was imported stays in Mixpanel.",
            picture="circle-x",
            danger=True,
        ),
    },
)
