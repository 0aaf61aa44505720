"""What people do with service accounts. Those at Mixpanel are changed by jobs."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from mixadmin.accounts.models import User
from mixadmin.audit.actions import record
from mixadmin.common.clock import db_now
from mixadmin.common.crypto import CannotDecrypt, Secret
from mixadmin.common.errors import Refused
from mixadmin.common.rules import Finding, check_int, clean_text, prefixed
from mixadmin.common.states import Presence
from mixadmin.common.validation import raise_for
from mixadmin.jobs.actions import enqueue_job, release_credential
from mixadmin.jobs.models import Attempt, Job
from mixadmin.jobs.operations import Op
from mixadmin.jobs.registry import Candidate, Plan, job_task
from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.errors import MixpanelError
from mixadmin.projects.access import NotPermitted
from mixadmin.projects.managed import unless_success

from .clients import client_for_account, ensure_usable, note_refusal
from .models import ServiceAccount, may_change, may_use

MAX_SECRET = 400


def add_service_account(*, actor: User | None, **wanted: Any) -> ServiceAccount:
    """Register a service account that exists at Mixpanel. wanted: see `new_account`."""
    account = new_account(actor=actor, **wanted)
    with transaction.atomic():
        account.save()
        record(actor=actor, verb="added", target=account)
    return account


def new_account(
    *,
    actor: User | None,
    username: str,
    secret: str,
    region: str,
    organization_id: int | None = None,
    role: str = "",
    expires_at: datetime | None = None,
) -> ServiceAccount:
    """What `add_service_account` saves, checked and not saved."""
    account = ServiceAccount(
        username=username,
        secret=Secret(secret),
        region=region,
        organization_id=organization_id,
        role=role,
        expires_at=expires_at,
        owner=actor,
    )
    problems = _secret_problem(secret)
    try:
        account.full_clean(exclude=["secret"])
    except ValidationError as error:
        raise ValidationError({**error.update_error_dict({}), **problems}) from None
    if problems:
        raise ValidationError(problems)
    return account


def change_service_account(
    *, account: ServiceAccount, actor: User | None, **changes: Any
) -> ServiceAccount:
    """Change what is noted about an account: organization_id, role, expires_at."""
    before = {name: getattr(account, name) for name in changes}
    set_notes(account=account, actor=actor, **changes)
    fields = list(changes)
    if "expires_at" in changes and changes["expires_at"] != before["expires_at"]:
        account.warned_days = None
        fields.append("warned_days")
    with transaction.atomic():
        account.save(update_fields=fields)
        told = {
            name: [str(before[name]), str(value)]
            for name, value in changes.items()
            if before[name] != value
        }
        record(actor=actor, verb="changed", target=account, changes=told)
    return account


def set_notes(*, account: ServiceAccount, actor: User | None, **changes: Any) -> None:
    """Note other values about an account, checked and not saved."""
    _require_change(actor, account)
    for name, value in changes.items():
        setattr(account, name, value)
    account.full_clean(exclude=["secret"])


def set_secret(
    *, account: ServiceAccount, actor: User | None, secret: str
) -> ServiceAccount:
    """Store a new secret, once Mixpanel accepts it, and let waiting jobs go on.

    A secret that Mixpanel refuses is not stored; one that cannot be tried, because
    Mixpanel does not answer, is, and is shown as not verified.
    """
    _require_change(actor, account)
    if problems := _secret_problem(secret):
        raise ValidationError(problems)
    tried = ServiceAccount(
        username=account.username, secret=Secret(secret), region=account.region
    )
    state, detail = _try(tried)
    if state == ServiceAccount.Verification.REFUSED:
        message = "Mixpanel refuses this secret, so the old one was kept."
        raise ValidationError({"secret": ValidationError(message, code="refused")})
    now = db_now()
    with transaction.atomic():
        account.secret = tried.secret
        account.secret_version += 1
        account.secret_set_at = now
        account.verification, account.verification_detail = state, detail
        account.verified_at = now
        account.save(
            update_fields=[
                "secret",
                "secret_version",
                "secret_set_at",
                "verification",
                "verification_detail",
                "verified_at",
            ]
        )
        changes = {"secret": ["set", "set anew"]}
        record(actor=actor, verb="set a secret", target=account, changes=changes)
        release_credential(service_account=account)
    return account


def verify_service_account(
    *, account: ServiceAccount, actor: User | None
) -> ServiceAccount:
    """Ask Mixpanel whether the account works, and store the answer with its time."""
    if not may_use(actor, account):
        raise NotPermitted("You may not use this service account.")
    state, detail = _try(account)
    account.verification, account.verification_detail = state, detail
    account.verified_at = db_now()
    with transaction.atomic():
        account.save(
            update_fields=["verification", "verification_detail", "verified_at"]
        )
        record(actor=actor, verb=f"verified ({state})", target=account)
        if state == ServiceAccount.Verification.WORKS:
            release_credential(service_account=account)
    return account


def forget_service_account(*, account: ServiceAccount, actor: User | None) -> None:
    """Remove the account here. At Mixpanel it stays."""
    _require_change(actor, account)
    if account.presence in (Presence.PENDING, Presence.DELETING):
        raise Refused(
            f"It is {account.get_presence_display().lower()}. Wait for the end of that "
            "job, or cancel it.",
            code="unfinished_jobs",
        )
    if project := account.projects.first():
        raise Refused(
            f"{project.name} uses this service account. Choose another there first.",
            code="in_use",
        )
    with transaction.atomic():
        record(actor=actor, verb="forgot", target=account)
        account.delete()


def _try(account: ServiceAccount) -> tuple[str, str]:
    try:
        with client_for_account(account) as client:
            me = client.projects.me()
    except CannotDecrypt as error:
        return ServiceAccount.Verification.CANNOT_REACH, str(error)
    except MixpanelError as error:
        if error.kind in ("not_authenticated", "not_allowed"):
            return ServiceAccount.Verification.REFUSED, str(error)
        return ServiceAccount.Verification.CANNOT_REACH, str(error)
    count = len(me.projects)
    seen = "1 project" if count == 1 else f"{count} projects"
    return ServiceAccount.Verification.WORKS, f"Mixpanel accepts it; it sees {seen}."


def _secret_problem(secret: object) -> dict[str, list[ValidationError]]:
    findings = clean_text(
        "secret", secret, label="Secret", required=True, max_length=MAX_SECRET
    )
    try:
        raise_for(findings)
    except ValidationError as error:
        return error.update_error_dict({})
    return {}


def _require_change(actor: User | None, account: ServiceAccount) -> None:
    if not may_change(actor, account):
        raise NotPermitted(
            "Only its owner, or an editor of all projects that use it, may change "
            f"the service account {account.username}."
        )


# --- Through the organization API, with `via`: an account of an organization admin.


def create_at_mixpanel(
    *,
    via: ServiceAccount,
    actor: User | None,
    username: str,
    role: str = "",
    expires_at: datetime | None = None,
    projects: list[dict[str, Any]] | None = None,
) -> tuple[ServiceAccount, Job]:
    """Queue the creation of a service account. Its secret is stored as it comes back.

    projects: [{"id": Mixpanel project id, "role": role}] that it joins at once.
    """
    organization_id = _organization(via, actor)
    account = ServiceAccount(
        username=username,
        secret=Secret(""),
        region=via.region,
        organization_id=organization_id,
        role=role,
        expires_at=expires_at,
        owner=actor,
        presence=Presence.PENDING,
    )
    account.full_clean(exclude=["secret"])
    raise_for(_check_projects(projects or []))
    with transaction.atomic():
        account.save()
        record(actor=actor, verb="asked to create", target=account)
        job = enqueue_job(
            task="service_accounts.create",
            title=f"Create service account {username} at Mixpanel",
            target=account,
            service_account_id=via.pk,
            actor=actor,
            params={"projects": projects or []},
        )
    return account, job


def _check_projects(projects: object) -> list[Finding]:
    """[{"id": number, "role": word}], as Mixpanel's organization API takes them."""
    if not isinstance(projects, list) or len(projects) > 100:
        return [Finding("projects", "Must be a list of at most 100 projects.", "type")]
    findings: list[Finding] = []
    for place, project in enumerate(projects):
        if not isinstance(project, dict) or set(project) != {"id", "role"}:
            message = "Must be an object with id and role."
            found = [Finding("", message, "type")]
        else:
            found = check_int("id", project["id"], minimum=1)
            found += clean_text(
                "role", project["role"], label="Role", required=True, max_length=60
            )
        findings += prefixed(f"projects.{place}", found)
    return findings


