"""The README's Python, run as a script of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
LAST_LINE = "asyncio.run(run_mmm_pipeline())"


def _snippet() -> str:
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    snippet: str = blocks[0]
    assert snippet.rstrip().endswith(LAST_LINE)
    return snippet


def test_the_snippet_runs_unedited_and_exits_by_itself(tmp_path: Path) -> None:
    # The last line is timed from outside: what it returns is printed, then the clock runs.
    script = tmp_path / "snippet.py"
    script.write_text(
        _snippet().replace(LAST_LINE, f"_result = {LAST_LINE}")
        + "\nprint(_result['summary'], flush=True)\nprint('LAST LINE', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("LAST LINE"):
                break
        ended = time.monotonic()
        assert process.wait(timeout=30) == 0
        took = time.monotonic() - ended
    assert lines[-1].startswith("LAST LINE"), lines
    assert len(lines[0]) > 20
    assert took < 5, f"the interpreter needed {took:.1f} s to exit"


def test_the_example_runs_from_another_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "examples" / "full_workflow_example.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Fit: " in done.stdout
    assert "100%" in done.stdout
