"""The stores of memory as they are here: each is there, or says why it is not."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmm_workflows.errors import ServiceUnavailable
from mmm_workflows.mmm.recall import Way, WayUse
from mmm_workflows.ports import Embedder, Graph, Keywords, Vectors


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The text, the truth of memory, and what may be there beside it.

    Attributes:
        maybe_vectors, maybe_embedder, maybe_graph: None where there is none.
        absent: Why one is None, told by the error of whoever asks for it.
    """

    keywords: Keywords
    maybe_vectors: Vectors | None = None
    maybe_embedder: Embedder | None = None
    maybe_graph: Graph | None = None
    absent: Mapping[Way, str] = field(default_factory=dict)

    @property
    def vectors(self) -> Vectors:
        """The vectors.

        Raises:
            ServiceUnavailable: There are none here.
        """
        if self.maybe_vectors is None:
            raise self._is_absent(Way.VECTORS)
        return self.maybe_vectors

    @property
    def embedder(self) -> Embedder:
        """The model whose vectors are stored.

        Raises:
            ServiceUnavailable: There is none here.
        """
        if self.maybe_embedder is None:
            raise self._is_absent(Way.VECTORS)
        return self.maybe_embedder

    @property
    def graph(self) -> Graph:
        """The graph.

        Raises:
            ServiceUnavailable: There is none here.
        """
        if self.maybe_graph is None:
            raise self._is_absent(Way.GRAPH)
        return self.maybe_graph

    def _is_absent(self, way: Way) -> ServiceUnavailable:
        return ServiceUnavailable(self.absent.get(way, f"There is no store for {way}."))


async def attempt[T](way: Way, work: Coroutine[Any, Any, T], otherwise: T) -> tuple[T, WayUse]:
    """What a store answered; where it cannot be used, what stands for nothing, and why."""
    try:
        answer = await work
    except ServiceUnavailable as error:
        return otherwise, WayUse(way=way, reason=error.message)
    return answer, WayUse(way=way, count=len(answer) if isinstance(answer, list) else 0)
