"""A create whose outcome is not known is looked after, never sent blindly again."""

import pytest

from mixadmin.common.states import Presence
from mixadmin.jobs import runner
from mixadmin.jobs.actions import cancel_job, decide_job, retry_job
from mixadmin.jobs.models import Attempt, Job
from mixadmin.warehouse.actions import create_import
from mixadmin.warehouse.models import WarehouseImport
from tests.make import MIXPANEL_ID, make_source

IMPORTS = r"/warehouse-sources/imports/event-stream$"


@pytest.fixture
def source(project, sandbox):
    remote_id = sandbox.add_source(MIXPANEL_ID, "Warehouse", "bigquery")
    return make_source(project=project, mixpanel_id=remote_id)


def ask(project, source, owner, name="Orders", table="orders"):
    return create_import(
        project=project,
        actor=owner,
        name=name,
        source=source,
        kind="event_stream",
        sync_mode="time_based",
        table_params={"dataset": "shop", "table": table},
        fields={
            "event_name": "Order",
            "time_column_name": "ordered_at",
            "insert_time_column_name": "inserted_at",
        },
        frequency="daily",
    )


def creates(sandbox):
    return sandbox.calls(method="POST", path=IMPORTS)


def remote(sandbox):
    return [i for i in sandbox.objects(MIXPANEL_ID)["imports"] if not i["is_deleted"]]


def test_a_create_ends_with_one_import_on_both_sides(
    project, source, owner, sandbox, run_due_jobs
):
    row, job = ask(project, source, owner)
    run_due_jobs()

    row.refresh_from_db()
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED
    assert row.presence == Presence.ACTIVE
    assert [i["id"] for i in remote(sandbox)] == [row.mixpanel_id]
    assert creates(sandbox)[0]["request_id"] == str(job.attempts.get().request_id)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "lost"},
        {"kind": "status", "status": 500, "effect": "after"},
        {"kind": "html", "status": 502, "effect": "after"},
        {"kind": "truncate"},
        {"kind": "empty"},
        {"kind": "shape", "body": {"status": "ok", "results": []}},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault.get('status', '')}",
)
def test_what_an_unclear_answer_has_made_is_adopted(
    fault, project, source, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="POST", path=IMPORTS, **fault)
    row, job = ask(project, source, owner)
    run_due_jobs()
    job.refresh_from_db()
    assert job.state == Job.State.UNKNOWN
    assert job.wait_reason == Job.Wait.SETTLE

    run_due_jobs(hurry=True)

    job.refresh_from_db()
    row.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED, job.error_message
    assert len(creates(sandbox)) == 1
    assert [i["id"] for i in remote(sandbox)] == [row.mixpanel_id]


@pytest.mark.parametrize(
    "fault",
    [{"kind": "cut"}, {"kind": "status", "status": 503, "effect": "before"}],
    ids=["cut", "503"],
)
def test_after_proof_of_absence_it_is_sent_again(
    fault, project, source, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="POST", path=IMPORTS, **fault)
    row, job = ask(project, source, owner)
    run_due_jobs(hurry=True)

    job.refresh_from_db()
    row.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED
    assert len(creates(sandbox)) == 2
    assert [i["id"] for i in remote(sandbox)] == [row.mixpanel_id]
    first = job.attempts.first()
    assert first.outcome == "did_not_happen"
    assert len(first.looks) == 2


def test_two_candidates_are_a_question_and_never_a_third_create(
    project, source, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="POST", path=IMPORTS, kind="lost")
    row, job = ask(project, source, owner)
    run_due_jobs()
    first = remote(sandbox)[0]
    twin = {k: v for k, v in first.items() if k in TWIN_FIELDS}
    twin_id = sandbox.add_import(MIXPANEL_ID, **twin)
    run_due_jobs(hurry=True)

    job.refresh_from_db()
    assert job.state == Job.State.NEEDS_DECISION
    found = {c["id"] for c in job.decision["candidates"]}
    assert found == {str(first["id"]), str(twin_id)}
    assert len(creates(sandbox)) == 1

    decide_job(job=job, actor=owner, choice="adopt", candidate=str(twin_id))
    row.refresh_from_db()
    assert (row.mixpanel_id, row.presence) == (twin_id, Presence.ACTIVE)
    assert Job.objects.get(pk=job.pk).state == Job.State.SUCCEEDED