def delete_at_mixpanel(
    *, account: ServiceAccount, via: ServiceAccount, actor: User | None
) -> Job:
    """Queue the deletion at Mixpanel: it leaves all its projects at once."""
    _require_reachable(account, via, actor)
    if account == via:
        raise Refused(
            "A service account cannot delete itself. Use another one of an "
            "organization admin.",
            code="itself",
        )
    if project := account.projects.first():
        raise Refused(
            f"{project.name} uses this service account. Choose another there first.",
            code="in_use",
        )
    with transaction.atomic():
        here = ServiceAccount.objects.filter(pk=account.pk, presence=Presence.ACTIVE)
        if not here.update(presence=Presence.DELETING):
            raise Refused("It has changed in the meantime.", code="moved_on")
        record(actor=actor, verb="asked to delete", target=account)
        return enqueue_job(
            task="service_accounts.delete",
            title=f"Delete service account {account.username} at Mixpanel",
            target=account,
            service_account_id=via.pk,
            actor=actor,
        )


def change_membership(
    *,
    account: ServiceAccount,
    via: ServiceAccount,
    actor: User | None,
    project_id: int,
    role: str = "",
    remove: bool = False,
) -> Job:
    """Queue adding the account to a Mixpanel project with a role, or removing it."""
    _require_reachable(account, via, actor)
    findings = check_int("project_id", project_id, minimum=1)
    findings += clean_text(
        "role", role, label="Role", required=not remove, max_length=60
    )
    raise_for(findings)
    words = "Remove" if remove else "Add"
    with transaction.atomic():
        record(
            actor=actor,
            verb="asked to remove from project"
            if remove
            else "asked to add to project",
            target=account,
            changes={"project": ["", f"{project_id} {role}".strip()]},
        )
        return enqueue_job(
            task="service_accounts.membership",
            title=f"{words} {account.username} {'from' if remove else 'to'} "
            f"Mixpanel project {project_id}",
            target=account,
            service_account_id=via.pk,
            actor=actor,
            params={"project_id": project_id, "role": role, "remove": remove},
        )


