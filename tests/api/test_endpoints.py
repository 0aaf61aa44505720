"""Everything that a page can do, done through the API and seen at Mixpanel."""

from datetime import timedelta

import pytest
from django.utils import timezone

from mixadmin.accounts.models import ApiToken
from mixadmin.common.states import Presence
from mixadmin.jobs.models import Job
from mixadmin.projects.models import Membership, Project, RemoteObject
from mixadmin.service_accounts.models import ServiceAccount
from mixadmin.warehouse.models import WarehouseImport, WarehouseSource
from tests import make

V1 = "/api/v1"
CLUSTER = {
    "spark_version": "15.4.x-scala2.12",
    "node_type_id": "i3.xlarge",
    "num_workers": 2,
    "data_security_mode": "USER_ISOLATION",
}
IMPORT = {
    "name": "Orders",
    "kind": "event_stream",
    "sync_mode": "time_based",
    "table_params": {"project": "acme", "dataset": "shop", "table": "orders"},
    "fields": {
        "event_name": "Order",
        "time_column_name": "ordered_at",
        "user_column_name": "customer",
        "insert_time_column_name": "inserted_at",
    },
    "frequency": "daily",
}
CONNECTOR = {
    "label": "Signups",
    "connector_type": "gcsImport",
    "connector_properties": {"gcs_bucket": "acme", "gcs_prefix": "signup/"},
    "category_properties": {"data_format": "mixpanel_event", "compression": "none"},
}


def ok(answer, status=200):
    assert answer.status_code == status, answer.content
    return answer.json() if answer.content else None


def accepted(answer):
    """The body of a 202, whose Location is the job that it tells of."""
    body = ok(answer, 202)
    assert answer["Location"] == f"{V1}/jobs/{body['job']['id']}/"
    return body


# --- Projects -------------------------------------------------------------------------


def test_a_project_is_registered_changed_verified_and_forgotten(
    api, project, sandbox, owner
):
    sandbox.add_project(3_000_002, "Blog", region="us", organization_id=1)
    sandbox.set_role(make.USERNAME, 3_000_002, "admin")
    answer = api.post(
        f"{V1}/projects/",
        {
            "name": "Blog",
            "mixpanel_id": 3_000_002,
            "region": "us",
            "environment": "test",
            "token": "the-token-of-blog",
            "service_account": project.service_account_id,
        },
    )
    body = ok(answer, 201)
    address = f"{V1}/projects/{body['id']}/"
    assert answer["Location"] == address
    assert body["has_token"] is True
    assert b"the-token-of-blog" not in answer.content
    assert body["verification"] == ""

    assert ok(api.post(f"{address}verify/"))["verification"] == "works"
    changed = ok(
        api.patch(address, {"name": "Weblog", "is_b2b": True, "organization_id": None})
    )
    assert (changed["name"], changed["is_b2b"], changed["organization_id"]) == (
        "Weblog",
        True,
        None,
    )
    assert changed["has_token"] is True
    assert ok(api.get(address)) == changed

    refused = ok(api.delete(address, {"typed_name": "Blog"}), 400)
    assert refused["errors"][0]["attr"] == "typed_name"
    ok(api.delete(address, {"typed_name": "Weblog"}), 204)
    ok(api.get(address), 404)


def test_what_forms_find_wrong_the_api_finds_in_the_same_words(api, project):
    answer = api.post(f"{V1}/projects/", {"region": "mars"})
    errors = {e["attr"]: (e["code"], e["detail"]) for e in ok(answer, 400)["errors"]}
    assert errors["name"] == ("required", "Name is required.")
    assert errors["mixpanel_id"] == ("required", "Mixpanel project id is required.")
    assert errors["region"][0] == "invalid_choice"


