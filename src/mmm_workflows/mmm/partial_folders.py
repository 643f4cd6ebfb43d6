"""Folders that are being made: hidden, named after their process, swept when it is gone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from socket import gethostname
from typing import Final

# A folder may be shared by machines, and a process id says nothing on another one.
HOST: Final = sha256(gethostname().encode()).hexdigest()[:8]


@contextmanager
def partial_folder(parent: Path) -> Iterator[Path]:
    """A new folder ``.<random>.<host>-<pid>.partial`` in ``parent``; what is left of it at the end goes.

    Whoever finishes it renames it away. What processes left behind that were killed is swept.
    """
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(parent)
    folder = Path(
        tempfile.mkdtemp(prefix=".", suffix=f".{owner_name(os.getpid())}.partial", dir=parent)
    )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def owner_name(pid: int) -> str:
    """What a process of this machine is called in the name of its folder."""
    return f"{HOST}-{pid}"


def sweep(parent: Path) -> None:
    """Remove the partial folders of processes of this machine that are gone."""
    for partial in parent.glob(".*.partial"):
        host, _, owner = partial.name.rsplit(".", 2)[-2].partition("-")
        if host == HOST and owner.isdigit() and not _is_alive(int(owner)):
            shutil.rmtree(partial, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
