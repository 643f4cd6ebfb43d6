"""What the main job, a scenario and the command line cost, on this machine and in one run.

python benchmarks/speed.py [--out benchmarks/reports]

Wall times depend on what else the machine does; CPU seconds and ratios less so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.model_files import open_model
from mmm_workflows.mmm.scenario import Change, ChangeKind, compare, contribution, plan_of
from mmm_workflows.mmm.windows import make_reference, next_periods

PAGE = "speed.md"
DRAWS, CHANNELS, WEEKS = 1000, 5, 13
CLI = [sys.executable, "-c", "from mmm_workflows.cli import main; main()"]
COMMANDS = [
    "demo",
    "run",
    "research",
    "eda",
    "fit",
    "whatif",
    "serve",
    "resume",
    "decide",
    "watch",
    "list",
    "delete",
    "init-db",
    "doctor",
]


@dataclass(frozen=True)
class Figure:
    """A measured value with the bound that was asked for."""

    what: str
    value: float
    unit: str
    at_most: float | None = None

    def row(self) -> str:
        """The figure as a line of the report."""
        bound = "" if self.at_most is None else f"{self.at_most:g}"
        met = "" if self.at_most is None else ("yes" if self.value <= self.at_most else "**no**")
        return f"| {self.what} | {self.value:.3g} | {self.unit} | {bound} | {met} |"


def main_job(scratch: Path) -> tuple[list[Figure], Path]:
    """The demo with an empty cache of compiled code, and again with a warm one."""
    figures = []
    for name, bound in (("first demo, nothing compiled", 90), ("demo, warm cache", 45)):
        environment = {**os.environ, "MMM_HOME": str(scratch), "MMM_CACHE": str(scratch / "cache")}
        before = _children_cpu()
        started = time.perf_counter()
        done = subprocess.run(
            [*CLI, "demo", "--json"], env=environment, capture_output=True, check=True
        )
        figures.append(Figure(name, time.perf_counter() - started, "s wall", bound))
        figures.append(Figure(name, _children_cpu() - before, "s CPU"))
        modeling = json.loads(done.stdout)["modeling"]
        if modeling["reused"]:
            raise SystemExit("the demo did not fit afresh")
    folder = Path(modeling["model_artifact_path"])
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    figures.append(Figure("model folder", size / 1e6, "MB", 30))
    return figures, folder


def scenario(folder: Path) -> list[Figure]:
    """One channel 20 % up over 13 weeks, on 1,000 draws of 5 channels and 156 weeks of history."""
    draws = _first(open_model(folder).draws())
    reference = make_reference(draws, next_periods(draws, WEEKS))
    change = Change(channel=draws.channels[0], kind=ChangeKind.MULTIPLY, amount=1.2)
    plan = plan_of(draws, reference, [change])
    changed = _milliseconds(lambda: contribution(draws, reference, 0, plan[:, 0]))
    whole = _milliseconds(lambda: compare(draws, reference, plan))
    what = f"scenario, {WEEKS} weeks, {draws.count} draws x {len(draws.channels)} channels"
    return [
        Figure(f"{what}: what changed", changed, "ms", 5),
        Figure(f"{what}: with the reference and its summary", whole, "ms", 5),
        Figure("all of it / what changed", whole / changed, "times"),
    ]


def library_alone(folder: Path) -> list[Figure]:
    """The same weeks predicted by PyMC-Marketing from the saved posterior, as its users do."""
    from pymc_marketing.mmm import MMM

    model = MMM.load(str(folder / "posterior.nc"))
    last = model.X.tail(WEEKS).copy()
    last["date"] = last["date"] + np.timedelta64(7 * WEEKS, "D")
    ours = open_model(folder).draws()
    reference = make_reference(ours, next_periods(ours, WEEKS))
    plan = plan_of(
        ours,
        reference,
        [Change(channel=ours.channels[0], kind=ChangeKind.MULTIPLY, amount=1.2)],
    )
    here = _milliseconds(lambda: compare(ours, reference, plan), times=5)

    def predict() -> None:
        model.sample_posterior_predictive(
            last, extend_idata=False, include_last_observations=True, progressbar=False
        )

    there = _milliseconds(predict, times=3)
    name = f"{WEEKS} weeks on all {ours.count} draws x {len(ours.channels)} channels"
    return [
        Figure(f"{name}, ours", here, "ms"),
        Figure(f"{name}, sample_posterior_predictive", there, "ms"),
        Figure("theirs / ours", there / here, "times"),
    ]


def command_line() -> list[Figure]:
    """CPU seconds until a command's help stands on the screen."""
    costs = {}
    for command in COMMANDS:
        before = _children_cpu()
        subprocess.run([*CLI, command, "--help"], stdout=subprocess.DEVNULL, check=True)
        costs[command] = _children_cpu() - before
    slowest = max(costs, key=lambda name: costs[name])
    return [
        Figure(f"--help, slowest command ({slowest})", costs[slowest], "s CPU", 0.7),
        Figure("--help, median command", statistics.median(costs.values()), "s CPU", 0.7),
    ]


def _first(draws: Draws) -> Draws:
    """1,000 draws of 5 channels."""
    import dataclasses

    step = max(draws.count // DRAWS, 1)
    per_draw = {
        name: getattr(draws, name)[::step, :CHANNELS][:DRAWS] for name in ("alpha", "lam", "beta")
    }
    return dataclasses.replace(
        draws,
        channels=draws.channels[:CHANNELS],
        spend=draws.spend[:, :CHANNELS],
        channel_scale=draws.channel_scale[:CHANNELS],
        **per_draw,
    )


def _milliseconds(work: Callable[[], object], times: int = 50) -> float:
    work()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _page(figures: list[Figure]) -> str:
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("pymc-marketing", "pymc", "pytensor", "nutpie")
    )
    rows = "\n".join(figure.row() for figure in figures)
    return (
        "# Speed\n\nMade by `benchmarks/speed.py`; medians, one run, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}.\n\n"
        f"| what | value | unit | at most | met |\n|---|---|---|---|---|\n{rows}\n"
    )


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "reports")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures, folder = main_job(Path(scratch))
        figures += scenario(folder) + command_line() + library_alone(folder)
    arguments.out.mkdir(parents=True, exist_ok=True)
    page = _page(figures)
    (arguments.out / PAGE).write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
