"""Several networks over the same pictures, against one decode and each network's forward passes alone.

    python benchmarks/many_models.py PICTURES.zip [--models A,B,C] [--side 128] [--num-images 6000]

Three things are measured turn by turn in one process, over the same pictures in an empty HEADSTART_HOME:
reading and decoding them all into a store of pixels, as a comparison does once; as many batches through each
network as the pictures make, by the plan that was chosen for it, on pixels that lie in memory; and all of it,
from the zip to each network's features in the cache, the checks of its plan included.

Printed: seconds of each, and all of it against the sum of the parts, with its goal: at most 1.1.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from turns import add_options, begin, note, ratios, save, spread, words

from headstart.data import ImageDataset, open_dataset
from headstart.data.scan import scan
from headstart.embed import choose_resolution, embed_all, sample_sides
from headstart.embed.engine import Engine
from headstart.embed.pixels import PixelStore
from headstart.embed.plan import Plan
from headstart.models import Classifier, load

GOAL = 1.1


def decode_all(pictures: ImageDataset, classifiers: Sequence[Classifier]) -> float:
    """Return the seconds of decoding every picture once, for all networks."""
    started = time.perf_counter()
    with PixelStore([each.preprocessing for each in classifiers], decoder="fast") as store:
        scan(pictures, keeper=store)
        return time.perf_counter() - started


def forward_all(classifier: Classifier, plan: Plan, num_images: int) -> float:
    """Return the seconds of a network's forward passes over so many pictures."""
    engine = Engine(classifier, plan)
    height, width = classifier.preprocessing.input_size
    shape = (plan.batch_size, height, width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    engine.features(pixels)
    started = time.perf_counter()
    for begin_at in range(0, num_images, plan.batch_size):
        engine.features(pixels[: num_images - begin_at])
    return time.perf_counter() - started


def embed_with_all(pictures: ImageDataset, classifiers: Sequence[Classifier]) -> tuple[float, list[Plan]]:
    """Return the seconds from files to the features of all networks, and their plans."""
    started = time.perf_counter()
    plans = [each.plan for each in embed_all(classifiers, pictures)]
    return time.perf_counter() - started, plans


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Several networks at once: see the docstring.")
    parser.add_argument("pictures", type=Path, help="zip or folder")
    parser.add_argument("--models", default="efficientnet_lite0,efficientnet_lite1,efficientnet_lite2")
    parser.add_argument("--side", type=int, default=128, help="of the input, in pixels")
    parser.add_argument("--num-images", type=int, default=6000)
    add_options(parser, num_turns=3)
    args = parser.parse_args()
    record = begin("many_models", args)
    pictures = open_dataset(args.pictures)
    chosen = np.random.default_rng(0).permutation(len(pictures))[: args.num_images]
    pictures = pictures.select(np.sort(chosen))
    classifiers = []
    for name in args.models.split(","):
        classifier = load(name)
        sides = sample_sides(pictures)
        preprocessing = choose_resolution(classifier.preprocessing, sides, resolution=args.side)
        classifiers.append(classifier.with_preprocessing(preprocessing))
    decoding, whole = [], []
    forward: list[list[float]] = [[] for _ in classifiers]
    for turn in range(args.turns):
        with tempfile.TemporaryDirectory() as home:
            os.environ["HEADSTART_HOME"] = home
            seconds, plans = embed_with_all(pictures, classifiers)
            whole.append(seconds)
            decoding.append(decode_all(pictures, classifiers))
        for taken, classifier, plan in zip(forward, classifiers, plans, strict=True):
            taken.append(forward_all(classifier, plan, len(pictures)))
        note(f"turn {turn + 1} of {args.turns}: {seconds:.1f} s")
    parts = [sum(each) for each in zip(decoding, *forward, strict=True)]
    ratio = ratios(whole, parts)
    print(f"decoding {len(pictures):,} pictures once: {words(spread(decoding), 's')}")
    for classifier, taken, plan in zip(classifiers, forward, plans, strict=True):
        print(f"{classifier.name} alone: {words(spread(taken), 's')}; {plan}")
    reached = "reached" if ratio["median"] <= GOAL else "MISSED"
    print(f"all of it: {words(spread(whole), 's')}; against its parts {words(ratio, digits=3)}, ", end="")
    print(f"goal at most {GOAL}: {reached}")
    record |= {
        "num_images": len(pictures),
        "decode_seconds": spread(decoding),
        "forward_seconds": {
            each.name: spread(taken) for each, taken in zip(classifiers, forward, strict=True)
        },
        "whole_seconds": spread(whole),
        "plans": [str(plan) for plan in plans],
        "ratio": ratio,
        "goal": GOAL,
    }
    save(record, args.json)


if __name__ == "__main__":
    main()
