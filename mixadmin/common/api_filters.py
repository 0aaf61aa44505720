"""Filters of lists. Each knows its type, and refuses what is not of it."""

from typing import Any

import django_filters
from django import forms
from drf_spectacular.utils import extend_schema_field

from .rules import INT64


@extend_schema_field({"type": "integer", "minimum": 1})
class IdFilter(django_filters.Filter):  # type: ignore[misc]
    field_class = forms.IntegerField

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, min_value=1, max_value=INT64[1], **options)


@extend_schema_field({"type": "string", "minLength": 2, "maxLength": 200})
class SearchFilter(django_filters.CharFilter):  # type: ignore[misc]
    """Finds the text anywhere in the field, whatever its case."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options = {"lookup_expr": "icontains", "label": "Search", **options}
        super().__init__(*args, min_length=2, max_length=200, **options)


@extend_schema_field({"type": "boolean"})
class FlagFilter(django_filters.TypedChoiceFilter):  # type: ignore[misc]
    """true or false. Anything else is refused, not ignored."""

    def __init__(self, *args: Any, **options: Any) -> None:
        words = [("true", "true"), ("false", "false")]
        super().__init__(
            *args, choices=words, coerce=lambda word: word == "true", **options
        )


@extend_schema_field({"type": "string", "maxLength": 200})
class WordFilter(django_filters.CharFilter):  # type: ignore[misc]
    """Exactly this word; for words of Mixpanel, of which there may be new ones."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, max_length=200, **options)


class Filters(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of one list."""
