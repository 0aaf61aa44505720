"""What an action raises when it will not do a thing, besides Django's ValidationError."""

from datetime import datetime


class Refused(Exception):
    """The request is well formed, but not allowed at this moment. 409 in the API."""

    def __init__(self, message: str, *, code: str = "refused") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Wait(Exception):
    """Not before `until`; None: not until somebody changes something. 503 in the API."""

    def __init__(self, reason: str, message: str, until: datetime | None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.until = until
