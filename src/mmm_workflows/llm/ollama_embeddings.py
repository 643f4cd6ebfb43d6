"""Texts as vectors by an Ollama server, whose model and vectors are checked with every answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Final

import httpx
import numpy as np
from pydantic import BaseModel, ValidationError

from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.llm.ollama import client_arguments, shown_url, with_tag
from mmm_workflows.mmm.results import FloatArray

BATCH: Final = 32
PROBE: Final = "weekly sales"


class _Model(BaseModel):
    name: str
    digest: str


class _Tags(BaseModel):
    models: list[_Model]


class _Embeddings(BaseModel):
    embeddings: list[list[float]]


async def open_ollama_embedder(base_url: str, model: str, *, timeout_s: float) -> OllamaEmbedder:
    """The embedder of a server that has the model and has given a vector for one text.

    Raises:
        ServiceUnavailable: The server cannot be reached, does not have the model, or the model
            gives no vectors (``embeddings_unavailable``).
    """
    embedder = OllamaEmbedder(base_url, model, digest="", dimension=0, timeout_s=timeout_s)
    digest = await embedder.digest_there()
    vector = await embedder.ask([PROBE])
    return OllamaEmbedder(
        base_url, model, digest=digest, dimension=vector.shape[1], timeout_s=timeout_s
    )


class OllamaEmbedder:
    """Vectors of one model of an Ollama server; see ``ports.Embedder``.

    Args:
        base_url: Address of the server.
        model: A model that embeds, as ``ollama list`` names it.
        digest: The hash of its weights, as the server says it.
        dimension: The length of its vectors.
        timeout_s: How long to wait for one answer.
    """

    def __init__(
        self, base_url: str, model: str, *, digest: str, dimension: int, timeout_s: float
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._model = model
        self._digest = digest
        self._dimension = dimension
        self._timeout_s = timeout_s

    @property
    def model_id(self) -> str:
        """The model, with the hash of its weights."""
        return f"ollama:{with_tag(self._model)}@{self._digest[:12]}"

    @property
    def dimension(self) -> int:
        """The length of its vectors."""
        return self._dimension

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """One unit vector per text, ``(N, D)``; a text too long for the model is cut there.

        Raises:
            ServiceUnavailable: The server failed, or its model is another one by now
                (``embeddings_unavailable``).
        """
        if not texts:
            return np.empty((0, self._dimension))
        parts = [await self.ask(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        found = np.concatenate(parts)
        digest = await self.digest_there()
        if (digest, found.shape[1]) != (self._digest, self._dimension):
            raise self._unavailable(
                f"has another model under the name {self._model!r} than when it was opened "
                f"(hash {digest[:12]} and {found.shape[1]} numbers per text, expected "
                f"{self._digest[:12]} and {self._dimension})"
            )
        return found

    async def ask(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors for a few texts, as long as the server makes them."""
        body = {"model": self._model, "input": list(texts), "truncate": True}
        content = await self._call("POST", "/api/embed", body)
        try:
            rows = _Embeddings.model_validate_json(content).embeddings
            vectors = np.array(rows, float)
        except ValueError as error:  # pydantic's ValidationError, or rows of unequal length
            raise self._unavailable("does not answer as Ollama does when asked to embed") from error
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
        if vectors.shape[:1] != (len(texts),) or vectors.ndim != 2 or not (lengths > 0).all():
            raise self._unavailable(
                f"gave {vectors.shape} numbers for {len(texts)} texts, or a vector of zeros"
            )
        unit: FloatArray = vectors / lengths
        return unit

    async def digest_there(self) -> str:
        """The hash of the weights that the server has under the model's name now."""
        try:
            models = _Tags.model_validate_json(await self._call("GET", "/api/tags", None)).models
        except ValidationError as error:
            raise self._unavailable(
                "does not answer as Ollama does when asked for its models"
            ) from error
        for model in models:
            if with_tag(model.name) == with_tag(self._model):
                return model.digest
        names = ", ".join(sorted(model.name for model in models)) or "none"
        raise self._unavailable(
            f"does not have the model {self._model!r}; it has {names}. Run `ollama pull "
            f"{self._model}` there"
        )

    async def _call(self, method: str, path: str, body: object) -> bytes:
        # In a thread: a client reads certificates from disk.
        arguments = client_arguments(self._base_url, self._timeout_s)
        try:
            async with await asyncio.to_thread(httpx.AsyncClient, **arguments) as client:
                answer = await client.request(method, f"{self._base_url}{path}", json=body)
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            said = json.dumps(error.response.text[:200])
            raise self._unavailable(
                f"answered {path} with status {error.response.status_code}: {said}"
            ) from error
        except httpx.HTTPError as error:
            raise self._unavailable(
                f"cannot be reached ({str(error) or type(error).__name__})"
            ) from error
        return answer.content

    def _unavailable(self, problem: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"The Ollama server at {shown_url(self._base_url)} {problem}. Put that right, or unset "
            "the embedding model to use the one of this machine; until then, only words are "
            "searched.",
            code="embeddings_unavailable",
        )
