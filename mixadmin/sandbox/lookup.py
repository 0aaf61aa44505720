"""Lookup tables: the ingestion API's replace, the App API's life cycle."""

import csv
import io
import json
import re
import uuid
from typing import Any
from urllib.parse import parse_qs

from mixadmin.sandbox import ingestion
from mixadmin.sandbox.accounts import basic_credentials, iso
from mixadmin.sandbox.state import World
from mixadmin.sandbox.wire import (
    Json,
    Refusal,
    Request,
    Response,
    app_error,
    ok,
    refuse,
    refuse_ingestion,
    reply,
)

LINK_SECONDS = 3600
DAY = 86_400
LISTED = 10


# -- reading a CSV


def syntax_error(text: str) -> str:
    """The first thing that RFC 4180 does not allow, or ""."""
    if "\0" in text:
        return "NUL character"
    # where in a field we are: at its start, in plain text, in quotes, after them
    state = "start"
    for token in re.finditer(r'[",\n]|\r\n?|[^",\r\n]+', text):
        match token[0]:
            case '"' if state == "quoted":
                state = "closed"
            case '"' if state in ("start", "closed"):
                state = "quoted"
            case '"':
                return 'bare " in non-quoted field'
            case _ if state == "quoted":
                pass
            case "," | "\n" | "\r\n":
                state = "start"
            case "\r":
                return "bare carriage return"
            case _ if state == "closed":
                return 'extraneous or missing " in quoted field'
            case _:
                state = "plain"
    return 'missing " at the end' if state == "quoted" else ""


def parse_csv(data: bytes, base: int) -> tuple[list[str], list[list[str]], list[Json]]:
    """Columns, rows and failed rows; `base` is the index of the header line."""
    try:
        text = data.decode("utf-8-sig")
        if wrong := syntax_error(text):
            raise csv.Error(wrong)
        lines = list(csv.reader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error) as exc:
        return [], [], [{"index": 0, "message": f"invalid CSV: {exc}"}]
    lines = [line for line in lines if line]
    if not lines or len(lines[0]) < 2:
        return [], [], [{"index": base, "message": "invalid header: too few columns"}]
    header = lines[0]
    if len(set(header)) != len(header):
        return [], [], [{"index": base, "message": "invalid header: repeated column"}]
    if not all(name.strip() for name in header[1:]):
        return [], [], [{"index": base, "message": "invalid header: unnamed column"}]
    failed: list[Json] = []
    seen: dict[str, int] = {}
    for index, row in enumerate(lines[1:], start=base + 1):
        message = ""
        if len(row) != len(header):
            message = "invalid row: wrong number of fields"
        elif not row[0].strip():
            message = "primary key is required and cannot be blank"
        elif row[0] in seen:
            message = (
                f"invalid row: row indexes {seen[row[0]]} and {index} have the same"
                " primary key"
            )
        if message:
            failed.append({"index": index, "message": message})
        else:
            seen[row[0]] = index
    return header, lines[1:], failed


def make_table(
    world: World, project_id: int, name: str, csv_text: str, id: str
) -> Json:
    columns, rows, failed = parse_csv(csv_text.encode(), 0) if csv_text else ([],) * 3
    if failed:
        raise ValueError(failed[0]["message"])
    # ids of data groups are signed 64-bit and more than JavaScript can hold
    table: Json = {
        "id": id,
        "data_group_id": -(world.next_id("data group", 1) + 7 * 10**18),
        "name": name,
        "project_id": project_id,
        "created": iso(world.now()),
        "columns": columns,
        "rows": rows,
    }
    world.put("lookup", id, table, project_id)
    return table


# -- the ingestion host


def list_tables(world: World, request: Request) -> Response:
    if basic_without_password(request):
        raise ingestion.unauthorized("Invalid credentials")
    project = ingestion.need_import_project(world, request)
    found = [
        {"id": one["id"], "name": one["name"]}
        for one in world.find("lookup", project["id"])
    ]
    results: Any = found or world.switches["lookup_empty_list"]
    return reply({"code": 200, "status": "OK", "results": results})


def basic_without_password(request: Request) -> bool:
    pair = basic_credentials(request)
    return pair is not None and not pair[1]


