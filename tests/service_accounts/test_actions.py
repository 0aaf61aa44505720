"""What may be asked of Mixpanel's organization API, and with whose rights."""

from datetime import timedelta

import pytest
from django.utils import timezone

from mixadmin.audit.models import Entry
from mixadmin.common.crypto import Secret
from mixadmin.common.errors import Refused
from mixadmin.common.states import Presence
from mixadmin.connectors.actions import create_connector
from mixadmin.jobs.models import Job
from mixadmin.projects import access
from mixadmin.projects.actions import change_project, verify_project
from mixadmin.service_accounts import actions
from mixadmin.service_accounts.models import ServiceAccount, may_change, may_use
from mixadmin.service_accounts.tasks import warn_of_expiry
from tests import make


@pytest.fixture
def via(project, owner):
    account = project.service_account
    account.owner = owner
    account.save()
    return account


def other(owner, **changes):
    fields = {"username": "other", "mixpanel_id": 77, "owner": owner, **changes}
    return make.make_service_account(**fields)


@pytest.mark.parametrize("place", [{"region": "eu"}, {"organization_id": 2}])
@pytest.mark.parametrize("verb", ["delete", "join"])
def test_an_account_elsewhere_is_not_reached_through_this_one(via, owner, place, verb):
    account = other(owner, **place)
    with pytest.raises(Refused) as refused:
        if verb == "delete":
            actions.delete_at_mixpanel(account=account, via=via, actor=owner)
        else:
            actions.change_membership(
                account=account, via=via, actor=owner, project_id=1, role="admin"
            )
    assert refused.value.code == "other_organization"
    assert not Job.objects.exists()


def test_an_account_does_not_delete_itself(owner, db):
    account = other(owner)
    with pytest.raises(Refused) as refused:
        actions.delete_at_mixpanel(account=account, via=account, actor=owner)
    assert refused.value.code == "itself"


def test_a_deletion_is_asked_for_once(via, owner):
    account = other(owner)
    actions.delete_at_mixpanel(account=account, via=via, actor=owner)
    account.refresh_from_db()
    with pytest.raises(Refused):
        actions.delete_at_mixpanel(account=account, via=via, actor=owner)
    assert Job.objects.count() == 1


@pytest.mark.parametrize("presence", [Presence.PENDING, Presence.DELETING])
def test_an_account_that_a_job_is_about_is_not_forgotten(owner, presence, db):
    account = other(owner, presence=presence)
    with pytest.raises(Refused) as refused:
        actions.forget_service_account(account=account, actor=owner)
    assert refused.value.code == "unfinished_jobs"


def test_only_the_name_that_was_asked_for_is_taken_for_ours(
    via, owner, sandbox, run_due_jobs
):
    sandbox.fault(method="POST", path="service-accounts", kind="cut", times=9)
    account, job = actions.create_at_mixpanel(via=via, actor=owner, username="ops.eu")
    run_due_jobs(rounds=1)
    sandbox.add_service_account(
        "ops.us.1a2b3c.mp-service-account", "x", organization_id=1, region="us"
    )
    run_due_jobs(hurry=True, rounds=3)
    account.refresh_from_db()
    assert account.mixpanel_id is None


def test_a_creation_whose_account_was_removed_says_so_on_its_row(
    via, owner, run_due_jobs
):
    through = other(owner)
    account, job = actions.create_at_mixpanel(via=through, actor=owner, username="new")
    through.delete()
    run_due_jobs()
    job.refresh_from_db()
    account.refresh_from_db()
    assert (job.state, account.presence) == ("failed", Presence.NOT_CREATED)


def test_the_job_says_that_the_organization_id_was_taken_away(via, owner, run_due_jobs):
    account, job = actions.create_at_mixpanel(via=via, actor=owner, username="new")
    ServiceAccount.objects.update(organization_id=None)
    run_due_jobs()
    job.refresh_from_db()
    assert (job.state, job.error_kind) == ("failed", "refused")


def test_a_person_who_was_disabled_may_use_and_change_nothing(via, owner, project):
    owner.is_active = False
    assert not may_use(owner, via)
    assert not may_change(owner, via)
    assert access.project_ids(owner) == []


def test_who_may_not_change_does_not_verify(via, viewer, project):
    for verify in (
        lambda: verify_project(project=project, actor=viewer),
        lambda: actions.verify_service_account(account=via, actor=viewer),
    ):
        with pytest.raises(access.NotPermitted):
            verify()


def test_a_renewed_account_is_warned_of_again(owner, db):
    now = timezone.now()
    account = other(owner, expires_at=now + timedelta(hours=3))
    warn_of_expiry()
    actions.change_service_account(
        account=account, actor=owner, expires_at=now + timedelta(days=20)
    )
    warn_of_expiry()
    warn_of_expiry()
    assert Entry.objects.filter(verb__startswith="expires").count() == 2


def test_a_look_at_what_was_warned_of_writes_nothing(
    owner, db, django_assert_num_queries
):
    for n in range(3):
        other(owner, username=f"n{n}", mixpanel_id=n + 1, expires_at=timezone.now())
    warn_of_expiry()
    with django_assert_num_queries(1):
        warn_of_expiry()


def test_another_account_for_the_project_lets_waiting_jobs_go_on(
    via, owner, project, sandbox, run_due_jobs
):
    ServiceAccount.objects.update(verification="refused")
    _, job = create_connector(
        project=project,
        actor=owner,
        label="Signups",
        connector_type="gcsImport",
        connector_properties={"gcs_bucket": "acme", "gcs_prefix": "a/"},
        category_properties={"data_format": "mixpanel_event"},
    )
    run_due_jobs()
    job.refresh_from_db()
    assert (job.state, job.wait_reason) == ("waiting", "credential")
    sandbox.add_service_account(
        "second",
        "another",
        organization_id=1,
        projects={make.MIXPANEL_ID: "admin"},
        region="us",
    )
    second = other(owner, username="second", secret=Secret("another"))
    change_project(project=project, actor=owner, service_account=second)
    run_due_jobs()
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED


def test_who_asked_for_a_job_sees_it(via, viewer, project):
    project.memberships.update(role="editor")
    account, job = actions.create_at_mixpanel(via=via, actor=viewer, username="new")
    assert access.get_job(viewer, job.pk) == job