def test_members_are_set_listed_and_removed(api, project, stranger):
    address = f"{V1}/projects/{project.pk}/members/"
    assert ok(api.post(address, {"username": "stranger", "role": "viewer"})) == {
        "username": "stranger",
        "role": "viewer",
    }
    listed = ok(api.get(address))["results"]
    assert [(m["username"], m["role"]) for m in listed] == [
        ("owner", "editor"),
        ("viewer", "viewer"),
        ("stranger", "viewer"),
    ]
    assert (
        ok(api.post(address, {"username": "nobody", "role": "viewer"}), 400)["errors"][
            0
        ]["attr"]
        == "username"
    )
    assert (
        ok(api.post(address, {"username": "viewer", "role": "king"}), 400)["errors"][0][
            "attr"
        ]
        == "role"
    )
    ok(api.delete(f"{address}stranger/"), 204)
    ok(api.delete(f"{address}stranger/"), 400)
    last = ok(api.delete(f"{address}owner/"), 409)
    assert last["errors"][0]["code"] == "last_editor"
    assert Membership.objects.filter(project=project).count() == 2


def test_the_audit_trail_tells_who_did_what(api, project, owner):
    ok(
        api.patch(
            f"{V1}/projects/{project.pk}/", {"name": "Store", "token": "a-new-secret"}
        )
    )
    entry = ok(api.get(f"{V1}/projects/{project.pk}/audit/"))["results"][0]
    assert entry["actor"] == "owner"
    assert entry["verb"] == "changed"
    assert entry["target"] == {"type": "project", "id": str(project.pk)}
    assert entry["changes"] == {"name": ["Shop", "Store"], "token": ["set", "set anew"]}
    narrowed = api.get(f"{V1}/projects/{project.pk}/audit/", {"actor": "viewer"})
    assert ok(narrowed)["results"] == []


# --- Service accounts -----------------------------------------------------------------


def test_a_service_account_is_registered_verified_and_forgotten(api, project, sandbox):
    sandbox.add_service_account(
        "ci.mp-service-account",
        "a-secret-of-ci",
        organization_id=1,
        role="admin",
        projects={},
        region="us",
    )
    answer = api.post(
        f"{V1}/service-accounts/",
        {
            "username": "ci.mp-service-account",
            "secret": "a-secret-of-ci",
            "region": "us",
            "role": "custom role",
            "expires_at": "2031-01-01T00:00:00Z",
        },
    )
    body = ok(answer, 201)
    address = f"{V1}/service-accounts/{body['id']}/"
    assert answer["Location"] == address
    assert b"a-secret-of-ci" not in answer.content
    assert (body["has_secret"], body["role"], body["projects"]) == (
        True,
        "custom role",
        [],
    )

    assert ok(api.post(f"{address}verify/"))["verification"] == "works"
    assert ok(api.patch(address, {"expires_at": None}))["expires_at"] is None

    wrong = ok(api.post(f"{address}secret/", {"secret": "not-the-secret"}), 400)
    assert wrong["errors"][0]["attr"] == "secret"
    sandbox.change_secret("ci.mp-service-account", "the-next-secret")
    assert (
        ok(api.post(f"{address}secret/", {"secret": "the-next-secret"}))[
            "secret_version"
        ]
        == 2
    )

    ok(api.delete(address), 204)
    assert not ServiceAccount.objects.filter(pk=body["id"]).exists()


def test_an_account_in_use_is_not_forgotten(api, project):
    answer = api.delete(f"{V1}/service-accounts/{project.service_account_id}/")
    assert ok(answer, 409)["errors"][0]["code"] == "in_use"
    shown = ok(api.get(f"{V1}/service-accounts/{project.service_account_id}/"))
    assert [p["name"] for p in shown["projects"]] == ["Shop"]


def test_projects_are_discovered_and_added(api, project, sandbox):
    sandbox.add_project(3_000_003, "News", region="us", organization_id=1)
    sandbox.set_role(make.USERNAME, 3_000_003, "analyst")
    address = f"{V1}/service-accounts/{project.service_account_id}/discover/"
    found = {p["id"]: p for p in ok(api.get(address))}
    assert found[make.MIXPANEL_ID]["added"] is True
    assert found[3_000_003]["added"] is False

    added = ok(api.post(address, {"mixpanel_ids": [3_000_003, make.MIXPANEL_ID]}), 201)
    assert [p["name"] for p in added] == ["News"]
    assert Project.objects.filter(mixpanel_id=3_000_003).exists()
    errors = ok(api.post(address, {"mixpanel_ids": [3_000_003, 5]}), 400)["errors"]
    assert errors[0]["attr"] == "mixpanel_ids"


