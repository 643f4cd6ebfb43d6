"""What came is told apart from what was known, at every distance of periods."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_draws

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.actuals import compare_history, read_national
from mmm_workflows.mmm.baseline import Baseline
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.side_by_side import ROUNDING
from mmm_workflows.mmm.spec import ChannelSpec, Frequency, ModelSpec
from mmm_workflows.mmm.windows import future_dates

CHANNELS = ("TV_Spend", "Search_Spend")


def make(frequency: Frequency) -> tuple[ModelSpec, Draws, Baseline, pd.DataFrame]:
    """A model's history and the file of its owner five periods later."""
    draws = make_draws(count=10, periods=60, channels=CHANNELS, frequency=frequency)
    random = np.random.default_rng(1)
    target = random.normal(1e6, 1e4, 65).round(2)
    spec = ModelSpec(
        target="Revenue", target_unit="EUR", target_is_money=True, spend_unit="EUR",
        frequency=frequency, start=draws.dates[0].item(), end=draws.dates[-1].item(),
        channels=tuple(ChannelSpec(name=n, effect_scale=0.3) for n in CHANNELS),
    )  # fmt: skip
    baseline = Baseline(
        intercept=np.ones(10), drivers=np.zeros((10, 1)), waves=np.zeros((10, 6)),
        sigma=np.ones(10), nu=None, target=target[:60], controls=np.empty((60, 0)),
    )  # fmt: skip
    dates = np.concatenate([draws.dates, future_dates(draws, 5)])
    frame = pd.DataFrame(
        np.column_stack([target, np.vstack([draws.spend, draws.spend[:5]])]),
        index=pd.DatetimeIndex(dates, name="Period"),
        columns=["Revenue", *CHANNELS],
    )
    return spec, draws, baseline, frame


@pytest.mark.parametrize("frequency", Frequency)
def test_the_periods_after_the_last_one_are_the_actuals(frequency: Frequency) -> None:
    spec, draws, baseline, frame = make(frequency)
    found = compare_history(frame, spec, draws, baseline, name="new.csv", sha256="0")
    assert len(found.dates) == 5
    assert found.dates[0] == future_dates(draws, 1)[0].item()
    pd.testing.assert_frame_equal(found.later, frame.iloc[60:], check_names=False,
                                  check_freq=False, check_index_type=False)  # fmt: skip
    assert (found.compared, found.restated) == (60, ())
    back = type(found).model_validate_json(found.model_dump_json())
    assert back == found, "a figure changed on its way through the store"


@pytest.mark.parametrize("frequency", Frequency)
def test_a_missing_period_is_named(frequency: Frequency) -> None:
    spec, draws, baseline, frame = make(frequency)
    with pytest.raises(DatasetError, match=f"{frame.index[61]:%Y-%m-%d} was expected") as caught:
        compare_history(
            frame.drop(frame.index[61]), spec, draws, baseline, name="new.csv", sha256="0"
        )
    assert caught.value.code == "dataset_gap"


def test_a_file_of_the_new_periods_alone_shows_no_history() -> None:
    spec, draws, baseline, frame = make(Frequency.WEEKLY)
    found = compare_history(frame.iloc[60:], spec, draws, baseline, name="new.csv", sha256="0")
    assert (found.compared, found.restated) == (0, ())


def test_a_rounding_is_no_restatement_and_a_hundredth_is_one() -> None:
    spec, draws, baseline, frame = make(Frequency.WEEKLY)
    frame.iloc[:60, 1] *= 1 + 1e-9
    frame.iloc[3, 0] *= 1.01
    found = compare_history(frame, spec, draws, baseline, name="new.csv", sha256="0")
    (restated,) = found.restated
    assert (restated.variable, restated.periods, restated.compared) == ("Revenue", 1, 60)


@pytest.mark.parametrize(("by", "is_restated"), [(ROUNDING / 2, False), (2 * ROUNDING, True)])
def test_a_small_value_is_held_against_itself_not_against_the_largest(
    by: float, is_restated: bool
) -> None:
    spec, draws, baseline, frame = make(Frequency.WEEKLY)
    baseline.target[3] = 10.0
    frame.iloc[3, 0] = 10.0 * (1 + by)
    found = compare_history(frame, spec, draws, baseline, name="new.csv", sha256="0")
    assert bool(found.restated) is is_restated


def test_geographies_are_added_up_as_in_the_fit(tmp_path: Path) -> None:
    spec, _, _, frame = make(Frequency.WEEKLY)
    path = tmp_path / "new.csv"
    halves = [(frame / 2).assign(Geography=place).reset_index() for place in ("North", "South")]
    pd.concat(halves).to_csv(path, index=False)
    found, _ = read_national(path, spec, date_column=None, geography_column=None)
    np.testing.assert_allclose(found.to_numpy(), frame.to_numpy(), rtol=1e-12)


def test_periods_of_another_length_are_refused(tmp_path: Path) -> None:
    spec, _, _, frame = make(Frequency.WEEKLY)
    path = tmp_path / "days.csv"
    days = pd.date_range(date(2024, 1, 1), periods=len(frame), name="Period")
    frame.set_index(days).to_csv(path)
    with pytest.raises(DatasetError, match="are daily; those of the model are weekly") as caught:
        read_national(path, spec, date_column=None, geography_column=None)
    assert caught.value.code == "dataset_frequency_unknown"
