"""What charts say: in shapes, in a sentence, and in the table behind them."""

import re
from datetime import UTC, date, datetime, timedelta

from django.template.loader import render_to_string
from django.utils import timezone

from mixadmin.common import charts
from mixadmin.common.charts import Band, Day, Part, Point

START = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
DAYS = {"good": "All succeeded", "warn": "Some failed", "bad": "All failed"}


def points(*values, tone="good", state="Succeeded", step=timedelta(hours=1)):
    return [
        Point(START + number * step, value, tone, state)
        for number, value in enumerate(values)
    ]


def columns(*values, **changes):
    return charts.columns(points(*values), id="events", title="Events", **changes)


def heights(chart):
    return [
        float(h)
        for h in re.findall(
            r'<rect x="[^"]+" y="[^"]+" width="[^"]+" height="([^"]+)"', chart.body
        )
    ]


def rendered(chart):
    return render_to_string("_chart.html", {"chart": chart})


def test_columns_are_scaled_to_a_round_top():
    chart = columns(12, 30, 40)

    full = charts.BASE - charts.TOP
    assert heights(chart) == [round(full * v / 40, 1) for v in (12, 30, 40)]
    assert ">40</text>" in chart.body
    assert ">20</text>" in chart.body


def test_the_axis_ends_at_the_first_round_value_that_is_enough():
    ends = [charts.top_of(v, charts.EVENTS) for v in (0, 1, 2, 3, 11, 21, 99, 100, 101)]
    assert ends == [1, 1, 2, 3, 15, 25, 100, 100, 150]


def test_the_axis_of_durations_ends_at_times_that_people_say():
    ends = [charts.top_of(v, charts.DURATION) for v in (0, 3, 61, 700, 4000, 200_000)]
    assert ends == [1, 5, 120, 1200, 7200, 259_200]


def test_nothing_to_draw_is_said():
    chart = charts.columns([], id="events", title="Events")

    assert not chart.body
    assert chart.label == "Events. Nothing yet."
    page = rendered(chart)
    assert "There is nothing to draw yet." in page
    assert "<svg" not in page
    assert "<table" not in page


def test_one_point_is_a_column_and_not_a_wall():
    chart = columns(7)

    width = float(re.search(r'width="([\d.]+)%"', chart.body)[1])
    assert width < 100 / charts.FEWEST_SLOTS
    assert "1 value from" in chart.label


def test_zero_is_drawn_as_a_sliver_and_unknown_is_not():
    chart = columns(0, None)

    assert heights(chart)[0] == 1.5
    assert ">?</text>" in chart.body
    assert [row.cells[1] for row in chart.rows] == ["unknown", "0"]
    assert "1 not known." in chart.label


def test_all_zero_has_an_axis():
    chart = columns(0, 0, 0)

    assert heights(chart) == [1.5, 1.5, 1.5]
    assert ">1</text>" in chart.body


def test_huge_numbers_are_grouped_and_stay_inside():
    chart = columns(2**62, 3)

    assert "4,611,686,018,427,387,904" in chart.rows[-1].cells[1]
    assert all(0 < height <= charts.BASE - charts.TOP for height in heights(chart))
    assert ">5,000,000,000,000,000,000</text>" in chart.body


def test_what_no_axis_can_show_is_not_known():
    chart = columns(float("nan"), float("inf"), -3)

    assert [row.cells[1] for row in chart.rows] == ["0", "unknown", "unknown"]


def test_a_state_has_a_shape_besides_its_colour():
    chart = charts.columns(
        [
            Point(START, 5, "good", "Succeeded"),
            Point(START + timedelta(hours=1), None, "bad", "Failed"),
            Point(START + timedelta(hours=2), 4, "warn", "Succeeded with errors"),
        ],
        id="events",
        title="Events",
    )

    assert "✕" in chart.body
    assert "▲" in chart.body
    assert 'fill="url(#events-warn)"' in chart.body
    assert [key.label for key in chart.legend] == [
        "Succeeded",
        "Failed",
        "Succeeded with errors",
    ]
    assert "1 succeeded, 1 failed, 1 succeeded with errors." in chart.label


def test_every_mark_tells_what_it_is():
    chart = columns(1200)

    assert (
        "<title>2026-11-28 09:00:00 UTC: 1,200 events, succeeded</title>" in chart.body
    )


