"""From a number, a run or a file down to cells, draws and pages, by the records that runs left.

What a step rests on is read from the stored requests and results, and from the kept files; whatever
was deleted or was made elsewhere ends the chain, and is said to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from mmm_workflows.db.runs import RunStore
from mmm_workflows.errors import UserError
from mmm_workflows.mmm.chain import FileState, Link, LinkKind, state_of
from mmm_workflows.mmm.chain_figures import describe, find_place, is_result, subject_of
from mmm_workflows.mmm.chain_files import (
    actuals_link,
    cited_by,
    claim_link,
    dataset_link,
    decision_link,
    model_link,
)
from mmm_workflows.mmm.chain_runs import grounds_of
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.figures import figure
from mmm_workflows.mmm.scenario import ScenarioResult
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.records import MODEL, Artifact, Decision, Json, Run, RunStatus
from mmm_workflows.workflows.context import AtHand

MODELING: Final = "modeling"
NO_MAKER: Final = (
    "no run of this project that is left made it: the run was deleted, or it was made elsewhere."
)

UNREADABLE: Final = "another version stored its result in a form that this one does not read."
NOT_ITS_TABLE: Final = (
    "it is not the table that the model was fitted on: that one has the sha256 {}."
)


@dataclass(frozen=True)
class _Focus:
    """What a figure is of, and the series that are told one by one; all where none is named."""

    subject: str | None = None
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tracing:
    """Follows what the runs of one project left.

    Attributes:
        at_hand: Brings what another machine kept.
    """

    runs: RunStore
    project: str
    at_hand: AtHand

    async def number(self, run: Run, pointer: str) -> Link:
        """The figure at a JSON pointer into a run's result, and all that it rests on.

        Raises:
            UserError: There is no figure (``lineage_unknown``).
        """
        if run.status is not RunStatus.SUCCEEDED:
            raise UserError(
                f"Run {run.workflow_id} is {run.status}: only what succeeded has figures.",
                code="lineage_unknown",
            )
        place = find_place(run.result or {}, pointer)
        try:
            link, grounds = describe(place), grounds_of(place)
        except ValidationError as error:
            raise UserError(f"{pointer}: {UNREADABLE}", code="lineage_unknown") from error
        if link.kind is LinkKind.CLAIM:
            gone = [name for name in grounds.runs if not await self.runs.exists(name)]
            return link.model_copy(update={"missing": _deleted(gone[0])}) if gone else link
        focus = _Focus(subject_of(place)) if link.kind is LinkKind.NUMBER else _focus_of(link)
        below = [await self._result(run, place.part, place.result, focus)] if grounds.own else []
        below += [await self._other(name, focus) for name in grounds.runs]
        below += [await self._model(path, focus) for path in grounds.models]
        return link.model_copy(update={"rests_on": tuple(below)})

    async def run(self, run: Run) -> Link:
        """A run, and all that its result rests on; of a pipeline all of its parts."""
        result = run.result
        if result is None or run.status is not RunStatus.SUCCEEDED:
            return Link(
                kind=LinkKind.RUN,
                name=f"{run.workflow} {run.workflow_id}",
                workflow_id=run.workflow_id,
                missing=f"it is {run.status}, and only what succeeded has a result.",
            )
        parts = [(name, part) for name, part in result.items() if is_result(part)]
        if not parts:
            return await self._result(run, None, result, _Focus())
        below = [await self._result(run, name, part, _Focus()) for name, part in parts]
        return _run_link(run.workflow, result).model_copy(update={"rests_on": tuple(below)})

    async def file(self, path: str) -> Link | None:
        """A kept file or folder, by its path or hash; None where there is no record of it."""
        folder = str(Path(path).parent)
        kept = await self.runs.artifacts_named(self.project, path)
        if kept:
            return await self._kept(kept)
        if await self.runs.artifacts_named(self.project, folder):
            return await self._dataset(path, _Focus())
        return None

    async def claims(self, ids: Collection[str]) -> dict[str, Claim]:
        """The claims with these ids that Research runs of the project read."""
        found: dict[str, Claim] = {}
        if ids:
            for run in await self._succeeded("research"):
                for claim in _claims(run, ids):
                    found.setdefault(claim.claim_id, claim)
        return found

    async def _kept(self, kept: Sequence[Artifact]) -> Link:
        first, path = kept[0], Path(kept[0].path)
        await self._bring(first.path)
        if first.kind == MODEL:
            return await self._model(first.path, _Focus())
        if first.kind == "mff":
            tables = await asyncio.to_thread(lambda: sorted(path.glob("*.csv")))
            if tables:
                return await self._dataset(str(tables[0]), _Focus())
        state = FileState.GONE
        if await asyncio.to_thread(path.is_file):
            state = await asyncio.to_thread(state_of, path, first.sha256)
        makers = [await self.runs.get(each.workflow_id) for each in kept]
        return Link(
            kind=LinkKind.ARTIFACT,
            name=path.name,
            says=f"{first.kind} of {first.size_bytes} bytes",
            path=first.path,
            sha256=first.sha256,
            state=state,
            workflow_id=first.workflow_id,
            rests_on=tuple([await self.run(maker) for maker in makers[:1]]),
        )

    async def _other(self, workflow_id: str, focus: _Focus) -> Link:
        """The run that a figure in another run's result comes from."""
        if not await self.runs.exists(workflow_id):
            return Link(
                kind=LinkKind.RUN,
                name=workflow_id,
                workflow_id=workflow_id,
                missing=_deleted(workflow_id),
            )
        run = await self.runs.get(workflow_id)
        return (
            await self._result(run, None, run.result, focus) if run.result else await self.run(run)
        )

    async def _result(self, run: Run, part: str | None, result: Json, focus: _Focus) -> Link:
        """A run's own result, or that of a pipeline's part, which is a run of its own as well."""
        request, workflow = run.request, run.workflow
        link = _run_link(part or workflow, result)
        if part is not None:
            own = result["workflow_id"]
            if not await self.runs.exists(own):
                return link.model_copy(update={"missing": _deleted(own)})
            request = (await self.runs.get(own)).request
        try:
            below = await self._grounds(request, result, focus)
            decisions = [decision_link(Decision.model_validate(d)) for d in result["decisions"]]
        except (KeyError, ValidationError):
            return link.model_copy(update={"missing": UNREADABLE})
        # A table's sidecar keeps those of its own run as well.
        told = {(each.name, each.says) for top in below for each in top.all()}
        own_alone = [each for each in decisions if (each.name, each.says) not in told]
        return link.model_copy(update={"rests_on": (*below, *own_alone)})

    async def _grounds(self, request: Json, result: Json, focus: _Focus) -> list[Link]:
        """What any result rests on, by the fields that name it."""
        below: list[Link] = []
        if code_path := result.get("code_path"):
            name = Path(code_path).name
            below.append(
                Link(kind=LinkKind.PROGRAM, name=name, path=code_path, says="what was run")
            )
        model = result.get("model_artifact_path") or request.get("model_artifact_path")
        table = result.get("mff_data_path") or request.get("mff_data_path")
        if model:
            below.append(await self._model(model, focus, asked=result["workflow_id"], table=table))
        elif table:
            below.append(await self._dataset(table, focus))
        if sha256 := result.get("actuals_sha256"):
            await self._bring(request["actuals"])
            below.append(await asyncio.to_thread(actuals_link, request["actuals"], sha256))
        if "interpretation" in result:
            below = [_scenario(request, result, below)]
        claims = [Claim.model_validate(claim) for claim in result.get("claims", ())]
        return [*below, *(claim_link(claim) for claim in claims)]

    async def _model(
        self, path: str, focus: _Focus, *, asked: str | None = None, table: str | None = None
    ) -> Link:
        await self._bring(path)
        claims = await self.claims(await asyncio.to_thread(cited_by, path))
        link = await asyncio.to_thread(model_link, path, focus.subject, claims)
        made = await self._makers(path, MODELING)
        # A refit is registered by the run that compared with it and did not return it.
        fits = [run for run in made if (run.result or {}).get("model_artifact_path") == path]
        below = list(link.rests_on)
        if fits and asked not in [run.workflow_id for run in fits]:
            # The result that is asked about lists its own decisions beside the model.
            below += [decision_link(d) for d in await self.runs.decisions(fits[0].workflow_id)]
        if made and table is None:
            table = (fits or made)[0].request["mff_data_path"]
        if table is not None:
            below.append(_fitted_on(await self._dataset(table, _of_model(link, focus)), link))
        return link.model_copy(
            update={
                "rests_on": tuple(below),
                "workflow_id": made[0].workflow_id if made else None,
                "missing": link.missing or (None if made else NO_MAKER),
            }
        )

    async def _dataset(self, path: str, focus: _Focus) -> Link:
        await self._bring(path)
        made = await self._makers(str(Path(path).parent), "eda")
        sources = made[0].request["data_sources"] if made else ()
        link = await asyncio.to_thread(dataset_link, path, focus.variables, sources)
        if made:
            return link.model_copy(update={"workflow_id": made[0].workflow_id})
        return link if link.missing else link.model_copy(update={"missing": NO_MAKER})

    async def _bring(self, path: str) -> None:
        # What was damaged is not brought, and the chain ends there with a reason.
        with suppress(UserError):
            await self.at_hand([path])

    async def _makers(self, path: str, workflow: str) -> list[Run]:
        """The runs of a workflow that registered what lies at a path, the first first."""
        kept = await self.runs.artifacts_named(self.project, path)
        found = [await self.runs.get(artifact.workflow_id) for artifact in kept]
        return [run for run in found if run.workflow == workflow]

    async def _succeeded(self, workflow: str) -> Sequence[Run]:
        return await self.runs.list(
            project=self.project, workflow=workflow, status=RunStatus.SUCCEEDED, limit=None
        )


