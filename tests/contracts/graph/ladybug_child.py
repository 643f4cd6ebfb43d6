"""Another process at the embedded graph: ``python -m contracts.graph.ladybug_child WHAT FOLDER``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mmm_workflows.db.ladybug_client import LadybugGraph, open_ladybug

from .values import edge, node

PROJECT = "kill"


def pair(run: int, count: int) -> tuple[list, list]:
    """Two nodes, the edge between them and one to a node that all share."""
    names = [f"{run:02}-{count:06}-{side}" for side in "ab"]
    nodes = [node(PROJECT, name, workflow_id=f"r{run}") for name in [*names, "hub"]]
    edges = [(names[0], names[1]), (names[0], "hub")]
    return nodes, [edge(PROJECT, *ends, workflow_id=f"r{run}") for ends in edges]


async def write(graph: LadybugGraph, run: int) -> None:
    """Say each write when it is acknowledged, until killed."""
    count = 0
    while True:
        await graph.add(*pair(run, count))
        print(count, flush=True)
        count += 1


async def forget(graph: LadybugGraph, run: int) -> None:
    """Forget and write again, until killed; say what was acknowledged."""
    count = 0
    while True:
        await graph.add(*pair(run, count))
        print(f"added {count}", flush=True)
        await graph.forget(PROJECT, workflow_id=f"r{run}")
        print(f"forgot {count}", flush=True)
        count += 1


async def hold(graph: LadybugGraph, run: int) -> None:
    """Read, say whether it owns the file, and hold it until the input ends."""
    await graph.nodes(PROJECT)
    print("owner" if graph.is_owner else "reader", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def prepare(graph: LadybugGraph, run: int) -> None:
    """See that the tables are there, and read."""
    await graph.prepare()
    print(len(await graph.nodes(PROJECT)), flush=True)


async def main() -> None:
    what, folder, run = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    graph = await open_ladybug(folder)
    await {"write": write, "forget": forget, "hold": hold, "prepare": prepare}[what](graph, run)
    await graph.aclose()


if __name__ == "__main__":
    asyncio.run(main())
