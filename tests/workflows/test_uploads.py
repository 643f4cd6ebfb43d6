"""Uploads as they come in, few at a time, and the list of them while some go or cannot be read."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.mmm.tables import check_table
from mmm_workflows.workflows import uploads
from mmm_workflows.workflows.contracts import Dataset
from mmm_workflows.workflows.runner import Runner, open_runner


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


async def keep(runner: Runner, number: int) -> Path:
    content = f"date,sales{number}\n2024-01-01,1\n".encode()
    kept = await runner.uploads.keep(io.BytesIO(content), name="sales.csv")
    return Path(kept.path)


async def listed(runner: Runner) -> list[Dataset]:
    return await runner.shelf.datasets(None, limit=10)


async def test_few_uploads_are_read_at_a_time_and_the_others_after_them(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, gate, inside, most = threading.Lock(), threading.Event(), 0, 0

    def read(path: Path) -> tuple[str, ...]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        assert gate.wait(60)
        with lock:
            inside -= 1
        return check_table(path)

    monkeypatch.setattr(uploads, "check_table", read)
    coming = [asyncio.create_task(keep(runner, number)) for number in range(4)]
    while inside < uploads.READ_AT_ONCE:
        await asyncio.sleep(0.01)
    # Threads begin in the order in which they were asked for.
    await asyncio.to_thread(lambda: None)
    gate.set()
    assert len({*await asyncio.gather(*coming)}) == 4
    assert most == uploads.READ_AT_ONCE


async def test_an_upload_that_goes_while_the_list_is_made_is_left_out(runner: Runner) -> None:
    gone, kept = await keep(runner, 1), await keep(runner, 2)
    gone.unlink()
    # Found by its name, as what is removed right after, and nothing is there.
    gone.symlink_to(gone.with_name("nowhere"))
    assert [found.path for found in await listed(runner)] == [str(kept)]


async def test_a_file_that_cannot_be_read_any_more_stays_in_the_list(runner: Runner) -> None:
    damaged, kept = await keep(runner, 1), await keep(runner, 2)
    damaged.write_bytes(b"\xff\xfed\x00")
    found = {each.path: each.columns for each in await listed(runner)}
    assert found == {str(damaged): (), str(kept): ("date", "sales2")}


async def test_the_list_reads_no_more_of_a_file_than_its_header(runner: Runner) -> None:
    file = await keep(runner, 1)
    file.write_bytes(file.read_bytes() + b"a row of another length\n")
    (found,) = await listed(runner)
    assert found.columns == ("date", "sales1")
