"""From trusted data, a plan and wishes to the written choice of a model; every choice is recorded."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.dataset import Dataset, Variable
from mmm_workflows.mmm.names import same_channel
from mmm_workflows.mmm.plan import ResearchPlan
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import (
    DEFAULT_L_MAX,
    PERIODS_PER_YEAR,
    Adstock,
    ControlSpec,
    ControlTransform,
    Frequency,
    Likelihood,
    ModelSpec,
    Saturation,
)
from mmm_workflows.mmm.spec_notes import Notes
from mmm_workflows.mmm.spec_priors import MediaForm, channel_specs
from mmm_workflows.records import Decision, Finding, Severity

MIN_YEARS_FOR_SEASON: Final = 1.5
OUTLIER_ROBUST_Z: Final = 6.0


class FeatureTransformations(BaseModel):
    """Wishes about the model's form; what is left out is chosen by the rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    controls: dict[str, ControlTransform] = Field(default_factory=dict)
    adstock: Adstock | None = None
    saturation: Saturation | None = None
    l_max: int | None = Field(default=None, ge=1)
    trend_knots: int | None = Field(default=None, ge=0)
    yearly_seasonality: int | None = Field(default=None, ge=0)
    weekday_levels: bool | None = None
    likelihood: Likelihood | None = None


@dataclass(frozen=True)
class SpecProposal:
    """A spec with the choices behind it and what the reader should know of them."""

    spec: ModelSpec
    decisions: tuple[Decision, ...]
    findings: tuple[Finding, ...]


