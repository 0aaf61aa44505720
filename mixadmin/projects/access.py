"""Who may see and change what. The one place that says so.

A project that a person may not see does not exist for them: 404, never 403.
"""

from uuid import UUID

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import Http404

from mixadmin.accounts.models import User
from mixadmin.common.errors import Refused
from mixadmin.jobs.models import Job

from .models import Membership, Project

VIEWER = Membership.Role.VIEWER
EDITOR = Membership.Role.EDITOR


class NotPermitted(Refused):
    """The person may see this, but not change it. 403 in the API and on pages."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="not_permitted")


def get_project(user: User, pk: int, role: str = VIEWER) -> Project:
    """The project, if `user` has at least `role` in it. Http404 or NotPermitted."""
    project = (
        Project.objects.visible_to(user)
        .select_related("service_account")
        .filter(pk=pk)
        .first()
    )
    if project is None:
        raise Http404("There is no such project.")
    require(user, project, role)
    return project


def require(user: User | None, project: Project, role: str = EDITOR) -> None:
    """Raise NotPermitted unless `user` has `role`. None is the machinery itself."""
    if user is None or role_in(user, project) in (EDITOR, role):
        return
    raise NotPermitted(
        f"You may look at {project.name}, but not change it: that needs the role editor."
    )


def role_in(user: User, project: Project) -> str:
    """ "editor", "viewer" or "" (no access). A person who was disabled has none."""
    if not user.is_active:
        return ""
    if user.is_superuser:
        return EDITOR
    membership = Membership.objects.filter(user=user, project=project).first()
    return membership.role if membership else ""


def project_ids(user: User, role: str = VIEWER) -> list[int]:
    """The projects in which `user` has at least `role`."""
    if not user.is_active:
        return []
    if user.is_superuser:
        return list(Project.objects.values_list("pk", flat=True))
    memberships = Membership.objects.filter(user=user)
    if role == EDITOR:
        memberships = memberships.filter(role=EDITOR)
    return list(memberships.values_list("project_id", flat=True))


def visible_jobs(user: User) -> QuerySet[Job]:
    """The jobs of the projects and service accounts that a person may see.

    One without a project is seen by the owner of its account and by who asked for it.
    """
    jobs = Job.objects.all()
    if user.is_superuser:
        return jobs
    projects = Project.objects.visible_to(user).values("pk")
    accounts = user.service_accounts.values("pk")
    own = Q(project=None) & (Q(service_account__in=accounts) | Q(actor=user))
    # An expression, because with the column itself SQLite would collect and sort the
    # jobs of all projects instead of walking the index of the order that is asked for.
    jobs = jobs.alias(place=Coalesce("project", Value(0)))
    return jobs.filter(Q(place__in=projects) | own)


def get_job(user: User, pk: UUID | str, role: str = VIEWER) -> Job:
    """The job, if `user` may see it and has `role` for it. Http404 or NotPermitted."""
    job = (
        visible_jobs(user)
        .select_related("project", "service_account", "actor")
        .filter(pk=pk)
        .first()
    )
    if job is None:
        raise Http404("There is no such job.")
    if job.project is not None:
        require(user, job.project, role)
    return job
