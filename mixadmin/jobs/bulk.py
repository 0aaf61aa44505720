"""What can be done with many jobs at once."""

from collections.abc import Callable

from mixadmin.accounts.models import User
from mixadmin.common.bulk import Kind, Verb
from mixadmin.projects import access

from . import actions
from .models import Job


def _as_editor(action: Callable[..., Job]) -> Callable[[Job, User], Job]:
    """The action, for those who may change the job's project: a list of jobs holds
    those of several projects."""

    def act(job: Job, actor: User) -> Job:
        if job.project is not None:
            access.require(actor, job.project)
        return action(job=job, actor=actor)

    return act


def _sent_before(job: Job) -> str:
    """What a cancelled job may have left behind."""
    return "Look what an earlier attempt has changed." if job.attempt_count else ""


JOBS = Kind(
    one="job",
    many="jobs",
    verbs={
        "retry": Verb(
            words="Retry {}",
            will=("will be tried again", "will be tried again"),
            did=("is tried again", "are tried again"),
            act=_as_editor(actions.retry_job),
            picture="rotate-cw",
        ),
        "dismiss": Verb(
            words="Put aside {}",
            will=("will be put aside", "will be put aside"),
            did=("is put aside", "are put aside"),
            act=_as_editor(actions.dismiss_job),
            already=lambda job: job.dismissed,
            already_words=("is put aside already", "are put aside already"),
            picture="archive",
        ),
        "cancel": Verb(
            words="Cancel {}",
            will=("will be cancelled", "will be cancelled"),
            did=("is cancelled", "are cancelled"),
            act=_as_editor(actions.cancel_job),
            already=lambda job: job.state == Job.State.CANCELLED or job.cancel_asked,
            already_words=("is cancelled already", "are cancelled already"),
            consequence=_sent_before,
            picture="circle-x",
            danger=True,
        ),
    },
)
