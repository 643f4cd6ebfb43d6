"""Whose figure it is that stands in a result: its own run's, an earlier run's, or a refit's."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from mmm_workflows.mmm.chain_figures import Place
from mmm_workflows.records import Json

BEFORE: Final = frozenset({"before", "own_before"})
AFTER: Final = frozenset({"after", "own_after"})
# Fields of a result that hold its own run against the run that is named in them.
COMPARED: Final = frozenset({"plans", "earlier"})
# The field of an earlier answer that repeats a figure of the answer that shows it.
OWN: Final = "now"


@dataclass(frozen=True)
class Grounds:
    """What a figure rests on.

    Attributes:
        own: Whether on the run in whose result it stands.
        runs: The other runs.
        models: Folders of refits: models whose numbers no run returned as its own.
    """

    own: bool = True
    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


def grounds_of(place: Place) -> Grounds:
    """The runs and refits that a figure comes from, by the nearest record that names one."""
    own = place.result["workflow_id"]
    keys = [key for key, _ in place.trail]
    for at in range(len(place.trail) - 1, 0, -1):
        found, below = place.trail[at][1], keys[at + 1 :]
        if not isinstance(found, dict):
            continue
        if "earlier_run" in found:
            return _of_refresh(found, below)
        if "workflow_ids" in found:
            return Grounds(own=False, runs=tuple(found["workflow_ids"]))
        named = found.get("workflow_id")
        if named is not None and named != own and below[:1] != [OWN]:
            return Grounds(own=keys[1] in COMPARED, runs=(named,))
    return Grounds()


def _of_refresh(refresh: Json, below: list[str]) -> Grounds:
    if below[:1] == ["ladder"] and len(below) > 1:
        return _of_rung(refresh, int(below[1]), below)
    earlier, own = _sides(below)
    return Grounds(own=own, runs=(refresh["earlier_run"],) if earlier else ())


def _of_rung(refresh: Json, at: int, below: Collection[str]) -> Grounds:
    """A rung holds its fit against that of the rung below; the lowest against the earlier run."""
    ladder = refresh["ladder"]
    lower, upper = _sides(below)
    is_first, is_last = at == 0, at == len(ladder) - 1
    refits = [ladder[at - 1]["model_path"]] if lower and not is_first else []
    if upper and not is_last:
        refits.append(ladder[at]["model_path"])
    return Grounds(
        own=upper and is_last,
        runs=(refresh["earlier_run"],) if lower and is_first else (),
        models=tuple(refits),
    )


def _sides(keys: Collection[str]) -> tuple[bool, bool]:
    """Whether a figure is of the fit before, and of the one after; a difference is of both."""
    return AFTER.isdisjoint(keys), BEFORE.isdisjoint(keys)
