"""The page about the sandbox names everything that can be asked of it."""

import json
import re
from pathlib import Path

from mixadmin.sandbox import faults
from mixadmin.sandbox.commands import COMMANDS
from mixadmin.sandbox.control import Controls
from mixadmin.sandbox.switches import SWITCHES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sandbox.md").read_text()


def table(heading):
    """First column -> second column of the table under a heading."""
    part = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", part, re.MULTILINE))


def test_every_switch_is_listed_with_its_default():
    listed = {name: json.loads(default) for name, default in table("Switches").items()}
    assert listed == SWITCHES


def test_every_fault_is_listed_with_its_default():
    words = {True: "after", False: "before"}
    expected = {kind: words[after] for kind, after in faults.KINDS.items()}
    assert table("Faults") == {**expected, "late": "–"}


def test_every_command_is_listed_and_has_a_method():
    methods = {name for name in vars(Controls) if not name.startswith("_")}
    assert methods == {*COMMANDS, "reset", "advance"}
    listed = PAGE.split("| Commands | |")[1].split("\n\n")[0]
    assert methods <= set(re.findall(r"`(\w+)`", listed))
