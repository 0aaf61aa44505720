"""Calls as curl, as a shell reads them."""

import json
import subprocess

from mixadmin.common.curl import Variable, to_mixadmin, to_mixpanel

# Instead of calling anybody: each word that curl would get, one after another.
FAKE = "curl() { printf '%s\\0' \"$@\"; }\n"
ENV = {
    "MIXADMIN_URL": "https://admin.example",
    "MIXADMIN_TOKEN": "t0ken",
    "MIXPANEL_USERNAME": "ops",
    "MIXPANEL_SECRET": "s3cret",
    "PASSWORD": "hunter2",
    "PATH": "/usr/bin:/bin",
}


def words(command):
    done = subprocess.run(
        ["bash", "-c", FAKE + command], env=ENV, capture_output=True, check=True
    )
    return done.stdout.decode().split("\0")[:-1]


def test_the_shell_opens_nothing_but_the_variables():
    body = {
        "name": 'it\'s "$HOME" `id` \\ ü $(id)',
        "list": [1, None, True, {"deep": "a'b"}],
        "$insert_id": "!",
    }
    got = words(to_mixadmin("POST", "/api/v1/projects/1/imports/", body))
    assert got[:5] == [
        "-X",
        "POST",
        "https://admin.example/api/v1/projects/1/imports/",
        "-H",
        "Authorization: Token t0ken",
    ]
    assert json.loads(got[-1]) == body


def test_a_secret_stands_as_a_variable():
    body = {"user": "bob", "password": Variable("password")}
    text = to_mixpanel("POST", "https://mixpanel.com/api/app/projects/1/x", body)
    assert "hunter2" not in text
    got = words(text)
    assert got[3:5] == ["-u", "ops:s3cret"]
    assert json.loads(got[-1]) == {"user": "bob", "password": "hunter2"}


def test_text_that_looks_like_a_mark_stays_text():
    body = {"a": "\\u00000\\u0000", "b": Variable("password")}
    got = words(to_mixpanel("POST", "https://mixpanel.com/x", body))
    assert json.loads(got[-1]) == {"a": "\\u00000\\u0000", "b": "hunter2"}


def test_a_call_without_a_body_has_none():
    assert words(to_mixadmin("GET", "/api/v1/me/"))[-1] == "Authorization: Token t0ken"