def test_the_organizations_accounts_are_listed_made_moved_and_deleted(
    api, project, sandbox, run_due_jobs
):
    via = project.service_account_id
    address = f"{V1}/service-accounts/{via}/organization/"
    assert make.USERNAME in [a["username"] for a in ok(api.get(address))]

    body = accepted(
        api.post(
            address,
            {
                "username": "robot",
                "role": "admin",
                "projects": [{"id": make.MIXPANEL_ID, "role": "admin"}],
            },
        )
    )
    run_due_jobs()
    made = ServiceAccount.objects.get(pk=body["service_account"]["id"])
    assert ok(api.get(f"{V1}/jobs/{body['job']['id']}/"))["state"] == "succeeded"
    assert made.username.startswith("robot")
    assert made.secret

    other = f"{address}{made.pk}/"
    moved = accepted(
        api.post(
            f"{other}membership/", {"project_id": make.MIXPANEL_ID, "remove": True}
        )
    )
    deleted = accepted(api.delete(other))
    run_due_jobs()
    for job in (moved, deleted):
        assert ok(api.get(f"{V1}/jobs/{job['job']['id']}/"))["state"] == "succeeded"
    made.refresh_from_db()
    assert made.presence == Presence.DELETED


def test_what_mixpanel_refuses_is_told_with_meaning_and_remedy(api, project, sandbox):
    sandbox.change_secret(make.USERNAME, "another-secret-altogether")
    address = f"{V1}/service-accounts/{project.service_account_id}/discover/"
    body = ok(api.get(address), 502)
    assert body["type"] == "server_error"
    error = body["errors"][0]
    assert error["code"] == "not_authenticated"
    assert error["attr"] is None
    assert "secret" in error["remedy"]
    assert error["meaning"]
    assert error["url"] == "/errors/not_authenticated/"


def test_mixpanels_rate_limit_is_passed_on(api, project, sandbox):
    sandbox.fault(
        path="/me", kind="status", status=429, times=-1, headers={"Retry-After": "7"}
    )
    answer = api.get(f"{V1}/service-accounts/{project.service_account_id}/discover/")
    error = ok(answer, 502)["errors"][0]
    assert error["code"] == "rate_limited"
    # Nobody sends a question again but who asked it.
    assert error["remedy"].startswith("Try again in a minute.")
    assert "Mixpanel asks for 7 seconds." in error["meaning"]
    assert answer["Retry-After"] == "7"


# --- Warehouses and imports -----------------------------------------------------------


@pytest.fixture
def source(project, sandbox):
    remote = sandbox.add_source(make.MIXPANEL_ID, "Warehouse", "bigquery")
    return make.make_source(project=project, mixpanel_id=remote)


@pytest.fixture
def imports(project):
    return f"{V1}/projects/{project.pk}/imports/"


