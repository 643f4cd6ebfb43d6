"""How the stores are made ready before their first use, one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mmm_workflows.bootstrap.memory import FOLDER, open_embedder, open_vectors, prepared_graph
from mmm_workflows.bootstrap.records import checkpoints_file, connect_records, open_saver
from mmm_workflows.config import Settings, silence_telemetry
from mmm_workflows.errors import MMMError, ServiceUnavailable


async def prepare_stores(
    settings: Settings, on_ready: Callable[[str, str], None]
) -> dict[str, str]:
    """Where each store is, once it is made or migrated.

    Safe to repeat, and for several processes at once.

    Args:
        settings: Which stores are set.
        on_ready: Told each store and its place as soon as it is ready.

    Raises:
        MMMError: A store cannot be used; it is named, and those before it are ready.
    """
    silence_telemetry()
    made: dict[str, Callable[[Settings], Awaitable[str]]] = {
        "records": _records,
        "checkpoints": _checkpoints,
        "graph": _graph,
        "vectors": _vectors,
    }
    ready: dict[str, str] = {}
    for name, prepared in made.items():
        try:
            ready[name] = await prepared(settings)
        except MMMError as error:
            raise type(error)(f"The store of {name}: {error.message}", code=error.code) from error
        on_ready(name, ready[name])
    return ready


async def _records(settings: Settings) -> str:
    from mmm_workflows.db.engine import place
    from mmm_workflows.db.migrate import migrate

    engine = await connect_records(settings)
    try:
        await migrate(engine)
        return place(engine.url)
    finally:
        await engine.dispose()


async def _checkpoints(settings: Settings) -> str:
    async with open_saver(settings):
        pass
    urls = settings.database_urls
    if urls is None:
        return f"SQLite in {checkpoints_file(settings)}"
    from sqlalchemy import make_url

    from mmm_workflows.db.engine import place

    return place(make_url(urls.psycopg))


async def _graph(settings: Settings) -> str:
    """With its constraints and indexes."""
    folder = settings.home / FOLDER / "graph"
    graph = await prepared_graph(settings, folder)
    await graph.aclose()
    return (
        f"Neo4j at {settings.shown()['NEO4J_URI']}"
        if settings.neo4j_uri
        else f"Ladybug in {folder}"
    )


async def _vectors(settings: Settings) -> str:
    """Collections are made with a project's first passage: each is named by its model."""
    folder = settings.home / FOLDER / "vectors"
    embedder = await open_embedder(settings)
    place = (
        f"Chroma at {settings.shown()['CHROMA_URL']}"
        if settings.chroma_url
        else f"Chroma in {folder}"
    )
    try:
        vectors = await open_vectors(settings, folder, embedder)
    except ServiceUnavailable as error:
        if error.code != "vectors_owned":
            raise
        return f"{place}, in use by another process"
    await vectors.aclose()
    return f"{place}, by {embedder.model_id}"
