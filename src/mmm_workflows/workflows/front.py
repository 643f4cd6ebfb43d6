"""The workflows as a Python programmer holds them: create, then run with plain arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mmm_workflows.config import Settings
from mmm_workflows.errors import UserError
from mmm_workflows.records import DEFAULT_PROJECT, Depth, Json
from mmm_workflows.workflows import registry
from mmm_workflows.workflows.contracts import DEFAULT_SEED, Request
from mmm_workflows.workflows.execution import OnEvent
from mmm_workflows.workflows.runner import open_runner


def read_request(workflow: str, arguments: Json) -> Request:
    """The request of a workflow from plain arguments.

    Raises:
        UserError: An argument is missing, unknown or of another type (``request_invalid``).
    """
    try:
        return registry.find(workflow).request.model_validate(arguments)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{workflow} cannot take its argument {where}: {first['msg']}.") from error


@dataclass(frozen=True)
class _Handle:
    """Opens nothing until it runs, and gives back what it opened."""

    settings: Settings | None

    async def _run(
        self,
        workflow: str,
        arguments: Json,
        *,
        workflow_id: str | None,
        on_event: OnEvent | None,
        depth: str,
        seed: int,
        project: str,
    ) -> Json:
        request = read_request(workflow, arguments)
        async with open_runner(self.settings) as runner:
            return await runner.start(
                workflow,
                request,
                workflow_id=workflow_id,
                on_event=on_event,
                depth=_depth(depth),
                seed=seed,
                project=project,
            )


class ResearchWorkflow(_Handle):
    """From a question to a research plan."""

    async def run(
        self,
        query: str,
        *,
        target_variable: str | None = None,
        media_channels: Sequence[str] | None = None,
        review: bool = False,
        web_search: str | None = None,
        replay: str | None = None,
        start_from: str = "earlier",
        workflow_id: str | None = None,
        on_event: OnEvent | None = None,
        depth: str = Depth.STANDARD,
        seed: int = DEFAULT_SEED,
        project: str = DEFAULT_PROJECT,
    ) -> Json:
        """Plan the data for a question; ``review`` waits for a person before it ends.

        Target and channels are those of data that is there already.
        ``web_search`` is "on" or "off" (left out: the setting WEB_SEARCH); ``replay`` is a folder
        of recorded searches and pages, which is read in place of the web. With
        ``start_from="rules"`` no earlier plan or data of the project is taken up.
        """
        arguments = {
            "query": query,
            "target_variable": target_variable,
            "media_channels": _texts(media_channels),
            "review": review,
            "web_search": web_search,
            "replay": replay,
            "start_from": start_from,
        }
        return await self._run(
            "research", arguments,
            workflow_id=workflow_id, on_event=on_event, depth=depth, seed=seed, project=project,
        )  # fmt: skip


class EdaWorkflow(_Handle):
    """From files to trusted MFF."""

    async def run(
        self,
        data_sources: Sequence[str],
        target_variable: str | None = None,
        media_channels: Sequence[str] | None = None,
        *,
        date_column: str | None = None,
        geography_column: str | None = None,
        control_variables: Sequence[str] | None = None,
        target_unit: str | None = None,
        currency: str | None = None,
        research_plan: Json | None = None,
        start_from: str = "earlier",
        workflow_id: str | None = None,
        on_event: OnEvent | None = None,
        depth: str = Depth.STANDARD,
        seed: int = DEFAULT_SEED,
        project: str = DEFAULT_PROJECT,
    ) -> Json:
        """Check the files and turn them into MFF; what is not named is proposed and recorded.

        The data requirements of a ``research_plan`` are ticked in the result's ``checklist``.
        Data that the project read before is treated as then; ``start_from="rules"`` treats it anew.
        """
        arguments = {
            "data_sources": _texts(data_sources),
            "target_variable": target_variable,
            "media_channels": _texts(media_channels),
            "control_variables": _texts(control_variables),
            "date_column": date_column,
            "geography_column": geography_column,
            "target_unit": target_unit,
            "currency": currency,
            "research_plan": research_plan,
            "start_from": start_from,
        }
        return await self._run(
            "eda", arguments,
            workflow_id=workflow_id, on_event=on_event, depth=depth, seed=seed, project=project,
        )  # fmt: skip


class ModelingWorkflow(_Handle):
    """From MFF to a fitted model."""

    async def run(
        self,
        mff_data_path: str,
        research_plan: Json | None = None,
        feature_transformations: Json | None = None,
        *,
        margin: float | None = None,
        start_from: str = "earlier",
        workflow_id: str | None = None,
        on_event: OnEvent | None = None,
        depth: str = Depth.STANDARD,
        seed: int = DEFAULT_SEED,
        project: str = DEFAULT_PROJECT,
    ) -> Json:
        """Fit the model; an equal fit of before is reused. ``margin`` is profit per revenue.

        What is not said is chosen as in the project's fit that worked; ``start_from="rules"``
        chooses it anew.
        """
        arguments = {
            "mff_data_path": str(mff_data_path),
            "research_plan": research_plan,
            "feature_transformations": feature_transformations,
            "margin": margin,
            "start_from": start_from,
        }
        return await self._run(
            "modeling", arguments,
            workflow_id=workflow_id, on_event=on_event, depth=depth, seed=seed, project=project,
        )  # fmt: skip


class WhatifWorkflow(_Handle):
    """From a question in plain words to an exact scenario and an optimised budget."""

    async def run(
        self,
        model_artifact_path: str,
        mff_data_path: str,
        user_query: str,
        *,
        workflow_id: str | None = None,
        on_event: OnEvent | None = None,
        depth: str = Depth.STANDARD,
        seed: int = DEFAULT_SEED,
        project: str = DEFAULT_PROJECT,
    ) -> Json:
        """Answer the question on the draws of the model, or ask back (``status`` "waiting")."""
        arguments = {
            "model_artifact_path": str(model_artifact_path),
            "mff_data_path": str(mff_data_path),
            "user_query": user_query,
        }
        return await self._run(
            "whatif", arguments,
            workflow_id=workflow_id, on_event=on_event, depth=depth, seed=seed, project=project,
        )  # fmt: skip

    async def decide(
        self, workflow_id: str, answer: str, *, on_event: OnEvent | None = None
    ) -> Json:
        """Answer the question that a run waits with."""
        async with open_runner(self.settings) as runner:
            return await runner.decide(workflow_id, answer, on_event=on_event)


class TrackWorkflow(_Handle):
    """From what really came to the scores of forecasts and plans."""

    async def run(
        self,
        actuals: str,
        model_artifact_path: str | None = None,
        *,
        date_column: str | None = None,
        geography_column: str | None = None,
        workflow_id: str | None = None,
        on_event: OnEvent | None = None,
        depth: str = Depth.STANDARD,
        seed: int = DEFAULT_SEED,
        project: str = DEFAULT_PROJECT,
    ) -> Json:
        """Score a model's forecast, and the project's plans, by a newer version of its file.

        Without a path it is the project's newest model whose data ends before the file's does.
        """
        arguments = {
            "actuals": str(actuals),
            "model_artifact_path": (
                None if model_artifact_path is None else str(model_artifact_path)
            ),
            "date_column": date_column,
            "geography_column": geography_column,
        }
        return await self._run(
            "track", arguments,
            workflow_id=workflow_id, on_event=on_event, depth=depth, seed=seed, project=project,
        )  # fmt: skip


class AskWorkflow(_Handle):
    """From a question to the answer of a program that ran on the data in a sandbox."""

    async def run(
        self,
        mff_data_path: str,
        question: str,
        *,
        code: str | None = None,
        workflow_id: str | None = None,
        on_event: OnEvent | None = None,
        depth: str = Depth.STANDARD,
        seed: int = DEFAULT_SEED,
        project: str = DEFAULT_PROJECT,
    ) -> Json:
        """Have the coding model write a program, or run the ``code`` of a person."""
        return await self._run(
            "ask", {"mff_data_path": str(mff_data_path), "question": question, "code": code},
            workflow_id=workflow_id, on_event=on_event, depth=depth, seed=seed, project=project,
        )  # fmt: skip


def _texts(values: Sequence[str] | None) -> list[str] | None:
    if isinstance(values, str):
        raise UserError(
            f"Expected a list of names and found the text {values!r}: write [{values!r}]."
        )
    return None if values is None else [str(v) for v in values]


def _depth(depth: str) -> Depth:
    try:
        return Depth(depth)
    except ValueError as error:
        names: Any = ", ".join(Depth)
        raise UserError(f"There is no depth {depth!r}. There are {names}.") from error
