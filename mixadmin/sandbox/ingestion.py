"""/import, /track, /engage and /groups."""

import base64
import json
import re
import zlib
from collections import Counter
from typing import Any
from urllib.parse import parse_qs

from mixadmin.sandbox import records
from mixadmin.sandbox.accounts import (
    MANAGERS,
    basic_credentials,
    find_account,
    project_role,
)
from mixadmin.sandbox.state import World
from mixadmin.sandbox.wire import (
    Json,
    Refusal,
    Request,
    Response,
    refuse_ingestion,
    reply,
    text,
)

FAILED_TEXT = "some data points in the request failed validation"
RATE_TEXT = (
    "Project exceeded rate limits. Please retry the request with exponential backoff."
)
BAD_SECRET_TEXT = "Unauthorized, invalid project secret"  # noqa: S105
SECRET_WARNING = '299 - "project secrets are retired on 2027-03-03"'  # noqa: S105
VERB_TEXT = (
    "identity events are not allowed when project is using simplified identity"
    " management"
)
FIVE_DAYS_MS = 5 * 86_400_000
NOBODY: Json = {"id": 0, "identity": "simplified", "group_keys": []}


# -- bodies


def gunzip(data: bytes, limit: int) -> bytes:
    """ValueError if it is not gzip or grows over the limit."""
    machine = zlib.decompressobj(wbits=31)
    try:
        whole = machine.decompress(data, limit + 1)
    except zlib.error as exc:
        raise ValueError("not gzip") from exc
    if len(whole) > limit:
        raise ValueError("too large")
    if not machine.eof:
        raise ValueError("cut gzip")
    return whole


def read_body(world: World, request: Request, limit: int) -> bytes:
    """The uncompressed body; 413 over the limit, 400 if it cannot be unpacked."""
    too_large = refuse_ingestion(
        413, f"request exceeds max limit of {limit} bytes", "Request Entity Too Large"
    )
    body = request.body
    if request.headers.get("content-encoding", "").lower() == "gzip":
        try:
            body = gunzip(body, limit)
        except ValueError as exc:
            if str(exc) == "too large":
                raise too_large from None
            raise bad_request("could not decompress the request body") from None
    if len(body) > limit:
        raise too_large
    return body


def bad_request(message: str) -> Refusal:
    return refuse_ingestion(400, message, "Bad Request")


