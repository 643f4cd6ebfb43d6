"""Writes the sample data that the repository ships, with its truth; the same bytes every time."""

from pathlib import Path

from mmm_workflows.mmm.synthetic import make_world
from mmm_workflows.mmm.worlds import SALES, SAMPLE_SEED, WEEKLY_SAMPLE

SHIPPED = {"examples/data/weekly_sample": WEEKLY_SAMPLE, "data/sales": SALES}


def files() -> dict[str, bytes]:
    """The bytes of each file, by its path from the repository's root."""
    made = {}
    for stem, plan in SHIPPED.items():
        world = make_world(plan, SAMPLE_SEED)
        made[f"{stem}.csv"] = world.csv()
        made[f"{stem}.truth.json"] = world.truth_json()
    return made


def main() -> None:
    """Write every file below the repository's root."""
    root = Path(__file__).resolve().parent.parent
    for name, content in files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{name}: {len(content)} bytes")


if __name__ == "__main__":
    main()
