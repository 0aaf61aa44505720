"""Where the files of an ingestion lie, behind one way to look at and to read them.

    place           named by
    "upload"        upload
    "directory"     directory (a name of INGEST_DIRECTORIES), path below it
    "bucket"        bucket, path (the whole key)
    "path"          path, absolute; only the command line makes these
    "rejected"      path below the data directory's "ingestion"

All of them raise PlaceError and nothing else for what can go wrong with a file.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings

from mixadmin.common.rules import shown

from . import buckets, disk
from .disk import Entry, Listing
from .errors import (
    Changed,
    Missing,
    NotPermitted,
    Permanent,
    PlaceError,
    Transient,
    Unreachable,
    Unusable,
)
from .models import SourceBucket, Upload

__all__ = [
    "Changed",
    "Entry",
    "Found",
    "Listing",
    "Missing",
    "NotPermitted",
    "Permanent",
    "PlaceError",
    "Transient",
    "Unreachable",
    "Unusable",
    "list_bucket",
    "list_directory",
    "local_path",
    "look",
    "open_at",
    "still_same",
]

LINES = 200


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a place now. The same tag means the same content."""

    name: str
    size: int
    tag: str


def look(
    place: str,
    *,
    upload: Upload | None = None,
    bucket: SourceBucket | None = None,
    directory: str = "",
    path: str = "",
) -> Found:
    """What is there now, without reading it."""
    if place == "bucket":
        assert bucket is not None, "a bucket must be given"
        size, tag = buckets.look(bucket, path)
        return Found(path, size, tag)
    descriptor = _open(place, upload, directory, path)
    try:
        size, tag = _identity(descriptor, upload)
    finally:
        os.close(descriptor)
    return Found(upload.name if upload else path, size, tag)


@contextmanager
def open_at(
    place: str,
    *,
    upload: Upload | None = None,
    bucket: SourceBucket | None = None,
    directory: str = "",
    path: str = "",
    size: int,
    tag: str,
    start: int = 0,
) -> Iterator[BinaryIO]:
    """The stored bytes from `start` on, of what has this size and tag, else Changed.

    Every read from a bucket is of the same content. A file of the disk may still be
    written over while it is read: `still_same` tells that at the end.
    """
    if place == "bucket":
        assert bucket is not None, "a bucket must be given"
        with buckets.open_at(bucket, path, size=size, tag=tag, start=start) as stream:
            yield stream
        return
    with os.fdopen(_open(place, upload, directory, path), "rb") as file:
        _require_same(_identity(file.fileno(), upload), size, tag, upload, path)
        file.seek(start)
        yield file


def still_same(place: str, file: BinaryIO, *, size: int, tag: str) -> bool:
    """Whether what `open_at` opened is still of that size and tag, at the end of reading.

    Cheap, and always true where the content cannot change under a reader.
    """
    if place == "bucket":
        return True
    found = os.fstat(file.fileno())
    same = place == "upload" or _disk_tag(found) == tag
    return same and found.st_size == size


def local_path(
    place: str,
    *,
    upload: Upload | None = None,
    bucket: SourceBucket | None = None,
    directory: str = "",
    path: str = "",
) -> Path | None:
    """Where it lies on this server's disk, None for what lies elsewhere.

    Looked at for links and special files at this moment; only `open_at` holds on to
    what it saw.
    """
    if place == "bucket":
        return None
    os.close(_open(place, upload, directory, path))
    if place == "upload":
        assert upload is not None
        return disk.upload_path(upload.pk)
    return _root(place, directory) / path if place != "path" else Path(path)


def list_directory(name: str, path: str = "", *, after: str = "") -> Listing:
    """What is in a directory that an operator allowed, or in one below it."""
    return disk.list_below(disk.allowed_root(name), path, after=after, limit=LINES)


def list_bucket(bucket: SourceBucket, prefix: str = "", *, after: str = "") -> Listing:
    """The objects and folders of a bucket whose keys begin with `prefix`.

    "" begins where the bucket's own prefix says; nothing outside of it is listed.
    """
    return buckets.list_keys(bucket, prefix, after=after, limit=LINES)


def _open(place: str, upload: Upload | None, directory: str, path: str) -> int:
    if place == "path":
        return disk.open_anywhere(path)
    if place != "upload":
        return disk.open_below(_root(place, directory), path)
    assert upload is not None, "an upload must be given"
    # Read anew: it may have been removed since the caller has loaded it.
    current = Upload.objects.filter(pk=upload.pk).first()
    if current is None or current.removed_at:
        raise Missing(f"{shown(upload.name)} was removed here. Upload it again.")
    if current.completed_at is None:
        raise Unusable(
            f"{shown(upload.name)} is not complete: {current.received:,} of "
            f"{current.size:,} bytes are here. Go on with its upload."
        )
    try:
        return disk.open_below(disk.upload_path(upload.pk).parent, str(upload.pk))
    except Missing:
        raise Missing(
            f"{shown(upload.name)} is not on this server's disk. Do web and workers "
            "share the data directory? Otherwise upload it again."
        ) from None


def _root(place: str, directory: str) -> Path:
    if place == "directory":
        return disk.allowed_root(directory)
    assert place == "rejected", f"no place is called {place}"
    return Path(settings.DATA_DIR) / "ingestion"


def _identity(descriptor: int, upload: Upload | None) -> tuple[int, str]:
    found = os.fstat(descriptor)
    return found.st_size, upload.tag if upload else _disk_tag(found)


def _disk_tag(found: Any) -> str:
    return f"{found.st_mtime_ns}-{found.st_ino}"


def _require_same(
    now: tuple[int, str], size: int, tag: str, upload: Upload | None, path: str
) -> None:
    if upload:
        # Its hash may have become known since; its content is the same for ever.
        known = (upload.tag, f"upload-{upload.pk}")
        if now[0] == size and tag in known:
            return
    elif now == (size, tag):
        return
    raise Changed(
        f"{shown(upload.name if upload else path, 200)} is no longer the file that was "
        f"chosen: it has {now[0]:,} bytes and had {size:,}, or was written since. Choose "
        "it anew."
    )
