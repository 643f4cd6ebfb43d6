"""An experiment that is open is named for the channels of a plan, and for no other of their kind."""

from __future__ import annotations

import pytest

from mmm_workflows.mmm.experiments import OpenExperiment, of_channels
from mmm_workflows.records import now


@pytest.mark.parametrize(
    ("proposed_for", "planned", "is_named"),
    [
        ("Facebook_Spend", "Facebook_Spend", True),
        ("Facebook", "Facebook_Spend", True),
        ("Facebook_Spend", "TikTok_Spend", False),
        ("Social", "TikTok_Spend", True),
        ("Television", "TV_Spend", True),
        ("TV_Spend", "Radio_Spend", False),
    ],
)
def test_an_experiment_is_named_for_its_channel(
    proposed_for: str, planned: str, is_named: bool
) -> None:
    experiment = OpenExperiment(
        channel=proposed_for, design="geo test", proposed_at=now(), workflow_id="r", said="open"
    )
    assert bool(of_channels((experiment,), [planned])) is is_named
