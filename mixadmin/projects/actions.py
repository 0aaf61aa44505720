"""What people do with projects."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from mixadmin.accounts.models import User
from mixadmin.audit.actions import record
from mixadmin.common.clock import db_now
from mixadmin.common.crypto import CannotDecrypt, Secret
from mixadmin.common.errors import Refused, Wait
from mixadmin.common.rules import clean_text
from mixadmin.common.validation import raise_for
from mixadmin.jobs import registry
from mixadmin.jobs.actions import release_credential, start_polling
from mixadmin.mixpanel.errors import MixpanelError
from mixadmin.service_accounts.clients import client_for, client_for_account
from mixadmin.service_accounts.models import ServiceAccount, may_use

from . import access
from .models import Membership, Project

CHANGEABLE = (
    "name",
    "environment",
    "token",
    "organization_id",
    "is_b2b",
    "service_account",
)


def add_project(*, actor: User | None, **wanted: Any) -> Project:
    """Register a Mixpanel project; whoever does it becomes its first editor.

    wanted: see `new_project`.
    """
    project = new_project(actor=actor, **wanted)
    with transaction.atomic():
        project.save()
        if actor is not None:
            Membership.objects.create(
                project=project, user=actor, role=Membership.Role.EDITOR
            )
        record(actor=actor, verb="added", target=project)
        _poll(project)
    return project


def new_project(
    *,
    actor: User | None,
    name: str,
    mixpanel_id: int,
    region: str,
    environment: str = Project.Environment.PRODUCTION,
    token: str = "",
    organization_id: int | None = None,
    is_b2b: bool = False,
    service_account: ServiceAccount | None = None,
) -> Project:
    """What `add_project` saves, checked and not saved."""
    project = Project(
        name=name,
        mixpanel_id=mixpanel_id,
        region=region,
        environment=environment,
        token=Secret(token),
        organization_id=organization_id,
        is_b2b=is_b2b,
        service_account=service_account,
    )
    _check(project, actor, token)
    return project


def change_project(*, project: Project, actor: User | None, **changes: Any) -> Project:
    """Change any of CHANGEABLE. A `token` of "" is kept as it is."""
    before = {name: getattr(project, name) for name in changes if name in CHANGEABLE}
    set_values(project=project, actor=actor, **changes)
    if token := changes.pop("token", ""):
        changes["token"] = before["token"] = project.token = Secret(token)
    with transaction.atomic():
        project.save(update_fields=list(changes))
        told = {
            name: ["set", "set anew"]
            if name == "token"
            else [str(before[name]), str(v)]
            for name, v in changes.items()
            if name == "token" or before[name] != v
        }
        record(actor=actor, verb="changed", target=project, changes=told)
        if "service_account" in told:
            release_credential(project=project)
        _poll(project)
    return project


def set_values(*, project: Project, actor: User | None, **changes: Any) -> None:
    """Give a project other values, checked and not saved."""
    access.require(actor, project)
    if unknown := sorted(set(changes) - set(CHANGEABLE)):
        raise ValidationError(dict.fromkeys(unknown, "This cannot be changed."))
    token, account = changes.pop("token", ""), project.service_account
    for name, value in changes.items():
        setattr(project, name, value)
    _check(project, actor, token, account)


def _check(
    project: Project,
    actor: User | None,
    token: object,
    old_account: ServiceAccount | None = None,
) -> None:
    """full_clean, and the rules that look at other rows."""
    problems: dict[str, Any] = {}
    try:
        project.full_clean(exclude=["token"])
    except ValidationError as error:
        problems = error.update_error_dict({})
    try:
        raise_for(clean_text("token", token, label="Project token", max_length=200))
    except ValidationError as error:
        problems |= error.update_error_dict({})
    account = project.service_account
    if (
        account is not None
        and account != old_account
        and "service_account" not in problems
    ):
        if not may_use(actor, account):
            problems["service_account"] = ["You may not use this service account."]
        elif account.region != project.region:
            problems["service_account"] = [
                f"This service account is of the region {account.get_region_display()}, "
                f"the project of {project.get_region_display()}."
            ]
    if problems:
        raise ValidationError(problems)


def _poll(project: Project) -> None:
    if project.service_account_id:
        for name in registry.pollers():
            start_polling(name=name, project_id=project.pk)


def forget_project(*, project: Project, actor: User | None, typed_name: str) -> None:
    """Remove the project and its history here. At Mixpanel nothing changes."""
    access.require(actor, project)
    if typed_name != project.name:
        message = f"Type the project's name, {project.name}, to confirm."
        raise ValidationError({"typed_name": message})
    if project.jobs.unfinished().exists():
        raise Refused(
            "Some of its jobs are not finished. Cancel them or wait for their end.",
            code="unfinished_jobs",
        )
    with transaction.atomic():
        record(actor=actor, verb="forgot", target=project)
        project.delete()


def set_member(
    *, project: Project, actor: User | None, username: str, role: str
) -> Membership:
    """Make a person a member, or change what they may do."""
    access.require(actor, project)
    raise_for(clean_text("username", username, label="Username", trimmed=False))
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise ValidationError({"username": "There is no person with this username."})
    membership = Membership.objects.filter(project=project, user=user).first()
    old = membership.role if membership else ""
    membership = membership or Membership(project=project, user=user)
    membership.role = role
    membership.full_clean()
    if old == access.EDITOR and role != access.EDITOR:
        _keep_an_editor(project, user)
    with transaction.atomic():
        membership.save()
        record(
            actor=actor,
            verb="set member",
            target=project,
            changes={username: [old, role]},
        )
    return membership


def remove_member(*, project: Project, actor: User | None, username: str) -> None:
    access.require(actor, project)
    raise_for(clean_text("username", username, label="Username", trimmed=False))
    membership = Membership.objects.filter(
        project=project, user__username=username
    ).first()
    if membership is None:
        raise ValidationError({"username": "This person is not a member."})
    _keep_an_editor(project, membership.user)
    with transaction.atomic():
        changes = {username: [membership.role, ""]}
        membership.delete()
        record(actor=actor, verb="removed member", target=project, changes=changes)


def _keep_an_editor(project: Project, leaving: User) -> None:
    editors = Membership.objects.filter(project=project, role=access.EDITOR)
    if not editors.exclude(user=leaving).exists():
        raise Refused("A project keeps at least one editor.", code="last_editor")


def verify_project(*, project: Project, actor: User | None) -> Project:
    """Ask Mixpanel whether this project can be worked with; store answer and time."""
    access.require(actor, project)
    state, detail = _try(project)
    project.verification, project.verification_detail = state, detail
    project.verified_at = db_now()
    with transaction.atomic():
        project.save(
            update_fields=["verification", "verification_detail", "verified_at"]
        )
        record(actor=actor, verb=f"verified ({state})", target=project)
    return project


def _try(project: Project) -> tuple[str, str]:
    """One GET /me; and where the project is not in it, one look at the region."""
    state = Project.Verification
    try:
        with client_for(project) as client:
            me = client.projects.me()
            if project.mixpanel_id in {p.id for p in me.projects}:
                role = next(p.role for p in me.projects if p.id == project.mixpanel_id)
                as_role = f" with the role {role}" if role else ""
                return state.WORKS, f"The service account sees this project{as_role}."
            if not client.projects.is_in_region():
                return state.WRONG_REGION, (
                    f"Mixpanel does not know project {project.mixpanel_id} in the region "
                    f"{project.get_region_display()}. Data sent there would be lost."
                )
    except Refused as refused:
        return state.NO_ACCESS, refused.message
    except Wait as wait:
        return state.NO_ACCESS, wait.message
    except CannotDecrypt as error:
        return state.NO_ACCESS, str(error)
    except MixpanelError as error:
        if error.kind in ("not_authenticated", "not_allowed"):
            return state.NO_ACCESS, str(error)
        return state.CANNOT_REACH, str(error)
    return state.NO_ACCESS, "The service account works, but does not see this project."


def discover_projects(
    *, account: ServiceAccount, actor: User | None
) -> list[dict[str, Any]]:
    """What the account can see at Mixpanel: id, name, organization_id, role, added.

    Raises MixpanelError where Mixpanel cannot be asked.
    """
    if not may_use(actor, account):
        raise access.NotPermitted("You may not use this service account.")
    with client_for_account(account) as client:
        me = client.projects.me()
    here = set(
        Project.objects.filter(mixpanel_id__in=[p.id for p in me.projects]).values_list(
            "mixpanel_id", flat=True
        )
    )
    return [
        {
            "id": p.id,
            "name": p.name,
            "organization_id": p.organization_id,
            "role": p.role,
            "added": p.id in here,
        }
        for p in sorted(me.projects, key=lambda p: p.name.casefold())
    ]


def add_discovered(
    *, account: ServiceAccount, actor: User | None, mixpanel_ids: list[int]
) -> list[Project]:
    """Add those of the discovered projects that were ticked, all or none."""
    found = {p["id"]: p for p in discover_projects(account=account, actor=actor)}
    if missing := [i for i in mixpanel_ids if i not in found]:
        raise ValidationError(
            {"mixpanel_ids": f"The service account does not see {missing[0]}."}
        )
    if not mixpanel_ids:
        raise ValidationError({"mixpanel_ids": "Choose at least one project."})
    with transaction.atomic():
        return [
            add_project(
                actor=actor,
                name=str(found[i]["name"])[:120],
                mixpanel_id=i,
                region=account.region,
                organization_id=found[i]["organization_id"],
                service_account=account,
            )
            for i in mixpanel_ids
            if not found[i]["added"]
        ]
