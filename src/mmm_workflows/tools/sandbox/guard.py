"""Started in the child: binds itself, then runs the code; imports nothing of this package.

The parent decides everything and hands it over as one JSON argument. Whatever cannot be put in
force ends the child before the first line of the code; the parent knows by the byte that was not
written to ``ready_fd``.
"""

import ctypes
import json
import os
import resource
import struct
import sys
import traceback
import types
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Final

LANDLOCK_CREATE_RULESET: Final = 444
LANDLOCK_ADD_RULE: Final = 445
LANDLOCK_RESTRICT_SELF: Final = 446
LANDLOCK_RULE_PATH_BENEATH: Final = 1
SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_FILTER_FLAG_TSYNC: Final = 1
PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38
SIGKILL: Final = 9
FILE_RIGHTS: Final = 0b111 | 1 << 14

EFBIG: Final = 27
DESCRIPTORS: Final = "/proc/self/fd/"

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def kernel(what: str, result: int) -> int:
    """The result of a call, or the end: a step that failed is a sandbox that does not hold."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def limit(limits: dict[str, list[int]]) -> None:
    """Soft and hard values by the names of the resource module."""
    for name, (soft, hard) in limits.items():
        resource.setrlimit(getattr(resource, name), (soft, hard))


def ruleset(handled: list[int], rules: list[list[Any]], abi: int) -> int:
    """A Landlock ruleset, not yet in force; opened while the paths can still be reached."""
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    attributes = struct.pack("QQQ", *handled)[:size]
    made = libc.syscall(
        LANDLOCK_CREATE_RULESET,
        ctypes.c_char_p(attributes),
        ctypes.c_size_t(size),
        ctypes.c_uint(0),
    )
    descriptor = kernel("landlock_create_ruleset", made)
    for path, rights in rules:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = rights if os.path.isdir(path) else rights & FILE_RIGHTS  # noqa: PTH112
        rule = struct.pack("=Qi", allowed, beneath)
        added = libc.syscall(
            LANDLOCK_ADD_RULE, ctypes.c_int(descriptor), ctypes.c_int(LANDLOCK_RULE_PATH_BENEATH),
            ctypes.c_char_p(rule), ctypes.c_uint(0),
        )  # fmt: skip
        kernel(f"landlock_add_rule {path}", added)
        os.close(beneath)
    return descriptor


def hold_import_folders(folders: list[str]) -> list[str]:
    """The folders through open descriptors: nobody cannot walk to an interpreter in a private home.

    Packages that are loaded already look for their modules in the same way.
    """
    held: dict[str, str] = {}
    for folder in folders:
        if os.path.isdir(folder):  # noqa: PTH112
            held[folder] = f"{DESCRIPTORS}{os.open(folder, os.O_PATH)}"
    for module in list(sys.modules.values()):
        if hasattr(module, "__path__"):
            module.__path__ = [through(place, held) for place in module.__path__]
    os.path.realpath = partial(unless_held, os.path.realpath)
    return list(held.values())


def unless_held(resolve: Callable[..., Any], path: Any, **options: Any) -> Any:  # noqa: ANN401
    """A path without its links; one through a descriptor stays: resolved, nobody cannot walk it.

    matplotlib resolves where its fonts lie before it opens them.
    """
    return path if str(path).startswith(DESCRIPTORS) else resolve(path, **options)


def through(place: str, held: dict[str, str]) -> str:
    """A path under its folder's descriptor, the longest that fits."""
    for folder in sorted(held, key=len, reverse=True):
        if place.startswith(f"{folder}/"):
            return held[folder] + place[len(folder) :]
    return place


def become(uid: int) -> None:
    """Give up root for good: groups, group, user; the capabilities go with the last."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def die_with(parent: int | None) -> None:
    """Be killed when the parent's thread ends; set after ``become``, which clears it."""
    if parent is None:
        return
    kernel("prctl", libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        raise OSError(f"the parent {parent} is gone")


def restrict(ruleset_fd: int) -> None:
    """Put Landlock in force."""
    kernel("no_new_privs", libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    restricted = libc.syscall(LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset_fd), ctypes.c_uint(0))
    kernel("landlock_restrict_self", restricted)
    os.close(ruleset_fd)


def filter_calls(program: list[list[int]], machine: str) -> None:
    """Put seccomp in force on every thread."""
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    code = ctypes.create_string_buffer(packed, len(packed))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    installed = libc.syscall(
        SECCOMP[machine], ctypes.c_uint(SECCOMP_SET_MODE_FILTER),
        ctypes.c_uint(SECCOMP_FILTER_FLAG_TSYNC), ctypes.c_char_p(header),
    )  # fmt: skip
    # A thread that could not follow is told by its id, a number above zero.
    if kernel("seccomp", installed) != 0:
        raise OSError(f"seccomp: thread {installed} is outside of the filter")


def bind(job: dict[str, Any]) -> None:
    """Everything that holds the code, in the order in which it can be done."""
    os.chdir(job["folder"])
    if job["uid"] is not None:
        sys.path[:] = hold_import_folders([*sys.path, *job["imports"]])
    else:
        sys.path += job["imports"]
    ruleset_fd = ruleset(job["handled"], job["rules"], job["abi"])
    if job["uid"] is not None:
        become(job["uid"])
    die_with(job["parent"])
    restrict(ruleset_fd)
    limit(job["limits"])
    filter_calls(job["program"], job["machine"])


def end_badly(
    statuses: dict[str, int],
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """Print the traceback of the code alone, and exit with a status that says what ran out."""
    sys.stdout.flush()
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    if isinstance(error, MemoryError):
        os._exit(statuses["memory"])
    os._exit(statuses["file"] if isinstance(error, OSError) and error.errno == EFBIG else 1)


def run(path: str, statuses: dict[str, int]) -> None:
    """Run the code as ``__main__``."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        text = file.read()
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = [path]
    sys.excepthook = partial(end_badly, statuses)
    exec(compile(text, path, "exec"), module.__dict__)


def main() -> None:
    """Bind, tell the parent, run."""
    job = json.loads(sys.argv[1])
    ready = job["ready_fd"]
    bind(job)
    os.write(ready, b"1")
    os.close(ready)
    run(job["code"], job["statuses"])


if __name__ == "__main__":
    main()
