"""Proposed priors from claims: wider the farther and the less agreed, never narrower by repetition."""

from __future__ import annotations

import math
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_pages import HOSTS, NAMES, make_page, sample_page

from mmm_workflows.mmm.claim_context import Method
from mmm_workflows.mmm.claim_rules import read_claims
from mmm_workflows.mmm.claim_scale import Plain, plain
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.distance import METHOD_SPREAD, TIER_SPREAD, Brand, distance
from mmm_workflows.mmm.plan import PlannedPrior
from mmm_workflows.mmm.source_tiers import SourceTier
from mmm_workflows.mmm.transport import FLOOR, Weighed, pool, transport

TODAY = date(2026, 3, 1)
HOME = Brand(country="Germany", category="consumer packaged goods", today=TODAY)
TIERS = {f"{tier.name.lower().replace('_', '-')}.example.org": tier for tier in SourceTier}
METHODS = {
    Method.EXPERIMENT: "a geo experiment",
    Method.META_ANALYSIS: "a meta-analysis",
    Method.MODEL: "a marketing mix model",
    Method.ATTRIBUTION: "last-click attribution",
    Method.SURVEY: "a survey",
    Method.UNKNOWN: "a study",
}


def a_claim(
    figure: str = "a ROAS of 2.0",
    *,
    tier: SourceTier = SourceTier.PEER_REVIEWED,
    country: str = "Germany",
    category: str = "snack and beverage brands",
    period: str = "2022 to 2024",
    method: Method = Method.EXPERIMENT,
    copy: int = 0,
) -> Claim:
    host = next(name for name, t in TIERS.items() if t is tier)
    text = (
        f"We used {METHODS[method]} in {country} on {category} in {period}.\n\n"
        f"In case {'abcdefghij'[copy]}, TV had {figure}."
    )
    [claim] = read_claims(make_page(text, url=f"https://{host}/{copy}"), hosts=TIERS).claims
    return claim


def prior_of(*claims: Claim, brand: Brand = HOME) -> PlannedPrior:
    [prior] = transport(claims, ["TV_Spend"], brand).priors
    return prior


@pytest.mark.parametrize(
    ("figure", "quantity", "value"),
    [
        ("a ROAS of 3.2x", "roas", 3.2),
        ("a ROAS of 320 %", "roas", 3.2),
        ("a net ROI of 150%", "roas", 2.5),
        ("an elasticity of 0.12", "elasticity", 0.12),
        ("a half-life of 2 weeks", "carry_over", 0.5**0.5),
        ("a half-life of 14 days", "carry_over", 0.5**0.5),
        ("a carry-over of 0.6 per week", "carry_over", 0.6),
        ("a carry-over of 60 % per week", "carry_over", 0.6),
        ("a carry-over of 0.9 per day", "carry_over", 0.9**7),
        ("a ROAS between 1 and 4", "roas", 2.0),
    ],
)
def test_a_figure_becomes_the_median_with_its_unit_converted(
    figure: str, quantity: str, value: float
) -> None:
    prior = prior_of(a_claim(figure))
    assert (prior.channel, prior.quantity) == ("TV_Spend", quantity)
    assert prior.median == pytest.approx(value, rel=1e-5)
    assert not prior.accepted


@pytest.mark.parametrize(
    ("figure", "reason"),
    [
        ("an ROI of 150%", "net of the spend"),
        ("a profit ROI of 1.9", "margin is not known"),
        ("a net ROAS of 1.9", "one less"),
        ("a carry-over of 0.6", "for which period"),
        ("an elasticity of -0.1", "no usual elasticity"),
        ("a ROAS of 3000", "no usual roas"),
    ],
)
def test_a_figure_that_cannot_be_converted_for_sure_is_left_out_with_the_reason(
    figure: str, reason: str
) -> None:
    claim = a_claim(figure)
    result = transport([claim], ["TV_Spend"], HOME)
    assert result.priors == ()
    [left] = result.left_out
    assert left.claim_id == claim.claim_id
    assert reason in left.reason


def test_the_why_lists_every_part_of_the_discount() -> None:
    claim = a_claim(country="Japan", category="hotel and airline", period="2009 to 2011",
                    tier=SourceTier.BLOG, method=Method.SURVEY)  # fmt: skip
    prior = prior_of(claim, a_claim("a ROAS of 4.0", copy=1, tier=SourceTier.UNKNOWN,
                                    country="Japan", category="hotel and airline",
                                    period="2009 to 2011", method=Method.SURVEY))  # fmt: skip
    for part in ("blog", "another country (Japan, here Germany)", "another category (travel, here",
                 "an older period (2009-2011)", "survey", "claims that differ"):  # fmt: skip
        assert part in prior.why
    expected = math.hypot(0.8, 0.5, 0.4, 0.4, 0.5, math.log(2) / 2)
    assert prior.spread == pytest.approx(expected, abs=2e-6)
    assert set(prior.claims) <= set(re_ids(prior.why))


def re_ids(text: str) -> list[str]:
    return [word.strip(",:.") for word in text.split() if word.startswith("C-")]


def test_what_is_unknown_counts_as_far() -> None:
    claim = a_claim()
    near, far = distance(claim, HOME).spread, distance(claim, Brand(today=TODAY)).spread
    other = Brand(country="Japan", category="travel", today=TODAY)
    assert far > near
    assert far == distance(claim, other).spread
    assert list(TIER_SPREAD.values()) == sorted(TIER_SPREAD.values())
    assert METHOD_SPREAD[Method.UNKNOWN] == max(METHOD_SPREAD.values())


