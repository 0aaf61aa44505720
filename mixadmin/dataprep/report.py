"""What was found in files, told so that it adds up, in bounded memory.

Counts of records and findings are exact. What would need memory for every record (users
of a day, ids that occur again, properties) is counted exactly while it fits and is an
estimate from then on; the report says which it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from . import events, findings
from .judging import Chunk, Judged
from .mending import MENDS, seconds_of_anything
from .parsing import json_text, parse, readable, storable
from .profiles import OPERATIONS
from .reserved import KNOWN_NAMES

EXAMPLES = 5
SAMPLE = 300
DAY = 86_400
# Soft limit of a project (documented); further names are not indexed.
MOST_EVENT_NAMES = 5_000
# Documented: beyond it, events are taken off their user.
HOT_SHARD = 200_000
BUSY = 100_000
MANY_EVENT_NAMES = 500
MANY_PROPERTIES = 2_000

# Bounds of memory.
KEPT_NAMES = 20_000
KEPT_PROPERTIES = 5_000
KEPT_USERS = 100_000
KEPT_IDS = 50_000
COUNT_ALL_USERS = 100_000
COUNT_ONE_OF = 10
# All of the first records are read in full, and one of so many later on.
READ_IN_FULL = 5_000
READ_ONE_OF = 100
SHOWN = 50
SHOWN_DAYS = 400


@dataclass(slots=True)
class _Tally:
    records: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Property:
    records: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


class Report:
    """Filled chunk by chunk; `as_dict` is what people and tools read."""

    def __init__(self, kind: str, destination: str = "import", name: str = "") -> None:
        self.kind = kind
        self.destination = destination
        self.name = name
        self.records = 0
        self.blank = 0
        self.elsewhere = 0
        self.good = 0
        self.held = 0
        self.dropped = 0
        self.refused = 0
        self.files: list[dict[str, Any]] = []
        self._tallies: dict[str, _Tally] = {}
        self._mends: Counter[str] = Counter()
        self._first: float | None = None
        self._last: float | None = None
        self._days: Counter[int] = Counter()
        self._names = _Names(KEPT_NAMES)
        self._users = _Frequent(KEPT_USERS)
        self._ids = _Again(KEPT_IDS)
        self._operations: Counter[str] = Counter()
        self._properties: dict[str, _Property] = {}
        self._read_in_full = 0
        self._read_all = True

    # -- gathering

    def add(self, chunk: Chunk, judged: Judged, now: float) -> None:
        good, held = len(judged.good), len(judged.held)
        refused, dropped = len(judged.invalid), len(judged.dropped)
        in_full = self._sample(judged.good)
        self.records += good + held + refused + dropped
        self.good += good
        self.held += held
        self.refused += refused
        self.dropped += dropped
        self.blank += judged.blank
        self.elsewhere += judged.elsewhere
        for problem in judged.invalid:
            tally = self._tally(problem.code)
            tally.records += 1
            if len(tally.examples) < EXAMPLES:
                tally.examples.append(
                    self._example(chunk, problem.index, problem.field, problem.message)
                )
        for code, count in judged.notes.items():
            self._note(chunk, code, count, judged.noted.get(code, ()))
        if held:
            where = [index for index, _ in judged.held]
            self._note(chunk, "event.time.near_future", held, where[:EXAMPLES])
        if chunk.offset == 0 and _is_list(chunk.lines):
            self._note(chunk, "file.json_array", 0, [])
        if self.kind == "events":
            self._add_events(chunk, judged)
        else:
            self._add_updates(chunk, judged)
        for line in in_full:
            self._read(line)

    def add_file(self, **facts: Any) -> None:
        """What is known about a file as a whole: name, bytes, why it ended early."""
        self.files.append(facts)
        code = facts.get("code")
        if code in findings.RULES:
            self._tally(code)

    def file_finding(self, code: str) -> None:
        """A finding about a file as a whole, which counts for no record."""
        self._tally(code)

    def _tally(self, code: str) -> _Tally:
        return self._tallies.setdefault(code, _Tally())

    def _note(
        self, chunk: Chunk, code: str, count: int, indexes: Sequence[int]
    ) -> None:
        if code.startswith("mended."):
            self._mends[code.removeprefix("mended.")] += count
            return
        tally = self._tally(code)
        tally.records += count
        for index in indexes[: max(EXAMPLES - len(tally.examples), 0)]:
            tally.examples.append(self._example(chunk, index, "", ""))

    def _example(
        self, chunk: Chunk, index: int, field: str, message: str
    ) -> dict[str, Any]:
        line = chunk.lines[index][: SAMPLE * 4].decode("utf-8", "replace")
        return {
            "file": self.name,
            "line": chunk.number + index,
            "field": field[:255],
            "message": message[:500],
            "sample": line[:SAMPLE],
        }

    def _add_events(self, chunk: Chunk, judged: Judged) -> None:
        read = judged.skimmed
        if judged.held or None in read:
            read = [
                *(
                    one or _event(judged.good[i])
                    for i, one in enumerate(judged.skimmed)
                ),
                *(_event(chunk.lines[index]) for index, _ in judged.held),
            ]
        if not read:
            return
        names = [one.event for one in read]
        properties = [one.properties for one in read]
        times = [one.time for one in properties]
        if max(times) >= events.MILLISECONDS:
            times = [t if t < events.MILLISECONDS else t / 1000 for t in times]
        first, last = min(times), max(times)
        self._first = first if self._first is None else min(first, self._first)
        self._last = last if self._last is None else max(last, self._last)
        days = [int(time // DAY) for time in times]
        self._days.update(days)
        self._names.update(names)
        users = [one.distinct_id for one in properties]
        if set(map(type, users)) != {str}:
            users = [one if isinstance(one, str) else _user(one) for one in users]
        self._users.update(users, days)
        self._ids.add([one.insert_id for one in properties], names, users, days)

    def _add_updates(self, chunk: Chunk, judged: Judged) -> None:
        self._users.update(judged.keys, [0] * len(judged.keys))
        if judged.deltas:
            where = [judged.indexes[position] for position in judged.deltas[:EXAMPLES]]
            self._note(chunk, "profile.delta", len(judged.deltas), where)

    def _sample(self, good: list[bytes]) -> list[bytes]:
        if self._read_in_full < READ_IN_FULL:
            return good
        self._read_all = False
        # not always the same places of the chunks
        return good[self.records % READ_ONE_OF :: READ_ONE_OF]

    def _read(self, line: bytes) -> None:
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, RecursionError):
            return  # a number that is too large; the sample does without it
        self._read_in_full += 1
        if self.kind == "events":
            values = record["properties"]
        else:
            values = {}
            for name in OPERATIONS[self.kind]:
                if name in record:
                    self._operations[name] += 1
                    if isinstance(record[name], dict):
                        values.update(record[name])
        for name, value in values.items():
            known = self._properties.get(name)
            if known is None:
                if len(self._properties) >= KEPT_PROPERTIES:
                    continue
                known = self._properties[name] = _Property()
            known.records += 1
            known.kinds[_KINDS.get(type(value), "object")] += 1

    def merge(self, other: Report) -> None:
        """Count another report's files in. Ids that occur again in files that were read
        by another process are not noticed."""
        for name in (
            "records",
            "blank",
            "elsewhere",
            "good",
            "held",
            "dropped",
            "refused",
            "_read_in_full",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.files += other.files
        for code, tally in other._tallies.items():
            mine = self._tally(code)
            mine.records += tally.records
            mine.examples = (mine.examples + tally.examples)[:EXAMPLES]
        self._mends += other._mends
        firsts = [one for one in (self._first, other._first) if one is not None]
        lasts = [one for one in (self._last, other._last) if one is not None]
        self._first, self._last = min(firsts, default=None), max(lasts, default=None)
        self._days += other._days
        self._operations += other._operations
        self._names.merge(other._names)
        self._users.merge(other._users)
        self._ids.merge(other._ids)
        for name, theirs in other._properties.items():
            if name in self._properties or len(self._properties) < KEPT_PROPERTIES:
                known = self._properties.setdefault(name, _Property())
                known.records += theirs.records
                known.kinds += theirs.kinds
        self._read_all = self._read_all and other._read_all

    # -- telling

    @property
    def would_import(self) -> int:
        return self.good + self.held

    @property
    def would_refuse(self) -> int:
        return self.refused

    @property
    def unreadable(self) -> bool:
        """Whether a file could not be read to its end."""
        return any(file.get("code") for file in self.files)

    @property
    def is_clean(self) -> bool:
        """Whether everything would be stored, as far as can be told."""
        return not self.refused and not any(
            findings.is_lost(code, self.destination) for code in self._tallies
        )

    def as_dict(self) -> dict[str, Any]:
        """All of it as what JSON can hold."""
        told = [self._finding(code, tally) for code, tally in self._all_tallies()]
        order = findings.SEVERITIES
        told.sort(key=lambda one: (order.index(one["severity"]), -one["records"]))
        report = {
            "kind": self.kind,
            "destination": self.destination,
            "files": self.files,
            "verdict": self.verdict(),
            "clean": self.is_clean,
            "records": self.records,
            "would_import": self.would_import,
            "would_refuse": self.would_refuse,
            "held": self.held,
            "dropped": self.dropped,
            "blank": self.blank,
            "elsewhere": self.elsewhere,
            "findings": told,
            "mends": [
                {"slug": slug, "label": MENDS[slug].label, "records": count}
                for slug, count in self._mends.most_common()
            ],
            "times": {
                "first": self._first,
                "last": self._last,
                "first_at": _moment(self._first),
                "last_at": _moment(self._last),
            },
            "days": _histogram(self._days),
            "events": self._names.as_dict(),
            "properties": self._properties_told(),
            "users": self._users_told(),
            "insert_ids": {
                "duplicates": round(self._ids.duplicates),
                "reused": round(self._ids.reused),
                "estimated": self._ids.estimated,
            },
            "operations": dict(self._operations.most_common()),
        }
        kept: dict[str, Any] = storable(report)
        return kept

    def verdict(self) -> str:
        """The report in one sentence."""
        what = {"events": "event", "people": "user profile update"}.get(
            self.kind, "group profile update"
        )
        if broken := next((one for one in self.files if one.get("code")), None):
            name = broken.get("name") or "The file"
            return f"{name} cannot be read to its end: {broken['message']}"
        if not self.records:
            return f"There is no {what} in it."
        if not self.refused and not self.dropped:
            every = _many(self.records, what)
            if not self.is_clean:
                return f"All of the {every} are fine, but a file as a whole is not."
            if self.records == 1:
                return f"The one {what} would be imported."
            return f"All {every} would be imported."
        parts = [f"{self.would_import:,} would be imported"]
        if self.refused:
            silent = self.destination != "import"
            word = "silently dropped" if silent else "refused"
            parts.append(f"{self.refused:,} {word}")
        if self.dropped:
            parts.append(f"{self.dropped:,} left out as asked")
        return f"Of {_many(self.records, what)} {_and(parts)}."

    def _finding(self, code: str, tally: _Tally) -> dict[str, Any]:
        rule = findings.RULES[code]
        return {
            "code": code,
            "severity": rule.severity[self.destination],
            "title": rule.title,
            "meaning": rule.meaning,
            "remedy": rule.remedy,
            "mend": rule.mend,
            "records": tally.records,
            "examples": tally.examples,
        }

    def _all_tallies(self) -> Iterable[tuple[str, _Tally]]:
        """Those that were counted, and those that only the whole shows."""
        yield from self._tallies.items()
        whole = {
            "insert_id.duplicate": round(self._ids.duplicates),
            "insert_id.reused": round(self._ids.reused),
            "event.names.too_many": self._names.beyond(MOST_EVENT_NAMES),
            "event.names.user_generated": self._generated_names(),
            "properties.user_generated": self._generated_properties(),
            "name.reserved": self._reserved(),
        }
        if self.kind == "events":
            busy = [count for (user, _), count in self._users.top(SHOWN) if user]
            whole["distinct_id.hot_shard"] = sum(n for n in busy if n > HOT_SHARD)
            whole["distinct_id.busy"] = sum(n for n in busy if BUSY < n <= HOT_SHARD)
        yield from ((code, _Tally(count)) for code, count in whole.items() if count)

    def _generated_names(self) -> int:
        distinct = self._names.distinct
        if distinct > MANY_EVENT_NAMES and distinct * 20 > self.good:
            return self.good
        return 0

    def _generated_properties(self) -> int:
        return self._read_in_full if len(self._properties) > MANY_PROPERTIES else 0

    def _reserved_names(self) -> list[str]:
        return [
            name
            for name in self._properties
            if name.startswith(("$", "mp_")) and name not in KNOWN_NAMES
        ]

    def _reserved(self) -> int:
        if not self._read_in_full:
            return 0
        most = max(
            (self._properties[name].records for name in self._reserved_names()),
            default=0,
        )
        return round(most * self.good / self._read_in_full) if most else 0

    def _properties_told(self) -> dict[str, Any]:
        common = sorted(
            self._properties.items(), key=lambda one: (-one[1].records, one[0])
        )
        read = max(self._read_in_full, 1)
        return {
            "read": self._read_in_full,
            "estimated": not self._read_all,
            "distinct": len(self._properties),
            "complete": len(self._properties) < KEPT_PROPERTIES,
            "reserved": sorted(readable(one) for one in self._reserved_names())[:SHOWN],
            "top": [
                {
                    "name": readable(name),
                    "share": round(one.records / read, 4),
                    "kinds": dict(one.kinds.most_common()),
                }
                for name, one in common[:SHOWN]
            ],
        }

    def _users_told(self) -> dict[str, Any]:
        top = [one for one in self._users.top(SHOWN) if one[0][0]][:10]
        return {
            "top": [
                {
                    "id": readable(user.replace("\0", " ")),
                    "day": _date(day) if self.kind == "events" else None,
                    "records": count,
                }
                for (user, day), count in top
            ],
            "estimated": self._users.estimated,
        }


# -- counting in bounded memory


class _Names:
    """How often each name occurs; names that come when it is full are not told apart."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.counts: Counter[str] = Counter()
        self.others = 0

    def update(self, names: list[str]) -> None:
        if len(self.counts) < self._most:
            self.counts.update(names)
            return
        for name, count in Counter(names).items():
            self._add(name, count)

    def _add(self, name: str, count: int) -> None:
        if name in self.counts or len(self.counts) < self._most:
            self.counts[name] += count
        else:
            self.others += count

    def merge(self, other: _Names) -> None:
        for name, count in other.counts.items():
            self._add(name, count)
        self.others += other.others

    @property
    def distinct(self) -> int:
        return len(self.counts)

    def beyond(self, most: int) -> int:
        """How many events have none of the `most` names that are the most common."""
        if len(self.counts) <= most:
            return 0
        rest = sorted(self.counts.values(), reverse=True)[most:]
        return sum(rest) + self.others

    def as_dict(self) -> dict[str, Any]:
        return {
            "distinct": self.distinct,
            "complete": not self.others,
            "top": [
                [readable(name), count]
                for name, count in self.counts.most_common(SHOWN)
            ],
        }


