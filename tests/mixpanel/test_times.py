from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixadmin.mixpanel.times import format_time, parse_time

MOMENT = datetime(2020, 9, 16, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2020-09-16T07:00:00Z",
        "2020-09-16T07:00:00",
        "2020-09-16T09:00:00+02:00",
        "2020-09-16T07:00:00.000000Z",
        "2020-09-16T07:00:00.000000000Z",
        "2020-09-16 07:00:00 +0000 UTC",
        "2020-09-16 07:00:00.000000 +0000 UTC",
        "2020-09-16 12:30:00 +0530 IST",
        "2020-09-16 07:00:00 +0000 UTC m=+0.000000001",
        "  2020-09-16T07:00:00Z ",
        1600239600,
        1600239600.0,
        1600239600_000,
        1600239600_000_000,
        1600239600_000_000_000,
        "1600239600",
        "1600239600000",
        "1600239600.0",
    ],
)
def test_one_moment_is_read_in_every_way_to_write_it(written):
    assert parse_time(written) == MOMENT
    assert parse_time(written).tzinfo is UTC


def test_the_fraction_of_a_go_time_is_kept():
    assert parse_time("2020-09-16 07:00:00.25 +0000 UTC") == MOMENT + timedelta(
        milliseconds=250
    )


@pytest.mark.parametrize(
    "written",
    [None, "", " ", 0, "0", "0001-01-01 00:00:00 +0000 UTC", "0001-01-01T00:00:00Z",
     -62135596800],
)  # fmt: skip
def test_the_ways_to_say_not_yet_are_none(written):
    assert parse_time(written) is None


@pytest.mark.parametrize(
    "written",
    ["yesterday", "2020-13-01", "2020-09-16 07:00:00 UTC", True, False, [], {}, -5,
     float("inf"), float("nan"), 10**30, "9" * 21, "9999-12-31T23:59:59-14:00", "٣"],
)  # fmt: skip
def test_what_is_no_time_is_refused(written):
    with pytest.raises(ValueError, match="not a time"):
        parse_time(written)


@given(
    st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.binary())
    | st.from_regex(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} UTC")
)
def test_nothing_but_a_value_error_ever_comes_out(written):
    try:
        found = parse_time(written)
    except ValueError:
        return
    assert found is None or found.tzinfo is UTC


def test_times_are_sent_in_utc_with_a_z():
    moment = datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(moment) == "2030-01-01T00:00:00Z"
    with pytest.raises(ValueError, match="without a zone"):
        format_time(datetime(2030, 1, 1))
