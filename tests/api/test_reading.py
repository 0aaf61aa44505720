"""What is no request for this API is refused with a place and words, never with a 5xx."""

import json

import pytest
from rest_framework.exceptions import ParseError, ValidationError

from mixadmin.common.api import read_body

NUL = "Contains a NUL character. Remove it."
SURROGATE = "Contains a broken Unicode character (a lone surrogate). Remove it."
CREATE = "/api/v1/projects/"


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        (b"[]", "__all__", "Must be a JSON object, not a list."),
        (b"null", "__all__", "Must be a JSON object, not null."),
        (b'"text"', "__all__", "Must be a JSON object, not text."),
        (b"3", "__all__", "Must be a JSON object, not a number."),
        (b'{"a": NaN}', "a", "Contains NaN, which JSON does not have."),
        (
            b'{"a": [1, -Infinity]}',
            "a.1",
            "Contains -Infinity, which JSON does not have.",
        ),
        (b"NaN", "__all__", "Contains NaN, which JSON does not have."),
        (b'{"a": {"b": 1e999}}', "a.b", "A number too large."),
        (b'{"a": {"b": 1, "b": 2}}', "a.b", "The key “b” stands twice."),
        (b'{"a": 1, "a": 1}', "a", "The key “a” stands twice."),
        (b'{"a": "x\\u0000"}', "a", NUL),
        (b'{"a": {"k\\u0000": 1}}', r"a.k\x00", NUL),
        (b'{"a": ["\\ud800"]}', "a.0", SURROGATE),
        (b'{"\\udc00": 1}', r"\udc00", SURROGATE),
        (b'{"a": ' + b"9" * 4301 + b"}", "a", "A number of more than 4,300 digits."),
        (
            b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}",
            ".".join(["a"] + ["0"] * 31),
            "Nested deeper than 32 levels.",
        ),
    ],
)
def test_each_fault_is_told_with_its_place(body, place, words):
    with pytest.raises(ValidationError) as raised:
        read_body(body)
    assert raised.value.detail == {place: [words]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Not JSON: Expecting value, line 1, column 1."),
        (b"{", "Not JSON: Expecting property name enclosed in double quotes"),
        (b'{"a": "\n"}', "Not JSON: Invalid control character at, line 1, column 8."),
        (b'{"a": "\xff"}', "Not UTF-8: the byte 0xff at position 7."),
        (b'\xef\xbb\xbf{"a": 1}', "Not JSON: Unexpected UTF-8 BOM"),
        (b"[" * 100_000, "Nested deeper than 32 levels."),
        (b'{"a":' * 100_000, "Nested deeper than 32 levels."),
    ],
)
def test_what_is_no_json_is_told_where(body, words):
    with pytest.raises(ParseError) as raised:
        read_body(body)
    assert str(raised.value.detail).startswith(words)


def test_what_json_has_is_read_as_it_is():
    body = {
        "text": "ü 🙂 \u2028",
        "list": [1, 1.5, True, None, {"deep": {}}],
        "n": 4300 * 10,
    }
    assert read_body(json.dumps(body).encode()) == body


def test_thirty_two_levels_are_read():
    assert read_body(b'{"a": ' + b"[" * 31 + b"]" * 31 + b"}")


def test_many_faults_are_cut():
    with pytest.raises(ValidationError) as raised:
        read_body(json.dumps({"a": ["\x00"] * 1000}).encode())
    assert len(raised.value.detail) == 20


def test_faults_of_a_request_have_the_shape_of_all_errors(api):
    answer = api.post(CREATE, '{"name": "a\\u0000"}', content_type="application/json")
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "validation_error",
        "errors": [{"code": "characters", "detail": NUL, "attr": "name"}],
    }


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "nonsense",
    ],
)
def test_other_content_types_are_refused(api, content_type):
    answer = api.post(CREATE, b"name=x", content_type=content_type)
    assert answer.status_code == 415
    assert answer.json()["errors"][0]["code"] == "unsupported_media_type"


def test_a_body_that_is_too_large_is_refused(api):
    body = b'{"name": "' + b"x" * 2_700_000 + b'"}'
    answer = api.post(CREATE, body, content_type="application/json")
    assert answer.status_code == 413
    assert answer.json()["errors"] == [
        {
            "code": "too_large",
            "detail": "The request is larger than 2.5 MB.",
            "attr": None,
        }
    ]


