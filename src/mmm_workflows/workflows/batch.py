"""Many brands from one file: each is read, checked and fitted as runs of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmm_workflows.errors import MMMError, RunCancelled, UserError
from mmm_workflows.mmm.names import suggestion
from mmm_workflows.mmm.results import ChannelResult, FitVerdict
from mmm_workflows.records import Depth, ErrorInfo, Event, Json, RunStatus
from mmm_workflows.workflows.contracts import DEFAULT_SEED, Request, StartFrom
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner

# Without dots, which part the names in the id of a run.
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"
MERGE: Final = "tag:yaml.org,2002:merge"
MOST_MERGED: Final = 1000


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Brand(_Strict):
    """One brand or market: its files, and what its columns are; what is left out is proposed.

    Attributes:
        project: Whose runs, data and models these are; the brand's own when left out.
        data: CSV files, relative to the batch file.
        transformations: As ``feature_transformations`` of Modeling.
    """

    brand: str = Field(pattern=NAME)
    project: str | None = None
    data: list[str] = Field(min_length=1)
    target: str | None = None
    channels: list[str] | None = None
    controls: list[str] | None = None
    date: str | None = None
    geo: str | None = None
    target_unit: str | None = None
    currency: str | None = None
    margin: float | None = None
    transformations: dict[str, Any] | None = None


class Batch(_Strict):
    """What a batch file holds.

    Attributes:
        name: The ids of its runs begin with it.
    """

    name: str = Field(pattern=NAME)
    seed: int = DEFAULT_SEED
    depth: Depth = Field(default=Depth.STANDARD, strict=False)
    start_from: StartFrom = "earlier"
    brands: list[Brand] = Field(min_length=1)


class BatchRow(_Strict):
    """What became of one brand; the fields of a fit are empty where there is none.

    Attributes:
        mape: Average miss of the fitted mean, in-sample, as a share.
        workflow_ids: Its runs: of the data, then of the model.
    """

    brand: str
    project: str
    status: RunStatus
    workflow_ids: tuple[str, ...]
    error: ErrorInfo | None = None
    fit_verdict: FitVerdict | None = None
    mape: float | None = None
    channels: tuple[ChannelResult, ...] = ()
    model_artifact_path: str | None = None


class BatchResult(_Strict):
    """One row per brand, in the order of the file."""

    batch: str
    rows: tuple[BatchRow, ...]

    @property
    def failed(self) -> int:
        """How many brands have no model."""
        return sum(row.status is not RunStatus.SUCCEEDED for row in self.rows)


def read_batch(path: Path) -> Batch:
    """The batch of a YAML file, with paths made absolute.

    Raises:
        UserError: There is no such file, it is no YAML, or it holds what is not known.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The batch file {path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"The batch file {path} is no YAML: {error}") from error
    try:
        batch = Batch.model_validate(content)
    except ValidationError as error:
        raise UserError(f"The batch file {path} {_complaint(error)}") from error
    names = [brand.brand for brand in batch.brands]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"The batch file {path} names {', '.join(twice)} twice. Give each entry its own name."
        )
    folder = path.absolute().parent
    brands = [
        brand.model_copy(update={"data": [str(folder / file) for file in brand.data]})
        for brand in batch.brands
    ]
    return batch.model_copy(update={"brands": brands})


async def run_batch(
    runner: Runner, batch: Batch, *, at_once: int, on_event: Callable[[Event], None]
) -> BatchResult:
    """Fit every brand, ``at_once`` at a time; one that fails or is cancelled stands in its row and stops no other.

    The ids of the runs come from the batch, the entry and the content of its files: a second call
    reads what is finished and goes on with the rest.
    """
    slots, done = asyncio.Semaphore(at_once), dict.fromkeys((b.brand for b in batch.brands), 0.0)

    async def row(brand: Brand) -> BatchRow:
        def heard(share_before: float) -> Callable[[Event], None]:
            def tell(event: Event) -> None:
                done[brand.brand] = share_before + event.progress / 2
                overall = sum(done.values()) / len(done)
                message = f"{brand.brand}: {event.message}"
                on_event(event.model_copy(update={"progress": overall, "message": message}))

            return tell

        async with slots:
            return await _fit_brand(runner, batch, brand, heard)

    async with asyncio.TaskGroup() as group:
        rows = [group.create_task(row(brand)) for brand in batch.brands]
    return BatchResult(batch=batch.name, rows=tuple(task.result() for task in rows))


