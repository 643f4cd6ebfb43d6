"""How memory is plugged together: the text in the run database, vectors, and the graph."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mmm_workflows.config import Settings
from mmm_workflows.errors import ServiceUnavailable, SettingsError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from mmm_workflows.db.chroma_vectors import ChromaVectors
    from mmm_workflows.db.graphrag import Memory
    from mmm_workflows.db.ladybug_client import LadybugGraph
    from mmm_workflows.db.neo4j_client import Neo4jGraph
    from mmm_workflows.ports import Embedder

FOLDER: Final = "memory"


def memory_opener(
    settings: Settings, engine: AsyncEngine, stack: AsyncExitStack
) -> Callable[[], Awaitable[Memory]]:
    """Opens memory at its first use; ``stack`` closes it.

    A server that is set must answer. An embedded store that another process owns is left out, and
    every answer says so.
    """
    kept: list[Memory] = []
    turn = asyncio.Lock()

    async def opened() -> Memory:
        async with turn:
            if not kept:
                kept.append(await _open(settings, engine, stack))
            return kept[0]

    return opened


def has_memory(settings: Settings) -> bool:
    """Whether anything may be remembered; what was never opened need not be opened to forget."""
    is_served = settings.neo4j_uri is not None or settings.chroma_url is not None
    return is_served or (settings.home / FOLDER).exists()


async def _open(settings: Settings, engine: AsyncEngine, stack: AsyncExitStack) -> Memory:
    from mmm_workflows.db.graphrag import Memory
    from mmm_workflows.db.keywords import SqlKeywords
    from mmm_workflows.llm.embeddings import MiniLmEmbedder, installed_weights
    from mmm_workflows.mmm.recall import Way

    home, absent = settings.home / FOLDER, dict[Way, str]()
    embedder = MiniLmEmbedder(installed_weights())
    vectors: ChromaVectors | None = None
    graph: LadybugGraph | Neo4jGraph | None = None
    try:
        vectors = await _open_vectors(settings, home / "vectors", embedder)
        stack.push_async_callback(vectors.aclose)
    except ServiceUnavailable as error:
        if settings.chroma_url is not None:
            raise
        absent[Way.VECTORS] = error.message
    try:
        graph = await _open_graph(settings, home / "graph")
        stack.push_async_callback(graph.aclose)
        await graph.prepare()
    except ServiceUnavailable as error:
        if settings.neo4j_uri is not None:
            raise
        graph, absent[Way.GRAPH] = None, error.message
    return Memory(
        SqlKeywords(engine), vectors=vectors, embedder=embedder, graph=graph, absent=absent
    )


async def _open_vectors(settings: Settings, folder: Path, embedder: Embedder) -> ChromaVectors:
    from mmm_workflows.db.chroma_vectors import open_chroma_folder, open_chroma_server

    model_id, dimension = embedder.model_id, embedder.dimension
    if settings.chroma_url is not None:
        return await open_chroma_server(settings.chroma_url, model_id=model_id, dimension=dimension)
    return await open_chroma_folder(folder, model_id=model_id, dimension=dimension)


async def _open_graph(settings: Settings, folder: Path) -> LadybugGraph | Neo4jGraph:
    if settings.neo4j_uri is None:
        from mmm_workflows.db.ladybug_client import open_ladybug

        return await open_ladybug(folder)
    from mmm_workflows.db.neo4j_client import open_neo4j

    if settings.neo4j_password is None:
        raise SettingsError("NEO4J_URI is set and NEO4J_PASSWORD is not. Set both.")
    return await open_neo4j(
        settings.neo4j_uri,
        user=settings.neo4j_user,
        password=settings.neo4j_password.get_secret_value(),
    )
