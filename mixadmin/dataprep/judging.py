"""What becomes of the lines of a file: which may be sent, and why the others may not.

A chunk of lines is read, judged, sent and written down as one. Every line of it is in
exactly one of the lists of `Judged`, so that counts always add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol


@dataclass(slots=True)
class Chunk:
    """Whole lines of a file, at most one request's worth.

    lines: without their line ends. Blank lines are among them.
    offset: of the first byte of the first line in the uncompressed file.
    number: of the first line, from 1, as `sed -n Np` counts.
    end: the offset just after the last line.
    unfit: (index, code) of lines that could not even be taken in, such as one longer
        than any record may be; their place in `lines` holds what was kept of them.
    sizes: how many bytes each line takes up in the file, with its end; None if that is
        one more than it has here. A carriage return or a byte order mark adds to it.
    """

    lines: list[bytes]
    offset: int
    number: int
    end: int
    unfit: list[tuple[int, str]] = field(default_factory=list)
    sizes: list[int] | None = None

    def offsets(self) -> list[int]:
        """Where each line begins in the uncompressed file."""
        sizes = self.sizes or [len(line) + 1 for line in self.lines]
        return list(accumulate(sizes[:-1], initial=self.offset))


@dataclass(slots=True)
class Problem:
    """Why one record is not sent. `index` counts from 0 in the chunk."""

    index: int
    code: str
    field: str
    message: str


@dataclass(slots=True)
class Judged:
    """A chunk, sorted.

    good: the lines to send, in their order, as they go out; `indexes` says which lines
        of the chunk they are.
    invalid: those that Mixpanel would refuse or drop.
    held: (index, unix time): dated in the near future, to be sent once that has come;
        `held_lines` are these records as they then go out.
    dropped: indexes of those that a mend was asked to leave out.
    blank: how many lines hold nothing.
    elsewhere: how many belong to another slice of time; they are not read here.
    notes: {code of a finding: records} of what is altered, mended or risky.
    noted: {code of a finding: indexes} of the first few of those records.
    keys: for profiles, whose profile each good line changes: order matters for these.
    deltas: for profiles, the positions in `good` of updates that must not be sent twice.
    skimmed: what the judge read of each good line, or None, to spare reading it again.

    len(lines) - blank - elsewhere = good + invalid + held + dropped
    """

    good: list[bytes]
    indexes: Sequence[int]
    invalid: list[Problem] = field(default_factory=list)
    held: list[tuple[int, float]] = field(default_factory=list)
    held_lines: list[bytes] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    blank: int = 0
    elsewhere: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    noted: Mapping[str, Sequence[int]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    deltas: list[int] = field(default_factory=list)
    skimmed: Sequence[Any] = ()


class Judge(Protocol):
    """Sorts chunk after chunk of one file. Made by `dataprep.rules.judge_for`."""

    def judge(self, chunk: Chunk, *, now: float) -> Judged: ...
