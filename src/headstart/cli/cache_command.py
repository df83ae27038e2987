"""``headstart cache``: what is kept between runs, and how to be rid of it."""

import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from headstart.cli import options as opt
from headstart.core.files import storage_errors
from headstart.core.paths import datasets_dir, embeddings_dir, home, weights_dir
from headstart.core.records import dumps


def cache(
    clear: Annotated[
        Literal["embeddings", "weights", "datasets", "all"] | None,
        typer.Option("--clear", help="Delete this part; it is made or fetched again when it is needed."),
    ] = None,
    json: opt.Json = False,
) -> None:
    """Show what headstart keeps on this machine between runs, or delete it.

    \b
    Examples:
      headstart cache
      headstart cache --clear embeddings
    """
    parts = {"embeddings": embeddings_dir(), "weights": weights_dir(), "datasets": datasets_dir()}
    sizes = {name: _size(path) for name, path in parts.items()}
    if clear:
        for name in parts if clear == "all" else [clear]:
            _delete(parts[name])
            typer.echo(f"deleted {sizes[name] / 1e6:.1f} MB of {name}", err=json)
            sizes[name] = 0
    if json:
        typer.echo(dumps({"home": str(home()), "size_bytes": sizes}), nl=False)
        return
    typer.echo(f"{home()}  (HEADSTART_HOME moves it)")
    for name, size in sizes.items():
        typer.echo(f"  {name:<10} {size / 1e6:>10.1f} MB")


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _delete(path: Path) -> None:
    if path.exists():
        with storage_errors(path, "delete"):
            shutil.rmtree(path)
