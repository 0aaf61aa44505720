import base64
import contextlib
import functools
import gzip
import ipaddress
import json
import logging
import os
import socket
import ssl
import struct
import threading
import time
import tracemalloc
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from mixadmin.mixpanel import errors
from mixadmin.mixpanel.http import (
    MAX_ANSWER_BYTES,
    Basic,
    Timeouts,
    dump_json,
    join,
    parse_json,
    parse_retry_after,
    secret_values,
    shown,
)
from mixadmin.mixpanel.reading import Mismatch
from mixadmin.mixpanel.watchdog import new_session
from tests.mixpanel.conftest import SECRET
from tests.mixpanel.wire import Server, ok, reply, walk

SOURCE = {"id": 3, "source_name": "prod", "warehouse_type": "bigquery"}


# What is sent


def test_a_call_carries_credentials_a_fresh_id_and_no_cookies(client, server):
    server.answer(
        reply({"status": "ok", "results": []}, headers={"Set-Cookie": "a=b; Path=/"})
    )
    client.warehouse.list_sources()
    client.warehouse.list_sources()
    first, second = server.requests
    user, _, secret = _credentials(first).partition(":")
    assert (user, secret) == ("ops.1a2b.mp-service-account", SECRET)
    assert uuid.UUID(first.headers["x-request-id"]).version == 4
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert "cookie" not in second.headers
    assert first.headers["accept-encoding"] == "gzip"


def test_the_callers_request_id_is_sent_until_changed(client, server):
    server.answer(ok([]))
    client.request_id = "attempt-1"
    client.warehouse.list_sources()
    client.request_id = ""
    client.warehouse.list_sources()
    ids = [request.headers["x-request-id"] for request in server.requests]
    assert ids[0] == "attempt-1"
    assert uuid.UUID(ids[1])


@pytest.mark.parametrize("bad", ["a b", "a\r\nX: y", "é", "x" * 129])
def test_a_request_id_that_is_no_token_is_refused(client, server, bad):
    client.request_id = bad
    with pytest.raises(ValueError, match="request id"):
        client.warehouse.list_sources()
    assert server.requests == []


def test_nothing_is_taken_from_the_environment(client, server, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login evil password evil\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    server.answer(ok([]), reply(b"1"))
    assert client.warehouse.list_sources() == []
    client.ingestion.track([{"event": "a", "properties": {"token": "t0ken"}}])
    assert _credentials(server.requests[0]).startswith("ops.")
    assert "authorization" not in server.requests[1].headers


def test_a_large_body_arrives_whole(client, server):
    server.answer(reply({"code": 200, "num_records_imported": 1, "status": "OK"}))
    body = os.urandom(300_000)
    client.ingestion.import_events(body)
    assert server.requests[0].body == body
    assert server.requests[0].headers["content-length"] == "300000"


@pytest.mark.parametrize(
    ("segment", "path"),
    [
        (5, "/5"),
        ("a b", "/a%20b"),
        ("a/b", "/a%2Fb"),
        ("$user", "/%24user"),
        ("ä?#%", "/%C3%A4%3F%23%25"),
        ("...", "/..."),
        (uuid.UUID(int=1), "/00000000-0000-0000-0000-000000000001"),
    ],
)
def test_a_path_segment_is_quoted(client, server, segment, path):
    assert join("http://x", segment) == "http://x" + path
    server.answer(reply({"description": "d"}))
    if isinstance(segment, str):
        client.schemas.get("event", segment)
        assert server.requests[0].target.endswith("/schemas/event" + path)


@pytest.mark.parametrize(
    "segment", ["", ".", "..", "a\x00", "\ud800", 0, -1, 2**63, True, None, 1.0]
)
def test_what_cannot_be_a_path_segment_is_refused(segment):
    with pytest.raises((TypeError, ValueError)):
        join("http://x", segment, "y")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1, 2}])
def test_what_is_not_strict_json_is_not_sent(value):
    with pytest.raises((TypeError, ValueError)):
        dump_json({"a": value})


def test_a_call_goes_to_known_hosts_only(client, server):
    with pytest.raises(ValueError, match="not Mixpanel's"):
        client._http.send("GET", "http://127.0.0.1:1/x")
    assert server.requests == []


def test_a_session_without_a_watchdog_is_refused(make_client):
    with pytest.raises(TypeError, match=r"new_session\(\)"):
        make_client(session=requests.Session())


