"""A lookup table that the sandbox has, and what people do with it."""

import io

import pytest

from mixadmin.lookups.actions import upload_version
from mixadmin.lookups.models import LookupTable
from tests import make

OLD = b"sku,title,price\n1,Hat,5\n2,Cap,6\n3,Cup,7\n"


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    """Files of one test are not those of another with the same numbers."""
    settings.DATA_DIR = tmp_path


@pytest.fixture
def table(project, sandbox, poll):
    """As the poll found it; Mixpanel has other rows in it than any version of ours."""
    sandbox.add_lookup_table(make.MIXPANEL_ID, "skus", csv="sku,title\n9,Before\n")
    poll(project)
    return LookupTable.objects.select_related("project").get()


@pytest.fixture
def upload(table, owner):
    def upload(data, **options):
        return upload_version(
            table=table, actor=owner, file=io.BytesIO(data), **options
        )

    return upload


@pytest.fixture
def checked(upload, run_due_jobs):
    """Call it with a CSV to get its version after the check."""

    def checked(data, **options):
        version, _ = upload(data, **options)
        run_due_jobs()
        version.refresh_from_db()
        return version

    return checked


@pytest.fixture
def sent(checked):
    """Call it with a clean CSV to get a version that is in Mixpanel."""
    return lambda data: checked(data, send_when_clean=True)


@pytest.fixture
def at_mixpanel(sandbox):
    """Call it for the rows that Mixpanel has now."""
    return lambda: sandbox.lookup_tables(make.MIXPANEL_ID)[0]["rows"]
