"""Measure mixadmin's `ingest_file` beside other tools: python -m bench.ingest.

One run of each tool after the other, several times over, on this machine, against a sink
that only reads and answers, with the same generated events; the sink proves that every
event came exactly once. Prints medians, ratios of runs made right after one another, and
how the goals stand. docs/benchmarks.md says more.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import goals
from bench.files import generated, generated_bytes
from bench.measure import (
    ROOT,
    WORK,
    Failed,
    NotPossible,
    Run,
    Usage,
    build_sink,
    check_arrived,
    measure,
    sink,
)
from bench.telling import columns, number, say
from bench.tools import NODE_MODULES, TOOLS, Tool, installation, prepare

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
# Of the run that shows that a tool works, and how long it takes to start.
FIRST = 2_000


def run_once(tool: Tool, file: Path, events: int, *, program: Path) -> Run:
    """Run a tool on a file against a sink of its own, and see that all of it came."""
    with sink(program, delay_ms=tool.delay_ms) as there:
        env = {**tool.env, "SINK_URL": there.url, "BENCH_MODULES": str(NODE_MODULES)}
        if tool.needs in ("ingest_file", "check_file"):
            env |= installation(WORK / "run", there.url)
        scratch = WORK / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        env["PYTHONPATH"] = str(ROOT)
        usage = measure(
            tool.command(file, there.url),
            log=WORK / "logs" / f"{tool.slug}.log",
            stdout=WORK / "logs" / f"{tool.slug}.out",
            env=env,
            # Some leave files where they are started.
            cwd=scratch,
        )
        arrived = there.stats() if tool.sends else {}
    if tool.sends:
        check_arrived(arrived, events)
    return Run(events, usage, arrived)


def compare(
    tools: Sequence[Tool], *, events: int, runs: int, program: Path
) -> tuple[dict[str, list[Run]], dict[str, Usage], dict[str, str]]:
    """(runs of each tool, what a first small run took, why a tool was left out)."""
    done: dict[str, list[Run]] = {}
    started: dict[str, Usage] = {}
    problems: dict[str, str] = {}
    for tool in tools:
        say(f"  {tool.label}: does it work?")
        try:
            file = generated(FIRST, tool.suffix)
            started[tool.slug] = run_once(tool, file, FIRST, program=program).usage
        except (Failed, NotPossible, OSError) as error:
            problems[tool.slug] = str(error)
    for turn in range(1, runs + 1):
        for tool in tools:
            if tool.slug in problems:
                continue
            count = max(FIRST, round(events * tool.share))
            file = generated(count, tool.suffix)
            try:
                run = run_once(tool, file, count, program=program)
            except (Failed, NotPossible, OSError) as error:
                problems[tool.slug] = str(error)
                done.pop(tool.slug, None)
                continue
            done.setdefault(tool.slug, []).append(run)
            say(f"  run {turn} of {runs}, {tool.label}: {run.rate:,.0f} events/s")
    return done, started, problems


def flat_memory(sizes: Sequence[int], *, program: Path) -> list[dict[str, Any]]:
    """Peak memory of `ingest_file` for files of these sizes, one after the other."""
    found = []
    for size in sizes:
        say(f"  making a file of {size / 1e9:g} GB")
        with generated_bytes(size) as (path, events):
            for slug in ("ours", "ours-2"):
                run = run_once(TOOLS[slug], path, events, program=program)
                say(f"  {TOOLS[slug].label}: {run.usage.peak_mib:.0f} MiB")
                found.append({"bytes": size, "tool": slug, **run.as_dict()})
    return found


# --- Telling --------------------------------------------------------------------------


def table(
    tools: Sequence[Tool], done: goals.Runs, started: dict[str, Usage]
) -> list[list[str]]:
    """Medians of each tool; the two ratios say how much better mixadmin is."""
    rows = [
        ["", "events", "events/s", "CPU s/million", "peak MiB", "start s"]
        + ["mixadmin is faster", "and takes less CPU"]
    ]
    for tool in tools:
        runs = done.get(tool.slug)
        if not runs:
            continue
        ratios = [
            goals.ratio("ours", tool.slug, goals.rate)(done),
            goals.ratio(tool.slug, "ours", goals.cpu)(done),
        ]
        compared = tool.sends and tool.slug != "ours"
        rows.append(
            [
                tool.label,
                f"{runs[0].events:,}",
                f"{statistics.median(run.rate for run in runs):,.0f}",
                f"{statistics.median(run.cpu_per_million for run in runs):.1f}",
                f"{max(run.usage.peak_mib for run in runs):.0f}",
                f"{started[tool.slug].seconds:.1f}",
                *(f"{r:.2f}×" if r and compared else "" for r in ratios),
            ]
        )
    return rows


def goal_rows(done: goals.Runs) -> list[list[str]]:
    rows = [["goal", "wanted", "strive for", "is", "verdict"]]
    for goal in goals.GOALS:
        value = goal.value(done)
        sign = "≤" if goal.most else "≥"
        rows.append(
            [
                goal.title,
                f"{sign} {number(goal.wanted)} {goal.unit}",
                f"{number(goal.strive)} {goal.unit}" if goal.strive else "",
                "" if value is None else f"{number(value)} {goal.unit}",
                goal.verdict(value),
            ]
        )
    return rows


def machine() -> dict[str, Any]:
    model = ""
    if (info := Path("/proc/cpuinfo")).exists():
        found = re.search(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE)
        model = found.group(1) if found else ""
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def size_in_bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)(KB|MB|GB)", text.strip().upper())
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size such as 100MB or 10GB"
        )
    return int(match.group(1)) * UNITS[match.group(2)]


def sizes_in_bytes(text: str) -> list[int]:
    return [size_in_bytes(part) for part in text.split(",")]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ingest",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--events",
        type=int,
        default=300_000,
        help="that a tool of middling speed sends in one run; fast ones send more, slow"
        " ones less (default 300000)",
    )
    parser.add_argument("--runs", type=int, default=3, help="of each tool (default 3)")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        metavar="TOOL,…",
        help=f"of {', '.join(TOOLS)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything")
    parser.add_argument(
        "--sizes",
        type=sizes_in_bytes,
        metavar="100MB,10GB",
        help="instead: peak memory of ingest_file for files of these sizes",
    )
    parser.add_argument(
        "--web",
        action="store_true",
        help="instead: how fast a page is while a file is sent",
    )
    options = parser.parse_args(arguments)
    if options.events < 1 or options.runs < 1:
        parser.error("--events and --runs must be 1 or more")
    if unknown := sorted(set(options.only or ()) - set(TOOLS)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(TOOLS)}")
    return options


def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    """Compare, print, and return what was printed."""
    wanted = [
        tool
        for tool in TOOLS.values()
        if (tool.slug in options.only if options.only else tool.by_default)
    ]
    say("Preparing …")
    versions, missing = prepare(wanted)
    tools = [tool for tool in wanted if tool.needs not in missing]
    done, started, problems = compare(
        tools, events=options.events, runs=options.runs, program=build_sink()
    )
    problems |= {
        tool.slug: missing[tool.needs] for tool in wanted if tool.needs in missing
    }
    print(columns(table(tools, done, started)))
    print("\nEvery event of every run came to the sink exactly once.\n" if done else "")
    print(columns(goal_rows(done)))
    for slug, problem in problems.items():
        print(f"\nLeft out: {TOOLS[slug].label}: {problem}")
    return {
        "versions": {need: version for need, version in versions.items() if version},
        "tools": {
            slug: {
                "label": TOOLS[slug].label,
                "start_seconds": round(started[slug].seconds, 3),
                "start_cpu_seconds": round(started[slug].cpu_seconds, 3),
                "runs": [run.as_dict() for run in runs],
            }
            for slug, runs in done.items()
        },
        "goals": [
            {
                "title": goal.title,
                "wanted": goal.wanted,
                "at_most": goal.most,
                "strive": goal.strive or None,
                "value": goal.value(done),
                "verdict": goal.verdict(goal.value(done)),
            }
            for goal in goals.GOALS
        ],
        "left_out": problems,
    }


def measure_sizes(options: argparse.Namespace) -> dict[str, Any]:
    _, missing = prepare([TOOLS["ours"]])
    if missing:
        raise NotPossible(missing["ingest_file"])
    found = flat_memory(options.sizes, program=build_sink())
    rows = [["file", "", "events", "events/s", "CPU s/million", "peak MiB"]]
    rows += [
        [
            f"{one['bytes'] / 1e9:g} GB",
            TOOLS[one["tool"]].label,
            f"{one['events']:,}",
            f"{one['events_per_second']:,}",
            f"{one['cpu_seconds_per_million']:.1f}",
            f"{one['peak_mib']:.0f}",
        ]
        for one in found
    ]
    print(columns(rows))
    return {"sizes": found}


def measure_web(options: argparse.Namespace) -> dict[str, Any]:
    from bench import web_while_ingesting

    return {"web": web_while_ingesting.measure_both(events=options.events)}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    what = (
        measure_sizes if options.sizes else measure_web if options.web else measure_all
    )
    try:
        results = {"machine": machine()} | what(options)
    except (Failed, NotPossible) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(WORK / "scratch", ignore_errors=True)
        shutil.rmtree(WORK / "run", ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
