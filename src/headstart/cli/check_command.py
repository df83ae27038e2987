"""``headstart check``: what is wrong with the pictures?"""

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress
from headstart.core.plain_progress import plain
from headstart.core.records import dumps

_MAX_LINES = 20


def check(data: opt.Data, sample: opt.SampleText = "", seed: opt.Seed = 0, json: opt.Json = False) -> None:
    """Look for unreadable files, exact duplicates, contradicting labels and unequal classes.

    Nothing is changed. The exit code is 0 whatever is found.

    \b
    Examples:
      headstart check flowers/
      headstart check flowers.zip --json > findings.json
    """
    from headstart.audit import audit
    from headstart.data.prepare import open_sample

    with show_progress() as progress:
        pictures = open_sample(data, sample=opt.parse_sample(sample), seed=seed).dataset
        found = audit(pictures, progress=progress)
    if json:
        typer.echo(dumps(found), nl=False)
        return
    typer.echo(f"{found.num_pictures} readable pictures in {len(found.class_names)} classes")
    for finding in found.findings or ("nothing wrong was found",):
        typer.echo(plain(finding))
    for each in found.excluded[:_MAX_LINES]:
        typer.echo(plain(f"left out: {each.id}: {each.reason}"))
    if len(found.excluded) > _MAX_LINES:
        typer.echo(f"... and {len(found.excluded) - _MAX_LINES} more; --json lists all")
