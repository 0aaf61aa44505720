"""Telling runs apart in a history that gives them no id and forgets all but the newest.

A run is known by when it started and by its place among runs of the same moment.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

# How many runs Mixpanel's history endpoints keep.
WINDOW = 30

Key = tuple[datetime, int]


def keys(
    starts: Sequence[datetime | None], stored: Mapping[datetime, int]
) -> list[Key | None]:
    """The key of each run of a history, newest first as Mixpanel sends it.

    stored: how many runs are known already per moment. None stands for a run that has
    not started. Where the full window cuts through runs of one moment, the ones that
    are left are its newest, so that they keep the places they had.
    """
    count = Counter(start for start in starts if start is not None)
    oldest = min(count, default=None)
    placed: Counter[datetime] = Counter()
    if oldest is not None and len(starts) >= WINDOW:
        placed[oldest] = max(0, stored.get(oldest, 0) - count[oldest])
    result: list[Key | None] = []
    for start in reversed(starts):
        if start is None:
            result.append(None)
            continue
        result.append((start, placed[start]))
        placed[start] += 1
    return result[::-1]


def gap(
    starts: Sequence[datetime | None], newest_stored: datetime | None
) -> tuple[datetime, datetime] | None:
    """The time between two polls in which runs were missed, or None.

    A full window that does not reach back to the newest run known means that at least
    one run may have come and gone unseen.
    """
    seen = [start for start in starts if start is not None]
    if newest_stored is None or len(starts) < WINDOW or not seen:
        return None
    oldest = min(seen)
    return (newest_stored, oldest) if oldest > newest_stored else None


def gap_note(since: datetime, until: datetime) -> str:
    """What to say about a gap."""
    return (
        f"At least one run between {since:%Y-%m-%d %H:%M:%S} and "
        f"{until:%Y-%m-%d %H:%M:%S} UTC was not seen: Mixpanel keeps only the "
        f"newest {WINDOW} runs."
    )
