"""Between HTML forms and actions.

A form here reads shapes: text, number, JSON. Whether a value is good is said by the
action, and `errors_to_form` puts its words beside the fields. So fields check nothing
that an action checks, and are never `required` for Django.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.forms import BoundField
from django.http import HttpRequest, QueryDict
from django.utils.functional import lazy
from django.utils.text import format_lazy

from . import rules, zones
from .errors import Refused
from .validation import CONFIRM

WHOLE_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,40}\s*\Z")


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning of an action, as a tick box: `code` goes into `accepted_warnings`.

    field: the label of the field that it is about, "" for the whole form. name: the
    name of that field.
    """

    code: str
    message: str
    field: str = ""
    ticked: bool = False
    name: str = ""


# What a page sends besides its fields.
CONTROLS = ("csrfmiddlewaretoken", "step", "switch", "check", "accepted_warnings")


class Shown(BoundField):
    """A field as a page shows it."""

    @property
    def warned(self) -> list[Warned]:
        """What must be ticked because of it."""
        warnings: list[Warned] = self.form.warnings  # type: ignore[attr-defined]
        return [warning for warning in warnings if warning.name == self.name]

    def build_widget_attrs(
        self, attrs: dict[str, Any], widget: forms.Widget | None = None
    ) -> dict[str, Any]:
        attrs = super().build_widget_attrs(attrs, widget)
        shown = widget or self.field.widget
        if getattr(self.field, "asked", False) and not (
            shown.is_hidden or self.use_fieldset or isinstance(shown, forms.FileInput)
        ):
            attrs["aria-required"] = "true"
        if isinstance(shown, forms.TextInput) and "autocomplete" not in shown.attrs:
            # Names of buckets and tables are no addresses that a browser could know.
            attrs["autocomplete"] = "off"
        return attrs


class ActionForm(forms.Form):
    """A form in front of one action.

    `paths` leads errors to fields that are called otherwise: {"databricks_params":
    "databricks_json"} also takes "databricks_params.export_cluster_config.num_workers".
    After `errors_to_form`, `warnings` holds what a person must tick, and `status` is
    the HTTP status of the answer: 200, 422, or 409 when the action refused. `sections`
    names the fieldsets and what is in them; what is in none stands above them.
    """

    bound_field_class = Shown
    use_required_attribute = False
    paths: Mapping[str, str] = {}
    sections: Iterable[tuple[str, Iterable[str]]] = ()
    # Whether its fields are checked as they are left; see `accounts.drafts`.
    is_checked = False
    # What was typed before and not sent, and whether the fields show it.
    draft: Any = None
    shows_draft = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        self.warnings: list[Warned] = []
        self.was_refused = False

    @property
    def accepted_warnings(self) -> list[str]:
        """The codes that were ticked."""
        if not isinstance(self.data, QueryDict):
            return []
        codes = self.data.getlist("accepted_warnings")
        return list(dict.fromkeys(code for code in codes[:100] if len(code) <= 200))

    @property
    def tick_boxes(self) -> list[Warned]:
        """What must be ticked, and what was ticked before and may be taken back."""
        asked = {warning.code for warning in self.warnings}
        before = [
            Warned(code, code.replace("_", " "), ticked=True)
            for code in self.accepted_warnings
            if code not in asked
        ]
        return [*self.warnings, *(before if not self._errors_empty() else [])]

    @property
    def fieldsets(self) -> list[tuple[str, list[BoundField]]]:
        """(legend, its fields), without those that are not in the form."""
        grouped = {name for _, names in self.sections for name in names}
        rest = [name for name in self.fields if name not in grouped]
        found = [
            (legend, [self[name] for name in names if name in self.fields])
            for legend, names in (("", rest), *self.sections)
        ]
        return [(legend, fields) for legend, fields in found if fields]

    @property
    def told(self) -> list[tuple[BoundField, str]]:
        """Each error of a field with the field's name, in the order of the fields."""
        found = []
        for name in self.fields:
            for error in self[name].errors:
                label, text = str(self[name].label), str(error)
                words = text if text.startswith(label) else f"{label}: {text}"
                found.append((self[name], words))
        return found

    @property
    def secret_names(self) -> list[str]:
        secret = (SecretInput, SecretTextarea)
        return [n for n, f in self.fields.items() if isinstance(f.widget, secret)]

    @property
    def lost_secrets(self) -> bool:
        """Whether a secret was typed: the page that comes back does not have it."""
        return any(self.data.get(self.add_prefix(name)) for name in self.secret_names)

    def typed(self) -> dict[str, list[str]]:
        """What was typed, as it was sent, without secrets and files."""
        if not isinstance(self.data, QueryDict):
            return {}
        return {
            name: self.data.getlist(self.add_prefix(name))
            for name, field in self.fields.items()
            if not isinstance(field.widget, NEVER_KEPT) and name in self.data
        }

    def fill(self, typed: Mapping[str, list[str]]) -> None:
        """Show what was typed before, without judging it."""
        for name, field in self.fields.items():
            if isinstance(field.widget, NEVER_KEPT):
                continue
            values = typed.get(name, [])
            if isinstance(field, Tick):
                self.initial[name] = bool(values)
            elif hasattr(field.widget, "allow_multiple_selected") and (
                field.widget.allow_multiple_selected
            ):
                self.initial[name] = values
            elif values:
                self.initial[name] = values[-1]

    def unjudge(self) -> None:
        """Show what was sent as if the page was only looked at."""
        if isinstance(self.data, QueryDict):
            self.fill({name: self.data.getlist(name) for name in self.data})
        self.is_bound = False

    def look(self, judge: Callable[[], object]) -> None:
        """Collect the errors of a form that is not finished yet.

        judge: the check of the action, which saves nothing. It is asked even where a
        value cannot be read; that value counts as left out then.
        """
        if not self.is_valid():
            for name, field in self.fields.items():
                empty: Any = field
                self.cleaned_data.setdefault(name, empty.to_python(""))
        with errors_to_form(self):
            judge()

    @property
    def status(self) -> int:
        if self.was_refused:
            return 409
        return 422 if self.is_bound and not self._errors_empty() else 200

    def _errors_empty(self) -> bool:
        return not self.errors and not self.warnings


