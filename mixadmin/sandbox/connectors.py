"""Cloud connectors: one run over the files of a bucket folder."""

import gzip
import io
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mixadmin.sandbox import records
from mixadmin.sandbox.accounts import email, iso
from mixadmin.sandbox.state import World
from mixadmin.sandbox.wire import Json, Refusal, Request, Response, ok, refuse, reply

REQUIRED = {
    "gcsImport": ("gcs_bucket", "gcs_prefix"),
    "s3Import": ("s3_role", "s3_bucket", "s3_region", "s3_prefix"),
}
S3_REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ap-south-1",
    "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1",
    "ap-southeast-2", "ca-central-1", "cn-north-1", "cn-northwest-1", "eu-central-1",
    "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "sa-east-1",
)  # fmt: skip
FORMATS = ("event", "people", "group")
REMAP_REQUIRED = {
    "event": ("event_name", "time", "distinct_id"),
    "people": ("$distinct_id",),
    "group": ("$group_key", "$group_id"),
}
GZIP_MISMATCH = (
    "No compression specified but Gzip detected. Please submit a new request with"
    " correct compression as param"
)
NEVER = "0001-01-01 00:00:00 +0000 UTC"
LINES_PER_STEP = 5000
COUNTERS = (
    "num_events_imported", "num_events_processed", "num_events_dropped",
    "num_files_imported", "size_imported",
)  # fmt: skip


def _refuse(kind: str, message: str, status: int = 400, **more: str) -> Refusal:
    return Refusal(
        reply({"status": "error", "type": kind, "message": message, **more}, status)
    )


def missing(name: str) -> Refusal:
    return _refuse(
        "missing_required_property",
        f"The property `{name}` is missing from the payload",
    )


def invalid(name: str) -> Refusal:
    return _refuse("invalid_property", f"The property `{name}` is not valid")


# -- endpoints


def check_open(world: World, request: Request) -> None:
    if request.project["connectors"] != "open":
        raise refuse(
            int(world.switches["connectors_closed_status"]),
            "Cloud Import is not available for this project",
        )


def _connector(world: World, project_id: int, id: str) -> Json:
    found = world.get("connector", id)
    if found is None or found["is_deleted"] or found["project_id"] != project_id:
        raise _refuse(
            "not_found", f"Connector with ID:{id} was not found", 404, details=""
        )
    return found


def connector_json(world: World, found: Json, status: str | None) -> Json:
    person = {"id": found["creator_id"], "name": found["creator_name"]}
    created_by: Any = found["creator_email"]
    if world.switches["connector_created_by"] == "email":
        created_by = {"email": created_by}
    elif world.switches["connector_created_by"] == "object":
        created_by = {**person, "email": created_by}
    shown = {
        world.switches["connector_id_key"]: found["id"],
        "label": found["label"],
        "connector_type": found["connector_type"],
        "connector_properties": found["connector_properties"],
        "category_properties": found["category_properties"],
        "status": status,
        "created_at": found["created_at"],
        "created_by": created_by,
    }
    if found["failure_message"] and status is not None:
        shown["failure_message"] = found["failure_message"]
    return shown


def list_connectors(world: World, request: Request, pid: int) -> Response:
    check_open(world, request)
    word = world.switches["connector_list_status"]
    data = [
        connector_json(world, one, one["status"] if word == "real" else word)
        for one in world.find("connector", pid)
        if not one["is_deleted"]
    ]
    return ok({"url": f"/projects/{pid}/connectors", "has_more": False, "data": data})


def get_connector(world: World, request: Request, pid: int, id: str) -> Response:
    check_open(world, request)
    found = _connector(world, pid, id)
    return ok(connector_json(world, found, found["status"]))


def create_connector(world: World, request: Request, pid: int) -> Response:
    check_open(world, request)
    body = request.json_object()
    check_create(world, body)
    account = request.account or {"id": 1, "username": "somebody else"}
    found = make_connector(
        world,
        pid,
        {
            **body,
            "creator_id": account["id"],
            "creator_name": account["username"],
            "creator_email": email(account),
        },
    )
    request.did("created", "connector", found["id"])
    status = int(world.switches["connector_create_status"])
    return ok(connector_json(world, found, found["status"]), status)


