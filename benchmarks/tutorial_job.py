"""The tutorial's job on CIFAR-10, its own loop against `headstart probe` and `headstart compare`.

    python benchmarks/tutorial_job.py CIFAR10                                          at 32 px, all pictures
    python benchmarks/tutorial_job.py CIFAR10 --side 224 --loop-images 500 --sample train=5000,test=1000
    python benchmarks/tutorial_job.py CIFAR10 --full --turns 1                         all ten epochs, hours

CIFAR10 is a zip or folder with train/<class>/ and test/<class>/ in it, or below one folder of it.

The loop is that of examples/going_beyond_torchvision.py on the starter EfficientNet-Lite0: frozen, in train
mode in the train phase, a new Linear and LogSoftmax, Adam, StepLR of 4, NLLLoss, batches of 16, two
workers, pictures as they are with mean and std 0.5, ten epochs, each with a pass over the test pictures.
One epoch is run and its time multiplied by ten, and with --loop-images also by the number of headstart's
pictures over that of the epoch's; --full runs all ten. Not counted in its time: imports, unpacking, listing
the files.

headstart runs as whole commands in an empty HEADSTART_HOME, from the start of the process to its end: the
model is saved and the report is written.

Printed: seconds of each (median of the turns, lowest to highest), ratios turn by turn with their goals (50
for probe, 30 for compare), and the accuracies on the test pictures.
"""

import argparse
import functools
import sys
import tempfile
from pathlib import Path
from typing import Any
from zipfile import ZipFile

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

EPOCHS = 10
GOALS = {"probe": 50.0, "compare": 30.0}


def find_parts(folder: Path) -> Path:
    """Return the folder that holds train/ and test/."""
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if (place / "train").is_dir() and (place / "test").is_dir():
            return place
    sys.exit(f"{folder.name} holds no train/ and test/")


def run_headstart(command: str, args: argparse.Namespace) -> Turn:
    """Run `headstart probe` or `headstart compare`, and see that model and report are there."""
    with tempfile.TemporaryDirectory() as out:
        sample = ["--sample", args.sample] if args.sample else []
        turn = run(
            headstart(
                command,
                args.data.resolve(),
                "--models",
                "efficientnet_lite0",
                "--resolution",
                args.side,
                *sample,
                "--out",
                Path(out) / "run",
                "--json",
            )
        )
        for name in ("model", "report.html"):
            if not (Path(out) / "run" / name).exists():
                sys.exit(f"headstart {command} left no {name}")
    return turn


def accuracy_words(turn: Turn) -> str:
    """Return the test accuracy of a headstart run with its interval."""
    found = turn.printed["final"]["accuracy"]
    return f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f}, n = {found['n']:,})"


def describe(taken: dict[str, list[Turn]], args: argparse.Namespace) -> dict[str, Any]:
    """Print times, ratios and accuracies; return them for the record."""
    loop = [turn.printed for turn in taken["loop"]]
    epochs = EPOCHS if args.full else 1
    loop_pictures = loop[0]["num_train"] + loop[0]["num_test"]
    protocol = taken["probe"][0].printed["protocol"]
    pictures = protocol["num_train"] + protocol["num_validation"] + protocol["num_test"]
    factor = EPOCHS / epochs * pictures / loop_pictures
    measured = [each["seconds"] for each in loop]
    whole = [seconds * factor for seconds in measured]
    print(
        f"loop     {epochs} epoch{'s' * (epochs > 1)} of {loop_pictures:,} pictures (train and test) at "
        f"{args.side} px: {words(spread(measured), 's')}"
    )
    if factor != 1:
        scaled = f" x {pictures:,} / {loop_pictures:,} pictures" if pictures != loop_pictures else ""
        print(f"         x {EPOCHS // epochs} epochs{scaled} = {words(spread(whole), 's')}")
    result: dict[str, Any] = {
        "loop_measured_seconds": spread(measured),
        "loop_seconds": spread(whole),
        "loop_factor": factor,
        "loop_pictures": loop_pictures,
        "pictures": pictures,
        "loop_accuracy": [each["best_accuracy"] for each in loop],
        "loop_epochs_of_accuracy": epochs,
    }
    for name, goal in GOALS.items():
        seconds = [turn.seconds for turn in taken[name]]
        ratio = ratios(whole, seconds)
        print(
            f"{name:<8} whole command, {pictures:,} pictures: {words(spread(seconds), 's')}; "
            f"loop / {name}: {words(ratio)}, {goal_words(ratio, goal)}"
        )
        result[name] = {
            "seconds": spread(seconds),
            "ratio": ratio,
            "goal": goal,
            "accuracy": [turn.printed["final"]["accuracy"] for turn in taken[name]],
            "plan": taken[name][0].printed["decisions"],
        }
    after = (
        "the best of ten epochs, chosen on the test pictures as the tutorial does"
        if args.full
        else ("after the first epoch only; --full runs all ten")
    )
    print("test accuracy")
    print(f"loop     {', '.join(f'{each:.4f}' for each in result['loop_accuracy'])}: {after}")
    for name in GOALS:
        print(f"{name:<8} {'; '.join(accuracy_words(turn) for turn in taken[name])}")
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The tutorial's job: see the docstring.")
    parser.add_argument("data", type=Path, help="zip or folder of CIFAR-10")
    parser.add_argument("--side", type=int, default=32, help="of the input; above 32 the loop resizes")
    parser.add_argument(
        "--loop-images", type=int, help="the loop's pictures, train and test 5 to 1; default all"
    )
    parser.add_argument(
        "--sample", default="", help="headstart's pictures: train=5000,test=1000; default all"
    )
    parser.add_argument("--full", action="store_true", help="run all ten epochs of the loop")
    add_options(parser, num_turns=3)
    args = parser.parse_args()
    record = begin("tutorial_job", args)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.data
        if args.data.is_file():
            note("unpacking for the loop")
            folder = Path(temporary)
            with ZipFile(args.data) as archive:
                archive.extractall(folder)
        side = ["--side", args.side] if args.side != 32 else []
        images = ["--images", args.loop_images] if args.loop_images else []
        epochs = ["--epochs", EPOCHS if args.full else 1]
        loop = PEERS / "tutorial_loop.py"
        command = [sys.executable, loop, find_parts(folder).resolve(), *side, *images, *epochs]
        taken = take_turns(
            {
                "loop": functools.partial(run, command),
                **{name: functools.partial(run_headstart, name, args) for name in GOALS},
            },
            args.turns,
        )
    save(record | describe(taken, args), args.json)


if __name__ == "__main__":
    main()
