"""What may be loaded where, asked of a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mmm_workflows.errors import CODES, MMMError
from mmm_workflows.workflows import registry

HEAVY = {"pymc", "pytensor", "arviz", "pymc_marketing", "nutpie"}


def _loaded_by(statement: str) -> set[str]:
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "module",
    [
        "mmm_workflows.api.main",
        "mmm_workflows.cli.app",
        "mmm_workflows.workflows",
        "mmm_workflows.workflows.runner",
        "mmm_workflows.workflows.whatif_agent",
        "mmm_workflows.workflows.modeling_agent",
        "mmm_workflows.fit_process",
        "mmm_workflows.tools.compute",
    ],
)
def test_pymc_is_not_loaded_with(module: str) -> None:
    assert not HEAVY & _loaded_by(f"import {module}")


@pytest.mark.parametrize(
    "module",
    ["mmm_workflows.workflows.registry", "mmm_workflows.workflows", "mmm_workflows.cli.app"],
)
def test_neither_langgraph_nor_pandas_is_loaded_with(module: str) -> None:
    assert not {"langgraph", "pandas"} & _loaded_by(f"import {module}")


def test_the_service_answers_before_it_has_loaded_what_takes_seconds() -> None:
    loaded = _loaded_by("import mmm_workflows.api.main")
    assert not {"langgraph", "langchain_core", "pandas", "sqlalchemy"} & loaded


def test_langgraph_is_strict_about_its_checkpoints() -> None:
    loaded = _loaded_by(
        "import mmm_workflows.workflows.runner, langgraph.checkpoint.serde._msgpack as m;"
        "assert m.STRICT_MSGPACK_ENABLED is True"
    )
    assert "langgraph" in loaded


@pytest.mark.parametrize("name", sorted(registry.WORKFLOWS))
def test_every_workflow_of_the_registry_is_built(name: str) -> None:
    workflow = registry.find(name).load()
    assert workflow.name == name
    assert len(workflow.steps) == (4 if name == "ask" else 5)
    assert workflow.graph().compile() is not None


def test_an_unknown_workflow_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(MMMError, match="research, eda, modeling, whatif, track, ask"):
        registry.find("magic")


def test_an_error_takes_only_a_code_that_is_explained() -> None:
    with pytest.raises(KeyError):
        MMMError("no", code="never_heard_of")
    assert all(text.endswith(".") for text in CODES.values())
