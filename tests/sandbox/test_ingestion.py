import base64
import gzip
import json

import pytest

from mixadmin.sandbox.server import Sandbox

TOKEN = "t" * 32
NOW = 1_700_000_000


def event(insert_id="a1", name="Bought", **properties):
    base = {"time": NOW, "distinct_id": "ann", "$insert_id": insert_id}
    return {"event": name, "properties": {**base, **properties}}


def send(api, events, params=None, **kwargs):
    return api.post(
        "/import", json=events, params={"project_id": 1, **(params or {})}, **kwargs
    )


# -- /import: who


def test_import_as_service_account_token_or_secret(sb, api):
    assert send(api, [event("a1")]).json() == {
        "code": 200,
        "num_records_imported": 1,
        "status": "OK",
    }
    token = api.post("/import", json=[event("a2")], auth=(TOKEN, ""))
    assert token.status_code == 200
    assert len(sb.events(1)) == 2
    assert "Warning" not in token.headers
    secret = sb.world.get("project", 1)["api_secret"]
    old = api.post("/import", json=[event("a3")], auth=(secret, ""))
    assert old.status_code == 200
    assert "retired" in old.headers["Warning"]
    assert api.post("/import", json=[event()], auth=("x" * 32, "")).status_code == 401
    assert send(api, [event()], auth=("ops", "wrong")).status_code == 401


def test_a_forgotten_project_id_blames_the_project_secret(api):
    answer = api.post("/import", json=[event()])
    assert answer.status_code == 401
    assert answer.json()["error"].startswith("Unauthorized, invalid project secret")


def test_import_needs_an_admin(sb, api):
    sb.set_role("ops", 1, "analyst")
    answer = send(api, [event()])
    assert answer.status_code == 401
    assert answer.json() == {
        "code": 401,
        "error": "Invalid credentials",
        "status": "Unauthorized",
    }


def test_the_wrong_region_accepts_and_loses(sb, api_of):
    answer = send(api_of(region="eu"), [event()])
    assert answer.json()["num_records_imported"] == 1
    assert sb.raw_events(1) == []
    assert sb.calls()[0]["effect"] == {"events_lost": 1}


# -- /import: what


def test_ndjson_gzip_form_and_base64(sb, api):
    params = {"project_id": 1}
    lines = "\n".join(json.dumps(event(f"n{n}")) for n in range(3)).encode()
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    answer = api.post(
        "/import", data=gzip.compress(lines), headers=headers, params=params
    )
    assert answer.json()["num_records_imported"] == 3
    form = {"data": json.dumps([event("f1")])}
    answer = api.post("/import", data=form, params={**params, "verbose": 1})
    assert answer.json() == {"error": None, "status": 1}
    form = {"data": base64.b64encode(json.dumps(event("f2")).encode()).decode()}
    assert api.post("/import", data=form, params=params).text == "1"
    assert len(sb.events(1)) == 5


BAD = {
    "properties.time": [
        event(time=None),
        event(time="2024-01-01"),
        event(time=True),
        event(time=10_000),
        event(time=99_999_999_999),
    ],
    "event": [event(name=""), event(name="  "), event(name=None)],
    "$insert_id": [
        event(""),
        event("a b"),
        event("x" * 37),
        event("undefined"),
        event(5),
    ],
    "properties.distinct_id": [
        event(distinct_id="null"),
        event(distinct_id="NONE"),
        event(distinct_id=[]),
        event(distinct_id=0),
    ],
    "properties": [
        {"event": "x", "properties": []},
        event(**{f"p{n}": 1 for n in range(256)}),
    ],
    "properties.deep": [event(deep={"a": {"b": {"c": {"d": 1}}}})],
    "properties.long": [event(long=list(range(256)))],
    "": ["text", None, event(big=["x" * 500_000, "x" * 500_000])],
}


@pytest.mark.parametrize(
    ("field", "record"), [(field, one) for field, all_ in BAD.items() for one in all_]
)
def test_a_bad_row_is_told_and_the_good_ones_are_kept(sb, api, field, record):
    answer = send(api, [event("g1"), record, event("g2")])
    assert answer.status_code == 400
    data = answer.json()
    assert data["code"] == 400
    assert data["error"] == "some data points in the request failed validation"
    assert data["num_records_imported"] == 2
    (failed,) = data["failed_records"]
    assert failed["index"] == 1
    assert failed["field"] == field
    assert failed["message"]
    assert len(sb.events(1)) == 2


