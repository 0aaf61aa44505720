"""What every API view shares: signing in, reading, paging, filtering, answering."""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework import exceptions, serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.pagination import BasePagination
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.viewsets import GenericViewSet

from .api_errors import too_large
from .api_schema import ApiSchema
from .rules import (
    INT64,
    MAX_FINDINGS_PER_OBJECT,
    MAX_JSON_DEPTH,
    check_json,
    json_type_name,
    nearest_name,
    shown,
)
from .serializers import Reader

PAGE = 50
MAX_PAGE = 200
# More digits than Python turns into a number.
MAX_DIGITS = 4_300
BROKEN = re.compile("[\x00\ud800-\udfff]")


# --- Reading a body -------------------------------------------------------------------


class StrictJSONParser(BaseParser):
    """JSON as its standard has it, and only what every database can hold."""

    media_type = "application/json"

    def parse(
        self, stream: Any, media_type: Any = None, parser_context: Any = None
    ) -> dict[str, Any]:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise too_large()
        return read_body(raw)


class Faulty:
    """Stands where a value was that JSON does not have, until its place is known."""

    def __init__(self, message: str, code: str, key: str = "") -> None:
        self.message = message
        self.code = code
        self.key = key


def read_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises ParseError where it is no JSON, and DRF's ValidationError, which names each
    place, for another type than an object, NaN and Infinity, a key that stands twice,
    more than 32 levels, NUL and lone surrogates, and numbers beyond all measure.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            parse_int=_whole,
            parse_float=_fraction,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise exceptions.ParseError(
            f"Not UTF-8: the byte {raw[error.start]:#04x} at position {error.start}."
        ) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise exceptions.ParseError(f"Not JSON: {error.msg}, {where}.") from None
    except RecursionError:
        raise exceptions.ParseError(
            f"Nested deeper than {MAX_JSON_DEPTH} levels."
        ) from None
    problems: dict[str, list[exceptions.ErrorDetail]] = {}
    for place, message, code in _faults(value):
        detail = exceptions.ErrorDetail(message, code)
        problems.setdefault(place or NON_FIELD_ERRORS, []).append(detail)
        if len(problems) == MAX_FINDINGS_PER_OBJECT:
            break
    if not problems and not isinstance(value, dict):
        message = f"Must be a JSON object, not {json_type_name(value)}."
        problems[NON_FIELD_ERRORS] = [exceptions.ErrorDetail(message, "type")]
    if problems:
        raise exceptions.ValidationError(problems)
    read: dict[str, Any] = value
    return read


def _whole(text: str) -> int | Faulty:
    if len(text.lstrip("-")) > MAX_DIGITS:
        return Faulty(f"A number of more than {MAX_DIGITS:,} digits.", "number")
    return int(text)


def _fraction(text: str) -> float | Faulty:
    value = float(text)
    return value if math.isfinite(value) else Faulty("A number too large.", "number")


