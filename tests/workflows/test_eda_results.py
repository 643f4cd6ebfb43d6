"""From files to trusted MFF: what is proposed, what is found, what is drawn."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from mmm_workflows.config import Settings
from mmm_workflows.mmm.dataset import read_mff
from mmm_workflows.mmm.spec import Frequency
from mmm_workflows.mmm.synthetic import make_world
from mmm_workflows.mmm.worlds import SALES, WEEKLY_SAMPLE
from mmm_workflows.workflows import create_eda_workflow

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def table() -> pd.DataFrame:
    """Two years of weeks in which nothing is wrong."""
    random = np.random.default_rng(1)
    weeks = 104
    return pd.DataFrame(
        {
            "Week": pd.date_range("2023-01-02", periods=weeks, freq="7D").strftime("%Y-%m-%d"),
            "Revenue": random.normal(1000, 50, weeks).round(2),
            "TV_Spend": random.gamma(4, 20, weeks).round(2),
            "Search_Spend": random.gamma(4, 10, weeks).round(2),
            "Price": random.normal(10, 1, weeks).round(2),
            "Shoe_Size": random.normal(42, 1, weeks).round(1),
            "Notes": ["a remark"] * weeks,
        }
    )


async def _eda(table: pd.DataFrame, settings: Settings, at: Path, **arguments: object) -> dict:
    source = at / "data.csv"
    table.to_csv(source, index=False)
    eda = await create_eda_workflow(settings)
    result = await eda.run([str(source)], **arguments)  # type: ignore[arg-type]
    assert result["status"] == "succeeded"
    return result


def _codes(result: dict) -> dict[str, list[str | None]]:
    found: dict[str, list[str | None]] = {}
    for finding in result["quality_report"]["findings"]:
        found.setdefault(finding["code"], []).append(finding["variable"])
    return found


def _roles(result: dict) -> dict[str, str]:
    sidecar = read_mff(Path(result["mff_data_path"])).sidecar
    return {v.name: v.role.value for v in sidecar.variables}


async def test_what_nobody_named_is_proposed_and_every_choice_is_a_decision(
    table: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    result = await _eda(table, settings, tmp_path)
    roles = _roles(result)
    assert roles["Revenue"] == "target"
    assert {n for n, role in roles.items() if role == "channel"} == {"TV_Spend", "Search_Spend"}
    assert roles["Price"] == "control"
    asked = " ".join(d["question"] for d in result["decisions"])
    for word in ("dates", "explained", "channels", "Price"):
        assert word in asked, asked
    assert all(d["reason"] and d["who"] == "rules" for d in result["decisions"])


async def test_a_numeric_column_nobody_named_is_not_used_and_that_is_said(
    table: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    result = await _eda(table, settings, tmp_path)
    assert _roles(result).get("Shoe_Size", "unused") == "unused"
    assert "Shoe_Size" in _codes(result)["column_unused"]
    assert any("Shoe_Size" in r for r in result["recommendations"])


async def test_what_is_named_wins(table: pd.DataFrame, settings: Settings, tmp_path: Path) -> None:
    result = await _eda(
        table, settings, tmp_path,
        target_variable="revenue", media_channels=["TV Spend"], control_variables=["Shoe_Size"],
        date_column="Week", currency="EUR",
    )  # fmt: skip
    roles = _roles(result)
    assert roles["Shoe_Size"] == "control"
    assert roles["TV_Spend"] == "channel"
    # Only what was named is a channel or a control.
    assert sorted(roles.values()).count("channel") == 1
    assert sorted(roles.values()).count("control") == 1
    sidecar = read_mff(Path(result["mff_data_path"])).sidecar
    assert {v.name: v.unit for v in sidecar.variables}["TV_Spend"] == "EUR"


async def test_clean_data_has_nothing_to_review_but_what_is_left_out(
    table: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    clean = table.drop(columns=["Shoe_Size", "Notes"])
    result = await _eda(
        clean, settings, tmp_path,
        target_variable="Revenue", media_channels=["TV_Spend", "Search_Spend"],
        control_variables=["Price"], target_unit="EUR", currency="EUR",
    )  # fmt: skip
    assert _codes(result) == {}
    assert result["quality_report"]["data_verdict"] == "ready"


def _twin(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(Search_Spend=table["TV_Spend"] * 2 + 0.01 * table["Search_Spend"])


TROUBLES = {
    "channels_correlate": _twin,
    "channel_redundant": _twin,
    "channel_constant": lambda t: t.assign(Search_Spend=5.0),
    "channel_without_spend": lambda t: t.assign(Search_Spend=0.0),
    "channel_sparse": lambda t: t.assign(Search_Spend=np.where(t.index % 5 == 0, 30.0, 0.0)),
    "channel_tiny": lambda t: t.assign(Search_Spend=t["Search_Spend"] / 1000),
    "target_outliers": lambda t: t.assign(Revenue=t["Revenue"].where(t.index != 50, 9000.0)),
    "control_constant": lambda t: t.assign(Price=3.0),
    "blank_spend": lambda t: t.assign(Search_Spend=t["Search_Spend"].where(t.index > 2)),
}


@pytest.mark.parametrize("code", TROUBLES)
async def test_each_trouble_is_found_where_it_is(
    code: str, table: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    troubled = TROUBLES[code](table)
    result = await _eda(troubled, settings, tmp_path)
    found = _codes(result)
    assert code in found, found
    expected = {"target_outliers": "Revenue", "control_constant": "Price"}.get(code)
    assert set(found[code]) & ({expected} if expected else {"TV_Spend", "Search_Spend"})
    assert result["quality_report"]["data_verdict"] == "review"
    assert len(result["recommendations"]) > 1


async def test_a_blank_spend_is_a_step_that_names_its_cells(
    table: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    result = await _eda(TROUBLES["blank_spend"](table), settings, tmp_path)
    (step,) = read_mff(Path(result["mff_data_path"])).sidecar.cleaning
    assert step.variable == "Search_Spend"
    assert [where for where, _, _ in step.cells] == [f"row {r} of data.csv" for r in (2, 3, 4)]
    assert {typed for _, typed, _ in step.cells} == {""}


async def test_the_charts_are_pictures_and_specifications(
    table: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    result = await _eda(table, settings, tmp_path)
    assert len(result["visualizations"]) >= 4
    for chart in result["visualizations"]:
        root = ElementTree.parse(chart["svg_path"]).getroot()
        assert root.tag.endswith("svg")
        assert json.loads(Path(chart["vega_lite_path"]).read_text())["$schema"]
        assert chart["title"]


async def test_hostile_column_names_stay_names(
    table: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    hostile = "<script>alert(1)</script> Spend"
    climbing = "../../etc/passwd Spend"
    formula = "=cmd|' /C calc'!A0 [x].y:z"
    named = table.rename(
        columns={"TV_Spend": hostile, "Search_Spend": climbing, "Revenue": formula}
    )
    result = await _eda(
        named, settings, tmp_path, target_variable=formula, media_channels=[hostile, climbing]
    )
    assert _roles(result)[hostile] == "channel"
    home = settings.outputs.resolve()
    for chart in result["visualizations"]:
        svg = Path(chart["svg_path"])
        assert svg.resolve().is_relative_to(home)
        assert "<script" not in svg.read_text()
        ElementTree.parse(svg)
    assert not list(tmp_path.glob("**/passwd*"))


@pytest.mark.parametrize("stem", ["examples/data/weekly_sample", "data/sales"])
async def test_the_shipped_files_go_through_with_their_totals(
    stem: str, settings: Settings
) -> None:
    source = REPOSITORY / f"{stem}.csv"
    eda = await create_eda_workflow(settings)
    result = await eda.run([str(source)])
    wide = pd.read_csv(source)
    national = read_mff(Path(result["mff_data_path"])).national()
    for name in national:
        if name in wide:
            assert national[name].sum() == pytest.approx(wide[name].sum(), rel=1e-12)
    world = WEEKLY_SAMPLE if "weekly" in stem else SALES
    assert {c.name for c in world.channels} <= set(national.columns)


@pytest.mark.parametrize(
    ("frequency", "geographies"),
    [(Frequency.DAILY, 0), (Frequency.MONTHLY, 0), (Frequency.WEEKLY, 3), (Frequency.DAILY, 2)],
)
async def test_every_frequency_and_geographies_keep_their_totals(
    frequency: Frequency, geographies: int, settings: Settings, tmp_path: Path
) -> None:
    start = date(2022, 1, 1) if frequency is Frequency.MONTHLY else date(2022, 1, 3)
    plan = SALES.model_copy(
        update={
            "frequency": frequency, "geographies": geographies, "periods": 60, "start": start,
        }
    )  # fmt: skip
    source = tmp_path / "world.csv"
    source.write_bytes(make_world(plan, 3).csv())
    eda = await create_eda_workflow(settings)
    result = await eda.run(
        [str(source)], "Sales", ["TV_Spend", "Digital_Spend"],
        geography_column="Geography" if geographies else None,
    )  # fmt: skip
    dataset = read_mff(Path(result["mff_data_path"]))
    assert dataset.sidecar.frequency is frequency
    assert len(dataset.geographies) == max(geographies, 1)
    wide = pd.read_csv(source)
    for name in ("Sales", "TV_Spend", "Digital_Spend"):
        assert dataset.national()[name].sum() == pytest.approx(wide[name].sum(), rel=1e-12)


async def test_files_are_merged_on_their_dates(
    table: pd.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    sales, media = tmp_path / "sales.csv", tmp_path / "media.csv"
    table[["Week", "Revenue", "Price"]].to_csv(sales, index=False)
    shuffled = table[["Week", "TV_Spend", "Search_Spend"]].sample(frac=1, random_state=3)
    shuffled.rename(columns={"Week": "Date"}).to_csv(media, index=False)
    eda = await create_eda_workflow(settings)
    result = await eda.run([str(sales), str(media)], "Revenue")
    national = read_mff(Path(result["mff_data_path"])).national()
    assert national["TV_Spend"].tolist() == table["TV_Spend"].tolist()
    sidecar = read_mff(Path(result["mff_data_path"])).sidecar
    assert {s.name for s in sidecar.sources} == {"sales.csv", "media.csv"}
