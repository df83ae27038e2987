"""``headstart compare``: the main job."""

from typing import Annotated

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress

DEFAULT_MODELS = "starter/*"


def compare_pictures(
    data: opt.Data,
    models: opt.Models = DEFAULT_MODELS,
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
    max_unreadable: opt.MaxUnreadable = 0.1,
    out: opt.Out = None,
    seed: opt.Seed = 0,
    json: opt.Json = False,
) -> None:
    """Rank models on your pictures, choose one, train it, and say how good it is.

    \b
    Examples:
      headstart compare digits
      headstart compare flowers/ --models 'efficientnet_lite0,resnet50' --out runs/flowers
      headstart compare cifar10 --sample train=2000,test=500 --resolution 96,native
    """
    from headstart.cli.outcome import finish_run
    from headstart.compare import CompareOptions, compare
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
        max_unreadable=max_unreadable,
        reference=reference,
        seed=seed,
        command=opt.command_line(),
    )
    with show_progress() as progress:
        find_entries(opt.parse_names(models))  # a mistyped name is told before pictures are read
        pictures = open_sample(
            data, sample=opt.parse_sample(sample), seed=seed, grouped_by=group_by, progress=progress
        )
        comparison = compare(opt.parse_names(models), pictures, out=out, options=choices, progress=progress)
    finish_run(comparison, json=json)
