"""CSV for lookup tables: every bad row is found, and the verdict is the sandbox's."""

import gzip
import io
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixadmin.dataprep import tables
from mixadmin.dataprep.tables import RULES, check, compare, kind_of
from mixadmin.sandbox.lookup import parse_csv, syntax_error

HEAD = b"sku,title\n"


def opener(data):
    return lambda: io.BytesIO(data)


def checked(data, **options):
    """(report, bad rows) of a file."""
    bad = []
    report = check(opener(data), sink=bad.append, **options)
    assert report.bad_rows == len(bad)
    return report, bad


def places(data):
    """[(code, line, row)] of its bad rows."""
    return [(b.code, b.line, b.row) for b in checked(data)[1]]


def codes(data, **options):
    return set(checked(data, **options)[0].findings)


# --- Whole files ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", {"file.empty"}),
        (b"\n\n", {"file.empty"}),
        (b"\xef\xbb\xbf", {"file.empty"}),
        (HEAD, {"file.no_rows"}),
        (b"sku,title", {"file.no_rows"}),
        ("sku,title\n1,a\n".encode("utf-16"), {"file.encoding"}),
        (
            gzip.compress(HEAD + b"1,a\n" * 99, mtime=0)[:-9],
            {"file.broken", "file.no_rows"},
        ),
        (b"\x1f\x8bno gzip at all", {"file.broken"}),
        (b"sku;title\n1;a\n", {"header.too_few_columns"}),
        (b"a,b,b\n1,2,3\n", {"header.repeated_name"}),
        (b"a,,c\n1,2,3\n", {"header.empty_name"}),
        (b"a, ,\n1,2,3\n", {"header.empty_name"}),
        (b",b\n1,2\n", {"header.key_unnamed"}),
        (b'a,"b\n1,2\n', {"header.unreadable", "row.quote_open"}),
        (b"a,\xff\n1,2\n", {"header.unreadable", "row.not_utf8"}),
    ],
)
def test_what_is_wrong_with_a_whole_file_is_told(data, found):
    report, _ = checked(data)
    assert found - {"file.no_rows"} <= set(report.findings) <= found
    assert report.would_be_refused == any(RULES[code].refused for code in found)


@pytest.mark.parametrize(
    "data",
    [
        b"sku,title\n1,a\n2,b\n",
        b"sku,title\r\n1,a\r\n2,b\r\n",
        b"sku,title\n1,a\n2,b",
        b"\xef\xbb\xbfsku,title\n1,a\n2,b\n",
        b"\nsku,title\n\n1,a\n\r\n2,b\n\n",
        b'"sku","title"\n"1","a"\n"2","b"\n',
        b'sku,title\n1,"a ""quoted"" text"\n2,"over\r\ntwo, \rlines"\n',
        "sku,title\n1,ü\u2028x\n2,🙂\x85\n".encode(),
    ],
)
def test_well_formed_files_are_clean_plain_and_packed(data):
    for stored in (
        data,
        gzip.compress(data),
        gzip.compress(data[:9]) + gzip.compress(data[9:]),
    ):
        report, bad = checked(stored)
        assert (report.rows, bad, report.findings) == (2, [], {})
        assert [c.kind for c in report.columns] == ["number", "text"]
        assert report.bytes == len(data)


def test_a_file_over_the_limit_is_not_read_to_its_end():
    data = HEAD + b"1,a\n" * 1000
    report, _ = checked(data, most_bytes=100)
    assert "file.too_large" in report.findings
    assert report.would_be_refused
    packed, _ = checked(gzip.compress(data), most_bytes=100)
    assert "file.too_large" in packed.findings
    assert "file.too_large" not in codes(data, most_bytes=len(data))


def test_many_rows_and_nearly_too_many_bytes_are_warned_of(monkeypatch):
    monkeypatch.setattr(tables, "MANY_ROWS", 2)
    monkeypatch.setattr(tables, "SURE_BYTES", 20)
    report, _ = checked(HEAD + b"1,a\n2,b\n3,c\n")
    assert set(report.findings) == {"rows.many", "file.large"}
    assert not report.would_be_refused
    assert not report.is_clean