def test_clients_can_share_connections(make_client, server):
    server.answer(ok([]))
    session = new_session()
    for secret in ("first-secret", "second-secret"):
        with make_client(session=session, secret=secret) as client:
            client.warehouse.list_sources()
    sent = [_credentials(request).partition(":")[2] for request in server.requests]
    session.close()
    assert sent == ["first-secret", "second-secret"]
    assert len(server._sockets) == 1


@pytest.mark.parametrize("bad", [0, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["connect", "read", "total"])
def test_a_call_without_end_cannot_be_asked_for(name, bad):
    with pytest.raises(ValueError, match=name):
        Timeouts(**{name: bad})


# Status -> error


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest), (401, errors.NotAuthenticated),
        (403, errors.NotAllowed), (404, errors.NotFound), (405, errors.BadRequest),
        (408, errors.ServerFailed), (409, errors.BadRequest), (410, errors.BadRequest),
        (412, errors.BadRequest), (413, errors.TooLarge), (414, errors.BadRequest),
        (418, errors.BadRequest), (422, errors.BadRequest), (429, errors.RateLimited),
        (500, errors.ServerFailed), (501, errors.ServerFailed),
        (502, errors.ServerFailed), (503, errors.ServerFailed),
        (504, errors.ServerFailed), (524, errors.ServerFailed),
        (599, errors.ServerFailed), (300, errors.Redirected), (304, errors.Redirected),
        (600, errors.UnexpectedResponse), (999, errors.UnexpectedResponse),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["list", "create"])
def test_each_status_is_one_error_and_nothing_is_sent_again(
    client, server, status, kind, method
):
    server.answer(
        reply(
            {"status": "error", "error": "No such thing"},
            status,
            {"x-mp-request-id": "abc123"},
        )
    )
    with pytest.raises(errors.MixpanelError) as caught:
        if method == "list":
            client.warehouse.list_sources()
        else:
            client.warehouse.create_source(
                warehouse_type="bigquery", name="x", connection={}
            )
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.mixpanel_request_id == "abc123"
    if status not in (300, 304, 600, 999):
        assert "No such thing" in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "said", "code"),
    [
        ({"status": "error", "error": "bad"}, "bad", ""),
        ({"status": "error", "type": "invalid_property", "message": "`x` is not valid"},
         "`x` is not valid", "invalid_property"),
        ({"status": "error", "type": "t", "message": "m", "details": "d"}, "m - d", "t"),
        ({"code": 400, "error": "some points", "status": "Bad Request"},
         "some points", "400"),
        ({"error": {"deep": 1}, "message": ["x"]}, "Mixpanel answered 400", ""),
        ([], "Mixpanel answered 400", ""),
        (b"", "Mixpanel answered 400", ""),
        (b"<html><body>oops", "an HTML page", ""),
        (b"\xff\xfe", "Mixpanel answered 400", ""),
        (b"[" * 100_000, "Mixpanel answered 400", ""),
    ],
)  # fmt: skip
def test_both_error_shapes_and_no_shape_are_shown(client, server, body, said, code):
    server.answer(reply(body, 400))
    with pytest.raises(errors.BadRequest) as caught:
        client.warehouse.list_sources()
    assert str(caught.value).endswith(said)
    assert caught.value.code == code


def test_the_body_of_an_error_is_short_clean_text(client, server):
    server.answer(reply(b"a\x00\x1b[31mb\x9b\n" + "ü".encode() * 100_000, 500))
    with pytest.raises(errors.ServerFailed) as caught:
        client.warehouse.list_sources()
    body = caught.value.body
    assert body.startswith("a[31mb")
    assert len(body.encode()) <= 8 * 1024
    assert "\x00" not in body


# Retry-After


def _in(seconds):
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


@pytest.mark.parametrize(
    ("sent", "low", "high"),
    [
        ("0", 0, 0), ("7", 7, 7), (" 12 ", 12, 12), ("1.5", 1.5, 1.5),
        ("1000000000", 1e9, 1e9), ("in an hour", 3300, 3600), ("an hour ago", 0, 0),
        ("-5", None, None), ("soon", None, None), ("", None, None),
        ("1e3", None, None), ("9" * 400, None, None),
        ("Mon, 99 Foo 2020 00:00:00 GMT", None, None), (None, None, None),
        ("٣", None, None),
    ],
)  # fmt: skip
def test_a_429_tells_how_long_to_wait(client, server, sent, low, high):
    # Made here, as the name of a test must not change with the clock.
    sent = {"in an hour": _in(3600), "an hour ago": _in(-3600)}.get(sent, sent)
    headers = {} if sent is None else {"Retry-After": sent.encode().decode("latin-1")}
    server.answer(reply({"code": 429, "error": "slow"}, 429, headers))
    with pytest.raises(errors.RateLimited) as caught:
        client.warehouse.list_sources()
    if low is None:
        assert caught.value.retry_after is None
    else:
        assert low <= caught.value.retry_after <= high
    assert len(server.requests) == 1


