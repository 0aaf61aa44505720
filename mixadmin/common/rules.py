"""What a rule says, what a catalogue entry is, and the checks that all of them share.

Nothing here knows Django: form, API, command and worker read the same catalogues and
show the same words. A check never raises for a value that came out of JSON, whatever
its type; it answers with findings.
"""

import difflib
import json
import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")

MAX_NAME = 255
MAX_TEXT = 64 * 1024
MAX_JSON_BYTES = 256 * 1024
MAX_JSON_DEPTH = 32
# A longer list helps nobody, and costs time when the input is hostile.
MAX_FINDINGS_PER_OBJECT = 20

INT64 = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or that a person must confirm.

    field: the name as in form and API, dotted when nested, "" for the whole.
    message: what to do, in plain words. Never holds the value of a secret.
    code: a stable slug. Warnings are confirmed by it.
    warning: True when the rule is disputed or the value is risky: it is accepted once
        a person has ticked it.
    """

    field: str
    message: str
    code: str = "invalid"
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of a catalogue: how to ask for a value and what it may be.

    kind: "text" (one line), "textarea", "secret", "int", "bool", "choice",
        "json" (an object, or a list when `json_type` is list),
        "mapping" (an object of text values).
    fields: for "json" with known members: exactly these are allowed.
    only_if: other field and the values of it with which this one is used; a form may
        hide it otherwise.
    nullable: False when JSON null is not the same as leaving the key out.
    """

    name: str
    label: str
    help: str = ""
    kind: str = "text"
    required: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    secret: bool = False
    initial: Any = None
    multiline: bool = False
    max_length: int = MAX_NAME
    minimum: int = INT64[0]
    maximum: int = INT64[1]
    json_type: type = dict
    fields: tuple["Field", ...] = ()
    only_if: tuple[str, tuple[str, ...]] | None = None
    nullable: bool = True
    allow_empty: bool = False
    placeholder: str = ""


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that no tick can accept."""
    return [finding for finding in findings if not finding.warning]


def unconfirmed(findings: Iterable[Finding], ticked: Iterable[str]) -> list[Finding]:
    """The findings that still stand in the way when the codes in `ticked` are accepted.

    Errors stay whatever was ticked.
    """
    accepted = {code for code in ticked if isinstance(code, str)}
    return [f for f in findings if not (f.warning and f.code in accepted)]


def prefixed(prefix: str, findings: Iterable[Finding]) -> list[Finding]:
    """The same findings, one level deeper: `prefix` is put before each field."""
    return [
        replace(f, field=f"{prefix}.{f.field}" if f.field else prefix) for f in findings
    ]


def given(value: object) -> bool:
    """Whether a value was given: None and the empty text mean "left out"."""
    return value is not None and value != ""


def lookup(table: Mapping[str, T], key: object) -> T | None:
    """table[key], or None for a key that is missing or not even text."""
    return table.get(key) if isinstance(key, str) else None


def shown(value: object, limit: int = 60) -> str:
    """A value as it may stand in a message: short, printable, one line."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
    except (ValueError, RecursionError, TypeError):
        text = f"a {type(value).__name__}"
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def any_of(names: Iterable[str]) -> str:
    """ "a", "a or b", "a, b or c"."""
    *head, last = list(names)
    return f"{', '.join(head)} or {last}" if head else last


def clean_text(
    name: str,
    value: object,
    *,
    label: str = "",
    required: bool = False,
    max_length: int = MAX_NAME,
    multiline: bool = False,
    trimmed: bool = True,
) -> list[Finding]:
    """Check one text. None and "" count as left out.

    Refused: anything that is not text, NUL and other control characters (line breaks
    and tabs pass when `multiline`), broken Unicode (lone surrogates), more than
    `max_length` characters, and, when `trimmed`, spaces at either end.
    """
    if not given(value):
        if required:
            return [Finding(name, f"{label or name} is required.", "required")]
        return []
    if not isinstance(value, str):
        return [Finding(name, f"Must be text, not {json_type_name(value)}.", "type")]
    if len(value) > max_length:
        return [
            Finding(
                name,
                f"Too long: {len(value):,} characters, at most {max_length:,}.",
                "too_long",
            )
        ]
    if problem := broken_characters(value, multiline=multiline):
        return [Finding(name, problem, "characters")]
    if required and not value.strip():
        return [Finding(name, f"{label or name} is required.", "required")]
    if trimmed and value != value.strip():
        return [Finding(name, "Remove the space at the start or the end.", "spaces")]
    return []


