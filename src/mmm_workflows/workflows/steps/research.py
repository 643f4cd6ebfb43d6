"""What Research does in each phase."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from mmm_workflows.mmm.categories import GENERIC
from mmm_workflows.mmm.channel_words import kind_of_channel
from mmm_workflows.mmm.claim_rules import read_claims
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.dataset import Role
from mmm_workflows.mmm.distance import Brand
from mmm_workflows.mmm.earlier_plans import earlier_plans, left_out
from mmm_workflows.mmm.evidence import Evidence, write_evidence
from mmm_workflows.mmm.experiments import of_channels, open_experiments
from mmm_workflows.mmm.names import same_written
from mmm_workflows.mmm.narrative import Facts
from mmm_workflows.mmm.plan import (
    EarlierPlans,
    Hypothesis,
    ProjectData,
    ResearchPlan,
)
from mmm_workflows.mmm.planning import (
    HISTORY,
    KnownData,
    ProposedPlan,
    add_evidence,
    describe_plan,
    find_category,
    propose_plan,
    revise_plan,
)
from mmm_workflows.mmm.search_plan import SearchBudget, plan_searches
from mmm_workflows.mmm.spec import PERIODS_PER_YEAR, Frequency
from mmm_workflows.mmm.transport import transport
from mmm_workflows.records import GENERATED_BY_RULES, Decision, Json, Who
from mmm_workflows.tools.web import Reading, WebMode, WebReading
from mmm_workflows.workflows.context import Context
from mmm_workflows.workflows.contracts import ResearchBody, ResearchRequest, Source
from mmm_workflows.workflows.graph import Update
from mmm_workflows.workflows.outputs import PlanWords
from mmm_workflows.workflows.state import ResearchState
from mmm_workflows.workflows.steps.starting import (
    describe_start,
    record_start,
    runs_to_start_from,
)

QUESTION: Final = (
    "Is this plan right? Answer yes, or name the target and all channels it should have instead, "
    "such as: revenue by TV, Search and Social."
)
PRIORS: Final = (
    " To use proposed priors, answer: accept C-... (the ids of their claims), or accept all."
)
YES: Final = frozenset({"ok", "okay", "yes", "y", "fine", "good", "approve", "approved"})
CLAIM_ID: Final = re.compile(r"C-[0-9a-f]{8}", re.IGNORECASE)
# An order of its own: at the beginning, after a comma or an "and"; so "I cannot accept" is none.
ACCEPT: Final = re.compile(
    rf"(?:^|[.,;:!]|\band\b)\s*(?:and\s+)?accept\s+"
    rf"(?P<what>all|{CLAIM_ID.pattern}(?:(?:\s*,)?(?:\s+and)?\s+{CLAIM_ID.pattern})*)"
    r"\s*(?=$|[.,;!]|\band\b)",
    re.IGNORECASE,
)
AROUND: Final = re.compile(r"^(?:[\s.,;!]|and\b)+|(?:[\s.,;!]|\band)+$", re.IGNORECASE)


async def initialize(state: ResearchState, runtime: Runtime[Context]) -> Update:
    """Read the category from the question, and remember what was planned for it before."""
    context = runtime.context
    category = find_category(state.request.query)
    await record_start(state.request, context)
    done = await runs_to_start_from(state.request, context, "research")
    alike = [run for run in done if find_category(str(run.request["query"])) == category]
    data = await _project_data(state.request, context)
    earlier, unreadable = earlier_plans(alike, data)
    if unreadable:
        await context.record([left_out(unreadable, context.project)])
    answered = await runs_to_start_from(state.request, context, "whatif")
    proposed = await asyncio.to_thread(open_experiments, [*done, *answered])
    earlier = earlier.model_copy(update={"experiments": proposed})
    kept = await context.keep_json("earlier_plans", earlier)
    return {"category": category.name, "earlier_path": kept.path}


async def web_search(state: ResearchState, runtime: Runtime[Context]) -> Update:
    """Search and read within the limits, by queries that were fixed before any page was read."""
    context = runtime.context
    mode: WebMode = "replay" if state.request.replay else state.request.web_search or context.web
    await context.record([_web_decision(mode, context.project)])
    if mode == "off":
        return {"web_mode": mode}
    plan = (await asyncio.to_thread(_propose, state)).plan
    channels = [c.name for c in plan.channels]
    queries = plan_searches(
        channels,
        category=state.category,
        country=plan.geography,
        budget=SearchBudget(queries=context.web_limits.queries),
    ).queries
    replay = None if state.request.replay is None else Path(state.request.replay)
    speak = context.speak_as("web_search")
    with tempfile.TemporaryDirectory() as scratch:
        record = Path(scratch) / "web_record"
        async with context.open_web(mode, replay, record) as web:
            reading = await WebReading(web, context.web_limits, speak).run(
                [query.text for query in queries]
            )
        # Nothing is recorded when no search was allowed or none ended in time.
        if mode == "on" and record.exists():
            await context.keep_folder("web_record", record)
    kept = await context.keep_json("web_reading", reading)
    return {"web_mode": mode, "reading_path": kept.path}


async def generate_plan(state: ResearchState, runtime: Runtime[Context]) -> Update:
    """Propose the plan by rules and checked claims, and have the model put it into words."""
    context = runtime.context
    proposed = await asyncio.to_thread(_propose, state)
    await context.record(proposed.decisions)
    evidence = await asyncio.to_thread(_evidence, state, proposed.plan)
    plan = add_evidence(
        proposed.plan, [c.claim_id for c in evidence.claims], evidence.priors
    )  # fmt: skip
    plan, synthesis, written = await _in_words(state, plan, evidence.claims, context)
    kept_plan = await context.keep_json("research_plan", plan)
    kept = await context.keep_json("evidence", evidence)
    return {
        "plan_path": kept_plan.path,
        "evidence_path": kept.path,
        "synthesis": synthesis,
        "written_by": written,
    }


async def collect_feedback(state: ResearchState, runtime: Runtime[Context]) -> Update:
    """Wait for a person when a review was asked for, until the answer can be read."""
    if not state.request.review:
        return {}
    plan = await asyncio.to_thread(_read, state.plan_path)
    body = (await asyncio.to_thread(_body, state, plan)).model_dump(mode="json")
    asked = QUESTION + (PRIORS if plan.priors else "")
    question = asked
    while True:
        answer = str(interrupt({**body, "questions": [question]})).strip()
        if _is_yes(answer):
            return {}
        revised = _answered(plan, answer, state.request.query)
        if revised is not None:
            await runtime.context.record(_acceptances(plan, revised, runtime.context.project))
            artifact = await runtime.context.keep_json("research_plan", revised)
            if revised.model_copy(update={"priors": plan.priors}) == plan:
                return {"plan_path": artifact.path}
            return {"plan_path": artifact.path, "synthesis": "", "written_by": ""}
        question = f"{answer!r} cannot be read in one way as an answer. {asked}"


async def finalize(state: ResearchState, runtime: Runtime[Context]) -> Update:
    """Assemble the result, and keep the report that every citation stands in."""
    plan = await asyncio.to_thread(_read, state.plan_path)
    body = await asyncio.to_thread(_body, state, plan)
    await runtime.context.keep("evidence_report", "evidence.md", body.evidence_report.encode())
    artifact = await runtime.context.keep_json("research_result", body)
    return {"body_path": artifact.path}


async def _in_words(
    state: ResearchState, plan: ResearchPlan, claims: Sequence[Claim], context: Context
) -> tuple[ResearchPlan, str, str]:
    """The plan with the model's objective and reasons, its synthesis, and whose words they are."""
    causes = tuple(h.cause for h in plan.hypotheses)
    facts = Facts((), (*causes, plan.target_variable or ""))
    filled = await context.writer.fill_with_words(
        PlanWords, "plan_words",
        {
            "question": state.request.query,
            "plan": describe_plan(plan, state.category, searched=state.web_mode != "off"),
            "claims": "\n".join(f"{c.channel}, {c.kpi}: {c.tier}" for c in claims) or "none",
            "causes": ", ".join(causes),
        },
        facts=facts,
        texts=lambda said: (said.objective, *(h.why for h in said.hypotheses), *said.synthesis),
    )  # fmt: skip
    if filled.value is None:
        return plan, "", filled.generated_by
    return _worded(plan, filled.value), " ".join(filled.value.synthesis), filled.generated_by