def parse_records(request: Request, body: bytes) -> tuple[list[Any], bool]:
    """The records and whether they came as a form, which is answered as /track is."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            return _parse_form(body), True
        if kind == "application/x-ndjson":
            lines = body.split(b"\n")
            return [_parse_json(line) for line in lines if line.strip()], False
        data = _parse_json(body)
    except (ValueError, RecursionError):
        raise bad_request("request body is not valid JSON") from None
    return (data if isinstance(data, list) else [data]), False


def _parse_json(data: bytes) -> Any:
    """JSON as it is standardized: UTF-8, no byte order mark, no NaN.

    Bytes that are not UTF-8 become lone surrogates, which are refused record by record
    as documented.
    """
    text = data.decode("utf-8", "surrogateescape")
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _parse_form(body: bytes) -> list[Any]:
    values = parse_qs(body.decode("utf-8"), keep_blank_values=True).get("data", [""])
    data = values[0]
    if not data.lstrip().startswith(("[", "{")):
        data = base64.b64decode(data.replace(" ", "+")).decode("utf-8")
    parsed = json.loads(data)
    return parsed if isinstance(parsed, list) else [parsed]


# -- limits


def check_rate(world: World, project_id: int, events: int, size: int) -> bool:
    """Rolling minute per project, by number and by bytes. Not kept over a restart."""
    now = world.now()
    recent = [one for one in world.recent.get(str(project_id), []) if one[0] > now - 60]
    used = sum(count for _, count, _ in recent)
    used_bytes = sum(size for _, _, size in recent)
    fits = used + events <= int(world.switches["events_per_minute"]) and (
        used_bytes + size <= int(world.switches["bytes_per_minute"])
    )
    if fits:
        recent.append((now, events, size))
    world.recent[str(project_id)] = recent
    return fits


def need_rate(world: World, project: Json, events: int, size: int) -> None:
    if check_rate(world, project["id"], events, size):
        return
    refusal = refuse_ingestion(429, RATE_TEXT, "Too Many Requests")
    if world.switches["retry_after_on_429"]:
        seconds = str(world.switches["retry_after_on_429"])
        refusal.response.headers["Retry-After"] = seconds
    raise refusal


def check_count(world: World, found: list[Any]) -> None:
    limit = int(world.switches["max_records"])
    if len(found) > limit:
        status = int(world.switches["too_many_records_status"])
        word = "Request Entity Too Large" if status == 413 else "Bad Request"
        raise refuse_ingestion(
            status, f"request exceeds max limit of {limit} records", word
        )


# -- who


def unauthorized(message: str) -> Refusal:
    return refuse_ingestion(401, message, "Unauthorized")


def need_import_project(world: World, request: Request) -> Json:
    """Who may import, and into what.

    A service account (owner or admin), a project token or a project secret. A project
    of another region gives NOBODY: the call succeeds and the data never shows up.
    """
    pair = basic_credentials(request)
    if pair is None:
        raise unauthorized("Invalid credentials")
    user, password = pair
    if not password:
        return _project_by_key(world, request, user)
    project_id = request.query.get("project_id", "")
    if not project_id:
        raise unauthorized(BAD_SECRET_TEXT)
    account = find_account(world, request)
    if account is None or not re.fullmatch(r"[0-9]{1,18}", project_id):
        raise unauthorized("Invalid credentials")
    project = world.get("project", int(project_id))
    role = None if project is None else project_role(account, project)
    if project is None or role not in MANAGERS:
        raise unauthorized("Invalid credentials")
    return project if project["region"] == request.region else NOBODY


def _project_by_key(world: World, request: Request, key: str) -> Json:
    elsewhere = False
    for project in world.find("project"):
        if key in (project["token"], project["api_secret"]):
            if project["region"] == request.region:
                if key == project["api_secret"]:
                    request.extra_headers["Warning"] = SECRET_WARNING
                return project
            elsewhere = True
    if elsewhere:
        return NOBODY
    raise unauthorized("Invalid credentials")


# -- /import


def import_events(world: World, request: Request) -> Response:
    project = need_import_project(world, request)
    limit = int(world.switches["max_import_bytes"])
    body = read_body(world, request, limit)
    if not body.strip():
        raise bad_request("request body is empty")
    found, as_form = parse_records(request, body)
    if not found:
        raise bad_request("request has no events")
    check_count(world, found)
    need_rate(world, project, len(found), len(body))
    strict = request.query.get("strict", "1") != "0"
    identity = project["identity"]
    verbs = [
        isinstance(one, dict) and one.get("event") in records.IDENTITY_VERBS
        for one in found
    ]
    if identity == "simplified" and any(verbs):
        return reply(
            {
                "code": 400,
                "error": FAILED_TEXT,
                "failed_records": [VERB_TEXT for verb in verbs if verb],
                "num_records_imported": 0,
                "status": "Bad Request",
            },
            400,
        )
    events, failed = _sort_out(world, found, identity, strict, len(body))
    if project is not NOBODY:
        records.store_events(world, project["id"], events)
        request.count("events", len(events))
    else:
        request.count("events_lost", len(events))
    if as_form:
        return legacy_answer(request, "" if events else "data, missing or empty")
    if not failed or not strict:
        count = len(events) if strict else len(found)
        return reply({"code": 200, "num_records_imported": count, "status": "OK"})
    return reply(
        {
            "code": 400,
            "error": FAILED_TEXT,
            "failed_records": failed,
            "num_records_imported": len(events),
            "status": "Bad Request",
        },
        400,
    )


def _sort_out(
    world: World, found: list[Any], identity: str, strict: bool, size: int
) -> tuple[list[tuple[Json, int, str]], list[Json]]:
    now = world.now()
    id_key = world.switches["failed_record_id_key"]
    events, failed = [], []
    for index, record in enumerate(found):
        try:
            events.append(
                records.clean_event(
                    record,
                    now=now,
                    identity=identity,
                    need_insert_id=strict,
                    most_bytes=size,
                )
            )
        except records.Invalid as exc:
            properties = record.get("properties") if isinstance(record, dict) else None
            insert_id = (
                properties.get("$insert_id") if isinstance(properties, dict) else None
            )
            failed.append(
                {
                    "index": index,
                    id_key: insert_id if isinstance(insert_id, str) else "",
                    "field": exc.field,
                    "message": exc.message,
                }
            )
    return events, failed


# -- /track, /engage, /groups


def legacy_answer(request: Request, error: str) -> Response:
    """`1` or `0`, or with verbose=1 the same as JSON. Always HTTP 200."""
    status = 0 if error else 1
    if callback := request.query.get("callback"):
        return text(f"{callback}({status});", kind="text/javascript")
    if request.query.get("verbose") == "1":
        return reply({"error": error or None, "status": status})
    return text(str(status))


def legacy_records(world: World, request: Request) -> list[Any]:
    body = read_body(world, request, int(world.switches["max_import_bytes"]))
    try:
        found, _ = parse_records(request, body) if body.strip() else ([], False)
    except Refusal:
        found = []
    if not found:
        raise Refusal(legacy_answer(request, "data, missing or empty"))
    check_count(world, found)
    return found


def projects_by_token(
    world: World, request: Request, tokens: list[Any]
) -> dict[str, Json]:
    """The projects of this region that these tokens, one a record, belong to.

    Also spends each project's share of the rate; 429 when one has none left.
    """
    counts = Counter(token for token in tokens if isinstance(token, str))
    found = {}
    for project in world.find("project"):
        token = project["token"]
        if token in counts and project["region"] == request.region:
            need_rate(world, project, counts[token], len(request.body))
            found[token] = project
    return found


def track(world: World, request: Request) -> Response:
    good = 0
    found = [
        record
        for record in legacy_records(world, request)
        if isinstance(record, dict)
        and isinstance(record.get("properties"), dict)
        and isinstance(record["properties"].get("token"), str)
    ]
    tokens = [record["properties"]["token"] for record in found]
    projects = projects_by_token(world, request, tokens)
    for record in found:
        properties = record["properties"]
        project = projects.get(properties["token"])
        if properties.get("time") is None:
            properties["time"] = int(world.now())
        kept = {key: value for key, value in properties.items() if key != "token"}
        try:
            event = records.clean_event(
                {**record, "properties": kept},
                now=world.now(),
                identity="simplified",
                need_insert_id=False,
            )
        except records.Invalid:
            continue
        good += 1
        old = event[1] < world.now() * 1000 - FIVE_DAYS_MS
        verb = event[0]["event"] in records.IDENTITY_VERBS
        if project is not None and not old and not verb:
            records.store_events(world, project["id"], [event])
            request.count("events", 1)
    return legacy_answer(request, "" if good else "no valid events")


def engage(world: World, request: Request) -> Response:
    return _update_profiles(world, request, groups=False)


def groups(world: World, request: Request) -> Response:
    return _update_profiles(world, request, groups=True)


def _update_profiles(world: World, request: Request, *, groups: bool) -> Response:
    found = legacy_records(world, request)
    tokens = [one.get("$token") for one in found if isinstance(one, dict)]
    projects = projects_by_token(world, request, tokens)
    failed: list[Json] = []
    for index, record in enumerate(found):
        try:
            _update_one(world, request, record, projects, groups=groups)
        except records.Invalid as exc:
            failed.append({"index": index, "field": exc.field, "message": exc.message})
    good = len(found) - len(failed)
    if request.query.get("strict") == "1":
        if not failed:
            answer = {"code": 200, "num_good_events": good, "status": "OK"}
            return reply({**answer, "num_records_imported": good, "error": None})
        return reply(
            {
                "code": 400,
                "error": FAILED_TEXT,
                "failed_records": failed,
                "num_good_events": good,
                "num_records_imported": good,
                "status": "Bad Request",
            },
            400,
        )
    return legacy_answer(request, "" if good else failed[0]["message"])


def _update_one(
    world: World,
    request: Request,
    record: Any,
    projects: dict[str, Json],
    *,
    groups: bool,
) -> None:
    if not isinstance(record, dict) or not isinstance(record.get("$token"), str):
        raise records.Invalid("$token", "'$token' is invalid: must not be missing")
    project = projects.get(record["$token"])
    keys = (project or NOBODY)["group_keys"]
    key, id = records.profile_id(record, keys if groups else None)
    verbs = records.clean_update(record, group=groups)
    # an unknown token or group key is accepted all the same, and nothing is kept
    if project is not None and (not groups or key in keys):
        records.update_profile(world, project["id"], key, id, verbs)
        request.count("profiles", 1)
