"""Pictures of charts, drawn in a process of their own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from mmm_workflows.tools.fit_child import end_group

CHILD: Final = "mmm_workflows.tools.picture_child"
LAST_WORDS: Final = 500


class Pictures:
    """Draws in a child process.

    What draws holds Python's lock for up to a second, and a loop beside it would answer nobody.

    Args:
        environment: The environment of the child.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def draw(self, specifications: Sequence[str]) -> list[str]:
        """The SVG of each Vega-Lite specification, in order.

        Raises:
            RuntimeError: The process ended without them.
        """
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", CHILD,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self._environment),
            start_new_session=True,
        )  # fmt: skip
        try:
            drawn, said = await child.communicate(json.dumps(list(specifications)).encode())
        finally:
            # Also when the run is cancelled.
            await end_group(child)
        if child.returncode != 0:
            words = said.decode(errors="replace").strip()[-LAST_WORDS:]
            raise RuntimeError(
                f"The process that draws charts exited with code {child.returncode}; it said: {words}"
            )
        pictures: list[str] = json.loads(drawn)
        return pictures