def test_a_date_is_counted_from_the_given_now():
    now = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert parse_retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now) == 60


def test_a_503_may_tell_how_long_to_wait_too(client, server):
    server.answer(reply(b"", 503, {"Retry-After": "9"}))
    with pytest.raises(errors.ServerFailed) as caught:
        client.warehouse.list_sources()
    assert caught.value.retry_after == 9


@given(st.text())
def test_any_retry_after_is_seconds_or_nothing(text):
    found = parse_retry_after(text)
    assert found is None or found >= 0


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_slash_form_is_followed_with_method_and_body(client, server, status):
    def with_slash(request_path):
        return reply(b"", status, {"Location": request_path + "/"})

    server.answer(with_slash("/us/api/app/projects/7/connectors"), ok(CONNECTOR))
    made = client.connectors.create(**NEW_CONNECTOR)
    first, second = server.requests
    assert made.id == CONNECTOR["connector_id"]
    assert second.method == "POST"
    assert second.path == first.path + "/"
    assert second.body == first.body
    assert second.headers["authorization"] == first.headers["authorization"]
    assert second.headers["content-type"] == "application/json"
    assert second.headers["x-request-id"] == first.headers["x-request-id"]


def test_a_streamed_file_is_sent_again_from_its_start_after_a_redirect(
    client, server, tmp_path
):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"skipped\n" + b"id,name\n1,a\n" * 5000)
    server.answer(
        reply(b"", 307, {"Location": "/us/elsewhere"}), reply({"status": "OK"})
    )
    with path.open("rb") as file:
        file.readline()
        client.lookup_tables.replace("t", file)
    assert [r.body for r in server.requests] == [b"id,name\n1,a\n" * 5000] * 2


def test_the_query_survives_the_slash_form_once(client, server):
    location = "/us/lookup-tables/?project_id=7"
    server.answer(
        reply(b"", 301, {"Location": location}), reply({"status": "OK", "results": []})
    )
    client.lookup_tables.list()
    assert server.requests[1].target == location


def test_credentials_do_not_go_to_another_host(client, server):
    elsewhere = Server().answer(ok([]))
    try:
        server.answer(reply(b"", 307, {"Location": elsewhere.url + "/x"}))
        with pytest.raises(errors.Redirected, match="points elsewhere") as caught:
            client.connectors.create(**NEW_CONNECTOR)
        assert elsewhere.bytes_in == 0
        assert caught.value.may_have_happened is False
    finally:
        elsewhere.stop()


@pytest.mark.parametrize(
    "location",
    ["https://127.0.0.1/", "//evil.example/x", "http://[bad", "ftp://127.0.0.1/", "",
     "http://u:p@127.0.0.1/", "javascript:alert(1)", "http://127.0.0.1:1/"],
)  # fmt: skip
def test_odd_locations_are_not_followed(client, server, location):
    server.answer(reply(b"", 302, {"Location": location}))
    with pytest.raises(errors.Redirected):
        client.warehouse.list_sources()
    assert len(server.requests) == 1


def test_at_most_three_redirects_are_followed(client, server):
    server.answer(reply(b"", 301, {"Location": "/again"}))
    with pytest.raises(errors.Redirected, match="more than 3"):
        client.warehouse.list_sources()
    assert len(server.requests) == 4


def test_see_other_after_a_post_may_have_happened(client, server):
    server.answer(reply(b"", 303, {"Location": "/us/api/app/x"}))
    with pytest.raises(errors.Redirected) as caught:
        client.connectors.create(**NEW_CONNECTOR)
    assert caught.value.may_have_happened is True
    assert len(server.requests) == 1


def test_a_redirect_with_an_endless_body_is_left_alone(client, server):
    server.answer(
        _endless(b"HTTP/1.1 302 Found\r\nLocation: http://x.example/\r\n\r\n")
    )
    with pytest.raises(errors.Redirected):
        client.warehouse.list_sources()


