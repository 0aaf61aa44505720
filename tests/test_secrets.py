"""A secret goes in and never comes out: looked for everywhere, in many spellings."""

import base64
import json
import logging
import re
import traceback
import urllib.parse

import pytest
from django.apps import apps
from django.db import connection

from mixadmin.jobs.models import Job
from mixadmin.mixpanel.errors import MixpanelError
from mixadmin.projects.actions import change_project, verify_project
from mixadmin.service_accounts.actions import set_secret, verify_service_account
from mixadmin.service_accounts.clients import client_for
from mixadmin.warehouse.actions import change_source, create_source
from tests.make import USERNAME, make_upload, run_due_jobs

CANARY = 'kAnAry%<"7f3a9c1e5b7d'
TOKEN = "tOkEnCaNaRy00112233445566778899aa"
UPDATE = b'{"$distinct_id": "u", "$set": {"a": 1}}'
PASSWORD = "pAsSwOrDcAnArY'4242424242"


def spellings(secret, username=USERNAME):
    """What a careless place could have made of it."""
    yield secret
    yield urllib.parse.quote(secret)
    yield urllib.parse.quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield secret.encode().hex()
    pair = f"{username}:{secret}".encode()
    yield base64.b64encode(pair).decode().rstrip("=")
    for skip in range(3):
        # Base64 of the secret at each of its three alignments, without its edges.
        coded = base64.b64encode(b"x" * skip + secret.encode()).decode()
        yield coded[4:-4]


def everything_stored():
    """Every value of every column of every table, as the database gives it."""
    told = []
    with connection.cursor() as cursor:
        for model in apps.get_models():
            table = connection.ops.quote_name(model._meta.db_table)
            cursor.execute(f"SELECT * FROM {table}")
            told += [str(value) for row in cursor.fetchall() for value in row]
    return "\n".join(told)


def assert_nowhere(text, *secrets):
    for secret in secrets:
        for spelling in spellings(secret):
            assert spelling not in text, f"found as {spelling[:4]}…"


@pytest.fixture
def canaries(project, owner, sandbox):
    """A project, an account and a warehouse whose secrets are canaries."""
    sandbox.change_secret(USERNAME, CANARY)
    set_secret(account=project.service_account, actor=owner, secret=CANARY)
    change_project(project=project, actor=owner, token=TOKEN)
    source, _ = create_source(
        project=project,
        actor=owner,
        name="App",
        warehouse_type="postgres",
        connection={
            "host": "db.acme.test",
            "port": 5432,
            "database": "app",
            "user": "mixpanel",
            "password": PASSWORD,
            "ssl_mode": "verify-full",
        },
    )
    return source


FAULTS = [
    {"kind": "lost"},
    {"kind": "status", "status": 500, "effect": "before"},
    {"kind": "status", "status": 400, "body": {"status": "error", "error": "no"}},
    {"kind": "status", "status": 401, "body": {}},
    {"kind": "html", "status": 502},
    {"kind": "truncate"},
    {"kind": "redirect", "location": "elsewhere", "status": 302},
]


