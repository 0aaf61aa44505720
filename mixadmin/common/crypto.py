"""Secrets at rest: encrypted text in a column, and a value that does not print itself."""

import json
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


class Secret:
    """A secret in memory. `repr`, `str`, pickling and JSON show nothing of it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The clear text. Called where a request to Mixpanel is built, nowhere else."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(set)" if self._value else "Secret(empty)"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("A secret is not pickled.")


class CannotDecrypt(Exception):
    """No key of ENCRYPTION_KEYS opens a stored secret."""

    code = "cannot_decrypt"


NO_KEY = "A stored secret cannot be opened with any key of ENCRYPTION_KEYS."


def _fernet() -> MultiFernet:
    if not settings.ENCRYPTION_KEYS:
        raise ImproperlyConfigured("ENCRYPTION_KEYS is not set.")
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def encrypt(text: str) -> str:
    return _fernet().encrypt(text.encode()).decode() if text else ""


def decrypt(token: str) -> str:
    """The clear text. Raises CannotDecrypt; never answers the stored text instead."""
    if not token:
        return ""
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken:
        raise CannotDecrypt(NO_KEY) from None


def rotated(token: str) -> str:
    """The same secret under the newest key. Raises CannotDecrypt."""
    try:
        return _fernet().rotate(token.encode()).decode() if token else ""
    except InvalidToken:
        raise CannotDecrypt(NO_KEY) from None


if TYPE_CHECKING:
    _TextField = models.TextField["Secret | str", "Secret"]
else:
    _TextField = models.TextField


class SecretField(_TextField):
    """Text that is encrypted in the database and a `Secret` in Python.

    The stored text is decrypted when it is revealed, not when a row is loaded, so a
    list of rows costs nothing and a lost key breaks no page.
    """

    def from_db_value(self, value: str | None, *args: object) -> "StoredSecret":
        return StoredSecret(value or "")

    def to_python(self, value: Any) -> Secret:
        return value if isinstance(value, Secret) else Secret(value or "")

    def get_prep_value(self, value: Any) -> str:
        if isinstance(value, StoredSecret):
            return value.token
        return encrypt(self.to_python(value).reveal())

    def value_to_string(self, obj: models.Model) -> str:
        return ""


class StoredSecret(Secret):
    """A secret as it came from the database, opened only when revealed."""

    __slots__ = ("token",)

    def __init__(self, token: str) -> None:
        super().__init__("")
        self.token = token

    def reveal(self) -> str:
        return decrypt(self.token)

    def __bool__(self) -> bool:
        return bool(self.token)

    def __repr__(self) -> str:
        return "Secret(set)" if self.token else "Secret(empty)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash(self.token)


class SecretJSONField(SecretField):
    """A dict of secrets, encrypted as one text. `reveal()` gives its JSON."""

    def to_python(self, value: Any) -> Secret:
        if isinstance(value, dict):
            return Secret(json.dumps(value) if value else "")
        return super().to_python(value)
