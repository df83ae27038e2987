"""What fine-tuning brings over a probe, and in what time: `headstart tune` as a whole command.

    python benchmarks/tuned_accuracy.py CIFAR10 --json benchmarks/results/tuned_accuracy.json

CIFAR10 is a zip or folder with train/ and test/ in it. `headstart tune` runs on --sample of it in an empty
HEADSTART_HOME, from the start of the process to its end: pictures read, probe and network trained, the better
one chosen on the validation pictures and looked at on the test pictures, report written. It splits a fifth
of the training pictures off for validation: of 2,500 it trains on 2,000. `headstart probe` runs beside it on
the same pictures, for its own time, and for the probe's network where the tuned one was chosen; it
fits the kept probe on training and validation pictures together, tuning trains on the former alone.

Printed for each turn: seconds; accuracy of probe and tuned network on the validation pictures, by which the
epoch was chosen; that of both on the same test pictures, by which nothing was, whether the tuned one was
chosen or not; their difference with a paired 95 % interval; and the epochs: validation accuracy against
seconds of training. The goal is a difference of 4 points on the test pictures in under 600 seconds on two
cores.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from fine_tuning import interval_words, parse_sample
from turns import Turn, add_options, begin, headstart, note, run, save, spread

import headstart as hs
from headstart.data import ImageDataset
from headstart.data.prepare import open_splits
from headstart.evaluate import paired_difference, wilson
from headstart.models import load_folder

GOAL_POINTS = 0.04
GOAL_SECONDS = 600.0


def run_command(command: str, args: argparse.Namespace, out: Path, *more: object) -> Turn:
    """Run `headstart tune` or `headstart probe` into a folder."""
    side = ["--models", args.model, "--resolution", args.resolution]
    sample = ["--sample", args.sample, "--seed", args.seed]
    turn = run(headstart(command, args.data.resolve(), *side, *sample, *more, "--out", out, "--json"))
    note(f"{command} {turn.seconds:.1f} s")
    return turn


def is_right(folder: Path, test: ImageDataset) -> np.ndarray:
    """Return whether a model in a folder is right on each test picture, bool of shape (N,)."""
    names = [test.class_names[label] for label in test.labels]
    found = [each.best for each in hs.predict(load_folder(folder), test)]
    return np.array(found) == np.array(names)


def take_turn(args: argparse.Namespace, test: ImageDataset) -> dict[str, Any]:
    """Return times and accuracies of one turn."""
    with tempfile.TemporaryDirectory() as temporary:
        tuning, probing = Path(temporary) / "tune", Path(temporary) / "probe"
        epochs = ["--epochs", args.epochs] if args.epochs else []
        tune = run_command("tune", args, tuning, *epochs)
        probe = run_command("probe", args, probing)
        (folder,) = (tuning / "tuned").iterdir()
        lines = (folder / "tuning.jsonl").read_text(encoding="utf-8").splitlines()
        tuned_right, probe_right = is_right(folder, test), is_right(probing / "model", test)
    rows = {row["name"]: row["validation"]["accuracy"] for row in tune.printed["rows"]}
    tuned_name = next(name for name in rows if name.endswith(", tuned"))
    return {
        "seconds": tune.seconds,
        "probe_seconds": probe.seconds,
        "peak_tree_bytes": tune.peak_tree_bytes,
        "chosen": tune.printed["chosen"],
        "reason": tune.printed["reason"],
        "protocol": tune.printed["protocol"],
        "validation": {"probe": rows[tuned_name.removesuffix(", tuned")], "tuned": rows[tuned_name]},
        "test": {
            "probe": dataclasses.asdict(wilson(int(probe_right.sum()), len(test))),
            "tuned": dataclasses.asdict(wilson(int(tuned_right.sum()), len(test))),
        },
        "gain": dataclasses.asdict(paired_difference(tuned_right, probe_right)),
        "epochs": [json.loads(line) for line in lines],
        "looks": [
            {"model": each["model"], "accuracy": each["evaluation"]["accuracy"]["value"]}
            for each in tune.printed["looks"]
        ],
    }


def print_turn(turn: dict[str, Any]) -> None:
    """Print one turn."""
    protocol = turn["protocol"]
    print(
        f"\ntune {turn['seconds']:.1f} s, probe alone {turn['probe_seconds']:.1f} s; trained on "
        f"{protocol['num_train']:,}, validated on {protocol['num_validation']:,}, chosen: {turn['chosen']}"
    )
    for part in ("validation", "test"):
        probe, tuned = (interval_words(turn[part][each]) for each in ("probe", "tuned"))
        print(f"{part:<11} probe {probe}, tuned {tuned}, n = {turn[part]['probe']['n']:,}")
    print(f"tuned less probe on the test pictures: {interval_words(turn['gain'], '+')}, paired")
    probe = turn["validation"]["probe"]["value"]
    for epoch, seconds in zip(
        turn["epochs"], accumulate(each["seconds"] for each in turn["epochs"]), strict=True
    ):
        print(
            f"  epoch {epoch['number']:>2} after {seconds:6.1f} s of training and validation: accuracy "
            f"{epoch['accuracy']:.3f}, {epoch['accuracy'] - probe:+.3f} to the probe; "
            f"{epoch['pictures_per_second']:.1f} pictures/s"
        )


def print_goal(turns: Sequence[dict[str, Any]]) -> None:
    """Print whether the goal is reached, by the medians of the turns."""
    gain = spread([turn["gain"]["value"] for turn in turns])["median"]
    seconds = spread([turn["seconds"] for turn in turns])["median"]
    reached = gain >= GOAL_POINTS and seconds < GOAL_SECONDS
    print(
        f"\n{100 * gain:+.1f} points in {seconds:.0f} s; goal {100 * GOAL_POINTS:g} points in under "
        f"{GOAL_SECONDS:g} s: {'reached' if reached else 'MISSED'}",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Fine-tuning against its probe: see the docstring.")
    parser.add_argument("data", type=Path, help="zip or folder of CIFAR-10")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--sample", default="train=2500,test=2000", help="a fifth of train validates")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    add_options(parser, num_turns=1)
    args = parser.parse_args()
    record = begin("tuned_accuracy", args)
    record |= {"goal_points": GOAL_POINTS, "goal_seconds": GOAL_SECONDS, "turns": []}
    test = open_splits(str(args.data.resolve()), sample=parse_sample(args.sample), seed=args.seed).test
    if test is None:
        parser.error("there are no test pictures")
    for _ in range(args.turns):
        record["turns"].append(take_turn(args, test))
        print_turn(record["turns"][-1])
        save(record, args.json)
    print_goal(record["turns"])


if __name__ == "__main__":
    main()
