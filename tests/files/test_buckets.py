"""Reading from buckets: really asked, over a socket, also when the network fails."""

import json
import threading

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mixadmin.common.crypto import Secret
from mixadmin.files import buckets, places
from mixadmin.files.actions import verify_bucket
from mixadmin.files.errors import (
    Changed,
    Missing,
    NotPermitted,
    Transient,
    Unreachable,
    Unusable,
)
from tests import make
from tests.files.conftest import KEYS

BODY = bytes(range(256)) * 4_000


def read_all(bucket, key, found=None, start=0):
    found = found or places.look("bucket", bucket=bucket, path=key)
    with places.open_at(
        "bucket", bucket=bucket, path=key, size=found.size, tag=found.tag, start=start
    ) as stream:
        body = stream.read()
        assert places.still_same("bucket", stream, size=found.size, tag=found.tag)
    return body


@pytest.fixture
def small_ranges(monkeypatch):
    monkeypatch.setattr(buckets, "RANGE", 100_000)


class Cloud:
    """One way to put things into either provider's bucket."""

    def __init__(self, kind, client):
        self.kind, self.client = kind, client

    def put(self, key, body=b"x", **more):
        if self.kind == "s3":
            self.client.put_object(Bucket="acme", Key=key, Body=body, **more)
        else:
            self.client.bucket("acme").blob(key).upload_from_string(body)

    def delete(self, key):
        if self.kind == "s3":
            self.client.delete_object(Bucket="acme", Key=key)
        else:
            self.client.bucket("acme").blob(key).delete()


@pytest.fixture(params=["s3", "gcs"])
def cloud(request):
    return Cloud(request.param, request.getfixturevalue(request.param))


@pytest.fixture
def row(project, cloud):
    return make.make_bucket(project=project, provider=cloud.kind)


def test_an_object_is_looked_at_and_read(cloud, row, small_ranges):
    cloud.put("in/a.json", BODY)
    found = places.look("bucket", bucket=row, path="in/a.json")
    assert (found.name, found.size) == ("in/a.json", len(BODY))
    assert found.tag
    assert read_all(row, "in/a.json", found) == BODY
    for start in (1, 99_999, 100_000, len(BODY) - 1, len(BODY)):
        assert read_all(row, "in/a.json", found, start) == BODY[start:]


def test_reading_leaves_no_thread_behind_that_asks_for_more(cloud, row, monkeypatch):
    cloud.put("in/a.json", BODY)
    begun, start = [], threading.Thread.start

    def noted(self):
        begun.append(self.name)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", noted)
    found = places.look("bucket", bucket=row, path="in/a.json")
    assert read_all(row, "in/a.json", found) == BODY
    places.list_bucket(row, "in/")
    assert not [name for name in begun if "_fetch_background" in name]


def test_a_read_of_some_bytes_gets_just_those(cloud, row, small_ranges):
    cloud.put("a", BODY)
    found = places.look("bucket", bucket=row, path="a")
    with places.open_at(
        "bucket", bucket=row, path="a", size=found.size, tag=found.tag
    ) as f:
        assert f.read(150_000) == BODY[:150_000]
        assert f.read(1) == BODY[150_000:150_001]


def test_an_empty_object_is_read(cloud, row):
    cloud.put("empty", b"")
    assert read_all(row, "empty") == b""


def test_a_replaced_object_is_told_when_it_is_opened(cloud, row):
    cloud.put("a", b"one")
    found = places.look("bucket", bucket=row, path="a")
    cloud.put("a", b"two")
    with pytest.raises(Changed, match="no longer the object"):
        read_all(row, "a", found)


def test_a_missing_object_is_told(cloud, row):
    with pytest.raises(Missing, match="Look what is there"):
        places.look("bucket", bucket=row, path="nothing")
    cloud.put("a", b"one")
    found = places.look("bucket", bucket=row, path="a")
    cloud.delete("a")
    with pytest.raises(Missing):
        read_all(row, "a", found)


def test_a_missing_bucket_is_told(cloud, row):
    row.bucket = "no-such-bucket"
    with pytest.raises(Missing, match="no-such-bucket"):
        places.list_bucket(row)


def test_what_is_outside_of_the_prefix_is_not_there(cloud, row):
    cloud.put("private/a", b"x")
    row.prefix = "public/"
    with pytest.raises(Unusable, match="outside of the prefix"):
        places.look("bucket", bucket=row, path="private/a")
    with pytest.raises(Unusable, match="outside of the prefix"):
        places.list_bucket(row, "private/")


