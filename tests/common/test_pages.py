"""What all pages share: lists in pieces, filters in the URL, refusals, bad requests."""

import pytest
from django.core.exceptions import BadRequest
from django.test import RequestFactory

from mixadmin.common.pages import chips, choice, paged, search, tabs, url_with
from mixadmin.jobs.models import Job
from mixadmin.projects.models import Project
from tests import make


def asked(query="", path="/x/"):
    return RequestFactory().get(f"{path}?{query}")


def follow(queryset, order, size):
    """(the rows of all pieces, the number of pieces), by following `next_url`."""
    rows, pieces, request = [], 0, asked("q=1")
    while True:
        piece = paged(request, queryset, order=order, size=size)
        assert piece.first == len(rows) + 1
        rows, pieces = rows + piece.rows, pieces + 1
        if not piece.next_url:
            assert follow_back(queryset, order, size, piece) == rows
            return rows, pieces
        assert "q=1" in piece.next_url
        request = RequestFactory().get(piece.next_url)


def follow_back(queryset, order, size, piece):
    """The rows of a piece and of all before it, by following `previous_url`."""
    rows = piece.rows
    while piece.previous_url:
        assert "q=1" in piece.previous_url
        before = RequestFactory().get(piece.previous_url)
        earlier = paged(before, queryset, order=order, size=size)
        assert earlier.first == piece.first - len(earlier.rows)
        assert earlier.next_url
        piece, rows = earlier, earlier.rows + rows
    assert piece.first == 1
    assert not piece.start_url
    return rows


@pytest.mark.parametrize(
    "order",
    [("name", "pk"), ("-name", "-pk"), ("-environment", "name", "-pk"), ("pk",)],
)
@pytest.mark.parametrize("size", [1, 4, 12, 13])
def test_pieces_hold_every_row_once_and_in_order(db, order, size):
    for n in range(12):
        Project.objects.create(
            name=f"P{n % 5}",
            mixpanel_id=n + 1,
            region="us",
            environment=("test", "production")[n % 2],
        )
    rows, pieces = follow(Project.objects.all(), order, size)
    assert rows == list(Project.objects.order_by(*order))
    assert pieces == -(-12 // size)


def test_a_row_that_is_added_meanwhile_shifts_nothing(db, owner):
    project = make.make_project(owner=owner)
    jobs = [make.make_job(project=project) for _ in range(6)]
    order = ("-created_at", "-pk")
    first = paged(asked(), Job.objects.all(), order=order, size=3)
    make.make_job(project=project)
    request = RequestFactory().get(first.next_url)
    second = paged(request, Job.objects.all(), order=order, size=3)
    assert {job.pk for job in [*first.rows, *second.rows]} == {job.pk for job in jobs}
    assert second.start_url == "/x/"


def test_the_mark_of_another_list_is_refused(db, owner):
    project = make.make_project(owner=owner)
    for _ in range(2):
        make.make_job(project=project)
    mark = paged(asked(), Job.objects.all(), order=("-created_at", "-pk"), size=1)
    request = RequestFactory().get(mark.next_url)
    with pytest.raises(BadRequest):
        paged(request, Project.objects.all(), order=("name", "pk"))
    with pytest.raises(BadRequest):
        paged(request, Job.objects.all(), order=("-pk",))


def test_urls_keep_the_other_filters_and_start_again():
    request = asked("a=1&b=%26&after=zzz")
    assert url_with(request, c="ü") == "/x/?a=1&b=%26&c=%C3%BC"
    assert url_with(request, a="", b="") == "/x/"


def test_chips_show_what_there_is_and_what_is_chosen():
    found = chips(
        asked("s=b"), "s", [("a", "A"), ("b", "B"), ("c", "C")], {"a": 2, "c": 0}
    )
    assert [(c.label, c.count, c.active) for c in found] == [
        ("All", 2, False),
        ("A", 2, False),
        ("B", 0, True),
    ]
    assert found[1].url == "/x/?s=a"


def test_a_choice_is_one_of_those_allowed():
    assert choice(asked("s=a"), "s", ["a"]) == "a"
    assert choice(asked(), "s", ["a"]) == ""
    with pytest.raises(BadRequest):
        choice(asked("s=b"), "s", ["a"])


def test_words_to_search_for_are_short_and_clean():
    assert search(asked("q=%20a%20")) == "a"
    assert len(search(asked("q=" + "x" * 10_000))) == 200


# --- Through the whole stack


@pytest.mark.parametrize("path", ["/?q=%00", "/projects/?q=a%00b", "/projects/%00/"])
def test_a_nul_in_the_address_is_answered_400(page, path):
    assert page.get(path).status_code == 400


def test_a_form_that_is_too_big_is_answered_400(page):
    url = "/accounts/tokens/"
    big = {"name": "x" * 3_000_000, "days": "30"}
    assert page.post(url, big).status_code == 400
    many = "&".join(f"f{n}=1" for n in range(3_000))
    kind = "application/x-www-form-urlencoded"
    assert page.post(url, many, content_type=kind).status_code == 400


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", "application/json"),
        (b"\xff\xfe\x00", "application/octet-stream"),
        (b"name=%ff%fe&days=30%00", "application/x-www-form-urlencoded"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data; boundary="),
    ],
)
def test_a_body_that_is_no_form_is_answered_4xx(page, body, kind):
    answer = page.post("/accounts/tokens/", body, content_type=kind)
    assert 400 <= answer.status_code < 500


def test_a_refusal_leads_back_only_to_our_own_pages(page, owner, project):
    job = make.make_job(project=project)
    url = f"{job.get_absolute_url()}dismiss/"
    ours = f"http://testserver{job.get_absolute_url()}"
    shown = page.post(url, headers={"Referer": ours}).content.decode()
    assert f'href="{ours}"' in shown
    shown = page.post(url, headers={"Referer": "https://evil.example/"})
    assert "evil.example" not in shown.content.decode()


@pytest.mark.parametrize("pk", [2**63, 10**30])
def test_ids_of_any_size_inside_a_project_are_answered_404(page, project, pk):
    url = f"/projects/{project.pk}/members/{pk}/remove/"
    assert page.post(url).status_code == 404


# --- Live parts -----------------------------------------------------------------------

HTMX = {"HX-Request": "true"}


def test_a_part_that_has_not_changed_is_not_sent_again(page, project):
    make.make_job(project=project, state="queued")
    first = page.get("/jobs/", headers=HTMX)
    again = {**HTMX, "If-None-Match": first["ETag"]}
    same = page.get("/jobs/", headers=again)
    assert (first.status_code, same.status_code) == (200, 304)
    assert same.content == b""
    assert same["ETag"] == first["ETag"]
    make.make_job(project=project, title="Another", state="queued")
    other = page.get("/jobs/", headers=again)
    assert other.status_code == 200
    assert "Another" in other.text
    assert other["ETag"] != first["ETag"]


def test_csrf_masks_and_relative_times_are_no_change(page, project):
    row = make.make_import(project=project)
    make.make_run(warehouse_import=row, state="running", ended_at=None)
    shown = [page.get(row.get_absolute_url(), headers=HTMX) for _ in range(2)]
    assert "csrfmiddlewaretoken" in shown[0].text
    assert shown[0].content != shown[1].content
    assert shown[0]["ETag"] == shown[1]["ETag"]


def test_a_whole_page_is_always_sent(page, project):
    answer = page.get("/jobs/")
    assert "ETag" not in answer
    etag = page.get("/jobs/", headers=HTMX)["ETag"]
    assert page.get("/jobs/", headers={"If-None-Match": etag}).status_code == 200


def test_the_tab_of_this_page_is_marked():
    found = tabs(asked(path="/a/runs/"), ("Overview", "/a/"), ("Runs", "/a/runs/", 3))
    assert [(tab.label, tab.count, tab.active) for tab in found] == [
        ("Overview", None, False),
        ("Runs", 3, True),
    ]
