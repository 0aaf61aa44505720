"""Errors of the API, in one shape, whatever raised them.

    {"type": "validation_error", "errors": [{"code", "detail", "attr"}]}

`attr` names the field, dotted when it is nested, or is null when the whole request is
meant. Where Mixpanel failed, an error also has `meaning`, `remedy` and the `url` of its
page in the catalogue of errors.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

from django.core.exceptions import (
    NON_FIELD_ERRORS,
    ObjectDoesNotExist,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import IntegrityError, OperationalError
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.urls import reverse
from drf_standardized_errors.handler import ExceptionHandler as StandardHandler
from rest_framework import exceptions
from rest_framework.response import Response

from mixadmin.mixpanel.errors import MixpanelError

from .crypto import CannotDecrypt
from .errors import Refused
from .remedies import explain_answer


class ApiError(exceptions.APIException):
    """An answer with a status, a code and words. Not raised by actions."""

    def __init__(
        self, status: int, code: str, detail: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status
        if retry_after is not None:
            # The name under which it becomes the header Retry-After.
            self.wait = max(1, math.ceil(retry_after))


# Errors of packages above this one, which register themselves: type -> its answer.
CONVERT: dict[type[Exception], Callable[[Any], ApiError]] = {}


class ExceptionHandler(StandardHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        match exc:
            case exceptions.APIException():
                return exc
            case ValidationError():
                return exceptions.ValidationError(details(exc))
            case Http404() | ObjectDoesNotExist():
                # The same words for what is missing and for what is somebody else's.
                return exceptions.NotFound()
            case Refused():
                return ApiError(refused_status(exc), exc.code, exc.message)
            case CannotDecrypt():
                return ApiError(409, "cannot_decrypt", str(exc))
            case MixpanelError():
                return ApiError(502, exc.kind, str(exc), retry_after=exc.retry_after)
            case OperationalError():
                text = "The database is busy or away. Nothing was changed; try again."
                return ApiError(503, "database_away", text, retry_after=5)
            case IntegrityError():
                text = (
                    "Something else was saved at the same moment. Look and try again."
                )
                return ApiError(409, "conflict", text)
            case RequestDataTooBig():
                return too_large()
            case UnreadablePostError() | MultiPartParserError() | SuspiciousOperation():
                return exceptions.ParseError("The request could not be read.")
        for kind, convert in CONVERT.items():
            if isinstance(exc, kind):
                return convert(exc)
        known: Exception = super().convert_known_exceptions(exc)
        return known

    def format_exception(self, exc: exceptions.APIException) -> dict[str, Any]:
        data: dict[str, Any] = super().format_exception(exc)
        for error in data["errors"]:
            if error["attr"] in (NON_FIELD_ERRORS, "non_field_errors"):
                error["attr"] = None
            if isinstance(self.exc, MixpanelError):
                words = explain_answer(self.exc)
                error |= {
                    "meaning": words.meaning,
                    "remedy": words.remedy,
                    "url": reverse("errors:detail", args=[words.code]),
                }
        return data

    def report_exception(
        self, exc: exceptions.APIException, response: Response
    ) -> None:
        # A 502 or 503 tells about somebody else, a 507 about the disk; they are no faults
        # to be reported here.
        if response.status_code not in (502, 503, 507):
            super().report_exception(exc, response)


def details(error: ValidationError) -> dict[str, list[exceptions.ErrorDetail]]:
    """Django's error as DRF knows it: field -> texts that carry their code."""
    fields = (
        error.error_dict
        if hasattr(error, "error_dict")
        else {NON_FIELD_ERRORS: error.error_list}
    )
    return {field: list(_texts(errors)) for field, errors in fields.items()}


def _texts(errors: list[ValidationError]) -> Iterator[exceptions.ErrorDetail]:
    for error in errors:
        # `messages` fills in the parameters of the message.
        for message in error.messages:
            yield exceptions.ErrorDetail(message, error.code or "invalid")


def refused_status(refused: Refused) -> int:
    return 403 if refused.code == "not_permitted" else 409


def too_large() -> ApiError:
    return ApiError(413, "too_large", "The request is larger than 2.5 MB.")
