"""What a sentence says of a KPI, or that it cannot be read in one way."""

from __future__ import annotations

import pytest

from mmm_workflows.mmm.readings import Kpi, Unit, readings_of


@pytest.mark.parametrize(
    ("sentence", "kpi", "channel", "value", "value_to", "unit"),
    [
        ("TV returned a ROAS of 3.2x in 2021.", Kpi.ROAS, "TV", 3.2, None, Unit.RATIO),
        ("TV brought €2.60 of revenue per €1 spent.", Kpi.ROAS, "TV", 2.6, None, Unit.RATIO),
        ("Radio had a ROAS of 320 % in 84 brands.", Kpi.ROAS, "Radio", 320, None, Unit.PERCENT),
        ("Radio's net ROI was 120%.", Kpi.ROI, "Radio", 120, None, Unit.PERCENT),
        ("TV elasticity was 0.12 (95% CI 0.08 to 0.16).", Kpi.ELASTICITY, "TV", 0.12, None,
         Unit.RATIO),
        ("The adstock half-life of TV was 2 to 3 weeks.", Kpi.HALF_LIFE, "TV", 2, 3, Unit.WEEKS),
        ("Die Halbwertszeit der TV-Werbung lag bei 14 Tagen.", Kpi.HALF_LIFE, "TV", 14, None,
         Unit.DAYS),
        ("ROAS of search ranged from 2.1 to 3.2.", Kpi.ROAS, "Search", 2.1, 3.2, Unit.RATIO),
        ("The carry-over of radio was between 20 and 30 %.", Kpi.CARRY_OVER, "Radio", 20, 30,
         Unit.PERCENT),
        ("A meta-analysis put the ROAS of print at 2.4.", Kpi.ROAS, "Print", 2.4, None, Unit.RATIO),
        ("The average advertising elasticity was 0.1.", Kpi.ELASTICITY, "All media", 0.1, None,
         Unit.RATIO),
        ("For every $1 spent on TV, brands earned $3.20 in revenue.", Kpi.ROAS, "TV", 3.2, None,
         Unit.RATIO),
        ("The ROAS for TV was $1.79 over 450 campaigns.", Kpi.ROAS, "TV", 1.79, None, Unit.RATIO),
        ("Connected TV returned a ROAS of 3.2.", Kpi.ROAS, "Online video", 3.2, None, Unit.RATIO),
        ("Paid search saturates early.", Kpi.SATURATION, "Search", None, None, Unit.NONE),
        ("Bookings peak in July.", Kpi.SEASONALITY, "All media", None, None, Unit.NONE),
    ],
)  # fmt: skip
def test_a_level_is_read(
    sentence: str, kpi: Kpi, channel: str, value: float, value_to: float | None, unit: Unit
) -> None:
    [found] = readings_of(sentence)
    assert (found.kpi, found.channel) == (kpi, channel)
    assert (found.value, found.value_to, found.unit) == (value, value_to, unit)
    assert found.written in sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "We target a ROAS of 4 for TV.",
        "If budgets doubled, TV would return a ROAS of 3.",
        "TV can return a ROAS of 3.",
        "TV did not reach a ROAS of 3.",
        "Did TV return a ROAS of 3?",
        "Die Printwerbung erreicht keinen ROAS von 3,0.",
        "Search ROAS rose from 2.1 to 3.2.",
        "TV ROAS increased by 20%.",
        "Search returned a ROAS of more than 8.",
        "The marginal ROAS of TV was 0.7.",
        "Price elasticity was \u22122.1 where TV ran.",
        "Search returned a ROAS of two to three.",
        "Search and social had a ROAS of 3.2 and 4.1.",
        "TV had a ROAS of 3.2, compared with 4.1 for radio.",
        "TV had a ROAS of 3.2 and an elasticity of 0.1.",
        "The carry-over of TV was 4.",
        "The half-life of TV was 3.",
        "TV had a customer retention rate of 60%.",
        "ROAS was 3.2.",
        "TV delivered a ROAS of 1.2 million.",
        "Non-TV media had a ROAS of 3.2.",
        "Excluding TV, ROAS was 3.2.",
        "TV, radio and print had a ROAS of 3.2.",
        "TV generated $3.20 for every dollar invested.",
        "ROAS of 5:1 is good for search.",
        "TV is loved by 80% of people.",
    ],
)
def test_what_is_no_level_or_can_be_read_in_two_ways_is_not_read(sentence: str) -> None:
    assert readings_of(sentence) == ()


def test_channels_and_figures_that_take_turns_are_paired() -> None:
    for sentence in ("ROAS was 3.2 for TV and 4.1 for radio.",
                     "TV had a ROAS of 3.2 while radio had one of 4.1."):  # fmt: skip
        assert [(r.channel, r.value) for r in readings_of(sentence)] == [
            ("TV", 3.2),
            ("Radio", 4.1),
        ]


def test_the_period_of_a_carry_over_is_read_or_left_open() -> None:
    assert [r.per for r in readings_of("The carry-over of TV was 0.6 per week.")] == [Unit.WEEKS]
    assert [r.per for r in readings_of("The carry-over of TV was 0.6.")] == [Unit.NONE]
