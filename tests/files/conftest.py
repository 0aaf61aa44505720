"""Buckets on loopback that behave like Amazon's and Google's, and odd directories."""

import http.server
import re
import socket
import threading

import pytest
import requests

from tests import make

KEYS = {
    "access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "secret_access_key": "s3cr3t/k3y+of+s3",
}


@pytest.fixture(autouse=True)
def data_dir(tmp_path, settings):
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    return settings.DATA_DIR


@pytest.fixture(scope="session")
def gcs_server():
    from gcp_storage_emulator.server import create_server

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def gcs(gcs_server, settings):
    """An empty GCS that the product reads from, as a client that may do everything."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    requests.get(f"{gcs_server}/wipe", timeout=5)
    settings.GCS_ENDPOINT_URL = gcs_server
    client = storage.Client(
        project="p",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": gcs_server},
    )
    client.create_bucket("acme")
    yield client
    client.close()


class Between(http.server.ThreadingHTTPServer):
    """Stands before a server; `cuts` answers of objects end after some bytes."""

    daemon_threads = True

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), Pass)
        self.target = target
        self.cuts = 0
        self.statuses = []
        self.before = None
        self.ranges = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Pass(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range", "")
        if wanted:
            server.ranges.append(re.sub("bytes=", "", wanted))
            if server.before:
                server.before()
        headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        if wanted and server.statuses:
            self.send_response(server.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        answer = requests.request(
            self.command,
            server.target + self.path,
            headers=headers,
            stream=True,
            timeout=10,
        )
        body = answer.raw.read()
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in (
                "content-length",
                "connection",
                "transfer-encoding",
            ):
                self.send_header(name, value)
        length = answer.headers.get("Content-Length", str(len(body)))
        self.send_header("Content-Length", length)
        self.end_headers()
        if wanted and server.cuts:
            server.cuts -= 1
            self.wfile.write(body[: len(body) // 3])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def between(s3, s3_server, settings):
    """A server before S3 that can cut answers and fail."""
    server = Between(s3_server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.S3_ENDPOINT_URL = server.url
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def bucket(project):
    return make.make_bucket(project=project)


@pytest.fixture
def drop(tmp_path, settings):
    """A directory that an operator allowed under the name "drop"."""
    folder = tmp_path / "drop"
    folder.mkdir()
    settings.INGEST_DIRECTORIES = {"drop": str(folder)}
    return folder
