"""What a workflow asks of the world where more than one adapter can answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Hit, Node, NodeKind, Passage, Period
from mmm_workflows.mmm.pages import Page, SearchHit
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.records import Depth, Event


class FitJob(BaseModel):
    """All that a fit depends on; equal jobs under equal code give the same model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    mff_path: Path
    mff_sha256: str
    spec: ModelSpec
    seed: int
    depth: Depth


class FitProgress(BaseModel):
    """How far a fit is: draws finished per chain (tuning included), of ``draws_total`` in all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    draws_done: tuple[int, ...] = ()
    draws_total: int = 0
    divergences: int = 0
    seconds_left: float | None = None


class FitOutcome(BaseModel):
    """Where the model folder lies, and whether it was there before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    reused: bool


class Compute(Protocol):
    """Runs fits outside of this process."""

    async def fit(self, job: FitJob, on_progress: Callable[[FitProgress], None]) -> FitOutcome:
        """Fit, or find the folder of an equal fit.

        Raises:
            FitFailed: The fit raised an error (``fit_failed``) or its process ended
                (``fit_died``); nothing was published.
        """
        ...

    async def check(self) -> None:
        """See that fits can be made at this moment.

        Raises:
            ServiceUnavailable: They cannot, and why.
        """
        ...


class SharedFile(NamedTuple):
    """A file of a store that machines share; its name has its parts apart by ``/``."""

    name: str
    size_bytes: int
    changed_at: datetime


class SharedFiles(Protocol):
    """Files in a place that several machines reach; every method blocks.

    Each raises ``ServiceUnavailable`` where the place is away, refuses, or is not there.
    """

    @property
    def where(self) -> str:
        """The place, for a reader; without passwords."""
        ...

    def put(self, name: str, file: Path) -> None:
        """Keep a copy of a file; under its name it is seen whole or not at all."""
        ...

    def get(self, name: str, target: Path) -> bool:
        """Copy a file to a new path of this machine; whether there is one of this name."""
        ...

    def entries(self, below: str) -> list[SharedFile]:
        """The files whose names begin with ``below/``, ordered by name."""
        ...

    def remove(self, below: str) -> None:
        """Remove the files whose names begin with ``below/``; nothing happens when there are none."""
        ...

    def sweep(self) -> None:
        """Remove what writers left behind that died long ago."""
        ...


class Exchange(Protocol):
    """Carries files and folders between machines that share no folder; every method blocks."""

    @property
    def where(self) -> str:
        """The store in between, for a reader; without passwords."""
        ...

    def part(self, name: str) -> Exchange:
        """The same store, with every place below ``name``."""
        ...

    def put(self, place: str, path: Path) -> None:
        """Lay a file or folder down at a place, in the stead of what lay there under its name."""
        ...

    def bring(self, place: str, into: Path) -> Path | None:
        """Copy what lies at a place into a folder; its path there, None where nothing lies."""
        ...

    def has(self, place: str) -> bool:
        """Whether something lies at a place."""
        ...

    @property
    def store_id(self) -> str:
        """What tells this store from another one at the same address."""
        ...

    def gone(self, places: Sequence[str]) -> list[str]:
        """Those of some places, each ``<project>/<id>``, at which nothing lies any more."""
        ...

    def remove(self, place: str) -> None:
        """Remove what lies at a place or below it."""
        ...


class Follower(Protocol):
    """A reader of the events of one run; the one who follows closes it."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """Itself."""
        ...

    async def __anext__(self) -> Event:
        """The next event; ends with the run."""
        ...

    async def aclose(self) -> None:
        """Stop following and free what that took."""
        ...


class ProgressChannel(Protocol):
    """Carries events from the process that runs to those that watch; the event log is the truth."""

    async def publish(self, event: Event) -> None:
        """Tell the watchers of the event's run."""
        ...

    def follow(self, workflow_id: str) -> Follower:
        """Events published from now on, until the reader stops or the run ends."""
        ...


class Search(Protocol):
    """Finds pages for a query."""

    async def search(self, query: str, *, limit: int) -> tuple[SearchHit, ...]:
        """At most ``limit`` hits, best first; none is an empty tuple.

        Raises:
            WebError: The engine failed (``search_unavailable``), wants to be left alone
                (``search_rate_limited``), or a replay has no record (``page_not_recorded``).
        """
        ...


