"""The Python that runs generated code: ours, with our packages, and nothing of this project."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mmm_workflows.errors import SandboxUnavailable
from mmm_workflows.tools.sandbox.landlock import existing

GUARD: Final = Path(__file__).with_name("guard.py")
# -I -S: no PYTHON variables, no .pth files and no sitecustomize, whatever was planted there.
FLAGS: Final = ("-I", "-S", "-u", "-X", "utf8")
LIBRARIES: Final = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib")
SHARED: Final = (
    "/etc/ld.so.cache",
    "/etc/fonts",
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "/usr/share/zoneinfo",
    "/sys/devices/system/cpu",
)
KERNEL_FILES: Final = ("/proc/cpuinfo", "/proc/meminfo", "/dev/urandom", "/dev/zero")
PREPARE_TIMEOUT_S: Final = 180
# What a small job does, so that its modules are compiled and the list of fonts is made.
PREPARE: Final = """
import io, json, sys
sys.path += json.loads(sys.argv[1])
import pandas, scipy.stats, matplotlib.dates, matplotlib.pyplot as plt
frame = pandas.DataFrame({"x": [1.0, 2.0]}, index=pandas.date_range("2024-01-01", periods=2))
frame.to_csv(io.StringIO()); pandas.read_csv(io.StringIO("a\\n1")); frame.describe()
frame.plot(title="x"); plt.savefig(io.BytesIO(), format="png")
"""


def executable() -> str:
    """The program itself, past the links of a virtual environment."""
    return os.path.realpath(sys.executable)


def import_folders() -> list[str]:
    """Where the installed packages lie."""
    return list(dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib")))


def readable() -> tuple[str, ...]:
    """Every path that a job may read besides its own folder and what the kernel makes up."""
    own = (str(Path(sys.base_prefix) / "lib"), sysconfig.get_path("stdlib"), *import_folders())
    return existing(dict.fromkeys((*LIBRARIES, *SHARED, *own)))


def environment(folder: str) -> Mapping[str, str]:
    """The whole environment of a job that lies in ``folder``."""
    scratch = f"{folder}/tmp"
    return {
        "HOME": scratch,
        "TMPDIR": scratch,
        "MPLCONFIGDIR": f"{scratch}/matplotlib",
        "MPLBACKEND": "Agg",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PATH": "/usr/bin",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


async def prepare(fonts: Path) -> None:
    """Compile the bytecode that jobs load and write matplotlib's list of fonts into ``fonts``.

    Runs code of this file and installed packages, not generated code, and so without a sandbox.
    Done once for an environment: a mark in ``fonts`` says for which.

    Raises:
        SandboxUnavailable: pandas or matplotlib cannot be imported, or not in three minutes.
    """
    mark = fonts / await asyncio.to_thread(_mark)
    if mark.exists():
        return
    await asyncio.to_thread(fonts.mkdir, mode=0o700, parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        executable(), *FLAGS, "-c", PREPARE, json.dumps(import_folders()),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**environment(str(fonts)), "MPLCONFIGDIR": str(fonts), "TMPDIR": str(fonts)},
    )  # fmt: skip
    try:
        _, errors = await asyncio.wait_for(process.communicate(), PREPARE_TIMEOUT_S)
    except TimeoutError:
        raise _unprepared(f"this took longer than {PREPARE_TIMEOUT_S} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise _unprepared(errors.decode(errors="replace").strip().rpartition("\n")[2])
    mark.touch()


def _mark() -> str:
    """Another name for another environment: its folders change when packages come and go."""
    parts = [executable(), sys.version]
    for folder in import_folders():
        parts += [folder, str(Path(folder).stat().st_mtime_ns)]
    return f"prepared-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"


def _unprepared(why: str) -> SandboxUnavailable:
    return SandboxUnavailable(
        f"pandas and matplotlib cannot be loaded for generated code: {why}. "
        "Install the package again with `make setup`."
    )
