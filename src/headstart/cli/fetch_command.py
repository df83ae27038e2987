"""``headstart fetch``: weights brought here now, for use without a network later."""

from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress
from headstart.core.errors import HeadstartError, InputError, StorageError, WeightsError
from headstart.core.plain_progress import plain
from headstart.core.records import dumps

if TYPE_CHECKING:
    from headstart.weights import WeightsFile


def fetch(
    models: opt.ModelNames,
    sha256: Annotated[
        str,
        typer.Option(
            "--sha256", metavar="HEX", help="The whole sha256 of one model's file: only this file is taken."
        ),
    ] = "",
    json: opt.Json = False,
) -> None:
    """Bring the weights of models here now, and say where each file lies and what it was checked by.

    \b
    Examples:
      headstart fetch efficientnet_lite0
      headstart fetch 'timm/resnet18*' torchvision/resnet50
    """
    from headstart.weights import fetch as fetch_weights

    entries = opt.parse_models(models)
    if sha256 and len(entries) != 1:
        raise InputError(f"--sha256 is the digest of one file, and {len(entries)} models are named")
    files: dict[str, WeightsFile] = {}
    failures: dict[str, HeadstartError] = {}
    with show_progress() as progress:
        for entry in entries:
            try:
                files[entry.name] = fetch_weights(entry, sha256=sha256, progress=progress)
            except StorageError:  # a full disk is full for the next one too
                raise
            except HeadstartError as error:
                failures[entry.name] = error
    _print(files, json=json)
    _raise(failures, num_models=len(entries))


def _print(files: dict[str, "WeightsFile"], *, json: bool) -> None:
    rows = []
    for name, file in files.items():
        size_bytes = file.path.stat().st_size
        state = "verified" if file.is_verified else "unverified"
        rows.append(
            {
                "model": name,
                "path": str(file.path),
                "size_bytes": size_bytes,
                "sha256": file.sha256,
                "state": file.state,
                "is_verified": file.is_verified,
            }
        )
        if not json:
            size = f"{size_bytes / 1e6:.1f} MB"
            typer.echo(plain(f"{name}: {state}, {size}, sha256 {file.sha256}, {file.path}"))
    if json:
        typer.echo(dumps(rows), nl=False)


def _raise(failures: dict[str, HeadstartError], *, num_models: int) -> None:
    """Raise what went wrong, if anything did; of several models with every one's reason."""
    if not failures:
        return
    errors = list(failures.values())
    if num_models == 1:
        raise errors[0]
    reasons = "; ".join(f"{name}: {error.message}" for name, error in failures.items())
    raise WeightsError(
        f"{len(failures)} of {num_models} models were not fetched: {reasons}", hint=errors[0].hint
    )