@pytest.mark.parametrize(
    "fault", [None, *FAULTS], ids=lambda f: f["kind"] if f else "none"
)
def test_no_secret_in_rows_or_logs_however_a_call_ends(
    fault, canaries, project, owner, sandbox, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    if fault:
        sandbox.fault(method="POST", path="/sources$", **fault)
    run_due_jobs(hurry=True, rounds=6)
    verify_service_account(account=project.service_account, actor=owner)
    verify_project(project=project, actor=owner)
    assert Job.objects.exists()
    text = everything_stored() + caplog.text + "".join(capfd.readouterr())
    assert_nowhere(text, CANARY, TOKEN, PASSWORD)


def test_mixpanel_got_the_real_values(canaries, sandbox):
    run_due_jobs()
    call = sandbox.calls(method="POST", path="/sources$")[0]
    assert call["body"]["password"] == PASSWORD
    assert call["username"] == USERNAME


def test_an_answer_that_repeats_a_secret_is_not_kept(canaries, sandbox):
    sandbox.fault(
        method="POST",
        path="/sources$",
        kind="status",
        status=400,
        body={"status": "error", "error": f"cannot log in with {PASSWORD}"},
    )
    run_due_jobs()
    job = Job.objects.get(task="warehouse.create_source")
    assert job.state == Job.State.FAILED
    assert "cannot log in with" in job.error_message
    assert_nowhere(everything_stored(), PASSWORD)


def test_no_secret_hangs_on_an_exception(canaries, project, sandbox):
    sandbox.fault(path="/me", kind="cut")
    with pytest.raises(MixpanelError) as caught, client_for(project) as client:
        client.projects.me()
    error = caught.value
    seen = "".join(traceback.format_exception(error)) + repr(vars(error))
    while error.__context__ is not None:
        error = error.__context__
        seen += repr(vars(error))
    assert_nowhere(seen, CANARY)
    assert_nowhere(repr(client) + repr(vars(client)), CANARY)


@pytest.mark.parametrize(
    "fault", [None, *FAULTS], ids=lambda f: f["kind"] if f else "none"
)
def test_no_secret_in_what_is_kept_or_shown_of_ingestions(
    fault, canaries, project, owner, page, api, sandbox, caplog
):
    """Events by the account, profiles by the token, and live events with both."""
    caplog.set_level(logging.DEBUG)
    if fault:
        sandbox.fault(method="POST", path="/(import|engage|track)$", times=-1, **fault)
    shown = ""
    for kind, content in (("events", b'{"event": "x"}'), ("people", UPDATE)):
        upload = make_upload(project=project, content=content)
        body = {"kind": kind, "start": "always"}
        body["files"] = [{"place": "upload", "upload": str(upload.pk)}]
        made = api.post(f"/api/v1/projects/{project.pk}/ingestions/", body).json()
        run_due_jobs(hurry=True, rounds=6)
        address = f"/projects/{project.pk}/ingestions/{made['ingestion']['id']}/"
        shown += api.get(f"/api/v1{address}").content.decode()
        shown += page.get(address).content.decode()
        shown += page.get(f"{address}rejected/").content.decode()
    for endpoint, credential in (
        ("import", "service_account"),
        ("import", "token"),
        ("track", "token"),
    ):
        asked = {"endpoint": endpoint, "credential": credential}
        events = [{"event": "x", "properties": {"distinct_id": "u", "token": TOKEN}}]
        live = f"projects/{project.pk}/live-events/"
        shown += api.post(
            f"/api/v1/{live}", {**asked, "events": events}
        ).content.decode()
    form = {"endpoint": "import", "credential": "token", "send": "1"}
    form["events"] = '{"event": "x", "properties": {}}'
    answer = page.post(f"/projects/{project.pk}/ingestions/live/", form)
    shown += answer.content.decode()
    assert_nowhere(shown + everything_stored() + caplog.text, CANARY, TOKEN, PASSWORD)


def test_a_changed_password_is_told_as_set_anew_and_nothing_more(
    canaries, owner, sandbox
):
    run_due_jobs()
    canaries.refresh_from_db()
    job = change_source(
        source=canaries, actor=owner, connection={"password": "n3w" + PASSWORD}
    )
    run_due_jobs()
    assert sandbox.calls(method="PATCH", path="/sources/")[0]["body"]["password"]
    assert job.params == {"rename": False, "keys": ["password"]}
    assert_nowhere(everything_stored(), PASSWORD)


def test_the_broker_carries_nothing_but_the_id_of_a_row():
    """What a task takes is all that a message can hold."""
    import inspect

    from mixadmin.jobs import tasks

    taken = {
        task.name: list(inspect.signature(task.run).parameters)
        for task in (tasks.run, tasks.work, tasks.poll, tasks.tick)
    }
    assert taken == {
        "mixadmin.run": ["job_id"],
        "mixadmin.work": ["job_id"],
        "mixadmin.poll": ["poll_id"],
        "mixadmin.tick": [],
    }


def test_the_secret_is_revealed_in_few_places():
    """Each new place where a secret leaves its cover is looked at by a person."""
    from pathlib import Path

    import mixadmin

    root = Path(mixadmin.__path__[0])
    places = {}
    for path in root.rglob("*.py"):
        count = len(re.findall(r"\.reveal\(", path.read_text()))
        if count:
            places[path.relative_to(root).as_posix()] = count
    assert places == {
        "common/crypto.py": 3,
        # The credentials of a bucket, where its client is made.
        "files/buckets.py": 1,
        # A client each; senders have several, and profiles go with the project token.
        "service_accounts/clients.py": 3,
        "warehouse/models.py": 2,
    }