def _worded(plan: ResearchPlan, said: PlanWords) -> ResearchPlan:
    """The model's objective, and its reasons where it kept the sign that the rules gave."""
    reasons: dict[tuple[str, str], str] = {(h.cause, h.sign): h.why for h in said.hypotheses}
    hypotheses = tuple(
        Hypothesis(
            cause=h.cause, effect=h.effect, sign=h.sign, why=reasons.get((h.cause, h.sign), h.why)
        )
        for h in plan.hypotheses
    )
    return plan.model_copy(update={"objective": said.objective, "hypotheses": hypotheses})


def _evidence(state: ResearchState, plan: ResearchPlan) -> Evidence:
    """Pure in the pages that were kept."""
    if not state.reading_path:
        return Evidence()
    reading = Reading.model_validate_json(Path(state.reading_path).read_bytes())
    claims = tuple(claim for page in reading.pages for claim in read_claims(page).claims)
    if not claims:
        return Evidence(outcomes=reading.outcomes)
    brand = Brand(
        country=plan.geography,
        category=None if state.category == GENERIC.name else state.category,
        # The day of the newest page, so that a replay says what was said then.
        today=max(page.fetched_at for page in reading.pages).date(),
    )
    moved = transport(claims, [c.name for c in plan.channels], brand)
    return Evidence(
        claims=claims, priors=moved.priors, left_out=moved.left_out, outcomes=reading.outcomes
    )


