"""What bad input gets: one clear error with a stable code, and nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.errors import CODES, MMMError
from mmm_workflows.records import RunStatus
from mmm_workflows.workflows import create_eda_workflow
from mmm_workflows.workflows.runner import open_runner

HEADER = "Date,Sales,TV_Spend,Search_Spend,Price"


def _rows(count: int = 30) -> list[str]:
    days = [date(2024, 1, 1) + timedelta(days=7 * k) for k in range(count)]
    return [f"{d},{1000 + 7 * k},{50 + k % 5},{20 + k % 3},{9.5}" for k, d in enumerate(days)]


def _file(rows: list[str], header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def _cell(row: int, column: int, value: str) -> bytes:
    """The good file with one cell changed; ``row`` as the file counts it, the header is row 1."""
    rows = [r.split(",") for r in _rows()]
    rows[row - 2][column] = value
    return _file([",".join(r) for r in rows])


def _without(index: int) -> bytes:
    rows = _rows()
    del rows[index]
    return _file(rows)


BAD: dict[str, tuple[bytes, dict[str, object], str, tuple[str, ...]]] = {
    "empty file": (b"", {}, "dataset_empty", ("sales.csv", "empty")),
    "only blank lines": (b"\n \n\n", {}, "dataset_empty", ("sales.csv",)),
    "header without rows": (_file([]), {}, "dataset_no_rows", ("sales.csv", "no rows")),
    "no table": (b"\x89PNG\r\n\x1a\n\x00\x00", {}, "dataset_unreadable", ("sales.csv",)),
    "other encoding": (
        _file(_rows(), HEADER.replace("Price", "Größe")).decode().encode("latin-1"),
        {}, "dataset_unreadable", ("UTF-8",),
    ),
    "unpaired quote": (_cell(5, 1, '"100'), {}, "dataset_unreadable", ("quote",)),
    "ragged row": (_cell(7, 1, "1,2"), {}, "dataset_row_ragged", ("Row 7", "6 cells", "5")),
    "column twice": (
        _file(_rows(), "Date,Sales,TV,TV,Price"), {}, "dataset_header_invalid", ("'TV'", "twice"),
    ),
    "column without a name": (
        _file(_rows(), "Date,Sales,,TV,Price"), {}, "dataset_header_invalid", ("Column 3",),
    ),
    "unknown target": (
        _file(_rows()), {"target_variable": "Salse"}, "dataset_column_unknown",
        ("'Salse'", "Did you mean 'Sales'?"),
    ),
    "unknown channel": (
        _file(_rows()), {"media_channels": ["TV_Spnd"]}, "dataset_column_unknown",
        ("'TV_Spnd'", "Did you mean 'TV_Spend'?"),
    ),
    "unknown control": (
        _file(_rows()), {"control_variables": ["Prize"]}, "dataset_column_unknown",
        ("Did you mean 'Price'?",),
    ),
    "unknown date column": (
        _file(_rows()), {"date_column": "Datum"}, "dataset_column_unknown", ("'Datum'", "Date"),
    ),
    "one column in two roles": (
        _file(_rows()), {"media_channels": ["Sales"]}, "dataset_column_ambiguous", ("'Sales'",),
    ),
    "text in a number column": (
        _cell(9, 2, "n/a"), {}, "dataset_number_unreadable", ("'TV_Spend'", "'n/a'", "row 9"),
    ),
    "thousands separator": (
        _cell(9, 1, '"1,234"'), {}, "dataset_number_unreadable", ("'Sales'", "'1,234'", "row 9"),
    ),
    "infinite number": (
        _cell(9, 1, "1e999"), {}, "dataset_number_unreadable", ("'1e999'", "row 9"),
    ),
    "blank target": (
        _cell(9, 1, ""), {}, "dataset_cell_missing", ("'Sales'", "row 9", "not guessed"),
    ),
    "no date": (_cell(9, 0, "soon"), {"date_column": "Date"}, "dataset_date_unreadable",
                ("row 9", "'soon'")),
    "row of totals": (
        _file([*_rows(), "Total,30000,1500,600,"]), {}, "dataset_date_unreadable",
        ("row 32", "'Total'", "'Date'"),
    ),
    "dates as a spreadsheet counts them": (
        _file([f"{45292 + 7 * k}{r[10:]}" for k, r in enumerate(_rows())]),
        {}, "dataset_date_unreadable", ("row 2", "'45292'", "YYYY-MM-DD"),
    ),
    "decimal commas": (
        _file([f"{r.split(',')[0]};1000,{k + 10};50,{k % 5}5" for k, r in enumerate(_rows())],
              "Date;Sales;TV_Spend"),
        {"media_channels": None}, "dataset_number_unreadable", ("'Sales'", "'1000,10'", "row 2"),
    ),
    "one channel with decimal commas": (
        _file([f"{r.split(',')[0]};{1000 + k % 7};50,{k % 5}5;{k}" for k, r in enumerate(_rows())],
              "Date;Sales;TV_Spend;Search_Spend"),
        {"media_channels": None}, "dataset_number_unreadable", ("'TV_Spend'", "'50,05'", "row 2"),
    ),
    "number beyond all money": (
        _cell(9, 1, "1e200"), {}, "dataset_number_unreadable", ("'1e200'", "row 9"),
    ),
    "duplicate dates": (
        _cell(9, 0, "2024-01-08"), {}, "dataset_duplicate_dates",
        ("2024-01-08", "row 3", "row 9"),
    ),
    "gap in the weeks": (
        _without(10), {}, "dataset_gap", ("2024-03-11", "1 weekly periods"),
    ),
    "day off the grid": (
        _cell(9, 0, "2024-02-20"), {}, "dataset_frequency_unknown", ("2024-02-20", "row 9"),
    ),
    "negative spend": (
        _cell(9, 2, "-5"), {}, "dataset_negative_spend", ("'TV_Spend'", "-5", "2024-02-19"),
    ),
    "constant target": (
        _file([",".join([*r.split(",")[:1], "5", *r.split(",")[2:]]) for r in _rows()]),
        {}, "dataset_constant", ("'Sales'",),
    ),
    "target below zero": (
        _file([",".join([r.split(",")[0], f"-{r.split(',')[1]}", *r.split(",")[2:]])
               for r in _rows()]),
        {}, "dataset_target_not_positive", ("'Sales'", "-1000"),
    ),
    "fewer than 20 periods": (_file(_rows(19)), {}, "dataset_too_short", ("19", "20")),
    "every third day": (
        _file([r.replace(r[:10], str(date(2024, 1, 1) + timedelta(days=3 * k)))
               for k, r in enumerate(_rows())]),
        {}, "dataset_frequency_unknown", ("3 days apart",),
    ),
    "two ways to read the dates": (
        _file([r.replace(r[:10], f"{k % 12 + 1:02}/{k % 12 + 1:02}/2024")
               for k, r in enumerate(_rows(12))]),
        {"date_column": "Date"}, "dataset_date_ambiguous", ("YYYY-MM-DD",),
    ),
}  # fmt: skip


def _files(*folders: Path) -> list[Path]:
    return [p for folder in folders for p in folder.rglob("*") if p.is_file()]


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_one_clear_error_and_leaves_nothing(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    content, arguments, code, words = BAD[name]
    source = tmp_path / "sales.csv"
    source.write_bytes(content)
    named = {"target_variable": "Sales", "media_channels": ["TV_Spend"], **arguments}
    if code == "dataset_header_invalid":
        named = {}
    eda = await create_eda_workflow(settings)
    with pytest.raises(MMMError) as caught:
        await eda.run([str(source)], workflow_id="bad", **named)  # type: ignore[arg-type]
    assert caught.value.code == code, caught.value.message
    assert code in CODES
    for word in words:
        assert word in caught.value.message, caught.value.message
    assert source.read_bytes() == content
    async with open_runner(settings) as runner:
        run = await runner.get("bad")
        assert run.status is RunStatus.FAILED
        assert run.error is not None and run.error.code == code
        assert run.result is None
        kept = {a.kind for a in await runner.services.runs.artifacts("bad")}
    # Whole artifacts of finished steps may stand; no MFF, no model, and no partial file.
    assert "mff" not in kept
    assert not _files(settings.models)
    assert not [p for p in _files(settings.outputs) if "partial" in str(p)]


async def test_the_good_file_is_good(settings: Settings, tmp_path: Path) -> None:
    """Without this, every test above could pass for another reason than its own."""
    source = tmp_path / "sales.csv"
    source.write_bytes(_file(_rows()))
    eda = await create_eda_workflow(settings)
    result = await eda.run([str(source)], "Sales", ["TV_Spend"])
    assert result["status"] == "succeeded"


async def test_a_missing_file_names_its_path(settings: Settings) -> None:
    eda = await create_eda_workflow(settings)
    with pytest.raises(MMMError, match=r"nowhere/sales\.csv") as caught:
        await eda.run(["nowhere/sales.csv"])
    assert caught.value.code == "dataset_not_found"


async def test_a_text_for_a_list_is_refused_by_what_to_write(settings: Settings) -> None:
    eda = await create_eda_workflow(settings)
    with pytest.raises(MMMError, match=r"\['data/sales.csv'\]") as caught:
        await eda.run("data/sales.csv")
    assert caught.value.code == "request_invalid"


@pytest.mark.parametrize("name", ["text in a number column"])
def test_the_command_line_says_the_same_without_a_traceback(name: str, tmp_path: Path) -> None:
    content, _, code, words = BAD[name]
    source = tmp_path / "sales.csv"
    source.write_bytes(content)
    command = [sys.executable, "-c", "from mmm_workflows.cli import main; main()"]
    call: Callable[..., subprocess.CompletedProcess[str]] = lambda *more: subprocess.run(  # noqa: E731
        [*command, "eda", str(source), "--target", "Sales", "--channels", "TV_Spend", *more],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    said = call("--json")
    assert said.returncode == 2
    assert json.loads(said.stdout)["code"] == code
    assert all(word in json.loads(said.stdout)["message"] for word in words)
    told = call()
    assert told.returncode == 2
    assert code in told.stderr
    assert "Traceback" not in said.stderr + told.stderr
