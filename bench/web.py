"""How fast the pages are over many rows: python -m bench.web.

Seeds a scratch database, opens each page as a signed-in person through the product's
middleware, views and templates (Django's test client: in process, without a socket), and
sets beside it the changelist of Django's admin over the same rows.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from html import unescape
from pathlib import Path
from typing import Any

from bench.measure import ROOT
from bench.telling import columns, say
from bench.web_while_ingesting import percentile

FOLDER = ROOT / ".bench" / "web"
# A live part costs at most so much of the server's time, in milliseconds.
GOAL = 30.0
HTMX = {"HTTP_HX_REQUEST": "true"}
# How many pieces a list is read on before a piece deep inside is measured.
DEEP = 40


@dataclass(frozen=True, slots=True)
class Page:
    """One thing to look at. beside: the admin's page of the same rows, "" for none."""

    name: str
    url: str
    part: bool = False
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds, and the number of queries of one look.

    cpu: of this process; where a machine has other things to do it says more than the
    time that has passed. With SQLite all of the work is in it.
    """

    name: str
    part: bool
    p50: float
    p95: float
    cpu: float
    queries: int
    size: int
    beside: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the admin."""
        return self.beside / self.p50 if self.beside else None


def settings(folder: Path, database: str) -> dict[str, str]:
    """The environment of an installation in `folder`; keys are made up each time."""
    import secrets

    return {
        "DJANGO_SETTINGS_MODULE": "bench.web_settings",
        "DEBUG": "0",
        "ALLOWED_HOSTS": "testserver",
        "BEHIND_TLS": "0",
        "MIXADMIN_DATA_DIR": str(folder),
        "DATABASE_URL": database,
        "SECRET_KEY": secrets.token_urlsafe(60),
        "ENCRYPTION_KEYS": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "LOG_LEVEL": "WARNING",
    }


@contextmanager
def scratch_database(keep: bool) -> Iterator[bool]:
    """A database of our own beside the one of DATABASE_URL; yields whether it was kept
    from before, and is to be seeded no more."""
    from django.core.management import call_command
    from django.db import connection

    if connection.vendor == "sqlite":
        name = Path(connection.settings_dict["NAME"])
        known = keep and name.exists()
        if not known:
            for file in name.parent.glob(f"{name.name}*"):
                file.unlink()
        call_command("migrate", verbosity=0)
        yield known
        return
    connection.settings_dict["TEST"]["NAME"] = "mixadmin_bench"
    connection.creation.create_test_db(
        verbosity=0, autoclobber=True, keepdb=keep, serialize=False
    )
    from mixadmin.accounts.models import User

    try:
        yield User.objects.exists()
    finally:
        if not keep:
            connection.creation.destroy_test_db("", verbosity=0)


def signed_in(username: str) -> Any:
    """A browser in which this person is signed in."""
    from django.test import Client

    from mixadmin.accounts.models import User

    client = Client()
    user = User.objects.get(username=username)
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


# --- What is looked at ----------------------------------------------------------------


