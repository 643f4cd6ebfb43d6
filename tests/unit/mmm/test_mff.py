"""A wide table becomes MFF and comes back as it was."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm.dataset import (
    MFF_COLUMNS,
    Dataset,
    Role,
    read_mff,
    sidecar_path,
    write_mff,
)
from mmm_workflows.mmm.dates import period_grid
from mmm_workflows.mmm.ingest import load_files, make_dataset
from mmm_workflows.mmm.roles import Wishes, choose_roles
from mmm_workflows.mmm.spec import Frequency

STARTS = {
    Frequency.DAILY: date(2024, 2, 27),
    Frequency.WEEKLY: date(2023, 12, 31),
    Frequency.MONTHLY: date(2022, 8, 31),
}
# Names as people write them: other letters, separators of CSV, quotes, signs of formulas.
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1
).map(lambda t: f"{t} x")
VALUES = st.floats(min_value=0, max_value=1e12, allow_nan=False)


def periods(frequency: Frequency, count: int) -> list[date]:
    start = STARTS[frequency]
    if frequency is Frequency.MONTHLY:
        return period_grid([start, start + timedelta(days=31 * count)], frequency)[:count]
    step = 1 if frequency is Frequency.DAILY else 7
    return [start + timedelta(days=step * k) for k in range(count)]


@st.composite
def wide_tables(draw: st.DrawFn) -> tuple[Frequency, list[str], list[str], np.ndarray]:
    """A frequency, the places, the columns, and values of shape (places, periods, columns)."""
    frequency = draw(st.sampled_from(Frequency))
    places = draw(st.lists(st.sampled_from("ABCÄ"), min_size=0, max_size=3, unique=True))
    names = draw(st.lists(NAMES, min_size=3, max_size=5, unique_by=lambda n: n.casefold().strip()))
    count = draw(st.integers(20, 26))
    flat = draw(st.lists(VALUES, min_size=len(names) * 4, max_size=len(names) * 4, unique=True))
    shape = (max(len(places), 1), count, len(names))
    return frequency, places, names, np.resize(np.array(flat), shape)


def as_csv(frequency: Frequency, places: list[str], names: list[str], values: np.ndarray) -> bytes:
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerow(["Period", *(["Geography"] if places else []), *names])
    for place, block in zip(places or [""], values, strict=True):
        for day, row in zip(periods(frequency, values.shape[1]), block.tolist(), strict=True):
            writer.writerow([day, *([place] if places else []), *map(repr, row)])
    return target.getvalue().encode()


def dataset_of(content: bytes, names: list[str], folder: Path) -> Dataset:
    source = folder / "wide.csv"
    source.write_bytes(content)
    table = load_files([source], date_column="Period", geography_column=None)
    wishes = Wishes(
        target=names[0],
        channels=[names[1]],
        controls=names[2:],
        date_column="Period",
        target_unit="EUR",
        currency="EUR",
    )
    return make_dataset(table, choose_roles(table, wishes), project="mine")[0]


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(wide=wide_tables())
def test_a_wide_table_goes_to_mff_and_back(
    wide: tuple[Frequency, list[str], list[str], np.ndarray], tmp_path: Path
) -> None:
    frequency, places, names, values = wide
    made = dataset_of(as_csv(*wide), names, tmp_path)
    path = write_mff(made, tmp_path / "mff", "wide")
    back = read_mff(path)

    assert back.sidecar.frequency is frequency
    assert back.sidecar.mff_sha256
    assert back.sidecar.model_copy(update={"mff_sha256": ""}) == made.sidecar
    assert [v.name for v in back.sidecar.variables] == [n.strip() for n in names]
    assert [v.role for v in back.sidecar.variables][:2] == [Role.TARGET, Role.CHANNEL]
    for place, block in zip(places or [""], values, strict=True):
        read = back.panel().loc[place]
        assert [stamp.date() for stamp in read.index] == periods(frequency, values.shape[1])
        assert (read.to_numpy() == block).all(), "a value changed on its way"

    # The table alone is a file like any other, and reads back to the same table.
    again = dataset_of(path.read_bytes(), [n.strip() for n in names], tmp_path)
    assert_frame_equal(again.frame, back.frame, check_dtype=False)


def test_geographies_are_added_up_as_each_series_adds_up(tmp_path: Path) -> None:
    rows = ["Period,Geography,Sales,TV Spend,Price"]
    for k in range(20):
        day = date(2024, 1, 1) + timedelta(days=7 * k)
        rows += [f"{day},North,{100 + k},10,4", f"{day},South,{200 + k},{20 + k},6"]
    made = dataset_of("\n".join(rows).encode(), ["Sales", "TV Spend", "Price"], tmp_path)
    national = made.national()
    assert made.geographies == ("North", "South")
    assert national["Sales"].tolist() == [300 + 2 * k for k in range(20)]
    assert national["TV Spend"].tolist() == [30 + k for k in range(20)]
    assert national["Price"].tolist() == [5.0] * 20


@pytest.fixture
def written(tmp_path: Path) -> Path:
    rows = ["Period,Sales,TV,Price"]
    rows += [f"{day},{k + 1},{k},2" for k, day in enumerate(periods(Frequency.WEEKLY, 20))]
    made = dataset_of("\n".join(rows).encode(), ["Sales", "TV", "Price"], tmp_path)
    return write_mff(made, tmp_path / "mff", "sales")


def test_the_table_has_the_eight_columns_and_nothing_is_left_half_written(written: Path) -> None:
    assert written.read_text().splitlines()[0] == ",".join(MFF_COLUMNS)
    assert {p.name for p in written.parent.iterdir()} == {"sales.csv", "sales.mff.json"}


def test_a_changed_byte_of_the_table_is_refused(written: Path) -> None:
    content = bytearray(written.read_bytes())
    content[-2] ^= 1
    written.write_bytes(content)
    with pytest.raises(DatasetError, match="has changed since") as caught:
        read_mff(written)
    assert caught.value.code == "mff_changed"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"frequency": "weekly"', '"frequency": "hourly"'),
        lambda text: json.dumps({**json.loads(text), "unknown": 1}),
    ],
)
def test_a_damaged_sidecar_is_refused(written: Path, damage: object) -> None:
    beside = sidecar_path(written)
    beside.write_text(damage(beside.read_text()))  # type: ignore[operator]
    with pytest.raises(DatasetError, match=r"sales\.mff\.json") as caught:
        read_mff(written)
    assert caught.value.code == "mff_invalid"


@pytest.mark.parametrize("lost", [0, 1])
def test_a_table_without_its_sidecar_is_refused_and_so_is_the_reverse(
    written: Path, lost: int
) -> None:
    (written, sidecar_path(written))[lost].unlink()
    with pytest.raises(DatasetError) as caught:
        read_mff(written)
    assert caught.value.code == "dataset_not_found"
