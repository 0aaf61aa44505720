import gzip
import hashlib
import io
import random
import subprocess
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mixadmin.dataprep import compression
from mixadmin.dataprep.reading import (
    KEPT_OF_A_LONG_LINE,
    LONGEST_LINE,
    Unreadable,
    boundaries,
    chunks,
    open_stream,
    packed_file,
    skip,
    sniff,
)


class Dribble:
    """A stream that gives a little at a time, as a network does."""

    def __init__(self, data, most=7):
        self.file, self.most = io.BytesIO(data), most

    def read(self, n):
        return self.file.read(min(n, self.most))


class Endless:
    """`count` times the same piece, and then an end."""

    def __init__(self, piece, count, end=b""):
        self.piece, self.count, self.end = piece, count, end

    def read(self, n):
        assert n >= len(self.piece)
        if self.count:
            self.count -= 1
            return self.piece
        end, self.end = self.end, b""
        return end


def read(data, **more):
    return list(chunks(io.BytesIO(data), **more))


def lines_of(data, **more):
    return [line for chunk in read(data, **more) for line in chunk.lines]


def all_of(stream, n=70_001):
    pieces = []
    while piece := stream.read(n):
        assert len(piece) <= n
        pieces.append(piece)
    return b"".join(pieces)


def unpack(data):
    kind, stream = packed_file(io.BytesIO(data))
    return kind, all_of(stream)


# -- lines


def test_lines_keep_their_numbers_and_places():
    (chunk,) = read(b"a\n\nbc\n")
    assert chunk.lines == [b"a", b"", b"bc"]
    assert (chunk.offset, chunk.number, chunk.end) == (0, 1, 6)
    assert chunk.offsets() == [0, 2, 3]


def test_an_empty_file_has_no_chunks():
    assert read(b"") == []


def test_a_last_line_without_a_line_end_is_a_line():
    (chunk,) = read(b"a\nb")
    assert chunk.lines == [b"a", b"b"]
    assert chunk.end == 3
    assert chunk.offsets() == [0, 2]


def test_one_carriage_return_belongs_to_the_line_end():
    (chunk,) = read(b"a\r\nb\nc\r\r\n\r\nd\r")
    assert chunk.lines == [b"a", b"b", b"c\r", b"", b"d"]
    assert chunk.offsets() == [0, 3, 5, 9, 11]
    assert chunk.end == 13


def test_a_byte_order_mark_at_the_beginning_is_dropped():
    (chunk,) = read(b"\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n")
    assert chunk.lines == [b"{}", b"\xef\xbb\xbf{}"]
    assert chunk.offsets() == [0, 6]
    assert chunk.end == 12
    assert lines_of(b"\xef\xbb\xbf{}", offset=9, number=2) == [b"\xef\xbb\xbf{}"]


def test_other_line_ends_of_unicode_stay_inside_a_line():
    text = "a\u2028b\u0085c\x0bd\x0ce".encode()
    assert lines_of(text + b"\nx\n") == [text, b"x"]


def test_bytes_that_are_no_text_are_handed_on():
    assert lines_of(b"\xff\xfe\n\x00\n") == [b"\xff\xfe", b"\x00"]


@pytest.mark.parametrize("most_lines", [1, 2, 3, 1000])
def test_numbers_agree_with_sed(tmp_path, most_lines):
    path = tmp_path / "lines"
    path.write_bytes("a\r\n\n\u2028x\nlast\u0085\r\n\n\nend".encode())
    shown = subprocess.run(
        ["sed", "-n", "=", path], capture_output=True, check=True
    ).stdout.split()
    found = {}
    for chunk in read(path.read_bytes(), most_lines=most_lines):
        assert len(chunk.lines) <= most_lines
        for index, line in enumerate(chunk.lines):
            found[chunk.number + index] = line
    assert sorted(found) == [int(one) for one in shown]
    for number, line in found.items():
        sed = ["sed", "-n", f"{number}p", path]
        out = subprocess.run(sed, capture_output=True, check=True).stdout
        assert out.rstrip(b"\r\n") == line


def test_a_chunk_is_no_larger_than_a_request():
    data = b"".join(b"x" * random.Random(1).randrange(50) + b"\n" for _ in range(500))
    found = read(data, most_bytes=100, most_lines=7)
    for chunk in found:
        assert len(chunk.lines) <= 7
        assert sum(len(line) + 1 for line in chunk.lines) <= 100
    assert b"\n".join(line for one in found for line in one.lines) + b"\n" == data


