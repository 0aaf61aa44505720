"""What the operator's commands share: errors as plain lines, and exit code 1."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import CommandError

from mixadmin.mixpanel.errors import MixpanelError

from .errors import Refused, Wait
from .remedies import explain_answer


@contextmanager
def errors_to_command() -> Iterator[None]:
    """Turn what an action raises into a CommandError with the same words."""
    try:
        yield
    except ValidationError as error:
        raise CommandError("\n".join(lines(error))) from None
    except (Refused, Wait) as error:
        raise CommandError(str(error)) from None
    except MixpanelError as error:
        told = explain_answer(error)
        raise CommandError(f"{error}\n{told.meaning} {told.remedy}") from None


def lines(error: ValidationError) -> list[str]:
    """ "field: message" lines of a ValidationError."""
    told = []
    for field, messages in ValidationError(
        error.update_error_dict({})
    ).message_dict.items():
        prefix = "" if field == NON_FIELD_ERRORS else f"{field}: "
        told += [f"{prefix}{message}" for message in messages]
    return told
