"""All state: one SQLite database, folders for buckets, one database per warehouse.

Everything is written inside one transaction per call and committed before the answer
leaves, so a killed sandbox goes on where it was. SQLite needs no fsync for that: what
a dead process wrote stays with the operating system.
"""

import json
import re
import shutil
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixadmin.sandbox.switches import SWITCHES
from mixadmin.sandbox.wire import Json

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS docs (
  kind TEXT, id TEXT, project_id INTEGER, body TEXT, PRIMARY KEY (kind, id));
CREATE INDEX IF NOT EXISTS docs_project ON docs (kind, project_id);
CREATE TABLE IF NOT EXISTS runs (
  n INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT, owner_id TEXT, status TEXT,
  body TEXT);
CREATE INDEX IF NOT EXISTS runs_owner ON runs (owner, owner_id, n);
CREATE TABLE IF NOT EXISTS due (
  n INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, kind TEXT, id TEXT, body TEXT);
CREATE INDEX IF NOT EXISTS due_at ON due (at);
CREATE TABLE IF NOT EXISTS calls (
  n INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, method TEXT, path TEXT, query TEXT,
  region TEXT, host TEXT, status INTEGER, request_id TEXT, mp_request_id TEXT,
  body TEXT, username TEXT, fault TEXT, effect TEXT);
CREATE TABLE IF NOT EXISTS faults (
  n INTEGER PRIMARY KEY AUTOINCREMENT, method TEXT, path TEXT, kind TEXT,
  times INTEGER, after INTEGER, args TEXT);
CREATE TABLE IF NOT EXISTS budget (key TEXT, at REAL, amount INTEGER);
CREATE INDEX IF NOT EXISTS budget_key ON budget (key, at);
CREATE TABLE IF NOT EXISTS events (
  n INTEGER PRIMARY KEY AUTOINCREMENT, project_id INTEGER, event TEXT,
  distinct_id TEXT, time INTEGER, insert_id TEXT, import_id INTEGER, body TEXT);
CREATE INDEX IF NOT EXISTS events_project ON events (project_id, n);
CREATE INDEX IF NOT EXISTS events_import ON events (import_id);
CREATE TABLE IF NOT EXISTS profiles (
  project_id INTEGER, group_key TEXT, id TEXT, body TEXT,
  PRIMARY KEY (project_id, group_key, id));
CREATE TABLE IF NOT EXISTS mirror_rows (
  import_id INTEGER, hash TEXT, row_number INTEGER, target TEXT,
  PRIMARY KEY (import_id, hash));
CREATE TABLE IF NOT EXISTS blobs (id TEXT PRIMARY KEY, data BLOB);
CREATE TABLE IF NOT EXISTS schemas (
  project_id INTEGER, entity_type TEXT, name TEXT, body TEXT,
  PRIMARY KEY (project_id, entity_type, name));
