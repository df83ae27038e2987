"""From JPEG files to an array of features: headstart against timm, torchvision, transformers and fastai.

    python benchmarks/embedding.py PHOTOGRAPHS --peers-python PEERS/bin/python [--models NAME ...]

PHOTOGRAPHS is a folder or zip of JPEG files; they are copied to --num-images files made distinct by a
comment in each, for headstart embeds equal files once. The peers live in an environment of their own, with
the same torch:

    python -m venv PEERS && PEERS/bin/pip install torch torchvision timm transformers fastai

(fastai 2.8.12 allows the torch of the others; where it does not, --fastai-python names an environment for
it.) A peer whose packages are missing is left out, and named. All get the same tensors (the starter weights
for efficientnet_lite0, seeded random ones with batch norms set on the photographs for the rest) and the
same size, filter, crop, mean and std, and run at their default precision. Every turn is a process of its
own, alternating with the others, headstart's with an empty cache.

Printed for each model: seconds from the folder to the array (median of the turns, lowest to highest),
pictures a second, the ratio to headstart turn by turn, seconds of imports and of loading the weights apart,
and how well the features agree with headstart's: the cosine of the picture that differs most and that of
the median one, as they are and with the mean taken off. (headstart applies a picture's colour profile and
rotation, the peers do not: such pictures differ. fastai cuts out before it resizes, at whole pixels, so all
differ a little.) Then the rate of headstart's network alone, and which share of it the whole reaches.
--precision fp32 is for headstart alone; the peers compute so by default.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import read_photographs, write_copies
from seeded_weights import TIMM_NAMES, write_weights
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

from headstart.catalog import find_model

OURS = "headstart"
# Times the best peer, for a machine with bf16 instructions.
GOALS = {"efficientnet_lite0": 6.0, "resnet50": 4.0, "se_resnet50": 4.0, "vit_small_patch16_224": 2.5}
GOAL_IN_FLOAT32 = 2.0
TORCHVISION_NAMES = {"resnet50": "resnet50"}
NEEDED = {
    "timm": ["timm", "torch"],
    "torchvision": ["torchvision", "safetensors"],
    "transformers": ["transformers", "timm"],
    "fastai": ["fastai", "timm"],
}
PEER_NAMES = [
    "timm, 0 workers",
    "timm, 2 workers",
    "torchvision, 0 workers",
    "torchvision, 2 workers",
    "transformers, batch 1",
    "transformers, batch 32",
    "fastai",
]
# Nobody's default, but what a machine with a GPU is set to by whoever knows it.
SET_PEER_NAMES = ["timm, a worker a core"]


def make_spec(model: str, folder: Path, work: Path, weights: Path, precision: str = "auto") -> dict[str, Any]:
    """Return what every peer is told: pictures, tensors, and the preprocessing of the model's row."""
    row = f"timm/{TIMM_NAMES[model]}@{weights}"
    preprocessing = find_model(row).weights.preprocessing
    side = preprocessing.input_size[0]
    return {
        "folder": str(folder),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "headstart": row,
        "precision": precision,
        "timm": TIMM_NAMES[model],
        "torchvision": TORCHVISION_NAMES.get(model),
        "transformers": str(work / "transformers"),
        "weights": str(weights),
        "side": side,
        "resize": floor(side / preprocessing.crop_fraction),
        "crop_fraction": preprocessing.crop_fraction,
        "interpolation": preprocessing.interpolation,
        "mean": preprocessing.mean,
        "std": preprocessing.std,
    }


