"""What may be sent through the ingestion API, and the limits of one request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of record. `path` is the endpoint; `ordered` says whether two records of
    one file may depend on their order, so that they are not sent side by side."""

    slug: str
    label: str
    path: str
    ordered: bool


KINDS = {
    kind.slug: kind
    for kind in (
        Kind("events", "Events", "import", ordered=False),
        Kind("people", "User profiles", "engage", ordered=True),
        Kind("groups", "Group profiles", "groups", ordered=True),
    )
}

CHOICES = [(kind.slug, kind.label) for kind in KINDS.values()]

# Documented for one request; Mixpanel's own 413 speaks of 2 MiB, so we stay below it.
MOST_RECORDS = 2_000
MOST_BYTES = 10 * 1024 * 1024
BYTES = 2 * 1024 * 1024 - 16 * 1024
LEAST_BYTES = 64 * 1024
CONCURRENCY = 10
MOST_CONCURRENCY = 20
LANES = 2
MOST_LANES = 16
