import gzip
import json
import time

import pytest

from bench.generate import KINDS, write_bytes, write_events
from mixadmin.sandbox.records import Invalid, clean_event


def lines_of(path):
    return path.read_bytes().split(b"\n")[:-1]


def refusal(line):
    """(field, message) of the first thing that strict import would refuse; None: good."""
    try:
        record = json.loads(line.decode())
        clean_event(record, now=time.time())
    except Invalid as error:
        return error.field, error.message
    except ValueError:
        return "", ""
    return None


def test_the_same_seed_makes_the_same_bytes(tmp_path):
    for name in "ab":
        write_events(tmp_path / name, 300, seed=5)
    write_events(tmp_path / "other", 300, seed=6)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "other").read_bytes()


def test_a_longer_file_begins_with_the_events_of_a_shorter_one(tmp_path):
    write_events(tmp_path / "short", 9_999)
    write_events(tmp_path / "long", 10_001)

    long = (tmp_path / "long").read_bytes()
    assert long.startswith((tmp_path / "short").read_bytes())
    assert long.count(b"\n") == 10_001


def test_events_are_of_the_promised_shape_and_accepted(tmp_path):
    write_events(tmp_path / "events", 3_000)
    lines = lines_of(tmp_path / "events")

    sizes = [len(line) for line in lines]
    properties = [json.loads(line)["properties"] for line in lines]
    assert 405 < sum(sizes) / len(sizes) < 420
    assert {len(one) for one in properties} == set(range(8, 16))
    assert any(not line.isascii() for line in lines)
    assert {type(value) for one in properties for value in one.values()} == {
        str, int, float, bool, list, dict, type(None),
    }  # fmt: skip
    assert [int(one["$insert_id"][-12:], 16) for one in properties] == list(
        range(3_000)
    )
    assert not [line for line in lines if refusal(line)]


def test_a_gz_holds_what_the_plain_file_does(tmp_path):
    for name in ("events", "events.gz", "again.gz"):
        write_events(tmp_path / name, 500)

    packed = (tmp_path / "events.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "events").read_bytes()
    assert packed == (tmp_path / "again.gz").read_bytes()


def test_a_file_can_be_made_by_size(tmp_path):
    count = write_bytes(tmp_path / "events", 1_000_000)

    assert (tmp_path / "events").stat().st_size >= 1_000_000
    assert len(lines_of(tmp_path / "events")) == count


@pytest.mark.parametrize("name", ["mixed.ndjson", "mixed.ndjson.gz"])
def test_bad_lines_are_told_beside_the_file(tmp_path, name):
    told = write_events(tmp_path / name, 5_000, bad=0.02)

    assert json.loads((tmp_path / f"{name}.bad.json").read_text())["bad"] == 100
    assert told["accepted"] == 5_000 - told["refused"]
    assert told["bad"] == told["refused"] + told["altered"] == len(told["lines"])
    assert all(kind["count"] for kind in told["kinds"].values())


def test_exactly_the_lines_told_are_refused_in_mixpanels_words(tmp_path):
    told = write_events(tmp_path / "mixed", 2_000, bad=0.05)
    bad = dict(told["lines"])

    for number, line in enumerate(lines_of(tmp_path / "mixed"), 1):
        found, kind = refusal(line), KINDS.get(bad.get(number))
        if kind is None or kind.outcome == "altered":
            assert found is None, (number, bad.get(number), found)
            continue
        assert found is not None, (number, bad[number])
        if kind.message and bad[number] != "record.not_utf8":
            assert found == (kind.field, kind.message), bad[number]


def test_few_lines_are_huge(tmp_path):
    told = write_events(tmp_path / "mixed", 4_000, bad=0.1)

    assert told["kinds"]["record.too_large"]["count"] == 3
    assert told["bad"] == 400
