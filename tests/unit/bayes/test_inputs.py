"""What a model is fed beside the file's own columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmm_workflows.bayes.inputs import free_name, storable
from mmm_workflows.mmm.baseline import trend_columns, weekday_columns


def test_weekdays_have_seven_levels_that_add_up_to_nothing() -> None:
    dates = pd.date_range("2024-01-01", periods=70)
    columns = weekday_columns(dates)
    assert np.linalg.matrix_rank(columns) == 6
    assert columns[:7].sum(axis=0) == pytest.approx(0)
    # Each day of the week is one row, the same in every week.
    assert len(np.unique(columns, axis=0)) == 7
    assert (columns[7:14] == columns[:7]).all()
    # Any seven levels with mean zero are a combination of the six columns.
    levels = np.array([3.0, -1.0, 0.5, 2.0, -4.0, 1.0, -1.5])
    found, *_ = np.linalg.lstsq(columns[:7], levels, rcond=None)
    assert columns[:7] @ found == pytest.approx(levels)


@pytest.mark.parametrize("knots", [0, 1, 3])
def test_a_trend_is_a_line_and_its_bends_each_standardised(knots: int) -> None:
    columns = trend_columns(120, knots)
    assert columns.shape == (120, 1 + knots)
    assert columns.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert columns.std(axis=0) == pytest.approx(1)
    steps = np.diff(columns[:, 0])
    assert steps == pytest.approx(steps[0])
    for bend in columns.T[1:]:
        assert (np.diff(bend) >= -1e-12).all()
        assert bend[0] == bend[1], "flat before its knot"


@pytest.mark.parametrize("knots", [0, 1, 3])
def test_a_trend_goes_on_with_its_last_slope_behind_the_data(knots: int) -> None:
    columns = trend_columns(120, knots, ahead=30)
    np.testing.assert_array_equal(columns[:120], trend_columns(120, knots))
    np.testing.assert_allclose(np.diff(columns[118:], axis=0), columns[119:120] - columns[118:119]
                               + np.zeros((31, 1)), rtol=1e-9)  # fmt: skip


def test_names_that_the_library_cannot_store_get_others_and_stay_distinct() -> None:
    names = ("date", "a/b", "a_b", ".", "TV")
    kept = storable(names)
    assert len(set(kept)) == len(names)
    assert kept[-1] == "TV"
    assert not {"date", ".", "a/b"} & set(kept)
    assert free_name("trend", ("trend", "trend_")) == "trend__"
