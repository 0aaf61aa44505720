"""Faults are asked for over the control URL and are never random."""

import json
import re
from dataclasses import dataclass
from typing import Any

from mixadmin.sandbox.state import World
from mixadmin.sandbox.wire import Json

# kind -> whether the call takes effect unless the fault says otherwise
KINDS = {
    "status": False,
    "cut": False,
    "lost": True,
    "late": False,
    "delay": True,
    "html": False,
    "redirect": False,
    "truncate": True,
    "empty": True,
    "shape": True,
    "huge": True,
    "gzip_bomb": True,
    "dribble": True,
    "silence": False,
}


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    args: Json

    @property
    def takes_effect(self) -> bool:
        """`effect="after"`: the fault strikes after the call did its work."""
        wanted = self.args.get("effect")
        return KINDS[self.kind] if wanted is None else wanted == "after"

    def get(self, name: str, default: Any) -> Any:
        value = self.args.get(name)
        return default if value is None else value


def add(
    world: World, method: str, path: str, kind: str, times: int, after: int, args: Json
) -> None:
    if kind not in KINDS:
        raise ValueError(f"no such fault: {kind}; one of {', '.join(KINDS)}")
    if args.get("effect") not in (None, "before", "after"):
        raise ValueError("effect is 'before' or 'after'")
    if times == 0:
        raise ValueError("times: a fault that never strikes is none")
    try:
        re.compile(path)
    except re.error as exc:
        raise ValueError(f"path: {exc}") from exc
    world.db.execute(
        "INSERT INTO faults (method, path, kind, times, after, args)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (method.upper(), path, kind, times, after, json.dumps(args)),
    )


def pending(world: World) -> list[Json]:
    rows = world.db.execute(
        "SELECT n, method, path, kind, times, after, args FROM faults ORDER BY n"
    )
    names = ("n", "method", "path", "kind", "times", "after")
    return [
        {**dict(zip(names, row, strict=False)), **json.loads(row[6])} for row in rows
    ]


def take(world: World, method: str, path: str) -> Fault | None:
    """The first fault that is meant for this call, used up by it.

    A matching fault that must still let calls pass counts this one, and the next
    fault is asked.
    """
    for n, its_method, its_path, kind, times, after, args in world.db.execute(
        "SELECT n, method, path, kind, times, after, args FROM faults ORDER BY n"
    ).fetchall():
        if its_method and its_method != method:
            continue
        if its_path and not re.search(its_path, path):
            continue
        if after > 0:
            world.db.execute("UPDATE faults SET after = after - 1 WHERE n = ?", (n,))
            continue
        if times > 1:
            world.db.execute("UPDATE faults SET times = times - 1 WHERE n = ?", (n,))
        elif times >= 0:  # a negative number of times: for ever
            world.db.execute("DELETE FROM faults WHERE n = ?", (n,))
        return Fault(kind, json.loads(args))
    return None
