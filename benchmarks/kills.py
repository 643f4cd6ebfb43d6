"""kill -9 of each part of the service in each phase of a run, and what was found after it.

python benchmarks/kills.py [--minutes N] [--victims api,worker] [--out benchmarks/reports]

A hundred cells: five victims in twenty phases over runs. Each cell starts real runs over REST on
real servers of its own, kills the victim when the phase is reached, starts it again and checks
what tests/kills/checks.py says. Cells that were found whole are kept with the code that they
measured, so that an interrupted proof goes on; `--check` says whether the report is of this code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from kills.phases import PHASES, Cell, Victim, cells  # noqa: E402

REPORT = "kills.json"
PAGE = "kills.md"
# Of each victim in turn: the API is started in another way where it is to be killed.
OF_EACH = 4
# What decides how a run comes through a kill: these rooms, these libraries, and the harness.
ROOMS = ("api", "bootstrap", "db", "tools", "workflows")
PACKAGES = (
    "langgraph",
    "sqlalchemy",
    "asyncpg",
    "psycopg",
    "redis",
    "neo4j",
    "chromadb",
    "uvicorn",
)


def code_version() -> str:
    """The hash of what is measured and of what measures it."""
    digest = hashlib.sha256()
    package = REPOSITORY / "src" / "mmm_workflows"
    for folder in (*(package / room for room in ROOMS), REPOSITORY / "tests" / "kills"):
        for source in sorted(folder.rglob("*.py")):
            digest.update(source.read_bytes())
    for name in PACKAGES:
        digest.update(f"{name}=={version(name)}".encode())
    return digest.hexdigest()


def in_turns(victims: Sequence[str]) -> list[Cell]:
    """The cells of some victims, a few of each in turn: what is stopped early has seen them all.

    Those that take a fit come last.
    """
    groups = [
        sorted((c for c in cells() if c.victim == victim), key=lambda cell: cell.phase.fits)
        for victim in victims
    ]
    starts = range(0, len(PHASES), OF_EACH)
    return [cell for at in starts for group in groups for cell in group[at : at + OF_EACH]]


def prove(wanted: Sequence[Cell], folder: Path, *, minutes: float | None) -> None:
    """Go through the cells that are not proved for this code yet, and write the report after each."""
    # They load the whole house, which `--check` does not need.
    from kills.cell import try_cell
    from kills.system import a_system

    os.environ.setdefault("REQUIRE_SERVICES", "1")  # a server that cannot be started is no proof
    found, code, begun = _read(folder), code_version(), time.monotonic()
    missing = [c for c in wanted if not _is_proved(found.get(c.name), code)]
    if not missing:
        return
    with (
        tempfile.TemporaryDirectory(prefix="mmm-kills-") as scratch,
        a_system(Path(scratch)) as system,
    ):
        for cell in missing:
            if minutes is not None and time.monotonic() - begun > minutes * 60:
                print(f"stopped after {minutes:g} minutes; the next call goes on", flush=True)
                return
            outcome = try_cell(system, cell)
            found[cell.name] = {"code": code, "commit": _commit(), **asdict(outcome)}
            _write(folder, found)
            print(_line(cell.name, found[cell.name]), flush=True)


def _is_proved(found: dict[str, Any] | None, code: str) -> bool:
    return found is not None and found["code"] == code and not found["faults"]


def _line(name: str, found: dict[str, Any]) -> str:
    said = "; ".join(found["faults"])[:600] or f"{found['ended']} runs, {found['events']} events"
    return f"{name:>24} at {found['at']!r}, {found['seconds']:.0f} s: {said}"


def _commit() -> str:
    asked = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / REPORT
    if not path.exists():
        return {}
    kept: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return kept


def _write(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    names = [cell.name for cell in cells()]
    kept = {name: found[name] for name in names if name in found}
    versions = {name: version(name) for name in PACKAGES}
    report = {"code": code_version(), "versions": versions, "cells": kept}
    (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(_page(kept, versions), encoding="utf-8")


def _page(found: dict[str, dict[str, Any]], versions: dict[str, str]) -> str:
    code = code_version()
    now = {name: cell for name, cell in found.items() if cell["code"] == code}
    whole = [cell for cell in now.values() if not cell["faults"]]
    commits = sorted({cell["commit"] for cell in now.values()})
    lines = [
        "# kill -9 in each phase of a run",
        "",
        "Made by `python benchmarks/kills.py` (part of `make proof`): an API, a worker, PostgreSQL, "
        "Redis, Neo4j and Chroma of its own; a run of all four workflows and one of Research are "
        "accepted over REST, the victim is killed with SIGKILL when the phase is seen, and started "
        "again. Where the API is the victim it works on the runs itself, as by default (so that a run "
        "which it has just accepted may be taken already in the phase queued). After that "
        "every accepted run must end as it should and once; its events must count from 1 without a "
        "gap, and a watcher who came back with `?after=` must have read each of them once; no step may be "
        "done twice unless its worker was killed, and then once more at most; decisions must be one "
        "chain and none doubled; memory must take everything and need no repair; no process may be left; "
        "no log may hold a traceback.",
        "",
        f"{len(whole)} of {len(cells())} cells held, {len(now) - len(whole)} did not, "
        f"{len(cells()) - len(now)} were not run on this code. "
        f"{sum(c['ended'] for c in whole)} runs, {sum(c['events'] for c in whole)} events. "
        f"{sum(c.get('tries', 1) > 1 for c in whole)} cells were led to again, because their phase "
        "was over before it was seen and nothing had been killed.",
        *_earlier(found, now),
        "",
        f"Code {code[:12]}, commit {', '.join(commits) or '-'}; {platform.machine()}, "
        f"{os.cpu_count()} CPUs, Python {platform.python_version()}; "
        f"{', '.join(f'{name} {number}' for name, number in versions.items())}; "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
        "",
        f"| phase | {' | '.join(Victim)} | it is seen when |",
        f"|---|{'---|' * (len(Victim) + 1)}",
    ]
    for phase in PHASES:
        marks = [_mark(now.get(f"{victim}/{phase.name}")) for victim in Victim]
        lines.append(f"| {phase.name} | {' | '.join(marks)} | {phase.says} |")
    lines += ["", "held / **no** (what was found stands below) / - (not run on this code)", ""]
    for name, cell in now.items():
        lines += [f"- {name}, killed at {cell['at']}: {_short(f)}" for f in cell["faults"]]
    return "\n".join(lines).rstrip() + "\n"


def _earlier(found: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[str]:
    """What was found of cells that were not run on this code, by an earlier one."""
    before = {name: cell for name, cell in found.items() if name not in now}
    if not before:
        return []
    failed = ", ".join(name for name, cell in before.items() if cell["faults"]) or "none"
    commits = ", ".join(sorted({cell["commit"] for cell in before.values()}))
    return [
        "",
        f"Of the cells not run, {len(before)} were run on the code of {commits}; "
        f"those that did not hold there: {failed}.",
    ]


def _mark(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "-"
    return "**no**" if cell["faults"] else "held"


def _short(fault: str) -> str:
    return " ".join(fault.split())[:500]


def main() -> int:
    """Prove, or check whether the committed report is of this code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--victims", default=",".join(Victim), help="which to kill, in this order")
    parser.add_argument("--cells", default="", help="only these, as VICTIM/PHASE, with commas")
    parser.add_argument("--minutes", type=float, help="begin no cell after so long")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "reports")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        found, code = _read(arguments.out), code_version()
        if sum(_is_proved(cell, code) for cell in found.values()) < len(cells()):
            print("note: benchmarks/reports/kills.md is not whole for this code; run `make proof`.")
        return 0
    victims, only = arguments.victims.split(","), arguments.cells.split(",")
    wanted = [
        cell for cell in in_turns(victims) if not arguments.cells or cell.name in only
    ]  # fmt: skip
    arguments.out.mkdir(parents=True, exist_ok=True)
    # Told to stop, it stops what it started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    prove(wanted, arguments.out, minutes=arguments.minutes)
    code, found = code_version(), _read(arguments.out)
    held = [_is_proved(found.get(cell.name), code) for cell in wanted]
    print(f"{sum(held)} of {len(wanted)} cells held")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
