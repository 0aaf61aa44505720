import hashlib
import io
import json

import pytest

from mixadmin.dataprep.judging import Chunk
from mixadmin.dataprep.mending import with_insert_id
from mixadmin.dataprep.reading import chunks
from mixadmin.dataprep.rules import judge_for, skim_all
from tests.dataprep.test_mending import NOW, TIME, chunk_of, event, judge, properties_of


def codes(judged):
    return [(one.index, one.code) for one in judged.invalid]


def test_good_lines_go_out_as_they_came():
    lines = [event(n=n) for n in range(5)]
    judged = judge(*lines)
    assert judged.good == lines
    assert list(judged.indexes) == [0, 1, 2, 3, 4]
    assert judged.notes == {}


def test_an_empty_chunk_is_judged():
    assert judge().good == []
    assert judge(b"", b" ").blank == 2


def test_two_lines_never_make_one_record():
    halves = [b'{"event":"a","properties":{"distinct_id":"x"', b'"time":1,"a":2}}']
    twice = event() + b"," + event()
    judged = judge(*halves, twice, event(), b"[", b"]")
    assert codes(judged) == [(i, "record.not_json") for i in (0, 1, 2, 4, 5)]
    assert judged.good == [event()]


def test_reading_goes_on_after_a_line_that_cannot_be_read():
    def decode(line):
        if line == b"bad":
            raise UnicodeDecodeError("utf-8", b"", 0, 1, "")
        return line

    lines = [b"bad", b"a", b"bad", b"bad", b"b", b"bad"]
    assert skim_all(decode, lines) == (
        [None, b"a", None, None, b"b", None],
        [0, 2, 3, 5],
    )


def test_a_line_that_was_not_taken_in_is_too_large():
    chunk = Chunk([b"{", event()], 0, 1, 3_000_000, unfit=[(0, "record.too_large")])
    for kind in ("events", "people"):
        judged = judge_for(kind).judge(chunk, now=NOW)
        assert codes(judged)[0] == (0, "record.too_large")


@pytest.mark.parametrize("size", [999_999, 1_000_000])
def test_an_event_is_smaller_than_a_megabyte(size):
    line = event(text="")
    line = line.replace(b'""', b'"%b"' % (b"x" * (size - len(line))))
    assert len(line) == size
    judged = judge(line)
    assert codes(judged) == ([] if size < 1_000_000 else [(0, "record.too_large")])
    assert judged.notes == ({"string.too_long": 1} if size < 1_000_000 else {})


def test_events_of_the_near_future_are_held_until_their_time():
    judged = judge(
        event(time=NOW), event(time=NOW + 1), event(time=(NOW + 3600) * 1000),
        event(time=NOW + 3601),
    )  # fmt: skip
    assert list(judged.indexes) == [0]
    assert judged.held == [(1, NOW + 1), (2, NOW + 3600)]
    assert codes(judged) == [(3, "event.time.future")]


def test_a_user_or_a_device_stands_in_for_a_missing_distinct_id():
    gone = {"distinct_id": ...}
    judged = judge(
        event(**gone, **{"$user_id": "u"}),
        event(**gone, **{"$device_id": "d"}),
        event(**gone, **{"$user_id": ""}),
        event(**gone),
    )
    assert list(judged.indexes) == [0, 1]
    assert codes(judged) == [(2, "distinct_id.missing"), (3, "distinct_id.missing")]


# -- $insert_id


def seeded(data, **more):
    asked = []
    judge = judge_for("events", seed=lambda: asked.append(1) or b"seed", **more)
    found = {}
    for chunk in chunks(io.BytesIO(data), most_lines=3):
        judged = judge.judge(chunk, now=NOW)
        for index, line in zip(judged.indexes, judged.good, strict=True):
            found[chunk.number + index] = properties_of(line)["$insert_id"]
    return found, asked


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_a_missing_insert_id_is_made_of_where_the_line_begins(start, end):
    lines = [
        event(**{"$insert_id": ..., "n": n, "x": 'é\\"properties":{' * (n % 2)})
        for n in range(8)
    ]
    lines[3] = b""
    data = start + end.join(lines) + end
    found, asked = seeded(data)
    assert len(asked) == 1
    offset = 0
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        if number != 4:
            where = hashlib.sha256(b"seed" + offset.to_bytes(8, "big")).hexdigest()
            assert found[number] == where[:32]
        offset += len(line) + 1
    # as the record is looked at with care, so is it fast
    assert found == seeded(data, mends=["insert_id.derive"], insert_id_fields=["no"])[0]


