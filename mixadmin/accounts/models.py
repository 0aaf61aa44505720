from django.contrib.auth.models import AbstractUser
from django.db import models
from knox.models import AbstractAuthToken


class User(AbstractUser):  # type: ignore[django-manager-missing]
    """A person who signs in, and how they like the pages."""

    class Theme(models.TextChoices):
        SYSTEM = "", "As the system"
        LIGHT = "light"
        DARK = "dark"

    class Density(models.TextChoices):
        COMFORTABLE = "", "Comfortable"
        DENSE = "dense"

    theme = models.CharField(
        max_length=10, choices=Theme.choices, default=Theme.SYSTEM, blank=True
    )
    density = models.CharField(
        max_length=10, choices=Density.choices, default=Density.COMFORTABLE, blank=True
    )
    # An IANA name; "" for the zone that their browser tells, else UTC.
    time_zone = models.CharField(max_length=64, default="", blank=True)
    # Single keys do things; who dictates or types by accident switches them off.
    shortcuts = models.BooleanField(default=True)


class SavedView(models.Model):
    """The filters and the order of a list, kept by one person under a name."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    # The path of the list.
    path = models.CharField(max_length=200)
    name = models.CharField(max_length=80)
    # The query string, without "?".
    query = models.CharField(max_length=2000)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "path", "name"],
                name="accounts_savedview_name_once",
                violation_error_message="You have a view with that name.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


class Draft(models.Model):
    """What a person typed into a form and has not sent yet. Never holds a secret."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="drafts")
    # The path of the form.
    path = models.CharField(max_length=200)
    # {field: [values]}, as a form sends them.
    data = models.JSONField(default=dict)
    saved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "path"], name="accounts_draft_once")
        ]

    def __str__(self) -> str:
        return f"Draft of {self.path}"


class ApiToken(AbstractAuthToken):  # type: ignore[misc]
    """A token for the REST API. Only a digest is stored; the token is shown once."""

    name = models.CharField(max_length=80)

    class Meta:
        ordering = ["-created"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "name"],
                name="accounts_apitoken_name_once",
                violation_error_message="You have a token with that name.",
            ),
        ]
