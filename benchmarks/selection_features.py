"""The candidates of selection.py, and their features of every picture, through headstart's own engine.

    python benchmarks/selection_features.py WORK [--data digits ...]

data_sets.py must have run, and zoo.py be done or on its way. For each data set and candidate
WORK/features/DATA/CANDIDATE.npy is written (float16 of shape (N, D), rows in the order of labels.npy beside
it), and once for each candidate WORK/features/CANDIDATE.json (multiply-adds of one picture, counted as in
tools/measure_network.py, and published accuracy) and CANDIDATE.head.npz, the head that came with the weights.
What is there is kept; the cheapest come first.

"stride16" and "pooled" features are cut out of "concat" ones of the same network and resolution where a
candidate has those: they are the same numbers in one pass. Batch norms are re-estimated on 2,048 pictures,
evenly spread.
"""

import argparse
import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import headstart as hs
from headstart.catalog.entry import Fit
from headstart.data.scan import scan
from headstart.embed import PlanOptions, choose_resolution
from headstart.embed.reestimate import reestimate_on
from headstart.embed.resolution import sample_sides
from headstart.models import Classifier

DATA = ("digits", "clipart", "cifar10", "fashion")
ZOO_SIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One candidate.

    Attributes:
        name: of its files.
        model: what headstart loads, or a recipe's name of zoo.py.
        side: of the input in pixels.
        fit: how a picture gets to the input's shape; None as the weights came.
        point: where in the network the features are taken.
        part_of: candidate whose "concat" features hold these; "" where they are computed.
        reestimated: whether its batch norms take the pictures' own statistics.
        only: the data set that it runs on; "" for all.
    """

    name: str
    model: str
    side: int
    fit: Fit | None = None
    point: str = "pooled"
    part_of: str = ""
    reestimated: bool = False
    only: str = ""


def specs(work: Path) -> list[Spec]:
    """Return every candidate: the starter networks in several ways, then the zoo, cheap ones first."""
    found = [
        Spec(name=path.stem, model=path.stem, side=ZOO_SIDE) for path in sorted((work / "zoo").glob("*.json"))
    ]
    for side in (32, 64, 128):
        for size in range(3):
            name, model = f"lite{size}@{side}", f"efficientnet_lite{size}"
            whole = f"{name},concat" if size == 0 and side > ZOO_SIDE else ""
            if whole:
                found.append(Spec(name=whole, model=model, side=side, point="concat"))
                found.append(
                    Spec(name=f"{name},stride16", model=model, side=side, point="stride16", part_of=whole)
                )
            found.append(Spec(name=name, model=model, side=side, part_of=whole))
    lite = Spec(name="", model="efficientnet_lite0", side=64)
    return [
        *found,
        replace(lite, name="lite0@32,own norms", side=32, reestimated=True),
        replace(lite, name="lite0@64,own norms", reestimated=True),
        replace(lite, name="lite0@64,pad", fit="pad", only="clipart"),
        replace(lite, name="lite0@64,squash", fit="squash", only="clipart"),
    ]


def load(work: Path, spec: Spec) -> Classifier:
    """Return a candidate's network with its own head and the preprocessing that it came with."""
    recipe = work / "zoo" / f"{spec.model}.json"
    if not recipe.exists():
        return hs.load(spec.model)
    architecture = json.loads(recipe.read_text(encoding="utf-8"))["architecture"]
    return hs.load(f"timm/{architecture}@{recipe.with_suffix('.safetensors')}")


def count_macs(classifier: Classifier, side: int) -> int:
    """Return the multiply-adds of one picture, head left out."""
    network = copy.deepcopy(classifier.backbone).to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops() // 2


def describe(classifier: Classifier, spec: Spec, folder: Path) -> None:
    """Write what is the same on all data sets: cost, published accuracy and the head of the weights."""
    top1 = classifier.entry.weights.top1
    record = {"name": spec.name, "macs": count_macs(classifier, spec.side), "top1": top1}
    record |= {"feature_dim": classifier.feature_dim, "model": spec.model, "side": spec.side}
    head = classifier.head
    if isinstance(head, torch.nn.Linear):
        arrays = {name: tensor.detach().numpy() for name, tensor in head.state_dict().items()}
        np.savez(folder / f"{spec.name}.head.npz", **arrays)
    (folder / f"{spec.name}.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def parts(classifier: Classifier, features: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the points that "concat" features are made of: pooled, stride16, stride8."""
    start = 0
    widths = [classifier.feature_dim]
    widths += [classifier.with_feature_point(point).feature_dim for point in ("stride16", "stride8")]
    for point, width in zip(("pooled", "stride16", "stride8"), widths, strict=True):
        yield point, features[:, start : start + width]
        start += width


def compute(work: Path, spec: Spec, dataset: hs.ImageDataset, family: list[Spec]) -> None:
    """Write the features of one candidate, and of those that are a part of it."""
    folder = work / "features"
    classifier = load(work, spec)
    for each in family:
        if not (folder / f"{each.name}.json").exists():
            describe(classifier.with_feature_point(each.point), each, folder)
    sides = sample_sides(dataset)
    preprocessing = choose_resolution(classifier.preprocessing, sides, resolution=spec.side, fit=spec.fit)
    classifier = classifier.with_preprocessing(preprocessing)
    if spec.reestimated:
        classifier = reestimate_on(classifier, dataset)
    runs = classifier.with_feature_point(spec.point)
    embeddings = hs.embed(runs, dataset, options=PlanOptions(device="cpu", precision="fp32"))
    if embeddings.ids != dataset.ids:
        raise SystemExit(f"{dataset.name}: {len(dataset) - len(embeddings.ids)} pictures cannot be read")
    cut = dict(parts(classifier, embeddings.features)) if spec.point == "concat" else {}
    for each in family:
        rows = embeddings.features if each == spec else cut[each.point]
        np.save(folder / dataset.name / f"{each.name}.npy", rows.astype(np.float16))
    print(
        f"{dataset.name:<8} {spec.name:<20} {embeddings.num_computed:>6} pictures",
        f"in {embeddings.seconds:.1f} s",
        flush=True,
    )


def members(work: Path, spec: Spec) -> list[Spec]:
    """Return a candidate and those that are a part of it."""
    return [each for each in specs(work) if spec.name in (each.name, each.part_of)]


def pending(work: Path, data: Sequence[str]) -> tuple[Spec, str] | None:
    """Return the cheapest candidate that has no features of a data set yet, and the data set."""
    computed = [each for each in specs(work) if not each.part_of]
    for spec in sorted(computed, key=lambda each: each.side):
        for name in data:
            folder = work / "features" / name
            there = all((folder / f"{each.name}.npy").exists() for each in members(work, spec))
            if not there and spec.only in ("", name):
                return spec, name
    return None


def main() -> None:
    """Write what is not there."""
    parser = argparse.ArgumentParser(description="Features of all candidates: see the docstring.")
    parser.add_argument("work", type=Path, help="working folder of data_sets.py and zoo.py")
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    args = parser.parse_args()
    datasets = {}
    while (following := pending(args.work, args.data)) is not None:
        spec, name = following
        if name not in datasets:
            datasets[name] = scan(hs.open_dataset(str(args.work / "data" / f"{name}.zip"))).dataset
            folder = args.work / "features" / name
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / "labels.npy", datasets[name].labels)
        compute(args.work, spec, datasets[name], members(args.work, spec))


if __name__ == "__main__":
    main()
