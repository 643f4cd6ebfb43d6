"""A refit that cannot be made costs its run nothing but what it would have told."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from mmm_workflows.errors import FitFailed
from mmm_workflows.mmm.model_files import ModelFolder
from mmm_workflows.mmm.refresh_causes import Refit
from mmm_workflows.mmm.refresh_values import Cause
from mmm_workflows.mmm.spec import ChannelSpec, Frequency, ModelSpec
from mmm_workflows.workflows.steps.refreshing import make_refits

SPEC = ModelSpec(
    target="Revenue", target_unit="EUR", target_is_money=True, spend_unit="EUR",
    frequency=Frequency.WEEKLY, start=date(2024, 1, 1), end=date(2024, 12, 30),
    channels=(ChannelSpec(name="TV", effect_scale=1.0),),
)  # fmt: skip


async def test_a_refit_that_fails_is_a_reason_and_those_after_it_are_not_made() -> None:
    refits = [Refit(c, Path("a.csv"), "0", SPEC, 1) for c in (Cause.RESTATED, Cause.ADDED)]
    asked: list[int] = []

    async def make(at: int, refit: Refit) -> ModelFolder:
        asked.append(at)
        raise FitFailed("The sampler stopped.")

    assert await make_refits(refits, make) == "a refit could not be made: The sampler stopped."
    assert asked == [0]