def test_a_megabyte_of_text_is_told_its_length(api):
    answer = api.post(
        CREATE, {"name": "x" * 1_000_000, "mixpanel_id": 5, "region": "us"}
    )
    assert answer.status_code == 400
    assert [e["attr"] for e in answer.json()["errors"]] == ["name"]
    assert "at most 120 characters" in answer.json()["errors"][0]["detail"]


def test_unknown_fields_are_refused_by_name(api):
    answer = api.post(
        CREATE, {"name": "A", "mixpanel_id": 5, "region": "us", "regoin": "eu"}
    )
    assert answer.json()["errors"] == [
        {
            "code": "unknown_field",
            "detail": "Unknown field “regoin”. Did you mean “region”?",
            "attr": "regoin",
        }
    ]


def test_types_are_not_guessed(api):
    answer = api.post(
        CREATE,
        {
            "name": 5,
            "mixpanel_id": "5",
            "region": ["us"],
            "is_b2b": "yes",
            "organization_id": True,
        },
    )
    assert {e["attr"]: e["detail"] for e in answer.json()["errors"]} == {
        "name": "Must be text, not a number.",
        "mixpanel_id": "Must be a whole number.",
        "region": "Must be text, not a list.",
        "is_b2b": "Must be true or false.",
        "organization_id": "Must be a whole number.",
    }


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ("?nonsense=1", "nonsense"),
        ("?region=mars", "region"),
        ("?service_account=abc", "service_account"),
        ("?service_account=99999999999999999999", "service_account"),
        ("?service_account=" + "9" * 5000, "service_account"),
        ("?search=x", "search"),
        ("?search=" + "x" * 201, "search"),
        ("?page_size=0", "page_size"),
        ("?page_size=201", "page_size"),
        ("?page_size=-1", "page_size"),
        ("?page_size=x", "page_size"),
        ("?page_size=%D9%A1", "page_size"),
        ("?page_size=5&page_size=6", "page_size"),
        ("?cursor=nonsense", "cursor"),
        ("?cursor=", "cursor"),
        ("?cursor=W10", "cursor"),
        ("?cursor=WyJhIiwieCJd", "cursor"),
        ("?cursor=WyJhIiwiOTk5OTk5OTk5OTk5OTk5OTk5OTk5OTkiXQ", "cursor"),
        ("?cursor=WyJcdWQ4MDAiLCIxIl0", "cursor"),
        ("?cursor=" + "W" * 4000, "cursor"),
    ],
)
def test_query_parameters_are_typed_and_known(api, query, attr):
    answer = api.get(f"/api/v1/projects/{query}")
    assert answer.status_code == 400
    assert [e["attr"] for e in answer.json()["errors"]] == [attr]


def test_a_nul_in_the_query_is_refused(api):
    assert api.get("/api/v1/projects/?search=%00ab").status_code == 400


@pytest.mark.parametrize("kind", ["jobs", "audit", "runs"])
def test_forged_times_in_a_cursor_are_refused(api, project, kind):
    import base64

    from tests import make

    row = make.make_import(project=project)
    url = {
        "jobs": "/api/v1/jobs/",
        "audit": f"/api/v1/projects/{project.pk}/audit/",
        "runs": f"/api/v1/projects/{project.pk}/imports/{row.pk}/runs/",
    }[kind]
    for at in (
        "0001-01-01T00:00:00+14:00",
        "2026-01-01",
        "x",
        "9999-12-31T23:59:59-14:00",
    ):
        cursor = base64.urlsafe_b64encode(json.dumps([at, "1"]).encode()).decode()
        answer = api.get(url, {"cursor": cursor})
        assert answer.status_code == 400, at


def test_parameters_on_an_address_that_has_none_are_refused(api, project):
    answer = api.get(f"/api/v1/projects/{project.pk}/?page_size=5")
    assert answer.status_code == 400


@pytest.mark.parametrize("header", ["nonsense/a/b;q=x", "text/html", "*/*", ""])
def test_any_accept_header_gets_json_or_406(api, project, header):
    answer = api.get(f"/api/v1/projects/{project.pk}/", HTTP_ACCEPT=header)
    assert answer.status_code in (200, 406)
    assert answer.json()
