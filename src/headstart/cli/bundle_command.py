"""``headstart bundle`` and ``headstart load-bundle``: weights carried to a machine without a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress
from headstart.core.errors import WeightsError
from headstart.core.plain_progress import plain
from headstart.core.records import dumps

if TYPE_CHECKING:
    from headstart.weights import LoadedWeights

_IN_WORDS = {
    "loaded": "loaded",
    "here": "here already",
    "untrusted": "not loaded",
    "refused": "refused",
    "unknown": "passed over",
}


def bundle(
    models: opt.ModelNames,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write.")],
    json: opt.Json = False,
) -> None:
    """Write the weights of models into one file, with their settings, licences and digests.

    \b
    Examples:
      headstart bundle efficientnet_lite0 efficientnet_lite1 -o models.zip
      headstart bundle 'timm/resnet18*' -o resnets.zip
    """
    from headstart.weights import write_bundle

    with show_progress() as progress:
        written = write_bundle(opt.parse_models(models), out, progress=progress)
    if json:
        rows = [
            {
                "model": model.name,
                "license": model.license,
                "sha256": model.sha256,
                "size_bytes": model.size_bytes,
            }
            for model in written
        ]
        typer.echo(dumps({"out": str(out), "models": rows}), nl=False)
        return
    for model in written:
        license = model.license or "unknown"
        typer.echo(plain(f"{model.name}: {model.size_bytes / 1e6:.1f} MB, licence {license}"))
    typer.echo(plain(f"written to {out}, {out.stat().st_size / 1e6:.1f} MB"))


def load_bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What headstart bundle wrote.")],
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Take weights too whose sha256 nobody but the bundle knows."),
    ] = False,
    json: opt.Json = False,
) -> None:
    """Take the weights out of a bundle, each checked by the sha256 that the catalogue knows.

    \b
    Examples:
      headstart load-bundle models.zip
      headstart load-bundle models.zip --trust
    """
    from headstart.weights import read_bundle

    with show_progress() as progress:
        models = read_bundle(file, trust=trust, progress=progress)
    if json:
        typer.echo(dumps(models), nl=False)
    else:
        for model in models:
            _print(model)
    _raise(models, file)


def _print(model: "LoadedWeights") -> None:
    details = [_IN_WORDS[model.outcome], model.reason, str(model.path or "")]
    taken = model.outcome in ("loaded", "here")
    typer.echo(plain(f"{model.name}: {', '.join(filter(None, details))}"), err=not taken)


def _raise(models: "tuple[LoadedWeights, ...]", file: Path) -> None:
    """Raise where a model was not loaded that this catalogue has."""
    names = {outcome: [each.name for each in models if each.outcome == outcome] for outcome in _IN_WORDS}
    reasons = []
    hint = ""
    if names["refused"]:
        reasons.append(f"damaged, or another file than the catalogue means: {', '.join(names['refused'])}")
        hint = "have the bundle made again"
    if names["untrusted"]:
        reasons.append(f"without a whole sha256 in the catalogue: {', '.join(names['untrusted'])}")
        hint = f"if you trust who made the bundle: headstart load-bundle {file} --trust"
    if len(names["unknown"]) == len(models):
        reasons.append(f"not in this catalogue: {', '.join(names['unknown'])}")
    if reasons:
        num = len(names["refused"]) + len(names["untrusted"]) or len(models)
        raise WeightsError(f"{num} of {len(models)} models were not loaded; {'; '.join(reasons)}", hint=hint)
