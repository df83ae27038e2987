"""Fine-tuning a whole network: headstart against PyTorch's loop, timm, fastai and Hugging Face's Trainer.

    python benchmarks/fine_tuning.py PICTURES --peers-python PEERS/bin/python [--models NAME ...]

PICTURES is a zip or folder that headstart opens, such as CIFAR-10's; --sample of it is written as files into
train/CLASS/ and val/CLASS/. The peers live in an environment of their own, with the same torch:

    python -m venv PEERS
    PEERS/bin/pip install torch torchvision timm transformers accelerate fastai

A peer whose packages are missing is left out, and named. All begin with the same tensors (the starter
weights for efficientnet_lite0, seeded random ones for resnet50, of which only the speed means something) and
train all layers on the same pictures: same side, batches, epochs, mean and std, crops of the same share,
flips. What else there is to choose is each peer's own; peers/fine_tune.py says what, timm's training script's
defaults among it. Four things differ by nature. headstart decodes each picture once and varies its pixels,
the peers decode it in every epoch. headstart's pictures begin with half of their side and grow
over the first six tenths of the steps. Its recipe leaves batch norms in eval mode, the peers' networks
are in train mode; `--peers torch "torch, norms frozen"` says what that alone is worth in PyTorch's loop. And
headstart's recipe begins with a fitted probe, the peers with a new head: after few epochs it is ahead.

Every turn is a process of its own, alternating with the others, headstart's with an empty cache. Printed for
each model and contestant: training pictures a second over all epochs of all layers, validation apart (median
of the turns, lowest to highest); the ratio to headstart turn by turn; seconds of the first epoch, of the
whole from the folder to the trained network (headstart's probe, fastai's epoch of the head alone and all
validation included) with its own ratio, of imports and of loading the weights; most memory of the process
and its workers; and the accuracy on the validation pictures after the last epoch (median of the turns) with
a 95 % interval, and whether headstart's agrees with it: whether the interval of the difference holds 0.
(It is that of two independent shares, method 10 of Newcombe 1998, Statistics in Medicine 17, 873 to 890; the
pictures are the same, so it is rather too wide.) The goal is a rate of 2.5 times the best peer's.
"""

import argparse
import dataclasses
import functools
import json
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from math import floor, hypot
from pathlib import Path
from typing import Any

from embedding import make_spec
from seeded_weights import write_weights
from turns import (
    PEERS,
    Turn,
    add_options,
    begin,
    goal_words,
    headstart,
    note,
    ratios,
    run,
    save,
    spread,
    take_turns,
    words,
)

from headstart.data import ImageDataset, Splits
from headstart.data.prepare import open_sample
from headstart.data.scan import scan
from headstart.evaluate import wilson
from headstart.train import choose_recipe

OURS = "headstart"
GOAL = 2.5
MODELS = ["efficientnet_lite0", "resnet50"]
NEEDED = {
    "torch": ["torchvision", "timm", "safetensors"],
    "timm": ["timm", "safetensors"],
    "fastai": ["fastai", "timm", "safetensors"],
    "transformers": ["transformers", "accelerate", "timm", "torchvision", "safetensors"],
}
PEER_NAMES = [*NEEDED, "torch, norms frozen"]


def parse_sample(text: str) -> dict[str, int]:
    """Return the numbers of "train=2000,test=1000"."""
    return {name: int(number) for name, _, number in (part.partition("=") for part in text.split(","))}


def draw_pictures(args: argparse.Namespace) -> Splits:
    """Return the pictures to train on, and to validate with as the test part."""
    drawn = open_sample(str(args.data.resolve()), sample=parse_sample(args.sample))
    return scan(drawn.dataset).dataset.split(test=drawn.test_share, val=0)


def write_pictures(part: ImageDataset, folder: Path) -> None:
    """Write a part's pictures as files, in folders named as their classes."""
    for number, (name, label) in enumerate(zip(part.ids, part.labels, strict=True)):
        raw = part.source.read(name)
        if not isinstance(raw, bytes):
            raise SystemExit(f"{name} is no file: give pictures as JPEG or PNG files")
        path = folder / part.class_names[label] / f"{number:06d}{Path(name).suffix.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)