def test_the_seed_is_not_asked_for_needlessly():
    _, asked = seeded(event() + b"\n")
    assert asked == []


@pytest.mark.parametrize(
    "line",
    [
        event(**{"$insert_id": ...}),
        event(**{"$insert_id": ...}).replace(b" ", b""),
        event(**{"$insert_id": ""}),
        event(**{"$insert_id": None}),
        b'{"properties":{"time":1700000000,"distinct_id":"a"},"event":"b"}',
        b' { "event" : "x" , "properties" : { "time":1700000000,"distinct_id":"a"}}',
        b'{"x":{"properties":{"a":1}},"event":"b",'
        b'"properties":{"time":1700000000,"distinct_id":"a"}}',
        b'{"event":"a","properties":{"b":1},'
        b'"properties":{"time":1700000000,"distinct_id":"a"}}',
        b'{"event":"a","properties":{"b":1},'
        b'"propert\\u0069es":{"time":1700000000,"distinct_id":"a"}}',
        b'{"event":"\\"properties\\":{","properties":'
        b'{"time":1700000000,"distinct_id":"a"}}',
        b'{"event":"a","properties":{"\\u0024insert_id":"",'
        b'"time":1700000000,"distinct_id":"a"}}',
    ],
)
def test_an_insert_id_comes_where_it_is_read(line):
    before = json.loads(line)
    judged = judge(line, seed=lambda: b"s")
    assert judged.notes == {"insert_id.added": 1}
    after = json.loads(judged.good[0])
    added = after["properties"].pop("$insert_id")
    assert len(added) == 32
    before["properties"].pop("$insert_id", None)
    assert after == before
    assert json.loads(with_insert_id(line, added))["properties"]["$insert_id"] == added


# -- slices of time


def in_slice(lines, begin, end, **more):
    return judge(*lines, time_slice=(begin, end), **more)


def test_each_event_is_in_one_slice():
    lines = [
        event(time=TIME), event(time=TIME + 10), event(time=(TIME + 9) * 1000),
        event(time=TIME + 9.5), event(time="x"), b"{", b"", event(time=1),
        event(time=TIME + 11, distinct_id="null"), event(time=NOW + 5),
        event(time=10**15),
    ]  # fmt: skip
    slices = [(TIME + 10, None), (TIME, TIME + 10), (None, TIME)]
    found = [
        in_slice(lines, begin, end, counts_undated=not n)
        for n, (begin, end) in enumerate(slices)
    ]
    assert [list(one.indexes) for one in found] == [[1], [0, 2, 3], []]
    assert codes(found[0]) == [
        (4, "event.time.not_a_number"), (5, "record.not_json"),
        (8, "distinct_id.banned"), (10, "event.time.microseconds"),
    ]  # fmt: skip
    assert found[0].held == [(9, NOW + 5)]
    assert codes(found[2]) == [(7, "event.time.before_1971")]
    for one in found:
        judged = len(one.good) + len(one.invalid) + len(one.held) + len(one.dropped)
        assert len(lines) == judged + one.blank + one.elsewhere
        assert one.blank == 1
    assert sum(len(lines) - 1 - one.elsewhere for one in found) == len(lines) - 1


def test_a_time_that_will_be_mended_has_its_slice():
    lines = [event(time="2023-11-14"), event(time=TIME * 1_000_000)]
    inside = in_slice(lines, TIME - 86_400, TIME + 1, mends=["time.seconds"])
    assert len(inside.good) == 2
    outside = in_slice(lines, None, 1, mends=["time.seconds"], counts_undated=False)
    assert outside.elsewhere == 2


