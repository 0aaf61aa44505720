"""Settings as a process meets them: from the environment, refusing what is unsafe."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GOOD = {
    "SECRET_KEY": "k" * 60,
    "ENCRYPTION_KEYS": "tj1GDFBqfo3RyqtmWmtTRGOxcwkU5opS6h5OvdgGQPM=",
    "ALLOWED_HOSTS": "mixadmin.test",
}
# Read by docker-compose.yml alone.
COMPOSE = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "WEB_PORT"}
READS = re.compile(r'\benv(?:_bool|_float|_int|_list)?\(\s*"([A-Z0-9_]+)"')
LINE = re.compile(r"^([A-Z0-9_]+)=(.*)$", re.MULTILINE)


@pytest.fixture
def start(tmp_path):
    """Import the settings in a process that has only this environment."""

    def start(show="", **changes):
        env = {"MIXADMIN_DATA_DIR": str(tmp_path), **GOOD, **changes}
        code = f"from mixadmin.settings import *; print({show or None})"
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={name: value for name, value in env.items() if value is not None},
            capture_output=True,
            text=True,
        )

    return start


def example():
    return (ROOT / ".env.example").read_text()


def test_the_example_lists_what_the_code_reads_and_nothing_else():
    read = set(READS.findall((ROOT / "mixadmin" / "settings.py").read_text()))
    assert dict(LINE.findall(example())).keys() == (
        read | COMPOSE | {"MIXADMIN_DATA_DIR"}
    )


def test_every_variable_has_its_line_of_explanation_and_its_place_in_the_docs():
    blocks = example().split("\n\n", 1)[1].strip().splitlines()
    assert all(line.startswith("# ") for line in blocks[::2])
    assert all(LINE.match(line) for line in blocks[1::2])
    docs = (ROOT / "docs" / "configuration.md").read_text()
    missing = [name for name, _ in LINE.findall(example()) if f"`{name}`" not in docs]
    assert missing == []


def test_production_starts_with_real_secrets(start):
    answer = start("DEBUG, BEHIND_TLS, SESSION_COOKIE_SECURE, SECURE_SSL_REDIRECT")
    assert answer.stderr == ""
    assert answer.stdout == "False True True True\n"


def test_the_example_itself_does_not_start(start, tmp_path):
    # Not in this checkout, where a demo may have made keys.
    values = {**dict(LINE.findall(example())), "MIXADMIN_DATA_DIR": str(tmp_path)}
    answer = start(**values)
    assert answer.returncode == 1
    assert answer.stderr == (
        "mixadmin cannot start:\n"
        "  SECRET_KEY still has the value of an example.\n"
        "  ENCRYPTION_KEYS still has the value of an example.\n"
        "  SECRET_KEY must have at least 50 characters.\n"
        "  ENCRYPTION_KEYS must be Fernet keys, separated by commas.\n"
        "  ALLOWED_HOSTS is not set.\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SECRET_KEY", None, "SECRET_KEY is not set."),
        ("SECRET_KEY", "", "SECRET_KEY is not set."),
        ("SECRET_KEY", "short", "SECRET_KEY must have at least 50 characters."),
        ("SECRET_KEY", "django-insecure-" + "x" * 50, "SECRET_KEY still has the value"),
        ("ENCRYPTION_KEYS", None, "ENCRYPTION_KEYS is not set."),
        ("ENCRYPTION_KEYS", "x" * 44, "ENCRYPTION_KEYS must be Fernet keys"),
        ("ENCRYPTION_KEYS", "ключ", "ENCRYPTION_KEYS must be Fernet keys"),
        ("ALLOWED_HOSTS", None, "ALLOWED_HOSTS is not set."),
        ("ALLOWED_HOSTS", "*", "ALLOWED_HOSTS must name hosts, not *."),
        (
            "DATABASE_URL",
            "postgres://mixadmin:change-me@db/mixadmin",
            "DATABASE_URL still has the value of an example.",
        ),
        (
            "REDIS_URL",
            "redis://:changeme@redis:6379/0",
            "REDIS_URL still has the value of an example.",
        ),
        ("DEBUG", "maybe", "DEBUG must be true or false, not 'maybe'."),
        ("MIXADMIN_TIME_SCALE", "nan", "MIXADMIN_TIME_SCALE must be a number above 0"),
        ("SECRET_KEY_FILE", "/no/such/file", "SECRET_KEY_FILE cannot be read"),
    ],
)
def test_production_refuses_to_start_and_names_the_variable(start, name, value, said):
    answer = start(**{name: value})
    assert answer.returncode == 1
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def test_a_host_named_example_is_not_an_example_password(start):
    url = "postgres://mixadmin:s3cr3t@db.example.com/mixadmin"
    assert start(DATABASE_URL=url).returncode == 0


def test_a_value_comes_from_a_file_the_environment_or_the_made_keys(start, tmp_path):
    (tmp_path / "local.env").write_text("SECRET_KEY=" + "l" * 60 + "\n")
    (tmp_path / "secret").write_text("f" * 60 + "\n")
    show = "SECRET_KEY[0]"
    assert start(show, SECRET_KEY=None).stdout == "l\n"
    assert start(show, SECRET_KEY="").stdout == "l\n"
    assert start(show).stdout == "k\n"
    assert start(show, SECRET_KEY_FILE=str(tmp_path / "secret")).stdout == "f\n"


def test_defaults_live_in_the_data_directory(start, tmp_path):
    answer = start("DATABASES['default']['NAME'], REDIS_URL")
    database, broker = answer.stdout.split()
    assert database == str(tmp_path / "mixadmin.sqlite3")
    assert broker == f"redis+socket://{tmp_path}/broker/broker.sock"


def test_development_starts_without_secrets_but_not_behind_tls(start):
    answer = start(
        "len(SECRET_KEY) >= 50, BEHIND_TLS",
        **dict.fromkeys(GOOD),
        DEBUG="1",
    )
    assert answer.stdout == "True False\n"
