"""``headstart cache``: what is kept between runs, and how to be rid of it."""

import datetime
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headstart.cli import options as opt
from headstart.core.files import storage_errors
from headstart.core.paths import datasets_dir, embeddings_dir, home, plans_dir, weights_dir
from headstart.core.records import dumps


def cache(
    clear: Annotated[
        Literal["embeddings", "weights", "datasets", "plans", "all"] | None,
        typer.Option("--clear", help="Delete this part; it is made or fetched again when it is needed."),
    ] = None,
    prune: Annotated[
        str,
        typer.Option(
            "--prune", help="Delete embeddings, those not used for longest first, down to this size: 5GB."
        ),
    ] = "",
    json: opt.Json = False,
) -> None:
    """Show what headstart keeps on this machine between runs, or delete it.

    \b
    Examples:
      headstart cache
      headstart cache --prune 5GB
      headstart cache --clear embeddings
    """
    parts = {
        "embeddings": embeddings_dir(),
        "weights": weights_dir(),
        "datasets": datasets_dir(),
        "plans": plans_dir(),
    }
    if prune:
        from headstart.embed.spaces import prune_spaces

        freed = prune_spaces(int(opt.parse_count(prune.upper().removesuffix("B"))))
        typer.echo(f"deleted {freed / 1e6:.1f} MB of embeddings", err=json)
    sizes = {name: _size(path) for name, path in parts.items()}
    if clear:
        for name in parts if clear == "all" else [clear]:
            _delete(parts[name])
            typer.echo(f"deleted {sizes[name] / 1e6:.1f} MB of {name}", err=json)
            sizes[name] = 0
    spaces = _list_spaces()
    if json:
        record = {"home": str(home()), "size_bytes": sizes, "embeddings": spaces}
        typer.echo(dumps(record), nl=False)
        return
    typer.echo(f"{home()}  (HEADSTART_HOME moves it)")
    for name, size in sizes.items():
        typer.echo(f"  {name:<10} {size / 1e6:>10.1f} MB")
    for space in spaces:
        typer.echo(f"    {space['size_bytes'] / 1e6:>8.1f} MB  last used {space['used']}  {space['what']}")


def _list_spaces() -> list[dict[str, Any]]:
    """Return what each space of the embedding cache is and takes, the one used last first."""
    from headstart.embed.spaces import list_spaces

    return [
        {
            "what": _describe_space(space.record),
            "size_bytes": space.size_bytes,
            "used": datetime.datetime.fromtimestamp(space.used).isoformat(" ", "minutes"),
            "folder": space.folder.name,
        }
        for space in list_spaces()
    ]


def _describe_space(record: dict[str, Any]) -> str:
    try:
        height, width = record["preprocessing"]["input_size"]
        return (
            f"{record['model']}, {height}x{width} {record['preprocessing']['fit']}, "
            f"{record['feature_point']}, {record['precision']}, {record['plan']} plan"
        )
    except (KeyError, TypeError, ValueError):
        return "made by another version"


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _delete(path: Path) -> None:
    if path.exists():
        with storage_errors(path, "delete"):
            shutil.rmtree(path)
