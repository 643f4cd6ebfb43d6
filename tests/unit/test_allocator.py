"""A process with many threads does not keep an area of memory for each of them."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Twenty threads take some memory and keep it. Areas begin at multiples of 64 MiB, but for the first:
# the third bit of a block's header says that the block is of another one.
SAYS = """
import ctypes, sys, threading
from mmm_workflows.allocator import give_back, keep_few_areas
if sys.argv[1] == "few":
    keep_few_areas()
give_back()
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
def area(at):
    size = ctypes.c_size_t.from_address(at - ctypes.sizeof(ctypes.c_size_t)).value
    return at >> 26 if size & 4 else 0
found, all_there = [], threading.Barrier(20)
def take():
    all_there.wait()
    found.append(area(malloc(4096)))
    all_there.wait()
threads = [threading.Thread(target=take) for _ in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(set(found)))
"""


def areas(which: str) -> int:
    run = subprocess.run(
        [sys.executable, "-c", SAYS, which], capture_output=True, text=True, check=True
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_twenty_threads_share_two_areas() -> None:
    assert areas("few") <= 2 < areas("as it comes")
