"""One graph per adapter, and a project that no other test uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from services.neo4j_state import neo4j_state

from mmm_workflows.db.ladybug_client import LadybugGraph, open_ladybug
from mmm_workflows.db.neo4j_client import Neo4jGraph, Neo4jLimits, open_neo4j

type AnyGraph = LadybugGraph | Neo4jGraph


async def connect_neo4j(limits: Neo4jLimits | None = None) -> Neo4jGraph:
    state = neo4j_state()
    return await open_neo4j(
        state["NEO4J_URI"],
        user=state["NEO4J_USER"],
        password=state["NEO4J_PASSWORD"],
        limits=limits,
    )


@pytest.fixture
def project() -> str:
    return f"test-{uuid4().hex}"


@asynccontextmanager
async def open_graph(adapter: str, folder: Path) -> AsyncIterator[AnyGraph]:
    graph = await (open_ladybug(folder) if adapter == "ladybug" else connect_neo4j())
    try:
        await graph.prepare()
        yield graph
    finally:
        await graph.aclose()


@pytest.fixture(params=["ladybug", pytest.param("neo4j", marks=pytest.mark.services)])
async def graph(
    request: pytest.FixtureRequest, tmp_path: Path, project: str
) -> AsyncIterator[AnyGraph]:
    async with open_graph(request.param, tmp_path / "graph") as opened:
        yield opened
        await opened.forget(project)


@pytest.fixture
async def neo4j_graph(project: str) -> AsyncIterator[Neo4jGraph]:
    opened = await connect_neo4j()
    await opened.prepare()
    yield opened
    await opened.forget(project)
    await opened.aclose()
