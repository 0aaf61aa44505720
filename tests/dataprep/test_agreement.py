"""The fast way, the careful way and the sandbox's own checks say the same."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixadmin.dataprep import profiles
from mixadmin.dataprep.findings import RULES, is_lost
from mixadmin.dataprep.judging import Chunk
from mixadmin.dataprep.mending import MENDS
from mixadmin.dataprep.parsing import parse
from mixadmin.dataprep.rules import judge_for
from mixadmin.sandbox import records
from mixadmin.sandbox.ingestion import _parse_json

NOW = 1_800_000_000.0
BANNED = sorted(records.BANNED_IDS)

numbers = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 10**30, 1e300, 10**4000, 1.5e9, 2**63, -(2**63)]),
)
texts = st.one_of(
    st.text(max_size=8),
    st.text(alphabet=st.characters(codec=None), max_size=3),
    st.sampled_from(
        [
            "",
            " ",
            "\u2028",
            "\x00",
            "\ud800",
            "é" * 130,
            "x" * 255,
            "x" * 256,
            '"' * 300,
            "\\" * 299 + '"',
            "{[" * 9,
            "}]" * 9,
        ]
    ),
)
plain = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=12,
)
crowded = st.sampled_from(
    [
        [0] * 254,
        [0] * 255,
        [0] * 256,
        {str(n): n for n in range(255)},
        {str(n): n for n in range(256)},
        [[[0]]],
        [[[[0]]]],
        {"a": [{"b": 1}]},
        {"a": [{"b": {}}]},
        [[[]], [[]], [[]]],
        ["x" * 9000],
    ]
)
times = st.one_of(
    st.integers(31_536_000, int(NOW)),
    st.integers(31_536_000_000, int(NOW) * 1000),
    st.floats(31_535_999, NOW + 3601),
    st.sampled_from(
        [
            NOW, NOW + 1, NOW + 3600, NOW + 3600.5, NOW + 3601, 31_536_000, 31_535_999,
            31_535_999.9999, 99_999_999_999, 100_000_000_000, NOW * 1000, NOW * 1e6,
            NOW * 1e9, 1e18, 1.1e18, "1700000000", "2024-01-01", True, None, -1,
        ]
    ),
    plain,
)  # fmt: skip
insert_ids = st.one_of(
    st.from_regex(r"\A[A-Za-z0-9-]{1,37}\Z"), st.sampled_from(BANNED), plain, crowded
)
users = st.one_of(
    st.text(min_size=1, max_size=9),
    st.sampled_from(BANNED).map(str.upper),
    st.sampled_from(["", "x" * 255, "x" * 256, 0, -1, 1.0, 1e22]),
    values,
)
names = st.one_of(
    st.sampled_from(["Sign up", "$identify", "$merge", "x" * 256, "\u2003"]), plain
)


def maybe(strategy):
    return st.one_of(strategy, strategy, strategy, st.just(...))


properties = st.builds(
    lambda fixed, more, crowd: {
        **{key: value for key, value in fixed.items() if value is not ...},
        **more,
        **crowd,
    },
    st.fixed_dictionaries(
        {
            "time": maybe(times),
            "distinct_id": maybe(users),
            "$insert_id": maybe(insert_ids),
            "$user_id": st.one_of(st.just(...), st.just(...), plain),
            "$device_id": st.one_of(st.just(...), st.just(...), plain),
        }
    ),
    st.dictionaries(texts, values, max_size=4),
    st.one_of(
        st.just({}),
        crowded.map(lambda value: {"crowded": value}),
        st.just({str(n): n for n in range(252)}),
        st.just({str(n): n for n in range(253)}),
    ),
)
good_properties = st.fixed_dictionaries(
    {
        "time": st.integers(31_536_000, int(NOW)),
        "distinct_id": st.text(min_size=1, max_size=9),
        "$insert_id": st.from_regex(r"\A[a-z0-9-]{1,36}\Z"),
    }
)
# One thing about a good event that may be wrong with it, or not.
changes = st.one_of(
    times.map(lambda value: {"time": value}),
    users.map(lambda value: {"distinct_id": value}),
    insert_ids.map(lambda value: {"$insert_id": value}),
    st.dictionaries(texts, values, max_size=3),
    st.dictionaries(st.sampled_from(["$user_id", "$device_id"]), plain, max_size=2).map(
        lambda value: {**value, "distinct_id": None}
    ),
    crowded.map(lambda value: {"crowded": value}),
    st.just({}),
)
event_records = st.one_of(
    st.builds(
        lambda good, change: {"event": "Sign up", "properties": {**good, **change}},
        good_properties,
        changes,
    ),
    st.builds(
        lambda good, change: {"event": "Sign up", "properties": {**good, **change}},
        good_properties,
        changes,
    ),
    st.builds(
        lambda name, properties, more: {
            **more, "event": name, "properties": properties,
        },
        names,
        st.one_of(properties, good_properties, plain),
        st.dictionaries(texts, values, max_size=1),
    ),
    values,
)  # fmt: skip


def spelled(record):
    """A record as a line, in one of the ways in which it can be written."""
    return st.sampled_from(
        [
            {"separators": (",", ":")},
            {},
            {"ensure_ascii": False},
            {"ensure_ascii": False, "separators": (" ,\t", " : ")},
        ]
    ).map(lambda how: json.dumps(record, **how).encode("utf-8", "surrogatepass"))


broken = st.sampled_from(
    [
        b"", b"  ", b"\x0b", b'\x0b{"$distinct_id":"a","$set":{"a":1}}',
        b' {"$distinct_id":"a","$set":{"a":1}}',
        b' {"event":"a","properties":{"time":1700000000,"distinct_id":"x",'
        b'"$insert_id":"a","q":"' + b"q" * 300 + b'"}} ', b"{", b"}", b"{}", b"[]", b"null", b"1", b'"x"', b"{}{}", b"{},",
        b"\xef\xbb\xbf{}", b"{}\x00", b'{"event":"a","properties":{"time":NaN}}',
        b'{"event":"a","properties":{"time":1e400}}', b"\xff", b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"9" * 5000, b"'a'", b"{'a':1}",
        b'{"event":"a","event":"b","properties":{"time":1,"time":1700000000,'
        b'"distinct_id":"x","distinct_id":"y","$insert_id":"","$insert_id":"a"}}',
        b'{"event":"a","properties":{"time":1700000000,"distinct_id":"x",'
        b'"\\u0024insert_id":"a","q":1e400,"\xff":"\xfe"}}',
        b'{"event":"a","properties":{"time":1700000000,"distinct_id":"x",'
        b'"$insert_id":"a","q":1e400}}',
        b'{"event":"a","properties":{"time":1700000000,"distinct_id":"x",'
        b'"$insert_id":"a"},"properties":{}}',
        b'{"event":"a","properties":{"time":1700000000,"distinct_id":"x",'
        b'"$insert_id":"a","n":' + b"1" * 4301 + b"}}",
        b'{"event":"a","properties":{"time":1700000000,"distinct_id":"x",'
        b'"$insert_id":"a","n":' + b"1" * 4300 + b"}}",
    ]
)  # fmt: skip
event_lines = st.one_of(event_records.flatmap(spelled), broken)
chunks = st.lists(event_lines, max_size=6)


def chunk_of(lines):
    lines = [line.replace(b"\n", b" ") for line in lines]
    return Chunk(lines, 0, 1, sum(map(len, lines)) + len(lines))


def accepted(line, clean):
    """Whether the sandbox takes it, and its words if not."""
    try:
        record = _parse_json(line)
    except (ValueError, RecursionError):
        return False, None
    try:
        clean(record)
    except records.Invalid as error:
        return False, error.message
    return True, ""


def clean_event(record):
    records.clean_event(record, now=NOW, identity="simplified")
    properties = record["properties"]
    if properties.get("distinct_id") is None and not (
        properties.get("$user_id") or properties.get("$device_id")
    ):
        # We are as strict as projects with original identities, unless there is an id.
        records.clean_event(record, now=NOW, identity="original")


def outcome(judged, index):
    if index in judged.indexes:
        return "good", judged.good[list(judged.indexes).index(index)]
    for problem in judged.invalid:
        if problem.index == index:
            return "invalid", problem.message
    return ("held", None) if index in dict(judged.held) else ("blank", None)


@settings(max_examples=400, deadline=None)
@given(chunks)
def test_an_event_is_good_exactly_if_the_sandbox_takes_it(lines):
    chunk = chunk_of(lines)
    judged = judge_for("events").judge(chunk, now=NOW)
    for index, line in enumerate(chunk.lines):
        ours, what = outcome(judged, index)
        if ours == "blank":
            assert not line.strip()
            continue
        theirs, message = accepted(line, clean_event)
        assert theirs == (ours in ("good", "held")), (line[:300], ours, what, message)
        if ours == "good":
            assert what == line


def with_care(kind, lines, **more):
    """What the careful way alone makes of every line."""
    judge = judge_for(kind, **more)
    offset, found = 0, []
    for line in lines:
        found.append(judge.care.look(line, offset, now=NOW))
        offset += len(line) + 1
    return found


def compare(kind, lines, **more):
    chunk = chunk_of(lines)
    judged = judge_for(kind, **more).judge(chunk, now=NOW)
    looked = with_care(kind, chunk.lines, **more)
    assert dict(zip(judged.indexes, judged.good, strict=True)) == {
        i: one.line for i, one in enumerate(looked) if one.outcome == "good"
    }
    assert [(p.index, p.code, p.field, p.message) for p in judged.invalid] == [
        (i, *one.problem) for i, one in enumerate(looked) if one.outcome == "invalid"
    ]
    assert judged.held == [
        (i, one.time) for i, one in enumerate(looked) if one.outcome == "held"
    ]
    notes = {}
    for one in looked:
        for code in one.notes:
            notes[code] = notes.get(code, 0) + 1
    assert judged.notes == notes
    assert len(chunk.lines) == (
        len(judged.good) + len(judged.invalid) + len(judged.held)
        + len(judged.dropped) + judged.blank
    )  # fmt: skip
    for code in judged.notes:
        assert code in RULES or code.startswith("mended.")
    return judged, looked


@settings(max_examples=400, deadline=None)
@given(chunks, st.sampled_from(["import", "cloud_import", "warehouse"]), st.booleans())
def test_the_fast_way_agrees_with_the_careful_one(lines, destination, seeded):
    seed = (lambda: b"seed") if seeded else None
    judged, _ = compare("events", lines, destination=destination, seed=seed)
    for problem in judged.invalid:
        assert is_lost(problem.code, destination)


update_values = st.one_of(
    st.dictionaries(texts, values, max_size=3),
    st.dictionaries(texts, numbers, max_size=3),
    st.dictionaries(texts, st.lists(plain, max_size=3), max_size=3),
    st.lists(texts, max_size=3),
    values,
)
ids = st.one_of(
    st.text(min_size=1, max_size=5), st.sampled_from(BANNED), st.integers(), values
)
operations = st.one_of(
    st.dictionaries(
        st.sampled_from(
            [*profiles.USER_OPERATIONS, "$token", "$ip", "$unknown", "more", "$time"]
        ),
        update_values,
        max_size=3,
    ),
    st.dictionaries(
        st.sampled_from(["$set", "$set_once", "$append", "$remove"]),
        st.dictionaries(texts, values, max_size=2),
        min_size=1,
        max_size=2,
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "$add": st.dictionaries(texts, numbers),
            "$union": st.dictionaries(texts, st.lists(plain, min_size=1, max_size=2)),
            "$unset": st.lists(texts, max_size=2),
            "$delete": values,
            "$token": texts,
        },
    ),
)
update_lines = st.one_of(
    st.builds(lambda id, more: {"$distinct_id": id, **more}, ids, operations).flatmap(
        spelled
    ),
    st.builds(
        lambda key, id, more: {**more, "$group_key": key, "$group_id": id},
        ids,
        ids,
        operations,
    ).flatmap(spelled),
    st.dictionaries(
        st.sampled_from(["$distinct_id", "$group_key", "$group_id", "$set", "event"]),
        update_values,
    ).flatmap(spelled),
    broken,
)
BLANKS = b'  {"$distinct_id":"a","$set":{"a":1}}'
ESCAPED = b'{"\\u0024distinct_id":"a","\\u0024token":"t","$set":{}}'


@settings(max_examples=400, deadline=None)
@given(st.lists(update_lines, max_size=6), st.sampled_from(["people", "groups"]))
@example([BLANKS, ESCAPED], "people")
def test_an_update_is_good_exactly_if_the_sandbox_takes_it(lines, kind):
    def clean(record):
        records.profile_id(record, ["k"] if kind == "groups" else None)
        records.clean_update(record, group=kind == "groups")

    chunk = chunk_of(lines)
    judged, looked = compare(kind, lines)
    for index, line in enumerate(chunk.lines):
        if looked[index].outcome == "blank":
            continue
        theirs, message = accepted(line, clean)
        assert theirs == (looked[index].outcome == "good"), (line, looked, message)
    assert len(judged.keys) == len(judged.good)
    for position, line in enumerate(judged.good):
        record = json.loads(line)
        assert line.startswith(b"{") and record and "$token" not in record
        key, id = records.profile_id(record, ["k"] if kind == "groups" else None)
        assert judged.keys[position] == (f"{key}\0{id}" if kind == "groups" else id)
        assert (position in judged.deltas) == any(
            name in record for name in ("$add", "$append", "$remove")
        )


@settings(max_examples=300, deadline=None)
@given(
    chunks,
    st.sets(st.sampled_from([s for s, one in MENDS.items() if "events" in one.kinds])),
    st.sampled_from([(), ("event", "time"), ("nothing",)]),
)
def test_a_mended_event_is_one_that_the_sandbox_takes(lines, mends, fields):
    judged, _ = compare("events", lines, mends=mends, insert_id_fields=fields)
    for line in judged.good:
        theirs, message = accepted(line, clean_event)
        assert theirs, (line, message)
    for problem in judged.invalid:
        cured = {slug for slug in mends if problem.code in MENDS[slug].cures}
        # some things cannot be helped: a date in words, an id made of nothing
        assert cured <= {"time.seconds", "insert_id.derive"}, (problem, cured)


@settings(max_examples=200, deadline=None)
@given(event_records)
def test_what_is_parsed_is_what_was_written(record):
    line = json.dumps(record).encode()
    assert parse(line) == json.loads(line)
