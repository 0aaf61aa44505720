"""This server's disk: stored uploads, and files below allowed directories.

A path is walked one part at a time from an open directory, and no link is followed, so
that what was looked at is what is opened, whoever moves things meanwhile.
"""

import contextlib
import errno
import fcntl
import hashlib
import heapq
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote
from uuid import UUID

from django.conf import settings

from mixadmin.common.errors import Refused
from mixadmin.common.rules import shown

from .errors import DiskFull, Missing, NotPermitted, Unusable
from .kinds import name_problem, path_problem

T = TypeVar("T")

GIB = 1024**3
# What stays free for the database and everything else: of the whole, and at most.
RESERVE_SHARE = 0.05
RESERVE_MOST = GIB
BLOCK = 1024**2
# How long a request waits for another one that is writing a block.
PATIENCE = 5.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


# --- Stored uploads -------------------------------------------------------------------


def upload_folder() -> Path:
    """Where uploads are kept, readable by this user only."""
    folder = Path(settings.DATA_DIR) / "uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def upload_path(key: UUID) -> Path:
    return Path(settings.DATA_DIR) / "uploads" / str(key)


def require_room(size: int) -> None:
    """Raise DiskFull unless `size` more bytes leave the reserve free."""
    folder = upload_folder()
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    whole = found.f_blocks * found.f_frsize
    if free - size < min(whole * RESERVE_SHARE, RESERVE_MOST):
        raise DiskFull


@contextmanager
def disk_errors() -> Iterator[None]:
    """A disk without room is told as such, whatever was written to it."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull from error
        raise


class Turn:
    """The right to write one upload, which the next request takes over.

    A request whose client has fallen asleep may come back at any time. Each block is
    written under a lock, and only by whoever took the last turn; so the newest request
    never waits for a dead one, and none overwrites what another one has settled.
    """

    def __init__(self, key: UUID) -> None:
        folder = upload_folder()
        self._name = secrets.token_bytes(16)
        self._lock = os.open(
            folder / f"{key}.turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            self._file = os.open(
                folder / str(key), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError:
            os.close(self._lock)
            raise
        self._taken = False

    def take(self) -> None:
        with self._held():
            os.pwrite(self._lock, self._name, 0)
            self._taken = True

    def write(self, position: int, block: bytes) -> None:
        with disk_errors(), self._held():
            view = memoryview(block)
            while view:
                done = os.pwrite(self._file, view, position)
                position, view = position + done, view[done:]

    def settle(self, work: Callable[[], T]) -> T:
        """Make sure that everything is on disk, then do `work` while nobody writes."""
        with disk_errors(), self._held():
            os.fsync(self._file)
            return work()

    def close(self) -> None:
        os.close(self._file)
        os.close(self._lock)

    @contextmanager
    def _held(self) -> Iterator[None]:
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise Refused(
                        "Another request is writing this upload. Try again.",
                        code="busy",
                    ) from None
                time.sleep(0.02)
        try:
            if self._taken and os.pread(self._lock, 16, 0) != self._name:
                raise Refused(
                    "A newer request has taken over this upload. Ask how much of it "
                    "is stored and go on from there.",
                    code="taken_over",
                )
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


@contextmanager
def turn(key: UUID) -> Iterator[Turn]:
    """Take the turn to write an upload; whoever had it before writes no more."""
    with disk_errors():
        mine = Turn(key)
    try:
        with disk_errors():
            mine.take()
        yield mine
    finally:
        mine.close()


def store(key: UUID, pieces: Iterable[bytes]) -> str:
    """Write a whole file and return its sha256. Leaves nothing behind if it fails."""
    found = hashlib.sha256()
    path = upload_folder() / str(key)
    with disk_errors(), open(path, "xb", opener=_private) as file:
        try:
            for piece in pieces:
                require_room(len(piece))
                file.write(piece)
                found.update(piece)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise
    return found.hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def sha256_of(path: Path, *, seconds: float | None = None) -> str:
    """The hash of a file, "" when it takes longer than `seconds`."""
    found = hashlib.sha256()
    give_up = time.monotonic() + seconds if seconds is not None else None
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
            if give_up is not None and time.monotonic() > give_up:
                return ""
    return found.hexdigest()


def erase(key: UUID) -> None:
    """Remove what is stored of an upload. May be called again."""
    path = upload_path(key)
    path.unlink(missing_ok=True)
    path.with_name(f"{key}.turn").unlink(missing_ok=True)


def stored_before(moment: float) -> Iterator[UUID]:
    """The keys of everything that is stored and was not written since `moment`."""
    with os.scandir(upload_folder()) as entries:
        for entry in entries:
            with contextlib.suppress(ValueError, FileNotFoundError):
                key = UUID(entry.name.removesuffix(".turn"))
                if entry.stat(follow_symlinks=False).st_mtime < moment:
                    yield key


# --- Files below a directory ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a directory or bucket.

    problem: why it cannot be chosen, "" when it can. Then `path` may be stored.
    """

    name: str
    path: str
    size: int | None
    changed: datetime | None
    is_directory: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """One piece of a list, by name. `after` asks for the next one; "" at the end."""

    entries: list[Entry]
    after: str