def pages(client: Any) -> list[Page]:
    """The home page, the lists with what they offer, items with their tabs."""
    from django.urls import reverse

    from mixadmin.connectors.models import Connector
    from mixadmin.ingestion.models import Ingestion
    from mixadmin.jobs.models import Job
    from mixadmin.projects.models import Project
    from mixadmin.warehouse.models import WarehouseImport

    project = Project.objects.earliest("pk")
    here = [project.pk]

    def beside(model: str, query: str = "") -> str:
        return reverse(f"admin:{model}_changelist") + query

    found = [
        Page("home", "/", beside=beside("warehouse_warehouseimport")),
        Page("home, live part", "/", part=True),
        Page("pulse", f"/pulse/?project={project.pk}", part=True),
        Page("projects", "/projects/", beside=beside("projects_project")),
    ]
    of_project = f"?project__id__exact={project.pk}"
    lists = {
        "imports": (
            reverse("warehouse:import_list", args=here),
            beside("warehouse_warehouseimport"),
        ),
        "sources": (
            reverse("warehouse:source_list", args=here),
            beside("warehouse_warehousesource", of_project),
        ),
        "connectors": (
            reverse("connectors:list", args=here),
            beside("connectors_connector"),
        ),
        "ingestions": (
            reverse("ingestion:list", args=here),
            beside("ingestion_ingestion"),
        ),
        "jobs": (reverse("jobs:list"), beside("jobs_job")),
        "files": (reverse("files:list", args=here), ""),
        "lookup tables": (reverse("lookups:list", args=here), ""),
    }
    for name, (url, admin) in lists.items():
        found.append(Page(name, url, beside=admin))
        found.append(Page(f"{name}, live part", url, part=True))
        if deep := _far_inside(client, url):
            found.append(Page(f"{name}, {DEEP} pieces on", deep, beside=_deep(admin)))
        searched = f"{admin}{'&' if '?' in admin else '?'}q=Orders" if admin else ""
        found.append(Page(f"{name}, search", f"{url}?q=Orders", beside=searched))
        nothing = searched.replace("Orders", "zzzz")
        found.append(Page(f"{name}, no match", f"{url}?q=zzzz", beside=nothing))
        for query in offered(client, url):
            found.append(Page(f"{name}, {query}", f"{url}?{query}", part=True))
    long = WarehouseImport.objects.filter(project=project, presence="active").first()
    assert long is not None and long.last_run is not None
    items: dict[str, Any] = {
        "import": long,
        "run": long.last_run,
        "source": long.source,
        "connector": Connector.objects.filter(project=project).first(),
        "ingestion": Ingestion.objects.filter(project=project).first(),
        "job": Job.objects.filter(state="succeeded", project=project).first(),
        "project": project,
    }
    for name, row in items.items():
        url = row.get_absolute_url()
        found.append(Page(name, url))
        found += [Page(f"{name}, {tab}", where) for tab, where in _tabs(client, url)]
    alive: dict[str, Any] = {
        "import": WarehouseImport.objects.filter(status="running", project=project),
        "ingestion": Ingestion.objects.going_on().filter(project=project),
        "job": Job.objects.filter(state="claimed", project=project),
    }
    found += [
        Page(f"{name}, live part", row.get_absolute_url(), part=True)
        for name, rows in alive.items()
        if (row := rows.first())
    ]
    return found


def offered(client: Any, url: str) -> list[str]:
    """The filters and orders that a list itself offers, as queries of one name each."""
    html = client.get(url).content.decode()
    found = {}
    for link in re.findall(r'href="([^"]*)"', html):
        path, _, query = unescape(link).partition("?")
        if path in ("", url) and re.fullmatch(r"\w+=[\w.-]+", query):
            found[query] = None
    for name, options in re.findall(
        r'<select[^>]*\bname="(\w+)"[^>]*>(.*?)</select>', html, re.S
    ):
        for value in re.findall(r'<option[^>]*\bvalue="([\w.-]+)"', options)[:2]:
            found[f"{name}={value}"] = None
    return [query for query in found if not query.startswith(("after=", "export="))]


def _far_inside(client: Any, url: str) -> str:
    """The URL of a piece deep in a list, "" when it has not so many."""
    for _ in range(DEEP):
        html = client.get(url).content.decode()
        links = re.findall(r'href="([^"]*[?&;]after=[^"]*)"', html)
        if not links:
            return ""
        url = unescape(links[-1])
    return url


def _deep(admin: str) -> str:
    return f"{admin}{'&' if '?' in admin else '?'}p={DEEP}" if admin else ""


def _tabs(client: Any, url: str) -> list[tuple[str, str]]:
    """(name, URL) of the tabs of an item that have an address of their own."""
    html = client.get(url).content.decode()
    links = re.findall(rf'href="({re.escape(url)}([a-z]+)/)"', html)
    tabs = ("runs", "timeline", "configuration", "files", "rejected", "attempts")
    return list({(name, where): None for where, name in links if name in tabs})


