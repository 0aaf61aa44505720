"""The keys and places of an installation on one machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from mixadmin.common.local import (
    LONGEST_SOCKET_PATH,
    broker_socket,
    broker_url,
    data_dir,
    make_broker_dir,
    make_local_env,
    read_env_file,
)

ROOT = Path(__file__).resolve().parents[2]


def mode(path):
    return path.stat().st_mode & 0o777


def test_keys_are_made_once_for_the_owner_only(tmp_path):
    folder = tmp_path / "data"
    first = make_local_env(folder)
    assert mode(folder) == 0o700
    assert mode(folder / "local.env") == 0o600
    assert first == read_env_file(folder / "local.env")
    assert first["ALLOWED_HOSTS"] == "127.0.0.1,localhost"
    assert first["BEHIND_TLS"] == "0"
    assert len(first["SECRET_KEY"]) >= 50
    assert len(first["DEMO_PASSWORD"]) >= 12
    Fernet(first["ENCRYPTION_KEYS"])

    assert make_local_env(folder) == first
    assert [path.name for path in folder.iterdir()] == ["local.env"]


def test_two_installations_have_nothing_in_common(tmp_path):
    one, two = make_local_env(tmp_path / "one"), make_local_env(tmp_path / "two")
    for name in ("SECRET_KEY", "ENCRYPTION_KEYS", "DEMO_PASSWORD"):
        assert one[name] != two[name]


def test_what_a_person_wrote_stays_and_what_is_missing_is_added(tmp_path):
    (tmp_path / "local.env").write_text("# mine\nSECRET_KEY=short\nBEHIND_TLS=1\n")
    made = make_local_env(tmp_path)
    assert made["SECRET_KEY"] == "short"
    assert made["BEHIND_TLS"] == "1"
    text = (tmp_path / "local.env").read_text()
    assert text.startswith("# mine\nSECRET_KEY=short\nBEHIND_TLS=1\nENCRYPTION_KEYS=")
    assert mode(tmp_path / "local.env") == 0o600


def test_the_command_makes_the_file_and_then_leaves_it(tmp_path):
    def run():
        return subprocess.run(
            [sys.executable, "-m", "mixadmin.common.local"],
            cwd=ROOT,
            env={"MIXADMIN_DATA_DIR": str(tmp_path / "data")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    path = tmp_path / "data" / "local.env"
    assert run() == f"Made {path}\n"
    text = path.read_text()
    assert run() == f"Found {path}\n"
    assert path.read_text() == text


def test_the_data_directory_is_absolute_and_empty_means_not_given(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert data_dir({"MIXADMIN_DATA_DIR": "here"}) == tmp_path.resolve() / "here"
    assert data_dir({"MIXADMIN_DATA_DIR": ""}) == ROOT / "var"
    assert data_dir({}) == ROOT / "var"


def test_the_broker_listens_in_the_data_directory():
    folder = Path("/srv/mixadmin")
    assert broker_socket(folder) == folder / "broker" / "broker.sock"
    assert broker_url(folder) == "redis+socket:///srv/mixadmin/broker/broker.sock"


def test_a_long_path_gets_a_short_socket_of_its_own(tmp_path):
    long, other = (tmp_path / (letter * 120) for letter in "ab")
    path = broker_socket(long)
    assert len(os.fsencode(path)) <= LONGEST_SOCKET_PATH
    assert path == broker_socket(long)
    assert path != broker_socket(other)


def test_the_socket_folder_is_the_owners_and_never_a_link(tmp_path):
    long = tmp_path / ("x" * 120)
    place = make_broker_dir(long)
    try:
        assert mode(place) == 0o700
        place.rmdir()
        place.symlink_to(tmp_path)
        with pytest.raises(PermissionError, match="is not a folder of this user"):
            make_broker_dir(long)
        place.unlink()
    finally:
        if place.is_dir() and not place.is_symlink():
            place.rmdir()
        else:
            place.unlink(missing_ok=True)
