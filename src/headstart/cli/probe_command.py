"""``headstart probe``: one model, a head trained on its features, a model folder."""

from headstart.cli import options as opt
from headstart.cli.console import show_progress


def probe_pictures(
    data: opt.Data,
    models: opt.Model = "efficientnet_lite0",
    resolution: opt.ResolutionText = "auto",
    fit: opt.FitNames = "",
    feature_point: opt.FeaturePoints = "pooled",
    batch_norm: opt.BatchNorms = "pretrained",
    sample: opt.SampleText = "",
    group_by: opt.GroupBy = "",
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    plan: opt.PlanName = "fast",
    keep_neighbours: opt.KeepNeighbours = False,
    max_unreadable: opt.MaxUnreadable = 0.1,
    out: opt.Out = None,
    seed: opt.Seed = 0,
    json: opt.Json = False,
) -> None:
    """Train a head on one model's features and save the classifier.

    \b
    Examples:
      headstart probe digits
      headstart probe flowers/ --models timm/convnext_tiny --out runs/convnext
    """
    from headstart.cli.outcome import finish_run
    from headstart.compare import CompareOptions, fit_one
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
        keep_neighbours=keep_neighbours,
        max_unreadable=max_unreadable,
        seed=seed,
        command=opt.command_line(),
    )
    with show_progress() as progress:
        find_entries([models])  # a mistyped name is told before pictures are read
        pictures = open_sample(
            data, sample=opt.parse_sample(sample), seed=seed, grouped_by=group_by, progress=progress
        )
        comparison = fit_one(models, pictures, out=out, options=choices, progress=progress)
    finish_run(comparison, json=json)
