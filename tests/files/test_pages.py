"""Pages and API of buckets, browsing, and that secrets stay where they are."""

import json
import logging

import pytest
from django.db import connection
from django.utils import timezone
from django.utils.html import escape

from mixadmin.audit.models import Entry
from mixadmin.common.crypto import Secret
from mixadmin.files.models import SourceBucket
from mixadmin.files.sentences import bucket_status
from tests import make
from tests.files.conftest import KEYS
from tests.files.test_buckets import google_key


@pytest.fixture
def pages(project):
    return f"/projects/{project.pk}/files/"


@pytest.fixture
def address(project):
    return f"/api/v1/projects/{project.pk}/buckets/"


def test_a_bucket_is_added_changed_verified_browsed_and_deleted(
    page, pages, s3, project, owner
):
    s3.put_object(Bucket="acme", Key="in/a.json", Body=b"12345")
    body = {"name": "Exports", "provider": "s3", "bucket": "acme", **KEYS}
    answer = page.post(f"{pages}buckets/new/", body, follow=True)
    assert b"Exports was added. Verify it now." in answer.content
    bucket = SourceBucket.objects.get()
    assert json.loads(bucket.credentials.reveal()) == KEYS
    one = f"{pages}buckets/{bucket.pk}/"

    answer = page.post(f"{one}verify/", follow=True)
    assert b"It can be listed and read." in answer.content
    html = page.get(f"{one}browse/").content.decode()
    assert "?path=in%2F" in html
    html = page.get(f"{one}browse/?path=in%2F").content.decode()
    assert "a.json" in html and "5 bytes" in html.replace("\xa0", " ")
    assert 'name="chosen"' not in html, "there is no form to tick for"
    where = f"?place=bucket:{bucket.pk}&amp;path=in/"
    assert f"{pages.replace('files', 'ingestions')}new/{where}" in html
    html = page.get(one).content.decode()
    assert "It can be listed and read." in html
    assert "No file of it was sent yet." in html
    assert "verified (works)" in page.get(f"{one}timeline/").content.decode()

    answer = page.post(
        f"{one}edit/", {"name": "Other", "bucket": "acme", "prefix": "in/"}, follow=True
    )
    assert b"The bucket was changed." in answer.content
    bucket.refresh_from_db()
    assert (bucket.name, bucket.prefix, bucket.verification) == ("Other", "in/", "")
    assert json.loads(bucket.credentials.reveal()) == KEYS

    page.post(f"{one}credentials/", {})
    bucket.refresh_from_db()
    assert not bucket.credentials
    assert page.post(f"{one}delete/", {"typed_name": "other"}).status_code == 422
    answer = page.post(f"{one}delete/", {"typed_name": "Other"}, follow=True)
    assert b"Other was deleted here." in answer.content
    assert not SourceBucket.objects.exists()
    verbs = [e.verb for e in Entry.objects.filter(target_type="files.sourcebucket")]
    assert verbs == [
        "deleted",
        "set credentials",
        "changed",
        "verified (works)",
        "added",
    ]


def test_the_api_does_the_same(api, address, s3):
    s3.put_object(Bucket="acme", Key="in/a.json", Body=b"12345")
    body = {"name": "E", "provider": "s3", "bucket": "acme", "credentials": KEYS}
    answer = api.post(address, body)
    assert answer.status_code == 201, answer.content
    one = answer["Location"]
    assert answer.json()["has_credentials"] is True
    assert api.post(f"{one}verify/", {}).json()["verification"] == "works"
    found = api.get(f"{one}objects/", {"prefix": "in/"}).json()
    assert found["after"] is None
    assert [(e["name"], e["path"], e["size"]) for e in found["entries"]] == [
        ("a.json", "in/a.json", 5)
    ]
    assert api.patch(one, {"prefix": "in/"}).json()["verification"] == ""
    answer = api.post(f"{one}credentials/", {"credentials": None})
    assert answer.json()["has_credentials"] is False
    assert api.delete(one, {"typed_name": "E"}).status_code == 204
    assert api.get(one).status_code == 404


def test_what_goes_wrong_with_a_bucket_is_told(api, address, bucket, settings, s3):
    one = f"{address}{bucket.pk}/objects/"
    bucket.bucket = "no-such-bucket"
    bucket.save()
    answer = api.get(one)
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "file_missing"
    settings.S3_ENDPOINT_URL = "http://127.0.0.1:9"
    answer = api.get(one)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "10"
    assert answer.json()["errors"][0]["code"] == "file_unreachable"


