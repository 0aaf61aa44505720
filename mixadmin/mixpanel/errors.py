"""What can go wrong when talking to Mixpanel, split by what the caller can do.

    MixpanelError
      TransientError            may go well later, with nothing changed
        RateLimited             429
        ServerFailed            5xx, 408
        Unreachable             DNS, refused, connect timeout, TLS: nothing was sent
        ReplyLost               sent, but no complete answer came back
      PermanentError            somebody has to change something first
        BadRequest              400 405 409 412 422 and every other 4xx
        NotAuthenticated        401
        NotAllowed              403
        NotFound                404
        TooLarge                413
        Redirected              3xx that is not followed
        UnexpectedResponse      an answer that is not what Mixpanel documents

Each carries ``may_have_happened``: True when the request may have been executed
although no valid answer arrived, False when it certainly was not. A create that
may have happened must not be sent again before somebody has looked.
"""

from __future__ import annotations


class MixpanelError(Exception):
    """A call to Mixpanel that brought no usable answer.

    ``status`` is the HTTP status or None when there was none; ``code`` is
    Mixpanel's own word for the error ("" when it gave none); ``body`` is at most
    8 KiB of the answer as clean text; ``retry_after`` is in seconds, as the server
    asked, not clamped. Holds no request and no response, so no credential can be
    reached from it.
    """

    kind = "error"
    may_have_happened = True

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        body: str = "",
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.body = body
        self.mixpanel_request_id = request_id
        self.retry_after = retry_after


class TransientError(MixpanelError):
    """May go well later, with nothing changed."""


class RateLimited(TransientError):
    """Mixpanel asks to slow down; the call was not executed."""

    kind = "rate_limited"
    may_have_happened = False


class ServerFailed(TransientError):
    """Mixpanel or something before it failed while handling the call."""

    kind = "server_failed"


class Unreachable(TransientError):
    """No connection, so nothing was sent."""

    kind = "unreachable"
    may_have_happened = False


class ReplyLost(TransientError):
    """The request left, and no complete answer came back."""

    kind = "reply_lost"


class PermanentError(MixpanelError):
    """Sending the same again brings the same again."""


class BadRequest(PermanentError):
    """Mixpanel refuses what was sent."""

    kind = "bad_request"
    may_have_happened = False


class NotAuthenticated(PermanentError):
    """Mixpanel does not accept the credentials."""

    kind = "not_authenticated"
    may_have_happened = False


class NotAllowed(PermanentError):
    """The credentials are good, their role is too low."""

    kind = "not_allowed"
    may_have_happened = False


class NotFound(PermanentError):
    """There is no such thing, or not for these credentials."""

    kind = "not_found"
    may_have_happened = False


class TooLarge(PermanentError):
    """The request is too big; smaller pieces may pass."""

    kind = "too_large"
    may_have_happened = False


class Redirected(PermanentError):
    """Mixpanel points elsewhere, and credentials do not go elsewhere."""

    kind = "redirected"
    may_have_happened = False


class UnexpectedResponse(PermanentError):
    """An answer came that is not what Mixpanel documents."""

    kind = "unexpected_response"