# --- Rows -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (b"2", "row.field_count"),
        (b"2,b,c", "row.field_count"),
        (b"   ", "row.field_count"),
        (b'2,b"c', "row.quotes"),
        (b'2,"b"c', "row.quotes"),
        (b'"2"" ,b', "row.quote_open"),
        (b'2,"b', "row.quote_open"),
        (b'2,"b""', "row.quote_open"),
        (b"2,b\rc", "row.lone_cr"),
        (b'2,"b"\rc', "row.lone_cr"),
        (b"2,b\0", "row.nul"),
        (b"2,\xff", "row.not_utf8"),
        (b"2,\xed\xa0\x80", "row.not_utf8"),
        (b"2," + b"x" * 131_073, "row.field_too_long"),
        (b",b", "key.blank"),
        (b"  ,b", "key.blank"),
        (b'"",b', "key.blank"),
        (b"1,b", "key.repeated"),
    ],
)
def test_a_bad_row_is_told_with_its_place_and_the_others_are_read(row, code):
    for end in (b"\n", b"\r\n"):
        data = HEAD + b"\n1,a" + end + row + end + b"3,c" + end + b",d" + end
        found = places(data)
        assert sorted(found, key=lambda b: b[1]) == [(code, 4, 2), ("key.blank", 6, 4)]


def test_a_quote_left_open_hides_no_other_bad_row():
    lines = [b'%d,"a' % n if n % 10 == 0 else b"%d,a" % n for n in range(1, 200)]
    lines[150] = b",blank"
    found = places(HEAD + b"\n".join(lines) + b"\n")
    assert ("key.blank", 152, 151) in found
    opened = [line for code, line, _ in found if code == "row.quote_open"]
    assert opened == [n + 1 for n in range(10, 200, 10)]


@pytest.mark.parametrize("last", [b"\r", b"2,b\r", b'2,"b"\r'])
def test_a_lone_carriage_return_at_the_very_end_is_found(last):
    assert places(HEAD + b"1,a\n" + last) == [("row.lone_cr", 3, 2)]


def test_an_open_quote_at_the_very_end_is_found():
    assert places(HEAD + b'1,a\n2,"b') == [("row.quote_open", 3, 2)]


def test_all_bad_rows_are_told_not_only_the_first_ten():
    bad = places(HEAD + b"1\n" * 5_000)
    assert len(bad) == 5_000
    assert bad[-1] == ("row.field_count", 5_001, 5_000)


def test_keys_that_are_there_twice_name_both_rows():
    data = b'sku,title\n1,a\n2,"x\ny"\n1,b\n01,c\n1 ,d\n2,e\n1,f\n1,g,h\n'
    report, bad = checked(data)
    twice = [b for b in bad if b.code == "key.repeated"]
    assert [(b.line, b.row, b.other_line, b.other_row) for b in twice] == [
        (5, 3, 2, 1),
        (8, 6, 3, 2),
        (9, 7, 2, 1),
    ]
    assert twice[0].message == "The key is in row 1 (line 2) already"
    assert report.findings["key.repeated"].count == 3
    assert report.findings["key.spaces"].lines == [7]


def test_keys_are_compared_across_parts(monkeypatch):
    monkeypatch.setattr(tables, "AT_ONCE", 10)
    rows = b"".join(b"k%d,x\n" % n for n in range(100)) + b"k7,again\n"
    assert places(HEAD + rows) == [("key.repeated", 102, 101)]


@pytest.mark.parametrize("key", [b"0", b"0.0", b"-0", b"false", b"FALSE", b"00"])
def test_falsy_keys_are_warned_of(key):
    report, _ = checked(HEAD + key + b",a\n")
    assert report.findings["key.falsy"].lines == [2]
    assert not report.would_be_refused


def test_the_content_of_a_bad_row_is_short_and_storable():
    _, bad = checked(HEAD + b"1,\x00\xff" + b"x" * 5_000 + b"\n")
    assert len(bad[0].content) <= 3_000
    bad[0].content.encode()
    assert "\0" not in bad[0].content


# --- Columns --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("1", "number"),
        ("-1.5e3", "number"),
        (".5", "number"),
        ("5.", "number"),
        ("+5", "number"),
        ("1_000", "text"),
        ("1,5", "text"),
        ("0x10", "text"),
        ("-", "text"),
        ("-inf", "text"),
        ("nan", "text"),
        ("true", "boolean"),
        ("FALSE", "boolean"),
        ("truely", "text"),
        ("2026-11-22T08:00:00Z", "datetime"),
        ("2026-11-22T08:00:00.123+01:00", "datetime"),
        ("2026-11-22", "date"),
        ("2026-11-22 08:00:00", "date"),
        ("2026-13-22T08:00:00Z", "text"),
        ('["a","b"]', "list"),
        ('["a", "b\\n"]', "list"),
        ("[]", "list"),
        ("[1]", "text"),
        ('["a"', "text"),
        ('{"a": 1}', "object"),
        ("{a}", "text"),
        ("[" * 100_000, "text"),
        (" 5", "text"),
        ("٣", "text"),
        ("text", "text"),
    ],
)
def test_a_cell_has_the_type_that_mixpanel_documents(cell, kind):
    assert kind_of(cell) == kind
    out = io.StringIO()
    tables.csv.writer(out).writerows([["k", "v"], ["1", cell], ["2", cell]])
    report, bad = checked(out.getvalue().encode())
    assert not bad
    assert report.columns[1].counts == {kind: 2}


