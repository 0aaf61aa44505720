"""A small installation to send from: python -m bench.project, with its settings in the
environment. Migrates the database, adds a user, a service account, projects and old jobs,
and prints what the benchmark has to know of them as JSON.
"""

import json
import os
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path

MIXPANEL_ID = 3_000_001
# Enough rows that a list has something to do.
PROJECTS = 60
JOBS = 400


def environment(folder: Path, sink_url: str) -> dict[str, str]:
    """Settings of an installation in `folder` that sends to a sink, without its secrets."""
    return {
        "DJANGO_SETTINGS_MODULE": "mixadmin.settings",
        "DEBUG": "0",
        "ALLOWED_HOSTS": "127.0.0.1",
        "BEHIND_TLS": "0",
        "MIXADMIN_DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'bench.sqlite3'}",
        "MIXPANEL_APP_URL": f"{sink_url}/{{region}}/api/app",
        "MIXPANEL_INGESTION_URL": f"{sink_url}/{{region}}",
        # Mixpanel's own limit must not be what is measured.
        "INGEST_EVENTS_PER_MINUTE": str(10**12),
        "INGEST_BYTES_PER_MINUTE": str(10**15),
        "LOG_LEVEL": "WARNING",
    }


def made_up_secrets() -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(60),
        "ENCRYPTION_KEYS": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def fill() -> dict[str, str]:
    """Needs Django to be set up."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command
    from django.urls import reverse

    from mixadmin.accounts.actions import create_user
    from mixadmin.common.clock import db_now
    from mixadmin.common.crypto import Secret
    from mixadmin.jobs.models import Job
    from mixadmin.projects.models import Membership, Project
    from mixadmin.service_accounts.models import ServiceAccount

    call_command("migrate", verbosity=0)
    user = create_user(
        username="bench", password=secrets.token_urlsafe(20), superuser=True
    )
    # Rows, not actions: those would ask Mixpanel about each of them.
    account = ServiceAccount.objects.create(
        username="bench.mp-service-account",
        secret=Secret(secrets.token_urlsafe(20)),
        region="us",
        organization_id=1,
        owner=user,
    )
    projects = [
        Project.objects.create(
            name=f"Bench {n}",
            mixpanel_id=MIXPANEL_ID + n,
            region="us",
            token=Secret(secrets.token_hex(16)),
            service_account=account,
            verification=Project.Verification.WORKS,
        )
        for n in range(PROJECTS)
    ]
    for project in projects:
        Membership.objects.create(project=project, user=user, role="editor")
    now = db_now()
    Job.objects.bulk_create(
        Job(
            project=projects[n % PROJECTS],
            task="warehouse.create_import",
            op="non_idempotent",
            title=f"Create import {n}",
            state=Job.State.SUCCEEDED,
            created_at=now,
            run_after=now,
            deadline_at=now,
        )
        for n in range(JOBS)
    )
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    assert session.session_key is not None
    return {"session": session.session_key, "list": reverse("jobs:list")}


def main() -> None:
    import django

    os.umask(0o077)
    django.setup()
    print(json.dumps(fill()))


if __name__ == "__main__":
    main()