def test_all_of_time_is_one_slice():
    assert in_slice([event()], None, None).elsewhere == 0


# -- where it goes


def test_cloud_import_takes_seconds_only_and_no_insert_id():
    lines = [event(time=TIME * 1000), event(**{"$insert_id": ...}), event(time=NOW + 9)]
    judged = judge(*lines, destination="cloud_import")
    assert codes(judged) == [(0, "event.time.milliseconds")]
    assert judged.good == lines[1:]
    assert judged.notes == {"insert_id.missing": 1, "event.time.near_future": 1}


def test_a_warehouse_takes_dates():
    lines = [event(time="2023-11-14"), event(time=TIME * 1_000_000), event(time="x")]
    judged = judge(*lines, destination="warehouse")
    assert judged.good == lines[:2]
    assert codes(judged) == [(2, "event.time.not_a_number")]


# -- profiles


def test_profiles_tell_whose_they_are_and_what_must_not_come_twice():
    judged = judge(
        b'{"$distinct_id":"a","$set":{"x":1}}',
        b'{"$distinct_id":7,"$add":{"x":1}}',
        b'{"$distinct_id":"","$set":{}}',
        b'{"$distinct_id":"b","$token":"t","$append":{"x":1}}',
        b'{"$distinct_id":"c","$unset":["x"],"$remove":{"y":1}}',
        kind="people",
    )
    assert judged.keys == ["a", "7", "b", "c"]
    assert judged.deltas == [1, 2, 3]
    assert judged.good[2] == b'{"$distinct_id":"b","$append":{"x":1}}'
    assert judged.notes == {"profile.token.removed": 1}
    assert codes(judged) == [(2, "profile.id.missing")]


def test_groups_are_told_apart_by_both_ids():
    judged = judge(
        b'{"$group_key":"company","$group_id":"x","$set":{"a":1}}',
        b'{"$group_key":"company","$group_id":5,"$union":{"a":[1]}}',
        b'{"$group_key":"company","$group_id":"x","$append":{"a":1}}',
        b'{"$distinct_id":"x","$set":{"a":1}}',
        b'{"$group_key":"k","$group_id":"x","$distinct_id":"x","$set":{"a":1}}',
        kind="groups",
    )
    assert judged.keys == ["company\0x", "company\0" + "5"]
    assert codes(judged) == [
        (2, "profile.operation.missing"), (3, "record.other_kind"),
        (4, "profile.distinct_id.not_allowed"),
    ]  # fmt: skip


def test_kinds_are_told_apart():
    profile = b'{"$distinct_id":"a","$set":{"x":1}}'
    group = b'{"$group_key":"a","$group_id":"b","$set":{"x":1}}'
    assert codes(judge(profile, group)) == [
        (0, "record.other_kind"), (1, "record.other_kind"),
    ]  # fmt: skip
    assert codes(judge(event(), group, kind="people")) == [
        (0, "record.other_kind"), (1, "record.other_kind"),
    ]  # fmt: skip
    assert codes(judge(event(), kind="groups")) == [(0, "record.other_kind")]


def test_a_profile_may_have_two_thousand_properties():
    def update(count):
        values = {f"p{n}": n for n in range(count)}
        return json.dumps({"$distinct_id": "a", "$set": values}).encode()

    judged = judge(update(2000), update(2001), kind="people")
    assert codes(judged) == [(1, "profile.properties.too_many")]


def test_notes_name_the_first_lines():
    lines = [event(time=TIME * 1000, n=n) for n in range(9)]
    judged = judge(event(), *lines)
    assert judged.notes == {"event.time.milliseconds": 9}
    assert list(judged.noted["event.time.milliseconds"]) == [1, 2, 3, 4, 5]


def test_a_chunk_knows_where_its_lines_begin():
    assert chunk_of(b"ab", b"", b"c", offset=5).offsets() == [5, 8, 9]
