"""A later run of EDA is another one because of what an earlier run of its project decided."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmm_workflows.cli.session import screen
from mmm_workflows.cli.show import show_result
from mmm_workflows.config import Settings
from mmm_workflows.errors import DatasetError, MMMError
from mmm_workflows.mmm.chain import lines
from mmm_workflows.mmm.dataset import read_mff
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner
from mmm_workflows.workflows.steps import eda as steps

WEEKS = 60
TOLD = {
    "target_variable": "Units", "media_channels": ["TV", "Search"], "control_variables": ["Heat"],
    "date_column": "Week", "currency": "EUR", "target_unit": "bottles",
}  # fmt: skip


def data(seed: int = 1, weeks: int = WEEKS) -> pd.DataFrame:
    """Columns of which no name says what it is, and two that hold dates."""
    random = np.random.default_rng(seed)
    begins = pd.date_range("2023-01-02", periods=weeks, freq="7D")
    return pd.DataFrame(
        {
            "Week": begins.strftime("%Y-%m-%d"),
            "Day": (begins + pd.Timedelta(days=6)).strftime("%Y-%m-%d"),
            "Units": random.normal(1000, 50, weeks).round(2),
            "TV": random.gamma(4, 20, weeks).round(2),
            "Search": random.gamma(4, 10, weeks).round(2),
            "Heat": random.normal(15, 5, weeks).round(1),
            "Shelf": random.normal(15, 5, weeks).round(1),
        }
    )


def newer() -> pd.DataFrame:
    """Eight new weeks, three percent of the history restated, TV under another name."""
    later = pd.concat([data(), data(9, WEEKS + 8).iloc[WEEKS:]], ignore_index=True)
    later.loc[[50, 55], "Units"] *= 1.03
    return later.rename(columns={"TV": "Television"})


async def eda(
    runner: Runner, frame: pd.DataFrame, path: Path, workflow_id: str, project: str = "default",
    **told: Any,
) -> dict[str, Any]:  # fmt: skip
    frame.to_csv(path, index=False)
    request = read_request("eda", {"data_sources": [str(path)], **told})
    result = await runner.start("eda", request, workflow_id=workflow_id, project=project)
    assert result["status"] == "succeeded", result["error"]
    return result


def _roles(result: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    variables = read_mff(Path(result["mff_data_path"])).sidecar.variables
    return {v.name: (v.role.value, v.unit, v.additivity) for v in variables}


async def test_the_same_file_is_treated_the_same_and_a_request_wins(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "sales.csv"
    async with open_runner(settings) as runner:
        first = await eda(runner, data(), path, "first", **TOLD)
        again = await eda(runner, data(), path, "again")
        other = await eda(runner, data(), path, "other", control_variables=["TV"])
        third = await eda(runner, data(), path, "third", target_unit="crates")
    assert first["earlier"] is None
    assert again["earlier"]["relation"] == "same_file"
    assert again["earlier"]["workflow_id"] == "first"
    assert again["earlier"]["differences"] == []
    table, same = (Path(r["mff_data_path"]).read_bytes() for r in (first, again))
    assert same == table
    assert _roles(again) == _roles(first)
    assert again["quality_report"]["findings"] == first["quality_report"]["findings"]
    taken = {d["question"]: d for d in again["decisions"] if "as in run first of" in d["reason"]}
    for question, way_out in {
        "Which column is to be explained?": "--target",
        "Which columns are channels?": "--channels",
        "What is the column 'Heat'?": "--controls",
        "In which unit is the target 'Units'?": "--target-unit",
        "Which column holds the dates?": "--date",
    }.items():
        assert way_out in taken[question]["reason"]
        assert "sales.csv has the same content" in taken[question]["evidence"]
    assert "the same file as in run first" in again["quality_report"]["summary"]
    # Of what is said now, nothing is as before; the rest follows the run before this one.
    assert _roles(other)["TV"][0] == "control" and _roles(other)["Search"][0] == "channel"
    assert _roles(other)["Heat"][0] == "unused"
    assert _roles(third) == {**_roles(other), "Units": ("target", "crates", "sum")}


async def test_a_newer_version_is_treated_the_same_and_its_differences_are_named(
    settings: Settings, tmp_path: Path
) -> None:
    async with open_runner(settings) as runner:
        first = await eda(runner, data(), tmp_path / "sales.csv", "first", **TOLD)
        later = await eda(runner, newer(), tmp_path / "sales_v2.csv", "later")
    assert later["earlier"]["relation"] == "newer_version"
    assert later["earlier"]["mff_data_path"] == first["mff_data_path"]
    found = {f["code"]: f for f in later["earlier"]["differences"]}
    assert set(found) == {"periods_added", "column_renamed", "history_restated"}
    assert "8 periods are new: 2024-02-26 to 2024-04-15" in found["periods_added"]["message"]
    assert "'TV' was renamed" in found["column_renamed"]["message"]
    restated = found["history_restated"]
    assert "2 of 60 overlapping cells (3.33 %)" in restated["message"]
    assert [cell[:10] for cell in restated["cells"]] == ["2023-12-18", "2024-01-22"]
    assert all(f in later["quality_report"]["findings"] for f in found.values())
    assert later["quality_report"]["data_verdict"] == "review"
    assert any("afresh" in advice and "Units" in advice for advice in later["recommendations"])
    expected = _roles(first)
    expected["Television"] = expected.pop("TV")
    assert _roles(later) == expected
    with screen.capture() as shown:
        show_result(later)
    assert "newer version, treated as in run first" in shown.get()
    assert "differences: 3" in shown.get()


async def test_nothing_is_taken_over_from_another_brand_or_another_project(
    settings: Settings, tmp_path: Path
) -> None:
    async with open_runner(settings) as runner:
        await eda(runner, data(), tmp_path / "sales.csv", "first", project="one", **TOLD)
        for frame, project in ((data(2), "one"), (data(), "two")):
            with pytest.raises(DatasetError) as refused:
                await eda(runner, frame, tmp_path / "now.csv", f"in_{project}", project)
            # The rules alone cannot tell its dates, as they could not for the first.
            assert refused.value.code == "dataset_column_ambiguous"
        told = await eda(runner, data(2), tmp_path / "now.csv", "told", "one", **TOLD)
    assert told["earlier"] is None
    assert not [d for d in told["decisions"] if "as in run" in d["reason"]]


async def test_nothing_is_left_of_a_deleted_run(settings: Settings, tmp_path: Path) -> None:
    async with open_runner(settings) as runner:
        await eda(runner, data(), tmp_path / "sales.csv", "first", **TOLD)
        await runner.delete("first")
        with pytest.raises(DatasetError, match="date column could not be found"):
            await eda(runner, data(), tmp_path / "sales.csv", "later")


async def test_a_role_that_the_cells_speak_against_is_refused_and_not_forced(
    settings: Settings, tmp_path: Path
) -> None:
    wrong = newer()
    wrong.loc[61, "Television"] = -5.0
    text = newer().astype({"Heat": str})
    text.loc[61, "Heat"] = "warm"
    async with open_runner(settings) as runner:
        await eda(runner, data(), tmp_path / "sales.csv", "first", **TOLD)
        for frame, code, said in (
            (wrong, "dataset_negative_spend", "'Television' has the spend -5"),
            (text, "dataset_number_unreadable", "'Heat' holds 'warm'"),
        ):
            with pytest.raises(DatasetError, match=said) as refused:
                await eda(runner, frame, tmp_path / "now.csv", code)
            assert refused.value.code == code


async def test_a_unit_that_was_assumed_is_said_to_be_so_each_time(
    settings: Settings, tmp_path: Path
) -> None:
    sales = data().rename(columns={"Units": "Sales"})
    told = {k: v for k, v in TOLD.items() if not k.startswith("target")}
    path = tmp_path / "sales.csv"
    async with open_runner(settings) as runner:
        await eda(runner, sales, path, "first", **told)
        for run in ("second", "third"):
            result = await eda(runner, sales, path, run)
            codes = [f["code"] for f in result["quality_report"]["findings"]]
            assert "target_unit_assumed" in codes
        confirmed = await eda(runner, sales, path, "confirmed", target_unit="EUR")
        last = await eda(runner, sales, path, "last")
    for result in (confirmed, last):
        codes = [f["code"] for f in result["quality_report"]["findings"]]
        assert "target_unit_assumed" not in codes


async def test_two_files_are_merged_by_the_columns_of_before(
    settings: Settings, tmp_path: Path
) -> None:
    frame = data()
    paths = [tmp_path / "sales.csv", tmp_path / "media.csv"]
    async with open_runner(settings) as runner:
        for run, told in (("first", TOLD), ("again", {})):
            frame[["Week", "Day", "Units", "Heat"]].to_csv(paths[0], index=False)
            frame[["Week", "TV", "Search", "Shelf"]].to_csv(paths[1], index=False)
            request = read_request("eda", {"data_sources": [str(p) for p in paths], **told})
            result = await runner.start("eda", request, workflow_id=run)
    assert result["earlier"]["relation"] == "same_file"
    assert _roles(result)["Shelf"][0] == "unused"


async def test_the_graph_knows_what_took_the_place_of_what(
    settings: Settings, tmp_path: Path
) -> None:
    blank = newer()
    blank.loc[[60, 61], "Search"] = np.nan
    async with open_runner(settings) as runner:
        await eda(runner, data(), tmp_path / "sales.csv", "first", **TOLD)
        await eda(runner, blank, tmp_path / "sales_v2.csv", "later")
        memory = await runner.memory.bring_in("default")
        nodes, edges = await memory.everything("default")
        found = (await runner.memory.recall("blank spend", project="default", k=50)).found
        before = await runner.memory.lineage("first", project="default")
    names = {n.node_id: n.name for n in nodes}
    replaced = {(names[e.source], names[e.target]): e for e in edges if e.kind == "SUPERSEDES"}
    assert set(replaced) == {("sales_v2_mff.csv", "sales_mff.csv"), ("Television", "TV")}
    assert all(e.workflow_id == "later" and e.valid_from is None for e in replaced.values())
    weeks = {
        (e.valid_from.date(), e.valid_to.date(), e.expired_at is None)
        for e in edges
        if e.kind == "PRODUCED" and names[e.target] == "sales_v2_mff.csv"
    }
    assert weeks == {(date(2023, 1, 2), date(2024, 4, 22), True)}, "its weeks, the last one whole"
    assert [
        e.expired_at for e in edges if e.kind == "PRODUCED" and names[e.target] == "sales_mff.csv"
    ] == [replaced["sales_v2_mff.csv", "sales_mff.csv"].created_at]
    assert "of the 60 earlier periods" in replaced["sales_v2_mff.csv", "sales_mff.csv"].evidence
    used = {names[e.target]: e.evidence for e in edges if e.kind == "USES"}
    assert used["Heat"].startswith("control, unit as in the file")
    assert used["Television"].startswith("channel, unit EUR")
    (extent,) = (n.properties for n in nodes if n.name == "sales_v2_mff.csv")
    assert (extent["periods"], extent["last_period"]) == (68, "2024-04-15")
    texts = {f.passage.text for f in found if f.passage.workflow_id == "later"}
    assert "Search: blank spend read as 0 in 2 cells, because a channel without an entry was not " \
        "booked." in texts  # fmt: skip
    assert any("renamed: it is called 'Television' now" in text for text in texts)
    assert any(text.startswith("newer version of the data of run first") for text in texts)
    assert any("since then" in line and "sales_v2_mff" in line for line in lines(before.chain))


async def test_research_plans_from_the_data_that_eda_read(
    settings: Settings, tmp_path: Path
) -> None:
    asked = {"query": "What does media bring?", "target_variable": "Units"}
    async with open_runner(settings) as runner:
        before = await runner.start("research", read_request("research", asked))
        await eda(runner, data(), tmp_path / "sales.csv", "first", **TOLD)
        elsewhere = await runner.start(
            "research", read_request("research", {**asked, "target_variable": "Leads"})
        )
        after = await runner.start("research", read_request("research", asked))
    assert "Heat" not in _drivers(before)
    assert _drivers(after) == ["Heat"]
    assert "short_history" in {r["kind"] for r in after["research_plan"]["risks"]}
    assert any("run first read data" in d["reason"] for d in after["decisions"])
    assert _drivers(elsewhere) == _drivers(before)


def _drivers(result: dict[str, Any]) -> list[str]:
    return [control["name"] for control in result["research_plan"]["controls"]]


async def test_a_run_that_goes_on_keeps_to_the_earlier_run_that_it_met_first(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    path = tmp_path / "sales_v2.csv"
    async with open_runner(settings) as runner:
        await eda(runner, data(), tmp_path / "sales.csv", "first", **TOLD)
        with monkeypatch.context() as broken:
            broken.setattr(steps, "check", full)
            with pytest.raises(MMMError):
                await eda(runner, newer(), path, "later")
        told = {**TOLD, "media_channels": ["Search", "Shelf"]}
        await eda(runner, newer(), path, "between", **told)
        result = await runner.resume("later")
        after = await eda(runner, newer(), path, "after")
    assert result["earlier"]["workflow_id"] == "first"
    assert _roles(result)["Television"][0] == "channel"
    assert after["earlier"]["workflow_id"] == "between"
