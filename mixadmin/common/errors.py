"""What an action raises when it will not do a thing, besides Django's ValidationError."""


class Refused(Exception):
    """The request is well formed, but not allowed at this moment. 409 in the API."""

    def __init__(self, message: str, *, code: str = "refused") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