# No connection


def test_a_refused_connection_was_not_sent(make_client):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = make_client(app_url=f"http://127.0.0.1:{port}")
    with pytest.raises(errors.Unreachable, match="refused") as caught:
        client.warehouse.list_sources()
    assert (caught.value.status, caught.value.may_have_happened) == (None, False)


def test_a_name_that_does_not_resolve_was_not_sent(make_client):
    client = make_client(app_url="http://nowhere.invalid")
    with pytest.raises(errors.Unreachable, match="resolved"):
        client.warehouse.list_sources()


def test_a_connection_that_does_not_come_about_was_not_sent(make_client):
    # A full backlog: the kernel answers the first ones and drops the rest.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        client = make_client(
            app_url=f"http://127.0.0.1:{port}",
            timeouts=Timeouts(connect=0.2, read=5, total=10),
        )
        with pytest.raises(errors.Unreachable, match=r"within 0\.2 s"):
            client.warehouse.list_sources()
        for filler in fillers:
            filler.close()


def test_an_untrusted_certificate_gets_no_credentials(make_client, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path))
    came = []

    def serve(listener):
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(5)
            try:
                came.append(context.wrap_socket(sock, server_side=True).recv(1000))
            except OSError:
                came.append(b"")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        client = make_client(app_url=f"https://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(errors.Unreachable, match="not trusted") as caught:
            client.warehouse.list_sources()
        thread.join()
    assert came == [b""]
    assert caught.value.may_have_happened is False


def test_a_server_that_speaks_no_tls_was_not_sent_to(make_client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_say_and_close, args=(listener, b"hello\n"))
        thread.start()
        client = make_client(app_url=f"https://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(errors.Unreachable, match="TLS"):
            client.warehouse.list_sources()
        thread.join()


# Answers that do not come


def _close(sock, request):
    pass


def _reset(sock, request):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _half_a_body(sock, request):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")


def _half_a_chunk(sock, request):
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{")


def _half_a_header(sock, request):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")


def _garbage(sock, request):
    sock.sendall(b"\x00\x01\x02 this is not HTTP\r\n\r\n")


def _odd_chunk(sock, request):
    sock.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    )


def _long_header(sock, request):
    sock.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n{}")


def _many_headers(sock, request):
    sock.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200 + b"\r\n{}")


def _two_lengths(sock, request):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}")


@pytest.mark.parametrize(
    "behave",
    [_close, _reset, _half_a_body, _half_a_chunk, _garbage, _odd_chunk, _long_header,
     _many_headers, _two_lengths],
)  # fmt: skip
@pytest.mark.parametrize("method", ["list", "create"])
def test_a_reply_that_breaks_off_is_lost_and_nothing_is_sent_again(
    client, server, behave, method
):
    server.answer(behave)
    with pytest.raises(errors.ReplyLost) as caught:
        if method == "list":
            client.connectors.list()
        else:
            client.connectors.create(**NEW_CONNECTOR)
    assert caught.value.may_have_happened is True
    assert len(server.requests) == 1


def test_headers_cut_off_are_no_valid_answer(client, server):
    server.answer(_half_a_header)
    with pytest.raises(errors.MixpanelError) as caught:
        client.connectors.create(**NEW_CONNECTOR)
    assert caught.value.may_have_happened is True


def _hold(server):
    def behave(sock, request):
        server.closing.wait()

    return behave


def _endless(start, piece=b"x" * 65536, server=None):
    def behave(sock, request):
        sock.sendall(start)
        while server is None or not server.closing.wait(0.02):
            sock.sendall(piece)

    return behave


def test_silence_ends_at_the_read_timeout(make_client, server):
    client = make_client(timeouts=Timeouts(connect=5, read=0.2, total=60))
    server.answer(_hold(server))
    with pytest.raises(errors.ReplyLost, match=r"nothing came for 0\.2 s"):
        client.warehouse.list_sources()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: ",
     b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1"],
)  # fmt: skip
def test_a_dribbled_answer_ends_at_the_total_time(make_client, server, start):
    client = make_client(timeouts=Timeouts(connect=5, read=60, total=0.3))
    server.answer(_endless(start, piece=b"1", server=server))
    with pytest.raises(errors.ReplyLost, match=r"within 0\.3 s"):
        client.connectors.create(**NEW_CONNECTOR)
    assert len(server.requests) == 1


