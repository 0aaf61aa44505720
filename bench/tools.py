"""What is compared, and how each of them is got and started."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import project
from bench.measure import ROOT, WORK, NotPossible

COMPETITORS = ROOT / "bench" / "competitors"
NODE_MODULES = WORK / "node" / "node_modules"
UTILS_PYTHON = WORK / "utils" / "bin" / "python"
INSTALLATION = WORK / "installation"
MANAGE = str(ROOT / "manage.py")

Command = Callable[[Path, str], list[str]]


@dataclass(frozen=True, slots=True)
class Tool:
    """command: from the file and the address of the sink.
    share: of --events that it sends in one run, so that a fast and a slow tool both run
    for several seconds.
    needs: the preparation in PREPARE.
    sends: False for what only reads the file.
    """

    slug: str
    label: str
    command: Command
    needs: str = ""
    share: float = 1.0
    delay_ms: int = 0
    sends: bool = True
    by_default: bool = True
    suffix: str = ".ndjson"
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return self.needs == "ingest_file"


def ingest(processes: int) -> Command:
    return lambda file, sink: [
        *(sys.executable, MANAGE, "ingest_file", str(project.MIXPANEL_ID), str(file)),
        *("--kind", "events", "--processes", str(processes), "--json"),
    ]


def check(file: Path, sink: str) -> list[str]:
    return [
        sys.executable,
        MANAGE,
        "check_file",
        str(file),
        "--kind",
        "events",
        "--json",
    ]


def mixpanel_import(*options: str) -> Command:
    return lambda file, sink: [
        *("node", "--require", str(COMPETITORS / "redirect.cjs")),
        *(str(COMPETITORS / "mixpanel_import.cjs"), str(file), *options),
    ]


def plain_loop(level: int) -> Command:
    script = str(COMPETITORS / "plain_loop.py")
    return lambda file, sink: [sys.executable, script, str(file), sink, str(level)]


def mixpanel_utils(file: Path, sink: str) -> list[str]:
    script = str(COMPETITORS / "mixpanel_utils_import.py")
    return [str(UTILS_PYTHON), script, str(file), sink]


def floor(file: Path, sink: str) -> list[str]:
    return [sys.executable, "-m", "bench.floor", str(file), sink]


FAST = 10 / 3
TOOLS = {
    tool.slug: tool
    for tool in (
        Tool("ours", "mixadmin", ingest(1), "ingest_file", FAST),
        Tool("ours-2", "mixadmin, 2 processes", ingest(2), "ingest_file", FAST),
        Tool(
            "ours-delay",
            "mixadmin, answers after 150 ms",
            ingest(1),
            "ingest_file",
            FAST,
            delay_ms=150,
        ),
        Tool(
            "ours-gz",
            "mixadmin, from a .gz file",
            ingest(1),
            "ingest_file",
            FAST,
            suffix=".ndjson.gz",
            by_default=False,
        ),
        Tool(
            "check",
            "check_file (sends nothing)",
            check,
            "check_file",
            FAST,
            sends=False,
        ),
        Tool("floor", "read, gzip, send, syntax check", floor, share=FAST),
        Tool(
            "import",
            "mixpanel-import, highWater 65536",
            mixpanel_import("65536"),
            "mixpanel-import",
        ),
        Tool(
            "import-shipped",
            "mixpanel-import as shipped",
            mixpanel_import(),
            "mixpanel-import",
            0.15,
        ),
        Tool("loop-9", "json + gzip 9 + requests", plain_loop(9), share=1 / 3),
        Tool("loop-6", "json + gzip 6 + requests", plain_loop(6), share=1 / 3),
        Tool("utils", "mixpanel-utils", mixpanel_utils, "mixpanel-utils", 0.5),
    )
}


# --- Preparations: each tells the version of what it made ready -----------------------


def _run(
    command: list[str], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env)
    if done.returncode:
        tail = (done.stderr or done.stdout).strip().splitlines()[-4:]
        raise NotPossible(f"{' '.join(command[:3])} … failed: " + " ".join(tail))
    return done.stdout


def install_mixpanel_import() -> str:
    """Into .bench/node, once for each version that package.json asks for."""
    wanted = json.loads((COMPETITORS / "package.json").read_text())["dependencies"]
    installed = NODE_MODULES / "mixpanel-import" / "package.json"
    version = wanted["mixpanel-import"]
    if (
        not installed.exists()
        or json.loads(installed.read_text())["version"] != version
    ):
        if not shutil.which("npm"):
            raise NotPossible("npm is not there; Node 20 or later brings it.")
        NODE_MODULES.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(COMPETITORS / "package.json", NODE_MODULES.parent)
        _run(
            [
                *("npm", "install", "--no-package-lock", "--no-audit", "--no-fund"),
                *("--ignore-scripts", "--omit=dev", "--loglevel=error"),
            ],
            cwd=NODE_MODULES.parent,
        )
    return f"{version}, Node {_run(['node', '--version']).strip().lstrip('v')}"


def install_mixpanel_utils() -> str:
    """Into a virtual environment of its own."""
    wanted = (COMPETITORS / "requirements.txt").read_text().strip()
    noted = WORK / "utils" / "installed"
    if not noted.exists() or noted.read_text() != wanted:
        _run([sys.executable, "-m", "venv", "--clear", str(WORK / "utils")])
        _run(
            [
                *(str(UTILS_PYTHON), "-m", "pip", "install", "--quiet"),
                *("--disable-pip-version-check", wanted),
            ]
        )
        noted.write_text(wanted)
    return wanted.partition("==")[2]


def _has_command(name: str) -> str:
    command = ROOT / "mixadmin" / "ingestion" / "management" / "commands" / f"{name}.py"
    if not command.exists():
        raise NotPossible(f"manage.py {name} is not there.")
    return ""


def make_installation() -> str:
    """A database with a project in it; every measured run gets a copy of its own."""
    _has_command("ingest_file")
    shutil.rmtree(INSTALLATION, ignore_errors=True)
    INSTALLATION.mkdir(parents=True, mode=0o700)
    fill_installation(INSTALLATION)
    return ""


def fill_installation(folder: Path) -> dict[str, str]:
    """Make the database and note its keys, for `installation`."""
    keys = project.made_up_secrets()
    env = project.environment(folder, "http://127.0.0.1:9") | keys
    told = _run(
        [sys.executable, "-m", "bench.project"], env={**os.environ, **env}, cwd=ROOT
    )
    known: dict[str, str] = json.loads(told.splitlines()[-1])
    (folder / "known.json").write_text(json.dumps(known))
    (folder / "keys.json").write_text(json.dumps(keys))
    return known


def installation(folder: Path, sink_url: str) -> dict[str, str]:
    """Copy it to `folder`; the environment of commands that use the copy."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(INSTALLATION, folder)
    keys: dict[str, str] = json.loads((folder / "keys.json").read_text())
    return project.environment(folder, sink_url) | keys


PREPARE: dict[str, Callable[[], str]] = {
    "": lambda: "",
    "ingest_file": make_installation,
    "check_file": lambda: _has_command("check_file"),
    "mixpanel-import": install_mixpanel_import,
    "mixpanel-utils": install_mixpanel_utils,
}


def prepare(tools: Iterable[Tool]) -> tuple[dict[str, str], dict[str, str]]:
    """({need: version}, {need: why it cannot be had}), each need looked at once."""
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for need in {tool.needs: None for tool in tools}:
        try:
            versions[need] = PREPARE[need]()
        except (NotPossible, OSError) as error:
            missing[need] = str(error)
    return versions, missing