def check_create(world: World, body: Json) -> None:
    for name in ("connector_type", "connector_properties", "category_properties"):
        if name not in body:
            raise missing(name)
    label = body.get("label")
    if label is not None and (not isinstance(label, str) or len(label) > 255):
        raise invalid("label")
    if body["connector_type"] not in REQUIRED:
        raise invalid("connector_type")
    where, what = body["connector_properties"], body["category_properties"]
    if not isinstance(where, dict):
        raise invalid("connector_properties")
    if not isinstance(what, dict):
        raise invalid("category_properties")
    for name in REQUIRED[body["connector_type"]]:
        if name not in where:
            raise missing(name)
        empty_is_fine = name.endswith("_prefix")
        if not isinstance(where[name], str) or not (where[name] or empty_is_fine):
            raise invalid(name)
    checked = (
        body["connector_type"] == "s3Import" and world.switches["strict_s3_region"]
    )
    if checked and where["s3_region"] not in S3_REGIONS:
        raise invalid("s3_region")
    _check_category(what)


def _check_category(what: Json) -> None:
    if "data_format" not in what:
        raise missing("data_format")
    family, _, kind = str(what["data_format"]).partition("_")
    if family not in ("mixpanel", "remap") or kind not in FORMATS:
        raise invalid("data_format")
    if what.get("compression") not in (None, "none", "gzip"):
        raise invalid("compression")
    remap = what.get("property_remap")
    if family == "mixpanel":
        if remap is not None:
            raise invalid("property_remap")
        return
    if remap is None:
        raise missing("property_remap")
    if not isinstance(remap, dict):
        raise invalid("property_remap")
    for name in REMAP_REQUIRED[kind]:
        if name not in remap:
            raise missing(name)
        if not isinstance(remap[name], str) or not remap[name]:
            raise invalid(name)
    for name, value in remap.items():
        if value is not None and not isinstance(value, str):
            raise invalid(name)


def make_connector(world: World, project_id: int, fields: Json) -> Json:
    found = {
        "creator_id": 1,
        "creator_name": "somebody else",
        "creator_email": "somebody@example.com",
        "status": "active",
        "failure_message": "",
        **fields,
        "id": str(fields.get("id") or uuid.uuid4()),
        "label": fields.get("label") or "",
        "project_id": project_id,
        "created_at": iso(world.now()),
        "is_deleted": False,
    }
    world.put("connector", found["id"], found, project_id)
    if found["connector_type"] not in REQUIRED:
        return found  # another sort, e.g. an export: shown in lists, never run here
    n = world.add_run(
        "connector", found["id"], "queued", {"counts": dict.fromkeys(COUNTERS, 0)}
    )
    wait = world.seconds(world.switches["dispatch_seconds"])
    world.at(world.now() + wait, "connector_run", n, {})
    return found


def delete_connector(world: World, request: Request, pid: int, id: str) -> Response:
    check_open(world, request)
    found = _connector(world, pid, id)
    found["is_deleted"] = True
    world.put("connector", id, found)
    for n, _, _ in world.runs("connector", id):
        world.cancel_due("connector_run", n)
        world.readers.pop(n, None)
    request.did("deleted", "connector", id)
    if world.switches["connector_delete_body"] == "message":
        text = f"The connector with id {id} was successfully deleted"
        return reply({"status": "success", "message": text})
    return ok(f"Successfully deleted Connector with ID:{id}")


def history(world: World, request: Request, pid: int, id: str) -> Response:
    check_open(world, request)
    found = _connector(world, pid, id)
    runs = world.runs("connector", id, int(world.switches["history_length"]))
    return ok(
        {
            "url": f"/projects/{pid}/connectors/{id}/history",
            "has_more": False,
            "data": [run_json(world, found, status, body) for _, status, body in runs],
        }
    )


def run_json(world: World, found: Json, status: str, body: Json) -> Json:
    failed = status == "failed"
    key = world.switches["connector_run_id_key"] or ("run_id" if failed else "id")
    word = world.switches["connector_success_word"] if status == "succeeded" else status
    counts = dict.fromkeys(COUNTERS, 0)
    if status == "succeeded":
        counts = body["counts"]
    # a failed run has no end in the published samples, although it is over
    end = None if failed else body.get("end")
    return {
        key: "",
        "start_time": _stamp(world, body.get("start"), NEVER),
        "end_time": _stamp(world, end, ""),
        "status": word,
        "progress": _progress(world, status, body),
        "error": {
            "message": body.get("message", ""),
            "code": body.get("code", ""),
        },
        "connector_properties": counts,
    }