@pytest.mark.parametrize(
    ("bad", "status"),
    [("no-such-bucket", 404), ("unreachable", 502)],
)
def test_a_page_tells_what_goes_wrong_and_what_to_do(
    page, pages, bucket, settings, s3, bad, status
):
    if bad == "unreachable":
        settings.S3_ENDPOINT_URL = "http://127.0.0.1:9"
    bucket.bucket = bad
    bucket.save()
    answer = page.get(f"{pages}buckets/{bucket.pk}/browse/")
    assert answer.status_code == status
    assert b"What to do:" in answer.content


def test_a_bucket_in_use_stays_where_it_points(
    api, address, bucket, project, page, pages
):
    ingestion = make.make_ingestion(project=project, bucket=bucket)
    one = f"{address}{bucket.pk}/"
    answer = api.patch(one, {"bucket": "other"})
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "in_use"
    assert api.patch(one, {"name": "New"}).status_code == 200
    assert api.delete(one, {"typed_name": "New"}).status_code == 409
    answer = page.post(f"{pages}buckets/{bucket.pk}/delete/", {"typed_name": "New"})
    assert answer.status_code == 409
    assert b"Ingestions read from New" in answer.content
    ingestion.ended_at = timezone.now()
    ingestion.save()
    assert api.patch(one, {"bucket": "other"}).status_code == 200
    assert api.delete(one, {"typed_name": "New"}).status_code == 409


def test_a_directory_is_browsed(page, pages, drop, api, project):
    (drop / "in").mkdir()
    (drop / "in" / "a <b>.json").write_bytes(b"123")
    (drop / "in" / "link").symlink_to("/etc/passwd")
    html = page.get(pages).content.decode()
    assert f"{pages}directories/drop/" in html
    html = page.get(f"{pages}directories/drop/").content.decode()
    assert "?path=in" in html
    html = page.get(f"{pages}directories/drop/?path=in").content.decode()
    assert "a &lt;b&gt;.json" in html
    assert "ingestions/new/?place=directory:drop&amp;path=in" in html
    assert "links are not followed" in html
    fragment = page.get(f"{pages}directories/drop/", headers={"HX-Request": "true"})
    assert fragment.content.strip().startswith(b"<section")
    base = f"/api/v1/projects/{project.pk}/directories/"
    assert api.get(base).json() == [{"name": "drop"}]
    entries = api.get(f"{base}drop/", {"path": "in"}).json()["entries"]
    assert [(e["path"], bool(e["problem"])) for e in entries] == [
        ("in/a <b>.json", False),
        (None, True),
    ]


@pytest.mark.parametrize(
    "path", ["..", "/etc", "in/../..", "\x01", "nothing", "x" * 5000]
)
def test_no_address_leads_out_of_a_directory(page, pages, drop, api, project, path):
    (drop.parent / "secret").write_text("s")
    answer = page.get(f"{pages}directories/drop/", {"path": path})
    assert answer.status_code == 404
    assert b"secret" not in answer.content
    base = f"/api/v1/projects/{project.pk}/directories/"
    assert api.get(f"{base}drop/", {"path": path}).status_code in (400, 404)
    assert page.get(f"{pages}directories/other/").status_code == 404
    assert api.get(f"{base}other/").status_code == 404


def test_a_viewer_sees_no_directory_and_no_bucket_content(
    client, viewer, pages, drop, bucket
):
    client.force_login(viewer)
    html = client.get(pages).content.decode()
    assert "directories/drop" not in html
    assert "upload.js" not in html
    assert client.get(f"{pages}directories/drop/").status_code == 403
    assert client.get(f"{pages}buckets/{bucket.pk}/browse/").status_code == 403
    answer = client.get(f"{pages}buckets/{bucket.pk}/")
    assert answer.status_code == 200
    assert 'id="fix"' not in answer.content.decode()
    assert "/browse/" not in answer.content.decode()
    assert client.get(f"{pages}buckets/{bucket.pk}/timeline/").status_code == 200


def test_a_long_directory_is_paged_over_odd_names(page, pages, drop, monkeypatch):
    import os

    from mixadmin.files import places

    monkeypatch.setattr(places, "LINES", 2)
    for name in (b"a", b"caf\xe8", b"caf\xe9", b"caf\xea", b"z"):
        with open(os.fsencode(drop) + b"/" + name, "wb"):
            pass
    seen, url = [], f"{pages}directories/drop/"
    for _ in range(5):
        browse = page.get(url).context["browse"]
        seen += [entry.name for entry, _ in browse.lines]
        url = browse.next_url
        if not url:
            break
    assert seen == ["a", "caf\\udce8", "caf\\udce9", "caf\\udcea", "z"]


