"""Track: from what really came to the scores of forecasts and plans."""

from __future__ import annotations

from mmm_workflows.workflows.graph import Step, Workflow
from mmm_workflows.workflows.state import TrackState
from mmm_workflows.workflows.steps import track


def build() -> Workflow[TrackState]:
    """The five phases of Track."""
    return Workflow(
        name="track",
        state=TrackState,
        first_state=track.first_state,
        steps=(
            Step("find_model", "Find the model", track.find_model),
            Step("read_actuals", "Read what came", track.read_actuals),
            Step("score_forecast", "Score the forecast", track.score_forecast),
            Step("score_plans", "Score earlier plans", track.score_earlier_plans),
            Step("summarise", "Create summary", track.summarise),
        ),
    )
