"""What a Ray cluster on this machine costs and brings, against the local engine on the same cores.

    python benchmarks/cluster.py PICTURES.zip [--num-images 20000] [--side 224] [--model efficientnet_lite0]

Four ways, each in processes of its own that are pinned to their cores, Ray's daemons with them (Linux):
the local engine on two cores; a cluster with one worker of two cores; one worker on one core; two workers
with one core each. In each the network first sees 512 pictures, so that start-up is over, and then
--num-images others (a quarter of them where there is one core), in an empty HEADSTART_HOME.

Printed: pictures a second, the cluster's overhead on one node, what the second worker brings, and the
smallest cosine between the features of the ways. --json writes the record.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from turns import Turn, add_options, begin, note, run, save, spread, take_turns, words

# Name: cores that all of it is pinned to, workers, cores of each; no worker is the local engine.
WAYS = {
    "local, 2 cores": ((0, 1), 0, 2),
    "1 worker of 2 cores": ((0, 1), 1, 2),
    "1 worker of 1 core": ((0,), 1, 1),
    "2 workers of 1 core": ((0, 1), 2, 1),
}
_WARM_UP = 512
_COMPARED = 256


def embed_in(way: str, args: argparse.Namespace) -> dict[str, Any]:
    """Embed the pictures in one of the ways, in this process."""
    from headstart.cluster import connect, trial
    from headstart.core.runner import SerialRunner
    from headstart.data import open_dataset
    from headstart.data.scan import scan
    from headstart.embed import PlanOptions, choose_resolution, embed, sample_sides
    from headstart.models import load

    cores, num_workers, cores_each = WAYS[way]
    os.sched_setaffinity(0, cores)
    num_images = args.num_images if len(cores) > 1 else args.num_images // 4
    everything = open_dataset(args.pictures)
    order = np.random.default_rng(0).permutation(len(everything))[: _WARM_UP + num_images]
    pictures = scan(everything.select(order)).dataset
    classifier = load(args.model)
    preprocessing = choose_resolution(classifier.preprocessing, sample_sides(pictures), resolution=args.side)
    classifier = classifier.with_preprocessing(preprocessing)

    def embed_by(runner: Any) -> tuple[float, Any]:
        options = PlanOptions(precision=args.precision)
        embed(classifier, pictures.select(range(_WARM_UP)), options=options, runner=runner)
        rest = pictures.select(range(_WARM_UP, len(pictures)))
        started = time.perf_counter()
        found = embed(classifier, rest, options=options, runner=runner)
        return time.perf_counter() - started, found

    if num_workers:
        trial.start(num_workers, cores_per_worker=cores_each)
        try:
            with connect("auto") as runner:
                seconds, found = embed_by(runner)
        finally:
            trial.stop()
    else:
        seconds, found = embed_by(SerialRunner())
    np.save(args.features, found.features[:_COMPARED])
    return {"seconds": seconds, "num_images": len(found.ids), "plan": str(found.plan)}


def main() -> None:
    """Run the benchmark, or one way of it where --way says which."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--num-images", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--features", type=Path, help=argparse.SUPPRESS)
    add_options(parser, num_turns=1)
    args = parser.parse_args()
    args.pictures = args.pictures.resolve()
    if args.way:
        print(json.dumps(embed_in(args.way, args)))
        return
    record = begin("cluster", args)
    with tempfile.TemporaryDirectory() as folder:
        files = {way: Path(folder) / f"{number}.npy" for number, way in enumerate(WAYS)}

        def turn(way: str) -> Turn:
            options = ["--num-images", args.num_images, "--side", args.side, "--precision", args.precision]
            options += ["--model", args.model, "--way", way, "--features", files[way]]
            command = [sys.executable, Path(__file__).resolve(), args.pictures, *options]
            # To look at the memory of all of Ray's processes takes time, which only a cluster would pay.
            return run(command, sample_seconds=3600.0)

        taken = take_turns({way: partial(turn, way) for way in WAYS}, args.turns)
        record["smallest_cosine"] = smallest_cosine([np.load(file) for file in files.values()])
    rates = {
        way: [each.printed["num_images"] / each.printed["seconds"] for each in turns]
        for way, turns in taken.items()
    }
    record["pictures_per_second"] = {way: spread(values) for way, values in rates.items()}
    record["seconds"] = {
        way: spread([each.printed["seconds"] for each in turns]) for way, turns in taken.items()
    }
    record["plans"] = {way: turns[0].printed["plan"] for way, turns in taken.items()}
    pairs = zip(rates["local, 2 cores"], rates["1 worker of 2 cores"], strict=True)
    record["overhead"] = spread([local / cluster - 1 for local, cluster in pairs])
    pairs = zip(rates["2 workers of 1 core"], rates["1 worker of 1 core"], strict=True)
    record["second_worker"] = spread([two / one for two, one in pairs])
    for way, values in record["pictures_per_second"].items():
        print(f"{way:<22} {words(values, 'pictures/s')}, {record['seconds'][way]['median']:.0f} s")
    print(f"overhead of the cluster on one node: {100 * record['overhead']['median']:.1f} % (goal: 10)")
    print(f"two workers against one: {record['second_worker']['median']:.2f} times (goal: 1.6)")
    print(f"smallest cosine between features: {record['smallest_cosine']:.6f}")
    save(record, args.json)
    note("done")


def smallest_cosine(features: list[Any]) -> float:
    """Return the smallest cosine between a picture's features by the first way and any other."""
    first, *others = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in features)
    return float(min((first * other).sum(axis=1).min() for other in others))


if __name__ == "__main__":
    main()
