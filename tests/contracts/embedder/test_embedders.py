"""What every embedder must do: the model of this machine, and a server that speaks as Ollama."""

import asyncio
import hashlib
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.llm.embeddings import TOKENIZER, MiniLmEmbedder, installed_weights
from mmm_workflows.llm.ollama_embeddings import open_ollama_embedder
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
