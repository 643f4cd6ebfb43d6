"""The priors of the channels: the rules' own, or cited ones where a person accepted them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from mmm_workflows.errors import SpecError
from mmm_workflows.mmm.cited_priors import WEEKS_PER_PERIOD, retention_prior, return_prior
from mmm_workflows.mmm.dataset import Variable
from mmm_workflows.mmm.figures import figure
from mmm_workflows.mmm.names import same_channel
from mmm_workflows.mmm.plan import PlannedPrior
from mmm_workflows.mmm.response import adstock_weights, carry_over, saturate
from mmm_workflows.mmm.results import FloatArray
from mmm_workflows.mmm.spec import Adstock, ChannelSpec, Frequency, Saturation
from mmm_workflows.mmm.spec_notes import Notes
from mmm_workflows.records import Severity, Who

# The prior's "mostly below": a channel returns up to about three times its spend.
ROAS_SCALE: Final = 3.0
# Without money on both sides: all media together explain up to about this share of the target.
MEDIA_SHARE_SCALE: Final = 0.5
TYPICAL_ALPHA: Final = 0.35
# Prior means of lam: logistic saturates at lam 2, Michaelis-Menten is half way up at 0.5.
LAM_PRIOR: Final[dict[Saturation, tuple[float, float]]] = {
    Saturation.LOGISTIC: (4.0, 2.0),
    Saturation.MICHAELIS_MENTEN: (4.0, 8.0),
}
TYPICAL_LAM: Final[dict[Saturation, float]] = {
    Saturation.LOGISTIC: 2.0,
    Saturation.MICHAELIS_MENTEN: 0.5,
}
# A unit of money whose currency the data does not say.
UNKNOWN_CURRENCY: Final = "money"
SAID: Final = {"roas": "ROAS", "elasticity": "elasticity", "carry_over": "carry-over"}
OWN: Final = "the rules' prior"
CITED: Final = "the cited prior"


@dataclass(frozen=True, kw_only=True)
class MediaForm:
    """The data of the channels and the form in which they are modelled.

    Attributes:
        frame: One row per period; a column for the target and each channel.
        channels: Those that have spend, in the order of the file.
        known: The names of all channels of the data, with spend or without.
    """

    frame: pd.DataFrame
    target: Variable
    channels: tuple[Variable, ...]
    known: tuple[str, ...]
    frequency: Frequency
    adstock: Adstock
    saturation: Saturation
    l_max: int


def channel_specs(
    form: MediaForm, priors: Sequence[PlannedPrior], notes: Notes
) -> tuple[ChannelSpec, ...]:
    """Each channel with its priors; a planned prior that is not taken is a finding."""
    specs = {spec.name: spec for spec in _own_priors(form)}
    # Of two for the same thing the narrower one says more, so it comes first.
    for prior in sorted(priors, key=lambda p: p.spread):
        refused = _refusal(prior, form)
        if refused is not None:
            code, severity, why = refused
            notes.find(code, severity, f"{_named(prior)} is {why}.", prior.channel)
            continue
        (name,) = same_channel(prior.channel, form.known)
        specs[name] = _take(prior, specs[name], form, notes)
    return tuple(specs.values())


def _take(prior: PlannedPrior, spec: ChannelSpec, form: MediaForm, notes: Notes) -> ChannelSpec:
    """The channel with the prior and a decision; without both, a finding says why."""
    taken = _taken(spec, prior)
    if taken:
        notes.find(
            "plan_prior_doubled",
            Severity.WARNING,
            f"{_named(prior)} is not used: {spec.name} has a narrower one already, of "
            f"{_claims(taken)}. Join them in the plan to use both.",
            spec.name,
        )
        return spec
    try:
        cited = _with_prior(spec, prior, form)
    except SpecError as error:
        said = f"{_named(prior)} is not used. {error.message}"
        notes.find("plan_prior_unusable", Severity.WARNING, said, spec.name)
        return spec
    _decide(prior, cited, form, notes)
    return cited


def _own_priors(form: MediaForm) -> tuple[ChannelSpec, ...]:
    spend = form.frame[[c.name for c in form.channels]].to_numpy(dtype=np.float64)
    scale = spend.max(axis=0)
    weights = adstock_weights(Adstock.GEOMETRIC, TYPICAL_ALPHA, form.l_max)
    felt = carry_over((spend / scale).T, weights)
    shape = saturate(form.saturation, felt, TYPICAL_LAM[form.saturation], 1.0).sum(axis=1)
    money = form.target.is_money and all(c.is_money for c in form.channels)
    sizes = _effect_scales(form.frame[form.target.name], spend.sum(axis=0), shape, money=money)
    return tuple(
        ChannelSpec(
            name=channel.name,
            effect_scale=float(size),
            lam_prior=LAM_PRIOR[form.saturation],
        )
        for channel, size in zip(form.channels, sizes, strict=True)
    )


def _effect_scales(
    target: pd.Series, spend: FloatArray, shape: FloatArray, *, money: bool
) -> FloatArray:
    """Prior sd of each channel's coefficient on the target divided by its maximum.

    In money, a coefficient of this size at a typical shape is a ROAS of ``ROAS_SCALE``. Without
    money there is no natural ROAS: the channels share ``MEDIA_SHARE_SCALE`` of the target by
    their spend, at least as much as an equal share of a tenth of it.
    """
    if money:
        wanted = ROAS_SCALE * spend
    else:
        share = np.maximum(spend / spend.sum(), 0.1 / spend.size)
        wanted = MEDIA_SHARE_SCALE * share * float(target.sum())
    return wanted / (float(target.max()) * shape)


def _refusal(prior: PlannedPrior, form: MediaForm) -> tuple[str, Severity, str] | None:
    """Code, severity and the end of a sentence, if a prior has no place here."""
    if not prior.accepted:
        why = "proposed, not used: accept it to use it"
        return "plan_prior_not_accepted", Severity.INFO, why
    found = same_channel(prior.channel, form.known)
    if len(found) != 1:
        matching = f"{', '.join(found)} match it" if found else "no channel of the data matches it"
        return "plan_prior_without_data", Severity.WARNING, f"not used: {matching}"
    channel = next((c for c in form.channels if c.name == found[0]), None)
    if channel is None:
        why = f"not used: {found[0]} has no spend in any period"
        return "plan_prior_without_data", Severity.WARNING, why
    unusable = _unusable(prior, channel, form)
    return ("plan_prior_unusable", Severity.WARNING, f"not used: {unusable}") if unusable else None


def _unusable(prior: PlannedPrior, channel: Variable, form: MediaForm) -> str | None:
    target = form.target
    if prior.quantity == "carry_over":
        if form.adstock is Adstock.GEOMETRIC:
            return None
        return f"under the {form.adstock} carry-over no share is kept from week to week"
    if prior.quantity == "elasticity":
        if form.frame[target.name].sum() > 0:
            return None
        return f"{target.name} adds up to nothing of which it could be a per cent"
    if not target.is_money:
        return f"{target.name} is counted in {target.unit}, and no value per unit is known"
    if not channel.is_money:
        return f"{channel.name} is in {channel.unit}, which is no money"
    if len({target.unit, channel.unit} - {UNKNOWN_CURRENCY}) > 1:
        return f"{target.name} is in {target.unit} and {channel.name} in {channel.unit}"
    return None


def _taken(spec: ChannelSpec, prior: PlannedPrior) -> tuple[str, ...]:
    """The claims of the cited prior that the channel has in this one's place."""
    if prior.quantity == "carry_over":
        return spec.carry_over_claims
    return spec.return_prior.claims if spec.return_prior else ()


