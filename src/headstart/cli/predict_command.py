"""``headstart predict``: pictures in, one row each out."""

import csv as csv_text
import io
import json as json_text
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from headstart.cli import options as opt
from headstart.cli.console import print_error, show_progress
from headstart.core.errors import InputError
from headstart.core.files import atomic_path
from headstart.core.plain_progress import plain
from headstart.core.spreadsheet import safe_cell

if TYPE_CHECKING:
    from headstart.predict import Prediction

Best = list[tuple[str, float]]
Writer = Callable[["Prediction", Best], None]


def predict_pictures(
    model: opt.SavedModel,
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="PICTURES", help="Files, folders or zips; '-' reads paths from stdin."),
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to show for each picture.")] = 1,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of stdout.")] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Exit with 0 although some pictures could not be read.")
    ] = False,
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    plan: opt.PlanName = "fast",
) -> None:
    """Say what is on pictures, with a trained model.

    \b
    Examples:
      headstart predict headstart-runs/digits/model new-photos/
      headstart predict efficientnet_lite0 photo.jpg --top 5
      find . -name '*.jpg' | headstart predict runs/flowers/model - --csv --out flowers.csv
    """
    from headstart.embed import PlanOptions
    from headstart.models import load
    from headstart.predict import predict

    if csv and json:
        raise InputError("--csv and --json were both given", hint="choose one")
    paths = _paths_from_stdin() if pictures == ["-"] else pictures
    unread = 0
    with show_progress() as progress:
        classifier = load(model, progress=progress)
        options = PlanOptions(device=device, precision=precision, plan=plan)
        rows = predict(classifier, paths, options=options, progress=progress)
        with _destination(out) as file:
            write = _csv_writer(file, top) if csv else _json_writer(file) if json else _text_writer(file)
            for row in rows:
                unread += bool(row.error)
                write(row, _best(row, classifier.class_names, top))
    if unread and not keep_going:
        print_error(f"{unread} of the pictures could not be read", "--keep-going exits with 0 all the same")
        raise typer.Exit(1)


def _paths_from_stdin() -> list[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):  # names of files need not be valid text
        sys.stdin.reconfigure(errors="surrogateescape")
    return [line.rstrip("\n") for line in sys.stdin if line.strip()]


@contextmanager
def _destination(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file


def _best(row: "Prediction", class_names: tuple[str, ...], top: int) -> Best:
    order = (-row.probabilities).argsort(kind="stable")[:top]
    return [(class_names[index], float(row.probabilities[index])) for index in order]


def _text_writer(file: TextIO) -> Writer:
    def write(row: "Prediction", best: Best) -> None:
        said = ", ".join(f"{name} {probability:.3f}" for name, probability in best)
        print(f"{plain(row.path)}\t{said or 'cannot be read: ' + plain(row.error)}", file=file)

    return write


def _json_writer(file: TextIO) -> Writer:
    def write(row: "Prediction", best: Best) -> None:
        value: dict[str, Any] = {"path": row.path, "label": row.label or None}
        value |= {"probability": row.probability if not row.error else None}
        value |= {"top": [{"label": name, "probability": share} for name, share in best], "error": row.error}
        print(json_text.dumps(value), file=file)

    return write


def _csv_writer(file: TextIO, top: int) -> Writer:
    table = csv_text.writer(file, lineterminator="\n")
    more = [name for place in range(2, top + 1) for name in (f"label_{place}", f"probability_{place}")]
    table.writerow(["path", "label", "probability", *more, "error"])

    def write(row: "Prediction", best: Best) -> None:
        cells = [cell for name, share in best for cell in (name, f"{share:.6f}")]
        cells += [""] * (2 * top - len(cells))
        table.writerow([safe_cell(cell) for cell in (row.path, *cells, row.error)])

    return write
