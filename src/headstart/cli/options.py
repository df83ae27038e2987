"""The options that mean the same in every command."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from headstart.core.errors import InputError

if TYPE_CHECKING:
    from headstart.catalog import ModelEntry
    from headstart.catalog.entry import Fit
    from headstart.compare.records import BatchNorm

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Folder of class folders, zip of one, CSV (path,label[,split]), tars or Parquet files, also at "
        "an address (s3://, https://); or a name: digits, cifar10, ...",
    ),
]
Models = Annotated[
    str,
    typer.Option(
        "--models",
        help="Names or patterns with commas between: 'resnet50,timm/convnext*'; 'A+B' sets two side by side.",
    ),
]
ModelsOrDefault = Annotated[
    str | None,
    typer.Option(
        "--models",
        help="Names or patterns with commas between, 'A+B' sets two side by side; default: those whose "
        "weights are here, and 15 more where they can be fetched.",
    ),
]
Model = Annotated[
    str, typer.Option("--models", help="One model's name, or two with + between, side by side.")
]
SavedModel = Annotated[str, typer.Argument(metavar="MODEL", help="A saved model folder, or a model's name.")]
ResolutionText = Annotated[
    str,
    typer.Option(
        "--resolution", help="Input side in pixels, several with commas between, 'native' or 'auto'."
    ),
]
FitName = Annotated[
    Literal["crop", "squash", "pad"] | None,
    typer.Option("--fit", help="How a picture gets to the input's shape; default: as the weights came."),
]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option("--device", help="Where to compute.")]
PrecisionName = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option("--precision", help="A faster one is checked against fp32 on your pictures first."),
]
FitNames = Annotated[
    str,
    typer.Option(
        "--fit",
        help="How a picture gets to the input's shape: 'crop', 'squash', 'pad', or several with commas "
        "between; default: as the weights came.",
    ),
]
FeaturePoints = Annotated[
    str,
    typer.Option(
        "--feature-point",
        help="Where features are taken: 'pooled', 'stride16', 'stride8', 'concat', or several with commas "
        "between.",
    ),
]
FeaturePoint = Annotated[
    Literal["pooled", "stride16", "stride8", "concat"],
    typer.Option("--feature-point", help="Where in the network the vectors are taken."),
]
BatchNorms = Annotated[
    str,
    typer.Option(
        "--batch-norm",
        help="Statistics of batch norms: 'pretrained', 'reestimated' on your pictures, or both with a comma.",
    ),
]
PlanName = Annotated[
    Literal["fast", "exact"],
    typer.Option(
        "--plan", help="'exact' is slower: the reference decoder and float32, the same bits every time."
    ),
]
SampleText = Annotated[
    str, typer.Option("--sample", help="Work with a stratified part: train=2000,test=500.")
]
GroupBy = Annotated[
    str,
    typer.Option(
        "--group-by",
        help="Pictures that belong together stay on one side of a split: 'folder', 'name' (without its last "
        "number), 'burst' (by the camera's clock), or a column of the CSV.",
    ),
]
AuditName = Annotated[
    Literal["quick", "full"],
    typer.Option(
        "--audit", help="'full' looks for near duplicates, wrong labels and more, after the choice."
    ),
]
BudgetText = Annotated[
    str,
    typer.Option(
        "--budget",
        help="What the comparison may spend: '10m', '2h' with downloads, or '50000images' through networks; "
        "default: all candidates see all pictures.",
    ),
]
MaxDownload = Annotated[
    str, typer.Option("--max-download", help="With a budget: weights to fetch, at most: 5GB, 800MB.")
]
MaxLatency = Annotated[
    float | None,
    typer.Option(
        "--max-latency",
        min=0.0,
        metavar="MS",
        help="With a budget: the best that takes at most so many milliseconds a picture stays in to the end.",
    ),
]
DiscardWeights = Annotated[
    bool,
    typer.Option(
        "--discard-weights", help="Delete weights that were fetched for candidates that are not chosen."
    ),
]
KeepNeighbours = Annotated[
    bool,
    typer.Option(
        "--keep-neighbours",
        help="Put small copies of training pictures beside the model, to show those most like a new one.",
    ),
]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="default, last-layer, full, gradual, lora, tutorial or scratch; see tune --show-recipe.",
    ),
]
Cluster = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Run on a Ray cluster: 'auto' is the one of 'headstart cluster up'; or host:port.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything random.")]
ModelNames = Annotated[
    list[str], typer.Argument(metavar="MODEL", help="Names, or patterns: 'timm/resnet18*'.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="The run's folder; default: headstart-runs/NAME (tune: NAME-tuned). A killed run goes on there.",
    ),
]
MaxUnreadable = Annotated[
    float,
    typer.Option("--max-unreadable", min=0.0, max=1.0, help="Share of unreadable files above which to stop."),
]

FITS = ("crop", "squash", "pad")
FEATURE_POINTS = ("pooled", "stride16", "stride8", "concat")
BATCH_NORMS = ("pretrained", "reestimated")
_SAMPLE_PART = re.compile(r"(train|test)=([0-9]+)")


def parse_resolutions(text: str) -> tuple[int | Literal["native", "auto"], ...]:
    """Return what ``--resolution`` means: "96,128" is two sides.

    Raises:
        InputError: a part is neither a number nor "native" nor "auto".
    """
    resolutions: list[int | Literal["native", "auto"]] = []
    for part in (each.strip().lower() for each in text.split(",")):
        if part == "native":
            resolutions.append("native")
        elif part == "auto":
            resolutions.append("auto")
        elif part.isdecimal():
            resolutions.append(int(part))
        else:
            raise InputError(
                f"--resolution {text!r}: {part!r} is neither a number of pixels, 'native' nor 'auto'",
                hint="for example --resolution 96,128,native",
            )
    return tuple(dict.fromkeys(resolutions))


def parse_choices(option: str, text: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a list with commas between names: "crop,pad" is two ways.

    Args:
        option: the option's name, for the message.
        text: the list; "" names nothing.
        allowed: what may be named.

    Raises:
        BadParameter: a part is not among the allowed ones.
    """
    names = parse_names(text.lower())
    for name in names:
        if name not in allowed:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(allowed)}", param_hint=option)
    return tuple(dict.fromkeys(names))