TWIN_FIELDS = (
    "import_type",
    "warehouse_source_id",
    "table_params",
    "sync_mode",
    "run_every",
    "event_name",
    "time_column_name",
    "insert_time_column_name",
)


def test_giving_up_leaves_a_row_that_says_so(
    project, source, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="POST", path=IMPORTS, kind="cut", times=9)
    row, job = ask(project, source, owner)
    run_due_jobs(hurry=True, rounds=40)
    job.refresh_from_db()
    assert job.state == Job.State.NEEDS_DECISION
    assert len(creates(sandbox)) == runner.SENDS

    decide_job(job=job, actor=owner, choice="give_up")
    row.refresh_from_db()
    assert row.presence == Presence.NOT_CREATED


def test_a_refusal_fails_at_once_with_its_words(
    project, source, owner, sandbox, run_due_jobs
):
    sandbox.fault(
        method="POST",
        path=IMPORTS,
        kind="status",
        status=400,
        body={"status": "error", "error": "table_params: no such table"},
    )
    row, job = ask(project, source, owner)
    run_due_jobs(hurry=True)
    job.refresh_from_db()
    row.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert "no such table" in job.error_message
    assert row.presence == Presence.NOT_CREATED
    assert len(creates(sandbox)) == 1


def test_a_worker_that_dies_while_sending_leaves_an_unknown_outcome(
    project, source, owner, sandbox, run_due_jobs
):
    row, job = ask(project, source, owner)
    claimed = runner.claim(job.pk)
    plan = runner.registry.task(job.task).plan(claimed)
    with plan.client() as client:
        attempt = Attempt(
            job=claimed, number=1, token=claimed.token, known_before=plan.known(client)
        )
        runner._begin(claimed, plan, attempt)
        plan.send(client)  # and here the worker dies
    expire(job)
    runner.rescue_lapsed()
    job.refresh_from_db()
    assert job.state == Job.State.UNKNOWN

    run_due_jobs(hurry=True)
    row.refresh_from_db()
    assert [i["id"] for i in remote(sandbox)] == [row.mixpanel_id]


def expire(job):
    Job.objects.filter(pk=job.pk).update(lease_until=job.created_at)


def test_a_worker_that_was_presumed_dead_writes_nothing(
    project, source, owner, sandbox
):
    row, job = ask(project, source, owner)
    slow = runner.claim(job.pk)
    expire(job)
    runner.rescue_lapsed()
    quick = runner.claim(job.pk)
    assert quick.token > slow.token
    with pytest.raises(runner.Fenced):
        runner.move(slow, Job.State.FAILED, held=slow.token, error_kind="late")
    with pytest.raises(runner.Fenced):
        runner.touch(slow)
    assert Job.objects.get(pk=job.pk).state == Job.State.CLAIMED


def test_a_second_delivery_of_the_message_does_nothing(
    project, source, owner, sandbox, run_due_jobs
):
    _, job = ask(project, source, owner)
    for _ in range(3):
        runner.run(job.pk)
    assert len(creates(sandbox)) == 1


def test_a_twin_waits_until_the_first_is_settled(
    project, source, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="POST", path=IMPORTS, kind="lost")
    first, first_job = ask(project, source, owner, name="One")
    second, second_job = ask(project, source, owner, name="Two")
    run_due_jobs(rounds=1)
    second_job.refresh_from_db()
    assert (second_job.state, second_job.wait_reason) == ("waiting", Job.Wait.TWIN)

    run_due_jobs(hurry=True)
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.presence == second.presence == Presence.ACTIVE
    assert sorted([first.mixpanel_id, second.mixpanel_id]) == sorted(
        i["id"] for i in remote(sandbox)
    )


