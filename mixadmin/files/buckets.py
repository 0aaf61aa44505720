"""Reading from buckets of Amazon S3 and Google Cloud Storage.

Both libraries are imported where they are used: they take a second to load, which no
page that has nothing to do with buckets should wait for. Their own timeouts are per
read, so each call has a deadline of its own here.
"""

import io
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO, Generic, NoReturn, TypeVar, cast

from django.conf import settings

from mixadmin.common.crypto import CannotDecrypt
from mixadmin.common.rules import shown

from .disk import Entry, Listing
from .errors import Changed, Missing, NotPermitted, PlaceError, Unreachable, Unusable
from .kinds import KINDS, key_problem
from .models import SourceBucket

T = TypeVar("T")

CONNECT, READ = 5, 20
# A call that asks, and a range that is read, in total.
ASK_SECONDS = 45.0
RANGE_SECONDS = 120.0
RANGE = 8 * 1024**2
# Between the attempts to read one range.
PAUSES = (1.0, 4.0, 15.0)


# Google's library would else ask for the bucket itself with each call, in a thread that
# outlives it, with a right that we may not have and for traces that nobody reads.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")


@dataclass(frozen=True, slots=True)
class Stat:
    size: int
    tag: str


@dataclass(frozen=True, slots=True)
class Line:
    """An object or, without a size, what keys up to a slash have in common."""

    key: str
    size: int | None = None
    changed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """What can be done with one bucket, whoever provides it. Raises PlaceError.

    lines: those after a key in the order of their bytes, at least `limit` of them if
    there are so many. missing_permissions: of those that `Kind.permissions` names.
    """

    stat: Callable[[str], Stat]
    read: Callable[[str, Stat, int, int], bytes]
    lines: Callable[[str, str, int], list[Line]]
    missing_permissions: Callable[[], list[str]]
    close: Callable[[], None]


def look(bucket: SourceBucket, key: str) -> tuple[int, str]:
    """(size, tag) of an object."""
    _require_key(bucket, key)
    found = _ask(bucket, lambda reader: reader.stat(key))
    return found.size, found.tag


@contextmanager
def open_at(
    bucket: SourceBucket, key: str, *, size: int, tag: str, start: int
) -> Iterator[BinaryIO]:
    """The stored bytes of an object from `start`, all of the same content."""
    _require_key(bucket, key)
    wanted = Stat(size, tag)
    reader = _within(ASK_SECONDS, lambda: _reader(bucket))
    try:
        if _within(ASK_SECONDS, lambda: reader.stat(key)) != wanted:
            raise _changed(key)
        with _ObjectStream(partial(reader.read, key, wanted), start, size) as raw:
            yield cast(BinaryIO, io.BufferedReader(raw, 256 * 1024))
    finally:
        reader.close()


def list_keys(bucket: SourceBucket, prefix: str, *, after: str, limit: int) -> Listing:
    prefix = prefix or bucket.prefix
    if not prefix.startswith(bucket.prefix) or "\0" in prefix + after:
        raise Unusable(_outside(bucket))
    found = _ask(bucket, lambda reader: reader.lines(prefix, after, limit + 2))
    # A folder that is an object of its own is no line in itself.
    lines = [line for line in found if line.key != prefix]
    folder = prefix[: prefix.rfind("/") + 1]
    entries = [_entry(line, folder) for line in lines[:limit]]
    return Listing(entries, lines[limit - 1].key if len(lines) > limit else "")


def verify(bucket: SourceBucket) -> tuple[str, str]:
    """(a word of Verification, what was found) after really asking for everything."""
    state = SourceBucket.Verification
    try:
        missing = _ask(bucket, lambda reader: reader.missing_permissions())
        found = list_keys(bucket, "", after="", limit=20)
    except Unreachable as error:
        return state.CANNOT_REACH, error.message
    except PlaceError as error:
        return state.REFUSED, error.message
    if missing:
        words = " and ".join(missing)
        return state.REFUSED, (
            f"The credentials lack {words} on {bucket.bucket}. Give them that permission "
            "at the provider, then verify again."
        )
    if not found.entries:
        return state.WORKS, "It can be listed. Nothing is under the prefix yet."
    return state.WORKS, "It can be listed and read."


def _entry(line: Line, folder: str) -> Entry:
    return Entry(
        name=shown(line.key.removeprefix(folder), 255),
        path=line.key,
        size=line.size,
        changed=line.changed,
        is_directory=line.size is None,
        problem=key_problem(line.key),
    )


def _require_key(bucket: SourceBucket, key: str) -> None:
    if not key or (problem := key_problem(key)):
        message = f"The key {shown(key, 200)} cannot be used. {problem if key else ''}"
        raise Unusable(message.strip())
    if not key.startswith(bucket.prefix):
        raise Unusable(_outside(bucket))