def _constant(name: str) -> Faulty:
    return Faulty(f"Contains {name}, which JSON does not have.", "number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Faulty:
    read = dict(pairs)
    if len(read) == len(pairs):
        return read
    seen: set[str] = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return Faulty(f"The key “{shown(twice)}” stands twice.", "duplicate_key", twice)


# A place in a document: the parent's place and the key in it; None is the document.
Place = tuple[Any, str] | None


def _faults(document: Any) -> Iterator[tuple[str, str, str]]:
    """(place, message, code) of everything that cannot be taken, in reading order."""
    todo: list[tuple[Any, Place, int]] = [(document, None, 1)]
    while todo:
        value, place, depth = todo.pop()
        if isinstance(value, Faulty):
            yield (
                _path((place, value.key) if value.key else place),
                value.message,
                value.code,
            )
        elif isinstance(value, str):
            if BROKEN.search(value):
                yield _path(place), *_broken(value)
        elif isinstance(value, dict | list):
            if depth > MAX_JSON_DEPTH:
                message = f"Nested deeper than {MAX_JSON_DEPTH} levels."
                yield _path(place), message, "too_deep"
                continue
            if isinstance(value, dict):
                for key in filter(BROKEN.search, value):
                    yield _path((place, key)), *_broken(key)
                children = list(value.items())
            else:
                children = [(str(i), child) for i, child in enumerate(value)]
            todo.extend((v, (place, k), depth + 1) for k, v in reversed(children))


def _broken(text: str) -> tuple[str, str]:
    finding = check_json(text, json_type=None, max_bytes=2**31)[0]
    return finding.message, finding.code


def _path(place: Place) -> str:
    keys = []
    while place is not None:
        place, key = place
        keys.append(shown(key))
    return ".".join(reversed(keys))


# --- Paging and filtering -------------------------------------------------------------


class KeysetPagination(BasePagination):
    """Pages that begin after a row, so that new rows move nothing and no page is slow.

    The order is the queryset's, which must end with the primary key. A cursor holds the
    values of the last row in that order; it widens nothing, since it only filters.
    """

    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any]:
        params = request.query_params
        size = _page_size(params.get("page_size"))
        order = _order(queryset)
        if "cursor" in params:
            queryset = queryset.filter(_after(order, params["cursor"]))
        rows = list(queryset[: size + 1])
        self.next = None
        if len(rows) > size:
            rows.pop()
            last = [field.value_to_string(rows[-1]) for field, _ in order]
            text = json.dumps(last, separators=(",", ":")).encode()
            cursor = base64.urlsafe_b64encode(text).decode().rstrip("=")
            url = request.build_absolute_uri()
            self.next = replace_query_param(url, "cursor", cursor)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {
            "type": ["string", "null"],
            "format": "uri",
            "description": "The address of the next page, null on the last one.",
        }
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {"next": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        size: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}
        size["default"] = PAGE
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "Where the page begins; taken from `next`.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": "How many rows at most.",
                "schema": size,
            },
        ]


def _page_size(text: str | None) -> int:
    if text is None:
        return PAGE
    if re.fullmatch("[0-9]{1,4}", text, re.ASCII) and 1 <= int(text) <= MAX_PAGE:
        return int(text)
    message = f"Must be a whole number between 1 and {MAX_PAGE}."
    raise ValidationError({"page_size": ValidationError(message, code="range")})


def _order(queryset: QuerySet[Any]) -> list[tuple[Any, bool]]:
    """[(field, whether it goes down)] of a queryset's order."""
    meta = queryset.model._meta
    names = list(queryset.query.order_by or meta.ordering)
    if names[-1].lstrip("-") not in ("pk", meta.pk.name):
        names.append("-pk" if names[-1].startswith("-") else "pk")
    return [(_field(meta, name.lstrip("-")), name.startswith("-")) for name in names]


def _field(meta: Any, name: str) -> Any:
    return meta.pk if name == "pk" else meta.get_field(name)