def test_messages_seen_on_the_wire(sb, api):
    rows = [
        event(time="soon"),
        event(time=4_102_444_800),
        event(time=None),
        event("a_b"),
        event(name=""),
    ]
    messages = [one["message"] for one in send(api, rows).json()["failed_records"]]
    assert messages == [
        "'properties.time' is invalid: must be specified as seconds since epoch",
        "'properties.time' is invalid: must not be in the future",
        "'properties.time' is invalid: must not be missing",
        "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-'"
        " characters",
        "'event' must not be missing or blank",
    ]


def test_a_broken_string_is_told_with_its_property(sb, api):
    body = json.dumps([event(utm_source="X")]).replace('"X"', '"\\ud800"')
    answer = api.post("/import", data=body, params={"project_id": 1})
    assert answer.json()["failed_records"][0]["message"] == (
        "properties.utm_source is invalid: string should be valid utf8"
    )


@pytest.mark.parametrize("name", ["event", "distinct_id", "$user_id", "$device_id"])
def test_half_a_surrogate_is_never_a_server_error(sb, api, name):
    row = event(name="X") if name == "event" else event(**{name: "X"})
    body = json.dumps([row]).replace('"X"', '"\\ud800"')
    assert api.post("/import", data=body, params={"project_id": 1}).status_code == 400


def test_the_key_of_the_id_can_be_switched(sb, api):
    bad = [event("bad-1", time=None)]
    assert send(api, bad).json()["failed_records"][0]["insert_id"] == "bad-1"
    sb.switch(failed_record_id_key="$insert_id")
    assert send(api, bad).json()["failed_records"][0]["$insert_id"] == "bad-1"


def test_255_is_allowed_and_long_strings_are_cut(sb, api):
    properties = {f"p{n}": 1 for n in range(251)}
    assert send(api, [event(**properties, x="y" * 300)]).status_code == 200
    assert sb.events(1)[0]["properties"]["x"] == "y" * 255


def test_not_strict_drops_silently(sb, api):
    rows = [event(""), event(name="")]
    assert send(api, rows, {"strict": 0}).json()["num_records_imported"] == 2
    assert len(sb.events(1)) == 1


def test_identity_kinds(sb, api):
    sb.add_project(2, "Old", identity="original")
    sb.set_role("ops", 2, "admin")
    probe = event(**{"$user_id": "u", "$device_id": "d"})
    del probe["properties"]["distinct_id"]
    assert send(api, [probe]).status_code == 200
    refused = send(api, [probe], {"project_id": 2})
    assert refused.json()["failed_records"][0]["message"] == (
        "'properties.distinct_id' is invalid: must not be missing"
    )
    verb = event("v1", name="$merge")
    whole = send(api, [event("x1"), verb])
    assert whole.status_code == 400
    assert whole.json()["num_records_imported"] == 0
    assert isinstance(whole.json()["failed_records"][0], str)
    assert send(api, [verb], {"project_id": 2}).status_code == 200
    assert len(sb.raw_events(1)) == 1


# -- /import: de-duplication


def test_duplicates_count_and_are_folded_in_the_read_view(sb, api):
    send(api, [event("a1", n=1), event("b1")])
    assert send(api, [event("a1", n=2)]).json()["num_records_imported"] == 1
    send(api, [event("a1", time=NOW + 1)])  # another time is another event
    assert len(sb.raw_events(1)) == 4
    assert [one["properties"].get("n") for one in sb.events(1)] == [None, 2, None]


def test_generated_ids_do_not_fold(sb, api):
    for _ in range(2):
        send(api, [event("")], {"strict": 0})
    assert len(sb.events(1)) == 2


# -- /import: limits


