"""What an ingestion may be asked for, beyond what single fields know."""

import math
from collections.abc import Iterable
from typing import Any

from mixadmin.common.rules import Finding
from mixadmin.dataprep.mending import MENDS

MOST_FILES = 10_000
MOST_DAYS = 3_650
DERIVE = "insert_id.derive"


def check_ingestion(
    *,
    kind: str,
    mends: Any,
    insert_id_fields: Any,
    first_days: int | None,
    slice_days: int | None,
    most_refused_percent: float | None,
    has_token: bool,
    credential: str,
) -> Iterable[Finding]:
    """The rules of a whole ingestion, for form, API and command alike."""
    yield from _check_mends(mends, insert_id_fields)
    if kind != "events" and not has_token:
        yield Finding(
            "kind",
            "Profiles are sent with the project token. Set it in the project's settings "
            "first; it is in Mixpanel under Project Settings.",
            "no_token",
        )
    elif credential == "token" and not has_token:
        yield Finding(
            "credential",
            "This project has no project token. Set it in the project's settings, or "
            "send with the service account.",
            "no_token",
        )
    if kind != "events" and (first_days or slice_days):
        yield Finding(
            "first_days",
            "Only events have a time by which they can be sent in slices.",
            "slices",
        )
    percent = most_refused_percent
    if isinstance(percent, float) and not math.isfinite(percent):
        yield Finding("most_refused_percent", "Give 0 to 100 percent.", "out_of_range")
    if slice_days and not first_days:
        yield Finding(
            "first_days", "Say how many days the first slice has.", "required"
        )
    for name, days in (("first_days", first_days), ("slice_days", slice_days)):
        # What is no number was told off by its field.
        if isinstance(days, int) and not 1 <= days <= MOST_DAYS:
            yield Finding(name, f"Give 1 to {MOST_DAYS} days.", "out_of_range")


def _check_mends(mends: Any, insert_id_fields: Any) -> Iterable[Finding]:
    if not _is_list_of_text(mends):
        yield Finding("mends", "Give a list of names of mends.", "invalid")
        return
    unknown = [name for name in mends if name not in MENDS]
    if unknown:
        known = ", ".join(MENDS)
        yield Finding("mends", f"There is no mend {unknown[0][:60]!r}. Known: {known}.")
    if not _is_list_of_text(insert_id_fields):
        yield Finding("insert_id_fields", "Give a list of names of properties.")
    elif insert_id_fields and DERIVE not in mends:
        yield Finding(
            "insert_id_fields", f"This is used only with the mend {DERIVE}.", "unused"
        )


def _is_list_of_text(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 50
        and all(isinstance(item, str) and 0 < len(item) <= 255 for item in value)
    )


def slices(
    *, now: float, first_days: int | None, slice_days: int | None, oldest: float | None
) -> list[dict[str, float | None]]:
    """Newest first: the last `first_days`, then slices of `slice_days` back to the
    oldest event known, then all before. They cover all of time without a gap.

    Without `oldest` (nothing was checked before) there are two: the newest and the rest.
    """
    if not first_days:
        return []
    edge = now - first_days * 86_400
    found: list[dict[str, float | None]] = [{"from": edge, "to": None}]
    step = (slice_days or 0) * 86_400
    while step and oldest is not None and edge - step > oldest and len(found) < 400:
        found.append({"from": edge - step, "to": edge})
        edge -= step
    found.append({"from": None, "to": edge})
    return found


def refused_percent(counts: dict[str, int]) -> float:
    """The share of records that were read and will not be imported."""
    bad = counts["refused"] + counts["invalid"]
    return 100.0 * bad / counts["read"] if counts["read"] else 0.0
