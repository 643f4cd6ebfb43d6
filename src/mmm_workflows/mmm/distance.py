"""How far a claim is from the brand that is planned for, as parts of a spread on the log scale.

The numbers are judgements, not estimates: an increment of 0.4 says that the return elsewhere may
well be a half more or a third less. Parts are combined in quadrature, so the largest counts most.
"""

from __future__ import annotations

import math
from datetime import date
from typing import Final

from mmm_workflows.mmm.claim_context import Method
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.countries import country_of
from mmm_workflows.mmm.results import Value
from mmm_workflows.mmm.source_tiers import SourceTier

TIER_SPREAD: Final = {
    SourceTier.PEER_REVIEWED: 0.30,
    SourceTier.META_ANALYSIS: 0.35,
    SourceTier.OFFICIAL_STATISTICS: 0.40,
    SourceTier.VENDOR: 0.60,
    SourceTier.BLOG: 0.80,
    SourceTier.UNKNOWN: 0.90,
}
SAME_REGION: Final = 0.25
OTHER_COUNTRY: Final = 0.50
OTHER_CATEGORY: Final = 0.40
YEARS_FRESH, YEARS_OLD = 3, 8
AGED: Final = 0.20
OLD: Final = 0.40
METHOD_SPREAD: Final = {
    Method.EXPERIMENT: 0.0,
    Method.META_ANALYSIS: 0.10,
    Method.MODEL: 0.20,
    Method.ATTRIBUTION: 0.50,
    Method.SURVEY: 0.50,
    Method.UNKNOWN: 0.50,
}


class Brand(Value):
    """What is planned for; None counts as unknown, and unknown counts as far."""

    country: str | None = None
    category: str | None = None
    today: date


class Part(Value):
    """One reason for doubt: its size on the log scale, and the words for it."""

    size: float
    words: str


class Distance(Value):
    """The parts of a claim's spread, the tier of its source first."""

    parts: tuple[Part, ...]

    @property
    def spread(self) -> float:
        """All parts in quadrature."""
        return math.hypot(*(part.size for part in self.parts))


def distance(claim: Claim, brand: Brand) -> Distance:
    """How far a claim is from a brand, by source, country, category, period and method."""
    return Distance(
        parts=(
            Part(size=TIER_SPREAD[claim.tier], words=_source(claim.tier)),
            _place(claim.geography, brand.country),
            _category(claim.category, brand.category),
            _age(claim.period, brand.today),
            Part(size=METHOD_SPREAD[claim.method], words=_method(claim.method)),
        )
    )


def _source(tier: SourceTier) -> str:
    return "a source of unknown kind" if tier is SourceTier.UNKNOWN else f"a source: {tier}"


def _place(there: str | None, here: str | None) -> Part:
    if there is None or here is None:
        side = "the source's" if there is None else "the brand's"
        return Part(size=OTHER_COUNTRY, words=f"{side} country is not known")
    one, other = country_of(there), country_of(here)
    if one is not None and one == other:
        return Part(size=0.0, words=f"the same country ({one.name})")
    regions = [place.region if place is not None else name for place, name in
               ((one, there), (other, here))]  # fmt: skip
    if regions[0] == regions[1]:
        return Part(size=SAME_REGION, words=f"another country of the region ({there}, here {here})")
    return Part(size=OTHER_COUNTRY, words=f"another country ({there}, here {here})")


def _category(there: str | None, here: str | None) -> Part:
    if there is None or here is None:
        side = "the source's" if there is None else "the brand's"
        return Part(size=OTHER_CATEGORY, words=f"{side} category is not known")
    if there == here:
        return Part(size=0.0, words=f"the same category ({here})")
    return Part(size=OTHER_CATEGORY, words=f"another category ({there}, here {here})")


def _age(period: str | None, today: date) -> Part:
    if period is None:
        return Part(size=OLD, words="its period is not known")
    years = today.year - int(period[-4:])
    if years <= YEARS_FRESH:
        return Part(size=0.0, words=f"a recent period ({period})")
    return Part(size=AGED if years <= YEARS_OLD else OLD, words=f"an older period ({period})")


def _method(method: Method) -> str:
    return "its method is not known" if method is Method.UNKNOWN else f"its method: {method}"
