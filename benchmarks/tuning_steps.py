"""A step of fine-tuning: started operation by operation, replayed from a recording, and compiled.

    python benchmarks/tuning_steps.py PICTURES [--models NAME ...] [--batch-sizes N ...] [--layouts NAME ...]

PICTURES is a zip or folder that headstart opens. Printed for each network, batch size and layout: what the
threads that read and vary training pictures make a second, alone, in the first and in the second epoch; then
for each way of taking steps, with one batch that stays: seconds of the first four steps, in which a GPU's
libraries choose and make their kernels, and a recording or the compiler's work is done; milliseconds of a
step after that, pictures a second, and the most memory of a GPU. On a processor nothing is replayed.
"""

import argparse
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from turns import begin, save

import headstart as hs
from headstart.core.progress import SILENT
from headstart.data import Splits
from headstart.data.scan import scan
from headstart.embed.pixels import PixelStore
from headstart.train import Recipe, TuneOptions, choose_recipe
from headstart.train.feeding import Feeder
from headstart.train.fine_tuning import Prepared, prepare
from headstart.train.growth import Growth
from headstart.train.tuner import Batch, Tuner

WAYS = ["operation by operation", "replayed", "compiled"]
FORMATS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}
NUM_FIRST = 4


@dataclass(frozen=True, kw_only=True)
class Steps:
    """What one way of taking steps took.

    Attributes:
        way: one of WAYS.
        first_seconds: of the first four steps.
        step_seconds: of a step after those.
        gpu_peak_bytes: most memory of the GPU; 0 on a processor.
    """

    way: str
    first_seconds: float
    step_seconds: float
    gpu_peak_bytes: int


def take_steps(ready: Prepared, batch: Batch, way: str, *, num_steps: int) -> Steps:
    """Take steps on one batch, and return what they took."""
    is_on_gpu = ready.device == "cuda"
    tuner = Tuner(
        ready.trainee,
        ready.recipe,
        preprocessing=ready.decoding.preprocessing,
        growth=Growth(sides=ready.sides[-1:], num_steps=NUM_FIRST + num_steps),
        steps_per_epoch=NUM_FIRST + num_steps,
        precision=ready.precision,
        processes=ready.processes,
        seed=0,
    )
    tuner.begin_epoch(0)
    if way != "replayed":
        tuner._replay = None
    if way == "compiled":
        tuner._wrapped = torch.compile(ready.trainee)
    if is_on_gpu:
        torch.cuda.reset_peak_memory_stats()
    first, others = (timed(tuner, batch, count) for count in (NUM_FIRST, num_steps))
    peak = torch.cuda.max_memory_allocated() if is_on_gpu else 0
    return Steps(way=way, first_seconds=first, step_seconds=others / num_steps, gpu_peak_bytes=peak)


def timed(tuner: Tuner, batch: Batch, count: int) -> float:
    """Return the seconds of so many steps; each waits for its loss."""
    started = time.perf_counter()
    for _ in range(count):
        tuner.take_step(batch)
    return time.perf_counter() - started


def feeding_rate(feeder: Feeder, epoch: int) -> float:
    """Return how many training pictures a second are made ready where nothing else is done."""
    started = time.perf_counter()
    count = sum(fed.batch.num_together for fed in feeder.batches(epoch))
    return count / (time.perf_counter() - started)


def measure(
    model: str, layout: str, pictures: Splits, recipe: Recipe, args: argparse.Namespace
) -> dict[str, Any]:
    """Return what steps of one network with batches of one size took, its pictures in one layout."""
    classifier = hs.load(model)
    size = replace(classifier.preprocessing, input_size=(args.side, args.side))
    with PixelStore([size], decoder="fast") as store:
        options = TuneOptions(device=args.device)
        ready = prepare(classifier, pictures, recipe=recipe, options=options, store=store, progress=SILENT)
        ready.trainee.placed(torch.device(ready.device), FORMATS[layout])
        with ready.feeder(seed=0) as feeder:
            rates = [feeding_rate(feeder, epoch) for epoch in range(2)]
            batch = next(feeder.batches(0)).batch
        ways = [way for way in args.ways if way != "replayed" or ready.device == "cuda"]
        steps = [take_steps(ready, batch, way, num_steps=args.steps) for way in ways]
    return {
        "model": model,
        "layout": layout,
        "batch_size": recipe.batch_size,
        "device": ready.device,
        "precision": str(ready.precision or torch.float32).removeprefix("torch."),
        "feeding_rates": rates,
        "steps": [asdict(each) for each in steps],
    }


def print_result(result: dict[str, Any], side: int) -> None:
    """Print what was measured of one network."""
    first, second = result["feeding_rates"]
    print(
        f"\n{result['model']}, batches of {result['batch_size']}, {side} px, {result['precision']} on "
        f"{result['device']}, {result['layout']}; made ready {first:,.0f}/s, then {second:,.0f}/s"
    )
    for each in result["steps"]:
        print(
            f"{each['way']:<24} first four {each['first_seconds']:6.2f} s  "
            f"step {1000 * each['step_seconds']:8.2f} ms  "
            f"{result['batch_size'] / each['step_seconds']:9,.0f}/s  "
            f"{each['gpu_peak_bytes'] / 2**20:7,.0f} MiB",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Steps of fine-tuning: see the docstring.")
    parser.add_argument("data", type=Path, help="zip or folder of pictures in class folders")
    parser.add_argument("--models", nargs="+", default=["efficientnet_lite0"], metavar="MODEL")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[32, 256], metavar="N")
    parser.add_argument("--side", type=int, default=128, help="of the input in pixels")
    parser.add_argument("--steps", type=int, default=60, help="taken after the first four")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--layouts", nargs="+", choices=list(FORMATS), default=["channels-last"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--json", type=Path, help="file for the record, say in benchmarks/results/")
    args = parser.parse_args()
    record = begin("tuning_steps", args) | {"results": []}
    pictures = scan(hs.open_dataset(str(args.data.resolve()))).dataset.split(seed=0)
    base = replace(choose_recipe("default", pictures.train.class_counts()), resolution=args.side, mixup=0.0)
    for model in args.models:
        for batch_size in args.batch_sizes:
            for layout in args.layouts:
                recipe = replace(base, batch_size=batch_size)
                record["results"].append(measure(model, layout, pictures, recipe, args))
                print_result(record["results"][-1], args.side)
                save(record, args.json)


if __name__ == "__main__":
    main()