def list_at_mixpanel(*, via: ServiceAccount, actor: User | None) -> list[Any]:
    """The organization's service accounts as Mixpanel lists them now.

    Learns Mixpanel's ids of those that are registered here. Raises MixpanelError.
    """
    organization_id = _organization(via, actor)
    with client_for_account(via) as client:
        found = client.service_accounts.list(organization_id)
    for remote in found:
        ServiceAccount.objects.filter(
            username=remote.username, region=via.region, mixpanel_id=None
        ).update(mixpanel_id=remote.id, organization_id=organization_id)
    return list(found)


def _require_reachable(
    account: ServiceAccount, via: ServiceAccount, actor: User | None
) -> None:
    """Refuse what `via` cannot do: its organization would say "not found"."""
    _require_change(actor, account)
    if account.mixpanel_id is None:
        raise Refused(
            "Mixpanel's id of this service account is not known. "
            "List the organization's service accounts first.",
            code="no_mixpanel_id",
        )
    place = (via.region, _organization(via, actor))
    if (account.region, account.organization_id) != place:
        raise Refused(
            f"{account.username} and {via.username} are not noted for the same region "
            "and organization.",
            code="other_organization",
        )


def _organization(via: ServiceAccount, actor: User | None) -> int:
    _require_change(actor, via)
    if via.organization_id is None:
        raise ValidationError(
            {"via": "Note the organization id of this service account first."}
        )
    return via.organization_id


def _for_account_job(job: Job) -> tuple[ServiceAccount, int, dict[str, Any]]:
    """(the account the job is about, its organization, what its Plan needs)."""
    account = ServiceAccount.objects.get(pk=job.target_id)
    via = job.service_account
    if job.state not in Job.HELD:
        # Nothing is sent now: the plan is asked what the end of the job means, or what
        # could be adopted.
        return account, account.organization_id or 0, {"client": lambda: _client(via)}
    if via is None:
        raise Refused("The service account that this job calls with was removed.")
    if account.organization_id is None:
        raise Refused(f"The organization id of {account.username} is not noted.")
    ensure_usable(via)
    if job.state == Job.State.CLAIMED:
        _require_change(job.actor, via)
    return (
        account,
        account.organization_id,
        {
            "client": lambda: _client(via),
            "refused": lambda: note_refusal(via),
            "credential_version": via.secret_version,
        },
    )