def find_peers(
    spec: dict[str, Any], names: Sequence[str], pythons: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Return the peers that can run, and in words why the others cannot."""
    usable, left_out = [], []
    for name in names:
        package = name.partition(",")[0]
        code = f"import importlib.util as u; print([n for n in {NEEDED[package]} if not u.find_spec(n)])"
        printed = subprocess.check_output([pythons[package], "-c", code], text=True).strip()
        if printed != "[]":
            left_out.append(f"{name}: {printed} not installed")
        elif package == "torchvision" and not spec["torchvision"]:
            left_out.append(f"{name}: it has no such network")
        else:
            usable.append(name)
    return usable, left_out


def measure(
    model: str, folder: Path, photographs: list[bytes], args: argparse.Namespace, names: Sequence[str]
) -> dict[str, Any]:
    """Return times, ratios and agreement of one model over the pictures of a folder."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        weights = work / f"{model}.safetensors"
        write_weights(model, weights, photographs)
        spec = make_spec(model, folder, work, weights, args.precision)
        theirs = str(args.peers_python.absolute())  # turns run elsewhere
        pythons = dict.fromkeys(NEEDED, theirs) | {
            "fastai": str(args.fastai_python.absolute()) if args.fastai_python else theirs
        }
        usable, left_out = find_peers(spec, names, pythons)
        for reason in left_out:
            print(f"left out: {reason}")
        specs = {name: work / f"{place}.json" for place, name in enumerate([OURS, *usable])}
        for path in specs.values():
            path.write_text(json.dumps({**spec, "features": str(path.with_suffix(".npz"))}), encoding="utf-8")
        if any(name.startswith("transformers") for name in usable):
            run([pythons["transformers"], PEERS / "embed.py", "prepare-transformers", specs[OURS]])
        ours = headstart()[0]
        contestants = {
            name: functools.partial(
                run, [pythons.get(name.partition(",")[0], ours), PEERS / "embed.py", name, path]
            )
            for name, path in specs.items()
        }
        taken = take_turns(contestants, args.turns)
        features = {name: read_features(path.with_suffix(".npz")) for name, path in specs.items()}
    return {
        "model": model,
        "num_images": len(features[OURS]),
        "preprocessing": {key: spec[key] for key in ("side", "resize", "interpolation", "mean", "std")},
        "left_out": left_out,
        "plan": taken[OURS][0].printed["plan"],
        "forward_rate": spread([turn.printed["forward_rate"] for turn in taken[OURS]]),
        "contestants": {
            name: summarise(turns, taken[OURS], len(features[OURS]))
            | {"agreement": agreement(features[name], features[OURS])}
            for name, turns in taken.items()
        },
    }


def summarise(turns: list[Turn], ours: list[Turn], num_images: int) -> dict[str, Any]:
    """Return what one contestant's turns took, and its ratio to ours."""
    seconds, our_seconds = ([turn.printed["seconds"]["embed"] for turn in each] for each in (turns, ours))
    return {
        "seconds": spread(seconds),
        "rate": num_images / spread(seconds)["median"],
        "ratio": ratios(seconds, our_seconds),
        "import_seconds": spread([turn.printed["seconds"]["import"] for turn in turns]),
        "load_seconds": spread([turn.printed["seconds"]["load"] for turn in turns]),
        "process_seconds": spread([turn.seconds for turn in turns]),
        "peak_tree_bytes": max(turn.peak_tree_bytes for turn in turns),
    }


def read_features(path: Path) -> dict[str, np.ndarray]:
    """Return the vectors by the names of their pictures."""
    with np.load(path) as arrays:
        return dict(zip(arrays["names"].tolist(), arrays["features"].astype(np.float64), strict=True))


def agreement(found: dict[str, np.ndarray], ours: dict[str, np.ndarray]) -> dict[str, float]:
    """Return smallest and median cosine of a picture's vectors, as they are and with our mean taken off."""
    if found.keys() != ours.keys():
        sys.exit(f"features of {len(found)} pictures, not of the {len(ours)} that headstart has")
    theirs, our = (np.stack([each[name] for name in sorted(ours)]) for each in (found, ours))
    mean = our.mean(0)
    plain, centred = _cosines(theirs, our), _cosines(theirs - mean, our - mean)
    return {
        "cosine_min": float(plain.min()),
        "cosine_median": float(np.median(plain)),
        "centred_min": float(centred.min()),
        "centred_median": float(np.median(centred)),
        "num_below_0.999": int((plain < 0.999).sum()),
    }


def print_model(result: dict[str, Any], *, goal: float | None = None) -> None:
    """Print one model's table and what follows from it."""
    print(f"\n{result['model']}, {result['num_images']} pictures; plan: {result['plan']}")
    for name, each in result["contestants"].items():
        found = each["agreement"]
        print(
            f"{name:<24} {words(each['seconds'], 's', digits=2):<26} {each['rate']:7.1f}/s"
            f"  ratio {words(each['ratio'], digits=2):<22}"
            f"  import {each['import_seconds']['median']:4.1f} s"
            f"  load {each['load_seconds']['median']:4.1f} s"
            f"  cosine {found['cosine_min']:.4f} to {found['cosine_median']:.4f},"
            f" centred {found['centred_min']:.4f} to {found['centred_median']:.4f}"
        )
    peers = {name: each["ratio"] for name, each in result["contestants"].items() if name != OURS}
    if peers:
        best = min(peers, key=lambda name: peers[name]["median"])
        verdict = f"; {goal_words(peers[best], goal)}" if goal else ""
        print(f"best peer: {best}, headstart is {words(peers[best], digits=2)} times as fast{verdict}")
    forward, whole = result["forward_rate"], result["contestants"][OURS]["rate"]
    print(
        f"network alone {words(forward)} pictures/s; the whole reaches {whole / forward['median']:.0%} of it",
        flush=True,
    )


def add_peer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the pictures, the environments and the peers."""
    parser.add_argument("photographs", type=Path, help="folder or zip of JPEG files")
    parser.add_argument("--peers-python", type=Path, default=Path(str(headstart()[0])))
    parser.add_argument("--fastai-python", type=Path, help="default: that of --peers-python")
    names = [*PEER_NAMES, *SET_PEER_NAMES]
    parser.add_argument("--peers", nargs="*", choices=names, default=PEER_NAMES, metavar="PEER")
    parser.add_argument("--precision", choices=["auto", "fp32"], default="auto", help="headstart's")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Files to features against peers: see the docstring.")
    add_peer_options(parser)
    parser.add_argument("--models", nargs="+", choices=TIMM_NAMES, default=list(TIMM_NAMES), metavar="MODEL")
    parser.add_argument("--num-images", type=int, default=1000)
    add_options(parser, num_turns=5)
    args = parser.parse_args()
    record = begin("embedding", args)
    photographs = read_photographs(args.photographs)
    record["models"] = []
    with tempfile.TemporaryDirectory() as temporary:
        write_copies(photographs, Path(temporary), args.num_images)
        for model in args.models:
            note(f"== {model}")
            record["models"].append(measure(model, Path(temporary), photographs, args, args.peers))
            goal = GOAL_IN_FLOAT32 if args.precision == "fp32" else GOALS[model]
            print_model(record["models"][-1], goal=goal)
            save(record, args.json)


def _cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(1) / np.maximum(lengths, 1e-12))


if __name__ == "__main__":
    main()