def test_a_warehouse_is_connected_changed_and_deleted(
    api, project, sandbox, run_due_jobs
):
    address = f"{V1}/projects/{project.pk}/warehouse-sources/"
    body = accepted(
        api.post(
            address,
            {
                "name": "Big",
                "warehouse_type": "bigquery",
                "connection": {"gcp_project_id": "acme-data"},
            },
        )
    )
    assert body["warehouse_source"]["presence"] == "pending"
    run_due_jobs()
    one = f"{address}{body['warehouse_source']['id']}/"
    shown = ok(api.get(one))
    assert (shown["presence"], shown["connection"]) == (
        "active",
        {"gcp_project_id": "acme-data"},
    )
    assert [s["name"] for s in ok(api.get(address))["results"]] == ["Big"]

    changed = accepted(api.patch(one, {"name": "Bigger"}))
    assert changed["warehouse_source"]["name"] == "Big"
    run_due_jobs()
    assert ok(api.get(one))["name"] == "Bigger"
    assert {s["source_name"] for s in sandbox.objects(make.MIXPANEL_ID)["sources"]} == {
        "Bigger"
    }
    nothing = ok(api.patch(one, {}), 409)
    assert nothing["errors"][0]["code"] == "no_change"

    ok(api.delete(one, {"typed_name": "wrong"}), 400)
    accepted(api.delete(one, {"typed_name": "Bigger"}))
    run_due_jobs()
    assert ok(api.get(address))["results"] == []
    assert [
        s["id"] for s in ok(api.get(address, {"presence": "deleted"}))["results"]
    ] == [shown["id"]]


def test_secrets_of_a_warehouse_are_named_and_not_shown(api, project):
    answer = api.post(
        f"{V1}/projects/{project.pk}/warehouse-sources/",
        {
            "name": "Snow",
            "warehouse_type": "bigquery",
            "connection": {
                "gcp_project_id": "acme-data",
                "private_thing": "do-not-show",
            },
        },
    )
    error = ok(answer, 400)["errors"][0]
    assert error["code"].startswith("confirm:")
    answer = api.post(
        f"{V1}/projects/{project.pk}/warehouse-sources/",
        {
            "name": "Snow",
            "warehouse_type": "bigquery",
            "connection": {
                "gcp_project_id": "acme-data",
                "private_thing": "do-not-show",
            },
            "accepted_warnings": [error["code"].removeprefix("confirm:")],
        },
    )
    body = accepted(answer)["warehouse_source"]
    assert body["secrets_set"] == ["private_thing"]
    assert b"do-not-show" not in answer.content


def test_an_import_runs_to_its_end(
    api, project, source, imports, sandbox, run_due_jobs, poll
):
    sandbox.make_table(
        source.mixpanel_id,
        "orders",
        {"ordered_at": "TEXT", "inserted_at": "TEXT", "customer": "TEXT"},
        [
            {
                "ordered_at": "2026-01-01 10:00:00",
                "inserted_at": "2026-01-01 10:00:01",
                "customer": "a",
            }
        ],
    )
    body = accepted(api.post(imports, {**IMPORT, "source": source.pk}))
    assert body["import"]["presence"] == "pending"
    assert body["job"]["target"] == {
        "type": "warehouse_import",
        "id": str(body["import"]["id"]),
    }
    run_due_jobs()
    one = f"{imports}{body['import']['id']}/"
    shown = ok(api.get(one))
    assert (shown["presence"], shown["frequency"], shown["frequency_label"]) == (
        "active",
        "daily",
        "Daily",
    )
    assert shown["fields"] == IMPORT["fields"]

    sandbox.advance(600)  # It starts by itself when it is created; that run ends first.
    poll(project)
    left = ok(api.get(f"{imports}runs-left/"))["left"]
    run = accepted(api.post(f"{one}run/"))
    run_due_jobs()
    assert ok(api.get(f"{imports}runs-left/"))["left"] == left - 1
    sandbox.advance(3600)
    poll(project)
    runs = ok(api.get(f"{one}runs/"))["results"]
    assert "succeeded" in [r["state"] for r in runs]
    assert ok(api.get(f"{one}runs/{runs[0]['id']}/")) == runs[0]
    assert run["job"]["id"] in [r["job"] for r in runs]
    assert ok(api.get(f"{V1}/jobs/{run['job']['id']}/"))["state"] == "succeeded"


