"""``headstart evaluate``: how good is a model on these pictures?"""

from dataclasses import fields
from typing import TYPE_CHECKING

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress
from headstart.core.records import dumps

if TYPE_CHECKING:
    from headstart.evaluate import Evaluation


def evaluate_model(
    model: opt.SavedModel,
    data: opt.Data,
    sample: opt.SampleText = "",
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    max_unreadable: opt.MaxUnreadable = 0.1,
    seed: opt.Seed = 0,
    json: opt.Json = False,
) -> None:
    """Measure a trained model on labelled pictures; of a data set with a test split, on that.

    The classes of the pictures must be among those that the model knows, by name.

    \b
    Example:
      headstart evaluate headstart-runs/flowers/model new-flowers/
    """
    from headstart.data.prepare import open_pictures
    from headstart.embed import PlanOptions
    from headstart.evaluate import evaluate
    from headstart.models import load
    from headstart.predict import predict_labelled

    with show_progress() as progress:
        classifier = load(model, progress=progress)
        pictures = open_pictures(
            data,
            sample=opt.parse_sample(sample),
            seed=seed,
            max_unreadable=max_unreadable,
            progress=progress,
        )
        options = PlanOptions(device=device, precision=precision)
        probabilities, labels = predict_labelled(classifier, pictures, options=options, progress=progress)
    evaluation = evaluate(probabilities, labels, seed=seed)
    if json:
        typer.echo(dumps(evaluation), nl=False)
    else:
        _print(evaluation, len(pictures.excluded))


def _print(evaluation: "Evaluation", num_excluded: int) -> None:
    for field in fields(evaluation):
        estimate = getattr(evaluation, field.name)
        if field.name != "n":
            name = field.name.replace("_", " ")
            typer.echo(f"{name:<18} {estimate.value:.4f}  ({estimate.low:.4f} to {estimate.high:.4f})")
    typer.echo(f"on {evaluation.n} pictures; 95 % intervals")
    if num_excluded:
        typer.echo(f"left out: {num_excluded} pictures; headstart check names them")
