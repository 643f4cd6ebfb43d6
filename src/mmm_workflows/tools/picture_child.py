"""The child process that draws: Vega-Lite on its standard input, SVG on its standard output.

It imports what draws and next to nothing of ours, so that it is there in a tenth of a second.
"""

from __future__ import annotations

import json
import sys
from typing import Final

import vl_convert

from mmm_workflows.niceness import give_way

VEGA_LITE: Final = "6.1"


def main() -> None:
    """Read a JSON list of specifications to the end; write the list of their pictures."""
    give_way()
    specifications = json.load(sys.stdin)
    drawn = [vl_convert.vegalite_to_svg(s, vl_version=VEGA_LITE) for s in specifications]
    json.dump(drawn, sys.stdout)


if __name__ == "__main__":
    main()
