"""Every way out that we know is closed, in both modes."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_escapes import ESCAPES, UNGUARDED, code_of
from sandbox_harness import Outside

from mmm_workflows.tools.code_executor import CodeExecutor
from mmm_workflows.tools.sandbox.job import Outcome

# Hundreds of processes, three minutes in all.
pytestmark = pytest.mark.slow

# Machine code that asks for a socket as a 32-bit program: under other numbers, past a filter
# that does not look at the architecture. x32 is the same call with a bit set.
NATIVE = """
import ctypes, mmap
code = bytes.fromhex("{}")
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
print("before", flush=True)
print("ESCAPED", ctypes.CFUNCTYPE(ctypes.c_long)(address)())
"""
INT_80 = "b867010000bb02000000b90100000031d2cd80c3"  # mov eax, 359 (socket); ...; int 0x80; ret
X32 = "b829000040bf02000000be0100000031d20f05c3"  # mov eax, 0x40000000 | 41; ...; syscall; ret


@pytest.mark.parametrize("name", ESCAPES)
async def test_a_way_out_is_closed(name: str, executor: CodeExecutor, outside: Outside) -> None:
    run = await executor.run(code_of(name), {"target.json": outside.target})
    assert run.stdout.startswith("DENIED "), (run.stdout, run.stderr)
    assert run.outcome is Outcome.FINISHED
    assert run.files == ()
    assert outside.secret.read_text(encoding="utf-8") == "secret"
    assert sorted(path.name for path in outside.folder.iterdir()) == [
        "secret", "socket", "target.json",
    ]  # fmt: skip
    assert not outside.was_reached()


@pytest.mark.parametrize("name", UNGUARDED)
def test_the_same_way_is_open_without_a_sandbox(
    name: str, outside: Outside, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "target.json").write_bytes(outside.target.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", code_of(name)], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.stdout.startswith(b"ESCAPED"), done


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other ABIs of x86_64")
@pytest.mark.parametrize("code", [INT_80, X32], ids=["32 bit", "x32"])
async def test_native_code_for_another_abi_is_killed(code: str, executor: CodeExecutor) -> None:
    run = await executor.run(NATIVE.format(code), {})
    assert run.stdout == "before\n"
    assert run.outcome is Outcome.KILLED
    assert run.message == "The code was ended by the system with signal 31."


async def test_modes_and_times_of_files_outside_do_not_change(
    executor: CodeExecutor, outside: Outside
) -> None:
    before = outside.secret.stat()
    code = """
import json, os
host = json.load(open("target.json"))
for path in (host["secret"], os.__file__):
    os.chmod(path, 0)
    os.utime(path, (5, 5))
os.umask(0)
"""
    library = Path(subprocess.__file__).with_name("os.py").stat()
    run = await executor.run(code, {"target.json": outside.target})
    assert run.outcome is Outcome.FINISHED, run.stderr
    after = outside.secret.stat()
    assert (after.st_mode, after.st_mtime) == (before.st_mode, before.st_mtime)
    now = Path(subprocess.__file__).with_name("os.py").stat()
    assert (now.st_mode, now.st_mtime) == (library.st_mode, library.st_mtime)


async def test_the_environment_of_a_job_holds_nothing_of_ours(
    executor: CodeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMM_SECRET", "swordfish")
    run = await executor.run("import os; print(sorted(os.environ))", {})
    names = set(eval(run.stdout)) - {"PWD", "LC_CTYPE"}
    assert names == {
        "HOME", "TMPDIR", "MPLCONFIGDIR", "MPLBACKEND", "LANG", "TZ", "PATH",
        "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS",
    }  # fmt: skip


async def test_only_the_standard_streams_and_held_folders_are_open(executor: CodeExecutor) -> None:
    code = """
import os, stat
for number in range(64):
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        continue
    print("folder" if stat.S_ISDIR(mode) else number)
"""
    run = await executor.run(code, {})
    assert set(run.stdout.split()) <= {"0", "1", "2", "folder"}


async def test_a_planted_module_of_an_earlier_job_is_not_there(executor: CodeExecutor) -> None:
    await executor.run("open('tmp/sitecustomize.py', 'w').write('print(1)')", {})
    run = await executor.run("import os; print(os.listdir('tmp'), os.listdir('out'))", {})
    assert run.stdout == "['matplotlib'] []\n"
