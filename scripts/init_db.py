"""Create or migrate the run database; safe to repeat and to run several times at once."""

from __future__ import annotations

import asyncio
import sys

from mmm_workflows.errors import MMMError
from mmm_workflows.workflows.runner import open_runner


async def main() -> int:
    """Open every store once, which brings each to the present schema."""
    try:
        async with open_runner() as runner:
            print(f"ready: {runner.services.database}")
    except MMMError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
