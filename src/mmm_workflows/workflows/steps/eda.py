"""What EDA does in each phase; each reads the artifacts of the one before."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Final

from langgraph.runtime import Runtime

from mmm_workflows.mmm.advice import describe_earlier, describe_quality, recommend
from mmm_workflows.mmm.charts import charts_of
from mmm_workflows.mmm.checklist import tick
from mmm_workflows.mmm.dataset import Dataset, read_mff, write_mff
from mmm_workflows.mmm.earlier_data import EarlierRun, Named, Remembered, find_earlier
from mmm_workflows.mmm.facts import quality_facts
from mmm_workflows.mmm.ingest import make_dataset, merge_files
from mmm_workflows.mmm.plan import read_plan
from mmm_workflows.mmm.quality import QualityReport, check
from mmm_workflows.mmm.roles import Wishes, choose_roles
from mmm_workflows.mmm.tables import Table, read_table
from mmm_workflows.records import Finding, Json
from mmm_workflows.workflows.context import Context, read_kept
from mmm_workflows.workflows.contracts import (
    CleaningBody,
    DatasetBody,
    EarlierBody,
    EdaBody,
    QualityBody,
    ReadFile,
    VariableBody,
    Visualization,
)
from mmm_workflows.workflows.graph import Update
from mmm_workflows.workflows.state import EdaState
from mmm_workflows.workflows.steps.starting import (
    describe_start,
    record_start,
    runs_to_start_from,
)

ASK: Final = (
    "For what this report leaves open, ask the data: workflow ask answers a question by a program "
    "that runs in a sandbox, with its code beside it."
)


async def load_data(state: EdaState, runtime: Runtime[Context]) -> Update:
    """Read the files cell by cell and merge them; later phases read what was kept here.

    Which earlier run they are treated like is settled here as well, so that a step that runs again
    cannot meet another one.
    """
    request, context = state.request, runtime.context
    read_plan(request.research_plan)
    tables = [await asyncio.to_thread(read_table, Path(s)) for s in request.data_sources]
    named = Named(request.date_column, request.geography_column)
    await record_start(request, context)
    earlier = await asyncio.to_thread(find_earlier, await _runs(state, context), tables, named)
    table = await asyncio.to_thread(
        merge_files,
        tables,
        date_column=request.date_column,
        geography_column=request.geography_column,
        earlier=earlier.treatment,
    )
    kept = await context.keep_json("earlier_version", earlier)
    artifact = await context.keep_json("loaded_table", table)
    return {"loaded_path": artifact.path, "earlier_path": kept.path}


async def quality_checks(state: EdaState, runtime: Runtime[Context]) -> Update:
    """Give every column a role, read every cell, and check what it amounts to."""
    context = runtime.context
    dataset, findings = await asyncio.to_thread(_assemble, state, context.project)
    earlier = await asyncio.to_thread(_read_earlier, state)
    known = (*earlier.notes, *earlier.differences, *findings)
    report = await asyncio.to_thread(check, dataset, known)
    await context.record((*earlier.decisions, *dataset.sidecar.decisions))
    kept_report = await context.keep_json("quality_report", report)
    return {
        "quality_path": kept_report.path,
        "data_verdict": report.data_verdict.value,
    }


async def analyse(state: EdaState, runtime: Runtime[Context]) -> Update:
    """Draw the data."""
    context = runtime.context
    dataset, _ = await asyncio.to_thread(_assemble, state, context.project)
    charts = await asyncio.to_thread(charts_of, dataset)
    pictures = await context.draw([chart.vega_lite for chart in charts])
    shown = []
    for chart, picture in zip(charts, pictures, strict=True):
        svg = await context.keep("chart", f"{chart.slug}.svg", picture.encode())
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
    report = QualityReport.model_validate_json(await read_kept(state.quality_path))
    charts = json.loads(await read_kept(state.charts_path))
    earlier = _earlier_body(await asyncio.to_thread(_read_earlier, state))
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
        sources=tuple(ReadFile(name=s.name, sha256=s.sha256) for s in dataset.sidecar.sources),
        dataset=_dataset_body(dataset),
        earlier=earlier,
        quality_report=QualityBody(
            findings=report.findings,
            data_verdict=report.data_verdict.value,
            summary=" ".join(
                (*describe_start(state.request), *_same_treatment(earlier), words.text)
            ),
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
    treatment = _read_earlier(state).treatment
    return make_dataset(table, choose_roles(table, wishes, treatment), project=project)


async def _runs(state: EdaState, context: Context) -> list[EarlierRun]:
    """The runs of EDA to start from that have left data, the newest first."""
    done = await runs_to_start_from(state.request, context, "eda")
    return [
        EarlierRun(
            workflow_id=run.workflow_id,
            at=run.created_at,
            mff_data_path=str(run.result["mff_data_path"]),
            files=tuple(Path(source).name for source in run.request["data_sources"]),
        )
        for run in done
        if run.result is not None
    ]


def _dataset_body(dataset: Dataset) -> DatasetBody:
    sidecar, periods = dataset.sidecar, dataset.frame["Period"]
    return DatasetBody(
        frequency=sidecar.frequency,
        first_period=periods.min().date(),
        last_period=periods.max().date(),
        periods=periods.nunique(),
        geographies=tuple(place for place in dataset.geographies if place),
        variables=tuple(
            VariableBody(
                name=v.name, role=v.role, unit=v.unit, additivity=v.additivity, source=v.source
            )
            for v in sidecar.variables
        ),
        cleaning=tuple(
            CleaningBody(kind=s.kind, variable=s.variable, reason=s.reason, cells=len(s.cells))
            for s in sidecar.cleaning
        ),
    )


def _earlier_body(earlier: Remembered) -> EarlierBody | None:
    if earlier.run is None or earlier.relation is None or earlier.treatment is None:
        return None
    return EarlierBody(
        workflow_id=earlier.run.workflow_id,
        at=earlier.run.at,
        mff_data_path=earlier.run.mff_data_path,
        relation=earlier.relation,
        evidence=earlier.treatment.evidence,
        renamed=earlier.treatment.renamed,
        differences=earlier.differences,
    )


def _same_treatment(earlier: EarlierBody | None) -> tuple[str, ...]:
    if earlier is None:
        return ()
    return (
        describe_earlier(
            earlier.relation, earlier.workflow_id, earlier.at, len(earlier.differences)
        ),
    )


def _stem(dataset: Dataset) -> str:
    return Path(dataset.sidecar.sources[0].name).stem + "_mff"


def _read_earlier(state: EdaState) -> Remembered:
    return Remembered.model_validate_json(Path(state.earlier_path).read_bytes())


def _read_mff(path: str) -> Dataset:
    return read_mff(Path(path))


def first_state(request: Json) -> EdaState:
    """The state that a run starts from."""
    return EdaState.model_validate({"request": request})
