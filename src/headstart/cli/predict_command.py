"""``headstart predict``: pictures in, one row each out."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from headstart.cli import options as opt
from headstart.cli.console import print_error, show_progress
from headstart.cli.predict_output import Best, Form, open_output
from headstart.core.errors import InputError

if TYPE_CHECKING:
    from headstart.predict import Prediction


def predict_pictures(
    model: opt.SavedModel,
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURES", help="Files, folders, zips, tars or addresses; '-' reads paths from stdin."
        ),
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to show for each picture.")] = 1,
    threshold: Annotated[
        str,
        typer.Option(
            "--threshold",
            help="Say 'unknown' below this probability; 'auto' is the model's own, 'none' never does.",
        ),
    ] = "auto",
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write a Parquet file.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of stdout.")] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Exit with 0 although some pictures could not be read.")
    ] = False,
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    plan: opt.PlanName = "fast",
    cluster: opt.Cluster = "",
) -> None:
    """Say what is on pictures, with a trained model.

    \b
    Examples:
      headstart predict headstart-runs/digits/model new-photos/
      headstart predict headstart-runs/digits/model new-photos/ --threshold 0.8
      headstart predict efficientnet_lite0 photo.jpg --top 5
      find . -name '*.jpg' | headstart predict runs/flowers/model - --csv --out flowers.csv
    """
    from headstart.cli.cluster_command import open_runner
    from headstart.embed import PlanOptions
    from headstart.models import load
    from headstart.predict import batch_warning, predict

    form = _form(csv=csv, json=json, parquet=parquet, out=out)
    smallest = _parse_threshold(threshold)
    paths = _paths_from_stdin() if pictures == ["-"] else pictures
    options = PlanOptions(device=device, precision=precision, plan=plan)
    num_read = unread = unlike = 0
    with show_progress() as progress:
        classifier = load(model, progress=progress)
        with (
            open_runner(cluster, progress) as runner,
            open_output(form, parquet or out, top=top) as write,
        ):
            rows = predict(
                classifier, paths, threshold=smallest, options=options, runner=runner, progress=progress
            )
            for row in rows:
                unread, num_read = unread + bool(row.error), num_read + (not row.error)
                unlike += bool(row.is_unlike)
                write(row, _best(row, classifier.class_names, top))
    warning = batch_warning(classifier.familiarity, unlike, num_read)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)
    if unread and not keep_going:
        print_error(f"{unread} of the pictures could not be read", "--keep-going exits with 0 all the same")
        raise typer.Exit(1)


def _form(*, csv: bool, json: bool, parquet: Path | None, out: Path | None) -> Form:
    """Return the form of the rows.

    Raises:
        InputError: more than one was asked for, or two files.
    """
    given = {"--csv": csv, "--json": json, "--parquet": parquet is not None}
    chosen = [option for option, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} were both given", hint="choose one")
    if parquet is not None and out is not None:
        raise InputError("--parquet and --out were both given", hint="--parquet names its file itself")
    if parquet is not None:
        return "parquet"
    return "csv" if csv else "json" if json else "text"


def _parse_threshold(text: str) -> float | Literal["auto"] | None:
    """Return what ``--threshold`` means.

    Raises:
        InputError: it is neither "auto" nor "none" nor a number.
    """
    word = text.strip().lower()
    if word == "auto":
        return "auto"
    return None if word == "none" else opt.parse_share(word)


_LONGEST_NAME = 255  # bytes between two slashes


def _paths_from_stdin() -> Iterator[str]:
    """Yield the paths, one a line, or with a zero byte after each, as 'find -print0' writes them.

    Raises:
        InputError: what comes are no paths.
    """
    stream: Any = sys.stdin.buffer
    rest, separator = b"", b""
    while block := stream.read1():
        rest += block
        if not separator and (b"\0" in rest or b"\n" in rest):
            separator = b"\0" if b"\0" in rest else b"\n"
        if separator:
            *whole, rest = rest.split(separator)
            yield from _decoded(whole, separator)
    yield from _decoded([rest], separator)


def _decoded(paths: Iterable[bytes], separator: bytes) -> Iterator[str]:
    for path in paths:
        # No system has such names, and to ask for one fails; an address may have a long signature.
        if b"://" not in path and max(map(len, path.split(b"/"))) > _LONGEST_NAME:
            raise InputError(
                "stdin holds something else than paths", hint="give a path a line, not a picture"
            )
        text = os.fsdecode(path if separator == b"\0" else path.rstrip(b"\r"))  # need not be valid text
        if text.strip():
            yield text


def _best(row: "Prediction", class_names: tuple[str, ...], top: int) -> Best:
    order = (-row.probabilities).argsort(kind="stable")[:top]
    return [(class_names[index], float(row.probabilities[index])) for index in order]