def test_times_carry_the_zone_of_the_person():
    with timezone.override("Europe/Berlin"):
        chart = columns(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)

    assert ">10:00 CET</text>" in chart.body
    assert ">23:00 CET</text>" in chart.body
    assert chart.rows[0].cells[0] == "2026-11-28 23:00:00 CET"


def test_the_newest_is_on_top_of_the_table_and_links_to_its_run():
    chart = charts.columns(
        [Point(START, 1), Point(START + timedelta(days=1), 2, url="/runs/2/")],
        id="events",
        title="Events",
    )

    page = rendered(chart)
    assert '<a href="/runs/2/">2026-11-29 09:00:00 UTC</a>' in page
    assert page.index("2026-11-29 09:00:00") < page.rindex("2026-11-28 09:00:00")


def test_text_from_outside_is_escaped():
    evil = "<script>alert('x')</script>\"&"
    chart = charts.columns(
        [Point(START, 1, "good", evil), Point(START, 2, "bad", evil)],
        id="events",
        title=evil,
    )
    bar = charts.stacked([Part(evil, 3)], id="bar", title=evil, whole=evil, total=3)
    line = charts.line(
        points(1, 2), id="line", title=evil, bands=[Band(START, None, evil)]
    )
    days = charts.calendar(
        [Day(date(2026, 11, 28), "good", evil)],
        id="d",
        title=evil,
        words={"good": evil},
    )

    for each in (chart, bar, line, days):
        page = rendered(each)
        assert "<script" not in page
        assert "alert(&#x27;x&#x27;)" in page


def test_a_page_of_charts_has_no_style_attribute_and_no_script():
    page = rendered(columns(1, 2, None))

    assert " style=" not in page
    assert "<script" not in page
    assert 'role="img"' in page
    assert 'aria-label="Events, 3 values from' in page


def test_a_line_is_broken_where_a_value_is_not_known():
    chart = charts.line(points(1, 2, None, 3, 4), id="rate", title="Rate")

    assert chart.body.count('class="stroke"') == 2
    assert chart.body.count("<circle") >= 4


def test_a_line_lies_by_its_times():
    moments = [
        Point(START, 1),
        Point(START + timedelta(hours=1), 1),
        Point(START + timedelta(hours=4), 1),
    ]
    chart = charts.line(moments, id="rate", title="Rate")

    # The circle of the hatchings comes first.
    assert re.findall(r'<circle cx="([\d.]+)%"', chart.body) == [
        "1.00",
        "25.50",
        "99.00",
    ]


def test_a_line_of_one_moment_is_in_the_middle():
    chart = charts.line(points(3), id="rate", title="Rate")

    assert re.findall(r'<circle cx="([\d.]+)%"', chart.body) == ["50.00"]
    assert 'class="stroke"' not in chart.body


def test_bands_lie_behind_the_line_and_stand_in_the_table():
    chart = charts.line(
        points(10, 0, 10),
        id="rate",
        title="Rate",
        unit=charts.RECORDS_PER_SECOND,
        bands=[
            Band(
                START + timedelta(minutes=30), START + timedelta(hours=1), "Throttled"
            ),
            Band(START + timedelta(hours=1, minutes=30), None, "Throttled"),
        ],
    )

    assert chart.body.count('class="band is-warn"') == 2
    assert '<rect x="25.50%" y="26" width="24.50%"' in chart.body
    assert [key.label for key in chart.legend] == ["Succeeded", "Throttled"]
    assert "Throttled: 2 times." in chart.label
    assert chart.rows[1].cells[:2] == (
        "2026-11-28 10:30:00 UTC",
        "Throttled, until now",
    )


def test_a_bar_adds_up():
    chart = charts.stacked(
        [Part("Imported", 90), Part("Dropped", 10, "bad")],
        id="counts",
        title="Events of this run",
        whole="Processed",
        total=100,
    )

    assert chart.label == (
        "Events of this run. Processed: 100; 90 imported, 10 dropped. They add up."
    )
    assert re.findall(r'<rect x="([\d.]+)%" y="1" width="([\d.]+)%"', chart.body) == [
        ("0.000", "90.000"),
        ("90.000", "10.000"),
    ]
    assert [row.cells for row in chart.rows] == [
        ("Processed", "100", ""),
        ("Imported", "90", "90.0%"),
        ("Dropped", "10", "10.0%"),
    ]