class PageReader(Protocol):
    """Reads pages from the public web and from nowhere else."""

    async def read(self, url: str, *, max_bytes: int) -> Page:
        """The visible text of the page at ``url``.

        Raises:
            WebError: The page was refused or could not be read (``page_...``).
        """
        ...


class Graph(Protocol):
    """Keeps nodes and edges; writes are idempotent, and nothing is overwritten."""

    async def add(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Write nodes and edges in one transaction; those that are there stay as they are."""
        ...

    async def expire(self, project: str, edge_ids: Sequence[str], *, at: datetime) -> None:
        """Say from when on edges are known to hold no more."""
        ...

    async def nodes(
        self, project: str, *, kind: NodeKind | None = None, ids: Sequence[str] | None = None
    ) -> list[Node]:
        """The nodes of a project, by kind or id, ordered by id."""
        ...

    async def neighbourhood(
        self,
        project: str,
        ids: Sequence[str],
        *,
        hops: int = 2,
        at: datetime | None = None,
        about: Period | None = None,
    ) -> tuple[list[Node], list[Edge]]:
        """What is reached from some nodes over at most ``hops`` edges.

        Args:
            project: Of the nodes.
            ids: Of the nodes.
            hops: At most so many.
            at: Edges as known at that moment; None for now.
            about: Edges whose time in the world meets it; None for all.
        """
        ...

    async def edges_near(
        self,
        project: str,
        ids: Sequence[str],
        *,
        hops: int = 2,
        at: datetime | None = None,
        about: Period | None = None,
    ) -> list[Edge]:
        """The edges of a neighbourhood without its nodes, for whoever needs no more."""
        ...

    async def edges_of_kinds(
        self, project: str, ids: Sequence[str], kinds: Sequence[EdgeKind], *, at: datetime | None
    ) -> list[Edge]:
        """The edges of some kinds at some nodes that were written by a moment, ended ones too."""
        ...

    async def everything(self, project: str) -> tuple[list[Node], list[Edge]]:
        """The whole graph of a project, expired edges included."""
        ...

    async def forget(self, project: str, *, workflow_id: str | None = None) -> int:
        """Delete what a run wrote, or a whole project; the number of nodes that are gone."""
        ...


class Vectors(Protocol):
    """Keeps one vector per passage and finds the nearest."""

    async def add(self, passages: Sequence[Passage], vectors: FloatArray) -> None:
        """Write passages with their vectors ``(N, D)``; the same id is written once."""
        ...

    async def nearest(
        self, vector: FloatArray, *, project: str, k: int, until: datetime | None = None
    ) -> list[Hit]:
        """The ``k`` passages nearest to a vector ``(D,)``, by cosine, best first."""
        ...

    async def ids(self, project: str) -> set[str]:
        """The ids of all passages of a project, for repair."""
        ...

    async def forget(self, project: str, *, workflow_id: str | None = None) -> None:
        """Delete what a run wrote, or a whole project."""
        ...


class Keywords(Protocol):
    """Keeps the text of passages and finds it by its words."""

    async def add(self, passages: Sequence[Passage]) -> None:
        """Write passages; the same id is written once."""
        ...

    async def search(
        self,
        question: str,
        *,
        project: str,
        k: int,
        until: datetime | None = None,
        about: Period | None = None,
    ) -> list[Hit]:
        """The ``k`` passages that share the rarest words with a question, best first."""
        ...

    async def passages(self, project: str, ids: Sequence[str] | None = None) -> list[Passage]:
        """Passages by their ids, or all of a project, ordered by id."""
        ...

    async def about(self, project: str, node_ids: Sequence[str]) -> list[Passage]:
        """The passages about some nodes, ordered by id."""
        ...

    async def forget(self, project: str, *, workflow_id: str | None = None) -> None:
        """Delete what a run wrote, or a whole project."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors; vectors of different models are never compared."""

    @property
    def model_id(self) -> str:
        """The model, with the hash of its weights."""
        ...

    @property
    def dimension(self) -> int:
        """The length of its vectors."""
        ...

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """One unit vector per text, ``(N, D)``."""
        ...