def broken_characters(text: str, *, multiline: bool = False) -> str:
    """What is wrong with the characters of a text, or ""."""
    if text.isprintable():
        return ""
    for char in text:
        if multiline and char in "\n\r\t":
            continue
        if char == "\0":
            return "Contains a NUL character. Remove it."
        category = unicodedata.category(char)
        if category == "Cs":
            return "Contains a broken Unicode character (a lone surrogate). Remove it."
        if category in ("Cc", "Zl", "Zp"):
            if char in "\n\r\x85\u2028\u2029":
                return "Contains a line break. Remove it."
            return f"Contains a control character ({ascii(char)}). Remove it."
    return ""


def json_type_name(value: object) -> str:
    """What people call the JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Mapping):
        return "an object"
    return f"a {type(value).__name__}"


def check_json(
    value: object,
    name: str = "",
    *,
    max_depth: int = MAX_JSON_DEPTH,
    max_bytes: int = MAX_JSON_BYTES,
    json_type: type | None = dict,
) -> list[Finding]:
    """Check free JSON that is stored and sent on as it is. The first problem is told.

    Refused: another type than `json_type` at the top (None allows any), more than
    `max_depth` levels, more than `max_bytes` bytes as UTF-8 JSON, NaN and Infinity,
    whole numbers beyond 64 bits, NUL and lone surrogates, keys that are not text.
    """
    if json_type is not None and not isinstance(value, json_type):
        wanted = "object" if json_type is dict else "list"
        message = f"Must be a JSON {wanted}, not {json_type_name(value)}."
        return [Finding(name, message, "type")]
    # Bytes are counted on the way, so that a huge value is refused early.
    size = 0
    todo: list[tuple[object, int]] = [(value, 1)]
    while todo:
        item, depth = todo.pop()
        if isinstance(item, dict | list):
            if depth > max_depth:
                return [
                    Finding(name, f"Nested deeper than {max_depth} levels.", "too_deep")
                ]
            size += 2 + len(item)
            if isinstance(item, dict):
                if not all(isinstance(key, str) for key in item):
                    return [Finding(name, "Every key must be text.", "type")]
                todo.extend((key, depth + 1) for key in item)
                todo.extend((child, depth + 1) for child in item.values())
            else:
                todo.extend((child, depth + 1) for child in item)
        elif isinstance(item, str):
            size += len(item) + 2
            if size <= max_bytes and (problem := _broken_in_json(item)):
                return [Finding(name, problem, "characters")]
        elif isinstance(item, bool) or item is None:
            size += 4
        elif isinstance(item, int):
            if not INT64[0] <= item <= INT64[1]:
                text = "Contains a whole number beyond 64 bits. Write it as text."
                return [Finding(name, text, "number")]
            size += 1
        elif isinstance(item, float):
            if not math.isfinite(item):
                text = "Contains NaN or Infinity, which JSON does not have."
                return [Finding(name, text, "number")]
            size += 1
        else:
            text = f"Contains {json_type_name(item)}, which JSON does not have."
            return [Finding(name, text, "type")]
        if size > max_bytes:
            break
    if size <= max_bytes:
        size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > max_bytes:
        limit = f"{max_bytes // 1024} KiB" if max_bytes >= 1024 else f"{max_bytes} B"
        return [Finding(name, f"Larger than {limit} as JSON.", "too_large")]
    return []


def _broken_in_json(text: str) -> str:
    """NUL and lone surrogates: what neither PostgreSQL nor UTF-8 can hold."""
    if "\0" in text:
        return "Contains a NUL character. Remove it."
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "Contains a broken Unicode character (a lone surrogate). Remove it."
    return ""


def check_mapping(name: str, value: object, *, max_length: int = 4096) -> list[Finding]:
    """Check an object of text values, {"column": "property"}. None counts as left out.

    Keys: 1 to 255 characters. Values: text of at most `max_length` characters.
    """
    if value is None or value == "":
        return []
    if findings := check_json(value, name):
        return findings
    assert isinstance(value, dict)
    findings = []
    for key, text in value.items():
        where = f"{name}.{shown(key)}" if key else name
        if not key:
            findings.append(Finding(name, "A key is empty. Name it.", "required"))
        elif problem := clean_text(where, key, trimmed=False):
            findings.append(replace(problem[0], message="Key: " + problem[0].message))
        elif not isinstance(text, str):
            message = f"Must be text, not {json_type_name(text)}."
            findings.append(Finding(where, message, "type"))
        else:
            findings += clean_text(
                where, text, max_length=max_length, multiline=True, trimmed=False
            )
        if len(findings) >= MAX_FINDINGS_PER_OBJECT:
            break
    return findings


def unknown_keys(
    values: Mapping[str, object],
    known: Iterable[str],
    *,
    elsewhere: Mapping[str, str] | None = None,
) -> list[Finding]:
    """One error for each key that is not known, with the nearest name that is.

    elsewhere: key -> a sentence that says where the key belongs.
    """
    known = list(known)
    findings: list[Finding] = []
    for key in [key for key in values if key not in known]:
        if len(findings) == MAX_FINDINGS_PER_OBJECT:
            findings.append(Finding("", "And more unknown fields.", "unknown_field"))
            break
        name = shown(key)
        message = f"Unknown field “{name}”."
        if hint := lookup(elsewhere or {}, key):
            message += f" {hint}"
        elif nearest := nearest_name(key, known):
            message += f" Did you mean “{nearest}”?"
        else:
            message += " Remove it."
        findings.append(Finding(name, message, "unknown_field"))
    return findings


def nearest_name(key: object, known: Iterable[str]) -> str:
    """The known name that looks most like `key`, or ""."""
    if not isinstance(key, str) or len(key) > 64:
        return ""
    return next(iter(difflib.get_close_matches(key, list(known), 1)), "")


def check_value(field: Field, value: object) -> list[Finding]:
    """Check one value against its catalogue entry. Findings carry the field's name.

    A required field that is left out is told here too.
    """
    if value is None and not field.nullable:
        return [Finding(field.name, "Must not be null. Leave the key out.", "type")]
    left_out = value is None or (value == "" and not field.allow_empty)
    if left_out:
        if field.required:
            return [Finding(field.name, f"{field.label} is required.", "required")]
        return []
    match field.kind:
        case "text" | "textarea" | "secret":
            return clean_text(
                field.name,
                value,
                label=field.label,
                required=field.required and not field.allow_empty,
                max_length=field.max_length,
                multiline=field.multiline or field.kind == "textarea",
                trimmed=field.kind == "text",
            )
        case "int":
            return check_int(
                field.name, value, minimum=field.minimum, maximum=field.maximum
            )
        case "bool":
            if not isinstance(value, bool):
                return [Finding(field.name, "Must be true or false.", "type")]
            return []
        case "choice":
            return check_choice(field.name, value, [slug for slug, _ in field.choices])
        case "mapping":
            return check_mapping(field.name, value)
        case _:
            findings = check_json(value, field.name, json_type=field.json_type)
            if not findings and field.fields and isinstance(value, Mapping):
                findings = prefixed(field.name, check_fields(field.fields, value))
            return findings


def check_int(
    name: str, value: object, *, minimum: int = INT64[0], maximum: int = INT64[1]
) -> list[Finding]:
    """Check a whole number between `minimum` and `maximum`, both allowed."""
    if isinstance(value, bool) or not isinstance(value, int):
        return [Finding(name, "Must be a whole number.", "type")]
    if minimum <= value <= maximum:
        return []
    if maximum == INT64[1] or value < minimum:
        return [Finding(name, f"Must be at least {minimum}.", "range")]
    return [Finding(name, f"Must be at most {maximum}.", "range")]


def check_choice(name: str, value: object, slugs: Iterable[str]) -> list[Finding]:
    """Check that a value is one of the slugs."""
    slugs = list(slugs)
    if isinstance(value, str) and value in slugs:
        return []
    if not isinstance(value, str):
        message = f"Must be text: {any_of(slugs)}."
        return [Finding(name, message, "type")]
    message = f"“{shown(value)}” is not a choice. Use {any_of(slugs)}."
    return [Finding(name, message, "choice")]


def check_fields(
    fields: Iterable[Field],
    values: object,
    *,
    partial: bool = False,
    elsewhere: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Check an object against a catalogue: unknown keys, missing keys, each value.

    partial: only the keys that are present are looked at (an update).
    Keys that are left out are never told off unless their field is required.
    """
    if not isinstance(values, Mapping):
        message = f"Must be a JSON object, not {json_type_name(values)}."
        return [Finding("", message, "type")]
    fields = list(fields)
    known = [field.name for field in fields]
    findings = unknown_keys(values, known, elsewhere=elsewhere)
    for field in fields:
        if field.name in values:
            findings += check_value(field, values[field.name])
        elif field.required and not partial:
            message = f"{field.label} is required."
            findings.append(Finding(field.name, message, "required"))
    return findings
