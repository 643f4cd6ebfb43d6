"""The labelled set: what three brands stored, what was asked, and what answers it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from mmm_workflows.db.graphrag import Memory
from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, NodeKind, Passage
from mmm_workflows.mmm.recall import Scope, Way

FOLDER = Path(__file__).parent
BRANDS = ("nordbrau", "luma", "velo")
BEFORE, AFTER = "questions_before", "questions_after"
WRITTEN = datetime(2025, 7, 1, tzinfo=UTC)
KINDS = {
    "ds": NodeKind.DATASET,
    "an": NodeKind.ANALYSIS,
    "fi": NodeKind.ANALYSIS,
    "de": NodeKind.DECISION,
    "mo": NodeKind.MODEL,
    "sc": NodeKind.SCENARIO,
    "ex": NodeKind.EXPERIMENT,
    "do": NodeKind.DOCUMENT,
    "cl": NodeKind.CLAIM,
    "ch": NodeKind.CHANNEL,
}
SINGLE = {way.value: (way,) for way in Way}
ALL_WAYS = {
    "fusion of all": tuple(Way),
    "vectors + keywords": (Way.VECTORS, Way.KEYWORDS),
    **SINGLE,
}


@dataclass(frozen=True)
class Question:
    project: str
    about: str
    ask: str
    find: tuple[str, ...]


@dataclass(frozen=True)
class Stored:
    nodes: list[Node]
    edges: list[Edge]
    passages: list[Passage]


def questions(name: str) -> list[Question]:
    rows = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["questions"]
    return [Question(**{**row, "find": tuple(row["find"])}) for row in rows]


def stored(brand: str) -> Stored:
    found = yaml.safe_load((FOLDER / f"{brand}.yaml").read_text())
    texts, triples = found["passages"], [line.split() for line in found["edges"]]
    common = {"project": brand, "workflow_id": "labelled", "created_at": WRITTEN}
    names = sorted({*texts, *(name for line in triples for name in line[::2])})
    return Stored(
        nodes=[Node(node_id=n, kind=KINDS[n[:2]], name=n, **common) for n in names],
        edges=[Edge(source=s, kind=EdgeKind(k), target=t, **common) for s, k, t in triples],
        passages=[
            Passage(passage_id=n, node_id=n, kind=KINDS[n[:2]], text=text, where=n, **common)
            for n, text in texts.items()
        ],
    )


async def fill(memory: Memory, brands: Iterable[str] = BRANDS) -> None:
    for brand in brands:
        of_brand = stored(brand)
        uses = await memory.remember(of_brand.nodes, of_brand.edges, of_brand.passages)
        assert all(use.ran for use in uses), uses


async def score(
    memory: Memory, asked: list[Question], ways: tuple[Way, ...], *, k: int = 5
) -> dict[str, float]:
    """Mean share of what answers among the first ``k``, over all questions and by kind."""
    shares: defaultdict[str, list[float]] = defaultdict(list)
    for question in asked:
        recall = await memory.recall(
            question.ask, scope=Scope(project=question.project), k=k, ways=ways
        )
        found = {hit.passage.passage_id for hit in recall.found}
        share = len(found & set(question.find)) / min(k, len(question.find))
        shares["all"].append(share)
        shares[question.about].append(share)
    return {about: sum(values) / len(values) for about, values in shares.items()}