class _Frequent:
    """Who occurs often on one day, or at all.

    At first everybody is counted. Later on one in so many records stands for all, and
    when it is full, those with the fewest are forgotten: a count may be a little wrong
    then, but nobody who has many is missed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen = 0
        self._counts: Counter[tuple[str, int]] = Counter()
        self.estimated = False

    def update(self, users: list[str], days: list[int]) -> None:
        self._seen += len(users)
        if self._seen <= COUNT_ALL_USERS:
            self._counts.update(zip(users, days, strict=True))
        else:
            self.estimated = True
            start = self._seen % COUNT_ONE_OF
            some = Counter(
                zip(users[start::COUNT_ONE_OF], days[start::COUNT_ONE_OF], strict=True)
            )
            for thing, count in some.items():
                self._counts[thing] += count * COUNT_ONE_OF
        self._forget()

    def _forget(self) -> None:
        if len(self._counts) <= self._most:
            return
        self.estimated = True
        while len(self._counts) > self._most // 2:
            least = min(self._counts.values())
            kept = {thing: n for thing, n in self._counts.items() if n > least}
            self._counts = Counter(kept)

    def merge(self, other: _Frequent) -> None:
        self._counts.update(other._counts)
        self._seen += other._seen
        self.estimated = self.estimated or other.estimated
        self._forget()

    def top(self, n: int) -> list[tuple[tuple[str, int], int]]:
        return self._counts.most_common(n)


class _Again:
    """$insert_ids that occur again, of the same event or of another.

    When it is full, only ids whose hash ends in one more zero are looked at, so that
    what is seen stands for twice as many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[int, int] = {}
        self._mask = 0
        self.duplicates = 0.0
        self.reused = 0.0

    @property
    def estimated(self) -> bool:
        return self._mask > 0

    def add(
        self,
        ids: list[str | None],
        names: list[str],
        users: list[str],
        days: list[int],
    ) -> None:
        hashes = list(map(hash, ids))
        if mask := self._mask:
            keep = [i for i, one in enumerate(hashes) if not one & mask]
            hashes = [hashes[i] for i in keep]
            keys = [hash((names[i], users[i], days[i])) for i in keep]
        else:
            keys = list(map(hash, zip(names, users, days, strict=True)))
        fresh = dict(zip(hashes, keys, strict=True))
        if (
            len(fresh) == len(hashes)
            and self._seen.keys().isdisjoint(fresh)
            and _NO_IDS.isdisjoint(fresh)
        ):
            self._seen.update(fresh)
        else:
            for one, key in zip(hashes, keys, strict=True):
                if one not in _NO_IDS:
                    self._look(one, key)
        if len(self._seen) > self._most:
            self._look_at_fewer()

    def _look(self, one: int, key: int) -> None:
        before = self._seen.get(one)
        if before is None:
            self._seen[one] = key
        elif before == key:
            self.duplicates += self._mask + 1
        else:
            self.reused += self._mask + 1

    def _look_at_fewer(self) -> None:
        while len(self._seen) > self._most // 2:
            self._mask = self._mask * 2 + 1
            self._thin_out()

    def _thin_out(self) -> None:
        mask = self._mask
        self._seen = {one: key for one, key in self._seen.items() if not one & mask}

    def merge(self, other: _Again) -> None:
        self._mask = max(self._mask, other._mask)
        self._thin_out()
        self.duplicates += other.duplicates
        self.reused += other.reused
        for one, key in other._seen.items():
            if not one & self._mask:
                self._look(one, key)
        if len(self._seen) > self._most:
            self._look_at_fewer()


