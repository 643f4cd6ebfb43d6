"""Data is known again by its values, and every difference is named as what it is."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmm_workflows.mmm import earlier_data
from mmm_workflows.mmm.dataset import Role, write_mff
from mmm_workflows.mmm.dates import choose_dates
from mmm_workflows.mmm.earlier_data import EarlierRun, Named, Remembered, find_earlier
from mmm_workflows.mmm.ingest import make_dataset
from mmm_workflows.mmm.roles import Wishes, choose_roles
from mmm_workflows.mmm.tables import Column, Table, read_table
from mmm_workflows.mmm.treatment import EarlierTreatment
from mmm_workflows.records import Severity

WEEKS = 60
ROLES = Wishes(target="Units", channels=("TV", "Search"), controls=("Heat",), currency="EUR")
NOTHING_NAMED = Named(None, None)
# The folder of an example is written again by the next one.
FRESH = settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def data(seed: int = 1, weeks: int = WEEKS) -> pd.DataFrame:
    """Columns of which no name says what it is."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "Week": pd.date_range("2023-01-02", periods=weeks, freq="7D").strftime("%Y-%m-%d"),
            "Units": random.normal(1000, 50, weeks).round(2),
            "TV": random.gamma(4, 20, weeks).round(2),
            "Search": random.gamma(4, 10, weeks).round(2),
            "Heat": random.normal(15, 5, weeks).round(1),
            "Flag": (np.arange(weeks) % 6 == 0).astype(int),
        }
    )


def kept(frame: pd.DataFrame, at: Path, wishes: Wishes = ROLES, run: str = "first") -> EarlierRun:
    """What a run of EDA on this table leaves behind."""
    table = typed(frame, at / f"{run}_source.csv")
    dataset, _ = make_dataset(table, choose_roles(table, wishes))
    path = write_mff(dataset, at / run, "data")
    return EarlierRun(
        workflow_id=run,
        at=datetime(2026, 1, 2, tzinfo=UTC),
        mff_data_path=str(path),
        files=(f"{run}_source.csv",),
    )


def typed(frame: pd.DataFrame, path: Path) -> Table:
    frame.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
    return read_table(path)


def again(frame: pd.DataFrame, run: EarlierRun, at: Path) -> Remembered:
    return find_earlier([run], [typed(frame, at / "now.csv")], NOTHING_NAMED)


def codes(found: Remembered) -> dict[str, list[str | None]]:
    by_code: dict[str, list[str | None]] = {}
    for finding in found.differences:
        by_code.setdefault(finding.code, []).append(finding.variable)
    return by_code


@FRESH
@given(
    order=st.permutations(list(data().columns)),
    new_weeks=st.integers(1, 20),
    renamed=st.sets(st.sampled_from(["Units", "TV", "Search", "Heat"]), max_size=2),
)
def test_names_order_and_new_weeks_do_not_hide_a_newer_version(
    order: list[str], new_weeks: int, renamed: set[str], tmp_path: Path
) -> None:
    run = kept(data(), tmp_path)
    later = pd.concat([data(), data(9, WEEKS + new_weeks).iloc[WEEKS:]])[order]
    names = {name: f"{name} of now" for name in renamed}
    found = again(later.rename(columns=names), run, tmp_path)
    assert found.relation == "newer_version"
    assert codes(found).pop("periods_added") == [None]
    assert set(codes(found).get("column_renamed", [])) == set(names.values())
    assert set(codes(found)) <= {"periods_added", "column_renamed"}
    assert found.treatment is not None
    assert found.treatment.columns[names.get("Units", "Units")].role is Role.TARGET