def test_risky_columns_are_named():
    data = (
        b"id,mixed,object,zip,day,fine,empty\n"
        b'a,1,"{""x"": 1}",10115,2026-11-22,1,\n'
        b"b,one,,00501,2026-11-23,2,\n"
        b"c,3,text,20095,,-3.5,\n"
    )
    report, _ = checked(data)
    found = {code: (f.columns, f.lines) for code, f in report.findings.items()}
    assert found == {
        "column.mixed": (["mixed"], [3]),
        "column.objects": (["object"], [2]),
        "column.leading_zeros": (["zip"], [3]),
        "column.dates": (["day"], [2]),
    }
    kinds = {c.name: c.kind for c in report.columns}
    assert kinds["mixed"] == "mixed"
    assert kinds["fine"] == "number"
    assert kinds["empty"] == "empty"
    assert not report.would_be_refused


def test_ten_thousand_columns_are_read():
    names = ",".join(f"c{n}" for n in range(10_000)).encode()
    report, bad = checked(names + b"\n" + b",".join([b"1"] * 10_000) + b"\n")
    assert (len(report.columns), bad) == (10_000, [])
    shown = report.as_dict()
    assert (shown["column_count"], len(shown["columns"])) == (10_000, 1_000)


# --- Against an independent reader ----------------------------------------------------

CELLS = st.one_of(
    st.sampled_from(
        ["", "a", "b", "1", "01", " ", '"', '""', '"a"', '"a,b"', '"\n"', "\r", "\0"]
    ),
    st.text(st.sampled_from('ab1",\n\r \0üé'), max_size=6),
)
LINES = st.lists(CELLS, min_size=1, max_size=4).map(",".join)


def naive(data):
    """{(code, row)} by the sandbox's reader, which stops at a syntax error."""
    text = data.decode("utf-8-sig")
    if syntax_error(text):
        return None
    header, rows, failed = parse_csv(data, 0)
    if not header and not failed:
        return None
    told = {
        "wrong number": "row.field_count",
        "primary key": "key.blank",
        "row indexes": "key.repeated",
    }
    found = set()
    for one in failed:
        code = next(
            (code for words, code in told.items() if words in one["message"]), "header"
        )
        if "same primary key" in one["message"]:
            code = "key.repeated"
        found.add((code, one["index"]))
    return found


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(LINES, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
@example(["k,v", '1,"a', '2,b"'], "\n", True, b"")
@example(["k,v", '"1"x,a'], "\n", True, b"")
@example(["k,v", "1,a\r", "2,b"], "\n", True, b"")
def test_the_verdict_is_that_of_an_independent_reader(lines, end, last, bom):
    for head in ([], ["k,v"]):
        data = bom + (end.join([*head, *lines]) + (end if last else "")).encode()
        report, bad = checked(data)
        theirs = naive(data)
        if theirs is None:
            empty = not parse_csv(data, 0)[0] and not syntax_error(
                data.decode("utf-8-sig")
            )
            assert report.would_be_refused
            assert bad or empty or report.findings
            continue
        assert report.would_be_refused == bool(theirs), data
        if report.columns and not any(code == "header" for code, _ in theirs):
            assert {(b.code, b.row) for b in bad} == theirs, data


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=8), st.integers(1, 40), st.booleans())
def test_where_blocks_end_changes_nothing(lines, size, bom):
    data = ("\ufeff" * bom + "k,v\n" + "\n".join(lines)).encode()
    whole = checked(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "BLOCK", size)
        pieces = checked(data)
    assert sorted(pieces[1], key=repr) == sorted(whole[1], key=repr)
    assert pieces[0].as_dict() == whole[0].as_dict()


