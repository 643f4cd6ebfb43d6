"""A started job: one thing to wait for and one to kill, in both modes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final

from mmm_workflows.tools.sandbox.waiting import acquire

INFO_BYTES: Final = 4096


class Child:
    """The process of a job and all that it could have started.

    Under bubblewrap a second process is the first of the namespace: when the kernel reports its
    end, everything in the namespace has ended.
    """

    def __init__(self, process: asyncio.subprocess.Process, inside: int | None, ready: int) -> None:
        self._process = process
        self._inside = inside
        self._ready = ready

    @property
    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamReader]:
        """Stdout and stderr."""
        out, err = self._process.stdout, self._process.stderr
        assert out is not None
        assert err is not None
        return out, err

    async def wait(self) -> int:
        """The exit status as the kernel gives it: negative for a signal."""
        code = await self._process.wait()
        if self._inside is not None:
            await _readable(self._inside)
            return 128 - code if code > 128 else code
        return code

    def kill(self) -> None:
        """End everything now; there is no asking first."""
        if self._inside is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._inside, signal.SIGKILL)
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def was_bound(self) -> bool:
        """Whether the guard was complete before the code began; ask after the end."""
        return os.read(self._ready, 1) == b"1"

    async def close(self) -> None:
        """Kill what is left, wait for it and give back the descriptors."""
        self.kill()
        await self.wait()
        for descriptor in (self._inside, self._ready):
            if descriptor is not None:
                os.close(descriptor)


async def start(
    arguments: Sequence[str], environment: Mapping[str, str], ready: tuple[int, int],
    info: tuple[int, int] | None,
) -> Child:  # fmt: skip
    """Start a job in a session of its own; a cancellation here leaves nothing behind.

    Args:
        arguments: The command; it names the writing ends of the pipes.
        environment: All that the job and bubblewrap see: bubblewrap's own is readable inside.
        ready: The pipe on which the guard says that it is complete.
        info: The pipe on which bubblewrap names its first process inside.
    """
    return await acquire(_start(arguments, environment, ready, info), Child.close)


async def _start(
    arguments: Sequence[str], environment: Mapping[str, str], ready: tuple[int, int],
    info: tuple[int, int] | None,
) -> Child:  # fmt: skip
    passed = [ready[1]] if info is None else [ready[1], info[1]]
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
            pass_fds=passed,
        )
    finally:
        for descriptor in passed:
            os.close(descriptor)
    os.set_blocking(ready[0], False)
    return Child(process, None if info is None else await _first_inside(info[0]), ready[0])


async def _first_inside(info: int) -> int | None:
    """A descriptor of the first process inside; none when bubblewrap has failed before it."""
    said = await asyncio.to_thread(_read_object, info)
    os.close(info)
    if not said:
        return None
    try:
        return os.pidfd_open(json.loads(said)["child-pid"])
    except ProcessLookupError:
        return None


def _read_object(descriptor: int) -> bytes:
    said = b""
    while not said.rstrip().endswith(b"}") and (more := os.read(descriptor, INFO_BYTES)):
        said += more
    return said


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
