"""A new model starts from the one that worked: its choices, with what the data decides made anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.earlier import EarlierFit, EarlierFits
from mmm_workflows.mmm.names import same_channel
from mmm_workflows.mmm.plan import ResearchPlan
from mmm_workflows.mmm.spec import (
    PERIODS_PER_YEAR,
    Adstock,
    ChannelSpec,
    ControlTransform,
    Frequency,
    ModelSpec,
    SamplerSpec,
)
from mmm_workflows.mmm.spec_builder import (
    MIN_YEARS_FOR_SEASON,
    FeatureTransformations,
    SpecProposal,
    apply_transform,
    propose_spec,
    read_transformations,
)
from mmm_workflows.mmm.spec_notes import Notes
from mmm_workflows.records import Severity, Who

ANEW: Final = "start_from rules chooses anew"


@dataclass(frozen=True)
class Carried:
    """A choice that a new model takes from the one that worked.

    Attributes:
        field: Its name in the spec and among the wishes.
        question: As the rules ask it.
        by_length: Whether a shorter history may not bear it.
    """

    field: str
    question: str
    said: Callable[[object], str] = str
    by_length: bool = False


CARRIED: Final = (
    Carried("adstock", "Which shape does carry-over have?"),
    Carried("l_max", "How many periods may media carry over?", by_length=True),
    Carried("saturation", "Which shape do diminishing returns have?"),
    Carried(
        "trend_knots",
        "How may the trend bend?",
        lambda knots: f"{knots} hinges" if knots else "not at all",
        by_length=True,
    ),
    Carried("yearly_seasonality", "How many pairs of waves describe the year?", by_length=True),
    Carried(
        "weekday_levels",
        "Does each day of the week have its own level?",
        lambda levels: "yes" if levels else "no",
    ),
    Carried("likelihood", "How does the target scatter around its mean?"),
)


def propose_from(
    earlier: EarlierFits,
    dataset: Dataset,
    plan: ResearchPlan,
    transformations: dict[str, Any] | FeatureTransformations | None,
    *,
    margin: float | None = None,
) -> SpecProposal:
    """Choose a model: a wish first, then the fit that worked, then the rules.

    Channels, controls and whatever is computed from the data come from this data alone; on equal
    data the choices of the rules give the rules' spec again.

    Raises:
        SpecError: As ``propose_spec``.
    """
    wishes = read_transformations(transformations)
    ruled = propose_spec(dataset, plan, wishes, margin=margin)
    start, notes = earlier.worked, Notes()
    _note_unreadable(earlier, notes)
    _note_other_data(earlier, notes)
    if start is None:
        return SpecProposal(ruled.spec, ruled.decisions, (*ruled.findings, *notes.findings))
    filled = _filled(wishes, start, ruled.spec, dataset, notes)
    proposal = propose_spec(dataset, plan, filled, margin=margin)
    spec = _with_priors(proposal.spec, start, plan, notes)
    spec = spec.model_copy(update={"sampler": _sampler(start, notes)})
    return SpecProposal(
        spec,
        (*proposal.decisions, *notes.decisions),
        (*proposal.findings, *notes.findings),
    )


def _filled(
    wishes: FeatureTransformations,
    start: EarlierFit,
    ruled: ModelSpec,
    dataset: Dataset,
    notes: Notes,
) -> FeatureTransformations:
    """The wishes, and what they leave open as the earlier fit had it."""
    taken: dict[str, Any] = {}
    frame = dataset.national()
    for carried in CARRIED:
        if getattr(wishes, carried.field) is not None:
            continue
        if carried.field == "weekday_levels" and ruled.frequency is not Frequency.DAILY:
            continue
        before, now = (getattr(spec, carried.field) for spec in (start.spec, ruled))
        if carried.by_length and not _bears(carried.field, len(frame), start, ruled):
            _leave(carried, before, now, start, notes)
            continue
        taken[carried.field] = before
        _take(carried, before, now, start, notes)
    controls = frame[[control.name for control in dataset.controls]]
    transforms = _transforms(wishes, start, controls, notes)
    return wishes.model_copy(update={**taken, "controls": {**transforms, **wishes.controls}})


def _bears(field: str, periods: int, start: EarlierFit, ruled: ModelSpec) -> bool:
    """Whether a history is long enough for a choice, and was so when it was made."""
    before = _periods(start.spec)
    if field == "yearly_seasonality":
        needed = MIN_YEARS_FOR_SEASON * PERIODS_PER_YEAR[ruled.frequency]
        return (periods >= needed) == (before >= needed)
    return periods >= before or getattr(start.spec, field) <= getattr(ruled, field)


def _periods(spec: ModelSpec) -> int:
    """The number of periods that a spec's window holds."""
    days = (spec.end - spec.start).days
    per_period = {Frequency.DAILY: 1.0, Frequency.WEEKLY: 7.0, Frequency.MONTHLY: 365.25 / 12}
    return round(days / per_period[spec.frequency]) + 1


