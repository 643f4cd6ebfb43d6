"""The filter of system calls, run by a small reader of classic BPF: both machines, every rule."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.tools.sandbox import seccomp
from mmm_workflows.tools.sandbox.seccomp import (
    ALLOW,
    AUDIT_ARCH,
    ERRNO,
    KILL,
    MACHINES,
    Instruction,
    build_filter,
)
from mmm_workflows.tools.sandbox.syscalls import NUMBERS

EPERM = ERRNO | errno.EPERM
ENOSYS = ERRNO | errno.ENOSYS
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
# 32-bit x86, 32-bit ARM, x32 does not differ here, and nonsense.
OTHER_ARCHITECTURES = (0x40000003, 0x40000028, 0)


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the kernel would answer: ``struct seccomp_data`` in, the returned value out."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    arch = AUDIT_ARCH[machine] if architecture is None else architecture
    data = struct.pack("=IIQ6Q", number, arch, 0, *padded)
    return run(build_filter(machine), data)


def run(program: tuple[Instruction, ...], data: bytes) -> int:
    accumulator = position = 0
    while True:
        code, if_true, if_false, value = program[position]
        position += 1
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:  # BPF_ALU | BPF_AND | BPF_K
            accumulator &= value
        elif code == 0x06:  # BPF_RET | BPF_K
            return value
        else:
            held = {
                0x15: accumulator == value,  # BPF_JMP | BPF_JEQ | BPF_K
                0x35: accumulator >= value,  # BPF_JGE
                0x45: bool(accumulator & value),  # BPF_JSET
            }[code]
            position += if_true if held else if_false


def number(machine: str, name: str) -> int:
    found = NUMBERS[name][MACHINES.index(machine)]
    assert found is not None
    return found


def calls(*names: str) -> list[tuple[str, str]]:
    """The calls on the machines that have them."""
    return [
        (machine, name)
        for machine in MACHINES
        for name in names
        if NUMBERS[name][MACHINES.index(machine)] is not None
    ]


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"needs {header} (package linux-libc-dev)")
    text = header.read_text(encoding="utf-8")
    found = {
        name: int(value) for name, value in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)
    }
    if machine == "aarch64":
        found["newfstatat"] = found["fstatat"]
    ours = {
        name: numbers[MACHINES.index(machine)] for name, numbers in NUMBERS.items() if name in found
    }
    assert ours == {name: found[name] for name in ours}
    absent = {name for name in NUMBERS if name not in found and name != "fchmodat2"}
    assert {NUMBERS[name][MACHINES.index(machine)] for name in absent} <= {None}


def test_every_name_of_the_table_has_a_rule() -> None:
    assert set(seccomp._rules()) == set(NUMBERS)


def test_every_jump_stays_inside_and_every_path_ends(machine: str) -> None:
    program = build_filter(machine)
    assert len(program) <= 4096  # BPF_MAXINSNS
    for position, (code, if_true, if_false, _) in enumerate(program):
        if code in (0x15, 0x35, 0x45):
            assert max(if_true, if_false) < 256
            assert position + 1 + max(if_true, if_false) < len(program)
    assert program[-1].code == 0x06


@pytest.mark.parametrize("architecture", OTHER_ARCHITECTURES)
def test_another_architecture_is_killed(machine: str, architecture: int) -> None:
    for call in (0, 41, 198, 359):
        assert verdict(machine, call, architecture=architecture) == KILL


def test_the_other_machines_architecture_is_killed() -> None:
    assert verdict("x86_64", 0, architecture=AUDIT_ARCH["aarch64"]) == KILL
    assert verdict("aarch64", 63, architecture=AUDIT_ARCH["x86_64"]) == KILL


@given(st.integers(0, 0x3FFFFFFF))
def test_every_x32_number_is_killed(call: int) -> None:
    assert verdict("x86_64", 0x40000000 | call) == KILL


@pytest.mark.parametrize(("machine", "name"), calls(*seccomp.REFUSED.split()))
def test_a_refused_call_is_not_permitted_whatever_its_arguments(machine: str, name: str) -> None:
    call = number(machine, name)
    for arguments in ([0] * 6, [1] * 6, [2**64 - 1] * 6, [0x10000] * 6):
        assert verdict(machine, call, *arguments) == EPERM


@pytest.mark.parametrize(("machine", "name"), calls(*seccomp.ALLOWED.split()))
def test_an_allowed_call_is_allowed(machine: str, name: str) -> None:
    assert verdict(machine, number(machine, name), *[2**64 - 1] * 6) == ALLOW


@pytest.mark.parametrize("name", ["execve", "socket", "fork", "ptrace", "io_uring_setup", "kill"])
def test_no_dangerous_call_is_among_the_allowed(name: str) -> None:
    assert name not in seccomp.ALLOWED.split()


@given(call=st.integers(0, 0x3FFFFFFF), machine=st.sampled_from(MACHINES))
def test_a_call_that_is_not_named_does_not_exist(call: int, machine: str) -> None:
    named = {numbers[MACHINES.index(machine)] for numbers in NUMBERS.values()}
    if call not in named:
        assert verdict(machine, call) == ENOSYS


@given(
    flags=st.integers(0, 2**64 - 1),
    machine=st.sampled_from(MACHINES),
)
def test_clone_makes_threads_of_this_namespace_and_nothing_else(flags: int, machine: str) -> None:
    call = NUMBERS["clone"][MACHINES.index(machine)]
    is_thread = flags & 0x10000 and not flags & 0x7E020080
    assert verdict(machine, call, flags) == (ALLOW if is_thread else EPERM)


def test_glibcs_flags_of_a_thread_are_allowed(machine: str) -> None:
    assert verdict(machine, number(machine, "clone"), 0x3D0F00) == ALLOW


@pytest.mark.parametrize("name", ["clone3", "openat2"])
def test_calls_whose_arguments_cannot_be_seen_do_not_exist(machine: str, name: str) -> None:
    assert verdict(machine, number(machine, name)) == ENOSYS


# Which argument is the mode, and what an ordinary one is answered with.
WITH_MODE = {
    "chmod": (1, ERRNO), "fchmod": (1, ERRNO), "fchmodat": (2, ERRNO), "fchmodat2": (2, ERRNO),
    "open": (2, ALLOW), "openat": (3, ALLOW), "creat": (1, ALLOW),
    "mkdir": (1, ALLOW), "mkdirat": (2, ALLOW),
}  # fmt: skip


@pytest.mark.parametrize(("machine", "name"), calls(*WITH_MODE))
def test_no_mode_with_setuid_or_setgid_passes(machine: str, name: str) -> None:
    position, plain = WITH_MODE[name]

    def with_mode(mode: int) -> int:
        return verdict(machine, number(machine, name), *[0] * position, mode)

    assert with_mode(0o755) == plain
    for mode in (0o4755, 0o2755, 0o6700, 0o7777):
        assert with_mode(mode) == EPERM


@pytest.mark.parametrize(("machine", "name"), calls("mkdir", "mkdirat"))
def test_a_folder_is_always_open_to_its_owner(machine: str, name: str) -> None:
    position = WITH_MODE[name][0]
    for mode in (0, 0o300, 0o500, 0o077):
        assert verdict(machine, number(machine, name), *[0] * position, mode) == EPERM


@pytest.mark.parametrize(("machine", "name"), calls("open", "openat"))
def test_reading_with_truncation_is_refused_and_writing_with_it_is_not(
    machine: str, name: str
) -> None:
    def with_flags(flags: int) -> int:
        before = [0] * (WITH_MODE[name][0] - 1)
        return verdict(machine, number(machine, name), *before, flags)

    assert with_flags(0o1000) == with_flags(0o2001000) == EPERM
    assert with_flags(0o1101) == with_flags(0o1002) == with_flags(0) == ALLOW


def test_limits_of_other_processes_are_out_of_reach(machine: str) -> None:
    assert verdict(machine, number(machine, "prlimit64"), 0) == ALLOW
    assert verdict(machine, number(machine, "prlimit64"), 1) == EPERM


@given(option=st.integers(0, 2**31), machine=st.sampled_from(MACHINES))
def test_prctl_names_threads_and_memory_and_does_nothing_else(option: int, machine: str) -> None:
    call = NUMBERS["prctl"][MACHINES.index(machine)]
    expected = ALLOW if option in (15, 16, 0x53564D41) else EPERM
    assert verdict(machine, call, option) == expected


def test_the_kernel_cannot_be_made_to_signal_another_process(machine: str) -> None:
    call = number(machine, "fcntl")
    for command in (8, 10, 15):  # F_SETOWN, F_SETSIG, F_SETOWN_EX
        assert verdict(machine, call, 0, command) == EPERM
    assert verdict(machine, call, 0, 3) == ALLOW


def test_a_terminal_can_be_asked_and_not_typed_into(machine: str) -> None:
    call = number(machine, "ioctl")
    assert verdict(machine, call, 0, 0x5401) == ALLOW  # TCGETS
    for request in (0x5412, 0x541C, 2**32 | 0x5412):  # TIOCSTI, TIOCLINUX
        assert verdict(machine, call, 0, request) == ERRNO | errno.ENOTTY
