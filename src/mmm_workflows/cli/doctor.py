"""What an installation consists of, and what is wrong with it."""

from __future__ import annotations

import asyncio
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Final

from mmm_workflows.cli.session import screen
from mmm_workflows.config import read_settings
from mmm_workflows.records import Json

PACKAGES: Final = (
    "mmm-workflows",
    "pymc-marketing",
    "pymc",
    "pytensor",
    "nutpie",
    "arviz",
    "langgraph",
    "numba",
    "pandas",
    "sqlalchemy",
)
SUPPORTED: Final = {"Linux": "", "Darwin": "", "Windows": "use it through WSL2"}


def examine() -> Json:
    """Versions, folders, services and settings; secrets are masked, nothing is changed."""
    from mmm_workflows.workflows.runner import examine as examine_services

    settings = read_settings()
    services = asyncio.run(examine_services())
    folders = {
        "MMM_HOME": settings.home,
        "MMM_CACHE": settings.cache,
        "UPLOAD_DIR": settings.uploads,
        "MODEL_DIR": settings.models,
        "OUTPUT_DIR": settings.outputs,
    }
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "note": SUPPORTED.get(platform.system(), "this system is not tested"),
        "packages": {name: version(name) for name in PACKAGES},
        "folders": {name: _folder(path) for name, path in folders.items()},
        "services": services,
        "settings": settings.shown(),
        "generated_by": services["language model"].removeprefix("none: "),
    }


def show_report(report: Json) -> None:
    """The report as lines."""
    screen.print(f"Python {report['python']} on {report['system']}. {report['note']}".rstrip())
    for title in ("packages", "folders", "services", "settings"):
        screen.rule(title, align="left")
        for name, value in report[title].items():
            screen.print(f"{name:<24} {value}", markup=False, highlight=False, soft_wrap=True)


def _folder(path: Path) -> str:
    existing = next(p for p in (path, *path.parents) if p.exists())
    free = shutil.disk_usage(existing).free / 1e9
    state = "exists" if path.is_dir() else "is made when it is needed"
    return f"{path} ({state}, {free:.0f} GB free)"
