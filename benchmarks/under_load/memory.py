"""Whether memory grows: its slope with an interval, and what of it is noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import stats
from under_load.page import Figure

# Caches, pools and the allocator's arenas fill up first.
WARM_SHARE: Final = 1 / 3
BLOCKS: Final = 10
LEVEL: Final = 0.95
# Of each block: what is there between deletions, each of which takes 40 MB for some seconds.
SETTLED: Final = 0.25
# Of the memory at the start of what counts; less is what the allocator does by itself.
FLAT_SHARE: Final = 0.02


def growth(samples: Sequence[tuple[float, float]]) -> list[Figure]:
    """Slope of resident memory over what follows the warm-up.

    What comes and goes is no growth: a line is laid through the lower quartiles of ten equal
    blocks. Samples that lie next to each other say the same, so the interval is of that line, by
    Student's t. The slope of the means, with what comes and goes, stands beside it.

    Args:
        samples: Minutes and megabytes, in order.
    """
    taken = np.asarray(samples, dtype=np.float64)
    late = taken[int(len(taken) * WARM_SHARE) :]
    if len(late) < 2 * BLOCKS:
        return [Figure("memory: slope", "not measured: fewer than 20 samples after the warm-up")]
    blocks = np.array_split(late, BLOCKS)
    middles = [block[:, 0].mean() for block in blocks]
    means = stats.linregress(middles, [block[:, 1].mean() for block in blocks])
    line = stats.linregress(middles, [np.quantile(block[:, 1], SETTLED) for block in blocks])
    half = float(stats.t.ppf(0.5 + LEVEL / 2, BLOCKS - 2) * line.stderr)
    low, high = float(line.slope) - half, float(line.slope) + half
    minutes, level = float(late[-1, 0] - late[0, 0]), float(late[0, 1])
    return [
        Figure("memory: at the start", float(taken[0, 1]), "MB"),
        Figure(f"memory: after the warm-up (the first {WARM_SHARE:.0%})", level, "MB"),
        Figure("memory: at the end", float(taken[-1, 1]), "MB"),
        Figure("memory: slope of the means", float(means.slope), "MB a minute"),
        Figure(f"memory: slope over the last {minutes:.1f} minutes", float(line.slope),
               "MB a minute"),
        Figure(f"memory: {LEVEL:.0%} interval of the slope", f"{low:.2g} to {high:.2g}",
               "MB a minute"),
        Figure("memory: growth in that time by the upper end", 100 * high * minutes / level,
               "% of it", at_most=100 * FLAT_SHARE),
    ]  # fmt: skip
