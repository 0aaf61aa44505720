"""The judge: which lines of a chunk may be sent, by the rules of what they are.

The fast way proves that nothing is to be found in most lines. The others are looked at
one by one, with care; a test compares the two ways.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from . import events, profiles
from .findings import DESTINATIONS, KINDS, is_lost
from .judging import Chunk, Judge, Judged, Problem
from .mending import DROPS, MENDS, mend, with_insert_id, without
from .parsing import Flawed, Found, need_shallow, parse

Slice = tuple[float | None, float | None]
UNREAD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# How many lines of a chunk are named for each finding.
NOTED = 5
TRUNCATES = frozenset({"names.truncate", "strings.truncate"})


def judge_for(
    kind: str,
    *,
    destination: str = "import",
    mends: Iterable[str] = (),
    insert_id_fields: Sequence[str] = (),
    seed: Callable[[], bytes] | None = None,
    time_slice: Slice | None = None,
    counts_undated: bool = True,
) -> Judge:
    """A judge for one file of one kind of records.

    mends: slugs of `mending.MENDS` that were asked for.
    insert_id_fields: what the mend insert_id.derive makes an $insert_id of.
    seed: called once, when the first event without an $insert_id comes: such events get
        one that is made of the seed and of where their line begins. Without a seed they
        are what they are at the destination.
    time_slice: judge only events with from <= time < to; the others are elsewhere.
    counts_undated: judge records without a usable time in this slice.
    """
    chosen = tuple(slug for slug in MENDS if slug in set(mends))
    if unknown := sorted({*mends} - {*MENDS}):
        raise ValueError(f"There is no mend {unknown[0]!r}.")
    if destination not in DESTINATIONS:
        raise ValueError(f"There is no destination {destination!r}.")
    if kind not in KINDS:
        raise ValueError(f"There is no kind of records {kind!r}.")
    chosen = tuple(slug for slug in chosen if kind in MENDS[slug].kinds)
    care = _Care(kind, destination, chosen, tuple(insert_id_fields), _Seed(seed))
    if kind != "events":
        return _ProfileJudge(care)
    if time_slice == (None, None):
        time_slice = None
    return _EventJudge(care, time_slice, counts_undated)


class _Seed:
    """Ids for events that have none, always the same for the same place of a file."""

    def __init__(self, ask: Callable[[], bytes] | None) -> None:
        self._ask = ask
        self._seed: bytes | None = None

    def __bool__(self) -> bool:
        return self._ask is not None

    def insert_id(self, offset: int) -> str:
        if self._seed is None:
            assert self._ask is not None
            self._seed = self._ask()
        where = offset.to_bytes(8, "big")
        return hashlib.sha256(self._seed + where).hexdigest()[:32]


@dataclass(slots=True)
class _Line:
    """What became of one line that was looked at with care. No line: not to be sent.

    record: of a good profile update.
    """

    outcome: str
    line: bytes = b""
    problem: Found | None = None
    time: float = 0.0
    notes: tuple[str, ...] = ()
    record: Any = None


@dataclass(frozen=True, slots=True)
class _Care:
    """Looks at single lines."""

    kind: str
    destination: str
    mends: tuple[str, ...]
    insert_id_fields: tuple[str, ...]
    seed: _Seed

    def look(
        self, line: bytes, offset: int, *, now: float, unfit: str | None = None
    ) -> _Line:
        if unfit is not None:
            # Only its beginning was taken in, so nothing else can be said about it.
            what = "event is invalid: must be smaller than 1MB"
            if self.kind != "events":
                what = "record is invalid: must not be larger than 1MB"
            return _Line("invalid", problem=Found(unfit, "", what))
        if not line.strip():
            return _Line("blank")
        notes: list[str] = []
        if self.kind != "events":
            line = line.lstrip(
                b" \t\r\n"
            )  # the project token is put in after the brace
        record, found = self._find(line, now)
        for slug in self.mends:
            cured = next((one for one in found if one.code in MENDS[slug].cures), None)
            if cured is None:
                continue
            if slug in DROPS:
                return _Line("dropped", notes=(f"mended.{slug}",))
            better = self._mend(slug, line, cured)
            if better is not None and better != line:
                line = better
                notes.append(f"mended.{slug}")
                record, found = self._find(line, now)
        return self._sort(line, record, found, offset, notes)

    def _find(self, line: bytes, now: float) -> tuple[Any, list[Found]]:
        try:
            record = parse(line)
            need_shallow(record, line)
        except Flawed as flaw:
            return None, [flaw.found]
        return record, list(self._rules(record, line, now))

    def _rules(self, record: Any, line: bytes, now: float) -> Iterator[Found]:
        if self.kind == "events":
            return events.find(record, line, now=now, destination=self.destination)
        return profiles.find(record, line, kind=self.kind)

    def _mend(self, slug: str, line: bytes, found: Found) -> bytes | None:
        try:
            return mend(slug, line, found, insert_id_fields=self.insert_id_fields)
        except (*UNREAD, KeyError):
            return None  # something else is wrong with it, which will be told

    def _sort(
        self,
        line: bytes,
        record: Any,
        found: list[Found],
        offset: int,
        notes: list[str],
    ) -> _Line:
        add_id = False
        for one in found:
            if one.code == "insert_id.missing" and self.seed:
                add_id = True
                notes.append("insert_id.added")
            elif is_lost(one.code, self.destination):
                return _Line("invalid", problem=one, notes=tuple(notes))
            elif one.code != "event.time.near_future" or self.destination != "import":
                notes.append(one.code)
        codes = {one.code for one in found}
        if "event.time.near_future" in codes and self.destination == "import":
            time = events.usable_time(record)
            assert time is not None
            if add_id:
                # Now, as the place in the file is known now.
                line = with_insert_id(line, self.seed.insert_id(offset))
            return _Line("held", line=line, time=time, notes=tuple(notes))
        if add_id:
            line = with_insert_id(line, self.seed.insert_id(offset))
        if "profile.token.removed" in codes:
            line = without(line, "$token")
        if self.kind == "events":
            record = None  # not to be kept for nothing
        return _Line("good", line=line, notes=tuple(notes), record=record)

    def time_of(self, line: bytes) -> float | None:
        """The time by which an event belongs to a slice, as it would be sent."""
        try:
            record = parse(line)
        except Flawed:
            return None
        return events.usable_time(record, any_unit="time.seconds" in self.mends)


class _Sorting:
    """Puts the lines of a chunk together again, those proved and those looked at."""

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.looked: dict[int, _Line] = {}
        self.noted: dict[str, list[int]] = {}
        self._offsets: list[int] | None = None
        self._unfit = dict(chunk.unfit)

    def offset(self, index: int) -> int:
        if self._offsets is None:
            self._offsets = self.chunk.offsets()
        return self._offsets[index]

    def look(self, indexes: Iterable[int], care: _Care, *, now: float) -> None:
        lines = self.chunk.lines
        for index in indexes:
            # where it begins is needed for ids only
            offset = self.offset(index) if care.seed else 0
            found = care.look(
                lines[index], offset, now=now, unfit=self._unfit.get(index)
            )
            self.looked[index] = found
            for code in found.notes:
                self.note(code, [index])

    def note(self, code: str, indexes: Iterable[int]) -> None:
        self.noted.setdefault(code, []).extend(indexes)

    def judged(
        self, fast: Sequence[int], lines: Sequence[bytes], read: Sequence[Any]
    ) -> Judged:
        """`fast`: the indexes of the lines that go out without having been looked at;
        `lines`: they themselves; `read`: what was skimmed of them."""
        notes = {code: len(indexes) for code, indexes in self.noted.items()}
        noted = {code: sorted(where)[:NOTED] for code, where in self.noted.items()}
        if not self.looked:
            return Judged(
                list(lines), fast, notes=notes, noted=noted, skimmed=list(read)
            )
        good = [
            *zip(fast, lines, read, strict=True),
            *(
                (i, one.line, None)
                for i, one in self.looked.items()
                if one.outcome == "good"
            ),
        ]
        good.sort(key=lambda one: one[0])
        judged = Judged(
            [line for _, line, _ in good],
            [index for index, _, _ in good],
            notes=notes,
            noted=noted,
            skimmed=[one for _, _, one in good],
        )
        for index, one in sorted(self.looked.items()):
            if one.problem is not None:
                judged.invalid.append(Problem(index, *one.problem))
            elif one.outcome == "held":
                judged.held.append((index, one.time))
                judged.held_lines.append(one.line)
            elif one.outcome == "dropped":
                judged.dropped.append(index)
            elif one.outcome == "blank":
                judged.blank += 1
        return judged


def skim_all(
    decode: Callable[[bytes], Any], lines: list[bytes]
) -> tuple[list[Any], list[int]]:
    """What is read of each line, None where it cannot be, and where that is."""
    read: list[Any] = []
    failed: list[int] = []
    rest = map(decode, lines)
    while True:
        try:
            # takes one after the other, up to one that cannot be read
            read.extend(rest)
        except UNREAD:
            failed.append(len(read))
            read.append(None)
        else:
            return read, failed


@dataclass(slots=True)
class _EventJudge:
    care: _Care
    time_slice: Slice | None
    counts_undated: bool

    def judge(self, chunk: Chunk, *, now: float) -> Judged:
        sorting = _Sorting(chunk)
        read, failed = skim_all(events.skim, chunk.lines)
        slow = {*failed, *(index for index, _ in chunk.unfit)}
        fast: Sequence[int] = range(len(read))
        if slow:
            fast = [i for i in fast if i not in slow]
        elsewhere = 0
        if self.time_slice is not None:
            fast, slow, elsewhere = self._in_slice(chunk, read, fast, slow)
        whole = len(fast) == len(read)
        lines = chunk.lines if whole else [chunk.lines[i] for i in fast]
        events_read = read if whole else [read[i] for i in fast]
        care = self.care
        odd = events.suspects(lines, events_read, now=now, destination=care.destination)
        odd.update(self._without_id(events_read))
        long = events.long_notes(lines)
        cuts = not TRUNCATES.isdisjoint(care.mends)
        odd.update(i for i, codes in long.items() if cuts or codes is None)
        for i, codes in long.items():
            for code in codes or ():
                if i not in odd:
                    sorting.note(code, [fast[i]])
        if odd:
            slow.update(fast[i] for i in odd)
            keep = [i for i in range(len(fast)) if i not in odd]
            fast = [fast[i] for i in keep]
            lines = [lines[i] for i in keep]
            events_read = [events_read[i] for i in keep]
        sorting.look(sorted(slow), care, now=now)
        if events_read:
            for code, where in events.plain_notes(
                events_read, care.destination
            ).items():
                sorting.note(code, [fast[i] for i in where])
            lines = self._add_ids(sorting, fast, lines, events_read)
        judged = sorting.judged(fast, lines, events_read)
        judged.elsewhere = elsewhere
        return judged

    def _without_id(self, read: list[Any]) -> list[int]:
        """Events without $insert_id that must be looked at one by one."""
        care = self.care
        derived = "insert_id.derive" in care.mends
        if not derived and (care.seed or not is_lost(*self._missing_there)):
            missing = []
        else:
            missing = events.missing_insert_ids(read)
        if "time.seconds" in care.mends:
            missing += [
                i
                for i, event in enumerate(read)
                if event.properties.time >= events.MILLISECONDS
            ]
        return missing

    @property
    def _missing_there(self) -> tuple[str, str]:
        return "insert_id.missing", self.care.destination

    def _add_ids(
        self,
        sorting: _Sorting,
        fast: Sequence[int],
        lines: list[bytes],
        read: list[Any],
    ) -> list[bytes]:
        missing = events.missing_insert_ids(read)
        if not missing:
            return lines
        indexes = [fast[i] for i in missing]
        if not self.care.seed:
            sorting.note("insert_id.missing", indexes)
            return lines
        sorting.note("insert_id.added", indexes)
        lines = list(lines)
        for i, index in zip(missing, indexes, strict=True):
            insert_id = self.care.seed.insert_id(sorting.offset(index))
            lines[i] = with_insert_id(lines[i], insert_id)
            read[i].properties.insert_id = insert_id
        return lines

    def _in_slice(
        self, chunk: Chunk, read: list[Any], fast: Sequence[int], slow: set[int]
    ) -> tuple[list[int], set[int], int]:
        """Those of this slice, and how many belong to another one."""
        assert self.time_slice is not None
        begin, end = self.time_slice
        low = float("-inf") if begin is None else begin
        high = float("inf") if end is None else end
        inside = []
        undated = set(slow)
        for i in fast:
            time = read[i].properties.time
            if not 0 <= time < events.MICROSECONDS:
                undated.add(i)
            elif low <= (time if time < events.MILLISECONDS else time / 1000) < high:
                inside.append(i)
        careful = set()
        unfit = {index for index, _ in chunk.unfit}
        blank = {i for i in undated if not chunk.lines[i].strip()}
        for i in undated - blank:
            found = None if i in unfit else self.care.time_of(chunk.lines[i])
            if self.counts_undated if found is None else low <= found < high:
                careful.add(i)
        elsewhere = len(read) - len(inside) - len(careful) - len(blank)
        return inside, careful | blank, elsewhere


@dataclass(slots=True)
class _ProfileJudge:
    care: _Care

    def judge(self, chunk: Chunk, *, now: float) -> Judged:
        sorting = _Sorting(chunk)
        read, failed = skim_all(profiles.SKIM[self.care.kind], chunk.lines)
        slow = {*failed, *(index for index, _ in chunk.unfit)}
        fast = [i for i in range(len(read)) if i not in slow]
        odd = profiles.suspects([chunk.lines[i] for i in fast], [read[i] for i in fast])
        slow.update(fast[i] for i in odd)
        fast = [i for i in fast if i not in slow]
        sorting.look(sorted(slow), self.care, now=now)
        judged = sorting.judged(
            fast, [chunk.lines[i] for i in fast], [read[i] for i in fast]
        )
        for position, index in enumerate(judged.indexes):
            update = judged.skimmed[position]
            if update is not None:
                judged.keys.append(update.key())
                delta = update.has_delta()
            else:
                record = sorting.looked[index].record
                judged.keys.append(profiles.key_of(record, self.care.kind))
                delta = profiles.has_delta(record)
            if delta:
                judged.deltas.append(position)
        return judged