def test_an_import_is_paused_resumed_and_deleted(
    api, project, source, imports, run_due_jobs, sandbox
):
    body = accepted(api.post(imports, {**IMPORT, "source": source.pk}))
    run_due_jobs()
    one = f"{imports}{body['import']['id']}/"
    accepted(api.post(f"{one}pause/"))
    run_due_jobs()
    assert ok(api.get(one))["paused"] is True
    assert ok(api.post(f"{one}run/"), 409)["errors"][0]["code"] == "paused"
    accepted(api.post(f"{one}resume/", {"frequency": "weekly"}))
    run_due_jobs()
    assert [ok(api.get(one))[k] for k in ("paused", "frequency")] == [False, "weekly"]
    accepted(api.post(f"{one}frequency/", {"frequency": "hourly"}))
    run_due_jobs()
    assert ok(api.get(one))["frequency"] == "hourly"
    assert (
        ok(api.post(f"{one}frequency/", {"frequency": "daily "}), 400)["errors"][0][
            "attr"
        ]
        == "frequency"
    )
    assert ok(api.post(f"{one}rename/", {"name": "Sales"}))["name"] == "Sales"
    assert ok(api.post(f"{one}rename/", {}), 400)["errors"][0]["attr"] == "name"

    ok(api.delete(one, {"typed_name": "Orders"}), 400)
    accepted(api.delete(one, {"typed_name": "Sales", "delete_data": True}))
    run_due_jobs()
    assert ok(api.get(imports))["results"] == []
    assert ok(api.get(one))["presence"] == "deleted"


def test_a_cluster_config_is_replaced_as_a_whole(api, project, sandbox, run_due_jobs):
    remote = sandbox.add_source(make.MIXPANEL_ID, "Bricks", "databricks")
    source = make.make_source(
        project=project,
        name="Bricks",
        warehouse_type="databricks",
        mixpanel_id=remote,
        adopted=True,
    )
    remote_import = sandbox.add_import(make.MIXPANEL_ID)
    row = make.make_import(
        project=project,
        source=source,
        mixpanel_id=remote_import,
        databricks_params={
            "export_cluster_config": {**CLUSTER, "spark_conf": {"a": "b"}}
        },
    )
    address = f"{V1}/projects/{project.pk}/imports/{row.pk}/databricks-params/"
    left_out = ok(api.post(address, {"accepted_warnings": ["keys_vanish"]}), 400)
    assert left_out["errors"] == [
        {
            "code": "required",
            "detail": "Send the whole config, or null for none.",
            "attr": "databricks_params",
        }
    ]
    wanted = {"databricks_params": {"export_cluster_config": CLUSTER}}
    error = ok(api.post(address, wanted), 400)["errors"][0]
    assert (error["code"], error["attr"]) == (
        "confirm:keys_vanish",
        "databricks_params",
    )
    accepted(api.post(address, {**wanted, "accepted_warnings": ["keys_vanish"]}))
    wrong = {
        "databricks_params": {
            "export_cluster_config": {**CLUSTER, "num_workers": "two"}
        }
    }
    errors = ok(api.post(address, wrong), 400)["errors"]
    assert "databricks_params.export_cluster_config.num_workers" in [
        e["attr"] for e in errors
    ]


def test_the_rules_of_an_import_speak_with_dotted_names(api, project, source, imports):
    errors = ok(
        api.post(
            imports,
            {
                **IMPORT,
                "source": source.pk,
                "kind": "lookup_table",
                "sync_mode": "mirror_mode",
                "fields": {"mixpanel_property": {"value": 5}},
            },
        ),
        400,
    )["errors"]
    assert "mixpanel_property.value" in [e["attr"] for e in errors]
    errors = ok(api.post(imports, {}), 400)["errors"]
    assert {"name", "source", "kind", "sync_mode", "frequency", "table_params"} <= {
        e["attr"] for e in errors
    }


def test_a_foreign_warehouse_is_not_found_for_an_import(api, project, imports, owner):
    other = make.make_project(owner=owner, name="Other", mixpanel_id=9)
    foreign = make.make_source(project=other, mixpanel_id=900)
    for pk in (foreign.pk, 999_999, 0, -1, 2**70):
        errors = ok(api.post(imports, {**IMPORT, "source": pk}), 400)["errors"]
        assert errors == [
            {
                "code": "unknown",
                "detail": "There is no such source.",
                "attr": "source",
            }
        ]


