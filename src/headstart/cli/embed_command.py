"""``headstart embed``: pictures to vectors, into the cache and on request into a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headstart.cli import options as opt
from headstart.cli.console import show_progress
from headstart.core.errors import InputError
from headstart.core.files import atomic_path
from headstart.core.plain_progress import plain
from headstart.core.records import dumps, to_json
from headstart.core.spreadsheet import write_rows

if TYPE_CHECKING:
    from headstart.embed import Embeddings


def embed_pictures(
    data: opt.Data,
    models: opt.Model = "efficientnet_lite0",
    resolution: opt.ResolutionText = "auto",
    fit: opt.FitName = None,
    feature_point: opt.FeaturePoint = "pooled",
    sample: opt.SampleText = "",
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    plan: opt.PlanName = "fast",
    max_unreadable: opt.MaxUnreadable = 0.1,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File for the vectors, .npz or .csv; default: the cache only."),
    ] = None,
    cluster: opt.Cluster = "",
    seed: opt.Seed = 0,
    json: opt.Json = False,
) -> None:
    """Turn every picture into a vector with one model, and keep the vectors in the cache.

    \b
    Examples:
      headstart embed digits --out digits.npz
      headstart embed flowers/ --models resnet50 --resolution 160
      headstart embed flowers/ --cluster auto
    """
    from headstart.cli.cluster_command import open_runner
    from headstart.data.prepare import open_sample
    from headstart.data.scan import scan
    from headstart.embed import (
        PixelStore,
        PlanOptions,
        choose_resolution,
        embed,
        require_device,
        sample_sides,
    )
    from headstart.models import load, resolve

    if out is not None and out.suffix not in (".npz", ".csv"):
        raise InputError(f"--out {out}: only .npz and .csv can be written")
    resolutions = opt.parse_resolutions(resolution)
    if len(resolutions) != 1:
        raise InputError(f"--resolution {resolution}: embed takes one resolution")
    options = PlanOptions(device=device, precision=precision, plan=plan)
    with show_progress() as progress:
        resolve(models)  # a mistyped name is told before pictures are read
        if not cluster:
            require_device(options)
        drawn = open_sample(data, sample=opt.parse_sample(sample), seed=seed).dataset
        classifier = load(models, progress=progress)
        classifier = classifier.with_preprocessing(
            choose_resolution(
                classifier.preprocessing,
                sample_sides(drawn),
                resolution=resolutions[0],
                fit=fit,
                fixed=classifier.entry.fixed_input_size,
            )
        ).with_feature_point(feature_point)
        decoder: Literal["exact", "fast"] = "exact" if plan == "exact" else "fast"
        with (
            open_runner(cluster, progress) as runner,
            PixelStore((classifier.preprocessing,), decoder=decoder) as store,
        ):
            pictures = scan(
                drawn, max_unreadable=max_unreadable, keeper=store, runner=runner, progress=progress
            ).dataset
            embeddings = embed(
                classifier, pictures, options=options, store=store, runner=runner, progress=progress
            )
    if out is not None:
        _write(embeddings, out)
    _print(embeddings, out, json=json)


def _write(embeddings: "Embeddings", out: Path) -> None:
    import numpy as np

    if out.suffix == ".npz":
        with atomic_path(out) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                features=embeddings.features,
                labels=embeddings.labels,
                ids=np.array(embeddings.ids, dtype=np.str_),
                class_names=np.array(embeddings.class_names, dtype=np.str_),
            )
        return
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        write_rows(file, [["id", "class", *(f"f{index}" for index in range(embeddings.features.shape[1]))]])
        names = (embeddings.class_names[label] for label in embeddings.labels)
        rows = zip(embeddings.ids, names, embeddings.features.tolist(), strict=True)
        write_rows(file, ([each, name, *vector] for each, name, vector in rows))


def _print(embeddings: "Embeddings", out: Path | None, *, json: bool) -> None:
    num, dim = embeddings.features.shape
    if json:
        record = {
            "model": embeddings.model,
            "num_pictures": num,
            "feature_dim": dim,
            "num_computed": embeddings.num_computed,
            "seconds": embeddings.seconds,
            "plan": str(embeddings.plan),
            "space": embeddings.space,
            "feature_point": embeddings.feature_point,
            "preprocessing": to_json(embeddings.preprocessing),
            "excluded": to_json(embeddings.excluded),
            "out": str(out) if out else None,
        }
        typer.echo(dumps(record), nl=False)
        return
    computed = f"{embeddings.num_computed} computed, {num - embeddings.num_computed} from the cache"
    typer.echo(f"{num} pictures x {dim} features with {embeddings.model} ({computed})")
    typer.echo(f"plan: {embeddings.plan}")
    for each in embeddings.excluded:
        typer.echo(plain(f"left out: {each.id}: {each.reason}"))
    if out is not None:
        typer.echo(f"written to {out}")
