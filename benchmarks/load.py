"""How the service holds up under load on this machine: watchers, questions, scenarios, memory.

python benchmarks/load.py [--only PART]... [--minutes 30] [--again] [--out benchmarks/reports]

Starts `mmm-workflows serve` on a home of its own for each part and asks it from this process alone,
over kept connections and with requests that are bytes, so that the client costs little; what it
costs is on the page. A part that was measured on this code with these numbers is not measured
again unless told to, so that a measurement that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvloop
from under_load.page import code_digest, part, read_parts, write_parts
from under_load.parts import PARTS


def main() -> None:
    """Measure what is asked for and write the page; exit 1 where a bound was missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=list(PARTS), help="may be given again")
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--rate", type=float, default=200.0, help="questions a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each kind of scenario")
    parser.add_argument("--minutes", type=float, default=30.0, help="of mixed load")
    parser.add_argument("--again", action="store_true", help="also what was measured already")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "reports")
    arguments = parser.parse_args()
    asked = {
        "watchers": {"watchers": arguments.watchers},
        "workflow": {"rate": arguments.rate},
        "scenario": {"seconds": arguments.seconds},
        "memory": {"minutes": arguments.minutes, "rate": arguments.rate},
    }
    parts = read_parts(arguments.out)
    code = code_digest()
    for name in arguments.only or PARTS:
        kept = parts.get(name)
        if kept and kept.code == code and kept.asked == asked[name] and not arguments.again:
            print(f"{name}: measured already, {kept.at}", flush=True)
            continue
        figures = uvloop.run(PARTS[name](arguments))
        parts[name] = part(name, asked[name], figures)
        write_parts(arguments.out, parts, list(PARTS))
        print(parts[name].section(), flush=True)
    missed = [
        f.what for name in arguments.only or PARTS for f in parts[name].figures if not f.is_met
    ]
    if missed:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
