"""A file of an ingestion, open for reading from where it was left."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from typing import Any, BinaryIO

from mixadmin.common.clock import db_now
from mixadmin.common.errors import Wait
from mixadmin.dataprep import reading
from mixadmin.dataprep.compression import Stream, Unreadable, open_stream
from mixadmin.files import places
from mixadmin.files.errors import Changed, Missing, PlaceError, Transient
from mixadmin.jobs.models import Job
from mixadmin.jobs.registry import Turn
from mixadmin.jobs.runner import backoff

from . import spools
from .models import IngestionFile


class FileFailed(Exception):
    """A file that cannot be read to its end. Others of its ingestion go on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Source:
    """`stream` gives the uncompressed bytes; `stored` tells how far the file itself was
    read, in stored bytes; `check` raises FileFailed if it was changed meanwhile."""

    def __init__(
        self, file: IngestionFile, raw: BinaryIO, turn: Turn | None, *, plain: bool
    ) -> None:
        self._file = file
        self._raw = raw
        self._turn = turn
        self._plain = plain
        self._count = 0
        self.stream: Stream = open_stream(self, "none" if plain else file.compression)

    def read(self, size: int, /) -> bytes:
        if self._turn:
            self._turn.heard()
        piece = self._raw.read(size)
        self._count += len(piece)
        return piece

    def stored(self, end: int) -> int:
        return end if self._plain else min(self._count, self._file.size)

    def check(self) -> None:
        """Raise FileFailed if the file was written over while it was read."""
        file = self._file
        if not places.still_same(file.place, self._raw, size=file.size, tag=file.tag):
            raise FileFailed(
                Changed.kind, f"{file.name} was changed while it was being read."
            )


def place_of(file: IngestionFile) -> dict[str, Any]:
    """What `files.places` wants to know of a file."""
    return {
        "place": file.place,
        "upload": file.upload,
        "bucket": file.bucket,
        "directory": file.directory,
        "path": file.path,
    }


@contextmanager
def opened(
    file: IngestionFile,
    *,
    turn: Turn | None,
    position: int = 0,
    packed: bool = False,
) -> Iterator[Source]:
    """The file from `position`, an offset in its uncompressed bytes; with `packed` the
    stored bytes themselves.

    Raises FileFailed when it is gone or another one, and Wait when what it lies in does
    not answer for now. A compressed file is read from its start, so the turn becomes
    longer by what that takes.
    """
    plain = packed or file.compression in ("", IngestionFile.Compression.NONE)
    try:
        if not file.tag:
            if file.place == IngestionFile.Place.REJECTED:
                _write_rejected(file, turn)
            found = places.look(**place_of(file))
            file.size, file.tag = found.size, found.tag
            file.save(update_fields=["size", "tag"])
        with places.open_at(
            **place_of(file),
            size=file.size,
            tag=file.tag,
            start=position if plain else 0,
        ) as raw:
            source = Source(file, raw, turn, plain=plain)
            if position and not plain:
                began = time.monotonic()
                reading.skip(source.stream, position)
                if turn:
                    turn.extend(4 * (time.monotonic() - began))
            yield source
    except Transient as error:
        until = db_now() + timedelta(seconds=backoff(3))
        raise Wait(Job.Wait.RETRY, error.message, until) from None
    except PlaceError as error:
        raise FileFailed(error.kind, error.message) from None
    except Unreadable as broken:
        raise FileFailed(broken.code, broken.message) from None


def _write_rejected(file: IngestionFile, turn: Turn | None) -> None:
    origin, chosen = file.ingestion.origin, file.ingestion.resent_groups
    if origin is None:
        raise FileFailed(Missing.kind, "The ingestion that rejected them is gone.")
    groups = None
    if chosen is not None:
        groups = list(origin.rejected_groups.filter(pk__in=chosen))
    heard = turn.heard if turn else lambda: None
    spools.write_rejected(file.path, origin, groups, heard)


def seed_of(file: IngestionFile, turn: Turn | None) -> bytes:
    """What new $insert_ids are made of: a hash of the stored bytes, so that the same
    file gives the same ids whenever it is sent. Found when the first record needs it."""
    known = IngestionFile.objects.values_list("sha256", flat=True).get(pk=file.pk)
    if not known:
        known = _hash_of(file, turn)
        IngestionFile.objects.filter(pk=file.pk).update(sha256=known)
    return bytes.fromhex(known)


def _hash_of(file: IngestionFile, turn: Turn | None) -> str:
    if file.place == IngestionFile.Place.BUCKET:
        # Reading it all for that would bring it here twice; its tag says the same.
        return sha256(f"{file.tag}:{file.size}".encode()).hexdigest()
    digest = sha256()
    with opened(file, turn=turn, packed=True) as source:
        while piece := source.read(1024 * 1024):
            digest.update(piece)
        source.check()
    return digest.hexdigest()
