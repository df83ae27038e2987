"""``headstart tune``: one model, fine-tuned, where that is better than its probe."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headstart.cli import options as opt
from headstart.cli.collector import wake_collector
from headstart.cli.console import show_progress
from headstart.core.machine import is_main_process
from headstart.core.progress import SILENT, Progress

if TYPE_CHECKING:
    from headstart.compare import Comparison, Tuning
    from headstart.compare.records import CompareOptions
    from headstart.data.split import Sample
    from headstart.train.rate_finder import RateSearch


def tune_pictures(
    data: Annotated[
        str,
        typer.Argument(metavar="[DATA]", help="As in compare; not needed with --show-recipe."),
    ] = "",
    models: opt.Model = "efficientnet_lite0",
    recipe: opt.RecipeName = "default",
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Passes over the training pictures, at most.")
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", help="Time for the fine-tuning: 10m, 2h. Default: no limit.")
    ] = "",
    rate: Annotated[
        float | None, typer.Option("--rate", help="Learning rate of the head; default: the recipe's.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Pictures behind one step.")
    ] = None,
    show_recipe: Annotated[
        bool, typer.Option("--show-recipe", help="Print every setting of the recipe, and do nothing.")
    ] = False,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Try learning rates, print what they do, and train nothing.")
    ] = False,
    track: Annotated[
        str,
        typer.Option("--track", help="Who is told: tensorboard, mlflow, wandb, or several with commas."),
    ] = "",
    resolution: opt.ResolutionText = "auto",
    fit: opt.FitNames = "",
    sample: opt.SampleText = "",
    group_by: opt.GroupBy = "",
    device: opt.Device = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        typer.Option("--precision", help="What layers compute in; auto is bf16 where the machine has it."),
    ] = "auto",
    keep_neighbours: opt.KeepNeighbours = False,
    max_unreadable: opt.MaxUnreadable = 0.1,
    cluster: opt.Cluster = "",
    out: opt.Out = None,
    seed: opt.Seed = 0,
    json: opt.Json = False,
) -> None:
    """Train a whole network on your pictures, and keep it if it is better than its probe.

    A run that was killed goes on where it stopped. In several processes: torchrun --nproc-per-node 2 -m
    headstart tune ...

    \b
    Examples:
      headstart tune flowers/ --models timm/convnext_tiny
      headstart tune flowers/ --budget 10m --out runs/tuned
      headstart tune flowers/ --cluster auto --out /shared/runs/tuned
      headstart tune --show-recipe --recipe gradual
    """
    from headstart.compare.records import CompareOptions, Tuning
    from headstart.core.errors import InputError, ModelError

    tuning = Tuning(
        recipe=recipe,
        epochs=epochs,
        batch_size=batch_size,
        rate=rate,
        budget=budget,
        trackers=tuple(opt.parse_names(track)) if track else (),
    )
    if show_recipe:
        _print_recipe(tuning, data, json=json)
        return
    if not data:
        raise InputError("no pictures were given", hint="headstart tune DATA")
    from headstart.compare import tune_one
    from headstart.compare.budget import tuning_seconds
    from headstart.compare.candidates import find_entries
    from headstart.compare.tune import own_folder, tune_folder
    from headstart.data.prepare import open_sample

    tuning_seconds(tuning, None, num_left=1)  # a budget that cannot be read is told before anything is done
    find_entries([models])  # so is a mistyped name
    choices = CompareOptions(
        resolutions=opt.parse_resolutions(resolution),
        fits=opt.parse_fits(fit),
        device=device,
        precision=precision,
        keep_neighbours=keep_neighbours,
        max_unreadable=max_unreadable,
        seed=seed,
        command=opt.command_line(),
    )
    with _show_progress_once() as progress:
        pictures = open_sample(
            data, sample=opt.parse_sample(sample), seed=seed, grouped_by=group_by, progress=progress
        )
        if find_rate:
            from headstart.compare.rates import search_rate

            found = search_rate(models, pictures, tuning=tuning, options=choices, progress=progress)
            if is_main_process():
                _print_rates(found)
            return
        folder = out or tune_folder(pictures)
        if cluster:
            comparison = _tune_on(cluster, models, pictures, tuning, folder, choices, progress)
        else:
            with own_folder(folder) as own:
                comparison = tune_one(
                    models, pictures, tuning=tuning, out=own, options=choices, progress=progress
                )
    if is_main_process():
        from headstart.cli.outcome import finish_run

        finish_run(comparison, json=json)
        for row in comparison.rows:
            if row.error:  # what was asked for is not there, though the probe is
                raise ModelError(f"{row.name}: {row.error}", hint=row.hint)


def _tune_on(
    address: str,
    model: str,
    pictures: "Sample",
    tuning: "Tuning",
    folder: Path,
    options: "CompareOptions",
    progress: Progress,
) -> "Comparison":
    from headstart.cluster import connect

    progress.start("connecting to the cluster")
    with connect(address) as runner:
        from headstart.cluster import tune_on

        progress.start(f"training in {runner.num_workers} processes; their log is in {folder}")
        return tune_on(runner, model, pictures, tuning=tuning, out=folder, options=options)


def _show_progress_once() -> "AbstractContextManager[Progress]":
    """Give a listener; of several processes one alone shows something."""
    if is_main_process():
        return show_progress()
    wake_collector()
    return nullcontext(SILENT)


def _print_recipe(tuning: "Tuning", data: str, *, json: bool) -> None:
    """Print every setting of a recipe, as it is for these pictures or for a thousand of ten classes."""
    import numpy as np

    from headstart.core.records import dumps
    from headstart.data import open_dataset

    counts = open_dataset(data).class_counts() if data else np.full(10, 100)
    recipe = tuning.recipe_for(counts)
    if json:
        typer.echo(dumps(recipe), nl=False)
        return
    for name, value in asdict(recipe).items():
        typer.echo(f"{name:<16} {value}")
    if not data:
        typer.echo("(for about 1,000 pictures of 10 classes; with DATA: for those)", err=True)


def _print_rates(found: "RateSearch") -> None:
    """Print what learning rates did, and the one to take."""
    for rate, loss in zip(found.rates, found.losses, strict=True):
        typer.echo(f"{rate:<10.2g} loss {loss:.3f}")
    typer.echo(f"suggestion: --rate {found.suggestion:.2g}")