def test_a_refused_credential_stops_all_work_until_a_new_secret(
    project, source, owner, sandbox, run_due_jobs
):
    from mixadmin.service_accounts.actions import set_secret
    from tests.make import USERNAME

    sandbox.change_secret(USERNAME, "another-secret")
    jobs = [
        ask(project, source, owner, name=f"n{i}", table=f"t{i}")[1] for i in range(3)
    ]
    sandbox.clear_calls()
    run_due_jobs()
    for job in jobs:
        job.refresh_from_db()
        assert (job.state, job.wait_reason) == ("waiting", "credential")
    # The first refusal, one question whether it is really refused, and no more.
    assert len(sandbox.calls()) == 2

    set_secret(account=project.service_account, actor=owner, secret="another-secret")
    run_due_jobs()
    assert {Job.objects.get(pk=j.pk).state for j in jobs} == {"succeeded"}


def test_a_right_that_was_taken_away_stops_the_job(
    project, source, owner, viewer, sandbox, run_due_jobs
):
    _, job = ask(project, source, owner)
    project.memberships.filter(user=owner).update(role="viewer")
    run_due_jobs()
    job.refresh_from_db()
    assert (job.state, job.error_kind) == ("failed", "refused")
    assert creates(sandbox) == []


def test_cancel_before_sending_and_retry_of_a_failure(
    project, source, owner, sandbox, run_due_jobs
):
    row, job = ask(project, source, owner)
    cancel_job(job=job, actor=owner)
    run_due_jobs()
    row.refresh_from_db()
    assert row.presence == Presence.NOT_CREATED
    assert creates(sandbox) == []

    sandbox.fault(method="POST", path=IMPORTS, kind="status", status=403, body={})
    row, job = ask(project, source, owner, name="Again")
    run_due_jobs()
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    retry_job(job=job, actor=owner)
    run_due_jobs()
    row.refresh_from_db()
    assert row.presence == Presence.ACTIVE


def test_every_state_has_a_way_out_or_is_an_end():
    assert set(runner.ALLOWED) == set(Job.State.values)
    for state in Job.State.values:
        leads_on = bool(runner.ALLOWED[state])
        assert leads_on or state in (Job.State.SUCCEEDED, Job.State.CANCELLED)


def test_a_retry_of_a_failed_create_shows_the_row_as_being_created_again(
    project, source, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="POST", path=IMPORTS, kind="status", status=403, body={})
    row, job = ask(project, source, owner)
    run_due_jobs()
    retry_job(job=Job.objects.get(pk=job.pk), actor=owner)
    assert WarehouseImport.objects.get(pk=row.pk).presence == Presence.PENDING


def test_a_job_can_be_cancelled_whatever_became_of_its_account_or_row(
    project, source, owner, sandbox
):
    for n, spoil in enumerate((no_account, refused_account, no_row)):
        row, job = ask(project, source, owner, name=f"n{n}")
        spoil(project, row)
        cancel_job(job=Job.objects.get(pk=job.pk), actor=owner)
        assert Job.objects.get(pk=job.pk).state == Job.State.CANCELLED
        rows = WarehouseImport.objects.filter(pk=row.pk)
        assert all(row.presence == Presence.NOT_CREATED for row in rows)


def no_account(project, row):
    type(project).objects.filter(pk=project.pk).update(service_account=None)


def refused_account(project, row):
    from mixadmin.service_accounts.models import ServiceAccount

    account = ServiceAccount.objects.get()
    type(project).objects.filter(pk=project.pk).update(service_account=account)
    ServiceAccount.objects.update(verification="refused")


def no_row(project, row):
    row.delete()


def test_a_failed_look_before_the_send_says_that_nothing_was_sent(
    project, source, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="GET", path="/imports$", kind="status", status=500)
    row, job = ask(project, source, owner)
    run_due_jobs()
    job.refresh_from_db()
    assert (job.state, job.error_kind) == ("waiting", "look_failed")
    assert creates(sandbox) == []
    run_due_jobs(hurry=True)
    row.refresh_from_db()
    assert row.presence == Presence.ACTIVE
