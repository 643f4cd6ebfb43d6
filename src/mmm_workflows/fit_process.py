"""The child process of a fit: a job in, a model folder out, progress as JSON lines in between.

python -m mmm_workflows.fit_process JOB.json FOLDER KEY PARENT_PID
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, Final

from mmm_workflows.errors import MMMError
from mmm_workflows.niceness import give_way
from mmm_workflows.ports import FitJob, FitProgress

PR_SET_PDEATHSIG: Final = 1
LOOK_EVERY_S: Final = 0.5


def main(job_path: str, folder: str, key: str, parent_pid: str) -> int:
    """Run the job; a failure that has a sentence is said on the pipe, any other on stderr."""
    die_with(int(parent_pid))
    give_way()
    pipe = _take_stdout()
    try:
        job = FitJob.model_validate_json(Path(job_path).read_bytes())
        # PyMC takes seconds to import and must not reach any other process.
        from mmm_workflows.bayes.job import run

        run(job, Path(folder), key, lambda progress: _say(pipe, progress))
    except MMMError as error:
        _write(pipe, json.dumps({"failure": error.message, "code": error.code}))
        return 1
    return 0


def die_with(parent_pid: int) -> None:
    """End this process when its parent does, also when that is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The signal may have been missed if the parent died before, and other systems have none.
    threading.Thread(target=_watch, args=(parent_pid,), daemon=True).start()


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(LOOK_EVERY_S)
    os._exit(1)


def _take_stdout() -> IO[str]:
    """Keep the pipe for ourselves: what a library prints goes to stderr."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def _say(pipe: IO[str], progress: FitProgress) -> None:
    _write(pipe, progress.model_dump_json())


def _write(pipe: IO[str], line: str) -> None:
    pipe.write(line + "\n")
    pipe.flush()


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
