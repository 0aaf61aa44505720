import hashlib
import json

import pytest

from mixadmin.dataprep.findings import KINDS, RULES
from mixadmin.dataprep.judging import Chunk
from mixadmin.dataprep.mending import MENDS, cut, seconds_of_anything
from mixadmin.dataprep.rules import judge_for

NOW = 1_800_000_000.0
TIME = 1_700_000_000


def chunk_of(*lines, offset=0, number=1):
    size = sum(map(len, lines)) + len(lines)
    return Chunk(list(lines), offset, number, offset + size)


def event(**properties):
    """A good event as a line; a property that is ... is left out."""
    values = {"time": TIME, "distinct_id": "ada", "$insert_id": "i-1"} | properties
    values = {name: value for name, value in values.items() if value is not ...}
    return json.dumps({"event": "Sign up", "properties": values}).encode()


def judge(*lines, kind="events", **more):
    return judge_for(kind, **more).judge(chunk_of(*lines), now=NOW)


def mended(line, slug, **more):
    """The one line as it goes out."""
    judged = judge(line, mends=[slug], **more)
    assert judged.invalid == []
    assert judged.notes[f"mended.{slug}"] == 1
    return judged.good[0]


def properties_of(line):
    return json.loads(line)["properties"]


def test_every_mend_cures_findings_that_exist():
    for slug, mend in MENDS.items():
        assert mend.slug == slug
        assert mend.cures and mend.cures <= RULES.keys()
        assert mend.kinds and mend.kinds <= set(KINDS)
        assert mend.label and mend.meaning
    assert not MENDS.keys() & RULES.keys()
    for rule in RULES.values():
        assert not rule.mend or rule.code in MENDS[rule.mend].cures


def test_nothing_is_mended_unasked():
    line = event(**{"$insert_id": "not fit", "time": "2023-11-14"})
    judged = judge(line)
    assert judged.good == []
    assert judged.notes == {}
    assert judged.invalid[0].code == "event.time.not_a_number"


@pytest.mark.parametrize(
    "time",
    [
        TIME * 1000,
        TIME * 1000 + 999,
        TIME * 1_000_000,
        TIME * 1_000_000_000 + 1,
        str(TIME),
        f"{TIME}.5",
        str(TIME * 1000),
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20.75Z",
        "2023-11-14 22:13:20",
        "2023-11-14T23:13:20+01:00",
        " 20231114T221320Z ",
    ],
)
def test_times_become_seconds(time):
    line = mended(event(time=time), "time.seconds")
    assert b'"time":1700000000' in line
    assert properties_of(line)["time"] == TIME


@pytest.mark.parametrize("time", ["yesterday", "", "١٧", True, [], {}, "1e9", "-1"])
def test_what_is_no_time_stays_invalid(time):
    judged = judge(event(time=time), mends=["time.seconds"])
    assert [one.code for one in judged.invalid] == ["event.time.not_a_number"]
    assert judged.notes == {}


def test_a_converted_time_is_judged_again():
    judged = judge(
        event(time="1969-01-01"),
        event(time="2999-01-01T00:00:00Z"),
        event(time=int(NOW + 60) * 1000),
        mends=["time.seconds"],
    )
    assert [one.code for one in judged.invalid] == [
        "event.time.before_1971",
        "event.time.future",
    ]
    assert judged.held == [(2, NOW + 60)]


def test_seconds_of_odd_numbers():
    assert seconds_of_anything(float("inf")) is None
    assert seconds_of_anything(float("nan")) is None
    assert seconds_of_anything(10**30) is None
    assert seconds_of_anything("0001-01-01") is not None
    assert seconds_of_anything(-5) == -5


def test_an_insert_id_is_derived_from_the_named_fields():
    more = {"insert_id_fields": ["event", "order"]}
    lines = [
        event(**{"$insert_id": value, "order": 7, "distinct_id": user})
        for value, user in ((..., "ada"), (None, "bob"), ("", "cy"), ("null", "dan"))
    ]
    ids = {
        properties_of(mended(line, "insert_id.derive", **more))["$insert_id"]
        for line in lines
    }
    assert len(ids) == 1 and len(ids.pop()) == 36
    other = mended(event(**{"$insert_id": ..., "order": 8}), "insert_id.derive", **more)
    assert properties_of(other)["$insert_id"] not in ids


def test_without_fields_an_insert_id_is_derived_from_the_whole_record():
    same = [event(**{"$insert_id": one, "n": 1}) for one in (..., "null", None)]
    ids = [
        properties_of(mended(line, "insert_id.derive"))["$insert_id"] for line in same
    ]
    assert len(set(ids)) == 1
    other = mended(event(**{"$insert_id": ..., "n": 2}), "insert_id.derive")
    assert properties_of(other)["$insert_id"] not in ids


