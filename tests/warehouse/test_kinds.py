"""Kinds of import, warehouses and frequencies: complete, and checked by name."""

import base64
import ipaddress
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixadmin.common.rules import errors
from mixadmin.warehouse.kinds import (
    FREQUENCIES,
    KINDS,
    WAREHOUSES,
    check_source,
    check_source_name,
    frequency_label,
    frequency_of,
    nanoseconds,
    private_key_problem,
)
from mixadmin.warehouse.sync_modes import SYNC_MODES

PEM_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"
SOURCES = {
    "bigquery": {"gcp_project_id": "acme-data-1"},
    "snowflake": {
        "account_identifier": "acme-prod1",
        "user": "MIXPANEL",
        "role": "MIXPANEL",
        "auth_method": "key_pair",
        "warehouse": "WH",
        "storage_integration": "MIXPANEL_GCS",
        "database": "ANALYTICS",
    },
    "databricks": {
        "server_hostname": "dbc-1.cloud.databricks.com",
        "auth_method": "oauth",
        "oauth_client_id": "id",
        "oauth_client_secret": "shh",
        "compute_type": "jobs",
    },
    "redshift": {
        "aws_account_id": "123456789012",
        "cluster_id": "main",
        "region": "us-east-1",
        "s3_bucket": "acme-staging",
        "database": "dev",
        "role_name": "mixpanel",
    },
    "postgres": {
        "host": "db.example.com",
        "port": 5432,
        "database": "shop",
        "user": "mixpanel",
        "password": " shh ",
        "ssl_mode": "verify-full",
    },
}
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELD_NAMES = sorted({f.name for w in WAREHOUSES.values() for f in w.fields})


def pairs(findings):
    return [(finding.field, finding.code) for finding in findings]


# What the published API takes, written out by hand.
DOCUMENTED = {
    "event_stream": (
        {"time_column_name"},
        {
            "event_name",
            "event_column_name",
            "user_column_name",
            "company_column_name",
            "device_column_name",
            "json_properties_column_name",
            "insert_time_column_name",
            "property_mappings",
        },
    ),
    "people": (
        {"user_column_name"},
        {
            "json_properties_column_name",
            "insert_time_column_name",
            "property_mappings",
        },
    ),
    "groups": (
        {"group_key", "group_id_column"},
        {
            "json_properties_column_name",
            "insert_time_column_name",
            "property_mappings",
        },
    ),
    "lookup_table": ({"mixpanel_property", "property_key_column_name"}, set()),
}


@pytest.mark.parametrize("slug", DOCUMENTED)
def test_a_kind_has_exactly_the_documented_fields(slug):
    required, optional = DOCUMENTED[slug]
    fields = KINDS[slug].fields

    assert {field.name for field in fields if field.required} == required
    assert {field.name for field in fields if not field.required} == optional
    assert KINDS[slug].path == slug.replace("_", "-")
    assert set(KINDS[slug].sync_modes) <= set(SYNC_MODES)


def test_event_sync_is_shown_but_not_created():
    assert set(KINDS) == {*DOCUMENTED, "event_sync"}
    assert [slug for slug, kind in KINDS.items() if not kind.creatable] == [
        "event_sync"
    ]


def test_frequencies_go_both_ways():
    assert [(f.slug, f.nanoseconds) for f in FREQUENCIES] == [
        ("api", 0),
        ("hourly", 3_600_000_000_000),
        ("daily", 86_400_000_000_000),
        ("weekly", 604_800_000_000_000),
    ]
    for frequency in FREQUENCIES:
        assert nanoseconds(frequency.slug) == frequency.nanoseconds
        assert frequency_of(frequency.nanoseconds) == frequency.slug
        assert frequency_label(frequency.nanoseconds) == frequency.label
    with pytest.raises(ValueError, match="fortnightly"):
        nanoseconds("fortnightly")


@pytest.mark.parametrize(
    ("ns", "label"),
    [
        (None, "Not known"),
        ("0", "Not known"),
        (False, "Not known"),
        (0.0, "Not known"),
        (7_200_000_000_000, "Every 2 hours"),
        (60_000_000_000, "Every minute"),
        (2_592_000_000_000_000, "Every 30 days"),
        (7, "Every 7 nanoseconds"),
        (-1, "Every -1 nanoseconds"),
    ],
)
def test_a_frequency_that_is_no_choice_has_words_too(ns, label):
    assert frequency_of(ns) is None
    assert frequency_label(ns) == label


