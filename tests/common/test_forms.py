"""What an action says comes to stand beside the right field."""

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from mixadmin.common.errors import Refused
from mixadmin.common.forms import (
    ActionForm,
    Json,
    Number,
    SecretText,
    Text,
    catalogue_fields,
    catalogue_values,
    errors_to_form,
    form_field,
)
from mixadmin.common.rules import Field, Finding, check_fields
from mixadmin.common.validation import raise_for


class TableForm(ActionForm):
    paths = {"databricks_params": "config"}
    name = Text(label="Name")
    secret = SecretText(label="Secret")
    config = Json(label="Databricks config")


def bound(query="", form=TableForm):
    made = form(QueryDict(query))
    assert made.is_valid()
    return made


def refuse(form, error):
    with errors_to_form(form):
        raise error


def test_an_unbound_form_is_200_and_a_good_one_too():
    assert TableForm().status == 200
    assert bound().status == 200


def test_words_come_to_stand_beside_their_field():
    form = bound("name=x")
    refuse(form, ValidationError({"name": ["No.", "Never."]}))
    assert form.errors == {"name": ["No.", "Never."]}
    assert form.status == 422


@pytest.mark.parametrize(
    ("path", "field", "words"),
    [
        ("name", "name", "No."),
        ("name.first", "name", "first: No."),
        ("databricks_params", "config", "No."),
        ("databricks_params.cluster.num_workers", "config", "cluster.num_workers: No."),
        ("nowhere.at_all", "__all__", "nowhere.at_all: No."),
        ("__all__", "__all__", "No."),
    ],
)
def test_a_nested_error_finds_the_nearest_field(path, field, words):
    form = bound()
    refuse(form, ValidationError({path: "No."}))
    assert form.errors == {field: [words]}


def test_an_error_without_fields_is_the_forms():
    form = bound()
    refuse(form, ValidationError("No."))
    assert form.errors == {"__all__": ["No."]}


def test_a_warning_becomes_a_tick_box_and_not_an_error():
    form = bound("name=x")
    with errors_to_form(form):
        raise_for([Finding("name", "Risky.", "risky", warning=True)])
    assert form.errors == {}
    assert form.status == 422
    assert [(w.code, w.message, w.field, w.ticked) for w in form.tick_boxes] == [
        ("risky", "Risky.", "Name", False)
    ]


def test_a_ticked_warning_stays_ticked_while_something_else_is_wrong():
    form = bound("accepted_warnings=very_risky&accepted_warnings=very_risky")
    assert form.accepted_warnings == ["very_risky"]
    refuse(form, ValidationError({"name": "No."}))
    assert [(w.code, w.message, w.ticked) for w in form.tick_boxes] == [
        ("very_risky", "very risky", True)
    ]


def test_ticks_of_any_size_do_no_harm():
    query = "&".join(f"accepted_warnings={n}" for n in range(1500))
    form = bound(f"accepted_warnings={'x' * 100_000}&{query}")
    assert len(form.accepted_warnings) == 99


def test_a_refusal_is_409_and_lack_of_rights_goes_on():
    form = bound()
    refuse(form, Refused("Not now.", code="wrong_state"))
    assert form.errors == {"__all__": ["Not now."]}
    assert form.status == 409
    with pytest.raises(Refused):
        refuse(bound(), Refused("Not you.", code="not_permitted"))


def test_a_secret_is_never_filled_again():
    form = bound("secret=hush&name=")
    refuse(form, ValidationError({"secret": "No."}))
    assert "hush" not in str(form["secret"])
    lines = form_field(Field("key", "Key", kind="secret", multiline=True))
    assert "hush" not in lines.widget.render("key", "hush")


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("7", 7), (" -7 ", -7), ("+1", 1), ("x", "x"), ("1.0", "1.0")],
)
def test_a_number_is_read_or_handed_on(text, value):
    assert Number().clean(text) == value


def test_digits_without_end_are_handed_on_as_text():
    assert Number().clean("9" * 1_000_000) == "9" * 1_000_000
    assert Number().clean("٣") == "٣"


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("  ", None), ('{"a": [1]}', {"a": [1]}), ("null", None), ("1", 1)],
)
def test_json_is_read(text, value):
    assert Json().clean(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Is not JSON (line 1, column 2)."),
        ("{'a': 1}", "Is not JSON"),
        ("\0", "Is not JSON"),
        ("[" * 100_000, "Nested deeper than 32 levels."),
        ("9" * 5000, "Contains a whole number beyond 64 bits."),
        ("x" * 1_000_000, "Larger than 256 KiB as JSON."),
    ],
)
def test_what_is_not_json_is_told(text, words):
    with pytest.raises(ValidationError) as told:
        Json().clean(text)
    assert words in told.value.messages[0]


# --- From a catalogue


ENTRIES = (
    Field("name", "Name", required=True, help="Its name."),
    Field("workers", "Workers", kind="int", minimum=1),
    Field("spot", "Spot", kind="bool"),
    Field("on", "On", kind="bool", initial=True),
    Field("size", "Size", kind="choice", choices=(("s", "Small"), ("l", "Large"))),
    Field("tags", "Tags", kind="mapping", only_if=("size", ("l",))),
    Field("key", "Key", kind="secret"),
    Field("note", "Note", kind="textarea"),
)


def form_of(entries, prefix=""):
    return type(
        "CatalogueForm", (ActionForm,), catalogue_fields(entries, prefix=prefix)
    )


def test_every_catalogue_entry_has_its_field():
    form = form_of(ENTRIES, "c.")()
    kinds = {name: type(f.widget) for name, f in form.fields.items()}
    assert list(kinds) == [f"c.{e.name}" for e in ENTRIES]
    assert issubclass(kinds["c.key"], forms.PasswordInput)
    assert kinds["c.on"] is forms.CheckboxInput
    assert kinds["c.spot"] is forms.Select
    assert form.fields["c.tags"].only_if == "c.size=l"
    assert form.fields["c.name"].asked
    assert "Its name." in form["c.name"].help_text


def test_values_go_to_the_action_as_json_types_and_empty_ones_not_at_all():
    form = bound(
        'c.name=x&c.workers=3&c.spot=false&c.size=l&c.tags={"a":"b"}&c.key=&c.note=',
        form_of(ENTRIES, "c."),
    )
    values = catalogue_values(form.cleaned_data, ENTRIES, prefix="c.")
    assert values == {
        "name": "x",
        "workers": 3,
        "spot": False,
        "on": False,
        "size": "l",
        "tags": {"a": "b"},
    }
    assert check_fields(ENTRIES, values) == []


def test_bad_values_go_on_to_the_rules_and_their_words_come_back():
    form = bound("name=a%00&workers=x&spot=maybe&size=xl&tags=[]", form_of(ENTRIES))
    values = catalogue_values(form.cleaned_data, ENTRIES)
    with errors_to_form(form):
        raise_for(check_fields(ENTRIES, values))
    assert form.errors == {
        "name": ["Contains a NUL character. Remove it."],
        "workers": ["Must be a whole number."],
        "spot": ["Must be true or false."],
        "size": ["“xl” is not a choice. Use s or l."],
        "tags": ["Must be a JSON object, not a list."],
    }
