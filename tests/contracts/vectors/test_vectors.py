"""What every keeper of vectors must do: Chroma in a folder of ours, and a real Chroma server."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from services.chroma_state import chroma_url

from mmm_workflows.db.chroma_vectors import ChromaVectors, open_chroma_folder, open_chroma_server
from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.mmm.knowledge import NodeKind, Passage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = {"model_id": "m@1", "dimension": 4}


class Store:
    """Opens the store under test, again and as another model."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.url = chroma_url() if kind == "server" else ""

    async def open(self, **model) -> ChromaVectors:
        model = {**MODEL, **model}
        if self.kind == "server":
            return await open_chroma_server(self.url, **model)
        return await open_chroma_folder(self.folder, **model)


@pytest.fixture(params=["folder", pytest.param("server", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(request.param, tmp_path / "vectors")


@pytest.fixture
async def vectors(store: Store) -> AsyncIterator[ChromaVectors]:
    opened = await store.open()
    yield opened
    await opened.aclose()


@pytest.fixture
def project() -> str:
    return f"brand {uuid.uuid4()}"  # the server is shared by the tests


def passage(name: str, project: str, **more) -> Passage:
    values = {
        "passage_id": name,
        "text": f"text of {name}",
        "kind": NodeKind.ANALYSIS,
        "node_id": f"n-{name}",
        "where": "result.json#/x",
        "workflow_id": "run-1",
        "created_at": NOON,
        "project": project,
        **more,
    }
    return Passage(**values)


def rows(*values: tuple[float, ...]) -> np.ndarray:
    found = np.array(values, float)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


X, Y, Z = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0)


async def nearest(vectors: ChromaVectors, project: str, **more) -> list[str]:
    hits = await vectors.nearest(np.array(X), project=project, k=10, **more)
    return [hit.passage_id for hit in hits]


async def test_the_nearest_come_first_with_their_cosine(vectors, project) -> None:
    await vectors.add([passage(n, project) for n in "abc"], rows(Y, X, Z))
    hits = await vectors.nearest(np.array(X), project=project, k=2)
    assert [hit.passage_id for hit in hits] == ["b", "c"]
    assert [hit.score for hit in hits] == pytest.approx([1.0, 2**-0.5], abs=1e-5)


async def test_equal_distances_are_ordered_by_id(vectors, project) -> None:
    await vectors.add([passage(n, project) for n in "cab"], rows(X, X, X))
    assert await nearest(vectors, project) == ["a", "b", "c"]


async def test_the_same_id_is_written_once_and_stays_as_it_was(vectors, project) -> None:
    await vectors.add([passage("a", project)], rows(X))
    await vectors.add([passage("a", project), passage("b", project)], rows(Y, Y))
    hits = await vectors.nearest(np.array(X), project=project, k=5)
    assert [(h.passage_id, round(h.score, 3)) for h in hits] == [("a", 1.0), ("b", 0.0)]
    assert await vectors.ids(project) == {"a", "b"}


async def test_projects_are_separate(vectors, project) -> None:
    other = f"{project} other"
    await vectors.add([passage("a", project), passage("b", other)], rows(X, X))
    assert await nearest(vectors, project) == ["a"]
    await vectors.forget(other)
    assert await nearest(vectors, other) == []
    assert await vectors.ids(other) == set()
    assert await nearest(vectors, project) == ["a"]


async def test_only_what_was_known_by_then_is_found(vectors, project) -> None:
    later = passage("new", project, created_at=NOON + timedelta(seconds=1))
    await vectors.add([passage("old", project), later], rows(X, X))
    assert await nearest(vectors, project, until=NOON) == ["old"]
    assert await nearest(vectors, project, until=NOON + timedelta(seconds=1)) == ["new", "old"]


async def test_a_run_is_forgotten_alone_and_the_rest_can_be_added_to(vectors, project) -> None:
    kept = [passage(f"k{i}", project, workflow_id="run-2") for i in range(3)]
    await vectors.add([passage("a", project), *kept], rows(X, X, Y, Z))
    await vectors.forget(project, workflow_id="run-1")
    assert await nearest(vectors, project) == ["k0", "k2", "k1"]
    await vectors.add([passage("b", project)], rows(X))
    assert await vectors.ids(project) == {"k0", "k1", "k2", "b"}
    await vectors.forget(project, workflow_id="never ran")
    assert len(await vectors.ids(project)) == 4


async def test_what_was_written_is_there_after_reopening(store, project) -> None:
    first = await store.open()
    await first.add([passage("a", project)], rows(X))
    await first.aclose()
    again = await store.open()
    try:
        assert await nearest(again, project) == ["a"]
    finally:
        await again.aclose()


@pytest.mark.parametrize("model", [{"model_id": "m@2"}, {"dimension": 3}])
async def test_vectors_of_another_model_are_refused_until_forgotten(store, project, model) -> None:
    first = await store.open()
    await first.add([passage("a", project)], rows(X))
    await first.aclose()
    other = await store.open(**model)
    size = model.get("dimension", 4)
    try:
        with pytest.raises(ServiceUnavailable, match=r"'m@1' with 4 numbers") as refused:
            await other.nearest(np.eye(size)[0], project=project, k=1)
        assert refused.value.code == "vectors_of_another_model"
        with pytest.raises(ServiceUnavailable, match="another model"):
            await other.add([passage("b", project)], np.eye(size)[:1])
        await other.forget(project)
        await other.add([passage("b", project)], np.eye(size)[:1])
        assert await other.ids(project) == {"b"}
    finally:
        await other.aclose()


async def test_a_vector_of_the_wrong_length_is_refused(vectors, project) -> None:
    for call in (
        vectors.add([passage("a", project)], np.ones((1, 3))),
        vectors.add([passage("a", project)], np.ones((2, 4))),
        vectors.nearest(np.ones(3), project=project, k=1),
    ):
        with pytest.raises(ServiceUnavailable) as refused:
            await call
        assert refused.value.code == "vectors_of_another_model"
    assert await vectors.ids(project) == set()


async def test_hostile_names_are_only_names(vectors, project) -> None:
    names = ["'; DROP TABLE embeddings; --", '{"$ne": ""}', "a\nb", "🙂", "../../x", "%"]
    brands = [f"{name} {project}" for name in names]
    for name, brand in zip(names, brands, strict=True):
        await vectors.add([passage(name, brand, workflow_id=name)], rows(X))
    for name, brand in zip(names, brands, strict=True):
        assert await nearest(vectors, brand) == [name]
        await vectors.forget(brand, workflow_id=name)
        assert await vectors.ids(brand) == set()


async def test_parallel_writers_lose_nothing(vectors, project) -> None:
    async def write(run: int) -> None:
        for i in range(5):
            await vectors.add([passage(f"{run}-{i}", project)], rows(X))

    await asyncio.gather(*(write(run) for run in range(4)))
    assert len(await vectors.ids(project)) == 20


async def test_more_than_a_batch_is_written(vectors, project) -> None:
    many = np.random.default_rng(1).normal(size=(2500, 4))
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    await vectors.add([passage(f"{i:04}", project) for i in range(2500)], many)
    assert len(await vectors.ids(project)) == 2500
    found = await vectors.nearest(many[1234], project=project, k=1)
    assert found[0].score == pytest.approx(1, abs=1e-5)
