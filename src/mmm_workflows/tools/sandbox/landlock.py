"""Which files generated code may reach, as rules of Landlock for the guard to put in force."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

CREATE_RULESET: Final = 444
VERSION: Final = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR: Final = 1 << 7
MAKE_REG: Final = 1 << 8
REFER: Final = 1 << 13
TRUNCATE: Final = 1 << 14

READ: Final = READ_FILE | READ_DIR
WRITE: Final = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE
FILE_RIGHTS: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE


class Handled(NamedTuple):
    """What is denied unless a rule grants it, as far as this kernel knows: ``landlock_ruleset_attr``."""

    files: int
    network: int
    scope: int


class Rule(NamedTuple):
    """Rights below a path."""

    path: str
    rights: int


def abi_version() -> int:
    """The version of Landlock that this kernel speaks; 0 when it has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION))
    return max(int(found), 0)


def handled(abi: int) -> Handled:
    """Everything that the version can deny (TCP from 4, devices from 5, signals and sockets from 6)."""
    files = (1 << 13) - 1
    for first_abi, right in ((2, REFER), (3, TRUNCATE), (5, 1 << 15)):
        files |= right if abi >= first_abi else 0
    return Handled(files, 0b11 if abi >= 4 else 0, 0b11 if abi >= 6 else 0)


def rules(readable: Iterable[str], writable: Iterable[str], abi: int) -> list[Rule]:
    """The rules for paths that exist on this machine or will inside of bubblewrap."""
    known = handled(abi).files
    return [
        *(Rule(path, READ & known) for path in readable),
        Rule(os.devnull, (READ_FILE | WRITE_FILE | TRUNCATE) & known),
        *(Rule(path, WRITE & known) for path in writable),
    ]


def existing(paths: Iterable[str]) -> tuple[str, ...]:
    """Those of the paths that are there."""
    return tuple(path for path in paths if Path(path).exists())
