"""A small world for the sandbox: what a team has at Mixpanel and in its warehouse.

`python -m mixadmin.sandbox.demo URL` fills a running sandbox and prints, as one JSON
object, what its owner would know: projects, service accounts with their secrets, and
where the tables and files are. All of it is made up.
"""

import gzip
import json
import secrets
import sys
from datetime import UTC, datetime
from typing import Any

from .control import Control

ORGANIZATION = 4201
PROJECTS = (
    {"id": 3000101, "name": "Shop", "region": "us", "group_keys": ["company"]},
    {"id": 3000202, "name": "Shop Europe", "region": "eu"},
    {"id": 3000303, "name": "Shop India", "region": "in", "connectors": "closed"},
)
DATABASE = "demo"
BUCKET = "acme-exports"
HOUR = 3_600


def fill(control: Control) -> dict[str, Any]:
    """Make everything and say what was made."""
    control.add_organization(ORGANIZATION, "Acme")
    accounts = []
    for project in PROJECTS:
        options = {"organization_id": ORGANIZATION, **project}
        token = control.add_project(**options)  # type: ignore[arg-type]
        secret = secrets.token_urlsafe(24)
        username = f"mixadmin-{project['region']}.{secrets.token_hex(3)}"
        username += ".mp-service-account"
        control.add_service_account(
            username,
            secret,
            organization_id=ORGANIZATION,
            role="admin",
            projects={int(str(project["id"])): "admin"},
            region=str(project["region"]),
        )
        accounts.append(
            {
                "project": project["id"],
                "name": project["name"],
                "region": project["region"],
                "token": token,
                "username": username,
                "secret": secret,
            }
        )
    tables(control)
    lookup_tables(control)
    files(control)
    return {"organization": ORGANIZATION, "accounts": accounts}


def tables(control: Control) -> None:
    """Tables in the database `demo`, with the columns that the demo's imports name."""
    now = control.now()

    def moment(hours_ago: float) -> str:
        at = datetime.fromtimestamp(now - hours_ago * HOUR, tz=UTC)
        return at.strftime("%Y-%m-%d %H:%M:%S")

    people = [f"user-{n:03}" for n in range(40)]
    events = [
        {
            "row_id": n,
            "customer": people[n % len(people)],
            "event": ("Order", "Refund", "Signup")[n % 3],
            "happened_at": moment(240 - n / 5),
            "inserted_at": moment(239 - n / 5),
            "amount": round(9.9 + n % 17, 2),
            "sku": f"SKU-{n % 12:02}",
        }
        for n in range(1_200)
    ]
    columns = {
        "row_id": "INTEGER",
        "customer": "TEXT",
        "event": "TEXT",
        "happened_at": "TEXT",
        "inserted_at": "TEXT",
        "amount": "REAL",
        "sku": "TEXT",
    }
    for table in ("orders", "page_views", "archive"):
        control.make_table(DATABASE, table, columns, events)
    control.make_table(
        DATABASE,
        "users",
        {"id": "TEXT", "name": "TEXT", "plan": "TEXT"},
        [{"id": p, "name": p.title(), "plan": "pro"} for p in people],
    )
    control.make_table(
        DATABASE,
        "companies",
        {"company_id": "TEXT", "name": "TEXT", "seats": "INTEGER"},
        [{"company_id": f"c{n}", "name": f"Company {n}", "seats": n} for n in range(9)],
    )
    control.make_table(
        DATABASE,
        "products",
        {"sku": "TEXT", "title": "TEXT", "price": "REAL"},
        [{"sku": f"SKU-{n:02}", "title": f"Thing {n}", "price": n} for n in range(12)],
    )


def lookup_tables(control: Control) -> None:
    """What the team has made in Mixpanel's pages, for the property `sku`."""
    rows = "".join(f"SKU-{n:02},Thing {n},{n}.5\n" for n in range(12))
    for project in PROJECTS[:2]:
        control.add_lookup_table(
            int(str(project["id"])), "Products", csv=f"sku,title,price\n{rows}"
        )


def files(control: Control) -> None:
    """Files in one bucket: good ones, compressed ones, and some with bad lines."""
    now = int(control.now())

    def line(n: int, **changes: Any) -> bytes:
        properties = {
            "time": now - HOUR * 24 - n,
            "distinct_id": f"user-{n % 40:03}",
            "$insert_id": f"demo-{n:06}",
            **changes,
        }
        event = {"event": "Signup", "properties": properties}
        return json.dumps(event).encode() + b"\n"

    control.put_file(BUCKET, "signups/1.ndjson", b"".join(map(line, range(500))))
    control.put_file(BUCKET, "signups/2.ndjson", b"".join(map(line, range(500, 900))))
    profiles = b"".join(
        json.dumps({"$distinct_id": f"user-{n:03}", "$set": {"plan": "pro"}}).encode()
        + b"\n"
        for n in range(40)
    )
    control.put_file(BUCKET, "profiles/1.ndjson.gz", gzip.compress(profiles))
    packed = gzip.compress(b"".join(map(line, range(900, 950))))
    control.put_file(BUCKET, "packed/1.ndjson.gz", packed)
    mixed = [line(n) for n in range(1_000, 1_090)]
    mixed += [line(n, time="yesterday") for n in range(1_090, 1_100)]
    control.put_file(BUCKET, "mixed/1.ndjson", b"".join(mixed))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(fill(Control(sys.argv[1]))))
