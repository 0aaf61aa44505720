"""The one sentence of an ingestion, its one button, and what its tabs show."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mixadmin.common.clock import db_now
from mixadmin.ingestion import actions, queries, samples
from mixadmin.ingestion.models import COUNTS, Ingestion, IngestionFile, Part
from mixadmin.ingestion.sentences import SENTENCES, Facts, ingestion_status
from tests import make
from tests.make import run_due_jobs

from .conftest import event
from .test_views import url, words

State = Ingestion.State
NOW = timezone.now()
NO_FILES = queries.FileTotals(0, 0, 0, 0, 0, 0)


def facts(files=None, progress=None, **changes):
    books = dict.fromkeys((*COUNTS, "pending"), 0) | changes.pop("books", {})
    return Facts(
        books=books,
        files=queries.FileTotals(**{**_as_dict(NO_FILES), "count": 3, **(files or {})}),
        progress=queries.Progress(
            **{"total": 100, "done": 42, "rate": 0, "bytes_rate": 0, "left": None}
            | (progress or {})
        ),
        **changes,
    )


def _as_dict(totals):
    return {name: getattr(totals, name) for name in type(totals).__slots__}


def said(project, state, told, **changes):
    row = make.make_ingestion(project=project, state=state, **changes)
    found = ingestion_status(row, told)
    sentence = re.sub(r"<[^>]+>", "", str(found.words))
    return sentence, found.fix and found.fix.label, found.tone


def job(state="waiting", **changes):
    return make.make_job(state=state, task="ingestion.send", **changes)


def test_every_state_has_a_sentence():
    assert set(SENTENCES) == set(State)


def test_what_is_going_on(project):
    assert said(project, "checking", facts()) == (
        "Its files are being read and judged, 42% so far. Nothing is sent.",
        None,
        "busy",
    )
    fast = {"rate": 12_345.6, "left": 190.0}
    assert said(project, "sending", facts(progress=fast)) == (
        "Being sent, 42% so far, 12,346 records a second, about 3 min 10 s left.",
        None,
        "busy",
    )
    slices = [{"from": 1, "to": None}, {"from": None, "to": 1}]
    sentence, *_ = said(project, "sending", facts(), slices=slices, slice=1)
    assert sentence == "Slice 2 of 2. Being sent, 42% so far."
    queued = facts(jobs=[job("queued", run_after=NOW)])
    assert said(project, "sending", queued)[0].startswith("Waits for a free worker si")


def test_why_it_waits_and_until_when(project):
    until = NOW + timedelta(minutes=2)
    clock = f"{until:%Y-%m-%d %H:%M:%S} UTC"

    def waits(reason, message="", **changes):
        told = facts(
            jobs=[
                job(wait_reason=reason, run_after=until, error_message=message),
                job(wait_reason=reason, run_after=until + timedelta(hours=1)),
            ],
            books={"held": 12},
        )
        return said(project, "sending", told, **changes)

    assert waits("rate", "Mixpanel asked to wait: records a minute.") == (
        f"Throttled until {clock}: Mixpanel asked to wait: records a minute.",
        None,
        "warn",
    )
    assert waits("breaker", "<b>no</b>")[0] == (
        f"Held back until {clock}: &lt;b&gt;no&lt;/b&gt;"
    )
    assert waits("future")[0] == (
        f"All else is sent. Waits until {clock} for 12 records dated in the future."
    )
    account = project.service_account
    refused = facts(jobs=[job(wait_reason="credential", service_account=account)])
    sentence, fix, tone = said(project, "sending", refused)
    assert tone == "bad"
    assert sentence.startswith("Stopped: the service account was refused.")
    assert fix == "Set a new secret"
    # One of two that waits is not all of it.
    one_of_two = facts(jobs=[job(wait_reason="rate"), job("sending")])
    assert said(project, "sending", one_of_two)[0].startswith("Being sent")


def test_what_waits_for_a_person_names_its_set(project):
    verdict = "Of 30 events 29 would be imported and 1 refused."
    assert said(project, "ready", facts(verdict=verdict, would_import=29)) == (
        f"Checked, and nothing was sent yet. {verdict}",
        "Start sending 29 events",
        "warn",
    )
    none = facts(verdict="There is no event in it.", would_import=0)
    assert said(project, "ready", none)[1] == "Check again with other settings"
    assert said(project, "paused", facts())[:2] == (
        "Paused with 42% sent. What was under way has been written down; it goes on "
        "where it was.",
        "Resume",
    )
    slices = [{}, {}, {}]
    assert said(
        project, "gated", facts(), slices=slices, slice=1, most_refused_percent=2.5
    )[:2] == (
        "Slice 2 of 3 ended with more than 2.5 % refused. The next one waits for you.",
        "Send the next slice, 3 of 3",
    )
    undecided = facts(unknown=3, books={"unsettled": 1041})
    assert said(project, "needs_decision", undecided)[:2] == (
        "All else is sent. Whether 1,041 updates arrived, nobody can tell from here: "
        "3 batches must be decided about.",
        "Decide 3 batches",
    )
    assert said(project, "sending", undecided)[1] == "Decide 3 batches"


def test_how_it_ended(project):
    times = {"started_at": NOW - timedelta(seconds=200), "ended_at": NOW}
    clock = f"{NOW:%Y-%m-%d %H:%M:%S} UTC"
    good = facts(books={"read": 30_112, "imported": 30_110, "dropped": 2})
    assert said(project, "succeeded", good, **times) == (
        f"30,110 records imported, 2 left out as asked, {clock} after 3 min 20 s.",
        None,
        "good",
    )
    books = {"read": 2_000, "imported": 959, "refused": 1_000, "invalid": 41}
    some = facts(books=books, resendable=1041)
    assert said(project, "succeeded_with_errors", some, **times) == (
        f"Ended {clock}: 959 of 2,000 records imported; 1,000 refused by Mixpanel, 41 "
        "invalid and not sent.",
        "Resend 1,041 rejected records",
        "warn",
    )
    broken = facts(books=books, resendable=1041, files={"failed": 1})
    assert said(project, "succeeded_with_errors", broken, **times)[1] == (
        "Retry 1 of 3 files"
    )
    again = make.make_ingestion(project=project, name="<i>again")
    resent = facts(books=books, resendable=1041, resent=again)
    sentence, fix, _ = said(project, "succeeded_with_errors", resent, **times)
    assert sentence.endswith("Rejected records were sent again as &lt;i&gt;again.")
    assert fix is None
    failed = facts(files={"unfinished": 2}, books={"imported": 1})
    told = {"error_kind": "token_refused", "error_message": "x", **times}
    sentence, fix, tone = said(project, "failed", failed, **told)
    assert sentence.startswith(f"Failed {clock}: ")
    assert sentence.endswith("1 record imported before.")
    assert (fix, tone) == ("Retry 2 of 3 files", "bad")
    assert said(project, "cancelled", facts(), **times)[0] == (
        f"Cancelled {clock}. Nothing was imported."
    )


# --- Tabs -----------------------------------------------------------------------------


TABS = ("detail", "files", "findings", "rejected", "timeline", "configuration")


@pytest.fixture
def odd(file, ingest, sandbox):
    """One with a rejected record, and with markup wherever somebody's text goes."""
    records = [event(n) for n in range(40)]
    records[3] = event(3, time="<script>alert(1)</script>")
    return ingest(file(records, "<b>odd.ndjson"), name="<img src=x>", check_first=True)


