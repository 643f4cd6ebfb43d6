"""Vectors of passages in Chroma: a folder that one process owns, or a server.

Chroma gets vectors, ids and times, and never a text: what is forgotten elsewhere is not here.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import chromadb
import httpx
import numpy as np
from chromadb.config import Settings
from chromadb.errors import ChromaError, NotFoundError

from mmm_workflows.db.chroma_folder import OwnedFolder, scrub, sweep
from mmm_workflows.errors import ServiceUnavailable, SettingsError
from mmm_workflows.mmm.knowledge import Hit, Passage, digest
from mmm_workflows.mmm.results import FloatArray

SCHEMA_VERSION: Final = 1
BATCH: Final = 1000
# In memory at once, of those in a folder.
MOST_INDEXES: Final = 32
# Appended to the name of a collection that is to take another's place.
STAGED: Final = "-staged"


async def open_chroma_folder(
    folder: Path, *, model_id: str, dimension: int, timeout_s: float = 60.0
) -> ChromaVectors:
    """The vectors in a folder, owned by this process until ``aclose``.

    Chroma does not see what another process wrote to its folder: a second owner is refused.

    Args:
        folder: Made with mode 0700 where it is not there.
        model_id: The model whose vectors are kept.
        dimension: The length of its vectors.
        timeout_s: How long one call may take.

    Raises:
        ServiceUnavailable: Another process owns it (``vectors_owned``), or it cannot be opened.
    """
    owned = await asyncio.to_thread(OwnedFolder, folder)
    vectors = ChromaVectors(
        functools.partial(_open_folder, folder),
        where=str(folder),
        model_id=model_id,
        dimension=dimension,
        timeout_s=timeout_s,
        owned=owned,
    )
    return await _opened(vectors)


async def open_chroma_server(
    url: str, *, model_id: str, dimension: int, timeout_s: float = 60.0
) -> ChromaVectors:
    """The vectors of a Chroma server, which has answered once.

    Raises:
        SettingsError: ``url`` is no http address (``settings_invalid``).
        ServiceUnavailable: The server cannot be reached.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("CHROMA_URL is no address. Expected one like http://localhost:8000.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    ssl = parts.scheme == "https"
    shown = f"{parts.scheme}://{parts.hostname}:{port}"
    vectors = ChromaVectors(
        functools.partial(_open_server, parts.hostname, port, ssl=ssl, timeout_s=timeout_s),
        where=shown,
        model_id=model_id,
        dimension=dimension,
        timeout_s=timeout_s,
    )
    return await _opened(vectors)


class ChromaVectors:
    """One collection per project and model; see ``ports.Vectors``.

    One per project, because a filter by project costs 30 ms at 10,000 vectors (measured; 1 ms
    without), and because only a whole collection can be deleted without a trace.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        where: str,
        model_id: str,
        dimension: int,
        timeout_s: float,
        owned: OwnedFolder | None = None,
    ) -> None:
        self._connect = connect
        self._where = where
        self._model_id = model_id
        self._dimension = dimension
        self._timeout_s = timeout_s
        self._owned = owned
        # Chroma's client is synchronous and makes no promise about threads: it gets one.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chroma")
        self._client: Any = None
        self._collections: dict[str, Any] = {}

    async def add(self, passages: Sequence[Passage], vectors: FloatArray) -> None:
        """Write passages with their vectors ``(N, D)``; the same id is written once."""
        if vectors.shape != (len(passages), self._dimension):
            raise self._other_model(
                f"{len(passages)} passages came with vectors of shape {vectors.shape}"
            )
        by_project: dict[str, list[int]] = {}
        for row, passage in enumerate(passages):
            by_project.setdefault(passage.project, []).append(row)
        for project, rows in by_project.items():
            await self._run(self._add, project, [passages[i] for i in rows], vectors[rows])

    async def nearest(
        self, vector: FloatArray, *, project: str, k: int, until: datetime | None = None
    ) -> list[Hit]:
        """The ``k`` passages nearest to a vector ``(D,)``, by cosine, best first.

        The index is approximate; with ``until`` a search takes some 30 ms more (10,000 vectors).
        """
        if vector.shape != (self._dimension,):
            raise self._other_model(f"a question came as a vector of shape {vector.shape}")
        return await self._run(self._nearest, project, vector, k, until)

    async def ids(self, project: str) -> set[str]:
        """The ids of all passages of a project, for repair."""
        return await self._run(self._ids, project)

    async def forget(self, project: str, *, workflow_id: str | None = None) -> None:
        """Delete what a run wrote, or a whole project, whatever model made it.

        In a folder nothing of it is left on disk. A server takes it out of its index; when the
        bytes leave the server's disk is up to the server.
        """
        await self._run(self._forget, project, workflow_id)

    async def open(self) -> None:
        """Connect, and finish what a process that died had begun."""
        await self._run(lambda: None)

    async def aclose(self) -> None:
        """Free the folder or the connection."""
        await asyncio.to_thread(self._thread.shutdown, wait=True)
        if self._client is not None:
            await asyncio.to_thread(_close, self._client)
        if self._owned is not None:
            await asyncio.to_thread(scrub, self._owned.folder)
            self._owned.release()

    async def _run[**P, R](self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        work = functools.partial(self._told, call, *args, **kwargs)
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._thread, work), self._timeout_s)
        except TimeoutError as error:
            raise self._unavailable(f"did not answer within {self._timeout_s:g} s") from error

    def _told[**P, R](self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of a call, with Chroma's errors told as ours."""
        try:
            try:
                if self._client is None:
                    self._start()
                return call(*args, **kwargs)
            except NotFoundError:
                # Another client of the server forgot the project or made it anew.
                self._collections.clear()
                return call(*args, **kwargs)
            finally:
                if self._owned is not None:
                    scrub(self._owned.folder)
        except (ChromaError, httpx.HTTPError, sqlite3.Error, OSError) as error:
            raise self._unavailable(f"failed: {str(error) or type(error).__name__}") from error

    def _start(self) -> None:
        try:
            self._client = self._connect()
        except ValueError as error:  # what Chroma makes of a server that does not answer
            raise self._unavailable(f"cannot be opened: {error}") from error
        if self._owned is not None:
            self._finish_replacing()

    def _add(self, project: str, passages: list[Passage], vectors: FloatArray) -> None:
        there = self._collection(project)
        collection = there or self._create(self._name(project), project)
        for some in _batches(len(passages)):
            collection.add(
                ids=[passages[i].passage_id for i in some],
                embeddings=vectors[list(some)].astype(np.float32),
                metadatas=[_metadata(passages[i]) for i in some],
            )

    def _nearest(
        self, project: str, vector: FloatArray, k: int, until: datetime | None
    ) -> list[Hit]:
        collection = self._collection(project)
        if collection is None:
            return []
        found = collection.query(
            query_embeddings=[vector.astype(np.float32)],
            n_results=k,
            where=None if until is None else {"created_at": {"$lte": until.timestamp()}},
            include=["distances"],
        )
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        hits = [Hit(passage_id=name, score=1 - distance) for name, distance in pairs]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage_id))

    def _ids(self, project: str) -> set[str]:
        collection = self._collection(project)
        return set() if collection is None else set(collection.get(include=[])["ids"])

    def _forget(self, project: str, workflow_id: str | None) -> None:
        for collection in self._of_project(project):
            if workflow_id is None:
                self._client.delete_collection(collection.name)
            elif collection.get(where={"workflow_id": workflow_id}, limit=1, include=[])["ids"]:
                self._without(collection, workflow_id)
        self._collections.pop(project, None)
        if self._owned is not None:
            sweep(self._owned.folder)
            self._let_indexes_go()

    def _let_indexes_go(self) -> None:
        """Open the folder again, in 8 ms.

        Chroma keeps each index that was used in memory, 3 MB of 350 vectors, as long as the folder
        is open, also where its collection is deleted.
        """
        self._collections.clear()
        client, self._client = self._client, None
        _close(client)
        self._start()

    def _without(self, collection: Any, workflow_id: str) -> None:  # noqa: ANN401 - no types
        """Put a collection without a run in the place of one with it.

        A vector that is deleted stays in the files of its collection; a collection that is
        deleted does not. On a server others may be writing, so it deletes in place.
        """
        if self._owned is None:
            collection.delete(where={"workflow_id": workflow_id})
            return
        kept = collection.get(
            where={"workflow_id": {"$ne": workflow_id}}, include=["embeddings", "metadatas"]
        )
        staged = self._client.create_collection(
            collection.name + STAGED,
            embedding_function=None,
            metadata=collection.metadata,
            configuration={"hnsw": {"space": "cosine"}},
        )
        for some in _batches(len(kept["ids"])):
            staged.add(
                ids=[kept["ids"][i] for i in some],
                embeddings=[kept["embeddings"][i] for i in some],
                metadatas=[kept["metadatas"][i] for i in some],
            )
        self._client.delete_collection(collection.name)
        staged.modify(name=collection.name)

    def _finish_replacing(self) -> None:
        """A staged collection whose original is gone is whole; another one may lack vectors."""
        there = {collection.name: collection for collection in self._client.list_collections()}
        for name, collection in there.items():
            if name.endswith(STAGED):
                if name.removesuffix(STAGED) in there:
                    self._client.delete_collection(name)
                else:
                    collection.modify(name=name.removesuffix(STAGED))

    def _collection(self, project: str) -> Any:  # noqa: ANN401 - Chroma has no types
        """The project's collection; None where nothing was written yet."""
        if project not in self._collections:
            if self._owned is not None and len(self._collections) >= MOST_INDEXES:
                self._let_indexes_go()
            for found in self._of_project(project):
                if found.name != self._name(project):
                    raise self._other_model(
                        f"project {project!r} holds vectors of {found.metadata['model_id']!r} "
                        f"with {found.metadata['dimension']} numbers"
                    )
                # get_collection: what list_collections gives would embed by itself.
                self._collections[project] = self._client.get_collection(
                    found.name, embedding_function=None
                )
        return self._collections.get(project)

    def _create(self, name: str, project: str) -> Any:  # noqa: ANN401 - Chroma has no types
        # Or another client of the server was first.
        self._collections[project] = self._client.get_or_create_collection(
            name,
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine"}},
            metadata={
                "schema_version": SCHEMA_VERSION,
                "project": project,
                "model_id": self._model_id,
                "dimension": self._dimension,
            },
        )
        return self._collections[project]

    def _of_project(self, project: str) -> list[Any]:
        return [
            collection
            for collection in self._client.list_collections()
            if (collection.metadata or {}).get("project") == project
            and collection.name.startswith("mmm-")
        ]

    def _name(self, project: str) -> str:
        return f"mmm-{digest(project)}-{self._dimension}-{digest(self._model_id)}"

    def _unavailable(self, problem: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"The vectors at {self._where} cannot be used: the store {problem}. Check that it is "
            "there, not full and running; until then, only words are searched."
        )

    def _other_model(self, found: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"The vectors at {self._where} are of another model: {found}, expected "
            f"{self._model_id!r} with {self._dimension} numbers. Set the model that made them, or "
            "rebuild them from the stored text with `mmm-workflows memory repair --rebuild`.",
            code="vectors_of_another_model",
        )