def test_what_was_not_created_is_forgotten(api, project, source, imports):
    row = make.make_import(
        project=project, source=source, presence=Presence.NOT_CREATED, mixpanel_id=None
    )
    ok(api.post(f"{imports}{row.pk}/forget/"), 204)
    row.refresh_from_db()
    assert row.presence == Presence.DELETED
    refused = api.post(
        f"{V1}/projects/{project.pk}/warehouse-sources/{source.pk}/forget/"
    )
    assert ok(refused, 409)["errors"][0]["code"]


def test_what_exists_at_mixpanel_is_listed_and_adopted(api, project, sandbox, poll):
    sandbox.add_source(make.MIXPANEL_ID, "Theirs", "bigquery")
    sandbox.add_import(make.MIXPANEL_ID)
    sandbox.add_connector(make.MIXPANEL_ID)
    poll(project)
    address = f"{V1}/projects/{project.pk}/remote-objects/"
    found = ok(api.get(address))["results"]
    assert {r["kind"] for r in found} == {"source", "import", "connector"}
    warehouse = [r["id"] for r in found if r["kind"] != "connector"]
    connector = [
        r["id"] for r in ok(api.get(address, {"kind": "connector"}))["results"]
    ]

    adopted = ok(api.post(f"{address}adopt/", {"remote_objects": warehouse}), 201)
    assert [s["name"] for s in adopted["warehouse_sources"]] == ["Theirs"]
    assert adopted["imports"][0]["source"] == adopted["warehouse_sources"][0]["id"]
    assert WarehouseImport.objects.get().adopted
    assert WarehouseSource.objects.get().adopted

    errors = ok(api.post(f"{address}adopt/", {"remote_objects": connector}), 400)[
        "errors"
    ]
    assert errors[0]["attr"] == "remote_objects"
    there = f"{V1}/projects/{project.pk}/connectors/adopt/"
    assert ok(api.post(there, {"remote_objects": connector}), 201)[0]["adopted"] is True
    assert RemoteObject.objects.count() == 0
    ok(api.post(there, {"remote_objects": connector}), 400)
    ok(api.post(there, {"remote_objects": []}), 400)


# --- Connectors -----------------------------------------------------------------------


def test_a_connector_is_created_seen_running_and_deleted(
    api, project, sandbox, run_due_jobs, poll
):
    sandbox.put_file(
        "acme",
        "signup/1.json",
        b'{"event": "A", "properties": {"time": 1700000000, "distinct_id": "a", "$insert_id": "1"}}\n',
    )
    address = f"{V1}/projects/{project.pk}/connectors/"
    body = accepted(api.post(address, CONNECTOR))
    run_due_jobs()
    one = f"{address}{body['connector']['id']}/"
    assert ok(api.get(one))["presence"] == "active"
    sandbox.advance(3600)
    poll(project)
    runs = ok(api.get(f"{one}runs/"))["results"]
    assert [r["state"] for r in runs] == ["succeeded"]
    assert runs[0]["num_events_imported"] == 1
    assert ok(api.get(f"{one}runs/{runs[0]['id']}/")) == runs[0]
    assert ok(api.get(address, {"connector_type": "s3Import"}))["results"] == []

    ok(api.delete(one, {"typed_name": "x"}), 400)
    accepted(api.delete(one, {"typed_name": "Signups"}))
    run_due_jobs()
    assert ok(api.get(address))["results"] == []
    assert ok(api.get(f"{one}runs/"))["results"] == runs


def test_the_rules_of_a_connector_speak_with_dotted_names(api, project):
    address = f"{V1}/projects/{project.pk}/connectors/"
    errors = ok(
        api.post(
            address,
            {
                **CONNECTOR,
                "connector_properties": {"gcs_bucket": "gs://x", "gcs_prefix": ""},
                "category_properties": {
                    "data_format": "remap_event",
                    "property_remap": {"when": "x"},
                },
            },
        ),
        400,
    )["errors"]
    found = {(e["attr"], e["code"]) for e in errors}
    assert ("connector_properties.gcs_bucket", "shape") in found
    assert ("connector_properties.gcs_prefix", "confirm:entire_bucket") in found
    assert ("category_properties.property_remap.when", "unknown_field") in found