def test_a_bar_tells_what_is_not_accounted_for():
    chart = charts.stacked(
        [Part("Imported", 90), Part("Dropped", 5, "bad")],
        id="counts",
        title="Events",
        whole="Processed",
        total=1000,
    )

    assert "905 not accounted for." in chart.label
    assert chart.rows[-1].cells == ("Not accounted for", "905", "90.5%")
    assert 'fill="url(#counts-idle)"' in chart.body


def test_a_bar_tells_when_the_parts_are_more_than_the_whole():
    chart = charts.stacked(
        [Part("Imported", 90), Part("Dropped", 20)],
        id="counts",
        title="Events",
        whole="Processed",
        total=100,
    )

    assert "10 more than the whole." in chart.label


def test_a_part_that_is_not_known_is_hatched_and_called_so():
    chart = charts.stacked(
        [Part("Imported", 90), Part("Dropped", None, "bad")],
        id="counts",
        title="Events",
        whole="Processed",
        total=100,
    )

    assert [key.label for key in chart.legend] == ["Imported 90", "Unknown 10"]
    assert 'class="mark is-idle"' in chart.body
    assert chart.rows[-1].cells == ("Dropped", "unknown", "—")
    assert "add up" not in chart.label


def test_a_bar_of_which_nothing_is_known_is_hatched_all_over():
    chart = charts.stacked(
        [Part("Imported", None), Part("Dropped", None)],
        id="counts",
        title="Events",
        whole="Processed",
        total=None,
    )

    assert re.findall(r'y="1" width="([\d.]+)%"', chart.body) == ["100.000"]
    assert [key.label for key in chart.legend] == ["Unknown"]


def test_a_bar_of_nothing_says_so():
    chart = charts.stacked(
        [Part("Imported", 0), Part("Dropped", 0)],
        id="counts",
        title="Events",
        whole="Processed",
        total=0,
    )

    assert not chart.body
    assert chart.empty == "Nothing was counted."
    assert len(chart.rows) == 3


def test_a_share_that_is_not_all_and_not_nothing_is_not_rounded_to_it():
    chart = charts.stacked(
        [Part("Imported", 999_999), Part("Dropped", 1)],
        id="counts",
        title="Events",
        whole="Processed",
        total=1_000_000,
    )

    assert [row.cells[2] for row in chart.rows[1:]] == ["over 99.9%", "under 0.1%"]


def twelve_weeks(tones):
    first = date(2026, 9, 7)
    return [
        Day(first + timedelta(days=n), tones.get(n, ""), f"{n} runs") for n in range(84)
    ]


def test_a_calendar_has_a_square_for_each_day():
    days = twelve_weeks({0: "good", 1: "bad", 83: "warn"})
    chart = charts.calendar(days, id="days", title="Days", words=DAYS)

    assert chart.body.count('width="14" height="14" rx="2"') == 84
    assert chart.view_box == "0 0 238 139"
    assert chart.label == (
        "Days, 2026-09-07 to 2026-11-29: 1 day all succeeded, 1 day some failed, "
        "1 day all failed."
    )
    assert [row.cells[:2] for row in chart.rows] == [
        ("2026-11-29", "Some failed"),
        ("2026-09-08", "All failed"),
        ("2026-09-07", "All succeeded"),
    ]
    assert "<title>Mon 2026-09-07: 0 runs</title>" in chart.body


def test_a_calendar_may_begin_in_the_middle_of_a_week():
    days = [
        Day(date(2026, 11, 26), "good"),
        Day(date(2026, 11, 27), "good"),
        Day(date(2026, 11, 30), "good"),
    ]
    chart = charts.calendar(days, id="days", title="Days", words=DAYS)

    assert re.findall(r'<rect x="(\d+)" y="(\d+)" width="14"', chart.body) == [
        ("34", "71"),
        ("34", "88"),
        ("51", "20"),
    ]


def test_a_calendar_of_no_day_is_empty():
    chart = charts.calendar([], id="days", title="Days", words=DAYS)

    assert not chart.body
    assert chart.label == "Days: nothing yet."
