"""On the labelled set, bringing the ways together costs nothing against the best one of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from labelled import AFTER, ALL_WAYS, BEFORE, BRANDS, SINGLE, fill, questions, score, stored

from mmm_workflows.db.chroma_vectors import open_chroma_folder
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.graphrag import Memory
from mmm_workflows.db.keywords import SqlKeywords
from mmm_workflows.db.ladybug_client import open_ladybug
from mmm_workflows.db.migrate import migrate
from mmm_workflows.llm.embeddings import MiniLmEmbedder, installed_weights

MARGIN = 0.05


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    await migrate(engine)
    embedder = MiniLmEmbedder(installed_weights())
    vectors = await open_chroma_folder(
        tmp_path / "vectors", model_id=embedder.model_id, dimension=embedder.dimension
    )
    graph = await open_ladybug(tmp_path / "graph")
    await graph.prepare()
    yield Memory(SqlKeywords(engine), vectors=vectors, embedder=embedder, graph=graph)
    await vectors.aclose()
    await graph.aclose()
    await engine.dispose()


def test_every_label_names_a_stored_passage_and_the_set_is_large_enough() -> None:
    there = {brand: {p.passage_id for p in stored(brand).passages} for brand in BRANDS}
    asked = [*questions(BEFORE), *questions(AFTER)]
    assert len(asked) >= 60 and len(questions(BEFORE)) >= 30
    assert sum(map(len, there.values())) >= 150
    for question in asked:
        assert question.find and set(question.find) <= there[question.project], question.ask


@pytest.mark.slow
async def test_recall_of_the_fusion_is_that_of_the_best_single_way_or_more(memory: Memory) -> None:
    await fill(memory)
    asked = [*questions(BEFORE), *questions(AFTER)]
    found = {name: (await score(memory, asked, ways))["all"] for name, ways in ALL_WAYS.items()}
    best = max(found[name] for name in SINGLE)
    assert found["fusion of all"] >= best - MARGIN, found
    # And no way of them is broken: each finds much more than the 5 of 50 that chance would.
    assert min(found.values()) > 0.3, found
