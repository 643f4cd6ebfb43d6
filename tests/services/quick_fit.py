"""The real child process of a fit whose engine is quick: all of a fit but its numbers.

PYTHONPATH leads the child to ``quick_engine/sitecustomize.py``, which stands in for PyMC.
"""

from __future__ import annotations

from pathlib import Path

from mmm_workflows.bootstrap import fit_place
from mmm_workflows.config import child_environment
from mmm_workflows.tools.fit_child import FitPlace

ENGINE = Path(__file__).parent / "quick_engine"


def quick_environment() -> dict[str, str]:
    """The environment of a child that fits by the quick engine."""
    return {**child_environment(), "PYTHONPATH": str(ENGINE)}


def quick_place() -> FitPlace:
    """What a machine gives to its quick fits; asked on a worker of Dask."""
    place = fit_place()
    return FitPlace(place.cache_dir, quick_environment(), place.exchange)
