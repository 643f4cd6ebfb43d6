"""Which days a stored result speaks of."""

from __future__ import annotations

from datetime import date

import pytest

from mmm_workflows.errors import UserError
from mmm_workflows.mmm.knowledge import Period, make_period
from mmm_workflows.mmm.spoken_of import spoken_of, years
from mmm_workflows.records import Json

WINDOW = {"start": "2024-01-01", "end": "2024-01-29"}
DATASET = {"first_period": "2024-01-01", "last_period": "2024-01-29"}


@pytest.mark.parametrize(
    ("workflow", "result", "last"),
    [
        ("eda", {"dataset": {**DATASET, "frequency": "weekly"}}, date(2024, 2, 4)),
        ("eda", {"dataset": {**DATASET, "frequency": "daily"}}, date(2024, 1, 29)),
        ("eda", {}, None),
        ("modeling", {"window": WINDOW, "model_spec": {"frequency": "monthly"}}, date(2024, 1, 31)),
        ("modeling", {"window": WINDOW, "model_spec": {}}, date(2024, 1, 29)),
        ("modeling", {"model_spec": {}}, None),
        ("whatif", {"scenario_results": [{"window": WINDOW}]}, date(2024, 1, 29)),
        (
            "whatif",
            {"scenario_results": [], "optimization_results": {"window": WINDOW}},
            date(2024, 1, 29),
        ),
        ("track", {"scores": {"window": WINDOW, "frequency": "weekly"}}, date(2024, 2, 4)),
        ("track", {"scores": {}}, None),
        ("research", {"claims": []}, None),
    ],
)
def test_a_result_speaks_of_its_periods_the_last_one_whole(
    workflow: str, result: Json, last: date | None
) -> None:
    expected = None if last is None else Period(first=date(2024, 1, 1), last=last)
    assert spoken_of(workflow, result) == expected


def test_a_claim_speaks_of_the_years_that_it_was_measured_in() -> None:
    assert years("2019") == Period(first=date(2019, 1, 1), last=date(2019, 12, 31))
    assert years("2019-2021") == Period(first=date(2019, 1, 1), last=date(2021, 12, 31))
    assert years(None) is None


def test_a_period_may_be_open_at_either_end_and_never_runs_backwards() -> None:
    day = date(2024, 1, 1)
    assert make_period(None, None) is None
    assert make_period(day, None) == Period(first=day, last=date.max)
    assert make_period(None, day) == Period(first=date.min, last=day)
    assert make_period(day, day) == Period(first=day, last=day)
    with pytest.raises(UserError, match="ends on 2023-12-31, before it begins on 2024-01-01"):
        make_period(day, date(2023, 12, 31))