def test_sizes(sb, api):
    sb.switch(max_import_bytes=2_097_152)
    answer = send(api, [event(x="y" * 2_100_000)])
    assert answer.status_code == 413
    assert answer.json() == {
        "code": 413,
        "error": "request exceeds max limit of 2097152 bytes",
        "status": "Request Entity Too Large",
    }
    packed = gzip.compress(json.dumps([event(x="y" * 2_100_000)]).encode())
    headers = {"Content-Encoding": "gzip"}
    answer = api.post("/import", data=packed, headers=headers, params={"project_id": 1})
    assert answer.status_code == 413
    sb.switch(max_records=2)
    assert send(api, [event(f"i{n}") for n in range(3)]).status_code == 413
    sb.switch(too_many_records_status=400)
    assert send(api, [event(f"i{n}") for n in range(3)]).status_code == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 99_999])
def test_malformed_bodies(api, body):
    answer = api.post("/import", data=body, params={"project_id": 1})
    assert answer.status_code == 400
    assert answer.json()["status"] == "Bad Request"


def test_bad_gzip(api):
    headers = {"Content-Encoding": "gzip"}
    for data in (b"plain", gzip.compress(b"[]")[:-4]):
        answer = api.post(
            "/import", data=data, headers=headers, params={"project_id": 1}
        )
        assert answer.status_code == 400


def test_rates_bite_per_project(sb, api):
    sb.add_project(2, "Other")
    sb.set_role("ops", 2, "admin")
    sb.switch(events_per_minute=3, retry_after_on_429=2)
    assert send(api, [event("a1"), event("a2")]).status_code == 200
    answer = send(api, [event("a3"), event("a4")])
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "2"
    assert answer.json()["error"].startswith("Project exceeded rate limits.")
    assert send(api, [event("a3")]).status_code == 200
    assert send(api, [event("a5")], {"project_id": 2}).status_code == 200
    sb.advance(61)
    assert send(api, [event("a6")]).status_code == 200
    sb.switch(events_per_minute=1000, bytes_per_minute=300)
    assert send(api, [event(x="y" * 300)]).status_code == 429


# -- /track


def track(token=TOKEN, **properties):
    return {"event": "Seen", "properties": {"token": token, **properties}}


def test_track(sb, api):
    api.auth = None
    fresh = sb.now() - 3600
    records = [
        track(time=fresh, distinct_id="a"),
        track(time=fresh - 6 * 86_400),
        track(),
    ]
    answer = api.post("/track", json=records)
    assert (answer.status_code, answer.text) == (200, "1")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert len(sb.events(1)) == 2
    assert "token" not in sb.events(1)[0]["properties"]

    assert api.post(
        "/track", json=[track("nobody's")], params={"verbose": 1}
    ).json() == {
        "error": None,
        "status": 1,
    }
    assert api.post("/track", json=[{"event": "x"}]).text == "0"
    assert api.post("/track", data=b"", params={"verbose": 1}).json() == {
        "error": "data, missing or empty",
        "status": 0,
    }
    jsonp = api.post(
        "/track", data={"data": json.dumps(track())}, params={"callback": "f"}
    )
    assert jsonp.text == "f(1);"
    assert len(sb.events(1)) == 3


# -- /engage and /groups


def update(id="ann", token=TOKEN, **operations):
    verbs = {f"${name}": value for name, value in operations.items()}
    return {"$token": token, "$distinct_id": id, **verbs}


def test_every_profile_operation(sb, api):
    api.auth = None
    records = [
        update(set={"a": 1, "b": 2}),
        update(set_once={"a": 9, "c": 3}),
        update(add={"a": 5, "new": -1}),
        update(union={"list": ["x", "y"]}),
        update(union={"list": ["y", "z"]}),
        update(append={"log": 1}),
        update(append={"log": 2}),
        update(remove={"log": 1, "nothing": 1}),
        update(unset=["b"]),
        update("bob", set={"x": 1}),
        update("bob", delete=""),
    ]
    answer = api.post("/engage", json=records, params={"verbose": 1, "strict": 1})
    assert answer.status_code == 200, answer.text
    assert answer.json()["num_good_events"] == 11
    assert sb.profiles(1) == [
        {
            "$distinct_id": "ann",
            "properties": {
                "a": 6,
                "c": 3,
                "new": -1,
                "list": ["x", "y", "z"],
                "log": [2],
            },
        }
    ]


