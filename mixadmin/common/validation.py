"""Findings of the rules as Django's ValidationError, the one error that all doors show."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from .rules import Finding, broken_characters, unconfirmed

# An error with this prefix in its code goes away when the rest of the code is ticked.
CONFIRM = "confirm:"


def raise_for(findings: Iterable[Finding], ticked: Iterable[str] = ()) -> None:
    """Raise a ValidationError for what no tick accepts and for what was not ticked.

    Its keys are the fields of the findings. The code of a warning begins with
    "confirm:"; sending what follows in `accepted_warnings` accepts it.
    """
    problems: dict[str, list[ValidationError]] = {}
    for finding in unconfirmed(findings, ticked):
        code = f"{CONFIRM}{finding.code}" if finding.warning else finding.code
        field = finding.field or NON_FIELD_ERRORS
        error = ValidationError(finding.message, code=code)
        problems.setdefault(field, []).append(error)
    if problems:
        raise ValidationError(problems)


def merged(*errors: ValidationError) -> ValidationError:
    """One error that holds the messages of several."""
    together: dict[str, Any] = {}
    for error in errors:
        together = error.update_error_dict(together)
    return ValidationError(together)


def no_hidden_characters(value: str) -> None:
    """A field validator: no control characters, no broken Unicode."""
    if problem := broken_characters(value):
        raise ValidationError(problem, code="characters")