def _take(carried: Carried, before: object, now: object, start: EarlierFit, notes: Notes) -> None:
    same = before == now
    said, ruled = carried.said(before), carried.said(now)
    notes.decide(
        carried.question,
        said,
        f"as in {start.named}; feature_transformations.{carried.field} sets another, {ANEW}",
        *dict.fromkeys((said, ruled)),
        evidence=f"on this data the rules would choose {'the same' if same else ruled}",
    )
    if not same:
        notes.find(
            "earlier_choice_kept",
            Severity.INFO,
            f"{carried.question} {said}, as in {start.named}; on this data the rules would choose "
            f"{ruled}. Set feature_transformations.{carried.field}, or start_from rules, to change "
            "it.",
        )


def _leave(carried: Carried, before: object, now: object, start: EarlierFit, notes: Notes) -> None:
    if before == now:
        return
    notes.find(
        "earlier_choice_left",
        Severity.INFO,
        f"{carried.question} {carried.said(before)} in {start.named}, whose history was of another "
        f"length; on this data the rules choose {carried.said(now)}.",
    )


def _transforms(
    wishes: FeatureTransformations, start: EarlierFit, controls: pd.DataFrame, notes: Notes
) -> dict[str, ControlTransform]:
    taken: dict[str, ControlTransform] = {}
    for control in start.spec.controls:
        plain = control.transform is ControlTransform.NONE
        if plain or control.name not in controls or control.name in wishes.controls:
            continue
        try:
            apply_transform(controls[control.name], control.transform)
        except SpecError as error:
            notes.find(
                "earlier_choice_left",
                Severity.WARNING,
                f"The control {control.name!r} is not on the {control.transform} scale of "
                f"{start.named}: {error.message}",
                control.name,
            )
            continue
        taken[control.name] = control.transform
        notes.decide(
            f"On which scale is the control {control.name}?",
            control.transform.value,
            f"as in {start.named}; feature_transformations.controls sets another, {ANEW}",
            *(t.value for t in ControlTransform),
        )
    return taken


def _sampler(start: EarlierFit, notes: Notes) -> SamplerSpec:
    sampler = start.spec.sampler
    if sampler != SamplerSpec():
        notes.decide(
            "How long and how carefully is the posterior sampled?",
            f"{sampler.chains} chains of {sampler.draws} draws after {sampler.tune}, target accept "
            f"{sampler.target_accept:g}",
            f"as in {start.named}; {ANEW}",
        )
    return sampler


def _with_priors(spec: ModelSpec, start: EarlierFit, plan: ResearchPlan, notes: Notes) -> ModelSpec:
    """The spec with the cited priors of before, for channels of whose prior the plan says nothing."""
    before = {channel.name: channel for channel in start.spec.channels}
    _leave_priors(before, spec, start, notes)
    channels = tuple(
        (
            _with_prior(channel, before[channel.name], spec.adstock, start, plan, notes)
            if channel.name in before
            else channel
        )
        for channel in spec.channels
    )
    return spec.model_copy(update={"channels": channels})