def _claims(run: Run, ids: Collection[str]) -> list[Claim]:
    """Those of a run that can be read; one that cannot ends the chain where it is cited."""
    found = []
    for claim in (run.result or {}).get("claims", ()):
        if claim.get("claim_id") in ids:
            with suppress(ValidationError):
                found.append(Claim.model_validate(claim))
    return found


def _fitted_on(table: Link, model: Link) -> Link:
    """The table of a model; nothing of what it holds where the model was fitted on another."""
    sha256 = model.facts.get("mff_sha256")
    if sha256 is None or table.sha256 in (None, sha256):
        return table
    return table.model_copy(update={"missing": NOT_ITS_TABLE.format(sha256), "rests_on": ()})


def _deleted(workflow_id: str) -> str:
    return f"the run {workflow_id} was deleted."


def _run_link(workflow: str, result: Json) -> Link:
    return Link(
        kind=LinkKind.RUN,
        name=f"{workflow} {result['workflow_id']}",
        says=f"depth {result['depth']}, seed {result['seed']}, worded by {result['generated_by']}",
        workflow_id=result["workflow_id"],
    )


def _scenario(request: Json, result: Json, below: Sequence[Link]) -> Link:
    plans = [ScenarioResult.model_validate(plan) for plan in result["scenario_results"]]
    spends = [
        f"{plan.name} from {plan.window.start} to {plan.window.end}: "
        + ", ".join(f"{name} {figure(spend)}" for name, spend in plan.totals.items())
        for plan in plans
    ]
    return Link(
        kind=LinkKind.SCENARIO,
        name=request["user_query"],
        says="; ".join((f"read as: {result['interpretation']['echo']}", *spends)),
        facts={
            "interpretation": result["interpretation"],
            "plans": [plan.model_dump(mode="json", exclude={"outcome"}) for plan in plans],
        },
        rests_on=tuple(below),
    )


def _focus_of(finding: Link) -> _Focus:
    variable = finding.facts["variable"]
    return _Focus(variables=(str(variable),)) if variable is not None else _Focus()


def _of_model(model: Link, focus: _Focus) -> _Focus:
    """The series of a channel's or driver's figure: its own and the target's; else all."""
    found = next((link.facts for link in model.rests_on if link.kind is LinkKind.SPEC), None)
    if found is None:
        return _Focus()
    spec = ModelSpec.model_validate(found)
    names = {*(c.name for c in spec.channels), *(c.name for c in spec.controls)}
    return (
        _Focus(focus.subject, (spec.target, str(focus.subject)))
        if focus.subject in names
        else _Focus()
    )


def unknown(asked: str, project: str) -> UserError:
    """Nothing has this name."""
    return UserError(
        f"Nothing in project {project!r} has the id, path or hash {asked!r}. Name a run, a kept "
        "file or its sha256, a node of `memory search --json`, or a number as "
        "RUN#/channels/0/roas/mean; another project with --project.",
        code="lineage_unknown",
    )