def posted(request: HttpRequest) -> QueryDict | None:
    """What was sent, also when it is nothing; None when the form is only looked at."""
    return request.POST if request.method == "POST" else None


@contextmanager
def errors_to_form(form: ActionForm) -> Iterator[None]:
    """Put what the action in the block raises on the form: words, ticks, a refusal.

    A refusal for lack of rights is not the form's and goes on.
    """
    try:
        yield
    except ValidationError as error:
        add_errors(form, error)
    except Refused as refused:
        if refused.code == "not_permitted":
            raise
        form.was_refused = True
        form.add_error(None, ValidationError(refused.message, code=refused.code))


def add_errors(form: ActionForm, error: ValidationError) -> None:
    """Sort the errors of an action to the fields of a form."""
    together: dict[str, list[ValidationError]] = error.update_error_dict({})
    for path, problems in together.items():
        name, rest = _field_for(form, path)
        for problem in problems:
            text = " ".join(problem.messages)
            if rest:
                text = f"{rest}: {text}"
            code = problem.code or ""
            if code.startswith(CONFIRM):
                about = str(form[name].label) if name else ""
                slug = code.removeprefix(CONFIRM)
                form.warnings.append(Warned(slug, text, about, name=name or ""))
            else:
                form.add_error(name, ValidationError(text, code=code))


def carried(sent: QueryDict, form: ActionForm | None) -> list[tuple[str, str]]:
    """What was sent and has no field on this page: it goes along, and is not lost.

    form: None where the page shows none of the fields.
    """
    return [
        (name, value)
        for name, values in sent.lists()
        if name not in CONTROLS and (form is None or name not in form.fields)
        for value in values
    ]


def _field_for(form: ActionForm, path: str) -> tuple[str | None, str]:
    """(the field that shows an error, the part of the path that it does not say)."""
    if path == NON_FIELD_ERRORS:
        return None, ""
    head, rest = path, ""
    while head:
        name = form.paths.get(head, head)
        if name in form.fields:
            return name, rest
        head, _, last = head.rpartition(".")
        rest = f"{last}.{rest}" if rest else last
    return None, rest


