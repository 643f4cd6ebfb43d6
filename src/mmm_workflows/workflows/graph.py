"""A workflow as steps in a row, built into a LangGraph graph whose nodes cannot lose a key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from pydantic import ValidationError

from mmm_workflows.records import Json
from mmm_workflows.traces import span
from mmm_workflows.workflows.context import Context
from mmm_workflows.workflows.state import State

type Update = dict[str, Any]
type Body[S: State] = Callable[[S, Runtime[Context]], Awaitable[Update]]


@dataclass(frozen=True)
class Step[S: State]:
    """One phase of a workflow.

    Attributes:
        title: What a watcher reads while it runs.
        weight: Its share of the run's time, relative to the other steps.
        repeat_while: Run the step again while this holds (a question that is still open).
    """

    name: str
    title: str
    body: Body[S]
    weight: float = 1.0
    repeat_while: Callable[[S], bool] | None = None


@dataclass(frozen=True)
class Workflow[S: State]:
    """Steps in a row over one typed state.

    Attributes:
        first_state: The state a run starts from, made from its request.
    """

    name: str
    state: type[S]
    steps: tuple[Step[S], ...]
    first_state: Callable[[Json], S]

    @property
    def graph_version(self) -> str:
        """Changes with the steps and the fields of the state, so that no checkpoint is misread."""
        shape = [[s.name for s in self.steps], self.state.model_json_schema()]
        return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:12]

    def span(self, step_name: str) -> tuple[float, float]:
        """Where a step begins and ends on the run's progress from 0 to 1."""
        total = sum(s.weight for s in self.steps)
        before = 0.0
        for step in self.steps:
            if step.name == step_name:
                return before / total, (before + step.weight) / total
            before += step.weight
        raise KeyError(step_name)

    def graph(self) -> StateGraph[S, Context]:
        """The graph, still without a checkpointer."""
        graph = StateGraph(self.state, context_schema=Context)
        for step in self.steps:
            graph.add_node(step.name, _node(step))
        names = [s.name for s in self.steps]
        graph.add_edge(START, names[0])
        for step, after in zip(self.steps, [*names[1:], END], strict=True):
            if step.repeat_while is None:
                graph.add_edge(step.name, after)
            else:
                graph.add_conditional_edges(
                    step.name, partial(_next, step, after), [step.name, after]
                )
        return graph


def _next(step: Step[Any], after: str, state: State) -> str:
    assert step.repeat_while is not None
    return step.name if step.repeat_while(state) else after


class _Node[S](Protocol):
    """What LangGraph takes for a node: it looks at the names of the parameters."""

    async def __call__(self, state: S, runtime: Runtime[Context]) -> Update: ...


def _node[S: State](step: Step[S]) -> _Node[S]:
    async def node(state: S, runtime: Runtime[Context]) -> Update:
        speak = runtime.context.speak_as(step.name)
        await speak(0.0, step.title)
        with span(f"step {step.name}", workflow_id=runtime.context.workflow_id):
            update = await step.body(state, runtime)
        check_update(state, update, step.name)
        await speak(1.0, f"{step.title}: done")
        return update

    return node


def check_update(state: State, update: Mapping[str, Any], step_name: str) -> None:
    """Refuse what LangGraph would drop or let through in silence.

    Raises:
        KeyError: The update has a key that the state does not have.
        TypeError: A value is not of its field's type.
    """
    unknown = set(update) - set(type(state).model_fields)
    if unknown:
        raise KeyError(f"step {step_name} returned unknown state keys {sorted(unknown)}")
    try:
        type(state).model_validate({**state.model_dump(), **update})
    except ValidationError as error:
        raise TypeError(f"step {step_name} returned a state of wrong types: {error}") from error
