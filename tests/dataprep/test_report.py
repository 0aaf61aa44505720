import gzip
import io
import json

import pytest

from mixadmin.dataprep import checking
from mixadmin.dataprep import report as reports
from mixadmin.dataprep.checking import check
from mixadmin.dataprep.findings import DESTINATIONS, RULES, SEVERITIES, is_lost
from mixadmin.dataprep.mending import MENDS
from mixadmin.dataprep.report import Report
from tests.dataprep.test_mending import NOW, TIME, event

DAY = 86_400
FIRST = TIME // DAY * DAY  # the beginning of a day


def checked(*lines, kind="events", **more):
    data = b"".join(line + b"\n" for line in lines)
    return check(io.BytesIO(data), kind=kind, now=NOW, **more)


def told(*lines, **more):
    found = checked(*lines, **more).as_dict()
    json.dumps(found, allow_nan=False).encode()
    need_balance(found)
    return found


def need_balance(found):
    assert found["records"] == (
        found["would_import"] + found["would_refuse"] + found["dropped"]
    )
    lost = [
        one["records"]
        for one in found["findings"]
        if is_lost(one["code"], found["destination"])
    ]
    assert found["would_refuse"] == sum(lost)
    if found["kind"] == "events" and found["days"]["counts"]:
        days = sum(count for _, count in found["days"]["counts"])
        assert days == found["would_import"]
    lines = sum(one["lines"] for one in found["files"])
    assert lines == found["records"] + found["blank"]


def finding(found, code):
    return next(one for one in found["findings"] if one["code"] == code)


def codes(found):
    return [one["code"] for one in found["findings"]]


def test_a_clean_file_says_so_in_one_sentence():
    found = told(*[event(n=n, **{"$insert_id": f"i{n}"}) for n in range(1_234)])
    assert found["verdict"] == "All 1,234 events would be imported."
    assert found["clean"] is True
    assert found["findings"] == []
    assert told(event())["verdict"] == "The one event would be imported."
    assert told()["verdict"] == "There is no event in it."


def test_it_adds_up():
    found = told(
        event(**{"$insert_id": "a"}), b"", b"{", event(time="x"), event(time=NOW + 9),
        event(distinct_id="null"), event(distinct_id="undefined"), b"  ",
        mends=["distinct_id.drop"],
    )  # fmt: skip
    assert found["verdict"] == (
        "Of 6 events 2 would be imported, 2 refused and 2 left out as asked."
    )
    assert (found["blank"], found["held"], found["clean"]) == (2, 1, False)
    assert found["mends"] == [
        {
            "slug": "distinct_id.drop",
            "label": MENDS["distinct_id.drop"].label,
            "records": 2,
        }
    ]


def test_findings_come_with_lines_and_examples():
    lines = [event(time=f"x{n}") for n in range(9)]
    found = told(event(), *lines, b"\xff", name="june.ndjson")
    first = found["findings"][0]
    assert first["records"] == 9
    assert first["severity"] == "refused"
    assert first["mend"] == "time.seconds"
    assert [one["line"] for one in first["examples"]] == [2, 3, 4, 5, 6]
    assert first["examples"][0] == {
        "file": "june.ndjson",
        "line": 2,
        "field": "properties.time",
        "message": "'properties.time' is invalid: must be specified as seconds since "
        "epoch",
        "sample": lines[0].decode(),
    }
    assert finding(found, "record.not_json")["examples"][0]["sample"] == "\ufffd"


def test_notes_come_with_lines_too():
    found = told(event(), event(time=TIME * 1000, n=1), event(time=NOW + 5, n=2))
    assert codes(found)[0] == "event.time.near_future"
    lines = finding(found, "event.time.milliseconds")["examples"]
    assert [one["line"] for one in lines] == [2]
    assert finding(found, "event.time.near_future")["examples"][0]["line"] == 3


def test_findings_are_sorted_by_what_they_do():
    found = told(
        event(distinct_id=5), event(distinct_id=6), event(text="x" * 300), b"{", b"[",
        event(time=1),
    )  # fmt: skip
    severities = [SEVERITIES.index(one["severity"]) for one in found["findings"]]
    assert severities == sorted(severities)


def test_elsewhere_the_same_record_is_dropped_in_silence():
    found = told(event(time=TIME * 1000), event(), destination="cloud_import")
    assert found["findings"][0]["severity"] == "dropped"
    assert found["verdict"] == "Of 2 events 1 would be imported and 1 silently dropped."