@pytest.mark.parametrize("tab", TABS)
def test_each_tab_has_the_sentence_and_nobody_elses_markup(tab, odd, page):
    answer = page.get(url(tab, odd))
    html = answer.content.decode()
    assert "39 of 40 records imported" in words(answer)
    assert "<img src=x>" not in html
    assert "<script>alert" not in html
    assert "<b>odd" not in html
    assert html.count('aria-current="page"') >= 1
    assert "hx-get" not in html, "it has ended"


@pytest.mark.parametrize("tab", TABS)
def test_a_viewer_sees_every_tab_and_no_button(tab, odd, viewer, client):
    client.force_login(viewer)
    html = client.get(url(tab, odd)).content.decode()
    assert 'id="fix"' not in html
    inside = html.split('<main id="main"')[1].split("</main>")[0]
    posts = re.findall(r'<form method="post" action="([^"]+)"', inside)
    assert posts == []
    assert "Resend rejected records" not in html


def test_a_stranger_finds_no_tab(odd, stranger, client):
    client.force_login(stranger)
    assert [client.get(url(tab, odd)).status_code for tab in TABS] == [404] * 6


def test_counts_add_up_for_each_file_and_in_total(file, ingest, page, sandbox):
    def records(bad, good):
        return [b"{"] * bad + [event(n) for n in range(good)]

    done = ingest(file(records(3, 20), "a.ndjson"), file(records(0, 7), "b.ndjson"))
    html = page.get(url("files", done)).content.decode()
    rows = [
        [
            unescape(re.sub(r"<[^>]+>|\s", " ", cell)).strip()
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)
        ]
        for row in re.findall(r"<tr>(.*?)</tr>", html, re.S)
    ]
    head, first, second, total = rows
    at = {name: head.index(name) for name in ("Read", "Imported", "Refused", "Held")}
    assert [row[at["Read"]] for row in (first, second, total)] == ["23", "7", "30"]
    assert [row[at["Imported"]] for row in (first, second, total)] == ["20", "7", "27"]
    start, end = at["Imported"], head.index("Size")
    for row in (first, second, total):
        assert int(row[at["Read"]]) == sum(int(cell) for cell in row[start:end])
    assert head[start:end] == ["Imported", "Refused", "Invalid", "Held"]