@FRESH
@given(
    column=st.sampled_from(["Units", "TV", "Search", "Heat"]),
    rows=st.sets(st.integers(0, WEEKS - 1), min_size=1, max_size=25),
    percent=st.sampled_from([-10.0, -3.0, 0.5, 3.0, 40.0]),
)
def test_a_restatement_is_told_by_its_cells_and_its_sum(
    column: str, rows: set[int], percent: float, tmp_path: Path
) -> None:
    run, later = kept(data(), tmp_path), data()
    at = sorted(rows)
    later.loc[at, column] *= 1 + percent / 100
    found = again(later, run, tmp_path)
    assert found.relation == "newer_version"
    (restated,) = found.differences
    assert (restated.code, restated.variable) == ("history_restated", column)
    assert f"{len(rows)} of {WEEKS} overlapping cells" in restated.message
    moved = 100 * (later[column].sum() / data()[column].sum() - 1)
    assert f"their sum by {moved:+.3g} %" in restated.message
    assert {cell[:10] for cell in restated.cells} == set(data()["Week"][at])
    largest = (later[column] - data()[column]).abs().idxmax()
    assert f"that of {data()['Week'][largest]}" in restated.message


def test_a_restatement_that_hardly_moves_anything_is_no_warning(tmp_path: Path) -> None:
    weeks = 150
    run, later = kept(data(weeks=weeks), tmp_path), data(weeks=weeks)
    later.loc[3, "Units"] += 1
    (restated,) = again(later, run, tmp_path).differences
    assert restated.severity is Severity.INFO


@pytest.mark.parametrize("factor", [1000.0, 0.001, 1.19])
def test_a_constant_factor_is_a_change_of_scale_and_no_restatement(
    factor: float, tmp_path: Path
) -> None:
    run, later = kept(data(), tmp_path), data()
    later["Units"] *= factor
    (scaled,) = again(later, run, tmp_path).differences
    assert (scaled.code, scaled.variable) == ("scale_changed", "Units")
    assert f"factor {factor:g}" in scaled.message


def test_what_was_restated_is_told_apart_from_a_change_of_scale(tmp_path: Path) -> None:
    run, later = kept(data(), tmp_path), data()
    later["TV"] /= 1000
    later.loc[[4, 5], "TV"] *= 1.5
    found = again(later, run, tmp_path)
    assert codes(found) == {"scale_changed": ["TV"], "history_restated": ["TV"]}
    assert "2 of 60 overlapping cells" in found.differences[1].message


def test_a_file_of_another_brand_is_something_else_though_all_names_are_alike(
    tmp_path: Path,
) -> None:
    run = kept(data(), tmp_path)
    other = data(2).assign(Heat=data()["Heat"], Flag=data()["Flag"])
    assert again(other, run, tmp_path) == Remembered()


def test_another_year_of_the_same_columns_is_something_else(tmp_path: Path) -> None:
    later = data(3)
    later["Week"] = pd.date_range("2025-01-06", periods=WEEKS, freq="7D").strftime("%Y-%m-%d")
    assert again(later, kept(data(), tmp_path), tmp_path) == Remembered()


def test_two_columns_that_may_be_the_renamed_one_are_named_and_neither_is_taken(
    tmp_path: Path,
) -> None:
    run = kept(data(), tmp_path)
    later = data().rename(columns={"Heat": "Warm"}).assign(Hot=data()["Heat"])
    found = again(later, run, tmp_path)
    assert codes(found)["column_maybe_renamed"] == ["Warm", "Hot"]
    assert codes(found)["column_removed"] == ["Heat"]
    assert found.treatment is not None
    assert not {"Warm", "Hot"} & set(found.treatment.columns)


def test_a_flag_is_not_known_again_by_its_values_alone(tmp_path: Path) -> None:
    run = kept(data(), tmp_path)
    found = again(data().rename(columns={"Flag": "Strike"}), run, tmp_path)
    assert codes(found)["column_maybe_renamed"] == ["Strike"]
    spelled = again(data().rename(columns={"Flag": "flag "}), run, tmp_path)
    assert codes(spelled) == {"column_renamed": ["flag"]}


