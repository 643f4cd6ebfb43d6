"""From cited claims to proposed priors: pooled robustly, wider the farther and the less agreed.

The median of a prior is the weighted median of its claims on the log (carry-over: logit) scale,
each weighted by one over its squared spread. Its spread is that of the nearest claim, in quadrature
with half the range of the claims' values. More claims do not narrow it: pages repeat one another
and share their distance to the brand.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from mmm_workflows.mmm.channel_words import of_kind
from mmm_workflows.mmm.claim_scale import Plain, Quantity, from_line, plain, to_line
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.distance import Brand, Distance, distance
from mmm_workflows.mmm.figures import figure
from mmm_workflows.mmm.plan import PlannedPrior
from mmm_workflows.mmm.readings import ALL_MEDIA
from mmm_workflows.mmm.results import Value

# No published figure says more of another brand than this.
FLOOR: Final = 0.25
_NAMES: Final[dict[Quantity, str]] = {
    "roas": "ROAS",
    "elasticity": "elasticity",
    "carry_over": "weekly carry-over",
}


class LeftOut(Value):
    """A claim that became no part of a prior, and why."""

    claim_id: str
    reason: str


class Transported(Value):
    """The proposed priors, none accepted yet, and the claims that are in none of them."""

    priors: tuple[PlannedPrior, ...]
    left_out: tuple[LeftOut, ...]


class Weighed(NamedTuple):
    """A claim on the scale on which it is pooled."""

    claim: Claim
    plain: Plain
    point: float
    half_width: float
    distance: Distance

    @property
    def spread(self) -> float:
        """Its distance in quadrature with the width that it gives itself."""
        return math.hypot(self.distance.spread, self.half_width)


def transport(claims: Sequence[Claim], channels: Sequence[str], brand: Brand) -> Transported:
    """A proposed prior per channel and quantity that the claims speak of.

    Args:
        claims: Checked claims; those of other channels or without a usable figure are left out.
        channels: The plan's channels, by their own names.
        brand: Where, for what and when the prior is to hold.
    """
    groups: dict[tuple[str, Quantity], list[Weighed]] = defaultdict(list)
    left_out: list[LeftOut] = []
    for claim in _distinct(claims):
        fitting = of_kind(claim.channel, channels)
        made = plain(claim)
        if isinstance(made, str):
            left_out.append(LeftOut(claim_id=claim.claim_id, reason=made))
        elif claim.channel == ALL_MEDIA or not fitting:
            reason = f"it is about {claim.channel}, which is no channel of the plan"
            left_out.append(LeftOut(claim_id=claim.claim_id, reason=reason))
        else:
            weighed = _weigh(claim, made, brand)
            for channel in fitting:
                groups[channel, made.quantity].append(weighed)
    order = sorted(groups, key=lambda key: (list(channels).index(key[0]), key[1]))
    priors = tuple(
        _prior(channel, quantity, groups[channel, quantity]) for channel, quantity in order
    )
    return Transported(priors=priors, left_out=tuple(left_out))


def pool(weighed: Sequence[Weighed]) -> tuple[float, float, float]:
    """The pooled point, its spread, and the part of the spread that comes from disagreement."""
    ordered = sorted(weighed, key=lambda w: (w.point, w.claim.claim_id))
    point = _weighted_median([(w.point, w.spread**-2) for w in ordered])
    nearest = min(w.spread for w in ordered)
    conflict = (ordered[-1].point - ordered[0].point) / 2
    return point, max(FLOOR, math.hypot(nearest, conflict)), conflict


def _distinct(claims: Sequence[Claim]) -> list[Claim]:
    """The claims by id; of copies of one sentence only that of the best source."""
    best: dict[tuple[object, ...], Claim] = {}
    for claim in sorted(claims, key=lambda c: (c.tier.rank, c.claim_id)):
        best.setdefault((claim.quote, claim.kpi, claim.channel, claim.value), claim)
    return sorted(best.values(), key=lambda c: c.claim_id)


def _weigh(claim: Claim, made: Plain, brand: Brand) -> Weighed:
    low, high = (to_line(made.quantity, value) for value in (made.low, made.high))
    return Weighed(claim, made, (low + high) / 2, (high - low) / 2, distance(claim, brand))


def _weighted_median(points: Sequence[tuple[float, float]]) -> float:
    half = math.fsum(weight for _, weight in points) / 2
    reached = 0.0
    for i, (point, weight) in enumerate(points):
        reached += weight
        if math.isclose(reached, half, rel_tol=1e-9) and i + 1 < len(points):
            return (point + points[i + 1][0]) / 2
        if reached > half:
            return point
    return points[-1][0]


def _prior(channel: str, quantity: Quantity, weighed: Sequence[Weighed]) -> PlannedPrior:
    point, spread, conflict = pool(weighed)
    ids = tuple(sorted(w.claim.claim_id for w in weighed))
    median = from_line(quantity, point)
    return PlannedPrior(
        channel=channel,
        quantity=quantity,
        median=float(f"{median:.6g}"),
        # Rounded up, so that rounding makes no prior narrower than its parts.
        spread=math.ceil(spread * 1e6) / 1e6,
        claims=ids,
        why=_why(quantity, weighed, conflict, spread),
    )


def _why(quantity: Quantity, weighed: Sequence[Weighed], conflict: float, spread: float) -> str:
    nearest = min(weighed, key=lambda w: (w.spread, w.claim.claim_id))
    parts = [f"{figure(p.size)} for {p.words}" if p.size else f"nothing for {p.words}"
             for p in nearest.distance.parts]  # fmt: skip
    if nearest.half_width:
        parts.append(f"{figure(nearest.half_width)} for the range that it gives")
    if conflict:
        parts.append(f"{figure(conflict)} for claims that differ")
    scale = "logit" if quantity == "carry_over" else "log"
    ids = ", ".join(sorted(w.claim.claim_id for w in weighed))
    converted = sorted({w.plain.converted for w in weighed} - {""})
    turned = f" Converted: {'; '.join(converted)}." if converted else ""
    floor = f", and not below {FLOOR}" if spread == FLOOR else ""
    return (
        f"The {_NAMES[quantity]} of {ids}, by their weighted median; the spread of "
        f"{figure(spread)} on the {scale} scale combines, from the nearest claim "
        f"{nearest.claim.claim_id}: {', '.join(parts)}{floor}.{turned}"
    )
