"""One verb for many rows, through the API. What is done and told is in `bulk`."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.html import strip_tags
from rest_framework import serializers
from rest_framework.response import Response

from . import bulk
from .api_filters import Filters
from .rules import any_of, nearest_name, shown
from .serializers import Flag, Json, Plain, Reader, Several, Text, Whole, Word


class BulkReader(Reader):
    action = Text(required=True, help_text="What to do with each.")
    filter = Json(
        required=False,
        allow_null=True,
        help_text="Instead of ids: all that fit these filters of the list, at most 500.",
    )
    dry_run = Flag(
        required=False, default=False, help_text="Only tell what would become of each."
    )


class BulkOfNumbers(BulkReader):
    ids = Several(child=Whole(), required=False, help_text="At most 500.")


class BulkOfKeys(BulkReader):
    ids = Several(child=Text(), required=False, help_text="At most 500.")


class BulkLineSerializer(Plain):
    """What became, or would become, of one."""

    id = serializers.CharField()
    name = serializers.CharField(help_text="Empty where there is none with that id.")
    outcome = Word(choices=dict.fromkeys(bulk.OUTCOMES))
    code = serializers.CharField(help_text="Why not; empty when it is done.")
    message = serializers.CharField(help_text="The same in words.")
    consequence = serializers.CharField(help_text="What to know before.")
    job = serializers.CharField(allow_null=True, help_text="The job that does it.")


class BulkSerializer(Plain):
    """What became of a set. The three counts add up to the number of results."""

    action = serializers.CharField()
    dry_run = serializers.BooleanField()
    done = serializers.IntegerField()
    nothing = serializers.IntegerField(help_text="There was nothing to do with these.")
    refused = serializers.IntegerField()
    results = BulkLineSerializer(many=True)


def answer(
    kind: bulk.Kind,
    rows: "QuerySet[Any]",
    actor: Any,
    values: dict[str, Any],
    filters: type[Filters],
) -> Response:
    """Do, or only try, what a body asks for. rows: those that the person may see."""
    slug, dry_run = values["action"], values.get("dry_run", False)
    verb = kind.verbs.get(slug)
    if verb is None:
        words = f"Must be {any_of(kind.verbs)}."
        raise ValidationError({"action": ValidationError(words, code="invalid_choice")})
    keys = _keys(kind, rows, values, filters)
    lines = bulk.carry_out(verb, rows, keys, actor, dry_run=dry_run)
    results = [_result(line, dry_run) for line in lines]
    counts = {
        outcome: sum(line.outcome == outcome for line in lines)
        for outcome in bulk.OUTCOMES
    }
    told = {"action": slug, "dry_run": dry_run, **counts, "results": results}
    return Response(BulkSerializer(told).data)


def _result(line: bulk.Line, dry_run: bool) -> dict[str, Any]:
    # What a dry run has queued was never there.
    is_job = hasattr(line.result, "task") and not dry_run
    return {
        "id": line.key,
        "name": line.name,
        "outcome": line.outcome,
        "code": line.code,
        "message": line.words,
        "consequence": strip_tags(str(line.consequence)),
        "job": str(line.result.pk) if is_job else None,
    }


def _keys(
    kind: bulk.Kind,
    rows: "QuerySet[Any]",
    values: dict[str, Any],
    filters: type[Filters],
) -> list[Any]:
    given, ids = values.get("filter"), values.get("ids") or []
    if (given is None) == (not ids):
        words = "Send either ids or a filter."
        raise ValidationError({"ids": ValidationError(words, code="required")})
    if given is None:
        return _known(rows, ids)
    found = _filtered(rows, given, filters).order_by("-pk")
    number = found.count()
    if number > bulk.MOST:
        words = f"These are {kind.set_of(number)}; at most {bulk.MOST} at once."
        raise ValidationError({"filter": ValidationError(words, code="too_many")})
    return list(found.values_list("pk", flat=True))


def _known(rows: "QuerySet[Any]", ids: list[Any]) -> list[Any]:
    """The ids, each once; one that no row can have is left as it is, to be told of."""
    field = rows.model._meta.pk
    found: dict[str, Any] = {}
    for key in ids:
        try:
            if isinstance(key, int) and not 0 < key < 2**63:
                raise ValidationError("beyond 64 bits")
            found[str(field.to_python(key))] = key
        except ValidationError:
            words = f"This is no id: {shown(key)}."
            raise ValidationError(
                {"ids": ValidationError(words, code="unknown")}
            ) from None
    return list(found.values())


def _filtered(
    rows: "QuerySet[Any]", given: dict[str, Any], filters: type[Filters]
) -> "QuerySet[Any]":
    known = list(filters.base_filters)
    asked, problems = {}, {}
    for name, value in given.items():
        place = f"filter.{shown(name)}"
        if name not in known:
            message = f"Unknown filter “{shown(name)}”."
            if nearest := nearest_name(name, known):
                message += f" Did you mean “{nearest}”?"
            problems[place] = ValidationError(message, code="unknown_parameter")
        elif isinstance(value, bool):
            asked[name] = "true" if value else "false"
        elif isinstance(value, str | int):
            asked[name] = str(value)
        else:
            problems[place] = ValidationError("Must be a value.", code="type")
    found = filters(asked, queryset=rows)
    if not problems and not found.is_valid():
        problems = {f"filter.{n}": e for n, e in found.errors.as_data().items()}
    if problems:
        raise ValidationError(problems)
    left: QuerySet[Any] = found.qs
    return left