def test_informational_answers_without_end_are_cut(make_client, server):
    client = make_client(timeouts=Timeouts(connect=5, read=60, total=0.3))
    piece = b"HTTP/1.1 100 Continue\r\n\r\n"
    server.answer(_endless(piece, piece=piece, server=server))
    with pytest.raises(errors.ReplyLost):
        client.warehouse.list_sources()


def test_a_dribbled_answer_over_tls_ends_at_the_total_time(
    make_client, tmp_path, monkeypatch
):
    certificate = _self_signed(tmp_path)
    # The only way in: the client takes no other certificates from anywhere.
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    came = []

    def serve(listener):
        sock, _ = listener.accept()
        with contextlib.suppress(OSError), context.wrap_socket(sock, True) as tls:
            tls.settimeout(10)
            came.append(tls.recv(10_000))
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            for _ in range(500):
                tls.sendall(b"1")
                time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        client = make_client(
            app_url=f"https://127.0.0.1:{listener.getsockname()[1]}",
            timeouts=Timeouts(connect=5, read=60, total=0.5),
        )
        with pytest.raises(errors.ReplyLost, match=r"within 0\.5 s"):
            client.warehouse.list_sources()
        thread.join()
    assert came[0].startswith(b"GET /projects/7/")


def test_a_redirect_to_a_host_that_went_away_was_not_sent(make_client, server):
    def redirect_and_close(sock, request):
        server._listener.shutdown(socket.SHUT_RDWR)
        server._listener.close()
        sock.sendall(reply(b"", 301, {"Location": "/x", "Connection": "close"}))

    server.answer(redirect_and_close)
    with pytest.raises(errors.Unreachable):
        make_client().warehouse.list_sources()


def test_an_error_status_counts_even_if_its_body_never_ends(make_client, server):
    client = make_client(timeouts=Timeouts(connect=5, read=60, total=0.3))
    start = b"HTTP/1.1 403 No\r\nContent-Length: 1000\r\n\r\nno"
    server.answer(_endless(start, piece=b".", server=server))
    with pytest.raises(errors.NotAllowed):
        client.warehouse.list_sources()


def test_redirects_share_one_total_time(make_client, server):
    client = make_client(timeouts=Timeouts(connect=5, read=60, total=0.4))
    server.answer(reply(b"", 301, {"Location": "/again"}), _hold(server))
    with pytest.raises(errors.ReplyLost, match=r"within 0\.4 s"):
        client.warehouse.list_sources()


def test_a_call_that_was_cut_does_not_harm_the_next(make_client, server):
    client = make_client(timeouts=Timeouts(connect=5, read=60, total=0.3))
    server.answer(_hold(server), ok([]))
    with pytest.raises(errors.ReplyLost):
        client.warehouse.list_sources()
    assert client.warehouse.list_sources() == []


# Answers that are too big


def _chunked(sock, request):
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        sock.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


@pytest.mark.parametrize(
    "behave", [_endless(b"HTTP/1.1 200 OK\r\n\r\n"), _chunked], ids=["plain", "chunked"]
)
def test_an_endless_body_is_cut_at_8_mib(client, server, behave):
    server.answer(behave)
    with pytest.raises(errors.UnexpectedResponse, match="larger than 8 MiB") as caught:
        client.warehouse.list_sources()
    assert caught.value.may_have_happened is True
    assert len(caught.value.body) <= 8 * 1024


def test_8_mib_to_the_byte_are_read(client, server):
    start = b'{"status":"ok","results":[]'
    body = start + b" " * (MAX_ANSWER_BYTES - len(start) - 1) + b"}"
    server.answer(reply(body), reply(body + b" "))
    assert client.warehouse.list_sources() == []
    with pytest.raises(errors.UnexpectedResponse, match="8 MiB"):
        client.warehouse.list_sources()


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_gzip_bomb_does_not_fill_the_memory(client, server, status, layers):
    encoding = ", ".join(["gzip"] * layers)
    server.answer(reply(_bomb(layers), status, {"Content-Encoding": encoding}))
    kind = errors.UnexpectedResponse if status == 200 else errors.ServerFailed
    tracemalloc.start()
    with pytest.raises(kind):
        client.warehouse.list_sources()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20


def test_headers_above_64_kib_are_refused(client, server):
    headers = {f"X-{n}": "a" * 8000 for n in range(9)}
    server.answer(reply({"status": "ok", "results": []}, headers=headers))
    with pytest.raises(errors.UnexpectedResponse, match="64 KiB"):
        client.warehouse.list_sources()


