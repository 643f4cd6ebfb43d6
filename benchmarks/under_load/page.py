"""What was measured, part by part, and the page that says it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from under_load.service import REPOSITORY

PAGE: Final = "load.md"
KEPT: Final = "load.json"
SOURCES: Final = ("src", "benchmarks/under_load", "uv.lock")
PACKAGES: Final = (
    "fastapi", "starlette", "uvicorn", "uvloop", "httptools", "sqlalchemy", "orjson", "numpy",
    "websockets",
)  # fmt: skip
CAUTION: Final = (
    "Requests count from the moment they were due. `CPU of others` is what took the same cores and "
    "is none of the service, its fits and the client: where it is well above zero, a bound that was "
    "missed is missed until a quiet run shows otherwise."
)


@dataclass(frozen=True)
class Figure:
    """A measured value with the bound that was asked for."""

    what: str
    value: float | str
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it keeps its bounds; true where there are none."""
        low, high = self.at_least, self.at_most
        return (low is None or float(self.value) >= low) and (
            high is None or float(self.value) <= high
        )

    def row(self) -> str:
        """The figure as a line of the page."""
        value = self.value if isinstance(self.value, str) else f"{self.value:.3g}"
        bounds = [("at most", self.at_most), ("at least", self.at_least)]
        asked = ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
        met = "" if not asked else "yes" if self.is_met else "**no**"
        return f"| {self.what} | {value} | {self.unit} | {asked} | {met} |"


def quantile(values: Sequence[float], share_0_1: float) -> float:
    """A quantile of what was measured; not a number where nothing was."""
    return float(np.quantile(values, share_0_1)) if values else float("nan")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the measurement, with what it was made by."""

    name: str
    asked: Mapping[str, Any]
    code: str
    commit: str
    at: str
    machine: str
    figures: tuple[Figure, ...]

    def section(self) -> str:
        """The part as it stands on the page."""
        asked = ", ".join(f"{name} {value}" for name, value in self.asked.items())
        rows = "\n".join(figure.row() for figure in self.figures)
        return (
            f"## {self.name}\n\n{self.at}, commit {self.commit}, {self.machine}; {asked}.\n\n"
            f"| what | value | unit | asked for | met |\n|---|---|---|---|---|\n{rows}\n"
        )


def part(name: str, asked: Mapping[str, Any], figures: Sequence[Figure]) -> Part:
    """What was measured just now by the code that lies here."""
    return Part(
        name=name,
        asked=dict(asked),
        code=code_digest(),
        commit=commit(),
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=(
            f"{os.cpu_count()} cores for server, fit and client together, nice {os.nice(0)}, "
            f"Python {platform.python_version()}, "
            + ", ".join(f"{package} {version(package)}" for package in PACKAGES)
        ),
        figures=tuple(figures),
    )


def code_digest(sources: Sequence[str] = SOURCES) -> str:
    """The hash of all that is measured and of what measures it."""
    digest = hashlib.sha256()
    for name in sources:
        place = REPOSITORY / name
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(file.relative_to(REPOSITORY).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def commit(sources: Sequence[str] = SOURCES) -> str:
    """The commit that lies here; ``with changes`` where the sources differ from it."""

    def git(*words: str) -> str:
        said = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True)
        return said.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", *sources)
    return f"{git('rev-parse', '--short', 'HEAD')}{' with changes' if changed else ''}"


def read_parts(folder: Path) -> dict[str, Part]:
    """The parts that were measured, by name."""
    place = folder / KEPT
    if not place.is_file():
        return {}
    found = json.loads(place.read_text(encoding="utf-8"))
    return {
        name: Part(**{**kept, "figures": tuple(Figure(**f) for f in kept["figures"])})
        for name, kept in found.items()
    }


def write_parts(folder: Path, parts: Mapping[str, Part], order: Sequence[str]) -> None:
    """Keep the parts, and write the page of all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: asdict(parts[name]) for name in order if name in parts}
    (folder / KEPT).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    sections = "\n".join(parts[name].section() for name in kept)
    page = f"# Load\n\nMade by `make load`; SQLite, progress in process. {CAUTION}\n\n{sections}"
    (folder / PAGE).write_text(page, encoding="utf-8")