_NO_IDS = frozenset({hash(None), hash("")})


# -- single values


_KINDS = {
    str: "text",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "list",
    dict: "object",
    type(None): "null",
}


def _event(line: bytes) -> events.Event:
    """An event that was judged with care and is stored, as others were skimmed."""
    record = parse(line)
    values = record["properties"]
    user, insert_id = values.get("distinct_id"), values.get("$insert_id")
    return events.Event(
        record["event"],
        events.Properties(
            seconds_of_anything(values["time"]) or 0,
            None if user is None else json_text(user),
            insert_id if isinstance(insert_id, str) else None,
        ),
    )


def _user(value: float | None) -> str:
    return "" if value is None else json_text(value)


def _is_list(lines: list[bytes]) -> bool:
    first = next((line for line in lines if line.strip()), b"")
    return first.lstrip().startswith(b"[")


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _date(day: int) -> str:
    return (_moment(day * DAY) or "")[:10]


def _histogram(days: Counter[int]) -> dict[str, Any]:
    """Events per day (UTC); per month or year where there are too many days."""
    counts = {_date(day): count for day, count in sorted(days.items())}
    for unit, length in (("day", 10), ("month", 7), ("year", 4)):
        told: Counter[str] = Counter()
        for date, count in counts.items():
            told[date[:length]] += count
        if len(told) <= SHOWN_DAYS or unit == "year":
            return {"unit": unit, "counts": [list(one) for one in told.items()]}
    raise AssertionError  # the last unit always returns


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _and(parts: list[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