"""
EMPTIED = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", TABLES)

DueHandler = Callable[["World", str, Json], None]


class World:
    """The state that every handler works on. Callers hold `lock` throughout."""

    def __init__(self, data_dir: Path, speed: float | None = None) -> None:
        self.data_dir = data_dir
        self.buckets = data_dir / "buckets"
        self.warehouse = data_dir / "warehouse"
        for folder in (data_dir, self.buckets, self.warehouse):
            folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self.handlers: dict[str, DueHandler] = {}
        self.readers: dict[int, Any] = {}
        self.recent: dict[str, list[tuple[float, int, int]]] = {}
        self._moment: float | None = None
        self.resets = 0
        self.db = sqlite3.connect(
            data_dir / "sandbox.sqlite3", check_same_thread=False, isolation_level=None
        )
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.executescript(TABLES)
        self._load_meta()
        if speed is not None and speed != self.switches["speed"]:
            self.switch({"speed": speed})

    def _load_meta(self) -> None:
        self.switches = {**SWITCHES, **self.meta("switches", {})}
        self.offset = float(self.meta("offset", 0.0))
        self.frozen: float | None = self.meta("frozen", None)

    def close(self) -> None:
        with self.lock:
            self.db.close()

    # -- transactions and time

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nested uses join the outer one."""
        with self.lock:
            if self.db.in_transaction:
                yield
                return
            self.db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")

    def now(self) -> float:
        """The sandbox's clock: unix seconds, moved forward by `advance`.

        While something that was due is carried out, this is the moment it was due,
        so that catching up after a pause leaves the same trace as running all along.
        """
        if self._moment is not None:
            return self._moment
        return time.time() + self.offset if self.frozen is None else self.frozen

    def freeze(self, frozen: bool) -> None:
        """Stop the clock, so that only `advance` moves it, or let it go on."""
        now = self.now()
        self.frozen = now if frozen else None
        self.offset = now - time.time()
        self.set_meta("frozen", self.frozen)
        self.set_meta("offset", self.offset)

    def seconds(self, simulated: float) -> float:
        """How long that many simulated seconds take on the sandbox's clock."""
        return float(simulated) / max(float(self.switches["speed"]), 1e-9)

    def advance(self, seconds: float) -> None:
        with self.transaction():
            self.offset += seconds
            self.set_meta("offset", self.offset)
            if self.frozen is not None:
                self.frozen += seconds
                self.set_meta("frozen", self.frozen)
        self.settle(patient=True)

    def at(self, when: float, kind: str, id: int | str, body: Json) -> None:
        """Have `handlers[kind]` called with this id and body at that moment."""
        self.db.execute(
            "INSERT INTO due (at, kind, id, body) VALUES (?, ?, ?, ?)",
            (when, kind, str(id), json.dumps(body)),
        )

    def cancel_due(self, kind: str, id: int | str) -> None:
        self.db.execute("DELETE FROM due WHERE kind = ? AND id = ?", (kind, str(id)))

    def is_due(self, kind: str, id: int | str) -> bool:
        found = self.db.execute(
            "SELECT 1 FROM due WHERE kind = ? AND id = ? LIMIT 1", (kind, str(id))
        )
        return found.fetchone() is not None

    def settle(self, patient: bool = False) -> None:
        """Carry out what is due, in order of time.

        Without patience it stops after 50 ms: a call must not wait for the import of
        a big file that happens to be going on.
        """
        with self.lock:
            now = self.now()
            stop = time.monotonic() + 0.05
            while patient or time.monotonic() < stop:
                found = self.db.execute(
                    "SELECT n, at, kind, id, body FROM due WHERE at <= ?"
                    " ORDER BY at, n LIMIT 1",
                    (now,),
                ).fetchone()
                if found is None:
                    return
                n, at, kind, id, body = found
                self._moment = at
                try:
                    with self.transaction():
                        self.db.execute("DELETE FROM due WHERE n = ?", (n,))
                        self.handlers[kind](self, id, json.loads(body))
                except Exception:  # one bad item must not stop all others
                    traceback.print_exc()
                    self.db.execute("DELETE FROM due WHERE n = ?", (n,))
                finally:
                    self._moment = None

    # -- small things

    def meta(self, key: str, default: Any) -> Any:
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])

    def set_meta(self, key: str, value: Any) -> None:
        self.db.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value))
        )

    def next_id(self, name: str, start: int) -> int:
        value = int(self.meta(f"next {name}", start))
        self.set_meta(f"next {name}", value + 1)
        return value

    def switch(self, changes: Json) -> Json:
        unknown = sorted(set(changes) - set(SWITCHES))
        if unknown:
            raise ValueError(f"no such switch: {', '.join(unknown)}")
        with self.transaction():
            self.set_meta("switches", {**self.meta("switches", {}), **changes})
            self.switches = {**SWITCHES, **self.meta("switches", {})}
        return self.switches

    # -- documents: what the APIs give out, one JSON body each

    def get(self, kind: str, id: int | str) -> Json | None:
        row = self.db.execute(
            "SELECT body FROM docs WHERE kind = ? AND id = ?", (kind, str(id))
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, kind: str, id: int | str, body: Json, project_id: int = 0) -> None:
        self.db.execute(
            "INSERT INTO docs VALUES (?, ?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
            (kind, str(id), project_id, json.dumps(body)),
        )

    def drop(self, kind: str, id: int | str) -> None:
        self.db.execute("DELETE FROM docs WHERE kind = ? AND id = ?", (kind, str(id)))

    def find(self, kind: str, project_id: int | None = None) -> list[Json]:
        """Documents of one kind, oldest first."""
        sql = "SELECT body FROM docs WHERE kind = ?"
        args: list[Any] = [kind]
        if project_id is not None:
            sql += " AND project_id = ?"
            args.append(project_id)
        return [
            json.loads(row[0]) for row in self.db.execute(sql + " ORDER BY rowid", args)
        ]

    # -- runs, of imports and of connectors

    def add_run(self, owner: str, owner_id: int | str, status: str, body: Json) -> int:
        cursor = self.db.execute(
            "INSERT INTO runs (owner, owner_id, status, body) VALUES (?, ?, ?, ?)",
            (owner, str(owner_id), status, json.dumps(body)),
        )
        return int(cursor.lastrowid or 0)

    def run(self, n: int) -> tuple[str, Json] | None:
        row = self.db.execute(
            "SELECT status, body FROM runs WHERE n = ?", (n,)
        ).fetchone()
        return None if row is None else (row[0], json.loads(row[1]))

    def save_run(self, n: int, status: str, body: Json) -> None:
        self.db.execute(
            "UPDATE runs SET status = ?, body = ? WHERE n = ?",
            (status, json.dumps(body), n),
        )

    def runs(
        self, owner: str, owner_id: int | str, limit: int = -1
    ) -> list[tuple[int, str, Json]]:
        """Newest first."""
        rows = self.db.execute(
            "SELECT n, status, body FROM runs WHERE owner = ? AND owner_id = ?"
            " ORDER BY n DESC LIMIT ?",
            (owner, str(owner_id), limit),
        )
        return [(n, status, json.loads(body)) for n, status, body in rows]

    # -- rolling budgets, kept over a restart

    def spend(self, key: str, window: float, limit: int, amount: int = 1) -> bool:
        """Take `amount` from a rolling window; False (and nothing taken) if over."""
        now = self.now()
        self.db.execute(
            "DELETE FROM budget WHERE key = ? AND at <= ?", (key, now - window)
        )
        used = self.db.execute(
            "SELECT COALESCE(SUM(amount), 0) FROM budget WHERE key = ?", (key,)
        ).fetchone()[0]
        if used + amount > limit:
            return False
        self.db.execute("INSERT INTO budget VALUES (?, ?, ?)", (key, now, amount))
        return True

    # -- files

    def database(self, name: str | int) -> Path:
        """The SQLite file of a warehouse; the name cannot lead out of the folder."""
        safe = re.sub(r"[^A-Za-z0-9_.-]", "_", str(name)).lstrip(".")[:120]
        return self.warehouse / f"{safe or '_'}.sqlite3"

    def bucket(self, name: str) -> Path | None:
        """The folder of a bucket that exists, None for any other name."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,221}", name):
            return None
        folder = self.buckets / name
        return folder if folder.is_dir() else None

    def reset(self) -> None:
        """Empty everything: rows, files, switches, faults and the ledger."""
        with self.lock:
            self.resets += 1
            for table in EMPTIED:
                self.db.execute(f"DELETE FROM {table}")  # noqa: S608
            self.db.execute("DELETE FROM sqlite_sequence")
            self.readers.clear()
            self.recent.clear()
            speed = self.switches["speed"]
            self._load_meta()
            self.switch({"speed": speed})
            for folder in (self.buckets, self.warehouse):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True, exist_ok=True)
