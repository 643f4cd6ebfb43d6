"""The whole pipeline on data/sales.csv: plan, clean data, fitted model, answer.

Run it from anywhere: python examples/full_workflow_example.py
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from mmm_workflows.records import Event
from mmm_workflows.workflows import (
    create_eda_workflow,
    create_modeling_workflow,
    create_research_workflow,
    create_whatif_workflow,
)

SALES = Path(__file__).parent.parent / "data" / "sales.csv"


def report(event: Event) -> None:
    """One line per event, as a program would follow a run."""
    print(f"{event.progress:>4.0%} {event.step or '':<18} {event.message}")


async def main() -> None:
    """Run the four workflows, handing each result on to the next."""
    research = await create_research_workflow()
    plan = await research.run("Build MMM for CPG brand with 2 years of weekly data")
    print(plan["synthesis"], end="\n\n")

    eda = await create_eda_workflow()
    data = await eda.run(
        data_sources=[str(SALES)],
        target_variable="Sales",
        media_channels=["TV_Spend", "Digital_Spend"],
    )
    print(f"Data: {data['quality_report']['data_verdict']}, MFF at {data['mff_data_path']}\n")

    modeling = await create_modeling_workflow()
    model = await modeling.run(
        mff_data_path=data["mff_data_path"],
        research_plan=plan["research_plan"],
        on_event=report,
    )
    print(f"\nFit: {model['fit_verdict']}. {model['summary']}\n")

    whatif = await create_whatif_workflow()
    answer = await whatif.run(
        model_artifact_path=model["model_artifact_path"],
        mff_data_path=data["mff_data_path"],
        user_query="What if we increase TV spend by 20%?",
    )
    print(answer["interpretation"]["echo"])
    print(answer["summary"])


if __name__ == "__main__":
    asyncio.run(main())
