"""The sandbox as a process of its own: restart after kill -9, control, safety."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from mixadmin.sandbox.control import Control, ControlError
from mixadmin.sandbox.switches import SWITCHES

from .conftest import SECRET, Api

ROOT = Path(__file__).resolve().parents[2]
IMPORTS = "/api/app/projects/1/warehouse-sources/imports"


class Process:
    def __init__(self, data):
        self.data = data
        self.start()

    def start(self):
        command = [sys.executable, "-m", "mixadmin.sandbox", "--port", "0"]
        self.popen = subprocess.Popen(
            [*command, "--data", str(self.data)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.popen.stdout.readline()
        assert line.startswith("sandbox listening on http://127.0.0.1:")
        self.url = line.split()[-1]
        self.control = Control(self.url)

    def kill(self):
        self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()

    def restart(self):
        self.kill()
        self.start()


@pytest.fixture
def process(tmp_path):
    process = Process(tmp_path / "data")
    yield process
    process.kill()


def seeded(process):
    control = process.control
    control.freeze()
    control.add_project(1, "Shop", token="t" * 32)
    control.add_service_account("ops", SECRET)
    control.make_table("prod", "orders", {"at": "TEXT"}, [{"at": "2026-01-01"}])
    source = control.add_source(1, "prod", "snowflake")
    return control.add_import(
        1,
        warehouse_source_id=source,
        table_params={"table": "orders"},
        time_column_name="at",
    )


def history(api, import_id):
    runs = api.get(f"{IMPORTS}/{import_id}/history").json()["results"]["runs"]
    return [run["status"] for run in runs]


def test_everything_goes_on_after_kill_9(process):
    import_id = seeded(process)
    control = process.control
    control.put_file("bucket", "a.json", b'{"event":"A","properties":{"time":1}}\n' * 3)
    connector_id = control.add_connector(1)
    control.fault("POST", "", "late", delay=30)
    control.fault("DELETE", "", "status", status=418)
    control.switch(time_unit="ms")
    control.advance(2)
    with Api(process.url) as api:
        assert history(api, import_id) == ["RUNNING"]
        source = {"warehouse_type": "postgres"}
        with pytest.raises(requests.ConnectionError):
            api.post("/api/app/projects/1/warehouse-sources/sources", json=source)

    process.restart()

    control = process.control
    with Api(process.url) as api:
        assert history(api, import_id) == ["RUNNING"]
        control.advance(5)
        assert history(api, import_id) == ["SUCCEEDED"]
        assert control.runs(connector_id)[0]["status"] == "succeeded"
        assert control.runs(connector_id)[0]["counts"]["num_events_dropped"] == 3
        assert len(control.events(1)) == 1
        assert api.delete(f"{IMPORTS}/{import_id}").status_code == 418
        assert len(control.objects(1)["sources"]) == 1
        control.advance(30)
        assert len(control.objects(1)["sources"]) == 2
        assert len(control.calls("POST")) == 1

    process.restart()

    with Api(process.url) as api:
        process.control.advance(3600)
        assert history(api, import_id) == ["SUCCEEDED", "SUCCEEDED"]


def test_a_large_file_goes_on_where_it_was(process):
    seeded(process)
    control = process.control
    lines = [
        json.dumps(
            {
                "event": "A",
                "properties": {"time": 1_700_000_000, "$insert_id": f"i{n}"},
            }
        )
        for n in range(12_000)
    ]
    control.put_file("bucket", "a.json", "\n".join(lines).encode())
    connector_id = control.add_connector(1)
    control.advance(1.5)
    (run,) = control.runs(connector_id)
    assert run["status"] == "running"
    assert 0 < run["line"] < 12_000

    process.restart()

    process.control.advance(5)
    (run,) = process.control.runs(connector_id)
    assert run["counts"]["num_events_imported"] == 12_000
    # the import of the warehouse brought one more
    assert len(process.control.raw_events(1)) == 12_001


def test_the_clock_goes_by_itself(sb, api):
    sb.freeze(False)
    sb.switch(speed=1000)
    sb.add_source(1, "prod", "snowflake")
    import_id = sb.add_import(1, sync_mode="one_time")
    for _ in range(200):
        if history(api, import_id) == ["FAILED"]:
            break
    else:
        pytest.fail("the run never ended")
    sb.switch(speed=1)


# -- control


def test_control_over_http_does_the_same(sb, control, api):
    assert control.add_project(7, "Seven", group_keys=["g"]) in str(
        sb.world.find("project")
    )
    control.put_file("bucket", "a/b.bin", b"\x00\xff")
    assert (sb.world.buckets / "bucket/a/b.bin").read_bytes() == b"\x00\xff"
    assert control.calls() == sb.calls() == []
    assert control.switch() == {**SWITCHES, "speed": control.switch()["speed"]}
    before = control.now()
    control.advance(10)
    assert control.now() == pytest.approx(before + 10)
    with pytest.raises(ControlError, match="no such switch: colour"):
        control.switch(colour="red")
    with pytest.raises(ControlError, match="no such command"):
        control._command("fly")
    with pytest.raises(ControlError, match="no import 5"):
        control.set_import(1, 5, paused=True)
    with pytest.raises(ControlError):
        control._command("add_project", id=1)
    control.reset()
    assert sb.objects(1) == {"sources": [], "imports": [], "connectors": []}
    assert api.get("/api/app/me").status_code == 401


def test_in_process_mistakes_are_value_errors(sb):
    with pytest.raises(ValueError, match="no such switch"):
        sb.switch(colour="red")
    with pytest.raises(ValueError, match="region"):
        sb.add_project(9, "Nine", region="mars")


# -- safety


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", "."])
def test_files_stay_in_their_bucket(sb, path):
    with pytest.raises(ValueError, match="leads out"):
        sb.put_file("bucket", path, b"x")


@pytest.mark.parametrize("bucket", ["..", "a/b", "", ".hidden", "a\x00b"])
def test_buckets_stay_in_their_folder(sb, bucket):
    with pytest.raises(ValueError, match="not a bucket name"):
        sb.put_file(bucket, "x", b"x")


def test_sql_stays_in_its_database(sb, tmp_path):
    sb.sql("../../../tmp/evil", "CREATE TABLE t (a)")
    assert [path.parent for path in sb.world.warehouse.iterdir()] == [
        sb.world.warehouse
    ]
    target = tmp_path / "other.sqlite3"
    for statement in (f"ATTACH '{target}' AS o", f"VACUUM INTO '{target}'"):
        with pytest.raises(ValueError):
            sb.sql("prod", statement)
    assert not target.exists()
    with pytest.raises(ValueError, match="syntax error"):
        sb.sql("prod", "SELEKT")
    sb.make_table("prod", 'odd"name', {'a"b': "INT"}, [{'a"b': 1}])
    assert sb.sql("prod", 'SELECT * FROM "odd""name"') == [{'a"b': 1}]


def test_a_symbolic_link_leads_nowhere(sb, api, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    sb.add_bucket("bucket")
    (sb.world.buckets / "bucket" / "link.json").symlink_to(tmp_path / "secret.json")
    connector_id = sb.add_connector(1)
    sb.advance(10)
    assert sb.runs(connector_id)[0]["counts"]["num_files_imported"] == 0


def test_a_page_in_a_browser_cannot_control(sb):
    answer = requests.post(
        f"{sb.url}/_sandbox/reset", headers={"Origin": "http://evil.example"}, timeout=5
    )
    assert answer.status_code == 403


def test_odd_http(sb, api):
    assert requests.get(f"{sb.url}/mars/api/app/me", timeout=5).status_code == 404
    assert requests.get(f"{sb.url}/_sandbox/", timeout=5).json()["result"]
    chunks = api.post(
        "/import",
        data=iter(
            [b'[{"event":"A",', b'"properties":{"time":1700000000,"$insert_id":"a"}}]']
        ),
        params={"project_id": 1},
        headers={"Content-Type": "application/json"},
    )
    assert chunks.json()["num_records_imported"] == 1
    assert api.request("BREW", "/api/app/me").status_code == 405


@pytest.mark.parametrize(
    ("length", "status"),
    [("many", 400), ("-1", 400), ("\xb2", 400), ("9" * 5000, 400), ("9" * 11, 413)],
)
def test_odd_lengths_of_a_body(sb, length, status):
    host, port = sb.url.removeprefix("http://").split(":")
    head = f"POST /us/import HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode("latin-1"))
        assert connection.recv(1000).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize("project_id", ["\xb2", "x", "-1", "9" * 30, "1.0", ""])
def test_odd_project_ids(api, project_id):
    params = {"project_id": project_id}
    event = [{"event": "A", "properties": {"time": 1_700_000_000}}]
    assert api.post("/import", json=event, params=params).status_code == 401
    assert api.get("/api/query/events/names", params=params).status_code == 400
