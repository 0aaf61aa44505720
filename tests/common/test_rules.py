"""The checks that all catalogues share: they name the problem and never raise."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixadmin.common.rules import (
    Field,
    Finding,
    any_of,
    check_fields,
    check_json,
    check_mapping,
    check_value,
    clean_text,
    errors,
    prefixed,
    shown,
    unconfirmed,
)

ANY_TEXT = st.text(
    st.characters(exclude_categories=()) | st.sampled_from("\0\n\ud800\u200d😀"),
    max_size=20,
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4)
    ),
    max_leaves=10,
)


def codes(findings):
    return [finding.code for finding in findings]


def messages(findings):
    return [finding.message for finding in findings]


@pytest.mark.parametrize("value", ["time", "Größe", "📈 price", "a b", "", None])
def test_good_text_passes(value):
    assert clean_text("name", value) == []


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        (5, "type", "Must be text, not a number."),
        (True, "type", "Must be text, not true or false."),
        ([], "type", "Must be text, not a list."),
        ({}, "type", "Must be text, not an object."),
        ("a\0b", "characters", "NUL"),
        ("a\ud800", "characters", "lone surrogate"),
        ("a\nb", "characters", "line break"),
        ("a\x07b", "characters", "control character ('\\x07')"),
        ("a" * 256, "too_long", "256 characters, at most 255"),
        (" a", "spaces", "space"),
        ("a\u00a0", "spaces", "space"),
    ],
)
def test_bad_text_is_told_with_its_reason(value, code, words):
    [finding] = clean_text("name", value)

    assert (finding.field, finding.code, finding.warning) == ("name", code, False)
    assert words in finding.message


def test_required_text_names_its_label():
    for value in (None, "", "   "):
        assert clean_text("t", value, label="Time column", required=True) == [
            Finding("t", "Time column is required.", "required")
        ]


def test_255_characters_are_allowed():
    assert clean_text("name", "é" * 255) == []


def test_lines_are_allowed_where_they_are_asked_for():
    assert clean_text("pem", "a\r\n\tb\n", multiline=True, trimmed=False) == []
    assert codes(clean_text("pem", "a\n\0", multiline=True)) == ["characters"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ([], "type"),
        ("{}", "type"),
        (None, "type"),
        ({"a": float("nan")}, "number"),
        ({"a": [float("-inf")]}, "number"),
        ({"a": 2**63}, "number"),
        ({"a": 10**5000}, "number"),
        ({"a": "x\0"}, "characters"),
        ({"a\0": 1}, "characters"),
        ({"a": "\udfff"}, "characters"),
        ({1: 2}, "type"),
        ({"a": {1, 2}}, "type"),
        ({"a": b"x"}, "type"),
        ({"a": "x" * 300_000}, "too_large"),
        ({"a": "é" * 140_000}, "too_large"),
        ({str(n): n for n in range(60_000)}, "too_large"),
    ],
)
def test_json_that_cannot_be_stored_is_refused(value, code):
    assert codes(check_json(value, "params")) == [code]


def test_json_may_be_32_levels_deep_and_not_deeper():
    def nested(levels):
        value = {}
        for _ in range(levels - 1):
            value = {"a": value}
        return value

    assert check_json(nested(32)) == []
    assert codes(check_json(nested(33))) == ["too_deep"]
    assert codes(check_json(nested(100_000))) == ["too_deep"]


def test_json_size_is_counted_in_bytes():
    assert check_json({"a": "éé"}, max_bytes=13) == []
    assert codes(check_json({"a": "éé"}, max_bytes=12)) == ["too_large"]


@given(ANY_JSON)
def test_json_that_passes_can_be_written_as_utf8(value):
    findings = check_json(value, "x", json_type=None)

    assert all(finding.field == "x" for finding in findings)
    if not findings:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        assert b"\\u0000" not in text.encode()


def test_mapping_takes_text_to_text_only():
    assert check_mapping("m", {"col": "Property"}) == []
    assert check_mapping("m", None) == []
    assert check_mapping("m", {"col": 1, "b": None}) == [
        Finding("m.col", "Must be text, not a number.", "type"),
        Finding("m.b", "Must be text, not null.", "type"),
    ]
    assert messages(check_mapping("m", {"": "x"})) == ["A key is empty. Name it."]
    assert messages(check_mapping("m", {"a" * 256: "x"})) == [
        "Key: Too long: 256 characters, at most 255."
    ]


def test_hostile_objects_give_a_short_list():
    many = {f"key{n}": n for n in range(5000)}

    assert len(check_mapping("m", many)) <= 20
    assert len(check_fields([Field("a", "A")], many)) <= 21


def test_unknown_field_is_named_with_the_nearest_known_one():
    fields = [Field("num_workers", "Workers", kind="int")]

    assert check_fields(fields, {"num_worker": 1}) == [
        Finding(
            "num_worker",
            "Unknown field “num_worker”. Did you mean “num_workers”?",
            "unknown_field",
        )
    ]
    [finding] = check_fields(fields, {"\0\ud800" + "x" * 100_000: 1})
    assert len(finding.field) < 100
    finding.field.encode()
    finding.message.encode()


def test_partial_check_asks_for_nothing_that_is_left_out():
    fields = [Field("a", "A", required=True), Field("b", "B", kind="int")]

    assert messages(check_fields(fields, {})) == ["A is required."]
    assert check_fields(fields, {}, partial=True) == []
    assert messages(check_fields(fields, {"a": ""}, partial=True)) == ["A is required."]


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (Field("x", "X", kind="int", minimum=1, maximum=5), [1, 5, None], [0, 6, "1"]),
        (Field("x", "X", kind="int"), [-(2**63)], [True, 1.0, 2**63, 10**5000]),
        (Field("x", "X", kind="bool"), [True, False, None], [1, "true", {}]),
        (Field("x", "X", kind="choice", choices=(("a", "A"),)), ["a"], ["b", 1, []]),
        (Field("x", "X", kind="json"), [{}, {"a": [1]}], [[], 1, "{}"]),
        (Field("x", "X", kind="json", json_type=list), [[], [1]], [{}, "[]"]),
        (Field("x", "X", nullable=False), ["a"], [None]),
        (Field("x", "X", required=True, allow_empty=True), ["", "a"], [None, 1]),
    ],
)
def test_each_kind_of_field_takes_its_values_only(field, good, bad):
    for value in good:
        assert check_value(field, value) == []
    for value in bad:
        assert len(check_value(field, value)) == 1


@settings(max_examples=200)
@given(
    st.sampled_from(["text", "textarea", "secret", "int", "bool", "json", "mapping"]),
    ANY_JSON,
)
def test_no_value_makes_a_check_raise(kind, value):
    inner = (Field("a", "A", required=True, kind=kind),)
    for field in inner[0], Field("x", "X", kind="json", fields=inner):
        for finding in check_fields([field], {field.name: value}):
            finding.field.encode()
            finding.message.encode()
    assert isinstance(check_fields(inner, value), list)


def test_only_warnings_can_be_confirmed():
    wrong = Finding("a", "No.", "bad")
    risky = Finding("b", "Risky.", "risky", warning=True)

    assert errors([wrong, risky]) == [wrong]
    assert unconfirmed([wrong, risky], []) == [wrong, risky]
    assert unconfirmed([wrong, risky], ["risky", "bad"]) == [wrong]


def test_prefix_makes_dotted_names():
    found = prefixed("outer", [Finding("a", "No."), Finding("", "No.")])

    assert [finding.field for finding in found] == ["outer.a", "outer"]


def test_shown_values_are_short_and_printable():
    assert shown("a\0b") == "a\\x00b"
    assert len(shown("x" * 10_000)) == 60
    assert shown({"a": 1}) == '{"a": 1}'
    assert any_of(["a"]) == "a"
    assert any_of(["a", "b", "c"]) == "a, b or c"
