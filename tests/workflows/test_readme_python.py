"""The Python of the specification, run as a script of its own beside a live server on the same home."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from api.servers import CLI, server
from spec_text import REPOSITORY, snippet

pytestmark = pytest.mark.slow
LAST_LINE = "asyncio.run(run_mmm_pipeline())"


def test_the_snippet_runs_unedited_exits_by_itself_and_a_live_server_shows_its_runs(
    tmp_path: Path,
) -> None:
    home = tmp_path / "served"
    home.mkdir()
    with server([*CLI, "serve"], home) as address:
        summary = _run_snippet(tmp_path / "snippet.py", home)
        listed = httpx.get(f"http://{address}/workflows", timeout=300).json()["runs"]
        assert [(run["workflow"], run["status"]) for run in reversed(listed)] == [
            (name, "succeeded") for name in ("research", "eda", "modeling", "whatif")
        ]
        last = f"http://{address}/workflow/{listed[0]['workflow_id']}"
        assert httpx.get(last, timeout=300).json()["result"]["summary"].startswith(summary)


def _run_snippet(script: Path, home: Path) -> str:
    """Run it; the first line of the summary that its last line returns."""
    # The last line is timed from outside: what it returns is printed, then the clock runs.
    text = snippet("python", "run_mmm_pipeline")
    assert text.rstrip().endswith(LAST_LINE)
    script.write_text(
        text.replace(LAST_LINE, f"_result = {LAST_LINE}")
        + "\nprint(_result['summary'], flush=True)\nprint('LAST LINE', flush=True)\n"
    )
    environment = {**os.environ, "MMM_HOME": str(home)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("LAST LINE"):
                break
        until_then = _cpu_s(process.pid)
        assert process.wait(timeout=300) == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - until_then
    assert lines[-1].startswith("LAST LINE"), lines
    assert len(lines[0]) > 20
    assert took < 5, f"the interpreter needed {took:.1f} CPU seconds to exit"
    return lines[0].rstrip()


def _cpu_s(pid: int) -> float:
    """Of a process and its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


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
