"""One id for each request: in its answer, in the log, and on pages that tell of a fault."""

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from logging import LogRecord
from typing import Any

HEADER = "X-Request-ID"
# From a proxy in front it is kept, so that one id leads through both logs.
FROM_PROXY = re.compile(r"[A-Za-z0-9-]{8,64}")

current: ContextVar[str] = ContextVar("request_id", default="-")


def request_id(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def middleware(request: Any) -> Any:
        given = request.headers.get(HEADER, "")
        known = given if FROM_PROXY.fullmatch(given) else uuid.uuid4().hex
        request.request_id = known
        token = current.set(known)
        try:
            response = get_response(request)
            response.headers[HEADER] = known
            return response
        finally:
            current.reset(token)

    return middleware


def with_request_id(record: LogRecord) -> bool:
    """A filter of the log: `{request_id}` of a line, "-" outside of requests."""
    record.request_id = current.get()
    return True
