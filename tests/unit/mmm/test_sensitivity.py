"""The table of how the outcome moves with each channel's spend."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.figures import interval
from mmm_workflows.mmm.results import Window
from mmm_workflows.mmm.scenario import Change, ChangeKind, run_scenario
from mmm_workflows.mmm.sensitivity import Sensitivity, sensitivity
from mmm_workflows.mmm.spec import Saturation
from mmm_workflows.mmm.whatif_advice import recommend_next_unit
from mmm_workflows.mmm.windows import Reference, make_reference, next_periods


def reference_of(draws: Draws, past: bool) -> Reference:
    if past:
        start, end = draws.dates[80].item(), draws.dates[92].item()
        return make_reference(draws, Window(start=start, end=end))
    return make_reference(draws, next_periods(draws, 13))


def of_channel(table: Sensitivity, channel: str) -> list[tuple[float, float]]:
    rows = [r for r in table.rows if r.channel == channel]
    return [(r.factor, r.delta.mean) for r in rows]


def spend_of(table: Sensitivity, channel: str) -> float:
    row = next(r for r in table.rows if r.channel == channel)
    return row.spend / row.factor


@pytest.mark.parametrize("past", [True, False])
@pytest.mark.parametrize("saturation", Saturation)
def test_more_spend_brings_more_and_each_step_less_than_the_one_before(
    draws: Draws, saturation: Saturation, past: bool
) -> None:
    known = replace(draws, saturation=saturation)
    table = sensitivity(known, reference_of(known, past))
    for name in draws.channels:
        # No change is in the table by meaning: there the difference is nothing.
        points = sorted([*of_channel(table, name), (1.0, 0.0)])
        factors, deltas = zip(*points, strict=True)
        assert factors[0] == 0.5 and factors[-1] == 1.5
        assert list(deltas) == sorted(deltas)
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]
        assert slopes == sorted(slopes, reverse=True)
        # The slope at no change is what the next unit brings, times the spend.
        at_one = table.mroas[name].mean * spend_of(table, name)
        assert slopes[0] > at_one > slopes[-1]


@pytest.mark.parametrize("margin", [None, 0.3])
@pytest.mark.parametrize("past", [True, False])
def test_each_row_is_the_scenario_that_changes_one_channel_alone(
    draws: Draws, past: bool, margin: float | None
) -> None:
    known = replace(draws, margin=margin)
    reference = reference_of(known, past)
    table = sensitivity(known, reference)
    assert len(table.rows) == 6 * len(draws.channels)
    for row in table.rows:
        change = Change(channel=row.channel, kind=ChangeKind.MULTIPLY, amount=row.factor)
        scenario = run_scenario(known, reference, [change], name="row")
        said, delta = row.delta, scenario.outcome.delta
        assert (said.mean, said.median, said.hdi_low, said.hdi_high) == pytest.approx(
            (delta.mean, delta.median, delta.hdi_low, delta.hdi_high), rel=1e-9
        )
        assert row.spend == pytest.approx(scenario.totals[row.channel])
        assert row.probability_better == pytest.approx(scenario.outcome.probability_better)
        assert row.extrapolates == any("extrapolates" in w for w in scenario.warnings)


@pytest.mark.parametrize("past", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_every_estimate_lies_in_its_interval_and_has_a_unit(
    draws: Draws, seed: int, past: bool
) -> None:
    chosen = np.random.default_rng(seed).integers(0, draws.count, 40)
    arrays = {k: getattr(draws, k)[chosen] for k in ("alpha", "lam", "beta")}
    known = replace(draws, **arrays)
    table = sensitivity(known, reference_of(known, past))
    for estimate in [*table.mroas.values(), *(r.delta for r in table.rows)]:
        assert estimate.hdi_low <= estimate.median <= estimate.hdi_high
        assert estimate.hdi_prob == 0.94
    assert {r.delta.unit for r in table.rows} == {"EUR"}
    assert {e.unit for e in table.mroas.values()} == {"EUR per EUR"}
    assert sum(table.probability_best.values()) == pytest.approx(1)
    for row in table.rows:
        assert np.sign(row.delta.hdi_low) == np.sign(row.factor - 1)


def test_a_channel_without_spend_in_the_window_has_no_row_but_a_next_unit(draws: Draws) -> None:
    spend = draws.spend.copy()
    spend[-52:, 1] = 0
    known = replace(draws, spend=spend)
    table = sensitivity(known, reference_of(known, past=False))
    silent = draws.channels[1]
    assert {r.channel for r in table.rows} == set(draws.channels) - {silent}
    assert table.mroas[silent].hdi_low > 0


def test_a_target_without_a_price_has_differences_but_no_probabilities(draws: Draws) -> None:
    known = replace(draws, target="Orders", target_unit="orders", target_is_money=False)
    table = sensitivity(known, reference_of(known, past=False))
    assert {r.probability_better for r in table.rows} == {None}
    assert {r.delta.unit for r in table.rows} == {"orders"}
    assert {e.unit for e in table.mroas.values()} == {"orders per EUR"}


def test_the_best_channel_is_named_alone_only_when_the_draws_agree(draws: Draws) -> None:
    beta = draws.beta.copy()
    beta[:, 2] *= 100
    clear = sensitivity(replace(draws, beta=beta), reference_of(draws, past=False))
    first, second = recommend_next_unit(clear)
    name = draws.channels[2]
    assert clear.probability_best[name] == 1
    assert f"It brings most in {name}" in second
    assert all(interval(e) in first for e in clear.mroas.values())
    # Five channels of the same money and the same draws in another order: nothing to tell.
    random = np.random.default_rng(2)
    order = [random.permutation(draws.count) for _ in draws.channels]
    same = {
        k: np.column_stack([getattr(draws, k)[o, 0] for o in order])
        for k in ("alpha", "lam", "beta")
    }
    alike = replace(
        draws,
        spend=np.repeat(draws.spend[:, :1], len(order), axis=1),
        channel_scale=np.repeat(draws.channel_scale[:1], len(order)),
        **same,
    )
    table = sensitivity(alike, reference_of(alike, past=False))
    assert max(table.probability_best.values()) < 0.4
    assert "does not tell" in recommend_next_unit(table)[1]
