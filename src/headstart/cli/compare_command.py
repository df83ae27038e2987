"""``headstart compare``: the main job."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress

if TYPE_CHECKING:
    from headstart.compare import Tuning
    from headstart.core.progress import Progress

_NUM_TUNED = 2  # the chosen candidate, and the best of those that are tied with it


def compare_pictures(
    data: opt.Data,
    models: opt.ModelsOrDefault = None,
    budget: opt.BudgetText = "",
    resolution: opt.ResolutionText = "auto",
    fit: opt.FitNames = "",
    feature_point: opt.FeaturePoints = "pooled",
    batch_norm: opt.BatchNorms = "pretrained",
    sample: opt.SampleText = "",
    group_by: opt.GroupBy = "",
    reference: Annotated[
        str,
        typer.Option(
            "--reference",
            help="Candidate to score on the test set beside the chosen one; default: best on ImageNet.",
        ),
    ] = "",
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    plan: opt.PlanName = "fast",
    audit: opt.AuditName = "quick",
    finalists: Annotated[
        Literal["probe", "tune"],
        typer.Option(
            "--finalists",
            help="'tune' fine-tunes the two most promising candidates as well; with a budget in half of it.",
        ),
    ] = "probe",
    recipe: opt.RecipeName = "default",
    max_download: opt.MaxDownload = "5GB",
    max_latency: opt.MaxLatency = None,
    discard_weights: opt.DiscardWeights = False,
    keep_neighbours: opt.KeepNeighbours = False,
    max_unreadable: opt.MaxUnreadable = 0.1,
    cluster: opt.Cluster = "",
    out: opt.Out = None,
    seed: opt.Seed = 0,
    json: opt.Json = False,
) -> None:
    """Rank models on your pictures, choose one, train it, and say how good it is.

    Without --models: those whose weights are here, and 15 that cover sizes and families, where they can be
    fetched. With a budget they race: who is worse beyond doubt is dropped early.

    \b
    Examples:
      headstart compare digits
      headstart compare flowers/ --budget 10m
      headstart compare flowers/ --models 'efficientnet_lite0,resnet50' --out runs/flowers
      headstart compare cifar10 --sample train=2000,test=500 --resolution 96,native
      headstart compare flowers/ --budget 1h --finalists tune
      headstart compare flowers/ --cluster auto
    """
    from headstart.cli.cluster_command import open_runner
    from headstart.cli.outcome import finish_run, print_ranking
    from headstart.compare import CompareOptions, Stopped, compare
    from headstart.compare.budget import parse_budget
    from headstart.compare.candidates import find_entries
    from headstart.data.prepare import open_sample

    choices = CompareOptions(
        resolutions=opt.parse_resolutions(resolution),
        fits=opt.parse_fits(fit),
        feature_points=opt.parse_choices("--feature-point", feature_point, opt.FEATURE_POINTS),
        batch_norms=opt.parse_batch_norms(batch_norm),
        device=device,
        precision=precision,
        plan=plan,
        audit=audit,
        keep_neighbours=keep_neighbours,
        max_unreadable=max_unreadable,
        reference=reference,
        budget=budget,
        max_download_bytes=opt.parse_size(max_download),
        max_latency_ms=max_latency,
        keep_weights=not discard_weights,
        tuning=_tuning(finalists, recipe),
        seed=seed,
        command=opt.command_line(),
    )
    if budget:
        parse_budget(budget)
    with show_progress() as progress:
        names = _default_names(progress) if models is None else opt.parse_names(models)
        find_entries(names)  # a mistyped name is told before pictures are read
        pictures = open_sample(
            data, sample=opt.parse_sample(sample), seed=seed, grouped_by=group_by, progress=progress
        )
        try:
            with open_runner(cluster, progress) as runner:
                comparison = compare(
                    names, pictures, out=out, options=choices, runner=runner, progress=progress
                )
        except Stopped as stop:
            print_ranking(stop.comparison)
            raise
    finish_run(comparison, json=json)


def _tuning(finalists: str, recipe: str) -> "Tuning | None":
    """Return how finalists are fine-tuned, None where they are not.

    Raises:
        InputError: there is no such recipe, or nobody is to be fine-tuned by it.
    """
    import numpy as np

    from headstart.compare import Tuning
    from headstart.core.errors import InputError

    if finalists == "tune":
        tuning = Tuning(recipe=recipe, max_candidates=_NUM_TUNED)
        tuning.recipe_for(np.ones(2, np.int64))
        return tuning
    if recipe != "default":
        raise InputError(
            f"--recipe {recipe} says how finalists are fine-tuned, and none are", hint="add --finalists tune"
        )
    return None


def _default_names(progress: "Progress") -> list[str]:
    from headstart.compare.candidates import default_models

    progress.start("looking for models")
    found = default_models()
    if found.left_out:
        progress.note(
            f"{len(found.left_out)} models are left out, for their weights are not here and no host of "
            f"theirs answers: {', '.join(found.left_out)}"
        )
    return [*found.names]
