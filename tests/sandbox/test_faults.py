import gzip
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

SOURCES = "/api/app/projects/1/warehouse-sources/sources"
BODY = {"warehouse_type": "postgres", "source_name": "prod"}


def post(api, **kwargs):
    return api.post(SOURCES, json=BODY, **kwargs)


def made(sb):
    return len(sb.objects(1)["sources"])


@pytest.mark.parametrize(("effect", "count"), [(None, 0), ("before", 0), ("after", 1)])
def test_status_before_or_after_the_effect(sb, api, effect, count):
    sb.fault("POST", "/sources$", "status", status=503, body={"a": 1}, effect=effect)
    answer = post(api)
    assert answer.status_code == 503
    assert answer.json() == {"a": 1}
    assert made(sb) == count
    assert post(api).status_code == 200
    assert made(sb) == count + 1


def test_status_429_with_headers(sb, api):
    sb.fault(
        kind="status", status=429, retry_after=7, headers={"X-A": "b"}, body="slow down"
    )
    answer = post(api)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["X-A"] == "b"
    assert answer.text == "slow down"


@pytest.mark.parametrize(("kind", "count"), [("cut", 0), ("lost", 1)])
@pytest.mark.parametrize("reset", [False, True])
def test_closed_connections(sb, api, kind, count, reset):
    sb.fault("POST", "/sources", kind, reset=reset)
    with pytest.raises(requests.ConnectionError):
        post(api)
    assert made(sb) == count
    call = sb.calls("POST", "/sources")[0]
    assert call["status"] == 0
    assert call["fault"] == kind
    assert bool(call["effect"]) == bool(count)


def test_late_commits_after_the_connection_is_closed(sb, api):
    sb.fault("POST", "/sources", "late", delay=30)
    with pytest.raises(requests.ConnectionError):
        post(api)
    sb.advance(29)
    assert made(sb) == 0
    assert sb.calls("POST")[0]["effect"] == {}
    sb.advance(2)
    assert made(sb) == 1
    assert sb.calls("POST")[0]["effect"] == {
        "created": [{"kind": "source", "id": sb.objects(1)["sources"][0]["id"]}]
    }


@pytest.mark.parametrize(("effect", "count"), [("before", 0), ("after", 1)])
def test_delay_on_either_side_of_the_effect(sb, api, effect, count):
    sb.fault("POST", "/sources", "delay", seconds=30, effect=effect)
    with pytest.raises(requests.ReadTimeout):
        post(api, timeout=0.3)
    assert made(sb) == count


def test_a_delayed_answer_comes_and_holds_nobody_else_up(sb, api):
    sb.fault("POST", "/sources", "delay", seconds=0.2)
    started = time.monotonic()
    assert post(api).status_code == 200
    assert time.monotonic() - started >= 0.2


def test_what_waits_does_not_survive_a_reset(sb, api):
    sb.fault("POST", "/sources", "delay", seconds=0.3, effect="before")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(post, api)
        while not sb.calls("POST"):
            pass
        sb.reset()
        assert isinstance(waiting.exception(), requests.ConnectionError)
    assert made(sb) == 0


def test_html(sb, api):
    sb.fault(kind="html")
    sb.fault(kind="html", status=200, effect="after")
    first, second = post(api), post(api)
    assert (first.status_code, second.status_code) == (502, 200)
    assert first.headers["Content-Type"].startswith("text/html")
    assert "<html>" in second.text
    assert made(sb) == 1


def test_redirects(sb, api):
    sb.fault(kind="redirect", location="slash", status=301)
    sb.fault(kind="redirect", location="elsewhere", status=307)
    first = post(api, params={"a": "1"})
    assert first.status_code == 301
    assert first.headers["Location"] == f"/us{SOURCES}/?a=1"
    second = post(api)
    assert second.status_code == 307
    assert second.headers["Location"].startswith("http://localhost:")
    assert made(sb) == 0


def test_answers_that_are_not_what_they_should_be(sb, api):
    for kind, args in (
        ("truncate", {}),
        ("empty", {}),
        ("shape", {"body": [1]}),
        ("huge", {"bytes": 100_000}),
        ("gzip_bomb", {"bytes": 1_000_000}),
    ):
        sb.fault("POST", "", kind, **args)
    truncated = post(api)
    with pytest.raises(ValueError, match=r"(?i)json|delimiter|string|expecting"):
        truncated.json()
    assert truncated.text.startswith('{"status"')
    assert post(api).content == b""
    assert post(api).json() == [1]
    assert len(post(api).content) > 100_000
    with post(api, stream=True) as bomb:
        raw = bomb.raw.read(decode_content=False)
    assert len(raw) < 10_000
    assert len(gzip.decompress(raw)) > 1_000_000
    assert made(sb) == 5


def test_a_body_cut_on_the_wire(sb, api):
    sb.fault("POST", "", "truncate", announce_full=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        post(api)
    assert made(sb) == 1


def test_dribble_and_silence(sb, api):
    sb.fault("POST", "", "dribble", interval=0.001)
    assert post(api).json()["status"] == "ok"
    sb.fault("POST", "", "silence")
    with pytest.raises(requests.ReadTimeout):
        post(api, timeout=0.3)
    assert made(sb) == 1


def test_faults_are_used_in_order_and_count(sb, api):
    sb.fault("GET", "", "status", status=500, times=2)
    sb.fault("POST", "", "status", status=501, after=1)
    sb.fault("POST", "/sources$", "status", status=502)
    assert [one["kind"] for one in sb.faults()] == ["status"] * 3
    codes = [post(api).status_code for _ in range(4)]
    assert codes == [502, 501, 200, 200]
    codes = [api.get(SOURCES).status_code for _ in range(3)]
    assert codes == [500, 500, 200]
    assert sb.faults() == []
    sb.fault("POST", "", "status", times=-1)
    assert [post(api).status_code for _ in range(3)] == [500] * 3
    sb.clear_faults()
    assert post(api).status_code == 200


@pytest.mark.parametrize(
    "bad", [{"kind": "magic"}, {"path": "("}, {"effect": "during"}, {"times": 0}]
)
def test_a_fault_that_makes_no_sense_is_refused(sb, bad):
    with pytest.raises(ValueError):
        sb.fault(**bad)


def test_the_ledger_tells_everything(sb, api):
    api.post(SOURCES, json=BODY, params={"a": "1"}, headers={"X-Request-ID": "my-id"})
    api.get(SOURCES, auth=("nobody", "x"))
    first, second = sb.calls()
    assert first["n"] < second["n"]
    assert first["method"] == "POST"
    assert first["path"] == SOURCES
    assert first["region"] == "us"
    assert first["query"] == {"a": "1"}
    assert first["body"] == BODY
    assert first["username"] == "ops"
    assert first["status"] == 200
    assert first["request_id"] == "my-id"
    assert second["status"] == 401
    assert second["username"] == "nobody"
    assert sb.calls("get") == [second]
    assert sb.calls("", "nowhere") == []
    sb.clear_calls()
    assert sb.calls() == []


def test_a_long_body_is_kept_in_part(sb, api):
    api.post(SOURCES, data=b"x" * 100_000)
    assert len(sb.calls()[0]["body"]) == 64 * 1024


def test_trailing_slash_switch(sb, api):
    sb.switch(trailing_slash_301=True)
    answer = post(api)
    assert answer.status_code == 301
    assert answer.headers["Location"] == f"/us{SOURCES}/"
    assert api.post(f"{SOURCES}/", json=BODY).status_code == 200
    assert made(sb) == 1
