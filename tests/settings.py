"""The product's settings with what a test must have: keys, a tiny clock, no cost."""

import atexit
import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="mixadmin-tests-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ.setdefault("DEBUG", "1")
os.environ.setdefault("SECRET_KEY", "k" * 60)
os.environ.setdefault("ENCRYPTION_KEYS", "tj1GDFBqfo3RyqtmWmtTRGOxcwkU5opS6h5OvdgGQPM=")
# Each process that runs tests has files of its own; those that a test starts share them.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
if os.environ.get("MIXADMIN_TESTS_OF") != _worker:
    os.environ |= {"MIXADMIN_TESTS_OF": _worker, "MIXADMIN_DATA_DIR": _folder}
# An existing, empty one: the tests serve files from where they are.
os.environ.setdefault("STATIC_ROOT", _folder)
os.environ.setdefault("MIXADMIN_TIME_SCALE", "0.01")
os.environ.setdefault("MIXPANEL_APP_URL", "http://127.0.0.1:9/{region}/api/app")
os.environ.setdefault("MIXPANEL_INGESTION_URL", "http://127.0.0.1:9/{region}")

from mixadmin.settings import *  # noqa: E402, F403

DEBUG = False
ALLOWED_HOSTS = ["testserver", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
BROKER_IS_SILENT = True
if "sqlite" in DATABASES["default"]["ENGINE"]:  # noqa: F405
    # A file, as in the product: threads that share a database in memory take no turns.
    DATABASES["default"]["TEST"] = {"NAME": f"{_folder}/test.sqlite3"}  # noqa: F405
