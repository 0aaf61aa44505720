"""MixpanelClient: what you build and close."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import requests

from .connectors import Connectors
from .http import Basic, Exchange, Http, Secrets, Timeouts, check_id
from .ingestion import Ingestion
from .lookup_tables import LookupTables
from .projects import Projects
from .regions import urls
from .schemas import Schemas
from .service_accounts import ServiceAccounts
from .warehouse import Warehouse
from .watchdog import new_session


class MixpanelClient:
    """Mixpanel's APIs for one pair of credentials in one region.

    ``secret`` is "" when ``username`` is a project token, which only sends events
    and profiles. ``app_url`` and ``ingestion_url`` replace the real hosts and may
    hold ``{region}``. A ``session`` to share connections must come from
    ``watchdog.new_session()``, and is not closed. Methods raise MixpanelError,
    and ValueError or TypeError for what is not worth sending. For one thread.
    """

    def __init__(
        self,
        region: str,
        username: str,
        secret: str,
        *,
        project_id: int | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  (frozen)
        app_url: str = "",
        ingestion_url: str = "",
        session: requests.Session | None = None,
    ) -> None:
        if project_id is not None:
            check_id(project_id, "project_id")
        self.region = region
        self.username = username
        self.project_id = project_id
        self._is_token = not secret
        self._shares_session = session is not None
        self._http = Http(
            urls(region, app_url, ingestion_url),
            Basic(username, secret),
            timeouts,
            session if session is not None else new_session(),
        )
        self.projects = Projects(self._http, project_id)
        self.warehouse = Warehouse(self._http, project_id)
        self.connectors = Connectors(self._http, project_id)
        self.service_accounts = ServiceAccounts(self._http, project_id)
        self.ingestion = Ingestion(self._http, project_id, is_token=self._is_token)
        self.lookup_tables = LookupTables(self._http, project_id)
        self.schemas = Schemas(self._http, project_id)

    @property
    def request_id(self) -> str:
        """Sent as X-Request-ID until changed; "" means a fresh uuid per call."""
        return self._http.request_id

    @request_id.setter
    def request_id(self, value: str) -> None:
        self._http.request_id = value

    def record(self, secrets: Secrets) -> list[Exchange]:
        """A list that every request from now on is noted in, without the credentials
        and without these secrets."""
        self._http.exchanges = []
        self._http.never_shown = secrets
        return self._http.exchanges

    def close(self) -> None:
        """Close the connections."""
        if not self._shares_session:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        username = "a token" if self._is_token else repr(self.username)
        return (
            f"MixpanelClient({self.region!r}, {username}, project_id={self.project_id})"
        )
