"""Databricks cluster config: rules, form and JSON that agree, what a change drops."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixadmin.common.rules import Finding, errors
from mixadmin.warehouse.databricks import (
    CLUSTER_FIELDS,
    DATA_SECURITY_MODES,
    RUNTIME_ENGINES,
    check_cluster_config,
    differs,
    form_fields,
    form_name,
    from_form,
    normalised,
    to_form,
    vanishing_keys,
)

FULL = {
    "spark_version": "15.4.x-scala2.12",
    "node_type_id": "n2-standard-4",
    "driver_node_type_id": "n2-standard-8",
    "autoscale": {"min_workers": 0, "max_workers": 8},
    "data_security_mode": "SINGLE_USER",
    "single_user_name": "etl@example.com",
    "runtime_engine": "PHOTON",
    "policy_id": "ABC123",
    "driver_instance_pool_id": "pool-2",
    "enable_elastic_disk": False,
    "spark_conf": {"spark.sql.shuffle.partitions": "200"},
    "spark_env_vars": {"LOG": "on"},
    "custom_tags": {"team": "data"},
    "init_scripts": [{"workspace": {"destination": "/init.sh"}}],
    "aws_attributes": {"zone_id": "us-east-1a"},
    "azure_attributes": {},
    "gcp_attributes": {"use_preemptible_executors": True, "local_ssd_count": 1},
}

LINE = (
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1)
    .map(str.strip)
    .filter(bool)
)
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | ANY_TEXT
)
FREE = st.dictionaries(
    ANY_TEXT,
    st.recursive(
        SCALAR,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3)
        ),
        max_leaves=5,
    ),
    max_size=3,
)
WORKERS = st.integers(0, 2**31 - 1)
MAPPING = st.dictionaries(
    LINE,
    st.text(
        st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")) | st.just("\n"),
        max_size=50,
    ),
    max_size=3,
)


def nullable(values):
    return st.none() | values


OPTIONAL = {
    "spark_version": LINE,
    "node_type_id": LINE,
    "driver_node_type_id": nullable(LINE),
    "num_workers": WORKERS,
    "autoscale": nullable(
        st.tuples(WORKERS, WORKERS).map(
            lambda two: {"min_workers": min(two), "max_workers": max(*two, 1)}
        )
    ),
    "data_security_mode": nullable(
        st.sampled_from([s for s, _ in DATA_SECURITY_MODES])
    ),
    "runtime_engine": nullable(st.sampled_from([s for s, _ in RUNTIME_ENGINES])),
    "policy_id": nullable(LINE),
    "instance_pool_id": nullable(LINE),
    "driver_instance_pool_id": nullable(LINE),
    "enable_elastic_disk": nullable(st.booleans()),
    "spark_conf": nullable(MAPPING),
    "spark_env_vars": nullable(MAPPING),
    "custom_tags": nullable(MAPPING),
    "aws_attributes": nullable(FREE),
    "azure_attributes": nullable(FREE),
    "gcp_attributes": nullable(FREE),
    "init_scripts": nullable(st.lists(FREE, max_size=2)),
}
VALID = st.builds(
    lambda config, name: (
        config | {"single_user_name": name}
        if config.get("data_security_mode") == "SINGLE_USER"
        else config
    ),
    st.fixed_dictionaries({}, optional=OPTIONAL),
    LINE,
)

# Every JSON value, valid or not, in the places where a config has something.
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from([field.name for field in CLUSTER_FIELDS]) | st.text(max_size=8)


def test_a_full_config_passes():
    assert check_cluster_config(FULL) == []
    assert check_cluster_config(None) == []
    assert check_cluster_config({}) == []


def test_the_catalogue_holds_every_documented_key_once():
    names = [field.name for field in CLUSTER_FIELDS]

    assert len(names) == len(set(names))
    assert set(names) == {*FULL, "num_workers", "instance_pool_id"}
    assert all(field.label for field in CLUSTER_FIELDS)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"num_worker": 2}, "num_worker", "Did you mean “num_workers”?"),
        ({"num_workers": -1}, "num_workers", "Must be at least 0."),
        ({"num_workers": "2"}, "num_workers", "Must be a whole number."),
        ({"num_workers": 2.5}, "num_workers", "Must be a whole number."),
        ({"num_workers": True}, "num_workers", "Must be a whole number."),
        ({"num_workers": None}, "num_workers", "Must not be null"),
        ({"num_workers": 2**31}, "num_workers", "Must be at most 2147483647."),
        ({"spark_version": None}, "spark_version", "Must not be null"),
        ({"node_type_id": 4}, "node_type_id", "Must be text"),
        ({"data_security_mode": "user"}, "data_security_mode", "Use USER_ISOLATION"),
        ({"runtime_engine": "photon"}, "runtime_engine", "Use STANDARD or PHOTON."),
        ({"enable_elastic_disk": "yes"}, "enable_elastic_disk", "true or false"),
        ({"spark_conf": {"a": 1}}, "spark_conf.a", "Must be text"),
        ({"spark_conf": ["a"]}, "spark_conf", "Must be a JSON object, not a list."),
        ({"custom_tags": "{}"}, "custom_tags", "Must be a JSON object, not text."),
        ({"init_scripts": {}}, "init_scripts", "Must be a JSON list, not an object."),
        ({"init_scripts": ["a"]}, "init_scripts", "Every entry must be a JSON object."),
        ({"aws_attributes": [1]}, "aws_attributes", "Must be a JSON object"),
        ({"autoscale": 3}, "autoscale", "Must be a JSON object, not a number."),
        ({"autoscale": {"min_workers": 1}}, "autoscale.max_workers", "is required"),
        (
            {"autoscale": {"min_workers": 1, "max_workers": 0}},
            "autoscale.max_workers",
            "Must be at least 1.",
        ),
        (
            {"autoscale": {"min_workers": 3, "max_workers": 2}},
            "autoscale.min_workers",
            "At most “Most workers” (2).",
        ),
        (
            {"autoscale": {"min_workers": 1, "max_workers": 2, "mode": "x"}},
            "autoscale.mode",
            "Unknown field “mode”.",
        ),
        ({"single_user_name": ""}, "single_user_name", "SINGLE_USER"),
        ({"single_user_name": None}, "single_user_name", "SINGLE_USER"),
    ],
)
def test_a_bad_value_is_an_error_that_names_its_key(change, field, words):
    found = errors(check_cluster_config(FULL | change))

    assert [finding.field for finding in found] == [field]
    assert words in found[0].message


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"num_workers": 2}, "num_workers", "num_workers_and_autoscale"),
        (
            {"data_security_mode": "NONE"},
            "single_user_name",
            "single_user_name_unused",
        ),
        ({"instance_pool_id": "pool-1"}, "node_type_id", "node_type_beside_pool"),
        ({"node_type_id": "", "policy_id": None}, "node_type_id", "no_node_type"),
    ],
)
def test_what_the_sources_do_not_agree_on_is_a_warning(change, field, code):
    [finding] = check_cluster_config(FULL | change)

    assert (finding.field, finding.code, finding.warning) == (field, code, True)


def test_fewest_and_most_workers_may_be_equal():
    same = {"min_workers": 2, "max_workers": 2}

    assert check_cluster_config(FULL | {"autoscale": same}) == []


def test_a_pool_makes_the_node_type_unnecessary():
    assert check_cluster_config({"instance_pool_id": "pool-1"}) == []


@pytest.mark.parametrize("value", [[], "x", 1, True])
def test_a_config_that_is_no_object_is_refused(value):
    [finding] = check_cluster_config(value)

    assert finding.field == ""
    assert finding.code == "type"


@settings(max_examples=300)
@given(VALID)
def test_valid_configs_pass_and_survive_form_and_json(config):
    assert errors(check_cluster_config(config)) == []
    assert from_form(to_form(config)) == normalised(config)
    assert json.loads(json.dumps(normalised(config))) == normalised(config)
    assert errors(check_cluster_config(normalised(config))) == []


@settings(max_examples=300)
@given(ANY_JSON | st.dictionaries(KEYS, ANY_JSON, max_size=5))
def test_no_value_makes_the_check_or_the_form_raise(value):
    for finding in check_cluster_config(value):
        assert isinstance(finding, Finding)
        finding.message.encode()
    values = to_form(value)
    assert all(isinstance(text, str) for text in values.values())
    assert isinstance(check_cluster_config(from_form(values)), list)
    assert vanishing_keys(value, value) == []


@given(st.dictionaries(st.sampled_from(list(to_form({}))), st.text(max_size=30)))
def test_no_text_makes_the_form_raise(values):
    assert isinstance(check_cluster_config(from_form(values)), list)


def test_the_form_has_one_field_for_each_text():
    assert [field.name for field in form_fields()] == list(to_form(FULL))
    assert "autoscale_min_workers" in to_form({})
    assert set(to_form({}).values()) == {""}
    assert from_form(to_form({})) == {}


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"num_workers": "two"}, "num_workers", "Must be a whole number."),
        ({"num_workers": "1e3"}, "num_workers", "Must be a whole number."),
        ({"spark_conf": "{a: 1}"}, "spark_conf", "Must be a JSON object, not text."),
        ({"init_scripts": "[" * 100_000}, "init_scripts", "Must be a JSON list"),
        ({"gcp_attributes": '{"a": NaN}'}, "gcp_attributes", "NaN"),
        ({"autoscale_min_workers": "1"}, "autoscale.max_workers", "is required"),
        ({"enable_elastic_disk": "maybe"}, "enable_elastic_disk", "true or false"),
    ],
)
def test_a_text_that_cannot_be_read_is_told_by_the_check(values, field, words):
    found = errors(check_cluster_config(from_form(values)))

    assert [finding.field for finding in found] == [field]
    assert words in found[0].message


def test_the_form_reads_what_people_write():
    assert from_form(
        {
            "spark_version": " 15.4 ",
            "num_workers": " 04 ",
            "enable_elastic_disk": "True",
            "custom_tags": "",
            "unknown": "x",
        }
    ) == {"spark_version": "15.4", "num_workers": 4, "enable_elastic_disk": True}


def test_findings_lead_to_the_field_of_the_form():
    names = {field.name for field in form_fields()}

    assert form_name("autoscale.max_workers") == "autoscale_max_workers"
    assert form_name("autoscale") in names
    assert form_name("autoscale.other") in names
    assert form_name("spark_conf.spark.x") == "spark_conf"


def test_vanishing_keys_are_named_one_by_one():
    new = {
        "spark_version": "16",
        "autoscale": {"min_workers": 0},
        "spark_conf": {},
        "custom_tags": None,
    }

    gone = vanishing_keys(FULL, new)

    assert gone[0] == "node_type_id"
    assert "autoscale.max_workers" in gone
    assert "spark_conf.spark.sql.shuffle.partitions" in gone
    assert "custom_tags.team" in gone
    assert "enable_elastic_disk" in gone
    assert "spark_version" not in gone
    assert "autoscale.min_workers" not in gone


def test_what_mixpanel_adds_neither_vanishes_nor_differs():
    sent = {"spark_version": "15", "custom_tags": {"team": "data"}}
    returned = {
        "spark_version": "15",
        "custom_tags": {"team": "data", "provider": "mixpanel"},
        "spark_env_vars": {"PYSPARK_PYTHON": "/databricks/python3/bin/python3"},
        "policy_id": None,
    }

    assert differs(sent, returned) == []
    assert vanishing_keys(returned, {"spark_version": "15"}) == ["custom_tags.team"]


def test_differences_show_both_sides():
    assert differs(
        {"num_workers": 1, "enable_elastic_disk": True, "spark_conf": {"a": "1"}},
        {"num_workers": 2, "enable_elastic_disk": 1, "policy_id": "p"},
    ) == [
        ("num_workers", 1, 2),
        ("enable_elastic_disk", True, 1),
        ("spark_conf.a", "1", None),
        ("policy_id", None, "p"),
    ]
    assert differs(None, None) == []


def test_a_very_deep_config_is_compared():
    deep = {}
    for _ in range(2_000):
        deep = {"a": deep}

    assert vanishing_keys(deep, {}) == []