def _progress(world: World, status: str, body: Json) -> float:
    if status == "succeeded":
        return 1
    if status != "running":
        return 0
    by_clock = (world.now() - body["start"]) / max(body["end_at"] - body["start"], 1e-9)
    by_bytes = body["bytes_done"] / max(body["bytes"], 1)
    return float(round(max(0.0, min(by_clock, max(by_bytes, 0.05), 0.99)), 3))


def _stamp(world: World, moment: float | None, otherwise: str) -> str:
    if moment is None:
        return otherwise
    if world.switches["connector_times"] == "unix":
        return str(int(moment))
    return datetime.fromtimestamp(moment, UTC).strftime(
        "%Y-%m-%d %H:%M:%S +0000 UTC"
        if float(moment).is_integer()
        else "%Y-%m-%d %H:%M:%S.%f +0000 UTC"
    )


# -- runs


class RunFailed(Exception):
    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


def on_run_due(world: World, id: str, body: Json) -> None:
    """One step of a run: some thousand lines, then it is due again."""
    n = int(id)
    run = world.run(n)
    if run is None:
        return
    status, details = run
    owner = world.db.execute("SELECT owner_id FROM runs WHERE n = ?", (n,))
    found = world.get("connector", owner.fetchone()[0])
    if found is None or found["is_deleted"]:
        return
    try:
        if status == "queued":
            _start(world, n, found, details)
            return
        finished = _step(world, n, found, details)
    except RunFailed as exc:
        world.readers.pop(n, None)
        details.setdefault("start", world.now())
        details.update(end=world.now(), message=str(exc), code=exc.code)
        world.save_run(n, "failed", details)
        found.update(status="paused", failure_message=str(exc))
        world.put("connector", found["id"], found)
        return
    if not finished:
        world.save_run(n, "running", details)
        # large files: on with the next lines at once; small ones: spread over the run
        pause = world.seconds(world.switches["run_seconds"]) / 10
        behind = (
            details["bytes_done"] < details["bytes"]
            and world.now() >= (details["end_at"])
        )
        next_step = min(world.now() + pause, max(details["end_at"], world.now()))
        world.at(world.now() if behind else next_step, "connector_run", n, {})
        return
    world.readers.pop(n, None)
    details["end"] = world.now()
    world.save_run(n, "succeeded", details)
    found["status"] = "stopped"
    world.put("connector", found["id"], found)


def _start(world: World, n: int, found: Json, details: Json) -> None:
    duration = world.seconds(world.switches["run_seconds"])
    details.update(
        start=world.now(),
        end_at=world.now() + duration,
        files=[],
        bytes=0,
        bytes_done=0,
        file=0,
        line=0,
    )
    files = list_files(world, found)
    details["files"] = [name for name, _ in files]
    details["bytes"] = sum(size for _, size in files)
    world.save_run(n, "running", details)
    world.at(world.now() + duration / 10, "connector_run", n, {})


def _bucket(world: World, found: Json) -> Path:
    where = found["connector_properties"]
    gcs = found["connector_type"] == "gcsImport"
    folder = world.bucket(str(where["gcs_bucket" if gcs else "s3_bucket"]))
    if folder is None:
        raise RunFailed(
            f"Invalid permissions to access {'GCS' if gcs else 'S3'} bucket",
            "invalid_permissions_gcs" if gcs else "invalid_permissions_s3",
        )
    return folder


def list_files(world: World, found: Json) -> list[tuple[str, int]]:
    """Names and sizes of the objects under the prefix, in order of name."""
    folder = _bucket(world, found)
    where = found["connector_properties"]
    prefix = where.get("gcs_prefix", where.get("s3_prefix", ""))
    files = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        inside = path.resolve().is_relative_to(folder.resolve())
        if inside and path.is_file() and name.startswith(prefix):
            files.append((name, path.stat().st_size))
    too_big = [
        name for name, size in files if size >= int(world.switches["max_file_bytes"])
    ]
    if too_big:
        raise RunFailed(f"File {too_big[0]} is 2GB or larger", "file_too_large")
    return files


def read_lines(path: Path, compression: str | None) -> Iterator[bytes]:
    with path.open("rb") as raw:
        magic = raw.read(2)
        raw.seek(0)
        if compression != "gzip":
            if magic == b"\x1f\x8b":
                raise RunFailed(GZIP_MISMATCH, "invalid_compression")
            yield from raw
            return
        if magic and magic != b"\x1f\x8b":
            raise RunFailed(f"{path.name} is not gzip", "invalid_compression")
        try:
            yield from io.BufferedReader(gzip.GzipFile(fileobj=raw))
        except (OSError, EOFError) as exc:
            raise RunFailed(
                f"{path.name} cannot be decompressed: {exc}", "invalid_file"
            ) from exc


