"""``headstart check``: what is wrong with the pictures?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress
from headstart.core.errors import HeadstartError, InputError
from headstart.core.plain_progress import plain
from headstart.core.records import dumps

if TYPE_CHECKING:
    from headstart.audit import Audit
    from headstart.core.progress import Progress
    from headstart.data import ImageDataset
    from headstart.models import Classifier

_USUAL_MODEL = "efficientnet_lite0"
_MAX_LINES = 20


def check(
    data: opt.Data,
    models: Annotated[
        str, typer.Option("--models", help="The model whose features are used.")
    ] = _USUAL_MODEL,
    resolution: opt.ResolutionText = "auto",
    quick: Annotated[
        bool, typer.Option("--quick", help="Only what the files show: unreadable, exactly the same, classes.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write a page of thumbnails, FILE.html.", metavar="FILE")
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(
            "--fix",
            help="Write a CSV of the pictures that are sound, and one of the others with reasons; no picture "
            "is touched.",
            metavar="FILE",
        ),
    ] = None,
    sample: opt.SampleText = "",
    group_by: opt.GroupBy = "",
    device: opt.Device = "auto",
    seed: opt.Seed = 0,
    json: opt.Json = False,
) -> None:
    """Look for what is wrong with pictures and labels.

    Unreadable files, copies and near copies, also across splits; labels that are likely wrong; classes that
    size, border or camera give away; pictures that belong together; outliers. Nothing is changed. The exit
    code is 0 whatever is found.

    \b
    Examples:
      headstart check flowers/
      headstart check flowers/ --page flowers.html --fix sound.csv
      headstart check flowers.zip --quick --json > findings.json
    """
    from headstart.audit import audit, check_cleanable, write_cleaned
    from headstart.data.prepare import open_sample

    if fix is not None and fix.suffix.lower() != ".csv":
        raise InputError(f"--fix {fix}: only a .csv can be written")
    with show_progress() as progress:
        pictures = open_sample(
            data, sample=opt.parse_sample(sample), seed=seed, grouped_by=group_by, progress=progress
        ).dataset
        if fix is not None:
            check_cleanable(pictures, fix)  # before minutes of work
        classifier = None if quick else _load(models, resolution, pictures, progress)
        options = None
        if classifier is not None:
            from headstart.embed import PlanOptions

            options = PlanOptions(device=device)
        found = audit(pictures, classifier=classifier, options=options, seed=seed, progress=progress)
        if page is not None:
            from headstart.report import write_audit_page

            write_audit_page(found, pictures, page)
        if fix is not None:
            removed = write_cleaned(found, pictures, fix)
            progress.note(f"written: {fix}, and what was left out: {removed}")
    if json:
        typer.echo(dumps(found), nl=False)
        return
    _print(found)
    if page is not None:
        typer.echo(f"page: {page}")


def _load(model: str, resolution: str, pictures: "ImageDataset", progress: "Progress") -> "Classifier | None":
    """Return the model at its resolution; None where the usual one is not on this machine."""
    from headstart.embed import choose_resolution, sample_sides
    from headstart.models import load

    resolutions = opt.parse_resolutions(resolution)
    if len(resolutions) != 1:
        raise InputError(f"--resolution {resolution}: check takes one resolution")
    try:
        classifier = load(model, progress=progress)
    except HeadstartError as error:
        if model != _USUAL_MODEL:
            raise
        progress.note(f"only what the files show was looked at: {error}")
        return None
    return classifier.with_preprocessing(
        choose_resolution(
            classifier.preprocessing,
            sample_sides(pictures),
            resolution=resolutions[0],
            fit=None,
            fixed=classifier.entry.fixed_input_size,
        )
    )


def _print(found: "Audit") -> None:
    typer.echo(f"{found.num_pictures} readable pictures in {len(found.class_names)} classes")
    for finding in found.findings or ("nothing wrong was found",):
        typer.echo(plain(finding))
    for each in found.excluded[:_MAX_LINES]:
        typer.echo(plain(f"left out: {each.id}: {each.reason}"))
    if len(found.excluded) > _MAX_LINES:
        typer.echo(f"... and {len(found.excluded) - _MAX_LINES} more; --json lists all")
