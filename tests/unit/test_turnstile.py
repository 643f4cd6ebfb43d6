"""Who asks too often waits, within any minute and for no longer than needed."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from mmm_workflows.api.turnstile import WITHIN_S, Turnstile


def test_who_has_passed_as_often_as_may_be_waits_until_the_first_is_a_minute_ago() -> None:
    gate = Turnstile()
    assert [gate.wait_s("a", 2, at) for at in (100.0, 110.0, 115.0)] == [0, 0, 45.0]
    assert gate.wait_s("b", 2, 115.0) == 0
    assert gate.wait_s("a", 2, 159.5) == 0.5
    assert [gate.wait_s("a", 2, 160.0), gate.wait_s("a", 2, 161.0)] == [0, 9.0]


@example([5e-324, 30.0, 30.0], 1)  # where the end of a minute is rounded
@given(st.lists(st.floats(0, 30), min_size=1, max_size=60), st.integers(1, 5))
def test_within_no_minute_more_pass_than_may(pauses: list[float], limit: int) -> None:
    gate, at, passed = Turnstile(), 0.0, list[float]()
    for pause in pauses:
        at += pause
        if gate.wait_s("a", limit, at) == 0:
            passed.append(at)
        recent = [moment for moment in passed if moment + WITHIN_S > at]
        assert len(recent) <= limit
    assert passed


def test_those_who_do_not_come_back_are_forgotten() -> None:
    gate = Turnstile()
    for number in range(1000):
        gate.wait_s(f"address {number}", 10, 100.0 + number / 1000)
    assert gate.wait_s("another", 10, 300.0) == 0
    assert gate.known == 1