# --- Jobs -----------------------------------------------------------------------------


def test_jobs_are_filtered(api, project):
    failed = make.make_job(
        project=project, state=Job.State.FAILED, title="Delete a thing"
    )
    queued = make.make_job(
        project=project, target_type="warehouse.warehouseimport", target_id="7"
    )
    own = make.make_job(service_account=project.service_account)

    def ids(**query):
        return {j["id"] for j in ok(api.get(f"{V1}/jobs/", query))["results"]}

    assert ids() == {str(failed.pk), str(queued.pk), str(own.pk)}
    assert ids(state="failed") == {str(failed.pk)}
    assert ids(project=project.pk) == {str(failed.pk), str(queued.pk)}
    assert ids(project=project.pk + 1) == set()
    assert ids(target_type="warehouse_import", target_id="7") == {str(queued.pk)}
    assert ids(target_type="connector") == set()
    assert ids(attention="true") == {str(failed.pk)}
    assert ids(attention="false") == {str(queued.pk), str(own.pk)}
    assert ids(search="a THING") == {str(failed.pk)}
    for query in (
        {"attention": "banana"},
        {"state": "happy"},
        {"target_type": "x"},
        {"project": "-1"},
    ):
        assert api.get(f"{V1}/jobs/", query).status_code == 400


def test_a_failed_job_tells_why_and_is_retried_or_put_aside(api, project):
    job = make.make_job(
        project=project,
        state=Job.State.FAILED,
        error_kind="bad_request",
        error_message="source_id is missing from the payload",
        ended_at=timezone.now(),
        target_id=str(make.make_import(project=project).pk),
    )
    address = f"{V1}/jobs/{job.pk}/"
    shown = ok(api.get(address))
    assert shown["error"]["kind"] == "bad_request"
    assert shown["error"]["title"] == "A value is missing"
    assert shown["attempts"] == []
    assert (shown["can_retry"], shown["can_cancel"]) == (True, False)
    assert ok(api.post(f"{address}cancel/"), 409)["errors"][0]["code"] == "wrong_state"
    assert ok(api.post(f"{address}dismiss/"))["dismissed"] is True
    assert ok(api.post(f"{address}retry/"))["state"] == "queued"
    assert ok(api.post(f"{address}cancel/"))["state"] == "cancelled"


def test_a_question_is_answered(api, project, source, imports, sandbox, run_due_jobs):
    sandbox.fault(method="POST", path="event-stream$", kind="lost")
    body = accepted(api.post(imports, {**IMPORT, "source": source.pk}))
    run_due_jobs()
    sandbox.add_import(
        make.MIXPANEL_ID,
        **{
            k: v
            for k, v in sandbox.objects(make.MIXPANEL_ID)["imports"][0].items()
            if k
            in ("table_params", "sync_mode", "run_every", "source_id", "event_name")
        },
    )
    job = Job.objects.get(pk=body["job"]["id"])
    Job.objects.filter(pk=job.pk).update(
        state=Job.State.NEEDS_DECISION, decision={"why": "Two.", "candidates": []}
    )
    address = f"{V1}/jobs/{job.pk}/decide/"
    assert (
        ok(api.post(address, {"choice": "perhaps"}), 409)["errors"][0]["code"]
        == "unknown_choice"
    )
    assert (
        ok(api.post(address, {"choice": "adopt", "candidate": "1"}), 409)["errors"][0][
            "code"
        ]
        == "nothing_found"
    )
    remote = sandbox.objects(make.MIXPANEL_ID)["imports"][0]["id"]
    shown = ok(api.post(address, {"choice": "adopt", "candidate": str(remote)}))
    assert shown["state"] == "succeeded"
    row = WarehouseImport.objects.get(pk=body["import"]["id"])
    assert (row.presence, row.mixpanel_id) == (Presence.ACTIVE, remote)


