"""The table of causes: every one is whole, told of, and written down."""

import re
from pathlib import Path

import pytest
from django.urls import reverse

from mixadmin.common.causes import (
    AREAS,
    CAUSES,
    EVIDENCE,
    KINDS,
    NO_REASON,
    NO_REASON_CONNECTOR,
    OF_QUESTIONS,
    RECORDS,
    REQUEST_TEXTS,
    RUN_TEXTS,
    TABLES,
    UNKNOWN,
)
from mixadmin.common.fixes import PLACES, fix_anywhere, fix_for
from mixadmin.common.remedies import (
    explain,
    explain_record,
    explain_row,
    explain_run_failure,
)
from mixadmin.dataprep.findings import RULES
from mixadmin.dataprep.mending import MENDS
from mixadmin.dataprep.tables import RULES as TABLE_RULES
from mixadmin.files.errors import PlaceError
from mixadmin.mixpanel import errors
from mixadmin.warehouse.kinds import WAREHOUSES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "errors.md"


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_every_cause_is_whole(cause):
    assert CAUSES[cause.code] is cause
    assert re.fullmatch(r"[a-z_0-9]+(\.[a-z_0-9]+)*", cause.code)
    assert cause.area in AREAS and cause.evidence in EVIDENCE and cause.source
    assert cause.title and not cause.title.endswith(".")
    assert cause.meaning.endswith(".")
    assert cause.steps and all(step.endswith((".", ";")) for step in cause.steps)
    assert set(cause.fix) <= PLACES.keys()
    assert bool(cause.text) == bool(cause.sample)
    assert not cause.mend or cause.mend in MENDS


def test_no_code_is_used_twice():
    singles = [*REQUEST_TEXTS, *RUN_TEXTS, NO_REASON, NO_REASON_CONNECTOR, UNKNOWN]
    codes = [cause.code for cause in singles] + [*KINDS, *RECORDS, *TABLES]
    assert len(codes) == len(set(codes))
    assert set(codes) <= CAUSES.keys()


@pytest.mark.parametrize(
    "cause", [c for c in CAUSES.values() if c.text], ids=lambda cause: cause.code
)
def test_the_sample_of_a_cause_is_explained_by_it(cause):
    for where in cause.where or ("",):
        assert explained(cause, where).code == cause.code


def explained(cause, where):
    if cause in RUN_TEXTS:
        types = {"connector_type": where} if where.endswith("Import") else {}
        if where and not types:
            types = {"warehouse_type": where}
        return explain_run_failure(cause.sample, **types)
    if cause.code in RECORDS:
        return explain_record("refused", cause.sample)
    if cause.code in TABLES:
        return explain_row(cause.sample)
    return explain("failed", message=cause.sample, context={"area": where})


def test_what_no_text_tells_of_has_a_kind_or_a_sign():
    for cause in CAUSES.values():
        assert cause.text or cause.sign or cause.code in KINDS, cause.code


@pytest.mark.parametrize("code", KINDS)
def test_every_kind_of_error_is_explained_by_its_cause(code):
    assert explain(code) is KINDS[code]


def test_every_error_of_the_client_and_of_files_has_a_cause():
    def kinds(error):
        for kind in error.__subclasses__():
            yield kind.kind
            yield from kinds(kind)

    told = {*kinds(errors.MixpanelError), *kinds(PlaceError)}
    assert told - {"", "error"} <= KINDS.keys()
    assert OF_QUESTIONS.keys() <= KINDS.keys()


def test_every_rule_of_records_and_of_lookup_tables_has_a_cause():
    assert RULES.keys() - RECORDS.keys() <= KINDS.keys() | {"file.json_array"}
    assert {f"lookup.{code}" for code in TABLE_RULES} == TABLES.keys()


def test_every_warehouse_has_causes_of_its_own():
    areas = {cause.area for cause in CAUSES.values()}
    assert areas == AREAS.keys()
    assert WAREHOUSES.keys() <= areas


# --- The places that mend -------------------------------------------------------------

EVERYTHING = dict.fromkeys(
    [
        "project",
        "source",
        "import",
        "connector",
        "account",
        "bucket",
        "ingestion",
        "table",
    ],
    7,
) | {"job": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"}


@pytest.mark.parametrize("name", PLACES)
def test_every_place_has_an_address(name):
    place = PLACES[name]
    assert reverse(place.view, args=[EVERYTHING[arg] for arg in place.args])
    assert set((place.query or {}).values()) <= EVERYTHING.keys()


def test_the_best_place_whose_objects_are_known_is_taken():
    cause = CAUSES["not_authenticated"]

    assert fix_for(cause, EVERYTHING).url == "/service-accounts/7/secret/"
    assert fix_for(cause, {"project": 3, "account": None}).url == "/projects/3/edit/"
    assert fix_for(cause, {}) is None


def test_a_place_does_not_lead_to_the_page_that_asks():
    cause = CAUSES["not_authenticated"]
    here = "/service-accounts/7/secret/"

    assert fix_for(cause, EVERYTHING, here=here).url == "/projects/7/edit/"


def test_what_is_not_known_is_left_out_of_the_address():
    cause = CAUSES["warehouse.column_missing"]

    assert fix_for(cause, {"project": 3}).url == "/projects/3/imports/new/"
    both = fix_for(cause, {"project": 3, "source": 4})
    assert both.url == "/projects/3/imports/new/?source=4"


def test_a_cause_without_a_place_leads_nowhere():
    assert fix_anywhere(CAUSES["rate_limited"]) is None
    assert fix_anywhere(CAUSES["account_expired"]).url == "/service-accounts/"
    assert fix_anywhere(CAUSES["internal"]).url == "/jobs/?show=attention"


# --- The document ---------------------------------------------------------------------


def test_every_cause_is_written_down():
    """docs/errors.md is this; after a change of the table copy what is missing."""
    assert DOCUMENT.read_text().partition("## ")[2] == tables().partition("## ")[2]


def tables():
    """The tables of the document, from the table of causes."""
    told = ""
    for area, title in AREAS.items():
        told += f"## {title}\n\n| code | what happened | means | do | known from |\n"
        told += "|---|---|---|---|---|\n"
        for cause in CAUSES.values():
            if cause.area == area:
                cells = (
                    f"`{cause.code}`",
                    cause.title,
                    cause.meaning,
                    cause.remedy,
                    f"{cause.evidence}: {cause.source}",
                )
                escaped = (cell.replace("|", "\\|") for cell in cells)
                told += f"| {' | '.join(escaped)} |\n"
        told += "\n"
    return told.rstrip("\n") + "\n"
