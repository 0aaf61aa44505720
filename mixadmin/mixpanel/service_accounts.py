"""Service accounts of an organization and of a project."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import building
from .building import id_number, shaped, text
from .http import Answer, Http, check_id
from .reading import (
    Json,
    as_object,
    get_id,
    get_key,
    get_person,
    get_text,
    get_time,
    many,
)
from .times import format_time

_PROJECT_ROLE = shaped({"id": id_number, "role": text}, required=("id", "role"))


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account. ``role`` may be a custom one; ``raw`` holds no secret."""

    id: int
    username: str
    role: str
    expires_at: datetime | None
    created_at: datetime | None
    last_used_at: datetime | None
    creator: str
    raw: Json = field(repr=False)


class ServiceAccounts:
    """``client.service_accounts``. Writing needs an organization's admin."""

    def __init__(self, http: Http, project_id: int | None) -> None:
        self._http = http
        self._project_id = project_id

    def list(self, organization_id: int) -> list[ServiceAccount]:
        """All service accounts of an organization."""
        answer = self._call("GET", organization_id)
        return answer.results(many(_account, "service accounts"))

    def create(
        self,
        organization_id: int,
        *,
        username: str,
        role: str = "",
        expires_at: datetime | None = None,
        projects: Iterable[Mapping[str, Any]] = (),
    ) -> tuple[ServiceAccount, str]:
        """Create one; gives it and its secret, which Mixpanel never tells again.

        ``projects`` are objects of ``id`` and ``role``. The username comes back
        longer than it was sent.
        """
        text("username", username)
        body: Json = {"username": username}
        if role:
            text("role", role)
            body["role"] = role
        if expires_at is not None:
            body["expires"] = format_time(expires_at)
        if grants := [dict(grant) for grant in projects]:
            building.list_of(_PROJECT_ROLE)("projects", grants)
            body["projects"] = grants
        answer = self._call("POST", organization_id, json_body=body)
        return answer.results(
            lambda value: (
                _account(value),
                get_key(as_object(value, "a service account"), "token"),
            )
        )

    def get(self, organization_id: int, account_id: int) -> ServiceAccount:
        """One service account."""
        return self._call(
            "GET", organization_id, check_id(account_id, "account_id")
        ).results(_account, bare=True)

    def delete(self, organization_id: int, account_id: int) -> None:
        """Delete one; it leaves all its projects at once."""
        self._call("DELETE", organization_id, check_id(account_id, "account_id")).ok()

    def list_for_project(self) -> builtins.list[ServiceAccount]:
        """The service accounts of the client's project, with their role in it."""
        if self._project_id is None:
            raise ValueError("this call needs a client with a project_id")
        answer = self._http.app("GET", "projects", self._project_id, "service-accounts")
        return answer.results(many(_account, "service accounts"))

    def add_to_project(
        self,
        organization_id: int,
        *,
        project_id: int,
        role: str,
        service_account_ids: Iterable[int],
    ) -> None:
        """Give accounts a role in a project."""
        grant = {"id": project_id, "role": role}
        _PROJECT_ROLE("projects[0]", grant)
        body = {
            "projects": [grant],
            "service_account_ids": building.ids(
                "service_account_ids", service_account_ids
            ),
        }
        self._call("POST", organization_id, "add-to-project", json_body=body).ok()

    def remove_from_project(
        self,
        organization_id: int,
        *,
        project_id: int,
        service_account_ids: Iterable[int],
    ) -> None:
        """Take accounts out of a project."""
        id_number("project_id", project_id)
        accounts = building.ids("service_account_ids", service_account_ids)
        body = {"projects": [{"id": project_id, "service_account_ids": accounts}]}
        self._call("POST", organization_id, "remove-from-project", json_body=body).ok()

    def _call(
        self, method: str, organization_id: int, *path: object, **options: Any
    ) -> Answer:
        id_number("organization_id", organization_id)
        base = ("organizations", organization_id, "service-accounts")
        return self._http.app(method, *base, *path, **options)


def _account(value: Any) -> ServiceAccount:
    data = as_object(value, "a service account")
    role = data.get("role")
    return ServiceAccount(
        id=get_id(data, "id"),
        username=get_text(data, "username"),
        role=get_person(role) if isinstance(role, dict) else get_text(data, "role"),
        expires_at=get_time(data, "expires"),
        created_at=get_time(data, "created"),
        last_used_at=get_time(data, "last_used"),
        creator=get_text(data, "creator_email", "creator_name")
        or get_person(data.get("creator")),
        raw={key: data[key] for key in data if key not in ("token", "secret")},
    )