def _client(via: ServiceAccount | None) -> AbstractContextManager[MixpanelClient]:
    if via is None:
        raise Refused("The service account that this job calls with was removed.")
    return client_for_account(via)


@job_task("service_accounts.create", op=Op.NON_IDEMPOTENT)
def plan_create(job: Job) -> Plan:
    account, organization_id, common = _for_account_job(job)

    def known(client: MixpanelClient) -> list[str]:
        return [str(a.id) for a in client.service_accounts.list(organization_id)]

    def send(client: MixpanelClient) -> tuple[Any, str]:
        return client.service_accounts.create(
            organization_id,
            username=account.username,
            role=account.role,
            expires_at=account.expires_at,
            projects=job.params["projects"],
        )

    def find(client: MixpanelClient, attempt: Attempt) -> list[Candidate]:
        taken = ServiceAccount.objects.exclude(mixpanel_id=None)
        ours = set(taken.values_list("mixpanel_id", flat=True))
        return [
            Candidate(str(a.id), (a, ""), f"{a.username}, created {a.created_at}")
            for a in client.service_accounts.list(organization_id)
            if str(a.id) not in attempt.known_before
            and a.id not in ours
            # Mixpanel adds a suffix to the name that was asked for.
            and f"{a.username}.".startswith(f"{account.username}.")
        ]

    def save(made: tuple[Any, str]) -> dict[str, Any]:
        remote, secret = made
        now = db_now()
        lost = (
            "Mixpanel created it, but the answer with its secret was lost and is never "
            "shown again. Delete it and create another one."
        )
        row = ServiceAccount.objects.get(pk=account.pk)
        row.username, row.mixpanel_id = remote.username, remote.id
        row.presence = Presence.ACTIVE
        row.secret, row.secret_set_at = Secret(secret), now
        if not secret:
            row.verification = ServiceAccount.Verification.REFUSED
            row.verification_detail = lost
        row.save()
        note = {} if secret else {"note": lost}
        return {"mixpanel_id": remote.id, "username": remote.username, **note}

    return Plan(
        known=known,
        send=send,
        find=find,
        save=save,
        follow=unless_success(account, Presence.PENDING, Presence.NOT_CREATED),
        **common,
    )


@job_task("service_accounts.delete", op=Op.DESTRUCTIVE)
def plan_delete(job: Job) -> Plan:
    account, organization_id, common = _for_account_job(job)
    remote_id = account.mixpanel_id
    assert remote_id is not None

    def check(client: MixpanelClient) -> bool | None:
        ids = [a.id for a in client.service_accounts.list(organization_id)]
        return True if remote_id not in ids else None

    def save(done: Any) -> dict[str, Any]:
        ServiceAccount.objects.filter(pk=account.pk).update(presence=Presence.DELETED)
        return {"mixpanel_id": remote_id}

    return Plan(
        send=lambda client: client.service_accounts.delete(organization_id, remote_id),
        check=check,
        save=save,
        follow=unless_success(account, Presence.DELETING, Presence.ACTIVE),
        **common,
    )


@job_task("service_accounts.membership", op=Op.ABSOLUTE)
def plan_membership(job: Job) -> Plan:
    account, organization_id, common = _for_account_job(job)
    remote_id = account.mixpanel_id
    assert remote_id is not None
    project_id, role = job.params["project_id"], job.params["role"]

    def send(client: MixpanelClient) -> None:
        api = client.service_accounts
        if job.params["remove"]:
            api.remove_from_project(
                organization_id, project_id=project_id, service_account_ids=[remote_id]
            )
        else:
            api.add_to_project(
                organization_id,
                project_id=project_id,
                role=role,
                service_account_ids=[remote_id],
            )

    return Plan(send=send, save=lambda done: {"project_id": project_id}, **common)