# --- Widgets and fields ---------------------------------------------------------------


class SecretInput(forms.PasswordInput):
    """Never filled again with what was typed."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "new-password", **(attrs or {})})


class SecretTextarea(forms.Textarea):
    """For secrets of several lines; never filled again either."""

    def format_value(self, value: Any) -> str:
        return ""


# Widgets whose values no draft may hold: secrets, and files.
NEVER_KEPT = (SecretInput, SecretTextarea, forms.PasswordInput, forms.FileInput)


class Text(forms.Field):
    """Text as it was sent, "" when left out. `asked` only marks the label."""

    widget: type[forms.Widget] = forms.TextInput
    asked = False
    only_if = ""

    def __init__(self, *, asked: bool = False, **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self.asked = asked

    def to_python(self, value: Any) -> Any:
        return "" if value is None else value


class Line(Text):
    """Text that an action takes as it is, so its characters are looked at here."""

    def __init__(self, *, max_length: int = rules.MAX_NAME, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length

    def validate(self, value: Any) -> None:
        found = rules.clean_text("", value, max_length=self.max_length)
        if found:
            raise ValidationError(found[0].message, code=found[0].code)


class SecretText(Text):
    widget = SecretInput


class Number(Text):
    """A whole number, None when left out; other text goes on to be told off."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.TextInput(attrs={"inputmode": "numeric"}))
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> Any:
        if value is None or value == "":
            return None
        return int(value) if WHOLE_NUMBER.match(value) else value


class RemoteId(Number):
    """An id at Mixpanel, for an action that takes it as it is."""

    def validate(self, value: Any) -> None:
        if value is None:
            return
        raise_first(rules.check_int("", value, minimum=1, maximum=2**53 - 1))


class RemoteIds(Text):
    """Several ids at Mixpanel, as they were ticked."""

    widget = forms.SelectMultiple

    def to_python(self, value: Any) -> list[int]:
        texts = value or []
        if not all(WHOLE_NUMBER.match(text) for text in texts):
            raise ValidationError("Must be a whole number.", code="type")
        return [int(text) for text in texts]


