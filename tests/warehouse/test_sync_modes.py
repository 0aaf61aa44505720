"""Every rule of a warehouse import: what is refused, what must be ticked, what passes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixadmin.common.rules import errors
from mixadmin.warehouse.kinds import DAY, HOUR, KINDS, WAREHOUSES, WEEK
from mixadmin.warehouse.sync_modes import (
    SYNC_MODES,
    check_databricks_params,
    check_import,
    effective_run_every,
    mirror_deadline,
)

FIELDS = {
    "event_stream": {"event_name": "Order", "time_column_name": "at"},
    "people": {"user_column_name": "user_id"},
    "groups": {"group_key": "company_id", "group_id_column": "id"},
    "lookup_table": {
        "mixpanel_property": {"value": "product_id", "resourceType": "event"},
        "property_key_column_name": "id",
    },
}
TABLE = {"schema": "public", "table": "orders"}


def check(kind="event_stream", mode="one_time", warehouse="snowflake", **change):
    fields = FIELDS.get(kind, {}) | change.pop("more", {})
    if mode == "time_based":
        fields = {"insert_time_column_name": "loaded_at"} | fields
    arguments = {
        "kind": kind,
        "sync_mode": mode,
        "warehouse_type": warehouse,
        "table_params": TABLE,
        "fields": fields,
        "run_every": 0 if mode == "one_time" else DAY,
        "databricks_params": None,
    }
    return check_import(**arguments | change)


def pairs(findings):
    return [(finding.field, finding.code) for finding in findings]


def matrix():
    """(kind, mode, warehouse) -> code of the only finding, or None, by hand."""
    for warehouse in WAREHOUSES:
        for mode in SYNC_MODES:
            mirror = mode == "mirror_mode"
            no_mirror = mirror and warehouse == "postgres"
            yield (
                "event_stream",
                mode,
                warehouse,
                (
                    "mode_for_warehouse"
                    if no_mirror
                    else "events_full_sync"
                    if mode == "full_sync"
                    else None
                ),
            )
            for kind in ("people", "groups"):
                yield (
                    kind,
                    mode,
                    warehouse,
                    (
                        "mode_for_warehouse"
                        if no_mirror
                        else f"{kind}_mirror_needs_history"
                        if mirror
                        else None
                    ),
                )
            yield (
                "lookup_table",
                mode,
                warehouse,
                (None if mode in ("full_sync", "one_time") else "mode_for_kind"),
            )


@pytest.mark.parametrize(("kind", "mode", "warehouse", "code"), list(matrix()))
def test_modes_by_kind_and_warehouse(kind, mode, warehouse, code):
    fields = FIELDS[kind]
    if mode == "time_based" and kind != "lookup_table":
        fields = fields | {"insert_time_column_name": "loaded_at"}

    found = check(kind, mode, warehouse, fields=fields)

    assert pairs(found) == ([("sync_mode", code)] if code else [])
    for finding in found:
        assert finding.warning == (code not in ("mode_for_kind", "mode_for_warehouse"))


def test_warnings_tell_both_sides():
    found = [
        *check(mode="full_sync"),
        *check("people", "mirror_mode"),
        *check(mode="mirror_mode", warehouse="bigquery", is_view=True),
        *check(more={"insert_time_column_name": "x"}),
    ]

    assert len(found) == 4
    for finding in found:
        assert finding.warning
        assert "API" in finding.message
        assert "guide" in finding.message or finding.code == "insert_time_unused"


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("event_stream", {"event_column_name": "e"}, "event_column_name exclusive"),
        ("event_stream", {"event_name": ""}, "event_name required"),
        ("event_stream", {"time_column_name": None}, "time_column_name required"),
        ("event_stream", {"time_column_name": "  "}, "time_column_name required"),
        ("event_stream", {"time_column_name": 5}, "time_column_name type"),
        ("event_stream", {"time_column_name": "a" * 256}, "time_column_name too_long"),
        ("event_stream", {"user_column_name": "a\0"}, "user_column_name characters"),
        ("event_stream", {"device_column_name": []}, "device_column_name type"),
        ("event_stream", {"group_key": "x"}, "group_key unknown_field"),
        ("event_stream", {"import_type": "people"}, "import_type unknown_field"),
        ("event_stream", {"property_mappings": []}, "property_mappings type"),
        ("event_stream", {"property_mappings": {"a": 1}}, "property_mappings.a type"),
        ("people", {"user_column_name": ""}, "user_column_name required"),
        ("people", {"device_column_name": "d"}, "device_column_name unknown_field"),
        ("groups", {"group_key": None}, "group_key required"),
        ("groups", {"group_id_column": ""}, "group_id_column required"),
        ("lookup_table", {"mixpanel_property": None}, "mixpanel_property required"),
        ("lookup_table", {"mixpanel_property": "id"}, "mixpanel_property type"),
        (
            "lookup_table",
            {"mixpanel_property": {"resourceType": "event"}},
            "mixpanel_property.value required",
        ),
        (
            "lookup_table",
            {"mixpanel_property": {"value": "x", "resourceType": "group"}},
            "mixpanel_property.resourceType choice",
        ),
        (
            "lookup_table",
            {"mixpanel_property": {"value": "x", "resourceType": "user", "id": 1}},
            "mixpanel_property.id unknown_field",
        ),
        (
            "lookup_table",
            {
                "mixpanel_property": {
                    "value": "x",
                    "resourceType": "user",
                    "customPropertyId": "7",
                }
            },
            "mixpanel_property.customPropertyId type",
        ),
        ("lookup_table", {"property_key_column_name": ""}, "property_key_column_name"),
        ("lookup_table", {"property_mappings": {}}, "property_mappings unknown_field"),
    ],
)
def test_a_bad_field_is_one_error_that_names_it(kind, more, expected):
    found = errors(check(kind, more=more))

    assert len(found) == 1
    assert f"{found[0].field} {found[0].code}".startswith(expected)


def test_every_documented_field_together_passes():
    more = {
        "event_name": None,
        "event_column_name": "name",
        "user_column_name": "user",
        "device_column_name": "device",
        "company_column_name": "company",
        "json_properties_column_name": "json",
        "property_mappings": {"user": "User"},
    }

    assert check(mode="time_based", more=more) == []
    property = {"value": "p", "resourceType": "user", "customPropertyId": -5}
    assert check("lookup_table", more={"mixpanel_property": property}) == []


def test_a_field_of_another_kind_is_refused_with_that_kind():
    [finding] = check("people", more={"event_name": "Order"})
    [typo] = check("people", more={"json_property_column_name": "x"})

    assert "belongs to imports of “Events”" in finding.message
    assert "Did you mean “json_properties_column_name”?" in typo.message


def test_a_b2b_project_needs_the_company_column():
    assert check(b2b=False) == []
    assert pairs(check(b2b=True)) == [("company_column_name", "required")]
    assert check(b2b=True, more={"company_column_name": "company"}) == []
    assert check("people", b2b=True) == []


@pytest.mark.parametrize("kind", ["event_stream", "people", "groups"])
def test_append_needs_an_insert_time_that_is_a_column(kind):
    name = "insert_time_column_name"

    assert pairs(check(kind, "time_based", more={name: ""})) == [(name, "required")]
    assert pairs(
        check(kind, "time_based", "bigquery", more={name: "_PartitionTime"})
    ) == [(name, "reserved")]
    assert check(kind, "time_based", "snowflake", more={name: "_PartitionTime"}) == []
    assert pairs(check(kind, "one_time", more={name: "x"})) == [
        (name, "insert_time_unused")
    ]


@pytest.mark.parametrize(
    ("warehouse", "is_view", "expected"),
    [
        ("bigquery", True, ["mirror_on_view"]),
        ("databricks", True, ["mirror_on_view"]),
        ("redshift", True, ["mirror_on_view"]),
        ("snowflake", True, []),
        ("bigquery", False, []),
        ("bigquery", None, []),
    ],
)
def test_mirror_on_a_view_must_be_ticked_where_it_is_not_sure(
    warehouse, is_view, expected
):
    found = check(mode="mirror_mode", warehouse=warehouse, is_view=is_view)

    assert [finding.code for finding in found] == expected


def test_columns_that_redshift_mirror_makes_itself_are_refused():
    more = {
        "user_column_name": "_MP_ROW_HASH",
        "property_mappings": {"_mp_change_type": "x"},
    }

    found = check(mode="mirror_mode", warehouse="redshift", more=more)

    assert pairs(found) == [
        ("user_column_name", "reserved"),
        ("property_mappings", "reserved"),
    ]
    assert check(mode="mirror_mode", warehouse="snowflake", more=more) == []


@pytest.mark.parametrize("run_every", [1, -1, 3600, True, "daily", 1.0, [], DAY + 1])
def test_only_four_frequencies_are_accepted(run_every):
    for mode in SYNC_MODES:
        found = errors(check("event_stream", mode, run_every=run_every))
        assert [finding.field for finding in found] == ["run_every"]


def test_a_frequency_must_be_chosen_except_for_one_time():
    for missing in (None, ""):
        found = check(mode="time_based", run_every=missing)
        assert pairs(found) == [("run_every", "required")]
        assert check(mode="one_time", run_every=missing) == []


def test_one_time_is_sent_without_a_frequency():
    assert check(mode="one_time", run_every=WEEK) == []
    assert effective_run_every("one_time", WEEK) == 0
    assert effective_run_every("one_time", None) == 0
    assert effective_run_every("full_sync", WEEK) == WEEK
    assert effective_run_every("time_based", None) is None


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (
            {"kind": "people", "mode": "full_sync", "run_every": HOUR},
            "hourly_full_scan",
        ),
        ({"mode": "mirror_mode", "run_every": 0}, "mirror_triggered_only"),
        ({"mode": "mirror_mode", "run_every": WEEK}, ""),
        ({"mode": "time_based", "run_every": HOUR}, ""),
        ({"mode": "time_based", "run_every": 0}, ""),
    ],
)
def test_risky_frequencies_must_be_ticked(change, codes):
    found = check(**change)

    assert [f.code for f in found] == codes.split()
    assert all(f.warning and f.field == "run_every" for f in found)


def test_mirror_that_is_only_triggered_says_when_it_dies():
    [finding] = check(mode="mirror_mode", warehouse="bigquery", run_every=0)

    assert "every 14 days" in finding.message
    assert "on BigQuery dies after 21" in finding.message


@pytest.mark.parametrize(
    ("warehouse", "table", "run_every", "codes"),
    [
        ("bigquery", {"dataset": "analytics_123456789"}, HOUR, ["ga4_daily_only"]),
        ("bigquery", {"t": "p.analytics_123456789.events_*"}, 0, ["ga4_daily_only"]),
        ("bigquery", {"dataset": "analytics_123456789"}, DAY, []),
        ("bigquery", {"dataset": "analytics"}, HOUR, []),
        ("snowflake", {"dataset": "analytics_123456789"}, HOUR, []),
    ],
)
def test_google_analytics_exports_run_daily(warehouse, table, run_every, codes):
    found = check(
        mode="time_based", warehouse=warehouse, table_params=table, run_every=run_every
    )

    assert [f.code for f in found] == codes


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "required"),
        ({}, "required"),
        ("", "required"),
        ([], "type"),
        ("orders", "type"),
        ({"a": float("inf")}, "number"),
        ({"a": "\0"}, "characters"),
        ({"a": "x" * 1_000_000}, "too_large"),
    ],
)
def test_a_table_is_an_object_that_can_be_stored(value, code):
    assert pairs(check(table_params=value)) == [("table_params", code)]


def test_a_table_may_have_any_keys():
    assert check(table_params={"any": {"thing": [1, None]}}) == []


@pytest.mark.parametrize(
    ("warehouse", "value", "expected"),
    [
        ("databricks", None, []),
        ("databricks", {}, []),
        ("databricks", {"export_cluster_config": None}, []),
        (
            "databricks",
            {"export_cluster_config": {"policy_id": "p", "num_workers": -1}},
            [("databricks_params.export_cluster_config.num_workers", "range")],
        ),
        (
            "databricks",
            {"export_cluster_config": {"policy_id": "p", "autoscale": {"x": 1}}},
            [
                (
                    "databricks_params.export_cluster_config.autoscale.x",
                    "unknown_field",
                ),
                (
                    "databricks_params.export_cluster_config.autoscale.min_workers",
                    "required",
                ),
                (
                    "databricks_params.export_cluster_config.autoscale.max_workers",
                    "required",
                ),
            ],
        ),
        ("databricks", [], [("databricks_params", "type")]),
        (
            "databricks",
            {"export_cluster_config": []},
            [("databricks_params.export_cluster_config", "type")],
        ),
        (
            "databricks",
            {"run_queries_cluster_config": {}},
            [("databricks_params.run_queries_cluster_config", "unknown_field")],
        ),
        (
            "snowflake",
            {"export_cluster_config": {}},
            [("databricks_params", "not_used")],
        ),
    ],
)
def test_databricks_params(warehouse, value, expected):
    assert pairs(check(warehouse=warehouse, databricks_params=value)) == expected


def test_all_purpose_compute_takes_no_cluster_config():
    value = {"export_cluster_config": {"node_type_id": "n"}}

    assert check_databricks_params("databricks", value, compute_type="jobs") == []
    found = check(
        warehouse="databricks", databricks_params=value, compute_type="all_purpose"
    )
    assert pairs(found) == [("databricks_params", "not_used")]


def test_event_sync_cannot_be_created():
    [finding] = check("event_sync")

    assert (finding.field, finding.code) == ("kind", "not_creatable")
    assert "adopt it" in finding.message


@pytest.mark.parametrize("value", [None, "", "x", 1, [], {}, True])
def test_wrong_kinds_modes_and_warehouses_are_each_told(value):
    found = check_import(
        kind=value,
        sync_mode=value,
        warehouse_type=value,
        table_params=TABLE,
        fields={},
        run_every=DAY,
        databricks_params=None,
    )

    assert {f.field for f in found} == {"kind", "sync_mode", "warehouse_type"}


@pytest.mark.parametrize("value", [None, "", [], 1])
def test_fields_that_are_no_object_are_told(value):
    assert pairs(check(fields=value)) == [("fields", "type")]


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
NAMES = sorted({f.name for kind in KINDS.values() for f in kind.fields})


@settings(max_examples=300)
@given(
    kind=st.sampled_from([*KINDS]) | ANY_JSON,
    sync_mode=st.sampled_from([*SYNC_MODES]) | ANY_JSON,
    warehouse_type=st.sampled_from([*WAREHOUSES]) | ANY_JSON,
    table_params=ANY_JSON,
    fields=st.dictionaries(st.sampled_from(NAMES), ANY_JSON, max_size=6) | ANY_JSON,
    run_every=st.sampled_from([0, HOUR, DAY, WEEK]) | ANY_JSON,
    databricks_params=ANY_JSON
    | st.fixed_dictionaries({"export_cluster_config": ANY_JSON}),
    b2b=st.booleans(),
    is_view=st.none() | st.booleans(),
)
def test_no_value_makes_the_check_raise(**arguments):
    for finding in check_import(**arguments):
        finding.field.encode()
        finding.message.encode()
        assert finding.message.endswith((".", "?"))


NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("warehouse", "days", "left", "level"),
    [
        ("snowflake", 0, 14, "ok"),
        ("snowflake", 6.9, 7, "ok"),
        ("snowflake", 7, 7, "warn"),
        ("redshift", 12, 2, "alarm"),
        ("snowflake", 13.5, 0, "alarm"),
        ("snowflake", 14, 0, "dead"),
        ("snowflake", 15.5, -2, "dead"),
        ("bigquery", 15, 6, "alarm"),
        ("bigquery", 21, 0, "dead"),
        ("databricks", 29, 1, "alarm"),
    ],
)
def test_a_mirror_import_that_does_not_run_dies(warehouse, days, left, level):
    deadline = mirror_deadline(warehouse, NOW - timedelta(days=days), now=NOW)

    assert (deadline.days_left, deadline.level) == (left, level)
    assert deadline.why


def test_there_is_no_deadline_without_a_run_or_without_mirror():
    assert mirror_deadline("snowflake", None, now=NOW) is None
    assert mirror_deadline("postgres", NOW, now=NOW) is None
    assert mirror_deadline("oracle", NOW, now=NOW) is None
