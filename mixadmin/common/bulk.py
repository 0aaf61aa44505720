"""One verb for many rows: told first, then done with each by the action that its own
page and API call use, and told again one by one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import BadRequest, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .errors import Refused, Wait
from .pages import query_of, url_with

# How many rows one request may change.
MOST = 500

DONE = "done"
NOTHING = "nothing"
REFUSED = "refused"
OUTCOMES = (DONE, NOTHING, REFUSED)


@dataclass(frozen=True, slots=True)
class Verb:
    """What can be done with many rows at once.

    words: of the button; "{}" is the set, as in "Run 14 imports now". will, did: what
    is said of one and of several before and after.
    act: does it with one row for one person, or raises Refused, Wait or ValidationError.
    already: whether there is nothing to do with a row, and what is said then.
    consequence: what a person should know of a row before, "" for nothing.
    note: the same of all the rows together.
    """

    words: str
    will: tuple[str, str]
    did: tuple[str, str]
    act: Callable[[Any, Any], Any]
    already: Callable[[Any], bool] = lambda row: False
    already_words: tuple[str, str] = ("", "")
    consequence: Callable[[Any], Any] = lambda row: ""
    note: Callable[[Sequence[Any]], str] = lambda rows: ""
    picture: str = ""
    danger: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What is listed, and its verbs by the word that forms and API send."""

    one: str
    many: str
    verbs: dict[str, Verb]

    def set_of(self, number: int) -> str:
        """1 import; 1,400 imports."""
        return f"{intcomma(number)} {self.one if number == 1 else self.many}"


@dataclass(frozen=True, slots=True)
class Line:
    """What becomes, or would become, of one row.

    row: None where there is none with that key. words: why not. result: of the action.
    """

    key: str
    row: Any
    outcome: str
    words: str = ""
    code: str = ""
    consequence: Any = ""
    result: Any = None

    @property
    def name(self) -> str:
        return "" if self.row is None else str(self.row)


def carry_out(
    verb: Verb,
    rows: "QuerySet[Any]",
    keys: Iterable[Any],
    actor: Any,
    *,
    dry_run: bool = False,
) -> list[Line]:
    """Do it with each row, each in a transaction of its own.

    With `dry_run` each is undone again at once: what would be refused is what the action
    itself refuses, not a guess.
    """
    return [_one(verb, rows, key, actor, dry_run) for key in keys]


def _one(
    verb: Verb, rows: "QuerySet[Any]", key: Any, actor: Any, dry_run: bool
) -> Line:
    row = rows.filter(pk=key).first()
    if row is None:
        return Line(str(key), None, REFUSED, "There is no such thing.", "not_found")
    if verb.already(row):
        return Line(str(key), row, NOTHING, verb.already_words[0], "already")
    consequence = verb.consequence(row)
    try:
        with transaction.atomic():
            result = verb.act(row, actor)
            if dry_run:
                transaction.set_rollback(True)
    except (Refused, Wait) as refused:
        code = getattr(refused, "code", getattr(refused, "reason", ""))
        return Line(str(key), row, REFUSED, refused.message, code)
    except ValidationError as error:
        return Line(str(key), row, REFUSED, " ".join(error.messages), "invalid")
    return Line(str(key), row, DONE, "", "", consequence, result)


def require_few(kind: Kind, number: int) -> None:
    """Refuse none, and more than one request may change."""
    if not number:
        raise Refused(f"Tick at least one {kind.one}.", code="nothing_chosen")
    if number > MOST:
        raise Refused(
            f"These are {kind.set_of(number)}; at most {MOST} can be changed at once. "
            "Narrow the filters, or tick fewer.",
            code="too_many",
        )


# --- The pages ------------------------------------------------------------------------


def bar(request: HttpRequest, kind: Kind, url: str, total: int) -> dict[str, Any]:
    """What `_bulk_bar.html` shows below a list. url: of the page that asks again;
    total: how many rows match the filters of the list."""
    return {
        "kind": kind,
        "verbs": [
            {
                "slug": slug,
                "verb": verb,
                "label": verb.words.format(f"the ticked {kind.many}"),
            }
            for slug, verb in kind.verbs.items()
        ],
        "url": f"{url}?{query_of(request)}",
        "total": total,
        "most": MOST,
    }


def answer(
    request: HttpRequest,
    kind: Kind,
    *,
    rows: "QuerySet[Any]",
    matching: "QuerySet[Any]",
    list_url: str,
    context: dict[str, Any],
) -> HttpResponse:
    """Tell what would become of the rows that were ticked; when that was confirmed, do
    it and tell what became of each.

    rows: those that the person may see. matching: those of them that the filters in the
    URL leave, in the order of the list. What is confirmed is the set that was told: rows
    that match since then are counted and left alone.
    """
    verb = kind.verbs.get(request.POST.get("verb", ""))
    if verb is None:
        raise BadRequest("There is no such verb.")
    everything, sure = "all" in request.POST, "sure" in request.POST
    if everything and not sure:
        require_few(kind, matching.count())
        keys = list(matching.values_list("pk", flat=True))
    else:
        keys = _keys(rows, request.POST.getlist("id"))
        require_few(kind, len(keys))
    lines = carry_out(verb, rows, keys, request.user, dry_run=not sure)
    done = [line for line in lines if line.outcome == DONE]
    context |= {
        "kind": kind,
        "verb": verb,
        "slug": request.POST["verb"],
        "lines": lines,
        "done": done,
        "tallies": tallies(kind, verb, lines, sure=sure),
        "title": verb.words.format(kind.set_of(len(done) if done else len(lines))),
        "everything": everything,
        "list_url": f"{list_url}?{query_of(request)}",
    }
    if sure:
        since = matching.exclude(pk__in=keys).count() if everything else 0
        context["since"] = kind.set_of(since) if since else ""
        return render(request, "bulk/result.html", context)
    context["note"] = verb.note([line.row for line in done])
    context["url"] = url_with(request)
    return render(request, "bulk/review.html", context)


def _keys(rows: "QuerySet[Any]", texts: Iterable[str]) -> list[Any]:
    """The keys that a form sent, each once."""
    field = rows.model._meta.pk
    try:
        found = [field.to_python(text) for text in dict.fromkeys(texts)]
    except ValidationError:
        raise BadRequest("This is no key of a row.") from None
    if any(isinstance(key, int) and not 0 < key < 2**63 for key in found):
        raise BadRequest("This is no key of a row.")
    return found


def tallies(
    kind: Kind, verb: Verb, lines: Sequence[Line], *, sure: bool
) -> list[dict[str, Any]]:
    """The lines counted by outcome, in words: "12 will be paused"."""
    said = {
        DONE: verb.did if sure else verb.will,
        NOTHING: verb.already_words,
        REFUSED: ("was refused", "were refused")
        if sure
        else ("would be refused", "would be refused"),
    }
    tones = {DONE: "good", NOTHING: "idle", REFUSED: "bad"}
    found = []
    for outcome in OUTCOMES:
        number = sum(line.outcome == outcome for line in lines)
        if number:
            words = said[outcome][number != 1]
            text = f"{intcomma(number)} {words}"
            found.append({"outcome": outcome, "tone": tones[outcome], "words": text})
    return found