def test_no_secret_comes_out(page, pages, api, address, s3, project, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    key = google_key()
    api.post(
        address, {"name": "E", "provider": "s3", "bucket": "acme", "credentials": KEYS}
    )
    api.post(
        address, {"name": "G", "provider": "gcs", "bucket": "acme", "credentials": key}
    )
    seen = []
    for bucket in SourceBucket.objects.all():
        one = f"{address}{bucket.pk}/"
        for answer in (
            api.get(one),
            api.get(address),
            page.get(f"{pages}buckets/"),
            page.get(f"{pages}buckets/{bucket.pk}/"),
            page.get(f"{pages}buckets/{bucket.pk}/edit/"),
            page.get(f"{pages}buckets/{bucket.pk}/credentials/"),
            page.post(
                f"{pages}buckets/{bucket.pk}/credentials/",
                {
                    **KEYS,
                    "access_key_id": "",
                    "google_key": json.dumps({**key, "type": "x"}),
                },
            ),
        ):
            seen.append(answer.content.decode())
        seen.append(repr(bucket) + repr(bucket.credentials))
    api.post(f"{address}{SourceBucket.objects.get(name='E').pk}/verify/", {})
    with connection.cursor() as cursor:
        for table in ("files_sourcebucket", "audit_entry"):
            cursor.execute(f"SELECT * FROM {table}")
            seen += [str(row) for row in cursor.fetchall()]
    text = "".join(seen) + "".join(
        r.getMessage() for r in caplog.records if r.name.startswith("mixadmin")
    )
    for secret in (KEYS["secret_access_key"], key["private_key"][60:120]):
        assert secret not in text


def test_a_form_that_was_refused_shows_no_secret_again(page, pages):
    body = {"name": "", "provider": "s3", "bucket": "acme", **KEYS}
    answer = page.post(f"{pages}buckets/new/", body)
    assert answer.status_code == 422
    assert KEYS["secret_access_key"].encode() not in answer.content


def test_the_keys_are_encrypted_anew_with_the_others(project, settings):
    from io import StringIO

    from cryptography.fernet import Fernet
    from django.core.management import call_command

    bucket = make.make_bucket(project=project, credentials=Secret(json.dumps(KEYS)))
    old = settings.ENCRYPTION_KEYS
    new = Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, *old]
    call_command("rotate_encryption_key", stdout=StringIO())
    settings.ENCRYPTION_KEYS = [new]
    bucket.refresh_from_db()
    assert json.loads(bucket.credentials.reveal()) == KEYS


def test_the_list_of_uploads_tells_what_uses_them(page, pages, project, owner):
    upload = make.make_upload(project=project, name="<b>.json", owner=owner)
    make.make_ingestion(project=project, upload=upload, name="Backfill & more")
    make.make_upload(project=project, name="half", received=1, completed_at=None)
    make.make_upload(project=project, name="gone", removed_at=timezone.now())
    html = page.get(pages).content.decode()
    assert "&lt;b&gt;.json" in html
    assert "Backfill &amp; more" in html
    assert "1 are stored" in html
    assert ">gone<" not in html
    assert ">gone<" in page.get(f"{pages}?state=removed").content.decode()
    assert "half" in page.get(f"{pages}?state=receiving").content.decode()
    assert "No upload fits" in page.get(f"{pages}?q=xyz").content.decode()
    assert 'data-uploads="/api/v1/projects/' in html
    assert "onclick" not in html


@pytest.mark.parametrize(
    ("verification", "words", "fix"),
    [
        ("", "Nobody has tried yet", "Verify"),
        ("works", "Works", ""),
        ("refused", "No <b>", "Set new credentials"),
        ("cannot_reach", "No <b>", "Verify again"),
    ],
)
def test_a_bucket_says_how_it_stands_and_what_mends_it(
    verification, words, fix, project
):
    bucket = make.make_bucket(
        project=project,
        verification=verification,
        verification_detail="" if verification in ("", "works") else "No <b>",
        verified_at=timezone.now() if verification else None,
    )
    found = bucket_status(bucket)
    assert escape(words) in found.words
    assert (found.fix.label if found.fix else "") == fix


def test_a_bucket_names_what_was_sent_from_it(page, pages, bucket, project):
    make.make_ingestion(project=project, bucket=bucket, name="May <i>")
    html = page.get(f"{pages}buckets/{bucket.pk}/").content.decode()
    assert "May &lt;i&gt;" in html
