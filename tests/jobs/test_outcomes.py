"""What follows an outcome: one table, and how each class of call lives by it."""

import pytest

from mixadmin.common.states import Presence
from mixadmin.connectors import actions as connectors
from mixadmin.jobs.actions import decide_job
from mixadmin.jobs.models import Job
from mixadmin.jobs.operations import OUTCOMES, Next, Op, after
from mixadmin.mixpanel.errors import (
    MixpanelError,
    PermanentError,
    ReplyLost,
    TransientError,
)
from mixadmin.warehouse import actions
from tests import make
from tests.make import MIXPANEL_ID

RETRY, WAIT, CREDENTIAL = Next.RETRY, Next.WAIT, Next.CREDENTIAL
FAIL, LOOK, DONE = Next.FAIL, Next.LOOK, Next.DONE

COLUMNS = ("safe", "absolute", "keyed", "non_idempotent", "destructive")
TABLE = {
    "unreachable": (RETRY, RETRY, RETRY, RETRY, RETRY),
    "rate_limited": (WAIT, WAIT, WAIT, WAIT, WAIT),
    "not_authenticated": (CREDENTIAL,) * 5,
    "not_allowed": (FAIL, FAIL, FAIL, FAIL, FAIL),
    "bad_request": (FAIL, FAIL, FAIL, FAIL, FAIL),
    "too_large": (FAIL, FAIL, FAIL, FAIL, FAIL),
    # What is to be deleted and is not there is deleted.
    "not_found": (FAIL, FAIL, FAIL, FAIL, DONE),
    "redirected": (FAIL, FAIL, FAIL, LOOK, LOOK),
    "server_failed": (RETRY, RETRY, RETRY, LOOK, LOOK),
    "reply_lost": (RETRY, RETRY, RETRY, LOOK, LOOK),
    "unexpected_response": (RETRY, RETRY, RETRY, LOOK, LOOK),
}


def leaves(kind=MixpanelError):
    """The errors that are raised: those of the tree that have a kind of their own."""
    found = {kind} if kind.kind != MixpanelError.kind else set()
    return found.union(*(leaves(one) for one in kind.__subclasses__()))


LEAVES = sorted(leaves(), key=lambda error: error.kind)


def test_the_table_holds_every_error_and_every_class():
    assert {error.kind for error in LEAVES} == set(TABLE) == set(OUTCOMES)
    assert len(TABLE) == len(LEAVES)
    assert tuple(Op.values) == COLUMNS


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.kind)
@pytest.mark.parametrize("op", COLUMNS)
def test_what_follows_is_as_the_table_says(error, op):
    assert after(op, error("as told")) is TABLE[error.kind][COLUMNS.index(op)]


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.kind)
@pytest.mark.parametrize("op", ["non_idempotent", "destructive"])
def test_what_may_have_happened_is_never_just_sent_again(error, op):
    told = error("as told")
    if told.may_have_happened:
        assert after(op, told) is LOOK
    elif after(op, told) is LOOK:
        assert error.kind == "redirected"


@pytest.mark.parametrize("error", [MixpanelError, TransientError, PermanentError])
def test_an_error_that_nobody_foresaw_is_treated_like_a_lost_reply(error):
    for op in Op.values:
        assert after(op, error("new")) is after(op, ReplyLost("lost"))


def test_without_the_protection_everything_is_repeatable(settings):
    settings.JOBS_RETRY_BLINDLY = True
    assert after(Op.NON_IDEMPOTENT, ReplyLost("lost")) is RETRY
    assert after(Op.DESTRUCTIVE, ReplyLost("lost")) is RETRY


@pytest.fixture
def orders(project, sandbox):
    """An import that exists on both sides."""
    source_id = sandbox.add_source(MIXPANEL_ID, "Warehouse", "bigquery")
    source = make.make_source(project=project, mixpanel_id=source_id)
    import_id = sandbox.add_import(MIXPANEL_ID, warehouse_source_id=source_id)
    return make.make_import(project=project, source=source, mixpanel_id=import_id)


@pytest.fixture
def signups(project, sandbox):
    return make.make_connector(
        project=project, mixpanel_id=sandbox.add_connector(MIXPANEL_ID)
    )


