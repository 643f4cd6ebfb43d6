"""Make or migrate every store that is set; safe to repeat and to run several times at once."""

from __future__ import annotations

import asyncio
import sys

from mmm_workflows.errors import MMMError
from mmm_workflows.workflows.runner import prepare


async def main() -> int:
    """Prepare the stores one by one, a line for each; the first that cannot be used ends it."""
    try:
        await prepare(lambda name, place: print(f"ready: {name}: {place}", flush=True))
    except MMMError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
