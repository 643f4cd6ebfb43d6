"""How memory is plugged together: the text in the run database, vectors, and the graph."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol

from mmm_workflows.config import Settings
from mmm_workflows.errors import MMMError, ServiceUnavailable, SettingsError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from mmm_workflows.db.chroma_vectors import ChromaVectors
    from mmm_workflows.db.graphrag import Memory
    from mmm_workflows.db.ladybug_client import LadybugGraph
    from mmm_workflows.db.neo4j_client import Neo4jGraph
    from mmm_workflows.mmm.recall import Way
    from mmm_workflows.ports import Embedder

FOLDER: Final = "memory"
# One more try after a second; the driver waits twice as long before each that follows.
GRAPH_RETRY_S: Final = 0.5


class _Store(Protocol):
    async def aclose(self) -> None: ...


class MemoryStores:
    """The stores of memory, opened at the first use; ``stack`` closes them.

    A server that is set must answer. An embedded store that another process owns is left out, every
    answer says so, and it is tried again at the next use.
    """

    def __init__(self, settings: Settings, engine: AsyncEngine, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._engine = engine
        self._stack = stack
        self._turn = asyncio.Lock()
        self._embedder: Embedder | None = None
        self._vectors: ChromaVectors | None = None
        self._graph: LadybugGraph | Neo4jGraph | None = None
        self._memory: Memory | None = None
        self._absent: dict[Way, str] = {}

    @property
    def is_open(self) -> bool:
        """Whether they were opened."""
        return self._memory is not None

    async def open(self) -> Memory:
        """Memory over the stores that can be had now.

        Raises:
            ServiceUnavailable: A server that is set cannot be used.
        """
        async with self._turn:
            if self._memory is None or self._absent:
                self._memory = await self._opened()
            return self._memory

    async def _opened(self) -> Memory:
        await asyncio.to_thread(_loaded, self._settings)
        from mmm_workflows.db.graphrag import Memory
        from mmm_workflows.db.keywords import SqlKeywords
        from mmm_workflows.mmm.recall import Way

        settings, home = self._settings, self._settings.home / FOLDER
        self._embedder = self._embedder or await open_embedder(settings)
        self._absent.clear()
        try:
            self._vectors = self._vectors or await self._kept(
                await open_vectors(settings, home / "vectors", self._embedder)
            )
        except ServiceUnavailable as error:
            if settings.chroma_url is not None:
                raise
            self._absent[Way.VECTORS] = error.message
        try:
            self._graph = self._graph or await self._kept(
                await prepared_graph(settings, home / "graph")
            )
        except ServiceUnavailable as error:
            if settings.neo4j_uri is not None:
                raise
            self._absent[Way.GRAPH] = error.message
        return Memory(
            SqlKeywords(self._engine),
            vectors=self._vectors,
            embedder=self._embedder,
            graph=self._graph,
            absent=dict(self._absent),
        )

    async def _kept[S: _Store](self, store: S) -> S:
        self._stack.push_async_callback(store.aclose)
        return store


def _loaded(settings: Settings) -> tuple[ModuleType, ...]:
    """The modules of the stores; their libraries take seconds to load, and the loop goes on."""
    from mmm_workflows.db import chroma_vectors, graphrag

    loaded: list[ModuleType] = [chroma_vectors, graphrag]
    if settings.neo4j_uri is None:
        from mmm_workflows.db import ladybug_client

        loaded.append(ladybug_client)
    else:
        from mmm_workflows.db import neo4j_client

        loaded.append(neo4j_client)
    if settings.ollama_embedding_model is None:
        from mmm_workflows.llm import embeddings

        loaded.append(embeddings)
    return tuple(loaded)


def has_memory(settings: Settings) -> bool:
    """Whether anything may be remembered; what was never opened need not be opened to forget."""
    is_served = settings.neo4j_uri is not None or settings.chroma_url is not None
    return is_served or (settings.home / FOLDER).exists()


async def open_embedder(settings: Settings) -> Embedder:
    """The embedder of these settings: one of the Ollama server that is set, or this machine's.

    Raises:
        SettingsError: OLLAMA_EMBEDDING_MODEL is set without OLLAMA_BASE_URL.
        ServiceUnavailable: The server or its model cannot be used (``embeddings_unavailable``).
    """
    if settings.ollama_embedding_model is None:
        from mmm_workflows.llm.embeddings import MiniLmEmbedder, installed_weights

        return MiniLmEmbedder(installed_weights())
    if settings.ollama_base_url is None:
        raise SettingsError(
            "OLLAMA_EMBEDDING_MODEL is set and OLLAMA_BASE_URL is not. Set both, or unset the "
            "model to use the one of this machine."
        )
    from mmm_workflows.llm.ollama_embeddings import open_ollama_embedder

    return await open_ollama_embedder(
        settings.ollama_base_url,
        settings.ollama_embedding_model,
        timeout_s=settings.model_timeout_s,
    )


async def examined_embedder(settings: Settings) -> str:
    """Which embedder turns texts into vectors, or why none can."""
    try:
        embedder = await open_embedder(settings)
        await embedder.embed(["weekly sales"])
    except MMMError as error:
        return error.message
    return f"{embedder.model_id}, {embedder.dimension} numbers per text"


async def open_vectors(settings: Settings, folder: Path, embedder: Embedder) -> ChromaVectors:
    """The vectors of these settings: a server's, or a folder that this process owns."""
    from mmm_workflows.db.chroma_vectors import open_chroma_folder, open_chroma_server

    model_id, dimension = embedder.model_id, embedder.dimension
    if settings.chroma_url is not None:
        return await open_chroma_server(settings.chroma_url, model_id=model_id, dimension=dimension)
    return await open_chroma_folder(folder, model_id=model_id, dimension=dimension)


async def prepared_graph(settings: Settings, folder: Path) -> LadybugGraph | Neo4jGraph:
    """The graph of these settings, with its tables, constraints and indexes."""
    graph = await _open_graph(settings, folder)
    try:
        await graph.prepare()
    except BaseException:
        await graph.aclose()
        raise
    return graph


async def _open_graph(settings: Settings, folder: Path) -> LadybugGraph | Neo4jGraph:
    if settings.neo4j_uri is None:
        from mmm_workflows.db.ladybug_client import open_ladybug

        return await open_ladybug(folder)
    from mmm_workflows.db.neo4j_client import Neo4jLimits, open_neo4j

    if settings.neo4j_password is None:
        raise SettingsError("NEO4J_URI is set and NEO4J_PASSWORD is not. Set both.")
    return await open_neo4j(
        settings.neo4j_uri,
        user=settings.neo4j_user,
        password=settings.neo4j_password.get_secret_value(),
        # What a server that is away did not take waits in the outbox: a run need not wait for it.
        limits=Neo4jLimits(retry_s=GRAPH_RETRY_S),
    )
