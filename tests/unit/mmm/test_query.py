"""Plain words to an exact plan: a labelled corpus, and what no wording may change."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.query import interpret
from mmm_workflows.mmm.questions import Interpretation, QueryKind
from mmm_workflows.mmm.results import Window
from mmm_workflows.mmm.scenario import plan_of
from mmm_workflows.mmm.spec import Adstock, Frequency, Saturation
from mmm_workflows.mmm.windows import make_reference

CORPUS = yaml.safe_load(Path(__file__).with_name("queries.yaml").read_text(encoding="utf-8"))
CHANNELS = (
    "TV_Spend",
    "Search_Spend",
    "Radio_Spend",
    "Print_Spend",
    "Social_Facebook",
    "Social_Instagram",
)
PER_WEEK = np.array([20e3, 10e3, 5e3, 4e3, 3e3, 2e3])
NEXT_13_WEEKS = [date(2025, 12, 29), date(2026, 3, 23)]


@cache
def level_draws() -> Draws:
    """156 weeks of level spend; a first week of 100 times as much lets budgets grow."""
    spend = np.tile(PER_WEEK, (156, 1))
    spend[0] *= 100
    draws = np.ones((2, len(CHANNELS)))
    return Draws(
        channels=CHANNELS,
        dates=np.datetime64("2023-01-02") + 7 * np.arange(156),
        spend=spend,
        channel_scale=spend.max(axis=0),
        target_scale=1e6,
        alpha=draws / 2,
        theta=None,
        lam=draws,
        beta=draws,
        adstock=Adstock.GEOMETRIC,
        saturation=Saturation.LOGISTIC,
        l_max=4,
        frequency=Frequency.WEEKLY,
        target="Revenue",
        target_unit="EUR",
        target_is_money=True,
        spend_unit="EUR",
    )


def full_name(short: str) -> str:
    return next(c for c in CHANNELS if c in (short, f"{short}_Spend"))


def labelled_window(case: dict[str, Any]) -> Window:
    start, end = case.get("window", NEXT_13_WEEKS)
    return Window(start=start, end=end)


def labelled_totals(case: dict[str, Any]) -> dict[str, float]:
    """Money per channel in the window after the labelled changes."""
    window = labelled_window(case)
    weeks = (window.end - window.start).days // 7 + 1
    totals = dict(zip(CHANNELS, (PER_WEEK * weeks).tolist(), strict=True))
    effects = dict(case["effect"])
    every = effects.pop("all", None)
    named = (
        dict.fromkeys(CHANNELS, every) if every else {full_name(c): e for c, e in effects.items()}
    )
    for channel, effect in named.items():
        sign, amount = str(effect)[0], str(effect).lstrip("x=")
        before = {"x": totals[channel] * float(amount), "=": float(amount)}
        totals[channel] = before.get(sign, totals[channel] + float(amount))
    return totals


def read_totals(read: Interpretation) -> dict[str, float]:
    """Money per channel in the window of a reading."""
    assert read.window is not None
    reference = make_reference(level_draws(), read.window)
    plan = plan_of(level_draws(), reference, read.changes)
    return dict(zip(CHANNELS, plan.sum(axis=0).tolist(), strict=True))


def ids(cases: list[Any]) -> list[str]:
    return [str(c["ask"] if isinstance(c, dict) else c)[:60] or "empty" for c in cases]


@pytest.mark.parametrize("case", CORPUS["simulate"], ids=ids(CORPUS["simulate"]))
def test_a_change_of_spend_is_read_exactly(case: dict[str, Any]) -> None:
    read = interpret(case["ask"], level_draws())
    assert read.kind is QueryKind.SIMULATE, read.questions
    assert read.window == labelled_window(case)
    assert read_totals(read) == pytest.approx(labelled_totals(case), rel=1e-9, abs=1e-6)
    assert (read.total, read.limits, read.max_change_0_1, read.questions) == (None, (), None, ())


@pytest.mark.parametrize("case", CORPUS["optimize"], ids=ids(CORPUS["optimize"]))
def test_a_budget_to_allocate_is_read_exactly(case: dict[str, Any]) -> None:
    read = interpret(case["ask"], level_draws())
    assert read.kind is QueryKind.OPTIMIZE, read.questions
    assert read.window == labelled_window(case)
    assert read.total == pytest.approx(case["total"])
    limits = {limit.channel: [limit.low, limit.high] for limit in read.limits}
    assert limits == {full_name(c): b for c, b in case.get("limits", {}).items()}
    assert read.max_change_0_1 == pytest.approx(case.get("max_change"))
    assert (read.changes, read.questions) == ((), ())


@pytest.mark.parametrize("ask", CORPUS["clarify"], ids=ids(CORPUS["clarify"]))
def test_what_cannot_be_read_for_certain_is_asked_about(ask: str) -> None:
    read = interpret(ask, level_draws())
    assert read.kind is QueryKind.CLARIFY, read.echo
    assert read.questions and all(q.strip() for q in read.questions)
    assert (read.changes, read.total, read.limits) == ((), None, ())


@pytest.mark.parametrize(
    "ask", ["increase TV by 20%", "cut TV by half", "stop TV", "move 10% of TV to Search"]
)
def test_a_plan_that_changes_nothing_is_asked_about(ask: str) -> None:
    """A flighted channel may be dark in the reference: a share of nothing is nothing."""
    spend = level_draws().spend.copy()
    spend[-52:-39, 0] = 0.0
    dark = replace(level_draws(), spend=spend)
    read = interpret(ask, dark)
    assert read.kind is QueryKind.CLARIFY, read.echo
    assert "TV_Spend has no spend in the reference" in read.questions[0]
    assert interpret("increase all by 20%", dark).kind is QueryKind.SIMULATE
    assert interpret("set TV to 50k", dark).kind is QueryKind.SIMULATE


def test_the_corpus_asks_every_question_once() -> None:
    asked = [c["ask"] if isinstance(c, dict) else c for cases in CORPUS.values() for c in cases]
    assert len(asked) == len(set(asked)) >= 120
    assert len(CORPUS["clarify"]) >= 40


READ = [case["ask"] for kind in ("simulate", "optimize") for case in CORPUS[kind]]
NAMES = ("tv", "search", "radio", "print", "social facebook", "social instagram")


def plan(read: Interpretation) -> Interpretation:
    """A reading without the sentence that repeats it."""
    return read.model_copy(update={"echo": ""})


@given(
    ask=st.sampled_from(READ),
    before=st.lists(
        st.sampled_from(["please", "could you", "Hi,", "hello", "can you please", "OK,"]),
        min_size=1,
        max_size=3,
    ),
    after=st.sampled_from(["", " please", ", please", ", thanks", " please?", "!"]),
)
@settings(max_examples=60, deadline=None)
def test_politeness_never_changes_a_reading(ask: str, before: list[str], after: str) -> None:
    politely = f"{' '.join(before)} {ask.rstrip('?. !')}{after}"
    assert plan(interpret(politely, level_draws())) == plan(interpret(ask, level_draws()))


@given(ask=st.sampled_from(READ), data=st.data())
@settings(max_examples=60, deadline=None)
def test_capitals_and_spaces_never_change_a_reading(ask: str, data: st.DataObject) -> None:
    letters = [data.draw(st.sampled_from([c.lower(), c.upper()])) for c in ask]
    gap = data.draw(st.sampled_from([" ", "  ", "\n", "\t", "\u00a0"]))
    written = gap.join("".join(letters).split(" "))
    assert plan(interpret(written, level_draws())) == plan(interpret(ask, level_draws()))


@given(
    ask=st.sampled_from(READ),
    word=st.sampled_from(
        ["not", "except", "without", "unless", "only", "versus", "instead", "never", "or", "Cinema"]
    ),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_a_word_that_changes_the_meaning_is_never_passed_over(
    ask: str, word: str, data: st.DataObject
) -> None:
    parts = ask.split()
    at = data.draw(st.integers(0, len(parts)))
    changed = " ".join([*parts[:at], word, *parts[at:]])
    assume("not more than" not in changed)  # it says the same as "more than" after "no channel"
    read = interpret(changed, level_draws())
    if plan(read) == plan(interpret(ask, level_draws())):
        pytest.fail(f"{word!r} was passed over in {changed!r}: {read.echo}")


@given(
    name=st.sampled_from(NAMES),
    verb=st.sampled_from([("increase", 1), ("raise", 1), ("cut", -1), ("reduce", -1)]),
    percent=st.integers(1, 100),
)
@settings(max_examples=60, deadline=None)
def test_a_percentage_scales_the_named_channel_alone(
    name: str, verb: tuple[str, int], percent: int
) -> None:
    read = interpret(f"{verb[0]} {name} by {percent}%", level_draws())
    channel = CHANNELS[NAMES.index(name)]
    expected = dict(zip(CHANNELS, (PER_WEEK * 13).tolist(), strict=True))
    expected[channel] *= 1 + verb[1] * percent / 100
    assert read_totals(read) == pytest.approx(expected)


@given(source=st.sampled_from(NAMES), sink=st.sampled_from(NAMES), thousands=st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_a_move_keeps_the_total_and_takes_no_more_than_there_is(
    source: str, sink: str, thousands: int
) -> None:
    read = interpret(f"move {thousands}k from {source} to {sink}", level_draws())
    has = float(PER_WEEK[NAMES.index(source)] * 13)
    if source == sink or thousands * 1000 > has:
        assert read.kind is QueryKind.CLARIFY
        return
    totals = read_totals(read)
    assert sum(totals.values()) == pytest.approx(PER_WEEK.sum() * 13)
    assert totals[CHANNELS[NAMES.index(source)]] == pytest.approx(has - thousands * 1000)


@given(st.text(max_size=80))
@settings(max_examples=100, deadline=None)
def test_any_text_is_answered_and_noise_is_asked_about(text: str) -> None:
    assert interpret(text, level_draws()).kind is QueryKind.CLARIFY


@pytest.mark.parametrize(
    "text",
    [
        "a" * 4000,
        "9" * 4000,
        " " * 4000 + "x",
        "1,000" * 800,
        "optimise " + "9" * 980,
        "increase TV by " + "9" * 980 + "%",
        "increase TV by " + "9" * 980 + "k",
        "increase TV by " + "1,000" * 190,
        "increase TV by 20% in the next " + "9" * 900 + " weeks",
        "increase " + "tv " * 320 + "by 20%",
        "optimise 600k " + "tv " * 320,
        "optimise 600k " + "keep tv at least " * 55,
        "move 10% of " + "of the " * 140,
        "optimal " + "total " * 160,
        "increase TV by 20% " + "and " * 4000,
        "please " * 1000 + "increase TV by 20%",
    ],
    ids=lambda text: f"{text[:24]}... {len(text)}",
)
def test_a_long_text_is_asked_about_in_short(text: str) -> None:
    read = interpret(text, level_draws())
    assert read.kind is QueryKind.CLARIFY
    assert sum(map(len, (read.echo, *read.questions))) < 5000