@pytest.mark.parametrize("key", ["", "a/../b", "./a", "a\x00b", "a\nb", "x" * 1025])
def test_a_key_that_no_row_can_hold_is_refused(cloud, row, key):
    with pytest.raises(Unusable):
        places.look("bucket", bucket=row, path=key)


def test_a_bucket_is_listed_by_folders(cloud, row):
    for key in ("b.json", "a/1.json", "a/2.json", "c/deep/x", "ü/ä.json"):
        cloud.put(key, b"12345")
    top = places.list_bucket(row)
    assert [(e.name, e.is_directory, e.size) for e in top.entries] == [
        ("a/", True, None),
        ("b.json", False, 5),
        ("c/", True, None),
        ("ü/", True, None),
    ]
    assert top.after == ""
    inside = places.list_bucket(row, "a/")
    assert [(e.name, e.path) for e in inside.entries] == [
        ("1.json", "a/1.json"),
        ("2.json", "a/2.json"),
    ]
    assert inside.entries[0].changed is not None
    assert read_all(row, "ü/ä.json") == b"12345"


def test_a_long_list_comes_in_pieces_that_hold_everything_once(cloud, row, monkeypatch):
    monkeypatch.setattr(places, "LINES", 3)
    keys = [f"k{n}" for n in range(5)] + ["d/1", "d/2", "z/1"]
    for key in keys:
        cloud.put(key)
    seen, after = [], ""
    while True:
        piece = places.list_bucket(row, after=after)
        assert len(piece.entries) <= 3
        seen += [entry.path for entry in piece.entries]
        after = piece.after
        if not after:
            break
    assert seen == ["d/", "k0", "k1", "k2", "k3", "k4", "z/"]


def test_a_folder_that_is_an_object_is_no_line_in_itself(cloud, row):
    cloud.put("a/", b"")
    cloud.put("a/x", b"1")
    assert [e.path for e in places.list_bucket(row, "a/").entries] == ["a/x"]


def test_keys_that_cannot_be_stored_are_shown_as_such(s3, bucket):
    for key in ("good", "bell\x07", "turn\u202egpj"):
        s3.put_object(Bucket="acme", Key=key, Body=b"x")
    entries = {e.name: e.problem for e in places.list_bucket(bucket).entries}
    assert entries["good"] == ""
    assert "control character" in entries["bell\\x07"]
    assert "direction of text" in entries["turn\\u202egpj"]


def test_a_cut_connection_goes_on_where_it_was(between, s3, bucket, small_ranges):
    s3.put_object(Bucket="acme", Key="a", Body=BODY)
    between.cuts = 3
    assert read_all(bucket, "a") == BODY
    assert between.cuts == 0
    assert len(between.ranges) > len(set(between.ranges))


def test_errors_of_the_service_are_tried_again(between, s3, bucket, small_ranges):
    s3.put_object(Bucket="acme", Key="a", Body=BODY)
    between.statuses = [500, 503, 500, 503]
    assert read_all(bucket, "a") == BODY


def test_a_service_that_stays_away_is_transient(between, s3, bucket, small_ranges):
    s3.put_object(Bucket="acme", Key="a", Body=BODY)
    between.statuses = [503] * 100
    with pytest.raises(Transient, match="Try again"):
        read_all(bucket, "a")


def test_an_object_replaced_while_it_is_read_is_never_mixed(
    between, s3, bucket, small_ranges
):
    s3.put_object(Bucket="acme", Key="a", Body=BODY)

    def replace_it():
        if len(between.ranges) == 4:
            s3.put_object(Bucket="acme", Key="a", Body=BODY[::-1])

    between.before = replace_it
    with pytest.raises(Changed):
        read_all(bucket, "a")


def test_a_bucket_that_never_answers_ends(between, s3, bucket, monkeypatch):
    s3.put_object(Bucket="acme", Key="a", Body=BODY)
    found = places.look("bucket", bucket=bucket, path="a")
    monkeypatch.setattr(buckets, "RANGE_SECONDS", 0.1)
    silence = threading.Event()
    between.before = lambda: silence.wait(30)
    try:
        with pytest.raises(Unreachable, match="did not answer within"):
            read_all(bucket, "a", found)
    finally:
        silence.set()