def _earlier(state: ResearchState) -> EarlierPlans:
    return EarlierPlans.model_validate_json(Path(state.earlier_path).read_bytes())


def _propose(state: ResearchState) -> ProposedPlan:
    """Pure in the request and the plans that were remembered."""
    request, earlier = state.request, _earlier(state)
    proposed = propose_plan(
        request.query,
        target=request.target_variable,
        channels=request.media_channels,
        known=_known(earlier.data, request.query),
        earlier=earlier.plans,
    )
    if earlier.data is None:
        return proposed
    return replace(proposed, decisions=(_data_decision(earlier.data), *proposed.decisions))


async def _project_data(request: ResearchRequest, context: Context) -> ProjectData | None:
    """The latest data of the project that has every column which the request names."""
    named = [request.target_variable, *(request.media_channels or ())]
    wanted = [name for name in named if name is not None]
    for run in await runs_to_start_from(request, context, "eda"):
        held = (run.result or {}).get("dataset")
        if held is None or not wanted:
            continue
        columns = [v["name"] for v in held["variables"]]
        if all(same_written(name, columns) for name in wanted):
            return ProjectData(
                workflow_id=run.workflow_id,
                controls=tuple(v["name"] for v in held["variables"] if v["role"] == Role.CONTROL),
                years=held["periods"] / PERIODS_PER_YEAR[Frequency(held["frequency"])],
                geographies=max(1, len(held["geographies"])),
            )
    return None


def _known(data: ProjectData | None, question: str) -> KnownData | None:
    """What the data tells and the question does not say."""
    if data is None:
        return None
    return KnownData(
        controls=data.controls or None,
        years=None if HISTORY.search(question) else data.years,
        geographies=data.geographies,
    )


def _data_decision(data: ProjectData) -> Decision:
    return Decision(
        question="Is the data of this question known?",
        options=("yes", "no"),
        choice="yes",
        reason=f"run {data.workflow_id} read data with every column that is named; its drivers, "
        "history and geographies go into the plan",
        evidence=f"{data.years:.2f} years, {data.geographies} geographies, drivers "
        f"{', '.join(data.controls) or 'none'}",
    )


def _is_yes(answer: str) -> bool:
    return answer.lower().rstrip(".!") in YES