# --- Looking --------------------------------------------------------------------------


def look(client: Any, page: Page, looks: int) -> Figures:
    """Times of one page. The first looks, which load templates and code, are left out."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    headers = HTMX if page.part else {}
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(page.url, **headers)
    asked = len(queries.captured_queries)
    if answer.status_code != 200:
        raise SystemExit(f"bench: {page.url} answered {answer.status_code}")
    client.get(page.url, **headers)
    taken, worked = [], []
    for _ in range(looks):
        begin, cpu = time.perf_counter(), time.process_time()
        client.get(page.url, **headers)
        taken.append((time.perf_counter() - begin) * 1000)
        worked.append((time.process_time() - cpu) * 1000)
    return Figures(
        page.name,
        page.part,
        statistics.median(taken),
        percentile(taken, 0.95),
        statistics.median(worked),
        asked,
        len(answer.content),
    )


def measure(looked_at: Iterable[Page], looks: int, only: str = "") -> list[Figures]:
    reader, ops = signed_in("reader"), signed_in("ops")
    known: dict[str, float] = {}
    found = []
    for page in looked_at:
        if only and not re.search(only, page.name):
            continue
        figures = look(reader, page, looks)
        if page.beside:
            if page.beside not in known:
                admin = look(ops, Page("admin", page.beside), max(3, looks // 4))
                known[page.beside] = admin.p50
            values = asdict(figures) | {"beside": known[page.beside]}
            figures = Figures(**values)
        found.append(figures)
        say(f"  {figures.name}: {figures.p50:.1f} ms")
    return found


def table(found: Sequence[Figures]) -> str:
    head = [
        "page",
        "p50 ms",
        "p95 ms",
        "cpu ms",
        "queries",
        "KB",
        "admin p50",
        "times as fast",
    ]
    lines = [
        [
            f"{f.name}{'' if not f.part or 'live' in f.name else ' (part)'}",
            f"{f.p50:.1f}",
            f"{f.p95:.1f}",
            f"{f.cpu:.1f}",
            str(f.queries),
            f"{f.size / 1024:.0f}",
            f"{f.beside:.1f}" if f.beside else "",
            f"{f.ratio:.1f}" if f.ratio else "",
        ]
        for f in found
    ]
    return columns([head, *lines])


def verdict(found: Sequence[Figures]) -> str:
    slow = [f.name for f in found if f.part and f.p50 > GOAL]
    parts = sum(f.part for f in found)
    if slow:
        return (
            f"{len(slow)} of {parts} parts need more than {GOAL:.0f} ms: "
            + ", ".join(slow)
        )
    return f"All {parts} parts need at most {GOAL:.0f} ms (p50)."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.web", description=__doc__)
    parser.add_argument("--imports", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--looks", type=int, default=20, help="at each page")
    parser.add_argument("--only", default="", help="pages whose name fits this pattern")
    parser.add_argument("--keep", action="store_true", help="keep and reuse the rows")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for the rows")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)

    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    database = os.environ.get("DATABASE_URL")
    ours = f"sqlite:///{folder.resolve() / 'bench.sqlite3'}"
    os.environ |= settings(folder, database or ours)
    import django

    django.setup()
    from bench.seed import Size, seed

    with scratch_database(options.keep) as is_seeded:
        if not is_seeded:
            begin = time.perf_counter()
            seed(Size.of(options.imports, options.runs, options.jobs))
            say(f"Seeded in {time.perf_counter() - begin:.0f} s.")
        found = measure(pages(signed_in("reader")), options.looks, options.only)
    if not options.keep and not database:
        shutil.rmtree(folder)
    print(table(found))
    print(verdict(found))
    if options.json:
        told = [asdict(f) for f in found]
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
