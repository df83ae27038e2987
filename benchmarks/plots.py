"""Plots of the kept records of tutorial_job.py, embedding.py and photos.py, for docs/speed.md.

    python benchmarks/plots.py RESULTS TARGET.svg

RESULTS is a folder of JSON records. Each bar is how many times as fast headstart was as one peer: the median
of the turns, with a line from the lowest to the highest. The dashed line is the goal, where there is one.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from embedding import GOALS, OURS
from svg import Bar, BarPanel, draw_bars


def bar(name: str, ratio: dict[str, Any]) -> Bar:
    """Return the bar of one ratio's spread."""
    return Bar(name=name, value=ratio["median"], low=ratio["low"], high=ratio["high"])


def where(record: dict[str, Any]) -> str:
    """Return on which GPU a record was made, "" without one."""
    return f", {record['gpu']}" if record.get("gpu") else ""


def peers_panel(title: str, result: dict[str, Any], goal: float) -> BarPanel:
    """Return the panel of one model's peers."""
    peers = {name: each for name, each in result["contestants"].items() if name != OURS}
    return BarPanel(title=title, bars=[bar(name, each["ratio"]) for name, each in peers.items()], goal=goal)


def read_panels(results: Path) -> list[BarPanel]:
    """Return the panels of every record that is there."""
    panels = []
    for path in sorted(results.glob("tutorial_job*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        side = record["options"]["side"]
        for name in ("probe", "compare"):
            title = f"the tutorial's loop at {side} px / headstart {name}{where(record)}"
            panels.append(
                BarPanel(title=title, bars=[bar("loop", record[name]["ratio"])], goal=record[name]["goal"])
            )
    for path in sorted(results.glob("embedding*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for result in record["models"]:
            model = result["model"]
            title = f"{model}, {result['num_images']} photographs / headstart{where(record)}"
            panels.append(peers_panel(title, result, GOALS[model]))
    for path in sorted(results.glob("photos*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for result in record["models"]:
            title = f"{result['model']}, {result['num_images']} photographs of 12 megapixels / headstart"
            panels.append(peers_panel(title, result, record["goal"]))
    return panels


def main() -> None:
    """Read and draw."""
    parser = argparse.ArgumentParser(description="Bars of the kept ratios: see the docstring.")
    parser.add_argument("results", type=Path, help="folder of records, benchmarks/results")
    parser.add_argument("target", type=Path, help="SVG file to write")
    args = parser.parse_args()
    args.target.write_text(draw_bars(read_panels(args.results)), encoding="utf-8")


if __name__ == "__main__":
    main()