def _answered(plan: ResearchPlan, answer: str, query: str) -> ResearchPlan | None:
    """The plan as the answer wants it; None when any part of the answer cannot be read."""
    found = ACCEPT.search(answer)
    around = (answer[: found.start()], answer[found.end() :]) if found else (answer,)
    rest = " ".join(part for text in around if (part := AROUND.sub("", text)))
    if "accept" in rest.lower() or CLAIM_ID.search(rest):
        return None
    revised: ResearchPlan | None = plan
    if found is None or not (rest == "" or _is_yes(rest)):
        revised = revise_plan(plan, rest, question=query)
    return revised if found is None or revised is None else _accepted(revised, found["what"])


def _accepted(plan: ResearchPlan, what: str) -> ResearchPlan | None:
    """The plan with the named priors accepted; None unless each claim stands under one."""
    known = {claim for prior in plan.priors for claim in prior.claims}
    spelled = {claim.lower(): claim for claim in known}
    named = {spelled.get(claim.lower(), claim) for claim in CLAIM_ID.findall(what)} or known
    if not named or not named <= known:
        return None
    priors = tuple(
        prior.model_copy(update={"accepted": True}) if named & set(prior.claims) else prior
        for prior in plan.priors
    )
    return plan.model_copy(update={"priors": priors})


def _acceptances(before: ResearchPlan, after: ResearchPlan, project: str) -> list[Decision]:
    known = set(before.priors)
    return [
        Decision(
            project=project,
            question=f"Is the prior on {prior.quantity} of {prior.channel} taken?",
            options=("taken", "not taken"),
            choice="taken",
            reason=f"a person accepted what {', '.join(prior.claims)} says",
            evidence=f"median {prior.median:g}, spread {prior.spread:g}: {prior.why}",
            who=Who.PERSON,
        )
        for prior in after.priors
        if prior.accepted and prior not in known
    ]


def _web_decision(mode: WebMode, project: str) -> Decision:
    reasons = {
        "off": "WEB_SEARCH is off: nothing of the question leaves this machine",
        "on": "WEB_SEARCH is on; queries hold kinds of channels, category and country alone",
        "replay": "a folder of recorded searches and pages was given",
    }
    return Decision(
        project=project,
        question="Is the web searched for evidence?",
        options=("off", "on", "replay"),
        choice=mode,
        reason=reasons[mode],
    )


def _body(state: ResearchState, plan: ResearchPlan) -> ResearchBody:
    evidence = Evidence()
    if state.evidence_path:
        evidence = Evidence.model_validate_json(Path(state.evidence_path).read_bytes())
    described = describe_plan(plan, state.category, searched=state.web_mode != "off")
    kinds = [kind for c in plan.channels if (kind := kind_of_channel(c.name)) is not None]
    report = write_evidence(evidence.claims, kinds)
    earlier = _earlier(state)
    return ResearchBody(
        generated_by=state.written_by or GENERATED_BY_RULES,
        research_plan=plan,
        sources=_sources(evidence.claims),
        synthesis=" ".join(
            filter(None, (*describe_start(state.request), state.synthesis, described))
        ),
        web_search=state.web_mode,
        claims=evidence.claims,
        evidence_report=report,
        web_outcomes=evidence.outcomes,
        earlier_runs=earlier.runs,
        experiments=of_channels(earlier.experiments, [c.name for c in plan.channels]),
    )


def _sources(claims: Sequence[Claim]) -> tuple[Source, ...]:
    by_page = {claim.page_sha256: claim for claim in reversed(claims)}
    return tuple(
        Source(
            title=claim.title,
            url=claim.url,
            tier=str(claim.tier),
            sha256=claim.page_sha256,
            fetched_at=claim.fetched_at,
        )
        for claim in reversed(by_page.values())
    )


def _read(path: str) -> ResearchPlan:
    return ResearchPlan.model_validate_json(Path(path).read_bytes())


def first_state(request: Json) -> ResearchState:
    """The state that a run starts from."""
    return ResearchState.model_validate({"request": request})
