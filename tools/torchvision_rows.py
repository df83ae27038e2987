"""The catalogue's rows of torchvision's classification weights."""

from typing import Any

import torchvision
from papers import arxiv
from published_results import share

from headstart.catalog.entry import Preprocessing

Row = dict[str, Any]

PAPERS = {
    "alexnet": "1404.5997", "convnext": "2201.03545", "densenet": "1608.06993", "efficientnet": "1905.11946",
    "efficientnet_v2": "2104.00298", "googlenet": "1409.4842", "inception": "1512.00567",
    "maxvit": "2204.01697",
    "mnasnet": "1807.11626", "mobilenetv2": "1801.04381", "mobilenetv3": "1905.02244", "regnet": "2003.13678",
    "resnet": "1512.03385", "resnext": "1611.05431", "wide_resnet": "1605.07146",
    "shufflenetv2": "1807.11164",
    "squeezenet": "1602.07360", "swin": "2103.14030", "swin_v2": "2111.09883", "vgg": "1409.1556",
    "vision_transformer": "2010.11929",
}  # fmt: skip


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
        "family": "inceptionv3" if module == "inception" else module,
        "sources": [["url", weights.url, "", "", round(meta["_file_size"] * 2**20)]],  # size to about 500 B
        "num_classes": len(meta["categories"]),
        "pretrained_on": "instagram-3.6b, imagenet-1k" if swag else "imagenet-1k",
        "license": "CC-BY-NC-4.0" if swag else "",
        "preprocessing": preprocessing_of(weights.transforms()),
        "top1": share(metrics["acc@1"]),
        "top5": share(metrics["acc@5"]),
        "accuracy_source": "torchvision",
        "num_params": meta["num_params"],
        "fixed_input_size": module in ("vision_transformer", "maxvit"),
        "paper": arxiv(PAPERS[papers[0]]),
    }


def preprocessing_of(transforms: Any) -> Preprocessing:
    """Return torchvision's evaluation preset as our record."""
    crop, resize = transforms.crop_size[0], transforms.resize_size[0]
    return Preprocessing(
        input_size=(crop, crop),
        crop_fraction=crop / resize,
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )
