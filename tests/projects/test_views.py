"""The pages of projects, and who may do what there."""

import csv
import io
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mixadmin.common.crypto import Secret
from mixadmin.jobs.models import Poll
from mixadmin.projects.models import Membership, Project
from tests import make

CREATE = "/projects/create/"
DISCOVER = "/projects/discover/"

GOOD = {
    "name": "Web shop",
    "mixpanel_id": "77",
    "region": "eu",
    "environment": "test",
    "token": "t" * 32,
    "organization_id": "1",
    "is_b2b": "on",
}


def text(answer):
    return answer.content.decode()


def without_csrf(answer):
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", text(answer))


def pages_of(project):
    names = ("detail", "edit", "verify", "forget", "members")
    return {name: reverse(f"projects:{name}", args=[project.pk]) for name in names}


# --- Who


def test_a_stranger_finds_nothing(project, stranger, client):
    client.force_login(stranger)
    for url in pages_of(project).values():
        assert client.get(url).status_code in (404, 405)
        assert client.post(url).status_code == 404
    assert "Shop" not in text(client.get("/projects/"))


def test_the_answer_for_a_strangers_project_is_that_for_none(project, stranger, client):
    client.force_login(stranger)
    theirs = client.get(f"/projects/{project.pk}/")
    nobodys = client.get("/projects/999999/")
    assert theirs.status_code == nobodys.status_code == 404
    # But for what names the request itself.
    assert without_csrf(theirs).replace(theirs["X-Request-ID"], "") == without_csrf(
        nobodys
    ).replace(nobodys["X-Request-ID"], "")


@pytest.mark.parametrize("pk", [0, 2**31, 2**63, 10**30])
def test_an_id_of_any_size_is_answered_404(page, pk):
    assert page.get(f"/projects/{pk}/").status_code == 404
    assert page.post(f"/projects/{pk}/verify/").status_code == 404
    assert page.get(f"/jobs/?project={pk}").status_code in (400, 404)


def test_a_viewer_sees_and_does_not_change(project, viewer, client):
    client.force_login(viewer)
    pages = pages_of(project)
    answer = client.get(pages["detail"])
    assert answer.status_code == 200
    assert pages["forget"] not in text(answer)
    assert client.get(pages["members"]).status_code == 200
    for name in ("edit", "forget"):
        assert client.get(pages[name]).status_code == 403
    for name in ("edit", "verify", "forget", "members"):
        answer = client.post(pages[name], {"typed_name": "Shop"})
        assert answer.status_code == 403, name
        assert "role editor" in text(answer)
    assert Project.objects.filter(pk=project.pk, verification="").exists()


# --- List


def test_a_list_without_projects_shows_the_next_step(page):
    answer = page.get("/projects/")
    assert answer.status_code == 200
    assert DISCOVER in text(answer)


def test_the_list_counts_by_verification_and_filters(page, owner):
    account = make.make_service_account(owner=owner)
    for n, state in enumerate(("works", "works", "no_access", "")):
        make.make_project(
            owner=owner,
            service_account=account,
            name=f"P{n}",
            mixpanel_id=n + 1,
            verification=state,
        )
    answer = page.get("/projects/?state=works")
    assert {c.value: c.count for c in answer.context["tallies"]} == {
        "": 4,
        "never": 1,
        "works": 2,
        "no_access": 1,
    }
    assert [p.name for p in answer.context["paged"].rows] == ["P0", "P1"]
    never = page.get("/projects/?state=never").context["paged"].rows
    assert [p.name for p in never] == ["P3"]
    assert page.get("/projects/?state=nonsense").status_code == 400


def test_search_finds_by_name_and_by_mixpanel_id(page, project):
    for q in ("sho", str(make.MIXPANEL_ID)):
        assert page.get("/projects/", {"q": q}).context["paged"].rows == [project]
    for q in ("nothing", "9" * 400, "%", "😀", "²"):
        answer = page.get("/projects/", {"q": q})
        assert answer.status_code == 200
        assert answer.context["paged"].rows == []


def test_pages_of_the_list_follow_one_another_without_a_gap(page, owner):
    account = make.make_service_account(owner=owner)
    for n in range(120):
        make.make_project(
            owner=owner,
            service_account=account,
            name=f"P{n // 3:03}",
            mixpanel_id=n + 1,
        )
    seen, url, pieces = [], "/projects/", 0
    while url:
        paged = page.get(url).context["paged"]
        seen += [p.pk for p in paged.rows]
        url, pieces = paged.next_url, pieces + 1
    assert pieces == 3
    assert seen == list(
        Project.objects.order_by("name", "pk").values_list("pk", flat=True)
    )


@pytest.mark.parametrize("after", ["x", "a:b:c", "😀", "x" * 5000])
def test_a_piece_that_we_did_not_name_is_answered_400(page, project, after):
    assert page.get("/projects/", {"after": after}).status_code == 400


def test_the_list_needs_as_many_queries_for_forty_as_for_one(
    page, project, owner, django_assert_num_queries
):
    with CaptureQueriesContext(connection) as one:
        page.get("/projects/")
    for n in range(40):
        account = make.make_service_account(username=f"a{n}", owner=owner)
        extra = make.make_project(
            owner=owner, service_account=account, name=f"P{n}", mixpanel_id=n + 1
        )
        make.make_job(project=extra)
    with django_assert_num_queries(len(one)):
        page.get("/projects/")


# --- Create and edit


def test_whoever_adds_a_project_becomes_its_editor(page, owner, sandbox):
    account = make.make_service_account(owner=owner, region="eu")
    answer = page.post(CREATE, {**GOOD, "service_account": account.pk})

    project = Project.objects.get()
    assert answer.status_code == 302
    assert answer.url == project.get_absolute_url()
    assert (project.name, project.mixpanel_id) == ("Web shop", 77)
    assert (project.region, project.environment) == ("eu", "test")
    assert project.is_b2b
    assert project.organization_id == 1
    assert project.token.reveal() == "t" * 32
    assert project.service_account == account
    assert project.memberships.get().user == owner
    assert "was added" in text(page.get(answer.url))


BAD = [
    ({"name": ""}, "name", "Name is required."),
    ({"name": "x" * 121}, "name", "at most 120 characters"),
    ({"name": "x" * 1_000_000}, "name", "at most 120 characters"),
    ({"name": "a\0b"}, "name", "Contains a NUL character. Remove it."),
    ({"name": "a\nb"}, "name", "Contains a line break. Remove it."),
    ({"mixpanel_id": ""}, "mixpanel_id", "Mixpanel project id is required."),
    ({"mixpanel_id": "abc"}, "mixpanel_id", "must be an integer"),
    ({"mixpanel_id": "1.5"}, "mixpanel_id", "must be an integer"),
    ({"mixpanel_id": "0"}, "mixpanel_id", "greater than or equal to 1"),
    ({"mixpanel_id": "9" * 39}, "mixpanel_id", "less than or equal to"),
    ({"mixpanel_id": "9" * 9000}, "mixpanel_id", "must be an integer"),
    ({"mixpanel_id": "1\0"}, "mixpanel_id", "must be an integer"),
    ({"mixpanel_id": str(make.MIXPANEL_ID)}, "mixpanel_id", "is registered already"),
    ({"region": ""}, "region", "Data residency region is required."),
    ({"region": "mars"}, "region", "is not a valid choice"),
    ({"region": "\0"}, "region", "is not a valid choice"),
    ({"environment": "x" * 1_000_000}, "environment", "is not a valid choice"),
    ({"token": "a\0b"}, "token", "Contains a NUL character. Remove it."),
    ({"token": "x" * 1_000_000}, "token", "Too long"),
    ({"organization_id": "-1"}, "organization_id", "greater than or equal to 1"),
    ({"organization_id": "one"}, "organization_id", "must be an integer"),
    (
        {"service_account": "999"},
        "service_account",
        "There is no such service account.",
    ),
    ({"service_account": "9" * 30}, "service_account", "There is no such"),
    ({"service_account": "x\0"}, "service_account", "There is no such"),
]


@pytest.mark.parametrize(("bad", "field", "words"), BAD)
def test_a_bad_project_is_refused_beside_its_field(page, project, bad, field, words):
    answer = page.post(CREATE, {**GOOD, **bad})

    assert answer.status_code == 422
    assert words in " ".join(answer.context["form"].errors[field])
    assert Project.objects.count() == 1
    assert f'id="id_{field}_error"' in text(answer)
    assert f"id_{field}_error" in str(answer.context["form"][field])
    assert 'aria-invalid="true"' in str(answer.context["form"][field])


def test_an_empty_form_is_answered_422(page):
    assert page.post(CREATE, {}).status_code == 422


def test_the_account_of_somebody_else_does_not_exist(page, stranger):
    theirs = make.make_service_account(owner=stranger, region="eu")
    assert theirs.username not in text(page.get(CREATE))
    answer = page.post(CREATE, {**GOOD, "service_account": theirs.pk})
    assert answer.status_code == 422
    assert "There is no such service account." in text(answer)


def test_the_token_is_never_shown_nor_filled_again(page, project):
    Project.objects.update(token=Secret("topsecrettoken"))
    pages = pages_of(project)
    answer = page.post(pages["edit"], {"name": "", "token": "newsecrettoken"})
    assert answer.status_code == 422
    for shown in (answer, page.get(pages["edit"]), page.get(pages["detail"])):
        assert "secrettoken" not in text(shown)


def test_an_edit_changes_what_was_given_and_keeps_the_token(page, project):
    Project.objects.update(token=Secret("old"))
    values = {
        "name": "Shop 2",
        "environment": "test",
        "service_account": project.service_account_id,
        "token": "",
    }
    answer = page.post(pages_of(project)["edit"], values)
    project.refresh_from_db()
    assert answer.status_code == 302
    assert project.name == "Shop 2"
    assert project.token.reveal() == "old"
    assert project.service_account_id == values["service_account"]


def test_a_refused_edit_shows_the_old_name_in_the_head(page, project):
    answer = page.post(pages_of(project)["edit"], {"name": "x" * 200})
    assert answer.status_code == 422
    assert "Edit Shop" in text(answer)


# --- Verify


def test_verify_asks_mixpanel_and_shows_the_answer(page, project):
    answer = page.post(pages_of(project)["verify"], follow=True)
    project.refresh_from_db()
    assert project.verification == "works"
    assert "The service account sees this project" in text(answer)
    assert page.get(pages_of(project)["verify"]).status_code == 405


def test_verify_tells_a_wrong_region(page, owner, sandbox, project):
    make_eu = make.make_service_account(username="eu.ops", region="eu", owner=owner)
    sandbox.add_service_account(
        "eu.ops", make.SECRET, organization_id=1, projects={}, region="eu"
    )
    Project.objects.update(region="eu", service_account=make_eu)
    answer = page.post(pages_of(project)["verify"], follow=True)
    project.refresh_from_db()
    assert project.verification == "wrong_region"
    assert "Wrong region" in text(answer)


def test_verify_tells_that_mixpanel_cannot_be_reached(page, project, settings):
    settings.MIXPANEL_APP_URL = "http://127.0.0.1:9/{region}/api/app"
    answer = page.post(pages_of(project)["verify"], follow=True)
    project.refresh_from_db()
    assert project.verification == "cannot_reach"
    assert "Cannot reach Mixpanel" in text(answer)


# --- Forget


def test_forget_needs_the_name(page, project):
    url = pages_of(project)["forget"]
    for typed in ("", "shop", "x\0", "x" * 1_000_000):
        answer = page.post(url, {"typed_name": typed})
        assert answer.status_code == 422
        assert "Type the project" in text(answer)
    assert page.post(url, {"typed_name": "Shop"}).url == "/projects/"
    assert not Project.objects.exists()


def test_a_project_is_forgotten_with_the_files_that_it_sent(page, project, owner):
    make.make_ingestion(
        project=project, upload=make.make_upload(project=project, owner=owner)
    )
    make.make_ingestion(project=project, bucket=make.make_bucket(project=project))
    page.post(pages_of(project)["forget"], {"typed_name": "Shop"})
    assert not Project.objects.exists()


def test_a_project_with_unfinished_jobs_is_not_forgotten(page, project):
    make.make_job(project=project)
    answer = page.post(pages_of(project)["forget"], {"typed_name": "Shop"})
    assert answer.status_code == 409
    assert "Some of its jobs are not finished" in text(answer)


# --- Members


def test_an_editor_adds_changes_and_removes_members(page, project, stranger, viewer):
    url = pages_of(project)["members"]
    page.post(url, {"username": "stranger", "role": "viewer"})
    page.post(url, {"username": "viewer", "role": "editor"})
    roles = dict(project.memberships.values_list("user__username", "role"))
    assert roles == {"owner": "editor", "viewer": "editor", "stranger": "viewer"}

    member = Membership.objects.get(user=stranger)
    remove = reverse("projects:member_remove", args=[project.pk, member.pk])
    assert page.get(remove).status_code == 405
    assert page.post(remove).url == url
    assert page.post(remove).status_code == 404


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"username": "nobody", "role": "viewer"}, "no person with this username"),
        ({"username": "", "role": "viewer"}, "no person with this username"),
        ({"username": "a\0", "role": "viewer"}, "Contains a NUL character"),
        ({"username": "x" * 1_000_000, "role": "viewer"}, "Too long"),
        ({"username": "stranger", "role": "king"}, "is not a valid choice"),
        ({"username": "stranger", "role": "\0"}, "is not a valid choice"),
        ({}, "no person with this username"),
    ],
)
def test_a_bad_member_is_refused_in_words(page, project, stranger, values, words):
    answer = page.post(pages_of(project)["members"], values)
    assert answer.status_code == 422
    assert words in text(answer)
    assert project.memberships.count() == 2


def test_the_last_editor_stays(page, project, owner):
    member = Membership.objects.get(user=owner)
    remove = reverse("projects:member_remove", args=[project.pk, member.pk])
    answer = page.post(remove)
    assert answer.status_code == 409
    assert "at least one editor" in text(answer)
    answer = page.post(
        pages_of(project)["members"], {"username": "owner", "role": "viewer"}
    )
    assert answer.status_code == 409


# --- Discover


def test_discover_lists_what_the_account_sees_and_adds_what_is_ticked(
    page, project, sandbox
):
    account = project.service_account
    for pk, name in ((11, "Alpha"), (12, "Beta")):
        sandbox.add_project(pk, name, region="us", organization_id=1)
        sandbox.add_service_account(
            make.USERNAME,
            make.SECRET,
            organization_id=1,
            role="admin",
            projects={make.MIXPANEL_ID: "admin", 11: "admin", 12: "admin"},
            region="us",
        )
    url = f"{DISCOVER}?account={account.pk}"
    answer = page.get(url)
    assert answer.status_code == 200
    assert "Alpha" in text(answer)
    assert "here already" in text(answer)

    answer = page.post(url, {"mixpanel_ids": ["11", "12"]})
    assert answer.status_code == 302
    added = Project.objects.exclude(pk=project.pk)
    assert {p.name for p in added} == {"Alpha", "Beta"}
    assert {p.service_account for p in added} == {account}


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([], "Choose at least one project."),
        (["4242"], "does not see 4242"),
        (["x"], "Must be a whole number."),
        (["1\0"], "Must be a whole number."),
        (["9" * 9000], "Must be a whole number."),
    ],
)
def test_bad_ticks_are_refused_in_words(page, project, ids, words):
    url = f"{DISCOVER}?account={project.service_account_id}"
    answer = page.post(url, {"mixpanel_ids": ids})
    assert answer.status_code == 422
    assert words in text(answer)
    assert Project.objects.count() == 1


@pytest.mark.parametrize("account", ["999999", "x", "", "9" * 40])
def test_discover_with_no_such_account(page, project, account):
    answer = page.get(DISCOVER, {"account": account})
    assert answer.status_code in (200, 422)
    assert "What " not in text(answer)


def test_a_viewer_does_not_look_around_with_the_projects_account(
    project, viewer, client
):
    client.force_login(viewer)
    answer = client.get(f"{DISCOVER}?account={project.service_account_id}")
    assert answer.status_code == 403


def test_discover_says_what_to_do_when_mixpanel_is_away(page, project, settings):
    settings.MIXPANEL_APP_URL = "http://127.0.0.1:9/{region}/api/app"
    answer = page.get(f"{DISCOVER}?account={project.service_account_id}")
    assert answer.status_code == 502
    assert "Mixpanel could not be reached" in text(answer)
    assert "What to do:" in text(answer)


# --- Live


def test_the_detail_refreshes_itself_more_often_while_something_goes_on(page, project):
    url = pages_of(project)["detail"]
    assert 'hx-trigger="every 30s' in text(page.get(url))
    job = make.make_job(project=project)
    assert f'hx-get="{url}" hx-trigger="every 4s' in text(page.get(url))

    fragment = page.get(url, headers={"HX-Request": "true"})
    assert text(fragment).lstrip().startswith('<section id="project-status"')
    assert job.title in text(fragment)
    assert "HX-Request" in fragment["Vary"]


def test_the_detail_tells_of_polls_that_fail(page, project):
    Poll.objects.create(
        name="inventory",
        project=project,
        next_at=make.db_now(),
        error_kind="unreachable",
        error_message="No connection to Mixpanel.",
    )
    assert "No connection to Mixpanel." in text(page.get(pages_of(project)["detail"]))


def test_every_change_is_had_as_a_file(page, project, owner, viewer, client):
    row = make.make_import(project=project)
    page.post(f"/projects/{project.pk}/imports/{row.pk}/rename/", {"name": "=Sales"})
    where = f"/projects/{project.pk}/timeline/"
    assert f"{where}?export=csv" in page.get(where).text
    answer = page.get(f"{where}?export=csv")
    text = b"".join(answer.streaming_content).decode()
    [line] = csv.DictReader(io.StringIO(text))
    assert (line["Who"], line["Did"], line["What"]) == ("owner", "renamed", "'=Sales")
    assert line["Changes"] == '{"name": ["Orders", "=Sales"]}'
    client.force_login(viewer)
    assert client.get(f"{where}?export=csv").status_code == 200
