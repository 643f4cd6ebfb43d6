"""Uploads that nobody should send, as benchmarks/fuzz.py draws them, with a seed that is printed."""

from __future__ import annotations

import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import fuzz

REQUESTS = 500
SEED = int(os.environ.get("FUZZ_SEED") or random.randrange(10**6))


@pytest.mark.parametrize("seed", [pytest.param(SEED, id=f"FUZZ_SEED={SEED}")])
def test_no_upload_breaks_the_service_or_lands_outside_of_its_folder(seed: int) -> None:
    outcome = fuzz.run(seed=seed, count=REQUESTS)
    assert outcome.faults == []
    assert outcome.answers["201 kept"] > 20, outcome.answers
    assert len(outcome.answers) > 5, outcome.answers


def test_a_report_names_the_code_that_it_measured_and_is_told_from_one_of_other_code(
    tmp_path: Path,
) -> None:
    page = fuzz.UPLOADS.text(fuzz.Outcome(), seed=1, wall_s=1)
    assert " UTC, code " in page and ", commit " in page
    assert not fuzz.UPLOADS.is_of_this_code(tmp_path)
    (tmp_path / fuzz.UPLOADS.page).write_text(page, encoding="utf-8")
    assert fuzz.UPLOADS.is_of_this_code(tmp_path)
    other = replace(fuzz.UPLOADS, sources=["src/mmm_workflows/errors.py"])
    assert not other.is_of_this_code(tmp_path)


def test_a_report_of_other_code_is_noted_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fuzz.py", "--check", "--out", str(tmp_path)])
    assert fuzz.main(fuzz.attack, fuzz.UPLOADS) == 0
    assert "fuzz.md measured older code" in capsys.readouterr().out
