"""``headstart evaluate``: how good is a model on these pictures?"""

from typing import TYPE_CHECKING

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress
from headstart.core.plain_progress import plain
from headstart.core.records import dumps, to_json

if TYPE_CHECKING:
    from headstart.evaluate import Evaluation
    from headstart.models import Classifier
    from headstart.predict import LabelledPictures

_WEIGHTS = {
    "folder": "a model folder, unchanged since it was saved",
    "package": "from an installed package",
    "cached": "fetched; the sha256 is the one that was known beforehand",
    "unverified": "fetched, and unverified: nobody has stated the whole sha256",
    "file": "a file of yours",
}


def evaluate_model(
    model: opt.SavedModel,
    data: opt.Data,
    sample: opt.SampleText = "",
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    plan: opt.PlanName = "fast",
    max_unreadable: opt.MaxUnreadable = 0.1,
    seed: opt.Seed = 0,
    json: opt.Json = False,
) -> None:
    """Measure a model on labelled pictures; of a data set with a test or val part, on that.

    The classes of the pictures must be among those that the model knows, by name. ImageNet's may also be
    wordnet ids (n01440764) or indices, in the names of class folders or files, or in a CSV.

    \b
    Examples:
      headstart evaluate headstart-runs/flowers/model new-flowers/
      headstart evaluate efficientnet_lite0 imagenet/val --sample test=5000
    """
    from headstart.embed import PlanOptions
    from headstart.evaluate import evaluate
    from headstart.models import load
    from headstart.predict import open_labelled, predict_labelled

    options = PlanOptions(device=device, precision=precision, plan=plan)
    with show_progress() as progress:
        classifier = load(model, progress=progress)
        pictures = open_labelled(
            classifier,
            data,
            sample=opt.parse_sample(sample),
            seed=seed,
            max_unreadable=max_unreadable,
            progress=progress,
        )
        probabilities, labels = predict_labelled(
            classifier, pictures.dataset, options=options, progress=progress
        )
    evaluation = evaluate(probabilities, labels, seed=seed)
    facts = _facts(classifier, pictures)
    if json:
        typer.echo(dumps(to_json(evaluation) | facts), nl=False)
    else:
        _print(evaluation, facts)


def _facts(classifier: "Classifier", pictures: "LabelledPictures") -> dict[str, str | int]:
    """Return what the figures are of, as the JSON has it."""
    from headstart.catalog import weights_state
    from headstart.preprocess import describe

    is_folder = classifier.entry.provider == "folder"
    return {
        "model": classifier.name,
        "weights": "folder" if is_folder else weights_state(classifier.entry),
        "preprocessing": describe(classifier.preprocessing),
        "num_classes": len(classifier.class_names),
        "matched_by": pictures.matched_by,
        "part": pictures.part or "all",
        "num_classes_present": len(set(pictures.dataset.labels.tolist())),
        "num_left_out": len(pictures.dataset.excluded),
    }


def _print(evaluation: "Evaluation", facts: dict[str, str | int]) -> None:
    typer.echo(f"{'model':<18} {plain(str(facts['model']))}")
    typer.echo(f"{'weights':<18} {_WEIGHTS.get(str(facts['weights']), facts['weights'])}")
    typer.echo(f"{'preprocessing':<18} {facts['preprocessing']}")
    typer.echo(f"{'classes told by':<18} {facts['matched_by']}")
    first = {"accuracy": evaluation.accuracy}
    if evaluation.top5 is not None:
        first = {"top-1 accuracy": evaluation.accuracy, "top-5 accuracy": evaluation.top5}
    rest = ("balanced_accuracy", "macro_f1", "log_loss", "calibration_error")
    estimates = first | {name.replace("_", " "): getattr(evaluation, name) for name in rest}
    for name, estimate in estimates.items():
        typer.echo(f"{name:<18} {estimate.value:.4f}  ({estimate.low:.4f} to {estimate.high:.4f})")
    part = "" if facts["part"] == "all" else f" of the part {facts['part']!r}"
    typer.echo(
        f"on {evaluation.n} pictures{part}, of {facts['num_classes_present']} of the model's "
        f"{facts['num_classes']} classes; 95 % intervals"
    )
    if facts["num_left_out"]:
        typer.echo(f"left out: {facts['num_left_out']} pictures; headstart check names them")
