"""What the container files promise, read from the files: no engine is needed."""

import fnmatch
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SECRETS = {"SECRET_KEY", "ENCRYPTION_KEYS", "POSTGRES_PASSWORD", "REDIS_PASSWORD"}
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)(:?[-?])?")


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def dockerfile():
    return (ROOT / "Dockerfile").read_text()


def test_the_services_are_those_of_the_product(compose):
    assert set(compose["services"]) == {
        *("web", "worker", "sender", "beat", "migrate", "sandbox", "postgres", "redis")
    }
    assert [n for n, s in compose["services"].items() if "profiles" in s] == ["sandbox"]


def test_no_secret_has_a_default_and_a_missing_one_stops_the_start():
    found = VARIABLE.findall((ROOT / "docker-compose.yml").read_text())
    assert {name for name, rule in found if rule == ":?"} == SECRETS | {"ALLOWED_HOSTS"}
    assert not [name for name, rule in found if name in SECRETS and rule != ":?"]


def test_every_variable_is_in_the_example():
    example = (ROOT / ".env.example").read_text()
    used = VARIABLE.findall((ROOT / "docker-compose.yml").read_text())
    assert [name for name, _ in used if f"\n{name}=" not in example] == []


def test_work_starts_after_the_migrations(compose):
    for name in ("web", "worker", "sender", "beat"):
        after = compose["services"][name]["depends_on"]
        assert after["migrate"] == {"condition": "service_completed_successfully"}
    assert compose["services"]["migrate"]["restart"] == "no"


def test_every_queue_has_a_listener(compose, settings):
    from mixadmin.celery import app

    queues = {app.conf.task_default_queue}
    queues |= {route["queue"] for route in app.conf.task_routes.values()}
    source = (ROOT / "mixadmin" / "common" / "stack.py").read_text()
    heard = set()
    for name in ("worker", "sender"):
        command = compose["services"][name]["command"]
        listens = command[command.index("-Q") + 1]
        assert f'"-Q", "{listens}"' in source
        heard |= set(listens.split(","))
    assert heard == queues


def test_only_the_web_is_reachable_and_only_from_this_host(compose):
    ports = {n: s["ports"] for n, s in compose["services"].items() if "ports" in s}
    assert ports == {"web": ["127.0.0.1:${WEB_PORT:-8000}:8000"]}


def test_the_image_runs_as_nobody_special_with_checked_packages(dockerfile):
    lines = dockerfile.splitlines()
    assert "USER mixadmin" in lines
    assert lines.index("USER mixadmin") < next(
        n for n, line in enumerate(lines) if line.startswith("CMD")
    )
    assert "--require-hashes -r requirements.txt" in dockerfile
    assert "requirements-dev" not in dockerfile
    assert not SECRETS & set(re.findall(r"[A-Z_]+", dockerfile))


def test_the_image_holds_what_it_copies_and_never_keys_or_data(dockerfile):
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    assert ignored[1] == "*"
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for name in line.split():
            assert (ROOT / name).exists(), name
            assert name in allowed
    for name in (".env", "var", ".git", ".venv", "tests"):
        assert not [rule for rule in allowed if fnmatch.fnmatch(name, rule)]
