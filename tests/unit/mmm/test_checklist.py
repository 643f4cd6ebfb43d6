"""A plan's data requirements against a dataset."""

from __future__ import annotations

import pandas as pd
import pytest

from mmm_workflows.mmm.checklist import tick
from mmm_workflows.mmm.dataset import Dataset, Role, Sidecar, Variable, long_table
from mmm_workflows.mmm.plan import DataRequirement
from mmm_workflows.mmm.planning import KnownData, propose_plan
from mmm_workflows.mmm.spec import Frequency


def dataset(periods: int = 105, frequency: Frequency = Frequency.WEEKLY) -> Dataset:
    dates = pd.date_range("2023-01-02", periods=periods, freq="7D", name="Period")
    columns = ["Revenue", "TV_Spend", "Facebook_Spend", "Instagram_Spend", "Search_Clicks", "Price"]
    wide = pd.DataFrame({name: range(1, periods + 1) for name in columns}, index=dates, dtype=float)
    roles = [Role.TARGET, Role.CHANNEL, Role.CHANNEL, Role.CHANNEL, Role.CHANNEL, Role.CONTROL]
    units = ["EUR", "EUR", "EUR", "EUR", "clicks", "as in the file"]
    variables = tuple(
        Variable(name=n, role=r, unit=u, is_money=u == "EUR", source="a.csv")
        for n, r, u in zip(columns, roles, units, strict=True)
    )
    return Dataset(long_table(wide), Sidecar(frequency=frequency, variables=variables, sources=()))


def need(variable: str, **more: str) -> DataRequirement:
    return DataRequirement(variable=variable, why="it is needed", **more)


@pytest.mark.parametrize(
    ("requirement", "status", "column", "reason"),
    [
        (need("Revenue"), "met", "Revenue", "the column is there"),
        (need("TV spend", unit="money", granularity="weekly", history="at least 2 years"), "met",
         "TV_Spend", "it is in EUR"),
        (need("tv"), "met", "TV_Spend", ""),
        (need("TV spend", history="3 years"), "not_met", "TV_Spend", "covers 2.02 years"),
        (need("TV spend", granularity="daily"), "not_met", "TV_Spend", "daily is needed"),
        (need("TV spend", granularity="monthly"), "met", "TV_Spend", "it is weekly"),
        (need("TV spend", history="long"), "unknown", "TV_Spend", "no length"),
        (need("TV spend", granularity="hourly"), "unknown", "TV_Spend", "no granularity"),
        (need("Search spend", unit="money"), "not_met", "Search_Clicks", "in clicks"),
        (need("Social spend"), "unknown", None, "Facebook_Spend, Instagram_Spend"),
        (need("Price", unit="EUR"), "unknown", "Price", "does not say its unit"),
        (need("Radio spend"), "not_met", None, "no column"),
        (need("Sales"), "unknown", None, "the data explains 'Revenue'"),
    ],
)  # fmt: skip
def test_a_requirement_is_met_not_met_or_unknown_with_the_reason(
    requirement: DataRequirement, status: str, column: str | None, reason: str
) -> None:
    [ticked] = tick([requirement], dataset())
    assert (ticked.status, ticked.column) == (status, column)
    assert reason in ticked.reason


def test_two_years_of_52_weeks_are_two_years() -> None:
    wanted = need("Revenue", history="at least 2 years, so that a season is seen twice")
    assert tick([wanted], dataset(104))[0].status == "met"
    assert tick([wanted], dataset(100))[0].status == "not_met"


def test_the_requirements_of_a_plan_from_the_data_are_met_by_it() -> None:
    data = dataset()
    plan = propose_plan(
        "What works?",
        known=KnownData(target="Revenue", channels=["TV_Spend"], controls=["Price"]),
    ).plan
    ticked = tick(plan.data_requirements, data)
    assert [t.requirement for t in ticked] == list(plan.data_requirements)
    assert [(t.status, t.column) for t in ticked] == [
        ("met", "Revenue"), ("met", "TV_Spend"), ("met", "Price")
    ]  # fmt: skip
