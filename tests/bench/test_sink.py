import gzip
import json
import random
import zlib

import pytest
import requests
from isal import igzip

from bench.generate import batches


def deflated(level, strategy=zlib.Z_DEFAULT_STRATEGY):
    def pack(data):
        machine = zlib.compressobj(level, zlib.DEFLATED, 31, 9, strategy)
        return machine.compress(data) + machine.flush()

    return pack


def members(data):
    return b"".join(gzip.compress(data[n : n + 500]) for n in range(0, len(data), 500))


PACKINGS = {
    "plain": None,
    "stored": deflated(0),
    "fast": deflated(1),
    "usual": deflated(6),
    "best": deflated(9),
    "fixed codes": deflated(6, zlib.Z_FIXED),
    "no matches": deflated(6, zlib.Z_HUFFMAN_ONLY),
    "runs": deflated(6, zlib.Z_RLE),
    "isal 0": lambda data: igzip.compress(data, 0),
    "isal 1": lambda data: igzip.compress(data, 1),
    "isal 3": lambda data: igzip.compress(data, 3),
    "members": members,
}


@pytest.fixture(scope="module")
def events():
    return next(batches(1_500))


def send(sink, body, *, packed=False, path="us/import"):
    headers = {"Content-Encoding": "gzip"} if packed else {}
    return requests.post(f"{sink.url}/{path}?strict=1", data=body, headers=headers)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("shape", ["lines", "array", "spread array"])
def test_records_are_counted_however_they_come(sink, events, packing, shape):
    body = b"".join(events).rstrip(b"\n")
    if shape != "lines":
        spread = 2 if shape == "spread array" else None
        body = json.dumps([json.loads(e) for e in events], indent=spread).encode()
    pack = PACKINGS[packing]

    answer = send(sink, pack(body) if pack else body, packed=bool(pack))

    told = {"code": 200, "num_records_imported": 1_500, "status": "OK"}
    assert (answer.status_code, answer.json()) == (200, told)
    stats = sink.stats()
    assert stats["records"] == stats["distinct"] == 1_500
    assert stats["unpacked"] == len(body)
    assert not stats["repeated"] and not stats["unnumbered"] and not stats["broken"]


def test_a_body_in_chunks_is_put_together(sink, events):
    send(sink, (event for event in events[:300]))

    assert sink.stats()["distinct"] == 300


def test_blank_lines_are_no_records(sink, events):
    answer = send(sink, b"\n\r\n" + b"\r\n \n".join(events[:7]) + b"\n\n")

    assert answer.json()["num_records_imported"] == 7


def test_what_comes_twice_is_told(sink, events):
    send(sink, b"".join(events[:100]))
    send(sink, b"".join(events[50:120]))

    stats = sink.stats()
    assert (stats["records"], stats["distinct"], stats["repeated"]) == (170, 120, 50)


def test_many_connections_count_together(sink, events):
    sessions = [requests.Session() for _ in range(8)]
    for number, session in enumerate(sessions * 5):
        part = b"".join(events[number * 30 : number * 30 + 30])
        assert session.post(f"{sink.url}/import", data=part).ok
    for session in sessions:
        session.close()

    assert sink.stats()["distinct"] == 1_200


def test_profiles_are_answered_in_the_words_of_engage(sink):
    body = json.dumps([{"$distinct_id": "a", "$set": {"x": [1, {"y": "]"}]}}] * 3)

    for path in ("us/engage", "us/groups", "us/track"):
        answer = send(sink, body, path=path).json()
        assert answer == {"error": None, "status": 1, "num_good_events": 3}


def test_damaged_gzip_is_refused_and_hurts_nobody(sink, events):
    dice = random.Random(7)
    sent = 0
    for _ in range(300):
        pack = deflated(dice.randrange(10))
        body = bytearray(pack(b"".join(events[: dice.randrange(1, 60)])))
        for _ in range(dice.randrange(1, 4)):
            body[dice.randrange(10, len(body))] = dice.randrange(256)
        send(sink, bytes(body[: dice.randrange(1, len(body))]), packed=True)
        sent += 1

    assert sink.stats()["broken"] == sent
    assert send(sink, b"".join(events[:5])).json()["num_records_imported"] == 5


def test_no_other_path_is_there(sink):
    assert requests.get(f"{sink.url}/us/import").status_code == 404
    assert send(sink, b"{}", path="us/lookup-tables").status_code == 404
