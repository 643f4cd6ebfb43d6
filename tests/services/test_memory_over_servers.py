"""What a run leaves behind, kept and found again with PostgreSQL, Neo4j and Chroma as servers."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from pydantic import SecretStr

from mmm_workflows.config import Settings
from mmm_workflows.mmm.recall import Way
from mmm_workflows.workflows.contracts import ResearchRequest
from mmm_workflows.workflows.runner import open_runner

from .chroma_state import chroma_url
from .neo4j_state import neo4j_state
from .postgres_state import fresh_database

pytestmark = pytest.mark.services


def on_servers(settings: Settings, database: str) -> Settings:
    """These settings with all three servers."""
    graph = neo4j_state()
    return settings.model_copy(
        update={
            "database_url": SecretStr(database),
            "chroma_url": chroma_url(),
            "neo4j_uri": graph["NEO4J_URI"],
            "neo4j_user": graph["NEO4J_USER"],
            "neo4j_password": SecretStr(graph["NEO4J_PASSWORD"]),
        }
    )


async def test_a_run_is_found_again_by_meaning_words_and_graph_until_it_is_forgotten(
    settings: Settings, tmp_path: Path
) -> None:
    project = f"t{secrets.token_hex(6)}"  # the servers are shared
    async with fresh_database() as database, open_runner(on_servers(settings, database)) as runner:
        try:
            await runner.start(
                "research",
                ResearchRequest(query="Build MMM for beverage brand"),
                workflow_id=f"{project}-r1",
                project=project,
            )
            recall = await runner.memory.recall("beverage plan", project=project, k=5)
            assert {use.way: use.reason for use in recall.ways} == dict.fromkeys(Way)
            assert all(use.count for use in recall.ways)
            assert recall.found
            assert {hit.passage.workflow_id for hit in recall.found} == {f"{project}-r1"}
            assert any("beverage" in hit.passage.text for hit in recall.found)
            found = await runner.memory.lineage(f"{project}-r1", project=project)
            assert found.graph is None and found.chain.workflow_id == f"{project}-r1"
            other = await runner.memory.recall("beverage plan", project="another", k=5)
            assert other.found == ()
        finally:
            await runner.delete(project)
        gone = await runner.memory.recall("beverage plan", project=project, k=5)
        assert gone.found == ()
        nodes, edges = await (await runner.services.open_memory()).everything(project)
        assert (nodes, edges) == ([], [])
    assert list(tmp_path.rglob("*.db*")) == []
    assert not (settings.home / "memory").exists()
