"""``headstart report``: write a run's report again."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a comparison.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write; default: RUN/report.html.")
    ] = None,
) -> None:
    """Write the report of a comparison as one self-contained html file.

    \b
    Example:
      headstart report headstart-runs/digits -o digits.html
    """
    from headstart.compare import load_comparison
    from headstart.report import write_report

    typer.echo(write_report(load_comparison(run), out or run / "report.html", run_dir=run))
