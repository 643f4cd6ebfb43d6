"""Tables as they were typed: their columns alone, and how much of them is read at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from mmm_workflows.errors import DatasetError
from mmm_workflows.mmm import tables
from mmm_workflows.mmm.tables import check_table, read_columns, read_table

MFF = "Period,Geography,Product,Campaign,Outlet,Creative,VariableName,VariableValue\n"
FILES = {
    "plain": b"date,sales,tv\n2024-01-01,1,2\n",
    "mark and blank lines": b"\xef\xbb\xbf\n\r\n \n date ; sales\n2024-01-01;1\n",
    "cells over two lines": b'"the\ndate",sales\n2024-01-01,1\n\n2024-01-08,"a\nb"\n',
    "old line ends": b"date\tsales\r2024-01-01\t1\r",
    "long": (MFF + "2024-01-01,,,,,,Sales,1\n2024-01-01,,,,,,TV,2\n").encode(),
    "long by place": (MFF + "2024-01-01,,,,,,Sales,1\n2024-01-01,North,,,,,TV,2\n").encode(),
}


def most_memory(read: Callable[[Path], object], file: Path) -> int:
    tracemalloc.start()
    read(file)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_the_columns_alone_are_those_of_the_table(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "sales.csv"
    file.write_bytes(content)
    assert read_columns(file) == check_table(file) == read_table(file).names


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"PAR1", b"\xe4,\xf6\n1,2\n", b"a,a\n1,2\n", b'"a\n']
)
def test_what_is_no_table_has_no_columns(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "sales.csv"
    file.write_bytes(content)
    for read in (read_columns, check_table):
        with pytest.raises(DatasetError):
            read(file)


@pytest.mark.parametrize("header", ["date,sales\n", MFF])
def test_the_columns_alone_take_no_memory_for_the_cells(tmp_path: Path, header: str) -> None:
    row = "2024-01-01,North,,,,,Sales,12\n" if header == MFF else "2024-01-01,12\n"
    file = tmp_path / "sales.csv"
    file.write_text(header + row * 100_000)
    assert most_memory(read_columns, file) < 500_000 < file.stat().st_size


def test_a_table_is_checked_without_its_cells(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    file.write_text("date,sales,tv\n" + "2024-01-01,12,34\n" * 50_000)
    assert most_memory(check_table, file) < 5 * file.stat().st_size < most_memory(read_table, file)


def test_more_cells_than_are_read_at_once_are_counted_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sales.csv"
    file.write_text("date,sales,tv\n" + "2024-01-01,1,2\n" * 400)
    monkeypatch.setattr(tables, "CELLS", 1199)
    for read in (read_table, check_table):
        with pytest.raises(DatasetError, match="has 1,200 cells; at most 1,199") as caught:
            read(file)
        assert caught.value.code == "dataset_too_large"
    monkeypatch.setattr(tables, "CELLS", 1200)
    assert read_table(file).length == 400
    assert len(check_table(file)) == 3


def test_ten_years_of_days_in_many_places_are_few_enough() -> None:
    assert tables.CELLS > 3653 * 200 * 50
