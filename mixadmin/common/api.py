"""What every API view shares: reading, paging, filtering, errors."""

from rest_framework.filters import BaseFilterBackend
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import JSONParser


class StrictJSONParser(JSONParser):
    strict = True


class KeysetPagination(CursorPagination):
    page_size = 50


class StrictFilterBackend(BaseFilterBackend):
    def filter_queryset(self, request, queryset, view):  # type: ignore[no-untyped-def]
        return queryset