def _shorter(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[:-5]


def _german_dates(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(Week=pd.to_datetime(frame["Week"]).dt.strftime("%d.%m.%Y"))


CHANGES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "periods_dropped": (lambda f: f.iloc[4:], "4 periods are no longer there: 2023-01-02 to"),
    "column_added": (lambda f: f.assign(Radio=1.5), "'Radio' is new"),
    "column_removed": (lambda f: f.drop(columns="Flag"), "'Flag' is no longer there"),
    "date_format_changed": (_german_dates, "%d.%m.%Y now, before as %Y-%m-%d"),
    "date_column_changed": (lambda f: f.rename(columns={"Week": "Date"}), "'Date' now"),
}


@pytest.mark.parametrize("code", CHANGES)
def test_each_change_of_form_is_named(code: str, tmp_path: Path) -> None:
    change, said = CHANGES[code]
    found = again(change(data()), kept(data(), tmp_path), tmp_path)
    assert found.relation == "newer_version"
    assert [f.code for f in found.differences] == [code]
    assert said in found.differences[0].message


def test_data_that_ends_before_the_earlier_is_an_older_version(tmp_path: Path) -> None:
    assert again(_shorter(data()), kept(data(), tmp_path), tmp_path).relation == "older_version"


def _places(frame: pd.DataFrame, column: str, names: tuple[str, ...]) -> pd.DataFrame:
    numbers = frame.select_dtypes("number")
    return pd.concat(
        [
            frame.assign(**numbers * share, **{column: name})
            for name, share in zip(names, (1, 3), strict=True)
        ]
    )


def test_geographies_are_known_again_under_another_name_of_their_column(tmp_path: Path) -> None:
    by_region = replace(ROLES, geography_column="Region")
    run = kept(_places(data(), "Region", ("North", "South")), tmp_path, by_region)
    found = again(_places(data(), "Area", ("North", "South")), run, tmp_path)
    assert codes(found) == {"geography_column_changed": ["Area"]}
    assert found.treatment is not None and found.treatment.geography_column == "Area"


def test_geographies_that_were_national_before_are_compared_by_their_sums(tmp_path: Path) -> None:
    national = data()
    summed = national.assign(**national[["Units", "TV", "Search"]] * 4)
    run = kept(summed.drop(columns=["Heat", "Flag"]), tmp_path, Wishes(
        target="Units", channels=("TV", "Search"), controls=()))  # fmt: skip
    now = _places(national.drop(columns=["Heat", "Flag"]), "Geography", ("North", "South"))
    found = again(now, run, tmp_path)
    assert codes(found) == {"geographies_changed": [None]}
    assert "now North, South" in found.differences[0].message
    assert found.treatment is not None and found.treatment.geography_column is None


def test_the_same_bytes_are_the_same_file_and_their_table_need_not_be_read(
    tmp_path: Path,
) -> None:
    run = kept(data(), tmp_path)
    Path(run.mff_data_path).write_text("changed")
    found = again(data(), run, tmp_path)
    assert found.relation == "same_file" and found.differences == ()


def test_the_same_file_is_taken_before_a_newer_run_on_another_version(tmp_path: Path) -> None:
    first = kept(data(), tmp_path)
    later = kept(data(weeks=WEEKS).assign(Units=data()["Units"].round(0)), tmp_path, run="later")
    found = find_earlier([later, first], [typed(data(), tmp_path / "now.csv")], NOTHING_NAMED)
    assert found.run == first


def test_a_table_that_is_lost_is_said_and_nothing_is_taken_over(tmp_path: Path) -> None:
    run = kept(data(), tmp_path)
    Path(run.mff_data_path).unlink()
    table = typed(data(weeks=WEEKS + 1), tmp_path / "first_source.csv")
    found = find_earlier([run], [table], NOTHING_NAMED)
    assert found.treatment is None
    assert [f.code for f in found.notes] == ["earlier_data_lost"]
    assert "first" in found.notes[0].message


def test_a_table_that_was_changed_by_hand_is_not_compared(tmp_path: Path) -> None:
    run = kept(data(), tmp_path)
    path = Path(run.mff_data_path)
    path.write_text(path.read_text().replace("Units,", "Units ,"))
    found = find_earlier(
        [run], [typed(data(weeks=WEEKS + 1), tmp_path / "first_source.csv")], NOTHING_NAMED
    )
    assert found.treatment is None
    assert "has changed since" in found.notes[0].message


def test_a_lost_newer_run_is_said_also_where_an_older_one_is_taken(tmp_path: Path) -> None:
    first, lost = kept(data(), tmp_path), kept(data(2), tmp_path, run="lost")
    Path(lost.mff_data_path).unlink()
    later = pd.concat([data(), data(9, WEEKS + 1).iloc[WEEKS:]])
    found = find_earlier([lost, first], [typed(later, tmp_path / "lost_source.csv")], NOTHING_NAMED)
    assert found.run == first
    assert [f.code for f in found.notes] == ["earlier_data_lost"]


def test_a_target_that_holds_other_values_everywhere_is_no_version_and_that_is_said(
    tmp_path: Path,
) -> None:
    run = kept(data(), tmp_path)
    found = again(data().assign(Units=data(5)["Units"]), run, tmp_path)
    assert found.treatment is None and found.differences == ()
    (note,) = found.notes
    assert note.code == "earlier_data_alike" and note.severity is Severity.INFO
    assert "2 of 2 channels hold the same values, but only 0 %" in note.message
    gone = again(data().drop(columns="Units").assign(Leads=data(5)["Units"]), run, tmp_path)
    assert "no column holds the values of its target 'Units'" in gone.notes[0].message


def test_of_many_earlier_tables_few_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [kept(data(seed), tmp_path, run=f"r{seed}") for seed in range(10, 22)]
    read: list[Path] = []

    def counting(path: Path) -> object:
        read.append(path)
        return original(path)

    original = earlier_data.read_mff
    monkeypatch.setattr(earlier_data, "read_mff", counting)
    found = find_earlier(runs, [typed(data(1), tmp_path / "now.csv")], NOTHING_NAMED)
    assert len(read) == earlier_data.TABLES_COMPARED
    assert [f.code for f in found.notes] == ["earlier_data_not_compared"]
    assert "4 more" in found.notes[0].message
    # A file of the same name is looked at first, however many came after it.
    read.clear()
    later = pd.concat([data(21), data(9, WEEKS + 3).iloc[WEEKS:]])
    table = typed(later, tmp_path / "r21_source.csv")
    assert find_earlier(runs, [table], NOTHING_NAMED).run == runs[-1]
    assert len(read) == 1


def test_dates_that_can_be_read_in_two_ways_are_read_as_before() -> None:
    cells = ("01/02/2023", "05/03/2023", "02/04/2023", "07/05/2023")
    table = Table(
        columns=(Column(name="Week", file="f.csv", cells=cells),),
        rows={"f.csv": (2, 3, 4, 5)},
        sources=(),
    )
    before = EarlierTreatment(
        said="as in run e of 2026-01-02", evidence="same", date_column="Week",
        date_format="%d/%m/%Y", geography_column=None, columns={}, unit_is_open=False,
    )  # fmt: skip
    with pytest.raises(Exception, match="can be read as"):
        choose_dates(table, None)
    choice = choose_dates(table, None, before)
    assert choice.date_format == "%d/%m/%Y"
    assert choice.decisions[-1].reason == "as in run e of 2026-01-02"


def test_a_column_that_was_text_and_is_a_spend_now_is_proposed_like_a_new_one(
    tmp_path: Path,
) -> None:
    run = kept(data().assign(Radio_Spend="unknown"), tmp_path)
    table = typed(data().assign(Radio_Spend=data(4)["TV"]), tmp_path / "now.csv")
    found = find_earlier([run], [table], NOTHING_NAMED)
    roles = choose_roles(table, Wishes(), found.treatment)
    assert roles.named(Role.CHANNEL) == ("TV", "Search", "Radio_Spend")
    new = next(d for d in roles.decisions if "new columns" in d.question)
    assert (new.choice, new.reason) == ("Radio_Spend", "they are named like a spend")


def test_what_a_name_says_of_a_column_stays_true_under_another_name(tmp_path: Path) -> None:
    """A price is averaged and not added up, also where its new name does not say price."""
    priced = replace(ROLES, controls=("Price",), target_unit="EUR")
    run = kept(data().rename(columns={"Heat": "Price"}), tmp_path, priced)
    table = typed(data().rename(columns={"Heat": "P2", "Units": "U2"}), tmp_path / "now.csv")
    found = find_earlier([run], [table], NOTHING_NAMED)
    was = {v.name: v for v in choose_roles(table, Wishes(), found.treatment).variables}
    assert (was["P2"].role, was["P2"].additivity) == (Role.CONTROL, "mean")
    assert (was["U2"].role, was["U2"].unit, was["U2"].is_money) == (Role.TARGET, "EUR", True)