async def _opened(vectors: ChromaVectors) -> ChromaVectors:
    try:
        await vectors.open()
    except BaseException:
        await vectors.aclose()
        raise
    return vectors


def _open_folder(folder: Path) -> Any:  # noqa: ANN401 - Chroma has no types
    try:
        return chromadb.PersistentClient(str(folder), settings=_settings())
    except AttributeError as error:
        # Chroma stumbles while it cleans up after a folder that it could not read.
        raise ValueError(str(error.__context__ or error)) from error


def _open_server(host: str, port: int, *, ssl: bool, timeout_s: float) -> Any:  # noqa: ANN401
    address = f"{'https' if ssl else 'http'}://{host}:{port}/api/v2/heartbeat"
    httpx.get(address, timeout=timeout_s).raise_for_status()
    settings = _settings(chroma_server_host=host, chroma_server_http_port=port)
    client = chromadb.HttpClient(host, port, ssl=ssl, settings=settings)
    # Chroma's client waits without end and has no setting for it: the thread would never be free.
    for session in _sessions(client):
        session.timeout = httpx.Timeout(timeout_s)
    return client


def _close(client: Any) -> None:  # noqa: ANN401 - Chroma has no types
    sessions = _sessions(client)
    client.close()
    # Chroma leaves its connections to a server to the garbage collector.
    for session in sessions:
        session.close()


def _sessions(client: Any) -> list[httpx.Client]:  # noqa: ANN401 - Chroma has no types
    """The connections to a server: one for its data and one for its names; none for a folder."""
    servers = (client._server, client._admin_client._server)
    return [server._session for server in servers if hasattr(server, "_session")]


def _settings(**given: str | int) -> Settings:
    """Chroma's settings from here alone: left to itself it reads a ``.env`` of its own."""
    return Settings(_env_file=None, anonymized_telemetry=False, allow_reset=False, **given)


def _batches(count: int) -> list[range]:
    return [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


def _metadata(passage: Passage) -> dict[str, str | float]:
    return {"workflow_id": passage.workflow_id, "created_at": passage.created_at.timestamp()}
