"""The tool that measures load spares no service that stalls, and says when memory grows."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from under_load.caller import Caller, at_rate, calling
from under_load.memory import growth
from under_load.page import Figure, part, read_parts, write_parts
from under_load.service import Service

STALL_S = 0.3
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


async def test_a_stall_is_counted_for_every_request_that_was_due_in_it() -> None:
    ends = list[float]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            # Whoever asks in the first moments waits for their end.
            ends.append(time.monotonic() + STALL_S)
            await asyncio.sleep(max(0.0, ends[0] - time.monotonic()))
            writer.write(OK)

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(quiet, "127.0.0.1", 0)
    with calling(server.sockets[0].getsockname()[1]) as caller:
        request = caller.get("/")
        asked = itertools.count()
        answers = await at_rate(
            100, lambda: next(asked) < 60, lambda _, due: caller.ask(request, due=due)
        )
    server.close()
    await server.wait_closed()
    late = [ms for ms in answers.took_ms if ms > 1000 * STALL_S / 2]
    # A client that waits for an answer before it asks again would have counted one.
    assert len(late) >= 10
    assert max(answers.took_ms) >= 900 * STALL_S
    assert (answers.failed, len(answers.took_ms)) == (0, 60)


async def test_a_service_that_is_gone_fails_and_does_not_end_the_measurement() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    with calling(server.sockets[0].getsockname()[1]) as caller:
        lost = await caller.ask(caller.get("/"))
        server.close()
        await server.wait_closed()
        refused = await caller.ask(caller.get("/"))
    await asyncio.sleep(0.05)
    assert (lost.status, refused.status) == (0, 0)


async def test_a_connection_that_was_idle_is_closed_and_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    with calling(server.sockets[0].getsockname()[1]) as caller:
        monkeypatch.setattr("under_load.caller.IDLE_S", 600.0)
        asked = [await caller.ask(caller.get("/")) for _ in range(2)]
        assert caller.connections == 1
        monkeypatch.setattr("under_load.caller.IDLE_S", 0.0)
        asked.append(await caller.ask(caller.get("/")))
        assert caller.connections == 2
    server.close()
    await server.wait_closed()
    assert [answer.status for answer in asked] == [200] * 3


@pytest.mark.parametrize(("a_minute", "is_flat"), [(0.0, True), (2.0, False), (-1.0, True)])
def test_memory_that_grows_is_told_from_memory_that_wavers(a_minute: float, is_flat: bool) -> None:
    minutes = np.arange(0, 30, 1 / 60)
    wave = 3 * np.sin(minutes / 1.7) + np.random.default_rng(1).normal(0, 1, minutes.size)
    warm = 50 * (1 - np.exp(-minutes / 2))
    passing = np.where(minutes % 1.7 < 0.25, 40.0, 0.0)
    resident = 400 + warm + wave + passing + a_minute * minutes
    found = growth(list(zip(minutes, resident, strict=True)))
    assert found[-1].is_met is is_flat, [figure.row() for figure in found]
    [slope] = [f.value for f in found if "slope over" in f.what]
    assert abs(float(slope) - a_minute) < 0.2


def test_parts_are_kept_one_by_one_and_a_missed_bound_is_said(tmp_path: Path) -> None:
    order = ["first", "second"]
    met, missed = Figure("p95", 20.0, "ms", at_most=25), Figure("calls", 80.0, at_least=100)
    parts = {"second": part("second", {"seconds": 5}, [missed])}
    write_parts(tmp_path, parts, order)
    parts = {**read_parts(tmp_path), "first": part("first", {}, [met])}
    write_parts(tmp_path, parts, order)
    assert read_parts(tmp_path) == parts
    page = (tmp_path / "load.md").read_text(encoding="utf-8")
    assert page.index("## first") < page.index("## second")
    assert "| p95 | 20 | ms | at most 25 | yes |" in page
    assert "| calls | 80 |  | at least 100 | **no** |" in page


def test_the_work_of_a_child_counts_while_it_lives_and_when_it_has_ended() -> None:
    works = "import time\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True)\ninput()"
    own = Service(port=0, pid=os.getpid(), caller=Caller(0))
    before = own.children_cpu_s
    with subprocess.Popen(
        [sys.executable, "-c", works], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == b"1\n"
        living = own.children_cpu_s - before
    ended = own.children_cpu_s - before
    assert 0.25 < living <= ended < 2
