"""What a check found, and how an ingestion was asked for, ready to be shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixadmin.dataprep.findings import ALTERED, DROPPED, REFUSED, RISKY, RULES
from mixadmin.dataprep.mending import MENDS

from .actions import SETTINGS
from .models import Ingestion

SEVERITIES = {
    REFUSED: ("Refused", "Mixpanel does not store these and says so."),
    DROPPED: ("Silently dropped", "Mixpanel does not store these and tells nobody."),
    ALTERED: ("Altered", "Mixpanel stores these otherwise than they are written."),
    RISKY: ("Risky", "These are stored as written, and may disappoint."),
}
# The chart, in its own units.
WIDTH, HEIGHT = 720, 120
MOST_FILES = 500

BOOKS = (
    ("read", "Read", "Records that were read from the files."),
    ("imported", "Imported", "Mixpanel says that it stored these."),
    ("refused", "Refused", "Mixpanel did not take these."),
    ("invalid", "Invalid", "Not sent: Mixpanel would refuse or drop these."),
    ("dropped", "Left out", "Not sent, as a mend was asked to do."),
    ("held", "Held", "Dated in the near future; sent once that has come."),
    ("unsettled", "Unsettled", "Sent, and nobody knows yet whether they arrived."),
)


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    label: str
    meaning: str
    count: int


@dataclass(frozen=True, slots=True)
class Books:
    """read = the sum of all other lines. `pending` was not read yet, `blank` is nothing."""

    lines: list[Line]
    pending: int
    blank: int

    @property
    def balance(self) -> bool:
        return self.lines[0].count == sum(line.count for line in self.lines[1:])


def books(counts: Mapping[str, int]) -> Books:
    lines = [Line(*words, counts[words[0]]) for words in BOOKS]
    return Books(lines, counts["pending"], counts["blank"])


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    count: int
    x: float
    y: float
    width: float
    height: float


def preview(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a check, with its findings in groups and its days as a chart."""
    groups = []
    for severity, (label, meaning) in SEVERITIES.items():
        found = [
            {**one, "cure": MENDS.get(one["mend"])}
            for one in report["findings"]
            if one["severity"] == severity
        ]
        if found:
            groups.append(
                {
                    "severity": severity,
                    "label": label,
                    "meaning": meaning,
                    "findings": found,
                    # One record may have several findings, so they do not add up.
                    "most": max(one["records"] for one in found),
                }
            )
    return {
        **report,
        "groups": groups,
        "bars": bars(report["days"]["counts"]),
        "width": WIDTH,
        "height": HEIGHT,
    }


def noted(notes: Mapping[str, int]) -> list[tuple[str, int]]:
    """(in words, records) of what was put right, altered or risky, most first."""
    found = []
    for code, count in sorted(notes.items(), key=lambda one: -one[1]):
        mend = MENDS.get(code.removeprefix("mended."))
        rule = RULES.get(code)
        label = f"Put right: {mend.label.lower()}" if mend else code
        found.append((rule.title if rule else label, count))
    return found


def bars(counts: list[Any]) -> list[Bar]:
    """[[label, count]] as bars that fill WIDTH and HEIGHT."""
    if not counts:
        return []
    most = max(count for _, count in counts) or 1
    step = min(WIDTH / len(counts), 48)
    found = []
    for number, (label, count) in enumerate(counts):
        height = max(round(count / most * HEIGHT, 1), 1 if count else 0)
        found.append(
            Bar(
                label,
                count,
                round(number * step, 2),
                round(HEIGHT - height, 1),
                round(step * 0.85, 2),
                height,
            )
        )
    return found


def settings(ingestion: Ingestion) -> list[tuple[str, str]]:
    """(what, how) of everything that can be set, in words; unset things are left out."""
    mends = [MENDS[slug].label if slug in MENDS else slug for slug in ingestion.mends]
    percent = ingestion.most_refused_percent
    found = [
        ("Holds", ingestion.get_kind_display()),
        ("After the check", ingestion.get_start_display()),
        ("Read before anything is sent", "yes" if ingestion.check_first else "no"),
        ("Credential", ingestion.get_credential_display()),
        ("Mends", ", ".join(mends) or "none"),
        ("$insert_id is made of", ", ".join(ingestion.insert_id_fields)),
        ("Records per request", f"at most {ingestion.batch_records:,}"),
        ("Bytes per request", f"at most {ingestion.batch_bytes:,}"),
        ("Requests at the same time", f"at most {ingestion.concurrency}"),
        ("Workers at the same time", f"at most {ingestion.lanes}"),
        ("First slice", _days(ingestion.first_days)),
        ("Further slices", _days(ingestion.slice_days)),
        (
            "Stops a backfill",
            "" if percent is None else f"more than {percent:g} % refused",
        ),
    ]
    return [(what, how) for what, how in found if how]


def _days(days: int | None) -> str:
    return "" if days is None else f"{days:,} day{'s' if days > 1 else ''}"


def configuration(ingestion: Ingestion) -> dict[str, Any] | None:
    """The body that asks the API for the same. None if that would be too long."""
    rows = ingestion.files.values("place", "upload", "bucket", "directory", "path")
    files = list(rows[: MOST_FILES + 1])
    if len(files) > MOST_FILES:
        return None
    settings = {name: getattr(ingestion, name) for name in SETTINGS}
    return {
        "kind": ingestion.kind,
        "files": [
            {
                name: str(value) if name == "upload" else value
                for name, value in file.items()
                if value not in (None, "")
            }
            for file in files
        ],
        **{
            name: value
            for name, value in settings.items()
            if value not in (None, [], "")
        },
    }