def test_memory_does_not_grow_with_the_bad_rows():
    """A sink that keeps nothing costs nothing, however many rows are bad."""

    class Endless(io.RawIOBase):
        left = 8 * 1024 * 1024

        def readable(self):
            return True

        def readinto(self, buffer):
            size = min(len(buffer), self.left, 4096)
            self.left -= size
            buffer[:size] = (b"only one field!\n" * 256)[:size]
            return size

    class Source(Endless):
        first = True

        def read(self, size=-1):
            if size == 2:
                return b"k,"
            if self.first:
                self.first = False
                return b"k,v\n"
            return super().read(size)

    tracemalloc.start()
    counted = []
    report = check(Source, sink=lambda bad: counted.append(1) if not counted else None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.bad_rows == 8 * 1024 * 1024 // 16
    assert peak < 40 * 1024 * 1024


# --- Comparing ------------------------------------------------------------------------

OLD = b"sku,title,price\n1,Hat,5\n2,Cap,6\n3,Cup,7\n"


def compared(old, new, rows=3):
    return compare(opener(old), opener(new), rows=rows).as_dict()


def counts(difference):
    return tuple(difference[k] for k in ("added", "removed", "changed", "same"))


def test_rows_are_joined_by_their_key():
    new = b"sku,title,price\n4,Mug,1\n3,Cup,8\n1,Hat,5\n"
    found = compared(OLD, gzip.compress(new))
    assert counts(found) == (1, 1, 1, 1)
    assert found["samples"] == {
        "added": [{"key": "4", "values": [["title", "Mug"], ["price", "1"]]}],
        "removed": [{"key": "2", "values": [["title", "Cap"], ["price", "6"]]}],
        "changed": [{"key": "3", "values": [["price", "7", "8"]]}],
    }
    assert not found["columns_moved"]


def test_columns_are_joined_by_their_name():
    new = b"id,price,colour,title\n1,5,red,Hat\n2,6,blue,Cap\n3,7,,Cup\n"
    found = compared(OLD, new)
    assert counts(found) == (0, 0, 0, 3)
    assert found["columns_added"] == ["colour"]
    assert found["columns_removed"] == []
    assert (found["columns_moved"], found["key_renamed"]) == (True, True)
    gone = compared(new, OLD)
    assert gone["columns_removed"] == ["colour"]


def test_files_without_a_common_column_are_compared_by_key():
    found = compared(b"k,a\n1,x\n2,y\n", b"k,b\n1,x\n3,z\n")
    assert counts(found) == (1, 1, 0, 1)


def test_the_first_hundred_are_shown():
    old = HEAD + b"".join(b"o%d,x\n" % n for n in range(150))
    new = HEAD + b"".join(b"n%d,x\n" % n for n in range(150))
    found = compared(old, new, rows=150)
    assert counts(found) == (150, 150, 0, 0)
    assert [len(found["samples"][k]) for k in ("added", "removed")] == [100, 100]


def test_a_difference_in_parts_is_the_same(monkeypatch):
    old = HEAD + b"".join(b"%d,x\n" % n for n in range(100))
    new = HEAD + b"".join(b"%d,%d\n" % (n, n % 3) for n in range(50, 130))
    whole = compared(old, new, rows=100)
    monkeypatch.setattr(tables, "AT_ONCE", 9)
    parts = compared(old, new, rows=100)
    assert counts(parts) == counts(whole) == (30, 50, 50, 0)
    for kind, shown in whole["samples"].items():
        assert {s["key"] for s in parts["samples"][kind]} == {s["key"] for s in shown}


ROWS = st.dictionaries(
    st.text("abcdef12", min_size=1, max_size=3),
    st.tuples(st.text('x", \n', max_size=3), st.text("y1", max_size=2)),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(ROWS, ROWS)
def test_the_difference_is_that_of_two_dictionaries(old, new):
    def as_csv(rows):
        out = io.StringIO(newline="")
        tables.csv.writer(out).writerows(
            [["k", "a", "b"], *([k, *v] for k, v in rows.items())]
        )
        return out.getvalue().encode()

    found = compared(as_csv(old), as_csv(new))
    both = old.keys() & new.keys()
    same = sum(old[k] == new[k] for k in both)
    assert counts(found) == (
        len(new.keys() - both),
        len(old.keys() - both),
        len(both) - same,
        same,
    )
    for shown in found["samples"]["changed"]:
        key = shown["key"]
        differing = [
            [n, tables.cut(a), tables.cut(b)]
            for n, a, b in zip("ab", old[key], new[key], strict=True)
            if a != b
        ]
        assert shown["values"] == differing