def _with_prior(spec: ChannelSpec, prior: PlannedPrior, form: MediaForm) -> ChannelSpec:
    if prior.quantity == "carry_over":
        shape = retention_prior(prior, form.frequency)
        return spec.model_copy(update={"alpha_prior": shape, "carry_over_claims": prior.claims})
    cited = return_prior(
        prior,
        prior.quantity,
        target_sum=float(form.frame[form.target.name].sum()),
        spend_sum=float(form.frame[spec.name].sum()),
    )
    return spec.model_copy(update={"return_prior": cited})


def _decide(prior: PlannedPrior, spec: ChannelSpec, form: MediaForm, notes: Notes) -> None:
    notes.decide(
        f"What is known of the {SAID[prior.quantity]} of {spec.name} before its data is read?",
        CITED,
        f"it was accepted; in the model it is {_in_model(prior, spec, form)}",
        OWN,
        CITED,
        evidence=f"{_claims(prior.claims)}: {_figures(prior)}. {prior.why}",
        who=Who.PERSON,
    )


def _in_model(prior: PlannedPrior, spec: ChannelSpec, form: MediaForm) -> str:
    if prior.quantity == "carry_over" or spec.return_prior is None:
        a, b = spec.alpha_prior
        weeks = WEEKS_PER_PERIOD[form.frequency]
        kept = prior.median**weeks
        return f"a Beta({figure(a)}, {figure(b)}) on {form.frequency} retention, around {kept:.3g}"
    unit = next(c.unit for c in form.channels if c.name == spec.name)
    return (
        f"a LogNormal on what the channel returns, around {figure(spec.return_prior.median)} "
        f"{form.target.unit} per {unit}"
    )


def _named(prior: PlannedPrior) -> str:
    return (
        f"The prior on the {SAID[prior.quantity]} of {prior.channel!r} ({_figures(prior)}; "
        f"{_claims(prior.claims)})"
    )


def _figures(prior: PlannedPrior) -> str:
    scale = "logit" if prior.quantity == "carry_over" else "log"
    return f"median {figure(prior.median)}, spread {figure(prior.spread)} on the {scale} scale"


def _claims(claims: Sequence[str]) -> str:
    return f"claim{'s' if len(claims) > 1 else ''} {', '.join(claims)}"