def test_the_days_are_counted():
    lines = [event(time=FIRST + n * DAY // 2, n=n) for n in range(5)]
    found = told(*lines, event(time=(FIRST + 1) * 1000))
    assert found["days"] == {
        "unit": "day",
        "counts": [["2023-11-14", 3], ["2023-11-15", 2], ["2023-11-16", 1]],
    }
    assert found["times"]["first_at"] == "2023-11-14T00:00:00Z"
    assert found["times"]["last"] == FIRST + 2 * DAY


def test_many_days_become_months_and_years():
    lines = [event(time=FIRST - n * DAY) for n in range(500)]
    assert told(*lines)["days"]["unit"] == "month"
    lines = [event(time=31_536_000 + n * DAY * 30) for n in range(600)]
    years = told(*lines)["days"]
    assert years["unit"] == "year"
    assert years["counts"][0][0] == "1971"


def test_names_are_counted_and_too_many_are_told():
    found = told(event(), event(), event().replace(b"Sign up", b"Buy"))
    assert found["events"]["top"] == [["Sign up", 2], ["Buy", 1]]
    lines = [event().replace(b"Sign up", b"name %d" % n) for n in range(5_003)]
    found = told(*lines)
    assert found["events"]["distinct"] == 5_003
    assert finding(found, "event.names.too_many")["records"] == 3
    assert finding(found, "event.names.user_generated")["records"] == 5_003


def test_properties_have_their_share_and_kinds():
    found = told(event(a=1), event(a="x", **{"$mine": 1, "$os": "x"}), event(b=None))
    shares = {one["name"]: one for one in found["properties"]["top"]}
    assert shares["time"]["share"] == 1
    assert shares["a"] == {
        "name": "a",
        "share": round(2 / 3, 4),
        "kinds": {"number": 1, "text": 1},
    }
    assert found["properties"]["estimated"] is False
    assert found["properties"]["reserved"] == ["$mine"]
    assert finding(found, "name.reserved")["records"] == 1


def test_generated_property_names_are_told():
    lines = [event(**{f"user {n}": 1}) for n in range(2_001)]
    assert finding(told(*lines), "properties.user_generated")["records"] == 2_001


def test_large_files_are_read_in_part(monkeypatch):
    monkeypatch.setattr(reports, "READ_IN_FULL", 100)
    lines = [event(n=n, **{"$insert_id": f"i{n}"}) for n in range(8_000)]
    found = told(*lines)
    assert found["properties"]["estimated"] is True
    assert 2_000 < found["properties"]["read"] < 2_100
    assert {one["share"] for one in found["properties"]["top"]} == {1}


def test_a_busy_user_of_a_day_is_told():
    lines = [event(distinct_id="busy", **{"$insert_id": f"i{n}"}) for n in range(9)]
    lines += [event(distinct_id="", n=n) for n in range(20)]
    found = told(*lines)
    assert found["users"]["top"] == [
        {"id": "busy", "day": "2023-11-14", "records": 9},
    ]
    assert found["users"]["estimated"] is False


@pytest.mark.parametrize("limit", ["BUSY", "HOT_SHARD"])
def test_a_hot_shard_is_told(monkeypatch, limit):
    monkeypatch.setattr(reports, "BUSY", 1_000)
    monkeypatch.setattr(reports, "HOT_SHARD", 2_000)
    monkeypatch.setattr(reports, "COUNT_ALL_USERS", 500)
    count = 1_500 if limit == "BUSY" else 3_000
    lines = [event(distinct_id="test", **{"$insert_id": f"i{n}"}) for n in range(count)]
    lines += [event(distinct_id=f"u{n}", time=FIRST) for n in range(count)]
    found = told(*lines)
    code = "distinct_id.busy" if limit == "BUSY" else "distinct_id.hot_shard"
    assert code in codes(found)
    assert abs(finding(found, code)["records"] - count) <= 20
    assert found["users"]["estimated"] is True


def test_forgetting_who_is_rare_keeps_who_is_not():
    frequent = reports._Frequent(100)
    for n in range(50):
        frequent.update([f"u{n}-{m}" for m in range(40)] + ["often"] * 5, [1] * 45)
    ((who, day), count), *_ = frequent.top(1)
    assert (who, day) == ("often", 1)
    assert count == 250
    assert len(frequent._counts) <= 145


def test_insert_ids_that_come_again_are_told():
    found = told(
        event(**{"$insert_id": "same"}), event(**{"$insert_id": "same"}, more=1),
        event(**{"$insert_id": "same"}, distinct_id="bob"),
        event(**{"$insert_id": "same"}, time=TIME + 2 * DAY),
        event(**{"$insert_id": "other"}),
    )  # fmt: skip
    assert found["insert_ids"] == {"duplicates": 1, "reused": 2, "estimated": False}
    assert finding(found, "insert_id.duplicate")["records"] == 1
    assert finding(found, "insert_id.reused")["records"] == 2


def test_many_insert_ids_are_estimated():
    again = reports._Again(1_000)
    for start in range(0, 20_000, 500):
        # one in five comes a second time
        ids = [f"i{n}" for n in range(start, start + 500)]
        ids += ids[::5]
        again.add(ids, ["e"] * 600, ["u"] * 600, [1] * 600)
    assert again.estimated
    assert len(again._seen) <= 1_600
    assert abs(again.duplicates - 4_000) < 1_500
    assert again.reused == 0


def test_events_without_an_insert_id_are_no_duplicates():
    lines = [event(**{"$insert_id": ...})] * 3
    found = told(*lines)
    assert found["insert_ids"]["duplicates"] == 0
    assert codes(found) == ["insert_id.added"]
    assert found["clean"] is True
    found = told(*lines, destination="cloud_import")
    assert found["insert_ids"]["duplicates"] == 0
    assert codes(found) == ["insert_id.missing"]


def test_profiles_are_reported():
    found = told(
        b'{"$distinct_id":"a","$set":{"x":1,"$email":"a@b"},"$add":{"n":1}}',
        b'{"$distinct_id":"a","$unset":["x"]}',
        b'{"$distinct_id":"a"}',
        kind="people",
    )
    assert found["verdict"] == (
        "Of 3 user profile updates 2 would be imported and 1 refused."
    )
    assert found["operations"] == {"$set": 1, "$add": 1, "$unset": 1}
    assert finding(found, "profile.delta")["examples"][0]["line"] == 1
    assert found["users"]["top"] == [{"id": "a", "day": None, "records": 2}]
    assert {one["name"] for one in found["properties"]["top"]} == {"x", "n", "$email"}


def test_a_list_instead_of_lines_is_told():
    found = told(b"[", event() + b",", event(), b"]")
    assert "file.json_array" in codes(found)
    assert found["would_import"] == 1


def test_events_that_only_the_careful_way_takes_are_reported():
    odd = event(text='"' * 300, **{"$user_id": ["x"], "big": 10**400})
    found = told(odd, event(distinct_id=True), event(time="2023-11-14"),
                 destination="warehouse")  # fmt: skip
    assert found["would_import"] == 2
    assert found["days"]["counts"] == [["2023-11-14", 2]]


def test_hostile_names_can_be_written_down():
    line = event().replace(b"Sign up", b"\\u0000\\u202e" + b"x" * 400)
    found = told(
        line, event(**{"\x00" + "y" * 400: 1}), event(distinct_id="\x00" * 300)
    )
    assert all(len(name) <= 255 for name, _ in found["events"]["top"])


# -- files


def test_a_file_that_is_cut_is_part_of_the_report():
    data = b"".join(event(n=n) + b"\n" for n in range(5_000))
    packed = gzip.compress(data)
    found = check(
        io.BytesIO(packed[: len(packed) // 2]), kind="events", now=NOW, name="x.gz"
    ).as_dict()
    need_balance(found)
    assert found["clean"] is False
    (file,) = found["files"]
    assert (file["code"], file["compression"]) == ("file.cut", "gzip")
    assert file["line"] == found["records"] + 1
    assert found["verdict"].startswith("x.gz cannot be read to its end: ")
    assert finding(found, "file.cut")["records"] == 0


def test_a_file_that_cloud_import_would_not_take(monkeypatch):
    monkeypatch.setattr(checking, "CLOUD_IMPORT_FILE", 10)
    found = told(event(), destination="cloud_import")
    assert codes(found) == ["file.too_large"]
    assert found["clean"] is False
    assert "as a whole is not" in found["verdict"]


def test_progress_tells_bytes_and_records():
    seen = []
    lines = [event(n=n) for n in range(5_000)]
    checked(*lines, on_progress=lambda *now: seen.append(now))
    assert seen == sorted(seen)
    assert seen[-1] == (sum(map(len, lines)) + len(lines), 5_000)


def test_files_make_one_report_together_or_merged():
    files = [
        [event(**{"$insert_id": "a"}), event(time="x"), b""],
        [event(**{"$insert_id": "a"}), event(n=1), b"{", event(time=NOW + 1)],
        [event(distinct_id="null", n=n) for n in range(7)],
    ]
    together = Report("events")
    for number, lines in enumerate(files):
        checked(*lines, name=f"f{number}", report=together)
    merged = Report("events")
    for number, lines in enumerate(files):
        merged.merge(checked(*lines, name=f"f{number}"))
    assert merged.as_dict() == together.as_dict()
    need_balance(merged.as_dict())
    names = [one["name"] for one in merged.as_dict()["files"]]
    assert names == ["f0", "f1", "f2"]
    assert finding(merged.as_dict(), "insert_id.duplicate")["records"] >= 1


# -- the catalogue


def test_every_rule_speaks():
    for code, rule in RULES.items():
        assert rule.code == code
        assert set(rule.severity) == set(DESTINATIONS)
        assert set(rule.severity.values()) <= set(SEVERITIES)
        for text in (rule.title, rule.meaning, rule.remedy):
            assert text and "\n" not in text
        assert rule.meaning.endswith(".") and rule.remedy.endswith(".")
        assert len({rule.severity[one] for one in DESTINATIONS}) <= 2