@pytest.mark.parametrize(
    "record",
    [
        update(),
        update(set=[1]),
        update(add={"a": "1"}),
        update(union={"a": "b"}),
        update(union={}),
        update(unset={"a": 1}),
        update(fly={"a": 1}),
        update("", set={"a": 1}),
        update(token=None, set={"a": 1}),
        update("\ud800", set={"a": 1}),
        "text",
    ],
)
def test_bad_updates(sb, api, record):
    good = update(set={"a": 1})
    answer = api.post("/engage", json=[good, record], params={"strict": 1})
    assert answer.status_code == 400
    assert answer.json()["num_good_events"] == 1
    assert [one["index"] for one in answer.json()["failed_records"]] == [1]
    assert api.post("/engage", json=[record]).text == "0"
    assert api.post("/engage", json=[good, record]).text == "1"
    assert len(sb.profiles(1)) == 1


def group(key="company", id="acme", **operations):
    verbs = {f"${name}": value for name, value in operations.items()}
    return {"$token": TOKEN, "$group_key": key, "$group_id": id, **verbs}


def test_groups(sb, api):
    records = [
        group(set={"size": 1}),
        group(add={"size": 2}),
        group("planet", "earth", set={"size": 9}),
        {**group(set={"x": 1}), "$distinct_id": "ann"},
        group(append={"x": 1}),
    ]
    answer = api.post("/groups", json=records, params={"strict": 1})
    assert [one["index"] for one in answer.json()["failed_records"]] == [3, 4]
    assert sb.group_profiles(1) == [
        {"$group_key": "company", "$group_id": "acme", "properties": {"size": 3}}
    ]


# -- lookup tables


CSV = b"sku,title\n1,Hat\n2,Cap\n"


def replace(api, id, data, **headers):
    return api.put(
        f"/lookup-tables/{id}",
        data=data,
        params={"project_id": 1},
        headers={"Content-Type": "text/csv", **headers},
    )


def test_lookup_tables_are_listed_and_replaced(sb, api):
    empty = api.get("/lookup-tables", params={"project_id": 1}).json()
    assert empty == {"code": 200, "status": "OK", "results": None}
    id = sb.add_lookup_table(1, "skus")
    listed = api.get("/lookup-tables", params={"project_id": 1}).json()["results"]
    assert listed == [{"id": id, "name": "skus"}]

    assert replace(api, id, CSV).json() == {"code": 200, "status": "OK"}
    packed = gzip.compress(b"sku,title\n3,Cup\n")
    replace(api, id, packed, **{"Content-Encoding": "gzip"})
    assert sb.lookup_tables(1)[0]["rows"] == [["3", "Cup"]]

    missing = replace(api, "nothing", CSV)
    assert missing.status_code == 404
    assert missing.json()["code"] == 200
    assert api.delete(f"/lookup-tables/{id}").status_code == 405


def test_a_bad_row_rejects_the_whole_table(sb, api):
    id = sb.add_lookup_table(1, "skus", csv="sku,title\n9,Old\n")
    bad = b"sku,title\n,Hat\n2,Cap,Extra\n3,Cup\n3,Mug\n"
    answer = replace(api, id, bad)
    assert answer.status_code == 400
    assert answer.json()["status"] == "Bad Request"
    assert answer.json()["failed_records"] == [
        {"index": 1, "message": "primary key is required and cannot be blank"},
        {"index": 2, "message": "invalid row: wrong number of fields"},
        {
            "index": 4,
            "message": "invalid row: row indexes 3 and 4 have the same primary key",
        },
    ]
    many = b"sku,title\n" + b",x\n" * 50
    assert len(replace(api, id, many).json()["failed_records"]) == 10
    sb.switch(lookup_error_shape="status")
    assert replace(api, id, many).json()["status"] == 0
    assert sb.lookup_tables(1)[0]["rows"] == [["9", "Old"]]
    for data in (b"", b"one\n1\n", b"a,a\n1,2\n", b"\xff,b\n1,2\n"):
        assert replace(api, id, data).status_code == 400


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (b'1,"a ""b"", c\r\nd"', 200),
        (b'1,"a"b', 400),
        (b'1,a"b', 400),
        (b'1,"a', 400),
        (b"1,a\rb", 400),
        (b"1,a\0", 400),
    ],
)
def test_a_table_is_csv_as_its_standard_has_it(sb, api, row, status):
    id = sb.add_lookup_table(1, "skus")
    assert replace(api, id, b"sku,title\n" + row + b"\n").status_code == status
    assert replace(api, id, b",title\n" + row + b"\n").status_code == status
    assert replace(api, id, b"sku,title,\n1,a,\n").status_code == 400


