"""Plots of the kept records of tutorial_job.py, embedding.py and photos.py, for docs/speed.md.

    python benchmarks/plots.py RESULTS TARGET.svg

RESULTS is a folder of JSON records, of which those of the machine without bf16 (*_avx2) are left out. Each
bar is how many times as fast headstart was as one peer: the median of the turns, with a line from the lowest
to the highest. The dashed line is the goal, where there is one.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from embedding import GOAL_IN_FLOAT32, GOALS, OURS
from svg import Bar, BarPanel, draw_bars


def bar(name: str, ratio: dict[str, Any]) -> Bar:
    """Return the bar of one ratio's spread."""
    return Bar(name=name, value=ratio["median"], low=ratio["low"], high=ratio["high"])


def where(record: dict[str, Any]) -> str:
    """Return on which kind of machine a record was made."""
    return f", {record.get('gpu') or record['cpu_capability']}"


def peers_panel(title: str, result: dict[str, Any], goal: float) -> BarPanel:
    """Return the panel of one model's peers."""
    peers = {name: each for name, each in result["contestants"].items() if name != OURS}
    return BarPanel(title=title, bars=[bar(name, each["ratio"]) for name, each in peers.items()], goal=goal)


def list_records(results: Path, benchmark: str) -> list[Path]:
    """Return the records of a benchmark that are drawn."""
    return [path for path in sorted(results.glob(f"{benchmark}*.json")) if not path.stem.endswith("_avx2")]


def read_panels(results: Path) -> list[BarPanel]:
    """Return the panels of every record that is there."""
    panels = []
    for path in list_records(results, "tutorial_job"):
        record = json.loads(path.read_text(encoding="utf-8"))
        side = record["options"]["side"]
        for name in ("probe", "compare"):
            title = f"the tutorial's loop at {side} px / headstart {name}{where(record)}"
            panels.append(
                BarPanel(title=title, bars=[bar("loop", record[name]["ratio"])], goal=record[name]["goal"])
            )
    for path in list_records(results, "embedding"):
        record = json.loads(path.read_text(encoding="utf-8"))
        for result in record["models"]:
            model = result["model"]
            in_float32 = record["options"].get("precision") == "fp32"
            how = " in float32" if in_float32 else ""
            title = f"{model}, {result['num_images']} photographs / headstart{how}{where(record)}"
            panels.append(peers_panel(title, result, GOAL_IN_FLOAT32 if in_float32 else GOALS[model]))
    for path in list_records(results, "photos"):
        record = json.loads(path.read_text(encoding="utf-8"))
        for result in record["models"]:
            what = f"{result['model']}, {result['num_images']} photographs of 12 megapixels"
            title = f"{what} / headstart{where(record)}"
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
