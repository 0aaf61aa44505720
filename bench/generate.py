"""Make files of events, the same ones for the same seed.

    python -m bench.generate events.ndjson --events 1000000
    python -m bench.generate mixed.ndjson.gz --events 50000 --bad 0.02 --seed 7

An event is about 411 bytes of JSON on a line of its own, with 8 to 15 properties of mixed
types, one in five with letters beyond ASCII. The first N events of a longer file are
those of a file of N.

The last twelve digits of each $insert_id are the number of the event, from 0, in
hexadecimal. The sink of the benchmark ticks them off.

With --bad, that share of the lines is replaced by records that /import with strict=1
refuses or alters, every kind in turn; FILE.bad.json beside the file tells which line is
bad and what Mixpanel does about it.
"""

import argparse
import contextlib
import gzip
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# 2025-01-01. Files must not depend on the clock.
START = 1_735_689_600
SPAN = 90 * 86_400
CHUNK = 10_000
USERS = 60_000
BYTES = 411
# One line over the limit of a record is a megabyte; a handful is enough.
MOST_HUGE = 3

# What stands before the properties that differ, in a line of middling length.
HEAD = (
    '{"event":"Video Played","properties":{"time":1735689600,"distinct_id":"user-00000000"'
    ',"$insert_id":"00000000-0000-0000-0000-000000000000"'
)

NAMES = (
    "Page View",
    "Sign Up",
    "Add to Cart",
    "Checkout Started",
    "Order Completed",
    "Search Performed",
    "Video Played",
    "Artikel geöffnet",
)
CITIES = ("Amsterdam", "Berlin", "Lisboa", "Nairobi", "Osaka", "Portland", "Quito")
FOREIGN = ("Zürich", "São Paulo", "Kraków", "東京", "Αθήνα", "Москва", "Reykjavík 🧊")
BROWSERS = ("Chrome", "Safari", "Firefox", "Edge")
SYSTEMS = ("Windows", "Mac OS X", "Android", "iOS", "Linux")
PLANS = ("free", "starter", "growth", "enterprise")
WORDS = [  # fmt: skip
    "alpine", "blue", "canvas", "daily", "ember", "field", "grand", "harbor", "ivory",
    "jungle", "kernel", "lumen", "meadow", "north", "ocean", "paper", "quartz", "river",
    "silver", "timber", "urban", "velvet", "willow", "yellow", "zephyr",
]  # fmt: skip


def write_events(
    path: Path, events: int, *, seed: int = 1, bad: float = 0.0
) -> dict[str, Any]:
    """Write them, compressed where the name ends in .gz, and tell what was written.

    With `bad` the same is in FILE.bad.json.
    """
    told: dict[str, Any] = {"events": events, "seed": seed}
    with _open(path) as file:
        if bad:
            told |= _write_mixed(file, events, seed=seed, share=bad)
        else:
            for lines in batches(events, seed=seed):
                file.write(b"".join(lines))
    if bad:
        path.with_name(path.name + ".bad.json").write_text(json.dumps(told, indent=1))
    return told


def write_bytes(path: Path, size: int, *, seed: int = 1) -> int:
    """Write events until the file has at least `size` bytes. How many they were."""
    written = count = 0
    with path.open("wb") as file:
        for lines in batches(None, seed=seed):
            data = b"".join(lines)
            written += file.write(data)
            count += len(lines)
            if written >= size:
                return count
    raise AssertionError("batches(None) has no end")


def batches(events: int | None, *, seed: int = 1) -> Iterator[list[bytes]]:
    """Lists of lines, each line with its end; without end if `events` is None."""
    dice = random.Random(seed)
    tails = [_tail(dice) for _ in range(4096)]
    heads = [_packed({"event": name}).decode()[:-1] for name in NAMES]
    first = 0
    while events is None or first < events:
        count = CHUNK if events is None else min(CHUNK, events - first)
        chosen = dice.choices(tails, k=CHUNK)
        heads_of = dice.choices(heads, k=CHUNK)
        users = dice.choices(range(USERS), k=CHUNK)
        noise = dice.randbytes(CHUNK * 11).hex()
        yield [
            (
                f'{heads_of[i]},"properties":{{"time":{START + (first + i) * 7 % SPAN}'
                f',"distinct_id":"user-{users[i]:08d}","$insert_id":"{_id(noise, i)}'
                f'-{first + i:012x}"{chosen[i]}\n'
            ).encode()
            for i in range(count)
        ]
        first += count


