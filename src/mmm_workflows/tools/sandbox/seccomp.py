"""The system calls that generated code may make, as a classic BPF program for the kernel.

An allow-list: what it does not name does not exist for the job (ENOSYS, so that libraries fall
back), and what is asked for in earnest is refused by name (EPERM). The layout of the program's
input is ``struct seccomp_data``: number, architecture, instruction pointer, six arguments.
"""

from __future__ import annotations

import errno
from typing import Final, NamedTuple

from mmm_workflows.tools.sandbox.syscalls import NUMBERS

MACHINES: Final = ("x86_64", "aarch64")
AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# From here on x86_64 takes a number as one of the x32 ABI, under which the same call has another.
X32_BIT: Final = 0x40000000

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
ERRNO: Final = 0x00050000

LOAD: Final = 0x20
MASK: Final = 0x54
IF_EQUAL: Final = 0x15
IF_AT_LEAST: Final = 0x35
IF_ANY_BIT: Final = 0x45
RETURN: Final = 0x06

CLONE_THREAD: Final = 0x00010000
CLONE_NEW: Final = 0x7E020080
SETUID_SETGID: Final = 0o6000
OWNER_ALL: Final = 0o700
TRUNCATES: Final = 0o1003
TRUNCATES_FOR_READING: Final = 0o1000

ALLOWED: Final = """
    read write pread64 pwrite64 readv writev preadv pwritev lseek close close_range dup dup2 dup3
    pipe pipe2 stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat
    getcwd chdir fchdir getdents getdents64 ftruncate fsync fdatasync unlink unlinkat rmdir rename
    renameat renameat2 sendfile copy_file_range flock fadvise64 mmap munmap mprotect mremap madvise
    brk msync futex set_robust_list rseq set_tid_address sched_yield sched_getaffinity membarrier
    exit exit_group restart_syscall rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending
    rt_sigtimedwait rt_sigsuspend sigaltstack alarm setitimer getitimer pause gettid getpid getppid
    getuid geteuid getgid getegid getresuid getresgid getpgrp getgroups uname sysinfo getrusage
    times getrandom clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday select
    pselect6 poll ppoll arch_prctl getrlimit getcpu time
"""
"""Memory, threads, clocks, signals to itself, and files as far as Landlock lets it reach them."""

PRETENDED: Final = "utime utimes utimensat futimesat umask"
"""Answered with success and not done: Landlock does not guard times and modes of files outside."""

UNSUPPORTED: Final = """
    listxattr llistxattr flistxattr getxattr lgetxattr fgetxattr fallocate
"""
"""Libraries go on without these; fallocate would fill the disk past RLIMIT_FSIZE."""

REFUSED: Final = """
    socket socketpair connect bind listen accept accept4 sendto sendmsg sendmmsg recvfrom recvmsg
    recvmmsg getsockname setsockopt shutdown fork vfork execve execveat kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo
    pidfd_open pidfd_getfd pidfd_send_signal ptrace process_vm_readv process_vm_writev
    process_madvise kcmp symlink symlinkat link linkat mknod mknodat chown fchown lchown fchownat
    setxattr lsetxattr fsetxattr removexattr truncate memfd_create memfd_secret io_uring_setup
    io_uring_enter io_uring_register bpf perf_event_open userfaultfd keyctl add_key request_key
    unshare setns mount umount2 pivot_root chroot move_mount fsopen open_tree mount_setattr
    open_by_handle_at name_to_handle_at setuid setgid setreuid setregid setresuid setresgid
    setgroups setfsuid setfsgid capset setsid setpgid setpriority setrlimit sched_setaffinity
    sched_setscheduler sched_setparam sched_setattr ioprio_set shmget shmat msgget semget mq_open
    inotify_init inotify_init1 fanotify_init seccomp landlock_create_ruleset
    landlock_restrict_self personality migrate_pages move_pages mbind init_module finit_module
    delete_module kexec_load reboot swapon syslog acct quotactl
"""
"""Network, processes, other processes, namespaces, links, owners, and things that outlive the job."""

PRCTL_NAMES: Final = (15, 16, 0x53564D41)  # PR_SET_NAME, PR_GET_NAME, PR_SET_VMA (glibc's malloc)
# Not F_SETOWN and F_SETSIG: they make the kernel signal another process.
FCNTL_PLAIN: Final = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030)
IOCTL_PLAIN: Final = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)  # TCGETS ... FIONCLEX, FIOCLEX


class Instruction(NamedTuple):
    """One step of the program: ``struct sock_filter``."""

    code: int
    if_true: int
    if_false: int
    value: int


type Block = tuple[Instruction, ...]


