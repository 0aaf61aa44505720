"""Who may call what; /me, service accounts, organizations and projects."""

import base64
import binascii
import re
import secrets
from datetime import UTC, datetime
from typing import Any

from mixadmin.sandbox.state import World
from mixadmin.sandbox.wire import Json, Refusal, Request, Response, ok, refuse, reply

ROLES = ("owner", "admin", "analyst", "consumer")
MANAGERS = ("owner", "admin")


def iso(moment: float) -> str:
    stamp = datetime.fromtimestamp(moment, UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_iso(value: Any) -> float | None:
    """Unix seconds of an ISO 8601 text or a number; None if it is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


# -- authentication


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """User and password of a Basic header; the pair may also come unencoded."""
    header = request.headers.get("authorization", "")
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    rest = rest.strip()
    try:
        pair = base64.b64decode(rest, validate=True).decode()
    except (binascii.Error, ValueError):
        pair = rest
    user, colon, password = pair.partition(":")
    return (user, password) if colon else None


def find_account(world: World, request: Request) -> Json | None:
    """The live service account that signed this call, or None."""
    pair = basic_credentials(request)
    if pair is None:
        return None
    account = world.get("account", pair[0])
    if account is None or not secrets.compare_digest(
        account["secret"].encode(), pair[1].encode()
    ):
        return None
    if account["expires_at"] is not None and account["expires_at"] <= world.now():
        return None
    bound = world.switches["accounts_bound_to_region"]
    if bound and account["region"] != request.region:
        return None
    request.account = account
    if world.now() - (account["last_used"] or 0) > 60:
        account["last_used"] = world.now()
        world.put("account", account["username"], account)
    return account


def spelled_out(world: World, account: Json) -> dict[str, str]:
    """The roles per project, also of an account that is in its whole organization."""
    if account["projects"] is not None:
        return dict(account["projects"])
    return {
        str(one["id"]): account["role"]
        for one in world.find("project")
        if one["organization_id"] == account["organization_id"]
    }


def need_account(world: World, request: Request) -> Json:
    account = find_account(world, request)
    if account is None:
        raise refuse(401, "Invalid credentials")
    return account


def project_role(account: Json, project: Json) -> str | None:
    """None: not a member."""
    if account["projects"] is None:
        if account["organization_id"] == project["organization_id"]:
            return str(account["role"])
        return None
    role = account["projects"].get(str(project["id"]))
    return None if role is None else str(role)


def need_project(
    world: World, request: Request, project_id: int, *, write: bool
) -> Json:
    account = need_account(world, request)
    project = world.get("project", project_id)
    role = None if project is None else project_role(account, project)
    if project is None or role is None:
        raise refuse(403, f"User does not have access to project {project_id}")
    if project["region"] != request.region:
        raise refuse(
            int(world.switches["wrong_region_status"]),
            f"Project {project_id} is not in this cluster",
        )
    if write and role not in MANAGERS:
        raise refuse(403, "User does not have permissions to perform this action")
    request.project = project
    return project


def need_organization(world: World, request: Request, org: int, *, write: bool) -> Json:
    account = need_account(world, request)
    organization = world.get("organization", org)
    if organization is None or account["organization_id"] != org:
        raise refuse(403, f"User does not have access to organization {org}")
    if write and account["role"] not in MANAGERS:
        raise refuse(403, "User does not have permissions to perform this action")
    return organization


# -- /me and the query API's probe


def me(world: World, request: Request) -> Response:
    account = need_account(world, request)
    projects: Json = {}
    for project in world.find("project"):
        role = project_role(account, project)
        here = project["region"] == request.region
        if role is None or not (here or world.switches["me_lists_all_regions"]):
            continue
        projects[str(project["id"])] = {
            "id": project["id"],
            "name": project["name"],
            "organization_id": project["organization_id"],
            "role": role,
            "timezone": "UTC",
            "type": "project",
        }
    org = world.get("organization", account["organization_id"])
    return ok(
        {
            "date_joined_iso": iso(account["created"]),
            "is_staff": False,
            "organizations": {
                str(org["id"]): {
                    "id": org["id"],
                    "name": org["name"],
                    "role": account["role"],
                    "permissions": [],
                }
            }
            if org
            else {},
            "workspaces": {},
            "projects": projects,
            "user_id": account["id"],
            "user_email": email(account),
            "user_name": account["username"],
        }
    )


def email(account: Json) -> str:
    name = str(account["username"])
    if not name.endswith(".mp-service-account"):
        name += ".mp-service-account"
    return f"{name}@mixpanel.org"


def event_names(world: World, request: Request) -> Response:
    """A small part of the query API: enough to tell a project of another region."""
    account = need_account(world, request)
    project_id = request.query.get("project_id", "")
    project = world.get("project", project_id) if project_id.isdecimal() else None
    if project is None or project["region"] != request.region:
        return reply({"error": "invalid project id for cluster", "request": ""}, 400)
    if project_role(account, project) is None:
        return reply({"error": "User does not have access to project"}, 403)
    limit = request.query.get("limit", "255")
    rows = world.db.execute(
        "SELECT DISTINCT event FROM events WHERE project_id = ? ORDER BY event LIMIT ?",
        (project["id"], int(limit) if re.fullmatch(r"\d{1,6}", limit) else 255),
    )
    return reply([row[0] for row in rows])


# -- service accounts


def as_json(world: World, account: Json) -> Json:
    creator = account.get("creator")
    return {
        "id": account["id"],
        "username": account["username"],
        "last_used": iso(account["last_used"]) if account["last_used"] else None,
        "expires": iso(account["expires_at"]) if account["expires_at"] else None,
        "creator": account["creator_id"],
        "created": iso(account["created"]),
        "user": account["id"],
        "creator_name": creator or "",
        "creator_email": account.get("creator_email", ""),
    }


def make_account(
    world: World,
    *,
    username: str,
    secret: str,
    organization_id: int,
    role: str,
    projects: dict[str, str] | None,
    expires_at: float | None,
    region: str,
    creator: Json | None = None,
) -> Json:
    account = {
        "id": world.next_id("account", 500_001),
        "username": username,
        "secret": secret,
        "organization_id": organization_id,
        "role": role,
        "projects": projects,
        "expires_at": expires_at,
        "region": region,
        "created": world.now(),
        "last_used": None,
        "creator": creator["username"] if creator else "Owner",
        "creator_id": creator["id"] if creator else 1,
        "creator_email": email(creator) if creator else "owner@example.com",
    }
    world.put("account", username, account)
    return account


def accounts_of(world: World, org: int) -> list[Json]:
    return [one for one in world.find("account") if one["organization_id"] == org]


def find_by_id(world: World, org: int, id: int) -> Json:
    for account in accounts_of(world, org):
        if account["id"] == id:
            return account
    raise refuse(404, f"Service account {id} was not found")


def list_accounts(world: World, request: Request, org: int) -> Response:
    return ok([as_json(world, one) for one in accounts_of(world, org)])


def get_account(world: World, request: Request, org: int, id: int) -> Response:
    account = as_json(world, find_by_id(world, org, id))
    return ok(account) if world.switches["service_account_envelope"] else reply(account)


def create_account(world: World, request: Request, org: int) -> Response:
    body = request.json_object()
    name = body.get("username")
    if not isinstance(name, str) or not name.strip() or len(name) > 255:
        raise refuse(400, "username: this field is required")
    role = body.get("role", "consumer")
    if not isinstance(role, str) or role not in ROLES:
        raise refuse(400, f"role: must be one of {', '.join(ROLES)}")
    expires_at = None
    if body.get("expires") is not None:
        expires_at = parse_iso(body["expires"])
        if expires_at is None:
            raise refuse(400, "expires: must be a date-time")
    projects = {
        str(project_id): project_role_name
        for project_id, project_role_name in _grants(
            world, request, org, body.get("projects", [])
        )
    }
    secret = secrets.token_urlsafe(24)
    account = make_account(
        world,
        username=f"{name}.{secrets.token_hex(3)}.mp-service-account",
        secret=secret,
        organization_id=org,
        role=role,
        projects=projects,
        expires_at=expires_at,
        region=request.region,
        creator=request.account,
    )
    request.did("created", "service_account", account["id"])
    return ok({**as_json(world, account), "token": secret}, 201)


def _grants(
    world: World, request: Request, org: int, projects: Any
) -> list[tuple[int, str]]:
    """(project id, role) pairs of a request, each a project the caller manages."""
    if not isinstance(projects, list):
        raise refuse(400, "projects: must be a list")
    grants = []
    for item in projects:
        if not isinstance(item, dict) or not isinstance(item.get("id"), int):
            raise refuse(400, "projects: each item needs an id")
        if item.get("role") not in ROLES:
            raise refuse(400, f"projects: role must be one of {', '.join(ROLES)}")
        _managed_project(world, request, org, item["id"])
        grants.append((item["id"], str(item["role"])))
    return grants


def _managed_project(world: World, request: Request, org: int, id: int) -> Json:
    project = world.get("project", id)
    if project is None or project["organization_id"] != org:
        raise refuse(
            403,
            "User does not have permissions to add one or more service accounts to"
            " one or more of the requested projects",
        )
    return project


def delete_account(world: World, request: Request, org: int, id: int) -> Response:
    account = find_by_id(world, org, id)
    world.drop("account", account["username"])
    request.did("deleted", "service_account", id)
    return ok()


def list_for_project(world: World, request: Request, pid: int) -> Response:
    results = []
    for account in world.find("account"):
        role = project_role(account, request.project)
        if role is None:
            continue
        whole = account["projects"] is None
        results.append(
            {
                **as_json(world, account),
                "hasSensitiveAccess": role in MANAGERS,
                "role": role,
                "role_order": ROLES.index(role) if role in ROLES else len(ROLES),
                "target_type": "organization" if whole else "individual",
                "email": email(account),
            }
        )
    return ok(results)


def add_to_project(world: World, request: Request, org: int) -> Response:
    body = request.json_object()
    grants = _grants(world, request, org, body.get("projects"))
    ids = _ids(body.get("service_account_ids"), "service_account_ids")
    for account in [find_by_id(world, org, id) for id in ids]:
        account["projects"] = {
            **spelled_out(world, account),
            **{str(project_id): role for project_id, role in grants},
        }
        world.put("account", account["username"], account)
        request.did("updated", "service_account", account["id"])
    return ok()


def remove_from_project(world: World, request: Request, org: int) -> Response:
    projects = request.json_object().get("projects")
    if not isinstance(projects, list) or not projects:
        raise refuse(400, "projects: must be a list")
    for item in projects:
        if not isinstance(item, dict) or not isinstance(item.get("id"), int):
            raise refuse(400, "projects: each item needs an id")
        _managed_project(world, request, org, item["id"])
        for id in _ids(item.get("service_account_ids"), "service_account_ids"):
            account = find_by_id(world, org, id)
            account["projects"] = spelled_out(world, account)
            account["projects"].pop(str(item["id"]), None)
            world.put("account", account["username"], account)
            request.did("updated", "service_account", id)
    return ok()


def _ids(value: Any, name: str) -> list[int]:
    if not isinstance(value, list) or any(
        not isinstance(one, int) or isinstance(one, bool) for one in value
    ):
        raise refuse(400, f"{name}: must be a list of integers")
    return value


# -- organizations and projects


def make_project(world: World, id: int, **fields: Any) -> Json:
    org = fields["organization_id"]
    if world.get("organization", org) is None:
        world.put("organization", org, {"id": org, "name": f"Organization {org}"})
    project = {"id": id, **fields, "token": fields["token"] or secrets.token_hex(16)}
    project.setdefault("api_secret", secrets.token_hex(16))
    world.put("project", id, project, id)
    return project


def project_json(project: Json) -> Json:
    return {
        "id": project["id"],
        "name": project["name"],
        "token": project["token"],
        "api_key": project["token"][::-1],
        "api_secret": project["api_secret"],
        "url": f"/project/{project['id']}",
        "timezone_name": "UTC",
    }


def list_projects(world: World, request: Request, org: int) -> Response:
    return ok(
        [
            project_json(one)
            for one in world.find("project")
            if one["organization_id"] == org and one["region"] == request.region
        ]
    )


def create_projects(world: World, request: Request, org: int) -> Response:
    names = request.json_object().get("projectNames")
    if not isinstance(names, list) or not names:
        raise refuse(400, "missing required parameters: projectNames")
    if any(not isinstance(name, str) or not name.strip() for name in names):
        raise refuse(400, "projectNames: must be a list of names")
    made = []
    for name in names:
        project = make_project(
            world,
            world.next_id("project", 3_000_001),
            name=name,
            region=request.region,
            organization_id=org,
            token="",
            identity="simplified",
            connectors="open",
            b2b=False,
            group_keys=[],
        )
        request.did("created", "project", project["id"])
        made.append(project_json(project))
    return ok(made)


def delete_projects(world: World, request: Request, org: int) -> Response:
    ids = _ids(request.json_object().get("projectIds"), "projectIds")
    for id in ids:
        project = world.get("project", id)
        if project is None or project["organization_id"] != org:
            raise Refusal(reply({"status": "error", "error": f"No project {id}"}, 404))
        world.drop("project", id)
        request.did("deleted", "project", id)
    return ok()


def list_workspaces(world: World, request: Request, pid: int) -> Response:
    return ok(
        [{"id": pid, "name": "All Project Data", "project_id": pid, "is_global": True}]
    )