def test_a_file_that_is_done_freezes_and_one_that_waits_has_not_begun(project, page):
    row = make.make_ingestion(project=project, state="sending", started_at=NOW)
    times = {"started_at": NOW - timedelta(seconds=90), "ended_at": NOW}
    IngestionFile.objects.create(
        ingestion=row, name="done", place="path", size=10, state="done", **times
    )
    IngestionFile.objects.create(ingestion=row, name="next", place="path", size=0)
    text = words(page.get(url("files", row))).split("Began, took")[1]
    assert "1 min 30 s" in text
    assert "so far" not in text
    assert "not yet" in text
    assert "unknown" in text, "how far one of unknown size is"


def test_the_live_part_takes_few_queries_however_much_there_is(
    project, page, django_assert_num_queries
):
    def full(n):
        row = make.make_ingestion(project=project, state="sending", started_at=NOW)
        for number in range(n):
            file = IngestionFile.objects.create(
                ingestion=row, name=str(number), place="path", size=9, state="sending"
            )
            Part.objects.create(file=file, ordinal=0, read=1, imported=1)
            samples.add(row, now=NOW.timestamp() + 15 * number, read=10)
            job = make.make_job(project=project, state="sending", task="ingestion.send")
            type(job).objects.filter(pk=job.pk).update(
                target_type=row._meta.label_lower, target_id=str(row.pk)
            )
        return row

    live = {"HX-Request": "true", "Stamp": "sending"}
    for tab, most in (("detail", 17), ("files", 17), ("timeline", 15)):
        with CaptureQueriesContext(connection) as few:
            page.get(url(tab, full(1)), headers=live)
        row = full(12)
        with CaptureQueriesContext(connection) as many:
            page.get(url(tab, row), headers=live)
        asked = [q["sql"] for q in many if "INSERT" not in q["sql"]]
        assert len(asked) <= len([q for q in few if "INSERT" not in q["sql"]])
        assert len(asked) <= most, (tab, len(asked))


def test_the_chart_tells_throughput_and_throttling(project, page):
    began = db_now() - timedelta(minutes=5)
    row = make.make_ingestion(project=project, state="sending", started_at=began)
    IngestionFile.objects.create(ingestion=row, name="a", place="path", size=9)
    start = began.timestamp()
    for minute in (0, 1, 4):
        samples.add(row, now=start + 60 * minute, read=1500)
    samples.hold(row, now=start + 70, until=start + 200, reason="rate")
    html = page.get(url("detail", row)).content.decode()
    assert 'id="throughput"' in html
    assert "Throttled, until" in html
    assert "Records per second" in html


def test_rejected_records_are_filtered_by_reason_and_add_up(project, page):
    row = make.make_ingestion(project=project, state="failed", ended_at=NOW)
    for code, message, count in (
        ("mixpanel", "bad <b>", 1000),
        ("record.not_json", "no", 40),
        ("record.not_json", "nor this", 1),
    ):
        make.make_rejected_group(ingestion=row, code=code, message=message, count=count)
    where = url("rejected", row)
    text = words(page.get(where))
    assert "1,041 rejected records, by reason" in text
    assert "3 groups 1,041" in text
    text = words(page.get(where, {"code": "record.not_json"}))
    assert "2 groups shown by this filter 41 of 1,041 rejected records" in text
    assert "1 group shown by this filter 1,000" in words(page.get(where, {"q": "<B"}))
    assert "No rejected record fits" in words(page.get(where, {"q": "zzz"}))
    assert page.get(where, {"code": "nonsense"}).status_code == 400
    assert "bad &lt;b&gt;" in page.get(where).content.decode()


def test_while_it_is_sent_its_rejected_records_are_looked_at_only(
    file, create, page, settings
):
    settings.INGEST_EVENTS_PER_MINUTE = 100
    ingestion = create(file([b"{"] + [event(n) for n in range(300)]), batch_records=50)
    run_due_jobs()
    ingestion.refresh_from_db()
    assert ingestion.state == State.SENDING
    text = words(page.get(url("rejected", ingestion)))
    assert "They can be sent again once this ingestion has ended" in text
    assert "Resend rejected records" not in text
    actions.cancel_ingestion(ingestion=ingestion, actor=ingestion.created_by)
    assert "Resend rejected records" in words(page.get(url("rejected", ingestion)))