UNCLEAR = [
    {"kind": "lost"},
    {"kind": "cut"},
    {"kind": "status", "status": 500, "effect": "after"},
    {"kind": "status", "status": 503, "effect": "before"},
    {"kind": "html", "status": 200},
    {"kind": "truncate"},
    {"kind": "empty"},
]


@pytest.fixture(params=UNCLEAR, ids=lambda f: "-".join(str(v) for v in f.values()))
def unclear(request):
    return request.param


def test_a_state_that_is_set_is_set_again(
    unclear, orders, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="PATCH", path="/imports/", **unclear)
    job = actions.pause_import(warehouse_import=orders, actor=owner)
    run_due_jobs()
    job.refresh_from_db()
    assert (job.state, job.wait_reason) == ("waiting", "retry")

    run_due_jobs(hurry=True)
    job.refresh_from_db()
    orders.refresh_from_db()
    assert (job.state, orders.paused) == ("succeeded", True)
    bodies = [call["body"] for call in sandbox.calls(method="PATCH")]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    first, second = job.attempts.all()
    assert first.outcome in OUTCOMES
    assert second.outcome == "done"
    assert first.request_id != second.request_id


def order_of_calls(sandbox, path):
    return [call["method"] for call in sandbox.calls(path=path)]


def test_a_deletion_is_looked_after_before_it_is_sent_again(
    unclear, orders, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="DELETE", path="/imports/", **unclear)
    job = actions.delete_import(
        warehouse_import=orders, actor=owner, typed_name=orders.name
    )
    run_due_jobs()
    job.refresh_from_db()
    assert job.state == Job.State.UNKNOWN

    run_due_jobs(hurry=True)
    job.refresh_from_db()
    orders.refresh_from_db()
    assert (job.state, orders.presence) == ("succeeded", Presence.DELETED)
    made = ["DELETE", "GET"]
    happened = sandbox.calls(method="DELETE")[0]["effect"]
    assert order_of_calls(sandbox, "/imports/") == (
        made if happened else [*made, "DELETE"]
    )


def test_a_deletion_of_a_connector_is_looked_after_too(
    unclear, signups, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="DELETE", path="/connectors/", **unclear)
    job = connectors.delete_connector(
        connector=signups, actor=owner, typed_name=signups.label
    )
    run_due_jobs(hurry=True)
    job.refresh_from_db()
    signups.refresh_from_db()
    assert (job.state, signups.presence) == ("succeeded", Presence.DELETED)
    made = ["DELETE", "GET"]
    happened = sandbox.calls(method="DELETE")[0]["effect"]
    assert order_of_calls(sandbox, "/connectors/") == (
        made if happened else [*made, "DELETE"]
    )


def test_a_deletion_with_data_is_sent_again_by_a_person_only(
    orders, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="DELETE", path="/imports/", kind="cut")
    job = actions.delete_import(
        warehouse_import=orders, actor=owner, typed_name=orders.name, delete_data=True
    )
    run_due_jobs(hurry=True)
    job.refresh_from_db()
    assert job.state == Job.State.NEEDS_DECISION
    assert "cannot be taken back" in job.decision["why"]
    assert len(sandbox.calls(method="DELETE")) == 1

    decide_job(job=job, actor=owner, choice="again")
    run_due_jobs()
    job.refresh_from_db()
    orders.refresh_from_db()
    assert (job.state, orders.presence) == ("succeeded", Presence.DELETED)
    assert len(sandbox.calls(method="DELETE")) == 2


def test_a_deletion_with_data_that_happened_needs_no_person(
    orders, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="DELETE", path="/imports/", kind="lost")
    job = actions.delete_import(
        warehouse_import=orders, actor=owner, typed_name=orders.name, delete_data=True
    )
    run_due_jobs(hurry=True)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED
    assert order_of_calls(sandbox, "/imports/") == ["DELETE", "GET"]


def test_what_somebody_else_has_deleted_is_deleted(
    orders, owner, sandbox, run_due_jobs
):
    sandbox.drop_import(MIXPANEL_ID, orders.mixpanel_id)
    job = actions.delete_import(
        warehouse_import=orders, actor=owner, typed_name=orders.name
    )
    run_due_jobs()
    job.refresh_from_db()
    orders.refresh_from_db()
    assert (job.state, orders.presence) == ("succeeded", Presence.DELETED)
    assert job.attempts.count() == 1