@pytest.mark.parametrize("slug", WAREHOUSES)
def test_a_warehouse_says_how_to_set_it_up(slug):
    warehouse = WAREHOUSES[slug]

    assert warehouse.slug == slug
    assert warehouse.checklist and warehouse.table_fields
    assert any(step.sql for step in warehouse.checklist)
    for addresses in warehouse.egress.values():
        assert all(ipaddress.IPv4Address(address) for address in addresses)
    assert set(warehouse.egress) == (
        set() if slug == "bigquery" else {"us", "eu", "in"}
    )
    for field in warehouse.fields:
        assert field.secret == (field.kind == "secret")


def test_secrets_are_known_and_unknown_names_are_secret():
    secret = {
        (slug, field.name)
        for slug, warehouse in WAREHOUSES.items()
        for field in warehouse.fields
        if warehouse.is_secret(field.name)
    }

    assert secret == {
        ("snowflake", "password"),
        ("databricks", "oauth_client_secret"),
        ("databricks", "access_token"),
        ("postgres", "password"),
        ("postgres", "ssh_private_key"),
    }
    assert WAREHOUSES["bigquery"].is_secret("service_account_key")


def test_only_postgres_has_no_mirror():
    assert [s for s, w in WAREHOUSES.items() if w.mirror is None] == ["postgres"]
    days = {s: w.mirror.dies_after_days for s, w in WAREHOUSES.items() if w.mirror}
    assert days == {"bigquery": 21, "snowflake": 14, "databricks": 30, "redshift": 14}


@pytest.mark.parametrize("slug", SOURCES)
def test_a_whole_connection_passes(slug):
    assert check_source(slug, SOURCES[slug]) == []
    assert check_source(slug, {}, partial=True) == []


@pytest.mark.parametrize("slug", SOURCES)
def test_each_part_that_is_needed_is_asked_for_by_name(slug):
    for name in SOURCES[slug]:
        rest = {key: value for key, value in SOURCES[slug].items() if key != name}
        assert (name, "required") in pairs(check_source(slug, rest))
        assert (name, "required") in pairs(check_source(slug, rest | {name: None}))


@pytest.mark.parametrize(
    ("slug", "change", "expected"),
    [
        ("bigquery", {"gcp_project_id": "Acme"}, ("gcp_project_id", "shape")),
        ("bigquery", {"gcp_project_id": 5}, ("gcp_project_id", "type")),
        (
            "snowflake",
            {"account_identifier": "https://acme.snowflakecomputing.com"},
            ("account_identifier", "shape"),
        ),
        ("snowflake", {"account_identifier": "a b"}, ("account_identifier", "shape")),
        ("snowflake", {"auth_method": "sso"}, ("auth_method", "choice")),
        ("snowflake", {"auth_method": "password"}, ("password", "required")),
        ("snowflake", {"password": "x"}, ("password", "not_used")),
        ("snowflake", {"source_name": "x"}, ("source_name", "unknown_field")),
        (
            "databricks",
            {"server_hostname": "https://dbc-1.cloud.databricks.com"},
            ("server_hostname", "host"),
        ),
        ("databricks", {"access_token": "x"}, ("access_token", "not_used")),
        ("databricks", {"http_path": "sql/x"}, ("http_path", "not_used")),
        ("databricks", {"compute_type": "all_purpose"}, ("http_path", "required")),
        ("redshift", {"aws_account_id": "1234"}, ("aws_account_id", "shape")),
        ("redshift", {"aws_account_id": "١" * 12}, ("aws_account_id", "shape")),
        ("redshift", {"s3_bucket": "s3://x"}, ("s3_bucket", "shape")),
        ("redshift", {"region": "us"}, ("region", "shape")),
        ("postgres", {"host": "2001:db8::1"}, ("host", "host")),
        ("postgres", {"host": "db.example.com:5432"}, ("host", "host")),
        ("postgres", {"host": "db example"}, ("host", "host")),
        ("postgres", {"port": 0}, ("port", "range")),
        ("postgres", {"port": 65536}, ("port", "range")),
        ("postgres", {"port": "5432"}, ("port", "type")),
        ("postgres", {"ssl_mode": "disable"}, ("ssl_mode", "choice")),
        ("postgres", {"ca_bundle": "abc"}, ("ca_bundle", "shape")),
        ("postgres", {"password": "a\0"}, ("password", "characters")),
    ],
)
def test_a_bad_part_is_one_error_that_names_it(slug, change, expected):
    assert pairs(check_source(slug, SOURCES[slug] | change)) == [expected]


