"""The pages for lookup tables, as a person in a browser meets them."""

import csv
import io
import re
import shlex
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import reverse

from mixadmin.common.clock import db_now
from mixadmin.jobs.models import Bucket, Poll
from mixadmin.lookups import actions
from mixadmin.lookups.models import LookupTable, LookupVersion
from tests import make

from .conftest import OLD

State = LookupVersion.State
NEW = b"sku,title,colour\n1,Hat,red\n3,Mug,blue\n4,<b>,=1\n"
HTMX = {"HTTP_HX_REQUEST": "true"}


def url(name, table, *args):
    return reverse(f"lookups:{name}", args=[table.project_id, table.pk, *args])


def post_file(client, table, data, **fields):
    file = SimpleUploadedFile("a.csv", data, "text/csv")
    return client.post(url("replace", table), {**fields, "file": file})


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def words(answer):
    """The text of a page without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text))


def test_an_empty_list_says_where_tables_are_made(page, project):
    shown = words(page.get(reverse("lookups:list", args=[project.pk])))
    assert "Mixpanel's API cannot make one" in shown.replace("&#x27;", "'")


def test_a_list_that_mixpanel_refuses_says_so(page, project, sandbox, poll):
    sandbox.fault(path="/lookup-tables", kind="status", status=403, body={})
    poll(project)
    assert Poll.objects.get(name=actions.POLL).error_message
    shown = words(page.get(reverse("lookups:list", args=[project.pk])))
    assert "could not be asked" in shown


def test_tables_are_searched_sorted_and_told_by_state(page, table, sent):
    sent(OLD)
    make.make_lookup_table(
        project=table.project, name="Gone", mixpanel_id="g", absent_since=db_now()
    )
    where = reverse("lookups:list", args=[table.project_id])
    shown = words(page.get(where))
    assert "Gone from Mixpanel" in shown
    assert "In Mixpanel" in shown
    assert "Version 1" in shown
    assert "Gone" not in words(page.get(where, {"q": "SKU"})).replace(
        "Gone from Mixpanel", ""
    )
    assert "skus" not in page.get(where, {"state": "missing"}).text
    assert "No lookup table fits" in page.get(where, {"q": "x"}).text
    assert page.get(where, {"state": "odd"}).status_code == 400
    first = page.get(where, {"sort": "newest"}).context["lines"][0][0]
    assert first.name == "Gone"
    assert "<html" not in page.get(where, **HTMX).text


def test_a_person_uploads_looks_and_sends(page, table, sent, run_due_jobs, at_mixpanel):
    sent(OLD)
    form = page.get(url("replace", table))
    assert "99 of 100 replacements left today" in words(form)
    assert "The new rows hold for the past too" in words(form)
    answer = post_file(page, table, NEW)
    version = LookupVersion.objects.get(number=2)
    assert (answer.status_code, answer.url) == (302, version.get_absolute_url())
    assert "Being checked" in page.get(answer.url).text
    assert "hx-get" in page.get(answer.url).text

    run_due_jobs()

    shown = words(page.get(answer.url))
    assert "Mixpanel would take it" in shown
    assert "1 added, 1 removed, 1 changed, 1 the same" in shown
    assert "Columns that would be gone: price" in shown
    assert "New columns: colour" in shown
    assert "title: Cup → Mug" in shown
    assert "&lt;b&gt;" in page.get(answer.url).text
    assert "hx-get" not in page.get(answer.url).text

    answer = page.post(url("send", table, 2))
    assert (answer.status_code, answer.url) == (302, version.get_absolute_url())
    assert "being asked to replace" in words(page.get(answer.url))
    run_due_jobs()
    assert "Mixpanel has these rows since" in words(page.get(answer.url))
    assert [row[0] for row in at_mixpanel()] == ["1", "3", "4"]
    shown = words(page.get(url("detail", table)))
    assert "Mixpanel has 3 rows of version 2" in shown
    assert "98 of 100" in shown
    assert "What version 2 changed, against version 1" in shown
    assert "1 added, 1 changed, 1 removed, 1 the same" in page.get(
        url("detail", table)
    ).text.replace("Added", "added")
    shown = words(page.get(url("timeline", table)))
    assert "owner replaced the rows of" in shown


def test_too_many_rows_in_all_tables_are_told(page, table, checked):
    checked(OLD)
    other = make.make_lookup_table(project=table.project, name="o", mixpanel_id="o")
    big = make.make_lookup_version(table=other, state="current", rows=4_999_997)
    assert "would have" not in page.get(url("version", table, 1)).text
    LookupVersion.objects.filter(pk=big.pk).update(rows=4_999_998)
    assert "would have 5,000,001 rows" in words(page.get(url("version", table, 1)))


def test_a_clean_file_goes_at_once_if_ticked(page, table, run_due_jobs):
    post_file(page, table, OLD, send_when_clean="on")
    run_due_jobs()
    assert LookupVersion.objects.get().state == State.CURRENT


def test_a_bad_file_names_what_is_wrong_and_gives_every_bad_row(
    page, table, run_due_jobs
):
    rows = b"".join(b"%d\n" % n for n in range(25))
    post_file(page, table, b"sku,title\n=1,x,y\n" + rows)
    run_due_jobs()
    answer = page.get(url("version", table, 1))
    shown = words(answer)
    assert "would refuse the whole file" in shown
    assert "Too many or too few fields row.field_count, 26 times" in shown
    assert "Download all 26 bad rows" in shown
    assert 'id="send"' not in answer.text
    assert "Upload a corrected file" in shown

    answer = page.get(url("bad_rows", table, 1))
    assert answer["Content-Type"].startswith("text/csv")
    assert answer["Content-Disposition"] == 'attachment; filename="skus-1-bad-rows.csv"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    found = list(csv.reader(io.StringIO(answer.getvalue().decode())))
    assert len(found) == 27
    assert found[1] == [
        "2",
        "1",
        "row.field_count",
        "3 fields, but the header has 2",
        "",
        "'=1,x,y",
    ]
    assert page.post(url("send", table, 1)).status_code == 409


def test_a_file_is_downloaded_as_it_was_or_for_a_spreadsheet(page, table, checked):
    data = b'sku,title\r\n1,"=cmd()"\r\n2,-5\r\n'
    checked(data)
    assert page.get(url("rows", table, 1)).getvalue() == data
    safe = page.get(url("rows", table, 1), {"for": "spreadsheet"}).getvalue()
    assert list(csv.reader(io.StringIO(safe.decode()))) == [
        ["sku", "title"],
        ["1", "'=cmd()"],
        ["2", "'-5"],
    ]
    assert page.get(url("rows", table, 1), {"for": "x"}).status_code == 400
    LookupVersion.objects.update(removed_at=db_now())
    assert page.get(url("rows", table, 1)).status_code == 404
    assert "no longer kept" in page.get(url("version", table, 1)).text


def test_an_old_version_is_brought_back(page, table, sent, run_due_jobs, at_mixpanel):
    sent(OLD)
    sent(b"sku,title,price\n8,Sock,1\n")
    assert "Bring it back" in page.get(url("version", table, 1)).text
    assert "Bring it back" not in page.get(url("version", table, 2)).text
    answer = page.post(url("roll_back", table, 1), {"send_when_clean": "on"})
    assert answer.url == url("version", table, 3)
    run_due_jobs()
    assert len(at_mixpanel()) == 3
    assert "Brought back from" in page.get(answer.url).text


def test_the_same_file_again_is_told_to_be_there(page, table, sent):
    sent(OLD)
    answer = page.get(post_file(page, table, OLD).url)
    assert "which is in Mixpanel, has the same content" in answer.text


def test_mixpanels_refusal_stands_beside_our_rows(page, table, checked, owner, sandbox):
    version = checked(OLD)
    LookupVersion.objects.filter(pk=version.pk).update(
        state=State.REFUSED,
        refused_rows=[
            {"index": 2, "message": "<i>bad</i>"},
            {"index": None, "message": ""},
        ],
    )
    answer = page.get(url("version", table, 1))
    assert "&lt;i&gt;bad" in answer.text
    assert [r["row"] for r in answer.context["refused"]] == [2, None]


def test_a_day_that_is_used_up_says_until_when(page, table):
    now = db_now().timestamp()
    Bucket.objects.create(key=actions.budget_key(table), taken=[now] * 100)
    shown = words(page.get(url("detail", table)))
    assert "0 of 100 replacements left today; the next one is free" in shown


def test_a_difference_with_what_is_no_longer_there_says_so(page, table, sent, checked):
    sent(OLD)
    checked(NEW)
    sent(b"sku,title\n1,x\n")
    assert "no longer in Mixpanel" in page.get(url("version", table, 2)).text


def test_what_may_be_there_is_told(page, table, checked):
    version = checked(OLD)
    LookupVersion.objects.filter(pk=version.pk).update(
        state=State.FAILED, may_be_there=True
    )
    assert "its answer was lost" in page.get(url("detail", table)).text
    assert "whether Mixpanel took it is not known" in words(
        page.get(url("version", table, 1))
    )


def test_the_live_part_loads_the_page_anew_when_its_state_changes(
    page, table, upload, run_due_jobs
):
    upload(OLD)
    where = url("version", table, 1)
    assert "<html" not in page.get(where, **HTMX, HTTP_STAMP="checking").text
    run_due_jobs()
    answer = page.get(where, **HTMX, HTTP_STAMP="checking")
    assert answer["HX-Refresh"] == "true"


def test_a_viewer_looks_and_downloads_and_changes_nothing(
    table, checked, viewer, at_mixpanel
):
    checked(OLD)
    client = as_(viewer)
    shown = client.get(url("version", table, 1)).text
    assert "Mixpanel would take it" in shown
    assert 'id="send"' not in shown
    assert "Upload a CSV" not in client.get(url("detail", table)).text
    assert client.get(url("rows", table, 1)).getvalue() == OLD
    assert client.get(url("replace", table)).status_code == 403
    assert post_file(client, table, NEW).status_code == 403
    for name in ("send", "roll_back"):
        assert client.post(url(name, table, 1)).status_code == 403
    assert LookupVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "Choose a CSV file."),
        (b"", "The file is empty."),
        (b"\x1f\x8bxx", "The compressed file is damaged."),
    ],
)
def test_what_is_no_file_is_told_beside_its_field(page, table, data, said):
    if data is None:
        answer = page.post(url("replace", table), {"file": ""})
    else:
        answer = post_file(page, table, data)
    assert answer.status_code == 422
    assert said in answer.context["form"].errors["file"][0]
    assert not LookupVersion.objects.exists()


def test_more_than_a_file_may_have_is_refused_before_it_is_read(
    page, table, monkeypatch
):
    monkeypatch.setattr("mixadmin.lookups.transfers.MOST_BODY", 100)
    answer = post_file(page, table, b"x" * 1_000)
    assert answer.status_code == 413
    assert "larger than 100 MB" in answer.text
    assert not LookupVersion.objects.exists()


def test_a_connection_that_was_cut_is_not_a_shorter_file(page, table):
    """Neither when the file is cut, nor when only its end mark is."""
    file = SimpleUploadedFile("a.csv", OLD * 100, "text/csv")
    body = encode_multipart(BOUNDARY, {"file": file})
    for missing in (len(BOUNDARY) + 6, 500):
        answer = page.generic(
            "POST",
            url("replace", table),
            body,
            content_type=MULTIPART_CONTENT,
            **{"wsgi.input": io.BytesIO(body[:-missing])},
        )
        assert answer.status_code in (400, 422), answer.status_code
        assert not LookupVersion.objects.exists()


def test_the_forms_token_is_asked_for(owner, table):
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    assert post_file(client, table, OLD).status_code == 403
    client.get(url("replace", table))
    token = client.cookies["csrftoken"].value
    answer = post_file(client, table, OLD, csrfmiddlewaretoken=token)
    assert answer.status_code == 302
    assert LookupTable.objects.get().versions.count() == 1


def test_a_file_larger_than_memory_wants_is_taken(
    page, table, run_due_jobs, at_mixpanel
):
    rows = b"".join(b"%d,%s\n" % (n, b"x" * 80) for n in range(1, 40_001))
    post_file(page, table, b"sku,title\n" + rows, send_when_clean="on")
    run_due_jobs()
    assert (LookupVersion.objects.get().state, len(at_mixpanel())) == (
        "current",
        40_000,
    )


TABS = ("detail", "timeline", "configuration")


@pytest.mark.parametrize("tab", TABS)
def test_each_tab_says_how_the_table_stands(tab, page, table, sent, viewer, stranger):
    sent(OLD)
    LookupTable.objects.update(name="<b>skus")
    answer = page.get(url(tab, table))
    assert "Mixpanel has 3 rows of version 1 , sent" in words(answer)
    assert "<b>skus" not in answer.text
    assert "Upload a CSV" not in as_(viewer).get(url(tab, table)).text
    assert as_(stranger).get(url(tab, table)).status_code == 404


@pytest.mark.parametrize(
    ("state", "said", "fix"),
    [
        ("checking", "Version 2 is being checked. Mixpanel has", None),
        (
            "invalid",
            "Mixpanel would refuse version 2. Mixpanel has",
            "See what is wrong",
        ),
        (
            "ready",
            "Version 2 is checked and was not sent.",
            "Replace all rows by versi",
        ),
        ("sending", "All rows are being replaced by version 2.", None),
        (
            "refused",
            "Mixpanel refused version 2 and changed",
            "See what Mixpanel refused",
        ),
        ("failed", "Version 2 was not sent: <no>", "See why version 2 was not sent"),
    ],
)
def test_the_newest_version_is_told_besides_what_mixpanel_has(
    state, said, fix, page, table, sent
):
    sent(OLD)
    make.make_lookup_version(table=table, number=2, state=state, error_message="<no>")
    answer = page.get(url("detail", table))
    assert said in unescape(words(answer))
    assert "of version 1 , sent" in unescape(words(answer))
    button = re.search(r'id="fix"[^>]*>(.*?)</(?:a|button)>', answer.text, re.S)
    assert (button is None) == (fix is None)
    assert fix is None or fix in button[1]


def test_the_curl_of_a_table_does_what_the_page_does(page, api, table):
    curl = unescape(
        re.search(
            r'<pre id="curl"[^>]*>(.*?)</pre>',
            page.get(url("configuration", table)).text,
            re.S,
        )[1]
    )
    parts = shlex.split(curl.replace("\\\n", ""))
    assert "Authorization: Token $MIXADMIN_TOKEN" in parts
    address = parts[parts.index("PUT") + 1].removeprefix("http://testserver")
    answer = api.put(address, data=OLD, content_type="text/csv")
    assert answer.status_code == 202, answer.content
    assert table.versions.count() == 1


def test_what_sending_and_bringing_back_do_is_told_before(page, table, sent, checked):
    sent(OLD)
    checked(NEW)
    shown = words(page.get(url("version", table, 2)))
    assert "all 3 rows of version 1 are replaced by these 3" in shown
    assert "it counts as one of the day's 100 replacements" in unescape(shown)
    assert "Replace all 3 rows by these 3" in shown
    page.post(url("send", table, 2))
    sent(b"sku,title\n1,x\n")
    shown = words(page.get(url("version", table, 1)))
    assert "all 1 rows of version 3" in shown or "all 1 row of version 3" in shown
    assert "Nothing changes in Mixpanel before that." in shown


def test_the_live_part_takes_few_queries_however_many_versions(
    page, table, upload, django_assert_max_num_queries
):
    for number in range(1, 25):
        make.make_lookup_version(table=table, number=number, state="replaced")
    upload(OLD)
    with django_assert_max_num_queries(15):
        answer = page.get(url("detail", table), **HTMX, HTTP_STAMP="checking")
    assert answer.text.count("<tr>") > 20
