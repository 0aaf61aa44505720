"""What an installation on one machine keeps in its data directory, and where.

Needs neither Django nor settings, because settings.py reads what is made here.
`python -m mixadmin.common.local` makes the keys; running it again changes nothing.
"""

import hashlib
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# The kernel takes at most 107 bytes for the path of a unix socket (103 on macOS).
LONGEST_SOCKET_PATH = 100

# Says that the data directory belongs to a sandbox, and where that is.
SANDBOX_ENV = "sandbox.env"

HEADER = """\
# Made for this installation by `python -m mixadmin.common.local`. Keep it: without
# ENCRYPTION_KEYS the stored secrets cannot be opened. The environment wins over it.
"""


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """MIXADMIN_DATA_DIR as an absolute path; `var/` beside manage.py if not given."""
    return Path(environ.get("MIXADMIN_DATA_DIR") or BASE_DIR / "var").resolve()


def read_env_file(path: Path) -> dict[str, str]:
    """NAME=value lines of a file, {} where there is none. `#` starts a comment line."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line and line[:1] != "#")
    return {name.strip(): value.strip() for name, value in pairs}


def make_local_env(folder: Path) -> dict[str, str]:
    """Complete `local.env` in a data directory and return everything it holds.

    Names that the file already has keep their values, whatever they are. The file is
    readable by its owner only and is replaced in one step, so that a start that was cut
    short leaves either the old file or the new one.
    """
    from cryptography.fernet import Fernet

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    path = folder / "local.env"
    kept = read_env_file(path)
    made = {
        "SECRET_KEY": secrets.token_urlsafe(64),
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "BEHIND_TLS": "0",
        "DEMO_PASSWORD": secrets.token_urlsafe(12),
    }
    missing = {name: value for name, value in made.items() if name not in kept}
    if missing:
        text = path.read_text(encoding="utf-8").rstrip("\n") if kept else HEADER.strip()
        text += "".join(f"\n{name}={value}" for name, value in missing.items()) + "\n"
        handle, draft = tempfile.mkstemp(dir=folder, prefix="local.env.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    path.chmod(0o600)
    return kept | missing


def broker_socket(folder: Path) -> Path:
    """Where the embedded broker of a data directory listens.

    Inside the directory, or, where that path is too long for a socket, in a folder of
    the same user under /tmp that is named after it. Not under TMPDIR: every process
    must find the same place, whatever its environment.
    """
    path = folder / "broker" / "broker.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(f"/tmp/mixadmin-{os.getuid()}-{name}/broker.sock")  # noqa: S108


def broker_url(folder: Path) -> str:
    """The REDIS_URL of the embedded broker of a data directory."""
    return f"redis+socket://{broker_socket(folder)}"


def make_broker_dir(folder: Path) -> Path:
    """Make the folder of the broker's socket, which only its owner may enter.

    Raises PermissionError if it is a link or somebody else's: a path under /tmp may
    have been taken before us.
    """
    place = broker_socket(folder).parent
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != os.getuid():
        raise PermissionError(f"{place} is not a folder of this user.")
    place.chmod(0o700)
    return place


def main() -> None:
    folder = data_dir()
    existed = (folder / "local.env").exists()
    make_local_env(folder)
    sys.stdout.write(f"{'Found' if existed else 'Made'} {folder / 'local.env'}\n")


if __name__ == "__main__":
    main()
