"""What a run leaves behind for later ones: written by code from its result, never by a model.

Each function takes a whole result, as a workflow returns it, and gives nodes, edges and passages. A
node's id is made of its project and what it stands for, so that a later run meets it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.earlier_answers import Direction, direction
from mmm_workflows.mmm.experiments import Experiment, experiments_of
from mmm_workflows.mmm.figures import money
from mmm_workflows.mmm.interpretation import describe_channel
from mmm_workflows.mmm.knowledge import (
    Edge,
    EdgeKind,
    Node,
    NodeKind,
    Passage,
    Period,
    digest,
    node_id,
)
from mmm_workflows.mmm.results import ChannelResult, FitVerdict
from mmm_workflows.mmm.spoken_of import spoken_of, years
from mmm_workflows.mmm.standing import stated
from mmm_workflows.records import Json

PASSAGE_CHARACTERS = 4000


@dataclass
class Knowledge:
    """What is to be remembered of one run.

    Attributes:
        about: The days that it speaks of: those of its data or of its plan; None where it names
            none.
    """

    project: str
    workflow_id: str
    created_at: datetime
    about: Period | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[str, Edge] = field(default_factory=dict)
    passages: dict[str, Passage] = field(default_factory=dict)

    def node(self, kind: NodeKind, key: str, name: str, **properties: JsonValue) -> str:
        """The id of the node of this kind and key, which is noted."""
        found = node_id(self.project, kind, key)
        self.nodes[found] = Node(
            project=self.project,
            workflow_id=self.workflow_id,
            created_at=self.created_at,
            node_id=found,
            kind=kind,
            name=name[:200],
            properties=properties,
        )
        return found

    def edge(
        self,
        source: str,
        kind: EdgeKind,
        target: str,
        evidence: str = "",
    ) -> None:
        """Note that one node stands to another, of which time; what replaces is of no time."""
        about = None if kind is EdgeKind.SUPERSEDES else self.about
        edge = Edge(
            project=self.project,
            workflow_id=self.workflow_id,
            created_at=self.created_at,
            source=source,
            target=target,
            kind=kind,
            evidence=evidence or f"the result of run {self.workflow_id}",
            valid_from=about and about.begins,
            valid_to=about and about.ends,
        )
        self.edges[edge.edge_id] = edge

    def passage(
        self, node_id: str, kind: NodeKind, text: str, where: str, *, about: Period | None = None
    ) -> None:
        """Note a text about a node, of the run's time or its own; nothing is noted of an empty one."""
        if not text.strip():
            return
        about = about or self.about
        passage = Passage(
            project=self.project,
            workflow_id=self.workflow_id,
            created_at=self.created_at,
            passage_id=digest(self.project, node_id, text),
            text=text.strip()[:PASSAGE_CHARACTERS],
            kind=kind,
            node_id=node_id,
            where=where,
            valid_from=about and about.begins,
            valid_to=about and about.ends,
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
    known = Knowledge(result["project"], result["workflow_id"], at, spoken_of(workflow, result))
    tell = {
        "research": _research,
        "eda": _eda,
        "modeling": _modeling,
        "whatif": _whatif,
        "track": _track,
    }.get(workflow)
    if tell is not None:
        analysis = known.node(
            NodeKind.ANALYSIS, result["workflow_id"], f"{workflow} {result['workflow_id']}",
            workflow=workflow,
        )  # fmt: skip
        tell(known, analysis, result, request)
        _decisions(known, analysis, result)
        for experiment in experiments_of(workflow, result):
            _experiment(known, analysis, experiment, request)
    return known


def _research(known: Knowledge, analysis: str, result: Json, request: Json) -> None:
    plan = result["research_plan"]
    known.passage(
        analysis, NodeKind.ANALYSIS, f"{request['query']} {result['synthesis']}", "/synthesis"
    )
    for channel in plan["channels"]:
        known.edge(analysis, EdgeKind.ABOUT, _channel(known, channel["name"]))
    _replaces_plan(known, analysis, result)
    for claim in result["claims"]:
        said, page = _claim(known, claim), _page(known, claim)
        known.edge(analysis, EdgeKind.BASED_ON, said)
        known.edge(said, EdgeKind.CITES, page, claim["quote"])
        known.passage(
            said, NodeKind.CLAIM, f"{claim['statement']} “{claim['quote']}”", "/claims",
            about=years(claim.get("period")),
        )  # fmt: skip


def _page(known: Knowledge, claim: Json) -> str:
    return known.node(NodeKind.DOCUMENT, claim["page_sha256"], claim["title"], url=claim["url"])


def _claim(known: Knowledge, claim: Json) -> str:
    return known.node(
        NodeKind.CLAIM, claim["claim_id"], claim["statement"],
        tier=claim["tier"], **stated(Claim.model_validate(claim)),
    )  # fmt: skip


def _replaces_plan(known: Knowledge, analysis: str, result: Json) -> None:
    """The newest plan of the category before this one; results of older versions name none."""
    for earlier in result.get("earlier_runs", ())[:1]:
        before = known.node(
            NodeKind.ANALYSIS, earlier, f"research {earlier}", workflow="research"
        )  # fmt: skip
        known.edge(
            analysis, EdgeKind.SUPERSEDES, before, "a newer plan of the same category"
        )  # fmt: skip


def _eda(known: Knowledge, analysis: str, result: Json, request: Json) -> None:
    dataset = _dataset(known, result["mff_data_path"], **_extent(result))
    known.edge(analysis, EdgeKind.PRODUCED, dataset)
    _variables(known, dataset, result)
    _earlier(known, dataset, result)
    _read_from(known, dataset, result, request)
    for finding in result["quality_report"]["findings"]:
        known.passage(dataset, NodeKind.DATASET, finding["message"], "/quality_report/findings")
    known.passage(
        dataset, NodeKind.DATASET, " ".join(result["recommendations"]), "/recommendations"
    )


def _extent(result: Json) -> Json:
    """When and where the data was measured; nothing for a result that does not say."""
    kept = ("frequency", "first_period", "last_period", "periods", "geographies")
    return {key: result["dataset"][key] for key in kept} if "dataset" in result else {}


def _variables(known: Knowledge, dataset: str, result: Json) -> None:
    if "dataset" not in result:
        return
    held = result["dataset"]
    described = []
    for variable in held["variables"]:
        name, role, unit = variable["name"], variable["role"], variable["unit"]
        said = (
            f"{role}, unit {unit}, added up by {variable['additivity']}, from {variable['source']}"
        )
        node = _variable(known, name)
        known.edge(dataset, EdgeKind.USES, node, said)
        if role == "channel":
            known.edge(node, EdgeKind.ABOUT, _channel(known, name), said)
        described.append(f"{name}: {said}")
    where = ", ".join(held["geographies"]) or "national"
    text = (
        f"{held['periods']} {held['frequency']} periods from {held['first_period']} to "
        f"{held['last_period']}, {where}. {'; '.join(described)}."
    )
    known.passage(dataset, NodeKind.DATASET, text, "/dataset")
    for index, step in enumerate(held["cleaning"]):
        text = f"{step['variable']}: {step['kind']} in {step['cells']} cells, because {step['reason']}."
        known.passage(dataset, NodeKind.DATASET, text, f"/dataset/cleaning/{index}")


def _earlier(known: Knowledge, dataset: str, result: Json) -> None:
    """Which data took the place of which, and which column that of another."""
    earlier = result.get("earlier")
    if earlier is None or earlier["mff_data_path"] == result["mff_data_path"]:
        return
    before = _dataset(known, earlier["mff_data_path"])
    relation = earlier["relation"].replace("_", " ")
    text = f"{relation} of the data of run {earlier['workflow_id']}: {earlier['evidence']}."
    newer, older = (before, dataset) if relation == "older version" else (dataset, before)
    known.edge(newer, EdgeKind.SUPERSEDES, older, text)
    known.passage(dataset, NodeKind.DATASET, text, "/earlier")
    for name, now in earlier["renamed"].items():
        known.edge(
            _variable(known, now), EdgeKind.SUPERSEDES, _variable(known, name),
            f"{name} is called {now}: {text}",
        )  # fmt: skip


def _read_from(known: Knowledge, dataset: str, result: Json, request: Json) -> None:
    """The source files; by their content, where the result says it, so that a copy is no other."""
    paths, files = request["data_sources"], result.get("sources", ())
    for index, path in enumerate(paths):
        sha256 = files[index]["sha256"] if len(files) == len(paths) else None
        file = known.node(NodeKind.DOCUMENT, sha256 or path, path, sha256=sha256)
        known.edge(dataset, EdgeKind.BASED_ON, file)


def _modeling(known: Knowledge, analysis: str, result: Json, request: Json) -> None:
    model = _model(known, result["model_artifact_path"], **_days(known.about))
    known.edge(analysis, EdgeKind.PRODUCED, model)
    known.edge(model, EdgeKind.BASED_ON, _dataset(known, request["mff_data_path"]))
    usable = result["fit_verdict"] != FitVerdict.FAIL
    for index, channel in enumerate(result["channels"]):
        paid = _channel(known, channel["channel"])
        known.edge(model, EdgeKind.ABOUT, paid)
        if usable:
            known.passage(paid, NodeKind.CHANNEL, _insight(result, channel), f"/channels/{index}")
    _cites(known, model, result)
    known.passage(model, NodeKind.MODEL, result["summary"], "/summary")
    # A run of an earlier version compared nothing.
    refresh = result.get("refresh")
    if refresh:
        before = _model(known, refresh["earlier_model_path"])
        known.edge(model, EdgeKind.SUPERSEDES, before, refresh["note"])
        known.passage(model, NodeKind.MODEL, refresh["note"], "/refresh/note")


def _cites(known: Knowledge, model: str, result: Json) -> None:
    """The claims that the priors rest on, as Research noted them."""
    for channel in result["model_spec"]["channels"]:
        of_return = (channel["return_prior"] or {"claims": ()})["claims"]
        for claim in (*of_return, *channel["carry_over_claims"]):
            said = known.node(NodeKind.CLAIM, claim, claim, claim_id=claim)
            known.edge(model, EdgeKind.CITES, said, f"the prior of {channel['name']}")


def _whatif(known: Knowledge, analysis: str, result: Json, request: Json) -> None:
    model = _model(known, request["model_artifact_path"])
    plan = _tell_plan(known, result, request["user_query"])
    known.edge(analysis, EdgeKind.PRODUCED, plan)
    known.edge(plan, EdgeKind.BASED_ON, model)
    known.passage(
        plan, NodeKind.SCENARIO, f"{request['user_query']} {result['summary']}", "/summary"
    )
    for index, advice in enumerate(result["recommendations"]):
        known.passage(plan, NodeKind.SCENARIO, advice, f"/recommendations/{index}")


def _tell_plan(known: Knowledge, result: Json, question: str) -> str:
    """The scenario's node with what was asked for, and an edge to each channel that it changes."""
    scenario = next(iter(result["scenario_results"]), None)
    plan = scenario or result["optimization_results"]
    spend, unit = plan["totals" if scenario else "allocation"], plan["unit"]
    node = known.node(
        NodeKind.SCENARIO, result["workflow_id"], question,
        asks_for=result["interpretation"]["kind"], window_start=plan["window"]["start"],
        window_end=plan["window"]["end"], total=sum(spend.values()), unit=unit,
        channels=list(spend),
    )  # fmt: skip
    for name, planned in spend.items():
        reference = plan["reference_totals"][name]
        if direction(planned, reference) is not Direction.SAME:
            evidence = f"from {money(reference, unit)} to {money(planned, unit)}"
            known.edge(node, EdgeKind.ABOUT, _channel(known, name), evidence)
    return node


def _experiment(known: Knowledge, analysis: str, told: Experiment, request: Json) -> None:
    """One that the run proposes, on the model that it was asked of; or one that a page had made."""
    made = known.node(
        NodeKind.EXPERIMENT, told.key, f"{told.design} for {told.channel}",
        design=told.design, channel=told.channel, state=told.state, source=told.where,
    )  # fmt: skip
    known.edge(made, EdgeKind.ABOUT, _channel(known, told.channel), told.said)
    known.passage(made, NodeKind.EXPERIMENT, told.said, told.where)
    if told.claim is not None:
        known.edge(made, EdgeKind.BASED_ON, _claim(known, told.claim))
        known.edge(made, EdgeKind.CITES, _page(known, told.claim), told.claim["quote"])
        return
    known.edge(analysis, EdgeKind.PRODUCED, made, told.said)
    if "model_artifact_path" in request:
        known.edge(made, EdgeKind.BASED_ON, _model(known, request["model_artifact_path"]))


def _track(known: Knowledge, analysis: str, result: Json, request: Json) -> None:
    scores = result["scores"]
    messages = [scores[name]["message"] for name in ("coverage_94", "coverage_50", "bias", "skill")]
    model = _model(known, result["model_artifact_path"])
    known.edge(analysis, EdgeKind.OUTCOME_OF, model, " ".join(messages))
    path, sha256 = request["actuals"], result.get("actuals_sha256")
    source = known.node(NodeKind.DOCUMENT, sha256 or path, path, sha256=sha256)
    known.edge(analysis, EdgeKind.BASED_ON, source)
    known.passage(analysis, NodeKind.ANALYSIS, result["summary"], "/summary")
    told: dict[str, str] = {}
    for index, plan in enumerate(result["plans"]["scored"]):
        scenario = known.node(NodeKind.SCENARIO, plan["workflow_id"], plan["question"])
        # An answer may hold two plans, and an edge between two nodes is one of its kind.
        told[scenario] = f"{told.get(scenario, '')} {plan['message']}".strip()
        known.edge(analysis, EdgeKind.OUTCOME_OF, scenario, told[scenario])
        known.passage(
            scenario, NodeKind.SCENARIO, f"{plan['question']} {plan['message']}",
            f"/plans/scored/{index}",
        )  # fmt: skip


def _insight(result: Json, channel: Json) -> str:
    said = describe_channel(ChannelResult.model_validate(channel))
    window = result["window"]
    return (
        f"{said} From {window['start']} to {window['end']}, fit verdict {result['fit_verdict']}, "
        f"model {result['model_artifact_path'].rpartition('/')[2]}."
    )


def _decisions(known: Knowledge, analysis: str, result: Json) -> None:
    for index, decision in enumerate(result["decisions"]):
        made = known.node(
            NodeKind.DECISION, f"{result['workflow_id']} {index}", decision["question"],
            choice=decision["choice"], who=decision["who"], **_days(known.about),
        )  # fmt: skip
        known.edge(made, EdgeKind.ABOUT, analysis, decision["evidence"])
        text = f"{decision['question']} {decision['choice']}: {decision['reason']}"
        known.passage(made, NodeKind.DECISION, text, f"/decisions/{index}")


def _channel(known: Knowledge, name: str) -> str:
    return known.node(NodeKind.CHANNEL, name, name)


def _variable(known: Knowledge, name: str) -> str:
    return known.node(NodeKind.VARIABLE, name, name)


def _dataset(known: Knowledge, path: str, **properties: JsonValue) -> str:
    return known.node(NodeKind.DATASET, path, path.rpartition("/")[2], path=path, **properties)


def _model(known: Knowledge, path: str, **properties: JsonValue) -> str:
    return known.node(NodeKind.MODEL, path, path.rpartition("/")[2], path=path, **properties)


def _days(period: Period | None) -> Json:
    return {} if period is None else period.model_dump(mode="json", include={"first", "last"})
