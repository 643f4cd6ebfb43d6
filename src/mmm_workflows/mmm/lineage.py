"""What a run leaves behind for later ones: written by code from its result, never by a model.

Each function takes a whole result, as a workflow returns it, and gives nodes, edges and passages. A
node's id is made of its project and what it stands for, so that a later run meets it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from mmm_workflows.mmm.knowledge import Edge, EdgeKind, Node, NodeKind, Passage, digest
from mmm_workflows.records import Json

PASSAGE_CHARACTERS = 4000


@dataclass
class Knowledge:
    """What is to be remembered of one run."""

    project: str
    workflow_id: str
    created_at: datetime
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[str, Edge] = field(default_factory=dict)
    passages: dict[str, Passage] = field(default_factory=dict)

    def node(self, kind: NodeKind, key: str, name: str, **properties: JsonValue) -> str:
        """The id of the node of this kind and key, which is noted."""
        node_id = f"{kind}:{digest(self.project, kind, key)}"
        self.nodes[node_id] = Node(
            project=self.project,
            workflow_id=self.workflow_id,
            created_at=self.created_at,
            node_id=node_id,
            kind=kind,
            name=name[:200],
            properties=properties,
        )
        return node_id

    def edge(self, source: str, kind: EdgeKind, target: str, evidence: str = "") -> None:
        """Note that one node stands to another."""
        edge = Edge(
            project=self.project,
            workflow_id=self.workflow_id,
            created_at=self.created_at,
            source=source,
            target=target,
            kind=kind,
            evidence=evidence,
        )
        self.edges[edge.edge_id] = edge

    def passage(self, node_id: str, kind: NodeKind, text: str, where: str) -> None:
        """Note a text about a node; nothing is noted of an empty one."""
        if not text.strip():
            return
        passage = Passage(
            project=self.project,
            workflow_id=self.workflow_id,
            created_at=self.created_at,
            passage_id=digest(self.project, node_id, text),
            text=text.strip()[:PASSAGE_CHARACTERS],
            kind=kind,
            node_id=node_id,
            where=where,
        )
        self.passages[passage.passage_id] = passage


def knowledge_of(workflow: str, result: Json, *, request: Json, at: datetime) -> Knowledge:
    """What the result of a workflow leaves behind; a pipeline leaves it to its parts.

    Args:
        workflow: Its name.
        result: As it was returned.
        request: What the run was asked.
        at: When the run ended.
    """
    known = Knowledge(result["project"], result["workflow_id"], at)
    tell = {
        "research": _research,
        "eda": _eda,
        "modeling": _modeling,
        "whatif": _whatif,
    }.get(workflow)
    if tell is not None:
        analysis = known.node(
            NodeKind.ANALYSIS, result["workflow_id"], f"{workflow} {result['workflow_id']}",
            workflow=workflow,
        )  # fmt: skip
        tell(known, analysis, result, request)
        _decisions(known, analysis, result)
    return known


def _research(known: Knowledge, analysis: str, result: Json, request: Json) -> None:
    plan = result["research_plan"]
    known.passage(
        analysis, NodeKind.ANALYSIS, f"{request['query']} {result['synthesis']}", "/synthesis"
    )
    for channel in plan["channels"]:
        known.edge(analysis, EdgeKind.ABOUT, _channel(known, channel["name"]))
    for claim in result["claims"]:
        said = known.node(NodeKind.CLAIM, claim["claim_id"], claim["statement"], tier=claim["tier"])
        page = known.node(NodeKind.DOCUMENT, claim["page_sha256"], claim["title"], url=claim["url"])
        known.edge(analysis, EdgeKind.BASED_ON, said)
        known.edge(said, EdgeKind.CITES, page, claim["quote"])
        known.passage(said, NodeKind.CLAIM, f"{claim['statement']} “{claim['quote']}”", "/claims")


def _eda(known: Knowledge, analysis: str, result: Json, request: Json) -> None:
    dataset = _dataset(known, result["mff_data_path"])
    known.edge(analysis, EdgeKind.PRODUCED, dataset)
    for source in request["data_sources"]:
        known.edge(dataset, EdgeKind.BASED_ON, known.node(NodeKind.DOCUMENT, source, source))
    for finding in result["quality_report"]["findings"]:
        known.passage(dataset, NodeKind.DATASET, finding["message"], "/quality_report/findings")
    known.passage(
        dataset, NodeKind.DATASET, " ".join(result["recommendations"]), "/recommendations"
    )


def _modeling(known: Knowledge, analysis: str, result: Json, request: Json) -> None:
    model = _model(known, result["model_artifact_path"])
    known.edge(analysis, EdgeKind.PRODUCED, model)
    known.edge(model, EdgeKind.BASED_ON, _dataset(known, request["mff_data_path"]))
    for channel in result["channels"]:
        known.edge(model, EdgeKind.ABOUT, _channel(known, channel["channel"]))
    known.passage(model, NodeKind.MODEL, result["summary"], "/summary")


def _whatif(known: Knowledge, analysis: str, result: Json, request: Json) -> None:
    model = _model(known, request["model_artifact_path"])
    plan = known.node(NodeKind.SCENARIO, result["workflow_id"], request["user_query"])
    known.edge(analysis, EdgeKind.PRODUCED, plan)
    known.edge(plan, EdgeKind.BASED_ON, model)
    known.passage(
        plan, NodeKind.SCENARIO, f"{request['user_query']} {result['summary']}", "/summary"
    )
    for index, advice in enumerate(result["recommendations"]):
        known.passage(plan, NodeKind.SCENARIO, advice, f"/recommendations/{index}")


def _decisions(known: Knowledge, analysis: str, result: Json) -> None:
    for index, decision in enumerate(result["decisions"]):
        made = known.node(
            NodeKind.DECISION, f"{result['workflow_id']} {index}", decision["question"],
            choice=decision["choice"], who=decision["who"],
        )  # fmt: skip
        known.edge(made, EdgeKind.ABOUT, analysis, decision["evidence"])
        text = f"{decision['question']} {decision['choice']}: {decision['reason']}"
        known.passage(made, NodeKind.DECISION, text, f"/decisions/{index}")


def _channel(known: Knowledge, name: str) -> str:
    return known.node(NodeKind.CHANNEL, name, name)


def _dataset(known: Knowledge, path: str) -> str:
    return known.node(NodeKind.DATASET, path, path.rpartition("/")[2], path=path)


def _model(known: Knowledge, path: str) -> str:
    return known.node(NodeKind.MODEL, path, path.rpartition("/")[2], path=path)


def describe_path(nodes: Sequence[Node], edges: Sequence[Edge], start: str) -> Iterator[str]:
    """The chain from a node down to what it rests on, one line per step, each node once."""
    names = {node.node_id: f"{node.kind} {node.name}" for node in nodes}
    seen, waiting = {start}, [(start, 0)]
    while waiting:
        at, depth = waiting.pop(0)
        yield f"{'  ' * depth}{names.get(at, at)}"
        for edge in sorted(edges, key=lambda e: (e.kind, e.target)):
            if edge.source == at and edge.target not in seen:
                seen.add(edge.target)
                waiting.append((edge.target, depth + 1))
