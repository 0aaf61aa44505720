"""Who am I, what can I see, which projects are there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from . import building
from .http import Answer, Http, check_id
from .reading import (
    Json,
    Mismatch,
    as_id,
    as_list,
    as_object,
    describe,
    get_id,
    get_object,
    get_optional_id,
    get_text,
)


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization that the service account belongs to."""

    id: int
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class VisibleProject:
    """A project that the service account can see."""

    id: int
    name: str
    organization_id: int | None
    role: str


@dataclass(frozen=True, slots=True)
class Me:
    """The answer to "who am I"; tuples in the order in which they came."""

    user_email: str
    user_name: str
    organizations: tuple[Organization, ...]
    projects: tuple[VisibleProject, ...]
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Project:
    """A project as an organization lists it. ``raw`` holds no keys and secrets."""

    id: int
    name: str
    timezone: str
    token: str = field(repr=False)
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace (data view) of a project."""

    id: int
    name: str
    raw: Json = field(repr=False)


class Projects:
    """``client.projects``."""

    def __init__(self, http: Http, project_id: int | None) -> None:
        self._http = http
        self._project_id = project_id

    def me(self) -> Me:
        """The service account itself: the cheapest test of credentials."""
        return self._http.app("GET", "me").results(_me)

    def is_in_region(self) -> bool:
        """Whether the client's project lives in the client's region.

        Only the Query API tells: it refuses a project of another cluster with
        400. Counts against the Query API's 60 calls an hour.
        """
        if self._project_id is None:
            raise ValueError("this call needs a client with a project_id")
        url = f"{self._http.region.query_url}/events/names"
        query: dict[str, str | int] = {
            "project_id": self._project_id,
            "type": "general",
            "limit": 1,
        }
        answer = self._http.send("GET", url, params=query)
        if answer.status == 400:
            return False
        if answer.status != 200:
            raise answer.error()
        answer.json()
        return True

    def list_for_organization(self, organization_id: int) -> list[Project]:
        """All projects of an organization. Not documented by Mixpanel."""
        return self._organization("GET", organization_id, "projects").results(_projects)

    def create(self, organization_id: int, names: Iterable[str]) -> list[Project]:
        """Create projects. Needs an organization admin. Not documented."""
        names = list(names)
        building.list_of(building.text)("names", names)
        body = {"projectNames": names}
        answer = self._organization(
            "POST", organization_id, "create-projects", json_body=body
        )
        return answer.results(_projects)

    def delete(self, organization_id: int, project_ids: Iterable[int]) -> None:
        """Delete projects: unreachable at once, gone after 60 to 90 days."""
        body = {"projectIds": building.ids("project_ids", project_ids)}
        self._organization(
            "POST", organization_id, "delete-projects", json_body=body
        ).ok()

    def workspaces(self, project_id: int | None = None) -> list[Workspace]:
        """The workspaces of a project (default: the client's)."""
        project_id = check_id(project_id or self._project_id, "project_id")
        answer = self._http.app("GET", "projects", project_id, "workspaces")
        return answer.results(lambda value: [_workspace(v) for _, v in _items(value)])

    def _organization(
        self, method: str, organization_id: int, what: str, **options: Any
    ) -> Answer:
        check_id(organization_id, "organization_id")
        # These routes want their slash.
        path = ("organizations", organization_id, what)
        return self._http.app(method, *path, slash=True, **options)


def _me(value: Any) -> Me:
    data = as_object(value, "me")
    return Me(
        user_email=get_text(data, "user_email"),
        user_name=get_text(data, "user_name"),
        organizations=tuple(
            Organization(id=_key_or_id(key, item), name=_name(item), role=_role(item))
            for key, item in _items(data.get("organizations"))
        ),
        projects=tuple(
            VisibleProject(
                id=_key_or_id(key, item),
                name=_name(item),
                organization_id=_organization_of(item),
                role=_role(item),
            )
            for key, item in _items(data.get("projects"))
        ),
        raw=data,
    )


def _items(value: Any) -> list[tuple[str, Json]]:
    # Seen as an object keyed by id; a list is what one would expect. Read both.
    if value is None:
        return []
    if isinstance(value, list):
        return [("", as_object(item, "an entry")) for item in value]
    if not isinstance(value, dict):
        raise Mismatch(f"entries should be an object or a list, {describe(value)} came")
    return [(key, as_object(item, f"entry {key[:20]}")) for key, item in value.items()]


def _key_or_id(key: str, item: Json) -> int:
    if item.get("id") is not None or not (key.isascii() and key.isdigit()):
        return get_id(item, "id")
    return as_id(int(key[:20]), "id")


def _name(item: Json) -> str:
    return get_text(item, "name")


def _role(item: Json) -> str:
    # Text, or an object that names it. Custom roles exist: any text is fine.
    role = item.get("role")
    if isinstance(role, dict):
        return get_text(role, "name", "role")
    return get_text(item, "role")


def _organization_of(item: Json) -> int | None:
    for key in ("organization_id", "organizationId"):
        if item.get(key) is not None:
            return get_optional_id(item, key)
    return get_optional_id(get_object(item, "organization"), "id")


def _projects(value: Any) -> list[Project]:
    if isinstance(value, dict) and isinstance(value.get("projects"), list | dict):
        value = value["projects"]
    if not isinstance(value, dict):
        as_list(value, "projects")
    return [
        Project(
            id=_key_or_id(key, item),
            name=_name(item),
            timezone=get_text(item, "timezone_name", "timezone"),
            token=get_text(item, "token"),
            raw={
                name: item[name]
                for name in item
                if name not in ("token", "api_key", "api_secret")
            },
        )
        for key, item in _items(value)
    ]


def _workspace(item: Json) -> Workspace:
    return Workspace(id=get_id(item, "id"), name=_name(item), raw=item)
