from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone

from mixadmin.accounts.models import User
from mixadmin.common.crypto import SecretField
from mixadmin.common.states import (
    NEVER_RAN,
    PRESENT,
    UNFINISHED_RUN,
    Presence,
    RunState,
)
from mixadmin.common.validation import Checked, no_hidden_characters


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: User) -> Self:
        if user.is_superuser:
            return self
        return self.filter(memberships__user=user)


class Project(Checked, models.Model):
    """A Mixpanel project that mixadmin looks after."""

    class Region(models.TextChoices):
        US = "us", "United States"
        EU = "eu", "European Union"
        IN = "in", "India"

    class Environment(models.TextChoices):
        TEST = "test"
        PRODUCTION = "production"

    class Verification(models.TextChoices):
        NEVER = "", "Not verified"
        WORKS = "works"
        WRONG_REGION = "wrong_region", "Wrong region"
        NO_ACCESS = "no_access", "No access"
        CANNOT_REACH = "cannot_reach", "Cannot reach Mixpanel"

    name = models.CharField(max_length=120, validators=[no_hidden_characters])
    mixpanel_id = models.BigIntegerField(
        "Mixpanel project id",
        validators=[MinValueValidator(1), MaxValueValidator(2**53 - 1)],
    )
    region = models.CharField("data residency region", max_length=2, choices=Region)
    environment = models.CharField(
        max_length=10, choices=Environment, default=Environment.PRODUCTION
    )
    token = SecretField("project token", blank=True, default="")
    organization_id = models.BigIntegerField(
        "Mixpanel organization id",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(2**53 - 1)],
    )
    is_b2b = models.BooleanField(
        "B2B project",
        default=False,
        help_text="Event imports into a B2B project need a company column.",
    )
    service_account = models.ForeignKey(
        "service_accounts.ServiceAccount",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="projects",
        help_text="Calls to Mixpanel for this project are made with it.",
    )

    verification = models.CharField(
        max_length=12, choices=Verification, default=Verification.NEVER, blank=True
    )
    verification_detail = models.TextField(blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    # None until it was tried; False where Mixpanel has closed Cloud Import.
    connectors_open = models.BooleanField(null=True, blank=True)
    inventory_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["mixpanel_id"],
                name="projects_project_mixpanel_id_once",
                violation_error_message=(
                    "This Mixpanel project is registered already. "
                    "Ask an administrator to make you a member of it."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("projects:detail", args=[self.pk])


class Membership(models.Model):
    """What a person may do in a project."""

    class Role(models.TextChoices):
        VIEWER = "viewer"
        EDITOR = "editor"

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=10, choices=Role, default=Role.VIEWER)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "user"],
                name="projects_membership_once",
                violation_error_message="This person is a member already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}"


class RemoteObject(models.Model):
    """Something that exists at Mixpanel and is not managed here, as last seen."""

    class Kind(models.TextChoices):
        SOURCE = "source", "Warehouse source"
        IMPORT = "import", "Warehouse import"
        CONNECTOR = "connector", "Cloud connector"

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="remote_objects"
    )
    kind = models.CharField(max_length=10, choices=Kind)
    mixpanel_id = models.CharField(max_length=60)
    summary = models.CharField(max_length=300)
    raw = models.JSONField(default=dict)
    first_seen_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["kind", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind", "mixpanel_id"],
                name="projects_remoteobject_once",
            )
        ]

    def __str__(self) -> str:
        return self.summary


class ManagedQuerySet(models.QuerySet[Any]):
    def present(self) -> Self:
        """Those that a person still works with."""
        return self.filter(presence__in=(*PRESENT, Presence.NOT_CREATED))


class Managed(Checked, models.Model):
    """Our row for something at Mixpanel, and how the two stand to one another.

    A subclass has `project` and `mixpanel_id`.
    """

    accepted_warnings = models.JSONField(default=list, blank=True)
    presence = models.CharField(
        max_length=12, choices=Presence, default=Presence.PENDING
    )
    # Made by somebody else, and managed here since.
    adopted = models.BooleanField(default=False)
    # As Mixpanel last told of it, and when.
    raw = models.JSONField(default=dict, blank=True)
    observed_at = models.DateTimeField(null=True, blank=True)
    # Since when Mixpanel's lists leave it out.
    absent_since = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ManagedQuerySet.as_manager()

    class Meta:
        abstract = True


class Runnable(Managed):
    """What has runs, and how the newest of them stands.

    Lists and the home page read that here and never from the runs, of which there are
    many more. `managed.note_last_run` writes it, and whoever writes runs calls that. A
    subclass has `last_run`, its runs as `runs`, and one word for how it stands (a key of
    STATUSES) that the database itself keeps.
    """

    last_state = models.CharField(max_length=22, default=NEVER_RAN, editable=False)
    # The `at` of the newest run; while there is none, when the row was made.
    last_at = models.DateTimeField(default=timezone.now, editable=False)
    # How many events the newest run brought; -1 where that is not known, for sorting.
    last_events = models.BigIntegerField(default=-1, editable=False)

    class Meta:
        abstract = True


class RunQuerySet(models.QuerySet[Any]):
    def unfinished(self) -> Self:
        return self.filter(state__in=UNFINISHED_RUN)


class Run(models.Model):
    """A run at Mixpanel, kept after Mixpanel has forgotten it.

    Mixpanel gives no id that can be relied on: a run is known by when it started, and by
    its place among runs that started at the same moment. A gap is a row too: runs that
    nobody saw.
    """

    state = models.CharField(max_length=22, choices=RunState)
    # Mixpanel's own word; "" while only the request is known.
    raw_state = models.CharField(max_length=60, blank=True)
    started_at = models.DateTimeField(null=True)
    ordinal = models.PositiveSmallIntegerField(default=0)
    ended_at = models.DateTimeField(null=True)
    num_events_imported = models.BigIntegerField(null=True)
    # What Mixpanel calls it, where it does.
    mixpanel_run_id = models.CharField(max_length=100, blank=True)
    is_gap = models.BooleanField(default=False)
    note = models.TextField(blank=True)
    raw = models.JSONField(default=dict)
    # started_at, or while there is none when it was asked for or first seen.
    at = models.DateTimeField()
    seen_at = models.DateTimeField()

    objects = RunQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["-at", "-id"]

    @property
    def duration(self) -> timedelta | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at
