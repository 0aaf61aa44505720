"""What a bucket and its credentials may be: the same words at every door."""

import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixadmin.files.kinds import (
    TOKEN_ADDRESSES,
    check_bucket,
    check_credentials,
    check_file_name,
    key_problem,
    path_problem,
)
from mixadmin.files.models import SourceBucket
from tests import make
from tests.files.conftest import KEYS
from tests.files.test_buckets import google_key

GOOD = {"name": "Exports", "provider": "s3", "bucket": "acme", "prefix": "in/"}


@pytest.fixture(scope="module")
def key():
    return google_key()


def words(findings):
    return [(f.field, f.message) for f in findings]


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("s3", "acme"),
        ("s3", "a.b-c.9"),
        ("s3", "a" * 63),
        ("gcs", "acme_data.example.com"),
        ("gcs", "a" * 222),
    ],
)
def test_names_of_buckets_pass(provider, name):
    assert check_bucket(provider=provider, bucket=name) == []


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("s3", "ab"),
        ("s3", "Acme"),
        ("s3", "a_b_c"),
        ("s3", "-acme"),
        ("s3", "acme."),
        ("s3", "a..b"),
        ("s3", "192.168.0.1"),
        ("s3", "a" * 64),
        ("s3", "s3://acme"),
        ("s3", "acme/in"),
        ("s3", "ächme"),
        ("s3", "acme\n"),
        ("gcs", "gs://acme"),
        ("gcs", "a" * 223),
    ],
)
def test_what_is_no_name_of_a_bucket_is_refused(provider, name):
    [finding] = check_bucket(provider=provider, bucket=name)
    assert finding.field == "bucket"


@pytest.mark.parametrize(
    "prefix", ["s3://acme/in", "a/../b", "a\x00", "a\nb", "x" * 1025]
)
def test_a_prefix_that_no_key_has_is_refused(prefix):
    [finding] = check_bucket(provider="s3", bucket="acme", prefix=prefix)
    assert finding.field == "prefix"


def test_a_region_is_for_s3():
    assert check_bucket(provider="s3", bucket="acme", region="eu-central-1") == []
    [wrong] = check_bucket(provider="s3", bucket="acme", region="evil.test/")
    [unused] = check_bucket(provider="gcs", bucket="acme", region="eu")
    assert wrong.field == unused.field == "region"


def test_credentials_pass(key):
    assert check_credentials("s3", KEYS) == []
    assert check_credentials("gcs", key) == []
    assert check_credentials("s3", {}) == check_credentials("gcs", {}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"access_key_id": ""},
        {"secret_access_key": ""},
        {"access_key_id": "a b"},
        {"secret_access_key": "ü"},
        {"access_key_id": "x" * 129},
        {"endpoint_url": "http://evil.test"},
        {"access_key_id": 5},
    ],
)
def test_wrong_s3_credentials_are_refused(changes):
    findings = check_credentials("s3", {**KEYS, **changes})
    assert {f.field for f in findings} == set(changes)
    assert KEYS["secret_access_key"] not in str(findings)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "external_account"}, "type"),
        ({"type": "authorized_user"}, "type"),
        ({"type": None}, "type"),
        ({"token_uri": "http://169.254.169.254/"}, "token_uri"),
        ({"token_uri": "https://evil.test/token"}, "token_uri"),
        ({"universe_domain": "evil.test"}, "universe_domain"),
        ({"private_key": "-----BEGIN PRIVATE KEY-----\nnonsense"}, "private_key"),
        ({"private_key": ""}, "private_key"),
        ({"client_email": ""}, "client_email"),
        ({"credential_source": {"url": "http://evil.test"}}, "credential_source"),
    ],
)
def test_a_google_key_that_leads_elsewhere_is_refused(key, changes, field):
    """The library would send this server to whatever address a key names."""
    findings = check_credentials("gcs", {**key, **changes})
    assert field in {f.field for f in findings}
    assert key["private_key"] not in str(findings)


@pytest.mark.parametrize("value", [[], "text", 5, None, True, [{}]])
def test_what_is_no_object_is_no_credentials(value):
    for provider in ("s3", "gcs"):
        [finding] = check_credentials(provider, value)
        assert finding.code == "type"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_is_answered(value):
    for provider in ("s3", "gcs", "x", None, 5):
        check_bucket(provider=provider, bucket=value, prefix=value, region=value)
    for provider in ("s3", "gcs"):
        check_credentials(provider, value)
    check_file_name(value)
    if isinstance(value, str):
        key_problem(value)
        path_problem(value)


def test_only_googles_own_addresses_are_trusted():
    assert all(re.match(r"https://[a-z0-9.]+\.google", a) for a in TOKEN_ADDRESSES)


# --- Every door -----------------------------------------------------------------------

BAD = {
    "no name": ({"name": ""}, "name"),
    "a name that is taken": ({"name": "Taken"}, "name"),
    "a name of 200": ({"name": "n" * 200}, "name"),
    "no provider": ({"provider": ""}, "provider"),
    "another provider": ({"provider": "azure"}, "provider"),
    "no bucket": ({"bucket": ""}, "bucket"),
    "an address": ({"bucket": "s3://acme"}, "bucket"),
    "steps in the prefix": ({"prefix": "a/../b"}, "prefix"),
    "no region": ({"region": "Frankfurt!"}, "region"),
    "half of the credentials": (
        {"credentials": {"access_key_id": "AKIA"}},
        "credentials.secret_access_key",
    ),
    "the wrong sort of key": (
        {"provider": "gcs", "credentials": {"type": "authorized_user"}},
        "credentials.type",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_bucket_gets_the_same_words_at_every_door(case, project, api, page):
    changes, field = BAD[case]
    make.make_bucket(project=project, name="Taken")
    body = {**GOOD, **changes}
    answer = api.post(f"/api/v1/projects/{project.pk}/buckets/", body)
    assert answer.status_code == 400, answer.content
    told = [e["detail"] for e in answer.json()["errors"] if e["attr"] == field]
    assert len(told) == 1, answer.json()
    credentials = body.pop("credentials", {})
    if body["provider"] == "gcs":
        body["google_key"] = json.dumps(credentials)
    body |= credentials if body["provider"] == "s3" else {}
    answer = page.post(f"/projects/{project.pk}/files/buckets/new/", body)
    assert answer.status_code == 422
    assert told[0] in html.unescape(answer.content.decode())
    assert SourceBucket.objects.count() == 1
