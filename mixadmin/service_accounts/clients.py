"""Clients for Mixpanel from a stored credential: the one place a secret leaves."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from django.conf import settings

from mixadmin.common.clock import db_now
from mixadmin.common.errors import Refused, Wait
from mixadmin.jobs.models import Job
from mixadmin.jobs.times import TIMES
from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.errors import MixpanelError
from mixadmin.mixpanel.http import Timeouts
from mixadmin.mixpanel.rehearsal import Rehearsed, rehearse
from mixadmin.projects import access
from mixadmin.projects.models import Project

from .models import ServiceAccount


@contextmanager
def client_for_account(
    account: ServiceAccount,
    *,
    region: str = "",
    project_id: int | None = None,
    seconds: float | None = None,
) -> Iterator[MixpanelClient]:
    """A client with the secret as it is stored now. `project_id` is Mixpanel's.

    seconds: how long a call may take, and its answer may be waited for, where that is
    longer than usual.
    """
    client = MixpanelClient(
        region or account.region,
        account.username,
        account.secret.reveal(),
        project_id=project_id,
        timeouts=Timeouts(
            connect=TIMES.connect,
            read=seconds or TIMES.read,
            total=seconds or TIMES.total,
        ),
        app_url=settings.MIXPANEL_APP_URL,
        ingestion_url=settings.MIXPANEL_INGESTION_URL,
    )
    with client:
        yield client


def rehearsed(project: Project, call: Callable[[MixpanelClient], object]) -> Rehearsed:
    """What a call for a project would send first. Nothing is sent, no secret is read."""
    return rehearse(
        call,
        region=project.region,
        project_id=project.mixpanel_id,
        app_url=settings.MIXPANEL_APP_URL,
        ingestion_url=settings.MIXPANEL_INGESTION_URL,
    )


@contextmanager
def sending_clients(
    project: Project,
    count: int,
    *,
    with_token: bool = False,
    timeouts: Timeouts | None = None,
) -> Iterator[list[MixpanelClient]]:
    """Clients for as many requests at the same time, for records on their way.

    with_token: the project token is the credential, not the service account. Raises
    Refused without it, and as `client_for` does.
    """
    if with_token:
        username, secret = project_token(project), ""
    else:
        account = usable_account(project)
        username, secret = account.username, account.secret.reveal()
    timeouts = timeouts or Timeouts(TIMES.connect, TIMES.read_batch, TIMES.batch)
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                MixpanelClient(
                    project.region,
                    username,
                    secret,
                    project_id=project.mixpanel_id,
                    timeouts=timeouts,
                    app_url=settings.MIXPANEL_APP_URL,
                    ingestion_url=settings.MIXPANEL_INGESTION_URL,
                )
            )
            for _ in range(count)
        ]


def project_token(project: Project) -> str:
    """The token in the clear, read anew. Raises Refused where there is none."""
    token = Project.objects.only("token").get(pk=project.pk).token.reveal()
    if not token:
        raise Refused(
            f"{project.name} has no project token. Set it in the project's settings; it "
            "is in Mixpanel under Project Settings.",
            code="no_token",
        )
    return token


@contextmanager
def client_for(
    project: Project, *, seconds: float | None = None
) -> Iterator[MixpanelClient]:
    """A client for a project. Raises Refused without an account, Wait if refused."""
    account = usable_account(project)
    with client_for_account(
        account,
        region=project.region,
        project_id=project.mixpanel_id,
        seconds=seconds,
    ) as client:
        yield client


def usable_account(project: Project) -> ServiceAccount:
    # Read anew, so that a secret that was just set is the one that is used.
    account = ServiceAccount.objects.filter(projects=project).first()
    if account is None:
        raise Refused(
            f"{project.name} has no service account. Choose one in its settings.",
            code="no_service_account",
        )
    ensure_usable(account)
    return account


def ensure_usable(account: ServiceAccount) -> None:
    """Raise Wait while Mixpanel refuses this account: nothing more is sent with it."""
    if account.verification == ServiceAccount.Verification.REFUSED:
        message = (
            f"Mixpanel refuses the service account {account.username}. "
            "Set a new secret; the waiting work then goes on by itself."
        )
        raise Wait(Job.Wait.CREDENTIAL, message, None)


def for_job(job: Job, *, seconds: float | None = None) -> dict[str, Any]:
    """What every Plan for a project needs: its client, and what a 401 means.

    seconds: how long sending may take, where that is longer than usual.

    The right of the person is looked at again here, since it may have been taken away
    between the click and the call; not when an outcome is only looked up.
    """
    assert job.project is not None
    project = job.project
    client = partial(client_for, project, seconds=seconds)
    common: dict[str, Any] = {"client": client, "seconds": seconds}
    if job.state not in Job.HELD:
        # Nothing is sent now: the plan is asked what the end of the job means, or what
        # could be adopted.
        return common
    if job.state == Job.State.CLAIMED:
        access.require(job.actor, project)
    account = usable_account(project)
    Job.objects.filter(pk=job.pk).exclude(service_account=account).update(
        service_account=account
    )
    return {
        **common,
        "refused": partial(note_refusal, account, region=project.region),
        "credential_version": account.secret_version,
    }


def note_refusal(account: ServiceAccount, *, region: str = "") -> bool:
    """Ask Mixpanel once, after a 401, whether the account works. True when not.

    Then it is marked, so that one refusal stops all its work instead of each job
    finding out alone.
    """
    current = ServiceAccount.objects.get(pk=account.pk)
    if current.secret_version != account.secret_version:
        return False
    try:
        with client_for_account(current, region=region) as client:
            client.projects.me()
    except MixpanelError as error:
        if error.kind != "not_authenticated":
            return False
        ServiceAccount.objects.filter(
            pk=account.pk, secret_version=account.secret_version
        ).update(
            verification=ServiceAccount.Verification.REFUSED,
            verification_detail=str(error),
            verified_at=db_now(),
        )
        return True
    return False