def _after(order: list[tuple[Any, bool]], cursor: str) -> Q:
    """The rows that come after the one that a cursor describes."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        texts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(texts, list) or len(texts) != len(order):
            raise ValueError("another order")
        values = [
            _value(field, text) for (field, _), text in zip(order, texts, strict=True)
        ]
    except (binascii.Error, ValueError, RecursionError, ValidationError):
        message = "This cursor was not given by this list. Begin without one."
        error = ValidationError(message, code="invalid")
        raise ValidationError({"cursor": error}) from None
    condition, same = Q(), Q()
    for (field, down), value in zip(order, values, strict=True):
        beyond = Q(**{f"{field.name}__{'lt' if down else 'gt'}": value})
        condition |= same & beyond
        same &= Q(**{field.name: value})
    return condition


def _value(field: Any, text: object) -> Any:
    """A value of a cursor, if the database can compare with it; else ValueError."""
    if not isinstance(text, str) or len(text) > 1_000 or BROKEN.search(text):
        raise ValueError("no text")
    value = field.to_python(text)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without its zone")
        try:
            value.astimezone(UTC)
        except OverflowError:
            raise ValueError("beyond all time") from None
    if isinstance(value, int) and not INT64[0] <= value <= INT64[1]:
        raise ValueError("beyond 64 bits")
    return value


class StrictFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """The typed filters that a view lists. What is unknown was refused before."""


# --- Views ----------------------------------------------------------------------------


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]
    """`Authorization: Token mxa_...`; refuses what cannot be a token."""

    def authenticate_credentials(self, token: bytes) -> Any:
        if not re.fullmatch(rb"[\x21-\x7e]{1,200}", token):
            raise exceptions.AuthenticationFailed("Invalid token.")
        return super().authenticate_credentials(token)


class TokenScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]
    target_class = "mixadmin.common.api.TokenAuthentication"
    name = "token"


class ApiViewSet(GenericViewSet[Any]):
    """A view that reads strictly and answers in one shape.

    Methods read shape, call one action and show the result; what actions raise becomes
    an answer in api_errors.
    """

    schema = ApiSchema()
    authentication_classes = [TokenAuthentication, SessionAuthentication]
    parser_classes = [StrictJSONParser]
    pagination_class = KeysetPagination
    filter_backends = [StrictFilterBackend]
    # What makes a repeated POST harmless; given by the table of routes.
    once: Callable[..., Response] | None = None
    # Actions whose answer shows a secret once: it must not be kept for a repetition.
    secret_answers: tuple[str, ...] = ()
    # Actions that ask Mixpanel before they answer: no transaction is open meanwhile.
    asks_mixpanel: tuple[str, ...] = ()
    # Actions whose body is read piece by piece, however large it is.
    streams: tuple[str, ...] = ()
    # Query parameters of actions that are no lists of rows.
    queries: Mapping[str, tuple[str, ...]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Read here, since the parser would leave nothing for the idempotency key. 413
        # for a body that is too large comes from it too.
        if self.action not in self.streams:
            _ = request.body
        super().initial(request, *args, **kwargs)
        self.check_query(request)
        post = getattr(self, "post", None)
        if request.method == "POST" and self.once and post:
            # dispatch() looks the handler up after this.
            self.post = partial(self.once, self, post)

    def check_query(self, request: Request) -> None:
        """Refuse query parameters that this address does not know, or knows once."""
        known = list(self.queries.get(self.action, ()))
        if self.action == "list":
            known += ["cursor", "page_size"]
            if filterset := getattr(self, "filterset_class", None):
                known += list(filterset.base_filters)
        problems = {}
        for name, values in request.query_params.lists():
            if name not in known:
                message = f"Unknown query parameter “{shown(name)}”."
                if nearest := nearest_name(name, known):
                    message += f" Did you mean “{nearest}”?"
                error = ValidationError(message, code="unknown_parameter")
                problems[shown(name)] = error
            elif len(values) > 1:
                problems[name] = ValidationError("Given more than once.", code="twice")
        if problems:
            raise ValidationError(problems)

    @property
    def user(self) -> Any:
        """The person who is signed in."""
        return self.request.user

    def read(self, reader: type[Reader], *, partial: bool = False) -> dict[str, Any]:
        """The body's fields by name. With `partial` only those that were sent."""
        read = reader(data=self.request.data, partial=partial)
        read.is_valid(raise_exception=True)
        values: dict[str, Any] = read.validated_data
        return values

    def show_page(
        self, rows: QuerySet[Any], serializer: type[serializers.BaseSerializer[Any]]
    ) -> Response:
        """One page of what the filters leave of `rows`."""
        page = self.paginate_queryset(self.filter_queryset(rows))
        return self.get_paginated_response(serializer(page, many=True).data)


def find(rows: QuerySet[Any]) -> Any:
    """The one row that is left of a queryset, or Http404."""
    row = rows.first()
    if row is None:
        raise Http404
    return row


def find_named(rows: QuerySet[Any], pk: int | None, field: str, message: str) -> Any:
    """The row that a body names, None for None; else a ValidationError of its field."""
    if pk is None:
        return None
    row = rows.filter(pk=pk).first() if 0 < pk <= INT64[1] else None
    if row is None:
        raise ValidationError({field: ValidationError(message, code="unknown")})
    return row


def find_all(
    rows: QuerySet[Any], pks: list[int | None], field: str, message: str
) -> list[Any]:
    """The rows that a body names, in its order, or a ValidationError of its field."""
    wanted = {pk for pk in pks if pk is not None and 0 < pk <= INT64[1]}
    found = rows.in_bulk(list(wanted))
    if any(pk not in found for pk in pks):
        raise ValidationError({field: ValidationError(message, code="unknown")})
    return [found[pk] for pk in dict.fromkeys(pks) if pk is not None]


def created(data: Any, location: str) -> Response:
    return Response(data, status=201, headers={"Location": location})