def allowed_root(name: str) -> Path:
    """The directory that an operator allowed under this name."""
    path = settings.INGEST_DIRECTORIES.get(name)
    if path is None:
        raise Missing(
            f"This server has no directory called “{shown(name)}”. An operator names "
            "them in INGEST_DIRECTORIES."
        )
    return Path(path)


def open_below(root: Path, path: str) -> int:
    """A descriptor of the regular file at `path` below `root`, opened for reading."""
    *folders, name = _parts(path)
    with contextlib.ExitStack() as stack:
        at = _open_folders(stack, root, folders, path)
        with _words(path):
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
            _require_file(found.st_mode, path)
            # It may have become something else since: opened so that a pipe does not
            # wait and a link is not followed, and looked at again.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return _checked(os.open(name, flags, dir_fd=at), path)


def open_anywhere(path: str) -> int:
    """The same for an absolute path that an operator named; links are followed."""
    if not path.startswith("/"):
        raise Unusable(f"{shown(path, 200)} is not an absolute path.")
    with _words(path):
        _require_file(os.stat(path).st_mode, path)
        return _checked(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path)


def _checked(descriptor: int, path: str) -> int:
    try:
        _require_file(os.fstat(descriptor).st_mode, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def list_below(root: Path, path: str, *, after: str, limit: int) -> Listing:
    """What is in the directory at `path` below `root`, by name, from `after` on."""
    folders = _parts(path) if path else []
    with contextlib.ExitStack() as stack:
        at = _open_folders(stack, root, folders, path)
        with _words(path), os.scandir(at) as lines:
            last = unquote(after, errors="surrogateescape")
            beyond = (line for line in lines if line.name > last)
            # However many there are, only one piece of them is held.
            nearest = heapq.nsmallest(limit + 1, beyond, key=lambda line: line.name)
            entries = [_entry(line, path) for line in nearest[:limit]]
        if len(nearest) <= limit:
            return Listing(entries, "")
        # Names may hold bytes that are no text; this stands for all of them.
        return Listing(
            entries, quote(nearest[limit - 1].name, errors="surrogateescape")
        )


def _entry(line: "os.DirEntry[str]", folder: str) -> Entry:
    path = f"{folder}/{line.name}" if folder else line.name
    name = shown(line.name, 255)
    try:
        found = line.stat(follow_symlinks=False)
    except OSError:
        return Entry(name, path, None, None, False, "It cannot be looked at.")
    is_directory = stat.S_ISDIR(found.st_mode)
    problem = name_problem(path)
    if not problem and not is_directory:
        problem = _file_problem(found.st_mode)
    return Entry(
        name=name,
        path=path,
        size=None if is_directory else found.st_size,
        changed=_moment(found.st_mtime),
        is_directory=is_directory,
        problem=problem,
    )


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _parts(path: str) -> list[str]:
    if problem := path_problem(path):
        raise Unusable(f"The path {shown(path, 200)} cannot be used. {problem}")
    return path.split("/")


def _open_folders(
    stack: contextlib.ExitStack, root: Path, folders: list[str], path: str
) -> int:
    """A descriptor of the last folder, that the stack closes."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with _words(path or root.name):
        # What the operator named may itself be a link.
        at = os.open(root, flags)
        stack.callback(os.close, at)
        for folder in folders:
            at = os.open(folder, flags | os.O_NOFOLLOW, dir_fd=at)
            stack.callback(os.close, at)
    return at


def _require_file(mode: int, path: str) -> None:
    if problem := _file_problem(mode):
        raise Unusable(f"{shown(path, 200)} cannot be read. {problem}")


def _file_problem(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISLNK(mode):
        return "It is a link, and links are not followed. Name the file itself."
    if stat.S_ISDIR(mode):
        return "It is a directory. Name a file in it."
    return "It is a pipe, a device or a socket, not a file."


@contextmanager
def _words(path: str) -> Iterator[None]:
    """What the system says about a path, in words for people."""
    where = shown(path, 200)
    try:
        yield
    except FileNotFoundError:
        message = (
            f"{where} is not there (any more). Look what is there and choose anew."
        )
        raise Missing(message) from None
    except PermissionError:
        raise NotPermitted(
            f"The user that mixadmin runs as may not read {where}. Change its "
            "permissions on the server."
        ) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Unusable(
                f"{where} leads over a link or a file where a directory must be. Links "
                "are not followed. Name the real path."
            ) from None
        reason = os.strerror(error.errno) if error.errno else "an error"
        raise Unusable(f"{where} cannot be read: {reason}.") from None
    except ValueError:
        raise Unusable(f"{where} is no path.") from None