def parse_fits(text: str) -> "tuple[Fit | None, ...]":
    """Return what ``--fit`` means; "" is the fit that the weights came with.

    Raises:
        BadParameter: a part is no fit.
    """
    return cast("tuple[Fit | None, ...]", parse_choices("--fit", text, FITS) or (None,))


def parse_batch_norms(text: str) -> "tuple[BatchNorm, ...]":
    """Return what ``--batch-norm`` means.

    Raises:
        BadParameter: a part is neither "pretrained" nor "reestimated".
    """
    return cast("tuple[BatchNorm, ...]", parse_choices("--batch-norm", text, BATCH_NORMS))


def parse_sample(text: str) -> dict[str, int]:
    """Return what ``--sample`` means: "train=2000,test=500" is {"train": 2000, "test": 500}; "" is {}.

    Raises:
        InputError: it is not of that form.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    matches = [_SAMPLE_PART.fullmatch(part) for part in parts]
    if not all(matches):
        raise InputError(f"--sample {text!r} cannot be read", hint="for example --sample train=2000,test=500")
    return {match[1]: int(match[2]) for match in matches if match}


def parse_names(text: str) -> list[str]:
    """Return the names in a list with commas between, without the empty ones."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_models(words: list[str]) -> "list[ModelEntry]":
    """Return the rows of one network that names and patterns stand for, each once.

    Rows with the same tensors all stay.

    Raises:
        UnknownModelError: a name is unknown or a pattern fits nothing.
    """
    from headstart.catalog import expand, find_model, list_models

    entries: dict[str, ModelEntry] = {}
    for name in (name for word in words for name in parse_names(word)):
        is_pattern = "@" not in name and any(char in name for char in "*?[")
        found = list_models(name) or expand([name]).entries if is_pattern else [find_model(name)]
        entries |= {row.name: row for entry in found for row in entry.singles}
    return list(entries.values())


def parse_count(text: str) -> float:
    """Return what a number with a unit means: "30M" is 30e6, "5e6" and "1.5B" likewise.

    Raises:
        InputError: it is no number.
    """
    units = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
    unit = units.get(text[-1:].lower(), 1.0)
    try:
        return float(text if unit == 1.0 else text[:-1]) * unit
    except ValueError as error:
        raise InputError(f"{text!r} is not a number", hint="for example 30M or 1.5e6") from error


def parse_size(text: str) -> int:
    """Return what a size in bytes means: "5GB" is 5e9, "800MB" 8e8.

    Raises:
        InputError: it is no size.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)b", text.strip().lower())
    if match is None:
        raise InputError(f"{text!r} is not a size", hint="for example 5GB or 800MB")
    return int(float(match[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}[match[2]])


def parse_share(text: str) -> float:
    """Return what a share means: "0.78" and "78%" are 0.78.

    Raises:
        InputError: it is no number.
    """
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a number", hint="for example 0.78 or 78%") from error


def command_line() -> str:
    """Return the command that was given, for the record; absolute paths in it become relative ones."""
    words = [
        os.path.relpath(word) if os.path.isabs(word) and os.path.exists(word) else word
        for word in sys.argv[1:]
    ]
    return shlex.join(["headstart", *words])
