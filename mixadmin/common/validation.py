"""Findings of the rules as Django's ValidationError, the one error that all doors show."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import UniqueConstraint
from django.utils.text import capfirst

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


class Checked:
    """Comes before Model: what is wrong is said once, beside its field.

    Without it, Django and our rules both ask for a field that is empty, in different
    words, and a name that is taken is the error of no field.
    """

    def full_clean(self, *args: Any, **options: Any) -> None:
        try:
            super().full_clean(*args, **options)  # type: ignore[misc]
        except ValidationError as error:
            together = {
                field: list(_asked_once(self, field, problems))
                for field, problems in error.error_dict.items()
            }
            raise ValidationError(together) from None

    def validate_constraints(self, *args: Any, **options: Any) -> None:
        try:
            super().validate_constraints(*args, **options)  # type: ignore[misc]
        except ValidationError as error:
            raise ValidationError(_beside_fields(self, error)) from None


def _asked_once(
    row: Any, field: str, problems: list[ValidationError]
) -> Iterator[ValidationError]:
    asked = any(problem.code == "required" for problem in problems)
    for problem in problems:
        if problem.code not in ("blank", "null"):
            yield problem
        elif not asked:
            label = capfirst(row._meta.get_field(field).verbose_name)
            yield ValidationError(f"{label} is required.", code="required")


def _beside_fields(row: Any, error: ValidationError) -> dict[str, Any]:
    taken = {
        constraint.violation_error_message: constraint.fields[-1]
        for constraint in row._meta.constraints
        if isinstance(constraint, UniqueConstraint)
    }
    together: dict[str, Any] = {}
    for field, problems in error.update_error_dict({}).items():
        for problem in problems:
            place = taken.get(problem.message, field)
            together.setdefault(place, []).append(problem)
    return together
