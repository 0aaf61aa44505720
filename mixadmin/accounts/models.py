from django.contrib.auth.models import AbstractUser
from django.db import models
from knox.models import AbstractAuthToken


class User(AbstractUser):  # type: ignore[django-manager-missing]
    """A person who signs in."""


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