def _packed(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _id(noise: str, i: int) -> str:
    at = i * 22
    a, b, c, d = noise[at : at + 8], *(noise[at + k : at + k + 4] for k in (8, 12, 16))
    return f"{a}-{b}-{c}-{d}"


def _tail(dice: random.Random) -> str:
    """5 to 12 more properties, so that an event has 8 to 15, and the closing braces."""
    cities = FOREIGN if dice.random() < 0.1 else CITIES
    optional: list[tuple[str, Any]] = [
        ("$browser", dice.choice(BROWSERS)),
        ("$os", dice.choice(SYSTEMS)),
        ("plan", dice.choice(PLANS)),
        ("price", round(dice.uniform(1, 500), 2)),
        ("quantity", dice.randrange(1, 12)),
        ("is_member", dice.random() < 0.4),
        ("coupon", None),
        ("tags", dice.sample(WORDS, k=dice.randrange(1, 4))),
        ("session", f"{dice.getrandbits(48):012x}"),
        ("item", {"sku": f"SKU-{dice.randrange(10**6):06d}", "in_stock": True}),
        ("experiment", f"exp-{dice.randrange(40)}"),
    ]
    kept = sorted(dice.sample(range(len(optional)), k=dice.randrange(1, 9)))
    properties: dict[str, Any] = {
        "$city": dice.choice(cities),
        "visit": f"{dice.getrandbits(64):016x}",
        "current_url": f"https://shop.example/{dice.choice(WORDS)}/{dice.choice(WORDS)}",
    }
    properties |= dict(optional[i] for i in kept)
    # A title makes up what is missing to the wanted size, more or less.
    size = len(HEAD) + len(_packed(properties)) + len(',"title":""}')
    prose = " ".join(dice.choices(WORDS, k=70))
    properties["title"] = prose[
        : max(BYTES - size + dice.randrange(-30, 31), 6)
    ].strip()
    return f",{_packed(properties).decode()[1:]}}}"


# --- Bad records ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bad:
    """A way in which an event can be wrong.

    outcome: what /import?strict=1 does: "refused", or "altered" where it keeps the
        record but not as it was sent.
    field, message: Mixpanel's words in `failed_records`; "" where none were published.
    make: the line, from a good event.
    """

    outcome: str
    field: str
    message: str
    make: Callable[[dict[str, Any]], bytes]


def _with(**changes: Any) -> Callable[[dict[str, Any]], bytes]:
    """Properties set to these values."""
    return lambda event: _packed(event | {"properties": event["properties"] | changes})


def _without(name: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda event: _packed(
        event
        | {"properties": {k: v for k, v in event["properties"].items() if k != name}}
    )


def _named(name: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda event: _packed(event | {"event": name})


def _nested(depth: int) -> Any:
    return {"a": _nested(depth - 1)} if depth else 1


def _not_utf8(event: dict[str, Any]) -> bytes:
    return _with(utm_source="latin-1: @")(event).replace(b"@", b"\xe9")


TIME = "properties.time"
NOT_SECONDS = "'properties.time' is invalid: must be specified as seconds since epoch"
BAD_CHARACTERS = (
    "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters"
)

# Limits are documented by Mixpanel; messages are documented or were seen. Assumed is what
# becomes of a line that is no JSON or no object: where Mixpanel reads a request as a whole,
# such a line may cost the others too. mixadmin gives an event without $insert_id one before
# it is sent, and a project with simplified identity takes events without distinct_id.
KINDS: dict[str, Bad] = {
    "record.not_json": Bad("refused", "", "", lambda event: _packed(event)[:-3]),
    "record.not_object": Bad("refused", "", "", lambda event: _packed([event])),
    "record.not_utf8": Bad(
        "refused",
        "properties.utm_source",
        "properties.utm_source is invalid: string should be valid utf8",
        _not_utf8,
    ),
    "record.too_large": Bad("refused", "", "", _with(blob="x" * 1_050_000)),
    "event.name.missing": Bad(
        "refused",
        "event",
        "'event' must not be missing or blank",
        lambda event: _packed({"properties": event["properties"]}),
    ),
    "event.name.blank": Bad(
        "refused", "event", "'event' must not be missing or blank", _named("")
    ),
    "event.name.not_text": Bad("refused", "event", "", _named(17)),
    "event.time.missing": Bad(
        "refused",
        TIME,
        "'properties.time' is invalid: must not be missing",
        _without("time"),
    ),
    "event.time.text": Bad("refused", TIME, NOT_SECONDS, _with(time="1735689600")),
    "event.time.iso": Bad(
        "refused", TIME, NOT_SECONDS, _with(time="2025-01-01T00:00:00Z")
    ),
    "event.time.before_1971": Bad("refused", TIME, "", _with(time=86_400)),
    "event.time.future": Bad(
        "refused",
        TIME,
        "'properties.time' is invalid: must not be in the future",
        _with(time=4_102_444_800),
    ),
    "insert_id.missing": Bad("refused", "$insert_id", "", _without("$insert_id")),
    "insert_id.charset": Bad(
        "refused", "$insert_id", BAD_CHARACTERS, _with(**{"$insert_id": "order_17/a"})
    ),
    "insert_id.too_long": Bad(
        "refused", "$insert_id", "", _with(**{"$insert_id": "a" * 37})
    ),
    "insert_id.banned": Bad(
        "refused", "$insert_id", "", _with(**{"$insert_id": "undefined"})
    ),
    "distinct_id.missing": Bad(
        "refused",
        "properties.distinct_id",
        "'properties.distinct_id' is invalid: must not be missing",
        _without("distinct_id"),
    ),
    "distinct_id.banned": Bad(
        "refused", "properties.distinct_id", "", _with(distinct_id="anonymous")
    ),
    "properties.too_many": Bad(
        "refused", "properties", "", _with(**{f"p{n}": n for n in range(260)})
    ),
    "object.too_many_keys": Bad(
        "refused", "", "", _with(cart={f"k{n}": n for n in range(256)})
    ),
    "nesting.too_deep": Bad("refused", "", "", _with(cart=_nested(5))),
    "array.too_long": Bad("refused", "", "", _with(cart=list(range(256)))),
    "string.too_long": Bad("altered", "", "", _with(note="n" * 300)),
    "event.name.too_long": Bad("altered", "", "", _named("N" * 300)),
    "property.name.too_long": Bad("altered", "", "", _with(**{"n" * 300: 1})),
}


def _write_mixed(
    file: IO[bytes], events: int, *, seed: int, share: float
) -> dict[str, Any]:
    """Write good and bad lines; their numbers, and what is wrong with the bad ones."""
    dice = random.Random(f"bad {seed}")
    wanted = min(events, max(1, round(events * share)))
    places = sorted(dice.sample(range(events), k=wanted))
    kinds = list(KINDS)
    dice.shuffle(kinds)
    lines: list[tuple[int, str]] = []
    upcoming = iter([*places, -1])
    bad_at, number = next(upcoming), 0
    for batch in batches(events, seed=seed):
        for line in batch:
            if number == bad_at:
                if len(lines) == MOST_HUGE * len(KINDS):
                    kinds.remove("record.too_large")
                kind = kinds[len(lines) % len(kinds)]
                file.write(KINDS[kind].make(json.loads(line)) + b"\n")
                lines.append((number + 1, kind))
                bad_at = next(upcoming)
            else:
                file.write(line)
            number += 1
    counts = dict.fromkeys(KINDS, 0)
    for _, kind in lines:
        counts[kind] += 1
    outcomes = {kind: bad.outcome for kind, bad in KINDS.items()}
    refused = sum(n for kind, n in counts.items() if outcomes[kind] == "refused")
    return {
        "bad": len(lines),
        "refused": refused,
        "altered": len(lines) - refused,
        "accepted": events - refused,
        "kinds": {
            kind: {
                "count": counts[kind],
                "outcome": bad.outcome,
                "field": bad.field,
                "message": bad.message,
            }
            for kind, bad in KINDS.items()
        },
        "lines": lines,
    }


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as raw:
        if path.suffix != ".gz":
            yield raw
            return
        # Neither name nor time in the header: the same events are the same bytes.
        with gzip.GzipFile(
            filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0
        ) as packed:
            yield packed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument(
        "--bytes", type=int, metavar="N", help="events until the file has so many bytes"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--bad", type=float, default=0.0, metavar="SHARE", help="0.02: two of a hundred"
    )
    options = parser.parse_args()
    if not 0 <= options.bad <= 1:
        parser.error("--bad is a share, from 0 to 1")
    if options.events < 1:
        parser.error("--events must be 1 or more")
    if options.bytes is not None and (options.bad or options.path.suffix == ".gz"):
        parser.error("--bytes goes neither with --bad nor with a .gz")
    if options.bytes is not None:
        count = write_bytes(options.path, options.bytes, seed=options.seed)
        told: dict[str, Any] = {"events": count, "seed": options.seed}
    else:
        told = write_events(
            options.path, options.events, seed=options.seed, bad=options.bad
        )
    short = {k: v for k, v in told.items() if k not in ("lines", "kinds")}
    print(json.dumps(short | {"bytes": options.path.stat().st_size}))


if __name__ == "__main__":
    main()
