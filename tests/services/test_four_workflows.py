"""The four workflows with a real model server: what is proved is the client and the validation."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import open_runner

from .ollama_state import ollama_state

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(2400)]
DATA = Path(__file__).parents[2] / "data" / "sales.csv"
ARGUMENTS = {
    "query": "Build MMM for beverage brand",
    "data_sources": [str(DATA)],
    "target_variable": "Sales",
    "media_channels": ["TV_Spend", "Digital_Spend"],
    "user_query": "What if we increase TV spend by 20% over the next quarter?",
}


async def test_the_four_workflows_run_with_a_real_model_and_no_number_is_its_own(
    settings: Settings,
) -> None:
    state = ollama_state()
    real = settings.model_copy(
        update={
            "ollama_base_url": state["OLLAMA_BASE_URL"],
            "ollama_reasoning_model": state["OLLAMA_MODEL"],
            "ollama_coding_model": state["OLLAMA_MODEL"],
            # The tiny model seldom ends by itself: what it may say is what the test may take.
            "model_reply_tokens": 160,
            "model_max_calls": 3,
            "model_timeout_s": 600.0,
        }
    )
    async with open_runner(real) as runner:
        result = await runner.start(
            "pipeline", read_request("pipeline", ARGUMENTS), workflow_id="p"
        )
        used = []
        for part in ("research", "eda", "modeling", "whatif"):
            events = await runner.events(f"p.{part}")
            used += [e.data["model_usage"] for e in events if e.data and "model_usage" in e.data]
    assert result["status"] == "succeeded"
    assert result["generated_by"] != "rules", "the model was not asked"
    assert sum(u["calls"] for u in used) >= 4
    assert sum(u["reply_tokens"] for u in used) > 0
    async with open_runner(settings) as runner:
        plain = await runner.start("pipeline", read_request("pipeline", ARGUMENTS), workflow_id="q")
    assert plain["modeling"]["channels"] == result["modeling"]["channels"]
    assert plain["whatif"]["scenario_results"] == result["whatif"]["scenario_results"]
