"""The checkpoint file: private, strict, and closed so that a script can end."""

import stat
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

import ormsgpack
import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph

from mmm_workflows.db.checkpoints import delete_thread, open_checkpointer
from mmm_workflows.db.sealing import CheckpointSerializer
from mmm_workflows.errors import ServiceUnavailable


class State(TypedDict):
    text: str


async def test_a_thread_is_kept_in_a_private_file_and_leaves_it_when_deleted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "home" / "checkpoints.db"
    secret = "SECRET-OF-THE-THREAD"
    builder = StateGraph(State)
    builder.add_node("shout", lambda state: {"text": state["text"] + "!"})
    builder.add_edge(START, "shout")
    builder.add_edge("shout", END)
    async with open_checkpointer(path) as saver:
        graph = builder.compile(checkpointer=saver)
        for name in ("one", "two"):
            config = {"configurable": {"thread_id": name}}
            await graph.ainvoke({"text": f"{secret}-{name}"}, config)
        assert {stat.S_IMODE(f.stat().st_mode) for f in path.parent.iterdir()} == {0o600}
        await delete_thread(saver, "one")
        assert (await graph.aget_state({"configurable": {"thread_id": "one"}})).values == {}
        kept = await graph.aget_state({"configurable": {"thread_id": "two"}})
        assert kept.values == {"text": f"{secret}-two!"}
        files = [f.read_bytes() for f in path.parent.iterdir()]
        assert not any(f"{secret}-one".encode() in content for content in files)
        assert any(f"{secret}-two".encode() in content for content in files)


async def test_a_damaged_checkpoint_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints.db"
    path.write_bytes(b"not a database, by far " * 100)
    with pytest.raises(ServiceUnavailable, match=r"checkpoints\.db"):
        async with open_checkpointer(path):
            pytest.fail("it was opened")


OPEN = """
import asyncio, pathlib, sys
{first}
from mmm_workflows.db.checkpoints import open_checkpointer

async def main():
    async with open_checkpointer(pathlib.Path(sys.argv[1])):
        pass

asyncio.run(main())
"""


def opening(path: Path, first: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OPEN.format(first=first), str(path)]
    environment = {"PATH": "/usr/bin", "HOME": str(path.parent)}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def test_processes_that_open_a_new_file_together_all_succeed_and_end(tmp_path: Path) -> None:
    started = [opening(tmp_path / "checkpoints.db") for _ in range(3)]
    errors = [process.communicate(timeout=300)[1] for process in started]
    assert [p.returncode for p in started] == [0, 0, 0], errors


def test_permissive_deserialisation_is_refused(tmp_path: Path) -> None:
    process = opening(tmp_path / "c.db", "import langgraph.checkpoint.serde._msgpack")
    assert "import mmm_workflows before langgraph" in process.communicate(timeout=300)[1]
    assert process.returncode == 1


@pytest.mark.parametrize("kind", ["one argument", "arguments", "names"])
def test_a_forged_checkpoint_calls_nothing_when_it_is_read(tmp_path: Path, kind: str) -> None:
    made = tmp_path / "made"
    code, given = {
        "one argument": (0, str(made)),
        "arguments": (1, [str(made)]),
        "names": (2, {"path": str(made)}),
    }[kind]
    call = ormsgpack.packb(["os", "mkdir", given])
    forged = ("msgpack", ormsgpack.packb(ormsgpack.Ext(code, call)))
    CheckpointSerializer(None).loads_typed(forged)
    assert not made.exists()
    # LangGraph's own, told to trust all, would have called it: the forgery is a good one.
    JsonPlusSerializer(allowed_msgpack_modules=True).loads_typed(forged)
    assert made.exists()
