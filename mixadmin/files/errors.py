"""Why a file cannot be read, by what may be done about it.

PlaceError
    Transient
        Unreachable     the bucket, its network or its service; try again
    Permanent
        Changed         it is no longer what was chosen
        Missing         it is not there
        NotPermitted    we may not read it
        Unusable        it is nothing that can be read as a file
"""

from mixadmin.common.errors import Refused


class PlaceError(Exception):
    """`kind` is a key of causes.KINDS; the message tells what happened, in whole sentences."""

    kind = ""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Transient(PlaceError):
    pass


class Permanent(PlaceError):
    pass


class Unreachable(Transient):
    kind = "file_unreachable"


class Changed(Permanent):
    kind = "file_changed"


class Missing(Permanent):
    kind = "file_missing"


class NotPermitted(Permanent):
    kind = "file_not_permitted"


class Unusable(Permanent):
    kind = "file_unusable"


class DiskFull(Refused):
    """Too little room is left on this server's disk. 507 in the API."""

    def __init__(self) -> None:
        super().__init__(
            "This server's disk is nearly full, so nothing more is taken. Remove files "
            "that are no longer needed, or ask whoever runs this installation for room.",
            code="disk_full",
        )


class CutShort(Exception):
    """What was being received ended before its end."""