def replace(world: World, request: Request, id: str) -> Response:
    project = ingestion.need_import_project(world, request)
    table = next(
        (one for one in world.find("lookup", project["id"]) if one["id"] == id), None
    )
    if table is None:
        error = f"Lookup table with id '{id}' was not found."
        return reply({"code": 200, "error": error, "status": "Not Found"}, 404)
    body = ingestion.read_body(world, request, int(world.switches["max_lookup_bytes"]))
    per_project = world.switches["lookup_put_scope"] == "project"
    key = f"lookup project {project['id']}" if per_project else f"lookup {id}"
    if not world.spend(key, DAY, int(world.switches["lookup_put_limit"])):
        text = "Lookup table replacements are limited to 100 per 24 hours"
        raise refuse_ingestion(429, text, "Too Many Requests")
    base = int(world.switches["lookup_index_base"])
    columns, rows, failed = parse_csv(body, base)
    if failed:
        return _failed(world, failed[:LISTED])
    _save(world, table, columns, rows)
    request.did("updated", "lookup_table", id)
    return reply({"code": 200, "status": "OK"})


def _failed(world: World, failed: list[Json]) -> Response:
    text = "Some data points in the request failed validation."
    if world.switches["lookup_error_shape"] == "status":
        return reply({"error": text, "failed_records": failed, "status": 0}, 400)
    return reply(
        {"code": 400, "error": text, "status": "Bad Request", "failed_records": failed},
        400,
    )


def _save(world: World, table: Json, columns: list[str], rows: list[list[str]]) -> None:
    world.put(
        "lookup",
        table.get("key") or table["id"],
        {**table, "columns": columns, "rows": rows},
    )


# -- the App API


def upload_url(world: World, request: Request, pid: int) -> Response:
    if request.query.get("content-type") != "text/csv":
        raise refuse(400, "content-type: must be text/csv")
    key = uuid.uuid4().hex
    upload = {
        "key": key,
        "path": f"lookup-tables/{pid}/{key}.csv",
        "project_id": pid,
        "until": world.now() + LINK_SECONDS,
    }
    world.put("upload", key, upload, pid)
    host = request.headers.get("host", "")
    url = f"http://{host}/{request.region}/_uploads/{key}"
    return ok({"url": url, "path": upload["path"], "key": key})


def upload(world: World, request: Request, key: str) -> Response:
    """The signed address: no credentials, only the content type."""
    found = world.get("upload", key)
    if found is None or found["until"] <= world.now():
        return Response(403, b"<Error><Code>ExpiredToken</Code></Error>")
    if request.headers.get("content-type", "").partition(";")[0] != "text/csv":
        return Response(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
    if "authorization" in request.headers:
        return Response(400, b"<Error><Code>InvalidArgument</Code></Error>")
    world.db.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?)", (key, request.body))
    request.did("created", "upload", key)
    return Response(200)


def _form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind != "application/x-www-form-urlencoded":
        raise refuse(400, "missing required parameters")
    values = parse_qs(request.body.decode("utf-8", "replace"))
    return {name: value[-1] for name, value in values.items()}


def create(world: World, request: Request, pid: int) -> Response:
    """Small files become a table at once, others are worked on for a while."""
    form = _form(request)
    for name in ("name", "path", "key"):
        if not form.get(name):
            raise refuse(400, f"missing required parameters: {name}")
    found = world.get("upload", form["key"])
    row = world.db.execute(
        "SELECT data FROM blobs WHERE id = ?", (form["key"],)
    ).fetchone()
    if found is None or row is None or found["path"] != form["path"]:
        raise refuse(400, "key: nothing was uploaded there")
    if form.get("data-group-id"):
        _by_group(world, pid, form["data-group-id"])
    if len(row[0]) >= int(world.switches["lookup_async_bytes"]):
        found.update(form=form, result=None, error="")
        world.put("upload", form["key"], found)
        wait = world.seconds(world.switches["run_seconds"])
        world.at(world.now() + wait, "lookup_upload", form["key"], {})
        request.did("created", "upload_job", form["key"])
        return ok({"uploadId": form["key"]})
    table = _take(world, pid, form, row[0])
    request.did("created", "lookup_table", str(table["data_group_id"]))
    return ok({"id": table["data_group_id"], "name": table["name"]})