def build_filter(machine: str) -> Block:
    """The program for one kind of machine.

    Raises:
        KeyError: The machine is not one of ``MACHINES``.
    """
    program = [
        Instruction(LOAD, 0, 0, 4),
        Instruction(IF_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        _answer(KILL),
        Instruction(LOAD, 0, 0, 0),
    ]
    if machine == "x86_64":
        program += [Instruction(IF_AT_LEAST, 0, 1, X32_BIT), _answer(KILL)]
    column = MACHINES.index(machine)
    for name, block in _rules().items():
        number = NUMBERS[name][column]
        if number is not None:
            program += [Instruction(IF_EQUAL, 0, len(block), number), *block]
    return (*program, _answer(ERRNO | errno.ENOSYS))


def _rules() -> dict[str, Block]:
    """What happens at each call; every block ends with an answer."""
    refuse = ERRNO | errno.EPERM
    return {
        **dict.fromkeys(ALLOWED.split(), (_answer(ALLOW),)),
        **dict.fromkeys(PRETENDED.split(), (_answer(ERRNO),)),
        **dict.fromkeys(UNSUPPORTED.split(), (_answer(ERRNO | errno.EOPNOTSUPP),)),
        **dict.fromkeys(REFUSED.split(), (_answer(refuse),)),
        "clone": _threads_only(refuse),
        # Their arguments lie in memory, out of sight: libraries take the older call instead.
        **dict.fromkeys(("clone3", "openat2"), (_answer(ERRNO | errno.ENOSYS),)),
        "prctl": _one_of(0, PRCTL_NAMES, refuse),
        "prlimit64": _one_of(0, (0,), refuse),  # 0 is itself, another is another process
        "fcntl": _one_of(1, FCNTL_PLAIN, refuse),
        "ioctl": _one_of(1, IOCTL_PLAIN, ERRNO | errno.ENOTTY),
        "open": (*_no_hidden_truncation(1, refuse), *_no_setuid(2, refuse, ALLOW)),
        "openat": (*_no_hidden_truncation(2, refuse), *_no_setuid(3, refuse, ALLOW)),
        "creat": _no_setuid(1, refuse, ALLOW),
        "mkdir": _open_to_its_owner(1, refuse),
        "mkdirat": _open_to_its_owner(2, refuse),
        "chmod": _no_setuid(1, refuse, ERRNO),
        "fchmod": _no_setuid(1, refuse, ERRNO),
        "fchmodat": _no_setuid(2, refuse, ERRNO),
        "fchmodat2": _no_setuid(2, refuse, ERRNO),
    }


def _answer(verdict: int) -> Instruction:
    return Instruction(RETURN, 0, 0, verdict)


def _argument(index: int) -> Instruction:
    """Load the lower half of an argument; the kernel reads no more of those that are looked at."""
    return Instruction(LOAD, 0, 0, 16 + 8 * index)


def _one_of(argument: int, values: tuple[int, ...], otherwise: int) -> Block:
    block = [_argument(argument)]
    for value in values:
        block += [Instruction(IF_EQUAL, 0, 1, value), _answer(ALLOW)]
    return (*block, _answer(otherwise))


def _threads_only(refuse: int) -> Block:
    return (
        _argument(0),
        Instruction(IF_ANY_BIT, 0, 1, CLONE_NEW),
        _answer(refuse),
        Instruction(IF_ANY_BIT, 1, 0, CLONE_THREAD),
        _answer(refuse),
        _answer(ALLOW),
    )


def _no_setuid(mode: int, refuse: int, otherwise: int) -> Block:
    """A file that runs as its owner would outlive the job as a door for others of this machine."""
    return (
        _argument(mode),
        Instruction(IF_ANY_BIT, 0, 1, SETUID_SETGID),
        _answer(refuse),
        _answer(otherwise),
    )


def _open_to_its_owner(mode: int, refuse: int) -> Block:
    """A folder without the right to be listed would hide its content from the watch."""
    return (
        _argument(mode),
        Instruction(MASK, 0, 0, SETUID_SETGID | OWNER_ALL),
        Instruction(IF_EQUAL, 1, 0, OWNER_ALL),
        _answer(refuse),
        _answer(ALLOW),
    )


def _no_hidden_truncation(flags: int, refuse: int) -> Block:
    """O_RDONLY with O_TRUNC empties a file, and Landlock before its third ABI takes it for reading."""
    return (
        _argument(flags),
        Instruction(MASK, 0, 0, TRUNCATES),
        Instruction(IF_EQUAL, 0, 1, TRUNCATES_FOR_READING),
        _answer(refuse),
    )
