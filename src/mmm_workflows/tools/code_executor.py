"""Runs generated Python where it can do no harm, and says plainly how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from mmm_workflows.errors import SandboxUnavailable
from mmm_workflows.tools.sandbox import interpreter
from mmm_workflows.tools.sandbox.collector import LeftOut, OutputFile
from mmm_workflows.tools.sandbox.job import Ending, Job, Outcome, run_job
from mmm_workflows.tools.sandbox.limits import MIB, Limits
from mmm_workflows.tools.sandbox.mode import SandboxMode

FONTS: Final = "matplotlib"


class CodeRun(BaseModel):
    """How generated code ended, what it printed and the files it made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    message: str
    stdout: str
    stderr: str
    files: tuple[OutputFile, ...]
    """Only of a job that finished: what was written before an end by force is no result."""
    left_out: tuple[LeftOut, ...]
    seconds: float
    mode: SandboxMode


class CodeExecutor:
    """Runs one piece of Python after the other, each in a process and a folder of its own.

    The code finds its inputs by their names in the working folder, pandas and matplotlib
    installed, and the folders ``out`` for its results and ``tmp``. All else is for reading only.

    Args:
        folder: Job folders and the list of fonts are made here. As root and without bubblewrap
            jobs run as nobody: when that user cannot walk to ``folder``, theirs are made in
            the system's temporary folder.
        mode: What the probe found.
        limits: What each job may use.
    """

    def __init__(self, *, folder: Path, mode: SandboxMode, limits: Limits | None = None) -> None:
        self.mode = mode
        self.limits = limits or Limits()
        self._folder = folder
        self._preparing = asyncio.Lock()
        self._is_prepared = False

    async def prepare(self) -> None:
        """Compile what jobs import, so that the first of them is as quick as the rest.

        Raises:
            SandboxUnavailable: pandas or matplotlib cannot be imported.
        """
        async with self._preparing:
            if not self._is_prepared:
                await interpreter.prepare(self._folder / FONTS)
                self._is_prepared = True

    async def run(self, code: str, inputs: Mapping[str, Path]) -> CodeRun:
        """Run the code on copies of the inputs; cancelling kills it and removes its folder.

        Args:
            code: Python.
            inputs: Name in the working folder -> file.

        Raises:
            SandboxUnavailable: Nothing can hold the code here; the message shows it.
            PathForbidden: A name of an input is not a plain file name.
        """
        if self.mode is SandboxMode.NONE:
            raise SandboxUnavailable(
                "Nothing on this machine can hold generated code, so it was not run. "
                "`mmm-workflows doctor` says what is missing. The code was:\n\n" + code
            )
        await self.prepare()
        job = Job(self.mode, self._folder, self.limits, self._folder / FONTS)
        try:
            ending = await run_job(job, code, inputs)
        except SandboxUnavailable as error:
            raise SandboxUnavailable(f"{error.message}. The code was not run:\n\n{code}") from error
        return CodeRun(
            outcome=ending.outcome,
            message=_message(ending, self.limits),
            stdout=ending.stdout,
            stderr=ending.stderr,
            files=ending.collected.files,
            left_out=ending.collected.left_out,
            seconds=ending.seconds,
            mode=self.mode,
        )


def _message(ending: Ending, limits: Limits) -> str:
    """One sentence for the reader."""
    lines = ending.stderr.strip().splitlines()
    last = lines[-1][:300] if lines else f"exit status {ending.status}"
    files, left_out = len(ending.collected.files), len(ending.collected.left_out)
    skipped = f" and {left_out} that cannot be used" if left_out else ""
    return {
        Outcome.FINISHED: f"The code finished in {ending.seconds:.1f} s with {files} files{skipped}.",
        Outcome.ERROR: f"The code raised an error: {last}",
        Outcome.TIMEOUT: f"The code was stopped: it ran longer than {limits.wall_s:g} s.",
        Outcome.CPU: f"The code was stopped: it used more than {limits.cpu_s} s of processor time.",
        Outcome.MEMORY: f"The code needs more than {limits.memory_bytes // MIB} MiB of memory.",
        Outcome.OUTPUT: f"The code was stopped: it printed more than {limits.output_bytes} bytes.",
        Outcome.FILES: (
            f"The code wrote too much: at most {limits.files} files, {limits.folder_bytes} bytes "
            f"in all and {limits.file_bytes} bytes in one are allowed."
        ),
        Outcome.KILLED: f"The code was ended by the system with signal {-ending.status}.",
    }[ending.outcome]