def write_spec(model: str, pictures: Splits, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Write the weights, and return what every contestant is told."""
    weights = work / f"{model}.safetensors"
    some = [pictures.train.source.read(name) for name in pictures.train.ids[:: -(-len(pictures.train) // 32)]]
    write_weights(model, weights, [raw for raw in some if isinstance(raw, bytes)])
    recipe = choose_recipe("default", pictures.train.class_counts())
    spec = make_spec(model, work / "pictures", work, weights)
    return spec | {
        "side": args.side,
        "resize": floor(args.side / spec["crop_fraction"]),
        "num_classes": pictures.train.num_classes,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "smallest_crop": recipe.smallest_crop,
        "rate": recipe.rate,
        "seed": 0,
    }


def find_peers(names: Sequence[str], python: Path) -> tuple[list[str], list[str]]:
    """Return the peers that can run, and in words why the others cannot."""
    usable, left_out = [], []
    for name in names:
        needed = NEEDED[name.partition(",")[0]]
        code = f"import importlib.util as u; print(*[n for n in {needed} if not u.find_spec(n)], sep=', ')"
        missing = subprocess.check_output([python, "-c", code], text=True).strip()
        if missing:
            left_out.append(f"{name}: {missing} not installed")
        else:
            usable.append(name)
    return usable, left_out


def measure(model: str, pictures: Splits, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return rates, ratios and accuracies of one model."""
    spec = write_spec(model, pictures, work, args)
    path = work / f"{model}.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    python = args.peers_python.absolute()  # turns run elsewhere; resolved it would be no longer that of PEERS
    usable, left_out = find_peers(args.peers, python)
    for reason in left_out:
        print(f"left out: {reason}")
    pythons = {OURS: headstart()[0], **dict.fromkeys(usable, python)}
    contestants = {
        name: functools.partial(run, [pythons[name], PEERS / "fine_tune.py", name, path]) for name in pythons
    }
    taken = take_turns(contestants, args.turns)
    num_val = len(pictures.test or ())
    found = {name: summarise(turns, taken[OURS], num_val) for name, turns in taken.items()}
    for each in found.values():
        each["ahead"] = difference(found[OURS]["accuracy"], each["accuracy"])
    return {
        "model": model,
        "num_train": len(pictures.train),
        "num_val": num_val,
        "settings": {key: spec[key] for key in ("side", "resize", "mean", "std", "smallest_crop", "rate")},
        "left_out": left_out,
        **{key: taken[OURS][0].printed[key] for key in ("recipe", "chosen_epoch", "notes")},
        "contestants": found,
    }


def summarise(turns: list[Turn], ours: list[Turn], num_val: int) -> dict[str, Any]:
    """Return what one contestant's turns took and reached, and its ratios to ours."""
    printed = [turn.printed for turn in turns]
    accuracies = [each["accuracy"] for each in printed]
    whole, our_whole = ([turn.printed["seconds"]["tune"] for turn in each] for each in (turns, ours))
    return {
        "rate": spread([1 / each for each in map(per_picture, turns)]),
        "ratio": ratios([*map(per_picture, turns)], [*map(per_picture, ours)]),
        "train_seconds": spread([sum(each["epoch_seconds"]) for each in printed]),
        "first_epoch_seconds": spread([each["epoch_seconds"][0] for each in printed]),
        "whole_seconds": spread(whole),
        "whole_ratio": ratios(whole, our_whole),
        "import_seconds": spread([each["seconds"]["import"] for each in printed]),
        "load_seconds": spread([each["seconds"]["load"] for each in printed]),
        "process_seconds": spread([turn.seconds for turn in turns]),
        "peak_tree_bytes": max(turn.peak_tree_bytes for turn in turns),
        "gpu_peak_bytes": max(each.get("gpu_peak_bytes", 0) for each in printed),
        "accuracies": accuracies,
        "accuracy": dataclasses.asdict(wilson(statistics.median(accuracies) * num_val, num_val)),
    }


def per_picture(turn: Turn) -> float:
    """Return the seconds of training a picture, over all epochs of all layers."""
    return float(sum(turn.printed["epoch_seconds"]) / sum(turn.printed["epoch_pictures"]))


def difference(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """Return our accuracy less theirs with a 95 % interval, from two shares with Wilson's."""
    value = ours["value"] - theirs["value"]
    below = hypot(ours["value"] - ours["low"], theirs["high"] - theirs["value"])
    above = hypot(ours["high"] - ours["value"], theirs["value"] - theirs["low"])
    return {"value": value, "low": value - below, "high": value + above}


def interval_words(found: dict[str, Any], sign: str = "") -> str:
    """Return a value with its interval in words: "0.812 (0.787 to 0.835)"."""
    value, low, high = (f"{found[key]:{sign}.3f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def agreement_words(ahead: dict[str, float]) -> str:
    """Return in words whether headstart's accuracy agrees with a peer's."""
    interval = interval_words(ahead, "+")
    if ahead["low"] <= 0 <= ahead["high"]:
        return f"agrees: headstart {interval}"
    return f"headstart is {'better' if ahead['value'] > 0 else 'WORSE'}: {interval}"


def print_model(result: dict[str, Any], args: argparse.Namespace) -> None:
    """Print one model's table and what follows from it."""
    print(
        f"\n{result['model']}: {result['num_train']:,} pictures at {args.side} px, {args.epochs} epochs of "
        f"all layers, batches of {args.batch_size}; judged on {result['num_val']:,} others"
    )
    for name, each in result["contestants"].items():
        print(
            f"{name:<20} {words(each['rate'], '/s'):<26} ratio {words(each['ratio'], digits=2):<20}"
            f"  first epoch {each['first_epoch_seconds']['median']:6.1f} s"
            f"  whole {words(each['whole_seconds'], 's')}, ratio {words(each['whole_ratio'], digits=2)}"
            f"  import {each['import_seconds']['median']:4.1f} s"
            f"  load {each['load_seconds']['median']:4.1f} s  {each['peak_tree_bytes'] / 2**20:,.0f} MiB"
        )
        agrees = "" if name == OURS else f"  {agreement_words(each['ahead'])}"
        print(f"{'':<20} accuracy {interval_words(each['accuracy'])}{agrees}")
    peers = {name: each["ratio"] for name, each in result["contestants"].items() if name != OURS}
    if peers:
        best = min(peers, key=lambda name: peers[name]["median"])
        times = words(peers[best], digits=2)
        print(f"best peer: {best}, headstart is {times} times as fast; {goal_words(peers[best], GOAL)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Fine-tuning against peers: see the docstring.")
    parser.add_argument("data", type=Path, help="zip or folder of pictures in class folders")
    parser.add_argument("--peers-python", type=Path, default=Path(str(headstart()[0])))
    parser.add_argument("--peers", nargs="*", choices=PEER_NAMES, default=list(NEEDED), metavar="PEER")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS[:1], metavar="MODEL")
    parser.add_argument(
        "--sample", default="train=2000,test=1000", help="pictures to train and validate with"
    )
    parser.add_argument("--side", type=int, default=128, help="of the input in pixels")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    add_options(parser, num_turns=3)
    args = parser.parse_args()
    record = begin("fine_tuning", args) | {"goal": GOAL, "models": []}
    pictures = draw_pictures(args)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_pictures(pictures.train, work / "pictures" / "train")
        if pictures.test is None:
            parser.error("too few pictures to validate with")
        write_pictures(pictures.test, work / "pictures" / "val")
        for model in args.models:
            note(f"== {model}")
            record["models"].append(measure(model, pictures, work, args))
            print_model(record["models"][-1], args)
            save(record, args.json)


if __name__ == "__main__":
    main()