def test_nobody_there_is_transient(project, settings, cloud, row):
    settings.S3_ENDPOINT_URL = settings.GCS_ENDPOINT_URL = "http://127.0.0.1:9"
    with pytest.raises(Unreachable, match="could not be asked"):
        places.list_bucket(row)


def test_a_bucket_that_works_is_verified(cloud, row, owner):
    cloud.put("a", b"1")
    verify_bucket(source=row, actor=owner)
    row.refresh_from_db()
    assert (row.verification, row.verification_detail) == (
        "works",
        "It can be listed and read.",
    )
    assert row.verified_at


def test_an_empty_bucket_is_verified(cloud, row, owner):
    verify_bucket(source=row, actor=owner)
    assert row.verification == "works"
    assert "Nothing is under the prefix" in row.verification_detail


def test_a_bucket_that_is_away_is_told_as_such(row, owner, settings):
    settings.S3_ENDPOINT_URL = settings.GCS_ENDPOINT_URL = "http://127.0.0.1:9"
    verify_bucket(source=row, actor=owner)
    assert row.verification == "cannot_reach"


@pytest.fixture
def strict(s3, s3_server):
    """S3 that looks at credentials and rights; gives a user with some permissions."""
    import boto3

    def user_who_may(*actions):
        iam = boto3.client(
            "iam",
            endpoint_url=s3_server,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        iam.create_user(UserName="reader")
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
            ],
        }
        if actions:
            iam.put_user_policy(
                UserName="reader", PolicyName="p", PolicyDocument=json.dumps(policy)
            )
        key = iam.create_access_key(UserName="reader")["AccessKey"]
        iam.close()
        requests.post(f"{s3_server}/moto-api/reset-auth", data=b"0", timeout=5)
        return {
            "access_key_id": key["AccessKeyId"],
            "secret_access_key": key["SecretAccessKey"],
        }

    yield user_who_may
    requests.post(f"{s3_server}/moto-api/reset-auth", data=b"1000000000", timeout=5)


@pytest.mark.parametrize(
    ("granted", "state", "words"),
    [
        (["s3:ListBucket", "s3:GetObject"], "works", "listed and read"),
        (["s3:GetObject"], "refused", "s3:ListBucket"),
        (["s3:ListBucket"], "refused", "s3:GetObject"),
        ([], "refused", "s3:ListBucket"),
    ],
)
def test_the_missing_permission_is_named(
    s3, strict, bucket, owner, granted, state, words
):
    s3.put_object(Bucket="acme", Key="a", Body=b"1")
    bucket.credentials = Secret(json.dumps(strict(*granted)))
    bucket.save()
    verify_bucket(source=bucket, actor=owner)
    assert bucket.verification == state
    assert words in bucket.verification_detail


def test_credentials_that_nobody_has_are_refused(s3, strict, bucket, owner):
    strict("s3:*")
    bucket.credentials = Secret(json.dumps(KEYS))
    bucket.save()
    verify_bucket(source=bucket, actor=owner)
    assert bucket.verification == "refused"
    assert "does not accept the credentials" in bucket.verification_detail
    with pytest.raises(NotPermitted) as caught:
        places.list_bucket(bucket)
    for secret in KEYS.values():
        assert secret not in bucket.verification_detail + str(caught.value)


def test_without_any_credentials_it_is_said_what_to_do(s3, bucket, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(NotPermitted, match="Set credentials"):
        places.list_bucket(bucket)


def test_credentials_that_no_key_opens_are_told(s3, bucket, settings):
    bucket.credentials = Secret(json.dumps(KEYS))
    bucket.save()
    bucket.refresh_from_db()
    settings.ENCRYPTION_KEYS = ["c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="]
    with pytest.raises(NotPermitted, match="ENCRYPTION_KEYS"):
        places.list_bucket(bucket)


def google_key():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return {
        "type": "service_account",
        "project_id": "acme",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": "reader@acme.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }


def test_a_google_key_makes_a_client_without_asking_anybody(gcs, bucket, settings):
    from google.cloud import storage

    settings.GCS_ENDPOINT_URL = "https://storage.acme.test"
    client = buckets._gcs_client(storage, google_key())
    assert client._credentials.service_account_email.startswith("reader@")
    assert client._connection.API_BASE_URL == "https://storage.acme.test"


def test_no_key_is_sent_without_tls(gcs, bucket):
    from google.cloud import storage

    client = buckets._gcs_client(storage, google_key())
    assert type(client._credentials).__name__ == "AnonymousCredentials"
