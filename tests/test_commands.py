"""The operator's commands do what they say, and say what went wrong."""

import io

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from mixadmin.accounts.models import User
from mixadmin.common.crypto import CannotDecrypt, Secret
from mixadmin.jobs.models import Job
from mixadmin.projects.models import Project
from mixadmin.service_accounts.models import ServiceAccount
from tests import make
from tests.make import MIXPANEL_ID, SECRET


@pytest.fixture
def run(capsys):
    def call(*args):
        out = io.StringIO()
        call_command(*args, stdout=out, stderr=out)
        return out.getvalue()

    return call


@pytest.fixture
def typed(monkeypatch):
    """What is typed on standard input, which is no terminal here."""

    def type_(text):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return type_


@pytest.mark.django_db
def test_create_user_reads_the_password_from_standard_input(run, typed):
    typed("a long enough pass phrase\n")
    assert run("create_user", "ada", "--superuser") == "ada can sign in.\n"
    ada = User.objects.get(username="ada")
    assert ada.is_superuser
    assert ada.check_password("a long enough pass phrase")


@pytest.mark.django_db
@pytest.mark.parametrize("password", ["", "short", "password1234", "ada\x00"])
def test_create_user_refuses_a_weak_password(run, typed, password):
    typed(f"{password}\n")
    with pytest.raises(CommandError, match="^password: "):
        run("create_user", "ada")
    assert not User.objects.exists()


@pytest.mark.django_db
def test_create_user_refuses_a_name_that_is_taken_or_impossible(run, typed):
    make.make_user("ada")
    for name in ("ada", "a b", "x" * 200, "a\x00b"):
        typed("a long enough pass phrase\n")
        with pytest.raises(CommandError, match="^username: "):
            run("create_user", name)


def test_verify_project_tells_and_stores_the_answer(project, sandbox, run):
    assert run("verify_project", str(MIXPANEL_ID)).startswith("Works: ")
    sandbox.set_role(make.USERNAME, MIXPANEL_ID, None)
    with pytest.raises(CommandError, match="No access"):
        run("verify_project", str(MIXPANEL_ID))
    project.refresh_from_db()
    assert project.verification == Project.Verification.NO_ACCESS
    assert project.verified_at is not None
    with pytest.raises(CommandError, match="No project"):
        run("verify_project", "77")


def test_verify_project_knows_the_wrong_region(project, sandbox, run):
    sandbox.add_project(555, "Elsewhere", region="eu")
    project.mixpanel_id = 555
    project.save()
    with pytest.raises(CommandError, match="Wrong region"):
        run("verify_project", "555")


def test_verify_project_when_mixpanel_is_away(project, settings, run):
    settings.MIXPANEL_APP_URL = "http://127.0.0.1:9/{region}/api/app"
    with pytest.raises(CommandError, match="^Cannot reach Mixpanel: the connection"):
        run("verify_project", str(MIXPANEL_ID))


def test_sync_inventory_lists_what_is_not_managed_here(project, sandbox, run):
    sandbox.add_source(MIXPANEL_ID, "Theirs", "snowflake")
    assert "1 things exist" in run("sync_inventory", str(MIXPANEL_ID))
    assert project.remote_objects.get().summary == "Theirs (snowflake)"


def test_sync_inventory_tells_why_it_cannot(project, sandbox, run):
    sandbox.change_secret(make.USERNAME, "another")
    with pytest.raises(CommandError) as error:
        run("sync_inventory", str(MIXPANEL_ID))
    assert SECRET not in str(error.value)


def test_run_import_queues_a_run_and_prints_its_job(project, run):
    make.make_import(project=project)
    out = run("run_import", str(MIXPANEL_ID), "Orders")
    job = Job.objects.get()
    assert str(job.pk) in out
    with pytest.raises(CommandError, match="running already"):
        run("run_import", str(MIXPANEL_ID), "Orders")
    with pytest.raises(CommandError, match="no import with that name"):
        run("run_import", str(MIXPANEL_ID), "Nothing")


def stored_secret():
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM service_accounts_serviceaccount")
        return cursor.fetchone()[0]


def test_rotation_puts_every_secret_under_the_newest_key(settings, run, db):
    make.make_service_account()
    before = stored_secret()
    old, new = settings.ENCRYPTION_KEYS, Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, *old]
    assert "1 secrets" in run("rotate_encryption_key")
    assert stored_secret() != before
    settings.ENCRYPTION_KEYS = [new]
    assert ServiceAccount.objects.get().secret.reveal() == SECRET


def test_rotation_leaves_what_it_cannot_open_and_says_so(settings, run, db):
    make.make_service_account()
    before = stored_secret()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(SystemExit):
        run("rotate_encryption_key")
    assert stored_secret() == before
    with pytest.raises(CannotDecrypt):
        ServiceAccount.objects.get().secret.reveal()


def test_a_stored_secret_is_neither_plain_nor_shown(db):
    account = make.make_service_account()
    assert SECRET not in stored_secret()
    fresh = ServiceAccount.objects.get()
    for shown in (repr(account.secret), str(fresh.secret), f"{fresh.__dict__}"):
        assert SECRET not in shown
    with pytest.raises(TypeError):
        Secret("x").__reduce__()
