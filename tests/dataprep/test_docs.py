import re
from pathlib import Path

from mixadmin.dataprep.findings import DESTINATIONS, DROPPED, REFUSED, RULES
from mixadmin.dataprep.mending import MENDS

TEXT = (Path(__file__).parents[2] / "docs" / "data-checks.md").read_text()


def rows():
    """{first cell: the others} of all tables."""
    found = {}
    for line in TEXT.splitlines():
        if line.startswith("| `"):
            first, *others = [cell.strip() for cell in line.strip("|").split(" | ")]
            found[first.strip(" `")] = others
    return found


def test_every_finding_and_every_mend_is_documented():
    assert set(rows()) == RULES.keys() | MENDS.keys()


def test_the_documentation_says_what_the_catalogue_does():
    told = rows()
    for code, rule in RULES.items():
        severity, means, do = told[code]
        by_destination = [rule.severity[one] for one in DESTINATIONS]
        if by_destination == [REFUSED, DROPPED, DROPPED]:
            by_destination = [REFUSED]
        elif len(set(by_destination)) == 1:
            by_destination = by_destination[:1]
        assert severity == ", ".join(by_destination), code
        assert means == f"{rule.title}. {rule.meaning}", code
        mend = f" Mend: `{rule.mend}`." if rule.mend else ""
        assert do == f"{rule.remedy}{mend}", code
    for slug, mend in MENDS.items():
        cures, does = told[slug]
        assert set(re.findall(r"`([^`]+)`", cures)) == mend.cures, slug
        assert does == f"{mend.label}. {mend.meaning}", slug
