"""Reading the shape of a body, and showing rows. No rule of the product is in here.

A reader only looks whether a value is text, a number, an object ... What is missing
becomes what an empty form would give, so that the action finds the same words for it
whichever door it came through.
"""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty
from rest_framework.settings import api_settings

from .rules import Field, json_type_name, unknown_keys

OBJECT = {"type": "object", "additionalProperties": {}}


class Plain(serializers.Serializer[Any]):
    """A serializer whose attribute `fields_` is the field `fields`.

    `fields` itself is taken: a serializer keeps its own fields in it.
    """

    def get_fields(self) -> Any:
        declared = super().get_fields()
        return {name.rstrip("_"): field for name, field in declared.items()}


class Reader(Plain):
    """The fields of a body. One that is not listed is refused by its name."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            message = f"Must be a JSON object, not {json_type_name(data)}."
            key = api_settings.NON_FIELD_ERRORS_KEY
            raise serializers.ValidationError({key: [message]}, code="type")
        unknown = {
            finding.field: [serializers.ErrorDetail(finding.message, finding.code)]
            for finding in unknown_keys(data, list(self.fields))
        }
        try:
            values: dict[str, Any] = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**error.detail, **unknown}) from None  # type: ignore[dict-item]
        if unknown:
            raise serializers.ValidationError(unknown)
        return values


class Shape:
    """A field that checks the type alone. Left out, or null, it is `missing`.

    `required` only tells the schema that an action will not do without the field.
    """

    missing: Any = None

    def validate_empty_values(self: Any, data: Any) -> tuple[bool, Any]:
        if data is empty:
            if getattr(self.root, "partial", False) or not self.required:
                return super().validate_empty_values(data)  # type: ignore[misc, no-any-return]
            return True, self.missing
        return (True, self.missing) if data is None else (False, data)


def _wrong(message: str) -> serializers.ValidationError:
    return serializers.ValidationError(message, code="type")


class Text(Shape, serializers.CharField):
    missing: str | None = ""

    def __init__(self, **options: Any) -> None:
        options.setdefault("allow_blank", True)
        options.setdefault("trim_whitespace", False)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise _wrong(f"Must be text, not {json_type_name(data)}.")
        return data

    def run_validation(self, data: Any = empty) -> Any:
        # Not CharField's, which would decide about blank text itself.
        return serializers.Field.run_validation(self, data)


class OptionalText(Text):
    """Null means something else than an empty text."""

    missing = None

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)


class Whole(Shape, serializers.IntegerField):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise _wrong("Must be a whole number.")
        return data


class Flag(Shape, serializers.BooleanField):
    def validate_empty_values(self: Any, data: Any) -> tuple[bool, Any]:
        return (False, data) if data is None else super().validate_empty_values(data)

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise _wrong("Must be true or false.")
        return data


class Moment(Shape, serializers.DateTimeField):
    WRONG = "Must be a time such as 2026-11-22T08:00:00Z."
    default_error_messages = dict.fromkeys(
        ("invalid", "date", "make_aware", "overflow"), WRONG
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)


@extend_schema_field(OBJECT)
class Json(Shape, serializers.JSONField):
    """An object; what is in it is looked at by the rules of its kind."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise _wrong(f"Must be a JSON object, not {json_type_name(data)}.")
        return data


class JsonObject(Json):
    """An object that is empty when it is left out."""

    @property
    def missing(self) -> dict[str, Any]:
        return {}


class Several(Shape, serializers.ListField):
    """A list of one sort of thing, at most 500."""

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            raise _wrong(f"Must be a list, not {json_type_name(data)}.")
        if len(data) > 500:
            raise _wrong("At most 500 at once.")
        read: list[Any] = super().to_internal_value(data)
        return read

    @property
    def missing(self) -> list[Any]:
        return []


class Ticks(Several):
    """The codes of the warnings that a person has ticked."""

    def __init__(self) -> None:
        help_text = "Codes of warnings (without “confirm:”) to go on in spite of."
        super().__init__(
            child=Text(), required=False, default=list, help_text=help_text
        )


class Nothing(Reader):
    """A body without fields."""


# --- Showing --------------------------------------------------------------------------


class Word(serializers.CharField):
    """One of several words. Described, not listed as an enum: Mixpanel may add some."""

    def __init__(self, **options: Any) -> None:
        words = [str(word) or '""' for word in dict(options.pop("choices", {}))]
        if words and not options.get("help_text"):
            options["help_text"] = f"One of {', '.join(words)}."
        options.pop("allow_blank", None)
        super().__init__(**options)


class Row(Plain, serializers.ModelSerializer[Any]):
    """A row as it is shown. Each subclass lists its fields."""

    serializer_choice_field = Word

    def get_fields(self) -> Any:
        fields = super().get_fields()
        for field in fields.values():
            field.read_only = True
        return fields


class FieldSerializer(Plain):
    """One field of a catalogue: how to ask for it, and what its value may be."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    help = serializers.CharField()
    kind = Word(
        choices=dict.fromkeys(
            ("text", "textarea", "secret", "int", "bool", "choice", "json", "mapping")
        )
    )
    required = serializers.BooleanField()  # type: ignore[assignment]
    secret = serializers.BooleanField()
    choices = serializers.SerializerMethodField()
    default = serializers.JSONField(source="initial")
    max_length = serializers.SerializerMethodField()
    minimum = serializers.SerializerMethodField()
    maximum = serializers.SerializerMethodField()
    only_if = serializers.SerializerMethodField()
    placeholder = serializers.CharField()
    members = serializers.SerializerMethodField()

    def get_max_length(self, field: Field) -> int | None:
        """In characters; null where the value is no text."""
        return (
            field.max_length if field.kind in ("text", "textarea", "secret") else None
        )

    def get_minimum(self, field: Field) -> int | None:
        """Null where the value is no number."""
        return field.minimum if field.kind == "int" else None

    def get_maximum(self, field: Field) -> int | None:
        """Null where the value is no number."""
        return field.maximum if field.kind == "int" else None

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
    def get_choices(self, field: Field) -> dict[str, str]:
        """Value: label; empty where anything goes."""
        return dict(field.choices)

    @extend_schema_field(
        {"type": ["object", "null"], "additionalProperties": {"type": "array"}}
    )
    def get_only_if(self, field: Field) -> dict[str, list[str]] | None:
        """{other field: the values with which this one is used}."""
        if field.only_if is None:
            return None
        other, values = field.only_if
        return {other: list(values)}

    @extend_schema_field(
        {"type": "array", "items": {"$ref": "#/components/schemas/Field"}}
    )
    def get_members(self, field: Field) -> Any:
        """The fields of an object."""
        return FieldSerializer(field.fields, many=True).data


@extend_schema_field(OBJECT)
class Shown(serializers.JSONField):
    """An object as it is stored."""

    def __init__(self, **options: Any) -> None:
        super().__init__(read_only=True, **options)
