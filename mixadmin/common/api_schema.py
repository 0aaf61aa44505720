"""How the API describes itself in OpenAPI: what is the same for every operation."""

import re
from collections.abc import Callable
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers


class ErrorSerializer(serializers.Serializer[Any]):
    """One thing that is wrong."""

    code = serializers.CharField(
        help_text="A stable word. One that begins with “confirm:” is a warning: send "
        "the rest of the code in `accepted_warnings` to go on all the same."
    )
    detail = serializers.CharField(
        help_text="Words for people, as the pages show them."
    )
    attr = serializers.CharField(
        allow_null=True,
        help_text="The field, dotted when nested; null when the whole request is meant.",
    )
    meaning = serializers.CharField(
        required=False, help_text="Only where Mixpanel failed: what it means."
    )
    remedy = serializers.CharField(
        required=False, help_text="Only where Mixpanel failed: what to do."
    )
    url = serializers.CharField(
        required=False,
        help_text="Only where Mixpanel failed: its page in the catalogue of errors.",
    )


class ErrorsSerializer(serializers.Serializer[Any]):
    """What every answer from 400 on looks like."""

    type = serializers.CharField(
        help_text="validation_error, client_error or server_error."
    )
    errors = ErrorSerializer(many=True)  # type: ignore[assignment]


ERRORS = {
    "400": "The request cannot be read, or a field is wrong.",
    "401": "Nobody is signed in.",
    "403": "You may look at this, but not change it; or the CSRF token is missing.",
    "404": "There is no such thing, or not for you.",
    "409": "Not at this moment.",
    "413": "Larger than 2.5 MB.",
    "415": "Not application/json.",
    "502": "Mixpanel answered with an error.",
    "503": "Try again later, see Retry-After.",
}
# What only an operation that reads a body, or changes something, answers.
ERRORS_OF_WRITES = ("409", "413", "415")

IDEMPOTENCY_KEY = OpenApiParameter(
    name="Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="Any text of at most 200 characters, new for each thing that is wanted. "
    "A repetition with the same key gets the first answer and changes nothing.",
)


class ApiSchema(AutoSchema):
    """Adds the errors and the header that the views do not repeat."""

    # An ApiViewSet.
    view: Any

    def get_operation_id(self) -> str:
        name = type(self.view).__name__.removesuffix("ViewSet")
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        return f"{words}_{self.view.action}"

    def get_tags(self) -> list[str]:
        return [self.view.tag]

    def get_override_parameters(self) -> list[Any]:
        return [IDEMPOTENCY_KEY] if self.method == "POST" else []

    def _resolve_path_parameters(self, variables: Any) -> Any:
        parameters = super()._resolve_path_parameters(variables)  # type: ignore[no-untyped-call]
        for parameter in parameters:
            # The converter of keys is our own, so its type is not known otherwise.
            if parameter["name"].endswith("_id"):
                parameter["schema"] = {"type": "integer", "minimum": 1}
        return parameters

    def _get_request_body(self, direction: Any = "request") -> Any:
        # The names that must be typed to delete something travel in a body as well.
        if self.method != "DELETE" or self.get_request_serializer() is None:
            return super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        self.method = "POST"
        try:
            return super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        finally:
            self.method = "DELETE"

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = super()._get_response_bodies(direction=direction)
        for status, words in ERRORS.items():
            if self.method == "GET" and status in ERRORS_OF_WRITES:
                continue
            if status == "502" and self.view.action not in self.view.asks_mixpanel:
                continue
            if status == "404" and "{" not in self.path:
                continue
            answer = OpenApiResponse(ErrorsSerializer, words)
            bodies.setdefault(
                status,
                self._get_response_for_code(answer, status, None, direction),  # type: ignore[no-untyped-call]
            )
        return bodies


def describe(**about: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`extend_schema` for a method of an ApiViewSet, on top of ApiSchema."""

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        # Where extend_schema looks for what it builds on.
        method.kwargs = {"schema": ApiSchema}  # type: ignore[attr-defined]
        described: Callable[..., Any] = extend_schema(**about)(method)
        return described

    return decorate