FAR = st.tuples(
    st.sampled_from(list(SourceTier)),
    st.sampled_from(["Germany", "France", "Japan", "a country"]),
    st.sampled_from(["snack and beverage brands", "hotel and airline brands", "things"]),
    st.sampled_from(["2022 to 2024", "2017 to 2019", "2009 to 2011", "some years"]),
    st.sampled_from(list(Method)),
)
FIGURES = st.sampled_from([f"a ROAS of {v}" for v in ("0.5", "1.0", "2.0", "2.5", "8.0", "30.0")])


def far_claim(figure: str, far: tuple[SourceTier, str, str, str, Method], copy: int) -> Claim:
    tier, country, category, period, method = far
    return a_claim(figure, tier=tier, country=country, category=category, period=period,
                   method=method, copy=copy)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FIGURES, FAR), min_size=1, max_size=4), st.data())
def test_a_claim_from_farther_away_never_gives_a_narrower_prior(
    cases: list[tuple[str, tuple[SourceTier, str, str, str, Method]]], data: st.DataObject
) -> None:
    claims = [far_claim(figure, far, i) for i, (figure, far) in enumerate(cases)]
    moved = data.draw(st.integers(0, len(claims) - 1))
    other = far_claim(cases[moved][0], data.draw(FAR), moved)
    farther = [*claims[:moved], other, *claims[moved + 1 :]]
    near, far = claims[moved], other
    if distance(near, HOME).spread > distance(far, HOME).spread:
        claims, farther = farther, claims
    assert prior_of(*farther).spread >= prior_of(*claims).spread


POINTS = st.lists(st.tuples(st.floats(-3.0, 3.0), FAR), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(POINTS, st.floats(1.0, 4.0))
def test_more_conflict_never_narrows(
    cases: list[tuple[float, tuple[SourceTier, str, str, str, Method]]], stretch: float
) -> None:
    weighed = []
    for i, (point, far) in enumerate(cases):
        claim = far_claim("a ROAS of 2.0", far, i)
        made = plain(claim)
        assert isinstance(made, Plain)
        weighed.append(Weighed(claim, made, point, 0.0, distance(claim, HOME)))
    _, before, conflict = pool(weighed)
    _, after, more = pool([w._replace(point=w.point * stretch) for w in weighed])
    assert more >= conflict - 1e-12
    assert after >= before - 1e-12


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FIGURES, FAR), min_size=1, max_size=4), st.integers(1, 5))
def test_more_equal_claims_never_widen(
    cases: list[tuple[str, tuple[SourceTier, str, str, str, Method]]], more: int
) -> None:
    claims = [far_claim(figure, far, i) for i, (figure, far) in enumerate(cases)]
    again = [far_claim(*cases[0], 4 + i) for i in range(more)]
    assert prior_of(*claims, *again).spread <= prior_of(*claims).spread


@settings(max_examples=60, deadline=None)
@given(st.permutations([a_claim(f"a ROAS of {i + 1}.0", copy=i) for i in range(4)]))
def test_the_prior_does_not_depend_on_the_order_of_claims(order: list[Claim]) -> None:
    assert prior_of(*order) == prior_of(*sorted(order, key=lambda c: c.claim_id))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FIGURES, FAR), min_size=1, max_size=5))
def test_the_median_lies_among_the_claims_and_the_spread_above_the_floor(
    cases: list[tuple[str, tuple[SourceTier, str, str, str, Method]]],
) -> None:
    claims = [far_claim(figure, far, i) for i, (figure, far) in enumerate(cases)]
    made = [p for c in claims if isinstance(p := plain(c), Plain)]
    prior = prior_of(*claims)
    assert min(p.low for p in made) * 0.999 <= prior.median <= max(p.high for p in made) * 1.001
    assert prior.spread >= FLOOR


def test_one_far_outlier_does_not_move_the_median_of_three_good_claims() -> None:
    good = [a_claim(f"a ROAS of 2.{i}", copy=i) for i in range(3)]
    far = a_claim("a ROAS of 30.0", tier=SourceTier.BLOG, country="Japan", copy=4)
    assert prior_of(*good, far).median == pytest.approx(2.1, abs=0.06)
    assert prior_of(*good, far).spread > prior_of(*good).spread


def test_a_sentence_that_is_copied_to_another_page_counts_once() -> None:
    text = "TV had a ROAS of 2.0."
    claims = [
        claim
        for host in ("blog.example.org", "peer-reviewed.example.org")
        for claim in read_claims(make_page(text, url=f"https://{host}/a"), hosts=TIERS).claims
    ]
    assert len(claims) == 2
    assert prior_of(*claims).claims == (claims[1].claim_id,)


def test_the_sample_pages_give_priors_for_the_channels_of_the_plan_alone() -> None:
    claims = [c for name in NAMES for c in read_claims(sample_page(name), hosts=HOSTS).claims]
    result = transport(claims, ["TV_Spend", "radio_S"], HOME)
    assert {(p.channel, p.quantity) for p in result.priors} == {
        ("TV_Spend", "roas"), ("TV_Spend", "elasticity"), ("TV_Spend", "carry_over"),
        ("radio_S", "roas"), ("radio_S", "elasticity"), ("radio_S", "carry_over"),
    }  # fmt: skip
    used = {i for p in result.priors for i in p.claims}
    assert used.isdisjoint(left.claim_id for left in result.left_out)
    assert used | {left.claim_id for left in result.left_out} == {c.claim_id for c in claims}
