"""How often the 94 % intervals of ROAS hold the truth, on worlds that were made with it.

python benchmarks/recovery.py [--worlds 20] [--out benchmarks/reports]

Each world has the shape of the shipped sample with another seed: spend, drivers, noise and truth
are drawn anew. The report names the code it measured; `--check` says whether it is out of date.
Finished worlds are kept, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from under_load.page import commit

from mmm_workflows.config import child_environment, read_settings
from mmm_workflows.mmm.dataset import read_mff, write_mff
from mmm_workflows.mmm.ingest import load_files, make_dataset
from mmm_workflows.mmm.model_files import open_model
from mmm_workflows.mmm.plan import ResearchPlan
from mmm_workflows.mmm.results import ChannelResult
from mmm_workflows.mmm.roles import Wishes, choose_roles
from mmm_workflows.mmm.spec_builder import propose_spec
from mmm_workflows.mmm.synthetic import World, make_world, recovery_seeds
from mmm_workflows.mmm.worlds import WEEKLY_SAMPLE
from mmm_workflows.ports import FitJob
from mmm_workflows.records import Depth
from mmm_workflows.tools.compute import LocalCompute, code_version

REPORT = "recovery.json"
PAGE = "recovery.md"


async def fit_world(world: World, compute: LocalCompute, scratch: Path) -> dict[str, Any]:
    """One world from its CSV to the ROAS of each channel, as a user would go."""
    source = scratch / f"world_{world.seed}.csv"
    source.write_bytes(world.csv())
    table = load_files([source], date_column=None, geography_column=None)
    dataset, _ = make_dataset(table, choose_roles(table, Wishes(currency="EUR")))
    path = write_mff(dataset, scratch, f"world_{world.seed}")
    dataset = read_mff(path)
    job = FitJob(
        project="recovery",
        mff_path=path,
        mff_sha256=dataset.sidecar.mff_sha256,
        spec=propose_spec(dataset, ResearchPlan(), None).spec,
        seed=world.seed,
        depth=Depth.QUICK,
    )
    outcome = await compute.fit(job, lambda progress: None)
    results = open_model(outcome.folder).results()
    return {
        "seed": world.seed,
        "verdict": results.fit_verdict,
        "rhat": results.diagnostics.rhat_max,
        "divergences": results.diagnostics.divergences,
        "channels": [_channel(world, c) for c in results.channels],
    }


def _channel(world: World, found: ChannelResult) -> dict[str, Any]:
    truth = world.truth.channels[found.channel].roas
    assert found.roas is not None
    return {
        "channel": found.channel,
        "truth": truth,
        "mean": found.roas.mean,
        "low": found.roas.hdi_low,
        "high": found.roas.hdi_high,
        "holds": found.roas.hdi_low <= truth <= found.roas.hdi_high,
    }


async def measure(count: int, folder: Path) -> None:
    """Fit every world that is not in the report yet, and write the report after each."""
    report = _read(folder)
    done = {w["seed"]: w for w in report["worlds"]} if report["code"] == code_version() else {}
    with tempfile.TemporaryDirectory() as scratch:
        compute = LocalCompute(
            Path(scratch) / "models", read_settings().cache, environment=child_environment()
        )
        for seed in recovery_seeds(count):
            if seed not in done:
                world = make_world(WEEKLY_SAMPLE, seed)
                done[seed] = await fit_world(world, compute, Path(scratch))
                print(_line(done[seed]), flush=True)
            _write(folder, [done[s] for s in recovery_seeds(count) if s in done])


def summarise(worlds: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of the report."""
    channels = [c for w in worlds for c in w["channels"]]
    errors = [abs(c["mean"] - c["truth"]) / c["truth"] for c in channels]
    return {
        "worlds": len(worlds),
        "intervals": len(channels),
        "hold_the_truth": sum(c["holds"] for c in channels),
        "coverage": sum(c["holds"] for c in channels) / len(channels),
        "worlds_with_5_of_6": sum(sum(c["holds"] for c in w["channels"]) >= 5 for w in worlds),
        "median_relative_error": statistics.median(errors),
        "mean_bias": statistics.mean(c["mean"] - c["truth"] for c in channels),
        "median_width": statistics.median(c["high"] - c["low"] for c in channels),
        "fits_that_pass": sum(w["verdict"] == "pass" for w in worlds),
    }


def _line(world: dict[str, Any]) -> str:
    held = sum(c["holds"] for c in world["channels"])
    return f"{world['seed']:>11}: {held} of {len(world['channels'])} hold, {world['verdict']}"


def _read(folder: Path) -> dict[str, Any]:
    path = folder / REPORT
    if not path.exists():
        return {"code": "", "worlds": []}
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def _write(folder: Path, worlds: list[dict[str, Any]]) -> None:
    figures = summarise(worlds)
    packages = {p: version(p) for p in ("pymc-marketing", "pymc", "nutpie", "pytensor")}
    report = {"code": code_version(), "versions": packages, "figures": figures, "worlds": worlds}
    (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    rows = "\n".join(
        f"| {name.replace('_', ' ')} | {value:.4g} |" for name, value in figures.items()
    )
    versions = ", ".join(f"{name} {number}" for name, number in packages.items())
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    (folder / PAGE).write_text(
        "# Recovery of known truth\n\n"
        "ROAS of the six channels in worlds shaped like the shipped sample (156 weeks), each with "
        "truth drawn anew; intervals are 94 % HDI. Made by `benchmarks/recovery.py`.\n\n"
        f"Written {written} on commit {commit()}; code of the fits {code_version()[:12]}, Python "
        f"{platform.python_version()}, {versions}.\n\n| figure | value |\n|---|---|\n{rows}\n",
        encoding="utf-8",
    )


def main() -> int:
    """Measure, or check whether the committed report is of this code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "reports")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        if _read(arguments.out)["code"] != code_version():
            print("note: benchmarks/reports/recovery.md measured older code; run `make proof`.")
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    asyncio.run(measure(arguments.worlds, arguments.out))
    print(json.dumps(_read(arguments.out)["figures"], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
