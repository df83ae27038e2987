"""``headstart probe``: one model, a head trained on its features, a model folder."""

from headstart.cli import options as opt
from headstart.cli.console import show_progress


def probe_pictures(
    data: opt.Data,
    models: opt.Model = "efficientnet_lite0",
    resolution: opt.ResolutionText = "auto",
    fit: opt.FitName = None,
    sample: opt.SampleText = "",
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
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
    from headstart.data.prepare import open_splits

    choices = CompareOptions(
        resolutions=opt.parse_resolutions(resolution),
        fit=fit,
        device=device,
        precision=precision,
        seed=seed,
        command=opt.command_line(),
    )
    with show_progress() as progress:
        find_entries([models])  # a mistyped name is told before pictures are read
        splits = open_splits(
            data,
            sample=opt.parse_sample(sample),
            seed=seed,
            max_unreadable=max_unreadable,
            progress=progress,
        )
        comparison = fit_one(models, splits, out=out, options=choices, progress=progress)
    finish_run(comparison, json=json)