def test_a_line_over_the_size_of_a_request_is_alone():
    found = read(b"a\n" + b"x" * 200 + b"\nb\n", most_bytes=100)
    assert [len(chunk.lines) for chunk in found] == [1, 1, 1]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b"", b"\r", b"a", b"bc\r", b"\xef\xbb\xbf", b"d" * 40])),
    st.booleans(),
    st.integers(1, 5),
    st.integers(10, 60),
    st.integers(1, 9),
)
def test_chunks_cover_the_file_and_can_be_read_again(
    lines, ended, most_lines, most_bytes, dribble
):
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    limits = {"most_lines": most_lines, "most_bytes": most_bytes}
    found = read(data, **limits)
    # It makes no difference in which pieces the stream gives its bytes.
    assert found == list(chunks(Dribble(data, dribble), **limits))
    offset, number = 0, 1
    for chunk in found:
        assert (chunk.offset, chunk.number) == (offset, number)
        for index, begin in enumerate(chunk.offsets()):
            end = [*chunk.offsets(), chunk.end][index + 1]
            raw = data[begin:end].removesuffix(b"\n").removesuffix(b"\r")
            if begin == 0:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            assert raw == chunk.lines[index]
        offset, number = chunk.end, number + len(chunk.lines)
        # from any cut on, the same chunks come
        rest = io.BytesIO(data)
        skip(rest, offset)
        again = list(chunks(rest, offset=offset, number=number, **limits))
        assert again == found[found.index(chunk) + 1 :]
        cut = list(chunks(io.BytesIO(data), end=offset, **limits))
        assert cut == found[: found.index(chunk) + 1]
    assert offset == len(data)


def test_a_line_of_two_gigabytes_takes_no_memory():
    piece = b"x" * (512 * 1024)
    tracemalloc.start()
    try:
        found = list(chunks(Endless(piece, 4096, b"\nnext\n")))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (chunk,) = found
    assert chunk.lines == [b"x" * KEPT_OF_A_LONG_LINE, b"next"]
    assert chunk.unfit == [(0, "record.too_large")]
    assert chunk.end == 2 * 1024**3 + 6
    assert chunk.offsets() == [0, 2 * 1024**3 + 1]
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("size", [LONGEST_LINE, LONGEST_LINE + 1, 3 * LONGEST_LINE])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\nb\n"])
def test_a_line_over_a_megabyte_is_named(size, end):
    data = b"a\n" + b"x" * size + end
    found = read(data)
    lines = [line for chunk in found for line in chunk.lines]
    unfit = [
        (chunk.number + index, code) for chunk in found for index, code in chunk.unfit
    ]
    if size > LONGEST_LINE:
        assert unfit == [(2, "record.too_large")]
        assert lines[1] == b"x" * KEPT_OF_A_LONG_LINE
    else:
        assert unfit == []
        assert len(lines[1]) == size
    assert found[-1].end == len(data)
    assert lines[2:] == end.strip(b"\r").split(b"\n")[1:-1]


def test_skipping_beyond_the_end_is_told():
    with pytest.raises(Unreadable) as error:
        skip(io.BytesIO(b"abc"), 5)
    assert error.value.code == "file.too_short"


# -- ranges of a file


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 30).map(lambda n: b"x" * n)),
    st.booleans(),
    st.integers(1, 80),
    st.integers(1, 50),
)
def test_ranges_cover_the_file_and_begin_where_lines_do(lines, ended, step, dribble):
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    found = boundaries(Dribble(data, dribble), step=step)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.size == len(data)
    assert found.lines == len([line for c in read(data) for line in c.lines])
    offset = 0
    for start, end, first_line in found.ranges:
        assert start == offset < end
        assert first_line == data[:start].count(b"\n") + 1
        assert start == 0 or data[start - 1 : start] == b"\n"
        # not longer than asked for but by the rest of a line
        assert b"\n" not in data[start + step : end - 1]
        offset = end
    assert offset == len(data)
    assert boundaries(io.BytesIO(data), step=step, hashed=False).sha256 == ""


def test_ranges_read_one_after_the_other_give_all_lines():
    data = b"".join(b"%d\n" % n for n in range(10_000))
    found = []
    for start, end, first_line in boundaries(io.BytesIO(data), step=7_000).ranges:
        file = io.BytesIO(data)
        file.seek(start)
        for chunk in chunks(file, offset=start, number=first_line, end=end):
            assert int(chunk.lines[0]) == chunk.number - 1
            found += chunk.lines
    assert found == data.split()


# -- packed files

