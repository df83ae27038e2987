"""``headstart models``: what there is, and one model's card."""

from typing import Annotated

import typer

from headstart.catalog import find_model, list_models, weights_state
from headstart.catalog.entry import ModelEntry
from headstart.cli import options as opt
from headstart.cli.console import stdout_console
from headstart.core.records import dumps

_ROWS_ON_A_TERMINAL = 40
_STATES = {
    "package": "on this machine, in an installed package",
    "cached": "on this machine, fetched before",
    "file": "on this machine, a file of yours",
    "missing": "not on this machine; fetched when first used",
}


def models(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="PATTERN", help="A pattern ('resnet*', 'timm/*'), or one model's name for its card."
        ),
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", help="starter, pretrainedmodels, torchvision or timm.")
    ] = None,
    max_params: Annotated[str | None, typer.Option("--max-params", help="At most so many: 30M.")] = None,
    available: Annotated[bool, typer.Option("--available", help="Only what loads here and now.")] = False,
    json: opt.Json = False,
) -> None:
    """List the models that can be had, or show one model's card.

    \b
    Examples:
      headstart models 'efficientnet*'
      headstart models --available
      headstart models efficientnet_lite0
    """
    if pattern and not any(char in pattern for char in "*?["):
        _print_card(find_model(pattern), json=json)
        return
    entries = list_models(
        pattern,
        provider=provider,
        max_params=opt.parse_count(max_params) if max_params else None,
        available=True if available else None,
    )
    if json:
        typer.echo(dumps(entries), nl=False)
    else:
        _print_list(entries)


def _print_list(entries: list[ModelEntry]) -> None:
    import sys

    shown = entries[:_ROWS_ON_A_TERMINAL] if sys.stdout.isatty() else entries
    width = max((len(entry.name) for entry in shown), default=0)
    for entry in shown:
        side = entry.weights.preprocessing.input_size[0]
        typer.echo(
            f"{entry.name:<{width}}  {_params(entry):>8}  {side:>4} px  {_share(entry.weights.top1):>6}"
        )
    if len(shown) < len(entries):
        typer.echo(
            f"... {len(entries)} models in all; a pattern narrows them down, a pipe gets all", err=True
        )
    else:
        typer.echo(f"{len(entries)} models", err=True)


def _print_card(entry: ModelEntry, *, json: bool) -> None:
    state = weights_state(entry)
    if json:
        typer.echo(dumps({"entry": entry, "state": state}), nl=False)
        return
    from headstart.preprocess import describe

    weights, source = entry.weights, entry.weights.sources[0]
    table = {
        "name": entry.name,
        "network": f"{entry.architecture}, family {entry.family}",
        "parameters": _params(entry),
        "features": str(entry.feature_dim or "known once it is built"),
        "classes": str(weights.num_classes),
        "trained on": weights.pretrained_on or "unknown",
        "ImageNet top-1": _share(weights.top1),
        "ImageNet top-5": _share(weights.top5),
        "preprocessing": describe(weights.preprocessing),
        "weights": _STATES[state],
        "size": f"{source.size_bytes / 1e6:.1f} MB" if source.size_bytes else "unknown",
        "sha256": source.sha256 or "unknown",
        "licence": weights.license or "unknown",
        "paper": entry.paper or "unknown",
        "same weights as": ", ".join(entry.same_tensors_as) or "-",
        **{f"source {place}": _source(source) for place, source in enumerate(weights.sources, start=1)},
    }
    console = stdout_console()
    for label, value in table.items():
        console.print(f"{label:<16} {value}", soft_wrap=True)


def _source(source: object) -> str:
    kind, location, filename = (getattr(source, name) for name in ("kind", "location", "filename"))
    return f"{kind} {location}{' ' + filename if filename else ''}"


def _params(entry: ModelEntry) -> str:
    return f"{entry.num_params / 1e6:.1f} M" if entry.num_params else "?"


def _share(value: float | None) -> str:
    return "?" if value is None else f"{value:.1%}"