def test_an_ssh_tunnel_needs_all_its_parts():
    found = check_source("postgres", SOURCES["postgres"] | {"ssh_port": 22})
    whole = {"ssh_host": "b.example.com", "ssh_user": "m", "ssh_private_key": PEM_KEY}

    assert pairs(found) == [
        ("ssh_host", "required"),
        ("ssh_user", "required"),
        ("ssh_private_key", "required"),
    ]
    assert check_source("postgres", SOURCES["postgres"] | whole) == []


def test_an_update_is_checked_for_what_it_holds():
    assert check_source("postgres", {"password": "new"}, partial=True) == []
    assert check_source("postgres", {"ssh_user": "new"}, partial=True) == []
    assert pairs(check_source("postgres", {"port": -1}, partial=True)) == [
        ("port", "range")
    ]
    assert pairs(check_source("postgres", {"host": None}, partial=True)) == [
        ("host", "required")
    ]


def openssh(cipher):
    head = b"openssh-key-v1\0" + len(cipher).to_bytes(4, "big") + cipher + b"\0" * 90
    body = base64.encodebytes(head).decode()
    return (
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}-----END OPENSSH PRIVATE KEY-----"
    )


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (PEM_KEY, ""),
        (openssh(b"none"), ""),
        (openssh(b"aes256-ctr"), "passphrase"),
        (PEM_KEY.replace("MIIE", "Proc-Type: 4,ENCRYPTED"), "passphrase"),
        (PEM_KEY.replace("RSA", "ENCRYPTED"), "passphrase"),
        ("ssh-rsa AAAA", "Not a PEM private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n\u00e9", "damaged"),
    ],
)
def test_a_key_with_a_passphrase_is_refused(key, words):
    problem = private_key_problem(key)

    assert words in problem
    assert bool(problem) == bool(words)


def test_a_field_that_is_not_known_is_a_warning_that_does_not_show_its_value():
    connection = SOURCES["bigquery"] | {"service_account_key": "s3cret"}

    [finding] = check_source("bigquery", connection)

    assert finding.field == "service_account_key"
    assert (finding.code, finding.warning) == ("unknown_connection_field", True)
    assert "s3cret" not in finding.message
    assert "gcp_project_id" in check_source("bigquery", {"gcp_project": 1})[1].message


def test_unknown_fields_must_still_be_fit_to_store():
    found = check_source("bigquery", SOURCES["bigquery"] | {"x": {"y": "\0"}})

    assert pairs(found) == [("connection", "characters")]


def test_no_message_shows_a_secret():
    for slug, warehouse in WAREHOUSES.items():
        for field in warehouse.fields:
            if field.secret:
                for value in ("s3cret\0", "s3cret" * 20_000, ["s3cret"]):
                    connection = SOURCES[slug] | {field.name: value}
                    assert "s3cret" not in str(check_source(slug, connection))


@pytest.mark.parametrize("slug", [None, "oracle", [], {}, 5, "BIGQUERY"])
def test_an_unknown_warehouse_type_is_told(slug):
    [finding] = check_source(slug, {})

    assert finding.field == "warehouse_type"
    assert "snowflake" in finding.message


@pytest.mark.parametrize("connection", [None, [], "x", 5])
def test_a_connection_that_is_no_object_is_told(connection):
    assert pairs(check_source("postgres", connection)) == [("connection", "type")]


def test_a_source_has_a_name():
    assert check_source_name("Production") == []
    assert pairs(check_source_name("")) == [("source_name", "required")]
    assert pairs(check_source_name("a\0")) == [("source_name", "characters")]


@settings(max_examples=300)
@given(
    st.sampled_from([*WAREHOUSES]) | ANY_JSON,
    st.dictionaries(st.sampled_from(FIELD_NAMES) | st.text(max_size=5), ANY_JSON)
    | ANY_JSON,
    st.booleans(),
)
def test_no_value_makes_the_check_raise(slug, connection, partial):
    for finding in check_source(slug, connection, partial=partial):
        finding.field.encode()
        finding.message.encode()


@settings(max_examples=200)
@given(st.sampled_from([*SOURCES]), st.data())
def test_one_wrong_value_in_a_whole_connection_does_not_raise(slug, data):
    name = data.draw(st.sampled_from([f.name for f in WAREHOUSES[slug].fields]))
    value = data.draw(ANY_JSON)

    for finding in errors(check_source(slug, SOURCES[slug] | {name: value})):
        finding.message.encode()


def test_catalogues_do_not_need_django():
    code = (
        "import sys, mixadmin.common.remedies, mixadmin.connectors.kinds, "
        "mixadmin.warehouse.sync_modes; sys.exit('django' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
