"""How rows of the catalogue look: a table, one model's card, JSON, CSV."""

import sys
from typing import Literal, TypeAlias

import typer

from headstart.catalog import ModelEntry, WeightsSource, WeightsState, weights_state
from headstart.catalog.entry import ACCURACY_SOURCES
from headstart.catalog.licenses import license_terms
from headstart.cli.console import stdout_console
from headstart.core.records import dumps, to_json
from headstart.core.spreadsheet import write_rows

Form: TypeAlias = Literal["json", "csv", "text"]

_ROWS_ON_A_TERMINAL = 40
_HEADER = ("name", "params", "macs", "px", "top-1", "licence", "weights")
_STATES: dict[WeightsState, str] = {
    "package": "on this machine, in an installed package",
    "cached": "on this machine, fetched before",
    "unverified": "on this machine, fetched before; nobody has published the file's whole sha256",
    "file": "on this machine, a file of yours",
    "missing": "not on this machine; fetched when first used",
    "no source": "not on this machine, and no living source is known",
}
_ORPHANED = (
    "only the original library's host has them, which cannot prove who it is: its certificate ran out in "
    "2022. They load from a file of yours ({name}@FILE), a mirror (HEADSTART_MIRROR), a bundle "
    "(headstart load-bundle), or from that host by their whole sha256 (headstart fetch)"
)


def print_models(entries: list[ModelEntry], form: Form) -> None:
    """Print rows in their order: data to stdout, how many they are to stderr."""
    if form == "json":
        typer.echo(dumps([_facts(entry) for entry in entries]), nl=False)
    elif form == "csv":
        _print_csv(entries)
    else:
        _print_table(entries)


def _facts(entry: ModelEntry) -> dict[str, object]:
    """Return all that the catalogue knows of a row, and where its weights are."""
    return {
        **to_json(entry),
        "commercial_use": entry.weights.commercial_use,
        "state": _state(entry),
    }


def _state(entry: ModelEntry) -> WeightsState:
    state = weights_state(entry)
    return "no source" if state == "missing" and not entry.weights.has_living_source else state


def _print_table(entries: list[ModelEntry]) -> None:
    on_terminal = sys.stdout.isatty()
    shown = entries[:_ROWS_ON_A_TERMINAL] if on_terminal else entries
    rows = [_columns(entry) for entry in shown]
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    if on_terminal and rows:
        typer.echo(_aligned(_HEADER, widths), err=True)
    typer.echo("".join(_aligned(row, widths) + "\n" for row in rows), nl=False)
    if len(shown) < len(entries):
        typer.echo(
            f"... {len(entries)} models in all; a pattern narrows them down, a pipe gets all", err=True
        )
    else:
        typer.echo(f"{len(entries)} models", err=True)


def _columns(entry: ModelEntry) -> tuple[str, ...]:
    weights = entry.weights
    return (
        entry.name,
        _millions(entry.num_params),
        _billions(entry.num_macs),
        str(weights.preprocessing.input_size[0]),
        _share(weights.top1),
        weights.license or "?",
        _state(entry),
    )


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    """Return a line of the table: names and words to the left, numbers to the right."""
    cells = [
        f"{cell:>{width}}" if 1 <= place <= 4 else f"{cell:<{width}}"
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _print_csv(entries: list[ModelEntry]) -> None:
    rows = [_flat(_facts(entry)) for entry in entries]
    write_rows(sys.stdout, [list(rows[0]), *(list(row.values()) for row in rows)] if rows else [])


def _flat(facts: dict[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested facts as one level: a record's name and "_" before its fields', lists as text."""
    flat: dict[str, object] = {}
    for name, value in facts.items():
        if isinstance(value, dict):
            flat |= _flat(value, "" if name == "weights" else f"{name}_")
        elif isinstance(value, list):
            flat[prefix + name] = " ".join(
                str(item.get("location", item.get("name")) if isinstance(item, dict) else item)
                for item in value
            )
        else:
            flat[prefix + name] = "" if value is None else value
    return flat


def print_card(entry: ModelEntry, form: Form) -> None:
    """Print all that is known of one row, for a reader or a program."""
    if form == "csv":
        _print_csv([entry])
        return
    state = _state(entry)
    if form == "json":
        extra = {"state": state, "commercial_use": entry.weights.commercial_use}
        typer.echo(dumps({"entry": entry, **extra}), nl=False)
        return
    from headstart.preprocess import describe

    weights = entry.weights
    sizes, digests = zip(*map(_file_facts, entry.singles), strict=True)
    accuracy_source = ACCURACY_SOURCES.get(weights.accuracy_source, "")
    table = {
        "name": entry.name,
        "network": f"{entry.architecture}, family {entry.family}",
        "parameters": _millions(entry.num_params),
        "multiply-adds": _billions(entry.num_macs),
        "features": str(entry.feature_dim or "known once it is built"),
        "classes": str(weights.num_classes),
        "trained on": weights.pretrained_on or "unknown",
        "ImageNet": _accuracies(weights.top1, weights.top5, accuracy_source),
        "ImageNet-ReaL": _accuracies(weights.real_top1, weights.real_top5, ACCURACY_SOURCES["timm"]),
        "ImageNet-V2": _accuracies(weights.v2_top1, weights.v2_top5, ACCURACY_SOURCES["timm"]),
        "preprocessing": describe(weights.preprocessing),
        "weights": _STATES[state]
        + ("; " + _ORPHANED.format(name=entry.name) if not weights.has_living_source else ""),
        "size": f"{sum(sizes) / 1e6:.1f} MB" if all(sizes) else "unknown",
        "sha256": ", ".join(digest or "unknown" for digest in digests),
        "licence": weights.license or "unknown",
        "commercial use": _commercial_use(entry),
        "paper": entry.paper or "unknown",
        "same weights as": ", ".join(entry.same_tensors_as) or "-",
        **{f"source {place}": _source(each) for place, each in enumerate(weights.sources, start=1)},
    }
    console = stdout_console()
    for label, value in table.items():
        console.print(f"{label:<16} {value}", soft_wrap=True)


def _file_facts(entry: ModelEntry) -> tuple[int, str]:
    """Return size in bytes and sha256 of a row's weights file, 0 and "" where no source states them."""
    sources = entry.weights.sources
    size_bytes = next((each.size_bytes for each in sources if each.size_bytes), 0)
    return size_bytes, next((each.sha256 for each in sources if each.sha256), "")


def _commercial_use(entry: ModelEntry) -> str:
    word = {True: "permitted", False: "not permitted", None: "unknown"}[entry.weights.commercial_use]
    terms = license_terms(entry.weights.license)
    return f"{word}: {terms}" if terms else word


def _accuracies(top1: float | None, top5: float | None, source: str) -> str:
    if top1 is None:
        return "unknown"
    by = f" ({source})" if source else ""
    return f"top-1 {_share(top1)}, top-5 {_share(top5)}{by}"


def _source(source: WeightsSource) -> str:
    return f"{source.kind} {source.location} {source.filename}".rstrip()


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count else "?"


def _billions(count: int) -> str:
    return f"{count / 1e9:.2f} G" if count else "?"


def _share(value: float | None) -> str:
    return "?" if value is None else f"{value:.1%}"