def _take(world: World, pid: int, form: dict[str, str], data: bytes) -> Json:
    columns, rows, failed = parse_csv(data, int(world.switches["lookup_index_base"]))
    if failed:
        raise refuse(400, failed[0]["message"])
    if form.get("data-group-id"):
        table = _by_group(world, pid, form["data-group-id"])
        table["name"] = form["name"]
    else:
        table = make_table(world, pid, form["name"], "", str(uuid.uuid4()))
    _save(world, table, columns, rows)
    return table


def on_upload_due(world: World, id: str, body: Json) -> None:
    found = world.get("upload", id)
    row = world.db.execute("SELECT data FROM blobs WHERE id = ?", (id,)).fetchone()
    if found is None or row is None:
        return
    try:
        table = _take(world, found["project_id"], found["form"], row[0])
        found["result"] = table["data_group_id"]
    except Refusal as refusal:
        found["error"] = json.loads(refusal.response.body)["error"]
    world.put("upload", id, found)


def upload_status(world: World, request: Request, pid: int) -> Response:
    found = world.get("upload", request.query.get("upload-id", ""))
    if found is None or found["project_id"] != pid or "form" not in found:
        raise refuse(404, "no such upload")
    if found["error"]:
        return ok({"uploadStatus": "FAILURE", "error": found["error"]})
    if found["result"] is None:
        return ok({"uploadStatus": "PENDING"})
    return ok({"uploadStatus": "SUCCESS", "result": {"id": found["result"]}})


def _by_group(world: World, pid: int, group_id: Any) -> Json:
    for table in world.find("lookup", pid):
        if str(table["data_group_id"]) == str(group_id):
            return table
    raise refuse(404, f"Lookup table {group_id} was not found")


def definition(table: Json) -> Json:
    return {
        "id": table["data_group_id"],
        "name": table["name"],
        "columns": table["columns"],
        "rowCount": len(table["rows"]),
    }


def list_definitions(world: World, request: Request, pid: int) -> Response:
    wanted = request.query.get("data-group-id")
    if wanted:
        return ok([definition(_by_group(world, pid, wanted))])
    return ok([definition(one) for one in world.find("lookup", pid)])


def rename(world: World, request: Request, pid: int) -> Response:
    body = request.json_object()
    table = _by_group(world, pid, body.get("data-group-id"))
    if not isinstance(body.get("name"), str) or not body["name"]:
        raise refuse(400, "name: this field is required")
    table["name"] = body["name"]
    _save(world, table, table["columns"], table["rows"])
    request.did("updated", "lookup_table", str(table["data_group_id"]))
    return ok(definition(table))


def delete(world: World, request: Request, pid: int) -> Response:
    ids = request.json_object().get("data-group-ids")
    if not isinstance(ids, list) or not ids:
        raise refuse(400, "data-group-ids: must be a list")
    for table in [_by_group(world, pid, id) for id in ids]:
        world.drop("lookup", table.get("key") or table["id"])
        request.did("deleted", "lookup_table", str(table["data_group_id"]))
    return ok()


def _as_csv(table: Json) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([table["columns"], *table["rows"]])
    return out.getvalue().encode()


def download(world: World, request: Request, pid: int) -> Response:
    table = _by_group(world, pid, request.query.get("data-group-id"))
    return Response(200, _as_csv(table), {"Content-Type": "text/csv"})


def download_url(world: World, request: Request, pid: int) -> Response:
    table = _by_group(world, pid, request.query.get("data-group-id"))
    key = uuid.uuid4().hex
    link = {"key": key, "project_id": pid, "until": world.now() + LINK_SECONDS}
    world.put("upload", key, link, pid)
    world.db.execute("INSERT INTO blobs VALUES (?, ?)", (key, _as_csv(table)))
    host = request.headers.get("host", "")
    return ok({"url": f"http://{host}/{request.region}/_uploads/{key}"})


def fetch(world: World, request: Request, key: str) -> Response:
    found = world.get("upload", key)
    row = world.db.execute("SELECT data FROM blobs WHERE id = ?", (key,)).fetchone()
    if found is None or row is None or found["until"] <= world.now():
        return app_error(404, "Not Found")
    return Response(200, row[0], {"Content-Type": "text/csv"})
