"""What EDA does in each phase; each reads the artifacts of the one before."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Final

from langgraph.runtime import Runtime

from mmm_workflows.mmm.advice import describe_quality, recommend
from mmm_workflows.mmm.charts import draw
from mmm_workflows.mmm.checklist import tick
from mmm_workflows.mmm.dataset import Dataset, read_mff, write_mff
from mmm_workflows.mmm.facts import quality_facts
from mmm_workflows.mmm.ingest import load_files, make_dataset
from mmm_workflows.mmm.plan import read_plan
from mmm_workflows.mmm.quality import QualityReport, check
from mmm_workflows.mmm.roles import Wishes, choose_roles
from mmm_workflows.mmm.tables import Table
from mmm_workflows.records import Finding, Json
from mmm_workflows.workflows.context import Context
from mmm_workflows.workflows.contracts import EdaBody, QualityBody, Visualization
from mmm_workflows.workflows.graph import Update
from mmm_workflows.workflows.state import EdaState

ASK: Final = (
    "For what this report leaves open, ask the data: workflow ask answers a question by a program "
    "that runs in a sandbox, with its code beside it."
)


async def load_data(state: EdaState, runtime: Runtime[Context]) -> Update:
    """Read the files cell by cell and merge them; later phases read what was kept here."""
    request = state.request
    read_plan(request.research_plan)
    table = await asyncio.to_thread(
        load_files,
        [Path(source) for source in request.data_sources],
        date_column=request.date_column,
        geography_column=request.geography_column,
    )
    artifact = await runtime.context.keep_json("loaded_table", table)
    return {"loaded_path": artifact.path}


async def quality_checks(state: EdaState, runtime: Runtime[Context]) -> Update:
    """Give every column a role, read every cell, and check what it amounts to."""
    context = runtime.context
    dataset, findings = await asyncio.to_thread(_assemble, state, context.project)
    report = check(dataset, findings)
    await context.record(dataset.sidecar.decisions)
    kept_report = await context.keep_json("quality_report", report)
    return {
        "quality_path": kept_report.path,
        "data_verdict": report.data_verdict.value,
    }


async def analyse(state: EdaState, runtime: Runtime[Context]) -> Update:
    """Draw the data."""
    context = runtime.context
    dataset, _ = await asyncio.to_thread(_assemble, state, context.project)
    charts = await asyncio.to_thread(draw, dataset)
    shown = []
    for chart in charts:
        svg = await context.keep("chart", f"{chart.slug}.svg", chart.svg.encode())
        spec = await context.keep("chart", f"{chart.slug}.vl.json", chart.vega_lite.encode())
        shown.append({"title": chart.title, "svg_path": svg.path, "vega_lite_path": spec.path})
    artifact = await context.keep("charts", "charts.json", json.dumps(shown).encode())
    return {"charts_path": artifact.path}


async def transform_to_mff(state: EdaState, runtime: Runtime[Context]) -> Update:
    """Write the MFF and its sidecar, kept as one artifact."""
    context = runtime.context
    dataset, _ = await asyncio.to_thread(_assemble, state, context.project)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "mff"
        path = await asyncio.to_thread(write_mff, dataset, folder, _stem(dataset))
        artifact = await context.keep_folder("mff", folder)
    return {"mff_path": f"{artifact.path}/{path.name}"}


async def finalize(state: EdaState, runtime: Runtime[Context]) -> Update:
    """Say what follows for modeling, and assemble the result."""
    dataset = await asyncio.to_thread(_read_mff, state.mff_path)
    report = QualityReport.model_validate_json(await _read(state.quality_path))
    charts = json.loads(await _read(state.charts_path))
    names = tuple(v.name for v in dataset.sidecar.variables)
    words = await runtime.context.writer.write(
        "eda_summary",
        facts=quality_facts(report, names),
        assembled=describe_quality(report),
        values={"findings": "\n".join(f.message for f in report.findings) or "none"},
    )
    body = EdaBody(
        generated_by=words.generated_by,
        figures=words.figures,
        mff_data_path=state.mff_path,
        quality_report=QualityBody(
            findings=report.findings,
            data_verdict=report.data_verdict.value,
            summary=words.text,
        ),
        checklist=tick(read_plan(state.request.research_plan).data_requirements, dataset),
        visualizations=tuple(Visualization.model_validate(c) for c in charts),
        recommendations=(*recommend(dataset, report), ASK),
    )
    artifact = await runtime.context.keep_json("eda_result", body)
    return {"body_path": artifact.path}


def _assemble(state: EdaState, project: str) -> tuple[Dataset, tuple[Finding, ...]]:
    """Pure in the request and the loaded cells, so steps may repeat it."""
    request = state.request
    table = Table.model_validate_json(Path(state.loaded_path).read_bytes())
    wishes = Wishes(
        target=request.target_variable,
        channels=request.media_channels,
        controls=request.control_variables,
        date_column=request.date_column,
        geography_column=request.geography_column,
        target_unit=request.target_unit,
        currency=request.currency,
    )
    return make_dataset(table, choose_roles(table, wishes), project=project)


def _stem(dataset: Dataset) -> str:
    return Path(dataset.sidecar.sources[0].name).stem + "_mff"


def _read_mff(path: str) -> Dataset:
    return read_mff(Path(path))


async def _read(path: str) -> bytes:
    return await asyncio.to_thread(Path(path).read_bytes)


def first_state(request: Json) -> EdaState:
    """The state that a run starts from."""
    return EdaState.model_validate({"request": request})
