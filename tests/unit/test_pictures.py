"""Charts are drawn where they keep nobody waiting, and nothing of a drawing stays behind."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mmm_workflows.config import child_environment
from mmm_workflows.tools.pictures import CHILD, Pictures

LINE = {
    "data": {"values": [{"x": 1, "y": 2}, {"x": 2, "y": 3}]},
    "mark": "line",
    "title": "Zoë & <them>",
    "encoding": {
        "x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"},
    },
}  # fmt: skip


def children() -> list[str]:
    """The commands of this process's children."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((place / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append((place / "cmdline").read_text())
    return found


async def test_the_loop_goes_on_while_pictures_are_drawn() -> None:
    drawing = asyncio.create_task(
        Pictures(child_environment()).draw([json.dumps(LINE), json.dumps({**LINE, "mark": "bar"})])
    )
    turns = 0
    while not drawing.done():
        turns += 1
        await asyncio.sleep(0.001)
    line, bar = [ElementTree.fromstring(svg) for svg in drawing.result()]
    assert "Zoë & <them>" in list(line.itertext())
    assert ElementTree.tostring(line) != ElementTree.tostring(bar)
    # Drawn in a thread of this process it would be a turn or two per picture.
    assert turns > 20


async def test_a_specification_that_cannot_be_drawn_is_an_error_that_says_why() -> None:
    with pytest.raises(RuntimeError, match="exited with code 1"):
        await Pictures(child_environment()).draw(["{"])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
async def test_a_drawing_that_is_cancelled_leaves_no_process() -> None:
    drawing = asyncio.create_task(Pictures(child_environment()).draw([json.dumps(LINE)] * 500))
    while not any(CHILD in command for command in children()):
        await asyncio.sleep(0.01)
    drawing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drawing
    assert not any(CHILD in command for command in children())