def test_a_gzipped_answer_is_read(client, server):
    body = gzip.compress(b'{"status":"ok","results":[]}')
    server.answer(reply(body, headers={"Content-Encoding": "gzip"}))
    assert client.warehouse.list_sources() == []


def test_an_answer_that_is_not_the_gzip_it_claims_is_refused(client, server):
    server.answer(reply(b"plain", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(errors.UnexpectedResponse, match="gzip"):
        client.warehouse.list_sources()


# Answers that are not what they should be

HOSTILE = {
    "empty": b"",
    "spaces": b"  \n",
    "html": b"<!DOCTYPE html><html><h1>Sign in</h1></html>",
    "truncated": b'{"status":"ok","results":[{"id":1',
    "null": b"null",
    "list": b"[]",
    "text": b'"ok"',
    "number": b"17",
    "true": b"true",
    "envelope only": b'{"status":"ok"}',
    "error inside": b'{"status":"error","error":"database is down"}',
    "null results": b'{"status":"ok","results":null}',
    "text results": b'{"status":"ok","results":"Successfully"}',
    "number results": b'{"status":"ok","results":5}',
    "odd items": b'{"status":"ok","results":[1,null,"x",[],true]}',
    "deep": b"[" * 100_000,
    "deep and closed": b'{"results":' + b"[" * 500 + b"]" * 500 + b"}",
    "deep object": b'{"a":' * 100_000,
    "huge number": b'{"status":"ok","results":[{"id":' + b"9" * 5000 + b"}]}",
    "128 bit id": b'{"status":"ok","results":[{"id":' + b"9" * 39 + b"}]}",
    "text id": b'{"status":"ok","results":[{"id":"5"}]}',
    "negative id": b'{"status":"ok","results":[{"id":-5}]}',
    "zero id": b'{"status":"ok","results":[{"id":0}]}',
    "bool id": b'{"status":"ok","results":[{"id":true}]}',
    "float id": b'{"status":"ok","results":[{"id":5.5}]}',
    "nan": b'{"status":"ok","results":[{"id":NaN}]}',
    "infinity": b'{"status":"ok","results":[{"id":-Infinity}]}',
    "1e400": b'{"status":"ok","results":[{"id":1e400}]}',
    "not utf-8": b'{"status":"ok","results":"\xff\xfe"}',
    "utf-16": '{"status":"ok","results":[]}'.encode("utf-16"),
    "two values": b"{}{}",
    "python": b"{'status': 'ok'}",
    "control": b'{"status":"ok\x01"}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_create_answered_with_nonsense_may_have_happened(client, server, body):
    server.answer(reply(body))
    with pytest.raises(errors.UnexpectedResponse) as caught:
        client.warehouse.create_source(
            warehouse_type="bigquery", name="x", connection={"dataset": "d"}
        )
    assert caught.value.may_have_happened is True
    assert caught.value.status == 200
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("empty", "empty"), ("html", "an HTML page"), ("truncated", "not JSON"),
        ("deep", "nested too deep"), ("nan", "NaN"), ("1e400", "too large"),
        ("list", "a list where an object"), ("error inside", "database is down"),
        ("envelope only", "has no results"), ("text results", 'the text "Success'),
        ("text id", 'the text "5"'), ("negative id", "-5"), ("bool id", "true"),
    ],
)  # fmt: skip
def test_the_error_names_what_came(client, server, body, what):
    body = HOSTILE[body]
    server.answer(reply(body))
    with pytest.raises(errors.UnexpectedResponse) as caught:
        if b"results" in body and b"[" in body:
            client.warehouse.list_sources()
        else:
            client.warehouse.create_source(
                warehouse_type="bigquery", name="x", connection={}
            )
    assert what in str(caught.value)


def test_a_byte_order_mark_is_passed_over(client, server):
    server.answer(reply(b'\xef\xbb\xbf{"status":"ok","results":[]}'))
    assert client.warehouse.list_sources() == []


def test_text_that_no_database_stores_is_repaired(client, server):
    source = {**SOURCE, "source_name": "a\ud800b\x00c\U0001f600", "k\x00": ["\udfff"]}
    server.answer(ok([source]))
    (found,) = client.warehouse.list_sources()
    assert found.name == "a\ufffdb\ufffdc\U0001f600"
    text = json.dumps(found.raw, ensure_ascii=False)
    assert "\x00" not in text.encode("utf-8").decode()


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_json_or_a_mismatch(body):
    try:
        value = parse_json(body)
    except Mismatch:
        return
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


# Secrets


def _loudest(client):
    return client.warehouse.create_source(
        warehouse_type="postgres",
        name="x",
        connection={
            "host": "db",
            "password": "pa55word",
            "tls": {"private_key": "PEMPEM"},
        },
    )


def _echo(status):
    def behave(sock, request):
        credentials = _credentials(request)
        body = (
            f"{request.headers} {credentials} {json.dumps(credentials)}".encode()
            + request.body
        )
        sock.sendall(reply({"status": "error", "error": body.decode()}, status))

    return behave


@pytest.mark.parametrize(
    "behave",
    [_echo(400), _echo(500), _echo(200), _close, _half_a_body, _garbage,
     reply(b"", 302, {"Location": "http://evil.example/"})],
)  # fmt: skip
def test_no_secret_is_reachable_from_an_error(client, server, behave, caplog):
    caplog.set_level(logging.DEBUG)
    server.answer(behave)
    with pytest.raises(errors.MixpanelError) as caught:
        _loudest(client)
    token = server.requests[0].headers["authorization"].split()[1]
    everything = walk(caught.value)
    assert not any(
        isinstance(
            item, requests.Request | requests.PreparedRequest | requests.Response
        )
        for item in everything
    )
    assert caught.value.__context__ is None
    said = " ".join(map(repr, everything)) + caplog.text + repr(client)
    for secret in (SECRET, token, "pa55word", "PEMPEM"):
        assert secret not in said
    if behave is not _close:
        # What is not secret is still told.
        assert "ops.1a2b" in repr(client)


def test_no_frame_of_the_traceback_shows_the_secret(client, server):
    server.answer(reply(b"", 401))
    with pytest.raises(errors.NotAuthenticated) as caught:
        client.warehouse.list_sources()
    token = server.requests[0].headers["authorization"].split()[1]
    trace = caught.value.__traceback__.tb_next
    while trace:
        shown_locals = repr(dict(trace.tb_frame.f_locals))
        assert SECRET not in shown_locals
        assert token not in shown_locals
        trace = trace.tb_next


def test_a_token_is_not_shown_as_the_user(make_client):
    client = make_client(username="0123456789abcdef0123456789abcdef", secret="")
    assert "0123456789abcdef" not in repr(client)
    assert repr(client) == "MixpanelClient('us', a token, project_id=7)"


def test_the_parts_of_a_client_do_not_show_the_secret(client):
    parts = [client, client._http, client._http._auth, client._http._auth.secrets]
    assert SECRET not in " ".join(map(repr, parts))


def test_values_are_secret_by_the_name_of_their_key():
    found = secret_values(
        {
            "host": "h", "password": "p1", "user": "u", "access_token": "p2",
            "ssh": {"private_key": "p3"}, "client_secret": ["p4"], "keyspace": "k",
            "service_account_key": "p5", "port": 5,
        }
    )  # fmt: skip
    assert found == {"p1", "p2", "p3", "p4", "p5"}


def test_a_short_secret_does_not_riddle_the_text():
    assert shown("Kai ate a cake", Basic("user", "a").secrets) == "Kai ate a cake"


def test_a_username_with_a_colon_is_refused():
    with pytest.raises(ValueError, match="colon"):
        Basic("a:b", "c")


NEW_CONNECTOR = {
    "label": "nightly",
    "connector_type": "gcsImport",
    "connector_properties": {"gcs_bucket": "b", "gcs_prefix": ""},
    "category_properties": {"data_format": "mixpanel_event"},
}
CONNECTOR = {
    "connector_id": "ab32b74c-8d1c-4f08-9c2b-8f8f5b5f9d3e",
    "connector_type": "gcsImport",
}


def _credentials(request):
    kind, _, token = request.headers["authorization"].partition(" ")
    assert kind == "Basic"
    return base64.b64decode(token).decode()


@functools.cache
def _bomb(layers):
    if layers == 0:
        return b" " * 2**27
    return gzip.compress(_bomb(layers - 1))


def _say_and_close(listener, text):
    sock, _ = listener.accept()
    with sock:
        sock.recv(10_000)
        sock.sendall(text)


def _self_signed(folder):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