def test_lookup_limits(sb, api):
    first, second = sb.add_lookup_table(1, "a"), sb.add_lookup_table(1, "b")
    for _ in range(100):
        assert replace(api, first, CSV).status_code == 200
    assert replace(api, first, CSV).status_code == 429
    assert replace(api, second, CSV).status_code == 200
    sb.advance(86_401)
    assert replace(api, first, CSV).status_code == 200
    sb.switch(max_lookup_bytes=10)
    assert replace(api, first, CSV).status_code == 413


LIFE = "/api/app/projects/1/data-definitions/lookup-tables"


def upload(api, data=CSV):
    link = api.get(f"{LIFE}/upload-url/", params={"content-type": "text/csv"})
    link = link.json()["results"]
    headers = {"Content-Type": "text/csv"}
    api.auth, kept = None, api.auth
    answer = api.put(link["url"], data=data, headers=headers)
    api.auth = kept
    assert answer.status_code == 200
    return link


def test_life_of_a_lookup_table_in_the_app_api(sb, api):
    link = upload(api)
    form = {"name": "skus", "path": link["path"], "key": link["key"]}
    assert api.post(f"{LIFE}/", json=form).status_code == 400
    made = api.post(f"{LIFE}/", data=form).json()["results"]
    assert made["id"] < -(2**53)

    changes = {"data-group-id": made["id"], "name": "SKUs"}
    assert api.patch(f"{LIFE}/", json=changes).status_code == 200
    listed = api.get(f"{LIFE}/", params={"data-group-id": made["id"]}).json()["results"]
    assert [(one["name"], one["rowCount"]) for one in listed] == [("SKUs", 2)]
    params = {"data-group-id": made["id"]}
    assert api.get(f"{LIFE}/download/", params=params).content == CSV.replace(
        b"\n", b"\r\n"
    )
    url = api.get(f"{LIFE}/download-url/", params=params).json()["results"]["url"]
    api.auth, kept = None, api.auth
    assert b"Hat" in api.get(url).content
    api.auth = kept

    link = upload(api, b"sku,title\n7,Bag\n")
    form = {"name": "SKUs", "path": link["path"], "key": link["key"]}
    form["data-group-id"] = str(made["id"])
    assert api.post(f"{LIFE}/", data=form).json()["results"]["id"] == made["id"]
    assert sb.lookup_tables(1)[0]["rows"] == [["7", "Bag"]]

    ids = {"data-group-ids": [made["id"]]}
    assert api.delete(f"{LIFE}/", json=ids).json() == {"status": "ok"}
    assert api.get(f"{LIFE}/").json()["results"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/app/projects/1/workspaces/1/data-definitions/lookup-tables/",
        "/api/app/workspaces/1/projects/1/data-definitions/lookup-tables/",
    ],
)
def test_the_life_cycle_may_be_scoped_to_a_workspace(sb, api, path):
    sb.add_lookup_table(1, "skus")
    assert [one["name"] for one in api.get(path).json()["results"]] == ["skus"]


def test_a_large_upload_is_worked_on_for_a_while(sb, api):
    sb.switch(lookup_async_bytes=5)
    for data, word in ((CSV, "SUCCESS"), (b"only\n", "FAILURE")):
        link = upload(api, data)
        form = {"name": "skus", "path": link["path"], "key": link["key"]}
        id = api.post(f"{LIFE}/", data=form).json()["results"]["uploadId"]
        params = {"upload-id": id}
        status = api.get(f"{LIFE}/upload-status/", params=params).json()["results"]
        assert status == {"uploadStatus": "PENDING"}
        sb.advance(5)
        status = api.get(f"{LIFE}/upload-status/", params=params).json()["results"]
        assert status["uploadStatus"] == word
    assert len(sb.lookup_tables(1)) == 1