def _with_prior(
    channel: ChannelSpec, before: ChannelSpec, adstock: Adstock, start: EarlierFit,
    plan: ResearchPlan, notes: Notes,
) -> ChannelSpec:  # fmt: skip
    planned = {
        "carry-over" if p.quantity == "carry_over" else "return"
        for p in plan.priors
        if same_channel(p.channel, [channel.name])
    }
    update: dict[str, Any] = {}
    cited = before.return_prior
    if cited is not None and channel.return_prior is None:
        if "return" in planned:
            _not_carried(channel.name, "return", "the plan proposes one of its own", start, notes)
        elif cited.quantity == "elasticity":
            why = "an elasticity becomes a return by the sums of its own data"
            _not_carried(channel.name, "return", why, start, notes)
        else:
            update["return_prior"] = cited
            _carried_prior(channel.name, "return", cited.claims, start, notes)
    claims = before.carry_over_claims
    if claims and not channel.carry_over_claims:
        if "carry-over" in planned:
            why = "the plan proposes one of its own"
            _not_carried(channel.name, "carry-over", why, start, notes)
        elif adstock is not Adstock.GEOMETRIC:
            why = f"under the {adstock} carry-over no share is kept from period to period"
            _not_carried(channel.name, "carry-over", why, start, notes)
        else:
            update |= {"alpha_prior": before.alpha_prior, "carry_over_claims": claims}
            _carried_prior(channel.name, "carry-over", claims, start, notes)
    return channel.model_copy(update=update)


def _leave_priors(
    before: Mapping[str, ChannelSpec], spec: ModelSpec, start: EarlierFit, notes: Notes
) -> None:
    """Say that the cited priors of channels that are gone go with them."""
    why = "the model has no channel of this name, and EDA recorded no new name of it"
    for name in [name for name in before if name not in {c.name for c in spec.channels}]:
        if before[name].return_prior:
            _not_carried(name, "return", why, start, notes)
        if before[name].carry_over_claims:
            _not_carried(name, "carry-over", why, start, notes)


def _carried_prior(
    channel: str, what: str, claims: tuple[str, ...], start: EarlierFit, notes: Notes
) -> None:
    rename = start.rename_of(channel)
    name = "" if rename is None else f" for this channel, called {rename.until}"
    notes.decide(
        f"What is known of the {what} of {channel} before its data is read?",
        "the cited prior",
        f"as in {start.named}, where it was accepted{name}; a prior of the plan takes its place, {ANEW}",
        "the rules' prior",
        "the cited prior",
        evidence=f"claims {', '.join(claims)}",
        who=Who.RULES,
    )


def _not_carried(channel: str, what: str, why: str, start: EarlierFit, notes: Notes) -> None:
    notes.find(
        "earlier_prior_left",
        Severity.INFO,
        f"The cited prior on the {what} of {channel!r} in {start.named} is not carried over: {why}. "
        "Accept a prior in the plan to use it.",
        channel,
    )


def _note_unreadable(earlier: EarlierFits, notes: Notes) -> None:
    if earlier.unreadable:
        notes.find(
            "earlier_run_unreadable",
            Severity.INFO,
            f"Nothing is taken from {', '.join(earlier.unreadable)}: another version stored "
            f"{'it' if len(earlier.unreadable) == 1 else 'them'} in a form that this one does not "
            "read.",
        )


def _note_other_data(earlier: EarlierFits, notes: Notes) -> None:
    if earlier.other_data:
        runs = "; ".join(f"{', '.join(o.workflow_ids)}: {o.why}" for o in earlier.other_data)
        notes.find(
            "earlier_fit_other_data",
            Severity.INFO,
            "Nothing is taken from earlier fits of a target of this name whose data is not known "
            f"again as a version of this data. {runs}.",
        )