LINES = b"".join(
    b'{"n":%d,"x":"%s"}\n' % (n, random.Random(n).randbytes(20).hex().encode())
    for n in range(5_000)
)
MAGIC_SKIPPED = b"\x50\x2a\x4d\x18"
PACKED = {
    "gzip": gzip.compress(LINES),
    "gzip of members": gzip.compress(LINES[:99])
    + gzip.compress(b"")
    + gzip.compress(LINES[99:]),
    "gzip with padding": gzip.compress(LINES) + b"\0" * 512,
    "zstd": zstandard.compress(LINES),
    "zstd of frames": zstandard.compress(LINES[:99])
    + zstandard.ZstdCompressor(write_checksum=True, level=15).compress(LINES[99:]),
    "zstd without size": zstandard.ZstdCompressor(write_content_size=False).compress(
        LINES
    ),
    "zstd with a frame to skip": MAGIC_SKIPPED + b"\3\0\0\0abc" + zstandard.compress(LINES),
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
def test_packed_files_are_recognized_by_their_bytes(name):
    assert sniff(PACKED[name][:16], "data.csv") == name.split()[0]
    assert unpack(PACKED[name]) == (name.split()[0], LINES)


@pytest.mark.parametrize("head", [b"", b"{", b"\x1f", b"\x28\xb5\x2f", b"BZh9"])
def test_anything_else_is_not_packed(head):
    assert sniff(head, "data.gz") == "none"
    assert unpack(head) == ("none", head)


@pytest.mark.parametrize("name", [n for n in PACKED if "padding" not in n])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.9999])
def test_a_cut_file_gives_all_whole_lines_before_the_cut(name, share):
    packed = PACKED[name][: int(len(PACKED[name]) * share)]
    _, stream = packed_file(io.BytesIO(packed))
    found, number = b"", 1
    with pytest.raises(Unreadable) as error:
        for chunk in chunks(stream, most_lines=100):
            assert chunk.number == number
            found += b"".join(line + b"\n" for line in chunk.lines)
            number += len(chunk.lines)
    assert error.value.code == "file.cut"
    assert LINES.startswith(found)
    assert (error.value.offset, error.value.number) == (len(found), number)


@pytest.mark.parametrize("name", ["gzip", "zstd of frames"])
def test_a_damaged_file_is_told(name):
    packed = bytearray(PACKED[name])
    packed[len(packed) // 2] ^= 0x55
    with pytest.raises(Unreadable) as error:
        unpack(bytes(packed))
    assert error.value.code == "file.broken"


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_garbage_after_packed_data_is_told(name):
    with pytest.raises(Unreadable) as error:
        unpack(PACKED[name] + b"more than garbage")
    assert error.value.code == "file.broken"


def zeros(kind):
    """200 MiB of nothing."""
    piece = b"\0" * 2**20
    if kind == "gzip":
        machine = zlib.compressobj(9, wbits=31)
    else:
        machine = zstandard.ZstdCompressor().compressobj()
    return b"".join(machine.compress(piece) for _ in range(200)) + machine.flush()


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_is_read_no_further(kind):
    bomb = zeros(kind)
    tracemalloc.start()
    try:
        count = 0
        _, stream = packed_file(io.BytesIO(bomb))
        with pytest.raises(Unreadable) as error:
            while piece := stream.read(2**16):
                count += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.value.code == "file.bomb"
    assert count <= len(bomb) * compression.MOST_RATIO[kind] < 200 * 2**20
    assert peak < 16 * 2**20


def test_alike_records_are_no_bomb():
    """The most alike that real records get: only a counter changes."""
    line = b'{"event":"beat","properties":{"time":%d,"distinct_id":"d","a":"%s"}}\n'
    text = random.Random(1).randbytes(1000).hex().encode()
    data = b"".join(line % (1_700_000_000 + n, text) for n in range(5_000))
    for packed in (gzip.compress(data), zstandard.compress(data)):
        assert len(packed) * 50 < len(data)
        assert unpack(packed)[1] == data


def test_a_file_may_not_unpack_to_more_than_is_allowed():
    stream = open_stream(io.BytesIO(PACKED["gzip"]), "gzip", most_unpacked=100_000)
    with pytest.raises(Unreadable) as error:
        all_of(stream)
    assert error.value.code == "file.expands_too_much"


def test_a_trouble_is_told_again_and_again():
    stream = open_stream(io.BytesIO(PACKED["gzip"][:-1]), "gzip")
    for _ in range(2):
        with pytest.raises(Unreadable):
            all_of(stream)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["gzip", "zstd"]), st.booleans())
def test_nonsense_is_unreadable_and_nothing_worse(data, kind, headed):
    if headed:
        data = {"gzip": b"\x1f\x8b\x08\0", "zstd": compression.ZSTD_MAGIC}[kind] + data
    try:
        all_of(open_stream(Dribble(data), kind))
    except Unreadable as error:
        assert error.code in ("file.cut", "file.broken", "file.bomb")
