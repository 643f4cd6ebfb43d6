"""The research plan: what to explain, by what, and which data that needs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmm_workflows.errors import SpecError


class PlanPart(BaseModel):
    """A frozen part of a plan that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedChannel(PlanPart):
    """A paid line that the plan wants in the model; ``set_by`` says who decides its spend."""

    name: str
    set_by: str | None = None
    why: str | None = None


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


def read_plan(plan: dict[str, Any] | ResearchPlan | None) -> ResearchPlan:
    """A plan from what a caller handed in; nothing given is an empty plan.

    Raises:
        SpecError: A field is unknown or has a value of another type; it is named.
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
