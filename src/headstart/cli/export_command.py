"""``headstart export``: a model as one file for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress
from headstart.core.plain_progress import plain
from headstart.core.records import dumps, to_json

if TYPE_CHECKING:
    from headstart.evaluate import Estimate
    from headstart.export import Exported


def export_model(
    model: opt.SavedModel,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file to write: .onnx, .pt2, .xml or .safetensors.")
    ],
    format: Annotated[
        Literal["onnx", "torch", "openvino", "safetensors"] | None,
        typer.Option("--format", help="What to write; default: what the file's suffix says."),
    ] = None,
    include_preprocessing: Annotated[
        bool,
        typer.Option(
            "--include-preprocessing",
            help="The file takes pictures of any size as uint8, and not the network's input.",
        ),
    ] = False,
    quantize: Annotated[
        Literal["int8"] | None,
        typer.Option("--quantize", help="8 bits, calibrated on your pictures; for ONNX."),
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(
            "--pictures",
            metavar="DATA",
            help="What to prove the file on, best with labels; default: the run that MODEL lies in.",
        ),
    ] = None,
    max_pictures: Annotated[
        int, typer.Option("--max-pictures", min=1, help="How many pictures to prove it on at most.")
    ] = 500,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", min=0.0, help="Largest difference of a probability before the file is refused."
        ),
    ] = 1e-3,
    max_loss: Annotated[
        str,
        typer.Option(
            "--max-loss", help="With int8: loss of accuracy before the file is refused: 0.01 or 1%."
        ),
    ] = "1%",
    device: opt.Device = "auto",
    seed: opt.Seed = 0,
    json: opt.Json = False,
) -> None:
    """Write a model as one file for other programs, and prove that it says what the model says.

    The file is read back and run on pictures beside the model; one that differs is not kept. A short program
    that uses it without headstart is written beside it, as FILE.py.

    \b
    Examples:
      headstart export headstart-runs/flowers/model -o flowers.onnx --include-preprocessing
      headstart export headstart-runs/flowers/model -o small.onnx --quantize int8 --pictures flowers/
      headstart export efficientnet_lite0 -o lite0.pt2
    """
    from headstart.export import ExportOptions, export
    from headstart.models import load

    options = ExportOptions(
        format=format,
        quantize=quantize,
        include_preprocessing=include_preprocessing,
        tolerance=tolerance,
        max_loss=opt.parse_share(max_loss),
        max_pictures=max_pictures,
        device=device,
        seed=seed,
    )
    with show_progress() as progress:
        classifier = load(model, progress=progress)
        exported = export(classifier, out, pictures=pictures, options=options, progress=progress)
    if json:
        gain = {} if exported.gain is None else {"speedup": exported.gain.speedup}
        typer.echo(dumps(to_json(exported) | gain), nl=False)
    else:
        _print(exported, options.tolerance)


def _print(exported: "Exported", tolerance: float) -> None:
    parity, gain = exported.parity, exported.gain
    given = "pictures of any size" if exported.include_preprocessing else "the network's input"
    kind = f"{exported.format} {exported.quantize or 'float32'}"
    lines = [
        ("file", f"{exported.path} ({exported.size_bytes / 1e6:.1f} MB, {kind}, from {given})"),
        ("program", f"{exported.program} uses it without headstart"),
        ("proven on", parity.pictures),
        ("largest difference", f"{parity.largest_difference:.2g} of a probability ({tolerance:g} tolerated)"),
        ("same class", _share(parity.agreement)),
    ]
    if gain is not None:
        lines[3] = ("largest difference", f"{parity.largest_difference:.2g} of a probability")
    if parity.accuracy is not None and parity.own_accuracy is not None and parity.loss is not None:
        lines.append(
            ("accuracy", f"{_share(parity.accuracy)}; of the model itself {parity.own_accuracy.value:.1%}")
        )
        low, high = 100 * parity.loss.low, 100 * parity.loss.high
        lines.append(("lost accuracy", f"{100 * parity.loss.value:.1f} points ({low:.1f} to {high:.1f})"))
    if gain is not None:
        times = f"{gain.int8_latency_ms:.1f} ms a picture, float32 {gain.latency_ms:.1f} ms"
        lines.append(("speed", f"{gain.speedup:.1f} times that of float32 here: {times}"))
        lines.append(("size", f"{exported.size_bytes / gain.size_bytes:.0%} of float32"))
        if gain.weight_bits > 7:
            only = "right on processors with VNNI or the like alone; in 7, right on all, it lost too much"
            lines.append(("weights", f"in {gain.weight_bits} bits: {only}"))
    for name, text in lines:
        typer.echo(f"{name:<18} {plain(text)}")
    typer.echo(f"{parity.num_pictures} pictures; 95 % intervals")


def _share(estimate: "Estimate") -> str:
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"
