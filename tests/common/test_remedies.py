"""Errors in words: every kind has some, and known texts get exact ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixadmin.common.causes import KINDS, UNKNOWN
from mixadmin.common.remedies import (
    explain,
    explain_record,
    explain_row,
    explain_run_failure,
)


def test_an_unknown_kind_says_its_status():
    assert "status 418" in explain("teapot", status=418).meaning


def test_the_wait_that_mixpanel_asks_for_is_told():
    words = explain("rate_limited", context={"retry_after": 90.0})

    assert "90 seconds" in words.meaning


def test_known_texts_get_exact_words():
    secret = explain("not_authenticated", message="Invalid project secret", status=401)
    region = explain("bad_request", message="invalid project id for cluster")

    assert "project id" in secret.remedy
    assert region.title == "Wrong region"


def test_a_refused_connector_may_be_a_closed_feature():
    assert (
        explain("not_allowed", context={"area": "connectors"})
        is KINDS["connectors_closed"]
    )
    assert (
        explain("not_found", context={"area": "connectors"})
        is KINDS["connectors_closed"]
    )
    one = explain("not_found", context={"area": "connectors", "remote_id": "7"})
    assert one is KINDS["not_found"]


@pytest.mark.parametrize(
    ("message", "where", "words"),
    [
        (
            "No compression specified but Gzip detected. Please submit a new request "
            "with correct compression as param",
            "gcsImport",
            "compression gzip",
        ),
        ("invalid_permissions_gcs", "gcsImport", "Storage Object Viewer"),
        ("Invalid permissions to access GCS bucket", "gcsImport", "Viewer"),
        ("User is not authorized to perform: sts:AssumeRole", "s3Import", "trust"),
        ("file a.json is 2 GB or larger", "s3Import", "500 MB"),
        ("The specified bucket does not exist: NoSuchBucket", "s3Import", "name and"),
        (
            "Cannot unload to an inlined external location",
            "snowflake",
            "PREVENT_UNLOAD_TO_INLINE_URL",
        ),
        ("Stream MIXPANEL.S1 is stale", "snowflake", "CHANGE_TRACKING"),
        ("does not have SELECT on any file", "databricks", "ANY FILE"),
        ("Change data feed is not enabled", "databricks", "enableChangeDataFeed"),
        ("permission denied for relation users", "redshift", "each new table"),
        ("x509: certificate signed by unknown authority", "postgres", "CA certif"),
        ("password authentication failed for user", "postgres", "credentials"),
        ("Request violates VPC Service Controls", "bigquery", "745258754925"),
        ("Dataset acme:mixpanel was not found", "bigquery", "dataOwner"),
        ("Not found: Table acme:a.b was not found in location EU", "bigquery", "name"),
        ("Unrecognized name: insert_time at [1:8]", "bigquery", "column"),
        ("invalid identifier 'INSERT_TIME'", "snowflake", "column"),
        ("dial tcp: connection refused", "postgres", "allow the addresses"),
    ],
)
def test_known_run_failures_say_what_to_do(message, where, words):
    if where.endswith("Import"):
        explanation = explain_run_failure(message, connector_type=where)
    else:
        explanation = explain_run_failure(message, warehouse_type=where)

    assert words in explanation.remedy


def test_a_permission_on_data_is_not_taken_for_the_dataset_of_mirror():
    words = explain_run_failure(
        "Access Denied: Dataset acme:shop: project-1@mixpanel-warehouse-1.iam has no "
        "bigquery.tables.get permission",
        warehouse_type="bigquery",
    )

    assert words.title == "A permission is missing"


def test_words_for_one_warehouse_are_not_used_for_another():
    assert explain_run_failure("any file", warehouse_type="postgres") is UNKNOWN
    assert explain_run_failure("any file") is UNKNOWN


@pytest.mark.parametrize("message", ["", "  \n"])
def test_a_run_without_text_says_where_to_look(message):
    plain = explain_run_failure(message)
    snowflake = explain_run_failure(message, warehouse_type="snowflake")
    bucket = explain_run_failure(message, connector_type="s3Import")

    assert "never why" in plain.meaning
    assert "Query History" in snowflake.remedy
    assert "compression" in bucket.remedy


def test_a_record_is_explained_by_our_check_or_by_mixpanels_text():
    ours = explain_record("event.time.future")
    theirs = explain_record(
        "refused", "'properties.time' is invalid: must not be in the future"
    )

    assert ours is theirs and ours.code == "event.time.future"
    assert explain_record("refused", "no such thing").code == "record.refused"


def test_a_batch_that_is_refused_as_a_whole_is_explained_by_its_record():
    text = "identity events are not allowed when project is using simplified identity"

    assert explain("bad_request", message=text).code == "event.identity_verb"
    assert explain("server_failed", message=text).code == "server_failed"


def test_a_row_of_a_lookup_table_is_explained():
    known = explain_row("invalid row: wrong number of fields")

    assert known is not None and known.code == "lookup.row.field_count"
    assert explain_row("no such thing") is None


@given(st.text(), st.sampled_from(["", "bigquery", "gcsImport", "x"]))
def test_any_text_is_explained(message, where):
    assert explain(where, message=message).title
    assert explain_run_failure(message, warehouse_type=where).title


def test_an_endless_text_is_explained_at_once():
    for text in ("cluster " * 100_000, "dataset " * 100_000, "x" * 1_000_000):
        assert explain_run_failure(text, warehouse_type="databricks").title
