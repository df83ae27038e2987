"""Time and memory of headstart against the number of pictures and against the number of models.

    python benchmarks/scaling.py CIFAR10.zip [--side 64] [--num-images 1000 5000 20000 60000]

CIFAR10.zip is a zip with train/<class>/ and test/<class>/. For each N, N of its pictures, evenly spread,
are written to a zip of their own, and `headstart embed` runs over it in an empty HEADSTART_HOME and then
once more, when everything must come from the cache. For each k, `headstart compare` runs with k checkpoints
of EfficientNet-Lite0 (the starter weights, each changed a little) over --compare-images of the pictures.
Every run is a process of its own; the sizes alternate.

Memory is the most that the process and its children held together (shared pages once), looked at ten times a
second, and the kernel's own high-water mark of the process (VmHWM). Printed: medians with lowest and
highest, and straight lines through the medians with their R2. --json writes the record, --svg the plot.
There is no peer here: the peer of a size is the straight line.
"""

import argparse
import functools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from seeded_weights import write_variants
from svg import Panel, draw
from turns import Turn, add_options, begin, headstart, note, run, save, spread, take_turns, words

MODEL = "timm/tf_efficientnet_lite0"
SAMPLE_SECONDS = 0.1
MIB = 2**20


def write_part(whole: Path, part: Path, num_images: int) -> None:
    """Write a zip with so many pictures of another, evenly spread over its names."""
    with ZipFile(whole) as source, ZipFile(part, "w") as target:
        names = [name for name in source.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png"))]
        if len(names) < num_images:
            sys.exit(f"{whole.name} holds {len(names)} pictures, not {num_images}")
        for index in range(num_images):
            name = names[index * len(names) // num_images]
            target.writestr(name, source.read(name))


def embed_twice(part: Path, side: int, again: list[Turn]) -> Turn:
    """Run `headstart embed` in an empty home, and again in the same; the second run is put into `again`."""
    command = headstart("embed", part, "--models", "efficientnet_lite0", "--resolution", side, "--json")
    with tempfile.TemporaryDirectory() as home:
        first = run(command, home=Path(home), sample_seconds=SAMPLE_SECONDS)
        again.append(run(command, home=Path(home), sample_seconds=SAMPLE_SECONDS))
    return first


def compare_models(part: Path, side: int, variants: Sequence[Path]) -> Turn:
    """Run `headstart compare` with these checkpoints in an empty home."""
    names = ",".join(f"{MODEL}@{variant}" for variant in variants)
    with tempfile.TemporaryDirectory() as out:
        words = (
            "compare",
            part,
            "--models",
            names,
            "--resolution",
            side,
            "--out",
            Path(out) / "run",
            "--json",
        )
        turn = run(headstart(*words), sample_seconds=SAMPLE_SECONDS)
    failed = [row["error"] for row in turn.printed["rows"] if row["error"]]
    if failed or len(turn.printed["rows"]) != len(variants):
        sys.exit(f"of {len(variants)} models {len(turn.printed['rows'])} ran; errors: {failed}")
    return turn


def summarise(taken: dict[str, list[Turn]], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Return seconds and memory of each size."""
    return [
        {
            "size": size,
            "seconds": spread([turn.seconds for turn in turns]),
            "peak_tree_mib": spread([turn.peak_tree_bytes / MIB for turn in turns]),
            "peak_process_mib": spread([turn.peak_process_bytes / MIB for turn in turns]),
        }
        for size, turns in zip(sizes, taken.values(), strict=True)
    ]


def fit_line(rows: Sequence[dict[str, Any]], key: str) -> dict[str, float]:
    """Return slope, intercept and R2 of the straight line through the medians."""
    x = np.array([row["size"] for row in rows], np.float64)
    y = np.array([row[key]["median"] for row in rows])
    if len(rows) < 2:
        return {"slope": float("nan"), "intercept": float("nan"), "r2": float("nan")}
    slope, intercept = np.polyfit(x, y, 1)
    rest = float(((y - slope * x - intercept) ** 2).sum())
    return {
        "slope": float(slope),
        "intercept": float(intercept),
        "r2": 1 - rest / max(float(((y - y.mean()) ** 2).sum()), 1e-12),
    }


def describe(title: str, unit: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Print one table with its lines; return it for the record."""
    print(title)
    for row in rows:
        print(
            f"  {row['size']:>7,} {unit}  {words(row['seconds'], 's'):<28}"
            f"  tree {words(row['peak_tree_mib'], 'MiB', digits=0):<28}"
            f"  VmHWM {words(row['peak_process_mib'], 'MiB', digits=0)}"
        )
    fits = {key: fit_line(rows, key) for key in ("seconds", "peak_tree_mib", "peak_process_mib")}
    time, memory = fits["seconds"], fits["peak_process_mib"]
    print(f"  seconds = {time['intercept']:.1f} + {time['slope']:.5f} x {unit}, R2 {time['r2']:.4f}")
    print(
        f"  MiB (VmHWM) = {memory['intercept']:.0f} + {memory['slope']:.5f} x {unit}, R2 {memory['r2']:.4f}"
    )
    return {"rows": rows, "fits": fits}


def panels(result: dict[str, Any], what: str, unit: str) -> list[Panel]:
    """Return the two plots of one table: time and memory."""
    plots = []
    for key, label in (("seconds", "seconds"), ("peak_process_mib", "peak memory, MiB (VmHWM)")):
        points = [
            (row["size"], *(row[key][each] for each in ("median", "low", "high"))) for row in result["rows"]
        ]
        fit = result["fits"][key]
        title = f"{what}: {label}; R2 {fit['r2']:.4f}"
        plots.append(
            Panel(title=title, unit=unit, points=points, slope=fit["slope"], intercept=fit["intercept"])
        )
    return plots


def measure_pictures(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Measure and print what depends on the number of pictures."""
    again: dict[str, list[Turn]] = {}
    contestants = {}
    for size in args.num_images:
        part = work / f"pictures{size}.zip"
        write_part(args.data, part, size)
        name = f"{size} pictures"
        again[name] = []
        contestants[name] = functools.partial(embed_twice, part, args.side, again[name])
    taken = take_turns(contestants, args.turns)
    for size, turns in zip(args.num_images, taken.values(), strict=True):
        if any(turn.printed["num_pictures"] != size for turn in turns):
            sys.exit(f"not all of {size} pictures have features")
    result = describe(f"headstart embed at {args.side} px", "pictures", summarise(taken, args.num_images))
    result["again"] = describe("the same again", "pictures", summarise(again, args.num_images))
    computed = [turn.printed["num_computed"] for turns in again.values() for turn in turns]
    inner = {name: spread([turn.printed["seconds"] for turn in turns]) for name, turns in again.items()}
    result |= {"again_num_computed": computed, "again_embed_seconds": inner}
    print(
        f"  embedded again: {sum(computed)} pictures {'(none)' if not sum(computed) else 'NOT NONE'}; ",
        end="",
    )
    print(
        "reading the cache: "
        + ", ".join(f"{name} {words(each, 's', digits=2)}" for name, each in inner.items())
    )
    result["plan"] = next(iter(taken.values()))[0].printed["plan"]
    return result


def measure_models(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Measure and print what depends on the number of models."""
    part = work / f"compare{args.compare_images}.zip"
    write_part(args.data, part, args.compare_images)
    variants = write_variants(work, max(args.num_models))
    contestants = {
        f"{count} models": functools.partial(compare_models, part, args.side, variants[:count])
        for count in args.num_models
    }
    taken = take_turns(contestants, args.turns)
    title = f"headstart compare, {args.compare_images} pictures at {args.side} px"
    return describe(title, "models", summarise(taken, args.num_models))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time and memory against size: see the docstring.")
    parser.add_argument("data", type=Path, help="zip of CIFAR-10")
    parser.add_argument("--side", type=int, default=64, help="of the input, in pixels")
    parser.add_argument("--num-images", type=int, nargs="+", default=[1000, 5000, 20000, 60000])
    parser.add_argument("--num-models", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--compare-images", type=int, default=3000)
    parser.add_argument("--svg", type=Path, help="file for the plot")
    add_options(parser, num_turns=3)
    args = parser.parse_args()
    record = begin("scaling", args)
    with tempfile.TemporaryDirectory() as temporary:
        note("== pictures")
        record["pictures"] = measure_pictures(args, Path(temporary))
        save(record, args.json)
        note("== models")
        record["models"] = measure_models(args, Path(temporary))
    save(record, args.json)
    if args.svg:
        plots = [
            *panels(record["pictures"], "embed", "pictures"),
            *panels(record["models"], "compare", "models"),
        ]
        args.svg.write_text(draw(plots), encoding="utf-8")


if __name__ == "__main__":
    main()
