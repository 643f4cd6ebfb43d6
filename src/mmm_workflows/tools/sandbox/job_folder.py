"""The folder of one job: made with its inputs, watched while it runs, removed whatever it holds."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmm_workflows.errors import PathForbidden, SandboxUnavailable
from mmm_workflows.tools.sandbox.collector import is_plain_name
from mmm_workflows.tools.sandbox.waiting import acquire, finish

CODE: Final = "code.py"
OUT: Final = "out"
TMP: Final = "tmp"
RESERVED: Final = frozenset({CODE, OUT, TMP})
PREFIX: Final = ".job-"
BLOCK_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Usage:
    """What lies in the folders that the job may write to."""

    entries: int
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class _Made:
    run: Path
    lock: int

    @property
    def job(self) -> Path:
        return self.run / "job"


@asynccontextmanager
async def job_folder(base: Path, *, owner: int | None) -> AsyncIterator[Path]:
    """A new folder in ``base`` with ``out`` and ``tmp`` for the job; gone at the end.

    It is locked while it is used: folders without a live lock were left by processes that were
    killed, and are removed on the way.

    Args:
        base: Where job folders are made.
        owner: The user that the job turns into; none when it stays who we are.
    """
    made = await acquire(asyncio.to_thread(_make, base, owner), _remove)
    try:
        yield made.job
    finally:
        await finish(_remove(made))


def _make(base: Path, owner: int | None) -> _Made:
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(base):
        sweep(base)
        run = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        made = _Made(run, _lock(run))
    made.job.mkdir(mode=0o700)
    for writable in (made.job / OUT, made.job / TMP):
        writable.mkdir(mode=0o700)
        if owner is not None:
            os.chown(writable, owner, owner)
    if owner is not None:
        # Nobody may enter and read; no other user of this machine may.
        for entered in (run, made.job):
            os.chown(entered, 0, owner)
            entered.chmod(0o750)
    return made


async def _remove(made: _Made) -> None:
    await asyncio.to_thread(remove_tree, made.run)
    os.close(made.lock)


def fill(job: Path, code: str, inputs: Mapping[str, Path]) -> None:
    """Write the code and copies of the inputs, for reading only.

    Raises:
        PathForbidden: A name of an input is not a plain file name, or is one of our own.
    """
    for name, source in inputs.items():
        if not is_plain_name(name) or name in RESERVED:
            raise PathForbidden(
                f"An input of generated code was named {name!r}; a plain file name was expected, "
                f"other than {', '.join(sorted(RESERVED))}. Give it another name."
            )
        shutil.copyfile(source, job / name)
        (job / name).chmod(0o444)
    (job / CODE).write_text(code, encoding="utf-8", errors="surrogatepass")
    (job / CODE).chmod(0o444)


def reachable_base(folder: Path) -> Path:
    """``folder`` when nobody can walk to it, else a folder of root's in the system's temporary one.

    Raises:
        SandboxUnavailable: The temporary folder was made by somebody else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if all(place.stat().st_mode & stat.S_IXOTH for place in (folder, *folder.absolute().parents)):
        return folder
    shared = Path(tempfile.gettempdir()) / "mmm-workflows-jobs"
    shared.mkdir(mode=0o711, exist_ok=True)
    found = shared.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise SandboxUnavailable(
            f"{shared} was expected to be a folder of root that nobody else may write to. "
            "Remove it, or run the service as an ordinary user."
        )
    shared.chmod(0o711)
    return shared


def usage(job: Path, *, stop_at: int) -> Usage:
    """How many entries the job has made and what they take; counting ends above ``stop_at``.

    A path too long for the kernel counts as too many.
    """
    entries = bytes_on_disk = 0
    pending = [str(job / OUT), str(job / TMP)]
    while pending and entries <= stop_at:
        for entry in _entries(pending.pop()):
            entries += 1
            try:
                bytes_on_disk += entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                return Usage(stop_at + 1, bytes_on_disk)
            if entries > stop_at:
                break
    return Usage(entries, bytes_on_disk)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder now; nothing when the job has removed it meanwhile."""
    try:
        with os.scandir(folder) as found:
            yield from found
    except FileNotFoundError:
        return


def remove_tree(top: Path) -> None:
    """Remove a folder, however deep: nested folders are lifted to its top instead of walked into."""
    while entries := list(os.scandir(top)):
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _lift(Path(entry.path), top)
            else:
                Path(entry.path).unlink()
    top.rmdir()


def _lift(folder: Path, top: Path) -> None:
    folder.chmod(0o700)
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            # To move a folder is to write its "..".
            Path(entry.path).chmod(0o700)
            Path(entry.path).rename(top / uuid.uuid4().hex)
        else:
            Path(entry.path).unlink()
    folder.rmdir()


def sweep(base: Path) -> None:
    """Remove the folders whose process is gone."""
    for left in base.glob(f"{PREFIX}*"):
        try:
            lock = _lock(left)
        except BlockingIOError:
            continue
        remove_tree(left)
        os.close(lock)


def _lock(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _locked(base: Path) -> Iterator[None]:
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