def test_the_upload_link_is_short_lived_and_takes_no_credentials(sb, api):
    link = api.get(f"{LIFE}/upload-url/", params={"content-type": "text/csv"})
    url = link.json()["results"]["url"]
    headers = {"Content-Type": "text/csv"}
    assert api.put(url, data=CSV, headers=headers).status_code == 400
    api.auth = None
    assert api.put(url, data=CSV).status_code == 403
    sb.advance(3601)
    assert api.put(url, data=CSV, headers=headers).status_code == 403


# -- schemas

SCHEMAS = "/api/app/projects/1/schemas"


def entry(name="Bought", **changes):
    schema = {
        "description": "x",
        "properties": {"price": {"type": "number"}},
        "metadata": {"com.mixpanel": {"tags": ["shop"], "hidden": False}},
        **changes,
    }
    return {"entityType": "event", "name": name, "schemaJson": schema}


def test_schemas(sb, api):
    sb.switch(schemas_per_minute=1000)
    assert api.delete(SCHEMAS).json()["results"] == {"delete_count": 0}
    body = {"entries": [entry(), entry("a/b c$")]}
    assert api.post(SCHEMAS, json=body).json() == {
        "results": {"added": 2, "deleted": 0},
        "status": "ok",
    }
    listed = api.get(SCHEMAS).json()["results"]
    assert [one["name"] for one in listed] == ["Bought", "a/b c$"]
    assert (
        api.get(f"{SCHEMAS}/event/a%2Fb%20c%24").json()["results"]
        == (entry()["schemaJson"])
    )
    assert api.get(f"{SCHEMAS}/profile").json()["results"] == []
    assert api.get(f"{SCHEMAS}/event", params={"entity_name": "Bought"}).json()[
        "results"
    ] == [entry()]
    assert api.get(f"{SCHEMAS}/event/nothing").status_code == 404
    assert api.get(f"{SCHEMAS}/planet").status_code == 400

    truncating = {"entries": [entry("New")], "truncate": True}
    assert api.post(SCHEMAS, json=truncating).json()["results"] == {
        "added": 1,
        "deleted": 2,
    }
    assert api.delete(f"{SCHEMAS}/event/New").json()["results"] == {"delete_count": 1}


def test_metadata_is_merged_and_the_rest_replaced(sb, api):
    sb.switch(schemas_per_minute=1000)
    api.post(f"{SCHEMAS}/event/Bought", json=entry()["schemaJson"])
    change = {
        "properties": {"size": {"type": "integer"}},
        "metadata": {"com.mixpanel": {"hidden": True, "tags": None}},
    }
    assert api.post(f"{SCHEMAS}/event/Bought", json=change).json() == {"status": "ok"}
    assert api.get(f"{SCHEMAS}/event/Bought").json()["results"] == {
        "properties": {"size": {"type": "integer"}},
        "metadata": {"com.mixpanel": {"hidden": True}},
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"entries": {}},
        {"entries": [], "extra": 1},
        {"entries": [], "truncate": "yes"},
        {"entries": [{"name": "x"}]},
        {"entries": [{**entry(), "entityType": "planet"}]},
        {"entries": [{**entry(), "schemaJson": []}]},
        {"entries": [entry(properties={"a": {"type": "date"}})]},
        {"entries": [entry(properties=[])]},
    ],
)
def test_bad_schemas(sb, api, body):
    assert api.post(SCHEMAS, json=body).status_code == 400


def test_five_schema_calls_a_minute(sb, api):
    codes = [api.get(SCHEMAS).status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]
    sb.advance(61)
    assert api.get(SCHEMAS).status_code == 200


def test_two_sandboxes_do_not_meet(tmp_path, sb):
    with_other = Sandbox(tmp_path).start()
    try:
        with_other.add_project(1, "Other")
        assert with_other.raw_events(1) == []
        assert with_other.url != sb.url
    finally:
        with_other.stop()
