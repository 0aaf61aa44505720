"""The control of a sandbox: make things, ask for faults, look at the truth.

`Controls` names every command once. In-process `Sandbox` carries them out directly;
from another process `Control` sends the same commands to the control URL.
"""

import base64
import contextlib
import json
import urllib.error
import urllib.request
from typing import Any

from mixadmin.sandbox.wire import Json


class ControlError(Exception):
    """The sandbox refused a control command; the text says why."""


class Controls:
    def _command(self, name: str, /, **args: Any) -> Any:
        raise NotImplementedError

    def reset(self) -> None:
        """Empty everything: objects, files, switches, faults, clock and ledger."""
        self._command("reset")

    # -- things that exist

    def add_organization(self, id: int, name: str) -> None:
        self._command("add_organization", id=id, name=name)

    def add_project(
        self,
        id: int,
        name: str,
        region: str = "us",
        organization_id: int = 1,
        token: str = "",
        identity: str = "simplified",
        connectors: str = "open",
        b2b: bool = False,
        group_keys: list[str] | None = None,
    ) -> str:
        """A project; its organization is made when it is missing. Gives its token."""
        return str(
            self._command(
                "add_project",
                id=id,
                name=name,
                region=region,
                organization_id=organization_id,
                token=token,
                identity=identity,
                connectors=connectors,
                b2b=b2b,
                group_keys=group_keys or [],
            )
        )

    def add_service_account(
        self,
        username: str,
        secret: str,
        organization_id: int = 1,
        role: str = "admin",
        projects: dict[int, str] | None = None,
        expires_at: Any = None,
        region: str = "us",
    ) -> int:
        """A service account with exactly this username. Gives its id.

        `projects` maps project ids to roles; None means every project of the
        organization with `role`, an empty dict none. `expires_at` is unix seconds,
        an ISO 8601 text, a datetime or None.
        """
        return int(
            self._command(
                "add_service_account",
                username=username,
                secret=secret,
                organization_id=organization_id,
                role=role,
                projects=projects,
                expires_at=str(expires_at)
                if hasattr(expires_at, "isoformat")
                else expires_at,
                region=region,
            )
        )

    def expire_service_account(self, username: str) -> None:
        self._command("expire_service_account", username=username)

    def change_secret(self, username: str, secret: str) -> None:
        self._command("change_secret", username=username, secret=secret)

    def set_role(self, username: str, project_id: int, role: str | None) -> None:
        """The role in one project; None takes the account out of it."""
        self._command("set_role", username=username, project_id=project_id, role=role)

    def add_source(
        self,
        project_id: int,
        name: str,
        warehouse_type: str,
        id: int | None = None,
        **connection: Any,
    ) -> int:
        """A warehouse source that somebody else made. Gives its id."""
        return int(
            self._command(
                "add_source",
                project_id=project_id,
                name=name,
                warehouse_type=warehouse_type,
                id=id,
                connection=connection,
            )
        )

    def add_import(self, project_id: int, **fields: Any) -> int:
        """An import that somebody else made; any field, nothing is checked.

        Defaults: an hourly `full_sync` of table `events` of the project's first source
        into events named `Event`, with the times of column `time`.
        """
        return int(self._command("add_import", project_id=project_id, fields=fields))

    def set_import(self, project_id: int, import_id: int, **changes: Any) -> None:
        """Change an import behind everybody's back, e.g. `paused=True`."""
        self._command(
            "set_import", project_id=project_id, import_id=import_id, changes=changes
        )

    def drop_import(
        self, project_id: int, import_id: int, delete_data: bool = False
    ) -> None:
        self._command(
            "drop_import",
            project_id=project_id,
            import_id=import_id,
            delete_data=delete_data,
        )

    def add_connector(self, project_id: int, **fields: Any) -> str:
        """A connector that somebody else made; any field, nothing is checked."""
        return str(self._command("add_connector", project_id=project_id, fields=fields))

    def add_lookup_table(
        self, project_id: int, name: str, id: str | None = None, csv: str = ""
    ) -> str:
        """A lookup table made in Mixpanel's own pages. Gives its uuid."""
        return str(
            self._command(
                "add_lookup_table", project_id=project_id, name=name, id=id, csv=csv
            )
        )

    # -- buckets and warehouses

    def add_bucket(self, bucket: str) -> None:
        """An empty bucket."""
        self._command("add_bucket", bucket=bucket)

    def put_file(self, bucket: str, path: str, data: bytes) -> None:
        """An object in a bucket; the bucket is made when it is missing."""
        self._command(
            "put_file", bucket=bucket, path=path, data=base64.b64encode(data).decode()
        )

    def make_table(
        self,
        source: int | str,
        table: str,
        columns: dict[str, str],
        rows: list[Json] | None = None,
    ) -> None:
        """A table (replacing one of that name) in the database of a source.

        `source` is a source's id or name, or any database name; `columns` maps names
        to SQLite types.
        """
        self._command(
            "make_table", source=source, table=table, columns=columns, rows=rows or []
        )

    def sql(self, database: int | str, statement: str) -> list[Json]:
        """One statement on a warehouse database. Gives the rows of a SELECT."""
        result: list[Json] = self._command(
            "sql", database=database, statement=statement
        )
        return result

    # -- faults, switches, time

    def fault(
        self,
        method: str = "",
        path: str = "",
        kind: str = "status",
        times: int = 1,
        after: int = 0,
        **args: Any,
    ) -> None:
        """Spoil the next `times` calls that match, letting `after` of them pass first.

        `path` is a regular expression searched in the path without region prefix;
        an empty method or path matches all; a negative `times` means for ever.
        """
        self._command(
            "fault",
            method=method,
            path=path,
            kind=kind,
            times=times,
            after=after,
            args=args,
        )

    def faults(self) -> list[Json]:
        """The faults that are still to come."""
        result: list[Json] = self._command("faults")
        return result

    def clear_faults(self) -> None:
        self._command("clear_faults")

    def switch(self, **switches: Any) -> Json:
        """Change switches by name; gives all of them as they are now."""
        result: Json = self._command("switch", switches=switches)
        return result

    def advance(self, seconds: float) -> None:
        """Move the clock forward and carry out everything that became due."""
        self._command("advance", seconds=seconds)

    def freeze(self, frozen: bool = True) -> None:
        """Stop the clock: from now on only `advance` moves it. False: let it go on."""
        self._command("freeze", frozen=frozen)

    def now(self) -> float:
        """The sandbox's clock, unix seconds."""
        return float(self._command("now"))

    # -- the truth

    def calls(self, method: str = "", path: str = "") -> list[Json]:
        """Every call to the stand-in, oldest first; `path` is a regular expression."""
        result: list[Json] = self._command("calls", method=method, path=path)
        return result

    def clear_calls(self) -> None:
        self._command("clear_calls")

    def objects(self, project_id: int) -> dict[str, list[Json]]:
        """Sources, imports and connectors, deleted ones flagged `is_deleted`."""
        result: dict[str, list[Json]] = self._command("objects", project_id=project_id)
        return result

    def runs(self, owner_id: int | str) -> list[Json]:
        """All runs of an import or connector, newest first, with their real error."""
        result: list[Json] = self._command("runs", owner_id=owner_id)
        return result

    def events(self, project_id: int) -> list[Json]:
        """The de-duplicated read view."""
        result: list[Json] = self._command("events", project_id=project_id)
        return result

    def raw_events(self, project_id: int) -> list[Json]:
        result: list[Json] = self._command("raw_events", project_id=project_id)
        return result

    def profiles(self, project_id: int) -> list[Json]:
        """`{"$distinct_id", "properties"}` each."""
        result: list[Json] = self._command("profiles", project_id=project_id)
        return result

    def group_profiles(self, project_id: int) -> list[Json]:
        """`{"$group_key", "$group_id", "properties"}` each."""
        result: list[Json] = self._command("group_profiles", project_id=project_id)
        return result

    def lookup_tables(self, project_id: int) -> list[Json]:
        """`{"id", "data_group_id", "name", "columns", "rows"}` each."""
        result: list[Json] = self._command("lookup_tables", project_id=project_id)
        return result


class Control(Controls):
    """Speaks to the control URL of a sandbox that runs elsewhere."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        # a proxy of the environment is never right for a loopback address
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _command(self, name: str, /, **args: Any) -> Any:
        call = urllib.request.Request(  # noqa: S310
            f"{self.url}/_sandbox/{name}",
            data=json.dumps(args).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        try:
            with self._opener.open(call, timeout=self.timeout) as answer:
                return json.load(answer)["result"]
        except urllib.error.HTTPError as exc:
            text = exc.read().decode("utf-8", "replace")
            with contextlib.suppress(ValueError, KeyError, TypeError):
                text = json.loads(text)["error"]
            raise ControlError(text) from None
