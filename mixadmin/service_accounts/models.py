from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from mixadmin.accounts.models import User
from mixadmin.common.crypto import SecretField
from mixadmin.common.states import PRESENT, Presence
from mixadmin.common.validation import Checked, no_hidden_characters
from mixadmin.projects import access
from mixadmin.projects.models import Project


class ServiceAccountQuerySet(models.QuerySet["ServiceAccount"]):
    def visible_to(self, user: User) -> Self:
        """Those that a person added, and those that their projects use."""
        if user.is_superuser:
            return self
        used = Project.objects.visible_to(user).values("service_account")
        return self.filter(Q(owner=user) | Q(pk__in=used))

    def present(self) -> Self:
        return self.filter(presence__in=PRESENT)

    def expiring(self, now: datetime) -> Self:
        """Those whose expiry is near or past, soonest first."""
        soon = now + timedelta(days=30)
        return self.present().filter(expires_at__lte=soon).order_by("expires_at")


class ServiceAccount(Checked, models.Model):
    """The credential that calls to Mixpanel are made with."""

    class Verification(models.TextChoices):
        NEVER = "", "Not verified"
        WORKS = "works"
        REFUSED = "refused", "Refused by Mixpanel"
        CANNOT_REACH = "cannot_reach", "Cannot reach Mixpanel"

    username = models.CharField(max_length=200, validators=[no_hidden_characters])
    secret = SecretField()
    # Counts the secrets that were set, so that an attempt can name the one it used.
    secret_version = models.PositiveIntegerField(default=1)
    secret_set_at = models.DateTimeField(auto_now_add=True)
    region = models.CharField(max_length=2, choices=Project.Region)
    organization_id = models.BigIntegerField(
        "Mixpanel organization id",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(2**53 - 1)],
    )
    # Mixpanel's id of it, where it was created or found through the organization API.
    mixpanel_id = models.BigIntegerField(null=True, blank=True)
    # Any word: custom roles exist, and are shown as they come.
    role = models.CharField(
        max_length=60, blank=True, validators=[no_hidden_characters]
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    verification = models.CharField(
        max_length=12, choices=Verification, default=Verification.NEVER, blank=True
    )
    verification_detail = models.TextField(blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    # The nearest day before the expiry that was warned of: 30, 7, 1 or 0.
    warned_days = models.PositiveSmallIntegerField(null=True, blank=True)
    presence = models.CharField(
        max_length=12, choices=Presence, default=Presence.ACTIVE
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="service_accounts",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ServiceAccountQuerySet.as_manager()

    class Meta:
        ordering = ["username", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["region", "username"],
                name="service_accounts_username_once",
                condition=Q(presence__in=["active", "deleting"]),
                violation_error_message=(
                    "A service account with this username is registered already."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.username

    def get_absolute_url(self) -> str:
        return reverse("service_accounts:detail", args=[self.pk])

    @property
    def expires_in_days(self) -> int | None:
        if self.expires_at is None:
            return None
        return (self.expires_at - timezone.now()).days


def may_use(user: User | None, account: ServiceAccount) -> bool:
    """Whether a person may let calls be made with it: its owner, and editors.

    None is the machinery itself; a person who was disabled may do nothing.
    """
    if user is None:
        return True
    if not user.is_active:
        return False
    if user.is_superuser or account.owner_id == user.pk:
        return True
    editing = access.project_ids(user, access.EDITOR)
    return account.projects.filter(pk__in=editing).exists()


def may_change(user: User | None, account: ServiceAccount) -> bool:
    """Its owner may, and an editor of every project that uses it."""
    if user is None:
        return True
    if not user.is_active:
        return False
    if user.is_superuser or account.owner_id == user.pk:
        return True
    using = set(account.projects.values_list("pk", flat=True))
    return bool(using) and using <= set(access.project_ids(user, access.EDITOR))
