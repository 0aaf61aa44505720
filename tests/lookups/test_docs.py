"""What is written about lookup tables is what there is."""

import re
from pathlib import Path

from mixadmin.dataprep.tables import RULES
from mixadmin.lookups.models import LookupVersion

TEXT = Path(__file__).resolve().parents[2].joinpath("docs/lookup-tables.md").read_text()


def test_every_finding_is_described():
    rows = re.findall(
        r"^\| `([a-z_0-9.]+)` \| (yes|no) \| (.+) \|$", TEXT, re.MULTILINE
    )
    assert rows == [
        (r.code, "yes" if r.refused else "no", r.title) for r in RULES.values()
    ]


def test_every_state_is_described():
    for label in LookupVersion.State.labels:
        assert f"| {label} |" in TEXT
