"""The command line of bubblewrap around a job: nothing of this machine but what is named here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from mmm_workflows.tools.sandbox.interpreter import GUARD, executable, readable
from mmm_workflows.tools.sandbox.mode import NOBODY

PROGRAM: Final = "bwrap"
PLACES: Final = "/usr/bin:/usr/local/bin:/bin"
JOB: Final = "/job"


def find() -> str | None:
    """The path of bubblewrap; none when it is not installed."""
    return shutil.which(PROGRAM, path=PLACES)


def command(program: str, *, job: Path, info_fd: int) -> list[str]:
    """Everything before the command that is to run inside, with the job's folder at ``/job``."""
    return [
        program,
        *_namespaces(),
        *("--die-with-parent", "--new-session", "--hostname", "sandbox"),
        *_visible(),
        *("--proc", "/proc", "--dev", "/dev", "--bind", str(job), JOB),
        *("--remount-ro", "/", "--chdir", JOB, "--info-fd", str(info_fd), "--"),
    ]


def _namespaces() -> list[str]:
    """Root needs no user namespace: the guard inside turns into nobody, on the host as well."""
    common = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    common += ["--unshare-cgroup-try", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        return [*common, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    mapped = ["--uid", str(NOBODY), "--gid", str(NOBODY)]
    return [*common, "--unshare-user", "--disable-userns", *mapped]


def _visible() -> list[str]:
    """What the interpreter needs; bubblewrap would make the folders above it for root alone."""
    arguments: list[str] = []
    for path in (*readable(), executable(), str(GUARD)):
        if Path(path).is_symlink():
            arguments += ["--symlink", str(Path(path).readlink()), path]
        else:
            above = [str(parent) for parent in reversed(Path(path).parents[:-1])]
            arguments += [part for parent in above for part in ("--dir", parent)]
            arguments += ["--ro-bind", path, path]
    return arguments
