"""One request's worth of records to Mixpanel, and what became of each of them.

No database and no clock: a `Flight` is sent, perhaps in pieces, and keeps count. When
sending it raises, what is left of it can be sent again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from isal import igzip

from mixadmin.dataprep.judging import Chunk, Judged, Problem
from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.errors import TooLarge
from mixadmin.mixpanel.ingestion import FailedRecord

# Requests that one flight may take to find the records that a refusal without reasons
# is about. 2000 records with one bad one need 22.
MOST_REQUESTS = 64
MIXPANEL = "mixpanel"
TOO_LARGE = "record is invalid: Mixpanel says that it is too large"


@dataclass(slots=True)
class Piece:
    """Some of the good lines of a flight. `again`: what was not counted as stored is
    sent once more, and only once."""

    indexes: list[int]
    again: bool = False


@dataclass(slots=True)
class Flight:
    """A judged chunk on its way."""

    chunk: Chunk
    judged: Judged
    # Of good lines: positions in `judged.good` that are not settled.
    left: list[Piece] = field(default_factory=list)
    imported: int = 0
    refused: list[Problem] = field(default_factory=list)
    unverified: int = 0
    requests: int = 0
    sent_bytes: int = 0
    # The size of a body that was refused for its size, if one was.
    too_large: int | None = None
    # Where the stored file was read up to, for showing how far it is.
    stored: int = 0

    def __post_init__(self) -> None:
        if self.judged.good:
            self.left = [Piece(list(range(len(self.judged.good))))]

    @property
    def unsettled(self) -> int:
        return sum(len(piece.indexes) for piece in self.left)

    def fit(self, most: int, *, more: int = 0) -> None:
        """Cut what grew on the way, so that no request has more than `most` bytes.

        more: bytes that each line gets when it is sent.
        """
        good = self.judged.good
        if size_of(good) + more * len(good) <= most:
            return
        sizes = [len(line) + 1 + more for line in good]
        pieces: list[Piece] = []
        size = most
        for index, length in enumerate(sizes):
            if size + length > most:
                pieces.append(Piece([]))
                size = 0
            pieces[-1].indexes.append(index)
            size += length
        # The last is sent first.
        self.left = pieces[::-1]

    def lines(self, piece: Piece) -> list[bytes]:
        good = self.judged.good
        if len(piece.indexes) == len(good):
            return good
        return [good[index] for index in piece.indexes]

    def refuse(self, indexes: Iterable[int], field_name: str, message: str) -> None:
        """Note that Mixpanel will not have these good lines."""
        places = self.judged.indexes
        self.refused += [
            Problem(places[index], MIXPANEL, field_name, message) for index in indexes
        ]


Send = Callable[[MixpanelClient, list[bytes]], "Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Mixpanel said of one request: how many it counts as stored (None: not told),
    which it refused, and, if it refused all without saying which, its words."""

    stored: int | None
    failed: tuple[FailedRecord, ...]
    refused_whole: str = ""


def size_of(lines: list[bytes]) -> int:
    """Bytes of lines with their ends."""
    return sum(map(len, lines)) + len(lines)


def deliver(flight: Flight, client: MixpanelClient, send: Send) -> Flight:
    """Send what is left of a flight. Raises MixpanelError and can then be called again:
    what was settled before stays settled."""
    while flight.left:
        piece = flight.left[-1]
        lines = flight.lines(piece)
        size = size_of(lines)
        try:
            outcome = send(client, lines)
        except TooLarge:
            flight.requests += 1
            flight.too_large = min(size, flight.too_large or size)
            flight.left.pop()
            if len(lines) == 1:
                flight.refuse(piece.indexes, "", TOO_LARGE)
            else:
                _halve(flight, piece)
            continue
        flight.requests += 1
        flight.sent_bytes += size
        flight.left.pop()
        _settle(flight, piece, outcome)
    return flight


def _settle(flight: Flight, piece: Piece, outcome: Outcome) -> None:
    sent = len(piece.indexes)
    if outcome.refused_whole:
        # All were refused, and the reason may be one of them: find it.
        if sent > 1 and flight.requests < MOST_REQUESTS:
            _halve(flight, piece)
        else:
            flight.refuse(piece.indexes, "", outcome.refused_whole)
        return
    failed = {
        record.index: record
        for record in outcome.failed
        if record.index is not None and record.index < sent
    }
    for index, record in failed.items():
        flight.refuse([piece.indexes[index]], record.field, record.message)
    good = sent - len(failed)
    if outcome.stored is None or outcome.stored == good:
        flight.imported += good
    elif outcome.stored < good and not piece.again:
        # One reading of the documents is that nothing of such a request is stored. The
        # records have keys, so that sending them once more changes nothing otherwise.
        rest = [n for i, n in enumerate(piece.indexes) if i not in failed]
        flight.left.append(Piece(rest, again=True))
    else:
        flight.imported += good
        flight.unverified += abs(outcome.stored - good)


def _halve(flight: Flight, piece: Piece) -> None:
    middle = len(piece.indexes) // 2
    # The first half is sent first: for profiles the order matters.
    flight.left.append(Piece(piece.indexes[middle:], piece.again))
    flight.left.append(Piece(piece.indexes[:middle], piece.again))


def send_events(token: str = "") -> Send:
    """Events go to /import, compressed; with `token` that is the credential."""

    def send(client: MixpanelClient, lines: list[bytes]) -> Outcome:
        body = igzip.compress(b"\n".join(lines), 1)
        result = client.ingestion.import_events(body, gzipped=True, token=token)
        whole = result.whole_batch_failed and _words(result.failed, result.error)
        return Outcome(result.num_records_imported, result.failed, whole or "")

    return send


def send_profiles(token: str, *, groups: bool, divisible: bool) -> Send:
    """Profile updates. Not divisible: a refusal of all without reasons is final, since
    some of them may have been done and must not be done twice."""

    def send(client: MixpanelClient, lines: list[bytes]) -> Outcome:
        result = client.ingestion.update_profiles(lines, token=token, groups=groups)
        told = any(record.index is not None for record in result.failed)
        if result.ok or told:
            stored = result.num_good if divisible else None
            return Outcome(stored, result.failed)
        words = _words(result.failed, result.error)
        if divisible:
            return Outcome(0, (), words)
        every: Any = [FailedRecord(n, "", "", words) for n in range(len(lines))]
        return Outcome(None, tuple(every))

    return send


def _words(failed: Iterable[FailedRecord], error: str) -> str:
    texts = list(dict.fromkeys(record.message for record in failed if record.message))
    return (
        "; ".join(texts[:3]) or error or "Mixpanel refused the request without a word"
    )