def _outside(bucket: SourceBucket) -> str:
    return (
        f"That is outside of the prefix {shown(bucket.prefix, 200)} of {bucket.name}. "
        "Choose something below it."
    )


# --- Deadlines and going on -----------------------------------------------------------


class _Later(Generic[T]):
    """Work in a thread of its own, whose end nobody must wait for."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._value: T
        self._work = work
        threading.Thread(target=self._run, name="bucket", daemon=True).start()

    def _run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def get(self, seconds: float) -> T:
        if not self._done.wait(seconds):
            raise Unreachable(
                f"The bucket did not answer within {seconds:.0f} seconds. Try again; if "
                "it lasts, check the network and the provider's status page."
            )
        if self._error is not None:
            raise self._error
        return self._value


def _ask(bucket: SourceBucket, work: Callable[[Reader], T]) -> T:
    def whole() -> T:
        reader = _reader(bucket)
        try:
            return work(reader)
        finally:
            reader.close()

    return _within(ASK_SECONDS, whole)


def _within(seconds: float, work: Callable[[], T]) -> T:
    return _Later(work).get(seconds)


class _ObjectStream(io.RawIOBase):
    """An object as a file, read in ranges, the next one while this one is used.

    A range that is cut short is asked for again, for the same content.
    """

    def __init__(
        self, read: Callable[[int, int], bytes], start: int, size: int
    ) -> None:
        super().__init__()
        self._read = read
        self._size = size
        self._asked = start
        self._block = memoryview(b"")
        self._next: _Later[bytes] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._block:
            self._block = memoryview(self._fetch())
        wanted = memoryview(buffer).cast("B")
        count = min(len(wanted), len(self._block))
        wanted[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def _fetch(self) -> bytes:
        at, length = self._asked, min(RANGE, self._size - self._asked)
        if length <= 0:
            return b""
        ahead, self._next = self._next, None
        block = self._insist(ahead, at, length)
        self._asked = at + length
        if more := min(RANGE, self._size - self._asked):
            self._next = _Later(partial(self._read, self._asked, more))
        return block

    def _insist(self, ahead: _Later[bytes] | None, at: int, length: int) -> bytes:
        for pause in (*PAUSES, None):
            try:
                ahead = ahead or _Later(partial(self._read, at, length))
                block = ahead.get(RANGE_SECONDS)
                if len(block) == length:
                    return block
                raise Unreachable(
                    "The bucket sent less than was asked for. Try again; if it lasts, "
                    "look at the object at the provider."
                )
            except Unreachable:
                if pause is None:
                    raise
                ahead = None
                chance = random.uniform(0.5, 1)  # noqa: S311
                time.sleep(pause * chance * settings.TIME_SCALE)
        raise AssertionError("the last attempt returns or raises")


# --- Providers ------------------------------------------------------------------------


def _reader(bucket: SourceBucket) -> Reader:
    try:
        text = bucket.credentials.reveal()
    except CannotDecrypt as error:
        message = f"{error} Set the credentials of {bucket.name} anew."
        raise NotPermitted(message) from None
    credentials: dict[str, Any] = json.loads(text) if text else {}
    make = {"s3": _s3, "gcs": _gcs}[bucket.provider]
    return make(bucket, credentials)


def _changed(key: str) -> Changed:
    return Changed(
        f"{shown(key, 200)} is no longer the object that was chosen: it was written or "
        "replaced since. Choose it anew."
    )


def _refused(bucket: SourceBucket, what: str, key: str = "") -> PlaceError:
    """A 403: the permission that is needed for what was done."""
    listing, reading = KINDS[bucket.provider].permissions
    needed, about = (reading, key) if what == "read" else (listing, "")
    where = f"{shown(about, 200)} in {bucket.bucket}" if about else bucket.bucket
    return NotPermitted(
        f"{bucket.kind.label} does not let these credentials read {where}: the "
        f"permission {needed} is missing, or its key may not be used to decrypt. Give "
        "them that permission at the provider, then verify the bucket."
    )


def _missing(bucket: SourceBucket, key: str) -> Missing:
    return Missing(
        f"{shown(key, 200)} is not in {bucket.bucket} (any more). Look what is there and "
        "choose anew."
    )


def _no_bucket(bucket: SourceBucket) -> Missing:
    return Missing(
        f"{bucket.kind.label} has no bucket {bucket.bucket}. Check its name"
        f"{' and region' if bucket.kind.has_region else ''}."
    )


def _bad_credentials(bucket: SourceBucket, why: str) -> NotPermitted:
    return NotPermitted(
        f"{bucket.kind.label} does not accept the credentials of {bucket.name} ({why}). "
        "Set new ones, then verify the bucket."
    )


def _no_credentials(bucket: SourceBucket) -> NotPermitted:
    return NotPermitted(
        f"{bucket.name} has no credentials, and this server has no role of its own at "
        f"{bucket.kind.label}. Set credentials, then verify the bucket."
    )


def _away(bucket: SourceBucket, why: str) -> Unreachable:
    return Unreachable(
        f"{bucket.kind.label} could not be asked ({why}). Try again; if it lasts, check "
        "the network and the provider's status page."
    )


def _s3(bucket: SourceBucket, credentials: dict[str, Any]) -> Reader:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    failures = (BotoCoreError, ClientError, OSError)
    config = Config(
        connect_timeout=CONNECT,
        read_timeout=READ,
        retries={"mode": "standard", "max_attempts": 2},
        ignore_configured_endpoint_urls=True,  # type: ignore[call-arg]
        # Paths work for every bucket name and every address.
        s3={"addressing_style": "path"} if settings.S3_ENDPOINT_URL else {},
    )
    try:
        client: Any = boto3.session.Session().client(
            "s3",
            region_name=bucket.region or "us-east-1",
            endpoint_url=settings.S3_ENDPOINT_URL or None,
            aws_access_key_id=credentials.get("access_key_id"),
            aws_secret_access_key=credentials.get("secret_access_key"),
            config=config,
        )
    except failures as error:
        _raise_s3(bucket, error, "list")

    def stat(key: str) -> Stat:
        try:
            found = client.head_object(Bucket=bucket.bucket, Key=key)
        except failures as error:
            _raise_s3(bucket, error, "read", key)
        return Stat(found["ContentLength"], found["ETag"])

    def read(key: str, wanted: Stat, start: int, length: int) -> bytes:
        try:
            answer = client.get_object(
                Bucket=bucket.bucket,
                Key=key,
                IfMatch=wanted.tag,
                Range=f"bytes={start}-{start + length - 1}",
            )
            block: bytes = answer["Body"].read()
        except failures as error:
            _raise_s3(bucket, error, "read", key)
        return block

    def lines(prefix: str, after: str, limit: int) -> list[Line]:
        found: list[Line] = []
        more: dict[str, Any] = {"StartAfter": after} if after else {}
        while True:
            try:
                answer = client.list_objects_v2(
                    Bucket=bucket.bucket,
                    Prefix=prefix,
                    Delimiter="/",
                    MaxKeys=min(limit + 1, 1000),
                    **more,
                )
            except failures as error:
                _raise_s3(bucket, error, "list")
            objects = [
                Line(o["Key"], o["Size"], o["LastModified"])
                for o in answer.get("Contents", ())
            ]
            folders = [Line(p["Prefix"]) for p in answer.get("CommonPrefixes", ())]
            found += [line for line in objects + folders if line.key > after]
            if not answer.get("IsTruncated") or len(found) >= limit:
                return sorted(found, key=_bytes_of_key)
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def missing_permissions() -> list[str]:
        # Amazon answers no question about permissions: the only way is to try.
        _, reading = KINDS["s3"].permissions
        try:
            answer = client.list_objects_v2(
                Bucket=bucket.bucket, Prefix=bucket.prefix, MaxKeys=1
            )
        except failures as error:
            _raise_s3(bucket, error, "list")
        for found in answer.get("Contents", ()):
            try:
                head = client.get_object(Bucket=bucket.bucket, Key=found["Key"])
                head["Body"].close()
            except ClientError as error:
                if _s3_code(error) in ("AccessDenied", "403"):
                    return [reading]
                _raise_s3(bucket, error, "read", found["Key"])
            except failures as error:
                _raise_s3(bucket, error, "read", found["Key"])
        return []

    return Reader(stat, read, lines, missing_permissions, client.close)


def _bytes_of_key(line: Line) -> bytes:
    return line.key.encode(errors="surrogatepass")


def _s3_code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


S3_BAD_CREDENTIALS = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "InvalidClientTokenId",
    "AuthFailure",
)


def _raise_s3(
    bucket: SourceBucket, error: Exception, what: str, key: str = ""
) -> NoReturn:
    """The error of boto3 as one of ours. Its own text is not kept: it may quote keys."""
    from botocore import exceptions as s3

    if isinstance(error, s3.NoCredentialsError | s3.CredentialRetrievalError):
        raise _no_credentials(bucket) from None
    if not isinstance(error, s3.ClientError):
        raise _away(bucket, type(error).__name__) from None
    code = _s3_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        raise _no_bucket(bucket) from None
    if code in S3_BAD_CREDENTIALS:
        raise _bad_credentials(bucket, code) from None
    if code == "RequestTimeTooSkewed":
        raise _away(bucket, "the clock of this server is wrong") from None
    if status in (412, 416):
        raise _changed(key) from None
    if code == "InvalidObjectState":
        raise Unusable(
            f"{shown(key, 200)} is archived and cannot be read. Restore it at the "
            "provider first."
        ) from None
    if status == 404:
        raise (_missing(bucket, key) if key else _no_bucket(bucket)) from None
    if status in (401, 403):
        raise _refused(bucket, what, key) from None
    if status in (408, 429) or status >= 500 or code == "SlowDown":
        raise _away(bucket, code or f"status {status}") from None
    raise Unusable(
        f"{bucket.kind.label} refused the request ({code or status}). Check bucket name, "
        "region and key."
    ) from None


def _gcs(bucket: SourceBucket, credentials: dict[str, Any]) -> Reader:
    import requests
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    failures = (
        GoogleAPIError,
        GoogleAuthError,
        DataCorruption,
        InvalidResponse,
        requests.RequestException,
        OSError,
    )
    timeouts = {"timeout": (CONNECT, READ), "retry": None}
    try:
        client = _gcs_client(storage, credentials)
    except failures as error:
        _raise_gcs(bucket, error, "list")
    remote: Any = client.bucket(bucket.bucket)

    def stat(key: str) -> Stat:
        blob = remote.blob(key)
        try:
            blob.reload(**timeouts)
        except failures as error:
            _raise_gcs(bucket, error, "read", key)
        return Stat(int(blob.size), str(blob.generation))

    def read(key: str, wanted: Stat, start: int, length: int) -> bytes:
        try:
            block: bytes = remote.blob(key).download_as_bytes(
                start=start,
                end=start + length - 1,
                # As it is stored: an object that says it is gzip stays so.
                raw_download=True,
                if_generation_match=int(wanted.tag),
                checksum=None,
                **timeouts,
            )
        except failures as error:
            _raise_gcs(bucket, error, "read", key)
        return block

    def lines(prefix: str, after: str, limit: int) -> list[Line]:
        found: list[Line] = []
        try:
            pages = client.list_blobs(
                bucket.bucket,
                prefix=prefix,
                delimiter="/",
                start_offset=after or None,
                page_size=min(limit + 1, 1000),
                **timeouts,
            ).pages
            for page in pages:
                folders = [Line(name) for name in page.prefixes]
                objects = [Line(b.name, int(b.size), b.updated) for b in page]
                # The offset is the first that is listed, not the last that was.
                found += [line for line in objects + folders if line.key > after]
                if len(found) >= limit:
                    break
        except failures as error:
            _raise_gcs(bucket, error, "list")
        return sorted(found, key=_bytes_of_key)

    def missing_permissions() -> list[str]:
        wanted = list(KINDS["gcs"].permissions)
        try:
            granted = remote.test_iam_permissions(wanted, **timeouts)
        except failures as error:
            _raise_gcs(bucket, error, "list")
        return [name for name in wanted if name not in granted]

    return Reader(stat, read, lines, missing_permissions, client.close)


def _gcs_client(storage: Any, credentials: dict[str, Any]) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.oauth2 import service_account

    address = settings.GCS_ENDPOINT_URL
    options = {"client_options": {"api_endpoint": address}} if address else {}
    if address.startswith("http://"):
        # Without TLS no credentials are sent: such an address is an emulator's.
        known: Any = AnonymousCredentials()  # type: ignore[no-untyped-call]
    elif credentials:
        known = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            credentials
        )
    else:
        return storage.Client(**options)
    project = credentials.get("project_id") or "none"
    return storage.Client(project=project, credentials=known, **options)


def _raise_gcs(
    bucket: SourceBucket, error: Exception, what: str, key: str = ""
) -> NoReturn:
    """The error of Google's library as one of ours, without its own text."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth import exceptions as auth

    if isinstance(error, auth.DefaultCredentialsError):
        raise _no_credentials(bucket) from None
    if isinstance(error, auth.RefreshError):
        raise _bad_credentials(bucket, "no token for them") from None
    if not isinstance(error, GoogleAPICallError):
        raise _away(bucket, type(error).__name__) from None
    status = int(error.code or 0)
    if status in (412, 416):
        raise _changed(key) from None
    if status == 404:
        raise (_missing(bucket, key) if key else _no_bucket(bucket)) from None
    if status == 401:
        raise _bad_credentials(bucket, "status 401") from None
    if status == 403:
        raise _refused(bucket, what, key) from None
    if status in (408, 429) or status >= 500:
        raise _away(bucket, f"status {status}") from None
    raise Unusable(
        f"{bucket.kind.label} refused the request (status {status}). Check the names of "
        "bucket and key."
    ) from None