async def _fit_brand(
    runner: Runner,
    batch: Batch,
    brand: Brand,
    heard: Callable[[float], Callable[[Event], None]],
) -> BatchRow:
    stem = f"{batch.name}.{brand.brand}.{await asyncio.to_thread(_digest, batch, brand)}"
    project, ids = brand.project or brand.brand, (f"{stem}.eda", f"{stem}.modeling")

    async def start(workflow: str, request: Request, workflow_id: str, before: float) -> Json:
        return await runner.start(
            workflow, request, workflow_id=workflow_id, project=project, seed=batch.seed,
            depth=batch.depth, on_event=heard(before),
        )  # fmt: skip

    try:
        data = await start("eda", read_request("eda", _eda(batch, brand)), ids[0], 0.0)
        asked = {
            "mff_data_path": data["mff_data_path"],
            "feature_transformations": brand.transformations,
            "margin": brand.margin,
            "start_from": batch.start_from,
        }
        model = await start("modeling", read_request("modeling", asked), ids[1], 0.5)
    except MMMError as error:
        said = ErrorInfo(code=error.code, message=error.message)
        is_cancelled = isinstance(error, RunCancelled)
        ended = RunStatus.CANCELLED if is_cancelled else RunStatus.FAILED
        return BatchRow(
            brand=brand.brand,
            project=project,
            workflow_ids=ids,
            status=ended,
            error=said,
        )
    return BatchRow(
        brand=brand.brand,
        project=project,
        workflow_ids=ids,
        status=RunStatus(model["status"]),
        fit_verdict=FitVerdict(model["fit_verdict"]),
        mape=model["fit"]["mape"],
        channels=tuple(ChannelResult.model_validate(c) for c in model["channels"]),
        model_artifact_path=model["model_artifact_path"],
    )


def _eda(batch: Batch, brand: Brand) -> Json:
    return {
        "start_from": batch.start_from,
        "data_sources": brand.data,
        "target_variable": brand.target,
        "media_channels": brand.channels,
        "control_variables": brand.controls,
        "date_column": brand.date,
        "geography_column": brand.geo,
        "target_unit": brand.target_unit,
        "currency": brand.currency,
    }


def _digest(batch: Batch, brand: Brand) -> str:
    """Another one for another entry, seed, depth, start or content of a file."""
    digest = hashlib.sha256(brand.model_dump_json().encode())
    digest.update(f"{batch.seed}/{batch.depth}/{batch.start_from}".encode())
    for name in brand.data:
        # What cannot be read is said in the brand's row, by the run that reads it.
        with contextlib.suppress(OSError):
            digest.update(hashlib.sha256(Path(name).read_bytes()).digest())
    return digest.hexdigest()[:12]


def _complaint(error: ValidationError) -> str:
    # A key that is spelled wrongly also leaves one out: the wrong one tells more.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        model = Brand if first["loc"][0] == "brands" else Batch
        unknown = str(first["loc"][-1])
        hint = suggestion(unknown, list(model.model_fields))
        return f"has the unknown key {unknown!r} at {where}.{hint}"
    return f"cannot be taken at {where or 'its top'}: {first['msg']}."


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Refuses a key that is written twice, of which YAML would drop the first in silence.

    What ``<<`` brings in may be written anew: that is what it is for.
    """

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        # As it is written: what is merged into a mapping stands among its keys later on.
        node = super().compose_mapping_node(anchor)
        written = [key for key, _ in node.value if key.tag != MERGE]
        keys = [self.construct_object(key, deep=True) for key in written]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} is written twice", node.start_mark
            )
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # Merges of merges grow without end in a few lines.
        written = len(node.value)
        super().flatten_mapping(node)
        if len(node.value) > max(written, MOST_MERGED):
            raise yaml.constructor.ConstructorError(
                None, None, f"'<<' brings in more than {MOST_MERGED} keys", node.start_mark
            )