def propose_spec(
    dataset: Dataset,
    plan: ResearchPlan,
    transformations: dict[str, Any] | FeatureTransformations | None,
    *,
    margin: float | None = None,
) -> SpecProposal:
    """Choose a model for this data; the roles of the MFF win over the plan.

    Raises:
        SpecError: A wish cannot be read or names a variable that is not there
            (``spec_invalid``, ``spec_variable_unknown``), or no channel has spend
            (``spec_no_channel``).
    """
    wishes = read_transformations(transformations)
    notes = Notes()
    frame = dataset.national()
    if len(dataset.geographies) > 1:
        _note_geographies(dataset, notes)
    _match_plan(dataset, plan, notes)
    target, frequency = dataset.target, dataset.sidecar.frequency
    adstock = wishes.adstock or Adstock.GEOMETRIC
    saturation = wishes.saturation or Saturation.LOGISTIC
    l_max = wishes.l_max or min(DEFAULT_L_MAX[frequency], max(1, len(frame) // 4))
    channels = _spending(dataset, frame, notes)
    if margin is not None and not target.is_money:
        raise SpecError(f"A margin needs a target in money; {target.name!r} is in {target.unit}.")
    form = MediaForm(
        frame=frame,
        target=target,
        channels=channels,
        known=tuple(v.name for v in dataset.channels),
        frequency=frequency,
        adstock=adstock,
        saturation=saturation,
        l_max=l_max,
    )
    spec = ModelSpec(
        target=target.name,
        target_unit=target.unit,
        target_is_money=target.is_money,
        spend_unit=channels[0].unit,
        frequency=frequency,
        start=frame.index[0].date(),
        end=frame.index[-1].date(),
        channels=channel_specs(form, plan.priors, notes),
        controls=_controls(dataset, frame, wishes, notes),
        adstock=adstock,
        l_max=l_max,
        saturation=saturation,
        trend_knots=_trend_knots(len(frame) / PERIODS_PER_YEAR[frequency], wishes, notes),
        yearly_seasonality=_seasonality(len(frame) / PERIODS_PER_YEAR[frequency], wishes, notes),
        weekday_levels=_weekday_levels(frequency, wishes, notes),
        likelihood=_likelihood(frame[target.name], wishes, notes),
        margin=margin,
    )
    return SpecProposal(spec, tuple(notes.decisions), tuple(notes.findings))


def read_transformations(
    given: dict[str, Any] | FeatureTransformations | None,
) -> FeatureTransformations:
    """Wishes from what a caller handed in.

    Raises:
        SpecError: A key or value is not one that is offered; the nearest key is named.
    """
    if isinstance(given, FeatureTransformations):
        return given
    try:
        return FeatureTransformations.model_validate(given or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = list(FeatureTransformations.model_fields)
        near = difflib.get_close_matches(where, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near and near[0] != where else ""
        raise SpecError(
            f"feature_transformations cannot be read at {where!r}: {first['msg']}.{hint} "
            f"Known keys are {', '.join(known)}."
        ) from error


def apply_transform(values: pd.Series, transform: ControlTransform) -> FloatArray:
    """A control on the scale on which it is standardised.

    Raises:
        SpecError: The transform does not exist for a value; its period is named.
    """
    series = values.to_numpy(dtype=np.float64)
    if transform is ControlTransform.NONE:
        return series
    smallest = 0.0 if transform is ControlTransform.SQRT else np.nextafter(0.0, 1.0)
    bad = np.flatnonzero(series < smallest)
    if bad.size:
        raise SpecError(
            f"The control {values.name!r} is {series[bad[0]]:g} in the period of "
            f"{values.index[bad[0]]:%Y-%m-%d}, which has no {transform}. Choose 'none' for it."
        )
    changed = np.log(series) if transform is ControlTransform.LOG else np.sqrt(series)
    return np.asarray(changed, dtype=np.float64)


def _note_geographies(dataset: Dataset, notes: Notes) -> None:
    count = len(dataset.geographies)
    notes.decide(
        "At which level is the model fitted?",
        "national",
        f"the {count} geographies are added up, each variable in its own way; this version fits "
        "one national series",
        "national",
    )
    notes.find(
        "geographies_added_up",
        Severity.WARNING,
        f"{count} geographies were added up to one national series: what differs between them "
        "is not used.",
    )


def _match_plan(dataset: Dataset, plan: ResearchPlan, notes: Notes) -> None:
    names = [v.name for v in dataset.channels]
    for planned in plan.channels:
        found = same_channel(planned.name, names)
        if len(found) == 1 and found[0] != planned.name:
            notes.decide(
                f"Which column is the plan's channel {planned.name!r}?",
                found[0],
                "its name is the same but for case, spaces and words for spend",
                *names,
            )
        elif not found:
            notes.find(
                "plan_channel_without_data",
                Severity.INFO,
                f"The plan names the channel {planned.name!r}, and no channel of the data matches "
                "it; it is not in the model.",
                planned.name,
            )


def _spending(dataset: Dataset, frame: pd.DataFrame, notes: Notes) -> tuple[Variable, ...]:
    spending = []
    for channel in dataset.channels:
        if frame[channel.name].sum() > 0:
            spending.append(channel)
            continue
        notes.find(
            "channel_without_spend",
            Severity.WARNING,
            f"The channel {channel.name!r} has no spend in any period; it is not in the model.",
            channel.name,
        )
    if not spending:
        raise SpecError(
            "No channel has spend in any period, so there is nothing to model. Name the spend "
            "columns as media_channels in EDA.",
            code="spec_no_channel",
        )
    return tuple(spending)


def _controls(
    dataset: Dataset, frame: pd.DataFrame, wishes: FeatureTransformations, notes: Notes
) -> tuple[ControlSpec, ...]:
    names = [v.name for v in dataset.controls]
    for wished in wishes.controls:
        if wished not in names:
            near = difflib.get_close_matches(wished, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise SpecError(
                f"feature_transformations names the control {wished!r}, which is not among the "
                f"controls of the data ({', '.join(names) or 'none'}).{hint}",
                code="spec_variable_unknown",
            )
    specs = []
    for name in names:
        transform = wishes.controls.get(name, ControlTransform.NONE)
        values = apply_transform(frame[name], transform)
        if np.ptp(values) == 0:
            notes.find(
                "control_constant",
                Severity.WARNING,
                f"The control {name!r} does not vary; it is not in the model.",
                name,
            )
            continue
        specs.append(
            ControlSpec(
                name=name,
                transform=transform,
                centre=float(values.mean()),
                scale=float(values.std()),
            )
        )
    return tuple(specs)


def _trend_knots(years: float, wishes: FeatureTransformations, notes: Notes) -> int:
    if wishes.trend_knots is not None:
        return wishes.trend_knots
    knots = int(years)
    notes.decide(
        "How may the trend bend?",
        f"{knots} hinges" if knots else "not at all",
        f"one hinge per full year of the {years:.1f} years of data",
        *(f"{count} hinges" for count in range(4)),
    )
    return knots


def _seasonality(years: float, wishes: FeatureTransformations, notes: Notes) -> int:
    if wishes.yearly_seasonality is not None:
        return wishes.yearly_seasonality
    order = 3 if years >= MIN_YEARS_FOR_SEASON else 0
    notes.decide(
        "How many pairs of waves describe the year?",
        str(order),
        f"{years:.1f} years of data"
        + ("" if order else ": a season seen once cannot be told from a trend"),
        "0",
        "3",
    )
    return order


def _weekday_levels(frequency: Frequency, wishes: FeatureTransformations, notes: Notes) -> bool:
    if frequency is not Frequency.DAILY:
        if wishes.weekday_levels:
            raise SpecError(f"weekday_levels needs daily data, and this is {frequency}.")
        return False
    if wishes.weekday_levels is not None:
        return wishes.weekday_levels
    notes.decide(
        "Does each day of the week have its own level?",
        "yes",
        "the data is daily, and people buy by the day of the week",
        "yes",
        "no",
    )
    return True


def _likelihood(target: pd.Series, wishes: FeatureTransformations, notes: Notes) -> Likelihood:
    if wishes.likelihood is not None:
        return wishes.likelihood
    steps = target.diff().dropna()
    spread = 1.4826 * float((steps - steps.median()).abs().median())
    extreme = int(((steps - steps.median()).abs() > OUTLIER_ROBUST_Z * spread).sum())
    choice = Likelihood.STUDENT_T if spread > 0 and extreme > 0 else Likelihood.NORMAL
    notes.decide(
        "How does the target scatter around its mean?",
        choice.value,
        f"{extreme} changes from period to period lie beyond {OUTLIER_ROBUST_Z:g} robust "
        "standard deviations",
        Likelihood.NORMAL.value,
        Likelihood.STUDENT_T.value,
    )
    return choice
