"""What mixadmin is to reach beside the others, as data."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.measure import Run

Runs = Mapping[str, Sequence[Run]]
# None: one of the tools was not measured.
Value = float | None


def median_of(tool: str, what: Callable[[Run], float]) -> Callable[[Runs], Value]:
    return lambda runs: (
        statistics.median(map(what, runs[tool])) if runs.get(tool) else None
    )


def ratio(
    above: str, below: str, what: Callable[[Run], float]
) -> Callable[[Runs], Value]:
    """The median over pairs of runs that were made right after one another."""

    def value(runs: Runs) -> Value:
        pairs = list(zip(runs.get(above, ()), runs.get(below, ()), strict=False))
        if not pairs:
            return None
        return statistics.median(what(one) / what(other) for one, other in pairs)

    return value


def rate(run: Run) -> float:
    return run.rate


def cpu(run: Run) -> float:
    return run.cpu_per_million


def peak(run: Run) -> float:
    return run.usage.peak_mib


def rate_of_a_core(run: Run) -> float:
    return run.events / run.usage.cpu_seconds


@dataclass(frozen=True, slots=True)
class Goal:
    """most: the value should be at most `wanted`; otherwise at least. strive: better
    still, 0 if there is no such figure."""

    title: str
    value: Callable[[Runs], Value]
    wanted: float
    unit: str = "×"
    most: bool = False
    strive: float = 0.0

    def verdict(self, value: Value) -> str:
        if value is None:
            return "not measured"
        off = value / self.wanted - 1
        missed = off if self.most else -off
        return f"missed by {missed * 100:.0f} %" if missed > 0 else "met"


GOALS = (
    Goal(
        "CPU seconds per million events",
        median_of("ours", cpu),
        8,
        "s",
        most=True,
        strive=5,
    ),
    Goal(
        "less CPU than mixpanel-import at its best",
        ratio("import", "ours", cpu),
        7,
        strive=15,
    ),
    Goal("events/s beside it, one process", ratio("ours", "import", rate), 6),
    Goal(
        "events/s beside it, two processes",
        ratio("ours-2", "import", rate),
        10,
        strive=15,
    ),
    Goal(
        "events/s beside mixpanel-import as shipped",
        ratio("ours", "import-shipped", rate),
        30,
    ),
    Goal("events/s beside json + gzip 9 + requests", ratio("ours", "loop-9", rate), 6),
    Goal(
        "CPU beside read, gzip, send, syntax check",
        ratio("ours", "floor", cpu),
        2,
        most=True,
        strive=1.3,
    ),
    Goal("events/s, two processes beside one", ratio("ours-2", "ours", rate), 1.8),
    Goal("peak memory, one process", median_of("ours", peak), 150, "MiB", most=True),
    Goal(
        "peak memory, the larger of two processes",
        median_of("ours-2", peak),
        150,
        "MiB",
        most=True,
    ),
    Goal(
        "check_file: records/s and core",
        median_of("check", rate_of_a_core),
        200_000,
        "/s",
        strive=500_000,
    ),
    # The speed is that of the processor, not that of the answers.
    Goal(
        "events/s with answers after 150 ms, beside at once",
        ratio("ours-delay", "ours", rate),
        0.8,
    ),
)
