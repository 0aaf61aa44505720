"""Cloud connectors: documented fields only, and every rule by name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixadmin.common.rules import errors
from mixadmin.connectors.kinds import (
    COMPRESSIONS,
    DATA_FORMATS,
    KINDS,
    S3_REGIONS,
    check_connector,
)

GCS = {"gcs_bucket": "acme-events", "gcs_prefix": "2026/"}
S3 = {
    "s3_bucket": "acme-events",
    "s3_region": "eu-west-1",
    "s3_prefix": "2026/",
    "s3_role": "arn:aws:iam::485438090326:role/mixpanel-import",
}
REMAPS = {
    "remap_event": {"event_name": "name", "time": "ts", "distinct_id": "user"},
    "remap_people": {"$distinct_id": "user"},
    "remap_group": {"$group_key": "key", "$group_id": "id"},
}
PLAIN = {"data_format": "mixpanel_event", "compression": "gzip"}


def check(connector_type="gcsImport", properties=None, category=None, label="Orders"):
    default = GCS if connector_type == "gcsImport" else S3
    return check_connector(
        connector_type=connector_type,
        connector_properties=default if properties is None else properties,
        category_properties=PLAIN if category is None else category,
        label=label,
    )


def pairs(findings):
    return [(finding.field, finding.code) for finding in findings]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("compression", ["none", "gzip", None])
def test_every_documented_connector_passes(kind, data_format, compression):
    category = {"data_format": data_format, "compression": compression}
    if data_format in REMAPS:
        category["property_remap"] = REMAPS[data_format]

    assert check(kind, category=category) == []


def test_the_catalogue_is_that_of_the_specification():
    required = {
        slug: {field.name for field in kind.fields if field.required}
        for slug, kind in KINDS.items()
    }
    remaps = {
        slug: {field.name for field in data_format.remap_fields if field.required}
        for slug, data_format in DATA_FORMATS.items()
    }

    assert required == {"gcsImport": set(GCS), "s3Import": set(S3)}
    assert {k: v for k, v in remaps.items() if v} == {
        slug: set(remap) for slug, remap in REMAPS.items()
    }
    assert len(DATA_FORMATS) == 6
    assert len({slug for slug, _ in S3_REGIONS}) == 19
    assert [slug for slug, _ in COMPRESSIONS] == ["none", "gzip"]


def test_what_examples_carry_beyond_the_specification_is_tolerated():
    assert check(properties=GCS | {"gcs_region": "us"}) == []


def test_optional_remap_keys_may_be_given_or_null():
    for extra in ({"$insert_id": "id", "ip": "addr"}, {"$insert_id": None, "ip": None}):
        remap = REMAPS["remap_event"] | extra
        category = {"data_format": "remap_event", "property_remap": remap}
        assert check(category=category) == []


@pytest.mark.parametrize(
    ("kind", "change", "field", "code"),
    [
        ("gcsImport", {"gcs_bucket": ""}, "gcs_bucket", "required"),
        ("gcsImport", {"gcs_bucket": "gs://acme"}, "gcs_bucket", "shape"),
        ("gcsImport", {"gcs_bucket": "Acme"}, "gcs_bucket", "shape"),
        ("gcsImport", {"gcs_bucket": 5}, "gcs_bucket", "type"),
        ("gcsImport", {"gcs_prefix": None}, "gcs_prefix", "required"),
        ("gcsImport", {"gcs_prefix": "gs://acme/a"}, "gcs_prefix", "shape"),
        ("gcsImport", {"gcs_prefix": "a\0"}, "gcs_prefix", "characters"),
        ("gcsImport", {"gcs_buckt": "x"}, "gcs_buckt", "unknown_field"),
        ("gcsImport", {"s3_role": "x"}, "s3_role", "unknown_field"),
        ("s3Import", {"s3_bucket": "acme_events"}, "s3_bucket", "shape"),
        ("s3Import", {"s3_bucket": "a"}, "s3_bucket", "shape"),
        ("s3Import", {"s3_region": "us"}, "s3_region", "choice"),
        ("s3Import", {"s3_region": None}, "s3_region", "required"),
        ("s3Import", {"s3_region": ["us-east-1"]}, "s3_region", "type"),
        ("s3Import", {"s3_role": "mixpanel-import"}, "s3_role", "shape"),
        ("s3Import", {"s3_role": "arn:aws:iam::1:role/x"}, "s3_role", "shape"),
        (
            "s3Import",
            {"s3_role": "arn:aws:iam::485438090326:user/x"},
            "s3_role",
            "shape",
        ),
    ],
)
def test_a_bad_property_is_one_error_that_names_it(kind, change, field, code):
    found = check(kind, (GCS if kind == "gcsImport" else S3) | change)

    assert pairs(found) == [(f"connector_properties.{field}", code)]
    assert not found[0].warning


@pytest.mark.parametrize("name", ["gcs_bucket", "gcs_prefix"])
def test_a_property_that_is_left_out_is_asked_for(name):
    rest = {key: value for key, value in GCS.items() if key != name}

    assert pairs(check(properties=rest)) == [
        (f"connector_properties.{name}", "required")
    ]


@pytest.mark.parametrize(
    ("prefix", "code"), [("", "entire_bucket"), ("/2026", "prefix_leading_slash")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_risky_prefixes_must_be_ticked(kind, prefix, code):
    name = KINDS[kind].prefix
    [finding] = check(kind, (GCS if kind == "gcsImport" else S3) | {name: prefix})

    assert (finding.field, finding.code) == (f"connector_properties.{name}", code)
    assert finding.warning


@pytest.mark.parametrize(
    ("category", "field", "code"),
    [
        ({}, "data_format", "required"),
        ({"data_format": None}, "data_format", "required"),
        ({"data_format": "csv"}, "data_format", "choice"),
        ({"data_format": ["mixpanel_event"]}, "data_format", "type"),
        (PLAIN | {"compression": "zip"}, "compression", "choice"),
        (PLAIN | {"compression": True}, "compression", "type"),
        (PLAIN | {"frequency": 60}, "frequency", "unknown_field"),
        (PLAIN | {"property_remap": {"time": "ts"}}, "property_remap", "not_used"),
        (PLAIN | {"property_remap": []}, "property_remap", "not_used"),
        ({"data_format": "remap_event"}, "property_remap", "required"),
        (
            {"data_format": "remap_people", "property_remap": "x"},
            "property_remap",
            "type",
        ),
        (
            {"data_format": "remap_people", "property_remap": {}},
            "property_remap.$distinct_id",
            "required",
        ),
        (
            {
                "data_format": "remap_event",
                "property_remap": REMAPS["remap_event"] | {"time": None},
            },
            "property_remap.time",
            "required",
        ),
        (
            {
                "data_format": "remap_event",
                "property_remap": REMAPS["remap_event"] | {"insert_id": "x"},
            },
            "property_remap.insert_id",
            "unknown_field",
        ),
        (
            {
                "data_format": "remap_event",
                "property_remap": REMAPS["remap_event"] | {"ip": 5},
            },
            "property_remap.ip",
            "type",
        ),
    ],
)
def test_a_bad_description_of_the_files_is_one_error(category, field, code):
    assert pairs(check(category=category)) == [(f"category_properties.{field}", code)]


def test_an_unknown_remap_key_is_told_with_the_nearest():
    remap = REMAPS["remap_event"] | {"insert_id": "x"}
    [finding] = check(category={"data_format": "remap_event", "property_remap": remap})

    assert "Did you mean “$insert_id”?" in finding.message


def test_an_empty_remap_where_there_is_none_is_no_matter():
    for nothing in (None, {}, ""):
        assert check(category=PLAIN | {"property_remap": nothing}) == []


@pytest.mark.parametrize("value", [None, "", "gcs", "GCSIMPORT", [], {}, 1])
def test_an_unknown_connector_type_is_told(value):
    [finding] = check_connector(
        connector_type=value, connector_properties={}, category_properties=PLAIN
    )

    assert finding.field == "connector_type"
    assert "gcsImport or s3Import" in finding.message


@pytest.mark.parametrize("value", [[], "x", 1, True])
def test_parts_that_are_no_objects_are_told(value):
    assert pairs(check(properties=value)) == [("connector_properties", "type")]
    assert pairs(check(category=value)) == [("category_properties", "type")]


def test_a_label_is_text_that_fits():
    assert check(label="") == []
    assert pairs(check(label="x" * 256)) == [("label", "too_long")]
    assert pairs(check(label=[])) == [("label", "type")]


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
PROPERTIES = st.sampled_from([*GCS, *S3])


@settings(max_examples=300)
@given(
    connector_type=st.sampled_from([*KINDS]) | ANY_JSON,
    connector_properties=st.dictionaries(PROPERTIES, ANY_JSON) | ANY_JSON,
    category_properties=ANY_JSON
    | st.fixed_dictionaries(
        {
            "data_format": st.sampled_from([*DATA_FORMATS]) | ANY_JSON,
            "compression": ANY_JSON,
            "property_remap": ANY_JSON,
        }
    ),
    label=ANY_JSON,
)
def test_no_value_makes_the_check_raise(**arguments):
    for finding in errors(check_connector(**arguments)):
        finding.field.encode()
        finding.message.encode()
        assert finding.message.endswith((".", "?"))