def test_fields_that_are_not_there_give_no_insert_id():
    line = event(**{"$insert_id": ...})
    more = {"mends": ["insert_id.derive"], "insert_id_fields": ["order", "$insert_id"]}
    assert [one.code for one in judge(line, **more).invalid] == ["insert_id.missing"]
    seeded = judge(line, seed=lambda: b"s", **more)
    assert seeded.notes == {"insert_id.added": 1}


@pytest.mark.parametrize("value", ["a b", "x" * 37, "ä", 12, True, ["x"]])
def test_an_unfit_insert_id_is_hashed(value):
    line = mended(event(**{"$insert_id": value}), "insert_id.hash")
    text = value if isinstance(value, str) else json.dumps(value)
    expected = hashlib.sha256(text.encode()).hexdigest()[:36]
    assert properties_of(line)["$insert_id"] == expected


@pytest.mark.parametrize("value", [..., None, "null", "ANON", 0, True, ["x"]])
def test_nobody_becomes_empty_or_is_left_out(value):
    line = event(distinct_id=value)
    assert properties_of(mended(line, "distinct_id.empty"))["distinct_id"] == ""
    judged = judge(line, event(), mends=["distinct_id.drop"])
    assert judged.dropped == [0]
    assert judged.indexes == [1]
    assert judged.notes == {"mended.distinct_id.drop": 1}


def test_identity_events_are_left_out():
    line = event().replace(b"Sign up", b"$identify")
    judged = judge(line, mends=["identity.drop"])
    assert judged.dropped == [0]


def test_names_and_texts_are_cut_at_a_character():
    long = "é" * 200
    line = event(**{long: 1, "text": long, "$insert_id": "i", "in": [long]})
    line = line.replace(b"Sign up", long.encode())
    short = json.loads(mended(line, "names.truncate"))
    assert short["event"] == "é" * 127
    assert short["properties"]["é" * 127] == 1
    assert short["properties"]["text"] == long
    texts = properties_of(mended(line, "strings.truncate"))
    assert texts["text"] == "é" * 127
    assert texts[long] == 1
    assert texts["in"] == [long]
    assert cut("x" * 300) == "x" * 255


def test_ids_are_never_cut():
    line = event(distinct_id="x" * 300, **{"$user_id": "y" * 300})
    judged = judge(line, mends=["strings.truncate"])
    assert judged.good == [line]
    assert judged.notes == {"distinct_id.too_long": 1}


def test_broken_characters_are_replaced():
    line = event(text="XX", more="\ud83d\ude00 \\ud800 \ud800").replace(b"XX", b"\xff")
    values = properties_of(mended(line, "utf8.replace"))
    assert values["text"] == "\ufffd"
    assert values["more"] == "\N{GRINNING FACE} \\ud800 \ufffd"


def test_a_group_profile_loses_its_distinct_id():
    line = b'{"$distinct_id": "x", "$group_key":"k","$group_id":"g","$set":{"a":1.0}}'
    good = mended(line, "profile.distinct_id.remove", kind="groups")
    assert good == b'{"$group_key":"k","$group_id":"g","$set":{"a":1.0}}'


def test_what_is_not_mended_keeps_its_bytes():
    odd = b'"a":1.50,"b":1E400,"c":0.1000,"d":[ 1 ,{"x" : 12345678901234567890}]'
    line = (
        b' { "event" : "Sign\\u0020up", "properties": {'
        + odd
        + b', "time":"1700000000",'
        b'"distinct_id":"ada","$insert_id":"i"} , "extra" : -0.0 }'
    )
    good = mended(line, "time.seconds")
    for part in (*odd.split(b","), b'"Sign\\u0020up"', b"-0.0", b'"time":1700000000'):
        assert part in good
    untouched = line.replace(b'"1700000000"', b"1700000000")
    assert judge(untouched, mends=["time.seconds"]).good == [untouched]


def test_several_mends_work_together():
    line = event(time="2023-11-14", distinct_id="null", **{"$insert_id": "a b"})
    mends = ["time.seconds", "distinct_id.empty", "insert_id.hash"]
    judged = judge(line, mends=mends)
    assert len(judged.good) == 1
    assert judged.notes == {
        **{f"mended.{slug}": 1 for slug in mends},
        "distinct_id.nobody": 1,
    }


def test_a_mend_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="no mend 'x'"):
        judge_for("events", mends=["x"])
    with pytest.raises(ValueError, match="no destination 'x'"):
        judge_for("events", destination="x")
    with pytest.raises(ValueError, match="no kind of records 'x'"):
        judge_for("x")
