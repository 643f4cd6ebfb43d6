"""The research plan: what to explain, by what, and which data that needs."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.experiments import OpenExperiment
from mmm_workflows.mmm.spec import Adstock, Saturation

type CausalRole = Literal[
    "confounder", "mediator", "collider", "precision", "instrument", "unrelated"
]
type Basis = Literal["default", "evidence"]
type Status = Literal["met", "not_met", "unknown"]


class PlanPart(BaseModel):
    """A frozen part of a plan that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExpectedAdstock(PlanPart):
    """How a channel's effect is expected to carry over.

    Attributes:
        half_life_weeks: Where half of the effect is likely to be reached, low and high.
        basis: ``default`` is what is usual, not evidence about this brand.
        claims: The ids of the claims it rests on, when it rests on evidence.
    """

    shape: Adstock
    half_life_weeks: tuple[float, float] | None = None
    why: str
    basis: Basis = "default"
    claims: tuple[str, ...] = ()


class ExpectedSaturation(PlanPart):
    """How soon more spend on a channel is expected to bring less."""

    shape: Saturation
    onset: Literal["early", "middle", "late"] | None = None
    why: str
    basis: Basis = "default"
    claims: tuple[str, ...] = ()


class PlannedChannel(PlanPart):
    """A paid line that the plan wants in the model; ``set_by`` says who decides its spend."""

    name: str
    set_by: str | None = None
    why: str | None = None
    adstock: ExpectedAdstock | None = None
    saturation: ExpectedSaturation | None = None


class PlannedControl(PlanPart):
    """A driver that is not media."""

    name: str
    role: str | None = None
    why: str | None = None


class Hypothesis(PlanPart):
    """What should move what, in which direction, and why."""

    cause: str
    effect: str
    sign: str
    why: str


class DataRequirement(PlanPart):
    """A series that the model needs."""

    variable: str
    why: str
    granularity: str | None = None
    history: str | None = None
    unit: str | None = None
    required: bool = True


class TickedRequirement(PlanPart):
    """A requirement, whether the data meets it, why, and the column that was looked at."""

    requirement: DataRequirement
    status: Status
    reason: str
    column: str | None = None


class PlannedPrior(PlanPart):
    """A prior that rests on published claims; Modeling takes it only once it was accepted.

    Attributes:
        quantity: What is known of the channel: revenue per spend (``roas``), percent of the target
            per percent of spend (``elasticity``), or the share of an effect that lasts into the
            next week (``carry_over``).
        median: Of that quantity, as a plain number above 0 (``carry_over``: below 1).
        spread: Its standard deviation on the log scale (``carry_over``: on the logit scale), after
            the discount for how far the evidence is from this brand.
        claims: The ids of the claims it rests on.
        why: How the discount came about, for the reader.
        accepted: Whether a person took it.
    """

    channel: str
    quantity: Literal["roas", "elasticity", "carry_over"]
    median: float = Field(gt=0)
    spread: float = Field(gt=0)
    claims: tuple[str, ...] = Field(min_length=1)
    why: str
    accepted: bool = False


class CausalEdge(PlanPart):
    """That one variable moves another, and why that is believed."""

    cause: str
    effect: str
    why: str | None = None


class VariableRole(PlanPart):
    """What a variable is to the effect of one channel on the target, and what follows.

    Attributes:
        control_for: Whether the model should hold it fixed to learn this channel's total effect.
    """

    channel: str
    variable: str
    role: CausalRole
    control_for: bool
    why: str


class Adjustment(PlanPart):
    """What to control for, to learn the total effect of a channel on the target.

    Attributes:
        control_for: A smallest set that closes every back door; empty when none is open.
        identified: Whether the observed variables can close them all.
    """

    channel: str
    target: str
    control_for: tuple[str, ...]
    identified: bool
    why: str


class CausalGraph(PlanPart):
    """Which variable moves which; never in a circle.

    Raises:
        SpecError: The edges run in a circle, which is named (``graph_cyclic``).
    """

    edges: tuple[CausalEdge, ...] = ()
    unobserved: tuple[str, ...] = ()
    roles: tuple[VariableRole, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()

    @model_validator(mode="after")
    def _runs_in_no_circle(self) -> CausalGraph:
        causes: dict[str, list[str]] = {}
        for edge in self.edges:
            causes.setdefault(edge.effect, []).append(edge.cause)
        try:
            TopologicalSorter(causes).prepare()
        except CycleError as error:
            circle = " -> ".join(error.args[1])
            raise SpecError(
                f"The causal graph runs in a circle: {circle}. A cause cannot be its own effect: "
                "leave out one of these edges, or split a variable by time.",
                code="graph_cyclic",
            ) from error
        return self


class Seasonality(PlanPart):
    """Whether a yearly season is expected, its high months, and why."""

    yearly: bool
    peaks: tuple[str, ...] = ()
    why: str
    basis: Basis = "default"


class PlannedHoliday(PlanPart):
    """A public holiday of the country and the months it falls in."""

    name: str
    months: tuple[str, ...]


class PlanRisk(PlanPart):
    """What threatens that an effect can be told from the data, and what to do."""

    kind: Literal[
        "demand_driven_channel",
        "budgets_move_together",
        "promotions_with_media",
        "mediated_channel",
        "post_treatment_variable",
        "unobserved_confounder",
        "short_history",
        "one_national_series",
        "unknown_country",
    ]
    what: str
    why: str
    action: str
    variables: tuple[str, ...] = ()


class ResearchPlan(PlanPart):
    """What Research hands on; every field may be left out by a person who writes one."""

    objective: str | None = None
    target_variable: str | None = None
    channels: tuple[PlannedChannel, ...] = ()
    controls: tuple[PlannedControl, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    data_requirements: tuple[DataRequirement, ...] = ()
    geography: str | None = None
    period: str | None = None
    priors: tuple[PlannedPrior, ...] = ()
    causal_graph: CausalGraph | None = None
    seasonality: Seasonality | None = None
    holidays: tuple[PlannedHoliday, ...] = ()
    risks: tuple[PlanRisk, ...] = ()
    evidence: tuple[str, ...] = Field(default=(), description="ids of the claims it rests on")


class ProjectData(PlanPart):
    """What is known of the data that the question names: the latest that EDA read of it."""

    workflow_id: str
    controls: tuple[str, ...]
    years: float
    geographies: int


class EarlierPlans(PlanPart):
    """What was planned for this category before, by which runs, the newest first, and the data.

    Attributes:
        experiments: What earlier runs proposed for channels of any plan.
    """

    plans: tuple[ResearchPlan, ...] = ()
    runs: tuple[str, ...] = ()
    data: ProjectData | None = None
    experiments: tuple[OpenExperiment, ...] = ()


def read_plan(plan: dict[str, Any] | ResearchPlan | None) -> ResearchPlan:
    """A plan from what a caller handed in; nothing given is an empty plan.

    Raises:
        SpecError: A field is unknown or has a value of another type, or the causal graph runs in
            a circle; it is named.
    """
    if plan is None:
        return ResearchPlan()
    if isinstance(plan, ResearchPlan):
        return plan
    try:
        return ResearchPlan.model_validate(plan)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SpecError(
            f"The research plan cannot be read: {where}: {first['msg']}. "
            f"Known fields are {', '.join(ResearchPlan.model_fields)}.",
            code="plan_invalid",
        ) from error