class Choice(Text):
    """One of several slugs; another one goes on to be told off."""

    widget = forms.Select

    def __init__(
        self, *, choices: Iterable[tuple[str, str]] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.offer(choices)

    def offer(self, choices: Iterable[tuple[str, str]]) -> None:
        self.choices = list(choices)
        self.widget.choices = self.choices


class YesNo(Choice):
    """true, false, or None when nothing was said."""

    def __init__(self, **kwargs: Any) -> None:
        choices = (("", "Not set"), ("true", "Yes"), ("false", "No"))
        super().__init__(choices=choices, **kwargs)

    def to_python(self, value: Any) -> Any:
        return {"true": True, "false": False, "": None, None: None}.get(value, value)

    def prepare_value(self, value: Any) -> Any:
        return {True: "true", False: "false", None: ""}.get(value, value)


class Tick(forms.BooleanField):
    asked = False
    only_if = ""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("asked", None)
        super().__init__(required=False, **kwargs)


class Json(Text):
    """Any JSON, None when left out. Only whether it is JSON is checked here."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"rows": 4, "spellcheck": "false", "class": "code"}
        kwargs.setdefault("widget", forms.Textarea(attrs=attrs))
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> Any:
        return None if value is None or not value.strip() else read_json(value)

    def prepare_value(self, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)


class Moment(forms.DateTimeField):
    """A time in the zone of the page, which its help names; None when left out."""

    asked = False
    only_if = ""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("asked", None)
        widget = forms.DateTimeInput(
            attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"
        )
        kwargs["help_text"] = format_lazy(
            "Time zone: {}. {}",
            lazy(zones.active_name, str)(),
            kwargs.get("help_text", ""),
        )
        super().__init__(required=False, widget=widget, **kwargs)


class Pick(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A row of a queryset that the person may see. `what` names it in the error."""

    asked = False
    only_if = ""

    def __init__(
        self, queryset: Any, *, what: str, asked: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(
            queryset,
            required=False,
            error_messages={"invalid_choice": f"There is no such {what}."},
            **kwargs,
        )
        self.asked = asked

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise ValidationError(self.error_messages["invalid_choice"], code="choice")
        return super().to_python(value)


class Ticks(forms.MultipleChoiceField):
    """Any of the rows that are offered. The value is a list of rows."""

    only_if = ""

    def __init__(self, *, what: str, asked: bool = False, **kwargs: Any) -> None:
        message = f"One {what} is no longer there. Look again."
        super().__init__(
            required=False,
            widget=forms.CheckboxSelectMultiple,
            error_messages={"invalid_choice": message, "invalid_list": message},
            **kwargs,
        )
        self.asked = asked
        self.rows: dict[str, Any] = {}

    def offer(self, rows: Iterable[Any]) -> None:
        self.rows = {str(row.pk): row for row in rows}
        self.choices = [(key, str(row)) for key, row in self.rows.items()]

    def clean(self, value: Any) -> Any:
        return [self.rows[key] for key in dict.fromkeys(super().clean(value))]


def read_json(text: str) -> Any:
    """The value of a JSON text. Raises ValidationError for anything that is not JSON."""
    if len(text) > 2 * rules.MAX_JSON_BYTES:
        limit = rules.MAX_JSON_BYTES // 1024
        raise ValidationError(f"Larger than {limit} KiB as JSON.", code="too_large")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValidationError(f"Is not JSON ({where}).", code="json") from None
    except RecursionError:
        message = f"Nested deeper than {rules.MAX_JSON_DEPTH} levels."
        raise ValidationError(message, code="too_deep") from None
    except ValueError:
        raise ValidationError(
            "Contains a whole number beyond 64 bits. Write it as text.", code="number"
        ) from None


def raise_first(findings: list[rules.Finding]) -> None:
    if findings:
        raise ValidationError(findings[0].message, code=findings[0].code)


# --- From a catalogue -----------------------------------------------------------------


def form_field(entry: rules.Field, *, prefix: str = "") -> forms.Field:
    """The form field for a catalogue entry."""
    common: dict[str, Any] = {
        "label": entry.label,
        "help_text": entry.help,
        "initial": entry.initial,
        "asked": entry.required,
    }
    attrs = {"placeholder": entry.placeholder} if entry.placeholder else {}
    many_lines = entry.multiline or entry.kind == "textarea"
    field: forms.Field
    if entry.secret or entry.kind == "secret":
        widget = SecretTextarea({"rows": 4}) if many_lines else SecretInput(attrs)
        field = SecretText(widget=widget, **common)
    elif entry.kind == "int":
        number = forms.TextInput(attrs={"inputmode": "numeric", **attrs})
        field = Number(widget=number, **common)
    elif entry.kind == "bool":
        plain = isinstance(entry.initial, bool)
        field = Tick(**common) if plain else YesNo(**common)
    elif entry.kind == "choice":
        choices = list(entry.choices)
        if not entry.required:
            choices.insert(0, ("", "Not set"))
        elif entry.initial is None:
            choices.insert(0, ("", "Choose…"))
        field = Choice(choices=choices, **common)
    elif entry.kind in ("json", "mapping"):
        field = Json(**common)
        field.widget.attrs.update(attrs)
    elif many_lines:
        field = Text(widget=forms.Textarea({"rows": 4, **attrs}), **common)
    else:
        field = Text(widget=forms.TextInput(attrs), **common)
    if entry.only_if:
        other, values = entry.only_if
        field.only_if = f"{prefix}{other}={','.join(values)}"
    return field


def catalogue_fields(
    entries: Iterable[rules.Field], *, prefix: str = ""
) -> dict[str, forms.Field]:
    """{prefix + name: form field} for the entries, in their order.

    With the prefix "databricks_params." an error of the action that is called
    "databricks_params.num_workers" finds its field by itself.
    """
    return {f"{prefix}{e.name}": form_field(e, prefix=prefix) for e in entries}


def catalogue_values(
    values: Mapping[str, Any], entries: Iterable[rules.Field], *, prefix: str = ""
) -> dict[str, Any]:
    """{name: value} of what was given; what was left empty is left out."""
    found = {entry.name: values.get(f"{prefix}{entry.name}") for entry in entries}
    return {name: value for name, value in found.items() if rules.given(value)}