# --- Tokens ---------------------------------------------------------------------------


def test_a_token_is_made_with_a_password_and_shown_once(client_of, owner):
    anonymous = client_of()
    answer = anonymous.post(
        f"{V1}/tokens/",
        {"name": "ci", "days": "90", "username": "owner", "password": make.PASSWORD},
    )
    body = ok(answer, 201)
    assert body["token"].startswith("mxa_")
    assert body["expires_at"] > (timezone.now() + timedelta(days=89)).isoformat()
    tool = client_of()
    tool.credentials(HTTP_AUTHORIZATION=f"Token {body['token']}")
    listed = ok(tool.get(f"{V1}/tokens/"))["results"]
    assert listed == [{k: body[k] for k in ("id", "name", "created_at", "expires_at")}]
    refused = ok(tool.post(f"{V1}/tokens/", {"name": "b", "days": "30"}), 403)
    assert refused["errors"][0]["code"] == "token_cannot_make_tokens"
    assert ok(tool.get(answer["Location"])) == listed[0]
    ok(tool.delete(answer["Location"]), 204)
    ok(tool.get(f"{V1}/tokens/"), 401)
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    "who",
    [
        {"username": "owner", "password": "wrong"},
        {"username": "nobody", "password": make.PASSWORD},
        {"username": "owner"},
        {"password": make.PASSWORD},
        {"username": ["owner"], "password": {"a": 1}},
        {"username": "owner", "password": None},
    ],
)
def test_wrong_passwords_answer_alike(client_of, owner, who):
    answer = client_of().post(f"{V1}/tokens/", {"name": "ci", "days": "30", **who})
    assert ok(answer, 401)["errors"] == [
        {
            "code": "authentication_failed",
            "detail": "Wrong username or password.",
            "attr": None,
        }
    ]


def test_a_tokens_name_and_lifetime_are_checked(client_of, owner):
    who = {"username": "owner", "password": make.PASSWORD}
    anonymous = client_of()
    errors = ok(anonymous.post(f"{V1}/tokens/", who), 400)["errors"]
    assert {e["attr"] for e in errors} == {"name", "days"}
    ok(anonymous.post(f"{V1}/tokens/", {**who, "name": "a", "days": "never"}), 201)
    twice = ok(anonymous.post(f"{V1}/tokens/", {**who, "name": "a", "days": "30"}), 400)
    assert "You have a token with that name." in str(twice)


# --- Catalogue ------------------------------------------------------------------------


def test_the_catalogue_tells_what_forms_ask_for(api):
    warehouse = ok(api.get(f"{V1}/catalogue/warehouse/"))
    assert {w["slug"] for w in warehouse["warehouses"]} >= {
        "bigquery",
        "snowflake",
        "databricks",
    }
    kinds = {k["slug"]: k for k in warehouse["kinds"]}
    assert kinds["event_sync"]["creatable"] is False
    names = {f["name"]: f for f in kinds["lookup_table"]["fields"]}
    assert names["mixpanel_property"]["members"][1]["choices"] == {
        "event": "Events",
        "user": "User profiles",
    }
    assert [f["slug"] for f in warehouse["frequencies"]] == [
        "api",
        "hourly",
        "daily",
        "weekly",
    ]
    cluster = {f["name"]: f for f in warehouse["cluster_config"]}
    limits = ("minimum", "maximum", "max_length")
    assert [cluster["num_workers"][name] is None for name in limits] == [0, 0, 1]
    assert [cluster["spark_version"][name] is None for name in limits] == [1, 1, 0]
    connectors = ok(api.get(f"{V1}/catalogue/connectors/"))
    assert {k["slug"] for k in connectors["kinds"]} == {"gcsImport", "s3Import"}
    assert len(connectors["data_formats"]) == 6
