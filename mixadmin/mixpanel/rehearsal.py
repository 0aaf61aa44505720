"""What a call would send, told by the code that sends it, without sending it."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from .client import MixpanelClient
from .errors import MixpanelError
from .watchdog import WatchedAdapter, new_session


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One request: method, URL and the JSON of its body, None without one."""

    method: str
    url: str
    body: Any

    @property
    def curl(self) -> str:
        """The request for a shell, with the credentials in its variables."""
        parts = [
            f"curl -X {self.method} {shlex.quote(self.url)}",
            '-u "$SERVICE_ACCOUNT:$SECRET"',
        ]
        if self.body is not None:
            body = json.dumps(self.body, ensure_ascii=False)
            parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
        return " \\\n  ".join(parts)


class _Stage(WatchedAdapter):
    """Where requests end that are not to be sent."""

    request: requests.PreparedRequest | None = None

    def send(self, request: requests.PreparedRequest, *args: Any, **kw: Any) -> Any:
        self.request = request
        raise requests.ConnectionError("it is only rehearsed")


def rehearse(
    call: Callable[[MixpanelClient], object],
    *,
    region: str,
    project_id: int,
    app_url: str = "",
    ingestion_url: str = "",
) -> Rehearsed:
    """The first request that ``call`` would make with a client for that project."""
    stage = _Stage()
    with new_session() as session:
        session.mount("https://", stage)
        session.mount("http://", stage)
        client = MixpanelClient(
            region,
            "nobody",
            "nothing",
            project_id=project_id,
            app_url=app_url,
            ingestion_url=ingestion_url,
            session=session,
        )
        with contextlib.suppress(MixpanelError):
            call(client)
    sent = stage.request
    if sent is None:
        raise ValueError("the call made no request")
    raw: Any = sent.body
    body = raw.getvalue() if isinstance(raw, io.BytesIO) else raw
    return Rehearsed(
        sent.method or "", sent.url or "", json.loads(body) if body else None
    )
