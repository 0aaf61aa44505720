import pytest

from mixadmin.mixpanel.building import (
    flag,
    id_number,
    ids,
    list_of,
    number,
    one_of,
    or_null,
    shaped,
    text,
    text_map,
)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (text, ["a"], ["", None, 1, b"a", True]),
        (flag, [True, False], [0, 1, None, "true"]),
        (number, [0, 5, 2**63 - 1], [-1, 2**63, 1.0, True, "1", None]),
        (id_number, [1, 2**63 - 1], [0, -1, 2**63, True, "1", 1.0]),
        (one_of(0, 5), [0, 5], [1, "0", False, None, True]),
        (one_of("a"), ["a"], ["b", None, ""]),
        (or_null(text), [None, "a"], ["", 1]),
        (text_map, [{}, {"a": ""}], [{"a": 1}, {1: "a"}, [], None]),
        (list_of(text), [[], ["a"]], [["a", 1], "ab", None]),
        (shaped({"a": text, "b": flag}, required=("a",)), [{"a": "x"}],
         [{}, {"a": "x", "c": 1}, {"a": 1}, [], None, {"b": True}]),
    ],
)  # fmt: skip
def test_a_check_lets_the_good_pass_and_names_the_bad(check, good, bad):
    for value in good:
        check("thing", value)
    for value in bad:
        with pytest.raises((TypeError, ValueError)) as caught:
            check("thing", value)
        assert "thing" in str(caught.value)


def test_nested_fields_are_named_with_dots():
    check = shaped({"inner": shaped({"n": number})})
    with pytest.raises(ValueError, match=r"inner\.m is not a field"):
        check("", {"inner": {"m": 1}})
    with pytest.raises(TypeError, match=r"inner\.n must be a whole number"):
        check("", {"inner": {"n": "1"}})


def test_a_list_of_ids_is_never_empty():
    assert ids("a", (1, 2)) == [1, 2]
    with pytest.raises(ValueError, match="must not be empty"):
        ids("a", [])
