"""Another process with memory: ``python -m contracts.outbox.child WHAT PROJECT RUN``, settings by its
environment.
"""

from __future__ import annotations

import asyncio
import sys

from mmm_workflows.config import read_settings
from mmm_workflows.workflows.runner import Runner, open_runner

from .values import succeed


async def hold(runner: Runner, project: str, name: str) -> None:
    """Open memory and keep it, until a line comes."""
    await runner.services.open_memory()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def serve(runner: Runner, project: str, name: str) -> None:
    """Open memory and keep it; take what waits at each line."""
    await runner.services.open_memory()
    print("open", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        await runner.memory.drain()
        print("drained", flush=True)


async def write(runner: Runner, project: str, name: str) -> None:
    """Let runs succeed, two at a time; say each that is written down, and each that is kept."""
    count = 0
    while True:
        names = [f"{name}-{count}", f"{name}-{count + 1}"]
        for each in names:
            await succeed(runner, each, project)
            print(f"succeeded {each}", flush=True)
        await runner.memory.drain()
        print(f"kept {names[0]} {names[1]}", flush=True)
        count += 2


async def forget(runner: Runner, project: str, name: str) -> None:
    """Let a run succeed, remember it and delete it, again and again; say what was acknowledged."""
    count = 0
    while True:
        await succeed(runner, f"{name}-{count}", project)
        await runner.memory.drain()
        print(f"kept {name}-{count}", flush=True)
        if count % 2:
            await runner.delete(f"{name}-{count}")
            print(f"deleted {name}-{count}", flush=True)
        count += 1


async def some(runner: Runner, project: str, name: str) -> None:
    """Let twelve runs succeed in four tasks that all drain."""

    async def one(task: int) -> None:
        for count in range(3):
            await succeed(runner, f"{name}-{task}-{count}", project)
            await runner.memory.drain()

    await asyncio.gather(*(one(task) for task in range(4)))


async def main() -> None:
    async with open_runner(read_settings()) as runner:
        work = {"hold": hold, "serve": serve, "write": write, "forget": forget, "some": some}
        await work[sys.argv[1]](runner, *sys.argv[2:])


if __name__ == "__main__":
    asyncio.run(main())