def _step(world: World, n: int, found: Json, details: Json) -> bool:
    """Import the next lines, as many as the clock allows. True when all is done."""
    folder = _bucket(world, found)
    share = (world.now() - details["start"]) / max(
        details["end_at"] - details["start"], 1e-9
    )
    if details["file"] == 0 and details["line"] == 0 and share < 0.2:
        return False
    category = found["category_properties"]
    if details["file"] >= len(details["files"]):
        return bool(world.now() >= details["end_at"])
    name = details["files"][details["file"]]
    path = folder / name
    if not path.is_file():
        raise RunFailed(f"File {name} has disappeared", "file_not_found")
    lines = _reader(world, n, path, category.get("compression"), details["line"])
    chunk = []
    for line in lines:
        chunk.append(line)
        if len(chunk) >= LINES_PER_STEP:
            break
    take_lines(world, found, chunk, details["counts"])
    details["line"] += len(chunk)
    if len(chunk) < LINES_PER_STEP:
        size = path.stat().st_size
        details["counts"]["num_files_imported"] += 1
        details["counts"]["size_imported"] += size
        details.update(
            file=details["file"] + 1, line=0, bytes_done=details["bytes_done"] + size
        )
        world.readers.pop(n, None)
    everything = details["file"] >= len(details["files"])
    return bool(everything and world.now() >= details["end_at"])


def _reader(
    world: World, n: int, path: Path, compression: str | None, line: int
) -> Iterator[bytes]:
    """The open file of a run; after a restart it is read again up to the line."""
    known = world.readers.get(n)
    if known is not None and known[0] == path and known[1] == line:
        lines: Iterator[bytes] = known[2]
    else:
        lines = read_lines(path, compression)
        for _ in range(line):
            next(lines, None)
    world.readers[n] = (path, line + LINES_PER_STEP, lines)
    return lines


def take_lines(world: World, found: Json, lines: list[bytes], counts: Json) -> None:
    """Bring NDJSON lines into the project; bad ones are dropped and counted."""
    project = world.get("project", found["project_id"])
    if project is None:
        raise RunFailed("The project is gone")
    category = found["category_properties"]
    family, _, kind = category["data_format"].partition("_")
    remap = category.get("property_remap") if family == "remap" else None
    events = []
    for line in lines:
        if not line.strip():
            continue
        counts["num_events_processed"] += 1
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise records.Invalid("", "not an object")
            if kind == "event":
                events.append(
                    records.clean_event(
                        remap_event(record, remap) if remap else record,
                        now=world.now(),
                        identity=project["identity"],
                        need_insert_id=False,
                        most_bytes=len(line),
                    )
                )
            else:
                _take_profile(world, project, record, remap, kind)
        except (ValueError, RecursionError, records.Invalid):
            counts["num_events_dropped"] += 1
            continue
        counts["num_events_imported"] += 1
    records.store_events(world, project["id"], events)


def remap_event(record: Json, remap: Json) -> Json:
    """A flat or nested record of one's own form as a Mixpanel event."""
    special = {"time": "time", "distinct_id": "distinct_id", "ip": "ip"}
    special["$insert_id"] = "$insert_id"
    used = {value for value in remap.values() if value}
    properties = {key: value for key, value in record.items() if key not in used}
    for name in special:
        source = remap.get(name)
        if source and record.get(source) is not None:
            properties[name] = record[source]
    return {"event": record.get(remap["event_name"]), "properties": properties}


def _take_profile(
    world: World, project: Json, record: Json, remap: Json | None, kind: str
) -> None:
    if remap:
        used = {value for value in remap.values() if value}
        rest = {key: value for key, value in record.items() if key not in used}
        record = {
            **{name: record.get(source) for name, source in remap.items() if source},
            "$set": rest,
        }
    groups = kind == "group"
    key, id = records.profile_id(record, project["group_keys"] if groups else None)
    if groups and key not in project["group_keys"]:
        raise records.Invalid("$group_key", "no such group key in the project")
    verbs = records.clean_update(record, group=groups)
    records.update_profile(world, project["id"], key, id, verbs)
